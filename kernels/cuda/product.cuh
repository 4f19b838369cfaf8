// Linear layers, convolutions and transposed convolutions as one product of matrices, for ordinary and for tensor
// cores: out [rows, columns] = epilogue(A [rows, k] W [columns, k]'), where A is never made but read from where its
// values lie.
//
// A row is an output pixel (or token); k = tap * c + channel, and the channels of a second input follow those of the
// first. Where a pixel starts to read (its place) is found once a block; a thread walks along k from then on and looks
// for its pixels again only when the tap changes. There is no division behind a block's start.
#ifndef VC_KERNELS_CUDA_PRODUCT_CUH
#define VC_KERNELS_CUDA_PRODUCT_CUH

#include "kernels/cuda/cuda.h"
#include "kernels/cuda/epilogue.cuh"

enum product_kind { PRODUCT_LINEAR, PRODUCT_CONV, PRODUCT_TRANSPOSED };

// Passed to kernels by value. LINEAR uses none of the sizes of pixels.
template <class T>
struct product {
  const T *x[2];
  int64_t x_stride[2];  // elements between pixels
  int c0, c;            // channels of x[0], and of both
  int f, h, w;          // of the input, enlarged
  int shift;            // log2 of how much larger h and w are than stored
  int kernel[3], stride[3], dilation[3];
  int start[3];  // output pixel o reads input pixel start + o * stride + tap * dilation
  int f_out, h_out, w_out;
  const T *weight;
  int64_t pitch;          // elements between columns
  int64_t weight_tap[3];  // elements between taps
  int rows, columns;      // of out; GEGLU has as many gates behind the columns
  bool gated;
  bool vectors;  // A can be read in vectors: a thread's part of k never lies across taps or inputs
  bool wide;     // out can be stored in vectors
  epilogue_of<T> epilogue;
  // TRANSPOSED makes every step-th pixel of [frames out_h out_w]
  int out_first[2], out_step, out_h, out_w;
};

struct alignas(16) place {
  int video, f, y, x;  // the pixel that tap 0 reads; outside of everything for a row behind the last
};

constexpr int OUTSIDE = -(1 << 30);

template <class T>
DEVICE place place_of(const product<T> &p, int64_t row) {
  if (row >= p.rows) return {0, OUTSIDE, OUTSIDE, OUTSIDE};
  int line = (int)row / p.w_out, frame = line / p.h_out, video = frame / p.f_out;
  return {video, p.start[0] + (frame - video * p.f_out) * p.stride[0],
          p.start[1] + (line - frame * p.h_out) * p.stride[1], p.start[2] + ((int)row - line * p.w_out) * p.stride[2]};
}

// The input pixel that a tap reads, or -1: zeros.
template <class T>
DEVICE int pixel_under(const product<T> &p, const place &at, int kf, int ky, int kx) {
  int f = at.f + kf * p.dilation[0], y = at.y + ky * p.dilation[1], x = at.x + kx * p.dilation[2];
  int width = MUTANT(1) ? p.w + 1 : p.w;
  if ((unsigned)f >= (unsigned)p.f || (unsigned)y >= (unsigned)p.h || (unsigned)x >= (unsigned)width) return -1;
  return ((at.video * p.f + f) * (p.h >> p.shift) + (y >> p.shift)) * (p.w >> p.shift) + (x >> p.shift);
}

// Every thread of the block; the caller synchronises.
template <class T, product_kind KIND, int ROWS, int THREADS>
DEVICE void find_places(const product<T> &p, int64_t first, place *places) {
  if constexpr (KIND != PRODUCT_LINEAR)
    for (int i = threadIdx.x; i < ROWS; i += THREADS) places[i] = place_of(p, first + i);
}

// Where a row of the product is stored.
template <class T, product_kind KIND>
DEVICE int64_t out_row(const product<T> &p, const place *places, int64_t first, int i) {
  if constexpr (KIND != PRODUCT_TRANSPOSED) return first + i;
  place at = places[i];
  int64_t y = p.out_first[MUTANT(6)] + (int64_t)(at.y - p.start[1]) * p.out_step;
  return (at.video * (int64_t)p.out_h + y) * p.out_w + p.out_first[1] + (int64_t)(at.x - p.start[2]) * p.out_step;
}

// The row of W that is column j of the block's tile, or -1 outside. A tile of a gated product has values in its first
// half and their gates in the second.
template <class T, int BN>
DEVICE int weight_row(const product<T> &p, int tile, int j) {
  if (!p.gated) return tile * BN + j < p.columns ? tile * BN + j : -1;
  int column = tile * (BN / 2) + (j < BN / 2 ? j : j - BN / 2);
  if (column >= p.columns) return -1;
  return j < BN / 2 ? column : p.columns + column - (MUTANT(4) ? p.columns % 8 : 0);
}

template <class T>
static inline int column_tiles(const product<T> &p, int bn) {
  int each = p.gated ? bn / 2 : bn;
  return (p.columns + each - 1) / each;
}

// A thread's way along k, with where its ROWS rows (first, first + STEP, ... of the tile) lie under the present tap and
// in the present input.
template <class T, product_kind KIND, int ROWS, int STEP>
struct walk {
  int channel, limit;  // limit: where the input, or the tap, ends
  int kf, ky, kx;
  int64_t weight_at;   // of the tap
  const T *row[ROWS];  // channel 0; NULL: zeros

  __device__ __forceinline__ void begin(const product<T> &p, const place *places, int64_t tile_row, int first, int k) {
    channel = k;
    kf = ky = kx = 0;
    weight_at = 0;
    if constexpr (KIND != PRODUCT_LINEAR) {
      int tap = k / p.c, line = tap / p.kernel[2];
      channel = k - tap * p.c;
      kx = tap - line * p.kernel[2];
      kf = line / p.kernel[1];
      ky = line - kf * p.kernel[1];
    }
    look(p, places, tile_row, first);
  }

  // Not behind the last tap.
  __device__ __forceinline__ bool inside(const product<T> &p) const {
    return KIND == PRODUCT_LINEAR ? channel < p.c : kf < p.kernel[0];
  }

  // Also of a row that is NULL: an address that nothing reads. It is a number until then.
  __device__ __forceinline__ const T *at(int i) const {
    return (const T *)((uintptr_t)row[i] + (uintptr_t)channel * sizeof(T));
  }

  __device__ __forceinline__ void look(const product<T> &p, const place *places, int64_t tile_row, int first) {
    int second = channel >= p.c0 + MUTANT(2);
    const T *x = p.x[second] - second * p.c0;
    int64_t stride = p.x_stride[second];
    bool in = inside(p);
    limit = !in ? INT32_MAX : second ? p.c : p.c0;
    if constexpr (KIND != PRODUCT_LINEAR)
      weight_at = kf * p.weight_tap[0] + ky * p.weight_tap[1] + kx * p.weight_tap[2];
#pragma unroll
    for (int i = 0; i < ROWS; i++) {
      int64_t pixel = -1;
      if constexpr (KIND == PRODUCT_LINEAR) {
        if (tile_row + first + i * STEP < p.rows) pixel = tile_row + first + i * STEP;
      } else {
        pixel = pixel_under(p, places[first + i * STEP], kf, ky, kx);
      }
      row[i] = in && pixel >= 0 ? x + pixel * stride : nullptr;
    }
  }

  __device__ __forceinline__ void advance(const product<T> &p, const place *places, int64_t tile_row, int first,
                                          int by) {
    channel += by;
    if (channel < limit) return;
    if constexpr (KIND != PRODUCT_LINEAR) {
      while (channel >= p.c) {
        channel -= p.c;
        if (++kx < p.kernel[2]) continue;
        kx = 0;
        if (++ky < p.kernel[1]) continue;
        ky = 0;
        kf++;
      }
      if (MUTANT(3) && kx) return;
    }
    look(p, places, tile_row, first);
  }
};

// ---- the end of a tile

// Floats between rows of a staged tile: 8 more than the tile has, so that the 4 rows which half a warp writes in pairs
// lie in different banks.
template <int BN>
constexpr int STAGE_PITCH = BN + 8;

template <class T, product_kind KIND, int BN, int ROWS, int THREADS, int N, bool GATED>
DEVICE void finish_vectors(const product<T> &p, const place *places, const float *stage, int64_t first_row, int first,
                           int tile) {
  constexpr int WIDTH = GATED ? BN / 2 : BN, VECTORS = WIDTH / N;
  for (int i = threadIdx.x; i < ROWS * VECTORS; i += THREADS) {
    int r = i / VECTORS, at = (i - r * VECTORS) * N, column = tile * WIDTH + at;
    if ((first_row + first + r >= p.rows && !MUTANT(5)) || column >= p.columns) continue;
    const float *from = stage + r * STAGE_PITCH<BN> + at;
    float v[N], gate[N];
#pragma unroll
    for (int k = 0; k < N; k++) v[k] = from[k];
    if constexpr (GATED) {
#pragma unroll
      for (int k = 0; k < N; k++) gate[k] = from[WIDTH + k];
    }
    finish<T, N>(p.epilogue, out_row<T, KIND>(p, places, first_row, first + r), column, v, GATED ? gate : nullptr);
  }
}

// Finishes the tile's rows first .. first + ROWS - 1, which stand in `stage`.
template <class T, product_kind KIND, int BN, int ROWS, int THREADS>
DEVICE void finish_rows(const product<T> &p, const place *places, const float *stage, int64_t first_row, int first,
                        int tile) {
  constexpr int N = full_vector<T>;
  if (KIND == PRODUCT_LINEAR && p.gated) {
    if (p.wide)
      finish_vectors<T, KIND, BN, ROWS, THREADS, N, true>(p, places, stage, first_row, first, tile);
    else
      finish_vectors<T, KIND, BN, ROWS, THREADS, 1, true>(p, places, stage, first_row, first, tile);
  } else if (p.wide) {
    finish_vectors<T, KIND, BN, ROWS, THREADS, N, false>(p, places, stage, first_row, first, tile);
  } else {
    finish_vectors<T, KIND, BN, ROWS, THREADS, 1, false>(p, places, stage, first_row, first, tile);
  }
}

// ---- host: from an op to a product

static inline bool product_fits(int64_t rows, int64_t k, int64_t columns) {
  return rows < INT32_MAX && k < INT32_MAX / 2 && columns < INT32_MAX / 2;
}

static inline bool linear_fits(const vc_linear *op) {
  return product_fits(op->rows, op->c[0] + op->c[1], 2 * op->c_out);
}

static inline bool conv_fits(const vc_conv *op) {
  const int64_t in[3] = {op->f, op->h * op->upsample, op->w * op->upsample};
  const int64_t out[3] = {op->f_out, op->h_out, op->w_out};
  for (int i = 0; i < 3; i++)
    if (op->pad[i] + in[i] >= -OUTSIDE || (out[i] - 1) * op->stride[i] >= -OUTSIDE ||
        (op->kernel[i] - 1) * op->dilation[i] >= -OUTSIDE)
      return false;
  return op->n * op->f * op->h * op->w < INT32_MAX &&
         product_fits(op->n * op->f_out * op->h_out * op->w_out,
                      op->kernel[0] * op->kernel[1] * op->kernel[2] * (op->c[0] + op->c[1]), op->c_out);
}

template <class T>
static product<T> product_of_linear(const vc_linear *op) {
  product<T> p = {};
  p.x[0] = (const T *)op->x[0];
  p.x[1] = op->x[1] ? (const T *)op->x[1] : p.x[0];  // never read then, but addresses are made of it
  p.x_stride[0] = op->x_stride;
  p.x_stride[1] = op->c[1];
  p.c0 = (int)op->c[0];
  p.c = (int)(op->c[0] + op->c[1]);
  p.kernel[0] = p.kernel[1] = p.kernel[2] = 1;
  p.weight = (const T *)op->weight;
  p.pitch = vc_cuda_pitch(p.c);
  p.rows = (int)op->rows;
  p.columns = (int)op->c_out;
  p.gated = op->epilogue.activation == VC_ACT_GEGLU;
  p.epilogue = epilogue_for<T>(&op->epilogue, op->out, op->c_out);
  p.wide = epilogue_is_wide(p.epilogue);
  return p;
}

template <class T>
static product<T> product_of_conv(const vc_conv *op) {
  product<T> p = {};
  p.x[0] = (const T *)op->x[0];
  p.x[1] = op->x[1] ? (const T *)op->x[1] : p.x[0];
  p.x_stride[0] = op->c[0];
  p.x_stride[1] = op->c[1];
  p.c0 = (int)op->c[0];
  p.c = (int)(op->c[0] + op->c[1]);
  p.shift = op->upsample == 2;
  p.f = (int)op->f;
  p.h = (int)op->h << p.shift;
  p.w = (int)op->w << p.shift;
  for (int i = 0; i < 3; i++) {
    p.kernel[i] = (int)op->kernel[i];
    p.stride[i] = (int)op->stride[i];
    p.dilation[i] = (int)op->dilation[i];
    p.start[i] = -(int)op->pad[i];
  }
  p.f_out = (int)op->f_out;
  p.h_out = (int)op->h_out;
  p.w_out = (int)op->w_out;
  p.weight = (const T *)op->weight;
  p.pitch = vc_cuda_pitch((int64_t)p.kernel[0] * p.kernel[1] * p.kernel[2] * p.c);
  p.weight_tap[2] = p.c;
  p.weight_tap[1] = p.weight_tap[2] * p.kernel[2];
  p.weight_tap[0] = p.weight_tap[1] * p.kernel[1];
  p.rows = (int)(op->n * op->f_out * op->h_out * op->w_out);
  p.columns = (int)op->c_out;
  p.epilogue = epilogue_for<T>(&op->epilogue, op->out, op->c_out);
  p.wide = epilogue_is_wide(p.epilogue);
  return p;
}

// A can be read `n` elements at a time.
template <class T>
static bool reads_vectors(const product<T> &p, int n) {
  return p.c0 % n == 0 && p.c % n == 0 && p.x_stride[0] % n == 0 && is_aligned(p.x[0]) && is_aligned(p.x[1]) &&
         is_aligned(p.weight);
}

#endif
