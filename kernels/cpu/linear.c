// Linear layers: one tile product an item, straight from the activations, without copies. The weight is packed as
// [c0 + c1, rows of the layer], so that the second input's part follows the first's.
#include "kernels/cpu/cpu.h"

typedef struct job {
  const vc_linear *op;
  const vc_cpu_vector *loops;
  vc_cpu_tiling tiling;
} job;

static vc_status multiply(const vc_linear *op, const vc_cpu_part *part, int64_t column, float *product) {
  int64_t ldb = op->epilogue.activation == VC_ACT_GEGLU ? 2 * op->c_out : op->c_out;
  const float *weight = (const float *)op->weight + column;
  vc_status status = vc_cpu_product(part->m, part->n, op->c[0], (const float *)op->x[0] + part->row * op->x_stride,
                                    op->x_stride, weight, ldb, false, product, part->n);
  if (status != VC_OK || op->c[1] == 0) return status;
  return vc_cpu_product(part->m, part->n, op->c[1], (const float *)op->x[1] + part->row * op->c[1], op->c[1],
                        weight + op->c[0] * ldb, ldb, true, product, part->n);
}

static vc_status work(void *context, int64_t item, void *scratch) {
  const job *j = context;
  const vc_linear *op = j->op;
  vc_cpu_part part = vc_cpu_part_of(&j->tiling, item);
  float *product = scratch, *gate = NULL;
  vc_status status = multiply(op, &part, part.column, product);
  if (status == VC_OK && op->epilogue.activation == VC_ACT_GEGLU) {
    gate = product + VC_CPU_TILE_ROWS * VC_CPU_TILE_COLUMNS;
    status = multiply(op, &part, op->c_out + part.column, gate);
  }
  if (status == VC_OK) vc_cpu_epilogue(j->loops, &op->epilogue, &part, op->c_out, product, gate, op->out);
  return status;
}

vc_status vc_cpu_linear_prepare(const vc_linear *op, size_t *workspace, vc_error *error) {
  *workspace = 0;
  return vc_op_check_linear(op, error);
}

vc_status vc_cpu_linear(vc_device *device, const vc_linear *op, vc_error *error) {
  job j = {.op = op, .loops = vc_cpu_loops(device), .tiling = vc_cpu_tile(op->rows, op->c_out)};
  vc_status status = vc_op_check_epilogue(&op->epilogue, true, error);
  if (status != VC_OK) return vc_fail_in(error, status, "op linear");
  status = vc_cpu_parallel(device, j.tiling.row_tiles * j.tiling.column_tiles, work, &j);
  return vc_cpu_failed(status, VC_OP_LINEAR, error);
}
