// Single elements of an op's output in double, straight from its definition in kernels/ops.h.
#ifndef VC_BENCH_OP_REFERENCE_H
#define VC_BENCH_OP_REFERENCE_H

#include "engine/plan.h"

// Element `index` of out (of the sampler: of `input`) as it should become. `host` has fp32 operands in host memory,
// weights in the order of a file (see vc_op_memory); of an op that changes its inputs, as they are before it runs.
// Elements that the op does not write (between the rows of a strided copy) are NaN.
double vc_op_reference(vc_op_kind kind, const vc_op_arguments *host, size_t index);

#endif
