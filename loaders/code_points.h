// Text as an array of Unicode code points, and the operations of the Unicode standard on it.
#ifndef VC_LOADERS_CODE_POINTS_H
#define VC_LOADERS_CODE_POINTS_H

#include <stdint.h>

#include "engine/status.h"

// Zeroed is empty. When memory runs out `failed` is set, stays set, and further additions are dropped, so that a loop
// of additions is checked once, behind it, with vc_code_points_check.
typedef struct vc_code_points {
  int32_t *data;
  size_t count, capacity;
  bool failed;
} vc_code_points;

void vc_code_points_free(vc_code_points *text);
void vc_code_points_add(vc_code_points *text, int32_t c);
void vc_code_points_append(vc_code_points *text, const int32_t *data, size_t count);
vc_status vc_code_points_check(const vc_code_points *text, vc_error *error);

// Appends decoded UTF-8. Overlong forms, surrogates, values above U+10FFFF and cut-off sequences are VC_INVALID; the
// message gives the byte offset.
vc_status vc_code_points_decode(vc_code_points *text, const char *utf8, size_t length, vc_error *error);

// Replaces the text by its canonical composition (NFC, Unicode annex 15), in linear time however many combining marks
// follow each other. `scratch` is overwritten; either may come out failed.
void vc_code_points_compose(vc_code_points *text, vc_code_points *scratch);

// Appends `text` in lower case by the full, language-independent rules of the Unicode standard (section 3.13): U+0130
// becomes two code points, and a capital sigma at the end of a word becomes a final one.
void vc_code_points_lower(vc_code_points *out, const vc_code_points *text);

// The property White_Space.
bool vc_code_point_is_white(int32_t c);

#endif
