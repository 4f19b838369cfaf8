// Linear layers and convolutions: their arguments are checked and one of the implementations is picked, by rule or,
// when the device was opened so, by measurement as a plan is made.
//
// A choice is made in _prepare, remembered by shape, and looked up at every launch. Pointers are not known before: an
// implementation that cannot run with those of a launch is then replaced by the best of our own, which all can.
#include "kernels/cuda/choose.h"

#include <string.h>

#define FLOPS_TO_MEASURE 1e6  // below, launching is all that takes time

// ---- checking

static vc_status check(vc_op_kind kind, const void *op, vc_error *error) {
  switch (kind) {
    case VC_OP_LINEAR:
      return vc_op_check_linear(op, error);
    case VC_OP_CONV:
      return vc_op_check_conv(op, error);
    default:
      return vc_fail(error, VC_UNSUPPORTED, "there is one implementation");
  }
}

// ---- the implementations

// Ours from the one that is preferred to the one that fits everything; then the vendor's.
static const vc_cuda_variant own[] = {VC_CUDA_WGMMA, VC_CUDA_MMA, VC_CUDA_SIMT};

vc_cuda_variant vc_cuda_vendor_of(vc_op_kind kind) {
  return kind == VC_OP_LINEAR ? VC_CUDA_CUBLASLT : VC_CUDA_CUDNN;
}

#define PAIR(kind, variant) ((kind)*VC_CUDA_VARIANTS + (variant))
#define ALL_PAIRS(X)                    \
  X(LINEAR, SIMT, linear, simt)         \
  X(LINEAR, MMA, linear, mma)           \
  X(LINEAR, WGMMA, linear, wgmma)       \
  X(LINEAR, CUBLASLT, linear, cublaslt) \
  X(CONV, SIMT, conv, simt)             \
  X(CONV, MMA, conv, mma)               \
  X(CONV, WGMMA, conv, wgmma)           \
  X(CONV, CUDNN, conv, cudnn)

bool vc_cuda_fits(const vc_device *d, vc_op_kind kind, vc_cuda_variant variant, const void *op) {
#define FITS(KIND, VARIANT, kind_, variant_)  \
  case PAIR(VC_OP_##KIND, VC_CUDA_##VARIANT): \
    return vc_cuda_##kind_##_##variant_##_fits(d, op);
  switch (PAIR((int)kind, (int)variant)) { ALL_PAIRS(FITS) }
  return false;
}

vc_status vc_cuda_run(vc_device *d, vc_op_kind kind, vc_cuda_variant variant, const void *op, vc_error *error) {
#define RUN(KIND, VARIANT, kind_, variant_)   \
  case PAIR(VC_OP_##KIND, VC_CUDA_##VARIANT): \
    return vc_cuda_##kind_##_##variant_(d, op, error);
  switch (PAIR((int)kind, (int)variant)) { ALL_PAIRS(RUN) }
  return vc_fail(error, VC_UNSUPPORTED, "there is no such implementation");
}

size_t vc_cuda_variant_workspace(const vc_device *d, vc_op_kind kind, vc_cuda_variant variant, const void *op) {
  switch (PAIR((int)kind, (int)variant)) {
    case PAIR(VC_OP_LINEAR, VC_CUDA_MMA):
      return vc_cuda_linear_mma_workspace(d, op);
    case PAIR(VC_OP_LINEAR, VC_CUDA_WGMMA):
      return vc_cuda_linear_wgmma_workspace(d, op);
    case PAIR(VC_OP_CONV, VC_CUDA_MMA):
      return vc_cuda_conv_mma_workspace(d, op);
    case PAIR(VC_OP_CONV, VC_CUDA_WGMMA):
      return vc_cuda_conv_wgmma_workspace(d, op);
  }
  return 0;  // the vendors' libraries share the device's
}

// ---- choosing

static void add_to_key(vc_cuda_key *key, int count, const int64_t *value) {
  memcpy(key->value + key->dims, value, (size_t)count * sizeof *value);
  key->dims += count;
}

vc_cuda_key vc_cuda_key_of(vc_op_kind kind, const void *arguments) {
  vc_cuda_key key = {.dims = 1, .value = {VC_CUDA_MEMO_CHOICE}};
  const vc_linear *l = arguments;
  const vc_conv *c = arguments;
  const vc_epilogue *e = kind == VC_OP_LINEAR ? &l->epilogue : &c->epilogue;
  add_to_key(&key, 3, (int64_t[]){*(const vc_dtype *)arguments, e->activation, e->rows_per_addend > 0});
  if (kind == VC_OP_LINEAR) {
    add_to_key(&key, 5, (int64_t[]){l->rows, l->c[0], l->c[1], l->x_stride, l->c_out});
    return key;
  }
  add_to_key(&key, 6, (int64_t[]){c->n, c->f, c->h, c->w, c->c[0], c->c[1]});
  add_to_key(&key, 6, (int64_t[]){c->upsample, c->groups, c->f_out, c->h_out, c->w_out, c->c_out});
  for (int i = 0; i < 3; i++) add_to_key(&key, 4, (int64_t[]){c->kernel[i], c->stride[i], c->dilation[i], c->pad[i]});
  return key;
}

double vc_cuda_flops(vc_op_kind kind, const void *arguments) {
  if (kind == VC_OP_LINEAR) {
    const vc_linear *op = arguments;
    double halves = op->epilogue.activation == VC_ACT_GEGLU ? 2 : 1;
    return 2.0 * halves * (double)op->rows * (double)op->c_out * (double)(op->c[0] + op->c[1]);
  }
  const vc_conv *op = arguments;
  double pixels = (double)op->n * (double)op->f_out * (double)op->h_out * (double)op->w_out;
  double taps = (double)(op->kernel[0] * op->kernel[1] * op->kernel[2]);
  return 2.0 * pixels * (double)op->c_out * (double)((op->c[0] + op->c[1]) / op->groups) * taps;
}

static vc_cuda_variant own_variant(const vc_device *d, vc_op_kind kind, const void *op) {
  for (size_t i = 0; i < sizeof own / sizeof *own; i++)
    if (vc_cuda_fits(d, kind, own[i], op)) return own[i];
  return VC_CUDA_VARIANTS;
}

// The library can run it and has a description of it, which is made now if need be.
static bool vendor_is_ready(vc_device *d, vc_op_kind kind, const void *op) {
  if (!vc_cuda_fits(d, kind, vc_cuda_vendor_of(kind), op)) return false;
  return kind == VC_OP_LINEAR ? vc_cuda_linear_cublaslt_ready(d, op) : vc_cuda_conv_cudnn_ready(d, op);
}

static vc_cuda_variant choose(vc_device *d, vc_op_kind kind, const void *op) {
  vc_cuda_variant candidate[3] = {own_variant(d, kind, op)};
  int count = 1;
  if (d->library == VC_CUDA_OWN || candidate[0] == VC_CUDA_VARIANTS) return candidate[0];
  if (d->library == VC_CUDA_VENDOR) return vendor_is_ready(d, kind, op) ? vc_cuda_vendor_of(kind) : candidate[0];
  if (vc_cuda_flops(kind, op) < FLOPS_TO_MEASURE) return candidate[0];
  // SIMT is no rival of ours on tensor cores.
  if (candidate[0] == VC_CUDA_WGMMA && vc_cuda_fits(d, kind, VC_CUDA_MMA, op)) candidate[count++] = VC_CUDA_MMA;
  if (vendor_is_ready(d, kind, op)) candidate[count++] = vc_cuda_vendor_of(kind);
  return count == 1 ? candidate[0] : vc_cuda_measure(d, kind, op, candidate, count);
}

// For what was never prepared: launches measure nothing.
static vc_cuda_variant by_rule(const vc_device *d, vc_op_kind kind, const void *op) {
  vc_cuda_variant vendor = vc_cuda_vendor_of(kind);
  return d->library == VC_CUDA_VENDOR && vc_cuda_fits(d, kind, vendor, op) ? vendor : own_variant(d, kind, op);
}

// What was chosen for this shape, or would be by rule, if that can run with these pointers.
static vc_cuda_variant chosen(const vc_device *d, vc_op_kind kind, const void *op) {
  vc_cuda_key key = vc_cuda_key_of(kind, op);
  const vc_cuda_chosen_variant *kept = vc_cuda_recall(d, kind, key.value, key.dims);
  if (!kept) return by_rule(d, kind, op);
  return vc_cuda_fits(d, kind, kept->variant, op) ? kept->variant : own_variant(d, kind, op);
}

// A choice that comes from a file may be another one's.
static bool still_good(vc_device *d, vc_op_kind kind, vc_cuda_variant variant, const void *op) {
  return variant == vc_cuda_vendor_of(kind) ? vendor_is_ready(d, kind, op) : vc_cuda_fits(d, kind, variant, op);
}

static vc_status prepare(vc_device *d, vc_op_kind kind, const void *op, size_t *workspace, vc_error *error) {
  *workspace = 0;
  vc_status status = check(kind, op, error);
  if (status) return status;
  if (own_variant(d, kind, op) == VC_CUDA_VARIANTS)
    return vc_fail(error, VC_UNSUPPORTED, "no kernel can run these arguments");
  bool is_new;
  vc_cuda_key key = vc_cuda_key_of(kind, op);
  vc_cuda_chosen_variant *kept = vc_cuda_remember(d, kind, key.value, key.dims, sizeof *kept, &is_new);
  if (!kept) return vc_fail(error, VC_NO_MEMORY, "no memory for a choice of kernel");
  if (is_new || !still_good(d, kind, kept->variant, op)) kept->variant = choose(d, kind, op);
  // Enough for each of ours: pointers may rule out the chosen one, and tests and benchmarks run all.
  for (size_t i = 0; i < sizeof own / sizeof *own; i++) {
    if (!vc_cuda_fits(d, kind, own[i], op)) continue;
    size_t bytes = vc_cuda_variant_workspace(d, kind, own[i], op);
    if (bytes > *workspace) *workspace = bytes;
  }
  return VC_OK;
}

static vc_status run(vc_device *d, vc_op_kind kind, const void *op, vc_error *error) {
  vc_status status = check(kind, op, error);
  if (status) return vc_fail_in(error, status, "op %s", vc_op_name(kind));
  vc_cuda_variant variant = chosen(d, kind, op);
  if (variant == VC_CUDA_VARIANTS)
    return vc_fail(error, VC_UNSUPPORTED, "op %s: no kernel can run these arguments", vc_op_name(kind));
  return vc_cuda_run(d, kind, variant, op, error);
}

vc_status vc_cuda_linear_prepare(vc_device *d, const vc_linear *op, size_t *workspace, vc_error *error) {
  return prepare(d, VC_OP_LINEAR, op, workspace, error);
}

vc_status vc_cuda_linear(vc_device *d, const vc_linear *op, vc_error *error) {
  return run(d, VC_OP_LINEAR, op, error);
}

vc_status vc_cuda_conv_prepare(vc_device *d, const vc_conv *op, size_t *workspace, vc_error *error) {
  return prepare(d, VC_OP_CONV, op, workspace, error);
}

vc_status vc_cuda_conv(vc_device *d, const vc_conv *op, vc_error *error) {
  return run(d, VC_OP_CONV, op, error);
}

const char *vc_cuda_chosen(const vc_device *d, vc_op_kind kind, const void *op) {
  if (kind != VC_OP_LINEAR && kind != VC_OP_CONV) return vc_cuda_variant_names[VC_CUDA_SIMT];
  vc_cuda_variant variant = chosen(d, kind, op);
  return variant == VC_CUDA_VARIANTS ? "none" : vc_cuda_variant_names[variant];
}

vc_status vc_cuda_run_variant(vc_device *d, vc_op_kind kind, const char *name, const void *op, vc_error *error) {
  vc_status status = check(kind, op, error);
  if (status) return vc_fail_in(error, status, "op %s", vc_op_name(kind));
  for (int i = 0; i < VC_CUDA_VARIANTS; i++)
    if (!strcmp(vc_cuda_variant_names[i], name) && vc_cuda_fits(d, kind, (vc_cuda_variant)i, op))
      return vc_cuda_run(d, kind, (vc_cuda_variant)i, op, error);
  return vc_fail(error, VC_UNSUPPORTED, "op %s: %s cannot run these arguments", vc_op_name(kind), name);
}
