// The main job: text, style and conditions in, latents through the sampler, frames out. Networks are loaded phase by
// phase and dropped when their phase is over.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/clip.h"
#include "engine/philox.h"
#include "engine/session.h"
#include "engine/stc.h"
#include "engine/unet.h"
#include "engine/vae.h"

// Streams of the seed's random numbers; a CUDA backend draws the same.
enum { STREAM_LATENT = 0, STREAM_STEP = 1 };  // STREAM_STEP + i: the noise of step i

// A job while it runs.
typedef struct job {
  vc_engine *engine;
  const vc_request *request;
  vc_result *result;
  int64_t f, h, w, c;   // of the latent
  size_t latent_count;  // elements of one video's latent
  bool guided;
  float *text;         // [1 or 2][tokens][context_dim]: conditional, unconditional
  float *style;        // [context_dim] or NULL
  float *init_latent;  // [latent_count] or NULL
  vc_schedule schedule;
  vc_sampler_plan sampler;
} job;

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

// Phases are ranges in a profiler too; one that fails stays open, and nothing comes after it.
static double begin_phase(const job *j, const char *name) {
  const vc_engine *e = j->engine;
  if (e->backend->range) e->backend->range(e->device, name);
  return now();
}

static void add_phase(job *j, const char *name, double since, const vc_session *s) {
  vc_result *r = j->result;
  if (j->engine->backend->range) j->engine->backend->range(j->engine->device, NULL);
  if (r->phases == VC_MAX_PHASES) return;
  r->phase[r->phases++] = (vc_phase){name, now() - since, s && s->parameters ? vc_parameters_bytes(s->parameters) : 0,
                                     s && s->plan ? s->plan->arena_bytes : 0};
}

static vc_status no_memory(vc_error *error, const char *what) {
  return vc_fail(error, VC_NO_MEMORY, "no memory for %s", what);
}

// ---- text and style

static vc_status encode_text(job *j, vc_error *error) {
  const vc_request *r = j->request;
  const vc_clip_config *config = &j->engine->model.config.clip;
  int64_t tokens = config->text.context, n = j->guided ? 2 : 1;
  double start = begin_phase(j, "text");
  vc_session s = {0};
  vc_graph *graph = NULL;
  vc_value out = VC_NONE;
  int32_t *ids = malloc((size_t)(n * tokens) * sizeof *ids);
  j->text = malloc((size_t)(n * tokens * config->text.width) * sizeof *j->text);
  vc_status status = ids && j->text ? VC_OK : no_memory(error, "the text's tokens");
  vc_report_progress(&r->callbacks, "text", 0, 1);
  if (!status)
    status = vc_tokenizer_encode(j->engine->tokenizer, r->prompt ? r->prompt : "", r->prompt ? r->prompt_bytes : 0,
                                 (int)tokens, ids, &j->result->prompt_truncated, error);
  if (status) vc_fail_in(error, status, "prompt");
  if (!status && j->guided) {
    status =
        vc_tokenizer_encode(j->engine->tokenizer, r->negative_prompt ? r->negative_prompt : "",
                            r->negative_prompt ? r->negative_prompt_bytes : 0, (int)tokens, ids + tokens, NULL, error);
    if (status) vc_fail_in(error, status, "negative prompt");
  }
  if (!status && !(status = vc_graph_new(&graph, 1, error))) {
    vc_value in = vc_graph_input(graph, "tokens", (vc_shape){n, 1, 1, tokens, 1}, VC_ELEMENT_I32, VC_RATE_VIDEO);
    out = vc_clip_text(graph, in, config);
    vc_graph_keep(graph, out);
    status = vc_session_open(&s, j->engine, VC_NETWORK_CLIP, graph, &r->callbacks, error);
  }
  if (!status) status = vc_session_set(&s, "tokens", ids, error);
  if (!status) status = vc_plan_run_prologue(s.plan, error);
  if (!status) status = vc_plan_get(s.plan, out, j->text, error);
  if (!status) add_phase(j, "text", start, &s);
  vc_report_progress(&r->callbacks, "text", 1, 1);
  vc_session_close(&s);
  free(ids);
  return status;
}

static vc_status encode_style(job *j, vc_error *error) {
  const vc_clip_config *config = &j->engine->model.config.clip;
  int64_t size = config->image.size, side = size / config->image.patch, tokens = 1 + side * side;
  vc_session s = {0};
  vc_graph *graph = NULL;
  vc_value out = VC_NONE;
  if (!j->request->style) return VC_OK;
  double start = begin_phase(j, "style");
  vc_report_progress(&j->request->callbacks, "style", 0, 1);
  // The feature is the first token's; the others' come along.
  j->style = malloc((size_t)(tokens * config->embed_dim) * sizeof *j->style);
  vc_status status = j->style ? VC_OK : no_memory(error, "the style token");
  if (!status && !(status = vc_graph_new(&graph, 1, error))) {
    vc_value in =
        vc_graph_input(graph, "pixels", (vc_shape){1, 1, size, size, 3}, VC_ELEMENT_ACTIVATION, VC_RATE_VIDEO);
    out = vc_clip_image(graph, in, config);
    vc_graph_keep(graph, out);
    status = vc_session_open(&s, j->engine, VC_NETWORK_CLIP, graph, &j->request->callbacks, error);
  }
  if (!status) status = vc_session_set(&s, "pixels", j->request->style, error);
  if (!status) status = vc_plan_run_prologue(s.plan, error);
  if (!status) status = vc_plan_get(s.plan, out, j->style, error);
  if (!status) add_phase(j, "style", start, &s);
  vc_report_progress(&j->request->callbacks, "style", 1, 1);
  vc_session_close(&s);
  return status;
}

// ---- the autoencoder, a few frames at a time

typedef vc_value (*vae_network)(vc_graph *graph, vc_value x, const vc_vae_config *config);

// Frames of which the widest activations take about a quarter of a GiB; at least one.
static int64_t frames_at_once(const job *j) {
  double frame = (double)(j->request->height * j->request->width * j->engine->model.config.vae.ch) * 4;
  int64_t fit = (int64_t)(268435456.0 / frame);
  return fit < 1 ? 1 : fit < j->f ? fit : j->f;
}

static vc_status open_vae(job *j, vae_network network, vc_shape shape, vc_session *s, vc_value *out, vc_error *error) {
  vc_graph *graph;
  vc_status status = vc_graph_new(&graph, 1, error);
  if (status) return status;
  *out = network(graph, vc_graph_input(graph, "x", shape, VC_ELEMENT_ACTIVATION, VC_RATE_STEP),
                 &j->engine->model.config.vae);
  vc_graph_keep(graph, *out);
  return vc_session_open(s, j->engine, VC_NETWORK_VAE, graph, &j->request->callbacks, error);
}

// Runs frames first .. first + chunk - 1, chunk by chunk; the last chunk reaches back so that all have the same size.
static vc_status run_frames(const job *j, vc_session *s, vc_value out, const char *phase, const float *in,
                            int64_t in_frame, float *to, int64_t out_frame, int64_t frames, int64_t chunk,
                            vc_error *error) {
  vc_status status = VC_OK;
  for (int64_t done = 0; done < frames && !status; done += chunk) {
    int64_t first = done + chunk <= frames ? done : frames - chunk;
    vc_report_progress(&j->request->callbacks, phase, done, frames);
    status = vc_session_set(s, "x", in + first * in_frame, error);
    if (!status) status = vc_plan_run_step(s->plan, 0, error);
    if (!status) status = vc_plan_get(s->plan, out, to + first * out_frame, error);
  }
  vc_report_progress(&j->request->callbacks, phase, frames, frames);
  return status;
}

static vc_status encode_init(job *j, vc_error *error) {
  const vc_request *r = j->request;
  int64_t chunk = frames_at_once(j), pixels = j->f * j->h * j->w;
  vc_session s = {0};
  vc_value out;
  if (!r->init) return VC_OK;
  double start = begin_phase(j, "encode");
  float *moments = malloc(2 * j->latent_count * sizeof *moments), *zeros = calloc(j->latent_count, sizeof *zeros);
  j->init_latent = malloc(j->latent_count * sizeof *j->init_latent);
  vc_status status = moments && zeros && j->init_latent ? VC_OK : no_memory(error, "the init video's latent");
  if (!status) status = open_vae(j, vc_vae_encoder, (vc_shape){1, chunk, r->height, r->width, 3}, &s, &out, error);
  if (!status)
    status = run_frames(j, &s, out, "encode", r->init, r->height * r->width * 3, moments, 2 * j->h * j->w * j->c, j->f,
                        chunk, error);
  // The distribution's mean: an init video gives one latent, whatever the seed.
  if (!status)
    vc_vae_posterior(moments, zeros, pixels, j->c, j->engine->model.config.vae.scale_factor, NULL, NULL,
                     j->init_latent);
  if (!status) add_phase(j, "encode", start, &s);
  vc_session_close(&s);
  free(moments);
  free(zeros);
  return status;
}

static vc_status decode(job *j, vc_error *error) {
  const vc_request *r = j->request;
  int64_t chunk = frames_at_once(j), frames = r->count * j->f;
  double start = begin_phase(j, "decode");
  vc_session s = {0};
  vc_value out;
  vc_status status = open_vae(j, vc_vae_decoder, (vc_shape){1, chunk, j->h, j->w, j->c}, &s, &out, error);
  if (!status)
    status = run_frames(j, &s, out, "decode", j->result->latent.data, j->h * j->w * j->c, j->result->video.data,
                        r->height * r->width * 3, frames, chunk, error);
  float *pixel = j->result->video.data;
  for (size_t i = 0, n = vc_tensor_count(&j->result->video); i < n && !status; i++) {
    float v = 0.5f * pixel[i] + 0.5f;
    if (!isfinite(v))
      status = vc_fail(error, VC_FAILED,
                       "the decoded video holds a NaN or an infinity; the weights or a condition are out of range");
    pixel[i] = v < 0 ? 0 : v > 1 ? 1 : v;
  }
  if (!status) add_phase(j, "decode", start, &s);
  vc_session_close(&s);
  return status;
}

// ---- denoising

static vc_graph *describe(const job *j, const vc_sampler_plan *sampler, bool guided, vc_status *status,
                          vc_error *error) {
  const vc_request *r = j->request;
  vc_unet_config config = j->engine->model.config.unet;
  config.stc_size[0] = 4 * j->h;  // the pool follows the latent
  config.stc_size[1] = 4 * j->w;
  vc_unet_request unet = {.n = 1,
                          .f = j->f,
                          .h = j->h,
                          .w = j->w,
                          .timesteps = 1,
                          .guided = guided,
                          .text_tokens = j->engine->model.config.clip.text.context,
                          .style_tokens = j->style ? 1 : 0};
  for (int i = 0; i < VC_CONDITION_COUNT; i++) {
    const vc_condition_video *v = &r->condition[i];
    if (!v->data) continue;
    unet.video[i].n = 1;
    unet.video[i].f = v->f;
    unet.video[i].h = v->h;
    unet.video[i].w = v->w;
    unet.video[i].strength = v->strength;
  }
  vc_graph *graph = NULL;
  *status = vc_unet_request_check(&config, &unet, error);
  if (!*status) *status = vc_graph_new(&graph, sampler->steps, error);
  if (*status) return NULL;
  vc_value eps = vc_unet_describe(graph, &config, &unet);
  vc_graph_sampler(graph, &(vc_sampler_spec){.eps = eps,
                                             .input = vc_graph_find(graph, "x"),
                                             .guided = guided,
                                             .guidance = (float)r->guidance,
                                             .noise = sampler->needs_noise});
  return graph;
}

// Everything that is the same in all videos and steps.
static vc_status set_conditions(const job *j, vc_session *s, const vc_sampler_plan *sampler, bool guided,
                                vc_error *error) {
  const vc_request *r = j->request;
  size_t width = (size_t)j->engine->model.config.unet.context_dim;
  size_t zeros = (size_t)(j->f * j->h * j->w * j->engine->model.config.unet.concat_dim);
  float *scratch = calloc(zeros > 2 * width ? zeros : 2 * width, sizeof *scratch);
  vc_status status = scratch ? VC_OK : no_memory(error, "the conditions");
  if (!status) status = vc_session_set(s, "y", j->text, error);
  if (!status) status = vc_session_set(s, "t", sampler->t, error);
  if (!status) status = vc_session_set(s, "sampler.table", sampler->rows, error);
  for (int i = 0; i < VC_CONDITION_COUNT && !status; i++)
    if (r->condition[i].data) status = vc_session_set(s, vc_stc_table[i].input, r->condition[i].data, error);
  if (!status && vc_graph_find(s->plan->graph, "zeros") != VC_NONE) status = vc_session_set(s, "zeros", scratch, error);
  if (!status && j->style) {
    // The unconditional pass has a style token of zeros behind its text.
    for (size_t i = 0; i < width; i++) scratch[i] = r->style_strength * j->style[i];
    if (guided) memset(scratch + width, 0, width * sizeof *scratch);
    status = vc_session_set(s, "image", scratch, error);
  }
  free(scratch);
  return status;
}

// [c f h w], the order in which random numbers are drawn, to [f h w c].
static void to_channels_last(const job *j, const float *from, float *to) {
  int64_t pixels = j->f * j->h * j->w;
  for (int64_t c = 0; c < j->c; c++)
    for (int64_t p = 0; p < pixels; p++) to[p * j->c + c] = from[c * pixels + p];
}

static void draw(const job *j, uint64_t seed, uint64_t stream, float *scratch, float *to) {
  vc_philox_normal(seed, stream, 0, scratch, j->latent_count);
  to_channels_last(j, scratch, to);
}

static vc_status set_noise(const job *j, vc_session *s, const vc_sampler_plan *sampler, uint64_t seed,
                           vc_error *error) {
  if (!sampler->needs_noise) return VC_OK;
  float *all = malloc((size_t)sampler->steps * j->latent_count * sizeof *all);
  float *scratch = malloc(j->latent_count * sizeof *scratch);
  vc_status status = all && scratch ? VC_OK : no_memory(error, "the noise of all steps");
  for (int i = 0; i < sampler->steps && !status; i++)
    draw(j, seed, STREAM_STEP + (uint64_t)i, scratch, all + (size_t)i * j->latent_count);
  if (!status) status = vc_session_set(s, "sampler.noise", all, error);
  free(all);
  free(scratch);
  return status;
}

// Walks all steps from the latent x [f h w c], which becomes the result.
static vc_status walk(const job *j, vc_session *s, const vc_sampler_plan *sampler, int64_t video, const char *phase,
                      float *x, float *scratch, vc_error *error) {
  const vc_callbacks *callbacks = &j->request->callbacks;
  int64_t dim[4] = {j->f, j->h, j->w, j->c}, videos = j->request->count;
  vc_status status = vc_session_set(s, "x", x, error);
  if (!status) status = vc_session_set(s, "sampler.x", x, error);
  memset(scratch, 0, j->latent_count * sizeof *scratch);
  static const char *const history[] = {"sampler.m1", "sampler.m2", "sampler.x_last"};
  for (int i = 0; i < 3 && !status; i++) status = vc_session_set(s, history[i], scratch, error);
  for (int step = 0; step < sampler->steps && !status; step++) {
    vc_report_progress(callbacks, phase, video * sampler->steps + step, videos * sampler->steps);
    status = vc_plan_run_step(s->plan, step, error);
    if (status || !callbacks->preview) continue;
    if (!(status = vc_session_get(s, "sampler.m1", scratch, error)))
      callbacks->preview(callbacks->opaque, video, step, scratch, dim);
  }
  if (!status) status = vc_session_get(s, "sampler.x", x, error);
  vc_report_progress(callbacks, phase, (video + 1) * sampler->steps, videos * sampler->steps);
  return status;
}

// Turns the init latent into the noise from which DDIM makes it again, in place. The pass is not guided.
static vc_status invert_init(job *j, vc_session *s, vc_error *error) {
  const vc_request *r = j->request;
  double start = begin_phase(j, "invert");
  vc_sampler_options options = vc_sampler_default_options();
  options.schedule = &j->schedule;
  options.strength = r->init_strength;
  vc_sampler_plan plan = {0};
  float *scratch = malloc(j->latent_count * sizeof *scratch);
  vc_status status = scratch ? VC_OK : no_memory(error, "the inversion");
  if (!status) status = vc_sampler_make(VC_SAMPLER_DDIM_INVERSION, r->steps, 0, &options, &plan, error);
  vc_graph *graph = status ? NULL : describe(j, &plan, false, &status, error);
  if (!status) status = vc_session_open(s, j->engine, VC_NETWORK_UNET, graph, &r->callbacks, error);
  if (!status) status = set_conditions(j, s, &plan, false, error);
  if (!status) status = vc_plan_run_prologue(s->plan, error);
  vc_request one = *r;  // one walk, whatever the number of videos
  one.count = 1;
  job single = *j;
  single.request = &one;
  if (!status) status = walk(&single, s, &plan, 0, "invert", j->init_latent, scratch, error);
  if (!status) add_phase(j, "invert", start, s);
  vc_sampler_plan_free(&plan);
  free(scratch);
  return status;
}

// The latent from which video k starts.
static void start_latent(const job *j, int64_t k, float *scratch, float *x) {
  const vc_request *r = j->request;
  if (r->invert) {
    memcpy(x, j->init_latent, j->latent_count * sizeof *x);
    return;
  }
  if (r->noise)
    memcpy(x, r->noise + (size_t)k * j->latent_count, j->latent_count * sizeof *x);
  else
    draw(j, r->seed + (uint64_t)k, STREAM_LATENT, scratch, x);
  if (!j->init_latent) return;
  for (size_t i = 0; i < j->latent_count; i++) x[i] = j->sampler.signal * j->init_latent[i] + j->sampler.noise * x[i];
}

static vc_status denoise(job *j, vc_error *error) {
  const vc_request *r = j->request;
  vc_session s = {0};
  vc_status status = VC_OK;
  float *scratch = malloc(j->latent_count * sizeof *scratch);
  if (!scratch) return no_memory(error, "a latent");
  if (r->invert) status = invert_init(j, &s, error);
  double start = begin_phase(j, "load unet");
  vc_graph *graph = status ? NULL : describe(j, &j->sampler, j->guided, &status, error);
  if (!status) status = vc_session_open(&s, j->engine, VC_NETWORK_UNET, graph, &r->callbacks, error);
  if (!status) status = set_conditions(j, &s, &j->sampler, j->guided, error);
  if (!status) add_phase(j, "load unet", start, &s);
  start = begin_phase(j, "conditions");
  if (!status) status = vc_plan_run_prologue(s.plan, error);
  if (!status) add_phase(j, "conditions", start, &s);
  start = begin_phase(j, "denoise");
  for (int64_t k = 0; k < r->count && !status; k++) {
    float *x = (float *)j->result->latent.data + (size_t)k * j->latent_count;
    start_latent(j, k, scratch, x);
    status = set_noise(j, &s, &j->sampler, r->seed + (uint64_t)k, error);
    if (!status) status = walk(j, &s, &j->sampler, k, "denoise", x, scratch, error);
  }
  if (!status) add_phase(j, "denoise", start, &s);
  vc_session_close(&s);
  free(scratch);
  return status;
}

// ---- the whole

static vc_status prepare(job *j, vc_error *error) {
  const vc_request *r = j->request;
  const vc_model_config *config = &j->engine->model.config;
  const vc_diffusion_config *d = &config->diffusion;
  j->f = r->frames;
  j->h = r->height / config->latent_scale;
  j->w = r->width / config->latent_scale;
  j->c = config->unet.in_dim;
  j->latent_count = (size_t)(j->f * j->h * j->w * j->c);
  j->guided = r->guidance != 1;
  vc_status status = vc_schedule_make((int)d->steps, d->init_beta, d->last_beta, &j->schedule, error);
  vc_sampler_options options = vc_sampler_default_options();
  options.schedule = &j->schedule;
  options.spacing = r->spacing;
  options.strength = r->init ? r->init_strength : 1;
  if (!status) status = vc_sampler_make(r->sampler, r->steps, r->eta, &options, &j->sampler, error);
  int64_t latent[5] = {r->count, j->f, j->h, j->w, j->c}, video[5] = {r->count, r->frames, r->height, r->width, 3};
  if (!status) status = vc_tensor_new(&j->result->latent, VC_F32, 5, latent, error);
  if (!status) status = vc_tensor_new(&j->result->video, VC_F32, 5, video, error);
  return status;
}

vc_status vc_generate(vc_engine *engine, const vc_request *request, vc_result *result, vc_error *error) {
  *result = (vc_result){0};
  job j = {.engine = engine, .request = request, .result = result};
  vc_status status = vc_check_request(engine, request, error);
  if (!status) status = prepare(&j, error);
  if (!status) status = encode_text(&j, error);
  if (!status) status = encode_style(&j, error);
  if (!status) status = encode_init(&j, error);
  if (!status) status = denoise(&j, error);
  if (!status) status = decode(&j, error);
  vc_sampler_plan_free(&j.sampler);
  vc_schedule_free(&j.schedule);
  free(j.text);
  free(j.style);
  free(j.init_latent);
  if (status) vc_result_free(result);
  return status;
}

void vc_result_free(vc_result *result) {
  vc_tensor_free(&result->video);
  vc_tensor_free(&result->latent);
  *result = (vc_result){0};
}
