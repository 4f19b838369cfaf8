#include "engine/midas.h"

// ---- the transformer

static vc_value linear(vc_graph *g, vc_value x, const char *module, int64_t c_out) {
  return vc_graph_linear(g, x, &(vc_linear_spec){.module = {module}, .c_out = c_out, .bias = true});
}

static vc_value conv1x1(vc_graph *g, vc_value x, const char *module, int64_t c_out) {
  vc_linear_spec spec = {.module = {module}, .c_out = c_out, .bias = true, .spatial_rank = 2};
  return vc_graph_linear(g, x, &spec);
}

static vc_value block(vc_graph *g, vc_value x, int64_t index, const vc_midas_config *config) {
  int64_t dim = config->dim;
  vc_path m = vc_pathf("blocks.%lld", (long long)index), attention = vc_pathf("%s.attn", m.text);
  vc_value h = vc_graph_layer_norm(g, x, vc_pathf("%s.norm1", m.text).text, 1e-5F);
  vc_value qkv = linear(g, h, vc_pathf("%s.to_qkv", attention.text).text, 3 * dim);
  h = vc_graph_attention(g, &(vc_attention_spec){.axis = VC_AXIS_PIXELS,
                                                 .heads = config->heads,
                                                 .head_dim = dim / config->heads,
                                                 .q = qkv,
                                                 .k = qkv,
                                                 .v = qkv,
                                                 .k_at = dim,
                                                 .v_at = 2 * dim,
                                                 .label = attention.text});
  x = vc_graph_add(g, x, linear(g, h, vc_pathf("%s.proj", attention.text).text, dim));
  h = vc_graph_layer_norm(g, x, vc_pathf("%s.norm2", m.text).text, 1e-5F);
  h = linear(g, h, vc_pathf("%s.mlp.0", m.text).text, 4 * dim);
  h = linear(g, vc_graph_activation(g, h, VC_ACT_GELU), vc_pathf("%s.mlp.2", m.text).text, dim);
  return vc_graph_name(g, vc_graph_add(g, x, h), m.text);
}

// The embedding of h x w patches behind that of the class token, resized from the trained grid if that is another.
static vc_value positions(vc_graph *g, int64_t h, int64_t w, const vc_midas_config *config) {
  int64_t side = config->image_size / config->patch;
  vc_value all = vc_graph_parameter(g, "pos_embedding", side * side + 1, config->dim);
  if (h == side && w == side) return all;
  vc_value grid = vc_graph_resize(g, vc_graph_rows(g, all, 1, 1, side, side), h, w, false);
  return vc_graph_join(g, vc_graph_rows(g, all, 0, 0, 1, 1), grid);
}

static vc_value embed(vc_graph *g, vc_value frames, int64_t *h, int64_t *w, const vc_midas_config *config) {
  vc_value x = vc_graph_conv(g, frames,
                             &(vc_conv_spec){.module = "patch_embedding",
                                             .c_out = config->dim,
                                             .kernel = {1, config->patch, config->patch},
                                             .stride = config->patch,
                                             .bias = true});
  vc_shape s = vc_graph_shape(g, x);
  vc_value token = vc_graph_parameter(g, "cls_embedding", 1, config->dim);
  *h = s.h;
  *w = s.w;
  return vc_graph_add(g, vc_graph_join(g, vc_graph_repeat(g, token, s.n), x), positions(g, s.h, s.w, config));
}

// ---- the decoder

static vc_value conv3x3(vc_graph *g, vc_value x, vc_path module, int64_t c_out, int64_t stride, bool bias) {
  return vc_graph_conv(g, x,
                       &(vc_conv_spec){.module = module.text,
                                       .c_out = c_out,
                                       .kernel = {1, 3, 3},
                                       .stride = stride,
                                       .pad = {0, 1, 1},
                                       .pad_after = {0, 1, 1},
                                       .bias = bias});
}

// Tokens to a feature map: the class token joins every patch, and the map becomes 4, 2, 1 or 1/2 times as large.
static vc_value reassemble(vc_graph *g, vc_value x, int stage, int64_t h, int64_t w, const vc_midas_config *config) {
  int64_t c = config->neck[stage];
  vc_value y = vc_graph_concat(g, vc_graph_rows(g, x, 1, 1, h, w), vc_graph_rows(g, x, 0, 0, h, w));
  y = vc_graph_activation(g, linear(g, y, vc_pathf("fc%d.0", stage + 1).text, config->dim), VC_ACT_GELU);
  vc_path last = vc_pathf("conv%d.%d", stage + 1, stage == 2 ? 1 : 2), resample = vc_pathf("conv%d.1", stage + 1);
  y = conv1x1(g, y, vc_pathf("conv%d.0", stage + 1).text, c);
  if (stage < 2) {
    int64_t scale = stage == 0 ? 4 : 2;
    vc_conv_transpose_spec spec = {.module = resample.text, .c_out = c, .kernel = scale, .stride = scale};
    y = vc_graph_conv_transpose(g, y, &spec);
  } else if (stage == 3) {
    y = conv3x3(g, y, resample, c, 2, true);
  }
  return conv3x3(g, y, last, config->fusion, 1, false);
}

// x + conv(relu(conv(relu(x))))
static vc_value residual(vc_graph *g, vc_value x, vc_path module) {
  int64_t c = vc_graph_shape(g, x).c;
  vc_value h = vc_graph_activation(g, x, VC_ACT_RELU);
  h = conv3x3(g, h, vc_pathf("%s.residual.1", module.text), c, 1, true);
  h = conv3x3(g, vc_graph_activation(g, h, VC_ACT_RELU), vc_pathf("%s.residual.3", module.text), c, 1, true);
  return vc_graph_add(g, x, h);
}

static vc_value twice_as_large(vc_graph *g, vc_value x) {
  vc_shape s = vc_graph_shape(g, x);
  return vc_graph_resize(g, x, 2 * s.h, 2 * s.w, true);
}

// The 1x1 convolution comes before the enlarging, where it has a quarter of the work: the weights of an interpolation
// add up to 1, so the two can change places.
static vc_value fuse(vc_graph *g, vc_value x, vc_value lateral, int stage) {
  vc_path m = vc_pathf("fusion%d", stage + 1);
  if (lateral != VC_NONE) x = vc_graph_add(g, x, residual(g, lateral, vc_pathf("%s.layer1", m.text)));
  x = residual(g, x, vc_pathf("%s.layer2", m.text));
  x = conv1x1(g, x, vc_pathf("%s.conv_out", m.text).text, vc_graph_shape(g, x).c);
  return vc_graph_name(g, twice_as_large(g, x), m.text);
}

vc_value vc_midas(vc_graph *g, vc_value frames, const vc_midas_config *config) {
  int64_t h, w, quarter = config->layers / 4;
  vc_value x = embed(g, frames, &h, &w, config), stage[4];
  for (int i = 0; i < 4; i++) {
    for (int64_t k = i * quarter; k < (i + 1) * quarter; k++) x = block(g, x, k, config);
    stage[i] = reassemble(g, x, i, h, w, config);
  }
  x = fuse(g, stage[3], VC_NONE, 3);
  for (int i = 2; i >= 0; i--) x = fuse(g, x, stage[i], i);
  x = twice_as_large(g, conv3x3(g, x, vc_pathf("head.0"), config->fusion / 2, 1, true));
  x = vc_graph_activation(g, conv3x3(g, x, vc_pathf("head.2"), config->head_dim, 1, true), VC_ACT_RELU);
  // In the file a transposed convolution, of one tap: a matrix the other way round.
  vc_linear_spec last = {.module = {"head.4"}, .c_out = 1, .bias = true, .transposed = true, .spatial_rank = 2};
  return vc_graph_activation(g, vc_graph_linear(g, x, &last), VC_ACT_RELU);
}

int64_t vc_midas_multiple(const vc_midas_config *config) {
  return 2 * config->patch;
}
