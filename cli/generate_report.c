// What generate says while it works and when it is done: progress, previews, the profile, JSON.
#include <cjson/cJSON.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cli/generate_report.h"
#include "cli/interrupt.h"
#include "engine/version.h"

static void on_progress(void *opaque, const char *phase, int64_t done, int64_t total) {
  vc_generate_watch *w = opaque;
  if (!w->phase || strcmp(w->phase, phase) != 0) {
    vc_progress_end(&w->bar);
    w->phase = phase;
    vc_progress_begin(&w->bar, stderr, !w->options->no_progress, phase, (long)total);
  }
  vc_progress_step(&w->bar, (long)done);
  if (done == total) {
    vc_progress_end(&w->bar);
    w->phase = NULL;
  }
}

static bool on_cancelled(void *opaque) {
  (void)opaque;
  return vc_interrupted();
}

char *vc_generate_preview_path(const char *output, int64_t k, int64_t count) {
  char *path = vc_generate_output_path(output, k, vc_generate_wants_tensors(output) ? 1 : count);
  size_t length = path ? strlen(path) : 0;
  while (length > 1 && path[length - 1] == '/') length--;
  char *out = path ? malloc(length + sizeof ".preview.png") : NULL;
  if (out) {
    memcpy(out, path, length);
    strcpy(out + length, ".preview.png");
  }
  free(path);
  return out;
}

// A preview that cannot be made or written is no reason to stop; the last such reason is told at the end.
static void on_preview(void *opaque, int64_t index, int64_t step, const float *latent, const int64_t dim[4]) {
  vc_generate_watch *w = opaque;
  vc_image image = {0};
  if ((step + 1) % w->options->preview) return;
  char *path = vc_generate_preview_path(w->options->output, index, w->options->count);
  vc_status status =
      path ? vc_latent_picture(&image, latent, dim, w->model, w->scale, &w->preview_error) : VC_NO_MEMORY;
  if (!status) status = vc_image_write_png(path, &image, NULL, 0, &w->preview_error);
  w->preview_failed = status != VC_OK;
  vc_image_free(&image);
  free(path);
}

vc_callbacks vc_generate_callbacks(vc_generate_watch *watch) {
  return (vc_callbacks){
      .opaque = watch,
      .progress = on_progress,
      .cancelled = on_cancelled,
      .preview = watch->options->preview > 0 ? on_preview : NULL,
  };
}

void vc_generate_watch_end(vc_generate_watch *watch) {
  vc_progress_end(&watch->bar);
  if (watch->preview_failed) vc_generate_note("the preview was not written: %s", watch->preview_error.message);
}

// ---- at the end

void vc_generate_print_profile(const vc_result *result, double total) {
  fprintf(stderr, "%-12s %10s %14s %14s\n", "phase", "seconds", "weights MiB", "arena MiB");
  double sum = 0;
  for (int i = 0; i < result->phases; i++) {
    const vc_phase *p = &result->phase[i];
    fprintf(stderr, "%-12s %10.3f %14.1f %14.1f\n", p->name, p->seconds, (double)p->weight_bytes / (1 << 20),
            (double)p->arena_bytes / (1 << 20));
    sum += p->seconds;
  }
  fprintf(stderr, "%-12s %10.3f\n%-12s %10.3f\n", "other", total - sum, "total", total);
}

static bool add_phases(cJSON *object, const vc_result *result) {
  cJSON *list = cJSON_AddArrayToObject(object, "phases");
  bool ok = list != NULL;
  for (int i = 0; i < result->phases && ok; i++) {
    const vc_phase *p = &result->phase[i];
    cJSON *item = cJSON_CreateObject();
    ok = cJSON_AddStringToObject(item, "name", p->name) && cJSON_AddNumberToObject(item, "seconds", p->seconds) &&
         cJSON_AddNumberToObject(item, "weight_bytes", (double)p->weight_bytes) &&
         cJSON_AddNumberToObject(item, "arena_bytes", (double)p->arena_bytes) && cJSON_AddItemToArray(list, item);
    if (!ok) cJSON_Delete(item);
  }
  return ok;
}

static bool add_outputs(cJSON *object, const vc_generate_record *r) {
  cJSON *list = cJSON_AddArrayToObject(object, "outputs"), *seeds = cJSON_AddArrayToObject(object, "seeds");
  bool ok = list && seeds, tensors = vc_generate_wants_tensors(r->options->output);
  for (int64_t k = 0; k < r->request->count && ok; k++) {
    char text[32], *path = vc_generate_output_path(r->options->output, k, tensors ? 1 : r->request->count);
    (void)snprintf(text, sizeof text, "%" PRIu64, r->request->seed + (uint64_t)k);
    // Seeds have up to 64 bits, more than JSON's numbers keep.
    ok = path && cJSON_AddItemToArray(seeds, cJSON_CreateString(text)) &&
         ((tensors && k) || cJSON_AddItemToArray(list, cJSON_CreateString(path)));
    free(path);
  }
  return ok;
}

vc_status vc_generate_print_json(const vc_generate_record *r, const vc_result *result, double total, vc_error *error) {
  cJSON *object = cJSON_CreateObject();
  const vc_request *q = r->request;
  bool ok =
      object && add_outputs(object, r) && cJSON_AddStringToObject(object, "model", vc_engine_config(r->engine)->name) &&
      cJSON_AddStringToObject(object, "model_hash", vc_engine_model_hash(r->engine)) &&
      cJSON_AddStringToObject(object, "version", VC_VERSION) &&
      cJSON_AddStringToObject(object, "backend", vc_engine_backend_name(r->engine)) &&
      cJSON_AddStringToObject(object, "dtype", vc_engine_dtype_name(r->engine)) &&
      cJSON_AddNumberToObject(object, "device_peak_bytes", (double)vc_engine_device_peak(r->engine)) &&
      cJSON_AddNumberToObject(object, "frames", (double)q->frames) &&
      cJSON_AddNumberToObject(object, "width", (double)q->width) &&
      cJSON_AddNumberToObject(object, "height", (double)q->height) && cJSON_AddNumberToObject(object, "fps", r->fps) &&
      cJSON_AddNumberToObject(object, "steps", q->steps) && cJSON_AddNumberToObject(object, "guidance", q->guidance) &&
      cJSON_AddBoolToObject(object, "prompt_truncated", result->prompt_truncated) &&
      cJSON_AddNumberToObject(object, "seconds", total) && add_phases(object, result);
  char *text = ok ? cJSON_Print(object) : NULL;
  if (text) puts(text);
  ok = text != NULL;
  cJSON_free(text);
  cJSON_Delete(object);
  return ok ? VC_OK : vc_fail(error, VC_NO_MEMORY, "no memory for the report");
}
