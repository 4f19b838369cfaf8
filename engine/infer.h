// What a file of weights is: which networks it holds below which prefixes, and of which architecture, read off the
// names and shapes of its tensors.
#ifndef VC_ENGINE_INFER_H
#define VC_ENGINE_INFER_H

#include "engine/config.h"
#include "loaders/tensor_file.h"

enum { VC_PREFIX_MAX = 128, VC_PARTS_MAX = 8 };

// A network in a file.
typedef struct vc_weights_part {
  const char *network;         // "unet", "vae", "clip", "midas", "pidinet", "sketch_simplification"; NULL: none of ours
  const char *what;            // in words
  char prefix[VC_PREFIX_MAX];  // of its tensors' names: "", "module.", "first_stage_model.", ...
} vc_weights_part;

// Finds the networks of a file by tensors that each must have, below any prefix; those of other programs under the same
// names, or ours under other names, are told apart. Returns how many of them were written to `out`.
int vc_infer_parts(const vc_tensor_file *file, vc_weights_part out[VC_PARTS_MAX]);

// The prefix of a network's tensors: `expected` when the network is there, else wherever it is. False when it is
// nowhere.
bool vc_infer_prefix(const vc_tensor_file *file, const char *network, const char *expected, char prefix[VC_PREFIX_MAX]);

// The architecture that the tensors below `prefix` have. What shapes do not say is as released: 32 groups (or the most,
// up to 32, that divide all widths), heads of 64 channels (UNet, CLIP; or as many heads as the released network has
// where 64 do not fit), the scale factor, the layer of CLIP, and sizes of pictures. VC_FAILED names the tensor that is
// missing or that has an impossible shape. A result has been checked; other tensors have not been looked at.
vc_status vc_infer_unet(vc_unet_config *out, const vc_tensor_file *file, const char *prefix, vc_error *error);
vc_status vc_infer_vae(vc_vae_config *out, const vc_tensor_file *file, const char *prefix, vc_error *error);
vc_status vc_infer_clip(vc_clip_config *out, const vc_tensor_file *file, const char *prefix, vc_error *error);
vc_status vc_infer_midas(vc_midas_config *out, const vc_tensor_file *file, const char *prefix, vc_error *error);
vc_status vc_infer_pidinet(vc_pidinet_config *out, const vc_tensor_file *file, const char *prefix, vc_error *error);
vc_status vc_infer_simplification(vc_simplification_config *out, const vc_tensor_file *file, const char *prefix,
                                  vc_error *error);

// The one of these that belongs to the network's name, into its place in `config`, and what follows from it: the scale
// of latents, the size of pictures for CLIP.
vc_status vc_infer_network(vc_model_config *config, const char *network, const vc_tensor_file *file, const char *prefix,
                           vc_error *error);

#endif
