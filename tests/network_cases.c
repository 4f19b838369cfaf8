#include "tests/network_cases.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/rounding_backend.h"

static const char folder[] = "tests/data/golden";

enum { CASES_MAX = 256, NAME = 64 };

static char names[CASES_MAX][NAME];
static const char *name_list[CASES_MAX];
static int cases;

static const char *const few[] = {
    "clip_tiny_image",
    "clip_tiny_text",
    "midas_grid",
    "pidinet_small_converted",
    "sketch_simplification_small",
    "small_downsample_odd",
    "small_group_norm_video",
    "small_resblock_24_16",
    "small_spatial_transformer_small",
    "small_temporal_conv_5_frames",
    "small_temporal_transformer_small",
    "small_time_embed",
    "small_upsample",
    "stc_mask_small",
    "unet_C_one",
    "vae0_decoder",
    "sampler_C_one_step",
};

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
const bool network_cases_sanitized = true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
const bool network_cases_sanitized = true;
#else
const bool network_cases_sanitized = false;
#endif
#else
const bool network_cases_sanitized = false;
#endif

bool network_case_is_quick(const char *name) {
  for (size_t i = 0; i < sizeof few / sizeof *few; i++)
    if (!strcmp(few[i], name)) return true;
  return false;
}

static int by_name(const void *a, const void *b) {
  return strcmp(a, b);
}

const char *const *network_cases(int *count) {
  cases = 0;
  const char *only = getenv("CASE_ONLY");  // for work on one network
  DIR *dir = opendir(folder);
  cr_assert(dir);
  for (struct dirent *entry; (entry = readdir(dir));) {
    vc_tensor_file file;
    char path[512];
    const char *dot = strrchr(entry->d_name, '.');
    if (!dot || strcmp(dot, ".safetensors") != 0 || (only && !strstr(entry->d_name, only))) continue;
    snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
    cr_assert_eq(vc_tensor_file_open(&file, path, NULL), VC_OK, "%s", path);
    bool is_case = vc_tensor_file_metadata(&file, "network") != NULL;
    vc_tensor_file_close(&file);
    // Functions of files, pictures and numbers: no ops, but media to be decoded.
    if (!is_case || !strncmp(entry->d_name, "prep_", 5)) continue;
    cr_assert_lt(cases, CASES_MAX);
    snprintf(names[cases++], NAME, "%.*s", (int)(dot - entry->d_name), entry->d_name);
  }
  closedir(dir);
  qsort(names, (size_t)cases, NAME, by_name);
  for (int i = 0; i < cases; i++) name_list[i] = names[i];
  *count = cases;
  return name_list;
}

bool network_case_run(const char *name, const network_run *r, vc_case_report *report) {
  static const char *const data[] = {folder, NULL};
  vc_case_options options = {
      .backend = r->backend, .device = r->device, .dtype = r->dtype, .data = data, .tolerance = -1};
  char path[512];
  vc_error error = {{0}};
  snprintf(path, sizeof path, "%s/%s.safetensors", folder, name);
  vc_status status = vc_case_run(path, &options, report, &error);
  cr_expect_eq(status, VC_OK, "%s on %s: %s", name, r->backend->name, error.message);
  if (status) vc_case_report_free(report);
  return status == VC_OK;
}

int network_case_storage_errors(const char *name, vc_dtype dtype, double errors[NETWORK_OUTPUTS_MAX]) {
  network_run r = {.backend = rounding_backend(dtype), .dtype = VC_F32};
  vc_case_report report;
  vc_error error;
  int before = rounding_backend_ops(), outputs = 0;
  cr_assert_eq(vc_cpu_open(&r.device, 1, &error), VC_OK, "%s", error.message);
  if (network_case_run(name, &r, &report)) {
    outputs = rounding_backend_ops() > before ? report.outcomes : 0;
    cr_assert(outputs <= NETWORK_OUTPUTS_MAX);
    for (int i = 0; i < outputs; i++) errors[i] = report.outcome[i].difference.relative_l2;
    vc_case_report_free(&report);
  }
  vc_backend_cpu.close(r.device);
  return outputs;
}
