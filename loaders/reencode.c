#include "loaders/reencode.h"

#include <libavcodec/avcodec.h>
#include <libavutil/imgutils.h>
#include <libswscale/swscale.h>
#include <stdlib.h>
#include <string.h>

#include "loaders/frames_build.h"

// The header's field for units of time has 16 bits.
enum { MAX_RATE_TERM = 65535 };

typedef struct coder {
  vc_reencoded *out;
  const vc_reencode_options *options;
  const int *index;
  int count;
  int sent, received;  // frames to the encoder, frames from the decoder
  int source;          // number of the source frame that comes next
  AVCodecContext *encoder, *decoder;
  AVPacket *packet;
  AVFrame *planar, *upright, *decoded;  // 4:2:0 as the source stands, the same turned
  struct SwsContext *sws;
  vc_video_rgb converter;
  vc_error *error;
} coder;

static vc_status fail_with(vc_error *error, int code, const char *what) {
  char reason[AV_ERROR_MAX_STRING_SIZE] = {0};
  av_strerror(code, reason, sizeof reason);
  return vc_fail(error, code == AVERROR(ENOMEM) ? VC_NO_MEMORY : VC_FAILED, "%s: %s", what, reason);
}

// ---- the two codecs

static vc_status open_encoder(coder *c, const AVFrame *frame) {
  const AVCodec *codec = avcodec_find_encoder(AV_CODEC_ID_MPEG4);
  if (!codec) return vc_fail(c->error, VC_FAILED, "this build of libav has no MPEG-4 part 2 encoder");
  if (frame->width > VC_REENCODE_MAX_SIDE || frame->height > VC_REENCODE_MAX_SIDE)
    return vc_fail(c->error, VC_FAILED, "frames of %d x %d pixels; MPEG-4 takes %d a side: scale it first",
                   frame->width, frame->height, VC_REENCODE_MAX_SIDE);
  AVCodecContext *e = c->encoder = avcodec_alloc_context3(codec);
  if (!e) return vc_fail(c->error, VC_NO_MEMORY, "no memory for a video encoder");
  AVRational rate = {0, 1};
  av_reduce(&rate.num, &rate.den, c->options->rate.num, c->options->rate.den, MAX_RATE_TERM);
  if (rate.num < 1 || rate.den < 1)
    return vc_fail(c->error, VC_INVALID, "a clip at %d/%d frames a second is not possible", c->options->rate.num,
                   c->options->rate.den);
  // ffmpeg's defaults, spelt out.
  e->bit_rate = 200000;
  e->gop_size = 12;
  e->max_b_frames = 0;
  e->thread_count = 1;
  e->width = frame->width;
  e->height = frame->height;
  e->pix_fmt = AV_PIX_FMT_YUV420P;
  e->sample_aspect_ratio = frame->sample_aspect_ratio;
  e->framerate = rate;
  e->time_base = av_inv_q(rate);
  int code = avcodec_open2(e, codec, NULL);
  return code < 0 ? fail_with(c->error, code, "the MPEG-4 encoder does not take the frames") : VC_OK;
}

static vc_status open_decoder(coder *c) {
  const AVCodec *codec = avcodec_find_decoder(AV_CODEC_ID_MPEG4);
  if (!codec) return vc_fail(c->error, VC_FAILED, "this build of libav has no MPEG-4 part 2 decoder");
  AVCodecContext *d = c->decoder = avcodec_alloc_context3(codec);
  if (!d) return vc_fail(c->error, VC_NO_MEMORY, "no memory for a video decoder");
  d->thread_count = 1;
  d->err_recognition = AV_EF_EXPLODE;
  d->flags2 |= AV_CODEC_FLAG2_EXPORT_MVS;
  int code = avcodec_open2(d, codec, NULL);
  return code < 0 ? fail_with(c->error, code, "the MPEG-4 decoder cannot be started") : VC_OK;
}

// ---- from the decoder

static vc_status keep_frame(coder *c) {
  vc_status status = vc_vectors_add(&c->out->vectors, c->decoded, c->error);
  if (status || !c->options->pixels) return status;
  static const vc_frames_options limits = {0};
  uint8_t *pixels = NULL;
  status = vc_frames_add(&c->out->frames, &limits, c->decoded->width, c->decoded->height, c->out->frames.count, &pixels,
                         c->error);
  return status ? status : vc_video_to_rgb(&c->converter, pixels, c->decoded, false, c->error);
}

// packet NULL flushes.
static vc_status decode(coder *c, const AVPacket *packet) {
  int code = avcodec_send_packet(c->decoder, packet);
  if (code < 0) return fail_with(c->error, code, "the decoder refuses what was encoded");
  for (;;) {
    code = avcodec_receive_frame(c->decoder, c->decoded);
    if (code == AVERROR(EAGAIN) || code == AVERROR_EOF) return VC_OK;
    if (code < 0) return fail_with(c->error, code, "what was encoded cannot be decoded");
    vc_status status = c->received++ >= c->options->keep_from ? keep_frame(c) : VC_OK;
    av_frame_unref(c->decoded);
    if (status) return status;
  }
}

// frame NULL flushes.
static vc_status encode(coder *c, const AVFrame *frame) {
  int code = avcodec_send_frame(c->encoder, frame);
  if (code < 0) return fail_with(c->error, code, "the MPEG-4 encoder refuses a frame");
  for (;;) {
    code = avcodec_receive_packet(c->encoder, c->packet);
    if (code == AVERROR(EAGAIN) || code == AVERROR_EOF) return VC_OK;
    if (code < 0) return fail_with(c->error, code, "the MPEG-4 encoder fails");
    vc_status status = VC_OK;
    if (c->options->keep_stream && !vc_buffer_append(&c->out->stream, c->packet->data, (size_t)c->packet->size))
      status = vc_fail(c->error, VC_NO_MEMORY, "no memory for an encoded clip");
    if (!status) status = decode(c, c->packet);
    av_packet_unref(c->packet);
    if (status) return status;
  }
}

// ---- to the encoder

static vc_status new_planes(coder *c, AVFrame **frame, int width, int height) {
  if (*frame) return VC_OK;
  *frame = av_frame_alloc();
  if (!*frame) return vc_fail(c->error, VC_NO_MEMORY, "no memory for a video frame");
  (*frame)->format = AV_PIX_FMT_YUV420P;
  (*frame)->width = width;
  (*frame)->height = height;
  int code = av_frame_get_buffer(*frame, 0);
  return code < 0 ? fail_with(c->error, code, "no memory for a video frame") : VC_OK;
}

// To 4:2:0 with the scaler that ffmpeg puts in front of an encoder.
static vc_status make_planar(coder *c, const AVFrame *frame) {
  vc_status status = new_planes(c, &c->planar, frame->width, frame->height);
  if (status) return status;
  int code = av_frame_make_writable(c->planar);
  if (code < 0) return fail_with(c->error, code, "no memory for a video frame");
  c->planar->sample_aspect_ratio = frame->sample_aspect_ratio;
  if (frame->format == AV_PIX_FMT_YUV420P) {
    code = av_frame_copy(c->planar, frame);
    return code < 0 ? fail_with(c->error, code, "a frame cannot be copied") : VC_OK;
  }
  c->sws = sws_getCachedContext(c->sws, frame->width, frame->height, frame->format, frame->width, frame->height,
                                AV_PIX_FMT_YUV420P, SWS_BICUBIC, NULL, NULL, NULL);
  if (!c->sws)
    return vc_fail(c->error, VC_FAILED, "swscale cannot convert frames of this pixel format (%d)", frame->format);
  code = sws_scale(c->sws, (const uint8_t *const *)frame->data, frame->linesize, 0, frame->height, c->planar->data,
                   c->planar->linesize);
  return code < 0 ? fail_with(c->error, code, "swscale cannot convert a frame") : VC_OK;
}

static void turn_plane(uint8_t *to, int to_stride, const uint8_t *from, int from_stride, int width, int height,
                       const int turn[4]) {
  int a = turn[0], b = turn[1], c = turn[2], d = turn[3];
  int left = (a < 0 || c < 0) ? (a ? width : height) - 1 : 0;
  int top = (b < 0 || d < 0) ? (a ? height : width) - 1 : 0;
  for (int y = 0; y < height; y++)
    for (int x = 0; x < width; x++)
      to[(ptrdiff_t)(top + b * x + d * y) * to_stride + left + a * x + c * y] = from[(ptrdiff_t)y * from_stride + x];
}

static vc_status make_upright(coder *c, const int turn[4]) {
  int width = c->planar->width, height = c->planar->height;
  bool sideways = !turn[0];
  vc_status status = new_planes(c, &c->upright, sideways ? height : width, sideways ? width : height);
  if (status) return status;
  int code = av_frame_make_writable(c->upright);
  if (code < 0) return fail_with(c->error, code, "no memory for a video frame");
  for (int p = 0; p < 3; p++)
    turn_plane(c->upright->data[p], c->upright->linesize[p], c->planar->data[p], c->planar->linesize[p],
               p ? (width + 1) / 2 : width, p ? (height + 1) / 2 : height, turn);
  return VC_OK;
}

// Source frame number c->source, as often as it is wanted.
static vc_status push(coder *c, const AVFrame *frame, const int turn[4]) {
  int number = c->source++;
  if (c->sent == c->count || c->index[c->sent] != number) return VC_OK;
  vc_status status = make_planar(c, frame);
  AVFrame *ready = c->planar;
  if (!status && (turn[0] != 1 || turn[3] != 1)) {
    status = make_upright(c, turn);
    ready = c->upright;
  }
  if (!status && !c->encoder) status = open_encoder(c, ready);
  while (!status && c->sent < c->count && c->index[c->sent] == number) {
    ready->pts = c->sent++;
    status = encode(c, ready);
  }
  return status;
}

static vc_status push_decoded(void *opaque, const vc_video_info *info, const AVFrame *frame, bool *stop,
                              vc_error *error) {
  coder *c = opaque;
  (void)error;  // c->error is the same
  vc_status status = push(c, frame, info->turn);
  *stop = c->sent == c->count;
  return status;
}

static vc_status push_clip(coder *c, const vc_frames *clip) {
  static const int upright[4] = {1, 0, 0, 1};
  AVFrame *frame = av_frame_alloc();
  if (!frame) return vc_fail(c->error, VC_NO_MEMORY, "no memory for a video frame");
  frame->format = AV_PIX_FMT_RGB24;
  frame->width = clip->width;
  frame->height = clip->height;
  int code = av_frame_get_buffer(frame, 0);  // with the room behind its rows that swscale reads
  vc_status status = code < 0 ? fail_with(c->error, code, "no memory for a video frame") : VC_OK;
  for (int i = 0; i < clip->count && c->sent < c->count && !status; i++) {
    av_image_copy_plane(frame->data[0], frame->linesize[0], vc_frames_image(clip, i).rgb, clip->width * 3,
                        clip->width * 3, clip->height);
    status = push(c, frame, upright);
  }
  av_frame_free(&frame);
  return status;
}

static vc_status run(coder *c, const char *path, const vc_frames *clip) {
  c->packet = av_packet_alloc();
  c->decoded = av_frame_alloc();
  vc_status status = c->packet && c->decoded ? VC_OK : vc_fail(c->error, VC_NO_MEMORY, "no memory to encode a clip");
  if (!status) status = open_decoder(c);
  // Messages about the file itself have its path already.
  if (!status && !clip) return vc_video_decode(path, NULL, push_decoded, c, NULL, c->error);
  if (!status) status = push_clip(c, clip);
  return status ? vc_fail_in(c->error, status, "%s", path) : VC_OK;
}

static vc_status finish(coder *c, const char *path) {
  if (c->sent < c->count)
    return vc_fail(c->error, VC_FAILED, "%s: has %d frames, and frame %d is wanted", path, c->source,
                   c->index[c->sent]);
  vc_status status = encode(c, NULL);
  if (!status) status = decode(c, NULL);
  if (!status && c->received != c->sent)
    status =
        vc_fail(c->error, VC_FAILED, "%d frames went into the MPEG-4 encoder and %d came out", c->sent, c->received);
  if (status) return vc_fail_in(c->error, status, "%s", path);
  vc_frames *f = &c->out->frames;
  f->fps = (double)c->options->rate.num / c->options->rate.den;
  f->frame_rate = c->options->rate;
  f->time_base = (vc_ratio){c->options->rate.den, c->options->rate.num};
  return VC_OK;
}

vc_status vc_reencode(vc_reencoded *out, const char *path, const vc_frames *clip, const int *index, int count,
                      const vc_reencode_options *options, vc_error *error) {
  *out = (vc_reencoded){.frames = {0}};
  coder c = {.out = out, .options = options, .index = index, .count = count, .error = error};
  if (count < 1) return vc_fail(error, VC_INVALID, "%s: no frames to encode", path);
  av_log_set_level(AV_LOG_QUIET);  // the library never prints; libav knows no narrower switch than this one
  vc_status status = run(&c, path, clip);
  if (!status) status = finish(&c, path);
  sws_freeContext(c.sws);
  vc_video_rgb_free(&c.converter);
  av_frame_free(&c.planar);
  av_frame_free(&c.upright);
  av_frame_free(&c.decoded);
  av_packet_free(&c.packet);
  avcodec_free_context(&c.encoder);
  avcodec_free_context(&c.decoder);
  if (status) vc_reencoded_free(out);
  return status;
}

void vc_reencoded_free(vc_reencoded *r) {
  vc_frames_free(&r->frames);
  vc_vectors_free(&r->vectors);
  vc_buffer_free(&r->stream);
}

int vc_start_candidates(int *start, const char *type, int type_count, int frames) {
  int count = 0;
  for (int i = 0; i < type_count && type_count - i >= frames; i++)
    if (type[i] == 'I') start[count++] = i;
  return count;
}
