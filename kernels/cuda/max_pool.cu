// The largest of every 2x2 pixels, by channel. NaN is the largest of all; a last odd row or column is dropped.
//
// Bytes: x once, a quarter of that out. A thread makes one vector of an output pixel from the four pixels above it:
// neighbouring threads take neighbouring channels, so that all accesses are coalesced.
#include "kernels/cuda/elements.cuh"

constexpr int THREADS = 256;

DEVICE float larger(float a, float b) {
  return b > a || (b != b && !MUTANT(1)) ? b : a;
}

template <class T, int N>
DEVICE void take_larger(float (&v)[N], const T *from) {
  float w[N];
  load_floats<T, N>(w, from);
#pragma unroll
  for (int k = 0; k < N; k++) v[k] = larger(v[k], w[k]);
}

// A line is a row of pixels of out; h and w are those of x, row_vectors the vectors of a line.
template <class T, int N>
static __global__ void __launch_bounds__(THREADS)
    max_pool_kernel(T *out, const T *x, int64_t vectors, int64_t row_vectors, int64_t h, int64_t w, int64_t c) {
  for (int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x; i < vectors; i += (int64_t)gridDim.x * THREADS) {
    quotient line = split(i, row_vectors), frame = split(line.q, h / 2), column = split(line.r, c / N);
    const T *from = x + ((frame.q * (MUTANT(3) ? h / 2 * 2 : h) + frame.r * 2) * w + column.q * 2) * c + column.r * N;
    const T *below = from + (MUTANT(2) ? w / 2 * 2 : w) * c;
    float v[N];
    load_floats<T, N>(v, from);
    take_larger<T, N>(v, from + c);
    take_larger<T, N>(v, below);
    take_larger<T, N>(v, below + c);
    store_floats<T, N>(out + i * N, v);
  }
}

template <class T, int N>
static cudaError_t run(const vc_device *d, const vc_max_pool *op) {
  int64_t row_vectors = op->w / 2 * (op->c / N), vectors = op->frames * (op->h / 2) * row_vectors;
  unsigned blocks = vc_cuda_blocks(vectors, THREADS, 32 * d->multiprocessors);
  return launch(max_pool_kernel<T, N>, blocks, THREADS, 0, d->stream, (T *)op->out, (const T *)op->x, vectors,
                row_vectors, op->h, op->w, op->c);
}

template <class T>
static cudaError_t choose(const vc_device *d, const vc_max_pool *op) {
  constexpr int N = full_vector<T>;
  if (op->c % N == 0 && is_aligned(op->x) && is_aligned(op->out)) return run<T, N>(d, op);
  return run<T, 1>(d, op);
}

extern "C" vc_status vc_cuda_max_pool_prepare(vc_device *device, const vc_max_pool *op, size_t *workspace,
                                              vc_error *error) {
  (void)device;
  *workspace = 0;
  const int64_t size[] = {op->frames, op->h, op->w, op->c};
  if (op->h < 2 || op->w < 2 || !vc_op_sizes(4, size))
    return vc_fail(error, VC_INVALID, "[%lld %lld %lld %lld] is too small or too large", (long long)op->frames,
                   (long long)op->h, (long long)op->w, (long long)op->c);
  return VC_OK;
}

extern "C" vc_status vc_cuda_max_pool(vc_device *device, const vc_max_pool *op, vc_error *error) {
  return vc_cuda_launched(device, VC_OP_MAX_POOL, VC_CUDA_SIMT, BY_DTYPE(op->dtype, choose, device, op), error);
}
