// Pillow's 8-bit resampling, and the resize and crop rules of the released code on top of it.
#include "loaders/resample.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { FRACTION_BITS = 22, HALF = 1 << (FRACTION_BITS - 1) };

const float vc_clip_mean[3] = {0.48145466f, 0.4578275f, 0.40821073f};
const float vc_clip_std[3] = {0.26862954f, 0.26130258f, 0.27577711f};
const float vc_half[3] = {0.5f, 0.5f, 0.5f};

// ---- filters

static double box(double x) {
  return x > -0.5 && x <= 0.5 ? 1 : 0;
}

static double bilinear(double x) {
  x = fabs(x);
  return x < 1 ? 1 - x : 0;
}

// Keys' cubic with a = -0.5; the order of operations is the reference's, for its rounding.
static double bicubic(double x) {
  const double a = -0.5;
  x = fabs(x);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}

static double sinc(double x) {
  return x == 0 ? 1 : sin(M_PI * x) / (M_PI * x);
}

static double lanczos(double x) {
  return x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0;
}

static const struct {
  double support;
  double (*weight)(double x);
} filters[] = {
    [VC_BOX] = {0.5, box}, [VC_BILINEAR] = {1, bilinear}, [VC_BICUBIC] = {2, bicubic}, [VC_LANCZOS] = {3, lanczos}};

// ---- taps

// For each output sample the first input sample and `width` integer weights, zero behind its own `count`.
typedef struct tap_table {
  int *first, *count;  // [n_out]
  int32_t *weight;     // [n_out][width]
  int width;
} tap_table;

static void taps_free(tap_table *taps) {
  free(taps->first);
  free(taps->count);
  free(taps->weight);
}

static void taps_fill(tap_table *taps, double *scratch, int n_in, int n_out, vc_filter filter) {
  double scale = (double)n_in / n_out;
  double stretch = scale > 1 ? scale : 1;  // widened when shrinking: antialiasing
  double support = filters[filter].support * stretch;
  double inverse = 1 / stretch;
  for (int i = 0; i < n_out; i++) {
    double center = (i + 0.5) * scale, total = 0;
    int first = (int)(center - support + 0.5), end = (int)(center + support + 0.5);
    if (first < 0) first = 0;
    if (end > n_in) end = n_in;
    for (int j = first; j < end; j++) {
      scratch[j - first] = filters[filter].weight((j - center + 0.5) * inverse);
      total += scratch[j - first];
    }
    taps->first[i] = first;
    taps->count[i] = end - first;
    for (int j = 0; j < end - first; j++) {
      double w = scratch[j] / total * (1 << FRACTION_BITS);
      taps->weight[(size_t)i * (size_t)taps->width + (size_t)j] = (int32_t)(w < 0 ? w - 0.5 : w + 0.5);
    }
  }
}

static vc_status taps_make(tap_table *taps, int n_in, int n_out, vc_filter filter, vc_error *error) {
  double scale = (double)n_in / n_out;
  taps->width = 2 * (int)ceil(filters[filter].support * (scale > 1 ? scale : 1)) + 1;
  taps->first = calloc((size_t)n_out, sizeof *taps->first);
  taps->count = calloc((size_t)n_out, sizeof *taps->count);
  taps->weight = calloc((size_t)n_out * (size_t)taps->width, sizeof *taps->weight);
  double *scratch = calloc((size_t)taps->width, sizeof *scratch);
  vc_status status = VC_OK;
  if (taps->first && taps->count && taps->weight && scratch)
    taps_fill(taps, scratch, n_in, n_out, filter);
  else
    status = vc_fail(error, VC_NO_MEMORY, "no memory for the weights of a resize from %d to %d", n_in, n_out);
  free(scratch);
  return status;
}

// ---- passes

// Weights sum to 1 and none of the filters reaches 2 in absolute sum, so that 255 * 2^22 * 2 bounds a sum: 32 bits.
static uint8_t to_byte(int32_t sum) {
  sum >>= FRACTION_BITS;
  return (uint8_t)(sum < 0 ? 0 : sum > 255 ? 255 : sum);
}

static void horizontal_pass(vc_image *out, const vc_image *in, const tap_table *taps) {
  for (int y = 0; y < in->height; y++) {
    const uint8_t *row = in->rgb + (size_t)y * (size_t)in->width * 3;
    uint8_t *to = out->rgb + (size_t)y * (size_t)out->width * 3;
    for (int x = 0; x < out->width; x++, to += 3) {
      const uint8_t *from = row + (size_t)taps->first[x] * 3;
      const int32_t *weight = taps->weight + (size_t)x * (size_t)taps->width;
      int32_t r = HALF, g = HALF, b = HALF;
      for (int k = 0; k < taps->count[x]; k++, from += 3) {
        r += from[0] * weight[k];
        g += from[1] * weight[k];
        b += from[2] * weight[k];
      }
      to[0] = to_byte(r);
      to[1] = to_byte(g);
      to[2] = to_byte(b);
    }
  }
}

static void vertical_pass(vc_image *out, const vc_image *in, const tap_table *taps, int32_t *sums) {
  size_t stride = (size_t)in->width * 3;
  for (int y = 0; y < out->height; y++) {
    const int32_t *weight = taps->weight + (size_t)y * (size_t)taps->width;
    for (size_t x = 0; x < stride; x++) sums[x] = HALF;
    for (int k = 0; k < taps->count[y]; k++) {
      const uint8_t *row = in->rgb + (size_t)(taps->first[y] + k) * stride;
      int32_t w = weight[k];
      for (size_t x = 0; x < stride; x++) sums[x] += row[x] * w;
    }
    uint8_t *to = out->rgb + (size_t)y * stride;
    for (size_t x = 0; x < stride; x++) to[x] = to_byte(sums[x]);
  }
}

static vc_status resize_width(vc_image *out, const vc_image *in, int width, vc_filter filter, vc_error *error) {
  tap_table taps = {0};
  vc_status status = vc_image_new(out, width, in->height, error);
  if (!status) status = taps_make(&taps, in->width, width, filter, error);
  if (!status) horizontal_pass(out, in, &taps);
  taps_free(&taps);
  return status;
}

static vc_status resize_height(vc_image *out, const vc_image *in, int height, vc_filter filter, vc_error *error) {
  tap_table taps = {0};
  int32_t *sums = NULL;
  vc_status status = vc_image_new(out, in->width, height, error);
  if (!status) status = taps_make(&taps, in->height, height, filter, error);
  if (!status && !(sums = malloc((size_t)in->width * 3 * sizeof *sums)))
    status = vc_fail(error, VC_NO_MEMORY, "no memory for a row of a resize");
  if (!status) vertical_pass(out, in, &taps, sums);
  free(sums);
  taps_free(&taps);
  return status;
}

vc_status vc_image_resize(vc_image *out, const vc_image *in, int width, int height, vc_filter filter, vc_error *error) {
  *out = (vc_image){0};
  if (!in->rgb || !vc_image_size_ok(in->width, in->height) || !vc_image_size_ok(width, height))
    return vc_fail(error, VC_INVALID, "resize from %d x %d to %d x %d: a size is outside the limits", in->width,
                   in->height, width, height);
  if (in->width == width && in->height == height) return vc_crop(out, in, 0, 0, width, height, error);
  vc_image wide = {0};
  const vc_image *from = in;
  vc_status status = VC_OK;
  if (in->width != width) {
    status = resize_width(&wide, in, width, filter, error);
    from = &wide;
  }
  if (!status && from->height != height) {
    status = resize_height(out, from, height, filter, error);
  } else if (!status) {
    *out = wide;
    wide = (vc_image){0};
  }
  vc_image_free(&wide);
  if (status) vc_image_free(out);
  return status;
}

// ---- crops

vc_status vc_crop(vc_image *out, const vc_image *in, int x, int y, int width, int height, vc_error *error) {
  *out = (vc_image){0};
  if (!in->rgb || x < 0 || y < 0 || width < 1 || height < 1 || width > in->width || height > in->height ||
      x > in->width - width || y > in->height - height)
    return vc_fail(error, VC_INVALID, "a crop of %d x %d at (%d, %d) is outside a picture of %d x %d", width, height, x,
                   y, in->width, in->height);
  vc_status status = vc_image_new(out, width, height, error);
  if (status) return status;
  size_t row = (size_t)width * 3;
  for (int i = 0; i < height; i++)
    memcpy(out->rgb + (size_t)i * row, in->rgb + ((size_t)(y + i) * (size_t)in->width + (size_t)x) * 3, row);
  return VC_OK;
}

void vc_short_side(int height, int width, int size, int *out_height, int *out_width) {
  // Python divides integers exactly rounded, then truncates.
  if (height <= width) {
    *out_height = size;
    *out_width = (int)((double)((int64_t)size * width) / height);
  } else {
    *out_height = (int)((double)((int64_t)size * height) / width);
    *out_width = size;
  }
}

int vc_crop_origin(int n, int size) {
  return (int)nearbyint((n - size) / 2.0);
}

static vc_status size_allowed(int size, vc_error *error) {
  if (size >= 1 && size <= VC_IMAGE_MAX_SIDE) return VC_OK;
  return vc_fail(error, VC_INVALID, "a crop to %d pixels: 1 to %d are possible", size, VC_IMAGE_MAX_SIDE);
}

vc_status vc_center_crop_v2(vc_image *out, const vc_image *in, int size, vc_error *error) {
  vc_image current = {0}, next = {0};
  const vc_image *from = in;
  *out = (vc_image){0};
  vc_status status = size_allowed(size, error);
  if (status) return status;
  while (!status && (from->width < from->height ? from->width : from->height) >= 2 * size) {
    status = vc_image_resize(&next, from, from->width / 2, from->height / 2, VC_BOX, error);
    vc_image_free(&current);
    current = next;
    from = &current;
  }
  if (!status) {
    int shorter = from->width < from->height ? from->width : from->height;
    double scale = (double)size / shorter;
    status = vc_image_resize(&next, from, (int)nearbyint(scale * from->width), (int)nearbyint(scale * from->height),
                             VC_BICUBIC, error);
  }
  if (!status) {
    status = vc_crop(out, &next, (next.width - size) / 2, (next.height - size) / 2, size, size, error);
    vc_image_free(&next);
  }
  vc_image_free(&current);
  return status;
}

static vc_status short_side_resize(vc_image *out, const vc_image *in, int size, vc_filter filter, vc_error *error) {
  int height = 0, width = 0;
  *out = (vc_image){0};
  if (!in->rgb || in->width < 1 || in->height < 1) return vc_fail(error, VC_INVALID, "resize of an empty picture");
  vc_status status = size_allowed(size, error);
  if (status) return status;
  vc_short_side(in->height, in->width, size, &height, &width);
  return vc_image_resize(out, in, width, height, filter, error);
}

vc_status vc_misc_resize(vc_image *out, const vc_image *in, int size, vc_filter filter, vc_error *error) {
  vc_image scaled = {0};
  *out = (vc_image){0};
  vc_status status = short_side_resize(&scaled, in, size, filter, error);
  if (!status) status = vc_center_crop_v2(out, &scaled, size, error);  // only its crop acts
  vc_image_free(&scaled);
  return status;
}

vc_status vc_clip_resize(vc_image *out, const vc_image *in, int size, vc_error *error) {
  vc_image scaled = {0};
  *out = (vc_image){0};
  vc_status status = short_side_resize(&scaled, in, size, VC_BICUBIC, error);
  if (!status)
    status = vc_crop(out, &scaled, vc_crop_origin(scaled.width, size), vc_crop_origin(scaled.height, size), size, size,
                     error);
  vc_image_free(&scaled);
  return status;
}

// ---- tensors

void vc_to_tensor(float *out, const vc_image *in) {
  size_t plane = (size_t)in->width * (size_t)in->height;
  for (int c = 0; c < 3; c++)
    for (size_t i = 0; i < plane; i++) out[(size_t)c * plane + i] = (float)in->rgb[i * 3 + (size_t)c] / 255;
}

void vc_normalise(float *x, int channels, size_t plane, const float *mean, const float *std) {
  for (int c = 0; c < channels; c++, x += plane)
    for (size_t i = 0; i < plane; i++) x[i] = (x[i] - mean[c]) / std[c];
}

static int nearest(int i, int n_in, int n_out) {
  int j = (int)floor(i * ((double)n_in / n_out));
  return j < n_in ? j : n_in - 1;
}

void vc_resize_nearest(void *out, int out_height, int out_width, const void *in, int height, int width,
                       size_t element) {
  char *to = out;
  for (int y = 0; y < out_height; y++) {
    const char *row = (const char *)in + (size_t)nearest(y, height, out_height) * (size_t)width * element;
    for (int x = 0; x < out_width; x++, to += element)
      memcpy(to, row + (size_t)nearest(x, width, out_width) * element, element);
  }
}

void vc_masked_condition(float *out, const float *frames, const float *mask, int f, size_t plane) {
  for (int t = 0; t < f; t++) {
    for (int c = 0; c < 3; c++, out += plane, frames += plane)
      for (size_t i = 0; i < plane; i++) out[i] = (frames[i] - 0.5f) / 0.5f * (1 - mask[i]);
    for (size_t i = 0; i < plane; i++) out[i] = 1 - mask[i];
    out += plane;
  }
}
