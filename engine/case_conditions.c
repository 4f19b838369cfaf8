// Cases of the networks that make conditions, as they are and with what stands around them.
#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/case_graph.h"
#include "engine/case_networks.h"
#include "engine/extract.h"
#include "engine/midas.h"
#include "engine/sketch_simplification.h"

// Parameters under a prefix, those of PiDiNet as ordinary convolutions.
typedef struct parameter_source {
  vc_weights raw;
  char prefix[32];
  vc_pidinet_kernels kernels;
} parameter_source;

static const vc_tensor *find_parameter(void *opaque, const char *key) {
  const parameter_source *s = opaque;
  const vc_tensor *folded = vc_pidinet_kernel(&s->kernels, key);
  return folded ? folded : s->raw.find(s->raw.source, vc_pathf("%s%s", s->prefix, key).text);
}

static vc_weights weights_of(parameter_source *source) {
  return (vc_weights){.name = source->raw.name, .source = source, .find = find_parameter};
}

static vc_status open_pidinet(parameter_source *out, const vc_weights *raw, const char *prefix, vc_error *error) {
  *out = (parameter_source){.raw = *raw};
  snprintf(out->prefix, sizeof out->prefix, "%s", prefix);
  vc_weights weights = weights_of(out);
  size_t used = strlen(prefix);
  snprintf(out->prefix + used, sizeof out->prefix - used, "%s", vc_pidinet_prefix(&weights));
  return vc_pidinet_fold(&out->kernels, &weights, error);
}

static vc_status no_memory(vc_error *error) {
  return vc_fail(error, VC_NO_MEMORY, "no memory for the case's pictures");
}

// A picture of `pixels` pixels, brought by `what` into the range of its network.
static vc_status prepare(float **out, const float *from, int64_t pixels, const vc_extraction *what,
                         const vc_model_config *config, vc_error *error) {
  *out = malloc((size_t)(pixels * what->channels) * sizeof **out);
  if (!*out) return no_memory(error);
  what->pixels(*out, from, pixels, config);
  return VC_OK;
}

// Runs a network on pictures of this shape, which are in its own range already, and adds the result: one channel.
// *data is the result's.
static vc_status run(vc_case *c, const vc_extraction *what, const float *in, vc_shape shape,
                     const vc_model_config *config, const char *name, float **data, vc_error *error) {
  vc_graph *graph;
  vc_case_graph g;
  vc_status status = vc_graph_new(&graph, 1, error);
  if (status) return status;
  vc_value x = vc_graph_input(graph, "pictures", shape, VC_ELEMENT_ACTIVATION, VC_RATE_STEP);
  vc_case_output out = {name, what->describe(graph, x, config), VC_CASE_IMAGE};
  if ((status = vc_case_graph_open(&g, c, graph, &out, 1, error))) return status;
  status = vc_case_graph_set(&g, "pictures", in, error);
  if (!status) status = vc_plan_run_prologue(g.plan, error);
  if (!status) status = vc_plan_run_step(g.plan, 0, error);
  if (!status) status = vc_case_graph_take(&g, &out, error);
  if (!status) *data = c->result[c->results - 1].tensor.data;
  if (!status) status = vc_case_graph_take_traces(&g, error);
  vc_case_graph_close(&g);
  return status;
}

// The input of this name, [n c h w], as {n 1 h w c}.
static vc_status read_pictures(const vc_case *c, const char *name, int64_t channels, int64_t multiple, vc_shape *shape,
                               float **out, vc_error *error) {
  const vc_tensor *t;
  vc_status status = vc_case_input(c, name, 4, (int64_t[]){VC_ANY, channels, VC_ANY, VC_ANY}, &t, error);
  if (status) return status;
  *shape = (vc_shape){t->dim[0], 1, t->dim[2], t->dim[3], channels};
  if (shape->h % multiple || shape->w % multiple || shape->h < VC_PIDINET_LEAST_SIDE ||
      shape->w < VC_PIDINET_LEAST_SIDE)
    return vc_fail(error, VC_FAILED, "input/%s is %lld x %lld, and its sides must be multiples of %lld, from %d on",
                   name, (long long)shape->w, (long long)shape->h, (long long)multiple, VC_PIDINET_LEAST_SIDE);
  return vc_case_floats(t, true, out, error);
}

// A result shaped like `shape` with one channel, filled with a copy of `from`.
static vc_status add_copy(vc_case *c, const char *name, vc_shape shape, const float *from, float **out,
                          vc_error *error) {
  vc_status status = vc_case_new_result(c, name, 4, (int64_t[]){shape.n, 1, shape.h, shape.w}, out, error);
  if (!status) memcpy(*out, from, (size_t)vc_shape_rows(shape) * sizeof **out);
  return status;
}

vc_status vc_case_midas(vc_case *c, vc_error *error) {
  vc_model_config config = vc_model_config_released();
  float *frames = NULL, *pixels = NULL, *raw, *depth;
  vc_shape shape;
  vc_status status = vc_midas_config_parse(&config.midas, c->config, error);
  if (!status) status = read_pictures(c, "frames", 3, vc_midas_multiple(&config.midas), &shape, &frames, error);
  if (!status) status = prepare(&pixels, frames, vc_shape_rows(shape), &vc_extraction_depth, &config, error);
  if (!status) status = run(c, &vc_extraction_depth, pixels, shape, &config, "output/raw", &raw, error);
  if (!status) {
    const int64_t *dim = c->result[c->results - 1].tensor.dim;
    vc_shape out = {dim[0], 1, dim[2], dim[3], 1};
    status = add_copy(c, "output/depth", out, raw, &depth, error);
    if (!status) vc_extraction_depth.values(depth, vc_shape_rows(out), &config);
  }
  free(frames);
  free(pixels);
  return status;
}

vc_status vc_case_pidinet(vc_case *c, vc_error *error) {
  vc_model_config config = vc_model_config_released();
  float *x = NULL, *edges;
  vc_shape shape;
  parameter_source source = {.prefix = ""};
  vc_weights raw = vc_case_weights(c), weights = weights_of(&source);
  vc_status status = vc_pidinet_config_parse(&config.pidinet, c->config, error);
  if (!status) status = read_pictures(c, "x", 3, 1, &shape, &x, error);
  if (!status) status = open_pidinet(&source, &raw, "", error);
  weights.name = raw.name;
  c->weights = &weights;
  if (!status) status = run(c, &vc_extraction_edges, x, shape, &config, "output/edges", &edges, error);
  c->weights = NULL;
  vc_pidinet_fold_free(&source.kernels);
  free(x);
  return status;
}

// The name of the file that the configuration gives, opened.
static vc_status open_file(const vc_case *c, vc_tensor_file *out, vc_error *error) {
  const cJSON *name = cJSON_GetObjectItemCaseSensitive(c->config, "file");
  char *path = NULL;
  if (!cJSON_IsString(name)) return vc_fail(error, VC_FAILED, "config: file must be the name of a file of weights");
  vc_status status = vc_case_file(c, name->valuestring, &path, error);
  if (!status) status = vc_tensor_file_open(out, path, error);
  free(path);
  return status;
}

static const vc_tensor *find_in_file(void *file, const char *key) {
  return vc_tensor_file_find(file, key);
}

// The published weights on a picture of bytes.
vc_status vc_case_pidinet_released(vc_case *c, vc_error *error) {
  vc_model_config config = vc_model_config_released();
  float *frame = NULL, *x = NULL, *edges;
  const vc_tensor *t;
  vc_tensor_file file = {0};
  parameter_source source = {.prefix = ""};
  vc_status status = vc_pidinet_config_parse(&config.pidinet, c->config, error);
  if (!status) status = vc_case_input(c, "frame", 4, (int64_t[]){VC_ANY, VC_ANY, VC_ANY, 3}, &t, error);
  if (status) return status;
  vc_shape shape = {t->dim[0], 1, t->dim[1], t->dim[2], 3};
  if (t->dtype != VC_U8 || shape.h < VC_PIDINET_LEAST_SIDE || shape.w < VC_PIDINET_LEAST_SIDE)
    return vc_fail(error, VC_FAILED, "input/frame is %s of %lld x %lld, and must be U8, with sides from %d on",
                   vc_dtype_name(t->dtype), (long long)shape.w, (long long)shape.h, VC_PIDINET_LEAST_SIDE);
  if ((status = open_file(c, &file, error))) return status;
  vc_weights raw = {.name = file.path, .source = &file, .find = find_in_file}, weights;
  status = open_pidinet(&source, &raw, "", error);
  weights = weights_of(&source);
  if (!status) status = vc_case_floats(t, false, &frame, error);
  for (int64_t i = 0; i < vc_shape_elements(shape) && !status; i++) frame[i] /= 255;
  if (!status) status = prepare(&x, frame, vc_shape_rows(shape), &vc_extraction_edges, &config, error);
  c->weights = &weights;
  if (!status) status = run(c, &vc_extraction_edges, x, shape, &config, "output/edges", &edges, error);
  c->weights = NULL;
  vc_pidinet_fold_free(&source.kernels);
  vc_tensor_file_close(&file);
  free(frame);
  free(x);
  return status;
}

vc_status vc_case_sketch_simplification(vc_case *c, vc_error *error) {
  vc_model_config config = vc_model_config_released();
  float *x = NULL, *y;
  vc_shape shape;
  vc_status status = vc_simplification_config_parse(&config.sketch_simplification, c->config, error);
  if (!status) status = read_pictures(c, "x", 1, VC_SIMPLIFICATION_MULTIPLE, &shape, &x, error);
  if (status) return status;
  const vc_simplification_config *s = &config.sketch_simplification;
  for (int64_t i = 0; i < vc_shape_rows(shape); i++) x[i] = (x[i] - (float)s->mean) / (float)s->std;
  status = run(c, &vc_extraction_lines, x, shape, &config, "output/y", &y, error);
  free(x);
  return status;
}

static vc_status parse_pipeline(vc_model_config *out, const cJSON *config, vc_error *error) {
  const cJSON *pidinet = cJSON_GetObjectItemCaseSensitive(config, "pidinet");
  const cJSON *cleaner = cJSON_GetObjectItemCaseSensitive(config, "cleaner");
  if (!pidinet || !cleaner) return vc_fail(error, VC_FAILED, "config: must have the objects pidinet and cleaner");
  vc_status status = vc_pidinet_config_parse(&out->pidinet, pidinet, error);
  return status ? status : vc_simplification_config_parse(&out->sketch_simplification, cleaner, error);
}

// Frames to edges to clean lines; the parameters' names begin with "pidinet." and "cleaner.".
vc_status vc_case_sketch_pipeline(vc_case *c, vc_error *error) {
  vc_model_config config = vc_model_config_released();
  float *frames = NULL, *x = NULL, *lines = NULL, *edges, *clean, *sketch;
  vc_shape shape;
  vc_weights raw = vc_case_weights(c), weights;
  parameter_source pidinet = {.prefix = ""}, cleaner = {.raw = raw, .prefix = "cleaner."};
  vc_status status = parse_pipeline(&config, c->config, error);
  if (!status) status = read_pictures(c, "frames", 3, VC_SIMPLIFICATION_MULTIPLE, &shape, &frames, error);
  if (!status) status = open_pidinet(&pidinet, &raw, "pidinet.", error);
  if (status) goto done;
  weights = weights_of(&pidinet);
  c->weights = &weights;
  status = prepare(&x, frames, vc_shape_rows(shape), &vc_extraction_edges, &config, error);
  if (!status) status = run(c, &vc_extraction_edges, x, shape, &config, "output/edges", &edges, error);
  if (status) goto done;
  weights = weights_of(&cleaner);
  shape.c = 1;
  status = prepare(&lines, edges, vc_shape_rows(shape), &vc_extraction_lines, &config, error);
  if (!status) status = run(c, &vc_extraction_lines, lines, shape, &config, "output/cleaned", &clean, error);
  if (!status) status = add_copy(c, "output/sketch", shape, clean, &sketch, error);
  if (!status) vc_extraction_lines.values(sketch, vc_shape_rows(shape), &config);
done:
  c->weights = NULL;
  vc_pidinet_fold_free(&pidinet.kernels);
  free(frames);
  free(x);
  free(lines);
  return status;
}
