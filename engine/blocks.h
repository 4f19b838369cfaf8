// The layers of the UNet: residual block with its temporal convolutions, spatial and temporal transformer, up, down.
//
// `module` is the path of a layer's parameters; "" stands for parameters at the top level. Values are named by their
// modules' paths, so that a trace finds them; "a.2+b.1" is the sum of two modules' outputs, of which the second is a
// vector a video, and the first exists only in that sum. x is {n f h w c} everywhere.
#ifndef VC_ENGINE_BLOCKS_H
#define VC_ENGINE_BLOCKS_H

#include "engine/graph.h"

// "module.name", or "name" when module is "".
vc_path vc_module(const char *module, const char *name);

typedef struct vc_res_spec {
  const char *module;
  int64_t c_out, groups;
  vc_value emb;  // {steps * t, 1 1 1 e}: the time embedding behind its SiLU, of one t for all videos or one each
} vc_res_spec;
// Group norms per frame, eps 1e-5; the temporal convolution follows the residual sum.
vc_value vc_block_res(vc_graph *graph, vc_value x, const vc_res_spec *spec);

// Four times (group norm over all frames, eps 1e-5; SiLU; 3 taps along time), then a residual.
vc_value vc_block_temporal_conv(vc_graph *graph, vc_value x, const char *module, int64_t groups);

typedef struct vc_transformer_spec {
  const char *module;
  int64_t heads, head_dim, groups;
  vc_value context;  // spatial only: tokens {n or a multiple of it, 1 1 l c}
} vc_transformer_spec;
// Attention over the pixels of each frame, then to the context, which all frames share. Where the context has more
// videos than x (guidance: conditional and unconditional), x is computed once and repeated from there on.
vc_value vc_block_spatial_transformer(vc_graph *graph, vc_value x, const vc_transformer_spec *spec);

// Attention over the frames of each pixel, twice. heads * head_dim may differ from x's channels.
vc_value vc_block_temporal_transformer(vc_graph *graph, vc_value x, const vc_transformer_spec *spec);

// Two linear layers of width 4 c: gated (GEGLU) or with a plain gelu.
vc_value vc_block_feed_forward(vc_graph *graph, vc_value x, const char *module, bool gated);

// 3x3 with stride 2 and padding 1 on all sides; nearest to twice the size, then 3x3.
vc_value vc_block_downsample(vc_graph *graph, vc_value x, const char *module);
vc_value vc_block_upsample(vc_graph *graph, vc_value x, const char *module);

#endif
