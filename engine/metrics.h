// Metrics of videos, as the paper names them: frame consistency and motion control error.
//
// Frame consistency is the mean cosine similarity of the CLIP image features of consecutive frames. Motion control
// error is the end-point error of optical flow: the mean distance between the flow of a video and that of its
// reference. The released code computes neither; which estimator the authors used is not known (engine/optical_flow.h
// stands in).
#ifndef VC_ENGINE_METRICS_H
#define VC_ENGINE_METRICS_H

#include "engine/optical_flow.h"
#include "engine/videocomposer.h"
#include "loaders/motion_vectors.h"

// features [frames][size]. VC_FAILED for fewer than two frames and for a feature that is zero or not finite.
vc_status vc_frame_consistency(const float *features, int64_t frames, int64_t size, double *out, vc_error *error);

// flow and reference [fields][2][plane]; the mean over all pixels of all fields. VC_FAILED for empty fields and when it
// is not finite.
vc_status vc_end_point_error(const float *flow, const float *reference, int64_t fields, int64_t plane, double *out,
                             vc_error *error);

// Flow from each frame to the next: a new F32 tensor [count - 1, 2, height, width].
vc_status vc_clip_flow(vc_tensor *out, const vc_frames *clip, const vc_flow_options *options, vc_error *error);

// Mean distance between the motion that a video should have and its flow, at the places where the former is known.
typedef struct vc_motion_error {
  double value;
  int64_t vectors;  // that it is the mean over
} vc_motion_error;

// What should move: `motion` [frames height width 2], 0 where nothing is known, whose frame t holds what arrived there
// since frame t - 1 in pixels of its own; flow [frames - 1, 2, H, W] of the video, which is stretched over it. The flow
// is read at the place that the vector comes from. VC_FAILED when there are no vectors, or not as many frames.
vc_status vc_motion_field_error(vc_motion_error *out, const vc_tensor *flow, const vc_tensor *motion, vc_error *error);

// The same against a codec's vectors, those of each frame of the video, in a picture of height x width that the video
// shows a middle part of (vc_cover). Blocks that stand still count too; those from the future or outside do not.
vc_status vc_motion_vectors_error(vc_motion_error *out, const vc_tensor *flow, const vc_vectors *vectors, int height,
                                  int width, vc_error *error);

// CLIP image features of all frames, [count][embed_dim] in a new F32 tensor, by the model's image tower.
vc_status vc_clip_features(vc_engine *engine, const vc_frames *clip, const vc_callbacks *callbacks, vc_tensor *out,
                           vc_error *error);

#endif
