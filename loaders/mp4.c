// Encoding and muxing with libav, into memory.
#include "loaders/mp4.h"

#include <errno.h>
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/opt.h>
#include <libswscale/swscale.h>
#include <stdio.h>
#include <string.h>

enum { IO_BUFFER = 32 << 10, DEFAULT_CRF = 18 };

// libav 7 made the bytes to be written const.
#if LIBAVFORMAT_VERSION_MAJOR >= 61
typedef const uint8_t written_byte;
#else
typedef uint8_t written_byte;
#endif

// A position in the growing file. Putting the index in front makes the muxer read what it wrote, through a second one.
typedef struct memory_file {
  vc_buffer *bytes;
  size_t base;  // where the file starts in the buffer
  size_t at;
} memory_file;

typedef struct encoder {
  memory_file file;
  AVFormatContext *format;
  AVCodecContext *codec;
  AVStream *stream;  // of format
  AVFrame *frame;
  AVPacket *packet;
  struct SwsContext *sws;
  uint8_t *even;  // one frame with even sides and padded rows
  int even_stride, width, height;
  vc_error *error;
} encoder;

static vc_status fail_with(vc_error *error, int code, const char *what) {
  char reason[AV_ERROR_MAX_STRING_SIZE] = {0};
  av_strerror(code, reason, sizeof reason);
  return vc_fail(error, code == AVERROR(ENOMEM) ? VC_NO_MEMORY : VC_FAILED, "%s: %s", what, reason);
}

// ---- the file in memory

static int write_memory(void *opaque, written_byte *data, int size) {
  memory_file *file = opaque;
  size_t from = file->base + file->at, end;
  if (!vc_add_size(from, (size_t)size, &end) || !vc_buffer_reserve(file->bytes, end)) return AVERROR(ENOMEM);
  if (from > file->bytes->size) memset(file->bytes->data + file->bytes->size, 0, from - file->bytes->size);
  memcpy(file->bytes->data + from, data, (size_t)size);
  if (end > file->bytes->size) file->bytes->size = end;
  file->at += (size_t)size;
  return size;
}

static int read_memory(void *opaque, uint8_t *to, int size) {
  memory_file *file = opaque;
  size_t left = file->bytes->size - file->base - file->at;
  if (!left) return AVERROR_EOF;
  if ((size_t)size > left) size = (int)left;
  memcpy(to, file->bytes->data + file->base + file->at, (size_t)size);
  file->at += (size_t)size;
  return size;
}

static int64_t seek_memory(void *opaque, int64_t offset, int whence) {
  memory_file *file = opaque;
  int64_t size = (int64_t)(file->bytes->size - file->base);
  if (whence & AVSEEK_SIZE) return size;
  whence &= ~AVSEEK_FORCE;
  int64_t to = offset + (whence == SEEK_CUR ? (int64_t)file->at : whence == SEEK_END ? size : 0);
  if (to < 0) return AVERROR(EINVAL);
  file->at = (size_t)to;
  return to;
}

static AVIOContext *open_memory(memory_file *file, bool to_write) {
  uint8_t *buffer = av_malloc(IO_BUFFER);
  if (!buffer) return NULL;
  AVIOContext *io = avio_alloc_context(buffer, IO_BUFFER, to_write, file, to_write ? NULL : read_memory,
                                       to_write ? write_memory : NULL, seek_memory);
  if (!io) av_free(buffer);
  return io;
}

static void close_memory(AVIOContext *io) {
  if (io) av_freep(&io->buffer);
  avio_context_free(&io);
}

static int open_for_reading(AVFormatContext *format, AVIOContext **io, const char *url, int flags,
                            AVDictionary **options) {
  (void)url;
  (void)options;
  if (flags & AVIO_FLAG_WRITE) return AVERROR(EACCES);
  memory_file *reader = av_mallocz(sizeof *reader), *writer = format->opaque;
  if (!reader) return AVERROR(ENOMEM);
  *reader = (memory_file){.bytes = writer->bytes, .base = writer->base};
  *io = open_memory(reader, false);
  if (!*io) av_free(reader);
  return *io ? 0 : AVERROR(ENOMEM);
}

static int close_reader(AVFormatContext *format, AVIOContext *io) {
  (void)format;
  av_free(io->opaque);
  close_memory(io);
  return 0;
}

// ---- the encoder

static void set_up_codec(AVCodecContext *c, const encoder *e, AVRational rate, int crf) {
  c->width = e->width;
  c->height = e->height;
  c->pix_fmt = AV_PIX_FMT_YUV420P;
  c->time_base = av_inv_q(rate);
  c->framerate = rate;
  c->color_range = AVCOL_RANGE_MPEG;
  c->color_primaries = AVCOL_PRI_BT709;
  c->color_trc = AVCOL_TRC_BT709;
  c->colorspace = AVCOL_SPC_BT709;
  c->thread_count = 1;
  c->flags |= AV_CODEC_FLAG_BITEXACT | AV_CODEC_FLAG_GLOBAL_HEADER;
  if (!strcmp(c->codec->name, "libx264")) {
    av_opt_set(c->priv_data, "preset", "medium", 0);
    // With it, files of small pictures differ from run to run (x264 164: not with its assembly off).
    av_opt_set(c->priv_data, "x264-params", "mbtree=0", 0);
    av_opt_set_double(c->priv_data, "crf", crf, 0);
  } else if (c->codec_id == AV_CODEC_ID_MPEG4) {
    c->flags |= AV_CODEC_FLAG_QSCALE;
    c->global_quality = 3 * FF_QP2LAMBDA;
  } else {
    c->bit_rate = (int64_t)(av_q2d(rate) * e->width * e->height * 0.4);  // bits a pixel that leave little to see
  }
}

// The first of our list that is there and starts. Encoders that need a device may be there and not start.
static vc_status start_codec(encoder *e, AVRational rate, int crf, const char **note) {
  static const char *const names[] = {"libx264", "libopenh264", "h264_nvenc", "mpeg4"};
  int code = AVERROR_ENCODER_NOT_FOUND;
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    const AVCodec *codec = avcodec_find_encoder_by_name(names[i]);
    if (!codec) continue;
    e->codec = avcodec_alloc_context3(codec);
    if (!e->codec) return vc_fail(e->error, VC_NO_MEMORY, "no memory for a video encoder");
    set_up_codec(e->codec, e, rate, crf);
    code = avcodec_open2(e->codec, codec, NULL);
    if (code >= 0) {
      if (codec->id == AV_CODEC_ID_MPEG4)
        *note = "this build of libav has no H.264 encoder: the file is MPEG-4 part 2, which browsers do not play";
      return VC_OK;
    }
    avcodec_free_context(&e->codec);
  }
  return fail_with(e->error, code, "no video encoder of this build of libav takes these frames");
}

static vc_status start_format(encoder *e, const char *comment) {
  int code = avformat_alloc_output_context2(&e->format, NULL, "mp4", NULL);
  if (code < 0) return fail_with(e->error, code, "this build of libav cannot write MP4");
  e->format->opaque = &e->file;
  e->format->io_open = open_for_reading;
  e->format->io_close2 = close_reader;
  e->format->flags |= AVFMT_FLAG_BITEXACT | AVFMT_FLAG_CUSTOM_IO;
  e->format->pb = open_memory(&e->file, true);
  e->stream = avformat_new_stream(e->format, NULL);
  if (!e->format->pb || !e->stream) return vc_fail(e->error, VC_NO_MEMORY, "no memory for an MP4");
  e->stream->time_base = e->codec->time_base;
  e->stream->avg_frame_rate = e->codec->framerate;
  code = avcodec_parameters_from_context(e->stream->codecpar, e->codec);
  if (code >= 0 && comment) code = av_dict_set(&e->format->metadata, "comment", comment, 0);
  AVDictionary *options = NULL;
  if (code >= 0) code = av_dict_set(&options, "movflags", "+faststart", 0);
  if (code >= 0) code = avformat_write_header(e->format, &options);
  av_dict_free(&options);
  return code < 0 ? fail_with(e->error, code, "the MP4 cannot be started") : VC_OK;
}

static vc_status start_frames(encoder *e) {
  e->frame = av_frame_alloc();
  e->packet = av_packet_alloc();
  e->even_stride = (e->width * 3 + 127) / 64 * 64;
  e->even = av_mallocz((size_t)e->even_stride * ((size_t)e->height + 1));  // swscale may look at what is behind a row
  if (!e->frame || !e->packet || !e->even) return vc_fail(e->error, VC_NO_MEMORY, "no memory for a video frame");
  e->frame->format = AV_PIX_FMT_YUV420P;
  e->frame->width = e->width;
  e->frame->height = e->height;
  e->frame->color_range = AVCOL_RANGE_MPEG;
  e->frame->colorspace = AVCOL_SPC_BT709;
  int code = av_frame_get_buffer(e->frame, 0);
  if (code < 0) return fail_with(e->error, code, "no memory for a video frame");
  e->sws = sws_getContext(e->width, e->height, AV_PIX_FMT_RGB24, e->width, e->height, AV_PIX_FMT_YUV420P,
                          SWS_BICUBIC | SWS_ACCURATE_RND | SWS_BITEXACT | SWS_FULL_CHR_H_INP, NULL, NULL, NULL);
  if (!e->sws) return vc_fail(e->error, VC_FAILED, "swscale cannot convert frames of %d x %d", e->width, e->height);
  const int *bt709 = sws_getCoefficients(SWS_CS_ITU709);
  code = sws_setColorspaceDetails(e->sws, bt709, 1, bt709, 0, 0, 1 << 16, 1 << 16);
  return code < 0 ? fail_with(e->error, code, "swscale cannot convert to BT.709") : VC_OK;
}

static void make_even(encoder *e, const vc_image *image) {
  size_t row = (size_t)image->width * 3;
  for (int y = 0; y < e->height; y++) {
    const uint8_t *from = image->rgb + (size_t)(y < image->height ? y : image->height - 1) * row;
    uint8_t *to = e->even + (size_t)y * (size_t)e->even_stride;
    memcpy(to, from, row);
    if (e->width > image->width) memcpy(to + row, from + row - 3, 3);
  }
}

// frame NULL flushes.
static vc_status encode(encoder *e, const AVFrame *frame) {
  int code = avcodec_send_frame(e->codec, frame);
  if (code < 0) return fail_with(e->error, code, "the video encoder refuses a frame");
  for (;;) {
    code = avcodec_receive_packet(e->codec, e->packet);
    if (code == AVERROR(EAGAIN) || code == AVERROR_EOF) return VC_OK;
    if (code < 0) return fail_with(e->error, code, "the video encoder fails");
    e->packet->duration = 1;
    av_packet_rescale_ts(e->packet, e->codec->time_base, e->stream->time_base);
    e->packet->stream_index = e->stream->index;
    code = av_interleaved_write_frame(e->format, e->packet);
    if (code < 0) return fail_with(e->error, code, "the MP4 cannot be written");
  }
}

static vc_status encode_all(encoder *e, const vc_frames *frames) {
  for (int i = 0; i < frames->count; i++) {
    vc_image image = vc_frames_image(frames, i);
    int code = av_frame_make_writable(e->frame);
    if (code < 0) return fail_with(e->error, code, "no memory for a video frame");
    make_even(e, &image);
    const uint8_t *from[4] = {e->even};
    int strides[4] = {e->even_stride};
    code = sws_scale(e->sws, from, strides, 0, e->height, e->frame->data, e->frame->linesize);
    if (code < 0) return fail_with(e->error, code, "swscale cannot convert a frame");
    e->frame->pts = i;
    vc_status status = encode(e, e->frame);
    if (status) return status;
  }
  vc_status status = encode(e, NULL);
  if (status) return status;
  int code = av_write_trailer(e->format);
  return code < 0 ? fail_with(e->error, code, "the MP4 cannot be finished") : VC_OK;
}

vc_status vc_mp4_encode(vc_buffer *out, const vc_frames *frames, const vc_mp4_options *options, const char **note,
                        vc_error *error) {
  *note = NULL;
  int crf = options->crf ? options->crf : DEFAULT_CRF;
  if (frames->count < 1 || !vc_image_size_ok(frames->width, frames->height) || !(options->fps >= 0.001) ||
      options->fps > 1000 || crf < 1 || crf > 51)
    return vc_fail(error, VC_INVALID, "an MP4 of %d frames of %d x %d pixels at %g a second, crf %d, is not possible",
                   frames->count, frames->width, frames->height, options->fps, crf);
  encoder e = {.file = {.bytes = out, .base = out->size}, .error = error};
  e.width = frames->width + frames->width % 2;
  e.height = frames->height + frames->height % 2;
  vc_ratio rate = vc_ratio_of(options->fps);
  av_log_set_level(AV_LOG_QUIET);  // the library never prints; libav knows no narrower switch than this one
  vc_status status = start_codec(&e, (AVRational){rate.num, rate.den}, crf, note);
  if (!status) status = start_format(&e, options->comment);
  if (!status) status = start_frames(&e);
  if (!status) status = encode_all(&e, frames);
  sws_freeContext(e.sws);
  av_free(e.even);
  av_packet_free(&e.packet);
  av_frame_free(&e.frame);
  avcodec_free_context(&e.codec);
  if (e.format) close_memory(e.format->pb);
  avformat_free_context(e.format);
  return status;
}
