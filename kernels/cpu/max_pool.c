// Maximum of 2x2 pixels: one output row of pixels an item.
#include "kernels/cpu/cpu.h"

static inline float larger(float a, float b) {
  return b > a || b != b ? b : a;
}

static vc_status work(void *context, int64_t item, void *scratch) {
  (void)scratch;
  const vc_max_pool *op = context;
  int64_t h_out = op->h / 2, w_out = op->w / 2, line = op->w * op->c;
  const float *in = (const float *)op->x + (item / h_out * op->h + item % h_out * 2) * line;
  float *out = (float *)op->out + item * w_out * op->c;
  for (int64_t i = 0; i < w_out; i++, in += 2 * op->c, out += op->c)
    for (int64_t k = 0; k < op->c; k++)
      out[k] = larger(larger(in[k], in[op->c + k]), larger(in[line + k], in[line + op->c + k]));
  return VC_OK;
}

vc_status vc_cpu_max_pool_prepare(const vc_max_pool *op, size_t *workspace, vc_error *error) {
  *workspace = 0;
  if (op->h < 2 || op->w < 2 || !vc_op_sizes(4, (int64_t[]){op->frames, op->h, op->w, op->c}))
    return vc_fail(error, VC_INVALID, "[%lld %lld %lld %lld] is too small or too large", (long long)op->frames,
                   (long long)op->h, (long long)op->w, (long long)op->c);
  return VC_OK;
}

vc_status vc_cpu_max_pool(vc_device *device, const vc_max_pool *op, vc_error *error) {
  vc_max_pool copy = *op;
  return vc_cpu_failed(vc_cpu_parallel(device, op->frames * (op->h / 2), work, &copy), VC_OP_MAX_POOL, error);
}
