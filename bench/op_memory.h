// Memory for one op by itself: every operand allocated, filled with made-up values and packed, as the op's arguments
// ask for.
#ifndef VC_BENCH_OP_MEMORY_H
#define VC_BENCH_OP_MEMORY_H

#include "bench/op_operands.h"

typedef struct vc_op_memory {
  const vc_backend *backend;
  vc_device *device;
  vc_op_kind kind;
  vc_op_arguments arguments;  // of the backend's memory
  vc_op_arguments host;       // the same op on host memory in fp32; weights as a file has them, [c_out, c, taps]
  int operands;
  vc_operand operand[VC_OPERANDS_MAX];
  void *device_memory[VC_OPERANDS_MAX], *host_memory[VC_OPERANDS_MAX], *workspace, *step;
  int32_t host_step;
} vc_op_memory;

// Prepares the op for products in `dtype`, allocates and fills. The same seed gives the same values. Free it, also
// after a failure.
vc_status vc_op_memory_new(vc_op_memory *out, const vc_backend *backend, vc_device *device, vc_dtype dtype,
                           vc_op_kind kind, const vc_op_arguments *arguments, uint32_t seed, vc_error *error);
void vc_op_memory_free(vc_op_memory *memory);

// Host memory is needed for the reference only.
void vc_op_memory_free_host(vc_op_memory *memory);

// The elements that the op has put out, as fp32; the caller frees *out.
vc_status vc_op_memory_output(const vc_op_memory *memory, float **out, size_t *count, vc_error *error);

#endif
