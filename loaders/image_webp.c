// Still WebP pictures through libwebp, lossy and lossless.
#include <webp/decode.h>

#include "loaders/image_codecs.h"

vc_status vc_webp_decode(vc_image *out, const uint8_t *data, size_t size, vc_error *error) {
  *out = (vc_image){0};
  WebPDecoderConfig config;
  if (!WebPInitDecoderConfig(&config)) return vc_fail(error, VC_FAILED, "libwebp is older than the one built against");
  VP8StatusCode code = WebPGetFeatures(data, size, &config.input);
  if (code == VP8_STATUS_NOT_ENOUGH_DATA)
    return vc_fail(error, VC_FAILED, "the WebP ends too early, after %zu bytes", size);
  if (code != VP8_STATUS_OK) return vc_fail(error, VC_FAILED, "corrupt WebP: its header cannot be read");
  if (config.input.has_animation)
    return vc_fail(error, VC_FAILED, "an animated WebP, where one still picture is wanted");
  if (!vc_image_size_ok(config.input.width, config.input.height))
    return vc_image_too_large(config.input.width, config.input.height, error);

  vc_image image;
  vc_status status = vc_image_new(&image, config.input.width, config.input.height, error);
  if (status) return status;
  config.output.colorspace = MODE_RGB;  // alpha is dropped, not blended
  config.output.is_external_memory = 1;
  config.output.u.RGBA.rgba = image.rgb;
  config.output.u.RGBA.stride = image.width * 3;
  config.output.u.RGBA.size = (size_t)image.width * (size_t)image.height * 3;
  code = WebPDecode(data, size, &config);
  WebPFreeDecBuffer(&config.output);
  if (code == VP8_STATUS_OK) {
    *out = image;
    return VC_OK;
  }
  vc_image_free(&image);
  if (code == VP8_STATUS_OUT_OF_MEMORY) return vc_fail(error, VC_NO_MEMORY, "no memory to decode a WebP");
  if (code == VP8_STATUS_SUSPENDED || code == VP8_STATUS_NOT_ENOUGH_DATA)
    return vc_fail(error, VC_FAILED, "the WebP ends too early, after %zu bytes", size);
  return vc_fail(error, VC_FAILED, "corrupt WebP: its picture data cannot be decoded");
}
