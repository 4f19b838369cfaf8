// The configurations of CUDA on which ops are checked; none in a build without the backend.
#include "tests/op_run.h"

#ifdef VC_CUDA_LINKED
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cuda/cuda_open.h"

// Kernels differ between the generations, and some ops have the vendor's implementations besides. On a real GPU both
// generations are the one that it has.
static const struct {
  const char *name, *arch;
  vc_cuda_library library;
} configurations[] = {
    {"own sm_90", "90", VC_CUDA_OWN}, {"own sm_80", "80", VC_CUDA_OWN}, {"vendor", "90", VC_CUDA_VENDOR}};

enum { DEVICES = sizeof configurations / sizeof *configurations, DTYPES = 3 };

static op_target opened[DEVICES * DTYPES];

static uint64_t dispatched(const vc_device *device, vc_op_kind kind) {
  static const char *const variants[] = {"simt", "mma", "wgmma", "cublaslt", "cudnn"};
  uint64_t sum = 0;
  for (size_t i = 0; i < sizeof variants / sizeof *variants; i++) sum += vc_cuda_dispatched(device, kind, variants[i]);
  return sum;
}

static void close_all(void) {
  for (int i = 0; i < DEVICES; i++) {
    vc_backend_cuda.close(opened[i * DTYPES].device);
    for (int k = 0; k < DTYPES; k++) opened[i * DTYPES + k].device = NULL;
  }
}

static void open_device(int i) {
  static const vc_dtype dtypes[DTYPES] = {VC_F32, VC_F16, VC_BF16};
  const char *variable = "CUDA_ON_HOST_ARCH", *before = getenv(variable);
  char *kept = before ? strdup(before) : NULL;
  vc_device *device;
  vc_error error = {{0}};
  setenv(variable, configurations[i].arch, 1);
  vc_status status = vc_cuda_open(&device, 0, configurations[i].library, &error);
  if (kept)
    setenv(variable, kept, 1);
  else
    unsetenv(variable);
  free(kept);
  cr_assert_eq(status, VC_OK, "the CUDA device does not open: %s", error.message);
  for (int k = 0; k < DTYPES; k++) {
    op_target *t = &opened[i * DTYPES + k];
    *t = (op_target){.backend = &vc_backend_cuda,
                     .device = device,
                     .dtype = dtypes[k],
                     .weight_dtype = dtypes[k],
                     .dispatched = dispatched};
    snprintf(t->name, sizeof t->name, "cuda %s %s", configurations[i].name, vc_dtype_name(dtypes[k]));
  }
  if (!i) atexit(close_all);
}

int op_cuda_targets(vc_op_kind kind, const op_target **targets) {
  int count = kind == VC_OP_LINEAR || kind == VC_OP_CONV ? 3 : kind == VC_OP_ATTENTION ? 2 : 1;
  for (int i = 0; i < count; i++)
    if (!opened[i * DTYPES].device) open_device(i);
  *targets = opened;
  return count * DTYPES;
}
#else
int op_cuda_targets(vc_op_kind kind, const op_target **targets) {
  (void)kind;
  *targets = NULL;
  return 0;
}
#endif
