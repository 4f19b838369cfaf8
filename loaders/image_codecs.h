// What image.c shares with the files of the single formats. Not for other callers: use loaders/image.h.
#ifndef VC_LOADERS_IMAGE_CODECS_H
#define VC_LOADERS_IMAGE_CODECS_H

#include "loaders/image.h"
#include "loaders/media_metadata.h"

typedef enum vc_image_format { VC_IMAGE_UNKNOWN, VC_IMAGE_PNG, VC_IMAGE_JPEG, VC_IMAGE_WEBP } vc_image_format;

// Enough leading bytes for vc_image_recognise and for telling GIF and animated WebP.
enum { VC_IMAGE_MAGIC_SIZE = 12 };

vc_image_format vc_image_recognise(const uint8_t *data, size_t size);

// Decode one whole file in memory; *out is zeroed on failure and messages do not name the file (image.c adds it).
vc_status vc_png_decode(vc_image *out, const uint8_t *data, size_t size, vc_error *error);
vc_status vc_jpeg_decode(vc_image *out, const uint8_t *data, size_t size, vc_error *error);
vc_status vc_webp_decode(vc_image *out, const uint8_t *data, size_t size, vc_error *error);

// Appends the text chunks of a whole PNG (its pixels are passed over) to *out.
vc_status vc_png_text(vc_metadata *out, const uint8_t *data, size_t size, vc_error *error);

// The one message for pictures over the limits.
vc_status vc_image_too_large(int64_t width, int64_t height, vc_error *error);

#endif
