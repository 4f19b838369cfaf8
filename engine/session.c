#include "engine/session.h"

#include <assert.h>

void vc_report_progress(const vc_callbacks *callbacks, const char *phase, int64_t done, int64_t total) {
  if (callbacks->progress) callbacks->progress(callbacks->opaque, phase, done, total);
}

bool vc_report_cancelled(const vc_callbacks *callbacks) {
  return callbacks->cancelled && callbacks->cancelled(callbacks->opaque);
}

static bool cancelled(void *opaque) {
  return vc_report_cancelled(opaque);
}

static vc_status load(vc_session *s, const vc_graph *graph, vc_error *error) {
  vc_model_source source;
  vc_weights weights;
  vc_status status = vc_model_weights(&s->engine->model, s->network, &source, &weights, error);
  if (!status && !s->parameters) {
    s->parameters = s->engine->held[s->network];
    s->engine->held[s->network] = NULL;
  }
  if (!status && !s->parameters)
    status = vc_parameters_new(&s->parameters, s->engine->backend, s->engine->device, s->engine->dtype, error);
  if (status) return status;
  return vc_parameters_load(s->parameters, graph, &weights, cancelled, (void *)(uintptr_t)s->callbacks, error);
}

vc_status vc_session_open(vc_session *s, vc_engine *engine, vc_network network, vc_graph *graph,
                          const vc_callbacks *callbacks, vc_error *error) {
  s->engine = engine;
  s->callbacks = callbacks;
  s->network = network;
  size_t weight_bytes = 0;
  vc_plan_options options = {.backend = engine->backend, .device = engine->device, .dtype = engine->dtype};
  vc_status status = vc_graph_check(graph, error);
  if (!status) status = vc_parameters_size(graph, engine->backend, engine->dtype, &weight_bytes, error);
  if (!status && engine->max_memory && weight_bytes >= engine->max_memory)
    status = vc_fail(error, VC_INVALID, "the weights of the %s network need %zu MiB, and --max-memory allows %zu MiB",
                     vc_network_name(network), weight_bytes >> 20, engine->max_memory >> 20);
  if (!status) status = load(s, graph, error);
  if (status) {
    vc_graph_free(graph);
    return status;
  }
  vc_plan_free(s->plan);
  s->plan = NULL;
  options.parameters = s->parameters;
  options.max_arena = engine->max_memory ? engine->max_memory - weight_bytes : 0;
  if ((status = vc_plan_new(&s->plan, graph, &options, error)))
    return vc_fail_in(error, status, "%s network (%zu MiB of weights)", vc_network_name(network), weight_bytes >> 20);
  s->plan->cancelled = cancelled;
  s->plan->opaque = (void *)(uintptr_t)callbacks;
  return VC_OK;
}

void vc_engine_hold(vc_engine *e, vc_network network, bool hold) {
  e->hold[network] = hold;
  if (hold) return;
  vc_parameters_free(e->held[network]);
  e->held[network] = NULL;
}

void vc_session_close(vc_session *s) {
  vc_plan_free(s->plan);
  if (s->parameters && s->engine->hold[s->network] && !s->engine->held[s->network])
    s->engine->held[s->network] = s->parameters;
  else
    vc_parameters_free(s->parameters);
  *s = (vc_session){0};
}

vc_status vc_session_set(vc_session *s, const char *name, const void *data, vc_error *error) {
  vc_value v = vc_graph_find(s->plan->graph, name);
  assert(v != VC_NONE);
  return vc_plan_set(s->plan, v, data, error);
}

vc_status vc_session_get(vc_session *s, const char *name, void *data, vc_error *error) {
  vc_value v = vc_graph_find(s->plan->graph, name);
  assert(v != VC_NONE);
  return vc_plan_get(s->plan, v, data, error);
}
