// What the contract in ops.h asks of arguments, whatever the backend: each checks one op, and says what is wrong.
#ifndef VC_KERNELS_OP_CHECKS_H
#define VC_KERNELS_OP_CHECKS_H

#include "kernels/ops.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { VC_TAPS_MAX = 4096 };  // of a convolution

// True when all are 1 or more and their product, in floats, is a size that memory can have.
bool vc_op_sizes(int count, const int64_t *size);

// The first member of every op; and the dtype of its weight, for ops that do not name one the same.
vc_dtype vc_op_dtype(const void *arguments);
vc_dtype vc_op_weight_dtype(vc_op_kind kind, const void *arguments);

vc_status vc_op_check_epilogue(const vc_epilogue *epilogue, bool geglu_allowed, vc_error *error);
vc_status vc_op_check_linear(const vc_linear *op, vc_error *error);
vc_status vc_op_check_conv(const vc_conv *op, vc_error *error);
vc_status vc_op_check_conv_transpose(const vc_conv_transpose *op, vc_error *error);

// Taps of a kernel, 1 for what is none.
int64_t vc_pack_taps(const vc_pack *pack);

// All but the dtype; and that the sources have what the packed parameter needs: counts[i] gets the values of each.
vc_status vc_op_check_pack(const vc_pack *pack, vc_error *error);
vc_status vc_op_check_sources(const vc_pack *pack, int64_t counts[VC_STACK_MAX], vc_error *error);

#ifdef __cplusplus
}
#endif
#endif
