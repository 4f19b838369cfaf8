// Every reference case in tests/data/golden comes out right, inner values included.
#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/backends.h"
#include "engine/case.h"

static const char folder[] = "tests/data/golden";

static const vc_backend *backend;
static vc_device *device;

static void open_device(void) {
  vc_error error;
  cr_assert_eq(vc_backend_open(&backend, &device, "cpu", VC_F32, 0, &error), VC_OK, "%s", error.message);
}

static void close_device(void) {
  backend->close(device);
}

static int network_index(const char *name) {
  for (int i = 0; name && vc_case_network(i); i++)
    if (!strcmp(vc_case_network(i), name)) return i;
  return -1;
}

// Inner values get no verdict from the runner; here they must be there and near.
static void check_traces(const char *path, const vc_case_report *report) {
  for (int i = 0; i < report->outcomes; i++) {
    const vc_case_outcome *o = &report->outcome[i];
    if (!o->trace) continue;
    cr_expect(o->measured, "%s: %s: %s", path, o->name, o->problem);
    cr_expect(o->difference.relative_l2 <= 1e-4, "%s: %s is off by %g", path, o->name, o->difference.relative_l2);
  }
}

static void check_case(const char *path) {
  static const char *const data[] = {folder, NULL};
  vc_case_options options = {
      .backend = backend, .device = device, .dtype = VC_F32, .data = data, .tolerance = -1, .trace = true};
  vc_case_report report;
  vc_error error;
  vc_status status = vc_case_run(path, &options, &report, &error);
  cr_expect_eq(status, VC_OK, "%s", status ? error.message : "");
  for (int i = 0; i < report.outcomes && !status; i++)
    cr_expect(report.outcome[i].trace || !*report.outcome[i].problem, "%s: %s: %s", path, report.outcome[i].name,
              report.outcome[i].problem);
  cr_expect_eq(report.failed, 0);
  check_traces(path, &report);
  vc_case_report_free(&report);
}

// Networks and functions that must have a case here.
static const char *const required[] = {
    "unet",
    "stc",
    "resblock",
    "spatial_transformer",
    "temporal_transformer",
    "temporal_conv",
    "downsample",
    "upsample",
    "group_norm",
    "time_embed",
    "vae_encoder",
    "vae_decoder",
    "schedule",
    "vae_posterior",
    "ddim_step",
    "ddim",
    "dpmpp_2m",
    "clip_text",
    "ddim_inversion",
    "clip_image",
    "resize_box",
    "resize_bilinear",
    "resize_bicubic",
    "resize_lanczos",
    "center_crop",
    "image_preprocess",
    "video_decode",
    "video_frames",
    "motion_vectors",
    "motion_field",
    "fps_select",
    "mask_strokes",
    "mask_rectangles",
    "mask_uncrop",
    "masked_condition",
    "motion_strokes",
    "end_point_error",
    "farneback",
    "frame_consistency",
};

Test(golden, all_cases, .init = open_device, .fini = close_device) {
  enum { MAX_NETWORKS = 128 };
  int cases[MAX_NETWORKS] = {0};
  DIR *dir = opendir(folder);
  cr_assert(dir);
  for (struct dirent *entry; (entry = readdir(dir));) {
    char path[512];
    vc_tensor_file file;
    const char *dot = strrchr(entry->d_name, '.');
    if (!dot || strcmp(dot, ".safetensors") != 0) continue;
    snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
    cr_assert_eq(vc_tensor_file_open(&file, path, NULL), VC_OK, "%s", path);
    int network = network_index(vc_tensor_file_metadata(&file, "network"));
    cr_assert_lt(network, MAX_NETWORKS);
    vc_tensor_file_close(&file);
    // Files of parameters name no network; some cases are about functions that have a test of their own.
    if (network < 0) continue;
    cases[network]++;
    check_case(path);
  }
  closedir(dir);
  for (size_t i = 0; i < sizeof required / sizeof *required; i++) {
    int network = network_index(required[i]);
    cr_expect(network >= 0 && cases[network] > 0, "there is no case of %s", required[i]);
  }
}
