#include "engine/tensor.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
  const char *name;
  size_t size;
} dtypes[VC_DTYPE_COUNT] = {
    [VC_F32] = {"F32", 4}, [VC_F16] = {"F16", 2},   [VC_BF16] = {"BF16", 2}, [VC_F64] = {"F64", 8},
    [VC_I64] = {"I64", 8}, [VC_I32] = {"I32", 4},   [VC_I16] = {"I16", 2},   [VC_I8] = {"I8", 1},
    [VC_U8] = {"U8", 1},   [VC_BOOL] = {"BOOL", 1},
};

size_t vc_dtype_size(vc_dtype dtype) {
  return (unsigned)dtype < VC_DTYPE_COUNT ? dtypes[dtype].size : 0;
}

const char *vc_dtype_name(vc_dtype dtype) {
  return (unsigned)dtype < VC_DTYPE_COUNT ? dtypes[dtype].name : "?";
}

bool vc_dtype_parse(const char *name, vc_dtype *out) {
  for (int i = 0; i < VC_DTYPE_COUNT; i++)
    if (!strcmp(name, dtypes[i].name)) {
      *out = (vc_dtype)i;
      return true;
    }
  return false;
}

bool vc_shape_count(const int64_t *dim, int rank, vc_dtype dtype, size_t *count, size_t *bytes) {
  size_t n = 1;
  bool empty = false;
  for (int i = 0; i < rank; i++) {
    if (dim[i] < 0) return false;
    if (dim[i] == 0) empty = true;
    if (dim[i] > 0 && !vc_mul_size(n, (size_t)dim[i], &n)) return false;
  }
  // The dimensions beside a zero are checked too: [0, 2^62, 2^62] is refused like any other absurd shape.
  size_t total;
  if (!vc_mul_size(n, vc_dtype_size(dtype), &total)) return false;
  *count = empty ? 0 : n;
  *bytes = empty ? 0 : total;
  return true;
}

size_t vc_tensor_count(const vc_tensor *tensor) {
  size_t count = 0, bytes = 0;
  bool fits = vc_shape_count(tensor->dim, tensor->rank, tensor->dtype, &count, &bytes);
  assert(fits);
  (void)fits;
  return count;
}

size_t vc_tensor_bytes(const vc_tensor *tensor) {
  return vc_tensor_count(tensor) * vc_dtype_size(tensor->dtype);
}

vc_status vc_tensor_new(vc_tensor *out, vc_dtype dtype, int rank, const int64_t *dim, vc_error *error) {
  size_t count, bytes;
  char text[128];
  assert(rank <= VC_MAX_DIMS);
  if (!vc_shape_count(dim, rank, dtype, &count, &bytes) || bytes > SIZE_MAX - 64)
    return vc_fail(error, VC_INVALID, "a tensor of shape %s is too large", vc_shape_text(dim, rank, text, sizeof text));
  void *data = aligned_alloc(64, (bytes + 63) / 64 * 64 + 64);
  if (!data)
    return vc_fail(error, VC_NO_MEMORY, "no memory for a tensor of shape %s (%zu bytes)",
                   vc_shape_text(dim, rank, text, sizeof text), bytes);
  memset(data, 0, bytes);
  *out = (vc_tensor){.dtype = dtype, .rank = rank, .data = data};
  for (int i = 0; i < rank; i++) out->dim[i] = dim[i];
  return VC_OK;
}

void vc_tensor_free(vc_tensor *tensor) {
  free(tensor->data);
  *tensor = (vc_tensor){0};
}

const char *vc_shape_text(const int64_t *dim, int rank, char *text, size_t size) {
  size_t at = 0;
  text[0] = 0;
  for (int i = 0; i < rank && at < size; i++)
    at += (size_t)snprintf(text + at, size - at, "%s%lld", i ? ", " : "[", (long long)dim[i]);
  if (at < size) snprintf(text + at, size - at, rank ? "]" : "[]");
  return text;
}

float vc_half_to_float(uint16_t half) {
  uint32_t sign = (uint32_t)(half & 0x8000) << 16, exponent = (half >> 10) & 31, mantissa = half & 1023, bits;
  if (exponent == 31) {
    bits = sign | 0x7f800000u | mantissa << 13;
  } else if (exponent) {
    bits = sign | (exponent + 112) << 23 | mantissa << 13;
  } else {
    float value = (float)mantissa * 0x1p-24f;  // subnormal or zero: exact
    memcpy(&bits, &value, 4);
    bits |= sign;
  }
  float out;
  memcpy(&out, &bits, 4);
  return out;
}

uint16_t vc_float_to_half(float value) {
  uint32_t bits;
  memcpy(&bits, &value, 4);
  uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
  uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return sign | 0x7e00;
  if (magnitude >= 0x477ff000u) return sign | 0x7c00;  // 65520 and more round to infinity
  if (magnitude < 0x38800000u) {                       // below 2^-14: a multiple of 2^-24
    float scaled;
    memcpy(&scaled, &magnitude, 4);
    return sign | (uint16_t)lrintf(scaled * 0x1p24f);
  }
  uint32_t rounded = magnitude + 0xfffu + (magnitude >> 13 & 1);
  return sign | (uint16_t)((rounded - 0x38000000u) >> 13);
}

float vc_bfloat_to_float(uint16_t bfloat) {
  uint32_t bits = (uint32_t)bfloat << 16;
  float out;
  memcpy(&out, &bits, 4);
  return out;
}

uint16_t vc_float_to_bfloat(float value) {
  uint32_t bits;
  memcpy(&bits, &value, 4);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return (uint16_t)(bits >> 16 | 0x40);
  return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1)) >> 16);
}

// Reads element i of any dtype at any alignment; int64 beyond 2^53 rounds.
#define READ_AS(T, convert)                                                     \
  for (size_t i = 0; i < count; i++) {                                          \
    T value;                                                                    \
    memcpy(&value, (const unsigned char *)in + i * sizeof value, sizeof value); \
    out[i] = convert(value);                                                    \
  }                                                                             \
  break

#define CONVERT_ALL(to)                          \
  switch (dtype) {                               \
    case VC_F32:                                 \
      READ_AS(float, (to));                      \
    case VC_F16:                                 \
      READ_AS(uint16_t, (to)vc_half_to_float);   \
    case VC_BF16:                                \
      READ_AS(uint16_t, (to)vc_bfloat_to_float); \
    case VC_F64:                                 \
      READ_AS(double, (to));                     \
    case VC_I64:                                 \
      READ_AS(int64_t, (to));                    \
    case VC_I32:                                 \
      READ_AS(int32_t, (to));                    \
    case VC_I16:                                 \
      READ_AS(int16_t, (to));                    \
    case VC_I8:                                  \
      READ_AS(int8_t, (to));                     \
    case VC_U8:                                  \
      READ_AS(uint8_t, (to));                    \
    case VC_BOOL:                                \
      READ_AS(uint8_t, (to) !!);                 \
    case VC_DTYPE_COUNT:                         \
      assert(!"no dtype");                       \
  }

void vc_to_float(float *out, const void *in, vc_dtype dtype, size_t count) {
  if (dtype == VC_F32)
    memcpy(out, in, count * sizeof *out);
  else
    CONVERT_ALL(float)
}

void vc_to_double(double *out, const void *in, vc_dtype dtype, size_t count) {
  CONVERT_ALL(double)
}

// Infinities and NaNs have all exponent bits set. Sums as wide as the values, so that the loops are vectorised.
bool vc_finite(const void *in, vc_dtype dtype, size_t count) {
  enum { CHUNK = 16384 };
  union {
    uint32_t word[CHUNK / 4];
    uint16_t half[CHUNK / 2];
  } chunk;
  const unsigned char *at = in;
  uint32_t bad = 0;
  uint16_t bad_halves = 0, exponent = dtype == VC_F16 ? 0x7c00 : 0x7f80;
  for (size_t left = count * vc_dtype_size(dtype), n; left && !bad && !bad_halves; at += n, left -= n) {
    n = left < CHUNK ? left : CHUNK;
    memcpy(&chunk, at, n);
    if (dtype == VC_F32)
      for (size_t i = 0; i < n / 4; i++) bad += (chunk.word[i] & 0x7f800000u) == 0x7f800000u;
    else
      for (size_t i = 0; i < n / 2; i++) bad_halves += (chunk.half[i] & exponent) == exponent;
  }
  return !bad && !bad_halves;
}

void vc_from_float(void *out, vc_dtype dtype, const float *in, size_t count) {
  assert(dtype == VC_F32 || dtype == VC_F16 || dtype == VC_BF16);
  if (dtype == VC_F32) {
    memcpy(out, in, count * sizeof *in);
    return;
  }
  uint16_t *to = out;
  for (size_t i = 0; i < count; i++) to[i] = dtype == VC_F16 ? vc_float_to_half(in[i]) : vc_float_to_bfloat(in[i]);
}
