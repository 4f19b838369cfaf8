// mma.m16n8k16 with fp32 sums. Which lane holds which element: PTX ISA, "Matrix fragments for mma.m16n8k16 with
// floating point type".
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "block.h"

#ifdef __AVX2__
#include <immintrin.h>
#endif

namespace emu {
#if defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)
// Eight halves of four registers.
template <bool BF16>
static inline __m256 eight_floats(__m128i halves) {
  if (BF16) return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16));
  return _mm256_cvtph_ps(halves);
}

static inline void transpose(__m256 r[8]) {
  __m256 t[8], u[8];
  for (int i = 0; i < 4; i++) {
    t[2 * i] = _mm256_unpacklo_ps(r[2 * i], r[2 * i + 1]);
    t[2 * i + 1] = _mm256_unpackhi_ps(r[2 * i], r[2 * i + 1]);
  }
  for (int i = 0; i < 2; i++) {
    u[4 * i] = _mm256_shuffle_ps(t[4 * i], t[4 * i + 2], 0x44);
    u[4 * i + 1] = _mm256_shuffle_ps(t[4 * i], t[4 * i + 2], 0xEE);
    u[4 * i + 2] = _mm256_shuffle_ps(t[4 * i + 1], t[4 * i + 3], 0x44);
    u[4 * i + 3] = _mm256_shuffle_ps(t[4 * i + 1], t[4 * i + 3], 0xEE);
  }
  for (int i = 0; i < 4; i++) {
    r[i] = _mm256_permute2f128_ps(u[i], u[i + 4], 0x20);
    r[i + 4] = _mm256_permute2f128_ps(u[i], u[i + 4], 0x31);
  }
}

template <bool BF16>
static void multiply(void **io) {
  alignas(32) float a[16][16], b[8][16], c[16][8];  // b by columns, as the lanes hold it
  for (int t = 0; t < 32; t++) {
    const MmaIO *lane = (const MmaIO *)io[t];
    int g = t / 4, q = t % 4 * 2;
    __m256 eight = eight_floats<BF16>(_mm_loadu_si128((const __m128i *)lane->a));
    __m128 low = _mm256_castps256_ps128(eight), high = _mm256_extractf128_ps(eight, 1);
    _mm_storel_pi((__m64 *)&a[g][q], low);
    _mm_storeh_pi((__m64 *)&a[g + 8][q], low);
    _mm_storel_pi((__m64 *)&a[g][q + 8], high);
    _mm_storeh_pi((__m64 *)&a[g + 8][q + 8], high);
    __m128 four = _mm256_castps256_ps128(eight_floats<BF16>(_mm_loadl_epi64((const __m128i *)lane->b)));
    _mm_storel_pi((__m64 *)&b[g][q], four);
    _mm_storeh_pi((__m64 *)&b[g][q + 8], four);
    __m128 sums = _mm_loadu_ps(lane->c);
    _mm_storel_pi((__m64 *)&c[g][q], sums);
    _mm_storeh_pi((__m64 *)&c[g + 8][q], sums);
  }
  __m256 row[2][8];
  for (int half = 0; half < 2; half++) {
    for (int n = 0; n < 8; n++) row[half][n] = _mm256_load_ps(&b[n][8 * half]);
    transpose(row[half]);
  }
  for (int m = 0; m < 16; m += 4) {
    __m256 sum[4];
    for (int i = 0; i < 4; i++) sum[i] = _mm256_load_ps(c[m + i]);
    for (int k = 0; k < 16; k++)
      for (int i = 0; i < 4; i++)
        sum[i] = _mm256_fmadd_ps(_mm256_broadcast_ss(&a[m + i][k]), row[k / 8][k % 8], sum[i]);
    for (int i = 0; i < 4; i++) _mm256_store_ps(c[m + i], sum[i]);
  }
  for (int t = 0; t < 32; t++) {
    int g = t / 4, q = t % 4 * 2;
    __m128 sums = _mm_loadl_pi(_mm_setzero_ps(), (const __m64 *)&c[g][q]);
    _mm_storeu_ps(((const MmaIO *)io[t])->c, _mm_loadh_pi(sums, (const __m64 *)&c[g + 8][q]));
  }
}
#else
template <bool BF16>
static float half_of(uint32_t pair, int upper) {
  uint16_t bits = (uint16_t)(pair >> (16 * upper));
  if (BF16) {
    uint32_t wide = (uint32_t)bits << 16;
    float out;
    memcpy(&out, &wide, sizeof out);
    return out;
  }
  __half half;
  memcpy(&half, &bits, sizeof half);
  return __half2float(half);
}

template <bool BF16>
static void multiply(void **io) {
  float a[16][16], b[16][8], c[16][8];
  for (int t = 0; t < 32; t++) {
    const MmaIO *lane = (const MmaIO *)io[t];
    int g = t / 4, q = t % 4 * 2;
    for (int i = 0; i < 8; i++) a[g + i / 2 % 2 * 8][q + i % 2 + i / 4 * 8] = half_of<BF16>(lane->a[i / 2], i % 2);
    for (int i = 0; i < 4; i++) b[q + i % 2 + i / 2 * 8][g] = half_of<BF16>(lane->b[i / 2], i % 2);
    for (int i = 0; i < 4; i++) c[g + i / 2 * 8][q + i % 2] = lane->c[i];
  }
  for (int m = 0; m < 16; m++)
    for (int k = 0; k < 16; k++)
      for (int n = 0; n < 8; n++) c[m][n] = __builtin_fmaf(a[m][k], b[k][n], c[m][n]);
  for (int t = 0; t < 32; t++)
    for (int i = 0; i < 4; i++) ((const MmaIO *)io[t])->c[i] = c[t / 4 + i / 2 * 8][t % 4 * 2 + i % 2];
}
#endif

void mma16816(unsigned mask, void **io, bool bf16) {
  if (mask != ~0u) fail("mma", 0, "in a warp that is not full");
  if (bf16)
    multiply<true>(io);
  else
    multiply<false>(io);
}
}  // namespace emu
