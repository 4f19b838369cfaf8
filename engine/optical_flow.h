// Dense optical flow by polynomial expansion, for measuring how well a video follows a motion.
//
// Source: Farneback, "Two-frame motion estimation based on polynomial expansion" (SCIA 2003), with the pyramid, the box
// window and the treatment of borders that OpenCV's calcOpticalFlowFarneback has, so that figures compare with those
// that are computed with it.
#ifndef VC_ENGINE_OPTICAL_FLOW_H
#define VC_ENGINE_OPTICAL_FLOW_H

#include "loaders/frames.h"

typedef struct vc_flow_options {
  double pyramid_scale;  // size of a level of the pyramid over that of the one below; 0.01 .. 0.99
  int levels;            // of the pyramid above the picture itself, as long as they keep 32 pixels a side; 1 .. 32
  int window;            // side of the box that displacements are averaged over; 1 .. 1001
  int iterations;        // at each level; 1 .. 1000
  int poly_n;            // pixels to each side that a polynomial is fitted to; 1 .. 31
  double poly_sigma;     // of the Gaussian weights of that fit; 0.01 .. 100
} vc_flow_options;

// Those of the metric.
vc_flow_options vc_default_flow_options(void);

// VC_INVALID names the number that is out of range.
vc_status vc_flow_options_check(const vc_flow_options *options, vc_error *error);

// Flow [2][height][width] (x, then y) from one RGB picture to another of the same size: what lies at p in `from` lies
// at p + flow(p) in `to`. VC_INVALID when the sizes differ.
vc_status vc_optical_flow(float *flow, const vc_image *from, const vc_image *to, const vc_flow_options *options,
                          vc_error *error);

#endif
