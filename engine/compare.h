// How far two arrays of numbers are apart.
#ifndef VC_ENGINE_COMPARE_H
#define VC_ENGINE_COMPARE_H

#include "engine/tensor.h"

// Two elements differ when they are not equal as numbers; an element that is NaN or infinite in either array always
// differs. Measures are NaN as soon as one element is not finite, so that no comparison with a limit can pass:
// write `!(measure <= limit)`.
typedef struct vc_difference {
  size_t count;                              // elements
  size_t differing;                          // elements that differ
  size_t first_index;                        // of those, the first; `count` when there is none
  double relative_l2;                        // |result - reference| / |reference|; 0 when nothing differs, infinite
                                             // when the reference is all zeros and the result is not
  double max_abs;                            // largest |result - reference|
  size_t max_index;                          // where; the first element that is not finite, if there is one
  double cosine;                             // of the two arrays as vectors; 1 for two zero vectors, 0 for one
  size_t result_nan, result_infinite;        // elements of the result
  size_t reference_nan, reference_infinite;  // elements of the reference
} vc_difference;

// Compares count elements of any two dtypes at any alignment, exactly where both are integers. Accumulates in double:
// values beyond 1e150 overflow, and then nothing passes.
void vc_compare_arrays(const void *result, vc_dtype result_dtype, const void *reference, vc_dtype reference_dtype,
                       size_t count, vc_difference *out);

// Compares two tensors. VC_FAILED, saying both, when their shapes or dtypes are not the same.
vc_status vc_compare_tensors(const vc_tensor *result, const vc_tensor *reference, vc_difference *out, vc_error *error);

// Writes the index of an element as "[1, 0, 7]" into text and returns it.
const char *vc_index_text(const vc_tensor *tensor, size_t index, char *text, size_t size);

// Share of elements that differ; 0 for empty arrays.
double vc_difference_share(const vc_difference *difference);

#endif
