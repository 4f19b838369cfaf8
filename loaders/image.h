// Still pictures: PNG, JPEG and WebP in, PNG out.
//
// Files are recognised by content, not by suffix. Every picture becomes 8-bit RGB the way the reference (Pillow's
// convert("RGB")) does it: alpha is dropped, not blended; of 16-bit samples the high byte is kept; CMYK is taken as
// Adobe writes it (inverted); colour profiles, gamma and the EXIF orientation are ignored.
#ifndef VC_LOADERS_IMAGE_H
#define VC_LOADERS_IMAGE_H

#include "loaders/buffer.h"
#include "loaders/tensor_file.h"

// Larger pictures are refused from their header, before anything is allocated for them.
enum { VC_IMAGE_MAX_SIDE = 16384, VC_IMAGE_MAX_PIXELS = 256 << 20 };

typedef struct vc_image {
  int width, height;
  uint8_t *rgb;  // [height][width][3], owned
} vc_image;

// Allocates (uninitialised) pixels. VC_INVALID when a side is not in 1..VC_IMAGE_MAX_SIDE or there are too many pixels.
vc_status vc_image_new(vc_image *out, int width, int height, vc_error *error);
void vc_image_free(vc_image *image);

// True for sizes that vc_image_new accepts.
bool vc_image_size_ok(int64_t width, int64_t height);

// VC_FAILED, with one line that names the file, when it cannot be read, is no picture of a known kind, is cut short,
// corrupt or too large. On failure *out is zeroed. An animated WebP is refused: loaders/frames.h reads it.
vc_status vc_image_read(vc_image *out, const char *path, vc_error *error);

// The same for a file that lies in memory. `name` stands in for the path in messages.
vc_status vc_image_read_memory(vc_image *out, const char *name, const void *data, size_t size, vc_error *error);

// Writes an 8-bit RGB PNG with one text chunk for each entry, replacing `path` only when all of it is written. Keys
// are 1 to 79 printable Latin-1 characters (VC_INVALID otherwise), values UTF-8.
vc_status vc_image_write_png(const char *path, const vc_image *image, const vc_metadata_entry *text, int text_count,
                             vc_error *error);

// The same, appended to a buffer.
vc_status vc_image_encode_png(vc_buffer *out, const vc_image *image, const vc_metadata_entry *text, int text_count,
                              vc_error *error);

#endif
