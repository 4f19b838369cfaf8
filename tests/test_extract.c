// Depth and sketch of frames by a whole engine: the reference's numbers, any size, any number of frames at a time.
#include <criterion/criterion.h>
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/asset_source.h"
#include "engine/extract.h"
#include "engine/session.h"
#include "loaders/file_map.h"
#include "loaders/safetensors.h"
#include "tests/random.h"

#define GOLDEN "tests/data/golden/"

static char folder[64];

static void set_up(void) {
  snprintf(folder, sizeof folder, "/tmp/vc_extract_XXXXXX");
  cr_assert(mkdtemp(folder));
}

static void tear_down(void) {
  DIR *d = opendir(folder);
  cr_assert(d);
  for (struct dirent *e; (e = readdir(d));) {
    char path[400];
    snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
    if (e->d_name[0] != '.') unlink(path);
  }
  closedir(d);
  rmdir(folder);
}

// ---- model folders

static void put_bytes(const char *name, const void *data, size_t size) {
  char path[128];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  FILE *f = fopen(path, "wb");
  cr_assert(f && fwrite(data, 1, size, f) == size && !fclose(f));
}

static void put_copy(const char *name, const char *from) {
  vc_file_map map;
  cr_assert_eq(vc_file_map_open(&map, from, NULL), VC_OK);
  put_bytes(name, map.data, map.size);
  vc_file_map_close(&map);
}

// The tensors of a file whose names begin with `prefix`, without it.
static void put_part(const char *name, const char *from, const char *prefix) {
  char path[128];
  vc_tensor_file file;
  cr_assert_eq(vc_tensor_file_open(&file, from, NULL), VC_OK);
  vc_named_tensor *part = calloc((size_t)file.count, sizeof *part);
  int count = 0;
  for (int i = 0; i < file.count; i++) {
    if (strncmp(file.tensor[i].name, prefix, strlen(prefix))) continue;
    part[count] = file.tensor[i];
    part[count++].name += strlen(prefix);
  }
  snprintf(path, sizeof path, "%s/%s", folder, name);
  cr_assert_eq(vc_safetensors_write(path, part, count, NULL, 0, NULL), VC_OK);
  free(part);
  vc_tensor_file_close(&file);
}

static vc_engine *open_engine(const char *model, int64_t max_memory) {
  vc_engine *engine;
  vc_error error = {""};
  vc_engine_options options = vc_default_engine_options();
  options.model = model;
  options.asset = vc_asset_source_program;
  options.backend = "cpu";
  options.threads = 2;
  options.max_memory = max_memory;
  cr_assert_eq(vc_engine_open(&engine, &options, &error), VC_OK, "%s", error.message);
  return engine;
}

static vc_engine *open_folder(const char *json) {
  put_bytes("model.json", json, strlen(json));
  return open_engine(folder, 0);
}

// ---- frames and references

// [n 3 h w] of a reference case as [n h w 3].
static float *frames_of(const vc_tensor_file *file, int64_t dim[4]) {
  const vc_tensor *t = vc_tensor_file_find(file, "input/frames");
  cr_assert(t && t->rank == 4 && t->dim[1] == 3);
  memcpy(dim, t->dim, 4 * sizeof *dim);
  size_t count = vc_tensor_count(t), plane = (size_t)(dim[2] * dim[3]);
  float *out = malloc(count * sizeof *out);
  for (size_t i = 0; i < count; i++) {
    size_t from = (i / 3 / plane * 3 + i % 3) * plane + i / 3 % plane;
    memcpy(&out[i], (const char *)t->data + from * sizeof(float), sizeof(float));
  }
  return out;
}

static double difference(const float *got, const float *want, size_t count) {
  double error = 0, size = 0;
  for (size_t i = 0; i < count; i++) {
    error += ((double)got[i] - (double)want[i]) * ((double)got[i] - (double)want[i]);
    size += (double)want[i] * (double)want[i];
  }
  return sqrt(error / size);
}

static void expect_output(const vc_tensor *got, const vc_tensor_file *file, const char *name) {
  const vc_tensor *want = vc_tensor_file_find(file, name);
  cr_assert(want, "%s", name);
  cr_assert(got->rank == 4 && got->dim[0] == want->dim[0] && got->dim[1] == want->dim[2] &&
            got->dim[2] == want->dim[3] && got->dim[3] == 1);
  size_t count = vc_tensor_count(want);
  float *values = malloc(count * sizeof *values);
  vc_to_float(values, want->data, want->dtype, count);
  double error = difference(got->data, values, count);
  cr_expect(error <= 5e-6, "%s: relative L2 error %g", name, error);
  free(values);
}

static float *random_frames(int64_t f, int64_t h, int64_t w) {
  vc_random random = {(uint64_t)(f + h + w)};
  float *out = malloc((size_t)(f * h * w * 3) * sizeof *out);
  for (int64_t i = 0; i < f * h * w * 3; i++) out[i] = 0.5f + 0.5f * vc_random_float(&random);
  return out;
}

typedef vc_status (*extraction)(vc_engine *engine, const float *frames, int64_t f, int64_t h, int64_t w,
                                const vc_callbacks *callbacks, vc_tensor *out, vc_error *error);

static vc_tensor extracted(extraction extract, vc_engine *engine, const float *frames, int64_t f, int64_t h,
                           int64_t w) {
  vc_tensor out;
  vc_error error = {""};
  cr_assert_eq(extract(engine, frames, f, h, w, NULL, &out, &error), VC_OK, "%s", error.message);
  cr_assert(out.rank == 4 && out.dim[0] == f && out.dim[1] == h && out.dim[2] == w && out.dim[3] == 1);
  return out;
}

static vc_engine *open_midas(void) {
  put_copy("midas.safetensors", GOLDEN "midas_uneven_weights.safetensors");
  return open_folder(
      "{\"networks\": [\"midas\"], \"midas\": {\"image_size\": 64, \"dim\": 24, \"neck\": [6, 8, 10, 12], "
      "\"fusion\": 10, \"heads\": 3, \"layers\": 4, \"head_dim\": 5}}");
}

Test(extract, depth_is_the_reference_s, .init = set_up, .fini = tear_down) {
  vc_engine *engine = open_midas();
  vc_tensor_file file;
  int64_t dim[4];
  cr_assert_eq(vc_tensor_file_open(&file, GOLDEN "midas_uneven.safetensors", NULL), VC_OK);
  float *frames = frames_of(&file, dim);
  vc_tensor depth = extracted(vc_extract_depth, engine, frames, dim[0], dim[2], dim[3]);
  expect_output(&depth, &file, "output/depth");
  vc_tensor_free(&depth);
  vc_tensor_file_close(&file);
  free(frames);
  vc_engine_close(engine);
}

static const char with_lines[] =
    "{\"pidinet\": {\"planes\": 8, \"dil\": 5}, \"sketch_simplification\": {\"divide\": 32}}";
static const char without_lines[] =
    "{\"pidinet\": {\"planes\": 8, \"dil\": 5}, \"preprocessing\": {\"sketch_simplification\": false}}";

Test(extract, sketch_is_the_reference_s, .init = set_up, .fini = tear_down) {
  vc_tensor_file file;
  int64_t dim[4];
  put_part("pidinet.safetensors", GOLDEN "sketch_pipeline_weights.safetensors", "pidinet.");
  put_part("sketch_simplification.safetensors", GOLDEN "sketch_pipeline_weights.safetensors", "cleaner.");
  cr_assert_eq(vc_tensor_file_open(&file, GOLDEN "sketch_pipeline.safetensors", NULL), VC_OK);
  float *frames = frames_of(&file, dim);
  for (int lines = 0; lines < 2; lines++) {
    vc_engine *engine = open_folder(lines ? with_lines : without_lines);
    vc_tensor sketch = extracted(vc_extract_sketch, engine, frames, dim[0], dim[2], dim[3]);
    expect_output(&sketch, &file, lines ? "output/sketch" : "output/edges");
    vc_tensor_free(&sketch);
    vc_engine_close(engine);
  }
  vc_tensor_file_close(&file);
  free(frames);
}

// The released file: a checkpoint, names with "module.", pixel differences; without a model.json.
Test(extract, the_released_file_is_read_as_it_is, .init = set_up, .fini = tear_down) {
  vc_tensor_file file;
  put_copy("table5_pidinet.pth", GOLDEN "pidinet_module.pth");
  cr_assert_eq(vc_tensor_file_open(&file, GOLDEN "pidinet_module.safetensors", NULL), VC_OK);
  const vc_tensor *t = vc_tensor_file_find(&file, "input/frame");
  float *frames = malloc(vc_tensor_count(t) * sizeof *frames);
  vc_to_float(frames, t->data, t->dtype, vc_tensor_count(t));
  for (size_t i = 0; i < vc_tensor_count(t); i++) frames[i] /= 255;
  vc_engine *engine = open_folder(
      "{\"pidinet\": {\"planes\": 4, \"dil\": 3}, "
      "\"preprocessing\": {\"sketch_simplification\": false}}");
  vc_tensor edges = extracted(vc_extract_sketch, engine, frames, t->dim[0], t->dim[1], t->dim[2]);
  expect_output(&edges, &file, "output/edges");
  vc_tensor_free(&edges);
  vc_engine_close(engine);
  vc_tensor_file_close(&file);
  free(frames);
}

// ---- sizes

// Frames of h x w continued to H x W by their last row and column.
static float *continued(const float *frames, int64_t f, int64_t h, int64_t w, int64_t to_h, int64_t to_w) {
  float *out = malloc((size_t)(f * to_h * to_w * 3) * sizeof *out);
  for (int64_t i = 0; i < f * to_h * to_w; i++) {
    int64_t y = i / to_w % to_h, x = i % to_w;
    y = y < h ? y : h - 1;
    x = x < w ? x : w - 1;
    memcpy(out + i * 3, frames + ((i / to_w / to_h * h + y) * w + x) * 3, 3 * sizeof *out);
  }
  return out;
}

static void expect_same_as_continued(extraction extract, vc_engine *engine, int64_t f, int64_t h, int64_t w,
                                     int64_t to_h, int64_t to_w) {
  float *frames = random_frames(f, h, w), *larger = continued(frames, f, h, w, to_h, to_w);
  vc_tensor small = extracted(extract, engine, frames, f, h, w);
  vc_tensor large = extracted(extract, engine, larger, f, to_h, to_w);
  for (int64_t i = 0; i < f * h * w; i++)
    cr_assert_eq(((float *)small.data)[i], ((float *)large.data)[(i / w / h * to_h + i / w % h) * to_w + i % w],
                 "%dx%d at %d", (int)h, (int)w, (int)i);
  vc_tensor_free(&small);
  vc_tensor_free(&large);
  free(frames);
  free(larger);
}

Test(extract, any_size_is_taken, .init = set_up, .fini = tear_down) {
  vc_engine *engine = open_midas();
  expect_same_as_continued(vc_extract_depth, engine, 2, 45, 70, 64, 96);
  expect_same_as_continued(vc_extract_depth, engine, 1, 1, 1, 32, 32);
  vc_engine_close(engine);
  engine = open_engine(NULL, 0);
  expect_same_as_continued(vc_extract_sketch, engine, 2, 13, 5, 13, 8);
  expect_same_as_continued(vc_extract_sketch, engine, 1, 1, 33, 8, 33);
  vc_engine_close(engine);
  put_part("pidinet.safetensors", GOLDEN "sketch_pipeline_weights.safetensors", "pidinet.");
  put_part("sketch_simplification.safetensors", GOLDEN "sketch_pipeline_weights.safetensors", "cleaner.");
  engine = open_folder(with_lines);
  vc_tensor sketch;
  float *frames = random_frames(1, 21, 11);
  cr_assert_eq(vc_extract_sketch(engine, frames, 1, 21, 11, NULL, &sketch, NULL), VC_OK);
  for (int i = 0; i < 21 * 11; i++) cr_assert(((float *)sketch.data)[i] > 0 && ((float *)sketch.data)[i] < 1);
  vc_tensor_free(&sketch);
  free(frames);
  vc_engine_close(engine);
}

typedef struct told {
  int calls;
  int64_t done, total;
  char phase[16];
  bool stop;
} told;

static void note_progress(void *opaque, const char *phase, int64_t done, int64_t total) {
  told *t = opaque;
  cr_expect(done >= 0 && done <= total && (strcmp(t->phase, phase) || done >= t->done));
  snprintf(t->phase, sizeof t->phase, "%s", phase);
  t->calls++;
  t->done = done;
  t->total = total;
}

static bool stop(void *opaque) {
  return ((told *)opaque)->stop;
}

// With little memory a few frames at a time, of which the last ones overlap; the numbers are the same.
Test(extract, frames_at_a_time_do_not_matter) {
  enum { F = 5, SIDE = 32 };
  static const int64_t memory[] = {0, 9000000, 14000000};
  float *frames = random_frames(F, SIDE, SIDE);
  vc_tensor first = {.data = NULL};
  for (size_t i = 0; i < sizeof memory / sizeof *memory; i++) {
    vc_engine *engine = open_engine(NULL, memory[i]);
    vc_tensor sketch;
    told t = {.calls = 0};
    vc_callbacks callbacks = {.opaque = &t, .progress = note_progress, .cancelled = stop};
    vc_error error = {""};
    cr_assert_eq(vc_extract_sketch(engine, frames, F, SIDE, SIDE, &callbacks, &sketch, &error), VC_OK, "%s",
                 error.message);
    cr_expect(t.done == F && t.total == F && !strcmp(t.phase, "edges"));
    cr_expect_eq(t.calls, i == 0 ? 2 : i == 1 ? 6 : 4, "%d calls", t.calls);
    if (i == 0) {
      first = sketch;
    } else {
      double error_size = difference(sketch.data, first.data, vc_tensor_count(&first));
      cr_expect(error_size <= 1e-6, "%g", error_size);
      vc_tensor_free(&sketch);
    }
    vc_engine_close(engine);
  }
  vc_tensor_free(&first);
  free(frames);
}

// ---- what cannot be done

static void expect_refused(extraction extract, vc_engine *engine, const float *frames, int64_t f, int64_t h, int64_t w,
                           vc_status status, const char *words) {
  vc_tensor out = {.data = (void *)1};
  vc_error error = {""};
  cr_expect_eq(extract(engine, frames, f, h, w, NULL, &out, &error), status, "'%s': %s", words, error.message);
  cr_expect(strstr(error.message, words), "'%s' is not in '%s'", words, error.message);
  cr_expect_null(out.data);
}

Test(extract, what_cannot_be_done_is_refused, .init = set_up, .fini = tear_down) {
  float *frames = random_frames(1, 32, 32);
  vc_engine *engine = open_engine(NULL, 0);
  engine->model.present[VC_NETWORK_MIDAS] = false;  // as in a folder without it
  expect_refused(vc_extract_depth, engine, frames, 1, 32, 32, VC_FAILED, "no midas network");
  expect_refused(vc_extract_depth, engine, frames, 1, 32, 32, VC_FAILED, "midas_v3_dpt_large.pth");
  engine->model.present[VC_NETWORK_MIDAS] = true;  // or its file stays open
  expect_refused(vc_extract_sketch, engine, frames, 0, 32, 32, VC_INVALID, "0 frames");
  expect_refused(vc_extract_sketch, engine, frames, 1, 0, 32, VC_INVALID, "32 x 0");
  expect_refused(vc_extract_sketch, engine, frames, 1, 32, VC_MAX_SIDE + 1, VC_INVALID, "sides must be");
  frames[5] = NAN;
  expect_refused(vc_extract_sketch, engine, frames, 1, 32, 32, VC_FAILED, "NaN");
  frames[5] = 0;
  told t = {.stop = true};
  vc_callbacks callbacks = {.opaque = &t, .cancelled = stop};
  vc_tensor out;
  cr_expect_eq(vc_extract_sketch(engine, frames, 1, 32, 32, &callbacks, &out, NULL), VC_INTERRUPTED);
  cr_expect_null(out.data);
  vc_engine_close(engine);
  engine = open_engine(NULL, 400000);
  expect_refused(vc_extract_sketch, engine, frames, 1, 32, 32, VC_INVALID, "are allowed");
  vc_engine_close(engine);
  put_part("pidinet.safetensors", GOLDEN "sketch_pipeline_weights.safetensors", "pidinet.");
  engine = open_folder(with_lines);
  expect_refused(vc_extract_sketch, engine, frames, 1, 32, 32, VC_FAILED, "sketch_simplification_gan.pth");
  vc_engine_close(engine);
  engine = open_folder("{\"pidinet\": {\"planes\": 9, \"dil\": 5}}");
  expect_refused(vc_extract_sketch, engine, frames, 1, 32, 32, VC_FAILED, "misshapen");
  vc_engine_close(engine);
  put_copy("midas.safetensors", GOLDEN "midas_patch8_weights.safetensors");
  engine = open_folder(
      "{\"midas\": {\"image_size\": 34, \"patch\": 8, \"dim\": 20, \"neck\": [4, 6, 8, 10], "
      "\"fusion\": 7, \"heads\": 2, \"layers\": 4, \"head_dim\": 4}}");
  expect_refused(vc_extract_depth, engine, frames, 1, 32, 32, VC_FAILED, "patch must be 16");
  vc_engine_close(engine);
  free(frames);
}
