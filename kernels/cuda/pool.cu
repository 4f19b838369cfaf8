// Adaptive average pool over h and w: output row i averages rows floor(i h / h_out) .. ceil((i + 1) h / h_out) - 1,
// columns likewise.
//
// Bytes: x once, out once. Small windows: a thread sums one vector of an output pixel, neighbouring threads taking
// neighbouring channels. Large windows (the mean of a whole map) leave too few outputs to fill the card, so `lanes`
// threads of a block share a window: lane l takes its pixels l, l + lanes, ..., and lane 0 adds up the parts in order.
#include "kernels/cuda/elements.cuh"

constexpr int THREADS = 256;

struct span {
  int64_t from, size;
};

DEVICE span window(int64_t i, int64_t in, int64_t out) {
  int64_t from = i * in / out, to = ((i + 1) * in + (MUTANT(1) ? 0 : out - 1)) / out;
  return {from, to - from};
}

// items: vectors of out. lanes: a power of two, THREADS at most.
struct shape {
  int64_t items, h, w, c, h_out, w_out;
  int lanes;
};

// This lane's part of the sum of a window, and the number of pixels of the window.
template <class T, int N>
DEVICE float window_sum(float (&sum)[N], const T *x, const shape &s, int64_t item, int lane) {
  quotient pixel = split(item, s.c / N), line = split(pixel.q, s.w_out), frame = split(line.q, s.h_out);
  span y = window(frame.r, s.h, s.h_out), column = window(line.r, s.w, s.w_out);
  const T *corner = x + ((frame.q * s.h + y.from) * s.w + column.from) * s.c + pixel.r * N;
  for (int64_t k = lane; k < y.size * column.size; k += s.lanes) {
    quotient at = split(k, column.size);
    float v[N];
    load_floats<T, N>(v, corner + (at.q * s.w + at.r) * s.c);
#pragma unroll
    for (int j = 0; j < N; j++) sum[j] += v[j];
  }
  return (float)(y.size * column.size);
}

template <class T, int N>
static __global__ void __launch_bounds__(THREADS) pool_kernel(T *out, const T *x, shape s) {
  SHARED(float, part, [THREADS * N]);
  int columns = THREADS / s.lanes, column = threadIdx.x % columns, lane = threadIdx.x / columns;
  for (int64_t base = (int64_t)blockIdx.x * columns; base < s.items; base += (int64_t)gridDim.x * columns) {
    int64_t item = base + column;
    float sum[N] = {}, count = 1;
    if (item < s.items) count = window_sum<T, N>(sum, x, s, item, lane);
    if (s.lanes > 1) {
#pragma unroll
      for (int j = 0; j < N; j++) part[j * THREADS + threadIdx.x] = sum[j];
      if (!MUTANT(2)) __syncthreads();
      for (int l = 1; lane == 0 && l < s.lanes - (MUTANT(3) ? 1 : 0); l++) {
#pragma unroll
        for (int j = 0; j < N; j++) sum[j] += part[j * THREADS + l * columns + column];
      }
      __syncthreads();  // part is written again by the next round
    }
    if (lane > 0 || item >= s.items) continue;
#pragma unroll
    for (int j = 0; j < N; j++) sum[j] /= count;
    store_floats<T, N>(out + item * N, sum);
  }
}

template <class T, int N>
static cudaError_t run(const vc_device *d, const vc_pool *op) {
  int64_t pixels = (op->h / op->h_out + 1) * (op->w / op->w_out + 1);
  shape s = {op->frames * op->h_out * op->w_out * (op->c / N), op->h, op->w, op->c, op->h_out, op->w_out,
             pixels <= 16 ? 1 : pixels <= 512 ? 8 : 64};
  unsigned blocks = vc_cuda_blocks(s.items, THREADS / s.lanes, 32 * d->multiprocessors);
  return launch(pool_kernel<T, N>, blocks, THREADS, 0, d->stream, (T *)op->out, (const T *)op->x, s);
}

template <class T>
static cudaError_t choose(const vc_device *d, const vc_pool *op) {
  constexpr int N = full_vector<T>;
  if (op->c % N == 0 && is_aligned(op->x) && is_aligned(op->out)) return run<T, N>(d, op);
  return run<T, 1>(d, op);
}

extern "C" vc_status vc_cuda_pool_prepare(vc_device *device, const vc_pool *op, size_t *workspace, vc_error *error) {
  (void)device;
  *workspace = 0;
  // The products i * in of window() are below in * out.
  const int64_t in[] = {op->frames, op->h, op->w, op->c}, out[] = {op->frames, op->h_out, op->w_out, op->c};
  const int64_t rows[] = {2, op->h, op->h_out}, columns[] = {2, op->w, op->w_out};
  if (!vc_op_sizes(4, in) || !vc_op_sizes(4, out) || !vc_op_sizes(3, rows) || !vc_op_sizes(3, columns))
    return vc_fail(error, VC_INVALID, "[%lld %lld %lld %lld] to %lld x %lld is empty or too large",
                   (long long)op->frames, (long long)op->h, (long long)op->w, (long long)op->c, (long long)op->h_out,
                   (long long)op->w_out);
  return VC_OK;
}

extern "C" vc_status vc_cuda_pool(vc_device *device, const vc_pool *op, vc_error *error) {
  return vc_cuda_launched(device, VC_OP_POOL, VC_CUDA_SIMT, BY_DTYPE(op->dtype, choose, device, op), error);
}
