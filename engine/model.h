// A model folder: its description and the files of its networks.
#ifndef VC_ENGINE_MODEL_H
#define VC_ENGINE_MODEL_H

#include "engine/infer.h"
#include "engine/parameters.h"
#include "engine/pidinet.h"
#include "loaders/tensor_file.h"

typedef enum vc_network {
  VC_NETWORK_UNET,
  VC_NETWORK_VAE,
  VC_NETWORK_CLIP,
  VC_NETWORK_MIDAS,
  VC_NETWORK_PIDINET,
  VC_NETWORK_SKETCH_SIMPLIFICATION,
  VC_NETWORK_COUNT,
} vc_network;

// Whether videos can be made without it: networks that make conditions of pictures.
bool vc_network_optional(vc_network network);

// "unet", "vae", "clip", "midas", "pidinet", "sketch_simplification".
const char *vc_network_name(vc_network network);

// The name of its file in a model folder, in this engine's layout or as released, and what precedes the names of its
// tensors in the released file.
const char *vc_network_file(vc_network network, bool released);
const char *vc_network_released_prefix(vc_network network);

typedef struct vc_model {
  vc_model_config config;
  vc_tensor_file file[VC_NETWORK_COUNT];
  char prefix[VC_NETWORK_COUNT][VC_PREFIX_MAX];  // of the network's keys in its file
  bool present[VC_NETWORK_COUNT];
  vc_pidinet_kernels pidinet_kernels;  // of a file that holds pixel differences
  uint64_t json_hash;
  char hash[17];  // see vc_model_hash
} vc_model;

// Gives the bytes of a file that is part of the program, or NULL.
typedef const void *(*vc_asset_source)(const char *name, size_t *size);

// Opens `folder` in this engine's layout (model.json, unet.safetensors, vae.safetensors, clip.safetensors,
// midas.safetensors, pidinet.safetensors, sketch_simplification.safetensors, each whole or as NAME.index.json and its
// parts) or with the released files under their own names (non_ema_228000.pth, v2-1_512-ema-pruned.ckpt,
// open_clip_pytorch_model.bin, midas_v3_dpt_large.pth, table5_pidinet.pth, sketch_simplification_gan.pth). Without
// model.json the architecture is what the tensors' shapes say (engine/infer.h), or the released one for a network whose
// tensors do not say it: loading then lists what is wrong. NULL: the assets "mini/...". Names of tensors may have any
// prefix ("module.", "model.", ...). A network that is not there is not present: that is an error for whoever needs it
// (vc_model_weights). A damaged file is an error here.
vc_status vc_model_open(vc_model *out, const char *folder, vc_asset_source asset, vc_error *error);

// One network of a file, below `prefix`, as a model; its architecture as in a folder without model.json. When that
// cannot be seen, *why (which may be NULL) says so and it is the released one; else *why is empty.
vc_status vc_model_open_file(vc_model *out, vc_network network, const char *path, const char *prefix, vc_error *why,
                             vc_error *error);

void vc_model_close(vc_model *model);

// What vc_engine_model_hash says. It reads a page of every tensor, so it is worked out when it is first asked for:
// after loading it costs little.
const char *vc_model_hash(vc_model *model);

// The parameters of a network, for vc_parameters_load. VC_FAILED names the file that is missing from the folder.
// `weights` points into `model`.
typedef struct vc_model_source {
  const vc_model *model;
  vc_network network;
} vc_model_source;
vc_status vc_model_weights(const vc_model *model, vc_network network, vc_model_source *source, vc_weights *weights,
                           vc_error *error);

#endif
