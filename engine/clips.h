// Which frames of a clip, or of a sequence of conditions, make up a video of a wanted length.
#ifndef VC_ENGINE_CLIPS_H
#define VC_ENGINE_CLIPS_H

#include "loaders/frames.h"

// What is done where there are too few frames.
typedef enum vc_pad {
  VC_PAD_REFUSE,
  VC_PAD_HOLD,  // the last one stays
  VC_PAD_LOOP,  // they begin again
} vc_pad;

// index[want] becomes 0, 1, ... of `have` frames, padded as asked for; a single frame always holds. VC_FAILED says how
// many there are when they are too few.
vc_status vc_sequence_select(int *index, int want, int have, vc_pad pad, vc_error *error);

// All of a filmed clip's frames at `fps` (loaders/frames.h, vc_fps_select), malloc'ed. A clip that has fewer than
// `want` of them is sampled at the released code's faster rate (vc_target_fps) if it has that many frames, and taken
// frame by frame if it has not; *rate is what it came to, in frames a second. A clip of one frame is that frame.
vc_status vc_clip_schedule(int **index, int *index_count, int want, const vc_frames *clip, double fps, double *rate,
                           vc_error *error);

// index[want] becomes the first frames of that. Padded and refused as above.
vc_status vc_clip_select(int *index, int want, const vc_frames *clip, double fps, vc_pad pad, double *rate,
                         vc_error *error);

// Reads a clip of any kind that loaders/frames.h knows, a still picture as one frame, or a tensor file (RGB in 0..1,
// engine/condition_tensor.h). As much of it is read as `want` frames at `fps` need of a video of at most 60 frames a
// second. Tensors and folders have no rate: they get `fps`.
vc_status vc_clip_read(vc_frames *out, const char *path, int want, double fps, vc_error *error);

// All of it, whatever its rate.
vc_status vc_clip_read_all(vc_frames *out, const char *path, vc_error *error);

#endif
