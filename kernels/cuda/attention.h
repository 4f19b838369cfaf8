// Inside of attention: the kernels among which attention.cu chooses by shape. Pointers are aligned to 16 bytes when
// anything but simt is launched.
#ifndef VC_KERNELS_CUDA_ATTENTION_H
#define VC_KERNELS_CUDA_ATTENTION_H

#include "kernels/cuda/cuda.h"

#ifdef __cplusplus
extern "C" {
#endif

// Queries of one head at most, over all sequences: blocks are counted in 32 bits.
enum { VC_CUDA_ATTENTION_ROWS = 1 << 27, VC_CUDA_ATTENTION_HEAD = 1024 };

// Any dtype, head and alignment, in fp32.
vc_status vc_cuda_attention_simt(vc_device *device, const vc_attention *op, vc_error *error);

// Half precision, heads of a multiple of 8 channels, strides of a multiple of 8 elements:
// up to 32 queries and keys, heads of up to 128 channels: a warp for each head of a sequence;
vc_status vc_cuda_attention_short(vc_device *device, const vc_attention *op, vc_error *error);
bool vc_cuda_attention_short_fits(const vc_attention *op);
// heads of up to 128 channels;
vc_status vc_cuda_attention_flash(vc_device *device, const vc_attention *op, vc_error *error);
bool vc_cuda_attention_flash_fits(const vc_attention *op);
// heads of up to 512 channels.
vc_status vc_cuda_attention_wide(vc_device *device, const vc_attention *op, vc_error *error);
bool vc_cuda_attention_wide_fits(const vc_attention *op);

#ifdef __cplusplus
}
#endif
#endif
