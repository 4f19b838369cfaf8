// Attention in half precision with mma, for heads of up to 128 channels: over the pixels of a frame, to a context, in
// CLIP's towers and MiDaS.
//
// out = softmax(q k' * scale) v, without the scores ever in memory: a block holds 64 or 128 queries of one head in
// registers and goes through the keys in tiles of 64 with a running maximum and sum, fp32. FLOPs of a head: 4 queries
// keys head_dim. For 2 videos of 16 frames, by level of the released network, heads of 64:
//
//   tokens   heads   self FLOPs   bytes    to 77 + 4 keys   blocks (of 128 queries)
//   32x32    5       43 G         84 MB    3.4 G            1280
//   16x16    10      5.4 G        42 MB    1.7 G            640
//   8x8      20      0.7 G        21 MB    0.8 G            640 (of 64)
//
// 500, 130 and 32 FLOPs a byte: the tensor cores count at 32x32, memory elsewhere. Keys and values that all frames
// share (stride 0) are read by every frame from the L2 cache, never repeated in memory.
//
// A warp has 16 rows of the tile, or 32 at heads of 64, where the registers allow it: each fragment of keys or values
// then serves two mma, and reading shared memory (128 bytes a clock) keeps up with the tensor cores. Two stages of keys
// and values: a tile is loaded by cp.async while the one before is computed, with one barrier a tile. Where one tile
// holds all keys there is one stage, and more blocks share a multiprocessor.
//
// Shared memory: attention_tiles.cuh, with C = 4, 6, 8, 10 or 16 chunks a row.
#include "kernels/cuda/attention_tiles.cuh"

constexpr int THREADS = 128, WARPS = THREADS / 32;
constexpr int KEYS = 64;  // a tile of keys: 32 scores a lane and 16 rows; longer ones would not fit beside 128 channels

// Scores of a warp's rows against a tile of keys.
template <class T, int C, int M>
DEVICE void score(float (&s)[M][KEYS / 8][4], const uint32_t (&q)[M][C / 2][4], uint32_t k) {
  int lane = threadIdx.x % 32, row = lane % 8 + lane / 16 * 8;
#pragma unroll
  for (int m = 0; m < M; m++)
#pragma unroll
    for (int n = 0; n < KEYS / 8; n++)
#pragma unroll
      for (int e = 0; e < 4; e++) s[m][n][e] = 0;
#pragma unroll
  for (int step = 0; step < C / 2; step++)
#pragma unroll
    for (int n = 0; n < KEYS / 8; n += 2) {
      uint32_t b[4];
      ldmatrix_x4(b, k + place<C>(8 * n + row, 2 * step + lane / 8 % 2));
#pragma unroll
      for (int m = 0; m < M; m++) {
        mma_m16n8k16<T>(s[m][n], q[m][step], b);
        mma_m16n8k16<T>(s[m][n + 1], q[m][step], b + 2);
      }
    }
}

// Scales the scores (the factor makes them exponents of 2) and hides those without a key or, when causal, behind the
// query. `key` and `row` are the tile's first key and the warp's first row, as this lane sees them.
template <int M>
DEVICE void scale_scores(float (&s)[M][KEYS / 8][4], float factor, bool edge, int key, int keys, int row, bool causal) {
#pragma unroll
  for (int m = 0; m < M; m++)
#pragma unroll
    for (int n = 0; n < KEYS / 8; n++)
#pragma unroll
      for (int e = 0; e < 4; e++) {
        float &v = s[m][n][e];
        v *= factor;
        int column = key + 8 * n + e % 2;
        if (edge && (column >= keys || (causal && column > row + 16 * m + e / 2 * 8))) v = -INFINITY;
      }
}

// Scores to probabilities; rows are spread over four lanes. The sums stay apart until the end. What was gathered so
// far shrinks to the new maximum.
template <int M, int C>
DEVICE void softmax(float (&s)[M][KEYS / 8][4], float (&maximum)[M][2], float (&sum)[M][2], float (&out)[M][C][4]) {
#pragma unroll
  for (int m = 0; m < M; m++)
#pragma unroll
    for (int half = 0; half < 2; half++) {
      float top = maximum[m][half];
#pragma unroll
      for (int n = 0; n < KEYS / 8; n++) top = fmaxf(top, fmaxf(s[m][n][2 * half], s[m][n][2 * half + 1]));
      top = fmaxf(top, __shfl_xor_sync(~0u, top, 1));
      top = fmaxf(top, __shfl_xor_sync(~0u, top, 2));
      float base = softmax_base(top), decay = exp2_fast(maximum[m][half] - base), part = 0;
#pragma unroll
      for (int n = 0; n < KEYS / 8; n++)
#pragma unroll
        for (int e = 2 * half; e < 2 * half + 2; e++) part += s[m][n][e] = exp2_fast(s[m][n][e] - base);
      sum[m][half] = sum[m][half] * decay + part;
      maximum[m][half] = top;
#pragma unroll
      for (int c = 0; c < C; c++)
#pragma unroll
        for (int e = 2 * half; e < 2 * half + 2; e++)
          if (!MUTANT(2)) out[m][c][e] *= decay;
    }
}

// out += probabilities times the values of a tile.
template <class T, int C, int M>
DEVICE void gather(float (&out)[M][C][4], const float (&p)[M][KEYS / 8][4], uint32_t v) {
  int lane = threadIdx.x % 32;
#pragma unroll
  for (int step = 0; step < KEYS / 16; step++) {
    uint32_t a[M][4];
#pragma unroll
    for (int m = 0; m < M; m++)
#pragma unroll
      for (int i = 0; i < 4; i++)
        a[m][i] = pack_two<T>(p[m][2 * step + i / 2][i % 2 * 2], p[m][2 * step + i / 2][i % 2 * 2 + 1]);
#pragma unroll
    for (int c = 0; c < C; c += 2) {
      uint32_t b[4];
      ldmatrix_x4_trans(b,
                        v + (place<C>(16 * step + lane % 16, c + lane / 16) ^ (MUTANT(3) && lane % 8 == 7 ? 16 : 0)));
#pragma unroll
      for (int m = 0; m < M; m++) {
        mma_m16n8k16<T>(out[m][c], a[m], b);
        mma_m16n8k16<T>(out[m][c + 1], a[m], b + 2);
      }
    }
  }
}

// Stores a warp's rows through `shared`, its own rows of the queries' tile, as whole chunks.
template <class T, int C, int M>
DEVICE void store_rows(unsigned char *shared, const float (&out)[M][C][4], const float (&sum)[M][2], T *to,
                       int64_t stride, int first, int rows, int chunks) {
  int lane = threadIdx.x % 32, warp = threadIdx.x / 32 * 16 * M;
  __syncwarp();
#pragma unroll
  for (int m = 0; m < M; m++)
#pragma unroll
    for (int half = 0; half < 2; half++) {
      float total = sum[m][half];
      total += __shfl_xor_sync(~0u, total, 1);
      total += __shfl_xor_sync(~0u, total, 2);
      float factor = 1 / total;
#pragma unroll
      for (int c = 0; c < C; c++)
        *(uint32_t *)(shared + place<C>(warp + 16 * m + 8 * half + lane / 4, c) + lane % 4 * 4) =
            pack_two<T>(out[m][c][2 * half] * factor, out[m][c][2 * half + 1] * factor);
    }
  __syncwarp();
#pragma unroll
  for (int i = 0; i < M * C / 2; i++) {
    int at = i * 32 + lane, row = warp + at / C, chunk = at % C;
    if (first + row < rows && chunk < chunks)
      *(uint4 *)(to + (first + row) * stride + chunk * 8) = *(const uint4 *)(shared + place<C>(row, chunk));
  }
}

// A warp has M times 16 rows; C chunks of 8 channels hold a head.
template <class T, int C, int M>
static __global__ void __launch_bounds__(THREADS) attention_flash_kernel(attention_of<T> a, int tiles) {
  constexpr int ROWS = WARPS * 16 * M, TILE = KEYS * C * 16;  // TILE: bytes of a tile of keys or values
  SHARED_DYNAMIC(shared);                                     // the queries, then two stages of keys and values, or one
  const uint32_t queries = shared_address(shared), stages = queries + ROWS * C * 16;
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32 * 16 * M, chunks = a.head_dim / 8;
  const unsigned index = blockIdx.x / tiles;
  const int first = (int)(blockIdx.x - index * tiles) * ROWS, keys = a.causal ? min(a.keys, first + ROWS) : a.keys;
  const attention_head<T> h = attention_at(a, index);
  const float factor = a.scale * LOG2_E;
  load_rows<T, THREADS, ROWS, C>(queries, h.q, a.q_stride.row, first, a.queries, chunks);
  load_rows<T, THREADS, KEYS, C>(stages, h.k, a.k_stride.row, 0, keys, chunks);
  load_rows<T, THREADS, KEYS, C>(stages + TILE, h.v, a.v_stride.row, 0, keys + MUTANT(1), chunks);
  cp_async_commit();
  uint32_t q[M][C / 2][4];
  float out[M][C][4] = {}, maximum[M][2], sum[M][2] = {};
#pragma unroll
  for (int m = 0; m < M; m++) maximum[m][0] = maximum[m][1] = -INFINITY;
  uint32_t stage = stages;
  for (int key = 0; key < keys; key += KEYS) {
    if (!MUTANT(4)) cp_async_wait<0>();
    if (!MUTANT(5)) __syncthreads();  // this tile is there for all, and all are done with the one before
    uint32_t other = stages + stages + 2 * TILE - stage;
    if (key + KEYS < keys) {
      load_rows<T, THREADS, KEYS, C>(MUTANT(6) ? stage : other, h.k, a.k_stride.row, key + KEYS, keys, chunks);
      load_rows<T, THREADS, KEYS, C>(other + TILE, h.v, a.v_stride.row, key + KEYS, keys + MUTANT(1), chunks);
    }
    cp_async_commit();
    if (key == 0) {
#pragma unroll
      for (int m = 0; m < M; m++)
#pragma unroll
        for (int step = 0; step < C / 2; step++)
          ldmatrix_x4(q[m][step], queries + place<C>(warp + 16 * m + lane % 16, 2 * step + lane / 16));
    }
    float s[M][KEYS / 8][4];
    score<T, C, M>(s, q, stage);
    bool edge = !MUTANT(7) && (key + KEYS > keys || (a.causal && key + KEYS > first + 1));
    scale_scores<M>(s, factor, edge, key + lane % 4 * 2, keys, first + warp + lane / 4, a.causal);
    softmax<M, C>(s, maximum, sum, out);
    gather<T, C, M>(out, s, stage + TILE);
    stage = other;
  }
  cp_async_wait<0>();
  store_rows<T, C, M>(shared, out, sum, h.out, a.out_stride.row, first, a.queries, chunks);
}

template <class T, int C, int M>
static cudaError_t run(const vc_device *d, const vc_attention *op) {
  constexpr int ROWS = WARPS * 16 * M;
  int tiles = (int)((op->queries + ROWS - 1) / ROWS), stages = op->keys > KEYS ? 2 : 1;
  unsigned blocks = (unsigned)(attention_heads(op) * tiles);
  return launch(attention_flash_kernel<T, C, M>, blocks, THREADS, (size_t)(ROWS + stages * 2 * KEYS) * C * 16,
                d->stream, attention_for<T>(op), tiles);
}

template <class T>
static cudaError_t choose(const vc_device *d, const vc_attention *op) {
  if (op->head_dim <= 32) return run<T, 4, 1>(d, op);
  if (op->head_dim <= 48) return run<T, 6, 1>(d, op);
  if (op->head_dim <= 64) {
    bool many = attention_heads(op) * ((op->queries + 127) / 128) >= 2 * d->multiprocessors;
    return op->queries > 64 && many ? run<T, 8, 2>(d, op) : run<T, 8, 1>(d, op);
  }
  return op->head_dim <= 80 ? run<T, 10, 1>(d, op) : run<T, 16, 1>(d, op);
}

extern "C" bool vc_cuda_attention_flash_fits(const vc_attention *op) {
  return op->head_dim <= 128;
}

extern "C" vc_status vc_cuda_attention_flash(vc_device *device, const vc_attention *op, vc_error *error) {
  cudaError_t code = op->dtype == VC_F16 ? choose<__half>(device, op) : choose<__nv_bfloat16>(device, op);
  return vc_cuda_launched(device, VC_OP_ATTENTION, VC_CUDA_MMA, code, error);
}
