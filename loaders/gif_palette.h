// One palette for a clip, and the mapping of its pixels to it.
#ifndef VC_LOADERS_GIF_PALETTE_H
#define VC_LOADERS_GIF_PALETTE_H

#include "loaders/frames.h"

typedef struct vc_palette {
  int count;  // 1 to 256
  uint8_t rgb[256][3];
} vc_palette;

// All colours of the clip when there are at most 256, in order of value; else the best 256 found by median cut and
// k-means. The result depends on nothing but the pixels.
vc_status vc_palette_make(vc_palette *out, const vc_frames *frames, vc_error *error);

// Maps pixels to palette indices. Colours between two entries become a pattern of both that depends on the position
// alone, so that what does not move does not flicker; colours of the palette stay as they are. The context is
// allocated by the first call ({0} before) and released by vc_palette_map_free.
typedef struct vc_palette_map {
  void *cache;
} vc_palette_map;

vc_status vc_palette_apply(vc_palette_map *map, uint8_t *index, const vc_image *image, const vc_palette *palette,
                           vc_error *error);
void vc_palette_map_free(vc_palette_map *map);

#endif
