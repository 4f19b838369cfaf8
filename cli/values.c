#include "cli/values.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *vc_range_text(double min, double max, char *text, size_t size) {
  if ((min == 0 && max == 0) || (isinf(min) && isinf(max)))
    snprintf(text, size, "%s", "");
  else if (isinf(max))
    snprintf(text, size, " of at least %.10g", min);
  else if (isinf(min))
    snprintf(text, size, " of at most %.10g", max);
  else
    snprintf(text, size, " from %.10g to %.10g", min, max);
  return text;
}

static bool in_range(double value, double min, double max) {
  return (min == 0 && max == 0) || (value >= min && value <= max);
}

static vc_status refuse(const char *what, double min, double max, const char *text, vc_error *error) {
  char range[64];
  return vc_fail(error, VC_INVALID, "must be %s%s, not '%s'", what, vc_range_text(min, max, range, sizeof range), text);
}

// strtoull and its kin take leading space, signs and other bases; here a digit has to come first.
static bool starts_with_digit(const char *text) {
  return text[0] >= '0' && text[0] <= '9';
}

vc_status vc_parse_int(const char *text, double min, double max, int *out, vc_error *error) {
  char *end = NULL;
  errno = 0;
  long value = starts_with_digit(text + (text[0] == '-' || text[0] == '+')) ? strtol(text, &end, 10) : 0;
  if (!end || *end || errno || value < INT_MIN || value > INT_MAX || !in_range((double)value, min, max))
    return refuse("a whole number", min, max, text, error);
  *out = (int)value;
  return VC_OK;
}

vc_status vc_parse_uint64(const char *text, double min, double max, uint64_t *out, vc_error *error) {
  char *end = NULL;
  errno = 0;
  unsigned long long value = starts_with_digit(text) ? strtoull(text, &end, 10) : 0;
  if (!end || *end || errno || !in_range((double)value, min, max))
    return refuse("a whole number", min, min == 0 && max == 0 ? INFINITY : max, text, error);
  *out = value;
  return VC_OK;
}

// The decimal number at the start of the text; NULL when there is none that is finite.
static const char *decimal(const char *text, double *value) {
  size_t length = strspn(text, "0123456789.eE+-");
  if (!length || text[length] == 'x' || text[length] == 'X') return NULL;
  char *end = NULL;
  *value = strtod(text, &end);
  return end != text && isfinite(*value) ? end : NULL;
}

vc_status vc_parse_float(const char *text, double min, double max, double *out, vc_error *error) {
  double value = 0;
  const char *end = decimal(text, &value);
  if (!end || *end || !in_range(value, min, max)) return refuse("a number", min, max, text, error);
  *out = value;
  return VC_OK;
}

vc_status vc_parse_bytes(const char *text, uint64_t *out, vc_error *error) {
  static const char suffixes[] = "KMGT";
  double value = 0;
  const char *end = decimal(text, &value);
  const char *suffix = end && *end ? strchr(suffixes, *end) : NULL;
  if (suffix) {
    value = ldexp(value, 10 * (int)(suffix - suffixes + 1));
    end++;
  }
  if (!end || *end || !(value >= 1 && value <= 0x1p63))
    return vc_fail(error, VC_INVALID, "must be a number of bytes, such as 4G or 1500M, not '%s'", text);
  *out = (uint64_t)value;
  return VC_OK;
}

vc_status vc_parse_size(const char *text, double min, double max, vc_size *out, vc_error *error) {
  const char *x = strchr(text, 'x');
  char width[16] = "";
  if (x && (size_t)(x - text) < sizeof width) memcpy(width, text, (size_t)(x - text));
  vc_size size = {0, 0};
  if (!x || !starts_with_digit(width) || !starts_with_digit(x + 1) ||
      vc_parse_int(width, min, max, &size.width, NULL) || vc_parse_int(x + 1, min, max, &size.height, NULL) ||
      size.width < 1 || size.height < 1)
    return refuse("WIDTHxHEIGHT, each", min, max, text, error);
  *out = size;
  return VC_OK;
}
