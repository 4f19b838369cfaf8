// Reference videos: the frames that a condition is taken from, and the motion vectors between them.
//
// Where vectors are wanted, frames and vectors come from one re-encode of the clip (loaders/reencode.h), as in the
// released code: a hidden compression whose motion the network has been trained on. The vectors of the clip's own codec
// can be had instead, of frames that follow each other at its own rate. Without vectors, frames are the clip's own.
#ifndef VC_ENGINE_REFERENCE_H
#define VC_ENGINE_REFERENCE_H

#include "engine/clips.h"
#include "engine/videocomposer.h"
#include "loaders/motion_vectors.h"

enum { VC_START_RANDOM = -1, VC_START_MAX = 1000000 };

// The random stream that a random start is drawn from.
#define VC_STREAM_START UINT64_C(0x7374617274)

// Frames a second at which the released code looks at clips.
#define VC_REFERENCE_FPS 4.0

typedef struct vc_reference_options {
  int frames;      // wanted
  double fps;      // at which the clip is looked at; without a start, short clips at a faster rate (vc_clip_schedule)
  int start;       // frame to begin with, at that rate; VC_START_RANDOM: an I frame of the re-encode, by the seed
  uint64_t seed;   // of that choice
  vc_pad pad;      // what is done when too few frames follow
  bool motion;     // vectors are wanted
  bool codec;      // the stream's own
  bool still;      // a still picture is a clip, all of whose frames are the same; refused otherwise
  bool count_all;  // set source_count, which may mean to read all of a long video
} vc_reference_options;

// Everything in it is owned by it and released by vc_reference_free.
typedef struct vc_reference {
  vc_frames frames;    // those that there are
  int *index;          // [wanted] which of `frames`; padding repeats some
  int *source_index;   // [wanted] their numbers in the file
  int source_count;    // frames in the file; 0: not known
  vc_vectors vectors;  // of `frames`
  int *moved;          // [wanted] which of `vectors`; -1: first, held or leapt to, so that nothing says what moved
  double rate;         // frames a second that it came to
  int start;
} vc_reference;

// Reads `options->frames` frames of a clip of any kind that vc_clip_read knows. VC_FAILED, with the path, for what
// cannot be read or holds too few frames (saying how many), when a codec exports no vectors, and when vectors are
// wanted of a clip of one frame. On failure *out is zeroed.
vc_status vc_reference_read(vc_reference *out, const char *path, const vc_reference_options *options, vc_error *error);
void vc_reference_free(vc_reference *reference);

// The distinct frames, cut and scaled to height x width (vc_cover), in 0..1: a new F32 tensor [count h w 3].
vc_status vc_reference_pixels(vc_tensor *out, const vc_reference *reference, int height, int width, vc_error *error);

// Conditions of those pixels by a network each, [wanted h w 1]. Loaded once and dropped; VC_FAILED when the model does
// not have it.
vc_status vc_reference_depth(vc_tensor *out, const vc_reference *reference, const vc_tensor *pixels, int wanted,
                             vc_engine *engine, const vc_callbacks *callbacks, vc_error *error);
vc_status vc_reference_sketch(vc_tensor *out, const vc_reference *reference, const vc_tensor *pixels, int wanted,
                              vc_engine *engine, const vc_callbacks *callbacks, vc_error *error);

// The motion condition, [wanted height width 2].
vc_status vc_reference_motion(vc_tensor *out, const vc_reference *reference, int wanted, int height, int width,
                              vc_error *error);

// What moves in each frame: a new mask U8 [wanted h w 1] of the frames' own size.
vc_status vc_reference_moving(vc_tensor *out, const vc_reference *reference, int wanted, vc_error *error);

// "This model has no ... network", in one line that says what else can be done (`instead`), where it has none.
vc_status vc_check_extraction(const vc_engine *engine, bool depth, bool sketch, const char *instead, vc_error *error);

#endif
