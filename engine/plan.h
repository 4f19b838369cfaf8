// Plans: a graph lowered to a list of ops whose tensors have fixed places in one arena. Running a plan walks the list:
// no allocation, no shape logic, no look-up.
#ifndef VC_ENGINE_PLAN_H
#define VC_ENGINE_PLAN_H

#include "engine/fold.h"
#include "engine/parameters.h"

typedef union vc_op_arguments {
  vc_linear linear;
  vc_conv conv;
  vc_group_norm group_norm;
  vc_layer_norm layer_norm;
  vc_attention attention;
  vc_activate activate;
  vc_sum sum;
  vc_copy copy;
  vc_gather gather;
  vc_pool pool;
  vc_sinusoid sinusoid;
  vc_sampler sampler;
  vc_conv_transpose conv_transpose;
  vc_max_pool max_pool;
  vc_resize resize;
  vc_gate gate;
} vc_op_arguments;

typedef struct vc_plan_op {
  vc_op_kind kind;
  vc_rate rate;
  const char *label;  // the module's path, owned by the graph
  vc_op_arguments arguments;
  double flops;  // multiply-adds count twice
  double bytes;  // each operand read once, the result written once
  size_t workspace;
  double seconds;  // spent in it, while profiling
  int64_t runs;
} vc_plan_op;

// A tensor's place; for printing plans and for checking that lifetimes never overlap.
typedef struct vc_plan_tensor {
  const char *name;  // module path, or the label of the op that makes it
  size_t offset, bytes;
  int first, last;  // indices of ops, both included
  bool workspace;
} vc_plan_tensor;

typedef struct vc_plan {
  vc_graph *graph;  // owned
  const vc_backend *backend;
  vc_device *device;
  vc_dtype dtype, weight_dtype;     // of activations; that products are computed in
  const vc_parameters *parameters;  // not owned; NULL in a plan that cannot run
  vc_plan_op *op;
  int ops, prologue_ops;  // the prologue comes first
  vc_plan_tensor *tensor;
  int tensors;
  size_t arena_bytes, bound_bytes;  // size of the arena; no packing of these tensors is smaller than the bound
  size_t *offset;                   // of each value of the graph in the arena; SIZE_MAX: it has no place
  char *arena;
  size_t step_offset;  // of the current step's index
  vc_fold_counts folded;
  bool profile;
  void *record;                     // of the step's ops, by a backend that can replay them
  bool has_run;                     // a step has run op by op: what backends set up at first use is there
  bool no_record;                   // always op by op
  bool (*cancelled)(void *opaque);  // polled between ops; may be NULL
  void *opaque;
} vc_plan;

typedef struct vc_plan_options {
  const vc_backend *backend;
  vc_device *device;
  vc_dtype dtype;                   // that products are computed in
  const vc_parameters *parameters;  // holds all of the graph's; NULL: the plan can be looked at but not run
  bool no_fold;                     // lower every node by itself: to compare with
  size_t max_arena;                 // bytes; a larger arena is VC_INVALID, before any memory is taken. 0: no limit
} vc_plan_options;

// Takes the graph over, also on failure.
vc_status vc_plan_new(vc_plan **out, vc_graph *graph, const vc_plan_options *options, vc_error *error);
void vc_plan_free(vc_plan *plan);

// Copies a value's elements in its own order (channels-last) from or to the host: fp32 for activations and F32 values
// (converted to the plan's dtype), int32 for I32. Values that are neither inputs nor kept have no content to get.
vc_status vc_plan_set(vc_plan *plan, vc_value value, const void *from, vc_error *error);
vc_status vc_plan_get(vc_plan *plan, vc_value value, void *to, vc_error *error);

// Inputs must have been set. The results are there when the call returns. VC_INTERRUPTED when `cancelled` said so.
// A backend that can record does so at the second step, and replays it from then on.
vc_status vc_plan_run_prologue(vc_plan *plan, vc_error *error);
vc_status vc_plan_run_step(vc_plan *plan, int64_t step, vc_error *error);

#endif
