// A picture of a plan's memory: ops across, bytes up, a box for each tensor from its first to its last op.
#ifndef VC_CLI_PLAN_MAP_H
#define VC_CLI_PLAN_MAP_H

#include "engine/plan.h"

// Writes an SVG (any browser shows it; a box's title has its name, bytes and lifetime). All or nothing: see
// loaders/output.h.
vc_status vc_plan_map_write(const char *path, const vc_plan *plan, const char *title, vc_error *error);

#endif
