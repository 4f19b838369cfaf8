// Bilinear resize of each frame without antialiasing. Output i lies at i (in - 1) / (out - 1) of the input when corners
// are aligned, else at max(0, (i + 1/2) in / out - 1/2).
//
// Bytes: x once (the four pixels of neighbouring outputs come from the cache), out once. A thread makes one vector of
// an output pixel. Places are computed in double, as on the CPU: at a whole place the weight must be 0 and not 1 -
// 1e-7.
#include "kernels/cuda/elements.cuh"

constexpr int THREADS = 256;

// Between pixel `from` and pixel `to`, which is the next or, at the edge, the same.
struct place {
  int64_t from, to;
  float weight;  // of `to`
};

DEVICE place place_of(int64_t i, int64_t in, int64_t out, bool align_corners) {
  double at = 0;
  if (!align_corners)
    at = ((double)i + 0.5) * (double)in / (double)out - 0.5;
  else if (out > 1)
    at = (double)i * (double)(in - 1) / (double)(out - (MUTANT(3) ? 0 : 1));
  if (at < 0 && !MUTANT(1)) at = 0;
  int64_t from = (int64_t)at;
  if (from > in - 1) from = in - 1;
  int64_t to = from < in - 1 ? from + 1 : from;
  if (MUTANT(2)) to = from;
  return {from, to, (float)(at - (double)from)};
}

// The shape is that of x; row_vectors are the vectors of a row of pixels of out.
struct shape {
  int64_t vectors, row_vectors, h, w, c, h_out, w_out;
  bool align_corners;
};

template <class T, int N>
static __global__ void __launch_bounds__(THREADS) resize_kernel(T *out, const T *x, shape s) {
  for (int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x; i < s.vectors; i += (int64_t)gridDim.x * THREADS) {
    quotient line = split(i, s.row_vectors), frame = split(line.q, s.h_out), column = split(line.r, s.c / N);
    place py = place_of(frame.r, s.h, s.h_out, s.align_corners);
    place px = place_of(column.q, s.w, s.w_out, s.align_corners);
    const T *above = x + (frame.q * s.h + py.from) * s.w * s.c + column.r * N;
    const T *below = x + (frame.q * s.h + py.to) * s.w * s.c + column.r * N;
    float a[N], b[N], c[N], d[N];
    load_floats<T, N>(a, above + px.from * s.c);
    load_floats<T, N>(b, above + px.to * s.c);
    load_floats<T, N>(c, below + px.from * s.c);
    load_floats<T, N>(d, below + px.to * s.c);
#pragma unroll
    for (int k = 0; k < N; k++) {
      float top = (1 - px.weight) * a[k] + px.weight * b[k], bottom = (1 - px.weight) * c[k] + px.weight * d[k];
      a[k] = (1 - py.weight) * top + py.weight * bottom;
    }
    store_floats<T, N>(out + i * N, a);
  }
}

template <class T, int N>
static cudaError_t run(const vc_device *d, const vc_resize *op) {
  int64_t row_vectors = op->w_out * (op->c / N);
  shape s = {
      op->frames * op->h_out * row_vectors, row_vectors, op->h, op->w, op->c, op->h_out, op->w_out, op->align_corners};
  unsigned blocks = vc_cuda_blocks(s.vectors, THREADS, 32 * d->multiprocessors);
  return launch(resize_kernel<T, N>, blocks, THREADS, 0, d->stream, (T *)op->out, (const T *)op->x, s);
}

template <class T>
static cudaError_t choose(const vc_device *d, const vc_resize *op) {
  constexpr int N = full_vector<T>;
  if (op->c % N == 0 && is_aligned(op->x) && is_aligned(op->out)) return run<T, N>(d, op);
  return run<T, 1>(d, op);
}

extern "C" vc_status vc_cuda_resize_prepare(vc_device *device, const vc_resize *op, size_t *workspace,
                                            vc_error *error) {
  (void)device;
  *workspace = 0;
  const int64_t in[] = {op->frames, op->h, op->w, op->c}, out[] = {op->frames, op->h_out, op->w_out, op->c};
  if (!vc_op_sizes(4, in) || !vc_op_sizes(4, out))
    return vc_fail(error, VC_INVALID, "[%lld %lld %lld %lld] to %lld x %lld is empty or too large",
                   (long long)op->frames, (long long)op->h, (long long)op->w, (long long)op->c, (long long)op->h_out,
                   (long long)op->w_out);
  return VC_OK;
}

extern "C" vc_status vc_cuda_resize(vc_device *device, const vc_resize *op, vc_error *error) {
  return vc_cuda_launched(device, VC_OP_RESIZE, VC_CUDA_SIMT, BY_DTYPE(op->dtype, choose, device, op), error);
}
