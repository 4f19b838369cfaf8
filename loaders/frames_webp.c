// Animated WebP as a clip, through libwebpdemux.
#include <string.h>
#include <webp/demux.h>

#include "loaders/frames_build.h"

bool vc_webp_is_animated(const uint8_t *data, size_t size) {
  WebPBitstreamFeatures features;
  return WebPGetFeatures(data, size, &features) == VP8_STATUS_OK && features.has_animation;
}

// The canvas is known from the header, before the decoder allocates two of it.
static vc_status check_canvas(const WebPData *file, vc_error *error) {
  WebPDemuxer *demuxer = WebPDemux(file);
  if (!demuxer) return vc_fail(error, VC_FAILED, "a damaged or cut short animated WebP");
  uint32_t width = WebPDemuxGetI(demuxer, WEBP_FF_CANVAS_WIDTH), height = WebPDemuxGetI(demuxer, WEBP_FF_CANVAS_HEIGHT);
  WebPDemuxDelete(demuxer);
  if (vc_image_size_ok(width, height)) return VC_OK;
  return vc_fail(error, VC_FAILED, "frames of %u x %u pixels are outside the limits (%d a side)", width, height,
                 VC_IMAGE_MAX_SIDE);
}

static vc_status read_all(vc_frames *frames, WebPAnimDecoder *decoder, const WebPAnimInfo *info,
                          const vc_frames_options *options, vc_error *error) {
  int start = 0, end = 0, last = 1;
  while (WebPAnimDecoderHasMoreFrames(decoder) && !vc_frames_enough(frames, options)) {
    uint8_t *rgba, *pixels = NULL;
    if (!WebPAnimDecoderGetNext(decoder, &rgba, &end))
      return vc_fail(error, VC_FAILED, "frame %d of the animated WebP is damaged", frames->count);
    vc_status status =
        vc_frames_add(frames, options, (int)info->canvas_width, (int)info->canvas_height, start, &pixels, error);
    if (status) return status;
    size_t count = (size_t)info->canvas_width * info->canvas_height;
    for (size_t i = 0; i < count; i++) memcpy(pixels + i * 3, rgba + i * 4, 3);
    last = end > start ? end - start : 1;
    start = end;
  }
  if (!frames->count) return vc_fail(error, VC_FAILED, "the animated WebP holds no frames");
  frames->time_base = (vc_ratio){1, 1000};
  frames->frame_rate = (vc_ratio){1000, last};
  if (end > 0) frames->fps = frames->count * 1000.0 / end;
  return VC_OK;
}

vc_status vc_frames_from_webp(vc_frames *frames, const uint8_t *data, size_t size, const vc_frames_options *options,
                              vc_error *error) {
  WebPData file = {data, size};
  WebPAnimDecoderOptions how;
  WebPAnimInfo info;
  vc_status status = check_canvas(&file, error);
  if (status) return status;
  if (!WebPAnimDecoderOptionsInit(&how))
    return vc_fail(error, VC_FAILED, "libwebpdemux is older than the one built against");
  how.color_mode = MODE_RGBA;
  WebPAnimDecoder *decoder = WebPAnimDecoderNew(&file, &how);
  if (decoder && WebPAnimDecoderGetInfo(decoder, &info))
    status = read_all(frames, decoder, &info, options, error);
  else
    status = vc_fail(error, VC_FAILED, "a damaged animated WebP");
  WebPAnimDecoderDelete(decoder);
  return status;
}
