// The functions that cases may name. A line here declares a network, vc_case_NAME, and lists it.
#ifndef VC_ENGINE_CASE_NETWORKS_H
#define VC_ENGINE_CASE_NETWORKS_H

#include "engine/case_io.h"

#define VC_CASE_NETWORKS(ENTRY) \
  ENTRY(unet)                   \
  ENTRY(stc)                    \
  ENTRY(resblock)               \
  ENTRY(spatial_transformer)    \
  ENTRY(temporal_transformer)   \
  ENTRY(temporal_conv)          \
  ENTRY(downsample)             \
  ENTRY(upsample)               \
  ENTRY(group_norm)             \
  ENTRY(time_embed)             \
  ENTRY(vae_encoder)            \
  ENTRY(vae_decoder)            \
  ENTRY(vae_posterior)          \
  ENTRY(schedule)               \
  ENTRY(ddim_step)              \
  ENTRY(ddim)                   \
  ENTRY(dpmpp_2m)               \
  ENTRY(ddim_inversion)         \
  ENTRY(clip_text)              \
  ENTRY(clip_image)             \
  ENTRY(midas)                  \
  ENTRY(pidinet)                \
  ENTRY(pidinet_released)       \
  ENTRY(sketch_simplification)  \
  ENTRY(sketch_pipeline)        \
  ENTRY(frame_consistency)      \
  ENTRY(resize_box)             \
  ENTRY(resize_bilinear)        \
  ENTRY(resize_bicubic)         \
  ENTRY(resize_lanczos)         \
  ENTRY(center_crop)            \
  ENTRY(image_preprocess)       \
  ENTRY(video_decode)           \
  ENTRY(video_frames)           \
  ENTRY(motion_vectors)         \
  ENTRY(motion_field)           \
  ENTRY(fps_select)             \
  ENTRY(mask_strokes)           \
  ENTRY(mask_rectangles)        \
  ENTRY(mask_uncrop)            \
  ENTRY(masked_condition)       \
  ENTRY(motion_strokes)         \
  ENTRY(end_point_error)        \
  ENTRY(farneback)

#define VC_DECLARE_CASE(name) vc_status vc_case_##name(vc_case *c, vc_error *error);
VC_CASE_NETWORKS(VC_DECLARE_CASE)
#undef VC_DECLARE_CASE

#endif
