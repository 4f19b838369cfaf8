// What the tests of the ops share: filled buffers, guarded outputs, and the run of one op on every configuration of the
// CPU backend against expected values in double.
#ifndef VC_TESTS_OP_FIXTURE_H
#define VC_TESTS_OP_FIXTURE_H

#include <stddef.h>

#include "kernels/ops.h"

// count floats in -1 .. 1 times scale, plus mean; the same for the same seed. The caller frees.
float *op_values(uint32_t seed, size_t count, float scale, float mean);

// An activation in double, GEGLU aside.
double op_activated(vc_activation activation, double v);

// One op to be run and checked. `op` is its argument struct, complete but for `out` and `workspace`.
typedef struct op_check {
  const char *name;
  vc_op_kind kind;
  void *op;
  size_t out_at;        // offsetof the out pointer
  size_t workspace_at;  // offsetof the workspace pointer, or 0 for none
  const double *want;   // [count]; NaN where NaN is expected
  size_t count;
  double tolerance;  // of the relative L2 error; an element may be off by 20 times that of the largest one
} op_check;

// Runs the op with 1, 2, 3 and 5 threads and every instruction set that the machine has. Checks the values, that
// nothing beside the output is written, that every element is, and that all thread counts give the same bytes.
void op_check_run(const op_check *check);

// The relative L2 error; NaN when one side has a NaN where the other has none.
double op_error(const float *got, const double *want, size_t count);

// The inner loops for an instruction set from now on; false when the machine does not have it.
bool op_use(vc_device *device, const char *set);

// prepare() must refuse it with `status` and a message that holds `words`.
void op_check_refused(vc_op_kind kind, const void *op, vc_status status, const char *words);

// Packs one fp32 matrix or kernel; the caller frees. kernel NULL: a linear layer's [rows, columns].
void *op_packed(const float *weight, int64_t rows, int64_t columns, const int64_t *kernel);

#endif
