#include "bench/generate.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

#include "engine/philox.h"
#include "engine/stc.h"

// Samples of every phase, beside the results that are made of them.
typedef struct gathered {
  vc_samples total, phase[VC_MAX_PHASES];
} gathered;

static int phase_of(vc_job_result *out, const char *name) {
  for (int i = 0; i < out->phases; i++)
    if (!strncmp(out->phase[i].name, name, sizeof out->phase[i].name - 1)) return i;
  if (out->phases == VC_MAX_PHASES) return -1;
  snprintf(out->phase[out->phases].name, sizeof out->phase[0].name, "%s", name);
  return out->phases++;
}

static void gather(vc_job_result *out, gathered *g, const vc_result *job, bool first) {
  for (int i = 0; i < job->phases; i++) {
    int p = phase_of(out, job->phase[i].name);
    if (p < 0) continue;
    if (first)
      out->phase[p].first = job->phase[i].seconds;
    else
      vc_samples_add(&g->phase[p], job->phase[i].seconds);
    out->phase[p].weight_bytes = job->phase[i].weight_bytes;
    out->phase[p].arena_bytes = job->phase[i].arena_bytes;
  }
}

// Numbers as a clip's would be, in the units of each condition or near them.
static vc_status make_conditions(vc_request *r, const vc_job_options *o, float *data[VC_CONDITION_COUNT],
                                 vc_error *error) {
  for (int i = 0; i < VC_CONDITION_COUNT; i++) {
    bool one = i == VC_CONDITION_LOCAL_IMAGE || i == VC_CONDITION_SINGLE_SKETCH;
    if (!o->condition[i]) continue;
    vc_condition_video v = {.f = one ? 1 : r->frames, .h = r->height, .w = r->width, .strength = 1};
    size_t count = (size_t)(v.f * v.h * v.w * vc_stc_table[i].channels);
    if (!(data[i] = malloc(count * sizeof *data[i])))
      return vc_fail(error, VC_NO_MEMORY, "no memory for a condition video");
    vc_philox_normal(1, (uint64_t)i, 0, data[i], count);
    v.data = data[i];
    r->condition[i] = v;
  }
  return VC_OK;
}

static void set_request(vc_request *r, const vc_job_options *o) {
  static const char prompt[] = "a red circle moving right over a gray background";
  r->prompt = prompt;
  r->prompt_bytes = sizeof prompt - 1;
  if (o->frames) r->frames = o->frames;
  if (o->height) r->height = o->height;
  if (o->width) r->width = o->width;
  if (o->steps) r->steps = o->steps;
  if (o->guidance != 0) r->guidance = o->guidance;
  r->count = o->count;
  r->callbacks.cancelled = o->cancelled;
}

static vc_status run_jobs(vc_job_result *out, gathered *g, vc_engine *engine, const vc_request *r, int runs,
                          vc_error *error) {
  vc_status status = VC_OK;
  for (int run = 0; run <= runs && !status; run++) {
    vc_result job = {0};
    double start = vc_clock_now();
    status = vc_generate(engine, r, &job, error);
    double seconds = vc_clock_now() - start;
    if (!status) gather(out, g, &job, run == 0);
    if (run == 0)
      out->first = seconds;
    else
      vc_samples_add(&g->total, seconds);
    vc_result_free(&job);
  }
  return status;
}

vc_status vc_job_measure(vc_job_result *out, const vc_job_options *o, vc_error *error) {
  vc_engine *engine = NULL;
  gathered *g = calloc(1, sizeof *g);
  float *data[VC_CONDITION_COUNT] = {NULL};
  vc_request r;
  *out = (vc_job_result){0};
  if (!g) return vc_fail(error, VC_NO_MEMORY, "no memory for measurements");
  double start = vc_clock_now();
  vc_status status = vc_engine_open(&engine, &o->engine, error);
  out->open_seconds = vc_clock_now() - start;
  if (!status) {
    r = vc_default_request(engine);
    set_request(&r, o);
    status = make_conditions(&r, o, data, error);
  }
  if (!status) status = run_jobs(out, g, engine, &r, o->runs, error);
  if (!status) {
    out->later = vc_samples_timing(&g->total);
    for (int i = 0; i < out->phases; i++) out->phase[i].later = vc_samples_timing(&g->phase[i]);
    out->videos = r.count;
    out->frames = r.frames;
    out->height = r.height;
    out->width = r.width;
    out->steps = r.steps;
    out->videos_per_hour = 3600 * (double)r.count / (o->runs ? out->later.median : out->first);
    out->peak_bytes = vc_clock_peak_bytes();
  }
  for (int i = 0; i < VC_CONDITION_COUNT; i++) free(data[i]);
  vc_engine_close(engine);
  free(g);
  return status;
}

void vc_job_print(FILE *out, const vc_job_result *r) {
  const double mib = 1048576;
  fprintf(out, "job       %lld x %lld frames of %lldx%lld, %d steps\n", (long long)r->videos, (long long)r->frames,
          (long long)r->width, (long long)r->height, r->steps);
  fprintf(out, "opening   %.3f s\nfirst     %.3f s\n", r->open_seconds, r->first);
  if (r->later.runs)
    fprintf(out, "later     %.3f s (%.3f to %.3f in %d jobs)\n", r->later.median, r->later.least, r->later.most,
            r->later.runs);
  fprintf(out, "speed     %.1f videos an hour\nmemory    %.1f MiB peak of the process\n", r->videos_per_hour,
          r->peak_bytes / mib);
  fprintf(out, "\n%-16s %10s %10s %7s %12s %12s\n", "phase", "first s", "later s", "share", "weights MiB", "arena MiB");
  for (int i = 0; i < r->phases; i++) {
    const vc_job_phase *p = &r->phase[i];
    double seconds = r->later.runs ? p->later.median : p->first, all = r->later.runs ? r->later.median : r->first;
    fprintf(out, "%-16s %10.3f %10.3f %6.1f%% %12.1f %12.1f\n", p->name, p->first, seconds, 100 * seconds / all,
            (double)p->weight_bytes / mib, (double)p->arena_bytes / mib);
  }
}

vc_status vc_job_print_json(FILE *out, const vc_job_result *r, vc_error *error) {
  cJSON *root = cJSON_CreateObject();
  cJSON_AddNumberToObject(root, "seconds", r->later.runs ? r->later.median : r->first);
  cJSON_AddNumberToObject(root, "first_seconds", r->first);
  cJSON_AddNumberToObject(root, "open_seconds", r->open_seconds);
  if (r->later.runs) {
    cJSON_AddNumberToObject(root, "least", r->later.least);
    cJSON_AddNumberToObject(root, "most", r->later.most);
  }
  cJSON_AddNumberToObject(root, "runs", r->later.runs);
  cJSON_AddNumberToObject(root, "videos", (double)r->videos);
  cJSON_AddNumberToObject(root, "frames", (double)r->frames);
  cJSON_AddNumberToObject(root, "height", (double)r->height);
  cJSON_AddNumberToObject(root, "width", (double)r->width);
  cJSON_AddNumberToObject(root, "steps", r->steps);
  cJSON_AddNumberToObject(root, "videos_per_hour", r->videos_per_hour);
  cJSON_AddNumberToObject(root, "peak_bytes", r->peak_bytes);
  cJSON *phases = cJSON_AddArrayToObject(root, "phases");
  for (int i = 0; i < r->phases; i++) {
    cJSON *p = cJSON_CreateObject();
    cJSON_AddItemToArray(phases, p);
    cJSON_AddStringToObject(p, "name", r->phase[i].name);
    cJSON_AddNumberToObject(p, "first_seconds", r->phase[i].first);
    if (r->later.runs) cJSON_AddNumberToObject(p, "seconds", r->phase[i].later.median);
    cJSON_AddNumberToObject(p, "weight_bytes", (double)r->phase[i].weight_bytes);
    cJSON_AddNumberToObject(p, "arena_bytes", (double)r->phase[i].arena_bytes);
  }
  char *text = cJSON_Print(root);
  cJSON_Delete(root);
  if (!text) return vc_fail(error, VC_NO_MEMORY, "no memory for the result");
  fprintf(out, "%s\n", text);
  cJSON_free(text);
  return VC_OK;
}
