// Cases of videos: decoded frames, motion vectors, the field that they make, and the choice of frames at a rate.
#include <libavutil/frame.h>
#include <libavutil/pixdesc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "engine/case_prep.h"
#include "engine/motion.h"
#include "loaders/frames.h"

// ---- decoded frames

typedef struct frame_facts {
  int64_t pts, yuv_crc, rgb_crc;
  double mean[3];
  uint8_t type;
} frame_facts;

typedef struct decode_run {
  vc_case *c;
  int64_t whole;  // the frame that is kept entirely; -1: none
  frame_facts *frame;
  int count;
  uint8_t *rgb;
  vc_video_rgb converter;
} decode_run;

// Bytes of a row of plane p: one for each sample of its width, as the reference counts them.
static size_t plane_width(const AVFrame *frame, const AVPixFmtDescriptor *format, int p) {
  bool chroma = p == 1 || p == 2;
  return (size_t)(chroma ? AV_CEIL_RSHIFT(frame->width, format->log2_chroma_w) : frame->width);
}

static size_t plane_height(const AVFrame *frame, const AVPixFmtDescriptor *format, int p) {
  bool chroma = p == 1 || p == 2;
  return (size_t)(chroma ? AV_CEIL_RSHIFT(frame->height, format->log2_chroma_h) : frame->height);
}

static int64_t crc_of_planes(const AVFrame *frame, const AVPixFmtDescriptor *format) {
  uLong crc = 0;
  for (int p = 0; p < AV_NUM_DATA_POINTERS && frame->data[p]; p++)
    for (size_t y = 0; y < plane_height(frame, format, p); y++)
      crc = crc32(crc, frame->data[p] + (ptrdiff_t)y * frame->linesize[p], (uInt)plane_width(frame, format, p));
  return (int64_t)crc;
}

static vc_status keep_whole(decode_run *run, const AVFrame *frame, const AVPixFmtDescriptor *format, vc_error *error) {
  static const char *const names[3] = {"output/y", "output/u", "output/v"};
  void *to = NULL;
  vc_status status = VC_OK;
  for (int p = 0; p < 3 && frame->data[p] && !status; p++) {
    size_t height = plane_height(frame, format, p), width = plane_width(frame, format, p);
    status =
        vc_case_new_tensor(run->c, names[p], VC_U8, 2, (const int64_t[]){(int64_t)height, (int64_t)width}, &to, error);
    for (size_t y = 0; y < height && !status; y++)
      memcpy((uint8_t *)to + y * width, frame->data[p] + (ptrdiff_t)y * frame->linesize[p], width);
  }
  int64_t dim[3] = {frame->height, frame->width, 3};
  if (!status) status = vc_case_new_tensor(run->c, "output/rgb", VC_U8, 3, dim, &to, error);
  if (!status) memcpy(to, run->rgb, (size_t)(dim[0] * dim[1] * 3));
  return status;
}

static vc_status look_at(void *opaque, const vc_video_info *info, const AVFrame *frame, bool *stop, vc_error *error) {
  decode_run *run = opaque;
  const AVPixFmtDescriptor *format = av_pix_fmt_desc_get(frame->format);
  size_t pixels = (size_t)frame->width * (size_t)frame->height;
  (void)info;
  (void)stop;
  if (!format) return vc_fail(error, VC_FAILED, "frames of an unknown pixel format");
  if (!(run->count & (run->count - 1))) {
    frame_facts *more = realloc(run->frame, (run->count ? 2 * (size_t)run->count : 1) * sizeof *more);
    if (!more) return vc_fail(error, VC_NO_MEMORY, "no memory for the facts of %d frames", run->count);
    run->frame = more;
  }
  if (!run->rgb && !(run->rgb = malloc(pixels * 3))) return vc_fail(error, VC_NO_MEMORY, "no memory for a frame");
  vc_status status = vc_video_to_rgb(&run->converter, run->rgb, frame, false, error);
  if (status) return status;
  frame_facts *f = &run->frame[run->count];
  double sum[3] = {0};
  for (size_t i = 0; i < pixels; i++)
    for (int k = 0; k < 3; k++) sum[k] += run->rgb[3 * i + (size_t)k];
  *f = (frame_facts){.pts = frame->pts == AV_NOPTS_VALUE ? -1 : frame->pts,
                     .yuv_crc = crc_of_planes(frame, format),
                     .rgb_crc = (int64_t)crc32_z(0, run->rgb, pixels * 3),
                     .type = (uint8_t)av_get_picture_type_char(frame->pict_type)};
  for (int k = 0; k < 3; k++) f->mean[k] = sum[k] / (double)pixels;
  if (run->count++ == run->whole) status = keep_whole(run, frame, format, error);
  return status;
}

static vc_status decode_results(decode_run *run, vc_error *error) {
  const struct {
    const char *name;
    vc_dtype dtype;
    size_t at, size;
  } results[] = {{"output/pts", VC_I64, offsetof(frame_facts, pts), 8},
                 {"output/yuv_crc32", VC_I64, offsetof(frame_facts, yuv_crc), 8},
                 {"output/rgb_crc32", VC_I64, offsetof(frame_facts, rgb_crc), 8},
                 {"output/types", VC_U8, offsetof(frame_facts, type), 1},
                 {"output/rgb_mean", VC_F64, offsetof(frame_facts, mean), 24}};
  vc_status status = VC_OK;
  for (size_t r = 0; r < sizeof results / sizeof *results && !status; r++) {
    void *to = NULL;
    status = vc_case_new_tensor(run->c, results[r].name, results[r].dtype, results[r].size == 24 ? 2 : 1,
                                (const int64_t[]){run->count, 3}, &to, error);
    for (int i = 0; i < run->count && !status; i++)
      memcpy((char *)to + (size_t)i * results[r].size, (const char *)&run->frame[i] + results[r].at, results[r].size);
  }
  return status;
}

vc_status vc_case_video_decode(vc_case *c, vc_error *error) {
  static const vc_json_field fields[] = {
      {.name = "whole_frame", .at = offsetof(decode_run, whole), .least = 0, .most = VC_FRAMES_MAX_COUNT}};
  decode_run run = {.c = c, .whole = -1};
  char *path = NULL;
  vc_status status = vc_case_config(c, fields, 1, &run, error);
  if (!status) status = vc_case_media(c, &path, error);
  if (!status) status = vc_video_decode(path, NULL, look_at, &run, NULL, error);
  if (!status) status = decode_results(&run, error);
  vc_video_rgb_free(&run.converter);
  free(run.frame);
  free(run.rgb);
  free(path);
  return status;
}

// ---- motion

vc_status vc_case_motion_vectors(vc_case *c, vc_error *error) {
  const vc_tensor *wanted = vc_case_wanted(c, "types");
  vc_vectors v = {0};
  char *path = NULL;
  void *rows = NULL, *offsets = NULL, *types = NULL;
  // Cases may hold the beginning of a video only.
  int limit = wanted && wanted->rank == 1 && wanted->dim[0] <= VC_FRAMES_MAX_COUNT ? (int)wanted->dim[0] : 0;
  vc_status status = vc_case_media(c, &path, error);
  if (!status) status = vc_vectors_read(&v, path, limit, NULL, error);
  int64_t count = status ? 0 : v.offset[v.frames];
  if (!status)
    status =
        vc_case_new_tensor(c, "output/vectors", VC_I16, 2, (const int64_t[]){count, VC_VECTOR_COLUMNS}, &rows, error);
  if (!status)
    status = vc_case_new_tensor(c, "output/offsets", VC_I64, 1, (const int64_t[]){v.frames + 1}, &offsets, error);
  if (!status) status = vc_case_new_tensor(c, "output/types", VC_U8, 1, (const int64_t[]){v.frames}, &types, error);
  if (!status) {
    if (count) memcpy(rows, v.row, (size_t)count * sizeof *v.row);
    memcpy(offsets, v.offset, ((size_t)v.frames + 1) * sizeof *v.offset);
    memcpy(types, v.type, (size_t)v.frames);
  }
  vc_vectors_free(&v);
  free(path);
  return status;
}

// The case's vectors as if they had been read from a video.
static vc_status input_vectors(const vc_case *c, vc_vectors *v, vc_error *error) {
  const vc_tensor *rows = vc_case_find(c, "vectors");
  int64_t count = 0;
  *v = (vc_vectors){0};
  if (!rows || rows->rank != 2 || rows->dim[1] != VC_VECTOR_COLUMNS || rows->dtype != VC_I16)
    return vc_fail(error, VC_FAILED, "input/vectors must be there as I16 [rows, %d]", VC_VECTOR_COLUMNS);
  vc_status status = vc_case_integers(c, "offsets", 1, (const int64_t[]){VC_ANY}, &v->offset, &count, error);
  if (!status && (count < 2 || count > VC_FRAMES_MAX_COUNT || v->offset[0] < 0 || v->offset[count - 1] > rows->dim[0]))
    status = vc_fail(error, VC_FAILED, "input/offsets must begin and end within the vectors");
  for (int64_t i = 1; i < count && !status; i++)
    if (v->offset[i] < v->offset[i - 1]) status = vc_fail(error, VC_FAILED, "input/offsets must not decrease");
  if (!status && !(v->row = malloc((size_t)rows->dim[0] * sizeof *v->row + 1)))
    status = vc_fail(error, VC_NO_MEMORY, "no memory for motion vectors");
  if (status) return status;
  memcpy(v->row, rows->data, (size_t)rows->dim[0] * sizeof *v->row);
  v->frames = (int)count - 1;
  return VC_OK;
}

typedef struct field_config {
  int64_t height, width, size;
} field_config;

// The full-size fields, if the case wants them, and how much of each moves.
static vc_status field_results(vc_case *c, const vc_vectors *v, const field_config *config, vc_error *error) {
  int64_t plane = config->height * config->width;
  bool wanted = vc_case_wanted(c, "field") != NULL;
  void *fields = NULL, *nonzero = NULL;
  double *scratch = NULL;
  vc_status status = vc_case_new_tensor(c, "output/nonzero", VC_I64, 1, (const int64_t[]){v->frames}, &nonzero, error);
  if (!status && wanted)
    status = vc_case_new_tensor(c, "output/field", VC_F64, 4,
                                (const int64_t[]){v->frames, 2, config->height, config->width}, &fields, error);
  else if (!status && !(scratch = malloc((size_t)(2 * plane) * sizeof *scratch)))
    status = vc_fail(error, VC_NO_MEMORY, "no memory for a motion field");
  for (int f = 0; f < v->frames && !status; f++)
    status = vc_motion_field(wanted ? (double *)fields + f * 2 * plane : scratch, v->row + v->offset[f],
                             v->offset[f + 1] - v->offset[f], (int)config->height, (int)config->width,
                             (int64_t *)nonzero + f, error);
  free(scratch);
  return status;
}

static vc_status condition_result(vc_case *c, const vc_vectors *v, const field_config *config, vc_error *error) {
  vc_tensor motion = {0};
  float *to;
  int size = (int)config->size;
  int *pick = malloc((size_t)v->frames * sizeof *pick);
  if (!pick) return vc_fail(error, VC_NO_MEMORY, "no memory for frame numbers");
  for (int f = 0; f < v->frames; f++) pick[f] = f;
  vc_status status =
      vc_motion_condition(&motion, v, pick, v->frames, (int)config->height, (int)config->width, size, size, error);
  if (!status)
    status = vc_case_new_result(c, "output/motion", 4, (const int64_t[]){v->frames, 2, size, size}, &to, error);
  if (!status) vc_channels_first(to, motion.data, v->frames, (int64_t)size * size, 2);
  vc_tensor_free(&motion);
  free(pick);
  return status;
}

vc_status vc_case_motion_field(vc_case *c, vc_error *error) {
  static const vc_json_field fields[] = {
      {.name = "height", .at = offsetof(field_config, height), .least = 1, .most = VC_IMAGE_MAX_SIDE, .required = true},
      {.name = "width", .at = offsetof(field_config, width), .least = 1, .most = VC_IMAGE_MAX_SIDE, .required = true},
      {.name = "size", .at = offsetof(field_config, size), .least = 1, .most = VC_IMAGE_MAX_SIDE}};
  field_config config = {.size = 256};
  vc_vectors v = {0};
  vc_status status = vc_case_config(c, fields, sizeof fields / sizeof *fields, &config, error);
  if (!status) status = input_vectors(c, &v, error);
  if (!status) status = field_results(c, &v, &config, error);
  if (!status) status = condition_result(c, &v, &config, error);
  vc_vectors_free(&v);
  return status;
}

// ---- rates

vc_status vc_case_fps_select(vc_case *c, vc_error *error) {
  vc_ratio time_base, frame_rate;
  int64_t *pts = NULL, count = 0;
  vc_status status = vc_case_ratio(c, "time_base", &time_base, error);
  if (!status) status = vc_case_ratio(c, "r_frame_rate", &frame_rate, error);
  if (!status) status = vc_case_integers(c, "pts", 1, (const int64_t[]){VC_ANY}, &pts, &count, error);
  if (!status && count > VC_FRAMES_MAX_COUNT)
    status = vc_fail(error, VC_FAILED, "input/pts has more than %d frames", VC_FRAMES_MAX_COUNT);
  for (int i = 0; i < c->file->count && !status; i++) {
    const char *name = c->file->tensor[i].name;
    int rate = 0, used = 0, found = 0, *index = NULL;
    if (sscanf(name, "output/fps_%7d%n", &rate, &used) != 1 || name[used]) continue;
    void *to = NULL;
    status = vc_fps_select(&index, &found, pts, (int)count, time_base, frame_rate, (vc_ratio){rate, 1},
                           VC_FRAMES_MAX_COUNT, error);
    if (!status) status = vc_case_new_tensor(c, name, VC_I64, 1, (const int64_t[]){found}, &to, error);
    for (int k = 0; k < found && !status; k++) ((int64_t *)to)[k] = index[k];
    free(index);
  }
  free(pts);
  return status;
}
