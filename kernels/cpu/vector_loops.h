// The body of vector_generic.c, vector_avx2.c and the others, which define TABLE, NAME and LANES (floats in a register;
// ROUND_BF16 and PRODUCT_BF16 where there are instructions for them) and are compiled with the flags of their
// instruction set. Plain loops that the compiler vectorises, except for the product, whose accumulators have to stay in
// registers: that one is written with vector types.
#include <stddef.h>
#include <string.h>

#include "kernels/cpu/math.h"
#include "kernels/cpu/vector.h"

#ifdef __clang__
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

typedef float vec __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef float four __attribute__((vector_size(16), aligned(4), may_alias));

static void activate(float *out, const float *x, const float *shift, vc_activation activation, const float *residual,
                     int64_t count) {
#define LOOP(value)                                   \
  if (residual) {                                     \
    INDEPENDENT for (int64_t i = 0; i < count; i++) { \
      float v = x[i] + shift[i];                      \
      out[i] = (value) + residual[i];                 \
    }                                                 \
  } else {                                            \
    INDEPENDENT for (int64_t i = 0; i < count; i++) { \
      float v = x[i] + shift[i];                      \
      out[i] = (value);                               \
    }                                                 \
  }                                                   \
  break
  switch (activation) {
    case VC_ACT_SILU:
      LOOP(cpu_silu(v));
    case VC_ACT_GELU:
      LOOP(cpu_gelu(v));
    case VC_ACT_RELU:
      LOOP(v < 0.0f ? 0.0f : v);  // in this order a NaN stays
    case VC_ACT_SIGMOID:
      LOOP(cpu_sigmoid(v));
    default:
      LOOP(v);
  }
#undef LOOP
}

static void geglu(float *out, const float *value, const float *value_shift, const float *gate, const float *gate_shift,
                  const float *residual, int64_t count) {
  if (residual) {
    INDEPENDENT for (int64_t i = 0; i < count; i++) {
      out[i] = (value[i] + value_shift[i]) * cpu_gelu(gate[i] + gate_shift[i]) + residual[i];
    }
  } else {
    INDEPENDENT for (int64_t i = 0; i < count; i++) {
      out[i] = (value[i] + value_shift[i]) * cpu_gelu(gate[i] + gate_shift[i]);
    }
  }
}

static void column_sums(const float *x, int64_t rows, int64_t stride, const float *center, float *sum, float *square,
                        int64_t c) {
  for (int64_t i = 0; i < c; i++) sum[i] = square[i] = 0;
  for (int64_t r = 0; r < rows; r++, x += stride) {
    INDEPENDENT for (int64_t i = 0; i < c; i++) {
      float d = x[i] - center[i];
      sum[i] += d;
      square[i] += d * d;
    }
  }
}

static void normalize(float *out, const float *x, const float *center, const float *scale, const float *shift,
                      bool silu, int64_t count) {
  if (silu) {
    INDEPENDENT for (int64_t i = 0; i < count; i++) out[i] = cpu_silu((x[i] - center[i]) * scale[i] + shift[i]);
  } else {
    INDEPENDENT for (int64_t i = 0; i < count; i++) out[i] = (x[i] - center[i]) * scale[i] + shift[i];
  }
}

// The sum of the lanes, in pairs: its rounding errors grow with their logarithm, and short rows do not wait for it.
static inline double lane_sum(const vec *v) {
  const four *part = (const four *)v;
  four sum = part[0];
  UNROLL for (int i = 1; i < LANES / 4; i++) sum += part[i];
  return ((double)sum[0] + (double)sum[2]) + ((double)sum[1] + (double)sum[3]);
}

// Sum and sum of squares of x - center over a row.
static void row_sums(const float *x, int64_t c, float center, double *sum, double *square) {
  vec s[2] = {{0}}, q[2] = {{0}};
  int64_t i = 0;
  for (; i + 2 * LANES <= c; i += 2 * LANES) {
    UNROLL for (int j = 0; j < 2; j++) {
      vec d = *(const vec *)(x + i + j * LANES) - center;
      s[j] += d;
      q[j] += d * d;
    }
  }
  for (; i + LANES <= c; i += LANES) {
    vec d = *(const vec *)(x + i) - center;
    s[0] += d;
    q[0] += d * d;
  }
  s[0] += s[1];
  q[0] += q[1];
  *sum = lane_sum(&s[0]);
  *square = lane_sum(&q[0]);
  for (; i < c; i++) {
    double d = (double)(x[i] - center);
    *sum += d;
    *square += d * d;
  }
}

static void layer_norm(float *out, const float *x, const float *gamma, const float *beta, float eps, int64_t c) {
  double sum, square;
  row_sums(x, c, 0, &sum, &square);
  float center = (float)(sum / (double)c);
  row_sums(x, c, center, &sum, &square);  // sum is now what the rounding of the center left over
  double rest = sum / (double)c;
  double variance = square / (double)c - rest * rest;
  float scale = (float)(1.0 / __builtin_sqrt((variance < 0 ? 0 : variance) + (double)eps));
  float left = (float)rest;
  INDEPENDENT for (int64_t i = 0; i < c; i++) out[i] = ((x[i] - center) - left) * scale * gamma[i] + beta[i];
}

// mr rows by nv registers of c; both are constants where this is inlined, so that the accumulators are registers.
static inline __attribute__((always_inline)) void tile(int mr, int nv, int64_t k, const float *a, int64_t a_row,
                                                       int64_t a_column, const float *b, int64_t ldb, float *c,
                                                       int64_t ldc, bool accumulate) {
  vec sum[8][2];
  UNROLL for (int i = 0; i < mr; i++) {
    UNROLL for (int j = 0; j < nv; j++) {
      sum[i][j] = accumulate ? *(const vec *)(c + i * ldc + j * LANES) : (vec){0};
    }
  }
  for (int64_t p = 0; p < k; p++) {
    UNROLL for (int i = 0; i < mr; i++) {
      float value = a[i * a_row + p * a_column];
      UNROLL for (int j = 0; j < nv; j++) sum[i][j] += value * *(const vec *)(b + p * ldb + j * LANES);
    }
  }
  UNROLL for (int i = 0; i < mr; i++) {
    UNROLL for (int j = 0; j < nv; j++) * (vec *)(c + i * ldc + j * LANES) = sum[i][j];
  }
}

static inline __attribute__((always_inline)) void tile_column(int nv, int64_t m, int64_t k, const float *a,
                                                              int64_t a_row, int64_t a_column, const float *b,
                                                              int64_t ldb, float *c, int64_t ldc, bool accumulate) {
  enum { ROWS = LANES == 16 ? 8 : 4 };
  int64_t i = 0;
  for (; i + ROWS <= m; i += ROWS)
    tile(ROWS, nv, k, a + i * a_row, a_row, a_column, b, ldb, c + i * ldc, ldc, accumulate);
  for (; i < m; i++) tile(1, nv, k, a + i * a_row, a_row, a_column, b, ldb, c + i * ldc, ldc, accumulate);
}

static void product(int64_t m, int64_t n, int64_t k, const float *a, int64_t a_row, int64_t a_column, const float *b,
                    int64_t ldb, float *c, int64_t ldc, bool accumulate) {
  int64_t j = 0;
  for (; j + 2 * LANES <= n; j += 2 * LANES)
    tile_column(2, m, k, a, a_row, a_column, b + j, ldb, c + j, ldc, accumulate);
  for (; j < n; j += LANES) tile_column(1, m, k, a, a_row, a_column, b + j, ldb, c + j, ldc, accumulate);
}

// The maximum leaves a NaN out; it comes back through the exponential. decay holds the old maximum on the way.
static void softmax(float *s, int64_t rows, int64_t n, float *maximum, float *sum, float *decay) {
  for (int64_t j = 0; j < n; j++) decay[j] = maximum[j];
  for (int64_t r = 0; r < rows; r++) {
    const float *row = s + r * n;
    INDEPENDENT for (int64_t j = 0; j < n; j++) maximum[j] = row[j] > maximum[j] ? row[j] : maximum[j];
  }
  INDEPENDENT for (int64_t j = 0; j < n; j++) {
    decay[j] = cpu_exp(decay[j] - maximum[j]);
    sum[j] *= decay[j];
  }
  for (int64_t r = 0; r < rows; r++) {
    float *row = s + r * n;
    INDEPENDENT for (int64_t j = 0; j < n; j++) {
      float e = cpu_exp(row[j] - maximum[j]);
      row[j] = e;
      sum[j] += e;
    }
  }
}

static void transpose(float *out, int64_t n, const float *x, int64_t rows, int64_t stride, int64_t c, float scale) {
  int64_t whole_rows = rows / 4 * 4, whole = c / 4 * 4;
  for (int64_t i = 0; i < whole_rows; i += 4)
    for (int64_t p = 0; p < whole; p += 4) {
      const float *from = x + i * stride + p;
      four a = *(const four *)from, b = *(const four *)(from + stride);
      four e = *(const four *)(from + 2 * stride), f = *(const four *)(from + 3 * stride);
      four ab = __builtin_shufflevector(a, b, 0, 4, 1, 5), ab2 = __builtin_shufflevector(a, b, 2, 6, 3, 7);
      four ef = __builtin_shufflevector(e, f, 0, 4, 1, 5), ef2 = __builtin_shufflevector(e, f, 2, 6, 3, 7);
      float *to = out + p * n + i;
      *(four *)to = __builtin_shufflevector(ab, ef, 0, 1, 4, 5) * scale;
      *(four *)(to + n) = __builtin_shufflevector(ab, ef, 2, 3, 6, 7) * scale;
      *(four *)(to + 2 * n) = __builtin_shufflevector(ab2, ef2, 0, 1, 4, 5) * scale;
      *(four *)(to + 3 * n) = __builtin_shufflevector(ab2, ef2, 2, 3, 6, 7) * scale;
    }
  for (int64_t i = 0; i < rows; i++)
    for (int64_t p = i < whole_rows ? whole : 0; p < c; p++) out[p * n + i] = x[i * stride + p] * scale;
}

static void scale_values(float *out, const float *x, float factor, int64_t count) {
  INDEPENDENT for (int64_t i = 0; i < count; i++) out[i] = x[i] * factor;
}

static void depthwise(float *out, const float *const *x, const float *w, int64_t ldw, int64_t taps, int64_t c) {
  for (int64_t i = 0; i < c; i++) out[i] = 0;
  for (int64_t t = 0; t < taps; t++) {
    const float *row = x[t], *weight = w + t * ldw;
    if (!row) continue;
    INDEPENDENT for (int64_t i = 0; i < c; i++) out[i] += row[i] * weight[i];
  }
}

// u = G w G', with G = [1 0 0; 1/2 1/2 1/2; 1/2 -1/2 1/2; 0 0 1]
static void winograd_weight(float *u, int64_t u_step, const float *w, int64_t w_step, int64_t count) {
  INDEPENDENT for (int64_t i = 0; i < count; i++) {
    float row[4][3];
    UNROLL for (int x = 0; x < 3; x++) {
      float a = w[x * w_step + i], b = w[(3 + x) * w_step + i], c = w[(6 + x) * w_step + i];
      row[0][x] = a;
      row[1][x] = 0.5f * (a + b + c);
      row[2][x] = 0.5f * (a - b + c);
      row[3][x] = c;
    }
    UNROLL for (int y = 0; y < 4; y++) {
      float a = row[y][0], b = row[y][1], c = row[y][2];
      u[4 * y * u_step + i] = a;
      u[(4 * y + 1) * u_step + i] = 0.5f * (a + b + c);
      u[(4 * y + 2) * u_step + i] = 0.5f * (a - b + c);
      u[(4 * y + 3) * u_step + i] = c;
    }
  }
}

// v = B' d B, with B' = [1 0 -1 0; 0 1 1 0; 0 -1 1 0; 0 1 0 -1]
static void winograd_input(float *v, int64_t v_step, const float *const pixel[16], int64_t count) {
  INDEPENDENT for (int64_t i = 0; i < count; i++) {
    float row[4][4];
    UNROLL for (int x = 0; x < 4; x++) {
      float a = pixel[x][i], b = pixel[4 + x][i], c = pixel[8 + x][i], d = pixel[12 + x][i];
      row[0][x] = a - c;
      row[1][x] = b + c;
      row[2][x] = c - b;
      row[3][x] = b - d;
    }
    UNROLL for (int y = 0; y < 4; y++) {
      float a = row[y][0], b = row[y][1], c = row[y][2], d = row[y][3];
      v[4 * y * v_step + i] = a - c;
      v[(4 * y + 1) * v_step + i] = b + c;
      v[(4 * y + 2) * v_step + i] = c - b;
      v[(4 * y + 3) * v_step + i] = b - d;
    }
  }
}

// y = A' m A, with A' = [1 1 1 0; 0 1 -1 -1]
static void winograd_output(float *const out[4], const float *m, int64_t m_step, int64_t count) {
  float *to0 = out[0], *to1 = out[1], *to2 = out[2], *to3 = out[3];
  INDEPENDENT for (int64_t i = 0; i < count; i++) {
    float row[2][4];
    UNROLL for (int x = 0; x < 4; x++) {
      float a = m[x * m_step + i], b = m[(4 + x) * m_step + i], c = m[(8 + x) * m_step + i];
      row[0][x] = a + b + c;
      row[1][x] = b - c - m[(12 + x) * m_step + i];
    }
    to0[i] = row[0][0] + row[0][1] + row[0][2];
    to1[i] = row[0][1] - row[0][2] - row[0][3];
    to2[i] = row[1][0] + row[1][1] + row[1][2];
    to3[i] = row[1][1] - row[1][2] - row[1][3];
  }
}

#ifdef __F16C__
#include <immintrin.h>
static void half_to_float(float *out, const void *in, int64_t count) {
  const char *from = in;
  int64_t i = 0;
  for (; i + 8 <= count; i += 8)
    _mm256_storeu_ps(out + i, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(from + 2 * i))));
  vc_to_float(out + i, from + 2 * i, VC_F16, (size_t)(count - i));
}
#else
static void half_to_float(float *out, const void *in, int64_t count) {
  vc_to_float(out, in, VC_F16, (size_t)count);
}
#endif

// Bit patterns: half of the last place that stays, less one where the rest is to win at a tie. A NaN stays one.
#ifndef ROUND_BF16
#define ROUND_BF16 round_bf16
#define PRODUCT_BF16 NULL
static void round_bf16(uint16_t *out, const float *x, int64_t count) {
  INDEPENDENT for (int64_t i = 0; i < count; i++) {
    uint32_t bits, rounded;
    memcpy(&bits, x + i, sizeof bits);
    rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
    out[i] = (uint16_t)((bits & 0x7fffffff) > 0x7f800000 ? bits >> 16 | 0x40 : rounded);
  }
}
#endif

static void widen_bf16(float *out, const uint16_t *x, int64_t count) {
  INDEPENDENT for (int64_t i = 0; i < count; i++) {
    uint32_t bits = (uint32_t)x[i] << 16;
    memcpy(out + i, &bits, sizeof bits);
  }
}

static void split_pairs(float *first, float *second, const uint16_t *pairs, int64_t count) {
  INDEPENDENT for (int64_t i = 0; i < count; i++) {
    uint32_t pair;
    memcpy(&pair, pairs + 2 * i, sizeof pair);
    uint32_t low = pair << 16, high = pair & 0xffff0000;
    memcpy(first + i, &low, sizeof low);
    memcpy(second + i, &high, sizeof high);
  }
}

static const vc_cpu_vector table = {
    .name = NAME,
    .activate = activate,
    .geglu = geglu,
    .column_sums = column_sums,
    .normalize = normalize,
    .layer_norm = layer_norm,
    .product = product,
    .softmax = softmax,
    .transpose = transpose,
    .scale = scale_values,
    .depthwise = depthwise,
    .winograd_weight = winograd_weight,
    .winograd_input = winograd_input,
    .winograd_output = winograd_output,
    .half_to_float = half_to_float,
    .round_bf16 = ROUND_BF16,
    .widen_bf16 = widen_bf16,
    .split_pairs = split_pairs,
    .product_bf16 = PRODUCT_BF16,
};

const vc_cpu_vector *const TABLE = &table;
