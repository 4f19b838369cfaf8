#include "engine/case_graph.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

// Larger arenas than any case in its right mind needs.
static const size_t max_arena = (size_t)1 << 36;

static const char trace_prefix[] = "trace/";

static const char *trace_name(const vc_case *c, int index) {
  const char *name = c->file->tensor[index].name;
  size_t length = sizeof trace_prefix - 1;
  return strncmp(name, trace_prefix, length) ? NULL : name + length;
}

// The output of a module: the value of its name, or else the last one described below its path.
static vc_value resolve(const vc_graph *g, const char *module) {
  vc_value value = vc_graph_find(g, module);
  size_t length = strlen(module);
  for (int v = g->values - 1; v >= 0 && value == VC_NONE; v--) {
    const char *name = g->value[v].name;
    if (name && !strncmp(name, module, length) && name[length] == '.') value = v;
  }
  return value;
}

// Of a value "a+b", the sum of a module's output and a vector a video: b. Else VC_NONE.
static vc_value addend_of(const vc_graph *g, vc_value value) {
  const char *plus = strchr(g->value[value].name, '+');
  return plus ? vc_graph_find(g, plus + 1) : VC_NONE;
}

static void keep_traces(const vc_case *c, vc_graph *g) {
  for (int i = 0; i < c->file->count && c->options->trace; i++) {
    const char *name = trace_name(c, i);
    vc_value value = name ? resolve(g, name) : VC_NONE;
    if (value == VC_NONE) continue;
    vc_graph_keep(g, value);
    vc_value addend = addend_of(g, value);
    if (addend != VC_NONE) vc_graph_keep(g, addend);
  }
}

vc_status vc_case_graph_open(vc_case_graph *out, vc_case *c, vc_graph *graph, const vc_case_output *outputs, int count,
                             vc_error *error) {
  const vc_case_options *o = c->options;
  *out = (vc_case_graph){.c = c};
  vc_status status = vc_graph_check(graph, error);
  if (!status) {
    for (int i = 0; i < count; i++) vc_graph_keep(graph, outputs[i].value);
    keep_traces(c, graph);
    vc_weights weights = vc_case_weights(c);
    status = vc_parameters_new(&out->parameters, o->backend, o->device, o->dtype, error);
    if (!status) status = vc_parameters_load(out->parameters, graph, &weights, o->cancelled, o->opaque, error);
  }
  if (status) {
    vc_graph_free(graph);
  } else {
    vc_plan_options options = {.backend = o->backend,
                               .device = o->device,
                               .dtype = o->dtype,
                               .parameters = out->parameters,
                               .max_arena = max_arena};
    status = vc_plan_new(&out->plan, graph, &options, error);
  }
  if (status) {
    vc_case_graph_close(out);
    return status;
  }
  out->plan->cancelled = o->cancelled;
  out->plan->opaque = o->opaque;
  return VC_OK;
}

void vc_case_graph_close(vc_case_graph *graph) {
  vc_plan_free(graph->plan);
  vc_parameters_free(graph->parameters);
  *graph = (vc_case_graph){0};
}

vc_status vc_case_graph_set(vc_case_graph *graph, const char *name, const void *data, vc_error *error) {
  vc_value value = vc_graph_find(graph->plan->graph, name);
  assert(value != VC_NONE);
  return vc_plan_set(graph->plan, value, data, error);
}

static vc_status set_input(vc_case_graph *graph, vc_value value, const vc_tensor *tensor, vc_error *error) {
  float *data;
  vc_status status = vc_case_floats(tensor, tensor->rank > 3, &data, error);
  size_t count = status ? 0 : vc_tensor_count(tensor);
  if (!status && graph->plan->graph->value[value].element == VC_ELEMENT_I32) {
    // In place: both are four bytes wide, and each number is read before it is overwritten.
    for (size_t i = 0; i < count; i++) {
      int32_t index = (int32_t)data[i];
      memcpy(&data[i], &index, sizeof index);
    }
  }
  if (!status) status = vc_plan_set(graph->plan, value, data, error);
  free(data);
  return status;
}

static vc_status set_zeros(vc_case_graph *graph, vc_value value, vc_error *error) {
  size_t count = (size_t)vc_shape_elements(vc_graph_shape(graph->plan->graph, value));
  float *zeros = calloc(count, sizeof *zeros);
  if (!zeros) return vc_fail(error, VC_NO_MEMORY, "no memory for %zu zeros", count);
  vc_status status = vc_plan_set(graph->plan, value, zeros, error);
  free(zeros);
  return status;
}

vc_status vc_case_graph_set_inputs(vc_case_graph *graph, vc_error *error) {
  const vc_graph *g = graph->plan->graph;
  vc_status status = VC_OK;
  for (int v = 0; v < g->values && !status; v++) {
    if (!g->value[v].input) continue;
    const vc_tensor *tensor = vc_case_find(graph->c, g->value[v].name);
    if (!strcmp(g->value[v].name, "zeros"))
      status = set_zeros(graph, v, error);
    else if (tensor && (int64_t)vc_tensor_count(tensor) == vc_shape_elements(g->value[v].shape))
      status = set_input(graph, v, tensor, error);
  }
  return status;
}

// ---- results

static vc_status download(vc_case_graph *graph, vc_value value, float **out, vc_error *error) {
  size_t count = (size_t)vc_shape_elements(vc_graph_shape(graph->plan->graph, value));
  *out = malloc(count * sizeof **out);
  if (!*out) return vc_fail(error, VC_NO_MEMORY, "no memory for a result of %zu numbers", count);
  return vc_plan_get(graph->plan, value, *out, error);
}

vc_status vc_case_graph_take(vc_case_graph *graph, const vc_case_output *output, vc_error *error) {
  vc_shape s = vc_graph_shape(graph->plan->graph, output->value);
  float *plain = NULL, *to;
  int64_t dim[4][5] = {[VC_CASE_VIDEO] = {s.n, s.c, s.f, s.h, s.w},
                       [VC_CASE_IMAGE] = {s.n * s.f, s.c, s.h, s.w},
                       [VC_CASE_TOKENS] = {s.n, s.f * s.h * s.w, s.c},
                       [VC_CASE_VECTOR] = {vc_shape_rows(s), s.c}};
  static const int rank[4] = {5, 4, 3, 2};
  vc_status status = download(graph, output->value, &plain, error);
  if (!status)
    status = vc_case_new_result(graph->c, output->name, rank[output->layout], dim[output->layout], &to, error);
  if (!status) {
    if (output->layout == VC_CASE_VIDEO)
      vc_channels_first(to, plain, s.n, s.f * s.h * s.w, s.c);
    else if (output->layout == VC_CASE_IMAGE)
      vc_channels_first(to, plain, s.n * s.f, s.h * s.w, s.c);
    else
      memcpy(to, plain, (size_t)vc_shape_elements(s) * sizeof *to);
  }
  free(plain);
  return status;
}

static bool has_shape(const vc_tensor *tensor, int rank, const int64_t *dim) {
  return tensor->rank == rank && !memcmp(tensor->dim, dim, (size_t)rank * sizeof *dim);
}

// [n f p c] -> [n p f c]
static void pixels_first(float *out, const float *in, int64_t n, int64_t f, int64_t p, int64_t c) {
  for (int64_t i = 0; i < n; i++)
    for (int64_t t = 0; t < f; t++)
      for (int64_t k = 0; k < p; k++)
        memcpy(out + ((i * p + k) * f + t) * c, in + ((i * f + t) * p + k) * c, (size_t)c * sizeof *out);
}

// Brings a value {n f h w c} into the shape that a trace has: a video, frames or pixels as a batch, vectors. `spare` is
// as large as the value. False when the value has no such shape.
static bool shape_trace(float *to, float *plain, float *spare, vc_shape s, const vc_tensor *trace) {
  int64_t pixels = s.h * s.w;
  if (has_shape(trace, 5, (int64_t[]){s.n, s.c, s.f, s.h, s.w})) {
    vc_channels_first(to, plain, s.n, s.f * pixels, s.c);
  } else if (has_shape(trace, 4, (int64_t[]){s.n * s.f, s.c, s.h, s.w})) {
    vc_channels_first(to, plain, s.n * s.f, pixels, s.c);
  } else if (has_shape(trace, 3, (int64_t[]){s.n * s.f, pixels, s.c}) ||
             has_shape(trace, 2, (int64_t[]){vc_shape_rows(s), s.c})) {
    memcpy(to, plain, (size_t)vc_shape_elements(s) * sizeof *to);
  } else if (has_shape(trace, 3, (int64_t[]){s.n * pixels, s.f, s.c})) {
    pixels_first(to, plain, s.n, s.f, pixels, s.c);
  } else if (has_shape(trace, 3, (int64_t[]){s.n * pixels, s.c, s.f})) {
    pixels_first(spare, plain, s.n, s.f, pixels, s.c);
    vc_channels_first(to, spare, s.n * pixels, s.f, s.c);
  } else {
    return false;
  }
  return true;
}

// Takes the vector of each video from its rows again.
static void subtract(float *rows, vc_shape s, const float *vector, int64_t vectors) {
  int64_t per_video = vc_shape_rows(s) / s.n;
  for (int64_t r = 0; r < vc_shape_rows(s); r++)
    for (int64_t k = 0; k < s.c; k++) rows[r * s.c + k] -= vector[r / per_video * vectors / s.n * s.c + k];
}

static vc_status take_trace(vc_case_graph *graph, vc_value value, const char *full_name, const vc_tensor *trace,
                            vc_error *error) {
  const vc_graph *g = graph->plan->graph;
  vc_shape s = vc_graph_shape(g, value);
  vc_value addend = addend_of(g, value);
  float *plain = NULL, *vector = NULL, *to = NULL;
  size_t bytes = (size_t)vc_shape_elements(s) * sizeof(float);
  float *shaped = malloc(bytes), *spare = malloc(bytes);
  vc_status status =
      shaped && spare ? download(graph, value, &plain, error) : vc_fail(error, VC_NO_MEMORY, "no memory for a trace");
  if (!status && addend != VC_NONE) {
    status = download(graph, addend, &vector, error);
    if (!status) subtract(plain, s, vector, vc_graph_shape(g, addend).n);
  }
  if (!status && shape_trace(shaped, plain, spare, s, trace)) {
    status = vc_case_new_result(graph->c, full_name, trace->rank, trace->dim, &to, error);
    if (!status) memcpy(to, shaped, bytes);
  }
  free(plain);
  free(vector);
  free(shaped);
  free(spare);
  return status;
}

vc_status vc_case_graph_take_traces(vc_case_graph *graph, vc_error *error) {
  const vc_case *c = graph->c;
  vc_status status = VC_OK;
  for (int i = 0; i < c->file->count && c->options->trace && !status; i++) {
    const char *name = trace_name(c, i);
    vc_value value = name ? resolve(graph->plan->graph, name) : VC_NONE;
    if (value != VC_NONE) status = take_trace(graph, value, c->file->tensor[i].name, &c->file->tensor[i].tensor, error);
  }
  return status;
}

vc_status vc_case_evaluate(vc_case *c, vc_graph *graph, const vc_case_output *outputs, int count, vc_error *error) {
  vc_case_graph run;
  vc_status status = vc_case_graph_open(&run, c, graph, outputs, count, error);
  if (status) return status;
  status = vc_case_graph_set_inputs(&run, error);
  if (!status) status = vc_plan_run_prologue(run.plan, error);
  if (!status) status = vc_plan_run_step(run.plan, 0, error);
  for (int i = 0; i < count && !status; i++) status = vc_case_graph_take(&run, &outputs[i], error);
  if (!status) status = vc_case_graph_take_traces(&run, error);
  vc_case_graph_close(&run);
  return status;
}
