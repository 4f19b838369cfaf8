// Timestep embedding: out[i][k] = cos(t[i] * 10000^(-k / half)), out[i][half + k] the sine.
//
// A few thousand values once a video. Angles and their sines are computed in double, as on the CPU: an angle of 1000 in
// fp32 would be off by 3e-5.
#include "kernels/cuda/elements.cuh"

constexpr int THREADS = 128;

template <class T>
static __global__ void __launch_bounds__(THREADS) sinusoid_kernel(T *out, const float *t, int64_t pairs, int64_t half) {
  for (int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x; i < pairs; i += (int64_t)gridDim.x * THREADS) {
    quotient at = split(i, half);
    double angle = (double)t[at.q] * pow(10000.0, -(double)at.r / (double)(MUTANT(1) ? half - 1 : half));
    if (MUTANT(2)) angle = (double)(float)angle;
    T *row = out + at.q * (MUTANT(3) ? half : 2 * half);
    row[at.r] = from_float<T>((float)cos(angle));
    row[half + at.r] = from_float<T>((float)sin(angle));
  }
}

template <class T>
static cudaError_t run(const vc_device *d, const vc_sinusoid *op) {
  int64_t half = op->c / 2, pairs = op->count * half;
  unsigned blocks = vc_cuda_blocks(pairs, THREADS, 32 * d->multiprocessors);
  return launch(sinusoid_kernel<T>, blocks, THREADS, 0, d->stream, (T *)op->out, op->t, pairs, half);
}

extern "C" vc_status vc_cuda_sinusoid_prepare(vc_device *device, const vc_sinusoid *op, size_t *workspace,
                                              vc_error *error) {
  (void)device;
  *workspace = 0;
  const int64_t size[] = {op->count, op->c};
  if (!vc_op_sizes(2, size) || op->c % 2)
    return vc_fail(error, VC_INVALID, "[%lld %lld] is empty or too large, or its width is odd", (long long)op->count,
                   (long long)op->c);
  return VC_OK;
}

extern "C" vc_status vc_cuda_sinusoid(vc_device *device, const vc_sinusoid *op, vc_error *error) {
  return vc_cuda_launched(device, VC_OP_SINUSOID, VC_CUDA_SIMT, BY_DTYPE(op->dtype, run, device, op), error);
}
