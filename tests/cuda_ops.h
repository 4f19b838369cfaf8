// Linear layers and convolutions on a CUDA device, for the tests of what they run as.
#ifndef VC_TESTS_CUDA_OPS_H
#define VC_TESTS_CUDA_OPS_H

#ifdef VC_CUDA_LINKED
#include "engine/plan.h"
#include "kernels/cuda/cuda.h"

enum { CUDA_VARIANTS = 5, CUDA_MEASURABLE = 4, CUDA_BUFFERS = 8 };

extern const char *const cuda_variants[CUDA_VARIANTS];  // by vc_cuda_variant
int cuda_variant_index(const char *name);               // -1: none

typedef struct cuda_shape {
  const char *name;
  vc_op_kind kind;
  int64_t c0, c1, c_out;
  int64_t rows, x_stride;                                 // linear
  int64_t n, f, h, w, kernel[3], stride, pad[3], out[3];  // conv
  int upsample;
  vc_activation activation;
  bool bias, residual, addend;
} cuda_shape;

extern const cuda_shape cuda_small_linear, cuda_small_conv;  // too small to be measured; the libraries take them

// Large enough that the emulator, with kernels of ours, is much slower than the stand-ins of the libraries.
extern const cuda_shape cuda_measurable[CUDA_MEASURABLE];

typedef struct cuda_op {
  vc_device *device;
  vc_op_kind kind;
  vc_op_arguments op;
  size_t out_count;
  vc_dtype dtype;
  void *memory[CUDA_BUFFERS];
  int buffers;
} cuda_op;

// The stand-in device is an sm_80 or sm_90, a real one what it is.
vc_device *cuda_open_device(const char *arch, vc_cuda_library library);

// Failures, clocks and generations can be asked for on the host alone.
bool cuda_on_host(const vc_device *device);

// The op as it is when a plan is made: sizes and no pointers.
cuda_op cuda_op_plan(vc_device *device, const cuda_shape *s, vc_dtype dtype);
void cuda_op_prepare(cuda_op *r, size_t *workspace);

// The op, prepared, with all its operands in the device's memory.
cuda_op cuda_op_make(vc_device *device, const cuda_shape *s, vc_dtype dtype);
void cuda_op_free(cuda_op *r);

void *cuda_op_out(const cuda_op *r);
float *cuda_op_result(cuda_op *r);  // [out_count]; the caller frees

// Prepares the op of a plan and checks what it will run as.
void cuda_expect_choice(vc_device *device, const cuda_shape *s, vc_dtype dtype, const char *want);
#endif

#endif
