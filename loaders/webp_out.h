// Animated WebP.
#ifndef VC_LOADERS_WEBP_OUT_H
#define VC_LOADERS_WEBP_OUT_H

#include "loaders/frames.h"

typedef struct vc_webp_options {
  double fps;
  bool lossless;
  int near_lossless;  // with lossless: 1 (small) to 100 (exact, as is 0)
  double quality;     // without: 0 < quality <= 100; 0: 90
  const char *xmp;    // an XMP packet for the file's chunk of that name; may be NULL
} vc_webp_options;

// Appends an endlessly looping WebP; of one frame it is a still picture. VC_INVALID for sides over 16383, WebP's own
// limit.
vc_status vc_webp_encode(vc_buffer *out, const vc_frames *frames, const vc_webp_options *options, vc_error *error);

#endif
