// The files inside the program.
#include <cjson/cJSON.h>
#include <criterion/criterion.h>
#include <stdint.h>
#include <string.h>

#include "cli/assets.h"
#include "loaders/safetensors.h"

Test(assets, weights_are_whole_files) {
  static const char *const names[] = {"mini/unet.safetensors", "mini/vae.safetensors", "mini/clip.safetensors",
                                      "mini/midas.safetensors", "mini/pidinet.safetensors"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    const vc_asset *asset = vc_asset_find(names[i]);
    cr_assert(asset, "%s", names[i]);
    cr_expect_eq((uintptr_t)asset->data % 64, 0, "%s", names[i]);
    vc_tensor_file file;
    vc_error error;
    cr_assert_eq(vc_safetensors_open_memory(&file, asset->name, asset->data, asset->size, &error), VC_OK, "%s",
                 error.message);
    cr_expect_gt(file.count, 10, "%s", names[i]);
    vc_tensor_file_close(&file);
  }
}

Test(assets, texts_are_whole_files) {
  const vc_asset *config = vc_asset_find("mini/model.json");
  cr_assert(config);
  cJSON *json = cJSON_ParseWithLength(config->data, config->size);
  cr_expect(cJSON_GetObjectItem(json, "unet"));
  cJSON_Delete(json);

  const vc_asset *vocabulary = vc_asset_find("bpe_simple_vocab_16e6.txt.gz");
  cr_assert(vocabulary);
  cr_expect_eq(vocabulary->size, 1356917);
  cr_expect_arr_eq(vocabulary->data, "\x1f\x8b", 2);
  cr_expect(vc_asset_find("mini/pidinet.LICENSE"));
}

Test(assets, other_names_are_not_found) {
  cr_expect_null(vc_asset_find(""));
  cr_expect_null(vc_asset_find("unet.safetensors"));
  cr_expect_null(vc_asset_find("mini/unet.safetensors "));
}
