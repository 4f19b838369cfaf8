#include "engine/infer.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "engine/infer_shapes.h"
#include "engine/vae.h"

enum { MAX_NAME = 512, MARKS = 4 };

// Networks by tensors that they must have and (behind NULL's place) must not have. The first mark is the rarest name:
// it is looked for below any prefix.
static const struct {
  const char *network, *what, *mark[MARKS], *without;
} kinds[] = {
    {"unet",
     "VideoComposer's denoiser",
     {"input_blocks.0.0.weight", "time_embed.0.weight", "middle_block.0.temopral_conv.conv1.2.weight"},
     NULL},
    {NULL,
     "a denoiser of images, without temporal layers",
     {"input_blocks.0.0.weight", "time_embed.0.weight", "middle_block.0.in_layers.0.weight"},
     "middle_block.0.temopral_conv.conv1.2.weight"},
    {NULL, "a denoiser with the key names of diffusers", {"time_embedding.linear_1.weight", "conv_in.weight"}, NULL},
    {"vae", "Stable Diffusion's autoencoder", {"encoder.down.0.block.0.norm1.weight", "decoder.conv_in.weight"}, NULL},
    {NULL, "an autoencoder with the key names of diffusers", {"decoder.up_blocks.0.resnets.0.conv1.weight"}, NULL},
    {"clip", "OpenCLIP, both towers", {"token_embedding.weight", "visual.conv1.weight"}, NULL},
    {NULL,
     "OpenCLIP's text tower alone",
     {"token_embedding.weight", "transformer.resblocks.0.ln_1.weight"},
     "visual.conv1.weight"},
    {NULL, "CLIP with the key names of transformers", {"text_model.embeddings.token_embedding.weight"}, NULL},
    {"midas", "MiDaS (DPT)", {"cls_embedding", "patch_embedding.weight", "conv4.2.weight"}, NULL},
    {NULL, "MiDaS (DPT) with its own release's key names", {"pretrained.model.patch_embed.proj.weight"}, NULL},
    {"pidinet", "PiDiNet", {"init_block.weight", "block1_1.conv2.weight", "classifier.weight"}, NULL},
    {"sketch_simplification",
     "the simplification of sketches",
     {"layers.44.weight", "layers.0.weight", "layers.28.weight"},
     NULL},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

static bool has(const vc_tensor_file *file, const char *prefix, size_t prefix_length, const char *key) {
  char name[MAX_NAME];
  int length = snprintf(name, sizeof name, "%.*s%s", (int)prefix_length, prefix, key);
  return length > 0 && (size_t)length < sizeof name && vc_tensor_file_find(file, name);
}

// Whether the tensor `name` is the first mark of the kind, below a prefix that ends at a dot, and the others are there.
static bool begins_part(const vc_tensor_file *file, const char *name, int kind, size_t *prefix_length) {
  size_t length = strlen(name), mark = strlen(kinds[kind].mark[0]);
  if (length < mark || strcmp(name + length - mark, kinds[kind].mark[0]) != 0) return false;
  *prefix_length = length - mark;
  if (*prefix_length >= VC_PREFIX_MAX || (*prefix_length && name[*prefix_length - 1] != '.')) return false;
  for (int i = 1; i < MARKS && kinds[kind].mark[i]; i++)
    if (!has(file, name, *prefix_length, kinds[kind].mark[i])) return false;
  return !kinds[kind].without || !has(file, name, *prefix_length, kinds[kind].without);
}

int vc_infer_parts(const vc_tensor_file *file, vc_weights_part out[VC_PARTS_MAX]) {
  int count = 0;
  size_t length;
  for (int i = 0; i < file->count; i++)
    for (int k = 0; k < KINDS && count < VC_PARTS_MAX; k++) {
      if (!begins_part(file, file->tensor[i].name, k, &length)) continue;
      out[count] = (vc_weights_part){.network = kinds[k].network, .what = kinds[k].what};
      memcpy(out[count++].prefix, file->tensor[i].name, length);
    }
  return count;
}

bool vc_infer_prefix(const vc_tensor_file *file, const char *network, const char *expected,
                     char prefix[VC_PREFIX_MAX]) {
  vc_weights_part part[VC_PARTS_MAX];
  int parts = vc_infer_parts(file, part), found = -1;
  for (int i = 0; i < parts; i++) {
    if (!part[i].network || strcmp(part[i].network, network) != 0) continue;
    if (found < 0 || !strcmp(part[i].prefix, expected)) found = i;
  }
  if (found >= 0) memcpy(prefix, part[found].prefix, VC_PREFIX_MAX);
  return found >= 0;
}

// ---- shapes

static const vc_tensor *find_named(const vc_shapes *in, char name[MAX_NAME], const char *format, va_list arguments) {
  int prefix = snprintf(name, MAX_NAME, "%s", in->prefix);
  if (prefix < 0 || prefix >= MAX_NAME) return NULL;
  int length = vsnprintf(name + prefix, (size_t)(MAX_NAME - prefix), format, arguments);
  return length < 0 || length >= MAX_NAME - prefix ? NULL : vc_tensor_file_find(in->file, name);
}

const vc_tensor *vc_shapes_find(const vc_shapes *in, const char *format, ...) {
  char name[MAX_NAME];
  va_list arguments;
  va_start(arguments, format);
  const vc_tensor *t = find_named(in, name, format, arguments);
  va_end(arguments);
  return t;
}

vc_status vc_shapes_read(const vc_shapes *in, int64_t dim[VC_MAX_DIMS], int rank, const char *format, ...) {
  char name[MAX_NAME], text[160];
  va_list arguments;
  va_start(arguments, format);
  const vc_tensor *t = find_named(in, name, format, arguments);
  va_end(arguments);
  if (!t) return vc_shapes_fail(in, "tensor \"%.200s\" is missing", name);
  bool good = t->rank == rank;
  for (int i = 0; i < t->rank; i++) good &= t->dim[i] > 0 && t->dim[i] <= INT32_MAX;
  if (!good)
    return vc_shapes_fail(in, "tensor \"%.200s\" has the shape %s, and must have %d dimensions, none of them 0", name,
                          vc_shape_text(t->dim, t->rank, text, sizeof text), rank);
  memcpy(dim, t->dim, sizeof *dim * (size_t)rank);
  return VC_OK;
}

vc_status vc_shapes_fail(const vc_shapes *in, const char *format, ...) {
  char text[512];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  return vc_fail(in->error, VC_FAILED, "%s: the architecture of its %s cannot be seen: %s", in->file->path, in->network,
                 text);
}

int64_t vc_infer_groups(int64_t released, const int64_t *width, int count) {
  for (int64_t groups = released; groups > 1; groups--) {
    bool divides = true;
    for (int i = 0; i < count; i++) divides &= width[i] % groups == 0;
    if (divides) return groups;
  }
  return 1;
}

vc_status vc_infer_network(vc_model_config *c, const char *network, const vc_tensor_file *file, const char *prefix,
                           vc_error *error) {
  vc_status status = VC_OK;
  if (!strcmp(network, "unet")) {
    status = vc_infer_unet(&c->unet, file, prefix, error);
  } else if (!strcmp(network, "vae")) {
    status = vc_infer_vae(&c->vae, file, prefix, error);
    if (!status) c->latent_scale = vc_vae_scale(&c->vae);
  } else if (!strcmp(network, "clip")) {
    status = vc_infer_clip(&c->clip, file, prefix, error);
    if (!status) c->preprocessing.clip_size = c->clip.image.size;
  } else if (!strcmp(network, "midas")) {
    status = vc_infer_midas(&c->midas, file, prefix, error);
  } else if (!strcmp(network, "pidinet")) {
    status = vc_infer_pidinet(&c->pidinet, file, prefix, error);
  } else if (!strcmp(network, "sketch_simplification")) {
    status = vc_infer_simplification(&c->sketch_simplification, file, prefix, error);
  }
  return status;
}
