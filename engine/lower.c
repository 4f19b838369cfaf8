#include "engine/lower.h"

#include <assert.h>
#include <stdint.h>

static vc_shape shape(const vc_plan *p, vc_value v) {
  return p->graph->value[v].shape;
}

// Where a value lies, `element` elements further on; NULL while there is no arena.
static void *at(const vc_plan *p, vc_value v, int64_t element) {
  if (v == VC_NONE || !p->arena) return NULL;
  const vc_value_info *info = &p->graph->value[v];
  size_t size = info->element == VC_ELEMENT_ACTIVATION ? vc_dtype_size(p->dtype) : 4;
  char *base = info->param != VC_NONE ? vc_parameters_find(p->parameters, &p->graph->param[info->param])
                                      : p->arena + p->offset[v];
  return base + (size_t)element * size;
}

static void *parameter(const vc_plan *p, vc_param id) {
  return id == VC_NONE || !p->parameters ? NULL : vc_parameters_find(p->parameters, &p->graph->param[id]);
}

static vc_epilogue epilogue(const vc_plan *p, const vc_node *node) {
  vc_epilogue e = {
      .bias = parameter(p, node->bias), .activation = node->activation, .residual = at(p, node->residual, 0)};
  if (node->addend != VC_NONE) {
    vc_shape a = shape(p, node->addend);
    int64_t vectors = a.n / p->graph->steps;
    e.addend = at(p, node->addend, 0);
    e.rows_per_addend = vc_shape_rows(shape(p, node->out)) / vectors;
    e.addend_step = p->graph->steps > 1 ? vectors * a.c : 0;
    e.step = p->arena ? (const int32_t *)(const void *)(p->arena + p->step_offset) : NULL;
  }
  return e;
}

static void lower_linear(const vc_plan *p, const vc_node *node, vc_plan_op *op) {
  vc_shape in = shape(p, node->in[0]), out = shape(p, node->out);
  vc_linear *a = &op->arguments.linear;
  *a = (vc_linear){.dtype = p->dtype,
                   .weight_dtype = p->weight_dtype,
                   .rows = vc_shape_rows(out),
                   .x = {at(p, node->in[0], 0)},
                   .c = {in.c},
                   .x_stride = in.c,
                   .c_out = out.c,
                   .weight = parameter(p, node->weight),
                   .epilogue = epilogue(p, node),
                   .out = at(p, node->out, 0)};
  if (node->inputs == 2) {
    a->x[1] = at(p, node->in[1], 0);
    a->c[1] = shape(p, node->in[1]).c;
  }
  op->kind = VC_OP_LINEAR;
  op->flops = 2.0 * (double)a->rows * (double)(a->c[0] + a->c[1]) * (double)p->graph->param[node->weight].rows;
}

static void lower_conv(const vc_plan *p, const vc_node *node, vc_plan_op *op) {
  vc_shape in = shape(p, node->in[0]), out = shape(p, node->out);
  vc_conv *a = &op->arguments.conv;
  *a = (vc_conv){.dtype = p->dtype,
                 .weight_dtype = p->weight_dtype,
                 .n = in.n,
                 .f = in.f,
                 .h = in.h,
                 .w = in.w,
                 .x = {at(p, node->in[0], 0)},
                 .c = {in.c},
                 .upsample = node->conv.upsample,
                 .groups = node->conv.groups,
                 .f_out = out.f,
                 .h_out = out.h,
                 .w_out = out.w,
                 .c_out = out.c,
                 .weight = parameter(p, node->weight),
                 .epilogue = epilogue(p, node),
                 .out = at(p, node->out, 0)};
  if (node->inputs == 2) {
    a->x[1] = at(p, node->in[1], 0);
    a->c[1] = shape(p, node->in[1]).c;
  }
  double taps = 1;
  for (int i = 0; i < 3; i++) {
    a->kernel[i] = node->conv.kernel[i];
    a->stride[i] = node->conv.stride[i];
    a->dilation[i] = node->conv.dilation[i];
    a->pad[i] = node->conv.pad[i];
    taps *= (double)a->kernel[i];
  }
  op->kind = VC_OP_CONV;
  op->flops = 2.0 * (double)vc_shape_elements(out) * (double)((a->c[0] + a->c[1]) / node->conv.groups) * taps;
}

static void lower_conv_transpose(const vc_plan *p, const vc_node *node, vc_plan_op *op) {
  vc_shape in = shape(p, node->in[0]), out = shape(p, node->out);
  op->kind = VC_OP_CONV_TRANSPOSE;
  op->arguments.conv_transpose = (vc_conv_transpose){.dtype = p->dtype,
                                                     .frames = in.n * in.f,
                                                     .h = in.h,
                                                     .w = in.w,
                                                     .c = in.c,
                                                     .x = at(p, node->in[0], 0),
                                                     .kernel = node->transpose.kernel,
                                                     .stride = node->transpose.stride,
                                                     .pad = node->transpose.pad,
                                                     .h_out = out.h,
                                                     .w_out = out.w,
                                                     .c_out = out.c,
                                                     .weight = parameter(p, node->weight),
                                                     .bias = parameter(p, node->bias),
                                                     .activation = node->activation,
                                                     .out = at(p, node->out, 0)};
  op->flops = 2.0 * (double)vc_shape_elements(in) * (double)(out.c * node->transpose.kernel * node->transpose.kernel);
}

static void lower_group_norm(const vc_plan *p, const vc_node *node, vc_plan_op *op) {
  vc_shape s = shape(p, node->out);
  vc_group_norm *a = &op->arguments.group_norm;
  *a = (vc_group_norm){.dtype = p->dtype,
                       .frames = node->norm.over_frames ? s.n : s.n * s.f,
                       .rows = node->norm.over_frames ? s.f * s.h * s.w : s.h * s.w,
                       .x = {at(p, node->in[0], 0)},
                       .c = {shape(p, node->in[0]).c},
                       .groups = node->norm.groups,
                       .eps = node->norm.eps,
                       .gamma = parameter(p, node->weight),
                       .beta = parameter(p, node->bias),
                       .silu = node->activation == VC_ACT_SILU,
                       .out = at(p, node->out, 0)};
  if (node->inputs == 2) {
    a->x[1] = at(p, node->in[1], 0);
    a->c[1] = shape(p, node->in[1]).c;
  }
  op->kind = VC_OP_GROUP_NORM;
}

static void lower_layer_norm(const vc_plan *p, const vc_node *node, vc_plan_op *op) {
  vc_shape s = shape(p, node->out);
  op->kind = VC_OP_LAYER_NORM;
  op->arguments.layer_norm = (vc_layer_norm){.dtype = p->dtype,
                                             .rows = vc_shape_rows(s),
                                             .c = s.c,
                                             .x = at(p, node->in[0], 0),
                                             .eps = node->norm.eps,
                                             .gamma = parameter(p, node->weight),
                                             .beta = parameter(p, node->bias),
                                             .out = at(p, node->out, 0)};
}

// Element strides of the sequences of x: over pixels a sequence is a frame, over frames it is a pixel.
static vc_sequence sequence(vc_shape x, vc_axis axis, int64_t frames) {
  int64_t frame = x.h * x.w * x.c;
  if (axis == VC_AXIS_FRAMES) return (vc_sequence){x.f * frame, x.c, frame};
  return (vc_sequence){x.f * frame, x.f == 1 && frames > 1 ? 0 : frame, x.c};
}

static void lower_attention(const vc_plan *p, const vc_node *node, vc_plan_op *op) {
  vc_shape q = shape(p, node->in[0]), k = shape(p, node->in[1]), v = shape(p, node->in[2]);
  bool frames = node->attention.axis == VC_AXIS_FRAMES;
  vc_attention *a = &op->arguments.attention;
  assert(frames ? q.h * q.w == k.h * k.w : k.f == 1 || k.f == q.f);
  *a = (vc_attention){.dtype = p->dtype,
                      .outer = q.n,
                      .inner = frames ? q.h * q.w : q.f,
                      .queries = frames ? q.f : q.h * q.w,
                      .keys = frames ? k.f : k.h * k.w,
                      .heads = node->attention.heads,
                      .head_dim = node->attention.head_dim,
                      .scale = node->attention.scale,
                      .causal = node->attention.causal,
                      .q = at(p, node->in[0], node->attention.at[0]),
                      .k = at(p, node->in[1], node->attention.at[1]),
                      .v = at(p, node->in[2], node->attention.at[2]),
                      .out = at(p, node->out, 0),
                      .q_stride = sequence(q, node->attention.axis, q.f),
                      .k_stride = sequence(k, node->attention.axis, q.f),
                      .v_stride = sequence(v, node->attention.axis, q.f),
                      .out_stride = sequence(shape(p, node->out), node->attention.axis, q.f)};
  op->kind = VC_OP_ATTENTION;
  op->flops = 4.0 * (double)(a->outer * a->inner * a->heads) * (double)(a->queries * a->keys * a->head_dim);
}

static void lower_sum(const vc_plan *p, const vc_node *node, vc_plan_op *op) {
  vc_shape out = shape(p, node->out);
  bool videos_too = false;  // some input is the same in all videos: videos count as frames then
  for (int i = 0; i < node->inputs; i++) videos_too |= shape(p, node->in[i]).n != out.n;
  vc_sum *a = &op->arguments.sum;
  *a = (vc_sum){.dtype = p->dtype,
                .n = videos_too ? 1 : out.n,
                .f = videos_too ? out.n * out.f : out.f,
                .rows = out.h * out.w * out.c,
                .inputs = node->inputs,
                .out = at(p, node->out, 0)};
  for (int i = 0; i < node->inputs; i++) {
    vc_shape s = shape(p, node->in[i]);
    a->x[i] = at(p, node->in[i], 0);
    a->scale[i] = node->scale[i];
    a->one_frame[i] = videos_too ? s.n * s.f == 1 : s.f != out.f;
    assert(a->one_frame[i] || s.n * s.f == out.n * out.f);
  }
  op->kind = VC_OP_SUM;
  op->flops = 2.0 * node->inputs * (double)vc_shape_elements(out);
}

// Copies `rows` rows of c elements in each of `outer` pieces.
static void copy(const vc_plan *p, vc_plan_op *op, vc_value from, int64_t x_outer, int64_t outer, int64_t rows,
                 int64_t c, vc_value to, int64_t to_element, int64_t out_stride_outer, int64_t out_stride_row) {
  op->kind = VC_OP_COPY;
  op->arguments.copy = (vc_copy){.dtype = p->dtype,
                                 .outer = outer,
                                 .x_outer = x_outer,
                                 .rows = rows,
                                 .c = c,
                                 .x = at(p, from, 0),
                                 .x_stride_outer = rows * c,
                                 .x_stride_row = c,
                                 .out = at(p, to, to_element),
                                 .out_stride_outer = out_stride_outer,
                                 .out_stride_row = out_stride_row};
}

static int lower_copies(const vc_plan *p, const vc_node *node, vc_plan_op *op) {
  vc_shape out = shape(p, node->out), x = shape(p, node->in[0]);
  if (node->kind == VC_NODE_REPEAT) {
    int64_t video = vc_shape_elements(x) / x.n;
    copy(p, op, node->in[0], x.n, out.n, 1, video, node->out, 0, video, video);
    return 1;
  }
  int64_t offset = 0;
  for (int i = 0; i < 2; i++) {
    vc_shape s = shape(p, node->in[i]);
    if (node->kind == VC_NODE_JOIN) {
      copy(p, &op[i], node->in[i], s.n, out.n, s.h * s.w, s.c, node->out, offset, out.w * out.c, out.c);
      offset += s.h * s.w * s.c;
    } else {
      copy(p, &op[i], node->in[i], 1, 1, vc_shape_rows(s), s.c, node->out, offset, 0, out.c);
      offset += s.c;
    }
  }
  return 2;
}

// Every video's rows first, first + step, ... one behind the other.
static void lower_rows(const vc_plan *p, const vc_node *node, vc_plan_op *op) {
  vc_shape in = shape(p, node->in[0]), out = shape(p, node->out);
  op->kind = VC_OP_COPY;
  op->arguments.copy = (vc_copy){.dtype = p->dtype,
                                 .outer = out.n,
                                 .x_outer = in.n,
                                 .rows = out.h * out.w,
                                 .c = out.c,
                                 .x = at(p, node->in[0], node->rows.first * in.c),
                                 .x_stride_outer = in.h * in.w * in.c,
                                 .x_stride_row = node->rows.step * in.c,
                                 .out = at(p, node->out, 0),
                                 .out_stride_outer = out.h * out.w * out.c,
                                 .out_stride_row = out.c};
}

static void lower_gather(const vc_plan *p, const vc_node *node, vc_plan_op *op) {
  vc_shape table = shape(p, node->in[0]), out = shape(p, node->out);
  op->kind = VC_OP_GATHER;
  op->arguments.gather = (vc_gather){.dtype = p->dtype,
                                     .count = vc_shape_rows(out),
                                     .c = out.c,
                                     .entries = vc_shape_rows(table),
                                     .index = at(p, node->in[1], 0),
                                     .table = at(p, node->in[0], 0),
                                     .position = parameter(p, node->weight),
                                     .positions = node->weight == VC_NONE ? 0 : out.w,
                                     .out = at(p, node->out, 0)};
}

static void lower_sampler(const vc_plan *p, const vc_node *node, vc_plan_op *op) {
  op->kind = VC_OP_SAMPLER;
  op->arguments.sampler =
      (vc_sampler){.dtype = p->dtype,
                   .count = vc_shape_elements(shape(p, node->sampler.x)),
                   .eps = at(p, node->in[0], 0),
                   .guided = node->sampler.guided,
                   .guidance = node->sampler.guidance,
                   .table = at(p, node->sampler.table, 0),
                   .step = p->arena ? (const int32_t *)(const void *)(p->arena + p->step_offset) : NULL,
                   .noise = at(p, node->sampler.noise, 0),
                   .x = at(p, node->sampler.x, 0),
                   .m1 = at(p, node->sampler.m1, 0),
                   .m2 = at(p, node->sampler.m2, 0),
                   .x_last = at(p, node->sampler.x_last, 0),
                   .input = at(p, node->in[1], 0)};
}

static void lower_small(const vc_plan *p, const vc_node *node, vc_plan_op *op) {
  vc_shape in = shape(p, node->in[0]), out = shape(p, node->out);
  const void *x = at(p, node->in[0], 0);
  void *to = at(p, node->out, 0);
  if (node->kind == VC_NODE_ACTIVATION) {
    op->kind = VC_OP_ACTIVATION;
    op->arguments.activate = (vc_activate){
        .dtype = p->dtype, .rows = vc_shape_rows(out), .c = out.c, .activation = node->activation, .x = x, .out = to};
  } else if (node->kind == VC_NODE_POOL) {
    op->kind = VC_OP_POOL;
    op->arguments.pool = (vc_pool){p->dtype, in.n * in.f, in.h, in.w, in.c, out.h, out.w, x, to};
  } else if (node->kind == VC_NODE_MAX_POOL) {
    op->kind = VC_OP_MAX_POOL;
    op->arguments.max_pool = (vc_max_pool){p->dtype, in.n * in.f, in.h, in.w, in.c, x, to};
  } else if (node->kind == VC_NODE_RESIZE) {
    op->kind = VC_OP_RESIZE;
    op->arguments.resize =
        (vc_resize){p->dtype, in.n * in.f, in.h, in.w, in.c, out.h, out.w, node->align_corners, x, to};
  } else if (node->kind == VC_NODE_GATE) {
    op->kind = VC_OP_GATE;
    op->arguments.gate = (vc_gate){p->dtype, vc_shape_rows(out), out.c, x, at(p, node->in[1], 0), to};
  } else {
    op->kind = VC_OP_SINUSOID;
    op->arguments.sinusoid = (vc_sinusoid){p->dtype, vc_shape_rows(out), out.c, x, to};
  }
}

// Bytes that the node must read and write at least.
static double traffic(const vc_plan *p, const vc_node *node) {
  double size = (double)vc_dtype_size(p->dtype), weight = 0, elements = (double)vc_shape_elements(shape(p, node->out));
  for (int i = 0; i < node->inputs; i++) {
    bool again = false;  // queries, keys and values of one tensor
    for (int k = 0; k < i; k++) again |= node->in[k] == node->in[i];
    double all = (double)vc_shape_elements(shape(p, node->in[i]));
    if (node->kind == VC_NODE_GATHER && i == 0 && all > elements) all = elements;  // the rows that are looked up
    if (!again) elements += all;
  }
  if (node->residual != VC_NONE) elements += (double)vc_shape_elements(shape(p, node->residual));
  if (node->weight != VC_NONE) {
    const vc_param_info *w = &p->graph->param[node->weight];
    double kernel = w->layout == VC_LAYOUT_CONV ? (double)(w->kernel[0] * w->kernel[1] * w->kernel[2]) : 1;
    weight = (double)(w->rows * w->columns) * kernel * (double)vc_dtype_size(p->weight_dtype);
  }
  return elements * size + weight;
}

int vc_lower(const vc_plan *p, int index, vc_plan_op op[VC_LOWER_MAX]) {
  const vc_node *node = &p->graph->node[index];
  int count = 1;
  for (int i = 0; i < VC_LOWER_MAX; i++)
    op[i] = (vc_plan_op){.rate = p->graph->value[node->out].rate, .label = node->label};
  switch (node->kind) {
    case VC_NODE_LINEAR:
      lower_linear(p, node, op);
      break;
    case VC_NODE_CONV:
      lower_conv(p, node, op);
      break;
    case VC_NODE_GROUP_NORM:
      lower_group_norm(p, node, op);
      break;
    case VC_NODE_LAYER_NORM:
      lower_layer_norm(p, node, op);
      break;
    case VC_NODE_ATTENTION:
      lower_attention(p, node, op);
      break;
    case VC_NODE_SUM:
      lower_sum(p, node, op);
      break;
    case VC_NODE_CONCAT:
    case VC_NODE_JOIN:
    case VC_NODE_REPEAT:
      count = lower_copies(p, node, op);
      break;
    case VC_NODE_GATHER:
      lower_gather(p, node, op);
      break;
    case VC_NODE_SAMPLER:
      lower_sampler(p, node, op);
      break;
    case VC_NODE_CONV_TRANSPOSE:
      lower_conv_transpose(p, node, op);
      break;
    case VC_NODE_ROWS:
      lower_rows(p, node, op);
      break;
    case VC_NODE_ACTIVATION:
    case VC_NODE_POOL:
    case VC_NODE_SINUSOID:
    case VC_NODE_MAX_POOL:
    case VC_NODE_RESIZE:
    case VC_NODE_GATE:
      lower_small(p, node, op);
      break;
  }
  for (int i = 0; i < count; i++) op[i].bytes = traffic(p, node) / count;
  return count;
}
