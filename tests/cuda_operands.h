// Operands in the memory of a CUDA device, for tests that call one implementation of an op directly.
#ifndef VC_TESTS_CUDA_OPERANDS_H
#define VC_TESTS_CUDA_OPERANDS_H

#include "kernels/ops.h"

// The device that kernels for sm_90 run on. Skips the test when the one that there is, is another.
vc_device *cuda_open_sm90(void);

// Device memory: fresh, from `count` floats in this dtype, a packed weight (kernel NULL: of a linear layer), an output
// of half precision between guards. cuda_release_all frees what any of them gave.
void *cuda_get(vc_device *device, size_t bytes);
void *cuda_put(vc_device *device, const float *from, size_t count, vc_dtype dtype);
void *cuda_put_weight(vc_device *device, const float *weight, int64_t rows, int64_t columns, const int64_t *kernel,
                      vc_dtype dtype);
void *cuda_put_guarded(vc_device *device, size_t bytes);
void cuda_release_all(vc_device *device);

// An output of cuda_put_guarded: guards untouched, the relative L2 error that of one rounding, no element off by more
// than rounding and a little.
void cuda_check(vc_device *device, const char *name, vc_dtype dtype, const void *out, const double *want, size_t count);

// An epilogue, its operands in fp32, and the same on the device; the current step is the third.
typedef struct cuda_finish {
  vc_activation activation;
  bool bias, residual;
  int64_t rows_per_addend, addend_step;  // 0: no addend
} cuda_finish;

typedef struct cuda_finish_operands {
  float *bias, *addend, *residual;
  vc_epilogue on_device;
} cuda_finish_operands;

cuda_finish_operands cuda_make_finish(vc_device *device, const cuda_finish *finish, int64_t rows, int64_t c_out,
                                      vc_dtype dtype);
void cuda_free_finish(cuda_finish_operands *operands);

// What the epilogue makes of a sum, and of that of its gate.
double cuda_finished(const cuda_finish *finish, const cuda_finish_operands *operands, int64_t row, int64_t column,
                     int64_t c_out, double value, double gate);

#endif
