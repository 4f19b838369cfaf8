// Animated WebP through libwebpmux.
#include "loaders/webp_out.h"

#include <math.h>
#include <string.h>
#include <webp/encode.h>
#include <webp/mux.h>

enum { MAX_SIDE = 16383 };

static vc_status make_config(WebPConfig *config, const vc_webp_options *options, vc_error *error) {
  if (!WebPConfigInit(config)) return vc_fail(error, VC_FAILED, "libwebp is older than the one built against");
  config->quality = options->quality != 0 ? (float)options->quality : 90;
  if (options->lossless) {
    config->lossless = 1;
    config->quality = 50;  // effort, here
    if (options->near_lossless) config->near_lossless = options->near_lossless;
  }
  if (WebPValidateConfig(config)) return VC_OK;
  return vc_fail(error, VC_INVALID, "WebP quality %g, near-lossless %d: both lie in 0 to 100", options->quality,
                 options->near_lossless);
}

static vc_status add_frame(WebPAnimEncoder *encoder, const WebPConfig *config, const vc_image *image, int at,
                           vc_error *error) {
  WebPPicture picture;
  if (!WebPPictureInit(&picture)) return vc_fail(error, VC_FAILED, "libwebp is older than the one built against");
  picture.use_argb = 1;
  picture.width = image->width;
  picture.height = image->height;
  vc_status status = VC_OK;
  if (!WebPPictureImportRGB(&picture, image->rgb, image->width * 3))
    status = vc_fail(error, VC_NO_MEMORY, "no memory for a WebP frame");
  else if (!WebPAnimEncoderAdd(encoder, &picture, at, config))
    status = vc_fail(error, VC_FAILED, "libwebp refuses a frame: %s", WebPAnimEncoderGetError(encoder));
  WebPPictureFree(&picture);
  return status;
}

static vc_status assemble(WebPData *file, const vc_frames *frames, const WebPConfig *config, double fps,
                          vc_error *error) {
  WebPAnimEncoderOptions how;
  if (!WebPAnimEncoderOptionsInit(&how))
    return vc_fail(error, VC_FAILED, "libwebpmux is older than the one built against");
  how.anim_params.loop_count = 0;
  WebPAnimEncoder *encoder = WebPAnimEncoderNew(frames->width, frames->height, &how);
  if (!encoder) return vc_fail(error, VC_NO_MEMORY, "no memory for a WebP");
  vc_status status = VC_OK;
  for (int i = 0; i < frames->count && !status; i++) {
    vc_image image = vc_frames_image(frames, i);
    status = add_frame(encoder, config, &image, (int)nearbyint(i * 1000 / fps), error);
  }
  if (!status && !WebPAnimEncoderAdd(encoder, NULL, (int)nearbyint(frames->count * 1000 / fps), NULL))
    status = vc_fail(error, VC_FAILED, "libwebp cannot end the clip: %s", WebPAnimEncoderGetError(encoder));
  if (!status && !WebPAnimEncoderAssemble(encoder, file))
    status = vc_fail(error, VC_FAILED, "libwebp cannot assemble the clip: %s", WebPAnimEncoderGetError(encoder));
  WebPAnimEncoderDelete(encoder);
  return status;
}

static vc_status add_xmp(WebPData *file, const char *xmp, vc_error *error) {
  WebPData text = {(const uint8_t *)xmp, strlen(xmp)}, with = {0};
  WebPMux *mux = WebPMuxCreate(file, 1);
  bool done =
      mux && WebPMuxSetChunk(mux, "XMP ", &text, 1) == WEBP_MUX_OK && WebPMuxAssemble(mux, &with) == WEBP_MUX_OK;
  WebPMuxDelete(mux);
  if (!done) {
    WebPDataClear(&with);
    return vc_fail(error, VC_FAILED, "libwebpmux cannot add the metadata");
  }
  WebPDataClear(file);
  *file = with;
  return VC_OK;
}

vc_status vc_webp_encode(vc_buffer *out, const vc_frames *frames, const vc_webp_options *options, vc_error *error) {
  WebPConfig config;
  WebPData file = {0};
  bool size_ok = frames->width >= 1 && frames->height >= 1 && frames->width <= MAX_SIDE && frames->height <= MAX_SIDE;
  // Times are whole milliseconds, in an int.
  if (frames->count < 1 || !size_ok || !(options->fps > 0) || options->fps > 1000 || frames->count / options->fps > 2e6)
    return vc_fail(error, VC_INVALID, "a WebP of %d frames of %d x %d pixels at %g a second is not possible",
                   frames->count, frames->width, frames->height, options->fps);
  vc_status status = make_config(&config, options, error);
  if (!status) status = assemble(&file, frames, &config, options->fps, error);
  if (!status && options->xmp) status = add_xmp(&file, options->xmp, error);
  if (!status && !vc_buffer_append(out, file.bytes, file.size))
    status = vc_fail(error, VC_NO_MEMORY, "no memory for a WebP of %zu bytes", file.size);
  WebPDataClear(&file);
  return status;
}
