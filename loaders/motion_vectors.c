#include "loaders/motion_vectors.h"

#include <libavutil/avutil.h>
#include <libavutil/frame.h>
#include <libavutil/motion_vector.h>
#include <stdlib.h>
#include <string.h>

static vc_status reserve_rows(vc_vectors *v, int64_t more, vc_error *error) {
  int64_t have = v->frames ? v->offset[v->frames] : 0;
  if (more > VC_VECTORS_MAX_ROWS - have)
    return vc_fail(error, VC_FAILED, "more than %d motion vectors after %d frames: cut the clip first",
                   VC_VECTORS_MAX_ROWS, v->frames);
  if (have + more <= v->capacity) return VC_OK;
  int64_t room = v->capacity ? v->capacity : 4096;
  while (room < have + more) room *= 2;
  vc_vector *row = realloc(v->row, (size_t)room * sizeof *row);
  if (!row) return vc_fail(error, VC_NO_MEMORY, "no memory for %lld motion vectors", (long long)room);
  v->row = row;
  v->capacity = room;
  return VC_OK;
}

// Opens a frame of `rows` rows, which *to points at.
static vc_status add_frame(vc_vectors *v, char type, int64_t rows, vc_vector **to, vc_error *error) {
  vc_status status = reserve_rows(v, rows, error);
  if (status) return status;
  // Room is made for powers of two of frames, and one more offset.
  if (!(v->frames & (v->frames - 1))) {
    size_t room = v->frames ? 2 * (size_t)v->frames : 1;
    char *types = realloc(v->type, room);
    if (types) v->type = types;
    int64_t *offset = realloc(v->offset, (room + 1) * sizeof *offset);
    if (offset) v->offset = offset;
    if (!types || !offset) return vc_fail(error, VC_NO_MEMORY, "no memory for the motion vectors of %zu frames", room);
    if (!v->frames) v->offset[0] = 0;
  }
  int64_t first = v->offset[v->frames];
  *to = v->row ? v->row + first : NULL;
  v->type[v->frames++] = type;
  v->offset[v->frames] = first + rows;
  return VC_OK;
}

vc_status vc_vectors_add(vc_vectors *v, const AVFrame *frame, vc_error *error) {
  const AVFrameSideData *data = av_frame_get_side_data(frame, AV_FRAME_DATA_MOTION_VECTORS);
  const AVMotionVector *from = data ? (const AVMotionVector *)data->data : NULL;
  int64_t rows = data ? (int64_t)(data->size / sizeof *from) : 0;
  vc_vector *to = NULL;
  vc_status status = add_frame(v, av_get_picture_type_char(frame->pict_type), rows, &to, error);
  for (int64_t i = 0; i < rows && !status; i++) {
    const AVMotionVector *m = &from[i];
    const int64_t columns[VC_VECTOR_COLUMNS] = {m->source, m->w,     m->h,        m->src_x,    m->src_y,
                                                m->dst_x,  m->dst_y, m->motion_x, m->motion_y, m->motion_scale};
    for (int k = 0; k < VC_VECTOR_COLUMNS; k++) to[i][k] = (int16_t)columns[k];
  }
  return status;
}

vc_status vc_vectors_add_still(vc_vectors *v, char type, vc_error *error) {
  vc_vector *to;
  return add_frame(v, type, 0, &to, error);
}

vc_status vc_vectors_add_from(vc_vectors *v, const vc_vectors *from, int i, vc_error *error) {
  int64_t rows = from->offset[i + 1] - from->offset[i];
  vc_vector *to = NULL;
  vc_status status = add_frame(v, from->type[i], rows, &to, error);
  if (!status && rows) memcpy(to, from->row + from->offset[i], (size_t)rows * sizeof *to);
  return status;
}

typedef struct collector {
  vc_vectors *vectors;
  int limit;
} collector;

static vc_status collect(void *opaque, const vc_video_info *info, const AVFrame *frame, bool *stop, vc_error *error) {
  collector *c = opaque;
  (void)info;
  vc_status status = vc_vectors_add(c->vectors, frame, error);
  *stop = c->limit > 0 && c->vectors->frames >= c->limit;
  return status;
}

vc_status vc_vectors_read(vc_vectors *out, const char *path, int limit, vc_video_info *info, vc_error *error) {
  static const vc_video_options options = {.motion_vectors = true};
  *out = (vc_vectors){0};
  collector c = {.vectors = out, .limit = limit};
  vc_status status = vc_video_decode(path, &options, collect, &c, info, error);
  if (status) vc_vectors_free(out);
  return status;
}

void vc_vectors_free(vc_vectors *v) {
  free(v->type);
  free(v->offset);
  free(v->row);
  *v = (vc_vectors){0};
}

void vc_vectors_turn(vc_vectors *v, const int turn[4], int width, int height) {
  int a = turn[0], b = turn[1], c = turn[2], d = turn[3];
  if (a == 1 && d == 1) return;
  bool sideways = !a;
  int left = (a < 0 || c < 0) ? (sideways ? height : width) - 1 : 0;
  int top = (b < 0 || d < 0) ? (sideways ? width : height) - 1 : 0;
  static const struct {
    int x, y;
    bool point;  // else a displacement
  } pairs[] = {{VC_VECTOR_SRC_X, VC_VECTOR_SRC_Y, true},
               {VC_VECTOR_DST_X, VC_VECTOR_DST_Y, true},
               {VC_VECTOR_MOTION_X, VC_VECTOR_MOTION_Y, false}};
  int64_t rows = v->frames ? v->offset[v->frames] : 0;
  for (int64_t i = 0; i < rows; i++) {
    int16_t *row = v->row[i];
    for (size_t k = 0; k < sizeof pairs / sizeof *pairs; k++) {
      int x = row[pairs[k].x], y = row[pairs[k].y];
      row[pairs[k].x] = (int16_t)(a * x + c * y + (pairs[k].point ? left : 0));
      row[pairs[k].y] = (int16_t)(b * x + d * y + (pairs[k].point ? top : 0));
    }
    if (sideways) {
      int16_t w = row[VC_VECTOR_W];
      row[VC_VECTOR_W] = row[VC_VECTOR_H];
      row[VC_VECTOR_H] = w;
    }
  }
}
