// `bench load` and the making of random models, as a user runs them.
#include <cjson/cJSON.h>
#include <criterion/criterion.h>
#include <string.h>
#include <sys/stat.h>

#include "bench/random_model.h"
#include "tests/program.h"

static void enter(void) {
  program_enter();
  vc_model_config config = vc_model_config_released();
  vc_error error;
  config.vae = (vc_vae_config){32, 4, {1, 1, 1, 1}, 1, 3, 3, 4, 4, 32, 0.18215};
  vc_random_model o = {.config = &config, .dtype = VC_F32, .released = true, .network = {[VC_NETWORK_VAE] = true}};
  cr_assert(!mkdir("model", 0777));
  cr_assert_eq(vc_random_model_write("model", &o, &error), VC_OK, "%s", error.message);
}

Test(bench_load, times_are_told_with_what_they_are_measured_by, .init = enter, .fini = program_leave) {
  const program_result *r = program_run("bench load --model model --runs 2 --threads 1 --json");
  if (r->exit_status) {
    // Folders that live in memory cannot be dropped from it.
    cr_expect(strstr(r->err, "the system keeps it in memory"), "%s", r->err);
    cr_skip_test("the temporary folder is not on a disk");
  }
  cJSON *json = cJSON_Parse(r->out);
  const cJSON *item = cJSON_GetArrayItem(json, 0);
  static const char *const positive[] = {
      "file_bytes",   "weight_bytes", "disk_bytes_per_second",      "copy_bytes_per_second",
      "cold_seconds", "warm_seconds", "fresh_copy_bytes_per_second"};
  cr_assert(item, "%s", r->out);
  cr_expect_str_eq(cJSON_GetObjectItem(item, "network")->valuestring, "vae");
  for (size_t i = 0; i < sizeof positive / sizeof *positive; i++) {
    const cJSON *number = cJSON_GetObjectItem(item, positive[i]);
    cr_expect(cJSON_IsNumber(number) && number->valuedouble > 0, "%s", positive[i]);
  }
  static const char *const shares[] = {"cold_share", "warm_share"};
  for (int i = 0; i < 2; i++) {
    const cJSON *share = cJSON_GetObjectItem(item, shares[i]);
    double least = cJSON_GetNumberValue(cJSON_GetObjectItem(share, "least")),
           median = cJSON_GetNumberValue(cJSON_GetObjectItem(share, "median")),
           most = cJSON_GetNumberValue(cJSON_GetObjectItem(share, "most"));
    cr_expect(0 < least && least <= median && median <= most, "%s: %g, %g, %g", shares[i], least, median, most);
    cr_expect_eq(cJSON_GetNumberValue(cJSON_GetObjectItem(share, "runs")), 2);
  }
  cJSON_Delete(json);
}

Test(bench_load, wrong_usage_is_refused, .init = enter, .fini = program_leave) {
  program_expect("bench load", 2, "--model DIR");
  program_expect("bench load --model model --networks unet", 1, "non_ema_228000.pth");
  program_expect("bench load --model nowhere", 1, "nowhere");
  program_expect("bench random-model", 2, "-o DIR");
  program_expect("bench random-model -o made --layout other", 2, "--layout");
}

// Both layouts of a network hold the same values under the names of the released file and of this engine's.
Test(random_model, the_smallest_network_is_written_in_both_layouts, .init = program_enter, .fini = program_leave) {
  static const char *const layouts[] = {"own", "released"};
  for (int i = 0; i < 2; i++) {
    const program_result *r =
        program_runf("bench random-model -o %s --networks pidinet --layout %s", layouts[i], layouts[i]);
    cr_assert_eq(r->exit_status, 0, "%s", r->err);
  }
  vc_tensor_file own, released;
  vc_error error;
  cr_assert_eq(vc_tensor_file_open(&own, "own/pidinet.safetensors", &error), VC_OK, "%s", error.message);
  cr_assert_eq(vc_tensor_file_open(&released, "released/table5_pidinet.pth", &error), VC_OK, "%s", error.message);
  cr_expect(own.count == 83 && released.count == 83);
  const vc_tensor *a = vc_tensor_file_find(&own, "classifier.weight"),
                  *b = vc_tensor_file_find(&released, "module.classifier.weight");
  cr_assert(a && b);
  cr_expect(vc_tensor_bytes(a) == vc_tensor_bytes(b) && !memcmp(a->data, b->data, vc_tensor_bytes(a)));
  cr_expect_eq(vc_tensor_file_find(&own, "block1_2.conv1.weight")->dim[2], 5);
  cr_expect_eq(vc_tensor_file_find(&released, "module.block1_2.conv1.weight")->dim[2], 3);
  vc_tensor_file_close(&own);
  vc_tensor_file_close(&released);
}
