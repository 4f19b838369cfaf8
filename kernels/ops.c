#include "kernels/ops.h"

static const char *const names[VC_OP_COUNT] = {
    [VC_OP_LINEAR] = "linear",
    [VC_OP_CONV] = "conv",
    [VC_OP_GROUP_NORM] = "group_norm",
    [VC_OP_LAYER_NORM] = "layer_norm",
    [VC_OP_ATTENTION] = "attention",
    [VC_OP_ACTIVATION] = "activation",
    [VC_OP_SUM] = "sum",
    [VC_OP_COPY] = "copy",
    [VC_OP_GATHER] = "gather",
    [VC_OP_POOL] = "pool",
    [VC_OP_SINUSOID] = "sinusoid",
    [VC_OP_SAMPLER] = "sampler",
    [VC_OP_CONV_TRANSPOSE] = "conv_transpose",
    [VC_OP_MAX_POOL] = "max_pool",
    [VC_OP_RESIZE] = "resize",
    [VC_OP_GATE] = "gate",
};

const char *vc_op_name(vc_op_kind kind) {
  return (unsigned)kind < VC_OP_COUNT ? names[kind] : "?";
}

vc_status vc_op_run(const vc_backend *backend, vc_device *device, vc_op_kind kind, const void *arguments,
                    vc_error *error) {
#define RUN(KIND, slot)        \
  case KIND:                   \
    if (!backend->slot) break; \
    return backend->slot(device, arguments, error)
  switch (kind) {
    RUN(VC_OP_LINEAR, linear);
    RUN(VC_OP_CONV, conv);
    RUN(VC_OP_GROUP_NORM, group_norm);
    RUN(VC_OP_LAYER_NORM, layer_norm);
    RUN(VC_OP_ATTENTION, attention);
    RUN(VC_OP_ACTIVATION, activate);
    RUN(VC_OP_SUM, sum);
    RUN(VC_OP_COPY, copy);
    RUN(VC_OP_GATHER, gather);
    RUN(VC_OP_POOL, pool);
    RUN(VC_OP_SINUSOID, sinusoid);
    RUN(VC_OP_SAMPLER, sampler);
    RUN(VC_OP_CONV_TRANSPOSE, conv_transpose);
    RUN(VC_OP_MAX_POOL, max_pool);
    RUN(VC_OP_RESIZE, resize);
    RUN(VC_OP_GATE, gate);
    case VC_OP_COUNT:
      break;
  }
#undef RUN
  return vc_fail(error, VC_UNSUPPORTED, "the %s backend has no op '%s'", backend->name, vc_op_name(kind));
}

vc_dtype vc_activations_dtype(const vc_backend *backend, vc_dtype dtype) {
  return backend->activations ? backend->activations(dtype) : dtype;
}
