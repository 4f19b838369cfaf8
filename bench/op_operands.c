#include "bench/op_operands.h"

#include <stddef.h>

typedef struct list {
  vc_operand *item;
  int count;
} list;

static vc_operand *add(list *l, vc_operand_role role, size_t at, double count) {
  vc_operand *o = &l->item[l->count++];
  *o = (vc_operand){.role = role, .at = at, .count = count, .touched = count, .scale = 1};
  return o;
}

// Of a scale that keeps products of `inputs` values in range, as trained weights do.
static vc_operand *add_weight(list *l, size_t at, double outputs, double inputs) {
  vc_operand *o = add(l, VC_OPERAND_WEIGHT, at, outputs * inputs);
  while ((double)(o->scale * o->scale) * inputs > 3) o->scale *= 0.5F;
  return o;
}

static void add_vector(list *l, size_t at, double count, float mean) {
  vc_operand *o = add(l, VC_OPERAND_INPUT, at, count);
  o->element = VC_ELEMENT_F32;
  o->scale = 0.5F;
  o->mean = mean;
}

// `at` is where the epilogue begins in the arguments; GEGLU has a bias twice as long.
static void add_epilogue(list *l, const vc_epilogue *e, size_t at, double rows, double c_out) {
  double wide = e->activation == VC_ACT_GEGLU ? 2 * c_out : c_out;
  if (e->bias) add_vector(l, at + offsetof(vc_epilogue, bias), wide, 0);
  if (e->rows_per_addend)
    add(l, VC_OPERAND_INPUT, at + offsetof(vc_epilogue, addend),
        ((rows + (double)e->rows_per_addend - 1) / (double)e->rows_per_addend + 1) * c_out);
  if (e->residual) add(l, VC_OPERAND_INPUT, at + offsetof(vc_epilogue, residual), rows * c_out);
}

static double conv_taps(const vc_conv *a) {
  return (double)a->kernel[0] * (double)a->kernel[1] * (double)a->kernel[2];
}

static void linear_operands(list *l, const vc_linear *a) {
  double rows = (double)a->rows, c_out = (double)a->c_out;
  vc_operand *x = add(l, VC_OPERAND_INPUT, offsetof(vc_linear, x[0]), rows * (double)a->x_stride);
  x->touched = rows * (double)a->c[0];
  if (a->c[1]) add(l, VC_OPERAND_INPUT, offsetof(vc_linear, x[1]), rows * (double)a->c[1]);
  add_weight(l, offsetof(vc_linear, weight), a->epilogue.activation == VC_ACT_GEGLU ? 2 * c_out : c_out,
             (double)a->c[0] + (double)a->c[1]);
  add_epilogue(l, &a->epilogue, offsetof(vc_linear, epilogue), rows, c_out);
  add(l, VC_OPERAND_OUTPUT, offsetof(vc_linear, out), rows * c_out);
}

static void conv_operands(list *l, const vc_conv *a) {
  double pixels = (double)a->n * (double)a->f * (double)a->h * (double)a->w;
  double rows = (double)a->n * (double)a->f_out * (double)a->h_out * (double)a->w_out, c_out = (double)a->c_out;
  add(l, VC_OPERAND_INPUT, offsetof(vc_conv, x[0]), pixels * (double)a->c[0]);
  if (a->c[1]) add(l, VC_OPERAND_INPUT, offsetof(vc_conv, x[1]), pixels * (double)a->c[1]);
  add_weight(l, offsetof(vc_conv, weight), c_out,
             ((double)a->c[0] + (double)a->c[1]) / (double)a->groups * conv_taps(a));
  add_epilogue(l, &a->epilogue, offsetof(vc_conv, epilogue), rows, c_out);
  add(l, VC_OPERAND_OUTPUT, offsetof(vc_conv, out), rows * c_out);
}

static void group_norm_operands(list *l, const vc_group_norm *a) {
  double rows = (double)a->frames * (double)a->rows, c = (double)a->c[0] + (double)a->c[1];
  add(l, VC_OPERAND_INPUT, offsetof(vc_group_norm, x[0]), rows * (double)a->c[0])->mean = 0.5F;
  if (a->c[1]) add(l, VC_OPERAND_INPUT, offsetof(vc_group_norm, x[1]), rows * (double)a->c[1]);
  add_vector(l, offsetof(vc_group_norm, gamma), c, 1);
  add_vector(l, offsetof(vc_group_norm, beta), c, 0);
  add(l, VC_OPERAND_OUTPUT, offsetof(vc_group_norm, out), rows * c);
}

static void layer_norm_operands(list *l, const vc_layer_norm *a) {
  double count = (double)a->rows * (double)a->c;
  add(l, VC_OPERAND_INPUT, offsetof(vc_layer_norm, x), count)->mean = 0.5F;
  add_vector(l, offsetof(vc_layer_norm, gamma), (double)a->c, 1);
  add_vector(l, offsetof(vc_layer_norm, beta), (double)a->c, 0);
  add(l, VC_OPERAND_OUTPUT, offsetof(vc_layer_norm, out), count);
}

// A stride of 0 means that the sequences share their memory.
static void add_sequences(list *l, vc_operand_role role, size_t at, const vc_attention *a, const vc_sequence *s,
                          int64_t rows) {
  double wide = (double)a->heads * (double)a->head_dim;
  double span = (double)(a->outer - 1) * (double)s->outer + (double)(a->inner - 1) * (double)s->inner +
                (double)(rows - 1) * (double)s->row + wide;
  vc_operand *o = add(l, role, at, span);
  o->touched = (s->outer ? (double)a->outer : 1) * (s->inner ? (double)a->inner : 1) * (double)rows * wide;
}

static void attention_operands(list *l, const vc_attention *a) {
  add_sequences(l, VC_OPERAND_INPUT, offsetof(vc_attention, q), a, &a->q_stride, a->queries);
  add_sequences(l, VC_OPERAND_INPUT, offsetof(vc_attention, k), a, &a->k_stride, a->keys);
  add_sequences(l, VC_OPERAND_INPUT, offsetof(vc_attention, v), a, &a->v_stride, a->keys);
  add_sequences(l, VC_OPERAND_OUTPUT, offsetof(vc_attention, out), a, &a->out_stride, a->queries);
}

static void sum_operands(list *l, const vc_sum *a) {
  double frame = (double)a->rows;
  for (int i = 0; i < a->inputs && i < VC_SUM_MAX; i++)
    add(l, VC_OPERAND_INPUT, offsetof(vc_sum, x) + (size_t)i * sizeof(void *),
        (double)a->n * (a->one_frame[i] ? 1 : (double)a->f) * frame);
  add(l, VC_OPERAND_OUTPUT, offsetof(vc_sum, out), (double)a->n * (double)a->f * frame);
}

static void copy_operands(list *l, const vc_copy *a) {
  double rows = (double)a->rows, c = (double)a->c, from = (double)(a->x_outer < a->outer ? a->x_outer : a->outer);
  vc_operand *x = add(l, VC_OPERAND_INPUT, offsetof(vc_copy, x),
                      (from - 1) * (double)a->x_stride_outer + (rows - 1) * (double)a->x_stride_row + c);
  x->touched = from * rows * c;
  vc_operand *out =
      add(l, VC_OPERAND_OUTPUT, offsetof(vc_copy, out),
          (double)(a->outer - 1) * (double)a->out_stride_outer + (rows - 1) * (double)a->out_stride_row + c);
  out->touched = (double)a->outer * rows * c;
}

static void gather_operands(list *l, const vc_gather *a) {
  vc_operand *index = add(l, VC_OPERAND_INPUT, offsetof(vc_gather, index), (double)a->count);
  index->element = VC_ELEMENT_I32;
  index->scale = (float)a->entries;
  vc_operand *table = add(l, VC_OPERAND_INPUT, offsetof(vc_gather, table), (double)a->entries * (double)a->c);
  table->touched = (double)(a->count < a->entries ? a->count : a->entries) * (double)a->c;
  if (a->positions) add_vector(l, offsetof(vc_gather, position), (double)a->positions * (double)a->c, 0);
  add(l, VC_OPERAND_OUTPUT, offsetof(vc_gather, out), (double)a->count * (double)a->c);
}

static void sampler_operands(list *l, const vc_sampler *a) {
  double count = (double)a->count;
  static const size_t states[] = {offsetof(vc_sampler, x), offsetof(vc_sampler, m1), offsetof(vc_sampler, m2),
                                  offsetof(vc_sampler, x_last)};
  add(l, VC_OPERAND_INPUT, offsetof(vc_sampler, eps), a->guided ? 2 * count : count);
  add(l, VC_OPERAND_INPUT, offsetof(vc_sampler, table), sizeof(vc_sampler_row) / sizeof(float))->element =
      VC_ELEMENT_F32;
  if (a->noise) add(l, VC_OPERAND_INPUT, offsetof(vc_sampler, noise), count)->element = VC_ELEMENT_F32;
  for (int i = 0; i < 4; i++) add(l, VC_OPERAND_STATE, states[i], count)->element = VC_ELEMENT_F32;
  add(l, VC_OPERAND_OUTPUT, offsetof(vc_sampler, input), count);
}

static void conv_transpose_operands(list *l, const vc_conv_transpose *a) {
  double in = (double)a->frames * (double)a->h * (double)a->w, c_out = (double)a->c_out;
  add(l, VC_OPERAND_INPUT, offsetof(vc_conv_transpose, x), in * (double)a->c);
  add_weight(l, offsetof(vc_conv_transpose, weight), c_out * (double)a->kernel * (double)a->kernel, (double)a->c);
  if (a->bias) add_vector(l, offsetof(vc_conv_transpose, bias), c_out, 0);
  add(l, VC_OPERAND_OUTPUT, offsetof(vc_conv_transpose, out),
      (double)a->frames * (double)a->h_out * (double)a->w_out * c_out);
}

// One input, one output, and nothing else.
static void plain_operands(list *l, size_t x, double in, size_t out, double count) {
  add(l, VC_OPERAND_INPUT, x, in);
  add(l, VC_OPERAND_OUTPUT, out, count);
}

static void small_operands(list *l, vc_op_kind kind, const vc_op_arguments *arguments) {
  if (kind == VC_OP_ACTIVATION) {
    const vc_activate *a = &arguments->activate;
    double count = (double)a->rows * (double)a->c;
    plain_operands(l, offsetof(vc_activate, x), a->activation == VC_ACT_GEGLU ? 2 * count : count,
                   offsetof(vc_activate, out), count);
  } else if (kind == VC_OP_POOL) {
    const vc_pool *a = &arguments->pool;
    double planes = (double)a->frames * (double)a->c;
    plain_operands(l, offsetof(vc_pool, x), planes * (double)a->h * (double)a->w, offsetof(vc_pool, out),
                   planes * (double)a->h_out * (double)a->w_out);
  } else if (kind == VC_OP_MAX_POOL) {
    const vc_max_pool *a = &arguments->max_pool;
    double planes = (double)a->frames * (double)a->c;
    plain_operands(l, offsetof(vc_max_pool, x), planes * (double)a->h * (double)a->w, offsetof(vc_max_pool, out),
                   planes * (double)(a->h / 2) * (double)(a->w / 2));
  } else if (kind == VC_OP_RESIZE) {
    const vc_resize *a = &arguments->resize;
    double planes = (double)a->frames * (double)a->c;
    plain_operands(l, offsetof(vc_resize, x), planes * (double)a->h * (double)a->w, offsetof(vc_resize, out),
                   planes * (double)a->h_out * (double)a->w_out);
  } else if (kind == VC_OP_GATE) {
    const vc_gate *a = &arguments->gate;
    plain_operands(l, offsetof(vc_gate, x), (double)a->rows * (double)a->c, offsetof(vc_gate, out),
                   (double)a->rows * (double)a->c);
    add(l, VC_OPERAND_INPUT, offsetof(vc_gate, gate), (double)a->rows);
  } else if (kind == VC_OP_SINUSOID) {
    const vc_sinusoid *a = &arguments->sinusoid;
    plain_operands(l, offsetof(vc_sinusoid, t), (double)a->count, offsetof(vc_sinusoid, out),
                   (double)a->count * (double)a->c);
    l->item[0].element = VC_ELEMENT_F32;
    l->item[0].scale = l->item[0].mean = 500;
  }
}

int vc_op_operands(vc_op_kind kind, const vc_op_arguments *a, vc_operand out[VC_OPERANDS_MAX]) {
  list l = {out, 0};
  switch (kind) {
    case VC_OP_LINEAR:
      linear_operands(&l, &a->linear);
      break;
    case VC_OP_CONV:
      conv_operands(&l, &a->conv);
      break;
    case VC_OP_GROUP_NORM:
      group_norm_operands(&l, &a->group_norm);
      break;
    case VC_OP_LAYER_NORM:
      layer_norm_operands(&l, &a->layer_norm);
      break;
    case VC_OP_ATTENTION:
      attention_operands(&l, &a->attention);
      break;
    case VC_OP_SUM:
      sum_operands(&l, &a->sum);
      break;
    case VC_OP_COPY:
      copy_operands(&l, &a->copy);
      break;
    case VC_OP_GATHER:
      gather_operands(&l, &a->gather);
      break;
    case VC_OP_SAMPLER:
      sampler_operands(&l, &a->sampler);
      break;
    case VC_OP_CONV_TRANSPOSE:
      conv_transpose_operands(&l, &a->conv_transpose);
      break;
    default:
      small_operands(&l, kind, a);
  }
  return l.count;
}

double vc_op_flops(vc_op_kind kind, const vc_op_arguments *a) {
  const vc_linear *linear = &a->linear;
  const vc_conv *conv = &a->conv;
  const vc_attention *attention = &a->attention;
  const vc_conv_transpose *transpose = &a->conv_transpose;
  const vc_sum *sum = &a->sum;
  switch (kind) {
    case VC_OP_LINEAR:
      return 2.0 * (double)linear->rows * (double)(linear->c[0] + linear->c[1]) * (double)linear->c_out *
             (linear->epilogue.activation == VC_ACT_GEGLU ? 2 : 1);
    case VC_OP_CONV:
      return 2.0 * (double)conv->n * (double)conv->f_out * (double)conv->h_out * (double)conv->w_out *
             (double)conv->c_out * ((double)(conv->c[0] + conv->c[1]) / (double)conv->groups) * conv_taps(conv);
    case VC_OP_ATTENTION:
      return 4.0 * (double)attention->outer * (double)attention->inner * (double)attention->heads *
             (double)attention->queries * (double)attention->keys * (double)attention->head_dim;
    case VC_OP_CONV_TRANSPOSE:
      return 2.0 * (double)transpose->frames * (double)transpose->h * (double)transpose->w * (double)transpose->c *
             (double)transpose->c_out * (double)transpose->kernel * (double)transpose->kernel;
    case VC_OP_SUM:
      return 2.0 * sum->inputs * (double)sum->n * (double)sum->f * (double)sum->rows;
    default:
      return 0;
  }
}

size_t vc_operand_element_size(const vc_operand *o, const vc_backend *backend, vc_dtype dtype) {
  if (o->element != VC_ELEMENT_ACTIVATION) return 4;
  return vc_dtype_size(o->role == VC_OPERAND_WEIGHT ? dtype : vc_activations_dtype(backend, dtype));
}

double vc_op_bytes(vc_op_kind kind, const vc_op_arguments *arguments, const vc_backend *backend, vc_dtype dtype) {
  vc_operand operand[VC_OPERANDS_MAX];
  double bytes = 0;
  int count = vc_op_operands(kind, arguments, operand);
  for (int i = 0; i < count; i++)
    bytes += operand[i].touched * (double)vc_operand_element_size(&operand[i], backend, dtype) *
             (operand[i].role == VC_OPERAND_STATE ? 2 : 1);
  return bytes;
}
