// One op on one device: its buffers copied there in the device's dtype, the op run, run again, recorded and replayed.
#ifndef VC_TESTS_OP_RUN_H
#define VC_TESTS_OP_RUN_H

#include "tests/op_fixture.h"

// A configuration on which ops are checked.
typedef struct op_target {
  char name[64];
  const vc_backend *backend;
  vc_device *device;
  vc_dtype dtype, weight_dtype;
  uint64_t (*dispatched)(const vc_device *device, vc_op_kind kind);  // NULL: the backend does not count
} op_target;

// Checks the values and that nothing else is written; a second run, recorded where the backend can, must give the same
// bytes. Returns the bytes of all outputs with their guard bands, which the caller frees, or NULL after a failure.
unsigned char *op_run(const op_check *check, const op_target *target, size_t *bytes);

// The configurations of CUDA that this kind of op is checked on, opened when they are first asked for.
int op_cuda_targets(vc_op_kind kind, const op_target **targets);

#endif
