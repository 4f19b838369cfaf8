// Folding: nodes that a backend's ops can do on the side are merged into the op that produces or reads their values.
#ifndef VC_ENGINE_FOLD_H
#define VC_ENGINE_FOLD_H

#include "engine/graph.h"

// What was folded, for `plan` to print.
typedef struct vc_fold_counts {
  int activations;     // into linear, conv, conv_transpose; SiLU into group norm
  int residuals;       // sums into linear, conv
  int concatenations;  // read as two inputs by linear, conv and group norm
} vc_fold_counts;

// Marks folded nodes as dead and rewrites the others:
//   activation(linear | conv | conv_transpose) -> their epilogue
//   SiLU(group_norm)              -> group_norm
//   linear | conv + other value   -> residual, when the other value is there before the product is
//   concat read only by linear, conv without groups, group_norm -> two inputs of the reader
// A value that the caller keeps, or that has other readers, stays.
void vc_fold(vc_graph *graph, vc_fold_counts *counts);

#endif
