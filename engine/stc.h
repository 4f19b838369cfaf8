// The spatio-temporal condition encoders: a video of any size becomes a tensor of the latent's size.
//
// convolution, SiLU, adaptive pool, two convolutions of stride 2, then a small transformer over the frames of each
// pixel (arXiv 2306.02018, section 3.2). Their outputs are added up, each with its strength, and join the noise.
#ifndef VC_ENGINE_STC_H
#define VC_ENGINE_STC_H

#include "engine/config.h"
#include "engine/graph.h"

typedef struct vc_stc_info {
  const char *condition;  // in configurations: "depthmap"
  const char *input;      // of the value in a graph: "depth"
  const char *convs;      // key of the convolutions: "depth_embedding"
  const char *after;      // key of the transformer: "depth_embedding_after"
  int64_t channels;
} vc_stc_info;

// By vc_condition.
extern const vc_stc_info vc_stc_table[VC_CONDITION_COUNT];

// video {n f h w channels} -> {n f ceil(pool / 4) concat_dim}, pool = rows, columns behind the first convolution.
vc_value vc_stc_encoder(vc_graph *graph, vc_value video, vc_condition condition, int64_t concat_dim,
                        const int64_t pool[2]);

// ceil(pool / 4): what two convolutions of stride 2 leave of the pool.
int64_t vc_stc_side(int64_t pool);

#endif
