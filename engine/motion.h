// Motion vectors as the network is conditioned on them: a sparse field of displacements.
//
// Each block leaves one pixel, at its middle: source * motion / scale, which for a block taken from the past is its
// displacement since then, in pixels of its own picture. All other pixels are 0. The released code shrinks that field
// with the picture, bilinearly and without antialiasing, and leaves the values as they are.
#ifndef VC_ENGINE_MOTION_H
#define VC_ENGINE_MOTION_H

#include "engine/tensor.h"
#include "loaders/motion_vectors.h"

// The field of one frame, double [2][height][width] (x, then y): where blocks meet, the last one stays; middles outside
// are moved to the rim. VC_FAILED for a row of scale 0. `nonzero` (may be NULL) becomes the number of pixels that hold
// a vector other than (0, 0).
vc_status vc_motion_field(double *field, const vc_vector *row, int64_t rows, int height, int width, int64_t *nonzero,
                          vc_error *error);

// The condition: frames pick[0..count) of `vectors`, whose picture is height x width, as a new F32 tensor
// [count out_height out_width 2]. The field is scaled until it just covers that size and its middle is cut out: for a
// square, torchvision's resize of the short side and its crop. An entry below 0 is a frame that stands still.
vc_status vc_motion_condition(vc_tensor *out, const vc_vectors *vectors, const int *pick, int count, int height,
                              int width, int out_height, int out_width, vc_error *error);

// Sums up |x| + |y| of a frame of a condition: 0 where nothing moves.
double vc_motion_amount(const vc_tensor *motion, int64_t frame);

// What moves: 1 in every block of pixels whose vector is not (0, 0), in a mask [height][width] that is 0 otherwise.
void vc_motion_blocks(uint8_t *mask, const vc_vector *row, int64_t rows, int height, int width);

// What moves in a condition: a new mask U8 [frames height width 1], 1 in each `block` of pixels that holds a vector
// other than (0, 0).
vc_status vc_motion_mask(vc_tensor *out, const vc_tensor *motion, int block, vc_error *error);

// A shape that walks along a path, in the layout of the fields above: what frame t > 0 holds at the middle of each
// block inside the moved shape is the step since frame t - 1. shape is [size][size], not 0 inside; path is
// [points][2], x and y, walked by equal lengths in `frames` frames. out is [frames][2][size][size].
typedef struct vc_shape_walk {
  const uint8_t *shape;
  const float *path;
  int points, frames, size, block;
} vc_shape_walk;
vc_status vc_shape_motion(float *out, const vc_shape_walk *walk, vc_error *error);

#endif
