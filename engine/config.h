// The architectures of the networks and the settings of a model, as plain numbers.
//
// They come from files that nobody vouches for, so a parsed configuration has been checked completely: every number is
// in a range in which shapes cannot overflow, and all widths fit together. A failed check is one line that names the
// field, its value and what is allowed. Fields that are missing have the released model's values.
#ifndef VC_ENGINE_CONFIG_H
#define VC_ENGINE_CONFIG_H

#include <stdint.h>

#include "engine/status.h"

struct cJSON;

enum {
  VC_MAX_LEVELS = 8,
  VC_MAX_RES_BLOCKS = 8,      // of a level
  VC_MAX_CHANNELS = 1 << 14,  // of any activation
  VC_MAX_SIDE = 1 << 14,      // pixels
};

// Conditions that are videos, in the order in which their encoders' outputs are added up.
typedef enum vc_condition {
  VC_CONDITION_DEPTH,
  VC_CONDITION_LOCAL_IMAGE,
  VC_CONDITION_MOTION,
  VC_CONDITION_CANNY,
  VC_CONDITION_SKETCH,
  VC_CONDITION_SINGLE_SKETCH,
  VC_CONDITION_MASK,
  VC_CONDITION_COUNT,
} vc_condition;

// UNetSD_temporal (arXiv 2306.02018).
typedef struct vc_unet_config {
  int64_t in_dim, out_dim, dim;
  int levels;
  int64_t dim_mult[VC_MAX_LEVELS];  // channels of a level = dim * dim_mult
  int64_t num_res_blocks;
  int attn_scale_count;
  double attn_scales[VC_MAX_LEVELS];  // levels, as relative sizes (1, 0.5, 0.25, ...), that have transformers
  int64_t num_heads;                  // of the first temporal transformer; elsewhere channels / head_dim
  int64_t head_dim, context_dim, concat_dim;
  int64_t stc_size[2];                  // rows, columns of the pool in the STC encoders: 4 x the latent's
  bool conditions[VC_CONDITION_COUNT];  // encoders that the weights have
  bool text, image;                     // as listed among the conditions; both have their weights in any case
  int64_t groups;                       // of every group norm
} vc_unet_config;

// AutoencoderKL of Stable Diffusion 2.1.
typedef struct vc_vae_config {
  int64_t ch;
  int levels;
  int64_t ch_mult[VC_MAX_LEVELS];
  int64_t num_res_blocks, in_channels, out_ch, z_channels, embed_dim, groups;
  double scale_factor;  // the UNet's latents are scale_factor * z
} vc_vae_config;

typedef struct vc_clip_tower {
  int64_t width, heads, layers;
  int64_t vocab, context;  // text
  int64_t patch, size;     // image
} vc_clip_tower;

// OpenCLIP ViT-H-14.
typedef struct vc_clip_config {
  int64_t embed_dim;
  vc_clip_tower text, image;
  char text_layer[16];  // "penultimate" or "last": where the tokens for the UNet are taken
  int64_t pad_token;
} vc_clip_config;

// MiDaS 3, DPT-Large.
typedef struct vc_midas_config {
  int64_t image_size, patch;   // the position embedding is one of image_size / patch by as many patches
  int64_t dim, heads, layers;  // of the transformer
  int64_t neck[4];             // channels of the four feature maps that the decoder reads
  int64_t fusion, head_dim;    // channels of the decoder, and of its last layer but one
} vc_midas_config;

// PiDiNet (arXiv 2108.07009) of the kind "carv4".
typedef struct vc_pidinet_config {
  int64_t planes, dil;
  bool converted;  // the file is said to hold ordinary convolutions; whether it does is seen from its shapes
} vc_pidinet_config;

typedef struct vc_simplification_config {
  int64_t divide;    // every width but 1 is that of the released network divided by this
  double mean, std;  // of its input
} vc_simplification_config;

typedef struct vc_diffusion_config {
  char schedule[16];  // "linear_sd": linear in the square root of beta
  int64_t steps;      // of training
  double init_beta, last_beta;
  char prediction[8];  // "eps"
  char sampler[16];    // "ddim", "dpmpp2m", "unipc"
  int64_t sample_steps;
  double guidance, eta;
} vc_diffusion_config;

typedef struct vc_preprocessing_config {
  double video_mean[3], video_std[3];  // frames to the autoencoder's input
  int64_t misc_size;                   // side of depth, sketch, mask and first image
  int64_t motion_size, motion_block;
  int64_t clip_size;
  double clip_mean[3], clip_std[3];
  int64_t style_frame;  // of a video that gives the style image
  double sketch_mean[3], sketch_std[3];
  bool sketch_simplification;
  double depth_std, depth_clamp;  // depth = min(raw / depth_std, depth_clamp)
  int64_t mask_draw_size;
} vc_preprocessing_config;

// model.json of a model folder.
typedef struct vc_model_config {
  char name[64];
  int64_t frames, fps, height, width;
  int64_t latent_scale;  // pixels of a latent pixel, along a side
  struct {
    bool unet, vae, clip, midas, pidinet, sketch_simplification;
  } networks;  // that the folder has
  vc_unet_config unet;
  vc_vae_config vae;
  vc_clip_config clip;
  vc_midas_config midas;
  vc_pidinet_config pidinet;
  vc_simplification_config sketch_simplification;
  vc_diffusion_config diffusion;
  vc_preprocessing_config preprocessing;
} vc_model_config;

// The released model's.
vc_unet_config vc_unet_config_released(void);
vc_vae_config vc_vae_config_released(void);
vc_clip_config vc_clip_config_released(void);
vc_midas_config vc_midas_config_released(void);
vc_pidinet_config vc_pidinet_config_released(void);
vc_simplification_config vc_simplification_config_released(void);
vc_model_config vc_model_config_released(void);

// Parse an object over the released defaults and check the result.
vc_status vc_unet_config_parse(vc_unet_config *out, const struct cJSON *object, vc_error *error);
vc_status vc_vae_config_parse(vc_vae_config *out, const struct cJSON *object, vc_error *error);
vc_status vc_clip_config_parse(vc_clip_config *out, const struct cJSON *object, vc_error *error);
vc_status vc_midas_config_parse(vc_midas_config *out, const struct cJSON *object, vc_error *error);
vc_status vc_pidinet_config_parse(vc_pidinet_config *out, const struct cJSON *object, vc_error *error);
vc_status vc_simplification_config_parse(vc_simplification_config *out, const struct cJSON *object, vc_error *error);
vc_status vc_model_config_parse(vc_model_config *out, const struct cJSON *object, vc_error *error);

// Whether numbers that were put together in the program fit (parsing has done it).
vc_status vc_unet_config_check(const vc_unet_config *config, vc_error *error);
vc_status vc_vae_config_check(const vc_vae_config *config, vc_error *error);
vc_status vc_clip_config_check(const vc_clip_config *config, vc_error *error);
vc_status vc_midas_config_check(const vc_midas_config *config, vc_error *error);
vc_status vc_pidinet_config_check(const vc_pidinet_config *config, vc_error *error);
vc_status vc_simplification_config_check(const vc_simplification_config *config, vc_error *error);
vc_status vc_model_config_check(const vc_model_config *config, vc_error *error);

#endif
