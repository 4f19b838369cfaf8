#include "engine/strokes.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

void vc_strokes_free(vc_strokes *strokes) {
  for (int i = 0; i < strokes->count; i++) {
    free(strokes->stroke[i].point);
    free(strokes->stroke[i].run);
  }
  free(strokes->stroke);
  *strokes = (vc_strokes){0};
}

void vc_stroke_at(const vc_stroke *stroke, int64_t frame, double at[2]) {
  double share = (double)(frame - stroke->first) / (double)(stroke->last - stroke->first);
  share = share < 0 ? 0 : share > 1 ? 1 : share;
  double length = share * stroke->run[stroke->points - 1];
  int i = 0;
  while (i + 2 < stroke->points && stroke->run[i + 1] < length) i++;
  double piece = stroke->run[i + 1] - stroke->run[i];
  double part = piece > 0 ? (length - stroke->run[i]) / piece : 0;
  for (int k = 0; k < 2; k++) at[k] = stroke->point[i][k] + part * (stroke->point[i + 1][k] - stroke->point[i][k]);
}

double vc_stroke_weight(double distance, double radius) {
  double weight = 2 * (1 - distance / radius);
  return weight < 0 ? 0 : weight > 1 ? 1 : weight;
}

// A stroke's part in one frame, in pixels of the field but for the radius, which is measured on the canvas.
typedef struct step {
  double at[2], moved[2];
  double radius;
  bool active;
} step;

static step step_of(const vc_stroke *stroke, int64_t frame, const double scale[2]) {
  step s = {.radius = stroke->radius, .active = frame > stroke->first && frame <= stroke->last};
  double before[2];
  vc_stroke_at(stroke, frame, s.at);
  vc_stroke_at(stroke, frame - 1, before);
  for (int k = 0; k < 2; k++) {
    s.moved[k] = (s.at[k] - before[k]) * stroke->strength * scale[k];
    s.at[k] *= scale[k];
  }
  return s;
}

// How much of the step the block centred at (x, y) takes.
static double weight_at(const step *s, int64_t x, int64_t y, int64_t block, const double scale[2]) {
  if (!s->active) return 0;
  double left = (double)(x - block / 2), top = (double)(y - block / 2);
  if (s->at[0] >= left && s->at[0] < left + (double)block && s->at[1] >= top && s->at[1] < top + (double)block)
    return 1;
  double distance = hypot(((double)x - s->at[0]) / scale[0], ((double)y - s->at[1]) / scale[1]);
  return vc_stroke_weight(distance, s->radius);
}

static void fill_frame(float *out, const vc_strokes *strokes, const step *steps, int64_t height, int64_t width,
                       int64_t block, const double scale[2]) {
  for (int64_t y = block / 2; y < height; y += block)
    for (int64_t x = block / 2; x < width; x += block) {
      double best = 0, moved[2] = {0, 0};
      for (int i = 0; i < strokes->count; i++) {
        double weight = weight_at(&steps[i], x, y, block, scale);
        if (weight < best || weight == 0) continue;
        best = weight;
        for (int k = 0; k < 2; k++) moved[k] = steps[i].moved[k];
      }
      for (int k = 0; k < 2; k++)
        out[(y * width + x) * 2 + k] = (float)(best * moved[k] + (1 - best) * strokes->background[k] * scale[k]);
    }
}

vc_status vc_strokes_field(vc_tensor *out, const vc_strokes *strokes, int64_t frames, int64_t height, int64_t width,
                           int64_t block, vc_error *error) {
  assert(block > 0);
  const double scale[2] = {(double)width / strokes->canvas[0], (double)height / strokes->canvas[1]};
  step *steps = NULL;
  vc_status status = vc_tensor_new(out, VC_F32, 4, (const int64_t[]){frames, height, width, 2}, error);
  if (status) goto done;
  if (strokes->count && !(steps = calloc((size_t)strokes->count, sizeof *steps))) {
    status = vc_fail(error, VC_NO_MEMORY, "no memory for %d strokes", strokes->count);
    goto done;
  }
  for (int64_t f = 1; f < frames; f++) {
    for (int i = 0; i < strokes->count; i++) steps[i] = step_of(&strokes->stroke[i], f, scale);
    fill_frame((float *)out->data + f * height * width * 2, strokes, steps, height, width, block, scale);
  }
done:
  free(steps);
  if (status) vc_tensor_free(out);
  return status;
}
