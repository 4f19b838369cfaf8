// Clips as a whole: memory, telling the kinds apart, rates.
#include "loaders/frames.h"

#include <errno.h>
#include <libavutil/rational.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "loaders/frames_build.h"
#include "loaders/image_codecs.h"

static const size_t max_picture_bytes = (size_t)1 << 30;

// ---- memory

static bool clip_bytes(int count, int width, int height, size_t *bytes) {
  return vc_mul_size((size_t)width * (size_t)height * 3, (size_t)count, bytes);
}

// Room is made for powers of two of frames, so that appending one at a time stays linear.
static vc_status grow(vc_frames *frames, int width, int height, bool pixels, vc_error *error) {
  if (frames->count & (frames->count - 1)) return VC_OK;
  int room = frames->count ? frames->count * 2 : 1;
  size_t bytes;
  if (!clip_bytes(room, width, height, &bytes)) return vc_fail(error, VC_NO_MEMORY, "no memory for %d frames", room);
  uint8_t *rgb = pixels ? realloc(frames->rgb, bytes) : NULL;
  if (rgb) frames->rgb = rgb;
  int64_t *pts = realloc(frames->pts, (size_t)room * sizeof *pts);
  if (pts) frames->pts = pts;
  return (rgb || !pixels) && pts ? VC_OK
                                 : vc_fail(error, VC_NO_MEMORY, "no memory for frames of %zu bytes together", bytes);
}

vc_status vc_frames_add(vc_frames *frames, const vc_frames_options *options, int width, int height, int64_t pts,
                        uint8_t **pixels, vc_error *error) {
  if (frames->count && (width != frames->width || height != frames->height))
    return vc_fail(error, VC_FAILED, "%d x %d pixels, but the frames before are %d x %d: bring all to one size", width,
                   height, frames->width, frames->height);
  int max_count = options->max_count ? options->max_count : VC_FRAMES_MAX_COUNT;
  size_t max_bytes = options->max_bytes ? options->max_bytes : VC_FRAMES_MAX_BYTES, bytes;
  if (frames->count >= max_count)
    return vc_fail(error, VC_FAILED, "more than %d frames: cut the clip first", max_count);
  if (pixels && (!clip_bytes(frames->count + 1, width, height, &bytes) || bytes > max_bytes))
    return vc_fail(error, VC_FAILED, "more than %zu MB of pixels after %d frames: cut or scale the clip first",
                   max_bytes >> 20, frames->count);
  vc_status status = grow(frames, width, height, pixels, error);
  if (status) return status;
  frames->width = width;
  frames->height = height;
  frames->pts[frames->count] = pts;
  if (pixels) *pixels = frames->rgb + (size_t)frames->count * (size_t)width * (size_t)height * 3;
  frames->count++;
  return VC_OK;
}

bool vc_frames_enough(const vc_frames *frames, const vc_frames_options *options) {
  return options->stop_after > 0 && frames->count >= options->stop_after;
}

static bool fps_ok(double fps) {
  return fps >= 0.001 && fps <= 1000;
}

vc_ratio vc_ratio_of(double value) {
  // The rates of broadcasting are whole numbers over 1.001; everything else is taken as decimal.
  double whole = nearbyint(value * 1.001);
  if (fabs(value * 1.001 - whole) < 1e-4 && fabs(value - nearbyint(value)) > 1e-4 && whole >= 1 && whole < 1e6)
    return (vc_ratio){(int)whole * 1000, 1001};
  AVRational r = av_d2q(value, 100000);
  return (vc_ratio){r.num, r.den};
}

vc_status vc_frames_new(vc_frames *out, int count, int width, int height, double fps, vc_error *error) {
  *out = (vc_frames){0};
  size_t bytes;
  if (!vc_image_size_ok(width, height) || count < 1 || count > VC_FRAMES_MAX_COUNT || !fps_ok(fps) ||
      !clip_bytes(count, width, height, &bytes) || bytes > VC_FRAMES_MAX_BYTES)
    return vc_fail(error, VC_INVALID, "a clip of %d frames of %d x %d pixels at %g frames a second is not possible",
                   count, width, height, fps);
  out->rgb = malloc(bytes);
  out->pts = malloc((size_t)count * sizeof *out->pts);
  if (!out->rgb || !out->pts) {
    vc_frames_free(out);
    return vc_fail(error, VC_NO_MEMORY, "no memory for %d frames of %zu bytes together", count, bytes);
  }
  for (int i = 0; i < count; i++) out->pts[i] = i;
  out->count = count;
  out->width = width;
  out->height = height;
  out->fps = fps;
  out->frame_rate = vc_ratio_of(fps);
  out->time_base = (vc_ratio){out->frame_rate.den, out->frame_rate.num};
  return VC_OK;
}

void vc_frames_free(vc_frames *frames) {
  free(frames->rgb);
  free(frames->pts);
  *frames = (vc_frames){0};
}

vc_image vc_frames_image(const vc_frames *frames, int i) {
  size_t bytes = (size_t)frames->width * (size_t)frames->height * 3;
  return (vc_image){frames->width, frames->height, frames->rgb + (size_t)i * bytes};
}

// ---- reading

typedef enum clip_kind { KIND_FOLDER, KIND_STILL, KIND_WEBP, KIND_VIDEO } clip_kind;

static vc_status find_kind(clip_kind *kind, const char *path, vc_error *error) {
  struct stat about;
  if (stat(path, &about)) return vc_fail(error, VC_FAILED, "%s: cannot be opened: %s", path, strerror(errno));
  *kind = KIND_FOLDER;
  if (S_ISDIR(about.st_mode)) return VC_OK;
  *kind = KIND_VIDEO;
  if (!S_ISREG(about.st_mode)) return VC_OK;  // what is read from a pipe cannot be read again
  FILE *file = fopen(path, "rb");
  if (!file) return vc_fail(error, VC_FAILED, "%s: cannot be opened: %s", path, strerror(errno));
  uint8_t magic[VC_IMAGE_MAGIC_SIZE];
  size_t got = fread(magic, 1, sizeof magic, file);
  fclose(file);
  vc_image_format format = vc_image_recognise(magic, got);
  if (format == VC_IMAGE_WEBP) *kind = KIND_WEBP;
  if (format == VC_IMAGE_PNG || format == VC_IMAGE_JPEG) *kind = KIND_STILL;
  return VC_OK;
}

static vc_status read_still(vc_frames *frames, const uint8_t *data, size_t size, const vc_frames_options *options,
                            const char *path, vc_error *error) {
  if (!options->allow_still)
    return vc_fail(error, VC_INVALID, "%s: a still picture, where a clip of several frames is wanted", path);
  vc_image image;
  uint8_t *pixels = NULL;
  vc_status status = vc_image_read_memory(&image, path, data, size, error);
  if (status) return status;
  status = vc_frames_add(frames, options, image.width, image.height, 0, &pixels, error);
  if (status)
    vc_fail_in(error, status, "%s", path);
  else
    memcpy(pixels, image.rgb, (size_t)image.width * (size_t)image.height * 3);
  vc_image_free(&image);
  return status;
}

static vc_status read_picture_file(vc_frames *frames, const char *path, clip_kind kind,
                                   const vc_frames_options *options, vc_error *error) {
  vc_buffer file;
  vc_status status = vc_buffer_read_file(&file, path, max_picture_bytes, error);
  if (status) return status;
  if (kind == KIND_WEBP && vc_webp_is_animated(file.data, file.size)) {
    status = vc_frames_from_webp(frames, file.data, file.size, options, error);
    if (status) status = vc_fail_in(error, status, "%s", path);
  } else {
    status = read_still(frames, file.data, file.size, options, path, error);
  }
  vc_buffer_free(&file);
  return status;
}

vc_status vc_frames_read(vc_frames *out, const char *path, const vc_frames_options *options, vc_error *error) {
  static const vc_frames_options defaults = {0};
  clip_kind kind = KIND_VIDEO;
  *out = (vc_frames){0};
  if (!options) options = &defaults;
  double fps = options->folder_fps != 0 ? options->folder_fps : VC_FRAMES_DEFAULT_FPS;
  if (!fps_ok(fps)) return vc_fail(error, VC_INVALID, "%s: %g frames a second: 0.001 to 1000 are possible", path, fps);
  vc_status status = find_kind(&kind, path, error);
  if (status) return status;
  // What a reader does not set: the times of pictures that have none.
  out->fps = fps;
  out->frame_rate = vc_ratio_of(fps);
  out->time_base = (vc_ratio){out->frame_rate.den, out->frame_rate.num};
  if (kind == KIND_FOLDER)
    status = vc_frames_from_folder(out, path, options, error);
  else if (kind == KIND_VIDEO)
    status = vc_frames_from_video(out, path, options, error);
  else
    status = read_picture_file(out, path, kind, options, error);
  if (status) vc_frames_free(out);
  return status;
}

// ---- rates

int vc_target_fps(int count, double fps, int wanted, int frames) {
  double seconds = count / fps;
  if (seconds * wanted > frames) return wanted > 1 ? wanted : 1;
  double rate = frames / seconds;
  return rate < 1e6 ? (int)rate + 1 : 1000000;
}

// floor((pts * time_base + extra) * fps + 1/2) with extra = 1 / rate, or none where rate.num is 0. False on overflow.
static bool tick_of(int64_t *tick, int64_t pts, vc_ratio time_base, vc_ratio rate, vc_ratio fps) {
  // time = top / bottom seconds: at most 63 + 31 + 31 bits over 62
  __int128 top = (__int128)pts * time_base.num, bottom = time_base.den;
  if (rate.num) {
    top = top * rate.num + bottom * rate.den;
    bottom *= rate.num;
  }
  __int128 divisor = bottom * fps.den * 2, value;
  if (__builtin_mul_overflow(top, (__int128)fps.num * 2, &value) ||
      __builtin_add_overflow(value, bottom * fps.den, &value))
    return false;
  __int128 quotient = value / divisor - (value % divisor < 0);
  if (quotient > INT64_MAX || quotient < INT64_MIN) return false;
  *tick = (int64_t)quotient;
  return true;
}

static bool positive(vc_ratio r) {
  return r.num > 0 && r.den > 0;
}

// Fills index when it is not NULL. False when there are more than `limit`.
static bool walk_ticks(int *index, int *index_count, const int64_t *tick, int count, int64_t stop, int limit) {
  int n = 0;
  for (int i = 0; i < count; i++) {
    // Frame i is shown from where the frames before it end to the next one's tick, the last until `stop`.
    int64_t until = i + 1 < count ? tick[i + 1] : stop;
    int64_t from = tick[0] + n;
    if (until <= from) continue;
    if (until - from > limit - n) return false;
    for (int64_t t = from; t < until; t++, n++)
      if (index) index[n] = i;
  }
  *index_count = n;
  return true;
}

vc_status vc_fps_select(int **index, int *index_count, const int64_t *pts, int count, vc_ratio time_base,
                        vc_ratio frame_rate, vc_ratio fps, int limit, vc_error *error) {
  *index = NULL;
  *index_count = 0;
  if (count < 1 || !positive(time_base) || !positive(frame_rate) || !positive(fps))
    return vc_fail(error, VC_INVALID, "frames at %d/%d a second cannot be picked from %d frames at %d/%d", fps.num,
                   fps.den, count, frame_rate.num, frame_rate.den);
  int64_t *tick = malloc((size_t)count * sizeof *tick), stop = 0;
  if (!tick) return vc_fail(error, VC_NO_MEMORY, "no memory for the times of %d frames", count);
  vc_status status = VC_OK;
  bool exact = tick_of(&stop, pts[count - 1], time_base, frame_rate, fps);
  for (int i = 0; i < count && exact; i++) {
    exact = tick_of(&tick[i], pts[i], time_base, (vc_ratio){0, 1}, fps);
    if (exact && i && tick[i] < tick[i - 1]) tick[i] = tick[i - 1];
  }
  int n = 0;
  // Ticks that far from 0 could overflow a difference below.
  if (!exact || tick[0] < -(INT64_MAX / 4) || stop > INT64_MAX / 4 || tick[count - 1] > INT64_MAX / 4)
    status = vc_fail(error, VC_FAILED, "the times of the frames are absurd");
  else if (!walk_ticks(NULL, &n, tick, count, stop, limit))
    status =
        vc_fail(error, VC_FAILED, "more than %d frames at %d/%d a second: cut the clip first", limit, fps.num, fps.den);
  else if (!(*index = malloc((size_t)(n ? n : 1) * sizeof **index)))
    status = vc_fail(error, VC_NO_MEMORY, "no memory for %d frame numbers", n);
  else
    walk_ticks(*index, index_count, tick, count, stop, limit);
  free(tick);
  return status;
}

vc_status vc_frames_at_rate(vc_frames *out, const vc_frames *in, vc_ratio fps, vc_error *error) {
  int *index = NULL, count = 0;
  *out = (vc_frames){0};
  vc_status status =
      vc_fps_select(&index, &count, in->pts, in->count, in->time_base, in->frame_rate, fps, VC_FRAMES_MAX_COUNT, error);
  if (!status && !count)
    status = vc_fail(error, VC_FAILED, "the clip is too short for one frame at %d/%d a second", fps.num, fps.den);
  if (!status) status = vc_frames_new(out, count, in->width, in->height, (double)fps.num / (double)fps.den, error);
  if (!status) {
    size_t bytes = (size_t)in->width * (size_t)in->height * 3;
    for (int i = 0; i < count; i++) memcpy(out->rgb + (size_t)i * bytes, in->rgb + (size_t)index[i] * bytes, bytes);
    out->frame_rate = fps;
    out->time_base = (vc_ratio){fps.den, fps.num};
  }
  free(index);
  return status;
}
