// Cases that do not fit, are damaged or lie: each is refused with one line, and none is taken.
#include <cjson/cJSON.h>
#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/command.h"
#include "engine/backends.h"
#include "engine/case.h"
#include "loaders/safetensors.h"

#define GOLDEN "tests/data/golden/"

static const vc_backend *backend;
static vc_device *device;
static char scratch[64];

static void set_up(void) {
  cr_assert_eq(vc_backend_open(&backend, &device, "cpu", VC_F32, 2, NULL), VC_OK);
  snprintf(scratch, sizeof scratch, "/tmp/vc_case_XXXXXX");
  cr_assert(mkdtemp(scratch));
}

static void tear_down(void) {
  char path[128];
  snprintf(path, sizeof path, "%s/case.safetensors", scratch);
  unlink(path);
  rmdir(scratch);
  backend->close(device);
}

static vc_case_options options(void) {
  static const char *const data[] = {"tests/data/golden", NULL};
  return (vc_case_options){.backend = backend, .device = device, .dtype = VC_F32, .data = data, .tolerance = -1};
}

// ---- changed copies of a case

typedef enum change_kind {
  SAME,
  DROP,     // tensor `name`
  POISON,   // a NaN into tensor `name`
  SET,      // metadata `name` becomes `value`; NULL removes it
  REPLACE,  // in metadata "config", `name` becomes `value`
  RENAME,   // tensor `name` becomes `value`
  SHAPE,    // tensor `name` gets the shape `value`, "2,3", of its first elements
} change_kind;

typedef struct change {
  change_kind kind;
  const char *name, *value;
} change;

static int find_index(const vc_named_tensor *list, int count, const char *name) {
  for (int i = 0; i < count; i++)
    if (!strcmp(list[i].name, name)) return i;
  cr_assert_fail("the case has no tensor %s", name);
  return -1;
}

static void set_shape(vc_tensor *tensor, const char *shape) {
  tensor->rank = 0;
  for (const char *at = shape; *at; at += *at == ',') tensor->dim[tensor->rank++] = strtol(at, (char **)&at, 10);
}

static void replace_text(char *to, size_t size, const char *from, const char *what, const char *with) {
  const char *found = strstr(from, what);
  cr_assert(found, "the configuration has no %s", what);
  snprintf(to, size, "%.*s%s%s", (int)(found - from), from, with, found + strlen(what));
}

// Writes the changed case into the scratch folder and returns its path.
static const char *write_changed(const char *source, const change *c) {
  static char path[128], config[4096], poisoned[1 << 20];
  vc_tensor_file file;
  vc_metadata_entry metadata[16];
  vc_named_tensor tensor[256];
  char source_path[256];
  int tensors = 0, entries = 0;
  snprintf(source_path, sizeof source_path, GOLDEN "%s.safetensors", source);
  cr_assert_eq(vc_tensor_file_open(&file, source_path, NULL), VC_OK, "%s", source_path);
  for (int i = 0; i < file.count; i++) tensor[tensors++] = file.tensor[i];
  for (int i = 0; i < file.metadata_count; i++) {
    vc_metadata_entry entry = file.metadata[i];
    if (c->kind == SET && !strcmp(entry.key, c->name)) continue;
    if (c->kind == REPLACE && !strcmp(entry.key, "config")) {
      replace_text(config, sizeof config, entry.value, c->name, c->value);
      entry.value = config;
    }
    metadata[entries++] = entry;
  }
  if (c->kind == SET && c->value) metadata[entries++] = (vc_metadata_entry){(char *)c->name, (char *)c->value};
  if (c->kind == DROP) tensor[find_index(tensor, tensors, c->name)] = tensor[tensors - 1], tensors--;
  if (c->kind == RENAME) tensor[find_index(tensor, tensors, c->name)].name = (char *)c->value;
  if (c->kind == SHAPE) set_shape(&tensor[find_index(tensor, tensors, c->name)].tensor, c->value);
  if (c->kind == POISON) {
    vc_tensor *t = &tensor[find_index(tensor, tensors, c->name)].tensor;
    float nan = NAN;
    cr_assert_leq(vc_tensor_bytes(t), sizeof poisoned);
    memcpy(poisoned, t->data, vc_tensor_bytes(t));
    memcpy(poisoned + vc_tensor_bytes(t) / 8 * 4, &nan, sizeof nan);
    t->data = poisoned;
  }
  snprintf(path, sizeof path, "%s/case.safetensors", scratch);
  cr_assert_eq(vc_safetensors_write(path, tensor, tensors, metadata, entries, NULL), VC_OK);
  vc_tensor_file_close(&file);
  return path;
}

// The line that says why the case failed; "" when it did not.
static void run_changed(const char *source, const change *c, char *line, size_t size) {
  vc_case_options o = options();
  vc_case_report report;
  vc_error error = {""};
  vc_status status = vc_case_run(write_changed(source, c), &o, &report, &error);
  snprintf(line, size, "%s", error.message);
  for (int i = 0; i < report.outcomes && !status; i++)
    if (*report.outcome[i].problem) snprintf(line, size, "%s: %s", report.outcome[i].name, report.outcome[i].problem);
  cr_expect(status || !report.failed == !*line);
  vc_case_report_free(&report);
}

static const struct {
  const char *source;
  change change;
  const char *words;
} bad[] = {
    // the file
    {"small_downsample_odd", {SET, "format", "videocomposer-case/2"}, "is no case"},
    {"small_downsample_odd", {SET, "format", NULL}, "is no case"},
    {"small_downsample_odd", {SET, "network", NULL}, "names no network"},
    {"small_downsample_odd", {SET, "network", "upsample_twice"}, "unknown network \"upsample_twice\""},
    {"small_downsample_odd", {SET, "config", "{\"dim\": "}, "config: is not valid JSON"},
    {"small_downsample_odd", {SET, "config", "[8]"}, "config: must be a JSON object"},
    {"small_downsample_odd", {SET, "config", NULL}, "dim is missing"},
    {"small_downsample_odd", {SET, "tolerance", "very near"}, "tolerance"},
    {"small_downsample_odd", {SET, "tolerance", "-1"}, "tolerance"},
    {"small_downsample_odd", {SET, "tolerance", "1e-12"}, "out: "},
    {"small_downsample_odd", {SET, "weights", "missing.safetensors"}, "missing.safetensors is not beside the case"},
    {"small_downsample_odd", {SET, "weights", "../w_D.safetensors"}, "is not the name of a file beside the case"},
    {"small_downsample_odd", {SET, "weights", "/etc/passwd"}, "is not the name of a file beside the case"},
    {"small_downsample_odd", {SET, "weights", ""}, "is not the name of a file"},
    {"small_downsample_odd", {SET, "weights", "README.md"}, "README.md: "},
    // parameters
    {"small_downsample_odd", {DROP, "param/op.weight", NULL}, "op.weight is missing, expected [8, 8, 3, 3]"},
    {"small_downsample_odd", {SHAPE, "param/op.weight", "8,8,9"}, "op.weight is [8, 8, 9], expected [8, 8, 3, 3]"},
    {"small_downsample_odd", {SHAPE, "param/op.bias", "4"}, "op.bias is [4], expected [8]"},
    {"small_downsample_odd", {POISON, "param/op.weight", NULL}, "holds a NaN"},
    {"unet_D_text", {SET, "weights", "w_C.safetensors"}, "missing or misshapen"},
    // inputs and outputs
    {"small_downsample_odd", {DROP, "input/x", NULL}, "input/x is missing"},
    {"small_downsample_odd", {POISON, "input/x", NULL}, "input/x holds a NaN or an infinity"},
    {"small_downsample_odd", {SHAPE, "input/x", "3,8,5,7"}, "input/x is [3, 8, 5, 7], expected [*, 8, *, *, *]"},
    {"small_downsample_odd", {SHAPE, "input/x", "3,4,5,7,5"}, "expected [*, 8, *, *, *]"},
    {"small_downsample_odd", {SHAPE, "input/x", "0,8,5,7,5"}, "input/x is [0, 8, 5, 7, 5]"},
    {"small_downsample_odd", {SHAPE, "input/x", "2,8,5,7,5"}, "out: "},
    {"small_downsample_odd", {DROP, "output/out", NULL}, "the case has no outputs"},
    {"small_downsample_odd", {RENAME, "output/out", "output/other"}, "the network has no output of this name"},
    {"small_downsample_odd", {SHAPE, "output/out", "3,8,5,12"}, "out: "},
    {"small_downsample_odd", {POISON, "output/out", NULL}, "out: "},
    // blocks
    {"small_downsample_odd", {REPLACE, "\"dim\": 8", "\"dim\": -8"}, "dim is -8"},
    {"small_downsample_odd", {REPLACE, "\"dim\": 8", "\"dim\": 1e99"}, "dim is 1e+99"},
    {"small_downsample_odd", {REPLACE, "\"dim\": 8", "\"dim\": \"8\""}, "dim is \"8\""},
    {"small_group_norm_video", {REPLACE, "\"groups\": 4", "\"groups\": 5"}, "groups is 5, and must divide dim, 16"},
    {"small_group_norm_video", {REPLACE, "\"groups\": 4", "\"groups\": 0"}, "groups is 0"},
    {"small_group_norm_video", {REPLACE, "\"eps\": 1e-05", "\"eps\": -1"}, "eps is -1"},
    {"small_group_norm_video", {REPLACE, "\"over_frames\": true", "\"over_frames\": 1"}, "true or false"},
    {"small_group_norm_video", {REPLACE, "\"over_frames\": true", "\"over_frames\": false"}, "out: "},
    {"small_resblock_16_24", {SHAPE, "input/emb", "2,32"}, "input/emb is [2, 32], expected [3, 32]"},
    {"small_resblock_16_24", {DROP, "input/emb", NULL}, "input/emb is missing"},
    {"small_resblock_16_24", {REPLACE, "\"out_dim\": 24", "\"out_dim\": 22"}, "must divide out_dim, 22"},
    {"small_spatial_transformer_small", {SHAPE, "input/context", "1,9,10"}, "expected [3, *, 10]"},
    {"small_spatial_transformer_small", {REPLACE, "\"heads\": 1", "\"heads\": 16384"}, "more than 16384 channels"},
    {"small_time_embed", {REPLACE, "\"dim\": 8", "\"dim\": 7"}, "must be even"},
    {"small_time_embed", {SHAPE, "input/t", "6,1"}, "input/t is [6, 1], expected [*]"},
    {"stc_motion", {REPLACE, "\"condition\": \"motion\"", "\"condition\": \"smell\""}, "no such encoder"},
    {"stc_motion", {REPLACE, "\"condition\": \"motion\"", "\"condition\": \"mask\""}, "expected [*, 4, *, *, *]"},
    {"stc_motion", {REPLACE, "[16, 24]", "[16, 99999]"}, "stc_size is 99999"},
    {"stc_motion", {REPLACE, "[16, 24]", "[16]"}, "a list of 2 numbers"},
    // networks
    {"unet_D_text", {SHAPE, "input/t", "1,1"}, "input/t is [1, 1], expected [1]"},
    {"unet_D_b2", {SHAPE, "input/image", "2,3,4"}, "expected [2, *, 16]"},
    {"unet_D_b2", {SHAPE, "input/x", "2,4,2,8,8"}, "stc_size 64 x 64 must be 4 times that"},
    {"unet_D_b2", {SHAPE, "input/x", "1,4,2,16,16"}, "input/t is [2], expected [1]"},
    {"unet_D_b2", {SHAPE, "input/depth", "2,1,1,8,8"}, "out: "},
    {"unet_D_b2", {SHAPE, "input/depth", "2,2,1,8,8"}, "expected [*, 1, *, *, *]"},
    {"unet_D_b2", {RENAME, "input/depth", "input/canny"}, "out: "},
    {"unet_C_b2", {RENAME, "input/depth", "input/sketch"}, "the model has no encoder for it"},
    {"unet_D_text", {DROP, "input/y", NULL}, "input/y is missing"},
    {"unet_D_text", {REPLACE, "\"groups\": 5", "\"groups\": 3"}, "groups is 3, and must divide 10"},
    {"unet_D_text", {REPLACE, "\"dim_mult\": [1, 2, 2]", "\"dim_mult\": []"}, "dim_mult is empty"},
    {"unet_two_text", {REPLACE, "[48, 40]", "[44, 40]"}, "stc_size 44 x 40 must be 4 times that"},
    {"vae0_encoder", {SHAPE, "input/image", "3,3,1,6"}, "its sides must be at least 2"},
    {"vae0_encoder", {SHAPE, "input/noise", "3,4,5,2"}, "input/noise is [3, 4, 5, 2], expected [3, 4, 5, 3]"},
    {"vae_posterior", {SHAPE, "input/moments", "2,7,4,6"}, "must have an even number"},
    {"clip_tiny_text", {REPLACE, "\"vocab\": 50", "\"vocab\": 20"}, "ids must be below vocab 20"},
    {"clip_tiny_text", {SHAPE, "input/tokens", "3,8"}, "expected [*, 9]"},
    {"clip_tiny_image", {REPLACE, "\"heads\": 3", "\"heads\": 4"}, "must divide width 15"},
    // samplers
    {"sampler_C_eta", {REPLACE, "\"steps\": 4", "\"steps\": 0"}, "steps is 0"},
    {"sampler_C_eta", {REPLACE, "\"steps\": 4", "\"steps\": 1001"}, "steps is 1001"},
    {"sampler_C_eta", {REPLACE, "\"eta\": 1.0", "\"eta\": 1.5"}, "eta is 1.5"},
    {"sampler_C_eta", {DROP, "input/noise.2", NULL}, "input/noise.4 is missing"},
    {"sampler_C_eta", {DROP, "input/zero_y", NULL}, "input/zero_y is missing"},
    {"sampler_C_eta", {SHAPE, "input/zero_y", "1,4,8"}, "input/zero_y is [1, 4, 8], expected [1, 5, 8]"},
    {"sampler_C_eta", {REPLACE, "\"unet\"", "\"net\""}, "unet is missing"},
    {"sampler_C_eta", {REPLACE, "\"guidance\": 3.0", "\"guidance\": \"3\""}, "guidance is \"3\""},
    {"sampler_C_dpm2", {REPLACE, "\"logSNR\"", "\"linear\""}, "spacing is \"linear\""},
    {"ddim_step_eta0.7", {REPLACE, "\"stride\": 20", "\"stride\": 0"}, "stride is 0"},
    {"ddim_step_eta0.7", {DROP, "input/eps", NULL}, "input/eps is missing"},
    {"schedule", {REPLACE, "[6, 20]", "[6, 2000]"}, "dpmpp_steps is 2000"},
    {"schedule", {REPLACE, "[6, 20]", "[6]"}, "dpmpp_t.time_uniform.20: "},
    // pictures and films
    {"resize_box", {SHAPE, "input/image0", "37,53"}, "input/image0 is [37, 53], expected [*, *, 3]"},
    {"resize_box", {SHAPE, "output/image3", "5,3,4"}, "image3: "},
    {"resize_box", {RENAME, "output/image3", "output/image9"}, "the network has no output of this name"},
    {"center_crop", {REPLACE, "\"image4\": 24", "\"image4\": 0"}, "sizes has no size of 1 to 16384 for image4"},
    {"center_crop", {REPLACE, "\"image4\"", "\"image7\""}, "sizes has no size"},
    {"center_crop", {REPLACE, "\"image4\": 24", "\"image4\": 25"}, "v2_4: shape [25, 25, 3]"},
    {"prep_image_png", {REPLACE, "tiny.png", "none.png"}, "none.png is not beside the case, nor in a folder of --data"},
    {"prep_image_png", {REPLACE, "tiny.png", "../tiny.png"}, "is not the name of a file"},
    {"prep_image_png", {REPLACE, "\"file\"", "\"fill\""}, "config names no file"},
    {"prep_image_png", {REPLACE, "tiny.png", "tiny.mp4"}, "tiny.mp4"},
    {"prep_image_jpg", {SHAPE, "input/image", "69,45,3"}, "the file has 45 x 70 pixels and input/image 45 x 69"},
    {"prep_decode", {REPLACE, "tiny.mp4", "tiny.m4v"}, "shape"},
    {"prep_decode", {REPLACE, "tiny.mp4", "tiny.png"}, "tiny.png"},
    {"prep_decode", {REPLACE, "\"whole_frame\": 5", "\"whole_frame\": -5"}, "whole_frame is -5"},
    {"prep_decode", {REPLACE, "\"whole_frame\": 5", "\"whole_frame\": 6"}, "y: "},
    {"prep_decode", {REPLACE, "\"whole_frame\": 5", "\"whole_frame\": 600"}, "the network has no output of this name"},
    {"prep_frames", {REPLACE, "\"first\": 1", "\"first\": 1000"}, "has 20 frames, and frame 1008 is wanted"},
    {"prep_frames", {REPLACE, "\"first\": 1", "\"first\": 2"}, "video: "},
    {"prep_frames", {SHAPE, "output/style", "20,60"}, "output/style is no square picture"},
    {"prep_frames", {DROP, "input/frame", NULL}, "input/frame is missing"},
    {"prep_vectors_m4v", {REPLACE, "tiny.m4v", "tiny.mp4"}, "shape"},
    {"prep_vectors_mp4", {SHAPE, "output/types", "8"}, "shape"},
    {"prep_motion_0", {SHAPE, "input/vectors", "400"}, "input/vectors must be there as I16 [rows, 10]"},
    {"prep_motion_0", {SHAPE, "input/vectors", "39,10"}, "input/offsets must begin and end within the vectors"},
    {"prep_motion_0", {SHAPE, "input/offsets", "1"}, "input/offsets must begin and end"},
    {"prep_motion_0", {REPLACE, "\"height\": 20", "\"height\": 0"}, "height is 0"},
    {"prep_motion_0", {REPLACE, "\"size\": 16", "\"size\": 17"}, "motion: "},
    {"prep_motion_0", {REPLACE, "\"height\": 20, ", ""}, "height is missing"},
    {"prep_rates", {REPLACE, "\"1/12288\"", "\"1/0\""}, "time_base is \"1/0\""},
    {"prep_rates", {REPLACE, "\"1/12288\"", "\"fast\""}, "time_base is \"fast\""},
    {"prep_rates", {REPLACE, "\"1/12288\"", "\"1/12289\""}, "fps_"},
    {"prep_rates", {RENAME, "output/fps_3", "output/fps_0"}, "frames at 0/1 a second cannot be picked"},
    {"prep_mask_strokes", {SHAPE, "input/lines", "4"}, "expected [*, 5]"},
    {"prep_mask_strokes", {REPLACE, "\"width\": 128", "\"width\": 127"}, "mask"},
    {"prep_mask_rectangles", {DROP, "input/boxes", NULL}, "input/boxes is missing"},
    {"prep_mask_uncrop", {REPLACE, "\"size\": 18", "\"size\": 99999"}, "size is 99999"},
    {"prep_masked", {SHAPE, "input/mask", "12,11"}, "input/mask is [12, 11], expected [12, 12]"},
    {"prep_strokes", {REPLACE, "\"size\": 32", "\"size\": 31"}, "input/shape is [32, 32], expected [31, 31]"},
    {"prep_strokes", {SHAPE, "input/path", "1,2"}, "a path of 1 points"},
    {"prep_end_point", {SHAPE, "input/reference", "2,2,5,7"}, "input/reference is [2, 2, 5, 7]"},
    {"prep_end_point", {SHAPE, "input/flow", "4,7,5"}, "is no flow field"},
    {"prep_end_point", {POISON, "input/flow", NULL}, "input/flow holds a NaN"},
    {"prep_farneback", {REPLACE, "\"pyr_scale\": 0.5", "\"pyr_scale\": 1"}, "pyr_scale is 1"},
    {"prep_farneback", {REPLACE, "\"flags\": 0", "\"flags\": 256"}, "flags is 256"},
    {"prep_farneback", {REPLACE, "\"winsize\": 15", "\"winsize\": 9"}, "value: relative L2 error"},
    {"prep_farneback", {SHAPE, "input/frames", "1,48,64,3"}, "must be U8 of two pictures"},
    {"prep_farneback", {SHAPE, "input/reference", "2,48,63,3"}, "have different shapes"},
    {"prep_consistency", {SHAPE, "input/features", "1,16"}, "two frames"},
};

Test(cases, bad_ones_fail_in_one_line, .init = set_up, .fini = tear_down) {
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    char line[2048];
    run_changed(bad[i].source, &bad[i].change, line, sizeof line);
    cr_expect(*line && strstr(line, bad[i].words), "case %zu (%s, %s): \"%s\" does not say \"%s\"", i, bad[i].source,
              bad[i].change.name, line, bad[i].words);
  }
}

Test(cases, unchanged_copies_pass, .init = set_up, .fini = tear_down) {
  static const char *const sources[] = {"small_downsample_odd", "unet_C_text", "clip_tiny_text", "sampler_C_one_step"};
  for (size_t i = 0; i < sizeof sources / sizeof *sources; i++) {
    char line[2048];
    run_changed(sources[i], &(change){.kind = SAME}, line, sizeof line);
    cr_expect_str_empty(line, "%s: %s", sources[i], line);
  }
}

Test(cases, no_file_is_an_error, .init = set_up, .fini = tear_down) {
  static const char *const paths[] = {"tests/data/golden/none.safetensors", "tests/data/golden", "tests/test_case.c",
                                      ""};
  for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
    vc_case_options o = options();
    vc_case_report report;
    vc_error error = {""};
    cr_expect_neq(vc_case_run(paths[i], &o, &report, &error), VC_OK, "%s", paths[i]);
    cr_expect(*error.message);
    vc_case_report_free(&report);
  }
}

// A rule of the case, the default, and a tolerance from outside, on outputs that are off by about 1e-7.
Test(cases, tolerances, .init = set_up, .fini = tear_down) {
  static const struct {
    const char *rule;
    double tolerance;
    int failed;
  } table[] = {
      {NULL, -1, 0},
      {"1e-9", -1, 1},
      {"1e-9", 1e-3, 0},
      {NULL, 1e-9, 1},
      {"equal", 1, 1},
      {"{\"out\": \"max_abs 1e-3\", \"*\": 1e-9}", -1, 0},
      {"{\"other\": 1, \"*\": 1e-9}", -1, 1},
      {"ignore", -1, 0},
  };
  for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
    vc_case_options o = options();
    vc_case_report report;
    vc_error error = {""};
    o.tolerance = table[i].tolerance;
    const char *path = write_changed("small_resblock_16_24", &(change){SET, "tolerance", table[i].rule});
    cr_expect_eq(vc_case_run(path, &o, &report, &error), VC_OK, "%s", error.message);
    cr_expect_eq(report.failed, table[i].failed, "row %zu", i);
    vc_case_report_free(&report);
  }
}

static bool stop_at_once(void *opaque) {
  ++*(int *)opaque;
  return true;
}

Test(cases, can_be_interrupted, .init = set_up, .fini = tear_down) {
  vc_case_options o = options();
  vc_case_report report;
  int polled = 0;
  o.cancelled = stop_at_once;
  o.opaque = &polled;
  cr_expect_eq(vc_case_run(GOLDEN "unet_C_text.safetensors", &o, &report, NULL), VC_INTERRUPTED);
  cr_expect_eq(polled, 1);
  vc_case_report_free(&report);
}

// ---- the subcommand

static int run_command(int argc, const char **argv, char *out, size_t size) {
  char *copy[16];
  for (int i = 0; i < argc; i++) copy[i] = (char *)argv[i];
  copy[argc] = NULL;
  cr_redirect_stdout();
  cr_redirect_stderr();
  int exit_status = vc_command_verify(argc, copy);
  fflush(stdout);
  out[fread(out, 1, size - 1, cr_get_redirected_stdout())] = 0;
  return exit_status;
}

static bool ends_with(const char *text, const char *end) {
  size_t length = strlen(text), tail = strlen(end);
  return length >= tail && !strcmp(text + length - tail, end);
}

static char printed[65536];

Test(verify, passing_cases) {
  const char *argv[] = {"verify", "--threads", "2", GOLDEN "time_embed.safetensors", GOLDEN "unet_D_still.safetensors"};
  cr_expect_eq(run_command(5, argv, printed, sizeof printed), VC_EXIT_DONE);
  cr_expect(ends_with(printed, "\n2 passed, 0 failed\n"), "%s", printed);
  cr_expect(strstr(printed, "sinusoid [6, 32]"));
  cr_expect(!strstr(printed, "trace/"));
}

Test(verify, failing_cases) {
  const char *argv[] = {"verify", GOLDEN "none.safetensors", GOLDEN "w_D.safetensors",
                        GOLDEN "vae_posterior.safetensors"};
  cr_expect_eq(run_command(4, argv, printed, sizeof printed), VC_EXIT_FAILED);
  cr_expect(ends_with(printed, "\n1 passed, 2 failed\n"), "%s", printed);
}

Test(verify, a_tolerance_decides) {
  const char *argv[] = {"verify", "--tolerance", "1e-12", GOLDEN "time_embed.safetensors"};
  cr_expect_eq(run_command(4, argv, printed, sizeof printed), VC_EXIT_FAILED);
  cr_expect(ends_with(printed, "\n0 passed, 1 failed\n"), "%s", printed);
  cr_expect(strstr(printed, "FAIL  out"));
}

Test(verify, trace_and_json) {
  const char *argv[] = {"verify", "--trace", "--json", GOLDEN "unet_D_still_only.safetensors"};
  cr_expect_eq(run_command(4, argv, printed, sizeof printed), VC_EXIT_DONE);
  cJSON *json = cJSON_Parse(printed);
  cr_assert(json, "%s", printed);
  const cJSON *first = cJSON_GetArrayItem(cJSON_GetObjectItem(json, "cases"), 0);
  cr_expect_eq(cJSON_GetObjectItem(json, "passed")->valueint, 1);
  cr_expect_eq(cJSON_GetArraySize(cJSON_GetObjectItem(first, "outputs")), 1);
  cr_expect_gt(cJSON_GetArraySize(cJSON_GetObjectItem(first, "trace")), 3);
  cJSON_Delete(json);
}

Test(verify, wrong_usage) {
  const char *none[] = {"verify"}, *option[] = {"verify", "--tolerance", "-1", "x"};
  cr_expect_eq(run_command(1, none, printed, sizeof printed), VC_EXIT_USAGE);
  cr_expect_eq(run_command(4, option, printed, sizeof printed), VC_EXIT_USAGE);
}

Test(verify, a_backend_that_is_not_there_is_not_replaced) {
  const char *argv[] = {"verify", "--backend", "cpu", "--dtype", "f16", GOLDEN "time_embed.safetensors"};
  cr_expect_eq(run_command(6, argv, printed, sizeof printed), VC_EXIT_FAILED);
  cr_expect_str_empty(printed);
}
