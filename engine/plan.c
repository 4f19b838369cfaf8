#include "engine/plan.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/arena.h"
#include "engine/lower.h"

static size_t element_size(const vc_plan *p, vc_value v) {
  return p->graph->value[v].element == VC_ELEMENT_ACTIVATION ? vc_dtype_size(p->dtype) : 4;
}

static size_t value_bytes(const vc_plan *p, vc_value v) {
  return (size_t)vc_shape_elements(p->graph->value[v].shape) * element_size(p, v);
}

// ---- making a plan

// Lowers all live nodes, the prologue's first; the ops of node i are first[i] .. first[i] + count[i] - 1. With
// `fill`, only the arguments of ops that are there already are written anew: the arena has come.
static void lower_all(vc_plan *p, int *first, int *count, bool fill) {
  int at = 0;
  for (int rate = VC_RATE_VIDEO; rate <= VC_RATE_STEP; rate++) {
    for (int i = 0; i < p->graph->nodes; i++) {
      vc_plan_op op[VC_LOWER_MAX];
      if (p->graph->node[i].dead || p->graph->value[p->graph->node[i].out].rate != (vc_rate)rate) continue;
      int ops = vc_lower(p, i, op);
      first[i] = at;
      count[i] = ops;
      for (int k = 0; k < ops; k++, at++) {
        if (fill)
          p->op[at].arguments = op[k].arguments;
        else
          p->op[at] = op[k];
      }
    }
    if (rate == VC_RATE_VIDEO) p->prologue_ops = at;
  }
  p->ops = at;
}

static void *workspace_slot(vc_plan_op *op) {
  switch (op->kind) {
    case VC_OP_LINEAR:
      return &op->arguments.linear.workspace;
    case VC_OP_CONV:
      return &op->arguments.conv.workspace;
    case VC_OP_GROUP_NORM:
      return &op->arguments.group_norm.workspace;
    case VC_OP_ATTENTION:
      return &op->arguments.attention.workspace;
    default:
      return NULL;
  }
}

static vc_status prepare_all(vc_plan *p, vc_error *error) {
  for (int i = 0; i < p->ops; i++) {
    vc_status status = p->backend->prepare(p->device, p->op[i].kind, &p->op[i].arguments, &p->op[i].workspace, error);
    if (status) return vc_fail_in(error, status, "%s (%s)", p->op[i].label, vc_op_name(p->op[i].kind));
    assert(!p->op[i].workspace || workspace_slot(&p->op[i]));
  }
  return VC_OK;
}

// A value read by op `last` at the latest; a value that the steps read and do not make lives to the end.
static void read_by(const vc_plan *p, vc_block *block, vc_value v, int last, vc_rate reader) {
  if (v == VC_NONE) return;
  const vc_value_info *info = &p->graph->value[v];
  if (reader == VC_RATE_STEP && (info->rate == VC_RATE_VIDEO || info->input)) last = p->ops - 1;
  if (last > block[v].last) block[v].last = last;
}

static void find_lifetimes(const vc_plan *p, const int *first, const int *count, vc_block *block) {
  const vc_graph *g = p->graph;
  int end = p->ops ? p->ops - 1 : 0;
  for (int v = 0; v < g->values; v++) {
    const vc_value_info *info = &g->value[v];
    block[v] = (vc_block){.bytes = 0, .first = 0, .last = -1};
    if (info->param != VC_NONE) continue;
    if (info->input) block[v].last = info->rate == VC_RATE_STEP || info->kept ? end : 0;
  }
  for (int i = 0; i < g->nodes; i++) {
    const vc_node *node = &g->node[i];
    if (node->dead) continue;
    vc_rate rate = g->value[node->out].rate;
    int last = first[i] + count[i] - 1;
    for (int k = 0; k < node->inputs; k++) read_by(p, block, node->in[k], last, rate);
    read_by(p, block, node->addend, last, rate);
    read_by(p, block, node->residual, last, rate);
    if (node->kind == VC_NODE_SAMPLER) {
      read_by(p, block, node->sampler.table, end, rate);
      read_by(p, block, node->sampler.noise, end, rate);
      continue;  // it writes inputs, which live from beginning to end
    }
    block[node->out].first = first[i];
    if (block[node->out].last < last) block[node->out].last = last;
    if (g->value[node->out].kept) block[node->out].last = end;
  }
  for (int v = 0; v < g->values; v++)
    if (block[v].last >= 0 && g->value[v].param == VC_NONE) block[v].bytes = value_bytes(p, v);
}

// The blocks of a plan: the graph's values, then the cell of the current step, then a workspace an op. Some are empty.
static int block_count(const vc_plan *p) {
  return p->graph->values + 1 + p->ops;
}

static void fill_blocks(const vc_plan *p, const int *first, const int *count, vc_block *block) {
  int values = p->graph->values;
  find_lifetimes(p, first, count, block);
  block[values] = (vc_block){.bytes = sizeof(int32_t), .first = 0, .last = p->ops ? p->ops - 1 : 0};
  for (int i = 0; i < p->ops; i++)
    block[values + 1 + i] = (vc_block){.bytes = p->op[i].workspace, .first = i, .last = i};
}

static const char *block_name(const vc_plan *p, int b) {
  int values = p->graph->values;
  if (b > values) return p->op[b - values - 1].label;
  if (b == values) return "step";
  const vc_value_info *info = &p->graph->value[b];
  if (info->name) return info->name;
  return info->producer != VC_NONE ? p->graph->node[info->producer].label : "?";
}

// Writes down where everything lies.
static void record_places(vc_plan *p, const vc_block *block) {
  int values = p->graph->values;
  for (int b = 0; b < block_count(p); b++) {
    if (b < values) p->offset[b] = block[b].bytes ? block[b].offset : SIZE_MAX;
    if (!block[b].bytes) continue;
    p->tensor[p->tensors++] =
        (vc_plan_tensor){block_name(p, b), block[b].offset, block[b].bytes, block[b].first, block[b].last, b > values};
  }
  p->step_offset = block[values].offset;
}

// Takes the arena's memory and writes addresses into all arguments.
static vc_status take_memory(vc_plan *p, int *first, int *count, const vc_block *block, vc_error *error) {
  void *arena;
  vc_status status = p->backend->allocate(p->device, p->arena_bytes, &arena, error);
  if (status) return vc_fail_in(error, status, "activations");
  p->arena = arena;
  lower_all(p, first, count, true);
  for (int i = 0; i < p->ops; i++) {
    void **slot = workspace_slot(&p->op[i]);
    if (slot && p->op[i].workspace) *slot = p->arena + block[p->graph->values + 1 + i].offset;
  }
  return VC_OK;
}

static vc_status make_arena(vc_plan *p, int *first, int *count, size_t limit, vc_error *error) {
  size_t blocks = (size_t)block_count(p);
  vc_block *block = calloc(blocks, sizeof *block);
  p->tensor = calloc(blocks, sizeof *p->tensor);
  p->offset = malloc(blocks * sizeof *p->offset);
  vc_status status = VC_OK;
  if (!block || !p->tensor || !p->offset) {
    status = vc_fail(error, VC_NO_MEMORY, "no memory for a plan of %d ops", p->ops);
    goto done;
  }
  fill_blocks(p, first, count, block);
  if ((status = vc_arena_pack(block, (int)blocks, &p->arena_bytes, error))) goto done;
  p->bound_bytes = vc_arena_bound(block, (int)blocks);
  record_places(p, block);
  if (limit && p->arena_bytes > limit)
    status = vc_fail(error, VC_INVALID, "activations need %zu MiB, and %zu MiB are allowed", p->arena_bytes >> 20,
                     limit >> 20);
  else if (p->parameters)
    status = take_memory(p, first, count, block, error);
done:
  free(block);
  return status;
}

static vc_status check_parameters(const vc_plan *p, vc_error *error) {
  for (int i = 0; p->parameters && i < p->graph->params; i++)
    if (!vc_parameters_find(p->parameters, &p->graph->param[i]))
      return vc_fail(error, VC_INVALID, "parameter %s has not been loaded", p->graph->param[i].key[0]);
  return VC_OK;
}

vc_status vc_plan_new(vc_plan **out, vc_graph *graph, const vc_plan_options *options, vc_error *error) {
  *out = NULL;
  vc_plan *p = calloc(1, sizeof *p);
  size_t nodes = (size_t)(graph->nodes > 0 ? graph->nodes : 1);
  int *first = calloc(nodes, sizeof *first), *count = calloc(nodes, sizeof *count);
  vc_status status = vc_graph_check(graph, error);
  if (!p) {
    vc_graph_free(graph);
    status = vc_fail(error, VC_NO_MEMORY, "no memory for a plan");
    goto done;
  }
  p->graph = graph;
  p->backend = options->backend;
  p->device = options->device;
  p->dtype = vc_activations_dtype(options->backend, options->dtype);
  p->weight_dtype = options->dtype;
  p->parameters = options->parameters;
  p->op = calloc(nodes * VC_LOWER_MAX, sizeof *p->op);
  if (!status && (!first || !count || !p->op)) status = vc_fail(error, VC_NO_MEMORY, "no memory for a plan");
  if (!status) status = check_parameters(p, error);
  if (status) goto done;
  if (!options->no_fold) vc_fold(graph, &p->folded);
  lower_all(p, first, count, false);
  if (!(status = prepare_all(p, error))) status = make_arena(p, first, count, options->max_arena, error);
done:
  free(first);
  free(count);
  if (status)
    vc_plan_free(p);
  else
    *out = p;
  return status;
}

void vc_plan_free(vc_plan *p) {
  if (!p) return;
  if (p->record) p->backend->forget(p->device, p->record);
  if (p->arena) p->backend->release(p->device, p->arena);
  vc_graph_free(p->graph);
  free(p->op);
  free(p->tensor);
  free(p->offset);
  free(p);
}

// ---- values in and out

static vc_status place_of(const vc_plan *p, vc_value v, void **place, vc_error *error) {
  if (v == VC_NONE || !p->arena || p->offset[v] == SIZE_MAX)
    return vc_fail(error, VC_INVALID, "%s has no place in this plan",
                   v != VC_NONE && p->graph->value[v].name ? p->graph->value[v].name : "a value");
  *place = p->arena + p->offset[v];
  return VC_OK;
}

static bool needs_conversion(const vc_plan *p, vc_value v) {
  return p->graph->value[v].element == VC_ELEMENT_ACTIVATION && p->dtype != VC_F32;
}

vc_status vc_plan_set(vc_plan *p, vc_value v, const void *from, vc_error *error) {
  void *place = NULL, *converted = NULL;
  // An input that nothing reads after folding has no place, and needs none.
  if (v != VC_NONE && p->arena && p->offset[v] == SIZE_MAX && p->graph->value[v].input) return VC_OK;
  vc_status status = place_of(p, v, &place, error);
  if (status) return status;
  if (needs_conversion(p, v)) {
    if (!(converted = malloc(value_bytes(p, v)))) return vc_fail(error, VC_NO_MEMORY, "no memory to convert an input");
    vc_from_float(converted, p->dtype, from, (size_t)vc_shape_elements(p->graph->value[v].shape));
  }
  status = p->backend->upload(p->device, place, converted ? converted : from, value_bytes(p, v), error);
  if (!status && converted) status = p->backend->wait(p->device, error);
  free(converted);
  return status;
}

vc_status vc_plan_get(vc_plan *p, vc_value v, void *to, vc_error *error) {
  void *place = NULL, *raw = NULL;
  vc_status status = place_of(p, v, &place, error);
  if (status) return status;
  if (needs_conversion(p, v) && !(raw = malloc(value_bytes(p, v))))
    return vc_fail(error, VC_NO_MEMORY, "no memory to convert an output");
  status = p->backend->download(p->device, raw ? raw : to, place, value_bytes(p, v), error);
  if (!status) status = p->backend->wait(p->device, error);
  if (!status && raw) vc_to_float(to, raw, p->dtype, (size_t)vc_shape_elements(p->graph->value[v].shape));
  free(raw);
  return status;
}

// ---- running

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void add_time(vc_plan_op *op, double seconds) {
  op->seconds += seconds;
  op->runs++;
}

// One op, timed on the host when the backend does its work at once.
static vc_status run_op(vc_plan *p, vc_plan_op *op, vc_error *error) {
  double start = p->profile ? now() : 0;
  if (p->backend->range) p->backend->range(p->device, op->label);
  vc_status status = vc_op_run(p->backend, p->device, op->kind, &op->arguments, error);
  if (p->backend->range) p->backend->range(p->device, NULL);
  if (!status && p->profile && !p->backend->mark) {
    status = p->backend->wait(p->device, error);
    add_time(op, now() - start);
  }
  return status ? vc_fail_in(error, status, "%s (%s)", op->label, vc_op_name(op->kind)) : VC_OK;
}

static vc_status read_marks(vc_plan *p, int from, int to, vc_error *error) {
  vc_status status = p->backend->wait(p->device, error);
  for (int i = from; i < to && !status; i++) {
    double seconds = 0;
    status = p->backend->between(p->device, i, i + 1, &seconds, error);
    add_time(&p->op[i], seconds);
  }
  return status;
}

static vc_status run(vc_plan *p, int from, int to, vc_error *error) {
  if (!p->arena) return vc_fail(error, VC_INVALID, "a plan without parameters cannot run");
  bool marks = p->profile && p->backend->mark;
  vc_status status = VC_OK;
  for (int i = from; i < to && !status; i++) {
    if (p->cancelled && p->cancelled(p->opaque)) return vc_fail(error, VC_INTERRUPTED, "interrupted");
    if (marks) status = p->backend->mark(p->device, i, error);
    if (!status) status = run_op(p, &p->op[i], error);
  }
  if (!marks || status || from == to) return status;
  status = p->backend->mark(p->device, to, error);
  return status ? status : read_marks(p, from, to, error);
}

vc_status vc_plan_run_prologue(vc_plan *p, vc_error *error) {
  vc_status status = run(p, 0, p->prologue_ops, error);
  return status ? status : p->backend->wait(p->device, error);
}

static vc_status record(vc_plan *p, vc_error *error) {
  vc_error ignored;
  vc_status status = p->backend->record_begin(p->device, error);
  if (status) return status;
  if ((status = run(p, p->prologue_ops, p->ops, error))) {
    (void)p->backend->record_end(p->device, &p->record, &ignored);
    return status;
  }
  return p->backend->record_end(p->device, &p->record, error);
}

static vc_status run_step(vc_plan *p, vc_error *error) {
  vc_status status = VC_OK;
  if (!p->has_run || p->profile || p->no_record || !p->backend->record_begin) {
    status = run(p, p->prologue_ops, p->ops, error);
    p->has_run = true;
    return status;
  }
  if (p->cancelled && p->cancelled(p->opaque)) return vc_fail(error, VC_INTERRUPTED, "interrupted");
  if (!p->record) status = record(p, error);
  return status ? status : p->backend->replay(p->device, p->record, error);
}

vc_status vc_plan_run_step(vc_plan *p, int64_t step, vc_error *error) {
  assert(step >= 0 && step < p->graph->steps);
  if (!p->arena) return vc_fail(error, VC_INVALID, "a plan without parameters cannot run");
  int32_t index = (int32_t)step;
  vc_status status = p->backend->upload(p->device, p->arena + p->step_offset, &index, sizeof index, error);
  if (!status) status = run_step(p, error);
  return status ? status : p->backend->wait(p->device, error);
}
