// Attention in half precision with mma, for heads of up to 512 channels: the one head of the VAE.
//
// out = softmax(q k' * scale) v. A block has 64 queries and goes through the keys in tiles of 32 with a running maximum
// and sum. A result of 64 x 512 takes the registers of 256 threads (128 each), so the 8 warps share the work in two
// ways: for the scores, warp w has 16 queries and 16 of the keys and goes through all channels; for the result, it has
// all 64 queries and an eighth of the channels. Probabilities pass between the two through shared memory.
//
// 4 queries keys channels FLOPs: 2.1 G a frame of 256x256 pixels (1024 tokens, 16 blocks), 34 G at 512x512. Bytes:
// q, k, v, out once, 4 MB a frame, the keys and values again from L2 for every 64 queries.
//
// Shared memory at 512 channels: queries 64 KB, a tile of keys 32 KB, of values 32 KB, 133 KB in all: fits sm_80's
// 163 KB. Each has one stage: values arrive during the scores, the next keys during the result. Three barriers a tile.
// The scores read 2 fragments for 2 mma, half of what tensor cores could take; tiles of 64 keys would be better at that
// and do not fit.
#include "kernels/cuda/attention_tiles.cuh"

constexpr int THREADS = 256, WARPS = THREADS / 32;
constexpr int ROWS = 64, KEYS = 32;
constexpr int P = KEYS / 8;  // chunks of a row of probabilities

// What the warps tell each other of each row.
struct row_state {
  float maximum[2][ROWS], sum[2][ROWS];  // of either half of a tile's keys
  float decay[ROWS];                     // of what was gathered before this tile
};

// 16 queries against 16 keys; even and odd steps apart, for four sums under way at a time.
template <class T, int C>
DEVICE void score(float (&s)[2][4], uint32_t q, uint32_t k, int row, int key) {
  int lane = threadIdx.x % 32;
  float odd[2][4] = {};
#pragma unroll
  for (int n = 0; n < 2; n++)
#pragma unroll
    for (int e = 0; e < 4; e++) s[n][e] = 0;
#pragma unroll 4
  for (int chunk = 0; chunk < C; chunk += 4) {
#pragma unroll
    for (int half = 0; half < 2; half++) {
      uint32_t a[4], b[4];
      ldmatrix_x4(a, q + place<C>(row + lane % 16, chunk + 2 * half + lane / 16));
      ldmatrix_x4(b, k + place<C>(key + lane % 8 + lane / 16 * 8, chunk + 2 * half + lane / 8 % 2));
#pragma unroll
      for (int n = 0; n < 2; n++) mma_m16n8k16<T>(half ? odd[n] : s[n], a, b + 2 * n);
    }
  }
#pragma unroll
  for (int n = 0; n < 2; n++)
#pragma unroll
    for (int e = 0; e < 4; e++) s[n][e] += odd[n][e];
}

// Scales and hides scores, and tells the largest of each row over this warp's keys. `column` is this lane's first key,
// `row` its first row within the block.
DEVICE void prepare_scores(float (&s)[2][4], float factor, int column, int keys, int first, int row, bool causal,
                           float *maximum) {
#pragma unroll
  for (int half = 0; half < 2; half++) {
    float top = -INFINITY;
#pragma unroll
    for (int n = 0; n < 2; n++)
#pragma unroll
      for (int e = 0; e < 2; e++) {
        float &v = s[n][2 * half + e];
        int key = column + 8 * n + e;
        bool seen = key < keys && (!causal || key <= first + row + 8 * half);
        v = seen || MUTANT(1) ? v * factor : -INFINITY;
        top = fmaxf(top, v);
      }
    top = fmaxf(top, __shfl_xor_sync(~0u, top, 1));
    top = fmaxf(top, __shfl_xor_sync(~0u, top, 2));
    if (threadIdx.x % 4 == 0) maximum[row + 8 * half] = top;
  }
}

// Scores to probabilities, which go to `p`, chunks `chunk` and the one behind.
template <class T>
DEVICE void softmax(float (&s)[2][4], float (&maximum)[2], float (&sum)[2], row_state &rows, unsigned char *p, int row,
                    int chunk) {
#pragma unroll
  for (int half = 0; half < 2; half++) {
    int r = row + 8 * half;
    float top = fmaxf(maximum[half], fmaxf(rows.maximum[0][r], rows.maximum[1][r]));
    if (MUTANT(2)) top = fmaxf(maximum[half], rows.maximum[chunk / 2][r]);
    float base = softmax_base(top), decay = exp2_fast(maximum[half] - base);
    if (threadIdx.x % 4 == 0 && chunk == 0) rows.decay[r] = decay;
    maximum[half] = top;
    sum[half] *= decay;
#pragma unroll
    for (int n = 0; n < 2; n++) {
      float low = exp2_fast(s[n][2 * half] - base), high = exp2_fast(s[n][2 * half + 1] - base);
      sum[half] += low + high;
      *(uint32_t *)(p + place<P>(r, chunk + n) + threadIdx.x % 4 * 4) = pack_two<T>(low, high);
    }
  }
}

// All rows, the channels of chunks first .. first + WIDTH - 1: what was there shrinks, this tile comes in.
template <class T, int C, int WIDTH>
DEVICE void gather(float (&out)[ROWS / 16][WIDTH][4], const float *decay, uint32_t p, uint32_t v, int first) {
  int lane = threadIdx.x % 32;
#pragma unroll
  for (int m = 0; m < ROWS / 16; m++)
#pragma unroll
    for (int half = 0; half < 2; half++) {
      float factor = decay[16 * m + 8 * half + lane / 4];
#pragma unroll
      for (int c = 0; c < WIDTH; c++) {
        out[m][c][2 * half] *= factor;
        out[m][c][2 * half + 1] *= factor;
      }
    }
#pragma unroll
  for (int step = 0; step < KEYS / 16; step++) {
    uint32_t a[ROWS / 16][4];
#pragma unroll
    for (int m = 0; m < ROWS / 16; m++) ldmatrix_x4(a[m], p + place<P>(16 * m + lane % 16, 2 * step + lane / 16));
#pragma unroll
    for (int c = 0; c < WIDTH; c += 2) {
      uint32_t b[4];
      ldmatrix_x4_trans(b, v + place<C>(16 * step + lane % 16, first + c + lane / 16));
#pragma unroll
      for (int m = 0; m < ROWS / 16; m++) {
        mma_m16n8k16<T>(out[m][c], a[m], b);
        mma_m16n8k16<T>(out[m][c + 1], a[m], b + 2);
      }
    }
  }
}

// Divides by the sums and stores, as whole chunks, through the queries' tile. Synchronises the block.
template <class T, int C, int WIDTH>
DEVICE void store_rows(unsigned char *shared, const float (&out)[ROWS / 16][WIDTH][4], const row_state &rows, T *to,
                       int64_t stride, int count, int first, int chunks) {
  int lane = threadIdx.x % 32;
#pragma unroll
  for (int m = 0; m < ROWS / 16; m++)
#pragma unroll
    for (int half = 0; half < 2; half++) {
      int row = 16 * m + 8 * half + lane / 4;
      float factor = 1 / (rows.sum[0][row] + rows.sum[1][row]);
#pragma unroll
      for (int c = 0; c < WIDTH; c++)
        *(uint32_t *)(shared + place<C>(row, first + c) + lane % 4 * 4) =
            pack_two<T>(out[m][c][2 * half] * factor, out[m][c][2 * half + 1] * factor);
    }
  __syncthreads();
  for (int at = threadIdx.x; at < ROWS * C; at += THREADS) {
    int row = at / C, chunk = at % C;
    if (row < count && chunk < chunks)
      *(uint4 *)(to + row * stride + chunk * 8) = *(const uint4 *)(shared + place<C>(row, chunk));
  }
}

template <class T, int C>
static __global__ void __launch_bounds__(THREADS) attention_wide_kernel(attention_of<T> a, int tiles) {
  constexpr int WIDTH = C / WARPS;
  SHARED_DYNAMIC(shared);  // queries, keys, values, probabilities
  SHARED(row_state, rows, );
  unsigned char *memory_p = shared + (ROWS + 2 * KEYS) * C * 16;
  const uint32_t q = shared_address(shared), k = q + ROWS * C * 16, v = k + KEYS * C * 16, p = v + KEYS * C * 16;
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, chunks = a.head_dim / 8;
  const int side = warp / 4, row = warp % 4 * 16;  // of the scores: which keys, which queries
  const unsigned index = blockIdx.x / tiles;
  const int first = (int)(blockIdx.x - index * tiles) * ROWS, keys = a.causal ? min(a.keys, first + ROWS) : a.keys;
  const attention_head<T> h = attention_at(a, index);
  float out[ROWS / 16][WIDTH][4] = {}, maximum[2] = {-INFINITY, -INFINITY}, sum[2] = {};
  load_rows<T, THREADS, ROWS, C>(q, h.q, a.q_stride.row, first, a.queries, chunks);
  load_rows<T, THREADS, KEYS, C>(k, h.k, a.k_stride.row, 0, keys, chunks);
  cp_async_commit();
  for (int key = 0; key < keys; key += KEYS) {
    cp_async_wait<0>();
    if (!MUTANT(3)) __syncthreads();  // these keys are there, and all are done with the values before
    load_rows<T, THREADS, KEYS, C>(v, h.v, a.v_stride.row, key, keys, chunks);
    cp_async_commit();
    float s[2][4];
    score<T, C>(s, q, k, row, 16 * side);
    prepare_scores(s, a.scale * LOG2_E, key + 16 * side + lane % 4 * 2, keys, first, row + lane / 4, a.causal,
                   rows.maximum[side]);
    if (!MUTANT(4)) __syncthreads();  // the maxima are there, and all are done with these keys
    if (key + KEYS < keys) load_rows<T, THREADS, KEYS, C>(k, h.k, a.k_stride.row, key + KEYS, keys, chunks);
    cp_async_commit();
    softmax<T>(s, maximum, sum, rows, memory_p, row + lane / 4, 2 * side);
    if (!MUTANT(5)) cp_async_wait<1>();
    if (!MUTANT(6)) __syncthreads();  // the probabilities and values are there
    gather<T, C, WIDTH>(out, rows.decay, p, v, warp * WIDTH);
  }
  cp_async_wait<0>();
#pragma unroll
  for (int half = 0; half < 2; half++) {
    float total = sum[half];
    total += __shfl_xor_sync(~0u, total, 1);
    total += __shfl_xor_sync(~0u, total, 2);
    if (lane % 4 == 0) rows.sum[side][row + lane / 4 + 8 * half] = total;
  }
  __syncthreads();
  store_rows<T, C, WIDTH>(shared, out, rows, h.out + first * a.out_stride.row, a.out_stride.row, a.queries - first,
                          warp * WIDTH, chunks);
}

template <class T, int C>
static cudaError_t run(const vc_device *d, const vc_attention *op) {
  int tiles = (int)((op->queries + ROWS - 1) / ROWS);
  unsigned blocks = (unsigned)(attention_heads(op) * tiles);
  size_t bytes = (size_t)(ROWS + 2 * KEYS) * C * 16 + (size_t)ROWS * P * 16;
  return launch(attention_wide_kernel<T, C>, blocks, THREADS, bytes, d->stream, attention_for<T>(op), tiles);
}

template <class T>
static cudaError_t choose(const vc_device *d, const vc_attention *op) {
  return op->head_dim <= 256 ? run<T, 32>(d, op) : run<T, 64>(d, op);
}

extern "C" bool vc_cuda_attention_wide_fits(const vc_attention *op) {
  return op->head_dim <= 512;
}

extern "C" vc_status vc_cuda_attention_wide(vc_device *device, const vc_attention *op, vc_error *error) {
  cudaError_t code = op->dtype == VC_F16 ? choose<__half>(device, op) : choose<__nv_bfloat16>(device, op);
  return vc_cuda_launched(device, VC_OP_ATTENTION, VC_CUDA_MMA, code, error);
}
