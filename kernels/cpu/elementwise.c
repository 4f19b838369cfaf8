// Activations, sums of conditions, strided copies, table look-ups, timestep embeddings.
#include <math.h>
#include <string.h>

#include "kernels/cpu/cpu.h"

enum { ITEM_VALUES = 16384, SHIFT = 512 };

static const float zeros[SHIFT];

typedef struct job {
  const void *op;
  const vc_cpu_vector *loops;
  int64_t total, step;  // what there is, and how much of it an item does
} job;

static vc_status run(vc_device *device, vc_op_kind kind, const void *op, int64_t total, int64_t width, vc_cpu_work work,
                     vc_error *error) {
  job j = {.op = op, .loops = vc_cpu_loops(device), .total = total, .step = ITEM_VALUES / width};
  if (j.step < 1) j.step = 1;
  vc_status status = vc_cpu_parallel(device, (total + j.step - 1) / j.step, work, &j);
  return vc_cpu_failed(status, kind, error);
}

static int64_t end_of(const job *j, int64_t item) {
  return j->total - item * j->step < j->step ? j->total : (item + 1) * j->step;
}

static vc_status activate_work(void *context, int64_t item, void *scratch) {
  (void)scratch;
  const job *j = context;
  const vc_activate *op = j->op;
  for (int64_t i = item * j->step, end = end_of(j, item); i < end; i += SHIFT) {
    int64_t n = end - i < SHIFT ? end - i : SHIFT;
    j->loops->activate((float *)op->out + i, (const float *)op->x + i, zeros, op->activation, NULL, n);
  }
  return VC_OK;
}

static vc_status geglu_work(void *context, int64_t item, void *scratch) {
  (void)scratch;
  const job *j = context;
  const vc_activate *op = j->op;
  for (int64_t r = item * j->step; r < end_of(j, item); r++)
    for (int64_t i = 0; i < op->c; i += SHIFT) {
      int64_t n = op->c - i < SHIFT ? op->c - i : SHIFT;
      const float *x = (const float *)op->x + r * 2 * op->c + i;
      j->loops->geglu((float *)op->out + r * op->c + i, x, zeros, x + op->c, zeros, NULL, n);
    }
  return VC_OK;
}

vc_status vc_cpu_activate_prepare(const vc_activate *op, size_t *workspace, vc_error *error) {
  *workspace = 0;
  if (!vc_op_sizes(3, (int64_t[]){2, op->rows, op->c}))
    return vc_fail(error, VC_INVALID, "[%lld %lld] is empty or too large", (long long)op->rows, (long long)op->c);
  if ((unsigned)op->activation > VC_ACT_GEGLU)
    return vc_fail(error, VC_INVALID, "%d is no activation", (int)op->activation);
  return VC_OK;
}

vc_status vc_cpu_activate(vc_device *device, const vc_activate *op, vc_error *error) {
  if (op->activation == VC_ACT_GEGLU) return run(device, VC_OP_ACTIVATION, op, op->rows, op->c, geglu_work, error);
  return run(device, VC_OP_ACTIVATION, op, op->rows * op->c, 1, activate_work, error);
}

// An item is a piece of one frame.
static vc_status sum_work(void *context, int64_t item, void *scratch) {
  (void)scratch;
  const job *j = context;
  const vc_sum *op = j->op;
  int64_t pieces = (op->rows + ITEM_VALUES - 1) / ITEM_VALUES, frame = item / pieces;
  int64_t from = item % pieces * ITEM_VALUES, count = op->rows - from < ITEM_VALUES ? op->rows - from : ITEM_VALUES;
  const float *x[VC_SUM_MAX];
  for (int i = 0; i < op->inputs; i++)
    x[i] = (const float *)op->x[i] + (op->one_frame[i] ? frame / op->f : frame) * op->rows + from;
  float *out = (float *)op->out + frame * op->rows + from;
  for (int64_t k = 0; k < count; k += SHIFT) {  // out may be an input: a block is complete before it is stored
    int64_t n = count - k < SHIFT ? count - k : SHIFT;
    float sum[SHIFT];
    for (int64_t l = 0; l < n; l++) sum[l] = op->scale[0] * x[0][k + l];
    for (int i = 1; i < op->inputs; i++)
      for (int64_t l = 0; l < n; l++) sum[l] += op->scale[i] * x[i][k + l];
    memcpy(out + k, sum, (size_t)n * sizeof *sum);
  }
  return VC_OK;
}

vc_status vc_cpu_sum_prepare(const vc_sum *op, size_t *workspace, vc_error *error) {
  *workspace = 0;
  if (!vc_op_sizes(3, (int64_t[]){op->n, op->f, op->rows}))
    return vc_fail(error, VC_INVALID, "[%lld %lld %lld] is empty or too large", (long long)op->n, (long long)op->f,
                   (long long)op->rows);
  if (op->inputs < 1 || op->inputs > VC_SUM_MAX)
    return vc_fail(error, VC_INVALID, "%d inputs; 1 to %d are there", op->inputs, VC_SUM_MAX);
  return VC_OK;
}

vc_status vc_cpu_sum(vc_device *device, const vc_sum *op, vc_error *error) {
  int64_t pieces = (op->rows + ITEM_VALUES - 1) / ITEM_VALUES;
  return run(device, VC_OP_SUM, op, op->n * op->f * pieces, ITEM_VALUES, sum_work, error);
}

static vc_status copy_work(void *context, int64_t item, void *scratch) {
  (void)scratch;
  const job *j = context;
  const vc_copy *op = j->op;
  for (int64_t i = item * j->step, end = end_of(j, item), to; i < end; i = to) {
    int64_t outer = i / op->rows, row = i % op->rows, rows = op->rows - row;
    if (rows > end - i) rows = end - i;
    to = i + rows;
    float *out = (float *)op->out + outer * op->out_stride_outer + row * op->out_stride_row;
    const float *x = (const float *)op->x + outer % op->x_outer * op->x_stride_outer + row * op->x_stride_row;
    if (op->c == 1)  // maps that are joined: a call a value would be most of the time
      for (int64_t r = 0; r < rows; r++) out[r * op->out_stride_row] = x[r * op->x_stride_row];
    else
      for (int64_t r = 0; r < rows; r++)
        memcpy(out + r * op->out_stride_row, x + r * op->x_stride_row, (size_t)op->c * sizeof(float));
  }
  return VC_OK;
}

vc_status vc_cpu_copy_prepare(const vc_copy *op, size_t *workspace, vc_error *error) {
  *workspace = 0;
  if (!vc_op_sizes(3, (int64_t[]){op->outer, op->rows, op->c}) || op->x_outer < 1)
    return vc_fail(error, VC_INVALID, "[%lld (of %lld) %lld %lld] is empty or too large", (long long)op->outer,
                   (long long)op->x_outer, (long long)op->rows, (long long)op->c);
  return VC_OK;
}

vc_status vc_cpu_copy(vc_device *device, const vc_copy *op, vc_error *error) {
  return run(device, VC_OP_COPY, op, op->outer * op->rows, op->c, copy_work, error);
}

static vc_status gather_work(void *context, int64_t item, void *scratch) {
  (void)scratch;
  const job *j = context;
  const vc_gather *op = j->op;
  for (int64_t i = item * j->step; i < end_of(j, item); i++) {
    const float *row = (const float *)op->table + op->index[i] * op->c;
    float *out = (float *)op->out + i * op->c;
    memcpy(out, row, (size_t)op->c * sizeof *out);
    if (!op->position) continue;
    const float *position = op->position + i % op->positions * op->c;
    for (int64_t k = 0; k < op->c; k++) out[k] += position[k];
  }
  return VC_OK;
}

vc_status vc_cpu_gather_prepare(const vc_gather *op, size_t *workspace, vc_error *error) {
  *workspace = 0;
  if (!vc_op_sizes(2, (int64_t[]){op->count, op->c}) || !vc_op_sizes(2, (int64_t[]){op->entries, op->c}) ||
      op->positions < 0)
    return vc_fail(error, VC_INVALID, "%lld of %lld entries of %lld, %lld positions", (long long)op->count,
                   (long long)op->entries, (long long)op->c, (long long)op->positions);
  return VC_OK;
}

vc_status vc_cpu_gather(vc_device *device, const vc_gather *op, vc_error *error) {
  for (int64_t i = 0; i < op->count; i++)
    if (op->index[i] < 0 || op->index[i] >= op->entries)
      return vc_fail(error, VC_FAILED, "op gather: index %d at place %lld, but the table has %lld entries",
                     op->index[i], (long long)i, (long long)op->entries);
  if (op->position && op->positions < 1) return vc_fail(error, VC_INVALID, "op gather: positions without a length");
  return run(device, VC_OP_GATHER, op, op->count, op->c, gather_work, error);
}

// In double: an angle of 1000 has to be right to fp32.
static vc_status sinusoid_work(void *context, int64_t item, void *scratch) {
  (void)scratch;
  const job *j = context;
  const vc_sinusoid *op = j->op;
  int64_t half = op->c / 2;
  for (int64_t i = item * j->step; i < end_of(j, item); i++) {
    float *out = (float *)op->out + i * op->c;
    for (int64_t k = 0; k < half; k++) {
      double angle = (double)op->t[i] * pow(10000, -(double)k / (double)half);
      out[k] = (float)cos(angle);
      out[half + k] = (float)sin(angle);
    }
  }
  return VC_OK;
}

vc_status vc_cpu_sinusoid_prepare(const vc_sinusoid *op, size_t *workspace, vc_error *error) {
  *workspace = 0;
  if (!vc_op_sizes(2, (int64_t[]){op->count, op->c}) || op->c % 2)
    return vc_fail(error, VC_INVALID, "[%lld %lld] is empty or too large, or its width is odd", (long long)op->count,
                   (long long)op->c);
  return VC_OK;
}

vc_status vc_cpu_sinusoid(vc_device *device, const vc_sinusoid *op, vc_error *error) {
  return run(device, VC_OP_SINUSOID, op, op->count, op->c, sinusoid_work, error);
}
