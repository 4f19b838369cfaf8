// PiDiNet (arXiv 2108.07009), the edge detector of the sketch condition: kind "carv4", its fused map alone.
//
// Parameter names are those of table5_pidinet.pth without "module.". That file holds pixel-difference convolutions:
// kernels that weigh the differences between pixels, which are ordinary convolutions with other weights. The network is
// described with ordinary ones; vc_pidinet_fold makes their weights.
#ifndef VC_ENGINE_PIDINET_H
#define VC_ENGINE_PIDINET_H

#include "engine/config.h"
#include "engine/graph.h"
#include "engine/parameters.h"

// frames {n 1 H W 3}, normalised -> {n 1 H W 1}: how likely each pixel is an edge. Sides of at least
// VC_PIDINET_LEAST_SIDE.
vc_value vc_pidinet(vc_graph *graph, vc_value frames, const vc_pidinet_config *config);

enum {
  VC_PIDINET_LEAST_SIDE = 8,  // halved three times
  VC_PIDINET_FOLDED = 16,     // layers that are pixel differences
};

// "module." when the parameters' names begin like that, as in the released file, else "".
const char *vc_pidinet_prefix(const vc_weights *weights);

// The kernels of ordinary convolutions that do the work of the pixel differences in `raw`, by layer: F32, owned by the
// caller (vc_pidinet_fold_free), in the shapes that vc_pidinet asks for. Where raw holds ordinary convolutions already
// (those of "rd" layers are 5x5), or a tensor is missing or has another shape or dtype, an entry stays empty and raw's
// own tensor, or its absence, is what counts.
typedef struct vc_pidinet_kernels {
  vc_tensor layer[VC_PIDINET_FOLDED];
} vc_pidinet_kernels;
vc_status vc_pidinet_fold(vc_pidinet_kernels *out, const vc_weights *raw, vc_error *error);
void vc_pidinet_fold_free(vc_pidinet_kernels *kernels);

// The kernel of this key, or NULL when it has not been folded.
const vc_tensor *vc_pidinet_kernel(const vc_pidinet_kernels *kernels, const char *key);

#endif
