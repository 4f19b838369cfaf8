// The operands of an op: what it reads and writes, and what that and its arithmetic come to.
#ifndef VC_BENCH_OP_OPERANDS_H
#define VC_BENCH_OP_OPERANDS_H

#include "engine/plan.h"

typedef enum vc_operand_role {
  VC_OPERAND_INPUT,
  VC_OPERAND_WEIGHT,  // packed by the backend
  VC_OPERAND_OUTPUT,
  VC_OPERAND_STATE,  // in and out
} vc_operand_role;

typedef struct vc_operand {
  vc_operand_role role;
  size_t at;  // where the arguments have its pointer
  vc_element element;
  double count;    // elements that it spans
  double touched;  // elements of it that the op reads or writes, once each
  float scale, mean;
} vc_operand;

enum { VC_OPERANDS_MAX = 16 };

// The operands of an op whose arguments are as in bench/op_text.h. The result is at most VC_OPERANDS_MAX.
int vc_op_operands(vc_op_kind kind, const vc_op_arguments *arguments, vc_operand out[VC_OPERANDS_MAX]);

// Bytes of one element where this backend computes in `dtype`.
size_t vc_operand_element_size(const vc_operand *operand, const vc_backend *backend, vc_dtype dtype);

// Multiply-adds count twice; 0 for what has hardly any. As in vc_plan_op.
double vc_op_flops(vc_op_kind kind, const vc_op_arguments *arguments);

// Bytes of all operands, each moved once.
double vc_op_bytes(vc_op_kind kind, const vc_op_arguments *arguments, const vc_backend *backend, vc_dtype dtype);

#endif
