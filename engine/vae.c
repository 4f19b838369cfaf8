#include "engine/vae.h"

#include <math.h>

#include "engine/blocks.h"

static vc_value norm_silu(vc_graph *g, vc_value x, vc_path module, const vc_vae_config *config) {
  x = vc_graph_name(g, vc_graph_group_norm(g, x, module.text, config->groups, 1e-6F, false), module.text);
  return vc_graph_activation(g, x, VC_ACT_SILU);
}

static vc_value conv3x3(vc_graph *g, vc_value x, vc_path module, int64_t c_out) {
  return vc_graph_name(g, vc_graph_conv3x3(g, x, module.text, c_out), module.text);
}

static vc_value conv1x1(vc_graph *g, vc_value x, vc_path module, int64_t c_out) {
  vc_linear_spec spec = {.module = {module.text}, .c_out = c_out, .bias = true, .spatial_rank = 2};
  return vc_graph_name(g, vc_graph_linear(g, x, &spec), module.text);
}

static vc_value res_block(vc_graph *g, vc_value x, const char *module, int64_t c_out, const vc_vae_config *config) {
  vc_value h = conv3x3(g, norm_silu(g, x, vc_module(module, "norm1"), config), vc_module(module, "conv1"), c_out);
  h = conv3x3(g, norm_silu(g, h, vc_module(module, "norm2"), config), vc_module(module, "conv2"), c_out);
  if (vc_graph_shape(g, x).c != c_out) x = conv1x1(g, x, vc_module(module, "nin_shortcut"), c_out);
  return vc_graph_name(g, vc_graph_add(g, x, h), module);
}

// One head over the pixels of a frame.
static vc_value attention(vc_graph *g, vc_value x, const char *module, const vc_vae_config *config) {
  int64_t c = vc_graph_shape(g, x).c;
  vc_path q = vc_module(module, "q"), k = vc_module(module, "k"), v = vc_module(module, "v");
  vc_value h = vc_graph_group_norm(g, x, vc_module(module, "norm").text, config->groups, 1e-6F, false);
  vc_value qkv = vc_graph_linear(
      g, h, &(vc_linear_spec){.module = {q.text, k.text, v.text}, .c_out = 3 * c, .bias = true, .spatial_rank = 2});
  h = vc_graph_attention(g, &(vc_attention_spec){.axis = VC_AXIS_PIXELS,
                                                 .heads = 1,
                                                 .head_dim = c,
                                                 .q = qkv,
                                                 .k = qkv,
                                                 .v = qkv,
                                                 .k_at = c,
                                                 .v_at = 2 * c,
                                                 .label = module});
  h = conv1x1(g, h, vc_module(module, "proj_out"), c);
  return vc_graph_name(g, vc_graph_add(g, x, h), module);
}

static vc_value middle(vc_graph *g, vc_value x, const char *module, const vc_vae_config *config) {
  int64_t c = vc_graph_shape(g, x).c;
  x = res_block(g, x, vc_module(module, "block_1").text, c, config);
  x = attention(g, x, vc_module(module, "attn_1").text, config);
  return res_block(g, x, vc_module(module, "block_2").text, c, config);
}

// One zero row below and one zero column to the right only.
static vc_value downsample(vc_graph *g, vc_value x, const char *module) {
  vc_path conv = vc_module(module, "conv");
  x = vc_graph_conv(g, x,
                    &(vc_conv_spec){.module = conv.text,
                                    .c_out = vc_graph_shape(g, x).c,
                                    .kernel = {1, 3, 3},
                                    .stride = 2,
                                    .pad_after = {0, 1, 1},
                                    .bias = true});
  return vc_graph_name(g, x, conv.text);
}

vc_value vc_vae_encoder(vc_graph *g, vc_value image, const vc_vae_config *config) {
  vc_value x = conv3x3(g, image, vc_pathf("encoder.conv_in"), config->ch);
  for (int level = 0; level < config->levels; level++) {
    for (int64_t j = 0; j < config->num_res_blocks; j++)
      x = res_block(g, x, vc_pathf("encoder.down.%d.block.%lld", level, (long long)j).text,
                    config->ch * config->ch_mult[level], config);
    if (level < config->levels - 1) x = downsample(g, x, vc_pathf("encoder.down.%d.downsample", level).text);
  }
  x = middle(g, x, "encoder.mid", config);
  x = norm_silu(g, x, vc_pathf("encoder.norm_out"), config);
  x = conv3x3(g, x, vc_pathf("encoder.conv_out"), 2 * config->z_channels);
  return conv1x1(g, x, vc_pathf("quant_conv"), 2 * config->embed_dim);
}

vc_value vc_vae_decoder(vc_graph *g, vc_value latent, const vc_vae_config *config) {
  float scale = (float)(1.0 / config->scale_factor);
  vc_value x = vc_graph_sum(g, 1, &latent, &scale);
  x = conv1x1(g, x, vc_pathf("post_quant_conv"), config->z_channels);
  x = conv3x3(g, x, vc_pathf("decoder.conv_in"), config->ch * config->ch_mult[config->levels - 1]);
  x = middle(g, x, "decoder.mid", config);
  for (int level = config->levels - 1; level >= 0; level--) {
    for (int64_t j = 0; j <= config->num_res_blocks; j++)
      x = res_block(g, x, vc_pathf("decoder.up.%d.block.%lld", level, (long long)j).text,
                    config->ch * config->ch_mult[level], config);
    if (level > 0) x = vc_block_upsample(g, x, vc_pathf("decoder.up.%d.upsample", level).text);
  }
  x = norm_silu(g, x, vc_pathf("decoder.norm_out"), config);
  return conv3x3(g, x, vc_pathf("decoder.conv_out"), config->out_ch);
}

int64_t vc_vae_scale(const vc_vae_config *config) {
  return (int64_t)1 << (config->levels - 1);
}

void vc_vae_posterior(const float *moments, const float *noise, int64_t pixels, int64_t c, double scale_factor,
                      float *mean, float *logvar, float *latent) {
  for (int64_t p = 0; p < pixels; p++) {
    for (int64_t i = 0; i < c; i++) {
      float m = moments[2 * p * c + i], v = moments[(2 * p + 1) * c + i];
      // Written so that a NaN stays one.
      v = v < -30 ? -30 : v > 20 ? 20 : v;
      if (mean) mean[p * c + i] = m;
      if (logvar) logvar[p * c + i] = v;
      latent[p * c + i] = (float)(scale_factor * ((double)m + exp(0.5 * (double)v) * (double)noise[p * c + i]));
    }
  }
}
