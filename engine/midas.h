// MiDaS 3, DPT-Large (arXiv 2103.13413), as VideoComposer runs it: pictures to inverse depth.
//
// Parameter names are those of midas_v3_dpt_large.pth, which are VideoComposer's own and not those of the public
// release. Layer norm eps 1e-5. fusion4.layer1 is in the file and has no use: the deepest map has nothing to join.
#ifndef VC_ENGINE_MIDAS_H
#define VC_ENGINE_MIDAS_H

#include "engine/config.h"
#include "engine/graph.h"

// frames {n 1 H W 3} in -1..1 -> {n 1 16 H / patch, 16 W / patch, 1}, from 0 on. The position embedding is resized
// where the frames are not image_size x image_size.
vc_value vc_midas(vc_graph *graph, vc_value frames, const vc_midas_config *config);

// Both sides must be multiples of this: two patches, because the deepest map has half the resolution of the patches and
// is enlarged to theirs.
int64_t vc_midas_multiple(const vc_midas_config *config);

#endif
