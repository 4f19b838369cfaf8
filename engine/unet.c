#include "engine/unet.h"

#include "engine/blocks.h"
#include "engine/stc.h"
#include "engine/unet_layout.h"

// Of all videos together, so that no product of sizes overflows.
static const int64_t max_pixels = (int64_t)1 << 34;

static vc_value mlp(vc_graph *g, vc_value x, const char *module, int64_t c_out) {
  vc_path first = vc_module(module, "0"), second = vc_module(module, "2");
  x = vc_graph_linear(g, x, &(vc_linear_spec){.module = {first.text}, .c_out = c_out, .bias = true});
  x = vc_graph_activation(g, x, VC_ACT_SILU);
  x = vc_graph_linear(g, x, &(vc_linear_spec){.module = {second.text}, .c_out = c_out, .bias = true});
  return vc_graph_name(g, x, second.text);
}

vc_value vc_unet_time_embed(vc_graph *g, vc_value t, int64_t dim) {
  vc_value x = vc_graph_name(g, vc_graph_sinusoid(g, t, dim), "sinusoid");
  return mlp(g, x, "time_embed", 4 * dim);
}

// The sum of all encoders' outputs in one op. A video that stands for all videos is repeated unless its single frame
// stands for all frames too, which the sum does by itself.
static vc_value encode_conditions(vc_graph *g, const vc_unet_config *config, const vc_unet_request *r) {
  vc_value part[VC_SUM_MAX];
  float scale[VC_SUM_MAX];
  int parts = 0;
  bool complete = false;
  for (int i = 0; i < VC_CONDITION_COUNT; i++) {
    if (!r->video[i].f) continue;
    vc_shape shape = {r->video[i].n, r->video[i].f, r->video[i].h, r->video[i].w, vc_stc_table[i].channels};
    vc_value x = vc_graph_input(g, vc_stc_table[i].input, shape, VC_ELEMENT_ACTIVATION, VC_RATE_VIDEO);
    x = vc_stc_encoder(g, x, (vc_condition)i, config->concat_dim, config->stc_size);
    part[parts] = shape.f == 1 && shape.n == 1 ? x : vc_graph_repeat(g, x, r->n);
    scale[parts++] = r->video[i].strength;
    complete |= shape.f == r->f && (shape.f > 1 || shape.n == r->n);
  }
  if (!complete) {
    vc_shape shape = {r->n, r->f, r->h, r->w, config->concat_dim};
    part[parts] = vc_graph_input(g, "zeros", shape, VC_ELEMENT_ACTIVATION, VC_RATE_VIDEO);
    scale[parts++] = 1;
  }
  if (parts == 1 && scale[0] == 1) return part[0];
  return vc_graph_name(g, vc_graph_sum(g, parts, part, scale), "concat");
}

static vc_value encode_context(vc_graph *g, const vc_unet_config *config, const vc_unet_request *r) {
  vc_shape shape = {r->guided ? 2 * r->n : r->n, 1, 1, r->text_tokens, config->context_dim};
  vc_value context = vc_graph_input(g, "y", shape, VC_ELEMENT_ACTIVATION, VC_RATE_VIDEO);
  if (!r->style_tokens) return context;
  shape.w = r->style_tokens;
  vc_value image = vc_graph_input(g, "image", shape, VC_ELEMENT_ACTIVATION, VC_RATE_VIDEO);
  return vc_graph_join(g, context, mlp(g, image, "pre_image_condition", config->context_dim));
}

typedef struct unet_state {
  const vc_unet_config *config;
  vc_value emb, context;
} unet_state;

static vc_value run_layer(vc_graph *g, vc_value x, const unet_state *s, const vc_unet_layer *layer,
                          const char *module) {
  const vc_unet_config *config = s->config;
  vc_transformer_spec transformer = {.module = module,
                                     .heads = layer->c_in / config->head_dim,
                                     .head_dim = config->head_dim,
                                     .groups = config->groups,
                                     .context = s->context};
  switch (layer->kind) {
    case VC_LAYER_CONV:
      return vc_graph_name(g, vc_graph_conv3x3(g, x, module, layer->c_out), module);
    case VC_LAYER_RES:
      return vc_block_res(
          g, x, &(vc_res_spec){.module = module, .c_out = layer->c_out, .groups = config->groups, .emb = s->emb});
    case VC_LAYER_SPATIAL:
      return vc_block_spatial_transformer(g, x, &transformer);
    case VC_LAYER_FIRST_TEMPORAL:
      transformer.heads = config->num_heads;
      return vc_block_temporal_transformer(g, x, &transformer);
    case VC_LAYER_TEMPORAL:
      return vc_block_temporal_transformer(g, x, &transformer);
    case VC_LAYER_DOWN:
      return vc_block_downsample(g, x, module);
    case VC_LAYER_UP:
      return vc_block_upsample(g, x, module);
  }
  return x;
}

// `module` is the block's path; layers are numbered below it, except in blocks that are a layer themselves.
static vc_value run_block(vc_graph *g, vc_value x, const unet_state *s, const vc_unet_block *block, const char *module,
                          bool numbered) {
  for (int i = 0; i < block->layers; i++)
    x = run_layer(g, x, s, &block->layer[i], numbered ? vc_pathf("%s.%d", module, i).text : module);
  return x;
}

static vc_value run_blocks(vc_graph *g, vc_value x, const unet_state *s, const vc_unet_layout *layout) {
  vc_value skip[VC_MAX_BLOCKS];
  int skips = layout->encoder_blocks;
  for (int i = 0; i < skips; i++) {
    const vc_unet_block *block = &layout->encoder[i];
    bool numbered = block->layer[0].kind != VC_LAYER_DOWN;
    skip[i] = x = run_block(g, x, s, block, vc_pathf("input_blocks.%d", i).text, numbered);
  }
  for (int i = 0; i < VC_MIDDLE_BLOCKS; i++)
    x = run_block(g, x, s, &layout->middle[i], vc_pathf("middle_block.%d", i).text, false);
  for (int i = 0; i < layout->decoder_blocks; i++) {
    // Before the first cross-attention both guidance passes are the same and computed once.
    vc_value other = vc_graph_repeat(g, skip[--skips], vc_graph_shape(g, x).n);
    x = vc_graph_concat(g, x, other);
    x = run_block(g, x, s, &layout->decoder[i], vc_pathf("output_blocks.%d", i).text, true);
  }
  return x;
}

vc_value vc_unet_describe(vc_graph *g, const vc_unet_config *config, const vc_unet_request *r) {
  vc_unet_layout layout;
  vc_unet_layout_of(&layout, config);
  vc_value x =
      vc_graph_input(g, "x", (vc_shape){r->n, r->f, r->h, r->w, config->in_dim}, VC_ELEMENT_ACTIVATION, VC_RATE_STEP);
  vc_value t = vc_graph_input(g, "t", (vc_shape){g->steps * r->timesteps, 1, 1, 1, 1}, VC_ELEMENT_F32, VC_RATE_VIDEO);
  unet_state state = {.config = config};
  state.emb = vc_graph_activation(g, vc_unet_time_embed(g, t, config->dim), VC_ACT_SILU);
  state.context = encode_context(g, config, r);
  x = vc_graph_concat(g, x, encode_conditions(g, config, r));
  x = run_blocks(g, x, &state, &layout);
  x = vc_graph_group_norm(g, x, "out.0", config->groups, 1e-5F, false);
  x = vc_graph_activation(g, vc_graph_name(g, x, "out.0"), VC_ACT_SILU);
  return vc_graph_conv3x3(g, x, "out.2", config->out_dim);
}

static vc_status check_video(const vc_unet_config *config, const vc_unet_request *r, int i, vc_error *error) {
  const vc_stc_info *info = &vc_stc_table[i];
  int64_t n = r->video[i].n, f = r->video[i].f, h = r->video[i].h, w = r->video[i].w;
  if (!f) return VC_OK;
  if (!config->conditions[i])
    return vc_fail(error, VC_FAILED,
                   "%s is given, and the model has no encoder for it (\"%s\" is not one of its conditions)",
                   info->input, info->condition);
  if ((n != 1 && n != r->n) || (f != 1 && f != r->f))
    return vc_fail(error, VC_FAILED, "%s has %lld videos of %lld frames, and must have %lld of %lld, or 1 of either",
                   info->input, (long long)n, (long long)f, (long long)r->n, (long long)r->f);
  if (h < 1 || w < 1 || h > VC_MAX_SIDE || w > VC_MAX_SIDE)
    return vc_fail(error, VC_FAILED, "%s is %lld x %lld, and sides must be 1 to %d", info->input, (long long)h,
                   (long long)w, (int)VC_MAX_SIDE);
  if (n * f > max_pixels / (h * w))
    return vc_fail(error, VC_FAILED, "%s: %lld videos of %lld frames of %lld x %lld are too many pixels", info->input,
                   (long long)n, (long long)f, (long long)h, (long long)w);
  return VC_OK;
}

vc_status vc_unet_request_check(const vc_unet_config *config, const vc_unet_request *r, vc_error *error) {
  int64_t multiple = (int64_t)1 << (config->levels - 1);
  if (r->n < 1 || r->f < 1 || r->n > VC_MAX_SIDE || r->f > VC_MAX_SIDE)
    return vc_fail(error, VC_FAILED, "%lld videos of %lld frames: both must be 1 to %d", (long long)r->n,
                   (long long)r->f, (int)VC_MAX_SIDE);
  if (r->h < 1 || r->w < 1 || r->h > VC_MAX_SIDE || r->w > VC_MAX_SIDE || r->h % multiple || r->w % multiple)
    return vc_fail(error, VC_FAILED, "the latent is %lld x %lld, and sides must be multiples of %lld (%d levels)",
                   (long long)r->h, (long long)r->w, (long long)multiple, config->levels);
  if (r->n * r->f > max_pixels / (r->h * r->w))
    return vc_fail(error, VC_FAILED, "%lld videos of %lld frames of %lld x %lld are too many pixels", (long long)r->n,
                   (long long)r->f, (long long)r->h, (long long)r->w);
  if (vc_stc_side(config->stc_size[0]) != r->h || vc_stc_side(config->stc_size[1]) != r->w)
    return vc_fail(error, VC_FAILED, "the latent is %lld x %lld, and stc_size %lld x %lld must be 4 times that",
                   (long long)r->h, (long long)r->w, (long long)config->stc_size[0], (long long)config->stc_size[1]);
  if (r->timesteps != 1 && (r->timesteps != r->n || r->guided))
    return vc_fail(error, VC_FAILED, "%lld timesteps for %lld videos: there must be 1, or without guidance one each",
                   (long long)r->timesteps, (long long)r->n);
  if (r->text_tokens < 1 || r->text_tokens > VC_MAX_CHANNELS || r->style_tokens < 0 ||
      r->style_tokens > VC_MAX_CHANNELS)
    return vc_fail(error, VC_FAILED, "%lld text and %lld style tokens: there must be 1 to %d and 0 to %d",
                   (long long)r->text_tokens, (long long)r->style_tokens, (int)VC_MAX_CHANNELS, (int)VC_MAX_CHANNELS);
  for (int i = 0; i < VC_CONDITION_COUNT; i++) {
    vc_status status = check_video(config, r, i, error);
    if (status) return status;
  }
  return VC_OK;
}
