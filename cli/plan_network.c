#include "cli/plan_network.h"

#include <string.h>

#include "engine/clip.h"
#include "engine/extract.h"
#include "engine/stc.h"
#include "engine/unet.h"
#include "engine/vae.h"

static vc_status describe_unet(vc_graph *graph, const vc_model_config *config, const vc_plan_shape *s,
                               vc_error *error) {
  vc_unet_config unet = config->unet;
  vc_unet_request r = {.n = s->videos,
                       .f = s->frames,
                       .h = s->height / config->latent_scale,
                       .w = s->width / config->latent_scale,
                       .timesteps = 1,
                       .guided = s->guided,
                       .text_tokens = config->clip.text.context,
                       .style_tokens = s->style ? 1 : 0};
  unet.stc_size[0] = 4 * r.h;
  unet.stc_size[1] = 4 * r.w;
  for (int i = 0; i < VC_CONDITION_COUNT; i++) {
    bool one = i == VC_CONDITION_LOCAL_IMAGE || i == VC_CONDITION_SINGLE_SKETCH;
    int64_t side = i == VC_CONDITION_MOTION ? config->preprocessing.motion_size : config->preprocessing.misc_size;
    if (!s->condition[i]) continue;
    r.video[i].n = 1;
    r.video[i].f = one ? 1 : s->frames;
    r.video[i].h = side * s->height / config->height;
    r.video[i].w = side * s->width / config->width;
    r.video[i].strength = 1;
  }
  vc_status status = vc_unet_request_check(&unet, &r, error);
  if (status) return status;
  vc_value eps = vc_unet_describe(graph, &unet, &r);
  if (s->sampler)
    vc_graph_sampler(graph, &(vc_sampler_spec){.eps = eps, .input = vc_graph_find(graph, "x"), .guided = s->guided});
  else
    vc_graph_keep(graph, eps);
  return VC_OK;
}

static vc_value describe_extraction(vc_graph *graph, const vc_extraction *what, const vc_model_config *config,
                                    const vc_plan_shape *s) {
  int64_t multiple = what->multiple(config);
  vc_shape shape = {s->videos * s->frames, 1, (s->height + multiple - 1) / multiple * multiple,
                    (s->width + multiple - 1) / multiple * multiple, what->channels};
  return what->describe(graph, vc_graph_input(graph, "x", shape, VC_ELEMENT_ACTIVATION, VC_RATE_STEP), config);
}

vc_status vc_plan_describe(vc_graph **out, vc_plan_network network, const vc_model_config *config,
                           const vc_plan_shape *s, vc_error *error) {
  vc_graph *graph;
  vc_status status = vc_graph_new(out, network == VC_PLAN_UNET ? s->steps : 1, error);
  if (status) return status;
  graph = *out;
  int64_t scale = config->latent_scale, size = config->clip.image.size;
  vc_shape pixels = {s->videos, s->frames, s->height, s->width, config->vae.in_channels};
  vc_shape latent = {s->videos, s->frames, s->height / scale, s->width / scale, config->vae.embed_dim};
  vc_value in, result = VC_NONE;
  switch (network) {
    case VC_PLAN_UNET:
      status = describe_unet(graph, config, s, error);
      break;
    case VC_PLAN_VAE_DECODER:
      in = vc_graph_input(graph, "x", latent, VC_ELEMENT_ACTIVATION, VC_RATE_STEP);
      result = vc_vae_decoder(graph, in, &config->vae);
      break;
    case VC_PLAN_VAE_ENCODER:
      in = vc_graph_input(graph, "x", pixels, VC_ELEMENT_ACTIVATION, VC_RATE_STEP);
      result = vc_vae_encoder(graph, in, &config->vae);
      break;
    case VC_PLAN_CLIP_TEXT:
      in = vc_graph_input(graph, "tokens", (vc_shape){s->guided ? 2 : 1, 1, 1, config->clip.text.context, 1},
                          VC_ELEMENT_I32, VC_RATE_STEP);
      result = vc_clip_text(graph, in, &config->clip);
      break;
    case VC_PLAN_CLIP_IMAGE:
      in = vc_graph_input(graph, "pixels", (vc_shape){1, 1, size, size, 3}, VC_ELEMENT_ACTIVATION, VC_RATE_STEP);
      result = vc_clip_image(graph, in, &config->clip);
      break;
    case VC_PLAN_MIDAS:
      result = describe_extraction(graph, &vc_extraction_depth, config, s);
      break;
    case VC_PLAN_PIDINET:
      result = describe_extraction(graph, &vc_extraction_edges, config, s);
      break;
    case VC_PLAN_SIMPLIFICATION:
      result = describe_extraction(graph, &vc_extraction_lines, config, s);
      break;
  }
  if (result != VC_NONE) vc_graph_keep(graph, result);
  if (!status) return VC_OK;
  vc_graph_free(graph);
  *out = NULL;
  return status;
}

vc_status vc_plan_conditions(const char *list, const vc_model_config *config, vc_plan_shape *shape, vc_error *error) {
  if (!strcmp(list, "none")) return VC_OK;
  if (!strcmp(list, "all")) {
    memcpy(shape->condition, config->unet.conditions, sizeof shape->condition);
    shape->style = true;
    return VC_OK;
  }
  for (const char *at = list; *at;) {
    size_t length = strcspn(at, ",");
    bool known = length == 5 && !memcmp(at, "style", 5);
    shape->style |= known;
    for (int i = 0; i < VC_CONDITION_COUNT; i++) {
      const char *const names[2] = {vc_stc_table[i].condition, vc_stc_table[i].input};
      for (int k = 0; k < 2; k++)
        if (strlen(names[k]) == length && !memcmp(at, names[k], length)) shape->condition[i] = known = true;
    }
    if (!known)
      return vc_fail(error, VC_INVALID,
                     "--conditions: there is no condition '%.*s'; known are all, none, style, depth, local_image, "
                     "motion, canny, sketch, single_sketch, mask",
                     (int)(length < 40 ? length : 40), at);
    at += length + (at[length] == ',');
  }
  return VC_OK;
}
