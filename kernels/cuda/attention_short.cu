// Attention of short sequences in half precision: the frames of a pixel (temporal attention), or the 16 tokens of a
// 4x4 frame. A warp does one head of one sequence; nothing passes through shared memory.
//
// out = softmax(q k' * scale) v, m16n8k16 with fp32 sums. What must be moved is q, k, v and out, each once, straight
// from and to the channels-last tensor, where the frames of a pixel lie h w c apart: no transposed copy. For 2 videos
// of 16 frames, by level of the released network:
//
//   pixels    heads of 64    bytes     FLOPs
//   32x32     5              84 MB     0.7 G
//   16x16     10             42 MB     0.3 G
//   8x8       20             21 MB     0.2 G
//   4x4       20             5 MB      0.04 G
//
// 8 FLOPs a byte: only the memory counts. Neighbouring warps do neighbouring heads, then neighbouring pixels, so that
// a block reads whole runs of channels. Every load and store is a 16-byte chunk (8 channels) of a lane; the fragments
// of mma are made so that a chunk is one by itself. With lane = 4 g + t:
//
//   q, k   The sum over channels may be taken in any order, if it is the same for both. Lane t of a row has chunk
//          4 s + t: its first half serves as columns 2 t, 2 t + 1, 2 t + 8, 2 t + 9 of one step of 16 channels, its
//          second half as those of the next. Four lanes read 64 bytes of a row.
//   v      Lane (g, t) needs keys 2 t, 2 t + 1, 2 t + 8, 2 t + 9 of column g of each tile of 8 channels. It reads one
//          chunk of these four rows, and element e of that chunk is what it has in tile e: column g of tile e stands
//          for channel 8 chunk(g) + e. Eight lanes read 128 bytes of a row.
//   out    So lane (g, t) ends with columns 2 t and 2 t + 1 of tiles 0 .. 7: two whole chunks of row g and two of row
//          g + 8. chunk(g) = g / 2 + 4 (g % 2) makes the first of them t and the second t + 4: four lanes write 64
//          bytes of a row.
//
// Heads of 8 to 128 channels: chunks beyond the head are zero and not stored. Rows beyond the sequence are zero,
// their scores as keys are hidden. Registers end it: q, k, v and out of 16 rows of 128 channels or 32 rows of 64;
// longer sequences are the flash kernel's.
#include "kernels/cuda/attention.cuh"

constexpr int WARPS = 4;

// Where column g of a tile of the result lies among the 8 chunks of 64 channels.
DEVICE int column_chunk(int g) {
  return MUTANT(1) ? g : g / 2 + g % 2 * 4;
}

template <class T>
DEVICE uint4 load_chunk(const T *row, int chunk, bool valid) {
  return valid ? *(const uint4 *)(row + chunk * 8) : make_uint4(0, 0, 0, 0);
}

// Half `half` of two words as one word: `low` in the lower half.
DEVICE uint32_t pick(uint32_t low, uint32_t high, int half) {
  return half ? (low >> 16) | (high & 0xffff0000u) : (low & 0xffffu) | (high << 16);
}

DEVICE uint32_t word(const uint4 &v, int i) {
  return i == 0 ? v.x : i == 1 ? v.y : i == 2 ? v.z : v.w;
}

// Scores of 16 queries, hidden where there is no key, to probabilities; `sum` of rows g and g + 8.
template <int TILES>
DEVICE void softmax_tile(float (&s)[TILES][4], float scale, int row, int t, int keys, bool causal, float (&sum)[2]) {
#pragma unroll
  for (int half = 0; half < 2; half++) {
    float top = -INFINITY;
#pragma unroll
    for (int n = 0; n < TILES; n++)
#pragma unroll
      for (int e = 0; e < 2; e++) {
        float &v = s[n][2 * half + e];
        int key = 8 * n + 2 * t + e;
        bool seen = (key < keys || MUTANT(2)) && (!causal || key <= row + 8 * half);
        v = seen ? v * scale : -INFINITY;
        top = fmaxf(top, v);
      }
    top = fmaxf(top, __shfl_xor_sync(~0u, top, 1));
    top = fmaxf(top, __shfl_xor_sync(~0u, top, MUTANT(3) ? 1 : 2));
    float base = softmax_base(top), part = 0;
#pragma unroll
    for (int n = 0; n < TILES; n++)
#pragma unroll
      for (int e = 0; e < 2; e++) part += s[n][2 * half + e] = exp2_fast(s[n][2 * half + e] - base);
    part += __shfl_xor_sync(~0u, part, 1);
    sum[half] = part + __shfl_xor_sync(~0u, part, 2);
  }
}

// ROWS: 16-row tiles that hold all queries and all keys; GROUPS: of 64 channels.
template <class T, int ROWS, int GROUPS>
static __global__ void __launch_bounds__(WARPS * 32) attention_short_kernel(attention_of<T> a, unsigned heads) {
  unsigned index = blockIdx.x * WARPS + threadIdx.x / 32;
  if (index >= heads) return;
  int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4, chunks = a.head_dim / 8;
  attention_head<T> h = attention_at(a, index);
  uint4 k[2 * ROWS][2 * GROUPS], v[ROWS][4][GROUPS];
#pragma unroll
  for (int n = 0; n < 2 * ROWS; n++)
#pragma unroll
    for (int s = 0; s < 2 * GROUPS; s++)
      k[n][s] = load_chunk(h.k + (8 * n + g) * a.k_stride.row, 4 * s + t, 8 * n + g < a.keys && 4 * s + t < chunks);
#pragma unroll
  for (int n = 0; n < ROWS; n++)
#pragma unroll
    for (int i = 0; i < 4; i++)
#pragma unroll
      for (int s = 0; s < GROUPS; s++) {
        int row = 16 * n + 2 * t + i % 2 + i / 2 * 8, chunk = 8 * s + column_chunk(g);
        v[n][i][s] = load_chunk(h.v + row * a.v_stride.row, chunk, row < a.keys && chunk < chunks);
      }
#pragma unroll
  for (int m = 0; m < ROWS; m++) {
    int row = 16 * m + g;
    if (16 * m >= a.queries) break;
    float score[2 * ROWS][4] = {}, sum[2], out[GROUPS][8][4] = {};
#pragma unroll
    for (int s = 0; s < 2 * GROUPS; s++) {
      bool valid = 4 * s + t < chunks;
      uint4 low = load_chunk(h.q + row * a.q_stride.row, 4 * s + t, valid && row < a.queries);
      uint4 high = load_chunk(h.q + (row + 8) * a.q_stride.row, 4 * s + t, valid && row + 8 < a.queries);
      const uint32_t first[4] = {low.x, high.x, low.y, high.y}, second[4] = {low.z, high.z, low.w, high.w};
#pragma unroll
      for (int n = 0; n < 2 * ROWS; n++) {
        const uint32_t b[4] = {k[n][s].x, k[n][s].y, k[n][s].z, k[n][s].w};
        mma_m16n8k16<T>(score[n], first, b);
        mma_m16n8k16<T>(score[n], second, MUTANT(4) ? b : b + 2);
      }
    }
    softmax_tile<2 * ROWS>(score, a.scale * 1.4426950408889634f, row, t, a.keys, a.causal, sum);
#pragma unroll
    for (int n = 0; n < ROWS; n++) {
      const float *even = score[2 * n], *odd = score[2 * n + 1];
      const uint32_t p[4] = {pack_two<T>(even[0], even[1]), pack_two<T>(even[2], even[3]), pack_two<T>(odd[0], odd[1]),
                             pack_two<T>(odd[2], odd[3])};
#pragma unroll
      for (int s = 0; s < GROUPS; s++)
#pragma unroll
        for (int e = 0; e < 8; e++) {
          const uint32_t b[2] = {pick(word(v[n][0][s], e / 2), word(v[n][1][s], e / 2), e % 2),
                                 pick(word(v[n][2][s], e / 2), word(v[n][3][s], e / 2), e % 2)};
          mma_m16n8k16<T>(out[s][e], p, b);
        }
    }
#pragma unroll
    for (int i = 0; i < 4; i++) {
      int to = row + i / 2 * 8;
      float factor = 1 / sum[i / 2];
#pragma unroll
      for (int s = 0; s < GROUPS; s++) {
        int chunk = 8 * s + t + i % 2 * 4;
        float values[8];
#pragma unroll
        for (int e = 0; e < 8; e++) values[e] = out[s][e][i] * factor;
        if (to < a.queries + MUTANT(5) && chunk < chunks)
          store_floats<T, 8>(h.out + to * a.out_stride.row + chunk * 8, values);
      }
    }
  }
}

template <class T, int ROWS, int GROUPS>
static cudaError_t run(const vc_device *d, const vc_attention *op) {
  unsigned heads = (unsigned)attention_heads(op);
  return launch(attention_short_kernel<T, ROWS, GROUPS>, (heads + WARPS - 1) / WARPS, WARPS * 32, 0, d->stream,
                attention_for<T>(op), heads);
}

template <class T>
static cudaError_t choose(const vc_device *d, const vc_attention *op) {
  if (op->queries > 16 || op->keys > 16) return run<T, 2, 1>(d, op);
  return op->head_dim <= 64 ? run<T, 1, 1>(d, op) : run<T, 1, 2>(d, op);
}

extern "C" bool vc_cuda_attention_short_fits(const vc_attention *op) {
  int64_t rows = op->queries > op->keys ? op->queries : op->keys;
  return (rows <= 16 && op->head_dim <= 128) || (rows <= 32 && op->head_dim <= 64);
}

extern "C" vc_status vc_cuda_attention_short(vc_device *device, const vc_attention *op, vc_error *error) {
  cudaError_t code = op->dtype == VC_F16 ? choose<__half>(device, op) : choose<__nv_bfloat16>(device, op);
  return vc_cuda_launched(device, VC_OP_ATTENTION, VC_CUDA_MMA, code, error);
}
