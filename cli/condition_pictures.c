#include "cli/condition_pictures.h"

#include <math.h>
#include <string.h>

#include "engine/conditions.h"
#include "loaders/media_out.h"

static uint8_t byte_of(double value) {
  return (uint8_t)(value <= 0 ? 0 : value >= 1 ? 255 : lrint(value * 255));
}

// Viridis at nine even steps (matplotlib's colour map, CC0), straight lines between.
static void paint_viridis(uint8_t rgb[3], double value) {
  static const uint8_t anchors[9][3] = {{68, 1, 84},    {71, 44, 122}, {59, 81, 139},  {44, 113, 142}, {33, 144, 141},
                                        {39, 173, 129}, {92, 200, 99}, {170, 220, 50}, {253, 231, 37}};
  double at = value <= 0 ? 0 : value >= 1 ? 8 : value * 8;
  int i = at >= 8 ? 7 : (int)at;
  for (int c = 0; c < 3; c++)
    rgb[c] = (uint8_t)lrint(anchors[i][c] + (at - i) * ((double)anchors[i + 1][c] - (double)anchors[i][c]));
}

static vc_status new_clip(vc_frames *out, const vc_tensor *t, int factor, double fps, vc_error *error) {
  return vc_frames_new(out, (int)t->dim[0], (int)t->dim[2] * factor, (int)t->dim[1] * factor, fps, error);
}

vc_status vc_picture_depth(vc_frames *out, const vc_tensor *depth, double fps, vc_error *error) {
  vc_status status = new_clip(out, depth, 1, fps, error);
  if (status) return status;
  const float *from = depth->data;
  size_t count = vc_tensor_count(depth);
  float low = from[0], high = from[0];
  for (size_t i = 1; i < count; i++) {
    low = fminf(low, from[i]);
    high = fmaxf(high, from[i]);
  }
  double range = high > low ? (double)high - (double)low : 1;
  for (size_t i = 0; i < count; i++) paint_viridis(out->rgb + 3 * i, ((double)from[i] - (double)low) / range);
  return VC_OK;
}

vc_status vc_picture_gray(vc_frames *out, const vc_tensor *values, double fps, vc_error *error) {
  vc_status status = new_clip(out, values, 1, fps, error);
  if (status) return status;
  size_t count = vc_tensor_count(values);
  for (size_t i = 0; i < count; i++) {
    double value =
        values->dtype == VC_U8 ? ((const uint8_t *)values->data)[i] : (double)((const float *)values->data)[i];
    memset(out->rgb + 3 * i, byte_of(value), 3);
  }
  return VC_OK;
}

// ---- arrows

static void hue_color(uint8_t rgb[3], double angle) {
  double at = angle / (2 * M_PI) * 6 + 6;
  for (int c = 0; c < 3; c++) {
    double distance = fabs(fmod(at + 6 - 2 * c, 6) - 3);  // 3 at the hue of this channel, 0 opposite
    rgb[c] = byte_of(distance - 1);
  }
}

static void draw_line(const vc_image *image, double x0, double y0, double x1, double y1, const uint8_t color[3]) {
  double length = fmax(fabs(x1 - x0), fabs(y1 - y0));
  int steps = (int)fmin(ceil(length), 2.0 * (image->width + image->height)) + 1;
  for (int i = 0; i <= steps; i++) {
    double x = floor(x0 + (x1 - x0) * i / steps), y = floor(y0 + (y1 - y0) * i / steps);
    if (!(x >= 0 && y >= 0 && x < image->width && y < image->height)) continue;
    memcpy(image->rgb + 3 * ((size_t)y * (size_t)image->width + (size_t)x), color, 3);
  }
}

// A line and a head of two short ones.
static void draw_arrow(const vc_image *image, double x, double y, double dx, double dy) {
  uint8_t color[3];
  double angle = atan2(dy, dx), head = fmin(6, 0.4 * hypot(dx, dy));
  hue_color(color, angle);
  draw_line(image, x - dx, y - dy, x, y, color);
  for (int side = -1; side <= 1; side += 2) {
    double back = angle + M_PI + side * 0.5;
    draw_line(image, x, y, x + head * cos(back), y + head * sin(back), color);
  }
}

// The frame under the arrows, darkened so that they stand out.
static vc_status lay_ground(vc_image *to, const vc_frames *clip, int frame, vc_error *error) {
  vc_image covered = {0}, from = vc_frames_image(clip, frame);
  vc_status status = vc_cover(&covered, &from, to->width, to->height, error);
  size_t size = (size_t)to->width * (size_t)to->height * 3;
  for (size_t i = 0; i < size && !status; i++) to->rgb[i] = (uint8_t)(covered.rgb[i] / 2);
  vc_image_free(&covered);
  return status;
}

vc_status vc_picture_motion(vc_frames *out, const vc_tensor *motion, const vc_frames *clip, const int *index,
                            double gain, int factor, double fps, vc_error *error) {
  int64_t height = motion->dim[1], width = motion->dim[2];
  vc_status status = new_clip(out, motion, factor, fps, error);
  if (status) return status;
  memset(out->rgb, 0, (size_t)out->count * (size_t)out->width * (size_t)out->height * 3);
  for (int f = 0; f < out->count && !status; f++) {
    vc_image image = vc_frames_image(out, f);
    const float *v = (const float *)motion->data + f * height * width * 2;
    if (clip) status = lay_ground(&image, clip, index[f], error);
    for (int64_t i = 0; i < height * width && !status; i++, v += 2)
      if (v[0] != 0 || v[1] != 0)
        draw_arrow(&image, ((double)(i % width) + 0.5) * factor, ((double)(i / width) + 0.5) * factor,
                   (double)v[0] * gain * factor, (double)v[1] * gain * factor);
  }
  if (status) vc_frames_free(out);
  return status;
}

vc_status vc_write_picture(const char *path, const vc_frames *clip, vc_error *error) {
  vc_image strip = {0};
  vc_status status = vc_film_strip(&strip, clip, (int)ceil(sqrt(clip->count)), 2, error);
  if (!status) status = vc_image_write_png(path, &strip, NULL, 0, error);
  vc_image_free(&strip);
  return status;
}
