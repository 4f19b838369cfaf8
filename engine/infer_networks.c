// The architectures of the UNet, the autoencoder and CLIP, from shapes.
#include <stdio.h>

#include "engine/infer_shapes.h"
#include "engine/stc.h"

enum { RELEASED_HEAD = 64, DIMS = VC_MAX_DIMS };

// ---- UNet

// Widths that transformers work on; of each, the inner width is as many whole heads as fit.
typedef struct transformers {
  int64_t width[VC_MAX_LEVELS + 1], inner[VC_MAX_LEVELS + 1];
  int count;
} transformers;

static bool head_fits(const transformers *t, int64_t first_inner, int64_t head) {
  if (head < 1 || first_inner % head) return false;
  for (int i = 0; i < t->count; i++)
    if (t->width[i] / head * head != t->inner[i] || !t->inner[i]) return false;
  return true;
}

// Heads cannot be seen: 64 channels each, else as many as the first transformer of the released network has, else the
// widest that fit.
static vc_status infer_heads(vc_unet_config *c, const vc_shapes *in, const transformers *t, int64_t first_inner) {
  int64_t head = RELEASED_HEAD;
  if (!head_fits(t, first_inner, head) && first_inner % c->num_heads == 0) head = first_inner / c->num_heads;
  for (int64_t next = RELEASED_HEAD; !head_fits(t, first_inner, head) && next > 0; next--) head = next;
  if (!head_fits(t, first_inner, head))
    return vc_shapes_fail(in, "no size of heads fits the inner widths of its transformers");
  c->head_dim = head;
  c->num_heads = first_inner / head;
  return VC_OK;
}

static vc_status note_transformer(transformers *t, const vc_shapes *in, int64_t width, const char *module) {
  int64_t dim[DIMS];
  vc_status status = vc_shapes_read(in, dim, 2, "%s.proj_in.weight", module);
  if (status) return status;
  t->width[t->count] = width;
  t->inner[t->count++] = dim[0];
  return VC_OK;
}

// One level of the encoder from block *at on: equal residual blocks, with transformers or without.
static vc_status infer_level(vc_unet_config *c, const vc_shapes *in, transformers *t, int *at) {
  int64_t dim[DIMS], width = 0, blocks = 0;
  bool attends = false;
  char module[64];
  for (; vc_shapes_find(in, "input_blocks.%d.0.out_layers.3.weight", *at); ++*at, blocks++) {
    vc_status status = vc_shapes_read(in, dim, 4, "input_blocks.%d.0.out_layers.3.weight", *at);
    if (status) return status;
    bool here = vc_shapes_find(in, "input_blocks.%d.1.proj_in.weight", *at) != NULL;
    if (blocks == VC_MAX_RES_BLOCKS || (blocks && (dim[0] != width || here != attends)))
      return vc_shapes_fail(in, "input_blocks.%d does not fit the blocks before it", *at);
    width = dim[0];
    attends = here;
  }
  if (!blocks || width % c->dim) return vc_shapes_fail(in, "level %d has no blocks, or an odd width", c->levels);
  if (c->levels && blocks != c->num_res_blocks)
    return vc_shapes_fail(in, "level %d has %lld blocks, and those above have %lld", c->levels, (long long)blocks,
                          (long long)c->num_res_blocks);
  c->num_res_blocks = blocks;
  if (attends) {
    c->attn_scales[c->attn_scale_count++] = 1.0 / (double)(1 << c->levels);
    snprintf(module, sizeof module, "input_blocks.%d.1", *at - 1);
    vc_status status = note_transformer(t, in, width, module);
    if (status) return status;
  }
  c->dim_mult[c->levels++] = width / c->dim;
  return VC_OK;
}

static vc_status infer_conditions(vc_unet_config *c, const vc_shapes *in, int64_t inputs) {
  int64_t dim[DIMS], concat = 0;
  for (int i = 0; i < VC_CONDITION_COUNT; i++) {
    c->conditions[i] = vc_shapes_find(in, "%s.0.weight", vc_stc_table[i].convs) != NULL;
    if (!c->conditions[i]) continue;
    vc_status status = vc_shapes_read(in, dim, 4, "%s.5.weight", vc_stc_table[i].convs);
    if (status) return status;
    concat = dim[0];
  }
  // Without a condition only the sum of both can be seen; the latent is as wide as what comes out.
  c->concat_dim = concat ? concat : inputs - c->out_dim;
  c->in_dim = inputs - c->concat_dim;
  return VC_OK;
}

vc_status vc_infer_unet(vc_unet_config *out, const vc_tensor_file *file, const char *prefix, vc_error *error) {
  vc_shapes in = {"unet", file, prefix, error};
  vc_unet_config c = vc_unet_config_released();
  transformers t = {.count = 0};
  int64_t conv[DIMS], last[DIMS], key[DIMS], first[DIMS], width[VC_MAX_LEVELS + 1];
  int at = 1;
  c.levels = c.attn_scale_count = 0;
  vc_status status = vc_shapes_read(&in, conv, 4, "input_blocks.0.0.weight");
  if (!status) status = vc_shapes_read(&in, first, 3, "input_blocks.0.1.proj_in.weight");
  if (!status) status = vc_shapes_read(&in, last, 4, "out.2.weight");
  if (!status) status = vc_shapes_read(&in, key, 2, "middle_block.1.transformer_blocks.0.attn2.to_k.weight");
  if (status) return status;
  c.dim = conv[0];
  c.out_dim = last[0];
  c.context_dim = key[1];
  status = infer_conditions(&c, &in, conv[1]);
  while (!status && c.levels < VC_MAX_LEVELS) {
    status = infer_level(&c, &in, &t, &at);
    if (status || !vc_shapes_find(&in, "input_blocks.%d.op.weight", at)) break;
    at++;
  }
  if (!status) status = note_transformer(&t, &in, c.dim * c.dim_mult[c.levels - 1], "middle_block.1");
  if (!status) status = infer_heads(&c, &in, &t, first[0]);
  if (status) return status;
  width[0] = c.dim;
  for (int i = 0; i < c.levels; i++) width[i + 1] = c.dim * c.dim_mult[i];
  c.groups = vc_infer_groups(c.groups, width, c.levels + 1);
  status = vc_unet_config_check(&c, error);
  if (status) return vc_fail_in(error, status, "%s", file->path);
  *out = c;
  return VC_OK;
}

// ---- autoencoder

vc_status vc_infer_vae(vc_vae_config *out, const vc_tensor_file *file, const char *prefix, vc_error *error) {
  vc_shapes in = {"vae", file, prefix, error};
  vc_vae_config c = vc_vae_config_released();
  int64_t first[DIMS], last[DIMS], from[DIMS], post[DIMS], conv[DIMS], width[VC_MAX_LEVELS + 1];
  vc_status status = vc_shapes_read(&in, first, 4, "encoder.conv_in.weight");
  if (!status) status = vc_shapes_read(&in, last, 4, "decoder.conv_out.weight");
  if (!status) status = vc_shapes_read(&in, from, 4, "decoder.conv_in.weight");
  if (!status) status = vc_shapes_read(&in, post, 4, "post_quant_conv.weight");
  if (status) return status;
  c.ch = width[0] = first[0];
  c.in_channels = first[1];
  c.out_ch = last[0];
  c.z_channels = from[1];
  c.embed_dim = post[1];
  c.num_res_blocks = 0;
  while (c.num_res_blocks < VC_MAX_RES_BLOCKS &&
         vc_shapes_find(&in, "encoder.down.0.block.%lld.conv1.weight", (long long)c.num_res_blocks))
    c.num_res_blocks++;
  for (c.levels = 0; c.levels < VC_MAX_LEVELS; c.levels++) {
    if (c.levels && !vc_shapes_find(&in, "encoder.down.%d.block.0.conv1.weight", c.levels)) break;
    status = vc_shapes_read(&in, conv, 4, "encoder.down.%d.block.0.conv1.weight", c.levels);
    if (!status && conv[0] % c.ch) status = vc_shapes_fail(&in, "level %d has an odd width", c.levels);
    if (status) return status;
    width[c.levels + 1] = conv[0];
    c.ch_mult[c.levels] = conv[0] / c.ch;
  }
  c.groups = vc_infer_groups(c.groups, width, c.levels + 1);
  status = vc_vae_config_check(&c, error);
  if (status) return vc_fail_in(error, status, "%s", file->path);
  *out = c;
  return VC_OK;
}

// ---- CLIP

// 64 channels a head up to 1024, as in every OpenCLIP network of that width, and 16 heads above.
static int64_t infer_tower_heads(int64_t width) {
  enum { HEADS = 16, WIDE = 1024 };
  if (width <= WIDE && width % RELEASED_HEAD == 0) return width / RELEASED_HEAD;
  for (int64_t heads = HEADS; heads > 1; heads /= 2)
    if (width % heads == 0) return heads;
  return 1;
}

static int64_t count_layers(const vc_shapes *in, const char *module) {
  int64_t layers = 0;
  while (layers < 256 && vc_shapes_find(in, "%s.%lld.ln_1.weight", module, (long long)layers)) layers++;
  return layers;
}

// The side of a square picture in patches; 0 when the tokens, one of which stands for the whole, are no square.
static int64_t side_of(int64_t tokens) {
  int64_t side = 0;
  while (side * side < tokens - 1) side++;
  return side * side == tokens - 1 ? side : 0;
}

vc_status vc_infer_clip(vc_clip_config *out, const vc_tensor_file *file, const char *prefix, vc_error *error) {
  vc_shapes in = {"clip", file, prefix, error};
  vc_clip_config c = vc_clip_config_released();
  int64_t table[DIMS], position[DIMS], text[DIMS], conv[DIMS], patches[DIMS];
  vc_status status = vc_shapes_read(&in, table, 2, "token_embedding.weight");
  if (!status) status = vc_shapes_read(&in, position, 2, "positional_embedding");
  if (!status) status = vc_shapes_read(&in, text, 2, "visual.proj");
  if (!status) status = vc_shapes_read(&in, conv, 4, "visual.conv1.weight");
  if (!status) status = vc_shapes_read(&in, patches, 2, "visual.positional_embedding");
  if (status) return status;
  c.embed_dim = text[1];
  c.text.vocab = table[0];
  c.text.width = table[1];
  c.text.context = position[0];
  c.text.heads = infer_tower_heads(c.text.width);
  c.text.layers = count_layers(&in, "transformer.resblocks");
  c.image.width = conv[0];
  c.image.patch = conv[2];
  c.image.heads = infer_tower_heads(c.image.width);
  c.image.layers = count_layers(&in, "visual.transformer.resblocks");
  if (patches[0] > (1 << 24) || !side_of(patches[0]))
    return vc_shapes_fail(&in, "visual.positional_embedding has %lld places, which are no square and one",
                          (long long)patches[0]);
  c.image.size = side_of(patches[0]) * c.image.patch;
  status = vc_clip_config_check(&c, error);
  if (status) return vc_fail_in(error, status, "%s", file->path);
  *out = c;
  return VC_OK;
}
