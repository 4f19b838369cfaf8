// out[r][i] = x[r][i] * gate[r]
//
// Bytes: x once, out once; the gates come from the cache. Vectors of 16 bytes where rows are made of them.
#include "kernels/cuda/elements.cuh"

constexpr int THREADS = 256;

template <class T, int N>
static __global__ void __launch_bounds__(THREADS)
    gate_kernel(T *out, const T *x, const T *gate, int64_t vectors, int64_t row_vectors) {
  for (int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x; i < vectors; i += (int64_t)gridDim.x * THREADS) {
    int64_t row = split(i, MUTANT(1) ? row_vectors + 1 : row_vectors).q;
    float v[N], g = to_float(gate[row]);
    load_floats<T, N>(v, x + i * N);
#pragma unroll
    for (int k = 0; k < N; k++) v[k] *= MUTANT(2) && k == N - 1 ? 1.0f : g;
    store_floats<T, N>(out + i * N, v);
  }
}

template <class T, int N>
static cudaError_t run(const vc_device *d, const vc_gate *op) {
  int64_t vectors = op->rows * op->c / N;
  unsigned blocks = vc_cuda_blocks(vectors, THREADS, 32 * d->multiprocessors);
  return launch(gate_kernel<T, N>, blocks, THREADS, 0, d->stream, (T *)op->out, (const T *)op->x, (const T *)op->gate,
                vectors, MUTANT(3) ? op->c : op->c / N);
}

template <class T>
static cudaError_t choose(const vc_device *d, const vc_gate *op) {
  constexpr int N = full_vector<T>;
  if (op->c % N == 0 && is_aligned(op->x) && is_aligned(op->out)) return run<T, N>(d, op);
  return run<T, 1>(d, op);
}

extern "C" vc_status vc_cuda_gate_prepare(vc_device *device, const vc_gate *op, size_t *workspace, vc_error *error) {
  (void)device;
  *workspace = 0;
  const int64_t size[] = {op->rows, op->c};
  if (!vc_op_sizes(2, size))
    return vc_fail(error, VC_INVALID, "[%lld %lld] is empty or too large", (long long)op->rows, (long long)op->c);
  return VC_OK;
}

extern "C" vc_status vc_cuda_gate(vc_device *device, const vc_gate *op, vc_error *error) {
  return vc_cuda_launched(device, VC_OP_GATE, VC_CUDA_SIMT, BY_DTYPE(op->dtype, choose, device, op), error);
}
