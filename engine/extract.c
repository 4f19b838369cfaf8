#include "engine/extract.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/midas.h"
#include "engine/pidinet.h"
#include "engine/session.h"
#include "engine/sketch_simplification.h"

// ---- depth

static void depth_pixels(float *to, const float *from, int64_t pixels, const vc_model_config *config) {
  (void)config;
  for (int64_t i = 0; i < 3 * pixels; i++) to[i] = (from[i] - 0.5F) / 0.5F;
}

static vc_value describe_midas(vc_graph *graph, vc_value x, const vc_model_config *config) {
  return vc_midas(graph, x, &config->midas);
}

// Written so that a NaN stays one.
static void depth_values(float *values, int64_t count, const vc_model_config *config) {
  float scale = (float)config->preprocessing.depth_std, most = (float)config->preprocessing.depth_clamp;
  for (int64_t i = 0; i < count; i++) {
    float v = values[i] / scale;
    values[i] = v < 0 ? 0 : v > most ? most : v;
  }
}

static int64_t midas_multiple(const vc_model_config *config) {
  return vc_midas_multiple(&config->midas);
}

static int64_t midas_widest(const vc_model_config *config) {
  return config->midas.fusion;
}

const vc_extraction vc_extraction_depth = {.phase = "depth",
                                           .network = VC_NETWORK_MIDAS,
                                           .channels = 3,
                                           .pixels = depth_pixels,
                                           .describe = describe_midas,
                                           .values = depth_values,
                                           .multiple = midas_multiple,
                                           .widest = midas_widest};

// ---- sketch

static void edge_pixels(float *to, const float *from, int64_t pixels, const vc_model_config *config) {
  const vc_preprocessing_config *p = &config->preprocessing;
  for (int64_t i = 0; i < 3 * pixels; i++)
    to[i] = (from[i] - (float)p->sketch_mean[i % 3]) / (float)p->sketch_std[i % 3];
}

static vc_value describe_pidinet(vc_graph *graph, vc_value x, const vc_model_config *config) {
  return vc_pidinet(graph, x, &config->pidinet);
}

static void leave(float *values, int64_t count, const vc_model_config *config) {
  (void)values, (void)count, (void)config;
}

static int64_t any_side(const vc_model_config *config) {
  (void)config;
  return 1;
}

static int64_t pidinet_widest(const vc_model_config *config) {
  return 4 * config->pidinet.planes;
}

const vc_extraction vc_extraction_edges = {.phase = "edges",
                                           .network = VC_NETWORK_PIDINET,
                                           .channels = 3,
                                           .pixels = edge_pixels,
                                           .describe = describe_pidinet,
                                           .values = leave,
                                           .multiple = any_side,
                                           .widest = pidinet_widest};

// Bright lines to dark ones on white, normalised.
static void line_pixels(float *to, const float *from, int64_t pixels, const vc_model_config *config) {
  const vc_simplification_config *s = &config->sketch_simplification;
  for (int64_t i = 0; i < pixels; i++) to[i] = (1 - from[i] - (float)s->mean) / (float)s->std;
}

static vc_value describe_simplification(vc_graph *graph, vc_value x, const vc_model_config *config) {
  return vc_sketch_simplification(graph, x, &config->sketch_simplification);
}

static void line_values(float *values, int64_t count, const vc_model_config *config) {
  (void)config;
  for (int64_t i = 0; i < count; i++) values[i] = 1 - values[i];
}

static int64_t simplification_multiple(const vc_model_config *config) {
  (void)config;
  return VC_SIMPLIFICATION_MULTIPLE;
}

static int64_t simplification_widest(const vc_model_config *config) {
  return 128 / config->sketch_simplification.divide + 1;
}

const vc_extraction vc_extraction_lines = {.phase = "lines",
                                           .network = VC_NETWORK_SKETCH_SIMPLIFICATION,
                                           .channels = 1,
                                           .pixels = line_pixels,
                                           .describe = describe_simplification,
                                           .values = line_values,
                                           .multiple = simplification_multiple,
                                           .widest = simplification_widest};

// ---- running

// A clip on its way through a network, a few frames at a time.
typedef struct job {
  vc_engine *engine;
  const vc_extraction *what;
  const vc_callbacks *callbacks;
  int64_t f, h, w;    // of the clip
  int64_t padded[2];  // sides as the network sees them
  int64_t chunk;      // frames at a time
  float *in, *out;    // [chunk][padded][padded][channels] and [..][1]
  vc_session session;
  vc_value result;
} job;

static int64_t padded_side(int64_t side, int64_t multiple) {
  if (side < VC_PIDINET_LEAST_SIDE) side = VC_PIDINET_LEAST_SIDE;
  return (side + multiple - 1) / multiple * multiple;
}

// Frames of which the widest activation takes half a GiB, or a sixteenth of what memory is allowed; at least one.
static int64_t frames_at_once(const job *j, const vc_model_config *config) {
  double frame = (double)(j->padded[0] * j->padded[1] * j->what->widest(config)) * sizeof(float);
  double budget = 536870912, allowed = (double)j->engine->max_memory / 16;
  if (j->engine->max_memory && allowed < budget) budget = allowed;
  int64_t fit = (int64_t)(budget / frame);
  return fit < 1 ? 1 : fit < j->f ? fit : j->f;
}

static vc_status open_network(job *j, const vc_model_config *config, vc_error *error) {
  vc_graph *graph;
  int64_t multiple = j->what->multiple(config);
  j->padded[0] = padded_side(j->h, multiple);
  j->padded[1] = padded_side(j->w, multiple);
  j->chunk = frames_at_once(j, config);
  size_t pixels = (size_t)(j->chunk * j->padded[0] * j->padded[1]);
  j->in = malloc(pixels * (size_t)j->what->channels * sizeof *j->in);
  j->out = malloc(pixels * sizeof *j->out);
  if (!j->in || !j->out) return vc_fail(error, VC_NO_MEMORY, "no memory for %lld frames", (long long)j->chunk);
  vc_status status = vc_graph_new(&graph, 1, error);
  if (status) return status;
  vc_shape shape = {j->chunk, 1, j->padded[0], j->padded[1], j->what->channels};
  j->result = j->what->describe(graph, vc_graph_input(graph, "x", shape, VC_ELEMENT_ACTIVATION, VC_RATE_STEP), config);
  vc_graph_keep(graph, j->result);
  vc_shape out = vc_graph_shape(graph, j->result);
  if (out.h != shape.h || out.w != shape.w) {  // MiDaS with patches of another size than 16
    vc_graph_free(graph);
    return vc_fail(error, VC_FAILED, "the %s network makes %lld x %lld of %lld x %lld pixels; midas.patch must be 16",
                   vc_network_name(j->what->network), (long long)out.w, (long long)out.h, (long long)shape.w,
                   (long long)shape.h);
  }
  status = vc_session_open(&j->session, j->engine, j->what->network, graph, j->callbacks, error);
  return status ? status : vc_plan_run_prologue(j->session.plan, error);
}

// One frame into its place in the network's input, its last row and column repeated as far as that reaches.
static void put_frame(const job *j, const float *from, float *to, const vc_model_config *config) {
  int64_t c = j->what->channels, line = j->padded[1] * c;
  for (int64_t y = 0; y < j->padded[0]; y++) {
    float *row = to + y * line;
    if (y >= j->h) {
      memcpy(row, row - line, (size_t)line * sizeof *row);
      continue;
    }
    j->what->pixels(row, from + y * j->w * c, j->w, config);
    for (int64_t i = j->w * c; i < line; i++) row[i] = row[i - c];
  }
}

static vc_status run_chunk(job *j, const float *from, float *to, const vc_model_config *config, vc_error *error) {
  int64_t area = j->padded[0] * j->padded[1], c = j->what->channels;
  for (int64_t i = 0; i < j->chunk; i++) put_frame(j, from + i * j->h * j->w * c, j->in + i * area * c, config);
  vc_status status = vc_session_set(&j->session, "x", j->in, error);
  if (!status) status = vc_plan_run_step(j->session.plan, 0, error);
  if (!status) status = vc_plan_get(j->session.plan, j->result, j->out, error);
  for (int64_t i = 0; i < j->chunk * j->h && !status; i++)
    memcpy(to + i * j->w, j->out + (i / j->h * j->padded[0] + i % j->h) * j->padded[1], (size_t)j->w * sizeof *to);
  return status;
}

static vc_status check_finite(const job *j, const float *values, int64_t count, vc_error *error) {
  for (int64_t i = 0; i < count; i++)
    if (!isfinite(values[i]))
      return vc_fail(error, VC_FAILED, "the %s of frame %lld hold a NaN or an infinity; the weights are out of range",
                     j->what->phase, (long long)(i / (j->h * j->w)));
  return VC_OK;
}

// in [f][h][w][channels] -> out [f][h][w]. The last chunk reaches back so that all have the same size.
static vc_status extract(vc_engine *engine, const vc_extraction *what, const float *in, float *out, int64_t f,
                         int64_t h, int64_t w, const vc_callbacks *callbacks, vc_error *error) {
  const vc_model_config *config = &engine->model.config;
  job j = {.engine = engine, .what = what, .callbacks = callbacks, .f = f, .h = h, .w = w};
  vc_report_progress(callbacks, what->phase, 0, f);
  vc_status status = open_network(&j, config, error);
  for (int64_t done = 0; done < f && !status; done += j.chunk) {
    int64_t first = done + j.chunk <= f ? done : f - j.chunk;
    status = run_chunk(&j, in + first * h * w * what->channels, out + first * h * w, config, error);
    if (!status) vc_report_progress(callbacks, what->phase, first + j.chunk, f);
  }
  if (!status) status = check_finite(&j, out, f * h * w, error);
  if (!status) what->values(out, f * h * w, config);
  vc_session_close(&j.session);
  free(j.in);
  free(j.out);
  return status;
}

static vc_status begin(int64_t f, int64_t h, int64_t w, const vc_callbacks **callbacks, vc_tensor *out,
                       vc_error *error) {
  static const vc_callbacks none;
  *out = (vc_tensor){0};
  if (!*callbacks) *callbacks = &none;
  if (f < 1 || f > 1 << 20 || h < 1 || w < 1 || h > VC_MAX_SIDE || w > VC_MAX_SIDE)
    return vc_fail(error, VC_INVALID, "%lld frames of %lld x %lld; sides must be 1 to %d", (long long)f, (long long)w,
                   (long long)h, VC_MAX_SIDE);
  return vc_tensor_new(out, VC_F32, 4, (int64_t[]){f, h, w, 1}, error);
}

vc_status vc_extract_depth(vc_engine *engine, const float *frames, int64_t f, int64_t h, int64_t w,
                           const vc_callbacks *callbacks, vc_tensor *out, vc_error *error) {
  vc_status status = begin(f, h, w, &callbacks, out, error);
  if (!status) status = extract(engine, &vc_extraction_depth, frames, out->data, f, h, w, callbacks, error);
  if (status) vc_tensor_free(out);
  return status;
}

vc_status vc_extract_sketch(vc_engine *engine, const float *frames, int64_t f, int64_t h, int64_t w,
                            const vc_callbacks *callbacks, vc_tensor *out, vc_error *error) {
  vc_status status = begin(f, h, w, &callbacks, out, error);
  if (!status) status = extract(engine, &vc_extraction_edges, frames, out->data, f, h, w, callbacks, error);
  // The edges are kept aside: a chunk that reaches back would read lines for edges.
  if (!status && engine->model.config.preprocessing.sketch_simplification) {
    size_t bytes = vc_tensor_bytes(out);
    float *edges = malloc(bytes);
    if (edges) {
      memcpy(edges, out->data, bytes);
      status = extract(engine, &vc_extraction_lines, edges, out->data, f, h, w, callbacks, error);
    } else {
      status = vc_fail(error, VC_NO_MEMORY, "no memory for the edges of %lld frames", (long long)f);
    }
    free(edges);
  }
  if (status) vc_tensor_free(out);
  return status;
}

// ---- loading ahead

void vc_extract_hold(vc_engine *engine, bool depth, bool sketch) {
  vc_engine_hold(engine, VC_NETWORK_MIDAS, depth);
  vc_engine_hold(engine, VC_NETWORK_PIDINET, sketch);
  vc_engine_hold(engine, VC_NETWORK_SKETCH_SIMPLIFICATION, sketch);
}

// Weights do not depend on the size that the network is opened at.
vc_status vc_extract_load(vc_engine *engine, bool depth, bool sketch, const vc_callbacks *callbacks, vc_error *error) {
  static const vc_callbacks none;
  const vc_extraction *what = depth ? &vc_extraction_depth : &vc_extraction_edges;
  if (!depth && !sketch) return VC_OK;
  job j = {.engine = engine, .what = what, .callbacks = callbacks ? callbacks : &none, .f = 1, .h = 1, .w = 1};
  vc_engine_hold(engine, what->network, true);
  vc_status status = open_network(&j, &engine->model.config, error);
  vc_session_close(&j.session);
  free(j.in);
  free(j.out);
  return status;
}
