// Scalar functions written so that a loop over them vectorises: no branches, no calls. fp32 in, fp32 accurate.
#ifndef VC_KERNELS_CPU_MATH_H
#define VC_KERNELS_CPU_MATH_H

#include <stdint.h>
#include <string.h>

static inline float cpu_float_of(uint32_t bits) {
  float value;
  memcpy(&value, &bits, 4);
  return value;
}

static inline uint32_t cpu_bits_of(float value) {
  uint32_t bits;
  memcpy(&bits, &value, 4);
  return bits;
}

// e^x, relative error below 1.5e-7; 0 below -104, infinity above 89, NaN for NaN.
// x = n ln 2 + r with |r| <= ln 2 / 2; e^r = 1 + r + r^2 q(r), q fitted for the least relative error (3e-9). 2^n is
// applied in two factors, so that results below 2^-126 and above 2^127 come out right.
static inline float cpu_exp(float x) {
  const float magic = 0x1.8p23f;  // adding it rounds to an integer that then stands in the low bits
  x = x < -104.0f ? -104.0f : x;
  x = x > 89.0f ? 89.0f : x;
  float shifted = x * 0x1.715476p0f + magic;
  int32_t n = (int32_t)(cpu_bits_of(shifted) - cpu_bits_of(magic));
  float k = shifted - magic;
  float r = x - k * 0x1.62e4p-1f;  // the first 15 bits of ln 2: the product is exact
  r = r - k * 0x1.7f7d1cp-20f;
  float q = 0x1.6a234ep-10f;
  q = q * r + 0x1.123a6cp-7f;
  q = q * r + 0x1.5558f4p-5f;
  q = q * r + 0x1.55549p-3f;
  q = q * r + 0x1.fffffcp-2f;
  float value = (q * r) * r + r + 1.0f;
  int32_t half = n >> 1;
  return value * cpu_float_of((uint32_t)(half + 127) << 23) * cpu_float_of((uint32_t)(n - half + 127) << 23);
}

// 1 / (1 + e^-x)
static inline float cpu_sigmoid(float x) {
  return 1.0f / (1.0f + cpu_exp(-x));
}

static inline float cpu_silu(float x) {
  return x / (1.0f + cpu_exp(-x));
}

// The upper tail of the error function for t >= 0: erfc(t) = e^(-t^2) P(u) / (1 + 2 t), u = (t - 2) / (t + 2), with P
// fitted on 0 <= t <= 10.2 (relative error 1.4e-8); beyond that erfc is below the smallest float. The square is passed
// on its own because the caller may know it exactly. Relative error below 4e-7 up to t = 1.5, below 1e-6 t^2 / 8 after
// that (the rounding of t^2).
static inline float cpu_erfc(float t, float square) {
  float u = (t - 2.0f) / (t + 2.0f);
  float p = -0.0003994531945521083f;
  p = p * u - 0.001228006645270083f;
  p = p * u + 0.0013133134357968242f;
  p = p * u + 0.00863010199008917f;
  p = p * u - 0.008060144298021602f;
  p = p * u - 0.05420388543884907f;
  p = p * u + 0.16405542573022786f;
  p = p * u - 0.1660314608078612f;
  p = p * u - 0.09276398502961578f;
  p = p * u + 1.2769783939641337f;
  return cpu_exp(-square) * (p / (1.0f + 2.0f * t));
}

// x Phi(x): through the tail of the side on which x lies, so that small values keep their relative accuracy.
static inline float cpu_gelu(float x) {
  float size = x < 0.0f ? -x : x;
  float tail = 0.5f * cpu_erfc(size * 0.70710678f, 0.5f * x * x);
  return x * (x < 0.0f ? tail : 1.0f - tail);
}

#endif
