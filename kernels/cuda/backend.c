// The table of the CUDA backend, recording, and what its launchers share.
#include <nvtx3/nvToolsExt.h>
#include <stdio.h>
#include <string.h>

#include "kernels/cuda/cuda.h"

unsigned vc_cuda_blocks(int64_t items, int64_t each, int64_t limit) {
  int64_t blocks = (items + each - 1) / each;
  if (blocks > limit) blocks = limit;
  return blocks < 1 ? 1 : (unsigned)blocks;
}

vc_status vc_cuda_launched(vc_device *d, vc_op_kind kind, vc_cuda_variant variant, cudaError_t code, vc_error *error) {
  if (code == cudaSuccess) code = cudaGetLastError();
  if (code != cudaSuccess) return vc_cuda_check(code, vc_op_name(kind), error);
  d->dispatched[kind][variant]++;
  return VC_OK;
}

void vc_cuda_range_push(const char *name) {
  nvtxRangePushA(name);
}

void vc_cuda_range_pop(void) {
  nvtxRangePop();
}

static void range(vc_device *device, const char *name) {
  (void)device;
  if (name)
    vc_cuda_range_push(name);
  else
    vc_cuda_range_pop();
}

static size_t peak(const vc_device *device) {
  return device->peak + VC_CUDA_WORKSPACE;
}

static void describe(const vc_device *d, char *text, size_t size) {
  (void)snprintf(text, size, "%s, sm_%d%d, %d multiprocessors", d->name, d->major, d->minor, d->multiprocessors);
}

static const char *const variants[] = {"simt", "mma", "wgmma", "cublaslt", "cudnn", NULL};

static vc_status run_variant(vc_device *d, vc_op_kind kind, const char *variant, const void *arguments, int times,
                             vc_error *error) {
  vc_status status = VC_OK;
  for (int i = 0; i < times && !status; i++) status = vc_cuda_run_variant(d, kind, variant, arguments, error);
  return status;
}

static vc_status load_choices(vc_device *d, const char *path, vc_error *error) {
  int loaded;
  return vc_cuda_choices_load(d, path, &loaded, error);
}

static vc_status download(vc_device *d, void *to, const void *from, size_t bytes, vc_error *error) {
  if (!bytes) return VC_OK;
  return vc_cuda_check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, d->stream), "a copy", error);
}

static vc_status wait(vc_device *d, vc_error *error) {
  int32_t fault = 0;
  vc_status status = vc_cuda_check(cudaMemcpyAsync(&fault, d->fault, sizeof fault, cudaMemcpyDeviceToHost, d->stream),
                                   "a copy", error);
  if (!status) status = vc_cuda_check(cudaStreamSynchronize(d->stream), "waiting for the GPU", error);
  if (status || !fault) return status;
  cudaMemsetAsync(d->fault, 0, sizeof fault, d->stream);
  return vc_fail(error, VC_FAILED, "op gather: index %d lies outside the table", fault ^ INT32_MIN);
}

// ---- recording

static vc_status record_begin(vc_device *d, vc_error *error) {
  return vc_cuda_check(cudaStreamBeginCapture(d->stream, cudaStreamCaptureModeThreadLocal), "recording a step", error);
}

static vc_status record_end(vc_device *d, void **record, vc_error *error) {
  cudaGraph_t graph = NULL;
  cudaGraphExec_t exec = NULL;
  *record = NULL;
  vc_status status = vc_cuda_check(cudaStreamEndCapture(d->stream, &graph), "recording a step", error);
  if (!status) status = vc_cuda_check(cudaGraphInstantiate(&exec, graph, 0), "making a graph of a step", error);
  if (graph) cudaGraphDestroy(graph);
  if (!status) *record = exec;
  return status;
}

static vc_status replay(vc_device *d, void *record, vc_error *error) {
  return vc_cuda_check(cudaGraphLaunch(record, d->stream), "replaying a step", error);
}

static void forget(vc_device *d, void *record) {
  (void)d;
  if (record) cudaGraphExecDestroy(record);
}

// ---- checking

static vc_status prepare_kind(vc_device *d, vc_op_kind kind, const void *op, size_t *workspace, vc_error *error) {
#define PREPARE(KIND, name) \
  case KIND:                \
    return vc_cuda_##name##_prepare(d, op, workspace, error)
  switch (kind) {
    PREPARE(VC_OP_LINEAR, linear);
    PREPARE(VC_OP_CONV, conv);
    PREPARE(VC_OP_GROUP_NORM, group_norm);
    PREPARE(VC_OP_LAYER_NORM, layer_norm);
    PREPARE(VC_OP_ATTENTION, attention);
    PREPARE(VC_OP_ACTIVATION, activate);
    PREPARE(VC_OP_SUM, sum);
    PREPARE(VC_OP_COPY, copy);
    PREPARE(VC_OP_GATHER, gather);
    PREPARE(VC_OP_POOL, pool);
    PREPARE(VC_OP_SINUSOID, sinusoid);
    PREPARE(VC_OP_SAMPLER, sampler);
    PREPARE(VC_OP_CONV_TRANSPOSE, conv_transpose);
    PREPARE(VC_OP_MAX_POOL, max_pool);
    PREPARE(VC_OP_RESIZE, resize);
    PREPARE(VC_OP_GATE, gate);
    case VC_OP_COUNT:
      break;
  }
#undef PREPARE
  return vc_fail(error, VC_UNSUPPORTED, "the cuda backend has no such op");
}

static vc_status prepare(vc_device *d, vc_op_kind kind, const void *arguments, size_t *workspace, vc_error *error) {
  *workspace = 0;
  vc_status status = VC_OK;
  if ((unsigned)kind < VC_OP_COUNT) {
    vc_dtype dtype = vc_op_dtype(arguments), weight = vc_op_weight_dtype(kind, arguments);
    if (dtype != VC_F32 && dtype != VC_F16 && dtype != VC_BF16)
      status = vc_fail(error, VC_UNSUPPORTED, "the cuda backend computes in F32, F16 and BF16, not in %s",
                       vc_dtype_name(dtype));
    else if (weight != dtype)
      status = vc_fail(error, VC_UNSUPPORTED, "the cuda backend has no weights in %s for activations in %s",
                       vc_dtype_name(weight), vc_dtype_name(dtype));
  }
  if (status == VC_OK) status = prepare_kind(d, kind, arguments, workspace, error);
  return status == VC_OK ? VC_OK : vc_fail_in(error, status, "op %s", vc_op_name(kind));
}

const vc_backend vc_backend_cuda = {
    .name = "cuda",
    .close = vc_cuda_close,
    .allocate = vc_cuda_allocate,
    .release = vc_cuda_release,
    .upload = vc_cuda_stage,
    .download = download,
    .wait = wait,
    .record_begin = record_begin,
    .record_end = record_end,
    .replay = replay,
    .forget = forget,
    .range = range,
    .peak = peak,
    .mark = vc_cuda_mark,
    .between = vc_cuda_between,
    .describe = describe,
    .variants = variants,
    .run_variant = run_variant,
    .chosen = vc_cuda_chosen,
    .load_choices = load_choices,
    .save_choices = vc_cuda_choices_save,
    .pack_bytes = vc_cuda_pack_bytes,
    .pack = vc_cuda_pack,
    .prepare = prepare,
    .linear = vc_cuda_linear,
    .conv = vc_cuda_conv,
    .group_norm = vc_cuda_group_norm,
    .layer_norm = vc_cuda_layer_norm,
    .attention = vc_cuda_attention,
    .activate = vc_cuda_activate,
    .sum = vc_cuda_sum,
    .copy = vc_cuda_copy,
    .gather = vc_cuda_gather,
    .pool = vc_cuda_pool,
    .sinusoid = vc_cuda_sinusoid,
    .sampler = vc_cuda_sampler,
    .conv_transpose = vc_cuda_conv_transpose,
    .max_pool = vc_cuda_max_pool,
    .resize = vc_cuda_resize,
    .gate = vc_cuda_gate,
};
