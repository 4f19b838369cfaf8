// Files that are part of the program: the small model, and the tokenizer's vocabulary.
#ifndef VC_CLI_ASSETS_H
#define VC_CLI_ASSETS_H

#include <stddef.h>

typedef struct vc_asset {
  const char *name;  // "mini/unet.safetensors"
  const void *data;  // 64-byte aligned, read-only, there as long as the program runs
  size_t size;       // bytes
} vc_asset;

// The assets that cli/assets_data.S embeds: "mini/unet.safetensors", "mini/vae.safetensors", "mini/clip.safetensors",
// "mini/pidinet.safetensors", "mini/model.json", "mini/pidinet.LICENSE" and "bpe_simple_vocab_16e6.txt.gz".
// NULL when there is none of that name.
const vc_asset *vc_asset_find(const char *name);

#endif
