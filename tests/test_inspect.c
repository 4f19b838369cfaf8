// `inspect` of weights: what a file is, which network, whether it can be run, and every tensor that is wrong.
#include <cjson/cJSON.h>
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "bench/random_model.h"
#include "loaders/checkpoint_write.h"
#include "tests/program.h"

static vc_model_config config;

// A folder of each layout, of one small architecture.
static void enter(void) {
  vc_error error;
  program_enter();
  config = vc_model_config_released();
  config.unet.dim = 32;
  config.unet.levels = 2;
  config.unet.num_res_blocks = 1;
  config.unet.head_dim = 4;
  config.unet.attn_scale_count = 1;
  config.unet.context_dim = 64;
  config.vae = (vc_vae_config){32, 4, {1, 1, 1, 1}, 1, 3, 3, 4, 4, 32, 0.18215};
  config.clip = (vc_clip_config){64, {64, 1, 2, 128, 9, 0, 0}, {64, 1, 2, 0, 0, 8, 32}, "penultimate", 0};
  config.sketch_simplification.divide = 8;
  vc_random_model o = {.config = &config, .dtype = VC_F16};
  for (int n = 0; n < VC_NETWORK_COUNT; n++) o.network[n] = n != VC_NETWORK_MIDAS;
  for (int i = 0; i < 2; i++) {
    o.released = i;
    cr_assert(!mkdir(i ? "released" : "own", 0777));
    cr_assert_eq(vc_random_model_write(i ? "released" : "own", &o, &error), VC_OK, "%s", error.message);
  }
}

static cJSON *inspect_json(const char *arguments, int exit_status) {
  const program_result *r = program_runf("inspect --json %s", arguments);
  cr_assert_eq(r->exit_status, exit_status, "%s: %s", arguments, r->err);
  cJSON *json = cJSON_Parse(r->out);
  cr_assert(json, "%s: %.200s", arguments, r->out);
  return json;
}

static const char *text_of(const cJSON *object, const char *name) {
  const cJSON *item = cJSON_GetObjectItem(object, name);
  return cJSON_IsString(item) ? item->valuestring : "?";
}

static int size_of(const cJSON *object, const char *name) {
  return cJSON_GetArraySize(cJSON_GetObjectItem(object, name));
}

static const struct {
  const char *path, *network, *prefix, *container;
} files[] = {
    {"own/unet.safetensors", "unet", "", "safetensors"},
    {"own/vae.safetensors", "vae", "", "safetensors"},
    {"own/clip.safetensors", "clip", "", "safetensors"},
    {"own/pidinet.safetensors", "pidinet", "", "safetensors"},
    {"released/non_ema_228000.pth", "unet", "", "PyTorch checkpoint (zip)"},
    {"released/v2-1_512-ema-pruned.ckpt", "vae", "first_stage_model.", "PyTorch checkpoint (zip)"},
    {"released/open_clip_pytorch_model.bin", "clip", "", "PyTorch checkpoint (zip)"},
    {"released/table5_pidinet.pth", "pidinet", "module.", "PyTorch checkpoint (zip)"},
    {"released/sketch_simplification_gan.pth", "sketch_simplification", "", "PyTorch checkpoint (zip)"},
};

Test(inspect, files_are_recognised_and_can_be_run, .init = enter, .fini = program_leave) {
  for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
    cJSON *json = inspect_json(files[i].path, 0);
    const cJSON *network = cJSON_GetArrayItem(cJSON_GetObjectItem(json, "networks"), 0);
    cr_expect_eq(size_of(json, "networks"), 1, "%s", files[i].path);
    cr_expect_str_eq(text_of(json, "container"), files[i].container);
    cr_expect(cJSON_GetObjectItem(cJSON_GetObjectItem(json, "dtypes"), "F16")->valueint == size_of(json, "tensors"));
    cr_expect_str_eq(text_of(network, "network"), files[i].network);
    cr_expect_str_eq(text_of(network, "prefix"), files[i].prefix);
    cr_expect(cJSON_IsTrue(cJSON_GetObjectItem(network, "runnable")), "%s", files[i].path);
    cr_expect_eq(size_of(network, "problems"), 0, "%s", files[i].path);
    cJSON_Delete(json);
    const program_result *r = program_runf("inspect %s", files[i].path);
    cr_expect(strstr(r->out, "this engine can run it: 0 missing or misshapen"), "%s: %s", files[i].path, r->out);
  }
}

Test(inspect, architectures_are_told, .init = enter, .fini = program_leave) {
  cJSON *json = inspect_json("own/unet.safetensors", 0);
  const cJSON *network = cJSON_GetArrayItem(cJSON_GetObjectItem(json, "networks"), 0);
  const cJSON *c = cJSON_GetObjectItem(network, "config");
  cr_expect_eq(cJSON_GetObjectItem(c, "dim")->valueint, 32);
  cr_expect_eq(size_of(c, "dim_mult"), 2);
  cr_expect_eq(size_of(c, "conditions"), 8);
  cr_expect_eq(cJSON_GetObjectItem(c, "context_dim")->valueint, 64);
  cJSON_Delete(json);
}

Test(inspect, folders_are_checked_and_the_missing_named, .init = enter, .fini = program_leave) {
  static const char *const folders[] = {"own", "released"};
  for (int i = 0; i < 2; i++) {
    cJSON *json = inspect_json(folders[i], 0);
    cr_expect_eq(strlen(text_of(json, "hash")), 16);
    cr_expect(cJSON_IsNull(cJSON_GetObjectItem(json, "midas")));
    cr_expect_eq(size_of(cJSON_GetObjectItem(json, "unet"), "problems"), 0);
    cJSON_Delete(json);
  }
  cr_assert(!remove("own/vae.safetensors"));
  program_expect("inspect own", 1, "own: 1 problem is listed");
}

typedef struct change {
  const char *name;      // tensor to change
  const char *new_name;  // NULL: taken away
  int64_t dim0;          // 0: as it was
  const char *problem, *detail;
} change;

static const change changes[] = {
    {"out.0.bias", NULL, 0, "missing", "expected [32]"},
    {"out.2.weight", "out.2.weight", 5, "shape", "is [5, 32, 3, 3], expected [4, 32, 3, 3]"},
    {"time_embed.2.bias", "time_embed.2.bia", 0, "missing", "expected [128]"},
};
enum { CHANGES = sizeof changes / sizeof *changes };

static vc_status provide_zeros(void *opaque, int index, const void **data, vc_error *error) {
  (void)index, (void)error;
  *data = opaque;
  return VC_OK;
}

Test(inspect, all_that_is_wrong_is_listed_at_once, .init = enter, .fini = program_leave) {
  vc_tensor_file file;
  vc_error error;
  cr_assert_eq(vc_tensor_file_open(&file, "own/unet.safetensors", &error), VC_OK, "%s", error.message);
  vc_named_tensor *list = calloc((size_t)file.count, sizeof *list);
  void *zeros = calloc(1 << 22, 1);
  int count = 0;
  for (int i = 0; i < file.count; i++) {
    list[count] = file.tensor[i];
    bool kept = true;
    for (int c = 0; c < CHANGES; c++) {
      if (strcmp(changes[c].name, file.tensor[i].name) != 0) continue;
      kept = changes[c].new_name;
      list[count].name = (char *)(uintptr_t)changes[c].new_name;
      if (changes[c].dim0) list[count].tensor.dim[0] = changes[c].dim0;
    }
    count += kept;
  }
  cr_assert_eq(vc_checkpoint_write_streaming("changed.pth", NULL, list, count, provide_zeros, zeros, &error), VC_OK,
               "%s", error.message);
  cJSON *json = inspect_json("changed.pth", 0);
  const cJSON *network = cJSON_GetArrayItem(cJSON_GetObjectItem(json, "networks"), 0);
  const cJSON *problems = cJSON_GetObjectItem(network, "problems"), *item;
  // The output's width is read off the very tensor that was changed, so that one is no problem by itself.
  cr_expect_eq(cJSON_GetArraySize(problems), 3, "%d", cJSON_GetArraySize(problems));
  cr_expect(cJSON_IsFalse(cJSON_GetObjectItem(network, "runnable")));
  bool found[2] = {false, false}, bias = false;
  cJSON_ArrayForEach(item, problems) {
    if (!strcmp(text_of(item, "tensor"), "out.0.bias")) found[0] = !strcmp(text_of(item, "detail"), changes[0].detail);
    if (!strcmp(text_of(item, "tensor"), "time_embed.2.bias")) found[1] = !strcmp(text_of(item, "problem"), "missing");
    if (!strcmp(text_of(item, "tensor"), "out.2.bias")) bias = !strcmp(text_of(item, "problem"), "shape");
  }
  cr_expect(found[0] && found[1] && bias);
  cr_expect_eq(size_of(network, "unused"), 1);
  cJSON_Delete(json);
  free(list);
  free(zeros);
  vc_tensor_file_close(&file);
}

Test(inspect, statistics_count_what_is_not_finite, .init = program_enter, .fini = program_leave) {
  float data[6] = {1, -2, NAN, INFINITY, -INFINITY, 4};
  vc_named_tensor list[] = {{(char *)(uintptr_t) "w", {.dtype = VC_F32, .rank = 1, .dim = {6}, .data = data}}};
  vc_error error;
  cr_assert_eq(vc_safetensors_write("in.safetensors", list, 1, NULL, 0, &error), VC_OK, "%s", error.message);
  cJSON *json = inspect_json("--stats in.safetensors", 0);
  const cJSON *t = cJSON_GetArrayItem(cJSON_GetObjectItem(json, "tensors"), 0);
  cr_expect_eq(cJSON_GetObjectItem(t, "min")->valuedouble, -2);
  cr_expect_eq(cJSON_GetObjectItem(t, "max")->valuedouble, 4);
  cr_expect_eq(cJSON_GetObjectItem(t, "mean")->valuedouble, 1);
  cr_expect_eq(cJSON_GetObjectItem(t, "nan")->valueint, 1);
  cr_expect_eq(cJSON_GetObjectItem(t, "infinite")->valueint, 2);
  cr_expect_eq(size_of(json, "networks"), 0);
  cJSON_Delete(json);
  const program_result *r = program_run("inspect --stats in.safetensors");
  cr_expect(
      strstr(r->out, "min -2 max 4 mean 1 NaN 1 infinite 2") && strstr(r->out, "no network that this engine knows"),
      "%s", r->out);
}

Test(inspect, other_programs_networks_are_named, .init = program_enter, .fini = program_leave) {
  float data[1] = {0};
  vc_named_tensor list[] = {
      {(char *)(uintptr_t) "pretrained.model.patch_embed.proj.weight", {.rank = 1, .dim = {1}, .data = data}}};
  vc_error error;
  cr_assert_eq(vc_safetensors_write("in.safetensors", list, 1, NULL, 0, &error), VC_OK, "%s", error.message);
  const program_result *r = program_run("inspect in.safetensors");
  cr_expect(strstr(r->out, "own release's key names, prefix \"\": this engine cannot run it"), "%s", r->out);
  cJSON *json = inspect_json("in.safetensors", 0);
  const cJSON *network = cJSON_GetArrayItem(cJSON_GetObjectItem(json, "networks"), 0);
  cr_expect(cJSON_IsNull(cJSON_GetObjectItem(network, "network")) &&
            cJSON_IsFalse(cJSON_GetObjectItem(network, "runnable")));
  cJSON_Delete(json);
}
