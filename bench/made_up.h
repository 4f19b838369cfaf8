// Weights made up on the spot, so that a network of any size can be measured without files.
#ifndef VC_BENCH_MADE_UP_H
#define VC_BENCH_MADE_UP_H

#include "engine/parameters.h"

typedef struct vc_made_up vc_made_up;

// Tensors for every parameter of the graph, which must outlive it: uniform numbers of a variance that keeps activations
// in range, ones for norms' factors and zeros for biases. One tensor has memory at a time.
vc_status vc_made_up_new(vc_made_up **out, const vc_graph *graph, vc_error *error);
void vc_made_up_free(vc_made_up *made_up);

// For vc_parameters_load.
vc_weights vc_made_up_weights(vc_made_up *made_up);

#endif
