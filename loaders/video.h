// Decoding of video files through libav: containers and codecs in, decoded frames out, one at a time.
//
// One thread decodes: the motion vectors that codecs export under frame threads vary between runs. Only the named file
// is read: libav's own protocols (and so the files or addresses that a playlist may name) are closed to it.
#ifndef VC_LOADERS_VIDEO_H
#define VC_LOADERS_VIDEO_H

#include "loaders/buffer.h"

struct AVFrame;
struct SwsContext;

typedef struct vc_ratio {
  int num, den;
} vc_ratio;

typedef struct vc_video_info {
  int width, height;      // as coded, before `turn`
  vc_ratio time_base;     // seconds in one unit of pts
  vc_ratio frame_rate;    // libav's r_frame_rate: the lowest rate that can show every frame at its time
  vc_ratio average_rate;  // of the container; den is 0 when it does not know
  int turn[4];            // picture x, y -> shown x, y: {a, b, c, d} of x' = a x + c y, y' = b x + d y; each -1, 0 or 1
  bool animation;         // a GIF
  char codec[32];
} vc_video_info;

// Gets every frame in presentation order; the frame belongs to libav and is gone afterwards. A status other than VC_OK
// ends the decoding with it; *stop set to true ends it as a success.
typedef vc_status (*vc_video_sink)(void *opaque, const vc_video_info *info, const struct AVFrame *frame, bool *stop,
                                   vc_error *error);

typedef struct vc_video_options {
  bool motion_vectors;  // attach AV_FRAME_DATA_MOTION_VECTORS where the codec has them
} vc_video_options;

// VC_FAILED, with the path in the message, for a file that cannot be read, is of no known kind, has no video stream, no
// frames, pictures outside the limits of loaders/image.h, or damage anywhere in the stream. (Containers made for
// streaming, such as Matroska, AVI and MPEG-TS, do not tell a shorter clip from one that was cut between two frames.)
// `options` and `info` may be NULL.
vc_status vc_video_decode(const char *path, const vc_video_options *options, vc_video_sink sink, void *opaque,
                          vc_video_info *info, vc_error *error);

// Appends the comment tag of the container, nothing when it has none. Errors as above.
vc_status vc_video_comment(vc_buffer *out, const char *path, vc_error *error);

// Converts frames to RGB as the reference does, with swscale's defaults: chroma replicated, results truncated, BT.601
// whatever the stream says (but full range for yuvj420p). With `tagged` the matrix of the stream's own tag is used.
// {0} is ready for use; vc_video_rgb_free releases what the conversions needed.
typedef struct vc_video_rgb {
  struct SwsContext *context;
  uint8_t *rows;  // rows padded for swscale, which writes whole vectors
  size_t capacity;
} vc_video_rgb;

vc_status vc_video_to_rgb(vc_video_rgb *converter, uint8_t *rgb, const struct AVFrame *frame, bool tagged,
                          vc_error *error);
void vc_video_rgb_free(vc_video_rgb *converter);

#endif
