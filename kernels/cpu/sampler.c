// Guidance and the sampler's update in one pass over the latent.
#include <string.h>

#include "kernels/cpu/cpu.h"

enum { ITEM_VALUES = 8192, BLOCK = 512 };

// `count` values from number `from` on. What may be missing has loops of its own, so that the long one is vectorised.
static void update(const vc_sampler *op, const vc_sampler_row row, int64_t from, int64_t count) {
  const float *cond = (const float *)op->eps + from, *uncond = op->guided ? cond + op->count : NULL;
  const float *noise = op->noise && row.noise != 0 ? op->noise + *op->step * op->count + from : NULL;
  float *latent = op->x + from, *m1 = op->m1 + from, *m2 = op->m2 + from, *last = op->x_last + from;
  float eps[BLOCK], next[BLOCK];
  for (int64_t i = 0; i < count; i++) eps[i] = cond[i];
  if (uncond) {
    for (int64_t i = 0; i < count; i++) eps[i] = uncond[i] + op->guidance * (eps[i] - uncond[i]);
  }
  INDEPENDENT for (int64_t i = 0; i < count; i++) {
    float x = latent[i], one = m1[i], two = m2[i];
    float m0 = row.x0[0] * x + row.x0[1] * eps[i];
    float corrected = row.corrected[0] * x + row.corrected[1] * last[i] + row.corrected[2] * m0 +
                      row.corrected[3] * one + row.corrected[4] * two;
    next[i] = row.next[0] * corrected + row.next[1] * m0 + row.next[2] * one + row.next[3] * two + row.next[4] * eps[i];
    last[i] = corrected;
    m2[i] = one;
    m1[i] = m0;
  }
  if (noise) {
    for (int64_t i = 0; i < count; i++) next[i] += row.noise * noise[i];
  }
  memcpy(latent, next, (size_t)count * sizeof *next);
  memcpy((float *)op->input + from, next, (size_t)count * sizeof *next);
}

static vc_status work(void *context, int64_t item, void *scratch) {
  (void)scratch;
  const vc_sampler *op = context;
  int64_t from = item * ITEM_VALUES, to = op->count - from < ITEM_VALUES ? op->count : from + ITEM_VALUES;
  for (; from < to; from += BLOCK) update(op, op->table[*op->step], from, to - from < BLOCK ? to - from : BLOCK);
  return VC_OK;
}

vc_status vc_cpu_sampler_prepare(const vc_sampler *op, size_t *workspace, vc_error *error) {
  *workspace = 0;
  if (!vc_op_sizes(2, (int64_t[]){2, op->count}))
    return vc_fail(error, VC_INVALID, "%lld elements", (long long)op->count);
  return VC_OK;
}

vc_status vc_cpu_sampler(vc_device *device, const vc_sampler *op, vc_error *error) {
  vc_sampler copy = *op;
  vc_status status = vc_cpu_parallel(device, (op->count + ITEM_VALUES - 1) / ITEM_VALUES, work, &copy);
  return vc_cpu_failed(status, VC_OP_SAMPLER, error);
}
