#include "engine/status.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static void clean(char *text) {
  for (; *text; text++) {
    unsigned char c = (unsigned char)*text;
    if (c < 0x20 || c == 0x7f) *text = '?';
  }
}

vc_status vc_fail(vc_error *error, vc_status status, const char *format, ...) {
  if (error) {
    va_list args;
    va_start(args, format);
    vsnprintf(error->message, sizeof error->message, format, args);
    va_end(args);
    clean(error->message);
  }
  return status;
}

vc_status vc_fail_in(vc_error *error, vc_status status, const char *format, ...) {
  if (error) {
    char prefix[256], rest[sizeof error->message - sizeof prefix - 2];
    va_list args;
    va_start(args, format);
    vsnprintf(prefix, sizeof prefix, format, args);
    va_end(args);
    memcpy(rest, error->message, sizeof rest);
    rest[sizeof rest - 1] = 0;
    snprintf(error->message, sizeof error->message, "%s: %s", prefix, rest);
    clean(error->message);
  }
  return status;
}

bool vc_mul_size(size_t a, size_t b, size_t *out) {
  return !__builtin_mul_overflow(a, b, out);
}

bool vc_add_size(size_t a, size_t b, size_t *out) {
  return !__builtin_add_overflow(a, b, out);
}
