#include "engine/motion.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "loaders/resample.h"

// ---- scattering

// Which row each pixel of a picture holds: its number + 1, or 0. Small beside the two doubles that it stands for.
typedef struct vector_map {
  const vc_vector *row;
  int height, width;
  uint32_t *at;
} vector_map;

static int clamp(int value, int most) {
  return value < 0 ? 0 : value > most ? most : value;
}

static vc_status scatter(vector_map *map, const vc_vector *row, int64_t rows, vc_error *error) {
  memset(map->at, 0, (size_t)map->height * (size_t)map->width * sizeof *map->at);
  map->row = row;
  for (int64_t i = 0; i < rows; i++) {
    if (!row[i][VC_VECTOR_SCALE]) return vc_fail(error, VC_FAILED, "motion vector %lld has scale 0", (long long)i);
    int x = clamp(row[i][VC_VECTOR_DST_X], map->width - 1), y = clamp(row[i][VC_VECTOR_DST_Y], map->height - 1);
    map->at[(size_t)y * (size_t)map->width + (size_t)x] = (uint32_t)i + 1;
  }
  return VC_OK;
}

static vc_status new_map(vector_map *map, int height, int width, vc_error *error) {
  *map = (vector_map){.height = height, .width = width};
  size_t size = 0;
  if (height < 1 || width < 1 || !vc_mul_size((size_t)height, (size_t)width, &size) ||
      size > SIZE_MAX / sizeof *map->at)
    return vc_fail(error, VC_INVALID, "a motion field of %d x %d is not possible", width, height);
  map->at = malloc(size * sizeof *map->at);
  return map->at ? VC_OK : vc_fail(error, VC_NO_MEMORY, "no memory for a motion field of %d x %d", width, height);
}

static double displacement(const vc_vector row, int axis) {
  return (double)((int)row[VC_VECTOR_SOURCE] * row[VC_VECTOR_MOTION_X + axis]) / row[VC_VECTOR_SCALE];
}

static double value_at(const vector_map *map, int y, int x, int axis) {
  uint32_t at = map->at[(size_t)y * (size_t)map->width + (size_t)x];
  return at ? displacement(map->row[at - 1], axis) : 0;
}

vc_status vc_motion_field(double *field, const vc_vector *row, int64_t rows, int height, int width, int64_t *nonzero,
                          vc_error *error) {
  vector_map map;
  vc_status status = new_map(&map, height, width, error);
  if (!status) status = scatter(&map, row, rows, error);
  int64_t count = 0;
  size_t plane = (size_t)height * (size_t)width;
  for (int y = 0; y < height && !status; y++)
    for (int x = 0; x < width; x++, field++) {
      field[0] = value_at(&map, y, x, 0);
      field[plane] = value_at(&map, y, x, 1);
      count += field[0] != 0 || field[plane] != 0;
    }
  if (nonzero) *nonzero = count;
  free(map.at);
  return status;
}

// ---- the condition

// Where a sample of the scaled picture lies: between two of the original, `weight` towards the second.
typedef struct tap {
  int first, second;
  double weight;
} tap;

static tap *taps_of(int n_in, int scaled, int n_out) {
  tap *taps = malloc((size_t)n_out * sizeof *taps);
  double scale = (double)n_in / scaled;
  int origin = vc_crop_origin(scaled, n_out);
  for (int i = 0; i < n_out && taps; i++) {
    double at = fmax(0, (i + origin + 0.5) * scale - 0.5);
    int first = clamp((int)at, n_in - 1);
    taps[i] = (tap){first, first + 1 < n_in ? first + 1 : first, at - first};
  }
  return taps;
}

static void sample_frame(float *to, const vector_map *map, const tap *rows, const tap *columns, int height, int width) {
  for (int y = 0; y < height; y++)
    for (int x = 0; x < width; x++, to += 2) {
      const tap *r = &rows[y], *c = &columns[x];
      for (int k = 0; k < 2; k++) {
        double above =
            (1 - c->weight) * value_at(map, r->first, c->first, k) + c->weight * value_at(map, r->first, c->second, k);
        double below = (1 - c->weight) * value_at(map, r->second, c->first, k) +
                       c->weight * value_at(map, r->second, c->second, k);
        to[k] = (float)((1 - r->weight) * above + r->weight * below);
      }
    }
}

// The size that just covers out_width x out_height, its longer side truncated.
static void cover_size(int height, int width, int out_height, int out_width, int *scaled_height, int *scaled_width) {
  *scaled_height = out_height;
  *scaled_width = out_width;
  if ((int64_t)width * out_height >= (int64_t)height * out_width)
    *scaled_width = (int)fmin(INT32_MAX, (double)((int64_t)out_height * width) / height);
  else
    *scaled_height = (int)fmin(INT32_MAX, (double)((int64_t)out_width * height) / width);
}

vc_status vc_motion_condition(vc_tensor *out, const vc_vectors *v, const int *pick, int count, int height, int width,
                              int out_height, int out_width, vc_error *error) {
  int scaled_height, scaled_width;
  vector_map map = {0};
  tap *rows = NULL, *columns = NULL;
  *out = (vc_tensor){0};
  vc_status status = new_map(&map, height, width, error);
  if (status) return status;
  cover_size(height, width, out_height, out_width, &scaled_height, &scaled_width);
  rows = taps_of(height, scaled_height, out_height);
  columns = taps_of(width, scaled_width, out_width);
  if (!rows || !columns) status = vc_fail(error, VC_NO_MEMORY, "no memory for a motion field");
  if (!status) status = vc_tensor_new(out, VC_F32, 4, (const int64_t[]){count, out_height, out_width, 2}, error);
  size_t frame = (size_t)out_height * (size_t)out_width * 2;
  for (int f = 0; f < count && !status; f++) {
    // New tensors are zero: nothing is left to do for a frame without vectors.
    if (pick[f] < 0 || v->offset[pick[f] + 1] == v->offset[pick[f]]) continue;
    int64_t first = v->offset[pick[f]];
    status = scatter(&map, v->row + first, v->offset[pick[f] + 1] - first, error);
    if (!status) sample_frame((float *)out->data + (size_t)f * frame, &map, rows, columns, out_height, out_width);
  }
  free(map.at);
  free(rows);
  free(columns);
  if (status) vc_tensor_free(out);
  return status;
}

double vc_motion_amount(const vc_tensor *motion, int64_t frame) {
  size_t size = (size_t)(motion->dim[1] * motion->dim[2] * 2);
  const float *from = (const float *)motion->data + (size_t)frame * size;
  double sum = 0;
  for (size_t i = 0; i < size; i++) sum += fabs((double)from[i]);
  return sum;
}

void vc_motion_blocks(uint8_t *mask, const vc_vector *row, int64_t rows, int height, int width) {
  for (int64_t i = 0; i < rows; i++) {
    const int16_t *r = row[i];
    if (!r[VC_VECTOR_MOTION_X] && !r[VC_VECTOR_MOTION_Y]) continue;
    int left = r[VC_VECTOR_DST_X] - r[VC_VECTOR_W] / 2, top = r[VC_VECTOR_DST_Y] - r[VC_VECTOR_H] / 2;
    int right = clamp(left + r[VC_VECTOR_W], width), bottom = clamp(top + r[VC_VECTOR_H], height);
    left = clamp(left, width);
    for (int y = clamp(top, height); y < bottom && left < right; y++)
      memset(mask + (size_t)y * (size_t)width + (size_t)left, 1, (size_t)(right - left));
  }
}

vc_status vc_motion_mask(vc_tensor *out, const vc_tensor *motion, int block, vc_error *error) {
  int64_t frames = motion->dim[0], height = motion->dim[1], width = motion->dim[2];
  vc_status status = vc_tensor_new(out, VC_U8, 4, (const int64_t[]){frames, height, width, 1}, error);
  if (status) return status;
  const float *from = motion->data;
  uint8_t *to = out->data;
  for (int64_t f = 0; f < frames; f++, to += height * width)
    for (int64_t y = 0; y < height; y++)
      for (int64_t x = 0; x < width; x++, from += 2) {
        if (from[0] == 0 && from[1] == 0) continue;
        int64_t top = y / block * block, left = x / block * block;
        int64_t right = left + block < width ? left + block : width;
        for (int64_t row = top; row < top + block && row < height; row++)
          memset(to + row * width + left, 1, (size_t)(right - left));
      }
  return VC_OK;
}

// ---- shapes on a path

// Where the path is after `at` of its length: run[i] is the length up to point i.
static void walk_to(const vc_shape_walk *w, const double *run, double at, double out[2]) {
  int i = 0;
  while (i + 2 < w->points && run[i + 1] <= at) i++;
  const float *from = w->path + 2 * i, *to = from + 2;
  double span = run[i + 1] - run[i];
  bool there = at >= run[w->points - 1];
  for (int k = 0; k < 2; k++) {
    double a = (double)from[k], b = (double)to[k];
    out[k] = there ? (double)w->path[2 * (w->points - 1) + k] : span > 0 ? (b - a) / span * (at - run[i]) + a : a;
  }
}

static void stamp(float *out, const vc_shape_walk *w, const double moved[2], const double step[2]) {
  size_t plane = (size_t)w->size * (size_t)w->size;
  for (int y = w->block / 2; y < w->size; y += w->block)
    for (int x = w->block / 2; x < w->size; x += w->block) {
      double u = nearbyint(x - moved[0]), v = nearbyint(y - moved[1]);
      if (!(u >= 0 && u < w->size && v >= 0 && v < w->size)) continue;
      if (!w->shape[(size_t)v * (size_t)w->size + (size_t)u]) continue;
      size_t at = (size_t)y * (size_t)w->size + (size_t)x;
      out[at] = (float)step[0];
      out[plane + at] = (float)step[1];
    }
}

vc_status vc_shape_motion(float *out, const vc_shape_walk *w, vc_error *error) {
  if (w->points < 2 || w->frames < 1 || w->size < 1 || w->block < 1)
    return vc_fail(error, VC_INVALID,
                   "a path of %d points, %d frames, a size of %d and blocks of %d do not make a motion", w->points,
                   w->frames, w->size, w->block);
  double *run = calloc((size_t)w->points, sizeof *run);
  if (!run) return vc_fail(error, VC_NO_MEMORY, "no memory for a path of %d points", w->points);
  for (int i = 1; i < w->points; i++) {
    const float *a = w->path + 2 * (i - 1), *b = a + 2;
    run[i] = run[i - 1] + sqrt(pow((double)b[0] - (double)a[0], 2) + pow((double)b[1] - (double)a[1], 2));
  }
  size_t frame = 2 * (size_t)w->size * (size_t)w->size;
  memset(out, 0, (size_t)w->frames * frame * sizeof *out);
  double start[2], last[2], length = run[w->points - 1];
  walk_to(w, run, 0, start);
  memcpy(last, start, sizeof last);
  for (int t = 1; t < w->frames; t++) {
    double now[2];
    walk_to(w, run, t == w->frames - 1 ? length : t * (length / (w->frames - 1)), now);
    stamp(out + (size_t)t * frame, w, (const double[]){now[0] - start[0], now[1] - start[1]},
          (const double[]){now[0] - last[0], now[1] - last[1]});
    memcpy(last, now, sizeof last);
  }
  free(run);
  return VC_OK;
}
