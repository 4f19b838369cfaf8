// Between choose.c, which checks linear layers and convolutions and picks an implementation, and what it asks for that.
// `kind` is VC_OP_LINEAR or VC_OP_CONV, and `op` the arguments of that kind.
#ifndef VC_KERNELS_CUDA_CHOOSE_H
#define VC_KERNELS_CUDA_CHOOSE_H

#include "kernels/cuda/cuda.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { VC_CUDA_KEY = 28 };

// What a choice depends on: sizes, dtype, the activation, whether there is an addend. Pointers are not known when the
// choice is made, so that bias and residual are not among it.
typedef struct vc_cuda_key {
  int dims;
  int64_t value[VC_CUDA_KEY];
} vc_cuda_key;

// A choice as it is remembered.
typedef struct vc_cuda_chosen_variant {
  vc_cuda_variant variant;
} vc_cuda_chosen_variant;

vc_cuda_key vc_cuda_key_of(vc_op_kind kind, const void *op);
double vc_cuda_flops(vc_op_kind kind, const void *op);
vc_cuda_variant vc_cuda_vendor_of(vc_op_kind kind);
bool vc_cuda_fits(const vc_device *device, vc_op_kind kind, vc_cuda_variant variant, const void *op);
size_t vc_cuda_variant_workspace(const vc_device *device, vc_op_kind kind, vc_cuda_variant variant, const void *op);
vc_status vc_cuda_run(vc_device *device, vc_op_kind kind, vc_cuda_variant variant, const void *op, vc_error *error);

// The fastest of `count` variants, all of which fit, run on operands of their own; the first one when it cannot be
// found out or makes no difference. Nothing that it allocates is left or counted.
vc_cuda_variant vc_cuda_measure(vc_device *device, vc_op_kind kind, const void *op, const vc_cuda_variant *variant,
                                int count);

// Asks the vendor's library for its description of such an op, once a shape; false when it has none. The implementation
// does the same at its first launch if nobody did before.
bool vc_cuda_linear_cublaslt_ready(vc_device *device, const vc_linear *op);
bool vc_cuda_conv_cudnn_ready(vc_device *device, const vc_conv *op);

// out [rows, c_out] = activation(out + bias + addend) + residual, which must not be out. Not for GEGLU.
cudaError_t vc_cuda_epilogue_pass(const vc_device *device, vc_dtype dtype, const vc_epilogue *epilogue, int64_t rows,
                                  int64_t c_out, void *out);

// A bias [c] rounded to F16 or BF16.
cudaError_t vc_cuda_bias_pass(const vc_device *device, vc_dtype dtype, const float *bias, int64_t c, void *out);

#ifdef __cplusplus
}
#endif
#endif
