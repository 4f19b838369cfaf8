// From pictures and clips to the conditions of the network: F32 tensors [f h w c] in each condition's own units.
//
// A condition may have any size. The released model's are squares of preprocessing.misc_size (384, and motion_size,
// 256, for motion) for videos of 256 x 256; a request of another size gets conditions that are larger or smaller in the
// same proportion, and pictures of another shape are cut to that of the request. At the model's own size all is done as
// in the released code, to the byte.
#ifndef VC_ENGINE_CONDITIONS_H
#define VC_ENGINE_CONDITIONS_H

#include "engine/config.h"
#include "engine/tensor.h"
#include "loaders/frames.h"

// Height and width of the conditions of a video of `height` x `width` pixels, where `size` is the side of those of the
// model's own videos: a square of `size` for a square of the model's side.
void vc_condition_sides(const vc_model_config *config, int64_t size, int64_t height, int64_t width, int *out_height,
                        int *out_width);

// Scales the picture (bicubic) until it just covers width x height, its longer part truncated, and cuts out the middle
// (origin rounded down). For a square it is vc_misc_resize.
vc_status vc_cover(vc_image *out, const vc_image *in, int width, int height, vc_error *error);

// The first image: [1 height width 3] in 0..1.
vc_status vc_condition_image(vc_tensor *out, const vc_image *image, int height, int width, vc_error *error);

// Pixels for the image tower, [size size 3], normalised. A picture from a file is scaled as OpenCLIP does
// (vc_clip_resize), a frame of a video as the released code does (vc_center_crop_v2).
vc_status vc_condition_style(vc_tensor *out, const vc_image *image, bool of_video,
                             const vc_preprocessing_config *config, vc_error *error);

// The frames index[0..count) as one channel: [count height width 1], luminance (a gray's value; ITU-R BT.601 of
// colours) times `scale`. Sketches have 1 / 255, depth 1 / 127.5.
vc_status vc_condition_gray(vc_tensor *out, const vc_frames *clip, const int *index, int count, int height, int width,
                            double scale, vc_error *error);

// Mean luminance of a clip, in 0..1: more than half tells dark lines on paper from bright lines on black.
double vc_clip_brightness(const vc_frames *clip);
void vc_clip_invert(vc_frames *clip);

// Frames in the autoencoder's range for video to video: [count height width 3] in -1..1.
vc_status vc_condition_init(vc_tensor *out, const vc_frames *clip, const int *index, int count, int height, int width,
                            const vc_preprocessing_config *config, vc_error *error);

// Where a video is to be painted anew: 1 there, 0 where it is kept. Owned by vc_mask_free.
typedef struct vc_mask {
  int count, height, width;
  uint8_t *data;  // [count][height][width]
} vc_mask;

vc_status vc_mask_new(vc_mask *out, int count, int height, int width, vc_error *error);
void vc_mask_free(vc_mask *mask);

// White is to be painted, black kept: from half the brightness on.
vc_status vc_mask_of_clip(vc_mask *out, const vc_frames *clip, vc_error *error);
// [f h w 1] in 0..1: from 0.5 on.
vc_status vc_mask_of_tensor(vc_mask *out, const vc_tensor *tensor, vc_error *error);

// The condition of inpainting, [count height width 4]: frame index[i] of the source in -1..1 with the hole at 0, then 1
// where it is kept. Mask mask_index[i] goes with it: cut to the shape of the video, then scaled to the nearest pixel.
vc_status vc_condition_masked(vc_tensor *out, const vc_frames *source, const int *index, const vc_mask *mask,
                              const int *mask_index, int count, int height, int width, vc_error *error);

#endif
