// Which backends this build has, and how one is opened by name.
#ifndef VC_ENGINE_BACKENDS_H
#define VC_ENGINE_BACKENDS_H

#include "kernels/ops.h"

// Opens "cpu", "cuda" or "auto". dtype is that of the activations, threads as in vc_cpu_open. VC_UNSUPPORTED when this
// build lacks the backend or the backend the dtype; VC_INVALID for a name that is none.
vc_status vc_backend_open(const vc_backend **backend, vc_device **device, const char *name, vc_dtype dtype, int threads,
                          vc_error *error);

#endif
