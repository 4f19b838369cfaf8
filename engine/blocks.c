#include "engine/blocks.h"

vc_path vc_module(const char *module, const char *name) {
  return vc_pathf("%s%s%s", module, *module ? "." : "", name);
}

static vc_value group_norm(vc_graph *g, vc_value x, vc_path module, int64_t groups, float eps, bool over_frames) {
  return vc_graph_name(g, vc_graph_group_norm(g, x, module.text, groups, eps, over_frames), module.text);
}

static vc_value layer_norm(vc_graph *g, vc_value x, vc_path module) {
  return vc_graph_name(g, vc_graph_layer_norm(g, x, module.text, 1e-5F), module.text);
}

static vc_value linear(vc_graph *g, vc_value x, vc_path module, int64_t c_out, int spatial_rank) {
  vc_linear_spec spec = {.module = {module.text}, .c_out = c_out, .bias = true, .spatial_rank = spatial_rank};
  return vc_graph_name(g, vc_graph_linear(g, x, &spec), module.text);
}

vc_value vc_block_temporal_conv(vc_graph *g, vc_value x, const char *module, int64_t groups) {
  // The first layer has no dropout, so its convolution comes one place earlier.
  static const char *const convs[4] = {"conv1.2", "conv2.3", "conv3.3", "conv4.3"};
  vc_value h = x;
  for (int i = 0; i < 4; i++) {
    vc_path layer = vc_module(module, vc_pathf("conv%d", i + 1).text), conv = vc_module(module, convs[i]);
    h = group_norm(g, h, vc_module(layer.text, "0"), groups, 1e-5F, true);
    h = vc_graph_activation(g, h, VC_ACT_SILU);
    h = vc_graph_conv(g, h,
                      &(vc_conv_spec){.module = conv.text,
                                      .c_out = vc_graph_shape(g, x).c,
                                      .kernel = {3, 1, 1},
                                      .pad = {1, 0, 0},
                                      .pad_after = {1, 0, 0},
                                      .spatial_rank = 3,
                                      .bias = true});
    vc_graph_name(g, h, conv.text);
  }
  return vc_graph_add(g, x, h);
}

vc_value vc_block_res(vc_graph *g, vc_value x, const vc_res_spec *spec) {
  const char *m = spec->module;
  vc_path conv1 = vc_module(m, "in_layers.2"), conv2 = vc_module(m, "out_layers.3");
  vc_value emb = linear(g, spec->emb, vc_module(m, "emb_layers.1"), spec->c_out, 0);
  vc_value h = group_norm(g, x, vc_module(m, "in_layers.0"), spec->groups, 1e-5F, false);
  h = vc_graph_activation(g, h, VC_ACT_SILU);
  h = vc_graph_conv(g, h,
                    &(vc_conv_spec){.module = conv1.text,
                                    .c_out = spec->c_out,
                                    .kernel = {1, 3, 3},
                                    .pad = {0, 1, 1},
                                    .pad_after = {0, 1, 1},
                                    .bias = true,
                                    .addend = emb,
                                    .has_addend = true});
  vc_graph_name(g, h, vc_pathf("%s+%s", conv1.text, vc_module(m, "emb_layers.1").text).text);
  h = group_norm(g, h, vc_module(m, "out_layers.0"), spec->groups, 1e-5F, false);
  h = vc_graph_activation(g, h, VC_ACT_SILU);
  h = vc_graph_name(g, vc_graph_conv3x3(g, h, conv2.text, spec->c_out), conv2.text);
  vc_value skip = x;
  if (vc_graph_shape(g, x).c != spec->c_out) skip = linear(g, x, vc_module(m, "skip_connection"), spec->c_out, 2);
  vc_path temporal = vc_module(m, "temopral_conv");
  h = vc_block_temporal_conv(g, vc_graph_add(g, skip, h), temporal.text, spec->groups);
  return vc_graph_name(g, h, temporal.text);
}

vc_value vc_block_feed_forward(vc_graph *g, vc_value x, const char *module, bool gated) {
  int64_t c = vc_graph_shape(g, x).c;
  vc_value h = linear(g, x, vc_module(module, gated ? "net.0.proj" : "net.0.0"), (gated ? 8 : 4) * c, 0);
  h = vc_graph_activation(g, h, gated ? VC_ACT_GEGLU : VC_ACT_GELU);
  return linear(g, h, vc_module(module, "net.2"), c, 0);
}

static vc_value self_attention(vc_graph *g, vc_value x, const char *module, const vc_transformer_spec *spec,
                               vc_axis axis) {
  int64_t inner = spec->heads * spec->head_dim;
  vc_path q = vc_module(module, "to_q"), k = vc_module(module, "to_k"), v = vc_module(module, "to_v");
  vc_value qkv = vc_graph_linear(g, x, &(vc_linear_spec){.module = {q.text, k.text, v.text}, .c_out = 3 * inner});
  vc_value h = vc_graph_attention(g, &(vc_attention_spec){.axis = axis,
                                                          .heads = spec->heads,
                                                          .head_dim = spec->head_dim,
                                                          .q = qkv,
                                                          .k = qkv,
                                                          .v = qkv,
                                                          .k_at = inner,
                                                          .v_at = 2 * inner,
                                                          .label = module});
  return linear(g, h, vc_module(module, "to_out.0"), vc_graph_shape(g, x).c, 0);
}

// Queries are computed for x's videos and repeated for the context's; keys and values once a context, in no frame's
// name.
static vc_value cross_attention(vc_graph *g, vc_value x, const char *module, const vc_transformer_spec *spec) {
  int64_t inner = spec->heads * spec->head_dim;
  vc_path to_q = vc_module(module, "to_q"), to_k = vc_module(module, "to_k"), to_v = vc_module(module, "to_v");
  vc_value q = vc_graph_linear(g, x, &(vc_linear_spec){.module = {to_q.text}, .c_out = inner});
  vc_value kv =
      vc_graph_linear(g, spec->context, &(vc_linear_spec){.module = {to_k.text, to_v.text}, .c_out = 2 * inner});
  q = vc_graph_repeat(g, q, vc_graph_shape(g, kv).n);
  vc_value h = vc_graph_attention(g, &(vc_attention_spec){.axis = VC_AXIS_PIXELS,
                                                          .heads = spec->heads,
                                                          .head_dim = spec->head_dim,
                                                          .q = q,
                                                          .k = kv,
                                                          .v = kv,
                                                          .v_at = inner,
                                                          .label = module});
  return linear(g, h, vc_module(module, "to_out.0"), vc_graph_shape(g, x).c, 0);
}

// Pre-norm: attention, attention (to the context, if there is one), gated feed-forward, each with a residual.
static vc_value transformer_block(vc_graph *g, vc_value x, const char *module, const vc_transformer_spec *spec,
                                  vc_axis axis) {
  vc_path first = vc_module(module, "attn1"), second = vc_module(module, "attn2"), ff = vc_module(module, "ff");
  vc_value h = layer_norm(g, x, vc_module(module, "norm1"));
  x = vc_graph_add(g, x, self_attention(g, h, first.text, spec, axis));
  h = layer_norm(g, x, vc_module(module, "norm2"));
  if (axis == VC_AXIS_PIXELS) {
    x = vc_graph_repeat(g, x, vc_graph_shape(g, spec->context).n);
    h = cross_attention(g, h, second.text, spec);
  } else {
    h = self_attention(g, h, second.text, spec, axis);
  }
  x = vc_graph_add(g, x, h);
  h = layer_norm(g, x, vc_module(module, "norm3"));
  return vc_graph_add(g, x, vc_block_feed_forward(g, h, ff.text, true));
}

// The projections are linear layers in spatial transformers and 1-tap convolutions in temporal ones.
static vc_value transformer(vc_graph *g, vc_value x, const vc_transformer_spec *spec, vc_axis axis) {
  const char *m = spec->module;
  bool temporal = axis == VC_AXIS_FRAMES;
  int rank = temporal ? 1 : 0;
  vc_value h = group_norm(g, x, vc_module(m, "norm"), spec->groups, 1e-6F, temporal);
  h = linear(g, h, vc_module(m, "proj_in"), spec->heads * spec->head_dim, rank);
  h = transformer_block(g, h, vc_module(m, "transformer_blocks.0").text, spec, axis);
  x = vc_graph_repeat(g, x, vc_graph_shape(g, h).n);
  h = linear(g, h, vc_module(m, "proj_out"), vc_graph_shape(g, x).c, rank);
  h = vc_graph_add(g, x, h);
  return *m ? vc_graph_name(g, h, m) : h;
}

vc_value vc_block_spatial_transformer(vc_graph *g, vc_value x, const vc_transformer_spec *spec) {
  return transformer(g, x, spec, VC_AXIS_PIXELS);
}

vc_value vc_block_temporal_transformer(vc_graph *g, vc_value x, const vc_transformer_spec *spec) {
  return transformer(g, x, spec, VC_AXIS_FRAMES);
}

vc_value vc_block_downsample(vc_graph *g, vc_value x, const char *module) {
  vc_path op = vc_module(module, "op");
  vc_value h = vc_graph_conv(g, x,
                             &(vc_conv_spec){.module = op.text,
                                             .c_out = vc_graph_shape(g, x).c,
                                             .kernel = {1, 3, 3},
                                             .stride = 2,
                                             .pad = {0, 1, 1},
                                             .pad_after = {0, 1, 1},
                                             .bias = true});
  return vc_graph_name(g, h, op.text);
}

vc_value vc_block_upsample(vc_graph *g, vc_value x, const char *module) {
  vc_path conv = vc_module(module, "conv");
  vc_value h = vc_graph_conv(g, x,
                             &(vc_conv_spec){.module = conv.text,
                                             .c_out = vc_graph_shape(g, x).c,
                                             .kernel = {1, 3, 3},
                                             .pad = {0, 1, 1},
                                             .pad_after = {0, 1, 1},
                                             .bias = true,
                                             .upsample = true});
  return vc_graph_name(g, h, conv.text);
}
