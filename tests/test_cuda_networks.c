// Every reference case of a network on the CUDA backend: in F32 by the rule of the case, in half precision against the
// error that storage in that type alone makes.
#include <criterion/criterion.h>

#ifndef VC_CUDA_LINKED
Test(cuda_networks, reference_cases) {
  cr_skip_test("this build has no CUDA backend; CUDA_ON_HOST=1 has");
}
#else
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/case.h"
#include "kernels/cuda/cuda_open.h"
#include "tests/rounding_backend.h"

static const char folder[] = "tests/data/golden";

enum { CASES_MAX = 256, NAME = 64, OUTPUTS_MAX = 64 };

static char names[CASES_MAX][NAME];
static int count;

// Under a sanitizer, and on the other generation of GPUs: one of every kind, the quick ones.
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
static const bool sanitized = true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
static const bool sanitized = true;
#else
static const bool sanitized = false;
#endif
#else
static const bool sanitized = false;
#endif

static bool is_one_of_few(const char *name) {
  for (size_t i = 0; i < sizeof few / sizeof *few; i++)
    if (!strcmp(few[i], name)) return true;
  return false;
}

// The network of unet_D_*, with the samplers of sampler_C_*: a third of all the time. F16 has them.
static bool is_twice_there(const char *name, vc_dtype dtype) {
  return dtype != VC_F16 && !strncmp(name, "sampler_D_", 10);
}

static int by_name(const void *a, const void *b) {
  return strcmp(a, b);
}

// Cases whose network does run ops: those that the rounding backend counts some for.
static void list_cases(void) {
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
    cr_assert_lt(count, CASES_MAX);
    snprintf(names[count++], NAME, "%.*s", (int)(dot - entry->d_name), entry->d_name);
  }
  closedir(dir);
  qsort(names, (size_t)count, NAME, by_name);
}

typedef struct run {
  const vc_backend *backend;
  vc_device *device;
  vc_dtype dtype;
} run;

static bool run_case(const char *name, const run *r, vc_case_report *report) {
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

// The errors of all outputs with storage in that type; 0 when the case runs no ops.
static int reference_errors(const char *name, vc_dtype dtype, double *errors) {
  run r = {.backend = rounding_backend(dtype), .dtype = VC_F32};
  vc_case_report report;
  vc_error error;
  int before = rounding_backend_ops(), outputs = 0;
  cr_assert_eq(vc_cpu_open(&r.device, 1, &error), VC_OK, "%s", error.message);
  if (run_case(name, &r, &report)) {
    outputs = rounding_backend_ops() > before ? report.outcomes : 0;
    cr_assert(outputs <= OUTPUTS_MAX);
    for (int i = 0; i < outputs; i++) errors[i] = report.outcome[i].difference.relative_l2;
    vc_case_report_free(&report);
  }
  vc_backend_cpu.close(r.device);
  return outputs;
}

// The steps of an inversion amplify what the first ones lost, and channels that lie far from zero lose their digits
// before a norm sees them.
static const char *const ill_conditioned[] = {"sampler_C_inv3", "sampler_D_inv3", "small_group_norm_frame_eps6",
                                              "small_group_norm_video"};

// At most twice the error of storage alone; where that is smaller than the rounding of the output itself, by up to
// 2^-11 or 2^-8 of its size, chance decided, not the network. And at most 2e-2 in F16; in BF16 the storage of these
// small networks, with parameters drawn at random, comes to more than that.
static double allowed(const char *name, vc_dtype dtype, double storage) {
  double limit = 2 * fmax(storage, dtype == VC_F16 ? 0x1p-11 : 0x1p-8);
  for (size_t i = 0; i < sizeof ill_conditioned / sizeof *ill_conditioned; i++)
    if (!strcmp(name, ill_conditioned[i])) return limit;
  return dtype == VC_F16 ? fmin(2e-2, limit) : limit;
}

static void judge(const char *name, const char *where, const vc_case_report *report, vc_dtype dtype,
                  const double *storage) {
  for (int i = 0; i < report->outcomes; i++) {
    const vc_case_outcome *o = &report->outcome[i];
    if (dtype == VC_F32 || o->rule.kind != VC_RULE_RELATIVE) {
      cr_expect(!*o->problem, "%s, %s: %s: %s", name, where, o->name, o->problem);
      continue;
    }
    double error = o->difference.relative_l2, limit = allowed(name, dtype, storage[i]);
    cr_expect(o->measured && error <= limit, "%s, %s: %s is off by %g; storage alone by %g, allowed %g %s", name, where,
              o->name, error, storage[i], limit, o->measured ? "" : o->problem);
  }
}

static void check_all(vc_cuda_library library, vc_dtype dtype, bool all, const char *where) {
  run r = {.backend = &vc_backend_cuda, .dtype = dtype};
  vc_error error;
  double reference[OUTPUTS_MAX];
  int checked = 0;
  list_cases();
  cr_assert_eq(vc_cuda_open(&r.device, 0, library, &error), VC_OK, "%s", error.message);
  for (int i = 0; i < count; i++) {
    vc_case_report report;
    if (is_twice_there(names[i], dtype) || ((!all || sanitized) && !is_one_of_few(names[i]))) continue;
    if (!reference_errors(names[i], dtype == VC_F32 ? VC_BF16 : dtype, reference)) continue;
    checked++;
    if (!run_case(names[i], &r, &report)) continue;
    judge(names[i], where, &report, dtype, reference);
    if (report.seconds > 5) fprintf(stderr, "%s, %s: %.1f s\n", names[i], where, report.seconds);
    vc_case_report_free(&report);
  }
  vc_backend_cuda.close(r.device);
  cr_expect(checked >= 15 || getenv("CASE_ONLY"), "only %d cases of networks", checked);
}

Test(cuda_networks, f32) {
  check_all(VC_CUDA_OWN, VC_F32, true, "F32");
}

Test(cuda_networks, f16) {
  check_all(VC_CUDA_OWN, VC_F16, true, "F16");
}

Test(cuda_networks, bf16) {
  check_all(VC_CUDA_OWN, VC_BF16, true, "BF16");
}

Test(cuda_networks, the_older_generation) {
  setenv("CUDA_ON_HOST_ARCH", "80", 1);
  check_all(VC_CUDA_OWN, VC_F16, false, "sm_80 F16");
}

Test(cuda_networks, the_vendors_libraries) {
  check_all(VC_CUDA_VENDOR, VC_F16, false, "vendor F16");
}
#endif
