#include "engine/backends.h"

#include <string.h>

vc_status vc_backend_open(const vc_backend **backend, vc_device **device, const char *name, vc_dtype dtype, int threads,
                          vc_error *error) {
  *backend = NULL;
  *device = NULL;
  if (!strcmp(name, "cuda"))
    return vc_fail(error, VC_UNSUPPORTED, "this program was built without the cuda backend; use --backend cpu");
  if (strcmp(name, "auto") != 0 && strcmp(name, "cpu") != 0)
    return vc_fail(error, VC_INVALID, "there is no backend '%.40s'; choose auto, cpu or cuda", name);
  if (dtype != VC_F32)
    return vc_fail(error, VC_UNSUPPORTED, "the cpu backend computes in f32, not %s", vc_dtype_name(dtype));
  *backend = &vc_backend_cpu;
  return vc_cpu_open(device, threads, error);
}
