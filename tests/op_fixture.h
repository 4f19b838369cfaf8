// What the tests of the ops share: filled buffers, guarded outputs, and the run of one op on every configuration of
// every backend of this build against expected values in double.
//
// Environment, for work on one kernel: OP_ONLY=words runs only the configurations whose name holds the words ("cpu",
// "cuda", "sm_80", "vendor", "F16"), OP_CASE=words only the cases whose name does. Nothing else is checked then.
#ifndef VC_TESTS_OP_FIXTURE_H
#define VC_TESTS_OP_FIXTURE_H

#include <stddef.h>

#include "kernels/ops.h"

// count floats in -1 .. 1 times scale, plus mean; the same for the same seed. Every one can be stored in F16 and BF16
// without rounding, so that one expected value serves all dtypes. The caller frees.
float *op_values(uint32_t seed, size_t count, float scale, float mean);

// The same with all the bits of F32.
float *op_values_fine(uint32_t seed, size_t count, float scale, float mean);

// An activation in double, GEGLU aside.
double op_activated(vc_activation activation, double v);

// What an op should write through one of its pointers.
typedef struct op_result {
  size_t out_at;       // offsetof the pointer
  const double *want;  // [count]; NaN where NaN is expected, or, of a copy, where nothing may be written
  size_t count;
} op_result;

// One op to be run and checked. `op` is its argument struct in F32 and host memory, complete but for `out` and
// `workspace`; weights come from op_packed or op_pack.
typedef struct op_check {
  const char *name;
  vc_op_kind kind;
  const void *op;
  size_t out_at;  // the first result
  const double *want;
  size_t count;
  const op_result *also;  // the others: of ops that write several tensors
  int also_count;
  size_t in_place_at;  // offsetof the input that shall lie where the first result goes, or 0
  double tolerance;    // of the relative L2 error in F32; an element may be off by 20 times that of the largest one
  bool f32_only;       // the inputs, or what is asked of them, need more bits than half precision has
  // Of linear and conv whose inputs cannot be stored in BF16 as they are: what is wanted of the CPU with a weight in
  // BF16.
  const double *want_bf16;
} op_check;

// Runs the op on the CPU with 1, 2, 3 and 5 threads and every instruction set that the machine has, linear and conv
// with weights in F32 and in BF16 (by F32's tolerance: all that differs is the order of sums); and on what the build
// has of CUDA in F32, F16 and BF16, with every buffer copied to the device as it should be. Checks the values, that
// nothing beside the outputs is written, that every element is, that the bytes are always the same (for all thread
// counts, in a second run, recorded and replayed), and that the launch is counted.
void op_check_run(const op_check *check);

// The relative L2 error; NaN when one side has a NaN where the other has none.
double op_error(const float *got, const double *want, size_t count);

// The inner loops for an instruction set from now on; false when the machine does not have it.
bool op_use(vc_device *device, const char *set);

// prepare() must refuse it with `status` and a message that holds `words` and the op's name. CUDA must refuse it too,
// in words of its own, unless it is only the dtype that the CPU does not have.
void op_check_refused(vc_op_kind kind, const void *op, vc_status status, const char *words);

// Packs one fp32 matrix or kernel; the caller frees. kernel NULL: a linear layer's [rows, columns].
void *op_packed(const float *weight, int64_t rows, int64_t columns, const int64_t *kernel);

// The same for any parameter from one source. The memory is the CPU backend's; op_pack_of gives the description back
// (with the values, which are kept beside it) for other backends to pack, and NULL for memory that is not of these.
void *op_pack(const vc_pack *pack);
const vc_pack *op_pack_of(const void *packed);

#endif
