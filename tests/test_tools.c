// inspect, plan, strip, and verify on folders of cases, as a user runs them.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "loaders/image.h"
#include "tests/program.h"

static char root[4096];

static void enter(void) {
  cr_assert(getcwd(root, sizeof root));
  program_enter();
}

TestSuite(tools, .init = enter, .fini = program_leave);

Test(tools, inspect_says_that_the_embedded_model_is_complete) {
  const program_result *r = program_run("inspect");
  cr_assert_eq(r->exit_status, 0, "%s", r->err);
  cr_expect(strstr(r->out, "model mini, hash "));
  cr_expect_null(strstr(r->out, "cannot be used"));
  cr_expect(strstr(r->out, "complete, this engine can run it"));
  r = program_run("inspect --json");
  cr_expect(strstr(r->out, "\"problems\":\t[]"), "%s", r->out);
}

Test(tools, inspect_lists_all_that_a_folder_lacks) {
  char command[9000];
  snprintf(command, sizeof command,
           "mkdir m && cp %s/cli/assets/mini/model.json m && cp %s/cli/assets/mini/vae.safetensors m/unet.safetensors",
           root, root);
  cr_assert_eq(system(command), 0);
  const program_result *r = program_run("inspect m");
  cr_expect_eq(r->exit_status, 1);
  cr_expect(strstr(r->out, "time_embed.0.weight: expected [128, 32]"), "%.500s", r->out);
  cr_expect(strstr(r->out, "unused   decoder.conv_in.weight"), "what nobody uses is listed too");
  cr_expect(strstr(r->err, "problems are listed"), "%s", r->err);
}

Test(tools, inspect_refuses_what_it_does_not_know) {
  program_expect("inspect no-such-file", 1, "no-such-file");
  FILE *f = fopen("text", "w");
  fputs("just words", f);
  fclose(f);
  program_expect("inspect text", 1, "text");
}

Test(tools, inspect_counts_values_that_are_no_numbers) {
  const program_result *r = program_runf("inspect --stats %s/cli/assets/mini/vae.safetensors", root);
  cr_assert_eq(r->exit_status, 0, "%s", r->err);
  cr_expect(strstr(r->out, "mean"));
}

Test(tools, plan_prints_and_draws) {
  const program_result *r = program_run("plan --released -o map.svg --ops");
  cr_assert_eq(r->exit_status, 0, "%s", r->err);
  cr_expect(strstr(r->out, "input_blocks.1.0.in_layers.2"));
  cr_expect(strstr(r->out, "(prologue)"));
  cr_expect(program_exists("map.svg"));
  r = program_run("plan --json --network vae-decoder");
  cr_expect(strstr(r->out, "\"arena_bytes\""));
  program_expect("plan --size 100x100", 2, "multiples");
  program_expect("plan --released --size 264x256", 1, "latent");
  program_expect("plan --conditions wind", 2, "wind");
  program_expect("plan -o /no/such/folder/map.svg", 1, "/no/such/folder");
}

Test(tools, strips_are_stacked) {
  vc_error error;
  vc_image image;
  cr_assert_eq(vc_image_new(&image, 20, 10, &error), VC_OK);
  memset(image.rgb, 100, 600);
  cr_assert_eq(vc_image_write_png("a.png", &image, NULL, 0, &error), VC_OK);
  vc_image_free(&image);
  cr_assert_eq(program_run("strip a.png a.png a.png --gap 3 -o all.png")->exit_status, 0);
  cr_assert_eq(vc_image_read(&image, "all.png", &error), VC_OK);
  cr_expect_eq(image.width, 20);
  cr_expect_eq(image.height, 36);
  cr_expect_eq(image.rgb[0], 100);
  cr_expect_eq(image.rgb[(size_t)11 * 60], 255, "the gap is white");
  vc_image_free(&image);
  program_expect("strip a.png", 2, "-o");
  program_expect("strip missing.png -o b.png", 1, "missing.png");
  cr_expect_not(program_exists("b.png"));
}

// *.safetensors of a folder holds the parameters that cases share; they are neither cases nor failures.
Test(tools, verify_takes_a_whole_folder) {
  const program_result *r = program_runf(
      "verify %s/tests/data/golden/unet_two_*.safetensors %s/tests/data/golden/weights_unet_two.safetensors", root,
      root);
  cr_expect_eq(r->exit_status, 0, "%s%s", r->out, r->err);
  cr_expect(strstr(r->out, "parameters of a case"));
  cr_expect(strstr(r->out, " 0 failed"));
  r = program_runf("verify %s/tests/data/golden/weights_unet_two.safetensors", root);
  cr_expect_eq(r->exit_status, 1, "parameters alone are no case");
  cr_expect(strstr(r->out, "0 passed, 1 failed"));
}
