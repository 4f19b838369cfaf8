// videocomposer extract: conditions of a video or a picture, as files that generate reads back.
#include "cli/extract.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/asset_source.h"
#include "cli/background.h"
#include "cli/command.h"
#include "cli/generate.h"
#include "cli/interrupt.h"
#include "cli/machine.h"
#include "cli/progress.h"
#include "engine/conditions.h"
#include "engine/extract.h"
#include "engine/masks.h"
#include "engine/motion.h"
#include "loaders/resample.h"

typedef struct values {
  const char *use, *output, *strokes, *start, *model;
  int frames, motion_source, pad, mask_shape;
  vc_machine machine;
  vc_size size;
  double fps;
  uint64_t seed, max_memory;
  bool no_progress;
  // What the above come to.
  int first_frame;
  uint64_t start_seed;
  bool frames_too;
  vc_generate_use wanted;
} values;

static const char *const motion_sources[] = {"released", "codec", NULL};
static const char *const pads[] = {"refuse", "hold", "loop", NULL};
static const char *const mask_shapes[] = {"irregular", "rectangle", "uncrop", NULL};

#define FIELD(name) .field = offsetof(values, name)

static const vc_option options[] = {
    {.name = "use",
     .kind = VC_OPTION_STRING,
     FIELD(use),
     .value = "LIST",
     .help = "what to extract, parted by commas: depth, sketch, motion, mask (what moves, or --mask-shape), image (the "
             "first frame), style (the middle one), frames"},
    {.name = "output",
     .letter = 'o',
     .kind = VC_OPTION_STRING,
     FIELD(output),
     .value = "DIR|FILE",
     .help = "a folder: NAME.safetensors and NAME.png of each, frames/ for frames; or FILE.safetensors: all in one"},
    {.name = "strokes",
     .kind = VC_OPTION_STRING,
     FIELD(strokes),
     .value = "FILE|TEXT",
     .help = "motion drawn by hand instead of the clip's, as generate takes it; the clip may be left out"},
    {.name = "frames",
     .kind = VC_OPTION_INT,
     FIELD(frames),
     .min = 1,
     .max = 1024,
     .help = "how many; the model's own"},
    {.name = "size",
     .kind = VC_OPTION_SIZE,
     FIELD(size),
     .min = 8,
     .max = 8192,
     .help = "width and height of the video to be made, which the sizes of conditions follow; the model's own"},
    {.name = "fps",
     .kind = VC_OPTION_FLOAT,
     FIELD(fps),
     .min = 0.1,
     .max = 240,
     .fallback = "4",
     .help = "frames a second at which the clip is looked at"},
    {.name = "start",
     .kind = VC_OPTION_STRING,
     FIELD(start),
     .value = "N|random",
     .help = "the frame to begin with, counted at --fps; random: an I frame of the re-encode, by the seed"},
    {.name = "seed", .kind = VC_OPTION_UINT64, FIELD(seed), .fallback = "0", .help = "of a random start and a mask"},
    {.name = "pad",
     .kind = VC_OPTION_CHOICE,
     FIELD(pad),
     .choices = pads,
     .fallback = "refuse",
     .help = "what to do with clips that are too short: hold their last frame or loop"},
    {.name = "motion-source",
     .kind = VC_OPTION_CHOICE,
     FIELD(motion_source),
     .choices = motion_sources,
     .fallback = "released",
     .help =
         "of the vectors: a re-encode to MPEG-4 part 2, as the model was trained with (all else is then taken from it "
         "too), or the stream's own codec at its own rate"},
    {.name = "mask-shape",
     .kind = VC_OPTION_CHOICE,
     FIELD(mask_shape),
     .choices = mask_shapes,
     .help = "draw the mask from the seed; without it, the mask is what moves"},
    {.name = "model",
     .kind = VC_OPTION_STRING,
     FIELD(model),
     .value = "DIR",
     .help = "model folder; without it, the small model inside the program"},
    VC_MACHINE_OPTIONS(values, "auto"),
    {.name = "max-memory", .kind = VC_OPTION_BYTES, FIELD(max_memory), .help = "of weights and activations together"},
    {.name = "no-progress", .kind = VC_OPTION_FLAG, FIELD(no_progress), .help = "no progress bar"},
};

static const vc_command_spec spec = {
    .name = "extract",
    .summary =
        "extracts conditions of a video or a picture: tensors that generate reads back as they are, and pictures "
        "to look at",
    .arguments = "[CLIP|PICTURE]",
    .max_arguments = 1,
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .example =
        "videocomposer extract clip.mp4 --use sketch,motion,frames -o conditions/\n"
        "videocomposer generate --prompt 'a ring' --motion conditions/motion.safetensors -o out.gif\n"
        "videocomposer extract --strokes '32,64 -> 96,64' --use motion,mask -o drawn/",
};

// "frames" is known here and to nobody else.
static vc_status parse_use(values *v, vc_error *error) {
  char *list = strdup(v->use), *rest = list;
  if (!list) return vc_fail(error, VC_NO_MEMORY, "no memory for a list");
  vc_status status = VC_OK;
  for (char *name; !status && (name = strsep(&rest, ","));) {
    if (!strcmp(name, "frames"))
      v->frames_too = true;
    else
      status = vc_generate_parse_use(&v->wanted, name, error);
  }
  if (status)
    status = vc_fail(error, VC_INVALID,
                     "--use knows depth, sketch, motion, mask, image, style and frames; it is '%.80s'", v->use);
  free(list);
  return status;
}

static vc_status check(values *v, const vc_arguments *arguments, vc_error *error) {
  if (!v->use) return vc_fail(error, VC_INVALID, "--use is missing: what to extract");
  if (!v->output || !*v->output) return vc_fail(error, VC_INVALID, "-o is missing: a folder, or FILE.safetensors");
  if (!arguments->count && !v->strokes) return vc_fail(error, VC_INVALID, "a clip or a picture is missing");
  vc_status status = parse_use(v, error);
  v->start_seed = v->seed;
  if (!status) status = vc_parse_start(v->start, &v->first_frame, &v->start_seed, error);
  const vc_generate_use *w = &v->wanted;
  if (!status && !arguments->count && (w->depth || w->sketch || w->image || w->style || v->frames_too))
    status = vc_fail(error, VC_INVALID, "depth, sketch, image, style and frames need a clip or a picture");
  return status ? status : vc_extracted_probe(v->output, error);
}

// ---- progress

typedef struct watch {
  vc_progress bar;
  bool shown;
  const char *phase;
} watch;

static void on_progress(void *opaque, const char *phase, int64_t done, int64_t total) {
  watch *w = opaque;
  if (w->phase != phase) {
    vc_progress_end(&w->bar);
    vc_progress_begin(&w->bar, stderr, w->shown, phase, (long)total);
    w->phase = phase;
  }
  vc_progress_step(&w->bar, (long)done);
}

static bool on_cancelled(void *opaque) {
  (void)opaque;
  return vc_interrupted();
}

// ---- extraction

typedef struct job {
  const values *v;
  vc_engine *engine;
  const vc_model_config *config;
  vc_extracted *out;
  vc_callbacks callbacks;
  int64_t height, width;  // of the video to be made
  const char *path;
  vc_tensor pixels;  // of the clip, for depth and sketch
} job;

static vc_status read_clip(job *j, const char *path, vc_error *error) {
  const values *v = j->v;
  bool motion = (v->wanted.motion || (v->wanted.mask && v->mask_shape < 0)) && !v->strokes;
  vc_reference_options o = {.frames = j->out->frames,
                            .fps = v->fps,
                            .start = v->first_frame,
                            .seed = v->start_seed,
                            .pad = (vc_pad)v->pad,
                            .motion = motion,
                            .codec = motion && v->motion_source == 1,
                            .still = !motion};
  vc_status status = vc_reference_read(&j->out->reference, path, &o, error);
  // A picture gives one frame: generate takes it for all.
  if (!status && j->out->reference.source_count == 1) j->out->frames = 1;
  if (!status) j->out->fps = j->out->reference.rate;
  return status;
}

static bool needs_pixels(const job *j) {
  return j->v->wanted.depth || j->v->wanted.sketch;
}

// Decoding, choosing, cutting and scaling: nothing that needs the engine.
static vc_status read_pixels(void *context, vc_error *error) {
  job *j = context;
  int height, width;
  vc_status status = read_clip(j, j->path, error);
  vc_condition_sides(j->config, j->config->preprocessing.misc_size, j->height, j->width, &height, &width);
  if (!status && needs_pixels(j)) status = vc_reference_pixels(&j->pixels, &j->out->reference, height, width, error);
  return status;
}

// The clip is decoded while the first network's weights are loaded.
static vc_status read_and_load(job *j, vc_error *error) {
  vc_background decoding;
  vc_error of_loading;
  vc_background_start(&decoding, read_pixels, j);
  vc_status loaded = vc_extract_load(j->engine, j->v->wanted.depth, j->v->wanted.sketch, &j->callbacks, &of_loading);
  vc_status status = vc_background_end(&decoding, error);
  if (!status && loaded) {
    status = loaded;
    *error = of_loading;
  }
  return status;
}

static vc_status extract_pictures(job *j, vc_error *error) {
  const vc_generate_use *w = &j->v->wanted;
  const vc_preprocessing_config *p = &j->config->preprocessing;
  const vc_reference *r = &j->out->reference;
  int height, width, frames = j->out->frames;
  vc_status status = VC_OK;
  vc_condition_sides(j->config, p->misc_size, j->height, j->width, &height, &width);
  if (w->image) {
    vc_image first = vc_frames_image(&r->frames, r->index[0]);
    status = vc_cover(&j->out->image, &first, width, height, error);
  }
  if (!status && w->style) {
    int at = p->style_frame < frames ? (int)p->style_frame : frames - 1;
    vc_image frame = vc_frames_image(&r->frames, r->index[at]);
    // A picture by itself is a style image that came from a file.
    status = frames == 1 ? vc_clip_resize(&j->out->style, &frame, (int)p->clip_size, error)
                         : vc_center_crop_v2(&j->out->style, &frame, (int)p->clip_size, error);
  }
  if (!status && w->depth)
    status = vc_reference_depth(&j->out->depth, r, &j->pixels, frames, j->engine, &j->callbacks, error);
  if (w->depth) vc_extract_hold(j->engine, false, false);  // one network at a time
  if (!status && w->sketch)
    status = vc_reference_sketch(&j->out->sketch, r, &j->pixels, frames, j->engine, &j->callbacks, error);
  vc_extract_hold(j->engine, false, false);
  return status;
}

static void motion_sides(const job *j, int *height, int *width) {
  vc_condition_sides(j->config, j->config->preprocessing.motion_size, j->height, j->width, height, width);
}

static vc_status read_strokes(job *j, vc_error *error) {
  vc_strokes strokes;
  int height, width;
  const vc_strokes_defaults defaults = {.canvas = {(double)j->width, (double)j->height}, .frames = j->out->frames};
  motion_sides(j, &height, &width);
  vc_status status = vc_read_strokes(&strokes, j->v->strokes, &defaults, error);
  if (!status)
    status = vc_strokes_field(&j->out->motion, &strokes, j->out->frames, height, width,
                              j->config->preprocessing.motion_block, error);
  vc_strokes_free(&strokes);
  j->out->motion_gain = 1;
  return status ? vc_fail_in(error, status, "--strokes") : VC_OK;
}

static vc_status extract_motion(job *j, vc_error *error) {
  const vc_reference *r = &j->out->reference;
  int height, width;
  motion_sides(j, &height, &width);
  // The field's vectors keep to the pixels of the clip when it is scaled.
  double across = (double)width / r->frames.width, down = (double)height / r->frames.height;
  j->out->motion_gain = across > down ? across : down;
  return vc_reference_motion(&j->out->motion, r, j->out->frames, height, width, error);
}

static vc_status draw_mask(job *j, vc_error *error) {
  const values *v = j->v;
  int height, width;
  vc_condition_sides(j->config, j->config->preprocessing.mask_draw_size, j->height, j->width, &height, &width);
  if (height < 16) height = 16;
  if (width < 16) width = 16;
  vc_status status = vc_tensor_new(&j->out->mask, VC_U8, 4, (const int64_t[]){1, height, width, 1}, error);
  if (!status) vc_mask_draw(j->out->mask.data, height, width, (vc_mask_shape)v->mask_shape, v->seed);
  return status;
}

static vc_status extract_mask(job *j, vc_error *error) {
  if (j->v->mask_shape >= 0) return draw_mask(j, error);
  if (j->v->strokes)
    return vc_motion_mask(&j->out->mask, &j->out->motion, (int)j->config->preprocessing.motion_block, error);
  return vc_reference_moving(&j->out->mask, &j->out->reference, j->out->frames, error);
}

static vc_status extract(job *j, const char *path, vc_error *error) {
  const values *v = j->v;
  const vc_generate_use *w = &v->wanted;
  bool moving = w->mask && v->mask_shape < 0;
  vc_status status = vc_check_extraction(j->engine, w->depth, w->sketch, "give --model a folder that has it", error);
  if (!status && path) status = read_and_load(j, error);
  if (!status && path) status = extract_pictures(j, error);
  if (!status && v->strokes && (w->motion || moving)) status = read_strokes(j, error);
  if (!status && !v->strokes && w->motion) status = extract_motion(j, error);
  if (!status && w->mask) status = extract_mask(j, error);
  if (!status && !w->motion) vc_tensor_free(&j->out->motion);
  j->out->has_frames = v->frames_too;
  return status ? status : vc_interrupt_check(error);
}

static vc_status run(const values *v, const char *path, vc_error *error) {
  vc_engine_options engine_options = vc_default_engine_options();
  vc_extracted out = {.fps = v->fps};
  watch w = {.shown = !v->no_progress};
  engine_options.model = v->model;
  engine_options.asset = vc_asset_source_program;
  vc_machine_choice choice;
  vc_status status = vc_machine_set(&engine_options, &choice, &v->machine, error);
  if (status) return status;
  engine_options.max_memory = v->max_memory < INT64_MAX ? (int64_t)v->max_memory : INT64_MAX;
  job j = {.v = v, .out = &out, .callbacks = {.opaque = &w, .progress = on_progress, .cancelled = on_cancelled}};
  status = vc_engine_open(&j.engine, &engine_options, error);
  if (status) return status;
  j.config = vc_engine_config(j.engine);
  out.frames = v->frames ? v->frames : (int)j.config->frames;
  j.height = v->size.height ? v->size.height : j.config->height;
  j.width = v->size.width ? v->size.width : j.config->width;
  j.path = path;
  status = extract(&j, path, error);
  vc_tensor_free(&j.pixels);
  vc_progress_end(&w.bar);
  if (!status) status = vc_extracted_write(v->output, &out, path ? path : v->strokes, error);
  vc_extracted_free(&out);
  vc_engine_close(j.engine);
  return status;
}

int vc_command_extract(int argc, char **argv) {
  values v = {.mask_shape = -1};
  vc_arguments arguments;
  vc_error error;
  int exit_status;
  if (!vc_command_start(&spec, argc, argv, &v, &arguments, &exit_status)) return exit_status;
  vc_status status = check(&v, &arguments, &error);
  if (!status) status = run(&v, arguments.count ? arguments.item[0] : NULL, &error);
  return vc_command_finish(&spec, status, &error);
}
