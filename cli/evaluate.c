// videocomposer evaluate: metrics of videos.
#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

#include "cli/asset_source.h"
#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/machine.h"
#include "cli/progress.h"
#include "engine/condition_tensor.h"
#include "engine/conditions.h"
#include "engine/metrics.h"
#include "engine/reference.h"
#include "loaders/tensor_file.h"

typedef struct values {
  const char *reference, *model;
  int start;
  vc_machine machine;
  double fps;
  bool no_consistency, json, no_progress;
} values;

#define FIELD(name) .field = offsetof(values, name)

static const vc_option options[] = {
    {.name = "reference",
     .kind = VC_OPTION_STRING,
     FIELD(reference),
     .value = "FILE",
     .help = "what the motion should be: a video, or a motion tensor (of extract, or as generate takes it)"},
    {.name = "fps",
     .kind = VC_OPTION_FLOAT,
     FIELD(fps),
     .min = 0.1,
     .max = 240,
     .fallback = "4",
     .help = "frames a second at which a reference video is looked at, as generate does"},
    {.name = "start",
     .kind = VC_OPTION_INT,
     FIELD(start),
     .max = VC_START_MAX,
     .fallback = "0",
     .help = "its frame to begin with, counted at --fps"},
    {.name = "no-consistency",
     .kind = VC_OPTION_FLAG,
     FIELD(no_consistency),
     .help = "leave out frame consistency, which needs the CLIP network"},
    {.name = "model",
     .kind = VC_OPTION_STRING,
     FIELD(model),
     .value = "DIR",
     .help = "model folder with the CLIP network; without it, the small one inside the program"},
    VC_MACHINE_OPTIONS(values, "auto"),
    {.name = "json", .kind = VC_OPTION_FLAG, FIELD(json), .help = "print one JSON object instead of text"},
    {.name = "no-progress", .kind = VC_OPTION_FLAG, FIELD(no_progress), .help = "no progress bar"},
};

static const vc_command_spec spec = {
    .name = "evaluate",
    .summary = "measures videos: how alike consecutive frames are, and how well the motion follows a reference",
    .arguments = "VIDEO ...",
    .min_arguments = 1,
    .max_arguments = -1,
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .example =
        "videocomposer evaluate out.gif\n"
        "videocomposer evaluate out.gif --reference clip.mp4 --json",
    .notes =
        "Frame consistency: mean cosine similarity of the CLIP image features of consecutive frames, at most 1.\n"
        "Motion control error: mean end-point error, in pixels of the video, of its optical flow (Farneback's\n"
        "method) against the reference's, which is cut to the video's size; or against a reference's motion\n"
        "vectors, where they are. Figures depend on the CLIP network and on the estimator of flow: compare only\n"
        "those that were measured alike.",
};

// One video's figures.
typedef struct figures {
  int frames, width, height;
  bool has_consistency, has_motion;
  double consistency, motion;
  int64_t vectors;  // that `motion` is the mean over; 0: all pixels
} figures;

typedef struct session {
  const values *v;
  vc_engine *engine;  // NULL: not needed
  vc_callbacks callbacks;
  vc_progress bar;
} session;

static void on_progress(void *opaque, const char *phase, int64_t done, int64_t total) {
  session *s = opaque;
  (void)phase;
  if (!s->bar.out) vc_progress_begin(&s->bar, stderr, !s->v->no_progress, "features", (long)total);
  vc_progress_step(&s->bar, (long)(done < total ? done : total));
  if (done >= total) vc_progress_end(&s->bar);
}

static bool on_cancelled(void *opaque) {
  (void)opaque;
  return vc_interrupted();
}

static vc_status measure_consistency(session *s, const vc_frames *clip, figures *out, vc_error *error) {
  vc_tensor features = {0};
  vc_status status = vc_clip_features(s->engine, clip, &s->callbacks, &features, error);
  vc_progress_end(&s->bar);
  if (!status) status = vc_frame_consistency(features.data, features.dim[0], features.dim[1], &out->consistency, error);
  out->has_consistency = !status;
  vc_tensor_free(&features);
  return status;
}

// ---- motion

static vc_status against_video(const session *s, const vc_frames *clip, const vc_tensor *flow, figures *out,
                               vc_error *error) {
  const vc_flow_options farneback = vc_default_flow_options();
  vc_reference_options o = {.frames = clip->count, .fps = s->v->fps, .start = s->v->start};
  vc_reference reference = {.rate = 0};
  vc_frames covered = {0};
  vc_tensor wanted = {0};
  vc_status status = vc_reference_read(&reference, s->v->reference, &o, error);
  if (!status) status = vc_frames_new(&covered, clip->count, clip->width, clip->height, 1, error);
  for (int i = 0; i < clip->count && !status; i++) {
    vc_image from = vc_frames_image(&reference.frames, reference.index[i]), to = {0};
    status = vc_cover(&to, &from, clip->width, clip->height, error);
    if (!status) memcpy(vc_frames_image(&covered, i).rgb, to.rgb, (size_t)to.width * (size_t)to.height * 3);
    vc_image_free(&to);
  }
  if (!status) status = vc_clip_flow(&wanted, &covered, &farneback, error);
  if (!status)
    status =
        vc_end_point_error(flow->data, wanted.data, flow->dim[0], flow->dim[2] * flow->dim[3], &out->motion, error);
  vc_tensor_free(&wanted);
  vc_frames_free(&covered);
  vc_reference_free(&reference);
  return status;
}

// The vectors that extract wrote, as a view of the file's tensors. False when the file has none.
static bool find_vectors(const vc_tensor_file *file, vc_vectors *v, int *height, int *width) {
  const vc_tensor *rows = vc_tensor_file_find(file, "vectors"), *offsets = vc_tensor_file_find(file, "offsets");
  const char *h = vc_tensor_file_metadata(file, "source_height"), *w = vc_tensor_file_metadata(file, "source_width");
  if (!rows || !offsets || !h || !w || vc_parse_int(h, 1, VC_IMAGE_MAX_SIDE, height, NULL) ||
      vc_parse_int(w, 1, VC_IMAGE_MAX_SIDE, width, NULL))
    return false;
  if (rows->dtype != VC_I16 || rows->rank != 2 || rows->dim[1] != VC_VECTOR_COLUMNS || offsets->dtype != VC_I64 ||
      offsets->rank != 1 || offsets->dim[0] < 2 || offsets->dim[0] > VC_FRAMES_MAX_COUNT)
    return false;
  v->frames = (int)offsets->dim[0] - 1;
  v->offset = malloc((size_t)offsets->dim[0] * sizeof *v->offset);
  v->row = malloc(vc_tensor_bytes(rows) + 1);
  if (!v->offset || !v->row) return false;
  memcpy(v->offset, offsets->data, (size_t)offsets->dim[0] * sizeof *v->offset);
  memcpy(v->row, rows->data, vc_tensor_bytes(rows));
  bool fits = v->offset[0] >= 0 && v->offset[v->frames] <= rows->dim[0];
  for (int i = 0; i < v->frames; i++) fits = fits && v->offset[i] <= v->offset[i + 1];
  return fits;
}

static vc_status against_tensor(const session *s, const vc_tensor *flow, figures *out, vc_error *error) {
  static const vc_tensor_kind kind = {"motion", 2, -VC_MAX_SIDE, VC_MAX_SIDE};
  const char *path = s->v->reference;
  vc_tensor_file file = {0};
  vc_vectors vectors = {0};
  vc_tensor motion = {0};
  vc_motion_error found = {0};
  int height = 0, width = 0;
  bool has_vectors = !vc_tensor_file_open(&file, path, NULL) && find_vectors(&file, &vectors, &height, &width);
  vc_status status = VC_OK;
  if (has_vectors) {
    status = vc_motion_vectors_error(&found, flow, &vectors, height, width, error);
    if (status) vc_fail_in(error, status, "%s", path);
  } else {
    status = vc_condition_read_tensor(&motion, path, &kind, error);
    if (!status && (status = vc_motion_field_error(&found, flow, &motion, error)))
      vc_fail_in(error, status, "%s", path);
  }
  out->motion = found.value;
  out->vectors = found.vectors;
  vc_tensor_free(&motion);
  vc_vectors_free(&vectors);
  vc_tensor_file_close(&file);
  return status;
}

static vc_status measure_motion(const session *s, const vc_frames *clip, figures *out, vc_error *error) {
  const vc_flow_options farneback = vc_default_flow_options();
  vc_tensor flow = {0};
  vc_status status = vc_clip_flow(&flow, clip, &farneback, error);
  if (!status)
    status = vc_is_tensor_path(s->v->reference) ? against_tensor(s, &flow, out, error)
                                                : against_video(s, clip, &flow, out, error);
  out->has_motion = !status;
  vc_tensor_free(&flow);
  return status;
}

static vc_status measure(session *s, const char *path, figures *out, vc_error *error) {
  vc_frames clip = {0};
  vc_status status = vc_clip_read_all(&clip, path, error);
  if (status) return status;
  *out = (figures){.frames = clip.count, .width = clip.width, .height = clip.height};
  if (clip.count < 2) status = vc_fail(error, VC_FAILED, "%s: has one frame, and metrics are of two and more", path);
  if (!status && !s->v->no_consistency) status = measure_consistency(s, &clip, out, error);
  if (!status && s->v->reference) status = measure_motion(s, &clip, out, error);
  if (!status) status = vc_interrupt_check(error);
  vc_frames_free(&clip);
  return status;
}

// ---- reports

static void print(const char *path, const figures *f) {
  printf("%s: %d frames, %d x %d\n", path, f->frames, f->width, f->height);
  if (f->has_consistency) printf("  frame consistency     %.6f\n", f->consistency);
  if (f->has_motion && f->vectors)
    printf("  motion control error  %.6f pixels (mean over %lld vectors)\n", f->motion, (long long)f->vectors);
  else if (f->has_motion)
    printf("  motion control error  %.6f pixels\n", f->motion);
}

static bool add_json(cJSON *list, const char *path, const figures *f) {
  cJSON *item = cJSON_CreateObject();
  if (!item || !cJSON_AddItemToArray(list, item)) {
    cJSON_Delete(item);
    return false;
  }
  return cJSON_AddStringToObject(item, "video", path) && cJSON_AddNumberToObject(item, "frames", f->frames) &&
         cJSON_AddNumberToObject(item, "width", f->width) && cJSON_AddNumberToObject(item, "height", f->height) &&
         (!f->has_consistency || cJSON_AddNumberToObject(item, "frame_consistency", f->consistency)) &&
         (!f->has_motion || cJSON_AddNumberToObject(item, "motion_control_error", f->motion)) &&
         (!f->vectors || cJSON_AddNumberToObject(item, "vectors", (double)f->vectors));
}

static vc_status open_engine(session *s, vc_error *error) {
  if (s->v->no_consistency) return VC_OK;
  vc_engine_options o = vc_default_engine_options();
  o.model = s->v->model;
  o.asset = vc_asset_source_program;
  vc_machine_choice choice;
  vc_status status = vc_machine_set(&o, &choice, &s->v->machine, error);
  if (status) return status;
  return vc_engine_open(&s->engine, &o, error);
}

static vc_status run(const values *v, const vc_arguments *arguments, vc_error *error) {
  session s = {.v = v};
  s.callbacks = (vc_callbacks){.opaque = &s, .progress = on_progress, .cancelled = on_cancelled};
  cJSON *json = v->json ? cJSON_CreateObject() : NULL, *list = json ? cJSON_AddArrayToObject(json, "videos") : NULL;
  vc_status status = v->json && !list ? vc_fail(error, VC_NO_MEMORY, "no memory for the report") : VC_OK;
  if (!status) status = open_engine(&s, error);
  for (int i = 0; i < arguments->count && !status; i++) {
    figures f = {0};
    status = measure(&s, arguments->item[i], &f, error);
    if (!status && !json) print(arguments->item[i], &f);
    if (!status && json && !add_json(list, arguments->item[i], &f))
      status = vc_fail(error, VC_NO_MEMORY, "no memory for the report");
  }
  char *text = !status && json ? cJSON_Print(json) : NULL;
  if (text) puts(text);
  cJSON_free(text);
  cJSON_Delete(json);
  vc_engine_close(s.engine);
  return status;
}

int vc_command_evaluate(int argc, char **argv) {
  values v = {0};
  vc_arguments arguments;
  vc_error error;
  int exit_status;
  if (!vc_command_start(&spec, argc, argv, &v, &arguments, &exit_status)) return exit_status;
  vc_status status = VC_OK;
  if (v.no_consistency && !v.reference)
    status = vc_fail(&error, VC_INVALID, "nothing to measure: give --reference, or leave out --no-consistency");
  if (!status) status = run(&v, &arguments, &error);
  return vc_command_finish(&spec, status, &error);
}
