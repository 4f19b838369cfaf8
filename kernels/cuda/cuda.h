// Inside of the CUDA backend: the device with its stream, library handles and choices, what the launchers share, and
// the ops themselves. Launchers are host functions; `device` is always that of this backend.
//
// Layout of packed parameters, K-major as tensor cores take them:
//   VECTOR          fp32, as it is
//   ROWS            in the activations' dtype, as it is
//   LINEAR          [rows][pitch], pitch = vc_cuda_pitch(columns), zeros behind the columns
//   CONV            [c_out][pitch], pitch = vc_cuda_pitch(taps * c); column tap * c + channel, zeros behind
//   CONV transposed [taps * c_out][pitch], pitch = vc_cuda_pitch(c); row tap * c_out + output channel
#ifndef VC_KERNELS_CUDA_CUDA_H
#define VC_KERNELS_CUDA_CUDA_H

#include <cublasLt.h>
#include <cuda_runtime_api.h>
#include <cudnn.h>

#include "kernels/cuda/cuda_open.h"
#include "kernels/op_checks.h"
#include "kernels/ops.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
  VC_CUDA_ALIGNMENT = 256,
  VC_CUDA_WORKSPACE = 32 << 20,  // bytes that the vendor libraries may use, the same for all calls on the stream
  VC_CUDA_STAGING = 4 << 20,     // bytes of each of the two pinned buffers
};

// The implementations of an op that has several; counted by vc_cuda_dispatched.
typedef enum vc_cuda_variant {
  VC_CUDA_SIMT,      // fp32 on ordinary cores, or any dtype at odd shapes
  VC_CUDA_MMA,       // mma.sync, sm_80 and later
  VC_CUDA_WGMMA,     // TMA and wgmma, sm_90a
  VC_CUDA_CUBLASLT,  // linear layers
  VC_CUDA_CUDNN,     // convolutions
  VC_CUDA_VARIANTS,
} vc_cuda_variant;

extern const char *const vc_cuda_variant_names[VC_CUDA_VARIANTS];  // "simt", ...

typedef struct vc_cuda_choice vc_cuda_choice;  // what was measured or asked of a library, by op and shape

struct vc_device {
  int ordinal;
  char name[256];
  int major, minor, multiprocessors;
  size_t shared_bytes;  // that a block may ask for
  cudaStream_t stream;
  cublasLtHandle_t cublaslt;
  cudnnHandle_t cudnn;
  void *workspace;  // VC_CUDA_WORKSPACE bytes of device memory
  void *staging[2];
  cudaEvent_t staged[2];  // when the staging buffer may be written again
  int next_staging;
  int32_t *fault;  // device memory: an index out of range that a gather met, its sign bit flipped; 0: none
  vc_cuda_library library;
  vc_cuda_choice *choices;  // a list
  uint64_t dispatched[VC_OP_COUNT][VC_CUDA_VARIANTS];
  struct {
    void *memory;
    size_t bytes;
  } * block;  // what is allocated, in no order
  int blocks, room;
  size_t allocated, peak;
  cudaEvent_t *mark;  // with timing, made when first used
  int marks;
};

// Elements between the rows of a packed matrix: columns rounded up to 16 bytes in half precision.
static inline int64_t vc_cuda_pitch(int64_t columns) {
  return (columns + 7) / 8 * 8;
}

// VC_FAILED with "op NAME: CUDA: ..." unless the error is cudaSuccess; out of memory is VC_NO_MEMORY.
vc_status vc_cuda_check(cudaError_t code, const char *what, vc_error *error);
vc_status vc_cuda_check_cublaslt(cublasStatus_t code, const char *what, vc_error *error);
vc_status vc_cuda_check_cudnn(cudnnStatus_t code, const char *what, vc_error *error);

// The end of every launcher: checks the launch and counts it.
vc_status vc_cuda_launched(vc_device *device, vc_op_kind kind, vc_cuda_variant variant, cudaError_t code,
                           vc_error *error);

// Blocks for `items` at `each` a block, at most `limit` (the kernel then strides); 1 at least.
unsigned vc_cuda_blocks(int64_t items, int64_t each, int64_t limit);

// Whose memory it is: the first number of every shape.
enum {
  VC_CUDA_MEMO_CHOICE = 1,
  VC_CUDA_MEMO_CUBLASLT,
  VC_CUDA_MEMO_CUDNN,
  VC_CUDA_MEMO_OTHERS,  // and the numbers after it
};

// The memory kept for an op of this kind at this shape, `bytes` of it, zeroed when it is new: choices among kernels,
// descriptions for a vendor's library. NULL without memory. It lives as long as the device, at a fixed address.
void *vc_cuda_remember(vc_device *device, vc_op_kind kind, const int64_t *shape, int dims, size_t bytes, bool *is_new);
// The same, but NULL when there is none yet.
void *vc_cuda_recall(const vc_device *device, vc_op_kind kind, const int64_t *shape, int dims);
// What is done with it when the device is closed, before the libraries' handles are.
void vc_cuda_when_forgotten(void *memory, void (*destroy)(void *memory));
// Visits everything that is remembered, the latest first.
typedef void (*vc_cuda_visit)(void *context, vc_op_kind kind, const int64_t *shape, int dims, void *memory);
void vc_cuda_each(const vc_device *device, vc_cuda_visit visit, void *context);
void vc_cuda_forget_all(vc_cuda_choice *choices);

// NVTX range around a phase or an op; costs nothing without a profiler.
void vc_cuda_range_push(const char *name);
void vc_cuda_range_pop(void);

vc_status vc_cuda_pack_bytes(const vc_pack *pack, size_t *bytes, vc_error *error);
vc_status vc_cuda_pack(vc_device *device, const vc_pack *pack, void *to, vc_error *error);
vc_status vc_cuda_allocate(vc_device *device, size_t bytes, void **out, vc_error *error);
void vc_cuda_release(vc_device *device, void *memory);
void vc_cuda_close(vc_device *device);
vc_status vc_cuda_mark(vc_device *device, int mark, vc_error *error);
vc_status vc_cuda_between(vc_device *device, int from, int to, double *seconds, vc_error *error);

// host -> device through the pinned buffers; returns when `from` may be reused.
vc_status vc_cuda_stage(vc_device *device, void *to, const void *from, size_t bytes, vc_error *error);

#define VC_CUDA_OP(name)                                                                                          \
  vc_status vc_cuda_##name##_prepare(vc_device *device, const vc_##name *op, size_t *workspace, vc_error *error); \
  vc_status vc_cuda_##name(vc_device *device, const vc_##name *op, vc_error *error)

VC_CUDA_OP(linear);
VC_CUDA_OP(conv);
VC_CUDA_OP(group_norm);
VC_CUDA_OP(layer_norm);
VC_CUDA_OP(attention);
VC_CUDA_OP(activate);
VC_CUDA_OP(sum);
VC_CUDA_OP(copy);
VC_CUDA_OP(gather);
VC_CUDA_OP(pool);
VC_CUDA_OP(sinusoid);
VC_CUDA_OP(sampler);
VC_CUDA_OP(conv_transpose);
VC_CUDA_OP(max_pool);
VC_CUDA_OP(resize);
VC_CUDA_OP(gate);

// The implementations of linear layers and convolutions; choose.c checks the arguments, picks one and calls it. _fits:
// it can run this op on this device (pointers may be NULL). The addresses that it will get are aligned to 16 bytes
// where the row lengths make that possible.
#define VC_CUDA_IMPLEMENTATION(name, variant)                                           \
  bool vc_cuda_##name##_##variant##_fits(const vc_device *device, const vc_##name *op); \
  vc_status vc_cuda_##name##_##variant(vc_device *device, const vc_##name *op, vc_error *error)

VC_CUDA_IMPLEMENTATION(linear, simt);
VC_CUDA_IMPLEMENTATION(linear, mma);
VC_CUDA_IMPLEMENTATION(linear, wgmma);
VC_CUDA_IMPLEMENTATION(linear, cublaslt);
VC_CUDA_IMPLEMENTATION(conv, simt);
VC_CUDA_IMPLEMENTATION(conv, mma);
VC_CUDA_IMPLEMENTATION(conv, wgmma);
VC_CUDA_IMPLEMENTATION(conv, cudnn);

// Bytes of op->workspace that they need; pointers may be NULL. The libraries share the device's workspace.
size_t vc_cuda_linear_mma_workspace(const vc_device *device, const vc_linear *op);
size_t vc_cuda_linear_wgmma_workspace(const vc_device *device, const vc_linear *op);
size_t vc_cuda_conv_mma_workspace(const vc_device *device, const vc_conv *op);
size_t vc_cuda_conv_wgmma_workspace(const vc_device *device, const vc_conv *op);

#ifdef __cplusplus
}
#endif
#endif
