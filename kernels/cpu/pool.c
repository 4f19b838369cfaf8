// Adaptive average pool: one output row of pixels an item.
#include "kernels/cpu/cpu.h"

typedef struct span {
  int64_t from, to;
} span;

static span window(int64_t i, int64_t in, int64_t out) {
  return (span){i * in / out, ((i + 1) * in + out - 1) / out};
}

static vc_status work(void *context, int64_t item, void *scratch) {
  (void)scratch;
  const vc_pool *op = context;
  int64_t frame = item / op->h_out;
  span y = window(item % op->h_out, op->h, op->h_out);
  for (int64_t i = 0; i < op->w_out; i++) {
    span x = window(i, op->w, op->w_out);
    float *out = (float *)op->out + (item * op->w_out + i) * op->c;
    for (int64_t k = 0; k < op->c; k++) out[k] = 0;
    for (int64_t row = y.from; row < y.to; row++)
      for (int64_t column = x.from; column < x.to; column++) {
        const float *in = (const float *)op->x + ((frame * op->h + row) * op->w + column) * op->c;
        for (int64_t k = 0; k < op->c; k++) out[k] += in[k];
      }
    float count = (float)((y.to - y.from) * (x.to - x.from));
    for (int64_t k = 0; k < op->c; k++) out[k] /= count;
  }
  return VC_OK;
}

vc_status vc_cpu_pool_prepare(const vc_pool *op, size_t *workspace, vc_error *error) {
  *workspace = 0;
  // The products i * in of window() are below in * out.
  if (!vc_op_sizes(4, (int64_t[]){op->frames, op->h, op->w, op->c}) ||
      !vc_op_sizes(4, (int64_t[]){op->frames, op->h_out, op->w_out, op->c}) ||
      !vc_op_sizes(3, (int64_t[]){2, op->h, op->h_out}) || !vc_op_sizes(3, (int64_t[]){2, op->w, op->w_out}))
    return vc_fail(error, VC_INVALID, "[%lld %lld %lld %lld] to %lld x %lld is empty or too large",
                   (long long)op->frames, (long long)op->h, (long long)op->w, (long long)op->c, (long long)op->h_out,
                   (long long)op->w_out);
  return VC_OK;
}

vc_status vc_cpu_pool(vc_device *device, const vc_pool *op, vc_error *error) {
  vc_pool copy = *op;
  return vc_cpu_failed(vc_cpu_parallel(device, op->frames * op->h_out, work, &copy), VC_OP_POOL, error);
}
