// Resizing and cropping as the reference does them, to the byte, and the step from bytes to the networks' tensors.
//
// The released code resizes with Pillow and torchvision (0.14). Pillow's 8-bit resampling: separable, horizontal pass
// first, each pass rounded and clipped to 8 bits, weights computed in double and rounded to 22-bit fractions, the
// filter widened when shrinking; a pass that changes nothing is skipped.
#ifndef VC_LOADERS_RESAMPLE_H
#define VC_LOADERS_RESAMPLE_H

#include "loaders/image.h"

typedef enum vc_filter { VC_BOX, VC_BILINEAR, VC_BICUBIC, VC_LANCZOS } vc_filter;

// All of these make a new picture, leave the old one alone (out must not be in) and zero *out on failure.

// Pillow's Image.resize((width, height), filter). VC_INVALID for a size outside the limits of vc_image_new.
vc_status vc_image_resize(vc_image *out, const vc_image *in, int width, int height, vc_filter filter, vc_error *error);

// The part of `in` from column x, row y. VC_INVALID when it is not inside.
vc_status vc_crop(vc_image *out, const vc_image *in, int x, int y, int width, int height, vc_error *error);

// A square of `size`, as the released CenterCropV2: halved with VC_BOX while the short side is at least 2 * size, then
// VC_BICUBIC to the short side (sizes rounded half to even), then the middle (origin rounded down). Frames for the VAE
// (256) and the style frame of a video (224).
vc_status vc_center_crop_v2(vc_image *out, const vc_image *in, int size, vc_error *error);

// Frames for depth, sketch, mask and local image (384): the short side to `size`, the long one truncated, the middle.
// The released code draws the filter at random; VC_BICUBIC is this engine's choice where none is asked for.
vc_status vc_misc_resize(vc_image *out, const vc_image *in, int size, vc_filter filter, vc_error *error);

// OpenCLIP's: bicubic, long side truncated, origin rounded half to even. A style image given as a file (224).
vc_status vc_clip_resize(vc_image *out, const vc_image *in, int size, vc_error *error);

// torchvision Resize(size): the short side becomes size and the long one is truncated.
void vc_short_side(int height, int width, int size, int *out_height, int *out_width);

// torchvision CenterCrop: (n - size) / 2, rounded half to even.
int vc_crop_origin(int n, int size);

// uint8 [h][w][3] to float [3][h][w] in 0..1 (`out` holds 3 * h * w).
void vc_to_tensor(float *out, const vc_image *in);

// (x - mean) / std in place; x is [channels][plane].
void vc_normalise(float *x, int channels, size_t plane, const float *mean, const float *std);

// Of the CLIP image tower; of the VAE's pixels.
extern const float vc_clip_mean[3], vc_clip_std[3];
extern const float vc_half[3];

// OpenCV's INTER_NEAREST, for masks: source index floor(i * n_in / n_out). Elements of any size, [height][width].
void vc_resize_nearest(void *out, int out_height, int out_width, const void *in, int height, int width, size_t element);

// The condition of inpainting. frames [f][3][plane] in 0..1, mask [plane] with 1 where to repaint; out [f][4][plane]:
// the frame in -1..1 with the hole at 0, and 1 - mask.
void vc_masked_condition(float *out, const float *frames, const float *mask, int f, size_t plane);

#endif
