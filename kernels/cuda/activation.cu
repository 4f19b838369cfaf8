// out = activation(x), or GEGLU: out[r][i] = x[r][i] * gelu(x[r][c + i]).
//
// Bytes: x once, out once; nothing else counts. Vectors of 16 bytes where both ends are aligned, one element otherwise.
#include "kernels/cuda/elements.cuh"

constexpr int THREADS = 256;

template <class T, int N>
static __global__ void __launch_bounds__(THREADS)
    activate_kernel(T *out, const T *x, int64_t vectors, vc_activation activation) {
  for (int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x; i < vectors; i += (int64_t)gridDim.x * THREADS) {
    float v[N];
    load_floats<T, N>(v, x + i * N);
#pragma unroll
    for (int k = 0; k < N; k++) v[k] = activated(v[k], activation);
    store_floats<T, N>(out + i * N, v);
  }
}

template <class T, int N>
static __global__ void __launch_bounds__(THREADS)
    geglu_kernel(T *out, const T *x, int64_t vectors, int64_t row_vectors) {
  for (int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x; i < vectors; i += (int64_t)gridDim.x * THREADS) {
    quotient row = split(i, row_vectors);
    const T *value = x + ((MUTANT(1) ? row.q : 2 * row.q) * row_vectors + row.r) * N;
    float v[N], g[N];
    load_floats<T, N>(v, value);
    load_floats<T, N>(g, value + row_vectors * N);
#pragma unroll
    for (int k = 0; k < N; k++) v[k] *= gelu(MUTANT(2) ? v[k] : g[k]);
    store_floats<T, N>(out + i * N, v);
  }
}

template <class T, int N>
static cudaError_t run(const vc_device *d, const vc_activate *op) {
  int64_t vectors = op->rows * op->c / N;
  unsigned blocks = vc_cuda_blocks(vectors, THREADS, 32 * d->multiprocessors);
  if (op->activation == VC_ACT_GEGLU)
    return launch(geglu_kernel<T, N>, blocks, THREADS, 0, d->stream, (T *)op->out, (const T *)op->x, vectors,
                  op->c / N);
  return launch(activate_kernel<T, N>, blocks, THREADS, 0, d->stream, (T *)op->out, (const T *)op->x, vectors,
                op->activation);
}

template <class T>
static cudaError_t choose(const vc_device *d, const vc_activate *op) {
  constexpr int N = full_vector<T>;
  int64_t run_length = op->activation == VC_ACT_GEGLU ? op->c : op->rows * op->c;
  if ((run_length % N == 0 || (MUTANT(3) && op->activation != VC_ACT_GEGLU)) && is_aligned(op->x) &&
      is_aligned(op->out))
    return run<T, N>(d, op);
  return run<T, 1>(d, op);
}

extern "C" vc_status vc_cuda_activate_prepare(vc_device *device, const vc_activate *op, size_t *workspace,
                                              vc_error *error) {
  (void)device;
  *workspace = 0;
  const int64_t size[] = {2, op->rows, op->c};
  if (!vc_op_sizes(3, size))
    return vc_fail(error, VC_INVALID, "[%lld %lld] is empty or too large", (long long)op->rows, (long long)op->c);
  unsigned activation;  // C++ may not even look at an enumeration that has no such value
  memcpy(&activation, &op->activation, sizeof activation);
  if (activation > VC_ACT_GEGLU) return vc_fail(error, VC_INVALID, "%d is no activation", (int)activation);
  return VC_OK;
}

extern "C" vc_status vc_cuda_activate(vc_device *device, const vc_activate *op, vc_error *error) {
  return vc_cuda_launched(device, VC_OP_ACTIVATION, VC_CUDA_SIMT, BY_DTYPE(op->dtype, choose, device, op), error);
}
