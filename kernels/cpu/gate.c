// Rows times one number each.
#include "kernels/cpu/cpu.h"

enum { ITEM_VALUES = 16384 };

typedef struct job {
  const vc_gate *op;
  const vc_cpu_vector *loops;
  int64_t rows;  // of an item
} job;

static vc_status work(void *context, int64_t item, void *scratch) {
  (void)scratch;
  const job *j = context;
  const vc_gate *op = j->op;
  int64_t from = item * j->rows, to = op->rows - from < j->rows ? op->rows : from + j->rows;
  for (int64_t r = from; r < to; r++)
    j->loops->scale((float *)op->out + r * op->c, (const float *)op->x + r * op->c, ((const float *)op->gate)[r],
                    op->c);
  return VC_OK;
}

vc_status vc_cpu_gate_prepare(const vc_gate *op, size_t *workspace, vc_error *error) {
  *workspace = 0;
  if (!vc_op_sizes(2, (int64_t[]){op->rows, op->c}))
    return vc_fail(error, VC_INVALID, "[%lld %lld] is empty or too large", (long long)op->rows, (long long)op->c);
  return VC_OK;
}

vc_status vc_cpu_gate(vc_device *device, const vc_gate *op, vc_error *error) {
  job j = {.op = op, .loops = vc_cpu_loops(device), .rows = op->c < ITEM_VALUES ? ITEM_VALUES / op->c : 1};
  return vc_cpu_failed(vc_cpu_parallel(device, (op->rows + j.rows - 1) / j.rows, work, &j), VC_OP_GATE, error);
}
