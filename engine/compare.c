#include "engine/compare.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { BLOCK = 1024 };

typedef struct sums {
  double error2, result2, reference2, product;
  bool finite;  // of all elements so far
} sums;

static void count_special(double value, size_t *nan, size_t *infinite) {
  if (isnan(value)) ++*nan;
  if (isinf(value)) ++*infinite;
}

// a - b of 64-bit integers that doubles cannot tell apart.
static double exact_error(const unsigned char *result, const unsigned char *reference, size_t index) {
  int64_t a, b;
  memcpy(&a, result + index * sizeof a, sizeof a);
  memcpy(&b, reference + index * sizeof b, sizeof b);
  return a >= b ? (double)((uint64_t)a - (uint64_t)b) : -(double)((uint64_t)b - (uint64_t)a);
}

static void add_element(vc_difference *out, sums *sum, size_t index, double a, double b, double error) {
  if (!isfinite(a) || !isfinite(b)) {
    count_special(a, &out->result_nan, &out->result_infinite);
    count_special(b, &out->reference_nan, &out->reference_infinite);
    if (sum->finite) out->max_index = index;
    sum->finite = false;
  } else {
    sum->error2 += error * error;
    sum->result2 += a * a;
    sum->reference2 += b * b;
    sum->product += a * b;
    if (error == 0) return;
    if (sum->finite && fabs(error) > out->max_abs) {
      out->max_abs = fabs(error);
      out->max_index = index;
    }
  }
  if (!out->differing++) out->first_index = index;
}

static void finish(vc_difference *out, const sums *sum) {
  if (!sum->finite) {
    out->relative_l2 = out->max_abs = out->cosine = NAN;
    return;
  }
  double result = sqrt(sum->result2), reference = sqrt(sum->reference2);
  bool overflow = isinf(result) || isinf(reference);
  if (!out->differing)
    out->relative_l2 = 0;
  else if (overflow)
    out->relative_l2 = NAN;
  else
    out->relative_l2 = reference > 0 ? sqrt(sum->error2) / reference : INFINITY;
  if (overflow)
    out->cosine = NAN;
  else if (result > 0 && reference > 0)
    out->cosine = sum->product / result / reference;
  else
    out->cosine = result > 0 || reference > 0 ? 0 : 1;
}

void vc_compare_arrays(const void *result, vc_dtype result_dtype, const void *reference, vc_dtype reference_dtype,
                       size_t count, vc_difference *out) {
  *out = (vc_difference){.count = count, .first_index = count};
  sums sum = {.finite = true};
  // Wider than any other integer, so only a pair of these needs more than a double holds.
  bool wide = result_dtype == VC_I64 && reference_dtype == VC_I64;
  size_t result_size = vc_dtype_size(result_dtype), reference_size = vc_dtype_size(reference_dtype);
  double a[BLOCK], b[BLOCK];
  for (size_t first = 0; first < count; first += BLOCK) {
    size_t n = count - first < BLOCK ? count - first : BLOCK;
    vc_to_double(a, (const char *)result + first * result_size, result_dtype, n);
    vc_to_double(b, (const char *)reference + first * reference_size, reference_dtype, n);
    for (size_t i = 0; i < n; i++)
      add_element(out, &sum, first + i, a[i], b[i], wide ? exact_error(result, reference, first + i) : a[i] - b[i]);
  }
  finish(out, &sum);
}

vc_status vc_compare_tensors(const vc_tensor *result, const vc_tensor *reference, vc_difference *out, vc_error *error) {
  char a[128], b[128];
  if (result->rank != reference->rank ||
      memcmp(result->dim, reference->dim, (size_t)result->rank * sizeof *result->dim))
    return vc_fail(error, VC_FAILED, "shape %s, expected %s", vc_shape_text(result->dim, result->rank, a, sizeof a),
                   vc_shape_text(reference->dim, reference->rank, b, sizeof b));
  if (result->dtype != reference->dtype)
    return vc_fail(error, VC_FAILED, "dtype %s, expected %s", vc_dtype_name(result->dtype),
                   vc_dtype_name(reference->dtype));
  vc_compare_arrays(result->data, result->dtype, reference->data, reference->dtype, vc_tensor_count(reference), out);
  return VC_OK;
}

const char *vc_index_text(const vc_tensor *tensor, size_t index, char *text, size_t size) {
  int64_t at[VC_MAX_DIMS];
  for (int i = tensor->rank - 1; i >= 0; i--) {
    size_t dim = tensor->dim[i] > 0 ? (size_t)tensor->dim[i] : 1;
    at[i] = (int64_t)(index % dim);
    index /= dim;
  }
  return vc_shape_text(at, tensor->rank, text, size);
}

double vc_difference_share(const vc_difference *difference) {
  return difference->count ? (double)difference->differing / (double)difference->count : 0;
}
