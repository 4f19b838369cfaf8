// Bilinear resize: one output row of pixels an item. Places are computed in double; the weights are fp32.
#include "kernels/cpu/cpu.h"

// Between pixel `from` and pixel `to`, which is the next or, at the edge, the same.
typedef struct place {
  int64_t from, to;
  float weight;  // of `to`
} place;

static inline place place_of(int64_t i, int64_t in, int64_t out, bool align_corners) {
  double at = 0;
  if (!align_corners)
    at = ((double)i + 0.5) * (double)in / (double)out - 0.5;
  else if (out > 1)
    at = (double)i * (double)(in - 1) / (double)(out - 1);
  if (at < 0) at = 0;
  place p = {.from = (int64_t)at};
  if (p.from > in - 1) p.from = in - 1;
  p.to = p.from < in - 1 ? p.from + 1 : p.from;
  p.weight = (float)(at - (double)p.from);
  return p;
}

static vc_status work(void *context, int64_t item, void *scratch) {
  (void)scratch;
  const vc_resize *op = context;
  place y = place_of(item % op->h_out, op->h, op->h_out, op->align_corners);
  const float *frame = (const float *)op->x + item / op->h_out * op->h * op->w * op->c;
  const float *above = frame + y.from * op->w * op->c, *below = frame + y.to * op->w * op->c;
  float *out = (float *)op->out + item * op->w_out * op->c;
  for (int64_t i = 0; i < op->w_out; i++, out += op->c) {
    place x = place_of(i, op->w, op->w_out, op->align_corners);
    const float *a = above + x.from * op->c, *b = above + x.to * op->c;
    const float *c = below + x.from * op->c, *d = below + x.to * op->c;
    for (int64_t k = 0; k < op->c; k++) {
      float top = (1 - x.weight) * a[k] + x.weight * b[k], bottom = (1 - x.weight) * c[k] + x.weight * d[k];
      out[k] = (1 - y.weight) * top + y.weight * bottom;
    }
  }
  return VC_OK;
}

vc_status vc_cpu_resize_prepare(const vc_resize *op, size_t *workspace, vc_error *error) {
  *workspace = 0;
  if (!vc_op_sizes(4, (int64_t[]){op->frames, op->h, op->w, op->c}) ||
      !vc_op_sizes(4, (int64_t[]){op->frames, op->h_out, op->w_out, op->c}))
    return vc_fail(error, VC_INVALID, "[%lld %lld %lld %lld] to %lld x %lld is empty or too large",
                   (long long)op->frames, (long long)op->h, (long long)op->w, (long long)op->c, (long long)op->h_out,
                   (long long)op->w_out);
  return VC_OK;
}

vc_status vc_cpu_resize(vc_device *device, const vc_resize *op, vc_error *error) {
  vc_resize copy = *op;
  return vc_cpu_failed(vc_cpu_parallel(device, op->frames * op->h_out, work, &copy), VC_OP_RESIZE, error);
}
