// Lowering: a node's arguments for the ops that compute it.
#ifndef VC_ENGINE_LOWER_H
#define VC_ENGINE_LOWER_H

#include "engine/plan.h"

enum { VC_LOWER_MAX = 2 };  // ops a node needs at most

// Writes the ops of node `index` and returns their number. Pointers are NULL until the plan has an arena.
int vc_lower(const vc_plan *plan, int index, vc_plan_op op[VC_LOWER_MAX]);

#endif
