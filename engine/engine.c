// Opening an engine, its defaults, and what a request may ask of it.
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "engine/backends.h"
#include "engine/session.h"
#include "engine/stc.h"
#include "engine/vae.h"

vc_engine_options vc_default_engine_options(void) {
  return (vc_engine_options){.backend = "auto", .dtype = VC_DTYPE_COUNT};
}

// The networks must fit each other, as far as the model has them.
static vc_status check_model(const vc_model_config *c, vc_error *error) {
  if (c->clip.text.width != c->unet.context_dim)
    return vc_fail(error, VC_FAILED, "model.json: the text tower's width %lld is not the UNet's context_dim %lld",
                   (long long)c->clip.text.width, (long long)c->unet.context_dim);
  if (c->vae.embed_dim != c->unet.in_dim || c->unet.out_dim != c->unet.in_dim)
    return vc_fail(error, VC_FAILED, "model.json: latents of %lld channels (vae), %lld in and %lld out (unet) differ",
                   (long long)c->vae.embed_dim, (long long)c->unet.in_dim, (long long)c->unet.out_dim);
  if (vc_vae_scale(&c->vae) != c->latent_scale)
    return vc_fail(error, VC_FAILED, "model.json: latent_scale is %lld and the autoencoder's is %lld",
                   (long long)c->latent_scale, (long long)vc_vae_scale(&c->vae));
  if (c->clip.text.vocab <= VC_TOKEN_END)
    return vc_fail(error, VC_FAILED, "model.json: the text tower knows %lld tokens, and the tokenizer has %d",
                   (long long)c->clip.text.vocab, VC_TOKEN_END + 1);
  return VC_OK;
}

vc_status vc_engine_open(vc_engine **out, const vc_engine_options *options, vc_error *error) {
  *out = NULL;
  vc_engine *e = calloc(1, sizeof *e);
  if (!e) return vc_fail(error, VC_NO_MEMORY, "no memory for an engine");
  size_t size = 0;
  const void *vocabulary = options->asset ? options->asset("bpe_simple_vocab_16e6.txt.gz", &size) : NULL;
  vc_status status =
      vocabulary ? VC_OK : vc_fail(error, VC_FAILED, "the tokenizer's vocabulary is not in this program");
  e->max_memory = options->max_memory > 0 ? (size_t)options->max_memory : 0;
  if (!status)
    status = vc_backend_open(&e->backend, &e->device, options->backend ? options->backend : "auto", options->dtype,
                             options->threads, error);
  if (!status && options->choices && e->backend->load_choices) {
    e->choices = strdup(options->choices);
    (void)e->backend->load_choices(e->device, options->choices, NULL);  // without them, the same is found out again
  }
  if (!status) e->dtype = vc_backend_dtype(e->backend, options->dtype);
  if (!status) status = vc_model_open(&e->model, options->model, options->asset, error);
  if (!status) status = check_model(&e->model.config, error);
  if (!status) status = vc_tokenizer_open(&e->tokenizer, vocabulary, size, error);
  if (status)
    vc_engine_close(e);
  else
    *out = e;
  return status;
}

// The folders of a path that are not there yet; what cannot be made shows when the file is written.
static void make_folders(char *path) {
  for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
    *slash = 0;
    (void)mkdir(path, 0700);
    *slash = '/';
  }
}

void vc_engine_close(vc_engine *e) {
  if (!e) return;
  for (int n = 0; n < VC_NETWORK_COUNT; n++) vc_engine_hold(e, (vc_network)n, false);
  vc_tokenizer_close(e->tokenizer);
  vc_model_close(&e->model);
  if (e->device && e->choices) {
    make_folders(e->choices);
    (void)e->backend->save_choices(e->device, e->choices, NULL);
  }
  if (e->device) e->backend->close(e->device);
  free(e->choices);
  free(e);
}

const vc_model_config *vc_engine_config(const vc_engine *e) {
  return &e->model.config;
}

const char *vc_engine_backend_name(const vc_engine *e) {
  return e->backend->name;
}

const char *vc_engine_dtype_name(const vc_engine *e) {
  return e->dtype == VC_F16 ? "f16" : e->dtype == VC_BF16 ? "bf16" : "f32";
}

size_t vc_engine_device_peak(const vc_engine *e) {
  return e->backend->peak ? e->backend->peak(e->device) : 0;
}

const char *vc_engine_model_hash(const vc_engine *e) {
  return vc_model_hash((vc_model *)(uintptr_t)&e->model);  // what is kept there is no part of the engine's state
}

vc_request vc_default_request(const vc_engine *e) {
  const vc_model_config *c = &e->model.config;
  vc_request r = {.frames = c->frames,
                  .height = c->height,
                  .width = c->width,
                  .steps = (int)c->diffusion.sample_steps,
                  .guidance = c->diffusion.guidance,
                  .eta = c->diffusion.eta,
                  .count = 1,
                  .style_strength = 1,
                  .init_strength = 1};
  if (!vc_sampler_kind_parse(c->diffusion.sampler, &r.sampler)) r.sampler = VC_SAMPLER_DDIM;
  for (int i = 0; i < VC_CONDITION_COUNT; i++) r.condition[i].strength = 1;
  return r;
}

// ---- requests

static vc_status check_condition(const vc_engine *e, const vc_request *r, int i, vc_error *error) {
  const vc_condition_video *v = &r->condition[i];
  const char *name = vc_stc_table[i].condition;
  if (!v->data) return VC_OK;
  if (!e->model.config.unet.conditions[i])
    return vc_fail(error, VC_INVALID, "this model has no encoder for the condition %s", name);
  if (v->f != 1 && v->f != r->frames)
    return vc_fail(error, VC_INVALID, "%s has %lld frames and the video has %lld", name, (long long)v->f,
                   (long long)r->frames);
  if (v->h < 1 || v->w < 1 || v->h > VC_MAX_SIDE || v->w > VC_MAX_SIDE)
    return vc_fail(error, VC_INVALID, "%s is %lld x %lld; sides must be 1 to %d", name, (long long)v->w,
                   (long long)v->h, VC_MAX_SIDE);
  if (!isfinite(v->strength)) return vc_fail(error, VC_INVALID, "the strength of %s is not a number", name);
  size_t count = (size_t)(v->f * v->h * v->w * vc_stc_table[i].channels);
  for (size_t k = 0; k < count; k++)
    if (!isfinite(v->data[k]))
      return vc_fail(error, VC_INVALID, "%s holds a NaN or an infinity at element %zu", name, k);
  return VC_OK;
}

static vc_status check_size(const vc_engine *e, const vc_request *r, vc_error *error) {
  const vc_model_config *c = &e->model.config;
  int64_t multiple = c->latent_scale << (c->unet.levels - 1);
  if (r->frames < 1 || r->frames > 1024)
    return vc_fail(error, VC_INVALID, "%lld frames: 1 to 1024 can be made", (long long)r->frames);
  if (r->height < multiple || r->width < multiple || r->height > 8192 || r->width > 8192 || r->height % multiple ||
      r->width % multiple)
    return vc_fail(error, VC_INVALID, "%lldx%lld: this model makes sides that are multiples of %lld, up to 8192",
                   (long long)r->width, (long long)r->height, (long long)multiple);
  return VC_OK;
}

vc_status vc_check_request(const vc_engine *e, const vc_request *r, vc_error *error) {
  vc_status status = check_size(e, r, error);
  if (status) return status;
  if (r->count < 1 || r->count > 4096)
    return vc_fail(error, VC_INVALID, "%lld videos: 1 to 4096 can be asked for", (long long)r->count);
  if (r->sampler == VC_SAMPLER_DDIM_INVERSION)
    return vc_fail(error, VC_INVALID, "ddim_inversion makes noise of a video, not a video; set invert instead");
  if (!(r->guidance >= 0 && r->guidance <= 100))
    return vc_fail(error, VC_INVALID, "guidance %g is not in 0 .. 100", r->guidance);
  if (!(r->init_strength >= 0 && r->init_strength <= 1))
    return vc_fail(error, VC_INVALID, "init strength %g is not in 0 .. 1", r->init_strength);
  if (r->invert && !r->init) return vc_fail(error, VC_INVALID, "inversion needs an init video");
  for (int i = 0; i < VC_CONDITION_COUNT; i++)
    if ((status = check_condition(e, r, i, error))) return status;
  if (r->style && e->model.config.clip.embed_dim != e->model.config.unet.context_dim)
    return vc_fail(error, VC_INVALID, "this model's image tower does not fit its UNet: no style image can be used");
  if (!isfinite(r->style_strength)) return vc_fail(error, VC_INVALID, "the strength of style is not a number");
  vc_sampler_options options = vc_sampler_default_options();
  options.spacing = r->spacing;
  options.strength = r->init ? r->init_strength : 1;
  vc_sampler_plan plan;
  if ((status = vc_sampler_make(r->sampler, r->steps, r->eta, &options, &plan, error))) return status;
  vc_sampler_plan_free(&plan);
  return VC_OK;
}
