// Any text as strokes, in both spellings: refused, or a field of finite motion.
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "engine/strokes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void use(vc_strokes *strokes) {
  vc_tensor field;
  vc_error error;
  if (vc_strokes_field(&field, strokes, 4, 32, 24, 16, &error) == VC_OK) {
    const float *value = field.data;
    for (size_t i = 0; i < vc_tensor_count(&field); i++)
      if (!isfinite(value[i])) abort();
    vc_tensor_free(&field);
  }
  vc_strokes_free(strokes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const vc_strokes_defaults defaults = {.canvas = {256, 256}, .frames = 16};
  vc_strokes strokes;
  vc_error error;
  char *text = malloc(size + 1);
  if (!text) return 0;
  memcpy(text, data, size);
  text[size] = 0;
  if (vc_strokes_parse_json(&strokes, "fuzz", text, &defaults, &error) == VC_OK) use(&strokes);
  if (vc_strokes_parse_text(&strokes, text, &defaults, &error) == VC_OK) use(&strokes);
  free(text);
  return 0;
}
