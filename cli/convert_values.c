// Values from one dtype to another, and the counting of those that are no finite numbers before or afterwards.
#include <string.h>

#include "cli/convert.h"

enum { BLOCK = 2048 };

typedef struct special {
  size_t nans, infinities;
} special;

// Exponent bits all set: an infinity when the fraction is 0, else a NaN.
#define COUNT_SPECIAL(type, exponent, fraction)                                \
  for (size_t i = 0; i < count; i++) {                                         \
    type bits;                                                                 \
    memcpy(&bits, (const char *)data + i * sizeof bits, sizeof bits);          \
    bool all = (bits & (exponent)) == (exponent), zero = !(bits & (fraction)); \
    found.infinities += all && zero;                                           \
    found.nans += all && !zero;                                                \
  }                                                                            \
  break

static special count_special(const void *data, vc_dtype dtype, size_t count) {
  special found = {0, 0};
  switch (dtype) {
    case VC_F32:
      COUNT_SPECIAL(uint32_t, 0x7f800000u, 0x007fffffu);
    case VC_F16:
      COUNT_SPECIAL(uint16_t, 0x7c00u, 0x03ffu);
    case VC_BF16:
      COUNT_SPECIAL(uint16_t, 0x7f80u, 0x007fu);
    case VC_F64:
      COUNT_SPECIAL(uint64_t, 0x7ff0000000000000u, 0x000fffffffffffffu);
    default:
      break;
  }
  return found;
}

void vc_convert_values(void *out, vc_dtype to, const void *in, vc_dtype from, size_t count, vc_convert_count *found) {
  float value[BLOCK];
  unsigned char result[BLOCK * sizeof(float)];
  for (size_t at = 0; at < count; at += BLOCK) {
    size_t n = count - at < BLOCK ? count - at : BLOCK;
    const char *source = (const char *)in + at * vc_dtype_size(from);
    special before = count_special(source, from, n), after = before;
    if (to == from) {
      if (out) memcpy((char *)out + at * vc_dtype_size(to), source, n * vc_dtype_size(to));
    } else {
      vc_to_float(value, source, from, n);
      vc_from_float(result, to, value, n);
      if (out) memcpy((char *)out + at * vc_dtype_size(to), result, n * vc_dtype_size(to));
      after = count_special(result, to, n);
    }
    found->nans += before.nans;
    found->infinities += before.infinities;
    found->overflows += after.infinities - before.infinities;  // what was infinite stays so
  }
}
