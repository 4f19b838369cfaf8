// The UNet's inputs in a case: read once, for one pass or for a sampler.
#ifndef VC_ENGINE_CASE_UNET_H
#define VC_ENGINE_CASE_UNET_H

#include "engine/case_graph.h"
#include "engine/unet.h"

typedef struct vc_unet_case {
  vc_unet_config config;
  vc_unet_request request;
  const vc_tensor *x, *y, *zero_y, *image;  // y, zero_y, image may be NULL
} vc_unet_case;

// Reads the architecture and every input but "t" and checks them against each other. `timesteps` is that of the
// request. Guidance needs zero_y; without it y or zero_y must be there.
vc_status vc_unet_case_read(const vc_case *c, const struct cJSON *config, int64_t timesteps, bool guided,
                            vc_unet_case *out, vc_error *error);

// Sets what stays the same in all steps: tokens (the unconditional half has zero_y and zeros for the image), videos.
vc_status vc_unet_case_set(vc_case_graph *graph, const vc_unet_case *unet, vc_error *error);

#endif
