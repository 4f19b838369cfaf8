// Single values as users write them: numbers in a range, amounts of memory, picture sizes.
#ifndef VC_CLI_VALUES_H
#define VC_CLI_VALUES_H

#include <stdint.h>

#include "engine/status.h"

typedef struct vc_size {
  int width, height;
} vc_size;

// The whole text must be one decimal number (no space, no suffix, neither NaN nor infinite) within min and max, which
// may be infinite; both 0 means any. VC_INVALID otherwise, with a message like "must be a number from 0 to 1, not 'x'",
// to be prefixed with the option's name.
vc_status vc_parse_int(const char *text, double min, double max, int *out, vc_error *error);
vc_status vc_parse_uint64(const char *text, double min, double max, uint64_t *out, vc_error *error);
vc_status vc_parse_float(const char *text, double min, double max, double *out, vc_error *error);

// A number of bytes of at least 1, whole or not, with a suffix K, M, G or T (powers of 1024) if wanted: "1.5G".
vc_status vc_parse_bytes(const char *text, uint64_t *out, vc_error *error);

// "256x192", both sides within the range.
vc_status vc_parse_size(const char *text, double min, double max, vc_size *out, vc_error *error);

// Writes " from 1 to 9", " of at least 1", " of at most 9" or "" into text and returns it.
const char *vc_range_text(double min, double max, char *text, size_t size);

#endif
