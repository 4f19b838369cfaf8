// Clips: frames of one size, read from whatever holds them.
#ifndef VC_LOADERS_FRAMES_H
#define VC_LOADERS_FRAMES_H

#include "loaders/image.h"
#include "loaders/video.h"

// Everything in it is owned by it and released by vc_frames_free.
typedef struct vc_frames {
  int count, width, height;
  uint8_t *rgb;         // [count][height][width][3]; NULL where only the times were read
  double fps;           // mean rate
  int64_t *pts;         // [count] when each frame is shown, in units of time_base
  vc_ratio time_base;   // seconds
  vc_ratio frame_rate;  // its inverse is how long the last frame lasts (libav's r_frame_rate for videos)
} vc_frames;

enum { VC_FRAMES_MAX_COUNT = 20000, VC_FRAMES_DEFAULT_FPS = 8 };
#define VC_FRAMES_MAX_BYTES ((size_t)8 << 30)

// All zero is the default.
typedef struct vc_frames_options {
  bool allow_still;     // a still picture is a clip of one frame; refused otherwise
  int stop_after;       // read this many frames and no more; 0: all
  double stop_seconds;  // of a video: stop at the first frame that is shown later than this after the first; 0: all
  bool times_only;      // of a video: read when its frames are shown and not the frames; `rgb` stays NULL
  const int *pick;      // of a video: keep only these frames, in rising order; NULL: all
  int pick_count;
  int max_count;       // more is an error; 0: VC_FRAMES_MAX_COUNT
  size_t max_bytes;    // of pixels; more is an error; 0: VC_FRAMES_MAX_BYTES
  double folder_fps;   // of folders and stills, which do not say; 0: VC_FRAMES_DEFAULT_FPS
  bool tagged_colors;  // convert videos by the colour matrix that they name; else by BT.601 always, as the reference
} vc_frames_options;

// Reads a folder of PNG, JPEG and WebP pictures (in natural order: 2 before 10; other files and those whose name starts
// with a dot are passed over), an animated or still WebP, a PNG or JPEG, a GIF, or any video that libav knows (turned
// as its metadata says). VC_FAILED, with the path in the message, for what cannot be read, is damaged or cut short,
// holds no frames, frames of different sizes or too many of them. On failure *out is zeroed. `options` may be NULL.
vc_status vc_frames_read(vc_frames *out, const char *path, const vc_frames_options *options, vc_error *error);

// Allocates `count` frames (pixels not initialised) shown at `fps`. VC_INVALID for sizes outside the limits above.
vc_status vc_frames_new(vc_frames *out, int count, int width, int height, double fps, vc_error *error);
void vc_frames_free(vc_frames *frames);

// A view of frame i, owned by the clip.
vc_image vc_frames_image(const vc_frames *frames, int i);

// A rate as a ratio of whole numbers: 23.976 and 29.97 become 24000/1001 and 30000/1001, as video files call them.
vc_ratio vc_ratio_of(double value);

// The released code's rate of its re-encode: `wanted`, or about `frames` frames from a clip that is too short for it.
int vc_target_fps(int count, double fps, int wanted, int frames);

// ffmpeg's fps filter: for each output frame the index of the source frame shown, malloc'ed into *index. Times round
// half up to output ticks, in exact arithmetic; at tick n the last frame with tick <= n is shown, from the first
// frame's tick to before that of the end, which is the last frame's time plus 1 / frame_rate. pts must not decrease.
// VC_INVALID for rates that are not positive, VC_FAILED when more than `limit` frames would come out.
vc_status vc_fps_select(int **index, int *index_count, const int64_t *pts, int count, vc_ratio time_base,
                        vc_ratio frame_rate, vc_ratio fps, int limit, vc_error *error);

// The clip at another rate, by vc_fps_select.
vc_status vc_frames_at_rate(vc_frames *out, const vc_frames *in, vc_ratio fps, vc_error *error);

#endif
