// Linear layers: one tile product an item. In fp32 it is taken straight from the activations, without copies; the
// weight is packed as [c0 + c1, rows of the layer], so that the second input's part follows the first's. With a weight
// in bf16 the inputs are rounded, and joined, in a slab.
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

static void fill_slab(const job *j, const vc_cpu_part *part, int64_t k0, int64_t k1, uint16_t *slab) {
  const vc_linear *op = j->op;
  int64_t border = op->c[0], ld = (k1 - k0 + 1) / 2 * 2;
  int64_t end = k1 < border ? k1 : border, first = end > k0 ? end - k0 : 0;  // values of the first input
  for (int64_t r = part->row; r < part->row + part->m; r++, slab += ld) {
    if (first) j->loops->round_bf16(slab, (const float *)op->x[0] + r * op->x_stride + k0, first);
    if (k1 > border)
      j->loops->round_bf16(slab + first, (const float *)op->x[1] + r * op->c[1] + k0 + first - border, k1 - k0 - first);
    if (ld > k1 - k0) slab[k1 - k0] = 0;
  }
}

static vc_status work_bf16(void *context, int64_t item, void *scratch) {
  const job *j = context;
  const vc_linear *op = j->op;
  vc_cpu_bf16 *memory = scratch;
  vc_cpu_part part = vc_cpu_part_of(&j->tiling, item);
  int64_t k_all = op->c[0] + op->c[1], step = vc_cpu_slab_k(k_all);
  bool gated = op->epilogue.activation == VC_ACT_GEGLU;
  vc_status status = VC_OK;
  for (int64_t k = 0; k < k_all && status == VC_OK; k += step) {
    vc_cpu_slab slab = {op->weight, part.m, k, k_all - k < step ? k_all : k + step, k_all};
    fill_slab(j, &part, slab.k0, slab.k1, memory->slab);
    status = vc_cpu_product_bf16(j->loops, memory, &slab, part.column, part.n, memory->product);
    if (status == VC_OK && gated)
      status = vc_cpu_product_bf16(j->loops, memory, &slab, op->c_out + part.column, part.n, memory->gate);
  }
  if (status != VC_OK) return status;
  vc_cpu_settle_bf16(memory->product, part.m, part.column, part.n);
  if (gated) vc_cpu_settle_bf16(memory->gate, part.m, op->c_out + part.column, part.n);
  vc_cpu_epilogue(j->loops, &op->epilogue, &part, op->c_out, memory->product, gated ? memory->gate : NULL, op->out);
  return VC_OK;
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
  status = vc_cpu_parallel(device, j.tiling.row_tiles * j.tiling.column_tiles,
                           op->weight_dtype == VC_BF16 ? work_bf16 : work, &j);
  return vc_cpu_failed(status, VC_OP_LINEAR, error);
}
