// Demuxing and decoding with libav, and the conversion of its frames to RGB.
#include "loaders/video.h"

#include <errno.h>
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/display.h>
#include <libavutil/imgutils.h>
#include <libswscale/swscale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "loaders/image.h"

// Containers that hold films. Left out are libav's readers of still pictures, text, playlists and devices; the sound
// formats are in for the sake of a better message.
static const char containers[] =
    "mov,matroska,avi,gif,m4v,h264,hevc,mpegts,mpeg,mpegvideo,flv,ogg,asf,ivf,yuv4mpegpipe,nut,mxf,apng,mjpeg,obu,dv,"
    "mp3,wav,flac,aac";

enum { IO_BUFFER = 32 << 10 };

typedef struct decoder {
  const char *path;
  FILE *file;
  AVIOContext *io;
  AVFormatContext *format;
  AVCodecContext *codec;
  AVStream *stream;  // of format
  AVPacket *packet;
  AVFrame *frame;
  vc_video_info info;
  int64_t frames;
  bool motion_vectors, stop;
  vc_video_sink sink;
  void *opaque;
  vc_error *error;
} decoder;

static vc_status fail_with(vc_error *error, int code, const char *what) {
  char reason[AV_ERROR_MAX_STRING_SIZE] = {0};
  av_strerror(code, reason, sizeof reason);
  return vc_fail(error, code == AVERROR(ENOMEM) ? VC_NO_MEMORY : VC_FAILED, "%s: %s", what, reason);
}

static int read_file(void *opaque, uint8_t *to, int size) {
  FILE *file = opaque;
  size_t got = fread(to, 1, (size_t)size, file);
  if (got) return (int)got;
  return ferror(file) ? AVERROR(EIO) : AVERROR_EOF;
}

static int64_t seek_file(void *opaque, int64_t offset, int whence) {
  FILE *file = opaque;
  if (whence & AVSEEK_SIZE) {
    struct stat about;
    return fstat(fileno(file), &about) ? AVERROR(errno) : about.st_size;
  }
  if (fseeko(file, offset, whence & ~AVSEEK_FORCE)) return AVERROR(errno);
  return ftello(file);
}

static vc_status open_io(decoder *d) {
  d->file = fopen(d->path, "rb");
  struct stat about;
  if (!d->file || fstat(fileno(d->file), &about))
    return vc_fail(d->error, VC_FAILED, "cannot be opened: %s", strerror(errno));
  if (S_ISDIR(about.st_mode)) return vc_fail(d->error, VC_FAILED, "a folder, where a video file is wanted");
  if (S_ISREG(about.st_mode) && !about.st_size) return vc_fail(d->error, VC_FAILED, "the file is empty");
  uint8_t *buffer = av_malloc(IO_BUFFER);
  if (buffer) d->io = avio_alloc_context(buffer, IO_BUFFER, 0, d->file, read_file, NULL, seek_file);
  if (!d->io) {
    av_free(buffer);
    return vc_fail(d->error, VC_NO_MEMORY, "no memory to read a video");
  }
  d->io->seekable = S_ISREG(about.st_mode) ? AVIO_SEEKABLE_NORMAL : 0;
  return VC_OK;
}

static vc_status open_format(decoder *d) {
  d->format = avformat_alloc_context();
  if (!d->format) return vc_fail(d->error, VC_NO_MEMORY, "no memory to read a video");
  d->format->pb = d->io;
  AVDictionary *options = NULL;
  // A list that names no protocol: nothing but d->io can be opened, not even by a container that nests another.
  int code = av_dict_set(&options, "protocol_whitelist", "none", 0);
  if (code >= 0) code = av_dict_set(&options, "format_whitelist", containers, 0);
  // The path is a hint for telling formats apart by suffix; libav frees d->format when this fails.
  if (code >= 0) code = avformat_open_input(&d->format, d->path, NULL, &options);
  av_dict_free(&options);
  if (code == AVERROR(EINVAL)) return vc_fail(d->error, VC_FAILED, "not a video of a known kind");
  if (code < 0) return fail_with(d->error, code, "not a video of a known kind, or a damaged one");
  for (unsigned i = 0; i < d->format->nb_streams; i++) {
    AVCodecParameters *p = d->format->streams[i]->codecpar;
    if (p->codec_type == AVMEDIA_TYPE_VIDEO && (p->width || p->height) && !vc_image_size_ok(p->width, p->height))
      return vc_fail(d->error, VC_FAILED, "frames of %d x %d pixels are outside the limits (%d a side): scale it first",
                     p->width, p->height, VC_IMAGE_MAX_SIDE);
  }
  code = avformat_find_stream_info(d->format, NULL);
  return code < 0 ? fail_with(d->error, code, "its streams cannot be read") : VC_OK;
}

static vc_status open_codec(decoder *d) {
  const AVCodec *codec = NULL;
  int index = av_find_best_stream(d->format, AVMEDIA_TYPE_VIDEO, -1, -1, &codec, 0);
  if (index == AVERROR_STREAM_NOT_FOUND ||
      (index >= 0 && d->format->streams[index]->disposition & AV_DISPOSITION_ATTACHED_PIC)) {
    bool sound = av_find_best_stream(d->format, AVMEDIA_TYPE_AUDIO, -1, -1, NULL, 0) >= 0;
    return vc_fail(d->error, VC_FAILED, "%s", sound ? "holds sound only, no video stream" : "holds no video stream");
  }
  if (index == AVERROR_DECODER_NOT_FOUND)
    return vc_fail(d->error, VC_FAILED, "this build of libav has no decoder for its video stream");
  if (index < 0) return fail_with(d->error, index, "its video stream cannot be chosen");
  d->stream = d->format->streams[index];
  for (unsigned i = 0; i < d->format->nb_streams; i++)
    if ((int)i != index) d->format->streams[i]->discard = AVDISCARD_ALL;
  const AVCodecParameters *p = d->stream->codecpar;
  if (!vc_image_size_ok(p->width, p->height))
    return vc_fail(d->error, VC_FAILED, "frames of %d x %d pixels are outside the limits (1 to %d a side)", p->width,
                   p->height, VC_IMAGE_MAX_SIDE);
  d->codec = avcodec_alloc_context3(codec);
  if (!d->codec) return vc_fail(d->error, VC_NO_MEMORY, "no memory to decode a video");
  int code = avcodec_parameters_to_context(d->codec, p);
  d->codec->pkt_timebase = d->stream->time_base;
  d->codec->thread_count = 1;
  if (d->motion_vectors) d->codec->flags2 |= AV_CODEC_FLAG2_EXPORT_MVS;  // counts only before it is opened
  d->codec->max_pixels = VC_IMAGE_MAX_PIXELS;
  d->codec->err_recognition = AV_EF_EXPLODE;  // damage is an error, not something to paint over
  if (code >= 0) code = avcodec_open2(d->codec, codec, NULL);
  return code < 0 ? fail_with(d->error, code, "its decoder cannot be started") : VC_OK;
}

static const int32_t *display_matrix(const AVStream *stream) {
#if LIBAVCODEC_VERSION_INT >= AV_VERSION_INT(60, 30, 100)
  const AVPacketSideData *data = av_packet_side_data_get(
      stream->codecpar->coded_side_data, stream->codecpar->nb_coded_side_data, AV_PKT_DATA_DISPLAYMATRIX);
  return data && data->size >= 9 * sizeof(int32_t) ? (const int32_t *)data->data : NULL;
#else
  size_t size = 0;
  const uint8_t *data = av_stream_get_side_data(stream, AV_PKT_DATA_DISPLAYMATRIX, &size);
  return data && size >= 9 * sizeof(int32_t) ? (const int32_t *)data : NULL;
#endif
}

// Quarter turns and flips are honoured; a matrix that is neither (a scale, a slant) counts as none.
static void read_turn(int turn[4], const int32_t *matrix) {
  static const int none[4] = {1, 0, 0, 1};
  memcpy(turn, none, sizeof none);
  if (!matrix) return;
  int found[4];
  static const int at[4] = {0, 1, 3, 4};  // a, b, c, d
  for (int i = 0; i < 4; i++) found[i] = matrix[at[i]] > 0 ? 1 : matrix[at[i]] < 0 ? -1 : 0;
  bool straight = found[0] && found[3] && !found[1] && !found[2];
  bool turned = found[1] && found[2] && !found[0] && !found[3];
  if (straight || turned) memcpy(turn, found, sizeof found);
}

static vc_ratio ratio(AVRational r) {
  return (vc_ratio){r.num, r.den};
}

static void fill_info(decoder *d) {
  d->info.width = d->codec->width;
  d->info.height = d->codec->height;
  d->info.time_base = ratio(d->stream->time_base);
  d->info.frame_rate = ratio(d->stream->r_frame_rate);
  d->info.average_rate = d->stream->avg_frame_rate.num > 0 ? ratio(d->stream->avg_frame_rate) : (vc_ratio){0, 0};
  d->info.animation = !strcmp(d->format->iformat->name, "gif");
  snprintf(d->info.codec, sizeof d->info.codec, "%s", avcodec_get_name(d->codec->codec_id));
  read_turn(d->info.turn, display_matrix(d->stream));
}

static vc_status check_frame(decoder *d) {
  if (d->frame->width != d->info.width || d->frame->height != d->info.height) {
    if (d->frames)
      return vc_fail(d->error, VC_FAILED, "frame %lld is %d x %d, those before are %d x %d: cut the video there",
                     (long long)d->frames, d->frame->width, d->frame->height, d->info.width, d->info.height);
    d->info.width = d->frame->width;
    d->info.height = d->frame->height;
    if (!vc_image_size_ok(d->info.width, d->info.height))
      return vc_fail(d->error, VC_FAILED, "frames of %d x %d pixels are outside the limits", d->info.width,
                     d->info.height);
  }
  if (d->frame->decode_error_flags || (d->frame->flags & AV_FRAME_FLAG_CORRUPT))
    return vc_fail(d->error, VC_FAILED, "frame %lld is damaged: encode the video again", (long long)d->frames);
  return VC_OK;
}

// packet NULL flushes.
static vc_status decode_packet(decoder *d, const AVPacket *packet) {
  int code = avcodec_send_packet(d->codec, packet);
  if (code < 0 && code != AVERROR_EOF) {
    vc_status status = fail_with(d->error, code, "damaged video data");
    return vc_fail_in(d->error, status, "after frame %lld, at byte %lld", (long long)d->frames,
                      (long long)(packet ? packet->pos : -1));
  }
  while (!d->stop) {
    code = avcodec_receive_frame(d->codec, d->frame);
    if (code == AVERROR(EAGAIN) || code == AVERROR_EOF) return VC_OK;
    if (code < 0) {
      vc_status status = fail_with(d->error, code, "damaged video data");
      return vc_fail_in(d->error, status, "after frame %lld", (long long)d->frames);
    }
    vc_status status = check_frame(d);
    if (!status) status = d->sink(d->opaque, &d->info, d->frame, &d->stop, d->error);
    av_frame_unref(d->frame);
    if (status) return status;
    d->frames++;
  }
  return VC_OK;
}

static vc_status decode_all(decoder *d) {
  vc_status status = VC_OK;
  while (!status && !d->stop) {
    int code = av_read_frame(d->format, d->packet);
    if (code == AVERROR_EOF) break;
    if (code < 0) return fail_with(d->error, code, "damaged or cut short");
    if (d->packet->stream_index == d->stream->index) {
      if (d->packet->flags & AV_PKT_FLAG_CORRUPT)
        status = vc_fail(d->error, VC_FAILED, "cut short or damaged after frame %lld, at byte %lld",
                         (long long)d->frames, (long long)d->packet->pos);
      else
        status = decode_packet(d, d->packet);
    }
    av_packet_unref(d->packet);
  }
  if (!status && !d->stop && d->io->error) status = fail_with(d->error, d->io->error, "cannot be read");
  if (!status && !d->stop) status = decode_packet(d, NULL);
  if (!status && !d->frames && !d->stop) status = vc_fail(d->error, VC_FAILED, "its video stream holds no frames");
  return status;
}

static void close_all(decoder *d) {
  av_frame_free(&d->frame);
  av_packet_free(&d->packet);
  avcodec_free_context(&d->codec);
  avformat_close_input(&d->format);
  if (d->io) av_freep(&d->io->buffer);
  avio_context_free(&d->io);
  if (d->file) fclose(d->file);
}

vc_status vc_video_decode(const char *path, const vc_video_options *options, vc_video_sink sink, void *opaque,
                          vc_video_info *info, vc_error *error) {
  decoder d = {.path = path, .sink = sink, .opaque = opaque, .error = error};
  d.motion_vectors = options && options->motion_vectors;
  av_log_set_level(AV_LOG_QUIET);  // the library never prints; libav knows no narrower switch than this one
  vc_status status = open_io(&d);
  if (!status) status = open_format(&d);
  if (!status) status = open_codec(&d);
  if (!status) {
    fill_info(&d);
    d.packet = av_packet_alloc();
    d.frame = av_frame_alloc();
    if (!d.packet || !d.frame) status = vc_fail(error, VC_NO_MEMORY, "no memory to decode a video");
  }
  if (!status) status = decode_all(&d);
  if (!status && info) *info = d.info;
  close_all(&d);
  return status ? vc_fail_in(error, status, "%s", path) : VC_OK;
}

vc_status vc_video_comment(vc_buffer *out, const char *path, vc_error *error) {
  decoder d = {.path = path, .error = error};
  av_log_set_level(AV_LOG_QUIET);
  vc_status status = open_io(&d);
  if (!status) status = open_format(&d);
  if (!status) {
    const AVDictionaryEntry *entry = av_dict_get(d.format->metadata, "comment", NULL, 0);
    if (entry && !vc_buffer_append(out, entry->value, strlen(entry->value)))
      status = vc_fail(error, VC_NO_MEMORY, "no memory for the comment of a video");
  }
  close_all(&d);
  return status ? vc_fail_in(error, status, "%s", path) : VC_OK;
}

// ---- RGB

static vc_status use_tagged_matrix(struct SwsContext *context, const AVFrame *frame, vc_error *error) {
  int *inverse, *table, source_range, range, brightness, contrast, saturation;
  int matrix = frame->colorspace == AVCOL_SPC_BT709        ? SWS_CS_ITU709
               : frame->colorspace == AVCOL_SPC_BT2020_NCL ? SWS_CS_BT2020
               : frame->colorspace == AVCOL_SPC_SMPTE240M  ? SWS_CS_SMPTE240M
                                                           : SWS_CS_ITU601;
  int code =
      sws_getColorspaceDetails(context, &inverse, &source_range, &table, &range, &brightness, &contrast, &saturation);
  if (code < 0) return VC_OK;  // not a YUV frame: there is no matrix to choose
  if (frame->color_range == AVCOL_RANGE_JPEG) source_range = 1;
  code = sws_setColorspaceDetails(context, sws_getCoefficients(matrix), source_range, table, range, brightness,
                                  contrast, saturation);
  return code < 0 ? vc_fail(error, VC_FAILED, "swscale does not know the colours of the video") : VC_OK;
}

vc_status vc_video_to_rgb(vc_video_rgb *converter, uint8_t *rgb, const AVFrame *frame, bool tagged, vc_error *error) {
  size_t row = (size_t)frame->width * 3, stride = (row + 127) / 64 * 64;
  size_t need = stride * ((size_t)frame->height + 1);
  if (converter->capacity < need) {
    av_freep(&converter->rows);
    converter->capacity = 0;
    converter->rows = av_malloc(need);
    if (!converter->rows) return vc_fail(error, VC_NO_MEMORY, "no memory to convert a frame of %zu bytes", need);
    converter->capacity = need;
  }
  converter->context =
      sws_getCachedContext(converter->context, frame->width, frame->height, frame->format, frame->width, frame->height,
                           AV_PIX_FMT_RGB24, SWS_BILINEAR, NULL, NULL, NULL);
  if (!converter->context)
    return vc_fail(error, VC_FAILED, "swscale cannot convert frames of this pixel format (%d) to RGB", frame->format);
  vc_status status = tagged ? use_tagged_matrix(converter->context, frame, error) : VC_OK;
  if (status) return status;
  uint8_t *to[4] = {converter->rows};
  int strides[4] = {(int)stride};
  int code = sws_scale(converter->context, (const uint8_t *const *)frame->data, frame->linesize, 0, frame->height, to,
                       strides);
  if (code < 0) return fail_with(error, code, "swscale cannot convert a frame to RGB");
  for (int y = 0; y < frame->height; y++) memcpy(rgb + (size_t)y * row, converter->rows + (size_t)y * stride, row);
  return VC_OK;
}

void vc_video_rgb_free(vc_video_rgb *converter) {
  sws_freeContext(converter->context);
  av_freep(&converter->rows);
  *converter = (vc_video_rgb){0};
}
