#include "engine/reference.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "engine/condition_tensor.h"
#include "engine/conditions.h"
#include "engine/philox.h"
#include "loaders/reencode.h"

// A clip on its way into a reference.
typedef struct plan {
  const char *path;
  const vc_reference_options *options;
  vc_frames clip;  // its times; of files that are no videos, all of it
  int *index;      // the clip at the rate
  int count;
  int start, have;  // the part of it that is taken
  double rate;
} plan;

static bool in_memory(const plan *p) {
  return p->clip.rgb != NULL;
}

static vc_status no_memory(vc_error *error) {
  return vc_fail(error, VC_NO_MEMORY, "no memory for a reference video");
}

static vc_status in_path(const plan *p, vc_status status, vc_error *error) {
  return status ? vc_fail_in(error, status, "%s", p->path) : VC_OK;
}

// ---- which frames

static vc_status read_clip(plan *p, vc_error *error) {
  const vc_reference_options *o = p->options;
  struct stat about;
  if (vc_is_tensor_path(p->path)) {
    if (o->motion && o->codec)
      return vc_fail(error, VC_INVALID, "%s: a tensor has no codec whose vectors could be taken", p->path);
    return vc_clip_read(&p->clip, p->path, o->frames, o->fps, error);
  }
  if (!stat(p->path, &about) && !S_ISREG(about.st_mode) && !S_ISDIR(about.st_mode))
    return vc_fail(error, VC_FAILED, "%s: no file: a video is read twice", p->path);
  // Frames beyond the last wanted one cannot change what is taken.
  double seconds = (o->start + o->frames + 1) / o->fps;
  bool all = o->start == VC_START_RANDOM || o->count_all;
  vc_frames_options options = {
      .allow_still = o->still, .times_only = true, .stop_seconds = all ? 0 : seconds, .folder_fps = o->fps};
  return vc_frames_read(&p->clip, p->path, &options, error);
}

// Frames that follow each other at the clip's own rate.
static vc_status take_all(plan *p, vc_error *error) {
  p->rate = p->clip.fps;
  p->count = p->clip.count;
  p->index = malloc((size_t)p->count * sizeof *p->index);
  for (int i = 0; i < p->count && p->index; i++) p->index[i] = i;
  return p->index ? VC_OK : no_memory(error);
}

static vc_status schedule(plan *p, vc_error *error) {
  const vc_reference_options *o = p->options;
  if (o->motion && o->codec) return take_all(p, error);
  // A faster rate would move the start: it is for clips that are too short from their beginning on.
  int want = o->start > 0 ? 1 : o->frames;
  return vc_clip_schedule(&p->index, &p->count, want, &p->clip, o->fps, &p->rate, error);
}

// The types of all frames as the stream, or its re-encode, has them.
static vc_status read_types(const plan *p, vc_vectors *types, vc_error *error) {
  if (p->options->motion && p->options->codec) return vc_vectors_read(types, p->path, 0, NULL, error);
  vc_reencoded coded;
  vc_reencode_options options = {.rate = vc_ratio_of(p->rate)};
  vc_status status = vc_reencode(&coded, p->path, in_memory(p) ? &p->clip : NULL, p->index, p->count, &options, error);
  if (status) return status;
  *types = coded.vectors;
  coded.vectors = (vc_vectors){0};
  vc_reencoded_free(&coded);
  return VC_OK;
}

static vc_status draw_start(plan *p, vc_error *error) {
  vc_vectors types = {0};
  p->start = 0;
  // With fewer frames than are wanted there is no choice.
  if (p->count <= p->options->frames) return VC_OK;
  vc_status status = read_types(p, &types, error);
  int *candidate = status ? NULL : malloc(((size_t)types.frames + 1) * sizeof *candidate);
  if (!status && !candidate) status = no_memory(error);
  if (!status) {
    int count = vc_start_candidates(candidate, types.type, types.frames, p->options->frames);
    if (count) p->start = candidate[vc_philox_below(p->options->seed, VC_STREAM_START, 0, (uint32_t)count)];
  }
  free(candidate);
  vc_vectors_free(&types);
  return status;
}

static vc_status choose_start(plan *p, vc_error *error) {
  const vc_reference_options *o = p->options;
  if (o->start == VC_START_RANDOM) {
    vc_status status = draw_start(p, error);
    if (status) return status;
  } else {
    p->start = o->start;
  }
  if (p->clip.count == 1) p->start = 0;
  p->have = p->count - p->start < o->frames ? p->count - p->start : o->frames;
  if (p->have < 1)
    return vc_fail(error, VC_FAILED, "%s: has %d frames at %.4g a second, and cannot begin with frame %d", p->path,
                   p->count, p->rate, p->start);
  if (o->motion && p->have < 2 && o->frames > 1)
    return vc_fail(error, VC_FAILED, "%s: holds one frame from frame %d on, and motion is between two", p->path,
                   p->start);
  return VC_OK;
}

static vc_status pad(const plan *p, vc_reference *out, vc_error *error) {
  int want = p->options->frames;
  out->index = malloc((size_t)want * sizeof *out->index);
  out->source_index = malloc((size_t)want * sizeof *out->source_index);
  out->moved = malloc((size_t)want * sizeof *out->moved);
  if (!out->index || !out->source_index || !out->moved) return no_memory(error);
  vc_status status = vc_sequence_select(out->index, want, p->have, p->options->pad, error);
  if (status && p->start) vc_fail_in(error, status, "from frame %d on at %.4g a second", p->start, p->rate);
  if (status) return in_path(p, status, error);
  for (int i = 0; i < want; i++) {
    out->source_index[i] = p->index[p->start + out->index[i]];
    out->moved[i] = i && out->index[i] == out->index[i - 1] + 1 ? out->index[i] : -1;
  }
  return VC_OK;
}

// ---- what they hold

static vc_status take_reencoded(const plan *p, vc_reference *out, vc_error *error) {
  vc_reencoded coded;
  vc_reencode_options options = {.rate = vc_ratio_of(p->rate), .keep_from = p->start, .pixels = true};
  vc_status status =
      vc_reencode(&coded, p->path, in_memory(p) ? &p->clip : NULL, p->index, p->start + p->have, &options, error);
  if (status) return status;
  out->frames = coded.frames;
  out->vectors = coded.vectors;
  vc_buffer_free(&coded.stream);
  return VC_OK;
}

// The clip's own frames: each once, and `index` pointing at them.
static vc_status take_frames(const plan *p, vc_reference *out, vc_error *error) {
  int *pick = malloc((size_t)p->have * sizeof *pick), *place = malloc((size_t)p->have * sizeof *place), count = 0;
  vc_status status = pick && place ? VC_OK : no_memory(error);
  for (int i = 0; i < p->have && !status; i++) {
    int number = p->index[p->start + i];
    if (!count || pick[count - 1] != number) pick[count++] = number;
    place[i] = count - 1;
  }
  if (!status && !in_memory(p)) {
    vc_frames_options options = {.pick = pick, .pick_count = count};
    status = vc_frames_read(&out->frames, p->path, &options, error);
  } else if (!status) {
    status = vc_frames_new(&out->frames, count, p->clip.width, p->clip.height, p->rate, error);
    size_t bytes = (size_t)p->clip.width * (size_t)p->clip.height * 3;
    for (int i = 0; i < count && !status; i++)
      memcpy(out->frames.rgb + (size_t)i * bytes, p->clip.rgb + (size_t)pick[i] * bytes, bytes);
  }
  for (int i = 0; i < p->options->frames && !status; i++) out->index[i] = place[out->index[i]];
  free(pick);
  free(place);
  return status;
}

// The vectors of frames start .. start + have - 1, turned with the picture.
static vc_status take_codec_vectors(const plan *p, vc_reference *out, vc_error *error) {
  vc_vectors all = {0};
  vc_video_info info;
  if (in_memory(p))
    return vc_fail(error, VC_FAILED, "%s: no video: pictures have no codec motion vectors; take the released way",
                   p->path);
  vc_status status = vc_vectors_read(&all, p->path, p->start + p->have, &info, error);
  if (status) return status;
  vc_vectors_turn(&all, info.turn, info.width, info.height);
  for (int i = 0; i < p->have && !status; i++) status = vc_vectors_add_from(&out->vectors, &all, p->start + i, error);
  if (!status && !all.offset[all.frames])
    status = vc_fail(error, VC_FAILED, "%s: libav gets no motion vectors out of its codec (%s); take the released way",
                     p->path, info.codec);
  vc_vectors_free(&all);
  return status;
}

static vc_status take(const plan *p, vc_reference *out, vc_error *error) {
  const vc_reference_options *o = p->options;
  vc_status status = pad(p, out, error);
  out->rate = p->rate;
  out->start = p->start;
  out->source_count = o->count_all || in_memory(p) ? p->clip.count : 0;
  if (!status && o->motion && !o->codec) return take_reencoded(p, out, error);
  if (!status && o->motion) status = take_codec_vectors(p, out, error);
  return status ? status : take_frames(p, out, error);
}

vc_status vc_reference_read(vc_reference *out, const char *path, const vc_reference_options *options, vc_error *error) {
  plan p = {.path = path, .options = options};
  *out = (vc_reference){0};
  vc_status status = read_clip(&p, error);
  if (!status) status = in_path(&p, schedule(&p, error), error);
  if (!status) status = choose_start(&p, error);
  if (!status) status = take(&p, out, error);
  vc_frames_free(&p.clip);
  free(p.index);
  if (status) vc_reference_free(out);
  return status;
}

void vc_reference_free(vc_reference *r) {
  vc_frames_free(&r->frames);
  vc_vectors_free(&r->vectors);
  free(r->index);
  free(r->source_index);
  free(r->moved);
  *r = (vc_reference){0};
}
