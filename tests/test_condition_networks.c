// MiDaS, PiDiNet and the simplification of sketches: their parameters, their configurations, pixel differences folded.
#include <cjson/cJSON.h>
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "engine/extract.h"
#include "engine/json_fields.h"
#include "engine/midas.h"
#include "engine/plan.h"
#include "loaders/tensor_file.h"
#include "tests/random.h"

// ---- a file as its manifest says, tests/data/manifests/NAME.txt.gz: a line "key dim dim ..." a tensor

typedef struct file {
  char *key[512];
  vc_tensor tensor[512];
  int count;
  bool asked[512];
} file;

static void read_manifest(const char *name, file *out) {
  char path[128], line[256];
  *out = (file){.count = 0};
  snprintf(path, sizeof path, "tests/data/manifests/%s.txt.gz", name);
  gzFile f = gzopen(path, "rb");
  cr_assert(f, "%s", path);
  while (gzgets(f, line, sizeof line)) {
    vc_tensor *t = &out->tensor[out->count];
    char *at = strchr(line, ' ');
    cr_assert(at && out->count < 512);
    *t = (vc_tensor){.dtype = VC_F32};
    out->key[out->count++] = strndup(line, (size_t)(at - line));
    while (*at == ' ') t->dim[t->rank++] = strtoll(at, &at, 10);
  }
  gzclose(f);
}

static void free_file(file *f) {
  for (int i = 0; i < f->count; i++) {
    free(f->key[i]);
    vc_tensor_free(&f->tensor[i]);
  }
}

static const vc_tensor *find_in(void *source, const char *key) {
  file *f = source;
  for (int i = 0; i < f->count; i++)
    if (!strcmp(f->key[i], key)) {
      f->asked[i] = true;
      return &f->tensor[i];
    }
  return NULL;
}

static double parameters_of(const file *f) {
  double sum = 0;
  for (int i = 0; i < f->count; i++) {
    double product = 1;
    for (int k = 0; k < f->tensor[i].rank; k++) product *= (double)f->tensor[i].dim[k];
    sum += product;
  }
  return sum;
}

static void report(void *opaque, vc_finding finding, const char *key, const char *detail) {
  (void)opaque;
  cr_expect_fail("%s (%d): %s", key, (int)finding, detail);
}

static vc_graph *describe(const vc_extraction *what, const vc_model_config *config, int64_t n, int64_t h, int64_t w,
                          vc_value *out) {
  vc_graph *graph;
  cr_assert_eq(vc_graph_new(&graph, 1, NULL), VC_OK);
  vc_value x = vc_graph_input(graph, "x", (vc_shape){n, 1, h, w, what->channels}, VC_ELEMENT_ACTIVATION, VC_RATE_STEP);
  *out = what->describe(graph, x, config);
  cr_assert_eq(vc_graph_check(graph, NULL), VC_OK);
  return graph;
}

// Everything that is asked for is there in its shape, and everything that is there is asked for, but for `unused`.
static void expect_all(const vc_extraction *what, file *f, const vc_weights *weights, const char *unused,
                       int unused_count) {
  vc_model_config config = vc_model_config_released();
  vc_value out;
  vc_graph *graph = describe(what, &config, 2, 384, 448, &out);
  vc_shape s = vc_graph_shape(graph, out);
  cr_expect(s.n == 2 && s.h == 384 && s.w == 448 && s.c == 1, "%s", what->phase);
  vc_parameters_audit(graph, weights, report, NULL);
  int left = 0;
  for (int i = 0; i < f->count; i++) {
    if (f->asked[i]) continue;
    left++;
    cr_expect(unused && !strncmp(f->key[i], unused, strlen(unused)), "%s is not asked for", f->key[i]);
  }
  cr_expect_eq(left, unused_count);
  vc_graph_free(graph);
}

Test(condition_networks, midas_asks_for_the_released_tensors) {
  file f;
  read_manifest("midas", &f);
  cr_expect_eq(f.count, 364);
  cr_expect_eq(parameters_of(&f), 343028417.0);
  expect_all(&vc_extraction_depth, &f, &(vc_weights){.name = "manifest", .source = &f, .find = find_in},
             "fusion4.layer1.", 4);
  free_file(&f);
}

Test(condition_networks, the_simplification_asks_for_the_released_tensors) {
  file f;
  read_manifest("sketch_simplification", &f);
  cr_expect_eq(f.count, 46);
  cr_expect_eq(parameters_of(&f), 44387249.0);
  expect_all(&vc_extraction_lines, &f, &(vc_weights){.name = "manifest", .source = &f, .find = find_in}, NULL, 0);
  free_file(&f);
}

// PiDiNet's released file, prefix and pixel differences included.
typedef struct folded_file {
  file raw;
  vc_pidinet_kernels kernels;
} folded_file;

static const vc_tensor *find_released(void *source, const char *key) {
  char name[128];
  snprintf(name, sizeof name, "module.%s", key);
  return find_in(source, name);
}

static const vc_tensor *find_folded(void *source, const char *key) {
  folded_file *f = source;
  const vc_tensor *raw = find_released(&f->raw, key), *kernel = vc_pidinet_kernel(&f->kernels, key);
  return kernel ? kernel : raw;
}

static void fill(file *f) {
  vc_random random = {3};
  for (int i = 0; i < f->count; i++) {
    vc_tensor shape = f->tensor[i];
    cr_assert_eq(vc_tensor_new(&f->tensor[i], VC_F32, shape.rank, shape.dim, NULL), VC_OK);
    for (size_t k = 0; k < vc_tensor_count(&shape); k++) ((float *)f->tensor[i].data)[k] = vc_random_float(&random);
  }
}

Test(condition_networks, pidinet_asks_for_the_released_tensors) {
  folded_file f = {.raw = {.count = 0}};
  read_manifest("pidinet", &f.raw);
  fill(&f.raw);
  cr_expect_eq(f.raw.count, 83);
  cr_expect_eq(parameters_of(&f.raw), 710149.0);
  cr_expect_str_eq(vc_pidinet_prefix(&(vc_weights){.name = "manifest", .source = &f.raw, .find = find_in}), "module.");
  cr_expect_str_eq(vc_pidinet_prefix(&(vc_weights){.name = "manifest", .source = &f.raw, .find = find_released}), "");
  cr_assert_eq(
      vc_pidinet_fold(&f.kernels, &(vc_weights){.name = "manifest", .source = &f.raw, .find = find_released}, NULL),
      VC_OK);
  expect_all(&vc_extraction_edges, &f.raw, &(vc_weights){.name = "manifest", .source = &f, .find = find_folded}, NULL,
             0);
  vc_pidinet_fold_free(&f.kernels);
  free_file(&f.raw);
}

// ---- pixel differences

// What a layer of pixel differences computes of a window of 5x5 pixels, as the paper defines it.
static double difference_at(int layer, const float w[9], const float x[5][5]) {
  static const int ring[8][2] = {{-1, -1}, {-1, 0}, {-1, 1}, {0, 1}, {1, 1}, {1, 0}, {1, -1}, {0, -1}};
  double sum = 0;
  if (layer % 4 == 1) {  // each pixel of the ring against the next one
    for (int i = 0; i < 8; i++) {
      const int *a = ring[i], *b = ring[(i + 1) % 8];
      sum += (double)w[(a[0] + 1) * 3 + a[1] + 1] * ((double)x[2 + a[0]][2 + a[1]] - (double)x[2 + b[0]][2 + b[1]]);
    }
    return sum;
  }
  int ray = 1;
  for (int dy = -1; dy <= 1; dy++)
    for (int dx = -1; dx <= 1; dx++) {
      double weight = (double)w[(dy + 1) * 3 + dx + 1], near = (double)x[2 + dy][2 + dx];
      if (layer % 4 == 0) sum += weight * (near - (double)x[2][2]);
      if (layer % 4 == 3) sum += weight * near;
      if (layer % 4 == 2 && (dy || dx)) sum += (double)w[ray++] * ((double)x[2 + 2 * dy][2 + 2 * dx] - near);
    }
  return sum;
}

static double convolved(const vc_tensor *kernel, size_t index, const float x[5][5]) {
  int64_t side = kernel->dim[3], from = side == 5 ? 0 : 1;
  const float *w = (const float *)kernel->data + index * (size_t)(side * side);
  double sum = 0;
  for (int64_t i = 0; i < side * side; i++) sum += (double)w[i] * (double)x[from + i / side][from + i % side];
  return sum;
}

static const char *const layers[VC_PIDINET_FOLDED] = {
    "init_block",     "block1_1.conv1", "block1_2.conv1", "block1_3.conv1", "block2_1.conv1", "block2_2.conv1",
    "block2_3.conv1", "block2_4.conv1", "block3_1.conv1", "block3_2.conv1", "block3_3.conv1", "block3_4.conv1",
    "block4_1.conv1", "block4_2.conv1", "block4_3.conv1", "block4_4.conv1"};

static void expect_folded(int layer, const vc_tensor *raw, const vc_tensor *kernel, vc_random *random) {
  cr_assert(kernel, "%s", layers[layer]);
  cr_expect(kernel->dtype == VC_F32 && kernel->rank == 4 && kernel->dim[3] == (layer % 4 == 2 ? 5 : 3));
  for (size_t k = 0; k < vc_tensor_count(raw) / 9; k++) {
    float x[5][5], w[9];
    for (int i = 0; i < 25; i++) x[i / 5][i % 5] = vc_random_float(random);
    vc_to_float(w, (const char *)raw->data + 9 * k * vc_dtype_size(raw->dtype), raw->dtype, 9);
    double want = difference_at(layer, w, (const float(*)[5])x), got = convolved(kernel, k, (const float(*)[5])x);
    cr_expect(fabs(got - want) <= 2e-6, "%s, kernel %zu: %.9g, not %.9g", layers[layer], k, got, want);
  }
}

Test(condition_networks, pixel_differences_are_folded) {
  vc_random random = {11};
  for (int dtype = 0; dtype < 2; dtype++) {
    file f = {.count = VC_PIDINET_FOLDED};
    for (int i = 0; i < VC_PIDINET_FOLDED; i++) {
      char key[64];
      float values[54];
      snprintf(key, sizeof key, "%s.weight", layers[i]);
      f.key[i] = strdup(key);
      cr_assert_eq(vc_tensor_new(&f.tensor[i], dtype ? VC_F16 : VC_F32, 4, (int64_t[]){3, 2, 3, 3}, NULL), VC_OK);
      for (int k = 0; k < 54; k++) values[k] = vc_random_float(&random);
      vc_from_float(f.tensor[i].data, f.tensor[i].dtype, values, 54);
    }
    vc_pidinet_kernels kernels;
    cr_assert_eq(vc_pidinet_fold(&kernels, &(vc_weights){.name = "made up", .source = &f, .find = find_in}, NULL),
                 VC_OK);
    for (int i = 0; i < VC_PIDINET_FOLDED; i++) {
      const vc_tensor *kernel = vc_pidinet_kernel(&kernels, f.key[i]);
      if (i % 4 == 3)
        cr_expect_null(kernel, "%s is an ordinary convolution", layers[i]);
      else
        expect_folded(i, &f.tensor[i], kernel, &random);
    }
    cr_expect_null(vc_pidinet_kernel(&kernels, "classifier.weight"));
    vc_pidinet_fold_free(&kernels);
    cr_expect_null(vc_pidinet_kernel(&kernels, f.key[0]));
    free_file(&f);
  }
}

// A file of ordinary convolutions, one without the layer that tells, and tensors that are no kernels stay as they are.
Test(condition_networks, other_files_are_left_alone) {
  static const struct {
    vc_dtype dtype;
    int rank;
    int64_t dim[4];
    bool folded;
  } cases[] = {{VC_F32, 4, {2, 1, 3, 3}, true},  {VC_F32, 4, {2, 1, 5, 5}, false}, {VC_F32, 4, {2, 1, 3, 5}, false},
               {VC_F32, 2, {2, 9, 0, 0}, false}, {VC_I32, 4, {2, 1, 3, 3}, false}, {VC_F32, 4, {0, 1, 3, 3}, true}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    vc_pidinet_kernels kernels;
    file f = {.count = 2, .key = {strdup("block1_2.conv1.weight"), strdup("init_block.weight")}};
    cr_assert_eq(vc_tensor_new(&f.tensor[0], cases[i].dtype, cases[i].rank, cases[i].dim, NULL), VC_OK);
    cr_assert_eq(vc_tensor_new(&f.tensor[1], VC_F32, 4, (int64_t[]){2, 3, 3, 3}, NULL), VC_OK);
    cr_assert_eq(vc_pidinet_fold(&kernels, &(vc_weights){.name = "made up", .source = &f, .find = find_in}, NULL),
                 VC_OK);
    cr_expect_eq(vc_pidinet_kernel(&kernels, f.key[0]) != NULL, cases[i].folded, "case %zu", i);
    cr_expect_eq(vc_pidinet_kernel(&kernels, f.key[1]) != NULL, i != 1, "case %zu", i);
    vc_pidinet_fold_free(&kernels);
    free_file(&f);
  }
}

// ---- configurations

static vc_status parse(const char *kind, const char *json, vc_error *error) {
  cJSON *object = NULL;
  vc_midas_config midas;
  vc_pidinet_config pidinet;
  vc_simplification_config simplification;
  vc_model_config model;
  vc_status status = vc_json_parse(&object, json, kind, error);
  if (!status && !strcmp(kind, "midas")) status = vc_midas_config_parse(&midas, object, error);
  if (!status && !strcmp(kind, "pidinet")) status = vc_pidinet_config_parse(&pidinet, object, error);
  if (!status && !strcmp(kind, "sketch_simplification"))
    status = vc_simplification_config_parse(&simplification, object, error);
  if (!status && !strcmp(kind, "model")) status = vc_model_config_parse(&model, object, error);
  cJSON_Delete(object);
  return status;
}

Test(condition_networks, configurations) {
  static const struct {
    const char *kind, *json, *words;  // NULL: it is good
  } cases[] = {
      {"midas", "{}", NULL},
      {"midas", "{\"image_size\": 34, \"patch\": 8, \"dim\": 6, \"heads\": 3, \"layers\": 8, \"neck\": [1, 2, 3, 4]}",
       NULL},
      {"midas", "[]", "must be a JSON object"},
      {"midas", "{\"layers\": 6}", "layers is 6, and must be a multiple of 4"},
      {"midas", "{\"layers\": 0}", "layers is 0"},
      {"midas", "{\"heads\": 3}", "heads is 3, and must divide dim 1024"},
      {"midas", "{\"heads\": 0}", "heads is 0"},
      {"midas", "{\"dim\": 4097}", "dim is 4097, and must be a whole number from 1 to 4096"},
      {"midas", "{\"image_size\": 8}", "image_size is 8, and must be at least patch 16"},
      {"midas", "{\"image_size\": 1e9}", "image_size is 1000000000"},
      {"midas", "{\"patch\": 0}", "patch is 0"},
      {"midas", "{\"neck\": [1, 2, 3]}", "a list of 4 numbers"},
      {"midas", "{\"neck\": [1, 2, 3, -4]}", "neck is -4"},
      {"midas", "{\"fusion\": 1}", "fusion is 1"},
      {"midas", "{\"head_dim\": \"32\"}", "head_dim is \"32\""},
      {"pidinet", "{\"planes\": 20, \"dil\": 8, \"converted\": true}", NULL},
      {"pidinet", "{\"planes\": 0}", "planes is 0"},
      {"pidinet", "{\"dil\": 1025}", "dil is 1025"},
      {"pidinet", "{\"converted\": 1}", "true or false"},
      {"sketch_simplification", "{\"divide\": 8, \"mean\": 0.9, \"std\": 0.1}", NULL},
      {"sketch_simplification", "{\"divide\": 0}", "divide is 0"},
      {"sketch_simplification", "{\"divide\": 1.5}", "divide is 1.5"},
      {"sketch_simplification", "{\"std\": 0}", "std is 0"},
      {"sketch_simplification", "{\"mean\": null, \"std\": []}", "std is []"},
      {"model", "{\"midas\": {\"dim\": 32, \"heads\": 2}, \"sketch_simplification\": {\"divide\": 2}}", NULL},
      {"model", "{\"midas\": {\"heads\": 5}}", "heads is 5"},
      {"model", "{\"pidinet\": 20}", "pidinet: must be a JSON object"},
      {"model", "{\"sketch_simplification\": {\"mean\": 1e9}}", "mean is 1000000000"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    vc_error error = {""};
    vc_status status = parse(cases[i].kind, cases[i].json, &error);
    cr_expect_eq(status, cases[i].words ? VC_FAILED : VC_OK, "%s: %s", cases[i].json, error.message);
    if (cases[i].words) cr_expect(strstr(error.message, cases[i].words), "%s: %s", cases[i].json, error.message);
  }
}

Test(condition_networks, numbers_that_no_parser_has_seen_are_checked_too) {
  vc_midas_config midas = vc_midas_config_released();
  cr_expect_eq(vc_midas_config_check(&midas, NULL), VC_OK);
  midas.heads = 0;
  cr_expect_eq(vc_midas_config_check(&midas, NULL), VC_FAILED);
  vc_pidinet_config pidinet = vc_pidinet_config_released();
  cr_expect_eq(vc_pidinet_config_check(&pidinet, NULL), VC_OK);
  pidinet.planes = -1;
  cr_expect_eq(vc_pidinet_config_check(&pidinet, NULL), VC_FAILED);
  vc_simplification_config simplification = vc_simplification_config_released();
  cr_expect_eq(vc_simplification_config_check(&simplification, NULL), VC_OK);
  simplification.std = NAN;
  cr_expect_eq(vc_simplification_config_check(&simplification, NULL), VC_FAILED);
}

// ---- folded and unfolded, with the parameters of the reference cases

static const vc_tensor *find_in_file(void *source, const char *key) {
  return vc_tensor_file_find(source, key);
}

static float *run(const vc_extraction *what, const vc_model_config *config, const char *path, bool no_fold, int *sums,
                  size_t *count) {
  vc_device *device;
  vc_parameters *parameters;
  vc_tensor_file weights;
  vc_plan *plan;
  vc_value out;
  vc_error error = {""};
  vc_random random = {5};
  vc_graph *graph = describe(what, config, 2, 32, 64, &out);
  vc_graph_keep(graph, out);
  *count = (size_t)vc_shape_elements(vc_graph_shape(graph, out));
  cr_assert_eq(vc_cpu_open(&device, 2, NULL), VC_OK);
  cr_assert_eq(vc_tensor_file_open(&weights, path, &error), VC_OK, "%s", error.message);
  cr_assert_eq(vc_parameters_new(&parameters, &vc_backend_cpu, device, VC_F32, NULL), VC_OK);
  vc_status status = vc_parameters_load(
      parameters, graph, &(vc_weights){.name = path, .source = &weights, .find = find_in_file}, NULL, NULL, &error);
  cr_assert_eq(status, VC_OK, "%s", error.message);
  vc_plan_options options = {
      .backend = &vc_backend_cpu, .device = device, .dtype = VC_F32, .parameters = parameters, .no_fold = no_fold};
  cr_assert_eq(vc_plan_new(&plan, graph, &options, &error), VC_OK, "%s", error.message);
  size_t size = (size_t)(2 * 32 * 64 * what->channels);
  float *x = malloc(size * sizeof *x), *result = malloc(*count * sizeof *result);
  for (size_t i = 0; i < size; i++) x[i] = vc_random_float(&random);
  cr_assert_eq(vc_plan_set(plan, vc_graph_find(plan->graph, "x"), x, NULL), VC_OK);
  cr_assert_eq(vc_plan_run_prologue(plan, &error), VC_OK, "%s", error.message);
  cr_assert_eq(vc_plan_run_step(plan, 0, &error), VC_OK, "%s", error.message);
  cr_assert_eq(vc_plan_get(plan, out, result, &error), VC_OK, "%s", error.message);
  *sums = 0;
  for (int i = 0; i < plan->ops; i++) *sums += plan->op[i].kind == VC_OP_SUM;
  vc_plan_free(plan);
  vc_parameters_free(parameters);
  vc_tensor_file_close(&weights);
  vc_backend_cpu.close(device);
  free(x);
  return result;
}

Test(condition_networks, folding_changes_nothing) {
  vc_model_config config = vc_model_config_released();
  config.midas = (vc_midas_config){.image_size = 64,
                                   .patch = 16,
                                   .dim = 24,
                                   .neck = {6, 8, 10, 12},
                                   .fusion = 10,
                                   .heads = 3,
                                   .layers = 4,
                                   .head_dim = 5};
  config.pidinet = (vc_pidinet_config){.planes = 8, .dil = 5, .converted = true};
  config.sketch_simplification.divide = 32;
  static const struct {
    const vc_extraction *what;
    const char *weights;
    int sums, unfolded_sums;  // of positions and laterals; with residuals, skips and dilations
  } cases[] = {{&vc_extraction_depth, "tests/data/golden/midas_uneven_weights.safetensors", 4, 19},
               {&vc_extraction_edges, "tests/data/golden/pidinet_small_converted_weights.safetensors", 0, 27},
               {&vc_extraction_lines, "tests/data/golden/sketch_simplification_small_weights.safetensors", 0, 0}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    size_t count, again;
    int sums, unfolded_sums;
    float *folded = run(cases[i].what, &config, cases[i].weights, false, &sums, &count);
    float *plain = run(cases[i].what, &config, cases[i].weights, true, &unfolded_sums, &again);
    double size = 0, error = 0;
    cr_assert_eq(count, again);
    for (size_t k = 0; k < count; k++) {
      size += (double)plain[k] * (double)plain[k];
      error += ((double)folded[k] - (double)plain[k]) * ((double)folded[k] - (double)plain[k]);
    }
    cr_expect(size > 0 && sqrt(error / size) <= 1e-6, "%s: %g", cases[i].what->phase, sqrt(error / size));
    cr_expect_eq(sums, cases[i].sums, "%s: %d sums are left", cases[i].what->phase, sums);
    cr_expect_eq(unfolded_sums, cases[i].unfolded_sums, "%s: %d sums", cases[i].what->phase, unfolded_sums);
    free(folded);
    free(plain);
  }
}
