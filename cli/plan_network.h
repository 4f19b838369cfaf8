// The networks that `plan` and `bench` look at, described at a shape.
#ifndef VC_CLI_PLAN_NETWORK_H
#define VC_CLI_PLAN_NETWORK_H

#include "engine/config.h"
#include "engine/graph.h"

typedef enum vc_plan_network {
  VC_PLAN_UNET,
  VC_PLAN_VAE_DECODER,
  VC_PLAN_VAE_ENCODER,
  VC_PLAN_CLIP_TEXT,
  VC_PLAN_CLIP_IMAGE,
  VC_PLAN_MIDAS,  // this and the next two: of all frames at once, the sides rounded up to what the network takes
  VC_PLAN_PIDINET,
  VC_PLAN_SIMPLIFICATION,
} vc_plan_network;

typedef struct vc_plan_shape {
  int64_t videos, frames, height, width;  // pixels
  int64_t steps;
  bool guided;  // both guidance passes in one batch
  bool style;   // one style token behind the text's
  bool condition[VC_CONDITION_COUNT];
  bool sampler;  // the guidance and sampler update is part of the step
} vc_plan_shape;

// Describes the network. VC_INVALID or VC_FAILED when the architecture cannot take the shape.
vc_status vc_plan_describe(vc_graph **out, vc_plan_network network, const vc_model_config *config,
                           const vc_plan_shape *shape, vc_error *error);

// "depth,motion", "all" (every one that the model has) or "none" into shape->condition and shape->style ("style").
vc_status vc_plan_conditions(const char *list, const vc_model_config *config, vc_plan_shape *shape, vc_error *error);

#endif
