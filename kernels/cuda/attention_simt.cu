// Attention in fp32 on ordinary cores: any head, stride and alignment, any dtype.
//
// out = softmax(q k' * scale) v of one head, in tiles of TILE queries by TILE keys with a running maximum and sum. The
// scores of a tile gather DEPTH channels at a time; a block makes at most WIDE channels of the result, so that they
// stay in registers, and wider heads are cut into slices that each compute the scores again.
//
// FLOPs: 2 queries keys head_dim (slices + 1) a head; f32 networks run here (CLIP: 77 and 257 tokens, heads of 64 and
// 80; MiDaS: 577 tokens, heads of 64; the VAE: 1024 tokens, one head of 512), and half precision where rows are not
// whole 16 bytes. Two tiles: 64 x 64 for 256 threads, 4 x 4 scores each: 4 + 1 loads from shared memory of 16
// multiply-adds; 16 x 16 for 64 threads where there are no more than 16 queries (the frames of a pixel), which would
// leave three quarters of the other empty.
//
// Banks: thread (y, x) of TILE / 4 by 16 has rows 4 y .. 4 y + 3 and keys x + 16 j. Tiles have a pitch of TILE + 4, an
// odd multiple of 4, so that 8 neighbouring lines begin in 8 different groups of 4 banks. Channel-major tiles are
// filled by warps of 8 channels by 4 rows, each in a bank of its own, and read as four rows at once (one address a
// half-warp) and 16 neighbouring keys. The probabilities, key-major, are written as four rows of 8 neighbouring keys at
// a time.
#include "kernels/cuda/attention.cuh"

constexpr int DEPTH = 16;       // channels of q and k in shared memory at a time
constexpr int VALUE_KEYS = 16;  // keys whose values are in shared memory at a time

// Rows first .. first + ROWS - 1 of channels from .. from + DEPTH - 1, channel-major; zeros beyond the ends.
template <class T, int ROWS, int PITCH>
DEVICE void load_channels(float (*to)[PITCH], const T *x, int64_t stride, int first, int rows, int from, int channels) {
  for (int i = threadIdx.x; i < ROWS * DEPTH; i += blockDim.x) {
    int d = i % 8 + i / (8 * ROWS) * 8, row = i / 8 % ROWS;
    bool valid = first + row < rows && from + d < channels;
    to[d][row] = valid ? to_float(x[(first + row) * stride + from + d]) : 0.0f;
  }
}

template <class T, int WIDE>
DEVICE void load_values(float (*to)[WIDE], const T *v, int64_t stride, int first, int keys, int from, int channels) {
  for (int i = threadIdx.x; i < VALUE_KEYS * WIDE; i += blockDim.x) {
    int d = i % WIDE, row = i / WIDE;
    bool valid = first + row < keys && from + d < channels;
    to[row][d] = valid ? to_float(v[(first + row) * stride + from + d]) : 0.0f;
  }
}

// The scores' softmax over the 16 threads of each row: scores become probabilities, and what was gathered before
// must be multiplied by decay.
template <int COLUMNS>
DEVICE void softmax_rows(float (&s)[4][COLUMNS], float (&maximum)[4], float (&sum)[4], float (&decay)[4]) {
#pragma unroll
  for (int i = 0; i < 4; i++) {
    float top = maximum[i];
#pragma unroll
    for (int j = 0; j < COLUMNS; j++) top = fmaxf(top, s[i][j]);
#pragma unroll
    for (int step = MUTANT(1) ? 4 : 8; step; step >>= 1) top = fmaxf(top, __shfl_xor_sync(~0u, top, step));
    float base = softmax_base(top), part = 0;
    decay[i] = expf(maximum[i] - base);
#pragma unroll
    for (int j = 0; j < COLUMNS; j++) part += s[i][j] = expf(s[i][j] - base);
    sum[i] = (MUTANT(2) ? sum[i] : sum[i] * decay[i]) + part;
    maximum[i] = top;
  }
}

// DEPTH channels of four rows against x, x + 16, ...
template <int COLUMNS, int PITCH>
DEVICE void score(float (&s)[4][COLUMNS], const float (*q)[PITCH], const float (*k)[PITCH], int x, int y) {
#pragma unroll
  for (int c = 0; c < DEPTH; c++) {
    float4 four = *(const float4 *)&q[c][4 * y];
#pragma unroll
    for (int j = 0; j < COLUMNS; j++) {
      float other = k[c][x + 16 * j];
      s[0][j] += four.x * other;
      s[1][j] += four.y * other;
      s[2][j] += four.z * other;
      s[3][j] += four.w * other;
    }
  }
}

// VALUE_KEYS keys for four rows and four channels out of every 64.
template <int WIDE, int PITCH>
DEVICE void gather(float (&out)[4][WIDE / 16], const float (*p)[PITCH], const float (*v)[WIDE], int x, int y) {
#pragma unroll
  for (int r = 0; r < VALUE_KEYS; r++) {
    float4 weight = *(const float4 *)&p[r][4 * y];
    const float w[4] = {weight.x, weight.y, weight.z, weight.w};
#pragma unroll
    for (int c = 0; c < WIDE / 64; c++) {
      float4 value = *(const float4 *)&v[r][4 * x + 64 * c];
      const float u[4] = {value.x, value.y, value.z, value.w};
#pragma unroll
      for (int i = 0; i < 4; i++)
#pragma unroll
        for (int e = 0; e < 4; e++) out[i][4 * c + e] += w[i] * u[e];
    }
  }
}

// Divides four rows by their sums, which are spread over 16 threads, and stores them.
template <class T, int WIDE>
DEVICE void store_rows(T *to, int64_t stride, const float (&out)[4][WIDE / 16], const float (&sum)[4], int rows,
                       int column, int channels) {
#pragma unroll
  for (int i = 0; i < 4; i++) {
    float total = sum[i];
#pragma unroll
    for (int step = 8; step; step >>= 1) total += __shfl_xor_sync(~0u, total, step);
    if (i >= rows) continue;
    float factor = 1 / total;
#pragma unroll
    for (int c = 0; c < WIDE / 16; c++) {
      int d = column + c / 4 * 64 + c % 4;
      if (d < channels) to[i * stride + d] = from_float<T>(out[i][c] * factor);
    }
  }
}

// Thread (y, x): rows 4 y .. 4 y + 3 of the tile; its keys are x + 16 j, its channels 4 x + 64 j and the three behind.
template <class T, int TILE, int WIDE>
static __global__ void __launch_bounds__(TILE * 4) attention_simt_kernel(attention_of<T> a, int tiles, int slices) {
  constexpr int COLUMNS = TILE / 16, PITCH = TILE + 4;
  SHARED(float, q, [DEPTH][PITCH]);
  SHARED(float, k, [DEPTH][PITCH]);
  SHARED(float, p, [TILE][PITCH]);
  SHARED(float, v, [VALUE_KEYS][WIDE]);
  unsigned index = blockIdx.x / (tiles * slices), part = blockIdx.x - index * (tiles * slices);
  int first = part / slices * TILE, from = part % slices * WIDE;
  attention_head<T> h = attention_at(a, index);
  int x = threadIdx.x % 16, y = threadIdx.x / 16, row = first + 4 * y;
  int keys = a.causal ? min(a.keys, first + TILE) : a.keys;
  float out[4][WIDE / 16] = {}, maximum[4], sum[4] = {}, decay[4];
#pragma unroll
  for (int i = 0; i < 4; i++) maximum[i] = -INFINITY;
  for (int key = 0; key < keys; key += TILE) {
    float s[4][COLUMNS] = {};
    for (int d = 0; d < a.head_dim; d += DEPTH) {
      load_channels<T, TILE, PITCH>(q, h.q, a.q_stride.row, first, a.queries, d, a.head_dim);
      load_channels<T, TILE, PITCH>(k, h.k, a.k_stride.row, key, keys, d, a.head_dim);
      __syncthreads();
      score<COLUMNS, PITCH>(s, q, k, x, y);
      if (!MUTANT(3)) __syncthreads();
    }
#pragma unroll
    for (int i = 0; i < 4; i++)
#pragma unroll
      for (int j = 0; j < COLUMNS; j++) {
        int column = key + x + 16 * j;
        bool seen = column < keys + MUTANT(4) && (!a.causal || column <= row + i + MUTANT(5));
        s[i][j] = seen ? s[i][j] * a.scale : -INFINITY;
      }
    softmax_rows(s, maximum, sum, decay);
#pragma unroll
    for (int j = 0; j < COLUMNS; j++)
      *(float4 *)&p[x + 16 * j][4 * y] = make_float4(s[0][j], s[1][j], s[2][j], s[3][j]);
#pragma unroll
    for (int i = 0; i < 4; i++)
#pragma unroll
      for (int c = 0; c < WIDE / 16; c++) out[i][c] *= decay[i];
    for (int step = 0; step < TILE && key + step < keys; step += VALUE_KEYS) {
      load_values<T, WIDE>(v, h.v, a.v_stride.row, key + step, keys, from, a.head_dim);
      __syncthreads();  // of the first step also: the probabilities are there
      gather<WIDE, PITCH>(out, p + step, v, x, y);
      __syncthreads();
    }
  }
  store_rows<T, WIDE>(h.out + row * a.out_stride.row, a.out_stride.row, out, sum, a.queries - row, from + 4 * x,
                      a.head_dim);
}

template <class T, int TILE, int WIDE>
static cudaError_t run(const vc_device *d, const vc_attention *op) {
  int tiles = (int)((op->queries + TILE - 1) / TILE), slices = (int)((op->head_dim + WIDE - 1) / WIDE);
  unsigned blocks = (unsigned)(attention_heads(op) * tiles * slices);
  return launch(attention_simt_kernel<T, TILE, WIDE>, blocks, TILE * 4, 0, d->stream, attention_for<T>(op), tiles,
                slices);
}

template <class T>
static cudaError_t choose(const vc_device *d, const vc_attention *op) {
  if (op->queries <= 16) return op->head_dim <= 64 ? run<T, 16, 64>(d, op) : run<T, 16, 128>(d, op);
  return op->head_dim <= 64 ? run<T, 64, 64>(d, op) : run<T, 64, 128>(d, op);
}

extern "C" vc_status vc_cuda_attention_simt(vc_device *device, const vc_attention *op, vc_error *error) {
  cudaError_t code = op->dtype == VC_F16    ? choose<__half>(device, op)
                     : op->dtype == VC_BF16 ? choose<__nv_bfloat16>(device, op)
                                            : choose<float>(device, op);
  return vc_cuda_launched(device, VC_OP_ATTENTION, VC_CUDA_SIMT, code, error);
}
