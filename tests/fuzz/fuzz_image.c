// libFuzzer target: any bytes as a still picture, as the metadata of one, and as a GIF to be walked.
#include <stdlib.h>
#include <string.h>

#include "loaders/gif.h"
#include "loaders/image.h"
#include "loaders/image_codecs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// A failure leaves nothing behind and says why; a success holds every pixel it claims to have.
static void check(vc_status status, const vc_image *image, const vc_error *error) {
  if ((status == VC_OK) != (image->rgb != NULL) || (status != VC_OK) != (error->message[0] != 0)) abort();
  if (status != VC_OK) return;
  if (!vc_image_size_ok(image->width, image->height)) abort();
  volatile uint8_t last = image->rgb[(size_t)image->width * (size_t)image->height * 3 - 1];
  (void)last;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  vc_image image;
  vc_error error = {""};
  check(vc_image_read_memory(&image, "input", data, size, &error), &image, &error);
  vc_image_free(&image);

  vc_gif_summary summary;
  vc_buffer comment = {0};
  if (vc_gif_scan(&summary, data, size, NULL) == VC_OK && (summary.frames < 1 || summary.duration < 2)) abort();
  (void)vc_gif_comment(&comment, data, size, NULL);
  vc_buffer_free(&comment);

  vc_metadata metadata = {0};
  if (vc_image_recognise(data, size) == VC_IMAGE_PNG) (void)vc_png_text(&metadata, data, size, NULL);
  vc_metadata_free(&metadata);
  if (vc_metadata_from_xmp(&metadata, (const char *)data, size, NULL) == VC_OK) vc_metadata_free(&metadata);
  return 0;
}
