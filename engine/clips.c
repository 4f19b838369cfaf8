#include "engine/clips.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/condition_tensor.h"

enum { FASTEST_VIDEO = 60 };

vc_status vc_sequence_select(int *index, int want, int have, vc_pad pad, vc_error *error) {
  if (have < want && have != 1 && pad == VC_PAD_REFUSE)
    return vc_fail(error, VC_FAILED, "has %d frames, and the video %d: --frames %d makes a shorter one, --pad fills up",
                   have, want, have);
  for (int i = 0; i < want; i++) index[i] = i < have ? i : pad == VC_PAD_LOOP ? i % have : have - 1;
  return VC_OK;
}

// Times count from the first frame on, as ffmpeg has them when it reads a file.
static vc_status select_at(int **index, int *count, const vc_frames *clip, double fps, vc_error *error) {
  // Slower clips repeat frames at a fast rate, so that more than they hold can come out.
  double most = (double)clip->count * (1 + fps / (clip->fps > 0 ? clip->fps : 1)) + 16;
  int limit = most < VC_FRAMES_MAX_COUNT ? VC_FRAMES_MAX_COUNT : most < 1e8 ? (int)most : 100000000;
  free(*index);
  *index = NULL;
  int64_t *pts = malloc((size_t)clip->count * sizeof *pts);
  if (!pts) return vc_fail(error, VC_NO_MEMORY, "no memory for the times of %d frames", clip->count);
  bool absurd = false;
  for (int i = 0; i < clip->count; i++) absurd |= __builtin_sub_overflow(clip->pts[i], clip->pts[0], &pts[i]);
  vc_status status = absurd ? vc_fail(error, VC_FAILED, "the times of the frames are absurd")
                            : vc_fps_select(index, count, pts, clip->count, clip->time_base, clip->frame_rate,
                                            vc_ratio_of(fps), limit, error);
  free(pts);
  return status;
}

static vc_status take_each(int **index, int *count, const vc_frames *clip, vc_error *error) {
  free(*index);
  *count = clip->count;
  *index = malloc((size_t)clip->count * sizeof **index);
  for (int i = 0; i < clip->count && *index; i++) (*index)[i] = i;
  return *index ? VC_OK : vc_fail(error, VC_NO_MEMORY, "no memory for %d frame numbers", clip->count);
}

vc_status vc_clip_schedule(int **index, int *index_count, int want, const vc_frames *clip, double fps, double *rate,
                           vc_error *error) {
  *index = NULL;
  *rate = fps;
  if (clip->count == 1) return take_each(index, index_count, clip, error);
  vc_status status = select_at(index, index_count, clip, fps, error);
  int faster = vc_target_fps(clip->count, clip->fps, (int)fmax(1, nearbyint(fps)), want);
  if (!status && *index_count < want && clip->count >= want && faster > fps && faster < clip->fps) {
    *rate = faster;
    status = select_at(index, index_count, clip, faster, error);
  }
  if (status || *index_count >= want) return status;
  *rate = clip->fps;
  return take_each(index, index_count, clip, error);
}

vc_status vc_clip_select(int *index, int want, const vc_frames *clip, double fps, vc_pad pad, double *rate,
                         vc_error *error) {
  int *all = NULL, count = 0;
  vc_status status = vc_clip_schedule(&all, &count, want, clip, fps, rate, error);
  if (!status) status = vc_sequence_select(index, want, count, pad, error);
  for (int i = 0; i < want && !status; i++) index[i] = all[index[i]];
  free(all);
  return status;
}

static vc_status frames_of_tensor(vc_frames *out, const char *path, double fps, vc_error *error) {
  static const vc_tensor_kind kind = {.name = "video", .channels = 3, .least = 0, .most = 1};
  vc_tensor tensor = {0};
  vc_status status = vc_condition_read_tensor(&tensor, path, &kind, error);
  if (!status) {
    const int64_t *dim = tensor.dim;
    int count = dim[0] <= VC_FRAMES_MAX_COUNT ? (int)dim[0] : VC_FRAMES_MAX_COUNT;
    status = vc_frames_new(out, count, (int)dim[2], (int)dim[1], fps, error);
  }
  if (!status) {
    const float *from = tensor.data;
    size_t size = (size_t)out->count * (size_t)out->height * (size_t)out->width * 3;
    for (size_t i = 0; i < size; i++) out->rgb[i] = (uint8_t)lrintf(from[i] * 255);
  }
  vc_tensor_free(&tensor);
  return status;
}

vc_status vc_clip_read(vc_frames *out, const char *path, int want, double fps, vc_error *error) {
  *out = (vc_frames){0};
  if (vc_is_tensor_path(path)) return frames_of_tensor(out, path, fps, error);
  double enough = ceil(((double)want / fps + 1) * FASTEST_VIDEO);
  vc_frames_options options = {
      .allow_still = true,
      .stop_after = enough < VC_FRAMES_MAX_COUNT ? (int)enough : VC_FRAMES_MAX_COUNT,
      .folder_fps = fps,
  };
  return vc_frames_read(out, path, &options, error);
}

vc_status vc_clip_read_all(vc_frames *out, const char *path, vc_error *error) {
  *out = (vc_frames){0};
  if (vc_is_tensor_path(path)) return frames_of_tensor(out, path, VC_FRAMES_DEFAULT_FPS, error);
  return vc_frames_read(out, path, &(vc_frames_options){.allow_still = true}, error);
}
