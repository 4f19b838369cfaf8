// Host tensors: dense row-major arrays with a dtype and a shape, as files hold them and tests compare them.
#ifndef VC_ENGINE_TENSOR_H
#define VC_ENGINE_TENSOR_H

#include <stdint.h>

#include "engine/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum vc_dtype {
  VC_F32,
  VC_F16,
  VC_BF16,
  VC_F64,
  VC_I64,
  VC_I32,
  VC_I16,
  VC_I8,
  VC_U8,
  VC_BOOL,
  VC_DTYPE_COUNT,
} vc_dtype;

enum { VC_MAX_DIMS = 8 };

// A view or an owner of elements; who frees `data` is said where a vc_tensor is handed out.
typedef struct vc_tensor {
  vc_dtype dtype;
  int rank;                  // 0 is a scalar: one element
  int64_t dim[VC_MAX_DIMS];  // outermost first
  void *data;                // row-major, little-endian; may be unaligned when it lies in a mapped file
} vc_tensor;

// Bytes of one element; 0 for a value that is no dtype.
size_t vc_dtype_size(vc_dtype dtype);

// "F32", "BF16", ... as safetensors spells them; "?" for a value that is no dtype.
const char *vc_dtype_name(vc_dtype dtype);

// False when `name` is no dtype of safetensors that this engine knows.
bool vc_dtype_parse(const char *name, vc_dtype *out);

// Elements of a shape; false when a dimension is negative or the byte count does not fit in size_t.
bool vc_shape_count(const int64_t *dim, int rank, vc_dtype dtype, size_t *count, size_t *bytes);

size_t vc_tensor_count(const vc_tensor *tensor);
size_t vc_tensor_bytes(const vc_tensor *tensor);

// Allocates zeroed data (64-byte aligned) for the shape. vc_tensor_free releases it and clears the struct.
vc_status vc_tensor_new(vc_tensor *out, vc_dtype dtype, int rank, const int64_t *dim, vc_error *error);
void vc_tensor_free(vc_tensor *tensor);

// Writes "[2, 3, 64]" into text and returns it.
const char *vc_shape_text(const int64_t *dim, int rank, char *text, size_t size);

// count elements of any dtype, at any alignment, to float or double; BOOL and integers by value.
void vc_to_float(float *out, const void *in, vc_dtype dtype, size_t count);
void vc_to_double(double *out, const void *in, vc_dtype dtype, size_t count);

// Whether none of count F32, F16 or BF16 elements, at any alignment, is a NaN or an infinity.
bool vc_finite(const void *in, vc_dtype dtype, size_t count);

// count floats to F32, F16 or BF16, rounded to nearest even. Other dtypes are a programmer's error (assert).
void vc_from_float(void *out, vc_dtype dtype, const float *in, size_t count);

float vc_half_to_float(uint16_t half);
uint16_t vc_float_to_half(float value);
float vc_bfloat_to_float(uint16_t bfloat);
uint16_t vc_float_to_bfloat(float value);

#ifdef __cplusplus
}
#endif
#endif
