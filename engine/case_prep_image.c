// Cases of pictures: resizing, crops, and what networks get of image files and video frames.
#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/case_prep.h"
#include "loaders/frames.h"
#include "loaders/resample.h"

// Calls `each` for every input whose name begins with "image"; `suffix` is what follows.
typedef vc_status (*image_function)(vc_case *c, const char *name, const char *suffix, const vc_image *image,
                                    vc_filter filter, vc_error *error);

static vc_status for_images(vc_case *c, image_function each, vc_filter filter, vc_error *error) {
  vc_status status = VC_OK;
  int found = 0;
  for (int i = 0; i < c->file->count && !status; i++) {
    const char *name = c->file->tensor[i].name;
    if (strncmp(name, "input/image", 11) != 0) continue;
    vc_image image;
    status = vc_case_image(c, name + 6, &image, error);
    if (!status) status = each(c, name + 6, name + 11, &image, filter, error);
    found++;
  }
  return status || found ? status : vc_fail(error, VC_FAILED, "input/image0 is missing");
}

// The reference's shape is the size that is wanted.
static vc_status resize_one(vc_case *c, const char *name, const char *suffix, const vc_image *image, vc_filter filter,
                            vc_error *error) {
  const vc_tensor *wanted = vc_case_wanted(c, name);
  vc_image out;
  (void)suffix;
  if (!wanted) return VC_OK;
  if (wanted->rank != 3 || !vc_image_size_ok(wanted->dim[1], wanted->dim[0]))
    return vc_fail(error, VC_FAILED, "output/%s is no picture [height, width, 3]", name);
  vc_status status = vc_image_resize(&out, image, (int)wanted->dim[1], (int)wanted->dim[0], filter, error);
  return status ? status : vc_case_image_result(c, name, &out, error);
}

vc_status vc_case_resize_box(vc_case *c, vc_error *error) {
  return for_images(c, resize_one, VC_BOX, error);
}

vc_status vc_case_resize_bilinear(vc_case *c, vc_error *error) {
  return for_images(c, resize_one, VC_BILINEAR, error);
}

vc_status vc_case_resize_bicubic(vc_case *c, vc_error *error) {
  return for_images(c, resize_one, VC_BICUBIC, error);
}

vc_status vc_case_resize_lanczos(vc_case *c, vc_error *error) {
  return for_images(c, resize_one, VC_LANCZOS, error);
}

static vc_status crop_one(vc_case *c, const char *name, const char *suffix, const vc_image *image, vc_filter filter,
                          vc_error *error) {
  const cJSON *sizes = cJSON_GetObjectItemCaseSensitive(c->config, "sizes");
  const cJSON *size = cJSON_GetObjectItemCaseSensitive(sizes, name);
  vc_image out;
  (void)filter;
  if (!cJSON_IsNumber(size) || !(size->valuedouble >= 1 && size->valuedouble <= VC_IMAGE_MAX_SIDE))
    return vc_fail(error, VC_FAILED, "config: sizes has no size of 1 to %d for %s", VC_IMAGE_MAX_SIDE, name);
  vc_status status = vc_center_crop_v2(&out, image, (int)size->valuedouble, error);
  if (!status) status = vc_case_image_result(c, vc_pathf("v2_%.100s", suffix).text, &out, error);
  if (!status) status = vc_clip_resize(&out, image, (int)size->valuedouble, error);
  return status ? status : vc_case_image_result(c, vc_pathf("clip_%.100s", suffix).text, &out, error);
}

vc_status vc_case_center_crop(vc_case *c, vc_error *error) {
  return for_images(c, crop_one, VC_BICUBIC, error);
}

// ---- what networks get

typedef enum square_kind { SQUARE_CLIP, SQUARE_CROP, SQUARE_BILINEAR, SQUARE_BICUBIC, SQUARE_LANCZOS } square_kind;

// The results that a picture has, as far as the case wants them; each has the reference's size.
typedef struct square_result {
  const char *name;
  square_kind kind;
} square_result;

static vc_status make_square(vc_image *out, const vc_image *image, square_kind kind, int size, vc_error *error) {
  if (kind == SQUARE_CLIP) return vc_clip_resize(out, image, size, error);
  if (kind == SQUARE_CROP) return vc_center_crop_v2(out, image, size, error);
  vc_filter filter = kind == SQUARE_BILINEAR ? VC_BILINEAR : kind == SQUARE_BICUBIC ? VC_BICUBIC : VC_LANCZOS;
  return vc_misc_resize(out, image, size, filter, error);
}

static vc_status check_side(const vc_tensor *wanted, int rank, const char *name, vc_error *error) {
  if (wanted->rank == rank && wanted->dim[rank - 3] >= 1 && wanted->dim[rank - 3] <= VC_IMAGE_MAX_SIDE) return VC_OK;
  return vc_fail(error, VC_FAILED, "output/%s is no square picture", name);
}

static vc_status make_squares(vc_case *c, const vc_image *image, const square_result *squares, size_t count,
                              vc_error *error) {
  vc_status status = VC_OK;
  for (size_t i = 0; i < count && !status; i++) {
    const vc_tensor *wanted = vc_case_wanted(c, squares[i].name);
    vc_image out;
    if (!wanted) continue;
    status = check_side(wanted, 3, squares[i].name, error);
    if (!status) status = make_square(&out, image, squares[i].kind, (int)wanted->dim[0], error);
    if (!status) status = vc_case_image_result(c, squares[i].name, &out, error);
  }
  return status;
}

// Decoders of JPEG may differ by 2: then the picture that the case holds counts. More is a fault of the decoder.
static vc_status check_decoded(const vc_image *decoded, const vc_image *kept, vc_error *error) {
  if (decoded->width != kept->width || decoded->height != kept->height)
    return vc_fail(error, VC_FAILED, "the file has %d x %d pixels and input/image %d x %d", decoded->width,
                   decoded->height, kept->width, kept->height);
  size_t size = (size_t)kept->width * (size_t)kept->height * 3;
  for (size_t i = 0; i < size; i++)
    if (abs(decoded->rgb[i] - kept->rgb[i]) > 2)
      return vc_fail(error, VC_FAILED, "byte %zu of the decoded file is %d and that of input/image %d", i,
                     decoded->rgb[i], kept->rgb[i]);
  return VC_OK;
}

vc_status vc_case_image_preprocess(vc_case *c, vc_error *error) {
  static const square_result squares[] = {{"clip", SQUARE_CLIP},
                                          {"crop224", SQUARE_CROP},
                                          {"misc_bilinear", SQUARE_BILINEAR},
                                          {"misc_bicubic", SQUARE_BICUBIC},
                                          {"misc_lanczos", SQUARE_LANCZOS}};
  vc_image kept = {0}, decoded = {0};
  char *path = NULL;
  vc_status status = VC_OK;
  bool has = vc_case_find(c, "image") != NULL;
  if (has) status = vc_case_image(c, "image", &kept, error);
  if (!status) {
    status = vc_case_media(c, &path, error);
    if (status && has) status = VC_OK;  // the picture itself is there
  }
  if (!status && path) status = vc_image_read(&decoded, path, error);
  if (!status && path && has) status = check_decoded(&decoded, &kept, error);
  if (!status) status = make_squares(c, has ? &kept : &decoded, squares, sizeof squares / sizeof *squares, error);
  vc_image_free(&decoded);
  free(path);
  return status;
}

enum { LIST_MAX = 64 };

typedef struct frames_config {
  int64_t first, frame;
  int64_t video[LIST_MAX];
  int video_count;
} frames_config;

static vc_status video_squares(vc_case *c, const frames_config *config, const vc_frames *clip, vc_error *error) {
  const vc_tensor *wanted = vc_case_wanted(c, "video");
  void *data = NULL;
  vc_status status = check_side(wanted, 4, "video", error);
  if (status) return status;
  int size = (int)wanted->dim[1];
  size_t bytes = (size_t)size * (size_t)size * 3;
  status = vc_case_new_tensor(c, "output/video", VC_U8, 4, (const int64_t[]){config->video_count, size, size, 3}, &data,
                              error);
  for (int i = 0; i < config->video_count && !status; i++) {
    vc_image frame = vc_frames_image(clip, (int)(config->first + config->video[i])), square = {0};
    status = vc_center_crop_v2(&square, &frame, size, error);
    if (!status) memcpy((uint8_t *)data + (size_t)i * bytes, square.rgb, bytes);
    vc_image_free(&square);
  }
  return status;
}

vc_status vc_case_video_frames(vc_case *c, vc_error *error) {
  static const square_result squares[] = {{"style", SQUARE_CROP},
                                          {"misc_bilinear", SQUARE_BILINEAR},
                                          {"misc_bicubic", SQUARE_BICUBIC},
                                          {"misc_lanczos", SQUARE_LANCZOS}};
  static const vc_json_field fields[] = {
      {.name = "first", .at = offsetof(frames_config, first), .least = 0, .most = VC_FRAMES_MAX_COUNT / 2},
      {.name = "video_frames",
       .at = offsetof(frames_config, video),
       .capacity = LIST_MAX,
       .count_at = offsetof(frames_config, video_count),
       .least = 0,
       .most = VC_FRAMES_MAX_COUNT / 2 - 1}};
  frames_config config = {0};
  vc_frames clip = {0};
  vc_image frame;
  char *path = NULL;
  vc_status status = vc_case_config(c, fields, sizeof fields / sizeof *fields, &config, error);
  if (!status) status = vc_case_image(c, "frame", &frame, error);
  if (!status) status = make_squares(c, &frame, squares, sizeof squares / sizeof *squares, error);
  if (status || !vc_case_wanted(c, "video") || !config.video_count) return status;
  int64_t last = 0;
  for (int i = 0; i < config.video_count; i++)
    if (config.first + config.video[i] > last) last = config.first + config.video[i];
  vc_frames_options options = {.stop_after = (int)last + 1};
  status = vc_case_media(c, &path, error);
  if (!status) status = vc_frames_read(&clip, path, &options, error);
  if (!status && clip.count <= last)
    status = vc_fail(error, VC_FAILED, "%s has %d frames, and frame %lld is wanted", path, clip.count, (long long)last);
  if (!status) status = video_squares(c, &config, &clip, error);
  vc_frames_free(&clip);
  free(path);
  return status;
}
