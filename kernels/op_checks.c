#include "kernels/op_checks.h"

#include <string.h>

enum {
  AXIS_MAX = 1 << 30,  // of every size, so that positions along an axis fit in int64_t with much to spare
  KERNEL_MAX = 64,     // and stride, of a transposed convolution
};

bool vc_op_sizes(int count, const int64_t *size) {
  int64_t product = sizeof(float);
  for (int i = 0; i < count; i++)
    if (size[i] < 1 || __builtin_mul_overflow(product, size[i], &product)) return false;
  return (uint64_t)product <= (uint64_t)PTRDIFF_MAX;
}

vc_dtype vc_op_dtype(const void *arguments) {
  vc_dtype dtype;
  memcpy(&dtype, arguments, sizeof dtype);
  return dtype;
}

vc_dtype vc_op_weight_dtype(vc_op_kind kind, const void *arguments) {
  if (kind == VC_OP_LINEAR) return ((const vc_linear *)arguments)->weight_dtype;
  if (kind == VC_OP_CONV) return ((const vc_conv *)arguments)->weight_dtype;
  return vc_op_dtype(arguments);
}

vc_status vc_op_check_epilogue(const vc_epilogue *e, bool geglu_allowed, vc_error *error) {
  if ((unsigned)e->activation > VC_ACT_GEGLU)
    return vc_fail(error, VC_INVALID, "%d is no activation", (int)e->activation);
  if (e->activation == VC_ACT_GEGLU && !geglu_allowed)
    return vc_fail(error, VC_UNSUPPORTED, "GEGLU is no epilogue of this op");
  if (e->addend && e->activation == VC_ACT_GEGLU) return vc_fail(error, VC_UNSUPPORTED, "an addend beside GEGLU");
  if (e->addend && e->rows_per_addend < 1)
    return vc_fail(error, VC_INVALID, "an addend for every %lld rows", (long long)e->rows_per_addend);
  return VC_OK;
}

vc_status vc_op_check_linear(const vc_linear *op, vc_error *error) {
  int64_t stride = op->x_stride;
  if (op->c[1] < 0 || stride < op->c[0] || !vc_op_sizes(2, (int64_t[]){op->rows, op->c[0]}) ||
      !vc_op_sizes(2, (int64_t[]){op->rows, stride}) || !vc_op_sizes(3, (int64_t[]){2, op->rows, op->c_out}) ||
      op->c[0] > INT64_MAX / 2 - op->c[1] || !vc_op_sizes(3, (int64_t[]){16, op->c_out, op->c[0] + op->c[1]}) ||
      (op->c[1] && !vc_op_sizes(2, (int64_t[]){op->rows, op->c[1]})))
    return vc_fail(error, VC_INVALID, "%lld rows (stride %lld), %lld + %lld channels to %lld", (long long)op->rows,
                   (long long)stride, (long long)op->c[0], (long long)op->c[1], (long long)op->c_out);
  return vc_op_check_epilogue(&op->epilogue, true, error);
}

static bool sizes_fit(const vc_conv *op) {
  const int64_t bounded[] = {op->f,         op->h,         op->w,           op->f_out,       op->h_out,
                             op->w_out,     op->kernel[0], op->kernel[1],   op->kernel[2],   op->stride[0],
                             op->stride[1], op->stride[2], op->dilation[0], op->dilation[1], op->dilation[2]};
  for (size_t i = 0; i < sizeof bounded / sizeof *bounded; i++)
    if (bounded[i] < 1 || bounded[i] > AXIS_MAX) return false;
  for (int i = 0; i < 3; i++)
    if (op->pad[i] < 0 || op->pad[i] > AXIS_MAX) return false;
  if (op->c[0] < 1 || op->c[1] < 0 || op->c[0] > AXIS_MAX || op->c[1] > AXIS_MAX) return false;
  int64_t c = op->c[0] + op->c[1];
  return vc_op_sizes(5, (int64_t[]){op->n, op->f, op->h, op->w, c}) &&
         vc_op_sizes(5, (int64_t[]){op->n, op->f_out, op->h_out, op->w_out, op->c_out}) &&
         vc_op_sizes(6, (int64_t[]){8, op->kernel[0], op->kernel[1], op->kernel[2], c, op->c_out});
}

vc_status vc_op_check_conv(const vc_conv *op, vc_error *error) {
  if (!sizes_fit(op))
    return vc_fail(error, VC_INVALID,
                   "[%lld %lld %lld %lld %lld + %lld] to [%lld %lld %lld %lld]: a size is not positive or too large",
                   (long long)op->n, (long long)op->f, (long long)op->h, (long long)op->w, (long long)op->c[0],
                   (long long)op->c[1], (long long)op->f_out, (long long)op->h_out, (long long)op->w_out,
                   (long long)op->c_out);
  if (op->upsample != 1 && op->upsample != 2)
    return vc_fail(error, VC_UNSUPPORTED, "enlarging by %d; 1 and 2 are there", op->upsample);
  if (op->groups != 1 && (op->groups != op->c[0] || op->c_out != op->c[0] || op->c[1] != 0))
    return vc_fail(error, VC_UNSUPPORTED, "%lld groups of %lld channels to %lld; 1 group and depthwise are there",
                   (long long)op->groups, (long long)(op->c[0] + op->c[1]), (long long)op->c_out);
  if (op->kernel[0] > VC_TAPS_MAX || op->kernel[1] > VC_TAPS_MAX || op->kernel[2] > VC_TAPS_MAX ||
      op->kernel[0] * op->kernel[1] * op->kernel[2] > VC_TAPS_MAX)
    return vc_fail(error, VC_UNSUPPORTED, "a kernel of more than %d taps", VC_TAPS_MAX);
  return vc_op_check_epilogue(&op->epilogue, false, error);
}

static bool axis_fits(int64_t in, int64_t out, const vc_conv_transpose *op) {
  return in >= 1 && in <= AXIS_MAX && out >= 1 && out == (in - 1) * op->stride - 2 * op->pad + op->kernel;
}

vc_status vc_op_check_conv_transpose(const vc_conv_transpose *op, vc_error *error) {
  if (op->kernel < 1 || op->stride < 1 || op->pad < 0 || op->kernel > KERNEL_MAX || op->stride > KERNEL_MAX ||
      op->pad >= op->kernel)
    return vc_fail(error, VC_UNSUPPORTED,
                   "a kernel of %lld, stride %lld, padding %lld; both up to %d are there, and less padding than kernel",
                   (long long)op->kernel, (long long)op->stride, (long long)op->pad, KERNEL_MAX);
  if (!axis_fits(op->h, op->h_out, op) || !axis_fits(op->w, op->w_out, op) ||
      !vc_op_sizes(4, (int64_t[]){op->frames, op->h, op->w, op->c}) ||
      !vc_op_sizes(4, (int64_t[]){op->frames, op->h_out, op->w_out, op->c_out}) ||
      !vc_op_sizes(5, (int64_t[]){8, op->kernel, op->kernel, op->c, op->c_out}))
    return vc_fail(error, VC_INVALID, "[%lld %lld %lld %lld] to [%lld %lld %lld]: the sizes do not fit",
                   (long long)op->frames, (long long)op->h, (long long)op->w, (long long)op->c, (long long)op->h_out,
                   (long long)op->w_out, (long long)op->c_out);
  if ((unsigned)op->activation >= VC_ACT_GEGLU)
    return vc_fail(error, VC_UNSUPPORTED, "%d is no activation of this op", (int)op->activation);
  return VC_OK;
}

int64_t vc_pack_taps(const vc_pack *p) {
  return p->layout == VC_LAYOUT_CONV ? p->kernel[0] * p->kernel[1] * p->kernel[2] : 1;
}

vc_status vc_op_check_pack(const vc_pack *p, vc_error *error) {
  if ((unsigned)p->layout > VC_LAYOUT_CONV) return vc_fail(error, VC_INVALID, "%d is no layout", (int)p->layout);
  bool conv = p->layout == VC_LAYOUT_CONV;
  if (!vc_op_sizes(6, (int64_t[]){8, p->rows, p->columns, conv ? p->kernel[0] : 1, conv ? p->kernel[1] : 1,
                                  conv ? p->kernel[2] : 1}))
    return vc_fail(error, VC_INVALID, "a parameter of %lld x %lld values is empty or too large", (long long)p->rows,
                   (long long)p->columns);
  if (p->stacked < 1 || p->stacked > VC_STACK_MAX || (p->stacked > 1 && p->transposed))
    return vc_fail(error, VC_UNSUPPORTED, "%d sources joined%s", p->stacked, p->transposed ? " and transposed" : "");
  if (p->transposed && p->layout != VC_LAYOUT_LINEAR && !conv)
    return vc_fail(error, VC_UNSUPPORTED, "only matrices and kernels can be packed transposed");
  if (vc_pack_taps(p) > VC_TAPS_MAX)
    return vc_fail(error, VC_UNSUPPORTED, "a kernel of more than %d taps", VC_TAPS_MAX);
  return VC_OK;
}

vc_status vc_op_check_sources(const vc_pack *p, int64_t counts[VC_STACK_MAX], vc_error *error) {
  size_t total = 0, wanted = (size_t)(p->rows * p->columns * vc_pack_taps(p));
  for (int i = 0; i < p->stacked; i++) {
    const vc_tensor *s = &p->source[i];
    size_t count, bytes;
    if (s->dtype != VC_F32 && s->dtype != VC_F16 && s->dtype != VC_BF16)
      return vc_fail(error, VC_UNSUPPORTED, "a parameter in %s; F32, F16 and BF16 can be packed",
                     vc_dtype_name(s->dtype));
    if (!s->data || !vc_shape_count(s->dim, s->rank, s->dtype, &count, &bytes) || count > wanted ||
        count % (wanted / (size_t)p->rows))
      return vc_fail(error, VC_INVALID, "source %d of a parameter does not fit its %lld x %lld values", i,
                     (long long)p->rows, (long long)p->columns);
    counts[i] = (int64_t)count;
    total += count;
  }
  if (total != wanted)
    return vc_fail(error, VC_INVALID, "the sources have %zu values, the parameter %zu", total, wanted);
  return VC_OK;
}
