#include "engine/conditions.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "loaders/resample.h"

static int side_of(int64_t size, int64_t wanted, int64_t own) {
  double side = nearbyint((double)size * (double)wanted / (double)own);
  return side < 1 ? 1 : side > VC_MAX_SIDE ? VC_MAX_SIDE : (int)side;
}

void vc_condition_sides(const vc_model_config *config, int64_t size, int64_t height, int64_t width, int *out_height,
                        int *out_width) {
  int64_t own = config->height < config->width ? config->height : config->width;
  *out_height = side_of(size, height, own);
  *out_width = side_of(size, width, own);
}

vc_status vc_cover(vc_image *out, const vc_image *in, int width, int height, vc_error *error) {
  int scaled_width = width, scaled_height = height;
  *out = (vc_image){0};
  if ((int64_t)in->width * height >= (int64_t)in->height * width)
    scaled_width = (int)fmin(INT32_MAX, (double)((int64_t)height * in->width) / in->height);
  else
    scaled_height = (int)fmin(INT32_MAX, (double)((int64_t)width * in->height) / in->width);
  vc_image scaled = {0};
  vc_status status = vc_image_resize(&scaled, in, scaled_width, scaled_height, VC_BICUBIC, error);
  if (!status)
    status = vc_crop(out, &scaled, (scaled_width - width) / 2, (scaled_height - height) / 2, width, height, error);
  vc_image_free(&scaled);
  return status;
}

static vc_status new_video(vc_tensor *out, int count, int height, int width, int channels, vc_error *error) {
  return vc_tensor_new(out, VC_F32, 4, (const int64_t[]){count, height, width, channels}, error);
}

vc_status vc_condition_image(vc_tensor *out, const vc_image *image, int height, int width, vc_error *error) {
  vc_image covered = {0};
  *out = (vc_tensor){0};
  vc_status status = vc_cover(&covered, image, width, height, error);
  if (!status) status = new_video(out, 1, height, width, 3, error);
  if (!status) {
    float *to = out->data;
    for (size_t i = 0, size = (size_t)height * (size_t)width * 3; i < size; i++) to[i] = (float)covered.rgb[i] / 255;
  }
  vc_image_free(&covered);
  return status;
}

// Bytes to (x / 255 - mean) / std, channels last.
static void normalise(float *out, const vc_image *image, const double mean[3], const double std[3]) {
  size_t size = (size_t)image->height * (size_t)image->width * 3;
  for (size_t i = 0; i < size; i++) out[i] = ((float)image->rgb[i] / 255 - (float)mean[i % 3]) / (float)std[i % 3];
}

vc_status vc_condition_style(vc_tensor *out, const vc_image *image, bool of_video,
                             const vc_preprocessing_config *config, vc_error *error) {
  vc_image square = {0};
  int size = (int)config->clip_size;
  *out = (vc_tensor){0};
  vc_status status =
      of_video ? vc_center_crop_v2(&square, image, size, error) : vc_clip_resize(&square, image, size, error);
  if (!status) status = vc_tensor_new(out, VC_F32, 3, (const int64_t[]){size, size, 3}, error);
  if (!status) normalise(out->data, &square, config->clip_mean, config->clip_std);
  vc_image_free(&square);
  return status;
}

// 0..255. Exactly the value of a gray.
static float luminance(const uint8_t rgb[3]) {
  return (float)(299 * rgb[0] + 587 * rgb[1] + 114 * rgb[2]) / 1000;
}

vc_status vc_condition_gray(vc_tensor *out, const vc_frames *clip, const int *index, int count, int height, int width,
                            double scale, vc_error *error) {
  size_t plane = (size_t)height * (size_t)width;
  vc_status status = new_video(out, count, height, width, 1, error);
  float *to = out->data;
  for (int f = 0; !status && f < count; f++, to += plane) {
    if (f && index[f] == index[f - 1]) {
      memcpy(to, to - plane, plane * sizeof *to);
      continue;
    }
    vc_image frame = vc_frames_image(clip, index[f]), covered = {0};
    status = vc_cover(&covered, &frame, width, height, error);
    for (size_t i = 0; !status && i < plane; i++) to[i] = (float)((double)luminance(covered.rgb + 3 * i) * scale);
    vc_image_free(&covered);
  }
  if (status) vc_tensor_free(out);
  return status;
}

static size_t clip_pixels(const vc_frames *clip) {
  return (size_t)clip->count * (size_t)clip->height * (size_t)clip->width;
}

double vc_clip_brightness(const vc_frames *clip) {
  double sum = 0;
  size_t count = clip_pixels(clip);
  for (size_t i = 0; i < count; i++) sum += (double)luminance(clip->rgb + 3 * i);
  return sum / 255 / (double)count;
}

void vc_clip_invert(vc_frames *clip) {
  for (size_t i = 0, size = clip_pixels(clip) * 3; i < size; i++) clip->rgb[i] = (uint8_t)(255 - clip->rgb[i]);
}

vc_status vc_condition_init(vc_tensor *out, const vc_frames *clip, const int *index, int count, int height, int width,
                            const vc_preprocessing_config *config, vc_error *error) {
  vc_status status = new_video(out, count, height, width, 3, error);
  float *to = out->data;
  for (int f = 0; !status && f < count; f++, to += (size_t)height * (size_t)width * 3) {
    vc_image frame = vc_frames_image(clip, index[f]), covered = {0};
    status = height == width ? vc_center_crop_v2(&covered, &frame, height, error)
                             : vc_cover(&covered, &frame, width, height, error);
    if (!status) normalise(to, &covered, config->video_mean, config->video_std);
    vc_image_free(&covered);
  }
  if (status) vc_tensor_free(out);
  return status;
}

// ---- masks

vc_status vc_mask_new(vc_mask *out, int count, int height, int width, vc_error *error) {
  size_t size = 0;
  *out = (vc_mask){.count = count, .height = height, .width = width};
  bool fits = count > 0 && height > 0 && width > 0 && vc_mul_size((size_t)count, (size_t)height, &size) &&
              vc_mul_size(size, (size_t)width, &size);
  if (fits && (out->data = calloc(1, size))) return VC_OK;
  *out = (vc_mask){0};
  return vc_fail(error, fits ? VC_NO_MEMORY : VC_INVALID, "no memory for %d masks of %d x %d", count, width, height);
}

void vc_mask_free(vc_mask *mask) {
  free(mask->data);
  *mask = (vc_mask){0};
}

vc_status vc_mask_of_clip(vc_mask *out, const vc_frames *clip, vc_error *error) {
  vc_status status = vc_mask_new(out, clip->count, clip->height, clip->width, error);
  if (status) return status;
  for (size_t i = 0, count = clip_pixels(clip); i < count; i++) out->data[i] = luminance(clip->rgb + 3 * i) >= 127.5f;
  return VC_OK;
}

vc_status vc_mask_of_tensor(vc_mask *out, const vc_tensor *tensor, vc_error *error) {
  vc_status status = vc_mask_new(out, (int)tensor->dim[0], (int)tensor->dim[1], (int)tensor->dim[2], error);
  if (status) return status;
  const float *from = tensor->data;
  for (size_t i = 0, count = vc_tensor_count(tensor); i < count; i++) out->data[i] = from[i] >= 0.5f;
  return VC_OK;
}

// The middle of a mask that has the shape of the video.
typedef struct box {
  int x, y, width, height;
} box;

static box middle(const vc_mask *mask, int height, int width) {
  box b = {.width = mask->width, .height = mask->height};
  if ((int64_t)mask->width * height >= (int64_t)mask->height * width)
    b.width = (int)nearbyint((double)mask->height * width / height);
  else
    b.height = (int)nearbyint((double)mask->width * height / width);
  if (b.width < 1) b.width = 1;
  if (b.height < 1) b.height = 1;
  b.x = (mask->width - b.width) / 2;
  b.y = (mask->height - b.height) / 2;
  return b;
}

static int nearest(int i, int in, int out) {
  int at = (int)((int64_t)i * in / out);
  return at < in ? at : in - 1;
}

static void fill_masked(float *out, const vc_image *frame, const uint8_t *mask, int mask_width, box b) {
  const uint8_t *rgb = frame->rgb;
  for (int y = 0; y < frame->height; y++) {
    const uint8_t *row = mask + (size_t)(b.y + nearest(y, b.height, frame->height)) * (size_t)mask_width;
    for (int x = 0; x < frame->width; x++, rgb += 3, out += 4) {
      float keep = row[b.x + nearest(x, b.width, frame->width)] ? 0 : 1;
      for (int c = 0; c < 3; c++) out[c] = ((float)rgb[c] / 255 - 0.5f) / 0.5f * keep;
      out[3] = keep;
    }
  }
}

vc_status vc_condition_masked(vc_tensor *out, const vc_frames *source, const int *index, const vc_mask *mask,
                              const int *mask_index, int count, int height, int width, vc_error *error) {
  size_t plane = (size_t)mask->height * (size_t)mask->width;
  vc_status status = new_video(out, count, height, width, 4, error);
  float *to = out->data;
  for (int f = 0; !status && f < count; f++, to += (size_t)height * (size_t)width * 4) {
    vc_image frame = vc_frames_image(source, index[f]), covered = {0};
    status = vc_cover(&covered, &frame, width, height, error);
    if (!status)
      fill_masked(to, &covered, mask->data + (size_t)mask_index[f] * plane, mask->width, middle(mask, height, width));
    vc_image_free(&covered);
  }
  if (status) vc_tensor_free(out);
  return status;
}
