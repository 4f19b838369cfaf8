// Group norm and layer norm. Every mean and variance is taken in two passes: rough means first, then sums and squares
// of what is left, which are exact enough for a mean of 30 with a deviation of 1e-3; blocks are merged in double.
//
// Memory traffic of a group norm: the input twice and the output once, a block's second pass being in the cache.
#include <math.h>

#include "kernels/cpu/cpu.h"

enum {
  BLOCK_VALUES = 32768,  // of a block of rows: 128 KB, so that its second pass reads the L2 cache
  BLOCK_ROWS = 256,      // at most, which bounds the error of an fp32 sum down a column
  CHANNELS_MAX = VC_CPU_SCRATCH / 4 / (int)sizeof(float),
};

typedef struct moments {
  double mean, squares;  // squares: sum of (x - mean)^2
} moments;

typedef struct job {
  const vc_group_norm *op;
  const vc_cpu_vector *loops;
  int64_t c, block_rows, blocks;  // blocks a frame
  moments *part;                  // [frames, blocks, groups]
  float *center, *scale, *shift;  // [frames, c]
} job;

static int64_t rows_of(const job *j, int64_t block) {
  int64_t left = j->op->rows - block * j->block_rows;
  return left < j->block_rows ? left : j->block_rows;
}

static void sums(const job *j, int64_t first_row, int64_t rows, const float *center, float *sum, float *square) {
  for (int i = 0, at = 0; i < 2; at += (int)j->op->c[i++])
    if (j->op->c[i])
      j->loops->column_sums((const float *)j->op->x[i] + first_row * j->op->c[i], rows, j->op->c[i], center + at,
                            sum + at, square + at, j->op->c[i]);
}

// Moments of one block of rows, by group.
static vc_status measure(void *context, int64_t item, void *scratch) {
  const job *j = context;
  int64_t block = item % j->blocks, rows = rows_of(j, block), wide = j->c / j->op->groups;
  int64_t first_row = item / j->blocks * j->op->rows + block * j->block_rows;
  float *center = scratch, *sum = center + j->c, *square = sum + j->c;
  for (int64_t i = 0; i < j->c; i++) center[i] = 0;
  sums(j, first_row, rows, center, sum, square);
  for (int64_t i = 0; i < j->c; i++) center[i] = sum[i] / (float)rows;
  sums(j, first_row, rows, center, sum, square);
  for (int64_t g = 0; g < j->op->groups; g++) {
    moments m = {0, 0};
    for (int64_t i = g * wide; i < (g + 1) * wide; i++) m.mean += (double)center[i] + (double)sum[i] / (double)rows;
    m.mean /= (double)wide;
    for (int64_t i = g * wide; i < (g + 1) * wide; i++) {
      double rest = (double)sum[i] / (double)rows, away = (double)center[i] + rest - m.mean;
      m.squares += (double)square[i] + (double)rows * (away * away - rest * rest);
    }
    j->part[item * j->op->groups + g] = m;
  }
  return VC_OK;
}

// Merges the blocks of one frame into the map of its channels. The center is the mean rounded to float; what the
// rounding left over goes into the shift.
static vc_status merge(void *context, int64_t frame, void *scratch) {
  (void)scratch;
  const job *j = context;
  const moments *part = j->part + frame * j->blocks * j->op->groups;
  int64_t wide = j->c / j->op->groups;
  for (int64_t g = 0; g < j->op->groups; g++) {
    double mean = 0, squares = 0;
    for (int64_t b = 0; b < j->blocks; b++) mean += (double)rows_of(j, b) * part[b * j->op->groups + g].mean;
    mean /= (double)j->op->rows;
    for (int64_t b = 0; b < j->blocks; b++) {
      const moments *m = part + b * j->op->groups + g;
      squares += m->squares + (double)(rows_of(j, b) * wide) * (m->mean - mean) * (m->mean - mean);
    }
    double variance = squares / (double)(j->op->rows * wide);
    double rate = 1 / sqrt((variance < 0 ? 0 : variance) + (double)j->op->eps);
    float center = (float)mean;
    for (int64_t i = g * wide, at = frame * j->c + i; i < (g + 1) * wide; i++, at++) {
      double scale = rate * (double)j->op->gamma[i];
      j->center[at] = center;
      j->scale[at] = (float)scale;
      j->shift[at] = (float)((double)j->op->beta[i] - (mean - (double)center) * scale);
    }
  }
  return VC_OK;
}

static vc_status apply(void *context, int64_t item, void *scratch) {
  (void)scratch;
  const job *j = context;
  const vc_group_norm *op = j->op;
  int64_t frame = item / j->blocks, block = item % j->blocks, rows = rows_of(j, block);
  int64_t first_row = frame * op->rows + block * j->block_rows;
  for (int64_t r = first_row; r < first_row + rows; r++) {
    float *out = (float *)op->out + r * j->c;
    int64_t at = frame * j->c;
    for (int i = 0; i < 2; i++) {
      if (op->c[i])
        j->loops->normalize(out, (const float *)op->x[i] + r * op->c[i], j->center + at, j->scale + at, j->shift + at,
                            op->silu, op->c[i]);
      out += op->c[i];
      at += op->c[i];
    }
  }
  return VC_OK;
}

// A frame of one block: all of it while it is in the cache.
static vc_status whole(void *context, int64_t frame, void *scratch) {
  measure(context, frame, scratch);
  merge(context, frame, scratch);
  return apply(context, frame, scratch);
}

static int64_t block_rows(const vc_group_norm *op) {
  int64_t rows = BLOCK_VALUES / (op->c[0] + op->c[1]);
  return rows < 1 ? 1 : rows > BLOCK_ROWS ? BLOCK_ROWS : rows;
}

vc_status vc_cpu_group_norm_prepare(const vc_group_norm *op, size_t *workspace, vc_error *error) {
  if (op->c[0] < 1 || op->c[1] < 0 || op->c[0] > CHANNELS_MAX || op->c[1] > CHANNELS_MAX - op->c[0] ||
      !vc_op_sizes(3, (int64_t[]){op->frames, op->rows, op->c[0] + op->c[1]}))
    return vc_fail(error, VC_INVALID, "[%lld %lld %lld + %lld] is empty or too large", (long long)op->frames,
                   (long long)op->rows, (long long)op->c[0], (long long)op->c[1]);
  int64_t c = op->c[0] + op->c[1], rows = block_rows(op), blocks = (op->rows + rows - 1) / rows;
  if (op->groups < 1 || c % op->groups)
    return vc_fail(error, VC_INVALID, "%lld channels in %lld groups", (long long)c, (long long)op->groups);
  size_t parts, maps;
  if (!vc_mul_size((size_t)(op->frames * blocks), (size_t)op->groups * sizeof(moments), &parts) ||
      !vc_mul_size((size_t)op->frames, (size_t)c * 3 * sizeof(float), &maps) || !vc_add_size(parts, maps, workspace))
    return vc_fail(error, VC_INVALID, "[%lld %lld %lld] is too large", (long long)op->frames, (long long)op->rows,
                   (long long)c);
  return VC_OK;
}

vc_status vc_cpu_group_norm(vc_device *device, const vc_group_norm *op, vc_error *error) {
  job j = {.op = op, .loops = vc_cpu_loops(device), .c = op->c[0] + op->c[1], .block_rows = block_rows(op)};
  j.blocks = (op->rows + j.block_rows - 1) / j.block_rows;
  j.part = op->workspace;
  j.center = (float *)(j.part + op->frames * j.blocks * op->groups);
  j.scale = j.center + op->frames * j.c;
  j.shift = j.scale + op->frames * j.c;
  if (j.blocks == 1) return vc_cpu_failed(vc_cpu_parallel(device, op->frames, whole, &j), VC_OP_GROUP_NORM, error);
  vc_status status = vc_cpu_parallel(device, op->frames * j.blocks, measure, &j);
  if (status == VC_OK) status = vc_cpu_parallel(device, op->frames, merge, &j);
  if (status == VC_OK) status = vc_cpu_parallel(device, op->frames * j.blocks, apply, &j);
  return vc_cpu_failed(status, VC_OP_GROUP_NORM, error);
}

typedef struct layer_job {
  const vc_layer_norm *op;
  const vc_cpu_vector *loops;
  int64_t rows;  // of an item
} layer_job;

static vc_status layer_work(void *context, int64_t item, void *scratch) {
  (void)scratch;
  const layer_job *j = context;
  const vc_layer_norm *op = j->op;
  int64_t from = item * j->rows, to = op->rows - from < j->rows ? op->rows : from + j->rows;
  for (int64_t r = from; r < to; r++)
    j->loops->layer_norm((float *)op->out + r * op->c, (const float *)op->x + r * op->c, op->gamma, op->beta, op->eps,
                         op->c);
  return VC_OK;
}

vc_status vc_cpu_layer_norm_prepare(const vc_layer_norm *op, size_t *workspace, vc_error *error) {
  *workspace = 0;
  if (!vc_op_sizes(2, (int64_t[]){op->rows, op->c}))
    return vc_fail(error, VC_INVALID, "[%lld %lld] is empty or too large", (long long)op->rows, (long long)op->c);
  return VC_OK;
}

vc_status vc_cpu_layer_norm(vc_device *device, const vc_layer_norm *op, vc_error *error) {
  int64_t rows = BLOCK_VALUES / op->c;
  layer_job j = {.op = op, .loops = vc_cpu_loops(device), .rows = rows < 1 ? 1 : rows};
  vc_status status = vc_cpu_parallel(device, (op->rows + j.rows - 1) / j.rows, layer_work, &j);
  return vc_cpu_failed(status, VC_OP_LAYER_NORM, error);
}
