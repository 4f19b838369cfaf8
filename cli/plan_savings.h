// What folding and the prologue save, against a plan without them.
#ifndef VC_CLI_PLAN_SAVINGS_H
#define VC_CLI_PLAN_SAVINGS_H

#include "cli/plan_network.h"
#include "engine/plan.h"

typedef struct vc_plan_work {
  int ops;
  double flops, bytes;
} vc_plan_work;

// Of ops from .. to - 1.
vc_plan_work vc_plan_work_of(const vc_plan *plan, int from, int to);

typedef struct vc_plan_savings {
  vc_plan_work folded;  // less in every step because nodes are folded
  vc_plan_work moved;   // less in every step because it is done once, in the prologue
  vc_plan_work video;   // the latter over all steps, less what the prologue takes
} vc_plan_savings;

// `plan` is a folded plan of the network at the shape; the others are made on the spot, on its backend and device.
vc_status vc_plan_savings_of(vc_plan_savings *out, const vc_plan *plan, vc_plan_network network,
                             const vc_model_config *config, const vc_plan_shape *shape, vc_error *error);

#endif
