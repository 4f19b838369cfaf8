// The table of the CPU backend, and what its ops share when they are checked.
#include <dnnl.h>
#include <stdio.h>
#include <string.h>

#include "kernels/cpu/cpu.h"

vc_status vc_cpu_failed(vc_status status, vc_op_kind kind, vc_error *error) {
  if (status == VC_OK) return VC_OK;
  if (status == VC_NO_MEMORY)
    return vc_fail(error, status, "op %s: no memory for the matrix library's buffers", vc_op_name(kind));
  return vc_fail(error, status, "op %s: the matrix library refused a product", vc_op_name(kind));
}

static vc_status upload(vc_device *device, void *to, const void *from, size_t bytes, vc_error *error) {
  (void)device;
  (void)error;
  if (bytes) memcpy(to, from, bytes);
  return VC_OK;
}

static vc_status done_already(vc_device *device, vc_error *error) {
  (void)device;
  (void)error;
  return VC_OK;
}

static void describe(const vc_device *device, char *text, size_t size) {
  const dnnl_version_t *version = dnnl_version();
  (void)snprintf(text, size, "%s, %d threads, oneDNN %d.%d.%d", vc_cpu_loops(device)->name, vc_cpu_threads(device),
                 version->major, version->minor, version->patch);
}

static vc_dtype activations(vc_dtype dtype) {
  return dtype == VC_BF16 ? VC_F32 : dtype;
}

// The inner loops for one instruction set, and then again those that the device had.
static vc_status run_variant(vc_device *device, vc_op_kind kind, const char *variant, const void *arguments, int times,
                             vc_error *error) {
  const char *chosen = vc_cpu_loops(device)->name;
  if (!strcmp(variant, "avx512_bf16") && vc_op_weight_dtype(kind, arguments) != VC_BF16)
    return vc_fail(error, VC_UNSUPPORTED, "%s is avx512 where no weight is in bf16", variant);
  if (!vc_cpu_use(device, variant)) return vc_fail(error, VC_UNSUPPORTED, "no %s on this machine", variant);
  vc_status status = VC_OK;
  for (int i = 0; i < times && !status; i++) status = vc_op_run(&vc_backend_cpu, device, kind, arguments, error);
  vc_cpu_use(device, chosen);
  return status;
}

static const char *const variants[] = {"avx512_bf16", "avx512", "avx2", "generic", NULL};

static vc_status prepare_kind(vc_op_kind kind, const void *op, size_t *workspace, vc_error *error) {
  switch (kind) {
    case VC_OP_LINEAR:
      return vc_cpu_linear_prepare(op, workspace, error);
    case VC_OP_CONV:
      return vc_cpu_conv_prepare(op, workspace, error);
    case VC_OP_GROUP_NORM:
      return vc_cpu_group_norm_prepare(op, workspace, error);
    case VC_OP_LAYER_NORM:
      return vc_cpu_layer_norm_prepare(op, workspace, error);
    case VC_OP_ATTENTION:
      return vc_cpu_attention_prepare(op, workspace, error);
    case VC_OP_ACTIVATION:
      return vc_cpu_activate_prepare(op, workspace, error);
    case VC_OP_SUM:
      return vc_cpu_sum_prepare(op, workspace, error);
    case VC_OP_COPY:
      return vc_cpu_copy_prepare(op, workspace, error);
    case VC_OP_GATHER:
      return vc_cpu_gather_prepare(op, workspace, error);
    case VC_OP_POOL:
      return vc_cpu_pool_prepare(op, workspace, error);
    case VC_OP_SINUSOID:
      return vc_cpu_sinusoid_prepare(op, workspace, error);
    case VC_OP_SAMPLER:
      return vc_cpu_sampler_prepare(op, workspace, error);
    case VC_OP_CONV_TRANSPOSE:
      return vc_cpu_conv_transpose_prepare(op, workspace, error);
    case VC_OP_MAX_POOL:
      return vc_cpu_max_pool_prepare(op, workspace, error);
    case VC_OP_RESIZE:
      return vc_cpu_resize_prepare(op, workspace, error);
    case VC_OP_GATE:
      return vc_cpu_gate_prepare(op, workspace, error);
    case VC_OP_COUNT:
      break;
  }
  return vc_fail(error, VC_UNSUPPORTED, "the cpu backend has no such op");
}

static vc_status prepare(vc_device *device, vc_op_kind kind, const void *arguments, size_t *workspace,
                         vc_error *error) {
  (void)device;
  *workspace = 0;
  vc_status status = VC_OK;
  if ((unsigned)kind < VC_OP_COUNT) {
    vc_dtype dtype = vc_op_dtype(arguments), weight = vc_op_weight_dtype(kind, arguments);
    if (dtype != VC_F32)
      status =
          vc_fail(error, VC_UNSUPPORTED, "the cpu backend has activations in F32, not in %s", vc_dtype_name(dtype));
    else if (weight != VC_F32 && weight != VC_BF16)
      status = vc_fail(error, VC_UNSUPPORTED, "the cpu backend has weights in F32 and BF16, not in %s",
                       vc_dtype_name(weight));
  }
  if (status == VC_OK) status = prepare_kind(kind, arguments, workspace, error);
  return status == VC_OK ? VC_OK : vc_fail_in(error, status, "op %s", vc_op_name(kind));
}

const vc_backend vc_backend_cpu = {
    .name = "cpu",
    .close = vc_cpu_close,
    .allocate = vc_cpu_allocate,
    .release = vc_cpu_release,
    .upload = upload,
    .download = upload,
    .wait = done_already,
    .describe = describe,
    .variants = variants,
    .run_variant = run_variant,
    .activations = activations,
    .pack_bytes = vc_cpu_pack_bytes,
    .pack = vc_cpu_pack,
    .prepare = prepare,
    .linear = vc_cpu_linear,
    .conv = vc_cpu_conv,
    .group_norm = vc_cpu_group_norm,
    .layer_norm = vc_cpu_layer_norm,
    .attention = vc_cpu_attention,
    .activate = vc_cpu_activate,
    .sum = vc_cpu_sum,
    .copy = vc_cpu_copy,
    .gather = vc_cpu_gather,
    .pool = vc_cpu_pool,
    .sinusoid = vc_cpu_sinusoid,
    .sampler = vc_cpu_sampler,
    .conv_transpose = vc_cpu_conv_transpose,
    .max_pool = vc_cpu_max_pool,
    .resize = vc_cpu_resize,
    .gate = vc_cpu_gate,
};
