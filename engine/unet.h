// The denoiser UNetSD_temporal: eps of a noisy latent, steered by text, style tokens and condition videos.
//
// Source: arXiv 2306.02018; parameter names are the released checkpoint's. What does not depend on the noisy latent
// (condition encoders, keys and values of the context, time embeddings of all steps) has inputs of VC_RATE_VIDEO.
#ifndef VC_ENGINE_UNET_H
#define VC_ENGINE_UNET_H

#include "engine/config.h"
#include "engine/graph.h"

// What one run of the UNet is asked for.
typedef struct vc_unet_request {
  int64_t n, f, h, w;    // of the latent
  int64_t timesteps;     // a step: 1 for all videos, or n
  bool guided;           // conditional and unconditional pass in one batch of 2 n videos, the conditional n first
  int64_t text_tokens;   // of y: 1 or more
  int64_t style_tokens;  // of image; 0: no style
  struct {
    int64_t n, f, h, w;  // f = 0: not given. n or 1 videos, f or 1 frames: one stands for all
    float strength;      // factor of its encoder's output
  } video[VC_CONDITION_COUNT];
} vc_unet_request;

// VC_FAILED in one line when the request does not fit the configuration. `config` must have been checked.
vc_status vc_unet_request_check(const vc_unet_config *config, const vc_unet_request *request, vc_error *error);

// Describes the network for a request that has been checked, and returns eps {n or 2 n, f h w out_dim}. Its inputs:
//   "x"      {n f h w in_dim}                      every step
//   "t"      F32 {steps * timesteps, 1 1 1 1}      all steps' timesteps, step by step
//   "y"      {n or 2 n, 1 1 text_tokens c}         text tokens, those of the empty prompt filled in by the caller
//   "image"  {n or 2 n, 1 1 style_tokens c}        style tokens, zeros in the unconditional half; with style only
//   "depth", "motion", ...: vc_stc_table[i].input {n f h w channels} as requested
//   "zeros"  {n f h w concat_dim}                  to be filled with zeros; only when no condition has all frames
vc_value vc_unet_describe(vc_graph *graph, const vc_unet_config *config, const vc_unet_request *request);

// sinusoid {t 1 1 1 dim} -> {t 1 1 1 4 dim}; the values are "sinusoid" and "time_embed.2".
vc_value vc_unet_time_embed(vc_graph *graph, vc_value t, int64_t dim);

#endif
