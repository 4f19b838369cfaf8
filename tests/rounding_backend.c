#include "tests/rounding_backend.h"

#include <stdlib.h>
#include <string.h>

#include "tests/op_buffers.h"

static vc_dtype storage;
static int ops;

static vc_status round_values(float *values, size_t count, vc_error *error) {
  uint16_t *halves = malloc(count * sizeof *halves + 1);
  if (!halves) return vc_fail(error, VC_NO_MEMORY, "no memory to round %zu values", count);
  vc_from_float(halves, storage, values, count);
  vc_to_float(values, halves, storage, count);
  free(halves);
  return VC_OK;
}

// Inputs too: those of the network come as they are. What is rounded already stays as it is.
static vc_status round_buffers(vc_op_kind kind, const void *op, bool out, vc_error *error) {
  op_buffer buffer[OP_BUFFERS_MAX];
  int buffers = op_buffers(kind, op, buffer);
  vc_status status = VC_OK;
  for (int i = 0; i < buffers && !status; i++)
    if (buffer[i].element == OP_ACTIVATION && (out ? buffer[i].out : buffer[i].in))
      status = round_values(op_pointer(op, buffer[i].at), buffer[i].count, error);
  return status;
}

static vc_status run(vc_device *device, vc_op_kind kind, const void *op, vc_error *error) {
  ops++;
  vc_status status = round_buffers(kind, op, false, error);
  if (!status) status = vc_op_run(&vc_backend_cpu, device, kind, op, error);
  return status ? status : round_buffers(kind, op, true, error);
}

#define ROUNDED(slot, KIND)                                                                  \
  static vc_status rounded_##slot(vc_device *device, const vc_##slot *op, vc_error *error) { \
    return run(device, KIND, op, error);                                                     \
  }
ROUNDED(linear, VC_OP_LINEAR)
ROUNDED(conv, VC_OP_CONV)
ROUNDED(group_norm, VC_OP_GROUP_NORM)
ROUNDED(layer_norm, VC_OP_LAYER_NORM)
ROUNDED(attention, VC_OP_ATTENTION)
ROUNDED(activate, VC_OP_ACTIVATION)
ROUNDED(sum, VC_OP_SUM)
ROUNDED(copy, VC_OP_COPY)
ROUNDED(gather, VC_OP_GATHER)
ROUNDED(pool, VC_OP_POOL)
ROUNDED(sinusoid, VC_OP_SINUSOID)
ROUNDED(sampler, VC_OP_SAMPLER)
ROUNDED(conv_transpose, VC_OP_CONV_TRANSPOSE)
ROUNDED(max_pool, VC_OP_MAX_POOL)
ROUNDED(resize, VC_OP_RESIZE)
ROUNDED(gate, VC_OP_GATE)

// Biases and the like stay in fp32 everywhere.
static vc_status pack(vc_device *device, const vc_pack *from, void *to, vc_error *error) {
  vc_pack p = *from;
  void *rounded[VC_STACK_MAX] = {NULL};
  vc_status status = VC_OK;
  if (p.layout == VC_LAYOUT_VECTOR) return vc_backend_cpu.pack(device, from, to, error);
  for (int i = 0; i < p.stacked && !status; i++) {
    size_t count = vc_tensor_count(&p.source[i]);
    float *values = malloc(count * sizeof *values + 1);
    rounded[i] = malloc(count * sizeof(uint16_t) + 1);
    if (!values || !rounded[i]) status = vc_fail(error, VC_NO_MEMORY, "no memory to round a parameter");
    if (!status) {
      vc_to_float(values, p.source[i].data, p.source[i].dtype, count);
      vc_from_float(rounded[i], storage, values, count);
      p.source[i].data = rounded[i];
      p.source[i].dtype = storage;
    }
    free(values);
  }
  if (!status) status = vc_backend_cpu.pack(device, &p, to, error);
  for (int i = 0; i < VC_STACK_MAX; i++) free(rounded[i]);
  return status;
}

const vc_backend *rounding_backend(vc_dtype type) {
  static vc_backend backend;
  storage = type;
  backend = vc_backend_cpu;
  backend.name = "cpu, rounded";
  backend.pack = pack;
  backend.linear = rounded_linear;
  backend.conv = rounded_conv;
  backend.group_norm = rounded_group_norm;
  backend.layer_norm = rounded_layer_norm;
  backend.attention = rounded_attention;
  backend.activate = rounded_activate;
  backend.sum = rounded_sum;
  backend.copy = rounded_copy;
  backend.gather = rounded_gather;
  backend.pool = rounded_pool;
  backend.sinusoid = rounded_sinusoid;
  backend.sampler = rounded_sampler;
  backend.conv_transpose = rounded_conv_transpose;
  backend.max_pool = rounded_max_pool;
  backend.resize = rounded_resize;
  backend.gate = rounded_gate;
  return &backend;
}

int rounding_backend_ops(void) {
  return ops;
}
