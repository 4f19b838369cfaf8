#include "engine/masks.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "engine/philox.h"

const char *vc_mask_shape_name(vc_mask_shape shape) {
  static const char *const names[] = {"irregular", "rectangle", "uncrop"};
  return shape >= 0 && shape < VC_MASK_SHAPE_COUNT ? names[shape] : NULL;
}

static int clamp(int value, int low, int high) {
  return value < low ? low : value > high ? high : value;
}

void vc_mask_draw_line(uint8_t *mask, int height, int width, const vc_mask_line *line) {
  int radius = (line->thickness + 1) / 2;
  double dx = line->x2 - line->x1, dy = line->y2 - line->y1, square = dx * dx + dy * dy;
  int left = (line->x1 < line->x2 ? line->x1 : line->x2) - radius, right = line->x1 + line->x2 - left;
  int top = (line->y1 < line->y2 ? line->y1 : line->y2) - radius, bottom = line->y1 + line->y2 - top;
  for (int y = clamp(top, 0, height); y < clamp(bottom + 1, 0, height); y++)
    for (int x = clamp(left, 0, width); x < clamp(right + 1, 0, width); x++) {
      double t = ((x - line->x1) * dx + (y - line->y1) * dy) / (square > 1 ? square : 1);
      t = t < 0 ? 0 : t > 1 ? 1 : t;
      if (hypot(x - line->x1 - t * dx, y - line->y1 - t * dy) <= radius)
        mask[(size_t)y * (size_t)width + (size_t)x] = 1;
    }
}

void vc_mask_draw_rectangle(uint8_t *mask, int height, int width, int x, int y, int box_width, int box_height) {
  int left = clamp(x, 0, width), right = clamp(x + box_width, left, width);
  for (int row = clamp(y, 0, height); row < clamp(y + box_height, 0, height); row++)
    memset(mask + (size_t)row * (size_t)width + (size_t)left, 1, (size_t)(right - left));
}

void vc_mask_draw_half(uint8_t *mask, int height, int width, int side) {
  switch (side) {
    case 0:
      vc_mask_draw_rectangle(mask, height, width, 0, 0, width, height / 2);
      break;
    case 1:
      vc_mask_draw_rectangle(mask, height, width, 0, height / 2, width, height - height / 2);
      break;
    case 2:
      vc_mask_draw_rectangle(mask, height, width, 0, 0, width / 2, height);
      break;
    default:
      vc_mask_draw_rectangle(mask, height, width, width / 2, 0, width - width / 2, height);
  }
}

// ---- the random ones

typedef struct dice {
  uint64_t seed, index;
  int side;  // the shorter one of the picture
} dice;

static int below(dice *d, int bound) {
  return (int)vc_philox_below(d->seed, VC_STREAM_MASK, d->index++, (uint32_t)(bound > 0 ? bound : 1));
}

// A length of the released 512 x 512 picture.
static int scaled(const dice *d, int length) {
  int value = (int)((int64_t)length * d->side / 512);
  return value > 0 ? value : 1;
}

static void draw_irregular(uint8_t *mask, int height, int width, dice *d) {
  for (int i = 0, lines = 1 + below(d, 5); i < lines; i++) {
    vc_mask_line line = {.x1 = below(d, width), .y1 = below(d, height)};
    for (int k = 0, pieces = 1 + below(d, 5); k < pieces; k++) {
      double angle = 0.01 + below(d, 4);
      if (i % 2 == 0) angle = -angle;
      int length = scaled(d, 10) + below(d, scaled(d, 200));
      line.thickness = scaled(d, 5) + below(d, scaled(d, 100));
      line.x2 = clamp((int)(line.x1 + length * sin(angle)), 0, width);
      line.y2 = clamp((int)(line.y1 + length * cos(angle)), 0, height);
      vc_mask_draw_line(mask, height, width, &line);
      line.x1 = line.x2;
      line.y1 = line.y2;
    }
  }
}

static void draw_rectangles(uint8_t *mask, int height, int width, dice *d) {
  for (int i = 0, boxes = 1 + below(d, 4), margin = scaled(d, 10); i < boxes; i++) {
    int box_width = scaled(d, 30) + below(d, scaled(d, 120)), box_height = scaled(d, 30) + below(d, scaled(d, 120));
    int x = margin + below(d, width - 2 * margin - box_width + 1);
    int y = margin + below(d, height - 2 * margin - box_height + 1);
    vc_mask_draw_rectangle(mask, height, width, x, y, box_width, box_height);
  }
}

void vc_mask_draw(uint8_t *mask, int height, int width, vc_mask_shape shape, uint64_t seed) {
  assert(height >= 16 && width >= 16 && height <= 16384 && width <= 16384);
  dice d = {.seed = seed, .side = height < width ? height : width};
  memset(mask, 0, (size_t)height * (size_t)width);
  switch (shape) {
    case VC_MASK_IRREGULAR:
      draw_irregular(mask, height, width, &d);
      break;
    case VC_MASK_RECTANGLE:
      draw_rectangles(mask, height, width, &d);
      break;
    default:
      vc_mask_draw_half(mask, height, width, below(&d, 4));
  }
}
