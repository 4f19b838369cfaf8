#include "engine/graph.h"

#include <assert.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Names live as long as the graph, in blocks that are never moved.
struct vc_text_block {
  struct vc_text_block *next;
  size_t used;
  char text[16384];
};

int64_t vc_shape_rows(vc_shape s) {
  return s.n * s.f * s.h * s.w;
}

int64_t vc_shape_elements(vc_shape s) {
  return vc_shape_rows(s) * s.c;
}

vc_status vc_graph_new(vc_graph **out, int64_t steps, vc_error *error) {
  *out = calloc(1, sizeof **out);
  if (!*out) return vc_fail(error, VC_NO_MEMORY, "no memory for the description of a network");
  (*out)->steps = steps;
  return VC_OK;
}

void vc_graph_free(vc_graph *graph) {
  if (!graph) return;
  for (struct vc_text_block *b = graph->text, *next; b; b = next) {
    next = b->next;
    free(b);
  }
  free(graph->value);
  free(graph->param);
  free(graph->node);
  free(graph);
}

vc_status vc_graph_check(const vc_graph *graph, vc_error *error) {
  return graph->no_memory ? vc_fail(error, VC_NO_MEMORY, "no memory for the description of a network") : VC_OK;
}

vc_path vc_pathf(const char *format, ...) {
  vc_path path;
  va_list args;
  va_start(args, format);
  int length = vsnprintf(path.text, sizeof path.text, format, args);
  va_end(args);
  assert(length >= 0 && (size_t)length < sizeof path.text);
  (void)length;
  return path;
}

static const char *keep_text(vc_graph *g, const char *text) {
  size_t size = strlen(text) + 1;
  assert(size <= sizeof g->text->text);
  if (!g->text || sizeof g->text->text - g->text->used < size) {
    struct vc_text_block *block = malloc(sizeof *block);
    if (!block) {
      g->no_memory = true;
      return "";
    }
    block->next = g->text;
    block->used = 0;
    g->text = block;
  }
  char *to = g->text->text + g->text->used;
  g->text->used += size;
  return memcpy(to, text, size);
}

// Room for one more element, or false. The last element of a full graph is then overwritten; the graph is refused.
static bool grow(vc_graph *g, void **array, int count, int *capacity, size_t size) {
  if (count < *capacity) return true;
  int wanted = *capacity ? 2 * *capacity : 256;
  void *bigger = realloc(*array, (size_t)wanted * size);
  if (!bigger) {
    g->no_memory = true;
    return false;
  }
  *array = bigger;
  *capacity = wanted;
  return true;
}

static vc_value add_value(vc_graph *g, vc_shape shape, vc_element element, vc_rate rate) {
  assert(shape.n > 0 && shape.f > 0 && shape.h > 0 && shape.w > 0 && shape.c > 0);
  if (!grow(g, (void **)&g->value, g->values, &g->value_capacity, sizeof *g->value)) {
    if (!g->values) abort();
    return 0;
  }
  g->value[g->values] =
      (vc_value_info){.shape = shape, .element = element, .rate = rate, .producer = VC_NONE, .param = VC_NONE};
  return g->values++;
}

static vc_param add_param(vc_graph *g, const vc_param_info *info) {
  if (!grow(g, (void **)&g->param, g->params, &g->param_capacity, sizeof *g->param)) return 0;
  vc_param_info *p = &g->param[g->params];
  *p = *info;
  for (int i = 0; i < p->stacked; i++) p->key[i] = keep_text(g, p->key[i]);
  return g->params++;
}

static vc_param add_vector(vc_graph *g, const char *key, int64_t count) {
  return add_param(
      g, &(vc_param_info){
             .stacked = 1, .key = {key}, .key_rows = {count}, .layout = VC_LAYOUT_VECTOR, .rows = count, .columns = 1});
}

// Records a node and its output, whose rate is the highest of its inputs'.
static vc_node *add_node(vc_graph *g, vc_node_kind kind, int inputs, const vc_value *in, vc_shape out,
                         const char *label) {
  static vc_node spare;
  vc_rate rate = VC_RATE_VIDEO;
  for (int i = 0; i < inputs; i++)
    if (g->value[in[i]].rate > rate) rate = g->value[in[i]].rate;
  vc_value value = add_value(g, out, VC_ELEMENT_ACTIVATION, rate);
  if (!grow(g, (void **)&g->node, g->nodes, &g->node_capacity, sizeof *g->node)) return &spare;
  vc_node *node = &g->node[g->nodes];
  *node = (vc_node){.kind = kind, .inputs = inputs, .out = value, .weight = VC_NONE, .bias = VC_NONE};
  node->addend = node->residual = VC_NONE;
  node->label = keep_text(g, label);
  for (int i = 0; i < inputs; i++) node->in[i] = in[i];
  g->value[value].producer = g->nodes++;
  return node;
}

vc_shape vc_graph_shape(const vc_graph *g, vc_value value) {
  return g->value[value].shape;
}

vc_value vc_graph_input(vc_graph *g, const char *name, vc_shape shape, vc_element element, vc_rate rate) {
  vc_value v = add_value(g, shape, element, rate);
  g->value[v].input = true;
  g->value[v].name = keep_text(g, name);
  return v;
}

vc_value vc_graph_find(const vc_graph *g, const char *name) {
  for (int i = 0; i < g->values; i++)
    if (g->value[i].name && !strcmp(g->value[i].name, name)) return i;
  return VC_NONE;
}

vc_value vc_graph_name(vc_graph *g, vc_value value, const char *name) {
  if (!g->value[value].name) g->value[value].name = keep_text(g, name);
  return value;
}

void vc_graph_keep(vc_graph *g, vc_value value) {
  g->value[value].kept = true;
}

vc_value vc_graph_parameter(vc_graph *g, const char *key, int64_t rows, int64_t c) {
  vc_value v = add_value(g, (vc_shape){1, 1, 1, rows, c}, VC_ELEMENT_ACTIVATION, VC_RATE_VIDEO);
  g->value[v].param = add_param(g, &(vc_param_info){.stacked = 1,
                                                    .key = {key},
                                                    .key_rows = {rows},
                                                    .layout = VC_LAYOUT_ROWS,
                                                    .rows = rows,
                                                    .columns = c,
                                                    .flat = true});
  return v;
}

static void set_addend(vc_graph *g, vc_node *node, bool has, vc_value addend, int64_t c_out) {
  if (!has) return;
  vc_shape a = g->value[addend].shape, out = g->value[node->out].shape;
  assert(a.c == c_out && vc_shape_rows(a) == a.n && a.n % g->steps == 0 && out.n % (a.n / g->steps) == 0);
  (void)a, (void)out, (void)c_out;
  node->addend = addend;
}

vc_value vc_graph_linear(vc_graph *g, vc_value x, const vc_linear_spec *spec) {
  vc_shape in = g->value[x].shape, out = in;
  out.c = spec->c_out;
  vc_param_info weight = {.layout = VC_LAYOUT_LINEAR,
                          .rows = spec->c_out,
                          .columns = in.c,
                          .transposed = spec->transposed,
                          .spatial_rank = spec->spatial_rank};
  vc_param_info bias = {.layout = VC_LAYOUT_VECTOR, .rows = spec->c_out, .columns = 1};
  vc_path weight_key[VC_STACK_MAX], bias_key[VC_STACK_MAX];
  if (spec->weight) {
    weight.stacked = bias.stacked = 1;
    weight.key[0] = spec->weight;
    bias.key[0] = spec->bias_key;
  }
  for (int i = 0; !spec->weight && i < VC_STACK_MAX && spec->module[i]; i++) {
    weight_key[i] = vc_pathf("%s.weight", spec->module[i]);
    bias_key[i] = vc_pathf("%s.bias", spec->module[i]);
    weight.key[i] = weight_key[i].text;
    bias.key[i] = bias_key[i].text;
    weight.stacked = bias.stacked = i + 1;
  }
  for (int i = 0; i < weight.stacked; i++) weight.key_rows[i] = bias.key_rows[i] = spec->c_out / weight.stacked;
  vc_node *node = add_node(g, VC_NODE_LINEAR, 1, &x, out, spec->weight ? spec->weight : spec->module[0]);
  node->weight = add_param(g, &weight);
  if (spec->bias) node->bias = add_param(g, &bias);
  set_addend(g, node, spec->has_addend, spec->addend, spec->c_out);
  return node->out;
}

vc_value vc_graph_conv(vc_graph *g, vc_value x, const vc_conv_spec *spec) {
  vc_shape in = g->value[x].shape, out = in;
  int64_t stride[3] = {1, spec->stride ? spec->stride : 1, spec->stride ? spec->stride : 1};
  int64_t dilation[3] = {1, spec->dilation ? spec->dilation : 1, spec->dilation ? spec->dilation : 1};
  int64_t size[3] = {in.f, in.h * (spec->upsample ? 2 : 1), in.w * (spec->upsample ? 2 : 1)}, to[3];
  int64_t groups = spec->groups ? spec->groups : 1;
  assert(groups == 1 || (groups == in.c && groups == spec->c_out));
  for (int i = 0; i < 3; i++)
    to[i] = (size[i] + spec->pad[i] + spec->pad_after[i] - dilation[i] * (spec->kernel[i] - 1) - 1) / stride[i] + 1;
  out = (vc_shape){in.n, to[0], to[1], to[2], spec->c_out};
  vc_node *node = add_node(g, VC_NODE_CONV, 1, &x, out, spec->module);
  vc_param_info weight = {.stacked = 1,
                          .layout = VC_LAYOUT_CONV,
                          .rows = spec->c_out,
                          .columns = in.c / groups,
                          .key_rows = {spec->c_out},
                          .spatial_rank = spec->spatial_rank ? spec->spatial_rank : 2};
  vc_path key = vc_pathf("%s.weight", spec->module);
  weight.key[0] = key.text;
  node->conv.upsample = spec->upsample ? 2 : 1;
  node->conv.groups = groups;
  for (int i = 0; i < 3; i++) {
    node->conv.kernel[i] = weight.kernel[i] = spec->kernel[i];
    node->conv.stride[i] = stride[i];
    node->conv.dilation[i] = dilation[i];
    node->conv.pad[i] = spec->pad[i];
  }
  node->weight = add_param(g, &weight);
  if (spec->bias) node->bias = add_vector(g, vc_pathf("%s.bias", spec->module).text, spec->c_out);
  set_addend(g, node, spec->has_addend, spec->addend, spec->c_out);
  return node->out;
}

vc_value vc_graph_conv3x3(vc_graph *g, vc_value x, const char *module, int64_t c_out) {
  return vc_graph_conv(g, x,
                       &(vc_conv_spec){.module = module,
                                       .c_out = c_out,
                                       .kernel = {1, 3, 3},
                                       .pad = {0, 1, 1},
                                       .pad_after = {0, 1, 1},
                                       .bias = true});
}

vc_value vc_graph_conv_transpose(vc_graph *g, vc_value x, const vc_conv_transpose_spec *spec) {
  vc_shape in = g->value[x].shape, out = in;
  out.h = (in.h - 1) * spec->stride - 2 * spec->pad + spec->kernel;
  out.w = (in.w - 1) * spec->stride - 2 * spec->pad + spec->kernel;
  out.c = spec->c_out;
  vc_node *node = add_node(g, VC_NODE_CONV_TRANSPOSE, 1, &x, out, spec->module);
  vc_path key = vc_pathf("%s.weight", spec->module);
  node->weight = add_param(g, &(vc_param_info){.stacked = 1,
                                               .key = {key.text},
                                               .key_rows = {spec->c_out},
                                               .layout = VC_LAYOUT_CONV,
                                               .rows = spec->c_out,
                                               .columns = in.c,
                                               .kernel = {1, spec->kernel, spec->kernel},
                                               .transposed = true,
                                               .spatial_rank = 2});
  node->bias = add_vector(g, vc_pathf("%s.bias", spec->module).text, spec->c_out);
  node->transpose.kernel = spec->kernel;
  node->transpose.stride = spec->stride;
  node->transpose.pad = spec->pad;
  return node->out;
}

static vc_node *add_norm(vc_graph *g, vc_node_kind kind, vc_value x, const char *module, float eps) {
  vc_shape shape = g->value[x].shape;
  vc_node *node = add_node(g, kind, 1, &x, shape, module);
  node->weight = add_vector(g, vc_pathf("%s.weight", module).text, shape.c);
  node->bias = add_vector(g, vc_pathf("%s.bias", module).text, shape.c);
  node->norm.eps = eps;
  return node;
}

vc_value vc_graph_group_norm(vc_graph *g, vc_value x, const char *module, int64_t groups, float eps, bool over_frames) {
  assert(groups > 0 && g->value[x].shape.c % groups == 0);
  vc_node *node = add_norm(g, VC_NODE_GROUP_NORM, x, module, eps);
  node->norm.groups = groups;
  node->norm.over_frames = over_frames;
  return node->out;
}

vc_value vc_graph_layer_norm(vc_graph *g, vc_value x, const char *module, float eps) {
  return add_norm(g, VC_NODE_LAYER_NORM, x, module, eps)->out;
}

vc_value vc_graph_activation(vc_graph *g, vc_value x, vc_activation activation) {
  vc_shape out = g->value[x].shape;
  if (activation == VC_ACT_GEGLU) out.c /= 2;
  vc_node *node = add_node(g, VC_NODE_ACTIVATION, 1, &x, out, "activation");
  node->activation = activation;
  return node->out;
}

vc_value vc_graph_attention(vc_graph *g, const vc_attention_spec *spec) {
  vc_value in[3] = {spec->q, spec->k, spec->v};
  vc_shape out = g->value[spec->q].shape;
  assert(out.n == g->value[spec->k].shape.n && spec->heads > 0 && spec->head_dim > 0);
  out.c = spec->heads * spec->head_dim;
  vc_node *node = add_node(g, VC_NODE_ATTENTION, 3, in, out, spec->label);
  node->attention.axis = spec->axis;
  node->attention.heads = spec->heads;
  node->attention.head_dim = spec->head_dim;
  node->attention.at[0] = spec->q_at;
  node->attention.at[1] = spec->k_at;
  node->attention.at[2] = spec->v_at;
  node->attention.scale = (float)(1.0 / sqrt((double)spec->head_dim));
  node->attention.causal = spec->causal;
  return node->out;
}

vc_value vc_graph_sum(vc_graph *g, int inputs, const vc_value *x, const float *scale) {
  assert(inputs >= 1 && inputs <= VC_SUM_MAX);
  vc_shape out = g->value[x[0]].shape;
  for (int i = 1; i < inputs; i++) {
    vc_shape s = g->value[x[i]].shape;
    assert(s.h == out.h && s.w == out.w && s.c == out.c);
    if (s.n > out.n) out.n = s.n;
    if (s.f > out.f) out.f = s.f;
  }
  vc_node *node = add_node(g, VC_NODE_SUM, inputs, x, out, "sum");
  for (int i = 0; i < inputs; i++) node->scale[i] = scale[i];
  return node->out;
}

vc_value vc_graph_add(vc_graph *g, vc_value a, vc_value b) {
  return vc_graph_sum(g, 2, (vc_value[]){a, b}, (float[]){1, 1});
}

vc_value vc_graph_concat(vc_graph *g, vc_value a, vc_value b) {
  vc_shape out = g->value[a].shape, s = g->value[b].shape;
  assert(s.n == out.n && s.f == out.f && s.h == out.h && s.w == out.w);
  out.c += s.c;
  return add_node(g, VC_NODE_CONCAT, 2, (vc_value[]){a, b}, out, "concat")->out;
}

vc_value vc_graph_join(vc_graph *g, vc_value a, vc_value b) {
  vc_shape out = g->value[a].shape, s = g->value[b].shape;
  assert(out.f == 1 && s.f == 1 && s.c == out.c);
  if (s.n > out.n) out.n = s.n;
  out.w = out.h * out.w + s.h * s.w;
  out.h = 1;
  return add_node(g, VC_NODE_JOIN, 2, (vc_value[]){a, b}, out, "join")->out;
}

vc_value vc_graph_repeat(vc_graph *g, vc_value x, int64_t n) {
  vc_shape out = g->value[x].shape;
  if (out.n == n) return x;
  assert(n % out.n == 0);
  out.n = n;
  return add_node(g, VC_NODE_REPEAT, 1, &x, out, "repeat")->out;
}

vc_value vc_graph_gather(vc_graph *g, vc_value table, vc_value index, const char *position_key) {
  vc_shape out = g->value[index].shape;
  assert(g->value[index].element == VC_ELEMENT_I32 && out.c == 1);
  out.c = g->value[table].shape.c;
  vc_node *node = add_node(g, VC_NODE_GATHER, 2, (vc_value[]){table, index}, out, "gather");
  if (position_key) {
    node->weight = add_param(g, &(vc_param_info){.stacked = 1,
                                                 .key = {position_key},
                                                 .key_rows = {out.w},
                                                 .layout = VC_LAYOUT_VECTOR,
                                                 .rows = out.w,
                                                 .columns = out.c,
                                                 .flat = true});
  }
  return node->out;
}

vc_value vc_graph_pool(vc_graph *g, vc_value x, int64_t h_out, int64_t w_out) {
  vc_shape out = g->value[x].shape;
  out.h = h_out;
  out.w = w_out;
  return add_node(g, VC_NODE_POOL, 1, &x, out, "pool")->out;
}

vc_value vc_graph_max_pool(vc_graph *g, vc_value x) {
  vc_shape out = g->value[x].shape;
  out.h /= 2;
  out.w /= 2;
  return add_node(g, VC_NODE_MAX_POOL, 1, &x, out, "max_pool")->out;
}

vc_value vc_graph_resize(vc_graph *g, vc_value x, int64_t h_out, int64_t w_out, bool align_corners) {
  vc_shape out = g->value[x].shape;
  out.h = h_out;
  out.w = w_out;
  vc_node *node = add_node(g, VC_NODE_RESIZE, 1, &x, out, "resize");
  node->align_corners = align_corners;
  return node->out;
}

vc_value vc_graph_gate(vc_graph *g, vc_value x, vc_value gate) {
  vc_shape out = g->value[x].shape, s = g->value[gate].shape;
  assert(s.c == 1 && vc_shape_rows(s) == vc_shape_rows(out));
  (void)s;
  return add_node(g, VC_NODE_GATE, 2, (vc_value[]){x, gate}, out, "gate")->out;
}

vc_value vc_graph_rows(vc_graph *g, vc_value x, int64_t first, int64_t step, int64_t h, int64_t w) {
  vc_shape in = g->value[x].shape, out = {in.n, 1, h, w, in.c};
  assert(in.f == 1 && first >= 0 && step >= 0 && first + step * (h * w - 1) < in.h * in.w);
  vc_node *node = add_node(g, VC_NODE_ROWS, 1, &x, out, "rows");
  node->rows.first = first;
  node->rows.step = step;
  return node->out;
}

vc_value vc_graph_sinusoid(vc_graph *g, vc_value t, int64_t c) {
  vc_shape out = g->value[t].shape;
  assert(g->value[t].element == VC_ELEMENT_F32 && out.c == 1 && c % 2 == 0);
  out.c = c;
  return add_node(g, VC_NODE_SINUSOID, 1, &t, out, "sinusoid")->out;
}

void vc_graph_sampler(vc_graph *g, const vc_sampler_spec *spec) {
  vc_shape x = g->value[spec->input].shape, noise = x;
  assert(vc_shape_elements(g->value[spec->eps].shape) == vc_shape_elements(x) * (spec->guided ? 2 : 1));
  noise.n *= g->steps;
  vc_shape table = {1, 1, 1, g->steps, sizeof(vc_sampler_row) / sizeof(float)};
  vc_value state[6];
  static const char *const names[6] = {"sampler.x",      "sampler.m1",    "sampler.m2",
                                       "sampler.x_last", "sampler.table", "sampler.noise"};
  for (int i = 0; i < 6; i++) {
    state[i] = VC_NONE;
    if (i == 5 && !spec->noise) continue;
    state[i] = vc_graph_input(g, names[i],
                              i == 4   ? table
                              : i == 5 ? noise
                                       : x,
                              VC_ELEMENT_F32, i < 4 ? VC_RATE_STEP : VC_RATE_VIDEO);
    if (i < 4) vc_graph_keep(g, state[i]);
  }
  vc_node *node = add_node(g, VC_NODE_SAMPLER, 2, (vc_value[]){spec->eps, spec->input}, x, "sampler");
  g->values--;  // the node writes the network's input, not a value of its own
  node->out = spec->input;
  node->sampler.guided = spec->guided;
  node->sampler.guidance = spec->guidance;
  node->sampler.x = state[0];
  node->sampler.m1 = state[1];
  node->sampler.m2 = state[2];
  node->sampler.x_last = state[3];
  node->sampler.table = state[4];
  node->sampler.noise = state[5];
}
