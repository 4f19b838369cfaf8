// Conditions that generate takes from filmed clips, and from pictures by a network.
#include <stdlib.h>
#include <string.h>

#include "cli/background.h"
#include "cli/generate_reader.h"
#include "engine/condition_tensor.h"
#include "engine/extract.h"
#include "engine/masks.h"
#include "engine/motion.h"

bool vc_names_tensor(const char *text) {
  char *path = NULL;
  float strength;
  bool is = text && !vc_split_strength(text, &path, &strength, NULL, NULL) && vc_is_tensor_path(path);
  free(path);
  return is;
}

static vc_reference_options reference_options(const vc_reader *r) {
  const vc_generate_options *o = r->options;
  return (vc_reference_options){.frames = (int)r->request->frames,
                                .fps = r->fps,
                                .start = o->first_frame,
                                .seed = o->start_seed,
                                .pad = (vc_pad)o->pad};
}

// Reads a clip; says so where the rate is not the one that was asked for.
static vc_status read_clip(const vc_reader *r, vc_reference *out, const char *path, const vc_reference_options *options,
                           vc_error *error) {
  vc_status status = vc_reference_read(out, path, options, error);
  if (!status && out->rate != r->fps && !options->codec)
    vc_generate_note("%s is too short for %lld frames at %.4g a second: its frames are taken at %.4g a second", path,
                     (long long)r->request->frames, r->fps, out->rate);
  return status;
}

// ---- motion

static vc_status take_motion(vc_reader *r, const vc_reference *reference, const char *path, float strength,
                             vc_error *error) {
  int height, width;
  vc_tensor *out = &r->out->condition[VC_CONDITION_MOTION];
  vc_condition_sides(r->config, r->config->preprocessing.motion_size, r->request->height, r->request->width, &height,
                     &width);
  vc_status status = vc_reference_motion(out, reference, (int)r->request->frames, height, width, error);
  if (status) return status;
  double amount = 0;
  for (int64_t f = 0; f < out->dim[0]; f++) amount += vc_motion_amount(out, f);
  if (!(amount > 0)) vc_generate_note("nothing moves in %s: its motion vectors are all zero", path);
  vc_reader_hand_over(r, VC_CONDITION_MOTION, strength);
  return VC_OK;
}

vc_status vc_read_motion_video(vc_reader *r, const char *text, vc_error *error) {
  char *path = NULL;
  float strength = 1;
  vc_reference reference = {.rate = 0};
  vc_reference_options options = reference_options(r);
  options.motion = true;
  options.codec = r->options->motion_source == 1;
  vc_status status = vc_split_strength(text, &path, &strength, NULL, error);
  if (!status) status = read_clip(r, &reference, path, &options, error);
  if (!status) status = take_motion(r, &reference, path, strength, error);
  vc_reference_free(&reference);
  free(path);
  return status ? vc_fail_in(error, status, "--motion") : VC_OK;
}

// ---- masks

// What is painted anew, and how strongly where the option says so.
typedef struct painting {
  vc_mask mask;
  char *path;  // NULL: drawn
  float strength;
  bool has_strength;
} painting;

static vc_status read_mask_file(const vc_reader *r, vc_mask *mask, const char *path, vc_error *error) {
  static const vc_tensor_kind kind = {"mask", 1, 0, 1};
  vc_frames clip = {0};
  vc_tensor tensor = {0};
  vc_status status;
  if (vc_is_tensor_path(path)) {
    status = vc_condition_read_tensor(&tensor, path, &kind, error);
    if (!status) status = vc_mask_of_tensor(mask, &tensor, error);
  } else {
    vc_frames_options options = {.allow_still = true, .folder_fps = r->fps};
    status = vc_frames_read(&clip, path, &options, error);
    if (!status) status = vc_mask_of_clip(mask, &clip, error);
  }
  vc_frames_free(&clip);
  vc_tensor_free(&tensor);
  return status;
}

static vc_status draw_mask(const vc_reader *r, vc_mask *mask, vc_error *error) {
  int height, width;
  vc_condition_sides(r->config, r->config->preprocessing.mask_draw_size, r->request->height, r->request->width, &height,
                     &width);
  if (height < 16) height = 16;
  if (width < 16) width = 16;
  vc_status status = vc_mask_new(mask, 1, height, width, error);
  if (!status) vc_mask_draw(mask->data, height, width, (vc_mask_shape)r->options->mask_shape, r->options->mask_seed);
  return status;
}

static vc_status read_painting(const vc_reader *r, painting *out, vc_error *error) {
  *out = (painting){.path = NULL};
  if (!r->options->mask) return draw_mask(r, &out->mask, error);
  vc_status status = vc_split_strength(r->options->mask, &out->path, &out->strength, &out->has_strength, error);
  return status ? status : read_mask_file(r, &out->mask, out->path, error);
}

static void free_painting(painting *p) {
  vc_mask_free(&p->mask);
  free(p->path);
}

// A mask with as many frames as the file of the source follows its frames, any other goes frame by frame.
static vc_status take_masked(vc_reader *r, const vc_reference *source, const painting *p, float strength,
                             vc_error *error) {
  int want = (int)r->request->frames, height, width;
  int *index = malloc((size_t)want * sizeof *index);
  vc_status status = index ? VC_OK : vc_fail(error, VC_NO_MEMORY, "no memory for %d frame numbers", want);
  if (!status && p->mask.count == source->source_count) {
    memcpy(index, source->source_index, (size_t)want * sizeof *index);
  } else if (!status) {
    status = vc_sequence_select(index, want, p->mask.count, (vc_pad)r->options->pad, error);
    if (status) vc_fail_in(error, status, "%s", p->path ? p->path : "the mask");
  }
  vc_reader_misc_sides(r, &height, &width);
  if (!status)
    status = vc_condition_masked(&r->out->condition[VC_CONDITION_MASK], &source->frames, source->index, &p->mask, index,
                                 want, height, width, error);
  if (!status) vc_reader_hand_over(r, VC_CONDITION_MASK, p->has_strength ? p->strength : strength);
  free(index);
  return status;
}

vc_status vc_read_source(vc_reader *r, const char *text, vc_error *error) {
  char *path = NULL;
  float strength = 1;
  painting p = {.path = NULL};
  vc_reference source = {.rate = 0};
  vc_reference_options options = reference_options(r);
  vc_status status = vc_split_strength(text, &path, &strength, NULL, error);
  if (!status) status = read_painting(r, &p, error);
  options.still = true;
  options.count_all = p.mask.count > 1;
  if (!status) status = read_clip(r, &source, path, &options, error);
  if (!status) status = take_masked(r, &source, &p, strength, error);
  free_painting(&p);
  vc_reference_free(&source);
  free(path);
  return status;
}

vc_status vc_read_init(vc_reader *r, const char *path, vc_error *error) {
  vc_reference clip = {.rate = 0};
  vc_reference_options options = reference_options(r);
  options.still = true;
  vc_status status = read_clip(r, &clip, path, &options, error);
  if (!status)
    status = vc_condition_init(&r->out->init, &clip.frames, clip.index, (int)r->request->frames,
                               (int)r->request->height, (int)r->request->width, &r->config->preprocessing, error);
  if (!status) r->request->init = r->out->init.data;
  vc_reference_free(&clip);
  return status;
}

// ---- one video for several conditions

static vc_status take_pictures(vc_reader *r, const vc_reference *reference, const vc_generate_use *use,
                               vc_error *error) {
  const vc_preprocessing_config *p = &r->config->preprocessing;
  int height, width, want = (int)r->request->frames;
  vc_status status = VC_OK;
  vc_reader_misc_sides(r, &height, &width);
  if (use->image) {
    vc_image first = vc_frames_image(&reference->frames, reference->index[0]);
    status = vc_condition_image(&r->out->condition[VC_CONDITION_LOCAL_IMAGE], &first, height, width, error);
    if (!status) vc_reader_hand_over(r, VC_CONDITION_LOCAL_IMAGE, 1);
  }
  if (!status && use->style) {
    int at = p->style_frame < want ? (int)p->style_frame : want - 1;
    vc_image frame = vc_frames_image(&reference->frames, reference->index[at]);
    status = vc_condition_style(&r->out->style, &frame, true, p, error);
    r->request->style = r->out->style.data;
  }
  return status;
}

// A clip for several conditions on its way from the file.
typedef struct reading {
  const vc_reader *r;
  const char *path;
  vc_reference_options options;
  bool needs_pixels;
  vc_reference reference;
  vc_tensor pixels;  // for depth and sketch
} reading;

static vc_status read_pixels(void *context, vc_error *error) {
  reading *c = context;
  int height, width;
  vc_reader_misc_sides(c->r, &height, &width);
  vc_status status = read_clip(c->r, &c->reference, c->path, &c->options, error);
  if (!status && c->needs_pixels) status = vc_reference_pixels(&c->pixels, &c->reference, height, width, error);
  return status;
}

// The clip is decoded while the first network's weights are loaded.
static vc_status read_and_load(reading *c, const vc_generate_use *use, vc_error *error) {
  vc_background decoding;
  vc_error of_loading;
  vc_background_start(&decoding, read_pixels, c);
  vc_status loaded = vc_extract_load(c->r->engine, use->depth, use->sketch, &c->r->request->callbacks, &of_loading);
  vc_status status = vc_background_end(&decoding, error);
  if (status || !loaded) return status;
  *error = of_loading;
  return loaded;
}

// Depth and sketch, of the same pixels; one network at a time.
static vc_status take_extracted(vc_reader *r, const reading *c, const vc_generate_use *use, vc_error *error) {
  const vc_callbacks *callbacks = &r->request->callbacks;
  int want = (int)r->request->frames;
  vc_status status = VC_OK;
  if (use->depth) {
    status = vc_reference_depth(&r->out->condition[VC_CONDITION_DEPTH], &c->reference, &c->pixels, want, r->engine,
                                callbacks, error);
    if (!status) vc_reader_hand_over(r, VC_CONDITION_DEPTH, 1);
    vc_extract_hold(r->engine, false, false);
  }
  if (!status && use->sketch) {
    status = vc_reference_sketch(&r->out->condition[VC_CONDITION_SKETCH], &c->reference, &c->pixels, want, r->engine,
                                 callbacks, error);
    if (!status) vc_reader_hand_over(r, VC_CONDITION_SKETCH, 1);
  }
  return status;
}

vc_status vc_read_reference_video(vc_reader *r, const char *path, const vc_generate_use *use, vc_error *error) {
  reading clip = {.r = r, .path = path, .options = reference_options(r), .needs_pixels = use->depth || use->sketch};
  const vc_reference *reference = &clip.reference;
  painting p = {.path = NULL};
  vc_status status = use->mask ? read_painting(r, &p, error) : VC_OK;
  clip.options.motion = use->motion;
  clip.options.codec = use->motion && r->options->motion_source == 1;
  clip.options.count_all = p.mask.count > 1;
  if (!status) status = read_and_load(&clip, use, error);
  if (!status) status = take_pictures(r, reference, use, error);
  if (!status && use->mask) status = take_masked(r, reference, &p, 1, error);
  if (!status && use->motion) status = take_motion(r, reference, path, 1, error);
  if (!status) status = take_extracted(r, &clip, use, error);
  free_painting(&p);
  vc_reference_free(&clip.reference);
  vc_tensor_free(&clip.pixels);
  return status;
}

// ---- one drawing

vc_status vc_read_edges(vc_reader *r, const char *text, vc_error *error) {
  char *path = NULL;
  float strength = 1;
  vc_reference picture = {.rate = 0};
  vc_tensor pixels = {0};
  vc_frames_options options = {.allow_still = true, .stop_after = 1};
  int height, width;
  vc_reader_misc_sides(r, &height, &width);
  vc_status status = vc_split_strength(text, &path, &strength, NULL, error);
  if (!status) status = vc_frames_read(&picture.frames, path, &options, error);
  if (!status) status = vc_reference_pixels(&pixels, &picture, height, width, error);
  if (!status)
    status = vc_extract_sketch(r->engine, pixels.data, 1, height, width, &r->request->callbacks,
                               &r->out->condition[VC_CONDITION_SINGLE_SKETCH], error);
  if (!status) vc_reader_hand_over(r, VC_CONDITION_SINGLE_SKETCH, strength);
  vc_tensor_free(&pixels);
  vc_reference_free(&picture);
  free(path);
  return status;
}
