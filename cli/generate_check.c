// What can be wrong with the options of generate, as far as it can be told before a model is there.
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/generate_reader.h"
#include "engine/condition_tensor.h"
#include "loaders/code_points.h"
#include "loaders/media_out.h"

static vc_status check_text(const char *option, const char *text, vc_error *error) {
  vc_code_points points = {0};
  if (!text) return VC_OK;
  vc_status status = vc_code_points_decode(&points, text, strlen(text), error);
  vc_code_points_free(&points);
  return status ? vc_fail_in(error, VC_INVALID, "--%s", option) : VC_OK;
}

// Strokes written out on the command line are no file.
static bool is_stroke_text(const char *text) {
  return strstr(text, "->") != NULL;
}

static vc_status check_file(const char *option, const char *text, vc_error *error) {
  char *path = NULL;
  float strength;
  if (!text || (!strcmp(option, "strokes") && is_stroke_text(text) && access(text, F_OK))) return VC_OK;
  vc_status status = vc_split_strength(text, &path, &strength, NULL, error);
  if (!status && access(path, R_OK)) status = vc_fail(error, VC_FAILED, "%s cannot be read: %s", path, strerror(errno));
  free(path);
  return status ? vc_fail_in(error, status, "--%s", option) : VC_OK;
}

static vc_status check_files(const vc_generate_options *o, vc_error *error) {
  const struct {
    const char *option, *text;
  } files[] = {{"image", o->image},   {"style", o->style},   {"sketch", o->sketch},   {"sketch-video", o->sketch_video},
               {"depth", o->depth},   {"motion", o->motion}, {"strokes", o->strokes}, {"mask", o->mask},
               {"source", o->source}, {"video", o->video},   {"init", o->init},       {"model", o->model}};
  vc_status status = check_text("prompt", o->prompt, error);
  if (!status) status = check_text("negative-prompt", o->negative_prompt, error);
  for (size_t i = 0; i < sizeof files / sizeof *files && !status; i++)
    status = check_file(files[i].option, files[i].text, error);
  return status;
}

vc_status vc_generate_parse_use(vc_generate_use *use, const char *list, vc_error *error) {
  const struct {
    const char *name;
    bool *wanted;
  } conditions[] = {{"image", &use->image}, {"style", &use->style},   {"mask", &use->mask},
                    {"depth", &use->depth}, {"sketch", &use->sketch}, {"motion", &use->motion}};
  for (const char *at = list; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL) {
    size_t length = strcspn(at, ","), i = 0;
    while (i < 6 && (strlen(conditions[i].name) != length || strncmp(at, conditions[i].name, length) != 0)) i++;
    if (i == 6)
      return vc_fail(error, VC_INVALID, "--use knows image, style, mask, depth, sketch and motion, not '%.*s'",
                     (int)(length < 80 ? length : 80), at);
    *conditions[i].wanted = true;
  }
  return VC_OK;
}

vc_status vc_parse_start(const char *text, int *start, uint64_t *seed, vc_error *error) {
  static const char random[] = "random";
  const size_t length = sizeof random - 1;
  *start = 0;
  if (!text) return VC_OK;
  if (!strncmp(text, random, length) && (!text[length] || text[length] == ':')) {
    *start = VC_START_RANDOM;
    vc_status status = text[length] ? vc_parse_uint64(text + length + 1, 0, 0, seed, error) : VC_OK;
    return status ? vc_fail_in(error, status, "--start random: the seed") : VC_OK;
  }
  vc_status status = vc_parse_int(text, 0, VC_START_MAX, start, error);
  return status ? vc_fail(error, VC_INVALID, "--start must be 'random' or a frame from 0 to %d, not '%s'", VC_START_MAX,
                          text)
                : VC_OK;
}

// "A and B exclude each other" for the first pair of which both are there.
static vc_status check_pairs(const vc_generate_options *o, const vc_generate_use *use, vc_error *error) {
  const struct {
    bool wrong;
    const char *message;
  } rules[] = {
      {!o->output || !*o->output, "-o FILE is missing: where to write the video"},
      {o->motion && o->strokes, "--motion and --strokes are the same condition; give one of them"},
      {o->video && !o->use,
       "--video needs --use: which conditions to take from it (depth, sketch, motion, image, style, mask)"},
      {o->use && !o->video, "--use needs --video: the file to take conditions from"},
      {use->motion && (o->motion || o->strokes),
       "--use motion is the same condition as --motion and --strokes; give one of them"},
      {use->depth && o->depth, "--depth and --use depth are the same condition; give one of them"},
      {use->sketch && o->sketch_video, "--sketch-video and --use sketch are the same condition; give one of them"},
      {use->image && o->image, "--image and --use image are the same condition; give one of them"},
      {use->style && o->style, "--style and --use style are the same condition; give one of them"},
      {use->mask && o->source, "--source and --use mask are both the video to paint; give one of them"},
      {o->mask && o->mask_shape >= 0, "--mask and --mask-shape exclude each other"},
      {(o->mask || o->mask_shape >= 0) && !o->source && !use->mask, "a mask needs --source: the video that is kept"},
      {(o->source || use->mask) && !o->mask && o->mask_shape < 0,
       "--source needs --mask FILE or --mask-shape: where to paint it anew"},
      {(o->sketch_raw && !o->sketch), "--sketch-raw needs --sketch"},
      {o->sketch_invert && !o->sketch_raw && !o->sketch_video, "--sketch-invert needs --sketch-raw or --sketch-video"},
      {o->invert && !o->init, "--invert needs --init: the video to invert"},
  };
  for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
    if (rules[i].wrong) return vc_fail(error, VC_INVALID, "%s", rules[i].message);
  return VC_OK;
}

static vc_status check_rest(const vc_generate_options *o, const vc_generate_use *use, const vc_arguments *arguments,
                            vc_error *error) {
  bool of_video = use->motion || (o->motion && !vc_names_tensor(o->motion));
  if (vc_generate_given(arguments, "motion-source") && !of_video)
    return vc_fail(error, VC_INVALID, "--motion-source needs --motion VIDEO, or --video with --use motion");
  if (o->start && !of_video && !o->video && !o->source && !o->init)
    return vc_fail(error, VC_INVALID, "--start needs a video to start in: --motion, --video, --source or --init");
  if (vc_generate_given(arguments, "init-strength") && !o->init)
    return vc_fail(error, VC_INVALID, "--init-strength needs --init");
  if (vc_generate_given(arguments, "mask-seed") && o->mask_shape < 0)
    return vc_fail(error, VC_INVALID, "--mask-seed needs --mask-shape");
  vc_machine_choice choice;
  vc_status wrong = vc_machine_choose(&choice, &o->machine, error);
  if (wrong) return wrong;
  if (!o->prompt && !o->image && !o->style && !o->sketch && !o->sketch_video && !o->depth && !o->motion &&
      !o->strokes && !o->source && !o->video && !o->init)
    return vc_fail(error, VC_INVALID, "nothing to make a video from: give --prompt or another condition");
  vc_media_kind kind;
  if (vc_generate_wants_tensors(o->output)) return VC_OK;
  return vc_media_kind_of(&kind, o->output, error);
}

// An empty file name stands for an option that is not given.
static void drop_empty(vc_generate_options *o) {
  const char **files[] = {&o->image, &o->style,  &o->sketch, &o->sketch_video, &o->depth, &o->motion, &o->strokes,
                          &o->mask,  &o->source, &o->video,  &o->use,          &o->init,  &o->model,  &o->start};
  for (size_t i = 0; i < sizeof files / sizeof *files; i++)
    if (*files[i] && !**files[i]) *files[i] = NULL;
}

vc_status vc_generate_check(vc_generate_options *options, const vc_arguments *arguments, vc_generate_use *use,
                            vc_error *error) {
  *use = (vc_generate_use){0};
  drop_empty(options);
  if (!vc_generate_given(arguments, "mask-seed")) options->mask_seed = options->seed;
  vc_status status = vc_generate_parse_use(use, options->use, error);
  options->start_seed = options->seed;
  if (!status) status = vc_parse_start(options->start, &options->first_frame, &options->start_seed, error);
  if (!status) status = check_pairs(options, use, error);
  if (!status) status = check_rest(options, use, arguments, error);
  if (!status) status = check_files(options, error);
  return status;
}
