#include "engine/config.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <string.h>

#include "engine/json_fields.h"
#include "engine/stc.h"
#include "engine/unet_layout.h"

#define COUNT(a) ((int)(sizeof(a) / sizeof *(a)))

vc_unet_config vc_unet_config_released(void) {
  vc_unet_config config = {.in_dim = 4,
                           .out_dim = 4,
                           .dim = 320,
                           .levels = 4,
                           .dim_mult = {1, 2, 4, 4},
                           .num_res_blocks = 2,
                           .attn_scale_count = 3,
                           .attn_scales = {1.0, 0.5, 0.25},
                           .num_heads = 8,
                           .head_dim = 64,
                           .context_dim = 1024,
                           .concat_dim = 8,
                           .stc_size = {128, 128},
                           .text = true,
                           .image = true,
                           .groups = 32};
  for (int i = 0; i < VC_CONDITION_COUNT; i++) config.conditions[i] = i != VC_CONDITION_CANNY;
  return config;
}

vc_vae_config vc_vae_config_released(void) {
  return (vc_vae_config){.ch = 128,
                         .levels = 4,
                         .ch_mult = {1, 2, 4, 4},
                         .num_res_blocks = 2,
                         .in_channels = 3,
                         .out_ch = 3,
                         .z_channels = 4,
                         .embed_dim = 4,
                         .groups = 32,
                         .scale_factor = 0.18215};
}

vc_clip_config vc_clip_config_released(void) {
  return (vc_clip_config){.embed_dim = 1024,
                          .text = {.width = 1024, .heads = 16, .layers = 24, .vocab = 49408, .context = 77},
                          .image = {.width = 1280, .heads = 16, .layers = 32, .patch = 14, .size = 224},
                          .text_layer = "penultimate"};
}

// ---- parsing

#define INT(type, field, low, high) \
  { .name = #field, .at = offsetof(type, field), .least = low, .most = high }
#define INTS(type, field, capacity_, count, low, high) \
  { .name = #field, .at = offsetof(type, field), .capacity = capacity_, .count_at = count, .least = low, .most = high }

static const vc_json_field unet_fields[] = {
    INT(vc_unet_config, in_dim, 1, 1024),
    INT(vc_unet_config, out_dim, 1, 1024),
    INT(vc_unet_config, dim, 2, VC_MAX_CHANNELS),
    INTS(vc_unet_config, dim_mult, VC_MAX_LEVELS, offsetof(vc_unet_config, levels), 1, VC_MAX_CHANNELS),
    INT(vc_unet_config, num_res_blocks, 1, VC_MAX_RES_BLOCKS),
    {.name = "attn_scales",
     .kind = VC_JSON_REAL,
     .at = offsetof(vc_unet_config, attn_scales),
     .capacity = VC_MAX_LEVELS,
     .count_at = offsetof(vc_unet_config, attn_scale_count),
     .least = 0,
     .most = 1},
    INT(vc_unet_config, num_heads, 1, VC_MAX_CHANNELS),
    INT(vc_unet_config, head_dim, 1, VC_MAX_CHANNELS),
    INT(vc_unet_config, context_dim, 1, VC_MAX_CHANNELS),
    INT(vc_unet_config, concat_dim, 1, 1024),
    INTS(vc_unet_config, stc_size, 2, 0, 1, VC_MAX_SIDE),
    INT(vc_unet_config, groups, 1, VC_MAX_CHANNELS),
};

static const vc_json_field vae_fields[] = {
    INT(vc_vae_config, ch, 1, VC_MAX_CHANNELS),
    INTS(vc_vae_config, ch_mult, VC_MAX_LEVELS, offsetof(vc_vae_config, levels), 1, VC_MAX_CHANNELS),
    INT(vc_vae_config, num_res_blocks, 1, VC_MAX_RES_BLOCKS),
    INT(vc_vae_config, in_channels, 1, 1024),
    INT(vc_vae_config, out_ch, 1, 1024),
    INT(vc_vae_config, z_channels, 1, 1024),
    INT(vc_vae_config, embed_dim, 1, 1024),
    INT(vc_vae_config, groups, 1, VC_MAX_CHANNELS),
    {.name = "scale_factor",
     .kind = VC_JSON_REAL,
     .at = offsetof(vc_vae_config, scale_factor),
     .least = 1e-6,
     .most = 1e6},
};

static const vc_json_field clip_fields[] = {
    INT(vc_clip_config, embed_dim, 1, VC_MAX_CHANNELS),
    INT(vc_clip_config, pad_token, 0, 1 << 24),
    {.name = "text_layer", .kind = VC_JSON_TEXT, .at = offsetof(vc_clip_config, text_layer), .capacity = 16},
};

static const vc_json_field text_fields[] = {
    INT(vc_clip_tower, width, 1, VC_MAX_CHANNELS),
    INT(vc_clip_tower, heads, 1, VC_MAX_CHANNELS),
    INT(vc_clip_tower, layers, 1, 256),
    INT(vc_clip_tower, vocab, 1, 1 << 24),
    INT(vc_clip_tower, context, 1, 4096),
};

static const vc_json_field image_fields[] = {
    INT(vc_clip_tower, width, 1, VC_MAX_CHANNELS),
    INT(vc_clip_tower, heads, 1, VC_MAX_CHANNELS),
    INT(vc_clip_tower, layers, 1, 256),
    INT(vc_clip_tower, patch, 1, 1024),
    INT(vc_clip_tower, size, 1, 4096),
};

static vc_status parse_conditions(vc_unet_config *config, const cJSON *object, vc_error *error) {
  const cJSON *list = cJSON_GetObjectItemCaseSensitive(object, "conditions"), *item;
  if (!list || cJSON_IsNull(list)) return VC_OK;
  if (!cJSON_IsArray(list)) return vc_fail(error, VC_FAILED, "unet: conditions must be a list of names");
  config->text = config->image = false;
  memset(config->conditions, 0, sizeof config->conditions);
  cJSON_ArrayForEach(item, list) {
    const char *name = cJSON_IsString(item) ? item->valuestring : "";
    bool known = !strcmp(name, "text") || !strcmp(name, "image");
    config->text |= !strcmp(name, "text");
    config->image |= !strcmp(name, "image");
    for (int i = 0; i < VC_CONDITION_COUNT; i++) {
      if (strcmp(name, vc_stc_table[i].condition) != 0) continue;
      config->conditions[i] = known = true;
    }
    if (!known)
      return vc_fail(error, VC_FAILED,
                     "unet: conditions holds \"%.40s\", and may hold text, image, depthmap, local_image, motion, "
                     "canny, sketch, single_sketch, mask",
                     name);
  }
  return VC_OK;
}

vc_status vc_unet_config_parse(vc_unet_config *out, const cJSON *object, vc_error *error) {
  *out = vc_unet_config_released();
  vc_status status = vc_json_read(object, "unet", unet_fields, COUNT(unet_fields), out, error);
  if (!status) status = parse_conditions(out, object, error);
  return status ? status : vc_unet_config_check(out, error);
}

vc_status vc_vae_config_parse(vc_vae_config *out, const cJSON *object, vc_error *error) {
  *out = vc_vae_config_released();
  vc_status status = vc_json_read(object, "vae", vae_fields, COUNT(vae_fields), out, error);
  return status ? status : vc_vae_config_check(out, error);
}

static vc_status parse_tower(vc_clip_tower *out, const cJSON *object, const char *name, const char *what,
                             const vc_json_field *fields, int count, vc_error *error) {
  const cJSON *tower = cJSON_GetObjectItemCaseSensitive(object, name);
  return tower && !cJSON_IsNull(tower) ? vc_json_read(tower, what, fields, count, out, error) : VC_OK;
}

vc_status vc_clip_config_parse(vc_clip_config *out, const cJSON *object, vc_error *error) {
  *out = vc_clip_config_released();
  vc_status status = vc_json_read(object, "clip", clip_fields, COUNT(clip_fields), out, error);
  if (!status) status = parse_tower(&out->text, object, "text", "clip text", text_fields, COUNT(text_fields), error);
  if (!status)
    status = parse_tower(&out->image, object, "image", "clip image", image_fields, COUNT(image_fields), error);
  return status ? status : vc_clip_config_check(out, error);
}

// ---- what the numbers must have to do with each other

static vc_status check_levels(const char *what, const char *base_name, int64_t base, const char *name, int levels,
                              const int64_t *mult, vc_error *error) {
  if (levels < 1) return vc_fail(error, VC_FAILED, "%s: %s is empty, and must have 1 to 8 levels", what, name);
  for (int i = 0; i < levels; i++)
    if (base * mult[i] > VC_MAX_CHANNELS)
      return vc_fail(error, VC_FAILED, "%s: %s %lld times %s %lld is more than %d channels", what, base_name,
                     (long long)base, name, (long long)mult[i], (int)VC_MAX_CHANNELS);
  return VC_OK;
}

static vc_status check_groups(const char *what, int64_t groups, int64_t channels, vc_error *error) {
  if (channels % groups == 0) return VC_OK;
  return vc_fail(error, VC_FAILED, "%s: groups is %lld, and must divide %lld, the channels of a group norm", what,
                 (long long)groups, (long long)channels);
}

static vc_status check_layer(const vc_unet_config *config, const vc_unet_layer *layer, vc_error *error) {
  bool spatial = layer->kind == VC_LAYER_SPATIAL || layer->kind == VC_LAYER_TEMPORAL;
  vc_status status = VC_OK;
  if (spatial && layer->c_in < config->head_dim)
    return vc_fail(error, VC_FAILED, "unet: head_dim is %lld, and must be at most %lld, the channels of a transformer",
                   (long long)config->head_dim, (long long)layer->c_in);
  if (layer->kind == VC_LAYER_RES) status = check_groups("unet", config->groups, layer->c_in, error);
  if (!status && layer->kind != VC_LAYER_DOWN && layer->kind != VC_LAYER_UP)
    status = check_groups("unet", config->groups, layer->c_out, error);
  return status;
}

static vc_status check_blocks(const vc_unet_config *config, const vc_unet_block *blocks, int count, vc_error *error) {
  for (int i = 0; i < count; i++) {
    for (int j = 0; j < blocks[i].layers; j++) {
      vc_status status = check_layer(config, &blocks[i].layer[j], error);
      if (status) return status;
    }
  }
  return VC_OK;
}

vc_status vc_unet_config_check(const vc_unet_config *config, vc_error *error) {
  vc_unet_layout layout;
  vc_status status = vc_json_check("unet", unet_fields, COUNT(unet_fields), config, error);
  if (!status) status = check_levels("unet", "dim", config->dim, "dim_mult", config->levels, config->dim_mult, error);
  if (status) return status;
  if (config->dim % 2)
    return vc_fail(error, VC_FAILED, "unet: dim is %lld, and must be even: half of it are cosines of the timestep",
                   (long long)config->dim);
  if (config->num_heads * config->head_dim > VC_MAX_CHANNELS)
    return vc_fail(error, VC_FAILED, "unet: num_heads %lld times head_dim %lld is more than %d channels",
                   (long long)config->num_heads, (long long)config->head_dim, (int)VC_MAX_CHANNELS);
  vc_unet_layout_of(&layout, config);
  status = check_blocks(config, layout.encoder, layout.encoder_blocks, error);
  if (!status) status = check_blocks(config, layout.middle, VC_MIDDLE_BLOCKS, error);
  if (!status) status = check_blocks(config, layout.decoder, layout.decoder_blocks, error);
  return status;
}

vc_status vc_vae_config_check(const vc_vae_config *config, vc_error *error) {
  vc_status status = vc_json_check("vae", vae_fields, COUNT(vae_fields), config, error);
  if (!status) status = check_levels("vae", "ch", config->ch, "ch_mult", config->levels, config->ch_mult, error);
  if (!status) status = check_groups("vae", config->groups, config->ch, error);
  for (int i = 0; i < config->levels && !status; i++)
    status = check_groups("vae", config->groups, config->ch * config->ch_mult[i], error);
  return status;
}

static vc_status check_tower(const char *what, const vc_clip_tower *tower, vc_error *error) {
  if (tower->width % tower->heads)
    return vc_fail(error, VC_FAILED, "%s: heads is %lld, and must divide width %lld", what, (long long)tower->heads,
                   (long long)tower->width);
  return VC_OK;
}

vc_status vc_clip_config_check(const vc_clip_config *config, vc_error *error) {
  vc_status status = vc_json_check("clip", clip_fields, COUNT(clip_fields), config, error);
  if (!status) status = vc_json_check("clip text", text_fields, COUNT(text_fields), &config->text, error);
  if (!status) status = vc_json_check("clip image", image_fields, COUNT(image_fields), &config->image, error);
  if (!status) status = check_tower("clip text", &config->text, error);
  if (!status) status = check_tower("clip image", &config->image, error);
  if (status) return status;
  if (strcmp(config->text_layer, "penultimate") != 0 && strcmp(config->text_layer, "last") != 0)
    return vc_fail(error, VC_FAILED, "clip: text_layer is \"%.15s\", and must be \"penultimate\" or \"last\"",
                   config->text_layer);
  if (config->pad_token >= config->text.vocab)
    return vc_fail(error, VC_FAILED, "clip: pad_token is %lld, and must be below vocab %lld",
                   (long long)config->pad_token, (long long)config->text.vocab);
  if (config->image.size < config->image.patch)
    return vc_fail(error, VC_FAILED, "clip image: size is %lld, and must be at least patch %lld",
                   (long long)config->image.size, (long long)config->image.patch);
  return VC_OK;
}
