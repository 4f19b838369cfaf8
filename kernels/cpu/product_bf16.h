// Products in bf16 with AVX512_BF16, for vector_avx512_bf16.c: vdpbf16ps adds the products of two neighbours along k to
// a lane in fp32, and treats subnormal numbers as zero.
//
// 12 rows by 32 columns of the result are 24 registers, two of the weight and one of the input; of every two values of
// k they take 14 loads to 24 multiplications. K_PAIRS pairs of a block of columns are 24 KB and stay in the first cache
// while all rows of a tile go by.
#ifndef VC_KERNELS_CPU_PRODUCT_BF16_H
#define VC_KERNELS_CPU_PRODUCT_BF16_H

#include <immintrin.h>
#include <string.h>

#include "kernels/cpu/vector.h"

enum { BF16_ROWS = 12, K_PAIRS = 192 };

static inline __attribute__((always_inline)) void bf16_tile(int rows, int64_t pairs, const uint16_t *a, int64_t lda,
                                                            const uint16_t *b, float *c, int64_t ldc, bool accumulate) {
  __m512 sum[BF16_ROWS][2];
  _Pragma("GCC unroll 12") for (int i = 0; i < rows; i++) {
    sum[i][0] = accumulate ? _mm512_loadu_ps(c + i * ldc) : _mm512_setzero_ps();
    sum[i][1] = accumulate ? _mm512_loadu_ps(c + i * ldc + 16) : _mm512_setzero_ps();
  }
  for (int64_t p = 0; p < pairs; p++, b += 2 * VC_CPU_BLOCK) {
    __m512bh left = (__m512bh)_mm512_loadu_si512(b), right = (__m512bh)_mm512_loadu_si512(b + 32);
    _Pragma("GCC unroll 12") for (int i = 0; i < rows; i++) {
      int pair;
      memcpy(&pair, a + i * lda + 2 * p, sizeof pair);
      __m512bh x = (__m512bh)_mm512_set1_epi32(pair);
      sum[i][0] = _mm512_dpbf16_ps(sum[i][0], x, left);
      sum[i][1] = _mm512_dpbf16_ps(sum[i][1], x, right);
    }
  }
  _Pragma("GCC unroll 12") for (int i = 0; i < rows; i++) {
    _mm512_storeu_ps(c + i * ldc, sum[i][0]);
    _mm512_storeu_ps(c + i * ldc + 16, sum[i][1]);
  }
}

static void bf16_rows(int64_t m, int64_t pairs, const uint16_t *a, int64_t lda, const uint16_t *b, float *c,
                      int64_t ldc, bool accumulate) {
  int64_t i = 0;
  for (; i + BF16_ROWS <= m; i += BF16_ROWS)
    bf16_tile(BF16_ROWS, pairs, a + i * lda, lda, b, c + i * ldc, ldc, accumulate);
  for (; i + 4 <= m; i += 4) bf16_tile(4, pairs, a + i * lda, lda, b, c + i * ldc, ldc, accumulate);
  for (; i < m; i++) bf16_tile(1, pairs, a + i * lda, lda, b, c + i * ldc, ldc, accumulate);
}

static void bf16_product(int64_t m, int64_t n, int64_t pairs, const uint16_t *a, int64_t lda, const uint16_t *b,
                         int64_t ldb, float *c, int64_t ldc, bool accumulate) {
  for (int64_t p = 0; p < pairs; p += K_PAIRS) {
    int64_t count = pairs - p < K_PAIRS ? pairs - p : K_PAIRS;
    for (int64_t j = 0; j < n; j += VC_CPU_BLOCK)
      bf16_rows(m, count, a + 2 * p, lda, b + j / VC_CPU_BLOCK * ldb + p * VC_CPU_BLOCK * 2, c + j, ldc,
                accumulate || p > 0);
  }
}

static void bf16_round(uint16_t *out, const float *x, int64_t count) {
  int64_t i = 0;
  for (; i + 32 <= count; i += 32)
    _mm512_storeu_si512(out + i, (__m512i)_mm512_cvtne2ps_pbh(_mm512_loadu_ps(x + i + 16), _mm512_loadu_ps(x + i)));
  if (i == count) return;
  uint32_t rest = (1U << (count - i)) - 1;
  __m512 first = _mm512_maskz_loadu_ps((__mmask16)rest, x + i);
  __m512 second = _mm512_maskz_loadu_ps((__mmask16)(rest >> 16), x + i + 16);
  _mm512_mask_storeu_epi16(out + i, rest, (__m512i)_mm512_cvtne2ps_pbh(second, first));
}

#endif
