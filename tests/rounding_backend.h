// The CPU backend with storage in half precision: what every op reads and writes, and every matrix and kernel, is
// rounded to F16 or BF16, and all arithmetic is in fp32. No implementation with tensors in that type can be expected to
// be nearer to the truth, and so its error is the measure for one that does its arithmetic elsewhere.
#ifndef VC_TESTS_ROUNDING_BACKEND_H
#define VC_TESTS_ROUNDING_BACKEND_H

#include "kernels/ops.h"

// Its devices are those of vc_cpu_open, its plans are in F32. One storage type at a time in a process.
const vc_backend *rounding_backend(vc_dtype storage);

// Ops that have run since the process began.
int rounding_backend_ops(void);

#endif
