#include "tests/op_buffers.h"

#include <stddef.h>
#include <string.h>

typedef struct list {
  op_buffer *buffer;
  int count;
  const void *op;
} list;

void *op_pointer(const void *op, size_t at) {
  void *pointer;
  memcpy(&pointer, (const char *)op + at, sizeof pointer);
  return pointer;
}

void op_set_pointer(void *op, size_t at, const void *pointer) {
  memcpy((char *)op + at, &pointer, sizeof pointer);
}

static void add(list *l, size_t at, op_element element, int64_t count, bool in, bool out) {
  if (!out && !op_pointer(l->op, at)) return;
  l->buffer[l->count++] = (op_buffer){at, element, (size_t)count, in, out};
}

static void add_in(list *l, size_t at, op_element element, int64_t count) {
  add(l, at, element, count, true, false);
}

static void add_out(list *l, size_t at, int64_t count) {
  add(l, at, OP_ACTIVATION, count, false, true);
}

// Of rows of c elements, stride apart.
static int64_t extent(int64_t rows, int64_t stride, int64_t c) {
  return (rows - 1) * stride + c;
}

static void add_epilogue(list *l, const vc_epilogue *e, size_t base, int64_t rows, int64_t c_out) {
  int64_t vectors = e->rows_per_addend ? (rows + e->rows_per_addend - 1) / e->rows_per_addend : 0;
  bool steps = e->addend_step && e->step;
  add_in(l, base + offsetof(vc_epilogue, bias), OP_FLOAT, e->activation == VC_ACT_GEGLU ? 2 * c_out : c_out);
  add_in(l, base + offsetof(vc_epilogue, addend), OP_ACTIVATION,
         (steps ? *e->step * e->addend_step : 0) + vectors * c_out);
  if (e->addend_step) add_in(l, base + offsetof(vc_epilogue, step), OP_INT, 1);
  add_in(l, base + offsetof(vc_epilogue, residual), OP_ACTIVATION, rows * c_out);
}

static void list_linear(list *l, const vc_linear *op) {
  add_in(l, offsetof(vc_linear, x), OP_ACTIVATION, extent(op->rows, op->x_stride, op->c[0]));
  add_in(l, offsetof(vc_linear, x) + sizeof(void *), OP_ACTIVATION, op->rows * op->c[1]);
  add_in(l, offsetof(vc_linear, weight), OP_PACKED, 0);
  add_epilogue(l, &op->epilogue, offsetof(vc_linear, epilogue), op->rows, op->c_out);
  add_out(l, offsetof(vc_linear, out), op->rows * op->c_out);
}

static void list_conv(list *l, const vc_conv *op) {
  int64_t pixels = op->n * op->f * op->h * op->w, rows = op->n * op->f_out * op->h_out * op->w_out;
  add_in(l, offsetof(vc_conv, x), OP_ACTIVATION, pixels * op->c[0]);
  add_in(l, offsetof(vc_conv, x) + sizeof(void *), OP_ACTIVATION, pixels * op->c[1]);
  add_in(l, offsetof(vc_conv, weight), OP_PACKED, 0);
  add_epilogue(l, &op->epilogue, offsetof(vc_conv, epilogue), rows, op->c_out);
  add_out(l, offsetof(vc_conv, out), rows * op->c_out);
}

static void list_group_norm(list *l, const vc_group_norm *op) {
  int64_t rows = op->frames * op->rows, c = op->c[0] + op->c[1];
  add_in(l, offsetof(vc_group_norm, x), OP_ACTIVATION, rows * op->c[0]);
  add_in(l, offsetof(vc_group_norm, x) + sizeof(void *), OP_ACTIVATION, rows * op->c[1]);
  add_in(l, offsetof(vc_group_norm, gamma), OP_FLOAT, c);
  add_in(l, offsetof(vc_group_norm, beta), OP_FLOAT, c);
  add_out(l, offsetof(vc_group_norm, out), rows * c);
}

static void list_layer_norm(list *l, const vc_layer_norm *op) {
  add_in(l, offsetof(vc_layer_norm, x), OP_ACTIVATION, op->rows * op->c);
  add_in(l, offsetof(vc_layer_norm, gamma), OP_FLOAT, op->c);
  add_in(l, offsetof(vc_layer_norm, beta), OP_FLOAT, op->c);
  add_out(l, offsetof(vc_layer_norm, out), op->rows * op->c);
}

static int64_t sequence_extent(const vc_attention *op, const vc_sequence *s, int64_t rows) {
  return (op->outer - 1) * s->outer + (op->inner - 1) * s->inner + extent(rows, s->row, op->heads * op->head_dim);
}

static void list_attention(list *l, const vc_attention *op) {
  add_in(l, offsetof(vc_attention, q), OP_ACTIVATION, sequence_extent(op, &op->q_stride, op->queries));
  add_in(l, offsetof(vc_attention, k), OP_ACTIVATION, sequence_extent(op, &op->k_stride, op->keys));
  add_in(l, offsetof(vc_attention, v), OP_ACTIVATION, sequence_extent(op, &op->v_stride, op->keys));
  add_out(l, offsetof(vc_attention, out), sequence_extent(op, &op->out_stride, op->queries));
}

static void list_activation(list *l, const vc_activate *op) {
  add_in(l, offsetof(vc_activate, x), OP_ACTIVATION, op->rows * op->c * (op->activation == VC_ACT_GEGLU ? 2 : 1));
  add_out(l, offsetof(vc_activate, out), op->rows * op->c);
}

static void list_sum(list *l, const vc_sum *op) {
  for (int i = 0; i < op->inputs; i++)
    add_in(l, offsetof(vc_sum, x) + (size_t)i * sizeof(void *), OP_ACTIVATION,
           op->n * (op->one_frame[i] ? 1 : op->f) * op->rows);
  add_out(l, offsetof(vc_sum, out), op->n * op->f * op->rows);
}

static void list_copy(list *l, const vc_copy *op) {
  add_in(l, offsetof(vc_copy, x), OP_ACTIVATION,
         (op->x_outer - 1) * op->x_stride_outer + extent(op->rows, op->x_stride_row, op->c));
  add_out(l, offsetof(vc_copy, out),
          (op->outer - 1) * op->out_stride_outer + extent(op->rows, op->out_stride_row, op->c));
}

static void list_gather(list *l, const vc_gather *op) {
  add_in(l, offsetof(vc_gather, index), OP_INT, op->count);
  add_in(l, offsetof(vc_gather, table), OP_ACTIVATION, op->entries * op->c);
  add_in(l, offsetof(vc_gather, position), OP_FLOAT, op->positions * op->c);
  add_out(l, offsetof(vc_gather, out), op->count * op->c);
}

static void list_sampler(list *l, const vc_sampler *op) {
  int64_t steps = op->step ? *op->step + 1 : 1;
  add_in(l, offsetof(vc_sampler, eps), OP_ACTIVATION, op->count * (op->guided ? 2 : 1));
  add_in(l, offsetof(vc_sampler, table), OP_FLOAT, steps * (int64_t)(sizeof(vc_sampler_row) / sizeof(float)));
  add_in(l, offsetof(vc_sampler, step), OP_INT, 1);
  add_in(l, offsetof(vc_sampler, noise), OP_FLOAT, steps * op->count);
  add(l, offsetof(vc_sampler, x), OP_FLOAT, op->count, true, true);
  add(l, offsetof(vc_sampler, m1), OP_FLOAT, op->count, true, true);
  add(l, offsetof(vc_sampler, m2), OP_FLOAT, op->count, true, true);
  add(l, offsetof(vc_sampler, x_last), OP_FLOAT, op->count, true, true);
  add_out(l, offsetof(vc_sampler, input), op->count);
}

static void list_conv_transpose(list *l, const vc_conv_transpose *op) {
  add_in(l, offsetof(vc_conv_transpose, x), OP_ACTIVATION, op->frames * op->h * op->w * op->c);
  add_in(l, offsetof(vc_conv_transpose, weight), OP_PACKED, 0);
  add_in(l, offsetof(vc_conv_transpose, bias), OP_FLOAT, op->c_out);
  add_out(l, offsetof(vc_conv_transpose, out), op->frames * op->h_out * op->w_out * op->c_out);
}

static void list_picture(list *l, vc_op_kind kind, const void *arguments) {
  if (kind == VC_OP_POOL) {
    const vc_pool *op = arguments;
    add_in(l, offsetof(vc_pool, x), OP_ACTIVATION, op->frames * op->h * op->w * op->c);
    add_out(l, offsetof(vc_pool, out), op->frames * op->h_out * op->w_out * op->c);
  } else if (kind == VC_OP_MAX_POOL) {
    const vc_max_pool *op = arguments;
    add_in(l, offsetof(vc_max_pool, x), OP_ACTIVATION, op->frames * op->h * op->w * op->c);
    add_out(l, offsetof(vc_max_pool, out), op->frames * (op->h / 2) * (op->w / 2) * op->c);
  } else if (kind == VC_OP_RESIZE) {
    const vc_resize *op = arguments;
    add_in(l, offsetof(vc_resize, x), OP_ACTIVATION, op->frames * op->h * op->w * op->c);
    add_out(l, offsetof(vc_resize, out), op->frames * op->h_out * op->w_out * op->c);
  } else if (kind == VC_OP_GATE) {
    const vc_gate *op = arguments;
    add_in(l, offsetof(vc_gate, x), OP_ACTIVATION, op->rows * op->c);
    add_in(l, offsetof(vc_gate, gate), OP_ACTIVATION, op->rows);
    add_out(l, offsetof(vc_gate, out), op->rows * op->c);
  } else {
    const vc_sinusoid *op = arguments;
    add_in(l, offsetof(vc_sinusoid, t), OP_FLOAT, op->count);
    add_out(l, offsetof(vc_sinusoid, out), op->count * op->c);
  }
}

int op_buffers(vc_op_kind kind, const void *op, op_buffer *out) {
  list l = {.buffer = out, .op = op};
  switch (kind) {
    case VC_OP_LINEAR:
      list_linear(&l, op);
      break;
    case VC_OP_CONV:
      list_conv(&l, op);
      break;
    case VC_OP_GROUP_NORM:
      list_group_norm(&l, op);
      break;
    case VC_OP_LAYER_NORM:
      list_layer_norm(&l, op);
      break;
    case VC_OP_ATTENTION:
      list_attention(&l, op);
      break;
    case VC_OP_ACTIVATION:
      list_activation(&l, op);
      break;
    case VC_OP_SUM:
      list_sum(&l, op);
      break;
    case VC_OP_COPY:
      list_copy(&l, op);
      break;
    case VC_OP_GATHER:
      list_gather(&l, op);
      break;
    case VC_OP_SAMPLER:
      list_sampler(&l, op);
      break;
    case VC_OP_CONV_TRANSPOSE:
      list_conv_transpose(&l, op);
      break;
    default:
      list_picture(&l, kind, op);
  }
  return l.count;
}

size_t op_workspace_at(vc_op_kind kind) {
  switch (kind) {
    case VC_OP_LINEAR:
      return offsetof(vc_linear, workspace);
    case VC_OP_CONV:
      return offsetof(vc_conv, workspace);
    case VC_OP_GROUP_NORM:
      return offsetof(vc_group_norm, workspace);
    case VC_OP_ATTENTION:
      return offsetof(vc_attention, workspace);
    default:
      return 0;
  }
}

size_t op_size(vc_op_kind kind) {
  static const size_t size[VC_OP_COUNT] = {
      [VC_OP_LINEAR] = sizeof(vc_linear),
      [VC_OP_CONV] = sizeof(vc_conv),
      [VC_OP_GROUP_NORM] = sizeof(vc_group_norm),
      [VC_OP_LAYER_NORM] = sizeof(vc_layer_norm),
      [VC_OP_ATTENTION] = sizeof(vc_attention),
      [VC_OP_ACTIVATION] = sizeof(vc_activate),
      [VC_OP_SUM] = sizeof(vc_sum),
      [VC_OP_COPY] = sizeof(vc_copy),
      [VC_OP_GATHER] = sizeof(vc_gather),
      [VC_OP_POOL] = sizeof(vc_pool),
      [VC_OP_SINUSOID] = sizeof(vc_sinusoid),
      [VC_OP_SAMPLER] = sizeof(vc_sampler),
      [VC_OP_CONV_TRANSPOSE] = sizeof(vc_conv_transpose),
      [VC_OP_MAX_POOL] = sizeof(vc_max_pool),
      [VC_OP_RESIZE] = sizeof(vc_resize),
      [VC_OP_GATE] = sizeof(vc_gate),
  };
  return size[kind];
}
