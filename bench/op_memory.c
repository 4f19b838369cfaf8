#include "bench/op_memory.h"

#include "kernels/op_checks.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

// Uniform, in a way that runs at the speed of memory: made-up weights are gigabytes.
static void fill(const vc_operand *o, uint32_t seed, void *to, size_t count) {
  uint32_t state = seed * 2654435761u + 12345;
  float *values = to;
  int32_t *indices = to;
  for (size_t i = 0; i < count; i++) {
    state = state * 1664525u + 1013904223u;
    uint32_t high = state >> 8;
    if (o->element == VC_ELEMENT_I32)
      indices[i] = (int32_t)((uint64_t)high * (uint64_t)o->scale >> 24);
    else
      values[i] = ((float)high * 0x1p-23F - 1) * o->scale + o->mean;
  }
}

// Coefficients under which any number of steps keeps the latent in range.
static const vc_sampler_row calm_row = {.x0 = {0.9F, -0.1F},
                                        .corrected = {0.5F, 0.1F, 0.2F, 0.1F, 0.05F},
                                        .next = {0.5F, 0.2F, 0.1F, 0.05F, 0.1F},
                                        .noise = 0.1F};

static void set_pointer(vc_op_arguments *arguments, size_t at, const void *pointer) {
  memcpy((char *)arguments + at, &pointer, sizeof pointer);
}

static vc_status pack_weight(vc_op_memory *m, int i, vc_dtype dtype, vc_error *error) {
  vc_pack pack = {.layout = VC_LAYOUT_LINEAR, .dtype = dtype, .stacked = 1};
  int64_t taps = 1;
  if (m->kind == VC_OP_LINEAR) {
    const vc_linear *a = &m->arguments.linear;
    pack.rows = a->epilogue.activation == VC_ACT_GEGLU ? 2 * a->c_out : a->c_out;
    pack.columns = a->c[0] + a->c[1];
  } else if (m->kind == VC_OP_CONV) {
    const vc_conv *a = &m->arguments.conv;
    pack.layout = VC_LAYOUT_CONV;
    pack.rows = a->c_out;
    pack.columns = (a->c[0] + a->c[1]) / a->groups;
    for (int k = 0; k < 3; k++) taps *= pack.kernel[k] = a->kernel[k];
  } else {
    const vc_conv_transpose *a = &m->arguments.conv_transpose;
    pack.layout = VC_LAYOUT_CONV;
    pack.transposed = true;
    pack.rows = a->c_out;
    pack.columns = a->c;
    pack.kernel[0] = 1;
    pack.kernel[1] = pack.kernel[2] = a->kernel;
    taps = a->kernel * a->kernel;
  }
  pack.source[0] =
      (vc_tensor){.dtype = VC_F32,
                  .rank = 3,
                  .dim = {pack.transposed ? pack.columns : pack.rows, pack.transposed ? pack.rows : pack.columns, taps},
                  .data = m->host_memory[i]};
  size_t bytes;
  vc_status status = m->backend->pack_bytes(&pack, &bytes, error);
  if (!status) status = m->backend->allocate(m->device, bytes, &m->device_memory[i], error);
  return status ? status : m->backend->pack(m->device, &pack, m->device_memory[i], error);
}

static vc_status upload(vc_op_memory *m, int i, vc_dtype dtype, size_t count, vc_error *error) {
  const vc_operand *o = &m->operand[i];
  size_t bytes = count * vc_operand_element_size(o, m->backend, dtype);
  void *converted = NULL, *from = m->host_memory[i];
  vc_status status = m->backend->allocate(m->device, bytes, &m->device_memory[i], error);
  if (!status && o->element == VC_ELEMENT_ACTIVATION && dtype != VC_F32) {
    if (!(from = converted = malloc(bytes))) return vc_fail(error, VC_NO_MEMORY, "no memory to convert an operand");
    vc_from_float(converted, dtype, m->host_memory[i], count);
    // The reference works on what the op reads.
    vc_to_float(m->host_memory[i], converted, dtype, count);
  }
  if (!status) status = m->backend->upload(m->device, m->device_memory[i], from, bytes, error);
  if (!status) status = m->backend->wait(m->device, error);
  free(converted);
  return status;
}

static vc_status make_operand(vc_op_memory *m, int i, vc_dtype dtype, uint32_t seed, vc_error *error) {
  const vc_operand *o = &m->operand[i];
  if (!(o->count >= 1 && o->count <= 0x1p34))
    return vc_fail(error, VC_INVALID, "an operand of %g elements is empty or too large", o->count);
  size_t count = (size_t)o->count;
  if (!(m->host_memory[i] = malloc(count * sizeof(float))))
    return vc_fail(error, VC_NO_MEMORY, "no memory for an operand of %zu elements", count);
  fill(o, seed + (uint32_t)i, m->host_memory[i], count);
  if (m->kind == VC_OP_SAMPLER && o->at == offsetof(vc_sampler, table))
    memcpy(m->host_memory[i], &calm_row, sizeof calm_row);
  vc_status status = o->role == VC_OPERAND_WEIGHT ? pack_weight(m, i, dtype, error)
                                                  : upload(m, i, vc_activations_dtype(m->backend, dtype), count, error);
  set_pointer(&m->arguments, o->at, m->device_memory[i]);
  set_pointer(&m->host, o->at, m->host_memory[i]);
  return status;
}

static void set_workspace(vc_op_memory *m) {
  if (m->kind == VC_OP_LINEAR) m->arguments.linear.workspace = m->workspace;
  if (m->kind == VC_OP_CONV) m->arguments.conv.workspace = m->workspace;
  if (m->kind == VC_OP_GROUP_NORM) m->arguments.group_norm.workspace = m->workspace;
  if (m->kind == VC_OP_ATTENTION) m->arguments.attention.workspace = m->workspace;
}

// The cell of the current step, which the sampler reads.
static vc_status make_step(vc_op_memory *m, vc_error *error) {
  vc_status status = m->backend->allocate(m->device, sizeof(int32_t), &m->step, error);
  if (!status) status = m->backend->upload(m->device, m->step, &m->host_step, sizeof(int32_t), error);
  if (m->kind != VC_OP_SAMPLER) return status;
  m->arguments.sampler.step = m->step;
  m->host.sampler.step = &m->host_step;
  return status;
}

vc_status vc_op_memory_new(vc_op_memory *m, const vc_backend *backend, vc_device *device, vc_dtype dtype,
                           vc_op_kind kind, const vc_op_arguments *arguments, uint32_t seed, vc_error *error) {
  size_t workspace = 0;
  *m = (vc_op_memory){.backend = backend, .device = device, .kind = kind, .arguments = *arguments, .host = *arguments};
  vc_dtype activations = vc_activations_dtype(backend, dtype);
  memcpy(&m->arguments, &activations, sizeof activations);  // the first member of every op
  if (kind == VC_OP_LINEAR) m->arguments.linear.weight_dtype = dtype;
  if (kind == VC_OP_CONV) m->arguments.conv.weight_dtype = dtype;
  vc_status status = backend->prepare(device, kind, &m->arguments, &workspace, error);
  if (!status) m->operands = vc_op_operands(kind, arguments, m->operand);
  for (int i = 0; i < m->operands && !status; i++) status = make_operand(m, i, dtype, seed, error);
  if (!status) status = backend->allocate(device, workspace + 1, &m->workspace, error);
  if (!status) status = make_step(m, error);
  if (status) return status;
  set_workspace(m);
  return VC_OK;
}

void vc_op_memory_free_host(vc_op_memory *m) {
  for (int i = 0; i < m->operands; i++) {
    free(m->host_memory[i]);
    m->host_memory[i] = NULL;
  }
}

void vc_op_memory_free(vc_op_memory *m) {
  vc_op_memory_free_host(m);
  for (int i = 0; i < m->operands; i++)
    if (m->device_memory[i]) m->backend->release(m->device, m->device_memory[i]);
  if (m->workspace) m->backend->release(m->device, m->workspace);
  if (m->step) m->backend->release(m->device, m->step);
  m->operands = 0;
  m->workspace = m->step = NULL;
}

vc_status vc_op_memory_output(const vc_op_memory *m, float **out, size_t *count, vc_error *error) {
  vc_dtype dtype = vc_op_dtype(&m->arguments);
  *out = NULL;
  for (int i = 0; i < m->operands; i++) {
    if (m->operand[i].role != VC_OPERAND_OUTPUT) continue;
    *count = (size_t)m->operand[i].count;
    size_t bytes = *count * vc_dtype_size(dtype);
    void *raw = malloc(bytes);
    *out = malloc(*count * sizeof **out);
    vc_status status = raw && *out ? m->backend->download(m->device, raw, m->device_memory[i], bytes, error)
                                   : vc_fail(error, VC_NO_MEMORY, "no memory for an op's output");
    if (!status) status = m->backend->wait(m->device, error);
    if (!status) vc_to_float(*out, raw, dtype, *count);
    free(raw);
    return status;
  }
  return vc_fail(error, VC_FAILED, "op %s has no output", vc_op_name(m->kind));
}
