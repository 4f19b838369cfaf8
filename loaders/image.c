// Pictures as a whole: memory, recognising a format by its first bytes, and files.
#include "loaders/image.h"

#include <stdlib.h>
#include <string.h>

#include "loaders/image_codecs.h"

// A PNG of the largest size allowed, stored without compression.
static const size_t max_file_bytes = (size_t)1 << 30;

bool vc_image_size_ok(int64_t width, int64_t height) {
  return width >= 1 && height >= 1 && width <= VC_IMAGE_MAX_SIDE && height <= VC_IMAGE_MAX_SIDE &&
         width * height <= VC_IMAGE_MAX_PIXELS;
}

vc_status vc_image_too_large(int64_t width, int64_t height, vc_error *error) {
  return vc_fail(
      error, VC_FAILED,
      "a picture of %lld x %lld pixels is outside the limits (1 to %d a side, %d megapixels): scale it first",
      (long long)width, (long long)height, VC_IMAGE_MAX_SIDE, VC_IMAGE_MAX_PIXELS >> 20);
}

vc_status vc_image_new(vc_image *out, int width, int height, vc_error *error) {
  *out = (vc_image){0};
  if (!vc_image_size_ok(width, height)) {
    vc_image_too_large(width, height, error);
    return VC_INVALID;
  }
  size_t bytes = (size_t)width * (size_t)height * 3;
  uint8_t *rgb = malloc(bytes);
  if (!rgb) return vc_fail(error, VC_NO_MEMORY, "no memory for a picture of %zu bytes", bytes);
  *out = (vc_image){width, height, rgb};
  return VC_OK;
}

void vc_image_free(vc_image *image) {
  free(image->rgb);
  *image = (vc_image){0};
}

vc_image_format vc_image_recognise(const uint8_t *data, size_t size) {
  if (size >= 8 && !memcmp(data, "\x89PNG\r\n\x1a\n", 8)) return VC_IMAGE_PNG;
  if (size >= 3 && !memcmp(data, "\xff\xd8\xff", 3)) return VC_IMAGE_JPEG;
  if (size >= 12 && !memcmp(data, "RIFF", 4) && !memcmp(data + 8, "WEBP", 4)) return VC_IMAGE_WEBP;
  return VC_IMAGE_UNKNOWN;
}

vc_status vc_image_read_memory(vc_image *out, const char *name, const void *data, size_t size, vc_error *error) {
  vc_status status = VC_FAILED;
  *out = (vc_image){0};
  switch (vc_image_recognise(data, size)) {
    case VC_IMAGE_PNG:
      status = vc_png_decode(out, data, size, error);
      break;
    case VC_IMAGE_JPEG:
      status = vc_jpeg_decode(out, data, size, error);
      break;
    case VC_IMAGE_WEBP:
      status = vc_webp_decode(out, data, size, error);
      break;
    case VC_IMAGE_UNKNOWN:
      status = vc_fail(error, VC_FAILED, "not a PNG, JPEG or WebP picture");
      break;
  }
  return status ? vc_fail_in(error, status, "%s", name) : VC_OK;
}

vc_status vc_image_read(vc_image *out, const char *path, vc_error *error) {
  vc_buffer file = {0};
  *out = (vc_image){0};
  vc_status status = vc_buffer_read_file(&file, path, max_file_bytes, error);
  if (!status) status = vc_image_read_memory(out, path, file.data, file.size, error);
  vc_buffer_free(&file);
  return status;
}

vc_status vc_image_write_png(const char *path, const vc_image *image, const vc_metadata_entry *text, int text_count,
                             vc_error *error) {
  vc_buffer file = {0};
  vc_status status = vc_image_encode_png(&file, image, text, text_count, error);
  if (!status) status = vc_buffer_write_file(file.data, file.size, path, error);
  vc_buffer_free(&file);
  return status;
}
