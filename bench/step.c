#include "bench/step.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

#include "bench/made_up.h"
#include "engine/philox.h"
#include "engine/plan.h"
#include "engine/unet_layout.h"

// Fills every input: activations and states with normal numbers, timesteps with 500, tokens with 0, and a sampler
// table that leaves the latent as it is, so that any number of steps stays in range.
static vc_status fill_inputs(vc_plan *plan, vc_error *error) {
  const vc_graph *g = plan->graph;
  vc_status status = VC_OK;
  for (int v = 0; v < g->values && !status; v++) {
    if (!g->value[v].input) continue;
    size_t count = (size_t)vc_shape_elements(g->value[v].shape);
    float *data = calloc(count, sizeof *data);
    if (!data) return vc_fail(error, VC_NO_MEMORY, "no memory for inputs");
    if (!strcmp(g->value[v].name, "t"))
      for (size_t i = 0; i < count; i++) data[i] = 500;
    else if (!strcmp(g->value[v].name, "sampler.table"))
      for (size_t i = 0; i < count / (sizeof(vc_sampler_row) / sizeof(float)); i++)
        ((vc_sampler_row *)(void *)data)[i] = (vc_sampler_row){.x0 = {1, 0}, .corrected = {1}, .next = {1}};
    else if (g->value[v].element != VC_ELEMENT_I32 && strcmp(g->value[v].name, "zeros"))
      vc_philox_normal(1, (uint64_t)v, 0, data, count);
    status = vc_plan_set(plan, v, data, error);
    free(data);
  }
  return status;
}

int vc_step_level(const char *module, const vc_unet_config *config) {
  vc_unet_layout layout;
  int block = -1;
  vc_unet_layout_of(&layout, config);
  if (!strncmp(module, "middle_block", strlen("middle_block"))) return layout.middle[0].level;
  if (sscanf(module, "input_blocks.%d", &block) == 1 && block >= 0 && block < layout.encoder_blocks)
    return layout.encoder[block].level;
  if (sscanf(module, "output_blocks.%d", &block) == 1 && block >= 0 && block < layout.decoder_blocks)
    return layout.decoder[block].level;
  return !strncmp(module, "out.", 4) || !strcmp(module, "sampler") ? 0 : -1;
}

static void add(vc_step_group *group, const vc_plan_op *op, double seconds) {
  group->ops++;
  group->seconds += seconds;
  group->flops += op->flops;
  group->bytes += op->bytes;
}

// An op without a module (a copy for a fork, say) belongs to the level of the one before it.
static void group_ops(vc_step_result *out, const vc_plan *plan, const vc_step_options *o, const double *seconds) {
  bool unet = o->network == VC_PLAN_UNET;
  int level = 0;
  out->levels = unet ? o->config->unet.levels : 0;
  for (int i = 0; i < out->levels; i++)
    snprintf(out->level[i].name, sizeof out->level[i].name, "%lldx%lld",
             (long long)(o->shape.width / o->config->latent_scale) >> i,
             (long long)(o->shape.height / o->config->latent_scale) >> i);
  for (int i = plan->prologue_ops; i < plan->ops; i++) {
    const vc_plan_op *op = &plan->op[i];
    int named = unet ? vc_step_level(op->label, &o->config->unet) : -1;
    if (named >= 0) level = named;
    snprintf(out->kind[op->kind].name, sizeof out->kind[op->kind].name, "%s", vc_op_name(op->kind));
    add(&out->kind[op->kind], op, seconds[i]);
    add(&out->sum, op, seconds[i]);
    if (!unet) continue;
    add(&out->level[level], op, seconds[i]);
    out->level_kind[level][op->kind] += seconds[i];
  }
}

// One step more. With `op`, each op's time; the whole is timed too unless the backend can replay its ops, which is how
// a job runs and faster than one by one.
static vc_status sample_step(vc_plan *plan, vc_samples *steps, vc_samples *op, vc_error *error) {
  plan->profile = op != NULL;
  for (int i = 0; i < plan->ops; i++) plan->op[i].seconds = 0;
  double start = vc_clock_now();
  vc_status status = vc_plan_run_step(plan, 0, error);
  double seconds = vc_clock_now() - start;
  for (int i = plan->prologue_ops; i < plan->ops && op; i++) vc_samples_add(&op[i], plan->op[i].seconds);
  if (steps) vc_samples_add(steps, seconds);
  return status;
}

// Runs steps, and puts each op's median into seconds[op].
static vc_status run_steps(vc_step_result *out, vc_plan *plan, const vc_step_options *o, double *seconds,
                           vc_error *error) {
  vc_samples steps = {0}, *op = calloc((size_t)plan->ops + 1, sizeof *op);
  vc_status status = op ? VC_OK : vc_fail(error, VC_NO_MEMORY, "no memory for measurements");
  bool replays = plan->backend->record_begin != NULL;
  if (!status && replays) status = sample_step(plan, NULL, NULL, error);  // records
  double begin = vc_clock_now();
  for (int r = 0; r < o->runs && !status; r++) {
    if (r && o->seconds > 0 && vc_clock_now() - begin > o->seconds) break;
    if (replays) status = sample_step(plan, &steps, NULL, error);
    if (!status) status = sample_step(plan, replays ? NULL : &steps, op, error);
  }
  for (int i = plan->prologue_ops; i < plan->ops && !status; i++) seconds[i] = vc_samples_timing(&op[i]).median;
  out->step = vc_samples_timing(&steps);
  free(op);
  return status;
}

static vc_status run(vc_step_result *out, vc_plan *plan, const vc_step_options *o, vc_error *error) {
  double start = vc_clock_now(), *seconds = calloc((size_t)plan->ops + 1, sizeof *seconds);
  vc_status status = seconds ? VC_OK : vc_fail(error, VC_NO_MEMORY, "no memory for measurements");
  if (!status) status = vc_plan_run_prologue(plan, error);
  out->prologue_seconds = vc_clock_now() - start;
  if (!status) status = vc_plan_run_step(plan, 0, error);
  if (!status) status = run_steps(out, plan, o, seconds, error);
  if (!status) group_ops(out, plan, o, seconds);
  free(seconds);
  return status;
}

static vc_network file_of(vc_plan_network network) {
  switch (network) {
    case VC_PLAN_VAE_DECODER:
    case VC_PLAN_VAE_ENCODER:
      return VC_NETWORK_VAE;
    case VC_PLAN_CLIP_TEXT:
    case VC_PLAN_CLIP_IMAGE:
      return VC_NETWORK_CLIP;
    case VC_PLAN_MIDAS:
      return VC_NETWORK_MIDAS;
    case VC_PLAN_PIDINET:
      return VC_NETWORK_PIDINET;
    case VC_PLAN_SIMPLIFICATION:
      return VC_NETWORK_SKETCH_SIMPLIFICATION;
    default:
      return VC_NETWORK_UNET;
  }
}

static vc_status load(vc_parameters *parameters, const vc_graph *graph, const vc_step_options *o,
                      bool (*cancelled)(void *opaque), vc_error *error) {
  vc_model_source source;
  vc_weights weights;
  vc_made_up *made_up = NULL;
  vc_status status;
  if (o->model) {
    status = vc_model_weights(o->model, file_of(o->network), &source, &weights, error);
  } else if (!(status = vc_made_up_new(&made_up, graph, error))) {
    weights = vc_made_up_weights(made_up);
  }
  if (!status) status = vc_parameters_load(parameters, graph, &weights, cancelled, NULL, error);
  vc_made_up_free(made_up);
  return status;
}

vc_status vc_step_measure(vc_step_result *out, const vc_step_options *o, bool (*cancelled)(void *opaque),
                          vc_error *error) {
  *out = (vc_step_result){0};
  vc_graph *graph = NULL;
  vc_plan *plan = NULL;
  vc_parameters *parameters = NULL;
  double start = vc_clock_now();
  vc_status status = vc_plan_describe(&graph, o->network, o->config, &o->shape, error);
  if (!status) status = vc_parameters_new(&parameters, o->compute.backend, o->compute.device, o->compute.dtype, error);
  if (!status) status = load(parameters, graph, o, cancelled, error);
  vc_plan_options options = {
      .backend = o->compute.backend, .device = o->compute.device, .dtype = o->compute.dtype, .parameters = parameters};
  if (status)
    vc_graph_free(graph);
  else
    status = vc_plan_new(&plan, graph, &options, error);
  out->load_seconds = vc_clock_now() - start;
  if (!status) {
    plan->cancelled = cancelled;
    status = fill_inputs(plan, error);
  }
  if (!status) status = run(out, plan, o, error);
  if (!status) {
    out->peak_bytes = vc_clock_peak_bytes();
    out->weight_bytes = vc_parameters_bytes(parameters);
    out->arena_bytes = plan->arena_bytes;
    out->bound_bytes = plan->bound_bytes;
  }
  vc_plan_free(plan);
  vc_parameters_free(parameters);
  return status;
}

// ---- printing

static void print_groups(FILE *out, const char *title, const vc_step_result *r, const vc_step_group *group, int count) {
  fprintf(out, "\n%-14s %5s %10s %7s %10s %8s\n", title, "ops", "seconds", "share", "GFLOP/s", "GB/s");
  for (int i = 0; i < count; i++)
    if (group[i].ops)
      fprintf(out, "%-14s %5d %10.5f %6.1f%% %10.1f %8.1f\n", group[i].name, group[i].ops, group[i].seconds,
              100 * group[i].seconds / r->step.median, group[i].flops / group[i].seconds * 1e-9,
              group[i].bytes / group[i].seconds * 1e-9);
}

void vc_step_print(FILE *out, const vc_step_result *r) {
  fprintf(out, "step      %.4f s (%.4f to %.4f in %d runs), %.1f GFLOP/s\n", r->step.median, r->step.least,
          r->step.most, r->step.runs, r->sum.flops / r->step.median * 1e-9);
  fprintf(out, "prologue  %.3f s, loading %.3f s\n", r->prologue_seconds, r->load_seconds);
  fprintf(out, "memory    %.1f MiB weights, %.1f MiB arena (bound %.1f MiB), %.1f MiB peak of the process\n",
          (double)r->weight_bytes / 1048576, (double)r->arena_bytes / 1048576, (double)r->bound_bytes / 1048576,
          r->peak_bytes / 1048576);
  print_groups(out, "kind", r, r->kind, VC_OP_COUNT);
  if (r->levels) print_groups(out, "level", r, r->level, r->levels);
  fprintf(out, "\n%-14s %5d %10.5f %6.1f%%\n", "all ops", r->sum.ops, r->sum.seconds,
          100 * r->sum.seconds / r->step.median);
}

// `kinds` may be NULL, or has the seconds of every group by kind.
static void add_groups(cJSON *root, const char *name, const vc_step_group *group, int count,
                       const double (*kinds)[VC_OP_COUNT]) {
  cJSON *groups = cJSON_AddObjectToObject(root, name);
  for (int i = 0; i < count; i++) {
    if (!group[i].ops) continue;
    cJSON *k = cJSON_AddObjectToObject(groups, group[i].name);
    cJSON_AddNumberToObject(k, "ops", group[i].ops);
    cJSON_AddNumberToObject(k, "seconds", group[i].seconds);
    cJSON_AddNumberToObject(k, "flops", group[i].flops);
    cJSON_AddNumberToObject(k, "bytes", group[i].bytes);
    cJSON *by_kind = kinds ? cJSON_AddObjectToObject(k, "kinds") : NULL;
    for (int n = 0; kinds && n < VC_OP_COUNT; n++)
      if (kinds[i][n] > 0) cJSON_AddNumberToObject(by_kind, vc_op_name((vc_op_kind)n), kinds[i][n]);
  }
}

vc_status vc_step_print_json(FILE *out, const vc_step_result *r, vc_error *error) {
  cJSON *root = cJSON_CreateObject();
  cJSON_AddNumberToObject(root, "seconds", r->step.median);
  cJSON_AddNumberToObject(root, "low", r->step.low);
  cJSON_AddNumberToObject(root, "high", r->step.high);
  cJSON_AddNumberToObject(root, "least", r->step.least);
  cJSON_AddNumberToObject(root, "most", r->step.most);
  cJSON_AddNumberToObject(root, "runs", r->step.runs);
  cJSON_AddNumberToObject(root, "sum_seconds", r->sum.seconds);
  cJSON_AddNumberToObject(root, "flops", r->sum.flops);
  cJSON_AddNumberToObject(root, "bytes", r->sum.bytes);
  cJSON_AddNumberToObject(root, "load_seconds", r->load_seconds);
  cJSON_AddNumberToObject(root, "prologue_seconds", r->prologue_seconds);
  cJSON_AddNumberToObject(root, "weight_bytes", (double)r->weight_bytes);
  cJSON_AddNumberToObject(root, "arena_bytes", (double)r->arena_bytes);
  cJSON_AddNumberToObject(root, "bound_bytes", (double)r->bound_bytes);
  cJSON_AddNumberToObject(root, "peak_bytes", r->peak_bytes);
  add_groups(root, "kinds", r->kind, VC_OP_COUNT, NULL);
  if (r->levels) add_groups(root, "levels", r->level, r->levels, r->level_kind);
  char *text = cJSON_Print(root);
  cJSON_Delete(root);
  if (!text) return vc_fail(error, VC_NO_MEMORY, "no memory for the result");
  fprintf(out, "%s\n", text);
  cJSON_free(text);
  return VC_OK;
}
