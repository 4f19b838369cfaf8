// The element-wise fusion of conditions: out = sum of scale[i] * x[i], up to VC_SUM_MAX inputs in one pass. An input
// with one frame is the same in all frames.
//
// Bytes: every input once, out once; an input of one frame comes from the cache after the first frame. All loads of a
// vector are under way before the first is used. out may be an input: a thread reads all of an element, then writes.
#include "kernels/cuda/elements.cuh"

constexpr int THREADS = 256;

template <class T>
struct inputs_of {
  const T *x[VC_SUM_MAX];
  float scale[VC_SUM_MAX];
  bool one_frame[VC_SUM_MAX];
  int count;
  bool any_one_frame;
  int64_t f, frame_vectors, vectors;
};

template <class T, int N>
static __global__ void __launch_bounds__(THREADS) sum_kernel(T *out, inputs_of<T> in) {
  for (int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x; i < in.vectors; i += (int64_t)gridDim.x * THREADS) {
    int64_t once = i;  // where the vector lies in an input of one frame
    if (in.any_one_frame) {
      quotient frame = split(i, in.frame_vectors);
      once = split(frame.q, in.f).q * in.frame_vectors + frame.r;
      if (MUTANT(1)) once = frame.r;
    }
    raw_vector<T, N> v[VC_SUM_MAX];
#pragma unroll
    for (int k = 0; k < VC_SUM_MAX; k++)
      if (k < in.count) v[k] = *(const raw_vector<T, N> *)(in.x[k] + (in.one_frame[k] ? once : i) * N);
    float sum[N];
#pragma unroll
    for (int j = 0; j < N; j++) sum[j] = in.scale[0] * element(v[0], j);
#pragma unroll
    for (int k = 1; k < VC_SUM_MAX; k++) {
      if (k >= in.count - (MUTANT(2) && in.count == VC_SUM_MAX ? 1 : 0)) break;
#pragma unroll
      for (int j = 0; j < N; j++) sum[j] += in.scale[MUTANT(3) ? 0 : k] * element(v[k], j);
    }
    store_floats<T, N>(out + i * N, sum);
  }
}

template <class T, int N>
static cudaError_t run(const vc_device *d, const vc_sum *op) {
  inputs_of<T> in = {};
  in.count = op->inputs;
  in.f = op->f;
  in.frame_vectors = op->rows / N;
  in.vectors = op->n * op->f * in.frame_vectors;
  for (int i = 0; i < op->inputs; i++) {
    in.x[i] = (const T *)op->x[i];
    in.scale[i] = op->scale[i];
    in.one_frame[i] = op->one_frame[i];
    in.any_one_frame = in.any_one_frame || op->one_frame[i];
  }
  unsigned blocks = vc_cuda_blocks(in.vectors, THREADS, 32 * d->multiprocessors);
  return launch(sum_kernel<T, N>, blocks, THREADS, 0, d->stream, (T *)op->out, in);
}

template <class T>
static cudaError_t choose(const vc_device *d, const vc_sum *op) {
  constexpr int N = full_vector<T>;
  bool aligned = op->rows % N == 0 && is_aligned(op->out);
  for (int i = 0; i < op->inputs; i++) aligned = aligned && is_aligned(op->x[i]);
  return aligned ? run<T, N>(d, op) : run<T, 1>(d, op);
}

extern "C" vc_status vc_cuda_sum_prepare(vc_device *device, const vc_sum *op, size_t *workspace, vc_error *error) {
  (void)device;
  *workspace = 0;
  const int64_t size[] = {op->n, op->f, op->rows};
  if (!vc_op_sizes(3, size))
    return vc_fail(error, VC_INVALID, "[%lld %lld %lld] is empty or too large", (long long)op->n, (long long)op->f,
                   (long long)op->rows);
  if (op->inputs < 1 || op->inputs > VC_SUM_MAX)
    return vc_fail(error, VC_INVALID, "%d inputs; 1 to %d are there", op->inputs, VC_SUM_MAX);
  return VC_OK;
}

extern "C" vc_status vc_cuda_sum(vc_device *device, const vc_sum *op, vc_error *error) {
  return vc_cuda_launched(device, VC_OP_SUM, VC_CUDA_SIMT, BY_DTYPE(op->dtype, choose, device, op), error);
}
