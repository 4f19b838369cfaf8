// Running a described network on a case's inputs and parameters.
#ifndef VC_ENGINE_CASE_GRAPH_H
#define VC_ENGINE_CASE_GRAPH_H

#include "engine/case_io.h"
#include "engine/plan.h"

// How PyTorch shapes a value {n f h w c}.
typedef enum vc_case_layout {
  VC_CASE_VIDEO,   // [n c f h w]
  VC_CASE_IMAGE,   // [n f, c h w]
  VC_CASE_TOKENS,  // [n, f h w, c]
  VC_CASE_VECTOR,  // [n f h w, c]
} vc_case_layout;

typedef struct vc_case_output {
  const char *name;  // "output/NAME"
  vc_value value;
  vc_case_layout layout;
} vc_case_output;

typedef struct vc_case_graph {
  vc_case *c;
  vc_parameters *parameters;
  vc_plan *plan;
} vc_case_graph;

// Keeps the outputs, and the inner values that the case's traces are about; loads parameters and plans. Takes the
// graph over, also on failure. vc_case_graph_close releases everything.
vc_status vc_case_graph_open(vc_case_graph *out, vc_case *c, vc_graph *graph, const vc_case_output *outputs, int count,
                             vc_error *error);
void vc_case_graph_close(vc_case_graph *graph);

// Sets the value of this name, which the graph must have (assert), in its own order.
vc_status vc_case_graph_set(vc_case_graph *graph, const char *name, const void *data, vc_error *error);

// Sets every input of the graph for which the case has an input of that name and size, and "zeros" to zeros.
vc_status vc_case_graph_set_inputs(vc_case_graph *graph, vc_error *error);

// Adds a value as a result.
vc_status vc_case_graph_take(vc_case_graph *graph, const vc_case_output *output, vc_error *error);

// Adds the inner values that the case's traces are about as results, as far as the graph has them.
vc_status vc_case_graph_take_traces(vc_case_graph *graph, vc_error *error);

// All of the above for a network that runs once and takes the case's inputs as they are.
vc_status vc_case_evaluate(vc_case *c, vc_graph *graph, const vc_case_output *outputs, int count, vc_error *error);

#endif
