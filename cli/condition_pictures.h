// Pictures of conditions, for people to look at.
#ifndef VC_CLI_CONDITION_PICTURES_H
#define VC_CLI_CONDITION_PICTURES_H

#include "engine/tensor.h"
#include "loaders/frames.h"

// Each makes a clip of the condition's frames, at `fps`.

// Depth [f h w 1] in colours of even steps (viridis): far is dark violet, near yellow, over the range of the clip.
vc_status vc_picture_depth(vc_frames *out, const vc_tensor *depth, double fps, vc_error *error);

// One channel of 0..1 (F32 or U8 [f h w 1]) as gray.
vc_status vc_picture_gray(vc_frames *out, const vc_tensor *values, double fps, vc_error *error);

// Motion [f h w 2] as arrows from where something was to where it is, hue by direction, `gain` pixels of the field for
// a unit of it; over frame index[f] of `clip`, cut to the field, or over black where `clip` is NULL. `factor` times as
// large as the field.
vc_status vc_picture_motion(vc_frames *out, const vc_tensor *motion, const vc_frames *clip, const int *index,
                            double gain, int factor, double fps, vc_error *error);

// All frames of a clip as one PNG, in rows of about as many frames as there are rows.
vc_status vc_write_picture(const char *path, const vc_frames *clip, vc_error *error);

#endif
