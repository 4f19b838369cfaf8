#include "engine/clip.h"

#include <string.h>

#include "engine/blocks.h"

static vc_value linear(vc_graph *g, vc_value x, vc_path module, int64_t c_out) {
  return vc_graph_linear(g, x, &(vc_linear_spec){.module = {module.text}, .c_out = c_out, .bias = true});
}

static vc_value layer_norm(vc_graph *g, vc_value x, vc_path module) {
  return vc_graph_name(g, vc_graph_layer_norm(g, x, module.text, 1e-5F), module.text);
}

static vc_value attention(vc_graph *g, vc_value x, const char *module, int64_t heads, bool causal) {
  int64_t width = vc_graph_shape(g, x).c;
  vc_path weight = vc_module(module, "in_proj_weight"), bias = vc_module(module, "in_proj_bias");
  vc_value qkv = vc_graph_linear(
      g, x, &(vc_linear_spec){.weight = weight.text, .bias_key = bias.text, .c_out = 3 * width, .bias = true});
  vc_value h = vc_graph_attention(g, &(vc_attention_spec){.axis = VC_AXIS_PIXELS,
                                                          .heads = heads,
                                                          .head_dim = width / heads,
                                                          .q = qkv,
                                                          .k = qkv,
                                                          .v = qkv,
                                                          .k_at = width,
                                                          .v_at = 2 * width,
                                                          .causal = causal,
                                                          .label = module});
  return linear(g, h, vc_module(module, "out_proj"), width);
}

static vc_value block(vc_graph *g, vc_value x, const char *module, int64_t heads, bool causal) {
  int64_t width = vc_graph_shape(g, x).c;
  vc_value h = layer_norm(g, x, vc_module(module, "ln_1"));
  x = vc_graph_add(g, x, attention(g, h, vc_module(module, "attn").text, heads, causal));
  h = layer_norm(g, x, vc_module(module, "ln_2"));
  h = linear(g, h, vc_module(module, "mlp.c_fc"), 4 * width);
  h = linear(g, vc_graph_activation(g, h, VC_ACT_GELU), vc_module(module, "mlp.c_proj"), width);
  return vc_graph_name(g, vc_graph_add(g, x, h), module);
}

static vc_value text_blocks(vc_graph *g, vc_value x, const vc_clip_config *config, int64_t first, int64_t last) {
  for (int64_t i = first; i < last; i++)
    x = block(g, x, vc_pathf("transformer.resblocks.%lld", (long long)i).text, config->text.heads, true);
  return x;
}

static vc_value embed_tokens(vc_graph *g, vc_value tokens, const vc_clip_config *config) {
  vc_value table = vc_graph_parameter(g, "token_embedding.weight", config->text.vocab, config->text.width);
  return vc_graph_gather(g, table, tokens, "positional_embedding");
}

// Blocks before the point where the context is taken.
static int64_t hidden_layers(const vc_clip_config *config) {
  return config->text.layers - (strcmp(config->text_layer, "last") ? 1 : 0);
}

static vc_value project(vc_graph *g, vc_value x, const char *key, int64_t c_out) {
  return vc_graph_linear(g, x, &(vc_linear_spec){.weight = key, .c_out = c_out, .transposed = true});
}

vc_value vc_clip_text(vc_graph *g, vc_value tokens, const vc_clip_config *config) {
  vc_value x = text_blocks(g, embed_tokens(g, tokens, config), config, 0, hidden_layers(config));
  return vc_graph_layer_norm(g, x, "ln_final", 1e-5F);
}

void vc_clip_text_both(vc_graph *g, vc_value tokens, const vc_clip_config *config, vc_value *hidden,
                       vc_value *features) {
  int64_t early = hidden_layers(config);
  vc_value x = text_blocks(g, embed_tokens(g, tokens, config), config, 0, early);
  *hidden = vc_graph_layer_norm(g, x, "ln_final", 1e-5F);
  x = text_blocks(g, x, config, early, config->text.layers);
  x = vc_graph_layer_norm(g, x, "ln_final", 1e-5F);
  *features = project(g, x, "text_projection", config->embed_dim);
}

vc_value vc_clip_text_features(vc_graph *g, vc_value tokens, const vc_clip_config *config) {
  vc_value x = text_blocks(g, embed_tokens(g, tokens, config), config, 0, config->text.layers);
  return project(g, vc_graph_layer_norm(g, x, "ln_final", 1e-5F), "text_projection", config->embed_dim);
}

vc_value vc_clip_image(vc_graph *g, vc_value pixels, const vc_clip_config *config) {
  const vc_clip_tower *tower = &config->image;
  int64_t side = tower->size / tower->patch, tokens = 1 + side * side;
  vc_value x = vc_graph_conv(g, pixels,
                             &(vc_conv_spec){.module = "visual.conv1",
                                             .c_out = tower->width,
                                             .kernel = {1, tower->patch, tower->patch},
                                             .stride = tower->patch});
  vc_value token = vc_graph_parameter(g, "visual.class_embedding", 1, tower->width);
  x = vc_graph_join(g, vc_graph_repeat(g, token, vc_graph_shape(g, x).n), x);
  x = vc_graph_add(g, x, vc_graph_parameter(g, "visual.positional_embedding", tokens, tower->width));
  x = layer_norm(g, x, vc_pathf("visual.ln_pre"));
  for (int64_t i = 0; i < tower->layers; i++)
    x = block(g, x, vc_pathf("visual.transformer.resblocks.%lld", (long long)i).text, tower->heads, false);
  return project(g, layer_norm(g, x, vc_pathf("visual.ln_post")), "visual.proj", config->embed_dim);
}
