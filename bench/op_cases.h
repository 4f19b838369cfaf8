// The distinct ops of a plan: what there is to measure, and how often each occurs.
#ifndef VC_BENCH_OP_CASES_H
#define VC_BENCH_OP_CASES_H

#include "bench/op_text.h"

typedef struct vc_op_case {
  vc_op_kind kind;
  vc_op_arguments arguments;  // as in bench/op_text.h: without memory
  char text[VC_OP_TEXT_MAX];
  int in_step, in_prologue;  // times that the plan has it
  char module[160];          // of the first of them; empty when the shape was given by hand
} vc_op_case;

typedef struct vc_op_cases {
  vc_op_case *item;
  int count;
} vc_op_cases;

// Of a plan of any kind, also one that cannot run. In the order in which they first occur. The caller frees.
vc_status vc_op_cases_of_plan(vc_op_cases *out, const vc_plan *plan, vc_error *error);

// Of a text as vc_op_text writes it; added behind what is there.
vc_status vc_op_cases_add_text(vc_op_cases *cases, const char *text, vc_error *error);

// Keeps those whose text or module contains `filter`, and drops those of the prologue alone unless `prologue`.
void vc_op_cases_filter(vc_op_cases *cases, const char *filter, bool prologue);

void vc_op_cases_free(vc_op_cases *cases);

#endif
