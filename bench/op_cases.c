#include "bench/op_cases.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/lower.h"

static const void *present(bool there) {
  return there ? vc_op_present : NULL;
}

static void mark_epilogue(vc_epilogue *e, const vc_node *node) {
  *e = (vc_epilogue){.bias = present(node->bias != VC_NONE),
                     .addend = present(e->rows_per_addend > 0),
                     .rows_per_addend = e->rows_per_addend,
                     .activation = e->activation,
                     .residual = present(node->residual != VC_NONE)};
}

// A plan without memory has NULL for every operand; which there are, its nodes tell.
static void mark_operands(vc_plan_op *op, const vc_node *node) {
  vc_op_arguments *a = &op->arguments;
  if (op->kind == VC_OP_LINEAR) mark_epilogue(&a->linear.epilogue, node);
  if (op->kind == VC_OP_CONV) mark_epilogue(&a->conv.epilogue, node);
  if (op->kind == VC_OP_CONV_TRANSPOSE) a->conv_transpose.bias = present(node->bias != VC_NONE);
  if (op->kind == VC_OP_SAMPLER) a->sampler.noise = present(node->sampler.noise != VC_NONE);
}

static vc_status add(vc_op_cases *cases, const vc_op_case *one, vc_error *error) {
  for (int i = 0; i < cases->count; i++) {
    vc_op_case *there = &cases->item[i];
    if (strcmp(there->text, one->text)) continue;
    there->in_step += one->in_step;
    there->in_prologue += one->in_prologue;
    return VC_OK;
  }
  vc_op_case *grown = realloc(cases->item, (size_t)(cases->count + 1) * sizeof *grown);
  if (!grown) return vc_fail(error, VC_NO_MEMORY, "no memory for a list of ops");
  cases->item = grown;
  cases->item[cases->count++] = *one;
  return VC_OK;
}

vc_status vc_op_cases_of_plan(vc_op_cases *out, const vc_plan *plan, vc_error *error) {
  const vc_graph *g = plan->graph;
  vc_plan without = *plan;  // lowered as if it had no memory
  without.arena = NULL;
  without.parameters = NULL;
  *out = (vc_op_cases){0};
  vc_status status = VC_OK;
  for (int i = 0; i < g->nodes && !status; i++) {
    vc_plan_op op[VC_LOWER_MAX];
    if (g->node[i].dead) continue;
    int ops = vc_lower(&without, i, op);
    for (int k = 0; k < ops && !status; k++) {
      mark_operands(&op[k], &g->node[i]);
      vc_op_case one = {.kind = op[k].kind,
                        .arguments = op[k].arguments,
                        .in_step = op[k].rate == VC_RATE_STEP,
                        .in_prologue = op[k].rate == VC_RATE_VIDEO};
      vc_op_text(one.kind, &one.arguments, one.text);
      snprintf(one.module, sizeof one.module, "%s", op[k].label);
      status = add(out, &one, error);
    }
  }
  if (status) vc_op_cases_free(out);
  return status;
}

vc_status vc_op_cases_add_text(vc_op_cases *cases, const char *text, vc_error *error) {
  vc_op_case one = {.in_step = 0};
  vc_status status = vc_op_parse(text, &one.kind, &one.arguments, error);
  if (status) return status;
  vc_op_text(one.kind, &one.arguments, one.text);
  return add(cases, &one, error);
}

void vc_op_cases_filter(vc_op_cases *cases, const char *filter, bool prologue) {
  int kept = 0;
  for (int i = 0; i < cases->count; i++) {
    const vc_op_case *one = &cases->item[i];
    if (!prologue && one->in_prologue && !one->in_step) continue;
    if (filter && !strstr(one->text, filter) && !strstr(one->module, filter)) continue;
    cases->item[kept++] = *one;
  }
  cases->count = kept;
}

void vc_op_cases_free(vc_op_cases *cases) {
  free(cases->item);
  *cases = (vc_op_cases){0};
}
