// model.json as a whole: sizes, sampler, preprocessing, and how the networks fit together.
#include <cjson/cJSON.h>
#include <stdio.h>
#include <string.h>

#include "engine/config.h"
#include "engine/json_fields.h"

#define COUNT(a) ((int)(sizeof(a) / sizeof *(a)))
#define INT(type, field, low, high) \
  { .name = #field, .at = offsetof(type, field), .least = low, .most = high }
#define REAL(type, field, low, high) \
  { .name = #field, .kind = VC_JSON_REAL, .at = offsetof(type, field), .least = low, .most = high }
#define REALS(type, field, low, high) \
  { .name = #field, .kind = VC_JSON_REAL, .at = offsetof(type, field), .capacity = 3, .least = low, .most = high }
#define TEXT(type, field) \
  { .name = #field, .kind = VC_JSON_TEXT, .at = offsetof(type, field), .capacity = sizeof(((type *)0)->field) }
#define BOOL(type, field) \
  { .name = #field, .kind = VC_JSON_BOOL, .at = offsetof(type, field) }

static const vc_json_field model_fields[] = {
    TEXT(vc_model_config, name),
    INT(vc_model_config, frames, 1, 4096),
    INT(vc_model_config, fps, 1, 240),
    INT(vc_model_config, height, 8, VC_MAX_SIDE),
    INT(vc_model_config, width, 8, VC_MAX_SIDE),
    INT(vc_model_config, latent_scale, 1, 1 << (VC_MAX_LEVELS - 1)),
};

static const vc_json_field diffusion_fields[] = {
    TEXT(vc_diffusion_config, schedule),
    INT(vc_diffusion_config, steps, 2, 10000),
    REAL(vc_diffusion_config, init_beta, 1e-8, 0.999),
    REAL(vc_diffusion_config, last_beta, 1e-8, 0.999),
    TEXT(vc_diffusion_config, prediction),
    TEXT(vc_diffusion_config, sampler),
    INT(vc_diffusion_config, sample_steps, 1, 1000),
    REAL(vc_diffusion_config, guidance, -100, 100),
    REAL(vc_diffusion_config, eta, 0, 1),
};

static const vc_json_field preprocessing_fields[] = {
    REALS(vc_preprocessing_config, video_mean, -10, 10),
    REALS(vc_preprocessing_config, video_std, 1e-3, 10),
    INT(vc_preprocessing_config, misc_size, 1, VC_MAX_SIDE),
    INT(vc_preprocessing_config, motion_size, 1, VC_MAX_SIDE),
    INT(vc_preprocessing_config, motion_block, 1, 1024),
    INT(vc_preprocessing_config, clip_size, 1, 4096),
    REALS(vc_preprocessing_config, clip_mean, -10, 10),
    REALS(vc_preprocessing_config, clip_std, 1e-3, 10),
    INT(vc_preprocessing_config, style_frame, 0, 4095),
    REALS(vc_preprocessing_config, sketch_mean, -10, 10),
    REALS(vc_preprocessing_config, sketch_std, 1e-3, 10),
    BOOL(vc_preprocessing_config, sketch_simplification),
    REAL(vc_preprocessing_config, depth_std, 1e-6, 1e6),
    REAL(vc_preprocessing_config, depth_clamp, 1e-6, 1e6),
    INT(vc_preprocessing_config, mask_draw_size, 1, VC_MAX_SIDE),
};

vc_model_config vc_model_config_released(void) {
  return (vc_model_config){
      .name = "videocomposer",
      .frames = 16,
      .fps = 8,
      .height = 256,
      .width = 256,
      .latent_scale = 8,
      .networks = {true, true, true, true, true, true},
      .unet = vc_unet_config_released(),
      .vae = vc_vae_config_released(),
      .clip = vc_clip_config_released(),
      .midas = vc_midas_config_released(),
      .pidinet = vc_pidinet_config_released(),
      .sketch_simplification = vc_simplification_config_released(),
      .diffusion = {.schedule = "linear_sd",
                    .steps = 1000,
                    .init_beta = 0.00085,
                    .last_beta = 0.012,
                    .prediction = "eps",
                    .sampler = "ddim",
                    .sample_steps = 50,
                    .guidance = 9.0},
      .preprocessing = {.video_mean = {0.5, 0.5, 0.5},
                        .video_std = {0.5, 0.5, 0.5},
                        .misc_size = 384,
                        .motion_size = 256,
                        .motion_block = 16,
                        .clip_size = 224,
                        .clip_mean = {0.48145466, 0.4578275, 0.40821073},
                        .clip_std = {0.26862954, 0.26130258, 0.27577711},
                        .style_frame = 8,
                        .sketch_mean = {0.485, 0.456, 0.406},
                        .sketch_std = {0.229, 0.224, 0.225},
                        .sketch_simplification = true,
                        .depth_std = 20,
                        .depth_clamp = 10,
                        .mask_draw_size = 512},
  };
}

static vc_status parse_networks(vc_model_config *config, const cJSON *object, vc_error *error) {
  const struct {
    const char *name;
    bool *present;
  } known[] = {
      {"unet", &config->networks.unet},       {"vae", &config->networks.vae},
      {"clip", &config->networks.clip},       {"midas", &config->networks.midas},
      {"pidinet", &config->networks.pidinet}, {"sketch_simplification", &config->networks.sketch_simplification},
  };
  const cJSON *list = cJSON_GetObjectItemCaseSensitive(object, "networks"), *item;
  if (!list || cJSON_IsNull(list)) return VC_OK;
  if (!cJSON_IsArray(list)) return vc_fail(error, VC_FAILED, "model: networks must be a list of names");
  for (int i = 0; i < COUNT(known); i++) *known[i].present = false;
  cJSON_ArrayForEach(item, list) {
    const char *name = cJSON_IsString(item) ? item->valuestring : "";
    int i = 0;
    while (i < COUNT(known) && strcmp(name, known[i].name) != 0) i++;
    if (i == COUNT(known))
      return vc_fail(error, VC_FAILED,
                     "model: networks holds \"%.40s\", and may hold unet, vae, clip, midas, pidinet, "
                     "sketch_simplification",
                     name);
    *known[i].present = true;
  }
  return VC_OK;
}

// An object within the model's, or nothing where it is missing.
static const cJSON *part(const cJSON *object, const char *name) {
  const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
  return item && !cJSON_IsNull(item) ? item : NULL;
}

vc_status vc_model_config_parse(vc_model_config *out, const cJSON *object, vc_error *error) {
  const cJSON *item;
  *out = vc_model_config_released();
  vc_status status = vc_json_read(object, "model", model_fields, COUNT(model_fields), out, error);
  if (!status) status = parse_networks(out, object, error);
  if (!status && (item = part(object, "unet"))) status = vc_unet_config_parse(&out->unet, item, error);
  if (!status && (item = part(object, "vae"))) status = vc_vae_config_parse(&out->vae, item, error);
  if (!status && (item = part(object, "clip"))) status = vc_clip_config_parse(&out->clip, item, error);
  if (!status && (item = part(object, "midas"))) status = vc_midas_config_parse(&out->midas, item, error);
  if (!status && (item = part(object, "pidinet"))) status = vc_pidinet_config_parse(&out->pidinet, item, error);
  if (!status && (item = part(object, "sketch_simplification")))
    status = vc_simplification_config_parse(&out->sketch_simplification, item, error);
  if (!status && (item = part(object, "diffusion")))
    status = vc_json_read(item, "diffusion", diffusion_fields, COUNT(diffusion_fields), &out->diffusion, error);
  if (!status && (item = part(object, "preprocessing")))
    status = vc_json_read(item, "preprocessing", preprocessing_fields, COUNT(preprocessing_fields), &out->preprocessing,
                          error);
  return status ? status : vc_model_config_check(out, error);
}

static vc_status check_diffusion(const vc_diffusion_config *d, vc_error *error) {
  static const char *const samplers[] = {"ddim", "dpmpp2m", "unipc"};
  if (strcmp(d->schedule, "linear_sd") != 0)
    return vc_fail(error, VC_FAILED, "diffusion: schedule is \"%s\", and must be \"linear_sd\"", d->schedule);
  if (strcmp(d->prediction, "eps") != 0)
    return vc_fail(error, VC_FAILED, "diffusion: prediction is \"%s\", and must be \"eps\"", d->prediction);
  if (!(d->init_beta <= d->last_beta))
    return vc_fail(error, VC_FAILED, "diffusion: init_beta is %g, and must be at most last_beta, %g", d->init_beta,
                   d->last_beta);
  if (d->sample_steps > d->steps)
    return vc_fail(error, VC_FAILED, "diffusion: sample_steps is %lld, and must be at most steps, %lld",
                   (long long)d->sample_steps, (long long)d->steps);
  for (int i = 0; i < COUNT(samplers); i++)
    if (!strcmp(d->sampler, samplers[i])) return VC_OK;
  return vc_fail(error, VC_FAILED, "diffusion: sampler is \"%s\", and must be ddim, dpmpp2m or unipc", d->sampler);
}

static vc_status must_equal(const char *a, int64_t x, const char *b, int64_t y, vc_error *error) {
  if (x == y) return VC_OK;
  return vc_fail(error, VC_FAILED, "model: %s is %lld, and must be %lld like %s", a, (long long)x, (long long)y, b);
}

// Widths and sizes that one network hands to the next.
static vc_status check_networks(const vc_model_config *c, vc_error *error) {
  vc_status status = VC_OK;
  if (c->networks.unet && c->networks.vae) {
    status = must_equal("latent_scale", c->latent_scale, "the scale of vae.ch_mult", (int64_t)1 << (c->vae.levels - 1),
                        error);
    if (!status) status = must_equal("unet.in_dim", c->unet.in_dim, "vae.embed_dim", c->vae.embed_dim, error);
    if (!status) status = must_equal("unet.out_dim", c->unet.out_dim, "unet.in_dim", c->unet.in_dim, error);
  }
  if (!status && c->networks.unet && c->networks.clip) {
    status = must_equal("unet.context_dim", c->unet.context_dim, "clip.text.width", c->clip.text.width, error);
    if (!status && c->unet.image)
      status = must_equal("unet.context_dim", c->unet.context_dim, "clip.embed_dim", c->clip.embed_dim, error);
  }
  if (!status && c->networks.clip)
    status =
        must_equal("preprocessing.clip_size", c->preprocessing.clip_size, "clip.image.size", c->clip.image.size, error);
  return status;
}

vc_status vc_model_config_check(const vc_model_config *c, vc_error *error) {
  vc_status status = vc_unet_config_check(&c->unet, error);
  if (!status) status = vc_vae_config_check(&c->vae, error);
  if (!status) status = vc_clip_config_check(&c->clip, error);
  if (!status) status = vc_midas_config_check(&c->midas, error);
  if (!status) status = vc_pidinet_config_check(&c->pidinet, error);
  if (!status) status = vc_simplification_config_check(&c->sketch_simplification, error);
  if (!status) status = check_diffusion(&c->diffusion, error);
  if (!status) status = check_networks(c, error);
  if (status) return status;
  int64_t multiple = c->latent_scale << (c->unet.levels - 1);
  if (c->height % multiple || c->width % multiple)
    return vc_fail(error, VC_FAILED, "model: width x height is %lld x %lld, and both must be multiples of %lld",
                   (long long)c->width, (long long)c->height, (long long)multiple);
  if (c->preprocessing.style_frame >= c->frames)
    return vc_fail(error, VC_FAILED, "preprocessing: style_frame is %lld, and must be below frames, %lld",
                   (long long)c->preprocessing.style_frame, (long long)c->frames);
  return VC_OK;
}
