// Videos and GIFs as clips: the frames of loaders/video.h, turned upright, with their times.
#include <libavutil/frame.h>
#include <stdlib.h>
#include <string.h>

#include "loaders/frames_build.h"
#include "loaders/gif.h"

static const size_t max_gif_bytes = (size_t)1 << 30;

typedef struct collector {
  vc_frames *frames;
  const vc_frames_options *options;
  vc_video_rgb converter;
  uint8_t *upright;  // one frame before it is turned
  int64_t last_pts;
  int seen, picked;  // frames of the video, and of those to be kept
} collector;

static bool is_turned(const int turn[4]) {
  return turn[0] != 1 || turn[1] || turn[2] || turn[3] != 1;
}

static void turn_frame(uint8_t *to, const uint8_t *from, int width, int height, const int turn[4]) {
  int a = turn[0], b = turn[1], c = turn[2], d = turn[3];
  int shown_width = a ? width : height;
  int left = (a < 0 || c < 0) ? shown_width - 1 : 0;
  int top = (b < 0 || d < 0) ? (a ? height : width) - 1 : 0;
  for (int y = 0; y < height; y++)
    for (int x = 0; x < width; x++, from += 3) {
      ptrdiff_t at = (ptrdiff_t)(top + b * x + d * y) * shown_width + (left + a * x + c * y);
      memcpy(to + at * 3, from, 3);
    }
}

// Raw streams may not say when a frame is shown: then it follows the one before at the stream's rate.
static int64_t time_of(const collector *c, const vc_video_info *info, const AVFrame *frame) {
  if (frame->best_effort_timestamp != AV_NOPTS_VALUE) return frame->best_effort_timestamp;
  if (!c->seen) return 0;
  if (info->frame_rate.num <= 0 || info->time_base.num <= 0) return c->last_pts + 1;
  return c->last_pts +
         av_rescale(info->frame_rate.den, info->time_base.den, (int64_t)info->frame_rate.num * info->time_base.num);
}

// Whether a frame is the last that has to be read.
static bool is_last(const collector *c, const vc_video_info *info, int64_t pts) {
  if (vc_frames_enough(c->frames, c->options)) return true;
  if (c->options->pick && c->picked == c->options->pick_count) return true;
  if (!(c->options->stop_seconds > 0) || info->time_base.den <= 0) return false;
  double units = (double)pts - (double)c->frames->pts[0];
  return units * info->time_base.num / info->time_base.den > c->options->stop_seconds;
}

// Whether the frame that comes next is one of those to be kept.
static bool is_picked(collector *c) {
  int number = c->seen++;
  if (!c->options->pick) return true;
  if (c->picked == c->options->pick_count || c->options->pick[c->picked] != number) return false;
  c->picked++;
  return true;
}

static vc_status collect(void *opaque, const vc_video_info *info, const AVFrame *frame, bool *stop, vc_error *error) {
  collector *c = opaque;
  bool turned = is_turned(info->turn), sideways = !info->turn[0];
  int width = sideways ? frame->height : frame->width, height = sideways ? frame->width : frame->height;
  int64_t pts = time_of(c, info, frame);
  uint8_t *pixels = NULL;
  bool wanted = !c->options->times_only;
  c->last_pts = pts;
  if (!is_picked(c)) return VC_OK;
  vc_status status = vc_frames_add(c->frames, c->options, width, height, pts, wanted ? &pixels : NULL, error);
  if (status) return status;
  *stop = is_last(c, info, pts);
  if (!wanted) return VC_OK;
  if (turned && !c->upright) {
    c->upright = malloc((size_t)width * (size_t)height * 3);
    if (!c->upright) return vc_fail(error, VC_NO_MEMORY, "no memory to turn a frame");
  }
  status = vc_video_to_rgb(&c->converter, turned ? c->upright : pixels, frame, c->options->tagged_colors, error);
  if (!status && turned) turn_frame(pixels, c->upright, frame->width, frame->height, info->turn);
  return status;
}

static bool known(vc_ratio r) {
  return r.num > 0 && r.den > 0;
}

static void set_rates(vc_frames *frames, const vc_video_info *info) {
  if (known(info->time_base)) frames->time_base = info->time_base;
  double seconds =
      (double)(frames->pts[frames->count - 1] - frames->pts[0]) * frames->time_base.num / (double)frames->time_base.den;
  if (known(info->average_rate))
    frames->fps = (double)info->average_rate.num / info->average_rate.den;
  else if (seconds > 0)
    frames->fps = (frames->count - 1) / seconds;
  else if (known(info->frame_rate))
    frames->fps = (double)info->frame_rate.num / info->frame_rate.den;
  frames->frame_rate = known(info->frame_rate) ? info->frame_rate : vc_ratio_of(frames->fps);
}

// libav decodes what there is of a GIF and says nothing when the rest is missing; it does not say either how long the
// last frame lasts.
static vc_status check_gif(vc_frames *frames, const char *path, vc_error *error) {
  vc_buffer file;
  vc_gif_summary summary;
  vc_status status = vc_buffer_read_file(&file, path, max_gif_bytes, error);
  if (status) return status;
  status = vc_gif_scan(&summary, file.data, file.size, error);
  vc_buffer_free(&file);
  if (status) return vc_fail_in(error, status, "%s", path);
  frames->fps = summary.frames * 100.0 / (double)summary.duration;
  frames->frame_rate = (vc_ratio){100, summary.last_delay};
  return VC_OK;
}

vc_status vc_frames_from_video(vc_frames *frames, const char *path, const vc_frames_options *options, vc_error *error) {
  collector c = {.frames = frames, .options = options};
  vc_video_info info;
  vc_status status = vc_video_decode(path, NULL, collect, &c, &info, error);
  if (!status && options->pick && c.picked < options->pick_count)
    status =
        vc_fail(error, VC_FAILED, "%s: has %d frames, and frame %d is wanted", path, c.seen, options->pick[c.picked]);
  if (!status) {
    set_rates(frames, &info);
    if (info.animation) status = check_gif(frames, path, error);
  }
  vc_video_rgb_free(&c.converter);
  free(c.upright);
  return status;
}
