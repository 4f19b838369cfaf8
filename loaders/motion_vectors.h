// Motion vectors that codecs export: where each block of a frame was taken from in another.
//
// libav attaches them to decoded frames (flags2 +export_mvs). H.264's vary between runs under frame threads, so they
// are read with one thread (loaders/video.h).
#ifndef VC_LOADERS_MOTION_VECTORS_H
#define VC_LOADERS_MOTION_VECTORS_H

#include "loaders/video.h"

// Columns of a row. A block of W x H pixels whose middle is at (DST_X, DST_Y) comes from around (SRC_X, SRC_Y) of
// another frame: SOURCE is below 0 for one of the past and above for one of the future. Its displacement in the
// picture is MOTION / SCALE pixels.
typedef enum vc_vector_column {
  VC_VECTOR_SOURCE,
  VC_VECTOR_W,
  VC_VECTOR_H,
  VC_VECTOR_SRC_X,
  VC_VECTOR_SRC_Y,
  VC_VECTOR_DST_X,
  VC_VECTOR_DST_Y,
  VC_VECTOR_MOTION_X,
  VC_VECTOR_MOTION_Y,
  VC_VECTOR_SCALE,
  VC_VECTOR_COLUMNS,
} vc_vector_column;

typedef int16_t vc_vector[VC_VECTOR_COLUMNS];

// The vectors of a run of frames in presentation order. {0} is empty; vc_vectors_free releases what it owns.
typedef struct vc_vectors {
  int frames;
  char *type;       // [frames] 'I', 'P', 'B', ...
  int64_t *offset;  // [frames + 1]; NULL without frames
  vc_vector *row;   // rows of frame i are offset[i] .. offset[i + 1] - 1
  int64_t capacity;
} vc_vectors;

enum { VC_VECTORS_MAX_ROWS = 1 << 28 };

// Appends a frame: its type and the rows attached to it, none for frames that have none. VC_FAILED when there are more
// than VC_VECTORS_MAX_ROWS rows.
vc_status vc_vectors_add(vc_vectors *vectors, const struct AVFrame *frame, vc_error *error);

// Appends a frame without rows.
vc_status vc_vectors_add_still(vc_vectors *vectors, char type, vc_error *error);

// Appends frame i of another run.
vc_status vc_vectors_add_from(vc_vectors *vectors, const vc_vectors *from, int i, vc_error *error);

// All of a video's, or those of its first `limit` frames where that is not 0. Errors as vc_video_decode. `info` may be
// NULL.
vc_status vc_vectors_read(vc_vectors *out, const char *path, int limit, vc_video_info *info, vc_error *error);
void vc_vectors_free(vc_vectors *vectors);

// Turns the rows with the picture (vc_video_info's turn), whose sides before are width x height.
void vc_vectors_turn(vc_vectors *vectors, const int turn[4], int width, int height);

#endif
