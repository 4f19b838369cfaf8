// GIF89a: our own writer, and a reader of what libav does not tell about a file (pixels are read through libav).
//
// Source: the GIF89a specification (CompuServe, 1990), and the Netscape application block for loops.
#ifndef VC_LOADERS_GIF_H
#define VC_LOADERS_GIF_H

#include "loaders/frames.h"

typedef struct vc_gif_summary {
  int width, height, frames;
  int64_t duration;  // hundredths of a second, all frames; delays below 2 count as 10, as players take them
  int last_delay;    // of the last frame, as above
} vc_gif_summary;

// Walks all blocks of a file in memory. VC_FAILED when it is no GIF, damaged, cut short or without frames.
vc_status vc_gif_scan(vc_gif_summary *out, const uint8_t *data, size_t size, vc_error *error);

// Appends the text of the first comment block; VC_OK and nothing appended when there is none. A file that is cut short
// behind it is no failure.
vc_status vc_gif_comment(vc_buffer *out, const uint8_t *data, size_t size, vc_error *error);

// Appends an endlessly looping GIF: one palette for the whole clip (exact when it has at most 256 colours), an ordered
// dither whose pattern stands still, later frames cut to what changes. `comment` may be NULL. A frame lasts hundredths
// of a second, at least 2; their sum keeps to fps.
vc_status vc_gif_encode(vc_buffer *out, const vc_frames *frames, double fps, const char *comment, vc_error *error);

#endif
