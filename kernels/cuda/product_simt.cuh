// The product on ordinary cores: exact fp32, and any dtype at shapes that the tensor cores' loads cannot take.
//
// A block of 256 threads makes BM x 64 of out, 16 of k at a time: each thread BM / 16 rows and 4 columns in registers,
// so that a step of k takes 12 floats from shared memory for 32 FMA (BM 128) or 8 for 16 (BM 64, for products whose
// grid would otherwise not fill the machine). Both operands stand in shared memory k-major, as floats, in two buffers:
// the next part comes from global memory into registers while this one is multiplied.
#ifndef VC_KERNELS_CUDA_PRODUCT_SIMT_CUH
#define VC_KERNELS_CUDA_PRODUCT_SIMT_CUH

#include "kernels/cuda/product.cuh"

constexpr int SIMT_THREADS = 256;
constexpr int SIMT_BN = 64, SIMT_BK = 16;
constexpr int SIMT_CHUNK = 4;                         // values of k that a thread loads of a row
constexpr int SIMT_LANES = SIMT_BK / SIMT_CHUNK;      // threads that load a row
constexpr int SIMT_STEP = SIMT_THREADS / SIMT_LANES;  // rows that the block loads at once: 64
constexpr int SIMT_PASS = 64;                         // rows that are finished at once

template <int BM>
struct simt_memory {
  union {
    struct {
      // 4 more than rows: quads stay aligned, and the 4 lanes that load a row store to different banks.
      alignas(16) float a[2][SIMT_BK][BM + 4];
      alignas(16) float b[2][SIMT_BK][SIMT_BN + 4];
    };
    alignas(16) float stage[SIMT_PASS * STAGE_PITCH<SIMT_BN>];
  };
};

// What a thread holds of the next part of k: ROWS rows of A and one of W.
template <int ROWS>
struct simt_part {
  float a[ROWS][SIMT_CHUNK], b[SIMT_CHUNK];
};

template <class T, product_kind KIND, int ROWS>
DEVICE void simt_fetch(const product<T> &p, walk<T, KIND, ROWS, SIMT_STEP> &w, const place *places, int64_t tile_row,
                       int first, const T *weight, simt_part<ROWS> &part) {
  if (p.vectors) {
#pragma unroll
    for (int i = 0; i < ROWS; i++) {
#pragma unroll
      for (int k = 0; k < SIMT_CHUNK; k++) part.a[i][k] = 0;
      if (w.row[i]) load_floats<T, SIMT_CHUNK>(part.a[i], w.row[i] + w.channel);
    }
#pragma unroll
    for (int k = 0; k < SIMT_CHUNK; k++) part.b[k] = 0;
    if (weight && w.inside(p)) load_floats<T, SIMT_CHUNK>(part.b, weight + w.weight_at + w.channel);
    w.advance(p, places, tile_row, first, SIMT_BK);
    return;
  }
#pragma unroll
  for (int k = 0; k < SIMT_CHUNK; k++) {
#pragma unroll
    for (int i = 0; i < ROWS; i++) part.a[i][k] = w.row[i] ? to_float(w.row[i][w.channel]) : 0.0f;
    part.b[k] = weight && (MUTANT(14) || w.inside(p)) ? to_float(weight[w.weight_at + w.channel]) : 0.0f;
    w.advance(p, places, tile_row, first, k + 1 < SIMT_CHUNK ? 1 : SIMT_BK - SIMT_CHUNK + 1);
  }
}

template <int BM>
DEVICE void simt_put(simt_memory<BM> &m, int buffer, const simt_part<BM / SIMT_STEP> &part) {
  int row = threadIdx.x / SIMT_LANES, k0 = threadIdx.x % SIMT_LANES * SIMT_CHUNK;
#pragma unroll
  for (int k = 0; k < SIMT_CHUNK; k++) {
#pragma unroll
    for (int i = 0; i < BM / SIMT_STEP; i++) m.a[buffer][k0 + k][row + i * SIMT_STEP] = part.a[i][k];
    m.b[buffer][k0 + k][row] = part.b[k];
  }
}

// A thread's rows are ty * 4 + 0 .. 3 of every 64, its columns tx * 4 + 0 .. 3.
template <int BM>
DEVICE void simt_multiply(const simt_memory<BM> &m, int buffer, float (&sum)[BM / 16][4]) {
  int ty = threadIdx.x / 16, tx = threadIdx.x % 16;
#pragma unroll
  for (int k = 0; k < SIMT_BK; k++) {
    float b[4];
    load_floats<float, 4>(b, &m.b[buffer][k][tx * 4]);
#pragma unroll
    for (int i = 0; i < BM / 16; i += 4) {
      float a[4];
      load_floats<float, 4>(a, &m.a[buffer][k][i * 16 + ty * 4]);
#pragma unroll
      for (int r = 0; r < 4; r++)
#pragma unroll
        for (int c = 0; c < 4; c++) sum[i + r][c] = fmaf(a[r], b[c], sum[i + r][c]);
    }
  }
}

template <class T, product_kind KIND, int BM>
static __global__ void __launch_bounds__(SIMT_THREADS, BM == 128 ? 2 : 3)
    product_simt_kernel(product<T> p, int tiles_across) {
  constexpr int ROWS = BM / SIMT_STEP;
  SHARED(simt_memory<BM>, memory, [1]);
  SHARED(place, places, [KIND == PRODUCT_LINEAR ? 1 : BM]);
  simt_memory<BM> &m = memory[0];
  int64_t first_row = (int64_t)(blockIdx.x / tiles_across) * BM;
  int tile = blockIdx.x % tiles_across, row = threadIdx.x / SIMT_LANES;
  find_places<T, KIND, BM, SIMT_THREADS>(p, first_row, places);
  __syncthreads();

  int column = weight_row<T, SIMT_BN>(p, tile, row);
  const T *weight = column < 0 ? nullptr : p.weight + column * p.pitch;
  walk<T, KIND, ROWS, SIMT_STEP> w;
  w.begin(p, places, first_row, row, threadIdx.x % SIMT_LANES * SIMT_CHUNK);
  simt_part<ROWS> part;
  float sum[BM / 16][4] = {};
  int taps = KIND == PRODUCT_LINEAR ? 1 : p.kernel[0] * p.kernel[1] * p.kernel[2];
  int parts = (taps * p.c + (MUTANT(13) ? 0 : SIMT_BK - 1)) / SIMT_BK;
  if (parts) {
    simt_fetch<T, KIND, ROWS>(p, w, places, first_row, row, weight, part);
    simt_put<BM>(m, 0, part);
  }
  __syncthreads();
  for (int i = 0; i < parts; i++) {
    if (i + 1 < parts) simt_fetch<T, KIND, ROWS>(p, w, places, first_row, row, weight, part);
    simt_multiply<BM>(m, MUTANT(11) ? 0 : i % 2, sum);
    if (i + 1 < parts) simt_put<BM>(m, (i + 1) % 2, part);
    if (!MUTANT(12)) __syncthreads();
  }

  int ty = threadIdx.x / 16, tx = threadIdx.x % 16;
#pragma unroll
  for (int pass = 0; pass < BM / SIMT_PASS; pass++) {
#pragma unroll
    for (int r = 0; r < 4; r++)
      store_floats<float, 4>(m.stage + (ty * 4 + r) * STAGE_PITCH<SIMT_BN> + tx * 4, sum[pass * 4 + r]);
    __syncthreads();
    finish_rows<T, KIND, SIMT_BN, SIMT_PASS, SIMT_THREADS>(p, places, m.stage, first_row, pass * SIMT_PASS, tile);
    if (!MUTANT(15)) __syncthreads();
  }
}

template <class T, product_kind KIND, int BM>
static cudaError_t launch_simt(const vc_device *d, const product<T> &p) {
  int across = column_tiles(p, SIMT_BN);
  int64_t blocks = (p.rows + (int64_t)BM - 1) / BM * across;
  if (blocks > INT32_MAX) return cudaErrorInvalidConfiguration;
  return launch(product_simt_kernel<T, KIND, BM>, (unsigned)blocks, SIMT_THREADS, 0, d->stream, p, across);
}

template <class T, product_kind KIND>
static cudaError_t run_simt(const vc_device *d, product<T> p) {
  p.vectors = reads_vectors(p, SIMT_CHUNK);
  if constexpr (sizeof(T) == 4) {  // half precision comes here only with odd shapes, which are small
    int64_t blocks = (p.rows + (int64_t)127) / 128 * column_tiles(p, SIMT_BN);
    if (blocks >= 2 * d->multiprocessors) return launch_simt<T, KIND, 128>(d, p);
  }
  return launch_simt<T, KIND, 64>(d, p);
}

#endif
