// Cases of the samplers, with the UNet and without.
#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

#include "engine/case_networks.h"
#include "engine/case_unet.h"
#include "engine/sampler.h"

#define COUNT(a) ((int)(sizeof(a) / sizeof *(a)))

typedef struct sampler_config {
  int64_t steps;
  double guidance, eta;
  char spacing[24];
} sampler_config;

// A sampler at work on a case.
typedef struct sampler_run {
  vc_case *c;
  vc_sampler_plan plan;
  vc_unet_case unet;
  vc_case_graph graph;
  vc_value eps;
} sampler_run;

static vc_status vector_result(vc_case *c, const char *name, const float *values, int count, vc_error *error) {
  float *to;
  vc_status status = vc_case_new_result(c, name, 1, (int64_t[]){count}, &to, error);
  if (!status) memcpy(to, values, (size_t)count * sizeof *to);
  return status;
}

static vc_status time_results(const sampler_run *s, vc_sampler_kind kind, vc_error *error) {
  if (kind != VC_SAMPLER_DPMPP_2M) return vector_result(s->c, "output/t", s->plan.t, s->plan.steps, error);
  vc_status status = vector_result(s->c, "output/model_t", s->plan.t, s->plan.steps, error);
  float *to;
  if (!status) status = vc_case_new_result(s->c, "output/t", 1, (int64_t[]){s->plan.steps}, &to, error);
  for (int i = 0; i < s->plan.steps && !status; i++) to[i] = (float)s->plan.time[i];
  return status;
}

// One noise a step: the inputs "noise.*" in the byte order of their names, which is how the writer of cases takes them.
static vc_status set_noise(sampler_run *s, vc_error *error) {
  const vc_tensor_file *file = s->c->file;
  size_t count = vc_tensor_count(s->unet.x);
  float *all = calloc((size_t)s->plan.steps * count, sizeof *all), *one = NULL;
  vc_status status = all ? VC_OK : vc_fail(error, VC_NO_MEMORY, "no memory for the noise of all steps");
  int found = 0;
  for (int i = 0; i < file->count && found < s->plan.steps && !status; i++) {
    const vc_tensor *noise;
    if (strncmp(file->tensor[i].name, "input/noise.", 12) != 0) continue;
    status = vc_case_input(s->c, file->tensor[i].name + 6, 5, s->unet.x->dim, &noise, error);
    if (!status) status = vc_case_floats(noise, true, &one, error);
    if (!status) memcpy(all + (size_t)found++ * count, one, count * sizeof *one);
    free(one);
    one = NULL;
  }
  if (!status && found < s->plan.steps)
    status = vc_fail(error, VC_FAILED, "input/noise.%d is missing: eta is above 0 and there are %d steps", found + 1,
                     s->plan.steps);
  if (!status) status = vc_case_graph_set(&s->graph, "sampler.noise", all, error);
  free(all);
  return status;
}

static vc_status set_state(vc_case_graph *graph, const float *x, size_t count, vc_error *error) {
  static const char *const history[3] = {"sampler.m1", "sampler.m2", "sampler.x_last"};
  float *zeros = calloc(count, sizeof *zeros);
  vc_status status = zeros ? VC_OK : vc_fail(error, VC_NO_MEMORY, "no memory for a latent");
  for (int i = 0; i < 3 && !status; i++) status = vc_case_graph_set(graph, history[i], zeros, error);
  free(zeros);
  if (!status) status = vc_case_graph_set(graph, "sampler.x", x, error);
  return status ? status : vc_case_graph_set(graph, "x", x, error);
}

static vc_status set_inputs(sampler_run *s, vc_error *error) {
  float *x = NULL;
  vc_status status = vc_unet_case_set(&s->graph, &s->unet, error);
  if (!status) status = vc_case_floats(s->unet.x, true, &x, error);
  if (!status) status = set_state(&s->graph, x, vc_tensor_count(s->unet.x), error);
  if (!status) status = vc_case_graph_set(&s->graph, "t", s->plan.t, error);
  if (!status) status = vc_case_graph_set(&s->graph, "sampler.table", s->plan.rows, error);
  if (!status && s->plan.needs_noise) status = set_noise(s, error);
  free(x);
  return status;
}

static vc_status take(sampler_run *s, const char *value, const char *name, vc_error *error) {
  vc_case_output out = {name, vc_graph_find(s->graph.plan->graph, value), VC_CASE_VIDEO};
  return vc_case_graph_take(&s->graph, &out, error);
}

// The two halves of eps as results, and the predicted x0.
static vc_status take_step_traces(sampler_run *s, int step, vc_error *error) {
  vc_shape shape = vc_graph_shape(s->graph.plan->graph, s->eps);
  int halves = s->unet.request.guided ? 2 : 1;
  shape.n /= halves;
  size_t count = (size_t)vc_shape_elements(shape);
  float *eps = malloc(count * (size_t)halves * sizeof *eps), *to;
  if (!eps) return vc_fail(error, VC_NO_MEMORY, "no memory for a trace");
  vc_status status = vc_plan_get(s->graph.plan, s->eps, eps, error);
  for (int i = 0; i < halves && !status; i++) {
    vc_path name = vc_pathf("trace/%s.%d", i ? "eps_uncond" : "eps_cond", step);
    status =
        vc_case_new_result(s->c, name.text, 5, (int64_t[]){shape.n, shape.c, shape.f, shape.h, shape.w}, &to, error);
    if (!status) vc_channels_first(to, eps + (size_t)i * count, shape.n, shape.f * shape.h * shape.w, shape.c);
  }
  free(eps);
  return status ? status : take(s, "sampler.m1", vc_pathf("trace/x0.%d", step).text, error);
}

static vc_status run_steps(sampler_run *s, vc_error *error) {
  vc_status status = vc_plan_run_prologue(s->graph.plan, error);
  for (int i = 0; i < s->plan.steps && !status; i++) {
    status = vc_plan_run_step(s->graph.plan, i, error);
    if (!status && s->c->options->trace) status = take_step_traces(s, i + 1, error);
    if (!status) status = take(s, "sampler.x", vc_pathf("output/x.%d", i + 1).text, error);
  }
  return status ? status : take(s, "sampler.x", "output/out", error);
}

static vc_status open_graph(sampler_run *s, const sampler_config *config, vc_error *error) {
  vc_graph *graph = NULL;
  vc_status status = vc_graph_new(&graph, s->plan.steps, error);
  if (status) return status;
  s->eps = vc_unet_describe(graph, &s->unet.config, &s->unet.request);
  vc_graph_sampler(graph, &(vc_sampler_spec){.eps = s->eps,
                                             .input = vc_graph_find(graph, "x"),
                                             .guided = s->unet.request.guided,
                                             .guidance = (float)config->guidance,
                                             .noise = s->plan.needs_noise});
  vc_case_output eps = {"eps", s->eps, VC_CASE_VIDEO};
  return vc_case_graph_open(&s->graph, s->c, graph, &eps, s->c->options->trace ? 1 : 0, error);
}

static vc_status run_sampler(vc_case *c, vc_sampler_kind kind, vc_error *error) {
  static const vc_json_field fields[] = {
      {.name = "steps", .at = offsetof(sampler_config, steps), .least = 1, .most = 1000, .required = true},
      {.name = "guidance",
       .kind = VC_JSON_REAL,
       .at = offsetof(sampler_config, guidance),
       .least = -1000,
       .most = 1000},
      {.name = "eta", .kind = VC_JSON_REAL, .at = offsetof(sampler_config, eta), .most = 1},
      {.name = "spacing",
       .kind = VC_JSON_TEXT,
       .at = offsetof(sampler_config, spacing),
       .capacity = sizeof(((sampler_config *)0)->spacing)},
  };
  sampler_config config = {.spacing = "logSNR"};
  sampler_run s = {.c = c};
  vc_sampler_options options = vc_sampler_default_options();
  const cJSON *unet = cJSON_GetObjectItemCaseSensitive(c->config, "unet");
  vc_status status = vc_case_config(c, fields, COUNT(fields), &config, error);
  if (status) return status;
  if (!vc_spacing_parse(config.spacing, &options.spacing))
    return vc_fail(error, VC_FAILED, "config: spacing is \"%s\", and must be logSNR or time_uniform", config.spacing);
  if (!unet) return vc_fail(error, VC_FAILED, "config: unet is missing");
  // No guidance, and guidance of 0, mean the conditional pass alone.
  status = vc_unet_case_read(c, unet, 1, config.guidance != 0, &s.unet, error);
  if (!status) status = vc_sampler_make(kind, (int)config.steps, config.eta, &options, &s.plan, error);
  if (status) return status;
  if (!status) status = open_graph(&s, &config, error);
  if (!status) status = set_inputs(&s, error);
  if (!status) status = time_results(&s, kind, error);
  if (!status) status = run_steps(&s, error);
  vc_case_graph_close(&s.graph);
  vc_sampler_plan_free(&s.plan);
  return status;
}

vc_status vc_case_ddim(vc_case *c, vc_error *error) {
  return run_sampler(c, VC_SAMPLER_DDIM, error);
}

vc_status vc_case_dpmpp_2m(vc_case *c, vc_error *error) {
  return run_sampler(c, VC_SAMPLER_DPMPP_2M, error);
}

vc_status vc_case_ddim_inversion(vc_case *c, vc_error *error) {
  return run_sampler(c, VC_SAMPLER_DDIM_INVERSION, error);
}

// ---- one step

typedef struct step_inputs {
  const vc_tensor *x;
  float *x_last, *eps, *noise, *t;  // channels-last
} step_inputs;

static vc_status read_step(const vc_case *c, step_inputs *in, vc_error *error) {
  const vc_tensor *tensor;
  vc_status status = vc_case_input(c, "x", 5, (int64_t[]){VC_ANY, VC_ANY, VC_ANY, VC_ANY, VC_ANY}, &in->x, error);
  if (!status) status = vc_case_floats(in->x, true, &in->x_last, error);
  if (!status) status = vc_case_input(c, "eps", 5, in->x->dim, &tensor, error);
  if (!status) status = vc_case_floats(tensor, true, &in->eps, error);
  if (!status) status = vc_case_input(c, "noise", 5, in->x->dim, &tensor, error);
  if (!status) status = vc_case_floats(tensor, true, &in->noise, error);
  if (!status) status = vc_case_input(c, "t", 1, in->x->dim, &tensor, error);
  if (!status) status = vc_case_floats(tensor, false, &in->t, error);
  for (int64_t i = 0; i < (status ? 0 : in->x->dim[0]); i++)
    if (!(in->t[i] >= 0 && in->t[i] < VC_SCHEDULE_STEPS))
      return vc_fail(error, VC_FAILED, "input/t holds %g, and must be from 0 to %d", (double)in->t[i],
                     VC_SCHEDULE_STEPS - 1);
  return status;
}

// Every video has a timestep of its own, so each is a run of the sampler's op by itself.
static vc_status run_ddim_step(vc_case *c, const step_inputs *in, const vc_schedule *schedule, int stride, double eta,
                               vc_error *error) {
  const int64_t *d = in->x->dim;
  vc_shape shape = {1, d[2], d[3], d[4], d[1]};
  int64_t rows = d[2] * d[3] * d[4], count = rows * d[1];
  vc_case_graph run = {0};
  vc_graph *g = NULL;
  float *x0, *x_prev, *plain = malloc((size_t)count * sizeof *plain);
  vc_status status = plain ? vc_graph_new(&g, 1, error) : vc_fail(error, VC_NO_MEMORY, "no memory for a latent");
  if (status) goto done;
  vc_value x = vc_graph_input(g, "x", shape, VC_ELEMENT_ACTIVATION, VC_RATE_STEP);
  vc_value eps = vc_graph_input(g, "eps", shape, VC_ELEMENT_ACTIVATION, VC_RATE_STEP);
  vc_graph_sampler(g, &(vc_sampler_spec){.eps = eps, .input = x, .noise = true});
  status = vc_case_graph_open(&run, c, g, NULL, 0, error);
  if (!status) status = vc_case_new_result(c, "output/x0", 5, d, &x0, error);
  if (!status) status = vc_case_new_result(c, "output/x_prev", 5, d, &x_prev, error);
  for (int64_t i = 0; i < d[0] && !status; i++) {
    int t = (int)in->t[i];
    vc_sampler_row row = vc_sampler_ddim_row(schedule, t, t - stride, eta);
    // The released step adds no noise at t = 0.
    if (!t) row.noise = 0;
    status = set_state(&run, in->x_last + i * count, (size_t)count, error);
    if (!status) status = vc_case_graph_set(&run, "eps", in->eps + i * count, error);
    if (!status) status = vc_case_graph_set(&run, "sampler.noise", in->noise + i * count, error);
    if (!status) status = vc_case_graph_set(&run, "sampler.table", &row, error);
    if (!status) status = vc_plan_run_prologue(run.plan, error);
    if (!status) status = vc_plan_run_step(run.plan, 0, error);
    if (!status) status = vc_plan_get(run.plan, vc_graph_find(run.plan->graph, "sampler.x"), plain, error);
    if (!status) vc_channels_first(x_prev + i * count, plain, 1, rows, d[1]);
    if (!status) status = vc_plan_get(run.plan, vc_graph_find(run.plan->graph, "sampler.m1"), plain, error);
    if (!status) vc_channels_first(x0 + i * count, plain, 1, rows, d[1]);
  }
done:
  vc_case_graph_close(&run);
  free(plain);
  return status;
}

vc_status vc_case_ddim_step(vc_case *c, vc_error *error) {
  struct {
    int64_t stride;
    double eta;
  } config = {0};
  const vc_json_field fields[] = {
      {.name = "stride", .at = 0, .least = 1, .most = VC_SCHEDULE_STEPS, .required = true},
      {.name = "eta", .kind = VC_JSON_REAL, .at = sizeof(int64_t), .most = 1},
  };
  step_inputs in = {0};
  vc_schedule schedule = {0};
  vc_status status = vc_case_config(c, fields, COUNT(fields), &config, error);
  if (!status)
    status = vc_schedule_make(VC_SCHEDULE_STEPS, VC_SCHEDULE_FIRST_BETA, VC_SCHEDULE_LAST_BETA, &schedule, error);
  if (!status) status = read_step(c, &in, error);
  if (!status) status = run_ddim_step(c, &in, &schedule, (int)config.stride, config.eta, error);
  free(in.x_last);
  free(in.eps);
  free(in.noise);
  free(in.t);
  vc_schedule_free(&schedule);
  return status;
}
