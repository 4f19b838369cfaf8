// Cases of masks, of the inpainting condition, and of shapes that walk along a path.
#include <stdlib.h>
#include <string.h>

#include "engine/case_prep.h"
#include "engine/masks.h"
#include "engine/motion.h"
#include "loaders/resample.h"

enum { FARTHEST = 1 << 20 };  // coordinates beyond it overflow nothing yet

typedef struct mask_config {
  int64_t width, height, size;
} mask_config;

static vc_status read_config(const vc_case *c, mask_config *out, vc_error *error) {
  static const vc_json_field fields[] = {
      {.name = "width", .at = offsetof(mask_config, width), .least = 1, .most = VC_IMAGE_MAX_SIDE, .required = true},
      {.name = "height", .at = offsetof(mask_config, height), .least = 1, .most = VC_IMAGE_MAX_SIDE, .required = true},
      {.name = "size", .at = offsetof(mask_config, size), .least = 1, .most = VC_IMAGE_MAX_SIDE, .required = true}};
  *out = (mask_config){0};
  return vc_case_config(c, fields, sizeof fields / sizeof *fields, out, error);
}

static vc_status mask_result(vc_case *c, const char *name, int64_t height, int64_t width, uint8_t **out,
                             vc_error *error) {
  void *data = NULL;
  vc_status status = vc_case_new_tensor(c, name, VC_U8, 2, (const int64_t[]){height, width}, &data, error);
  *out = data;
  return status;
}

// The mask as it is, if the case wants it, and scaled to the size.
static vc_status mask_results(vc_case *c, const mask_config *config, const uint8_t *mask, const char *scaled_name,
                              vc_error *error) {
  uint8_t *to;
  vc_status status = VC_OK;
  if (vc_case_wanted(c, "mask")) {
    status = mask_result(c, "output/mask", config->height, config->width, &to, error);
    if (!status) memcpy(to, mask, (size_t)(config->height * config->width));
  }
  if (!status) status = mask_result(c, scaled_name, config->size, config->size, &to, error);
  if (!status)
    vc_resize_nearest(to, (int)config->size, (int)config->size, mask, (int)config->height, (int)config->width, 1);
  return status;
}

// Rows of `columns` numbers, none farther out than FARTHEST, and an empty mask.
static vc_status read_rows(vc_case *c, const char *name, int columns, mask_config *config, int64_t **rows,
                           int64_t *count, uint8_t **mask, vc_error *error) {
  *rows = NULL;
  *mask = NULL;
  vc_status status = read_config(c, config, error);
  if (!status) status = vc_case_integers(c, name, 2, (const int64_t[]){VC_ANY, columns}, rows, count, error);
  for (int64_t i = 0; i < *count && !status; i++)
    if ((*rows)[i] < -FARTHEST || (*rows)[i] > FARTHEST)
      status = vc_fail(error, VC_FAILED, "input/%s holds %lld, which is far outside the picture", name,
                       (long long)(*rows)[i]);
  *count /= columns;
  if (!status && !(*mask = calloc((size_t)config->height, (size_t)config->width)))
    status = vc_fail(error, VC_NO_MEMORY, "no memory for a mask");
  return status;
}

vc_status vc_case_mask_strokes(vc_case *c, vc_error *error) {
  mask_config config;
  int64_t *rows, count = 0;
  uint8_t *mask;
  vc_status status = read_rows(c, "lines", 5, &config, &rows, &count, &mask, error);
  for (int64_t i = 0; i < count && !status; i++) {
    const int64_t *r = rows + 5 * i;
    vc_mask_line line = {(int)r[0], (int)r[1], (int)r[2], (int)r[3], (int)r[4]};
    vc_mask_draw_line(mask, (int)config.height, (int)config.width, &line);
  }
  if (!status) status = mask_results(c, &config, mask, "output/mask384", error);
  free(rows);
  free(mask);
  return status;
}

vc_status vc_case_mask_rectangles(vc_case *c, vc_error *error) {
  mask_config config;
  int64_t *rows, count = 0;
  uint8_t *mask;
  vc_status status = read_rows(c, "boxes", 4, &config, &rows, &count, &mask, error);
  for (int64_t i = 0; i < count && !status; i++) {
    const int64_t *r = rows + 4 * i;
    vc_mask_draw_rectangle(mask, (int)config.height, (int)config.width, (int)r[0], (int)r[1], (int)r[2], (int)r[3]);
  }
  if (!status) status = mask_results(c, &config, mask, "output/mask384", error);
  free(rows);
  free(mask);
  return status;
}

vc_status vc_case_mask_uncrop(vc_case *c, vc_error *error) {
  mask_config config;
  vc_status status = read_config(c, &config, error);
  for (int side = 0; side < 4 && !status; side++) {
    uint8_t *mask = calloc((size_t)config.height, (size_t)config.width);
    if (!mask) return vc_fail(error, VC_NO_MEMORY, "no memory for a mask");
    vc_mask_draw_half(mask, (int)config.height, (int)config.width, side);
    status = mask_results(c, &config, mask, vc_pathf("output/side%d", side).text, error);
    free(mask);
  }
  return status;
}

vc_status vc_case_masked_condition(vc_case *c, vc_error *error) {
  const vc_tensor *frames, *mask;
  float *frame_values = NULL, *mask_values = NULL, *out;
  vc_status status = vc_case_input(c, "frames", 4, (const int64_t[]){VC_ANY, 3, VC_ANY, VC_ANY}, &frames, error);
  if (!status) status = vc_case_input(c, "mask", 2, frames->dim + 2, &mask, error);
  if (!status) status = vc_case_floats(frames, false, &frame_values, error);
  if (!status) status = vc_case_floats(mask, false, &mask_values, error);
  if (!status) {
    int64_t dim[4] = {frames->dim[0], 4, frames->dim[2], frames->dim[3]};
    status = vc_case_new_result(c, "output/masked", 4, dim, &out, error);
    if (!status) vc_masked_condition(out, frame_values, mask_values, (int)dim[0], (size_t)dim[2] * (size_t)dim[3]);
  }
  free(frame_values);
  free(mask_values);
  return status;
}

// ---- strokes as the reference defines them

typedef struct walk_config {
  int64_t frames, size, block;
} walk_config;

vc_status vc_case_motion_strokes(vc_case *c, vc_error *error) {
  static const vc_json_field fields[] = {
      {.name = "frames", .at = offsetof(walk_config, frames), .least = 1, .most = 4096},
      {.name = "size", .at = offsetof(walk_config, size), .least = 1, .most = 4096},
      {.name = "block", .at = offsetof(walk_config, block), .least = 1, .most = 4096}};
  walk_config config = {16, 256, 16};
  const vc_tensor *shape, *path;
  float *points = NULL, *out;
  vc_status status = vc_case_config(c, fields, sizeof fields / sizeof *fields, &config, error);
  int64_t size = config.size;
  if (!status) status = vc_case_input(c, "shape", 2, (const int64_t[]){size, size}, &shape, error);
  if (!status && shape->dtype != VC_BOOL && shape->dtype != VC_U8)
    status = vc_fail(error, VC_FAILED, "input/shape is %s, expected BOOL", vc_dtype_name(shape->dtype));
  if (!status) status = vc_case_input(c, "path", 2, (const int64_t[]){VC_ANY, 2}, &path, error);
  if (!status && path->dim[0] > 1 << 20) status = vc_fail(error, VC_FAILED, "input/path has too many points");
  if (!status) status = vc_case_floats(path, false, &points, error);
  if (!status)
    status = vc_case_new_result(c, "output/motion", 4, (const int64_t[]){config.frames, 2, size, size}, &out, error);
  if (!status) {
    vc_shape_walk walk = {shape->data,        points,           (int)path->dim[0],
                          (int)config.frames, (int)config.size, (int)config.block};
    status = vc_shape_motion(out, &walk, error);
  }
  free(points);
  return status;
}
