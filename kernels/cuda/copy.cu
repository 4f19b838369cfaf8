// Strided copy: out[o][r][0 .. c) = x[o % x_outer][r][0 .. c).
//
// Bytes: what is copied, once in and once out. A row is moved in the largest words, 16 bytes down to 2, to which its
// length, both ends' addresses and all strides are multiples: a latent of 4 half-precision channels goes in words of 8.
#include "kernels/cuda/elements.cuh"

constexpr int THREADS = 256;

// In words.
struct extents {
  int64_t words, row_words, rows, x_outer;
  int64_t x_outer_stride, x_row_stride, out_outer_stride, out_row_stride;
};

template <class W>
static __global__ void __launch_bounds__(THREADS) copy_kernel(W *out, const W *x, extents e) {
  for (int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x; i < e.words; i += (int64_t)gridDim.x * THREADS) {
    quotient line = split(i, e.row_words), outer = split(line.q, e.rows);
    int64_t from = MUTANT(1) ? min(outer.q, e.x_outer - 1) : split(outer.q, e.x_outer).r;
    out[outer.q * e.out_outer_stride + outer.r * e.out_row_stride + line.r] =
        x[from * e.x_outer_stride + outer.r * (MUTANT(2) ? e.row_words : e.x_row_stride) + line.r];
  }
}

template <class W>
static cudaError_t run(const vc_device *d, const vc_copy *op, int64_t element) {
  int64_t per = (int64_t)sizeof(W) / element;  // elements of a word
  extents e = {op->outer * op->rows * (op->c / per),
               op->c / per,
               op->rows,
               op->x_outer,
               op->x_stride_outer / per,
               op->x_stride_row / per,
               op->out_stride_outer / per,
               op->out_stride_row / per};
  unsigned blocks = vc_cuda_blocks(e.words, THREADS, 32 * d->multiprocessors);
  return launch(copy_kernel<W>, blocks, THREADS, 0, d->stream, (W *)op->out, (const W *)op->x, e);
}

static cudaError_t choose(const vc_device *d, const vc_copy *op) {
  int64_t element = op->dtype == VC_F32 ? 4 : 2;
  uint64_t bits = (uint64_t)(uintptr_t)op->x | (uint64_t)(uintptr_t)op->out;
  const int64_t extent[] = {op->c, op->x_stride_outer, op->x_stride_row, op->out_stride_outer, op->out_stride_row};
  for (int64_t e : extent) bits |= (uint64_t)((MUTANT(3) ? op->c : e) * element);
  if (bits % 16 == 0) return run<uint4>(d, op, element);
  if (bits % 8 == 0) return run<uint2>(d, op, element);
  if (bits % 4 == 0) return run<uint32_t>(d, op, element);
  return run<uint16_t>(d, op, element);
}

extern "C" vc_status vc_cuda_copy_prepare(vc_device *device, const vc_copy *op, size_t *workspace, vc_error *error) {
  (void)device;
  *workspace = 0;
  const int64_t size[] = {op->outer, op->rows, op->c};
  if (!vc_op_sizes(3, size) || op->x_outer < 1)
    return vc_fail(error, VC_INVALID, "[%lld (of %lld) %lld %lld] is empty or too large", (long long)op->outer,
                   (long long)op->x_outer, (long long)op->rows, (long long)op->c);
  return VC_OK;
}

extern "C" vc_status vc_cuda_copy(vc_device *device, const vc_copy *op, vc_error *error) {
  return vc_cuda_launched(device, VC_OP_COPY, VC_CUDA_SIMT, choose(device, op), error);
}
