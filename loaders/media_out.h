// Clips into files: one entry for all formats, chosen by suffix.
#ifndef VC_LOADERS_MEDIA_OUT_H
#define VC_LOADERS_MEDIA_OUT_H

#include "loaders/frames.h"

typedef enum vc_media_kind {
  VC_MEDIA_GIF,     // .gif
  VC_MEDIA_MP4,     // .mp4
  VC_MEDIA_WEBP,    // .webp
  VC_MEDIA_STRIP,   // .png: all frames side by side in one picture
  VC_MEDIA_FOLDER,  // a slash at the end, or no suffix: 0000.png, 0001.png, ...
} vc_media_kind;

// All zero is the default.
typedef struct vc_media_options {
  double fps;                         // 0: that of the clip
  const vc_metadata_entry *metadata;  // see media_metadata.h; keys that vc_image_write_png takes suit every format
  int metadata_count;
  int strip_columns;   // frames in a row; 0: all of them, or as many as the widest picture holds
  int strip_gap;       // white pixels between frames
  bool webp_lossless;  // else quality 90
  int mp4_crf;         // 0: 18
} vc_media_options;

// What a path asks for, so that it can be refused before any work is done. VC_INVALID for an unknown suffix; the
// message lists the known ones.
vc_status vc_media_kind_of(vc_media_kind *kind, const char *path, vc_error *error);

// Writes the clip. The file or folder appears whole or not at all (loaders/output.h). `options` may be NULL. *note,
// unless `note` is NULL, becomes NULL or a static line for the user about what was done differently.
vc_status vc_media_write(const char *path, const vc_frames *frames, const vc_media_options *options, const char **note,
                         vc_error *error);

// The film strip as a picture: rows of `columns` frames (0 as above), `gap` white pixels between them.
vc_status vc_film_strip(vc_image *out, const vc_frames *frames, int columns, int gap, vc_error *error);

#endif
