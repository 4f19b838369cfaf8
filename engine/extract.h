// Conditions made of pictures by networks: depth (MiDaS) and sketch (PiDiNet and the simplification of sketches).
#ifndef VC_ENGINE_EXTRACT_H
#define VC_ENGINE_EXTRACT_H

#include "engine/model.h"
#include "engine/videocomposer.h"

// frames [f][h][w][3] in 0..1 -> F32 [f h w 1], owned by the caller: inverse depth over preprocessing.depth_std, in
// 0..depth_clamp. Progress is told as the phase "depth".
vc_status vc_extract_depth(vc_engine *engine, const float *frames, int64_t f, int64_t h, int64_t w,
                           const vc_callbacks *callbacks, vc_tensor *out, vc_error *error);

// frames [f][h][w][3] in 0..1 -> F32 [f h w 1] in 0..1, lines bright: PiDiNet's edges ("edges"), cleaned by the
// simplification ("lines") where preprocessing.sketch_simplification says so.
vc_status vc_extract_sketch(vc_engine *engine, const float *frames, int64_t f, int64_t h, int64_t w,
                            const vc_callbacks *callbacks, vc_tensor *out, vc_error *error);

// Both load one network at a time, run it a few frames at a time and drop it. A side that the network cannot take is
// padded with its last row or column, and the result is cut to size. `callbacks` may be NULL. VC_FAILED when the model
// does not have the network, or when what comes out is not finite; VC_INVALID for sizes that are out of range.

// Loads the weights of the first network that depth (or else sketch) needs, and holds them for vc_extract_depth and
// vc_extract_sketch, which may be called later: meanwhile another thread can decode. vc_extract_hold says which
// networks' weights stay between calls, and drops those of the others.
vc_status vc_extract_load(vc_engine *engine, bool depth, bool sketch, const vc_callbacks *callbacks, vc_error *error);
void vc_extract_hold(vc_engine *engine, bool depth, bool sketch);

// What happens on the way, for one network: pixels in, the network, values out.
typedef struct vc_extraction {
  const char *phase;
  vc_network network;
  int64_t channels;  // of the network's input
  void (*pixels)(float *to, const float *from, int64_t pixels, const vc_model_config *config);
  vc_value (*describe)(vc_graph *graph, vc_value x, const vc_model_config *config);
  void (*values)(float *values, int64_t count, const vc_model_config *config);  // in place
  int64_t (*multiple)(const vc_model_config *config);                           // of both sides
  int64_t (*widest)(const vc_model_config *config);  // floats a pixel of the largest activation, about
} vc_extraction;

// Frames to depth, frames to edges, edges to clean lines.
extern const vc_extraction vc_extraction_depth, vc_extraction_edges, vc_extraction_lines;

#endif
