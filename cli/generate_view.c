// Pictures of what the network sees: conditions beside a video, and latents.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/generate.h"
#include "loaders/image.h"

typedef void (*pixel_painter)(uint8_t rgb[3], const float *value);

static uint8_t byte_of(float value) {
  return (uint8_t)(value <= 0 ? 0 : value >= 1 ? 255 : lrintf(value * 255));
}

static void paint_gray(uint8_t rgb[3], const float *value) {
  memset(rgb, byte_of(*value), 3);
}

// Depth as its files hold it: 255 is 2.
static void paint_depth(uint8_t rgb[3], const float *value) {
  memset(rgb, byte_of(*value / 2), 3);
}

static void paint_color(uint8_t rgb[3], const float *value) {
  for (int c = 0; c < 3; c++) rgb[c] = byte_of(value[c]);
}

static void paint_masked(uint8_t rgb[3], const float *value) {
  for (int c = 0; c < 3; c++) rgb[c] = byte_of(0.5f + 0.5f * value[c]);
}

// A panel of the width of the video; pixel (x, y) of it shows the nearest one of the condition.
typedef struct panel {
  uint8_t *rgb;
  int width, height, row;  // row: pixels from one row to the next
} panel;

static void paint_pixels(const panel *p, const float *data, const vc_tensor *t, pixel_painter paint) {
  for (int y = 0; y < p->height; y++)
    for (int x = 0; x < p->width; x++) {
      int64_t from = (y * t->dim[1] / p->height) * t->dim[2] + x * t->dim[2] / p->width;
      paint(p->rgb + 3 * ((size_t)y * (size_t)p->row + (size_t)x), data + from * t->dim[3]);
    }
}

static void paint_line(const panel *p, double x, double y, double dx, double dy) {
  int steps = (int)ceil(fmax(fabs(dx), fabs(dy))) + 1;
  if (steps > 4 * (p->width + p->height)) steps = 4 * (p->width + p->height);
  for (int i = 0; i <= steps; i++) {
    int px = (int)floor(x + dx * i / steps), py = (int)floor(y + dy * i / steps);
    if (px < 0 || py < 0 || px >= p->width || py >= p->height) continue;
    uint8_t *rgb = p->rgb + 3 * ((size_t)py * (size_t)p->row + (size_t)px);
    // From dark to bright, so that one sees which end is the tip.
    double light = 0.35 + 0.65 * i / steps;
    rgb[0] = byte_of((float)(0.5 * light));
    rgb[1] = rgb[2] = byte_of((float)light);
  }
}

// Each vector as a line from where it stands to where it points.
static void paint_motion(const panel *p, const float *data, const vc_tensor *t) {
  double sx = (double)p->width / (double)t->dim[2], sy = (double)p->height / (double)t->dim[1];
  for (int y = 0; y < p->height; y++) memset(p->rgb + 3 * (size_t)y * (size_t)p->row, 16, 3 * (size_t)p->width);
  for (int64_t y = 0; y < t->dim[1]; y++)
    for (int64_t x = 0; x < t->dim[2]; x++) {
      const float *v = data + (y * t->dim[2] + x) * 2;
      if (v[0] != 0 || v[1] != 0)
        paint_line(p, ((double)x + 0.5) * sx, ((double)y + 0.5) * sy, (double)v[0] * sx, (double)v[1] * sy);
    }
}

static void paint_condition(const panel *p, const vc_tensor *t, vc_condition kind, int frame) {
  static const pixel_painter painters[VC_CONDITION_COUNT] = {
      [VC_CONDITION_DEPTH] = paint_depth, [VC_CONDITION_LOCAL_IMAGE] = paint_color,
      [VC_CONDITION_CANNY] = paint_gray,  [VC_CONDITION_SKETCH] = paint_gray,
      [VC_CONDITION_MASK] = paint_masked, [VC_CONDITION_SINGLE_SKETCH] = paint_gray,
  };
  const float *data = (const float *)t->data + (t->dim[0] > 1 ? frame : 0) * t->dim[1] * t->dim[2] * t->dim[3];
  if (painters[kind])
    paint_pixels(p, data, t, painters[kind]);
  else
    paint_motion(p, data, t);
}

// The style picture, its normalisation undone.
static void paint_style(const panel *p, const vc_tensor *style, const vc_preprocessing_config *config) {
  for (int y = 0; y < p->height; y++)
    for (int x = 0; x < p->width; x++) {
      int64_t from = (y * style->dim[0] / p->height) * style->dim[1] + x * style->dim[1] / p->width;
      const float *v = (const float *)style->data + from * 3;
      uint8_t *rgb = p->rgb + 3 * ((size_t)y * (size_t)p->row + (size_t)x);
      for (int c = 0; c < 3; c++) rgb[c] = byte_of(v[c] * (float)config->clip_std[c] + (float)config->clip_mean[c]);
    }
}

vc_status vc_generate_show_conditions(vc_frames *frames, const vc_generate_inputs *inputs,
                                      const vc_model_config *config, vc_error *error) {
  int panels = 1 + (inputs->style.data != NULL), width = frames->width, height = frames->height;
  for (int i = 0; i < VC_CONDITION_COUNT; i++) panels += inputs->condition[i].data != NULL;
  vc_frames wide;
  vc_status status = vc_frames_new(&wide, frames->count, panels * width, height, frames->fps, error);
  if (status) return status;
  for (int f = 0; f < frames->count; f++) {
    panel p = {vc_frames_image(&wide, f).rgb, width, height, panels * width};
    for (int i = 0; i < VC_CONDITION_COUNT; i++) {
      if (!inputs->condition[i].data) continue;
      paint_condition(&p, &inputs->condition[i], (vc_condition)i, f);
      p.rgb += 3 * (size_t)width;
    }
    if (inputs->style.data) {
      paint_style(&p, &inputs->style, &config->preprocessing);
      p.rgb += 3 * (size_t)width;
    }
    const uint8_t *own = vc_frames_image(frames, f).rgb;
    for (int y = 0; y < height; y++)
      memcpy(p.rgb + 3 * (size_t)y * (size_t)p.row, own + 3 * (size_t)y * (size_t)width, 3 * (size_t)width);
  }
  vc_frames_free(frames);
  *frames = wide;
  return VC_OK;
}

// ---- latents

// Colour of a latent pixel: offset + map * latent, in 0..1. Stable Diffusion's factors are those its users agreed on;
// mini's were fitted to 8 decoded videos by least squares and explain 92 % of the variance.
typedef struct latent_map {
  float offset[3], map[3][4];
} latent_map;

static const latent_map *map_of(const char *model) {
  static const latent_map stable_diffusion = {
      {0.5f, 0.5f, 0.5f},
      {{0.149f, 0.0935f, -0.079f, -0.092f}, {0.1035f, 0.143f, 0.0945f, -0.1355f}, {0.104f, 0.0865f, 0.132f, -0.2365f}},
  };
  static const latent_map mini = {
      {0.4838f, 0.4435f, 0.4916f},
      {{0.1338f, -0.1003f, 0.0436f, -0.057f},
       {0.1428f, -0.0632f, 0.0073f, -0.0509f},
       {0.0416f, -0.019f, -0.1154f, -0.0665f}},
  };
  return strcmp(model, "mini") ? &stable_diffusion : &mini;
}

vc_status vc_latent_picture(vc_image *out, const float *latent, const int64_t dim[4], const char *model, int scale,
                            vc_error *error) {
  const latent_map *map = map_of(model);
  int64_t frames = dim[0], height = dim[1] * scale, width = dim[2] * scale, channels = dim[3] < 4 ? dim[3] : 4;
  *out = (vc_image){0};
  if (frames * width > VC_IMAGE_MAX_SIDE) frames = VC_IMAGE_MAX_SIDE / width;
  vc_status status = vc_image_new(out, (int)(frames * width), (int)height, error);
  if (status) return status;
  for (int64_t y = 0; y < height; y++)
    for (int64_t x = 0; x < frames * width; x++) {
      const float *z = latent + ((x / width * dim[1] + y / scale) * dim[2] + x % width / scale) * dim[3];
      for (int c = 0; c < 3; c++) {
        float value = map->offset[c];
        for (int64_t k = 0; k < channels; k++) value += map->map[c][k] * z[k];
        out->rgb[3 * (y * frames * width + x) + c] = byte_of(value);
      }
    }
  return VC_OK;
}
