// OpenCLIP ViT-H-14's two towers: text tokens to the UNet's context, pictures to style tokens.
//
// Source: github.com/mlfoundations/open_clip; parameter names are its checkpoint's. Exact GELU, layer norm eps 1e-5.
#ifndef VC_ENGINE_CLIP_H
#define VC_ENGINE_CLIP_H

#include "engine/config.h"
#include "engine/graph.h"

// tokens I32 {n 1 1 context 1}, each below vocab -> {n 1 1 context width}: the context of the UNet, from behind the
// last block but one ("penultimate") or the last, through ln_final. All positions count, padding too.
vc_value vc_clip_text(vc_graph *graph, vc_value tokens, const vc_clip_config *config);

// tokens -> {n 1 1 context embed_dim}: the feature of every position behind the last block. The text's is that of its
// end token, the highest of its ids. For metrics only.
vc_value vc_clip_text_features(vc_graph *graph, vc_value tokens, const vc_clip_config *config);

// Both at once, the blocks described once.
void vc_clip_text_both(vc_graph *graph, vc_value tokens, const vc_clip_config *config, vc_value *hidden,
                       vc_value *features);

// pixels {n 1 size size 3}, normalised -> {n 1 1 1 + patches, embed_dim}; token 0 is the picture's feature, not
// normalised.
vc_value vc_clip_image(vc_graph *graph, vc_value pixels, const vc_clip_config *config);

#endif
