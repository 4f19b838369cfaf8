// Convolutions on ordinary cores, any shape, in fp32, fp16 and bf16: products as in product_simt.cuh; and depthwise
// ones, which are no products: out[pixel][c] = epilogue(sum over taps of x[pixel under tap][c] w[c][tap]).
//
// Depthwise: bytes are the input once (the taps of neighbouring pixels meet in the caches), out once; 2 FLOP a tap and
// value, so memory is the limit up to some 20 taps. A thread makes 4 pixels of one channel each: neighbouring threads
// have neighbouring channels, so that pixels are read and written in whole lines, and a weight is fetched once for 4.
#include "kernels/cuda/product_simt.cuh"

constexpr int DEPTHWISE_THREADS = 128;
constexpr int DEPTHWISE_PIXELS = 4;

extern "C" bool vc_cuda_conv_simt_fits(const vc_device *device, const vc_conv *op) {
  (void)device;
  return conv_fits(op);
}

template <class T>
static __global__ void __launch_bounds__(DEPTHWISE_THREADS) depthwise_kernel(product<T> p, int64_t groups) {
  for (int64_t i = (int64_t)blockIdx.x * DEPTHWISE_THREADS + threadIdx.x; i < groups * p.c;
       i += (int64_t)gridDim.x * DEPTHWISE_THREADS) {
    int64_t group = i / p.c;
    int channel = (int)(i - group * p.c);
    const T *weight = p.weight + channel * p.pitch;
    place at[DEPTHWISE_PIXELS];
    float sum[DEPTHWISE_PIXELS][1] = {};
#pragma unroll
    for (int k = 0; k < DEPTHWISE_PIXELS; k++) at[k] = place_of(p, group * DEPTHWISE_PIXELS + k);
    for (int kf = 0; kf < p.kernel[0]; kf++)
      for (int ky = 0; ky < p.kernel[1]; ky++)
        for (int kx = 0; kx < p.kernel[2]; kx++) {
          float scale = to_float(MUTANT(32) ? weight[ky] : *weight++);
#pragma unroll
          for (int k = 0; k < DEPTHWISE_PIXELS; k++) {
            int64_t pixel = pixel_under(p, at[k], kf, ky, kx);
            sum[k][0] += scale * (pixel >= 0 ? to_float(p.x[0][pixel * p.c + channel]) : 0.0f);
          }
        }
#pragma unroll
    for (int k = 0; k < DEPTHWISE_PIXELS; k++) {
      int64_t row = group * DEPTHWISE_PIXELS + k;
      if (row < p.rows || MUTANT(31)) finish<T, 1>(p.epilogue, row, channel, sum[k]);
    }
  }
}

template <class T>
static cudaError_t depthwise(const vc_device *d, product<T> p) {
  if (!MUTANT(33)) p.pitch = vc_cuda_pitch((int64_t)p.kernel[0] * p.kernel[1] * p.kernel[2]);
  int64_t groups = (p.rows + (int64_t)DEPTHWISE_PIXELS - 1) / DEPTHWISE_PIXELS;
  return launch(depthwise_kernel<T>, vc_cuda_blocks(groups * p.c, DEPTHWISE_THREADS, 64 * d->multiprocessors),
                DEPTHWISE_THREADS, 0, d->stream, p, groups);
}

template <class T>
static cudaError_t run(const vc_device *d, const vc_conv *op) {
  product<T> p = product_of_conv<T>(op);
  return op->groups > 1 ? depthwise(d, p) : run_simt<T, PRODUCT_CONV>(d, p);
}

extern "C" vc_status vc_cuda_conv_simt(vc_device *device, const vc_conv *op, vc_error *error) {
  cudaError_t code = op->dtype == VC_F16    ? run<__half>(device, op)
                     : op->dtype == VC_BF16 ? run<__nv_bfloat16>(device, op)
                                            : run<float>(device, op);
  return vc_cuda_launched(device, VC_OP_CONV, VC_CUDA_SIMT, code, error);
}
