// Matrix products and what stands around them: oneDNN's sgemm for one tile on one thread, the cutting into tiles, and
// the epilogue that a tile gets while it is in the cache.
//
// Tiles of 256 x 320 with K in full and W stored as [K, columns] run at 100 to 110 GFLOP/s of a Zen 4 core's 115 at
// every shape of the released model. 128 and 192 rows are as good; 160 columns and W as [columns, K] are 5 to 10 %
// slower.
#include <dnnl.h>

#include "kernels/cpu/cpu.h"

vc_status vc_cpu_product(int64_t m, int64_t n, int64_t k, const float *a, int64_t lda, const float *b, int64_t ldb,
                         bool accumulate, float *c, int64_t ldc) {
  dnnl_status_t status = dnnl_sgemm('N', 'N', m, n, k, 1.0f, a, lda, b, ldb, accumulate ? 1.0f : 0.0f, c, ldc);
  return status == dnnl_success ? VC_OK : status == dnnl_out_of_memory ? VC_NO_MEMORY : VC_FAILED;
}

static int64_t pieces(int64_t total, int64_t piece) {
  return (total + piece - 1) / piece;
}

vc_cpu_tiling vc_cpu_tile(int64_t rows, int64_t columns) {
  vc_cpu_tiling t = {.rows = rows, .columns = columns};
  t.column_tiles = pieces(columns, VC_CPU_TILE_COLUMNS);
  t.tile_columns = (pieces(columns, t.column_tiles) + 31) / 32 * 32;
  t.column_tiles = pieces(columns, t.tile_columns);
  t.tile_rows = VC_CPU_TILE_ROWS;
  // Small results are cut finer, so that there is work for many threads.
  while (t.tile_rows > 64 && pieces(rows, t.tile_rows) * t.column_tiles < 16) t.tile_rows /= 2;
  t.row_tiles = pieces(rows, t.tile_rows);
  return t;
}

vc_cpu_part vc_cpu_part_of(const vc_cpu_tiling *t, int64_t item) {
  vc_cpu_part part;
  // Rows first: the tiles that are worked on at the same time share their part of the weight.
  part.row = item % t->row_tiles * t->tile_rows;
  part.column = item / t->row_tiles * t->tile_columns;
  part.m = t->rows - part.row < t->tile_rows ? t->rows - part.row : t->tile_rows;
  part.n = t->columns - part.column < t->tile_columns ? t->columns - part.column : t->tile_columns;
  return part;
}

// Bias and addend of one row's columns, summed; zeros where there is neither.
static void shift_of(const vc_epilogue *e, const vc_cpu_part *part, int64_t row, int64_t c_out, float *shift) {
  const float *addend = e->addend;
  if (addend) {
    addend += row / e->rows_per_addend * c_out + part->column;
    if (e->addend_step) addend += e->addend_step * *e->step;
  }
  for (int64_t i = 0; i < part->n; i++) {
    float bias = e->bias ? e->bias[part->column + i] : 0;
    shift[i] = addend ? bias + addend[i] : bias;
  }
}

void vc_cpu_epilogue(const vc_cpu_vector *loops, const vc_epilogue *e, const vc_cpu_part *part, int64_t c_out,
                     const float *product, const float *gate, float *out) {
  float shift[VC_CPU_TILE_COLUMNS], gate_shift[VC_CPU_TILE_COLUMNS];
  int64_t changes = part->row;  // the row at which the addend changes
  if (gate) {
    for (int64_t i = 0; i < part->n; i++) gate_shift[i] = e->bias ? e->bias[c_out + part->column + i] : 0;
  }
  for (int64_t r = part->row; r < part->row + part->m; r++) {
    if (r == changes) {
      shift_of(e, part, r, c_out, shift);
      changes = e->addend ? (r / e->rows_per_addend + 1) * e->rows_per_addend : part->row + part->m;
    }
    int64_t at = r * c_out + part->column;
    const float *residual = e->residual ? (const float *)e->residual + at : NULL;
    if (gate)
      loops->geglu(out + at, product, shift, gate, gate_shift, residual, part->n);
    else
      loops->activate(out + at, product, shift, e->activation, residual, part->n);
    product += part->n;
    if (gate) gate += part->n;
  }
}
