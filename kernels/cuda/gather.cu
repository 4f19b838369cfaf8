// out[i] = table[index[i]] + (position ? position[i % positions] : 0)
//
// Bytes: the rows that are asked for, once in and once out, and fp32 positions. One block of threads a row: 77 tokens
// of 1024 channels are a block of 128 vectors each. An index outside the table is never followed: its row becomes zeros
// and the index is left where wait() finds it.
#include "kernels/cuda/elements.cuh"

constexpr int THREADS = 128;

// What stands in *fault for an index: its sign bit flipped, and never 0, which is no fault.
DEVICE int32_t fault_of(int32_t index) {
  return (index == INT32_MIN ? INT32_MIN + 1 : index) ^ INT32_MIN;
}

template <class T>
struct rows_of {
  const int32_t *index;
  const T *table;
  const float *position;
  T *out;
  int64_t count, c, entries, positions;
  int32_t *fault;
};

template <class T, int N>
static __global__ void __launch_bounds__(THREADS) gather_kernel(rows_of<T> g) {
  for (int64_t row = blockIdx.x; row < g.count; row += gridDim.x) {
    int32_t index = g.index[row];
    bool valid = index >= 0 && index < g.entries + (MUTANT(1) ? 1 : 0);
    if (!valid && threadIdx.x == 0) atomicCAS(g.fault, 0, fault_of(index));
    const float *position = g.position ? g.position + (MUTANT(2) ? row : split(row, g.positions).r) * g.c : nullptr;
    for (int64_t i = (int64_t)threadIdx.x * N; i < g.c; i += THREADS * N) {
      float v[N] = {};
      if (valid) load_floats<T, N>(v, g.table + index * g.c + i);
      if ((valid || MUTANT(3)) && position) {
        float p[N];
        load_parameters<N>(p, position + i);
#pragma unroll
        for (int k = 0; k < N; k++) v[k] += p[k];
      }
      store_floats<T, N>(g.out + row * g.c + i, v);
    }
  }
}

template <class T, int N>
static cudaError_t run(const vc_device *d, const rows_of<T> &g) {
  return launch(gather_kernel<T, N>, vc_cuda_blocks(g.count, 1, 1 << 20), THREADS, 0, d->stream, g);
}

template <class T>
static cudaError_t choose(const vc_device *d, const vc_gather *op) {
  constexpr int N = full_vector<T>;
  rows_of<T> g = {op->index, (const T *)op->table, op->position,  (T *)op->out, op->count,
                  op->c,     op->entries,          op->positions, d->fault};
  if (op->c % N == 0 && is_aligned(op->table) && is_aligned(op->position) && is_aligned(op->out))
    return run<T, N>(d, g);
  return run<T, 1>(d, g);
}

extern "C" vc_status vc_cuda_gather_prepare(vc_device *device, const vc_gather *op, size_t *workspace,
                                            vc_error *error) {
  (void)device;
  *workspace = 0;
  const int64_t out[] = {op->count, op->c}, table[] = {op->entries, op->c};
  if (!vc_op_sizes(2, out) || !vc_op_sizes(2, table) || op->positions < 0)
    return vc_fail(error, VC_INVALID, "%lld of %lld entries of %lld, %lld positions", (long long)op->count,
                   (long long)op->entries, (long long)op->c, (long long)op->positions);
  return VC_OK;
}

extern "C" vc_status vc_cuda_gather(vc_device *device, const vc_gather *op, vc_error *error) {
  if (op->position && op->positions < 1) return vc_fail(error, VC_INVALID, "op gather: positions without a length");
  return vc_cuda_launched(device, VC_OP_GATHER, VC_CUDA_SIMT, BY_DTYPE(op->dtype, choose, device, op), error);
}
