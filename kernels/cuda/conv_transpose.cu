// Transposed convolution: out = activation(sum + bias), input pixel i adds to the output pixels i * stride - pad + k.
//
// Output pixels whose place modulo the stride is the same (a phase) read the input through the same taps, which lie
// `stride` apart in the kernel: each phase is a convolution of stride 1 with dilation -1 and a product as in
// product.cuh, which stores every stride-th pixel. Nothing is multiplied with zeros between pixels. A phase is a
// launch: 4 to 16 of them in the depth and sketch networks, each with all frames. Half precision with 8 | c goes
// through tensor cores.
#include "kernels/cuda/product_mma.cuh"
#include "kernels/cuda/product_simt.cuh"

constexpr int64_t SIDE_MAX = -OUTSIDE / 128;  // of the input: its places, times a stride, are ints

// The output pixels of one phase along one axis: first, first + stride, ...; and its taps: phase, phase + stride, ...
typedef struct run_of {
  int first, count, taps, start;
} run_of;

static run_of pixels_of(const vc_conv_transpose *op, int phase, int64_t size) {
  int stride = (int)op->stride, pad = (int)op->pad;
  run_of r;
  r.first = ((phase - pad) % stride + stride) % stride;
  r.count = r.first < size ? (int)((size - r.first + stride - 1) / stride) : 0;
  r.taps = phase < op->kernel ? (int)((op->kernel - phase + stride - 1) / stride) : 0;
  r.start = (r.first + (MUTANT(42) ? 0 : pad)) / stride;  // the input pixel that the phase's first tap reads
  return r;
}

template <class T>
static product<T> product_of(const vc_conv_transpose *op, int phase_y, int phase_x) {
  run_of y = pixels_of(op, phase_y, op->h_out), x = pixels_of(op, phase_x, op->w_out);
  product<T> p = {};
  p.x[0] = p.x[1] = (const T *)op->x;
  p.x_stride[0] = op->c;
  p.c0 = p.c = (int)op->c;
  p.f = 1;
  p.h = (int)op->h;
  p.w = (int)op->w;
  p.kernel[0] = MUTANT(44) || (y.taps && x.taps);  // a phase without taps: a product with k = 0
  p.kernel[1] = y.taps ? y.taps : 1;
  p.kernel[2] = x.taps ? x.taps : 1;
  p.stride[0] = p.stride[1] = p.stride[2] = 1;
  p.dilation[1] = p.dilation[2] = MUTANT(41) ? 1 : -1;
  p.start[1] = y.start;
  p.start[2] = x.start;
  p.f_out = 1;
  p.h_out = y.count;
  p.w_out = x.count;
  p.pitch = vc_cuda_pitch(op->c);
  int64_t tap = op->c_out * p.pitch;
  p.weight = (const T *)op->weight + (phase_y * op->kernel + phase_x) * tap;
  p.weight_tap[1] = op->stride * op->kernel * tap;
  p.weight_tap[2] = (MUTANT(43) ? 1 : op->stride) * tap;
  p.rows = (int)(op->frames * y.count * x.count);
  p.columns = (int)op->c_out;
  vc_epilogue epilogue = {};
  epilogue.bias = op->bias;
  epilogue.activation = op->activation;
  p.epilogue = epilogue_for<T>(&epilogue, op->out, op->c_out);
  p.wide = epilogue_is_wide(p.epilogue);
  p.out_first[0] = y.first;
  p.out_first[1] = x.first;
  p.out_step = (int)op->stride;
  p.out_h = (int)op->h_out;
  p.out_w = (int)op->w_out;
  return p;
}

template <class T>
static cudaError_t run(const vc_device *d, const vc_conv_transpose *op, vc_cuda_variant *variant) {
  cudaError_t code = cudaSuccess;
  for (int phase = 0; phase < op->stride * op->stride && code == cudaSuccess; phase++) {
    product<T> p = product_of<T>(op, phase / (int)op->stride, phase % (int)op->stride);
    if (!p.rows) continue;
    if constexpr (sizeof(T) == 2) {
      if (reads_vectors(p, MMA_CHUNK)) {
        *variant = VC_CUDA_MMA;
        code = run_mma<T, PRODUCT_TRANSPOSED>(d, p, nullptr);
        continue;
      }
    }
    code = run_simt<T, PRODUCT_TRANSPOSED>(d, p);
  }
  return code;
}

extern "C" vc_status vc_cuda_conv_transpose_prepare(vc_device *device, const vc_conv_transpose *op, size_t *workspace,
                                                    vc_error *error) {
  (void)device;
  *workspace = 0;
  vc_status status = vc_op_check_conv_transpose(op, error);
  if (!status && (op->h >= SIDE_MAX || op->w >= SIDE_MAX || op->frames > INT32_MAX / (op->h * op->w) ||
                  op->frames > INT32_MAX / (op->h_out * op->w_out) ||
                  !product_fits(op->frames * op->h_out * op->w_out, op->kernel * op->kernel * op->c, op->c_out)))
    status = vc_fail(error, VC_UNSUPPORTED, "[%lld %lld %lld %lld] to [%lld %lld %lld]: more than 2^31 pixels",
                     (long long)op->frames, (long long)op->h, (long long)op->w, (long long)op->c, (long long)op->h_out,
                     (long long)op->w_out, (long long)op->c_out);
  return status;
}

extern "C" vc_status vc_cuda_conv_transpose(vc_device *device, const vc_conv_transpose *op, vc_error *error) {
  vc_cuda_variant variant = VC_CUDA_SIMT;
  cudaError_t code = op->dtype == VC_F16    ? run<__half>(device, op, &variant)
                     : op->dtype == VC_BF16 ? run<__nv_bfloat16>(device, op, &variant)
                                            : run<float>(device, op, &variant);
  return vc_cuda_launched(device, VC_OP_CONV_TRANSPOSE, variant, code, error);
}
