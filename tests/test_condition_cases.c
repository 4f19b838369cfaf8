// Reference cases of the networks that make conditions and of the measures: the good ones pass, the others are refused
// in one line.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/backends.h"
#include "engine/case.h"
#include "loaders/safetensors.h"

#define GOLDEN "tests/data/golden/"

static vc_status run(const char *path, vc_case_report *report, vc_error *error) {
  const vc_backend *backend;
  vc_device *device;
  cr_assert_eq(vc_backend_open(&backend, &device, "cpu", VC_F32, 2, NULL), VC_OK);
  vc_case_options options = {.backend = backend, .device = device, .dtype = VC_F32, .tolerance = -1};
  vc_status status = vc_case_run(path, &options, report, error);
  backend->close(device);
  return status;
}

Test(condition_cases, are_reproduced) {
  static const struct {
    const char *path;
    int outputs;
  } cases[] = {
      {GOLDEN "midas_uneven.safetensors", 2},
      {GOLDEN "midas_grid.safetensors", 2},
      {GOLDEN "midas_patch8.safetensors", 2},
      {GOLDEN "pidinet_small_unconverted.safetensors", 1},
      {GOLDEN "pidinet_small_converted.safetensors", 1},
      {GOLDEN "pidinet_module.safetensors", 1},
      {GOLDEN "sketch_simplification_small.safetensors", 1},
      {GOLDEN "sketch_pipeline.safetensors", 2},
      {GOLDEN "metric_frame_consistency.safetensors", 1},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    vc_case_report report;
    vc_error error = {""};
    cr_expect_eq(run(cases[i].path, &report, &error), VC_OK, "%s", error.message);
    cr_expect_eq(report.outcomes, cases[i].outputs, "%s", cases[i].path);
    cr_expect_eq(report.failed, 0, "%s", cases[i].path);
    for (int k = 0; k < report.outcomes; k++)
      cr_expect(report.outcome[k].difference.relative_l2 <= 2e-6, "%s, %s: %g", cases[i].path, report.outcome[k].name,
                report.outcome[k].difference.relative_l2);
    vc_case_report_free(&report);
  }
}

// ---- cases made up to be refused: one input, of zeros

static const struct {
  const char *network, *config, *input;
  vc_dtype dtype;
  int rank;
  int64_t dim[4];
  const char *words;
} bad[] = {
    {"midas", "{\"layers\": 5}", "frames", VC_F32, 4, {1, 3, 64, 64}, "layers is 5"},
    {"midas", "{}", "pictures", VC_F32, 4, {1, 3, 64, 64}, "input/frames is missing"},
    {"midas", "{}", "frames", VC_F32, 4, {1, 1, 64, 64}, "expected [*, 3, *, *]"},
    {"midas", "{}", "frames", VC_F32, 3, {3, 64, 64}, "expected [*, 3, *, *]"},
    {"midas", "{}", "frames", VC_F32, 4, {1, 3, 48, 64}, "multiples of 32"},
    {"midas", "{}", "frames", VC_F32, 4, {1, 3, 64, 0}, "expected"},
    {"midas", "{}", "frames", VC_F32, 4, {1, 3, 64, 64}, "missing or misshapen"},
    {"pidinet", "{\"planes\": \"many\"}", "x", VC_F32, 4, {1, 3, 64, 64}, "planes is \"many\""},
    {"pidinet", "{}", "x", VC_F32, 4, {1, 3, 7, 64}, "from 8 on"},
    {"pidinet", "{}", "x", VC_F32, 4, {1, 3, 8, 8}, "83 tensors are missing"},
    {"pidinet_released", "{}", "frame", VC_U8, 4, {1, 8, 8, 3}, "file must be the name"},
    {"pidinet_released", "{\"file\": 3}", "frame", VC_U8, 4, {1, 8, 8, 3}, "file must be the name"},
    {"pidinet_released", "{\"file\": \"no.pth\"}", "frame", VC_U8, 4, {1, 8, 8, 3}, "no.pth is not beside the case"},
    {"pidinet_released", "{\"file\": \"../x\"}", "frame", VC_U8, 4, {1, 8, 8, 3}, "not the name of a file"},
    {"pidinet_released", "{}", "frame", VC_F32, 4, {1, 8, 8, 3}, "must be U8"},
    {"pidinet_released", "{}", "frame", VC_U8, 4, {1, 8, 4, 3}, "from 8 on"},
    {"pidinet_released", "{}", "frame", VC_U8, 4, {1, 3, 8, 8}, "expected [*, *, *, 3]"},
    {"sketch_simplification", "{\"divide\": -1}", "x", VC_F32, 4, {1, 1, 8, 8}, "divide is -1"},
    {"sketch_simplification", "{}", "x", VC_F32, 4, {1, 1, 8, 12}, "multiples of 8"},
    {"sketch_simplification", "{}", "x", VC_F32, 4, {1, 3, 8, 8}, "expected [*, 1, *, *]"},
    {"sketch_simplification", "{\"divide\": 40}", "x", VC_F32, 4, {1, 1, 8, 8}, "46 tensors are missing"},
    {"sketch_pipeline", "{}", "frames", VC_F32, 4, {1, 3, 8, 8}, "objects pidinet and cleaner"},
    {"sketch_pipeline", "{\"pidinet\": {}, \"cleaner\": []}", "frames", VC_F32, 4, {1, 3, 8, 8}, "JSON object"},
    {"sketch_pipeline", "{\"pidinet\": {}, \"cleaner\": {}}", "frames", VC_F32, 4, {1, 3, 8, 9}, "multiples of 8"},
    {"sketch_pipeline", "{\"pidinet\": {}, \"cleaner\": {}}", "frames", VC_F32, 4, {1, 3, 8, 8}, "83 tensors"},
    {"frame_consistency", "{}", "features", VC_F32, 2, {1, 4}, "two frames at least"},
    {"frame_consistency", "{}", "features", VC_F32, 2, {3, 4}, "frame 0 has no direction"},
    {"frame_consistency", "{}", "features", VC_F32, 1, {4}, "expected [*, *]"},
};

Test(condition_cases, bad_ones_are_refused) {
  char folder[] = "/tmp/vc_cases_XXXXXX", path[64], name[64];
  static float zeros[3 * 64 * 64];
  cr_assert(mkdtemp(folder));
  snprintf(path, sizeof path, "%s/case.safetensors", folder);
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    snprintf(name, sizeof name, "input/%s", bad[i].input);
    vc_named_tensor tensors[2] = {
        {name, {.dtype = bad[i].dtype, .rank = bad[i].rank, .data = zeros}},
        {(char *)"output/out", {.dtype = VC_F32, .rank = 1, .dim = {1}, .data = zeros}},
    };
    memcpy(tensors[0].tensor.dim, bad[i].dim, sizeof bad[i].dim);
    const vc_metadata_entry metadata[] = {{(char *)"format", (char *)"videocomposer-case/1"},
                                          {(char *)"network", (char *)bad[i].network},
                                          {(char *)"config", (char *)bad[i].config}};
    vc_error error = {""};
    vc_case_report report;
    cr_assert_eq(vc_safetensors_write(path, tensors, 2, metadata, 3, &error), VC_OK, "%s", error.message);
    cr_expect_eq(run(path, &report, &error), VC_FAILED, "%s %s was taken", bad[i].network, bad[i].config);
    cr_expect(strstr(error.message, bad[i].words), "'%s' is not in '%s'", bad[i].words, error.message);
    cr_expect_null(strchr(error.message, '\n'));
    vc_case_report_free(&report);
  }
  unlink(path);
  rmdir(folder);
}
