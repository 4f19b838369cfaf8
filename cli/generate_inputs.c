// From the files that the options of generate name to the conditions of a request.
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/generate_reader.h"
#include "cli/interrupt.h"
#include "engine/condition_tensor.h"
#include "engine/conditions.h"
#include "engine/extract.h"
#include "loaders/buffer.h"

enum { STROKES_MAX_BYTES = 16 << 20 };

void vc_generate_note(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  fputs("videocomposer generate: note: ", stderr);
  vfprintf(stderr, format, arguments);
  fputc('\n', stderr);
  va_end(arguments);
}

vc_status vc_split_strength(const char *text, char **path, float *strength, bool *has_strength, vc_error *error) {
  double value = 1;
  const char *colon = strrchr(text, ':');
  bool has = colon && colon > text && access(text, F_OK) && !vc_parse_float(colon + 1, -1e30, 1e30, &value, NULL);
  *strength = (float)value;
  if (has_strength) *has_strength = has;
  *path = NULL;
  if (has && !(value >= 0 && value <= VC_STRENGTH_MAX))
    return vc_fail(error, VC_INVALID, "the strength in '%s' must be a number from 0 to %g", text, VC_STRENGTH_MAX);
  *path = has ? strndup(text, (size_t)(colon - text)) : strdup(text);
  return *path ? VC_OK : vc_fail(error, VC_NO_MEMORY, "no memory for a path");
}

void vc_reader_misc_sides(const vc_reader *r, int *height, int *width) {
  vc_condition_sides(r->config, r->config->preprocessing.misc_size, r->request->height, r->request->width, height,
                     width);
}

void vc_reader_hand_over(vc_reader *r, vc_condition kind, float strength) {
  const vc_tensor *t = &r->out->condition[kind];
  r->request->condition[kind] =
      (vc_condition_video){.data = t->data, .f = t->dim[0], .h = t->dim[1], .w = t->dim[2], .strength = strength};
}

static int frames_of(const vc_reader *r) {
  return (int)r->request->frames;
}

static vc_pad pad_of(const vc_reader *r) {
  return (vc_pad)r->options->pad;
}

// ---- pictures

// A picture file, or the first frame of a tensor of this name.
static vc_status read_picture(vc_image *out, const char *path, const char *name, vc_error *error) {
  const vc_tensor_kind kind = {name, 3, 0, 1};
  vc_tensor t = {0};
  if (!vc_is_tensor_path(path)) return vc_image_read(out, path, error);
  vc_status status = vc_condition_read_tensor(&t, path, &kind, error);
  if (!status) status = vc_image_new(out, (int)t.dim[2], (int)t.dim[1], error);
  size_t size = status ? 0 : (size_t)(t.dim[1] * t.dim[2] * 3);
  for (size_t i = 0; i < size; i++) out->rgb[i] = (uint8_t)lrintf(((const float *)t.data)[i] * 255);
  vc_tensor_free(&t);
  return status;
}

static vc_status read_image(vc_reader *r, const char *text, vc_error *error) {
  char *path = NULL;
  float strength = 1;
  vc_image image = {0};
  int height, width;
  vc_status status = vc_split_strength(text, &path, &strength, NULL, error);
  if (!status) status = read_picture(&image, path, "image", error);
  vc_reader_misc_sides(r, &height, &width);
  vc_tensor *out = &r->out->condition[VC_CONDITION_LOCAL_IMAGE];
  if (!status) status = vc_condition_image(out, &image, height, width, error);
  if (!status) vc_reader_hand_over(r, VC_CONDITION_LOCAL_IMAGE, strength);
  vc_image_free(&image);
  free(path);
  return status;
}

static vc_status read_style(vc_reader *r, const char *text, vc_error *error) {
  char *path = NULL;
  float strength = 1;
  vc_image image = {0};
  vc_status status = vc_split_strength(text, &path, &strength, NULL, error);
  if (!status) status = read_picture(&image, path, "style", error);
  if (!status) status = vc_condition_style(&r->out->style, &image, false, &r->config->preprocessing, error);
  if (!status) {
    r->request->style = r->out->style.data;
    r->request->style_strength = strength;
  }
  vc_image_free(&image);
  free(path);
  return status;
}

// ---- sequences

static vc_status make_tensor_fit(vc_tensor *t, const int *index, int want, vc_error *error) {
  if (t->dim[0] == 1) return VC_OK;
  vc_tensor fitted = {0};
  vc_status status = vc_tensor_new(&fitted, VC_F32, 4, (const int64_t[]){want, t->dim[1], t->dim[2], t->dim[3]}, error);
  if (status) return status;
  size_t frame = (size_t)(t->dim[1] * t->dim[2] * t->dim[3]);
  for (int i = 0; i < want; i++)
    memcpy((float *)fitted.data + (size_t)i * frame, (float *)t->data + (size_t)index[i] * frame,
           frame * sizeof(float));
  vc_tensor_free(t);
  *t = fitted;
  return VC_OK;
}

static vc_status read_tensor(vc_reader *r, const char *path, const vc_tensor_kind *kind, int want, vc_tensor *out,
                             vc_error *error) {
  vc_status status = vc_condition_read_tensor(out, path, kind, error);
  if (status) return status;
  status = vc_sequence_select(r->index, want, (int)out->dim[0], pad_of(r), error);
  if (status) return vc_fail_in(error, status, "%s", path);
  return make_tensor_fit(out, r->index, want, error);
}

static bool is_sketch(vc_condition kind) {
  return kind == VC_CONDITION_SKETCH || kind == VC_CONDITION_SINGLE_SKETCH;
}

static vc_status read_gray_clip(vc_reader *r, const char *path, vc_condition kind, int want, vc_tensor *out,
                                vc_error *error) {
  vc_frames clip = {0};
  int height, width;
  vc_frames_options options = {.allow_still = true, .stop_after = want};
  vc_status status = vc_frames_read(&clip, path, &options, error);
  if (!status) {
    status = vc_sequence_select(r->index, want, clip.count, pad_of(r), error);
    if (status) vc_fail_in(error, status, "%s", path);
  }
  if (!status && is_sketch(kind)) {
    bool bright = vc_clip_brightness(&clip) > 0.5;
    if (bright && !r->options->sketch_invert)
      vc_generate_note("%s is mostly bright: taken as dark lines on paper, and inverted", path);
    if (bright || r->options->sketch_invert) vc_clip_invert(&clip);
  }
  vc_reader_misc_sides(r, &height, &width);
  if (!status)
    status = vc_condition_gray(out, &clip, r->index, clip.count == 1 ? 1 : want, height, width,
                               is_sketch(kind) ? 1 / 255.0 : 1 / 127.5, error);
  vc_frames_free(&clip);
  return status;
}

static vc_status read_sequence(vc_reader *r, const char *text, vc_condition kind, vc_error *error) {
  double deepest = r->config->preprocessing.depth_clamp;
  const vc_tensor_kind kinds[VC_CONDITION_COUNT] = {
      [VC_CONDITION_DEPTH] = {"depth", 1, 0, deepest},
      [VC_CONDITION_SKETCH] = {"sketch", 1, 0, 1},
      [VC_CONDITION_SINGLE_SKETCH] = {"sketch", 1, 0, 1},
      [VC_CONDITION_MOTION] = {"motion", 2, -VC_MAX_SIDE, VC_MAX_SIDE},
  };
  char *path = NULL;
  float strength = 1;
  vc_tensor *out = &r->out->condition[kind];
  int want = kind == VC_CONDITION_SINGLE_SKETCH ? 1 : frames_of(r);
  vc_status status = vc_split_strength(text, &path, &strength, NULL, error);
  if (!status && vc_is_tensor_path(path))
    status = read_tensor(r, path, &kinds[kind], want, out, error);
  else if (!status)
    status = read_gray_clip(r, path, kind, want, out, error);
  if (!status) vc_reader_hand_over(r, kind, strength);
  free(path);
  return status;
}

vc_status vc_read_strokes(vc_strokes *out, const char *text, const vc_strokes_defaults *defaults, vc_error *error) {
  if (strstr(text, "->") && access(text, F_OK)) return vc_strokes_parse_text(out, text, defaults, error);
  vc_buffer file = {0};
  *out = (vc_strokes){0};
  vc_status status = vc_buffer_read_file(&file, text, STROKES_MAX_BYTES, error);
  if (!status && !vc_buffer_append(&file, "", 1)) status = vc_fail(error, VC_NO_MEMORY, "no memory for %s", text);
  if (!status) status = vc_strokes_parse_json(out, text, (const char *)file.data, defaults, error);
  vc_buffer_free(&file);
  return status;
}

static vc_status read_strokes(vc_reader *r, const char *text, vc_error *error) {
  char *path = NULL;
  float strength = 1;
  vc_strokes strokes = {0};
  int height, width;
  vc_strokes_defaults defaults = {.canvas = {(double)r->request->width, (double)r->request->height},
                                  .frames = r->request->frames};
  vc_status status = vc_split_strength(text, &path, &strength, NULL, error);
  if (!status) status = vc_read_strokes(&strokes, path, &defaults, error);
  const vc_preprocessing_config *p = &r->config->preprocessing;
  vc_condition_sides(r->config, p->motion_size, r->request->height, r->request->width, &height, &width);
  vc_tensor *out = &r->out->condition[VC_CONDITION_MOTION];
  if (!status) status = vc_strokes_field(out, &strokes, r->request->frames, height, width, p->motion_block, error);
  if (!status) vc_reader_hand_over(r, VC_CONDITION_MOTION, strength);
  vc_strokes_free(&strokes);
  free(path);
  return status;
}

// ---- all of them

// A drawing that is a condition already.
static bool is_drawn(const vc_generate_options *o) {
  return o->sketch_raw || vc_names_tensor(o->sketch);
}

static vc_status read_sketch(vc_reader *r, const char *text, vc_error *error) {
  if (is_drawn(r->options)) return read_sequence(r, text, VC_CONDITION_SINGLE_SKETCH, error);
  return vc_read_edges(r, text, error);
}

static vc_status read_motion(vc_reader *r, const char *text, vc_error *error) {
  return vc_names_tensor(text) ? read_sequence(r, text, VC_CONDITION_MOTION, error)
                               : vc_read_motion_video(r, text, error);
}

// Networks that are missing are told before any file is read.
static vc_status check_networks(const vc_generate_options *o, const vc_generate_use *use, const vc_engine *engine,
                                vc_error *error) {
  vc_status status =
      vc_check_extraction(engine, use->depth, false, "give --depth a file, or --model a folder that has it", error);
  if (!status)
    status = vc_check_extraction(engine, false, use->sketch,
                                 "give --sketch-video a file, or --model a folder that has it", error);
  if (!status)
    status = vc_check_extraction(engine, false, o->sketch && !is_drawn(o),
                                 "give --sketch-raw for a picture that already is a line drawing", error);
  return status;
}

static vc_status read_all(vc_reader *r, const vc_generate_use *use, vc_error *error) {
  const vc_generate_options *o = r->options;
  vc_status status = check_networks(o, use, r->engine, error);
  vc_extract_hold(r->engine, false, use->sketch && o->sketch && !is_drawn(o));
  if (!status && o->image) status = read_image(r, o->image, error);
  if (!status && o->style) status = read_style(r, o->style, error);
  if (!status && o->sketch) status = read_sketch(r, o->sketch, error);
  if (!status && o->sketch_video) status = read_sequence(r, o->sketch_video, VC_CONDITION_SKETCH, error);
  if (!status && o->depth) status = read_sequence(r, o->depth, VC_CONDITION_DEPTH, error);
  if (!status && o->motion) status = read_motion(r, o->motion, error);
  if (!status && o->strokes) {
    status = read_strokes(r, o->strokes, error);
    if (status) vc_fail_in(error, status, "--strokes");
  }
  if (!status) status = vc_interrupt_check(error);
  if (!status && o->source) status = vc_read_source(r, o->source, error);
  if (!status && o->video) status = vc_read_reference_video(r, o->video, use, error);
  vc_extract_hold(r->engine, false, false);
  if (!status && o->init) status = vc_read_init(r, o->init, error);
  return status ? status : vc_interrupt_check(error);
}

vc_status vc_generate_read(vc_generate_inputs *out, const vc_generate_options *options, const vc_generate_use *use,
                           vc_engine *engine, double fps, vc_request *request, vc_error *error) {
  *out = (vc_generate_inputs){0};
  vc_reader r = {.out = out,
                 .options = options,
                 .engine = engine,
                 .config = vc_engine_config(engine),
                 .request = request,
                 .fps = fps};
  r.index = calloc((size_t)request->frames, sizeof *r.index);
  vc_status status = r.index
                         ? read_all(&r, use, error)
                         : vc_fail(error, VC_NO_MEMORY, "no memory for %lld frame numbers", (long long)request->frames);
  free(r.index);
  return status;
}

void vc_generate_inputs_free(vc_generate_inputs *inputs) {
  for (int i = 0; i < VC_CONDITION_COUNT; i++) vc_tensor_free(&inputs->condition[i]);
  vc_tensor_free(&inputs->style);
  vc_tensor_free(&inputs->init);
}
