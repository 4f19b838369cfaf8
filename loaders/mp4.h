// MP4 files through libav's encoders.
#ifndef VC_LOADERS_MP4_H
#define VC_LOADERS_MP4_H

#include "loaders/frames.h"

typedef struct vc_mp4_options {
  double fps;
  const char *comment;  // into the file's comment tag; may be NULL
  int crf;              // x264's constant rate factor, 1 to 51; 0: 18, which is hard to tell from the frames
} vc_mp4_options;

// Appends an MP4 with its index in front: H.264 (x264 if libav has it, else another encoder), 4:2:0, tagged and
// converted as BT.709; without any H.264 encoder MPEG-4 part 2, and *note says so (else it is NULL; a static string).
// An odd width or height grows by a repeated row or column: 4:2:0 has no half pixels. One thread encodes, so that the
// same frames give the same file.
vc_status vc_mp4_encode(vc_buffer *out, const vc_frames *frames, const vc_mp4_options *options, const char **note,
                        vc_error *error);

#endif
