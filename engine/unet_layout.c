#include "engine/unet_layout.h"

static bool has_transformers(const vc_unet_config *config, int level) {
  for (int i = 0; i < config->attn_scale_count; i++)
    if (config->attn_scales[i] == 1.0 / (double)(1 << level)) return true;
  return false;
}

static void add_layer(vc_unet_block *block, vc_layer_kind kind, int64_t c_in, int64_t c_out) {
  block->layer[block->layers++] = (vc_unet_layer){.kind = kind, .c_in = c_in, .c_out = c_out};
}

static void add_stage(vc_unet_block *block, const vc_unet_config *config, int level, int64_t c_in, int64_t c_out) {
  *block = (vc_unet_block){.level = level};
  add_layer(block, VC_LAYER_RES, c_in, c_out);
  if (!has_transformers(config, level)) return;
  add_layer(block, VC_LAYER_SPATIAL, c_out, c_out);
  add_layer(block, VC_LAYER_TEMPORAL, c_out, c_out);
}

void vc_unet_layout_of(vc_unet_layout *out, const vc_unet_config *config) {
  int64_t skip[VC_MAX_BLOCKS], c = config->dim;
  int deepest = config->levels - 1, blocks = 1;
  out->encoder[0] = (vc_unet_block){0};
  add_layer(&out->encoder[0], VC_LAYER_CONV, config->in_dim + config->concat_dim, c);
  add_layer(&out->encoder[0], VC_LAYER_FIRST_TEMPORAL, c, c);
  skip[0] = c;
  for (int level = 0; level <= deepest; level++) {
    for (int64_t j = 0; j < config->num_res_blocks; j++) {
      int64_t c_out = config->dim * config->dim_mult[level];
      add_stage(&out->encoder[blocks], config, level, c, c_out);
      c = skip[blocks++] = c_out;
    }
    if (level == deepest) continue;
    out->encoder[blocks] = (vc_unet_block){.level = level};
    add_layer(&out->encoder[blocks], VC_LAYER_DOWN, c, c);
    skip[blocks++] = c;
  }
  out->encoder_blocks = blocks;

  static const vc_layer_kind middle[VC_MIDDLE_BLOCKS] = {VC_LAYER_RES, VC_LAYER_SPATIAL, VC_LAYER_TEMPORAL,
                                                         VC_LAYER_RES};
  for (int i = 0; i < VC_MIDDLE_BLOCKS; i++) {
    out->middle[i] = (vc_unet_block){.level = deepest};
    add_layer(&out->middle[i], middle[i], c, c);
  }

  out->decoder_blocks = 0;
  for (int level = deepest; level >= 0; level--) {
    for (int64_t j = 0; j <= config->num_res_blocks; j++) {
      vc_unet_block *block = &out->decoder[out->decoder_blocks++];
      int64_t c_out = config->dim * config->dim_mult[level];
      add_stage(block, config, level, c + skip[--blocks], c_out);
      if (level > 0 && j == config->num_res_blocks) add_layer(block, VC_LAYER_UP, c_out, c_out);
      c = c_out;
    }
  }
}
