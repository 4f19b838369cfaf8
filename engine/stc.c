#include "engine/stc.h"

#include "engine/blocks.h"

enum { STC_HEADS = 2 };

const vc_stc_info vc_stc_table[VC_CONDITION_COUNT] = {
    [VC_CONDITION_DEPTH] = {"depthmap", "depth", "depth_embedding", "depth_embedding_after", 1},
    [VC_CONDITION_LOCAL_IMAGE] = {"local_image", "local_image", "local_image_embedding", "local_image_embedding_after",
                                  3},
    [VC_CONDITION_MOTION] = {"motion", "motion", "motion_embedding", "motion_embedding_after", 2},
    [VC_CONDITION_CANNY] = {"canny", "canny", "canny_embedding", "canny_embedding_after", 1},
    [VC_CONDITION_SKETCH] = {"sketch", "sketch", "sketch_embedding", "sketch_embedding_after", 1},
    [VC_CONDITION_SINGLE_SKETCH] = {"single_sketch", "single_sketch", "single_sketch_embedding",
                                    "single_sketch_embedding_after", 1},
    [VC_CONDITION_MASK] = {"mask", "masked", "masked_embedding", "mask_embedding_after", 4},
};

int64_t vc_stc_side(int64_t pool) {
  return ((pool + 1) / 2 + 1) / 2;
}

static vc_value half_size(vc_graph *g, vc_value x, const char *module, int64_t c_out) {
  return vc_graph_conv(g, x,
                       &(vc_conv_spec){.module = module,
                                       .c_out = c_out,
                                       .kernel = {1, 3, 3},
                                       .stride = 2,
                                       .pad = {0, 1, 1},
                                       .pad_after = {0, 1, 1},
                                       .bias = true});
}

static vc_value spatial_half(vc_graph *g, vc_value x, const char *module, int64_t c, const int64_t pool[2]) {
  x = vc_graph_conv3x3(g, x, vc_module(module, "0").text, 4 * c);
  x = vc_graph_name(g, vc_graph_activation(g, x, VC_ACT_SILU), vc_module(module, "1").text);
  x = vc_graph_name(g, vc_graph_pool(g, x, pool[0], pool[1]), vc_module(module, "2").text);
  x = half_size(g, x, vc_module(module, "3").text, 4 * c);
  x = vc_graph_name(g, vc_graph_activation(g, x, VC_ACT_SILU), vc_module(module, "4").text);
  return vc_graph_name(g, half_size(g, x, vc_module(module, "5").text, c), vc_module(module, "5").text);
}

// Heads as wide as the whole input; a layer norm before the attention only; a feed-forward without gate.
static vc_value temporal_half(vc_graph *g, vc_value x, const char *module, int64_t c) {
  vc_path attention = vc_module(module, "layers.0.0"), forward = vc_module(module, "layers.0.1");
  int64_t inner = STC_HEADS * c;
  vc_value h = vc_graph_layer_norm(g, x, vc_module(attention.text, "norm").text, 1e-5F);
  h = vc_graph_linear(g, h,
                      &(vc_linear_spec){.module = {vc_module(attention.text, "fn.to_qkv").text}, .c_out = 3 * inner});
  h = vc_graph_attention(g, &(vc_attention_spec){.axis = VC_AXIS_FRAMES,
                                                 .heads = STC_HEADS,
                                                 .head_dim = c,
                                                 .q = h,
                                                 .k = h,
                                                 .v = h,
                                                 .k_at = inner,
                                                 .v_at = 2 * inner,
                                                 .label = attention.text});
  h = vc_graph_linear(
      g, h, &(vc_linear_spec){.module = {vc_module(attention.text, "fn.to_out.0").text}, .c_out = c, .bias = true});
  x = vc_graph_name(g, vc_graph_add(g, x, h), attention.text);
  return vc_graph_name(g, vc_graph_add(g, x, vc_block_feed_forward(g, x, forward.text, false)), module);
}

vc_value vc_stc_encoder(vc_graph *g, vc_value video, vc_condition condition, int64_t concat_dim,
                        const int64_t pool[2]) {
  const vc_stc_info *info = &vc_stc_table[condition];
  vc_value x = spatial_half(g, video, info->convs, concat_dim, pool);
  return temporal_half(g, x, info->after, concat_dim);
}
