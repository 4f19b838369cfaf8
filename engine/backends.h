// Which backends this build has, and how one is opened by name.
#ifndef VC_ENGINE_BACKENDS_H
#define VC_ENGINE_BACKENDS_H

#include "kernels/ops.h"

// Opens "cpu", "cuda" (or "cuda:1": that GPU) or "auto": cuda where it can be had, else cpu. dtype is what
// products are computed in (vc_activations_dtype), VC_DTYPE_COUNT for the backend's own (vc_backend_dtype); threads as
// in vc_cpu_open. The cuda backend is a library, videocomposer_cuda.so beside the program, that is opened here and not
// before. VC_UNSUPPORTED when the backend, a GPU or its driver are not there or the backend lacks the dtype; VC_INVALID
// for a name that is none.
vc_status vc_backend_open(const vc_backend **backend, vc_device **device, const char *name, vc_dtype dtype, int threads,
                          vc_error *error);

// What computes, opened.
typedef struct vc_compute {
  const vc_backend *backend;
  vc_device *device;
  vc_dtype dtype;  // that products are computed in
} vc_compute;

// `asked`, or for VC_DTYPE_COUNT what the backend is best at: F16 for cuda, F32 for cpu.
vc_dtype vc_backend_dtype(const vc_backend *backend, vc_dtype asked);

#endif
