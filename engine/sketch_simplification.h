// Sketch simplification (Simo-Serra et al., "Mastering Sketching", the GAN variant): cleans lines.
//
// Parameter names are those of sketch_simplification_gan.pth: convolutions at the even places of "layers".
#ifndef VC_ENGINE_SKETCH_SIMPLIFICATION_H
#define VC_ENGINE_SKETCH_SIMPLIFICATION_H

#include "engine/config.h"
#include "engine/graph.h"

enum { VC_SIMPLIFICATION_MULTIPLE = 8 };  // of both sides

// x {n 1 H W 1}, dark lines on white in 0..1, normalised with the configuration's mean and std -> the same in clean.
vc_value vc_sketch_simplification(vc_graph *graph, vc_value x, const vc_simplification_config *config);

#endif
