// Guidance and the sampler's update in one pass over the latent.
#include "kernels/cpu/cpu.h"

enum { ITEM_VALUES = 8192 };

static vc_status work(void *context, int64_t item, void *scratch) {
  (void)scratch;
  const vc_sampler *op = context;
  const vc_sampler_row *row = op->table + *op->step;
  const float *cond = op->eps, *uncond = op->guided ? cond + op->count : NULL;
  const float *noise = op->noise ? op->noise + *op->step * op->count : NULL;
  int64_t from = item * ITEM_VALUES, to = op->count - from < ITEM_VALUES ? op->count : from + ITEM_VALUES;
  for (int64_t i = from; i < to; i++) {
    float eps = uncond ? uncond[i] + op->guidance * (cond[i] - uncond[i]) : cond[i];
    float x = op->x[i], m1 = op->m1[i], m2 = op->m2[i];
    float m0 = row->x0[0] * x + row->x0[1] * eps;
    float corrected = row->corrected[0] * x + row->corrected[1] * op->x_last[i] + row->corrected[2] * m0 +
                      row->corrected[3] * m1 + row->corrected[4] * m2;
    float next =
        row->next[0] * corrected + row->next[1] * m0 + row->next[2] * m1 + row->next[3] * m2 + row->next[4] * eps;
    if (noise && row->noise != 0) next += row->noise * noise[i];
    op->x_last[i] = corrected;
    op->m2[i] = m1;
    op->m1[i] = m0;
    op->x[i] = next;
    ((float *)op->input)[i] = next;
  }
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
