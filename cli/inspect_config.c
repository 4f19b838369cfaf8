// Architectures as JSON, with the fields of model.json.
#include "cli/inspect.h"
#include "engine/stc.h"

static void add_number(cJSON *object, const char *name, int64_t value) {
  cJSON_AddNumberToObject(object, name, (double)value);
}

static void add_numbers(cJSON *object, const char *name, const int64_t *value, int count) {
  cJSON *array = cJSON_AddArrayToObject(object, name);
  for (int i = 0; i < count; i++) cJSON_AddItemToArray(array, cJSON_CreateNumber((double)value[i]));
}

static void add_unet(cJSON *o, const vc_unet_config *c) {
  add_number(o, "in_dim", c->in_dim);
  add_number(o, "out_dim", c->out_dim);
  add_number(o, "dim", c->dim);
  add_numbers(o, "dim_mult", c->dim_mult, c->levels);
  add_number(o, "num_res_blocks", c->num_res_blocks);
  cJSON_AddItemToObject(o, "attn_scales", cJSON_CreateDoubleArray(c->attn_scales, c->attn_scale_count));
  add_number(o, "num_heads", c->num_heads);
  add_number(o, "head_dim", c->head_dim);
  add_number(o, "context_dim", c->context_dim);
  add_number(o, "concat_dim", c->concat_dim);
  cJSON *conditions = cJSON_AddArrayToObject(o, "conditions");
  if (c->text) cJSON_AddItemToArray(conditions, cJSON_CreateString("text"));
  if (c->image) cJSON_AddItemToArray(conditions, cJSON_CreateString("image"));
  for (int i = 0; i < VC_CONDITION_COUNT; i++)
    if (c->conditions[i]) cJSON_AddItemToArray(conditions, cJSON_CreateString(vc_stc_table[i].condition));
  add_number(o, "groups", c->groups);
}

static void add_vae(cJSON *o, const vc_vae_config *c) {
  add_number(o, "ch", c->ch);
  add_numbers(o, "ch_mult", c->ch_mult, c->levels);
  add_number(o, "num_res_blocks", c->num_res_blocks);
  add_number(o, "in_channels", c->in_channels);
  add_number(o, "out_ch", c->out_ch);
  add_number(o, "z_channels", c->z_channels);
  add_number(o, "embed_dim", c->embed_dim);
  add_number(o, "groups", c->groups);
  cJSON_AddNumberToObject(o, "scale_factor", c->scale_factor);
}

static void add_clip(cJSON *o, const vc_clip_config *c) {
  add_number(o, "embed_dim", c->embed_dim);
  cJSON *text = cJSON_AddObjectToObject(o, "text"), *image = cJSON_AddObjectToObject(o, "image");
  add_number(text, "width", c->text.width);
  add_number(text, "heads", c->text.heads);
  add_number(text, "layers", c->text.layers);
  add_number(text, "vocab", c->text.vocab);
  add_number(text, "context", c->text.context);
  add_number(image, "width", c->image.width);
  add_number(image, "heads", c->image.heads);
  add_number(image, "layers", c->image.layers);
  add_number(image, "patch", c->image.patch);
  add_number(image, "size", c->image.size);
  cJSON_AddStringToObject(o, "text_layer", c->text_layer);
}

static void add_midas(cJSON *o, const vc_midas_config *c) {
  add_number(o, "image_size", c->image_size);
  add_number(o, "patch", c->patch);
  add_number(o, "dim", c->dim);
  add_numbers(o, "neck", c->neck, 4);
  add_number(o, "fusion", c->fusion);
  add_number(o, "heads", c->heads);
  add_number(o, "layers", c->layers);
  add_number(o, "head_dim", c->head_dim);
}

cJSON *vc_inspect_config(const vc_model_config *config, vc_network network) {
  cJSON *o = cJSON_CreateObject();
  switch (network) {
    case VC_NETWORK_UNET:
      add_unet(o, &config->unet);
      break;
    case VC_NETWORK_VAE:
      add_vae(o, &config->vae);
      break;
    case VC_NETWORK_CLIP:
      add_clip(o, &config->clip);
      break;
    case VC_NETWORK_MIDAS:
      add_midas(o, &config->midas);
      break;
    case VC_NETWORK_PIDINET:
      add_number(o, "planes", config->pidinet.planes);
      add_number(o, "dil", config->pidinet.dil);
      cJSON_AddBoolToObject(o, "converted", config->pidinet.converted);
      break;
    case VC_NETWORK_SKETCH_SIMPLIFICATION:
      add_number(o, "divide", config->sketch_simplification.divide);
      cJSON_AddNumberToObject(o, "mean", config->sketch_simplification.mean);
      cJSON_AddNumberToObject(o, "std", config->sketch_simplification.std);
      break;
    case VC_NETWORK_COUNT:
      break;
  }
  return o;
}
