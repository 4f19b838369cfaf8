// Masks of inpainting that are drawn at random: 1 where the video is to be painted anew.
//
// The released code has three kinds, with ranges for a picture of 512 x 512; here they scale with the shorter side, and
// the numbers come from the seed alone (engine/philox.h).
#ifndef VC_ENGINE_MASKS_H
#define VC_ENGINE_MASKS_H

#include <stdint.h>

#include "engine/status.h"

// The random stream that masks are drawn from.
#define VC_STREAM_MASK UINT64_C(0x6d61736b)

typedef enum vc_mask_shape {
  VC_MASK_IRREGULAR,  // 1 to 5 thick poly-lines
  VC_MASK_RECTANGLE,  // 1 to 4 rectangles
  VC_MASK_UNCROP,     // the top, bottom, left or right half
  VC_MASK_SHAPE_COUNT,
} vc_mask_shape;

// "irregular", "rectangle", "uncrop"; NULL for what is none.
const char *vc_mask_shape_name(vc_mask_shape shape);

// mask is [height][width], both within 16 .. 16384; all of it is written, with 0 and 1.
void vc_mask_draw(uint8_t *mask, int height, int width, vc_mask_shape shape, uint64_t seed);

// The parts of it. A line from (x1, y1) to (x2, y2) covers what lies within (thickness + 1) / 2, rounded down, of it
// (OpenCV's thick line but for single pixels of the rim); what is outside the picture is cut.
typedef struct vc_mask_line {
  int x1, y1, x2, y2, thickness;
} vc_mask_line;
void vc_mask_draw_line(uint8_t *mask, int height, int width, const vc_mask_line *line);
void vc_mask_draw_rectangle(uint8_t *mask, int height, int width, int x, int y, int box_width, int box_height);
void vc_mask_draw_half(uint8_t *mask, int height, int width, int side);  // 0 top, 1 bottom, 2 left, 3 right

#endif
