// The generate subcommand from outside, with the small model inside the program: outputs, records, repeats, refusals.
#include <cjson/cJSON.h>
#include <criterion/criterion.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/generate.h"
#include "engine/compare.h"
#include "loaders/media_metadata.h"
#include "loaders/media_out.h"
#include "loaders/npy.h"
#include "loaders/safetensors.h"
#include "tests/media_fixtures.h"
#include "tests/program.h"

// As small as the model goes.
#define SMALL "--steps 2 --size 64x32 --frames 3 "

TestSuite(generate, .init = program_enter, .fini = program_leave);

static bool same_file(const char *a, const char *b) {
  vc_buffer one = fixture_read(a), two = fixture_read(b);
  bool same = one.size == two.size && !memcmp(one.data, two.data, one.size);
  vc_buffer_free(&one);
  vc_buffer_free(&two);
  return same;
}

// One tensor of a file, copied.
static vc_tensor load(const char *path, const char *name) {
  vc_tensor_file file;
  vc_tensor copy;
  vc_error error;
  cr_assert_eq(vc_safetensors_open(&file, path, &error), VC_OK, "%s", error.message);
  const vc_tensor *found = vc_tensor_file_find(&file, name);
  cr_assert(found, "%s has no %s", path, name);
  cr_assert_eq(vc_tensor_new(&copy, found->dtype, found->rank, found->dim, NULL), VC_OK);
  memcpy(copy.data, found->data, vc_tensor_bytes(found));
  vc_tensor_file_close(&file);
  return copy;
}

static bool same_tensor(const char *a, const char *b, const char *name) {
  vc_tensor one = load(a, name), two = load(b, name);
  size_t size = vc_tensor_bytes(&one);
  bool same = size == vc_tensor_bytes(&two) && !memcmp(one.data, two.data, size);
  vc_tensor_free(&one);
  vc_tensor_free(&two);
  return same;
}

static void write_tensor(const char *path, int rank, const int64_t *dim, float (*value)(size_t i)) {
  vc_tensor t;
  cr_assert_eq(vc_tensor_new(&t, VC_F32, rank, dim, NULL), VC_OK);
  for (size_t i = 0; i < vc_tensor_count(&t); i++) ((float *)t.data)[i] = value(i);
  cr_assert_eq(vc_npy_write(path, &t, NULL), VC_OK);
  vc_tensor_free(&t);
}

static float wave(size_t i) {
  return 0.75f + 0.5f * sinf(0.01f * (float)i);
}

// A clip for conditions, as a GIF.
static void write_clip(const char *path, int count, int width, int height) {
  vc_frames clip = fixture_clip(count, width, height, 4);
  vc_error error;
  cr_assert_eq(vc_media_write(path, &clip, NULL, NULL, &error), VC_OK, "%s", error.message);
  vc_frames_free(&clip);
}

Test(generate, every_kind_of_output_is_written_with_its_record) {
  static const struct {
    const char *path;
    int count, width, height;
  } cases[] = {
      {"o.gif", 3, 64, 32}, {"o.mp4", 3, 64, 32}, {"o.webp", 3, 64, 32}, {"o.png", 1, 192, 32}, {"o/", 3, 64, 32}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    const char *path = cases[i].path;
    const program_result *r =
        program_runf("generate " SMALL "--prompt \"a red circle, that's it\" --seed 5 -o %s", path);
    cr_assert_eq(r->exit_status, 0, "%s: %s", path, r->err);
    cr_expect_str_empty(r->out);
    cr_expect_str_empty(r->err);
    vc_frames frames;
    vc_error error;
    cr_assert_eq(vc_frames_read(&frames, path, &(vc_frames_options){.allow_still = true}, &error), VC_OK, "%s",
                 error.message);
    cr_expect(frames.count == cases[i].count && frames.width == cases[i].width && frames.height == cases[i].height,
              "%s: %d frames of %d x %d", path, frames.count, frames.width, frames.height);
    if (frames.count > 1 && strcmp(path, "o/")) cr_expect_float_eq(frames.fps, 4, 1e-3, "%s", path);
    vc_frames_free(&frames);
    vc_metadata metadata;
    cr_assert_eq(vc_media_read_metadata(&metadata, path, &error), VC_OK, "%s", error.message);
    char command[256];
    snprintf(command, sizeof command,
             "videocomposer generate --prompt 'a red circle, that'\\''s it' --steps 2 --seed 5 --frames 3 --size 64x32 "
             "--output %s",
             path);
    cr_expect_str_eq(vc_metadata_find(&metadata, "command"), command);
    cr_expect_str_eq(vc_metadata_find(&metadata, "prompt"), "a red circle, that's it");
    cr_expect_str_eq(vc_metadata_find(&metadata, "seed"), "5");
    cr_expect_str_eq(vc_metadata_find(&metadata, "model"), "mini");
    cr_expect_eq(strlen(vc_metadata_find(&metadata, "model_hash")), 16);
    cr_expect(vc_metadata_find(&metadata, "version"));
    vc_metadata_free(&metadata);
  }
  cr_expect_eq(program_files(), 5);
}

Test(generate, tensors_hold_the_video_and_its_latent) {
  program_expect("generate " SMALL "--prompt 'a star' --count 2 -o o.safetensors", 0, "");
  vc_tensor video = load("o.safetensors", "video"), latent = load("o.safetensors", "latent");
  static const int64_t want_video[] = {2, 3, 3, 32, 64}, want_latent[] = {2, 4, 3, 4, 8};
  cr_expect(video.rank == 5 && video.dtype == VC_F32 && !memcmp(video.dim, want_video, sizeof want_video));
  cr_expect(latent.rank == 5 && latent.dtype == VC_F32 && !memcmp(latent.dim, want_latent, sizeof want_latent));
  const float *value = video.data;
  size_t count = vc_tensor_count(&video), middle = 0;
  for (size_t i = 0; i < count; i++) {
    cr_assert(value[i] >= 0 && value[i] <= 1);
    middle += value[i] > 0.02f && value[i] < 0.98f;
  }
  cr_expect(middle > count / 4, "%zu of %zu values are no extremes", middle, count);
  cr_expect(memcmp(value, value + count / 2, count / 2 * sizeof *value), "the two videos are the same");
  vc_tensor_free(&video);
  vc_tensor_free(&latent);
  vc_tensor_file file;
  cr_assert_eq(vc_safetensors_open(&file, "o.safetensors", NULL), VC_OK);
  cr_expect(strstr(vc_tensor_file_metadata(&file, "command"), "--prompt 'a star'"));
  cr_expect_eq(file.count, 2);
  vc_tensor_file_close(&file);

  // The picture holds the same values as the tensor.
  program_expect("generate " SMALL "--prompt 'a star' -o o/", 0, "");
  vc_frames frames;
  cr_assert_eq(vc_frames_read(&frames, "o", NULL, NULL), VC_OK);
  video = load("o.safetensors", "video");
  for (int f = 0; f < 3; f++)
    for (int p = 0; p < 32 * 64; p++)
      for (int c = 0; c < 3; c++) {
        float want = ((float *)video.data)[(c * 3 + f) * 32 * 64 + p] * 255;
        cr_assert(fabsf((float)frames.rgb[(f * 32 * 64 + p) * 3 + c] - want) <= 0.5f + 1e-3f);
      }
  vc_tensor_free(&video);
  vc_frames_free(&frames);
}

Test(generate, the_same_command_gives_the_same_bytes) {
  cr_assert(!mkdir("a", 0755) && !mkdir("b", 0755));
  program_expect("generate " SMALL "--prompt 'a blue ring' --seed 9 -o a/o.gif", 0, "");
  static const char *const threads[] = {"1", "2", "3"};
  for (int i = 0; i < 3; i++) {
    cr_assert_eq(
        program_runf("generate " SMALL "--prompt 'a blue ring' --seed 9 --threads %s -o t%d.safetensors", threads[i], i)
            ->exit_status,
        0);
    if (i) cr_expect(same_tensor("t0.safetensors", i == 1 ? "t1.safetensors" : "t2.safetensors", "latent"));
  }
  cr_expect(same_tensor("t0.safetensors", "t1.safetensors", "video") &&
            same_tensor("t0.safetensors", "t2.safetensors", "video"));
  // The same name in another folder: the record is the same, too.
  cr_assert_eq(chdir("a"), 0);
  program_expect("generate " SMALL "--prompt 'a blue ring' --seed 9 -o o.gif", 0, "");
  cr_assert_eq(chdir("../b"), 0);
  program_expect("generate --like ../a/o.gif -o o.gif", 0, "");
  cr_expect(same_file("o.gif", "../a/o.gif"));
  program_expect("generate --like ../a/o.gif --seed 10 -o other.gif", 0, "");
  cr_expect(!same_file("o.gif", "other.gif"));
  cr_assert_eq(chdir(".."), 0);
}

Test(generate, like_repeats_and_options_override) {
  write_clip("clip.gif", 3, 64, 32);
  program_expect("generate " SMALL
                 "--prompt \"it's\" --depth clip.gif:0.5 --guidance 2.5 --eta 0.25 --sampler ddim --threads 1 "
                 "--profile -o one.safetensors",
                 0, "");
  const program_result *r = program_run("generate --like one.safetensors -o two.safetensors");
  cr_expect(r->exit_status == 0 && !r->err[0], "%s", r->err);
  cr_expect(same_tensor("one.safetensors", "two.safetensors", "latent"));
  program_expect("generate --like two.safetensors --depth '' -o three.safetensors", 0, "");
  program_expect("generate " SMALL "--prompt \"it's\" --guidance 2.5 --eta 0.25 -o four.safetensors", 0, "");
  cr_expect(!same_tensor("one.safetensors", "three.safetensors", "latent"));
  cr_expect(same_tensor("three.safetensors", "four.safetensors", "latent"));
  vc_tensor_file file;
  cr_assert_eq(vc_safetensors_open(&file, "three.safetensors", NULL), VC_OK);
  const char *command = vc_tensor_file_metadata(&file, "command");
  cr_expect(!strstr(command, "--like") && !strstr(command, "--depth") && !strstr(command, "--threads") &&
                strstr(command, "--eta 0.25"),
            "%s", command);
  vc_tensor_file_close(&file);
  program_expect("generate --like clip.gif -o x.gif", 1, "does not tell how it was made");
  program_expect("generate --like nothing.gif -o x.gif", 1, "nothing.gif");
}

Test(generate, videos_of_a_count_can_be_made_alone) {
  program_expect("generate " SMALL "--prompt x --seed 3 -n 3 -o v.png", 0, "");
  cr_expect(program_exists("v_0.png") && program_exists("v_1.png") && program_exists("v_2.png"));
  cr_expect_eq(program_files(), 3);
  cr_assert(!mkdir("b", 0755) && !chdir("b"));
  program_expect("generate --like ../v_2.png -o v_2.png", 0, "");
  vc_image one, two;
  cr_assert_eq(vc_image_read(&one, "v_2.png", NULL), VC_OK);
  cr_assert_eq(vc_image_read(&two, "../v_2.png", NULL), VC_OK);
  cr_expect_arr_eq(one.rgb, two.rgb, (size_t)one.width * (size_t)one.height * 3);
  vc_image_free(&one);
  vc_image_free(&two);
  vc_metadata metadata;
  cr_assert_eq(vc_media_read_metadata(&metadata, "../v_2.png", NULL), VC_OK);
  cr_expect_str_eq(vc_metadata_find(&metadata, "seed"), "5");
  vc_metadata_free(&metadata);
  cr_assert_eq(chdir(".."), 0);
}

Test(generate, a_drawn_mask_stays_with_its_video) {
  write_clip("clip.gif", 3, 64, 32);
  program_expect("generate " SMALL "--prompt x --source clip.gif --mask-shape rectangle --seed 3 -n 2 -o v.gif", 0, "");
  cr_assert(!mkdir("b", 0755));
  cr_assert_eq(program_run("generate --like v_1.gif -o b/v.gif")->exit_status, 0);
  vc_frames a, b;
  cr_assert_eq(vc_frames_read(&a, "v_1.gif", NULL, NULL), VC_OK);
  cr_assert_eq(vc_frames_read(&b, "b/v.gif", NULL, NULL), VC_OK);
  cr_expect_arr_eq(a.rgb, b.rgb, 3 * 64 * 32 * 3);
  vc_frames_free(&a);
  vc_frames_free(&b);
}

Test(generate, each_condition_changes_the_video) {
  write_clip("clip.gif", 3, 64, 32);
  write_clip("still.png", 1, 64, 32);
  write_clip("mask/", 3, 64, 32);
  write_tensor("depth.npy", 3, (const int64_t[]){3, 40, 80}, wave);
  write_tensor("motion.npy", 4, (const int64_t[]){2, 3, 32, 64}, wave);
  static const char *const conditions[] = {
      "--image still.png",
      "--style still.png",
      "--sketch still.png --sketch-raw",
      "--sketch-video clip.gif",
      "--sketch-video clip.gif --sketch-invert",
      "--depth clip.gif",
      "--depth clip.gif:0.5",
      "--depth depth.npy",
      "--motion motion.npy",
      "--strokes '10,10 -> 50,20'",
      "--strokes '10,10 -> 50,20:3'",
      "--source clip.gif --mask mask/",
      "--source clip.gif --mask still.png",
      "--source clip.gif --mask-shape uncrop",
      "--source clip.gif --mask-shape irregular",
      "--source clip.gif --mask-shape irregular --mask-seed 4",
      "--video clip.gif --use image",
      "--video clip.gif --use style",
      "--video clip.gif --use mask,style --mask-shape rectangle",
      "--init clip.gif --init-strength 0.5",
      "--init clip.gif --invert",
      "--negative-prompt 'a square'",
      "--guidance 1",
      "--sampler unipc",
      "--eta 1",
      "",
  };
  enum { COUNT = sizeof conditions / sizeof *conditions };
  vc_tensor latent[COUNT];
  for (int i = 0; i < COUNT; i++) {
    const program_result *r = program_runf("generate " SMALL "--prompt x %s -o o.safetensors", conditions[i]);
    cr_assert_eq(r->exit_status, 0, "%s: %s", conditions[i], r->err);
    latent[i] = load("o.safetensors", "latent");
    for (int k = 0; k < i; k++)
      cr_expect(memcmp(latent[i].data, latent[k].data, vc_tensor_bytes(&latent[i])), "'%s' is as '%s'", conditions[i],
                conditions[k]);
  }
  // A strength of 0 is as without the condition.
  program_expect("generate " SMALL "--prompt x --depth clip.gif:0 -o o.safetensors", 0, "");
  vc_tensor zero = load("o.safetensors", "latent");
  for (size_t i = 0; i < vc_tensor_count(&zero); i++)
    cr_assert_float_eq(((float *)zero.data)[i], ((float *)latent[COUNT - 1].data)[i], 1e-4f);
  vc_tensor_free(&zero);
  for (int i = 0; i < COUNT; i++) vc_tensor_free(&latent[i]);
}

Test(generate, conditions_can_be_shown) {
  write_clip("clip.gif", 3, 64, 32);
  write_tensor("depth.npy", 3, (const int64_t[]){3, 40, 80}, wave);
  program_expect("generate " SMALL
                 "--prompt x --depth depth.npy --strokes '5,5 -> 60,30' --style clip.gif --show-conditions -o o.gif",
                 1, "clip.gif");  // a style is a picture
  program_expect("generate " SMALL
                 "--prompt x --depth depth.npy --strokes '5,5 -> 60,30' --video clip.gif --use style,image "
                 "--show-conditions -o o.gif",
                 0, "");
  vc_frames frames;
  cr_assert_eq(vc_frames_read(&frames, "o.gif", NULL, NULL), VC_OK);
  cr_expect(frames.width == 5 * 64 && frames.height == 32 && frames.count == 3);
  vc_frames_free(&frames);
  program_expect("generate " SMALL "--prompt x --depth depth.npy --show-conditions -o o.safetensors", 0, "");
  vc_tensor t = load("o.safetensors", "condition/depthmap");
  static const int64_t want[] = {1, 1, 3, 40, 80};
  cr_expect(t.rank == 5 && !memcmp(t.dim, want, sizeof want));
  for (size_t i = 0; i < vc_tensor_count(&t); i++) cr_assert_eq(((float *)t.data)[i], wave(i));
  vc_tensor_free(&t);
}

Test(generate, inversion_finds_the_way_back) {
  // A clip of the model's own, for it to be able to make it again. Random noise at the same place loses it.
#define TWO "generate --size 64x64 --frames 2 --prompt 'a red circle' "
#define AGAIN "--steps 40 --guidance 1 --init own.safetensors --init-strength 0.7 "
  program_expect(TWO "--steps 10 -o own.safetensors", 0, "");
  program_expect(TWO AGAIN "--invert -o back.safetensors", 0, "");
  program_expect(TWO AGAIN "-o other.safetensors", 0, "");
  vc_tensor own = load("own.safetensors", "video"), back = load("back.safetensors", "video"),
            other = load("other.safetensors", "video");
  double error[2] = {0, 0};
  for (size_t i = 0; i < vc_tensor_count(&own); i++) {
    error[0] += pow((double)((float *)own.data)[i] - (double)((float *)back.data)[i], 2);
    error[1] += pow((double)((float *)own.data)[i] - (double)((float *)other.data)[i], 2);
  }
  cr_expect(error[0] < 0.35 * error[1], "squared errors %g with, %g without inversion", error[0], error[1]);
  vc_tensor_free(&own);
  vc_tensor_free(&back);
  vc_tensor_free(&other);
}

Test(generate, reports_are_readable) {
  const program_result *r =
      program_run("generate " SMALL "--prompt x -n 2 --seed 18446744073709551614 --json --profile -o o.gif");
  cr_assert_eq(r->exit_status, 0, "%s", r->err);
  cr_expect(strstr(r->err, "denoise") && strstr(r->err, "total"), "%s", r->err);
  cJSON *json = cJSON_Parse(r->out);
  cr_assert(json);
  cr_expect_eq(cJSON_GetArraySize(cJSON_GetObjectItem(json, "outputs")), 2);
  cr_expect_str_eq(cJSON_GetArrayItem(cJSON_GetObjectItem(json, "outputs"), 1)->valuestring, "o_1.gif");
  cr_expect_str_eq(cJSON_GetArrayItem(cJSON_GetObjectItem(json, "seeds"), 1)->valuestring, "18446744073709551615");
  cr_expect(cJSON_GetArraySize(cJSON_GetObjectItem(json, "phases")) >= 4);
  cr_expect_eq(cJSON_GetObjectItem(json, "width")->valueint, 64);
  cJSON_Delete(json);
}

Test(generate, previews_are_pictures) {
  program_expect("generate " SMALL "--prompt x --preview 1 -o o.gif", 0, "");
  vc_image image;
  cr_assert_eq(vc_image_read(&image, "o.gif.preview.png", NULL), VC_OK);
  cr_expect(image.width == 3 * 64 && image.height == 32);
  vc_image_free(&image);
}

Test(generate, long_prompts_are_cut_with_a_note) {
  char *arguments = malloc(11000);
  strcpy(arguments, "generate " SMALL "-o o.gif --prompt '");
  size_t length = strlen(arguments);
  for (int i = 0; i < 2000; i++) memcpy(arguments + length + 5 * i, "word ", 5);
  strcpy(arguments + length + 10000, "'");
  const program_result *r = program_run(arguments);
  cr_expect_eq(r->exit_status, 0, "%s", r->err);
  cr_expect(strstr(r->err, "75 tokens"), "%s", r->err);
  free(arguments);
}

Test(generate, bright_sketches_are_inverted_with_a_note) {
  vc_image image;
  cr_assert_eq(vc_image_new(&image, 32, 32, NULL), VC_OK);
  memset(image.rgb, 255, 32 * 32 * 3);
  memset(image.rgb + 3000, 0, 60);
  cr_assert_eq(vc_image_write_png("paper.png", &image, NULL, 0, NULL), VC_OK);
  for (int i = 0; i < 32 * 32 * 3; i++) image.rgb[i] = (uint8_t)(255 - image.rgb[i]);
  cr_assert_eq(vc_image_write_png("board.png", &image, NULL, 0, NULL), VC_OK);
  vc_image_free(&image);
  const program_result *r =
      program_run("generate " SMALL "--prompt x --sketch paper.png --sketch-raw -o a.safetensors");
  cr_expect(r->exit_status == 0 && strstr(r->err, "paper.png is mostly bright"), "%s", r->err);
  r = program_run("generate " SMALL "--prompt x --sketch board.png --sketch-raw -o b.safetensors");
  cr_expect(r->exit_status == 0 && !r->err[0], "%s", r->err);
  r = program_run("generate " SMALL "--prompt x --sketch paper.png --sketch-raw --sketch-invert -o c.safetensors");
  cr_expect(r->exit_status == 0 && !r->err[0], "%s", r->err);
  cr_expect(same_tensor("a.safetensors", "b.safetensors", "latent"));
  cr_expect(same_tensor("a.safetensors", "c.safetensors", "latent"));
}

Test(generate, short_sequences_are_refused_or_padded) {
  write_clip("two.gif", 2, 64, 32);
  write_clip("five.gif", 5, 64, 32);
  write_tensor("two.npy", 3, (const int64_t[]){2, 16, 16}, wave);
  program_expect("generate " SMALL "--prompt x --depth two.gif -o o.gif", 1, "two.gif: has 2 frames");
  program_expect("generate " SMALL "--prompt x --depth two.npy -o o.gif", 1, "two.npy: has 2 frames");
  program_expect("generate " SMALL "--prompt x --init two.gif -o o.gif", 1, "two.gif: has 2 frames");
  program_expect("generate " SMALL "--prompt x --depth two.gif --pad hold -o a.safetensors", 0, "");
  program_expect("generate " SMALL "--prompt x --depth two.gif --pad loop -o b.safetensors", 0, "");
  program_expect("generate " SMALL "--prompt x --depth two.npy --pad loop -o c.safetensors", 0, "");
  program_expect("generate " SMALL "--prompt x --depth five.gif -o d.safetensors", 0, "");
  cr_expect(!same_tensor("a.safetensors", "b.safetensors", "latent"));
}

Test(generate, wrong_usage_is_refused) {
  write_clip("clip.gif", 3, 64, 32);
  fixture_write("bad.json", "{\"strokes\": [{\"points\": [[1, 2], [3, 4]], \"radius\": -1}]}", 58);
  write_tensor("rgb.npy", 4, (const int64_t[]){3, 3, 8, 8}, wave);
  static const struct {
    int exit_status;
    const char *arguments, *message;
  } cases[] = {
      {2, "", "-o FILE is missing"},
      {2, "--prompt x", "-o FILE is missing"},
      {2, "-o o.gif", "nothing to make a video from"},
      {2, "--prompt x -o o.avi", ".avi"},
      {2, "--prompt x -o o.gif extra", "extra"},
      {2, "--prompt x -o o.gif --stesp 3", "--steps"},
      {2, "--prompt x -o o.gif --steps 0", "--steps"},
      {2, "--prompt x -o o.gif --steps 1001", "--steps"},
      {2, "--prompt x -o o.gif --eta 1.5", "--eta"},
      {2, "--prompt x -o o.gif --eta nan", "--eta"},
      {2, "--prompt x -o o.gif --guidance -1", "--guidance"},
      {2, "--prompt x -o o.gif --sampler euler", "--sampler"},
      {2, "--prompt x -o o.gif --size 64x60", "multiples of 32"},
      {2, "--prompt x -o o.gif --frames 0", "--frames"},
      {2, "--prompt x -o o.gif --sampler unipc --eta 0.5", "eta"},
      {2, "--prompt \"$(printf '\\377')\" -o o.gif", "--prompt: not valid UTF-8"},
      {2, "--prompt x --negative-prompt \"$(printf 'a\\200')\" -o o.gif", "--negative-prompt: not valid UTF-8"},
      {1, "--motion clip.gif --frames 3 --motion-source codec -o o.gif", "no motion vectors out of its codec (gif)"},
      {2, "--motion rgb.npy --motion-source codec -o o.gif", "--motion-source needs"},
      {2, "--prompt x --motion-source codec -o o.gif", "--motion-source needs"},
      {2, "--motion clip.gif --start -1 -o o.gif", "--start must be 'random' or a frame"},
      {2, "--motion clip.gif --start random:x -o o.gif", "--start random: the seed"},
      {2, "--prompt x --start 3 -o o.gif", "--start needs a video"},
      {1, "--motion clip.gif --start 3 -o o.gif", "clip.gif: has 3 frames at 4 a second"},
      {1, "--motion clip.gif --frames 8 -o o.gif", "clip.gif: has 3 frames, and the video 8"},
      {1, "--motion bad.json -o o.gif", "bad.json"},
      {2, "--video clip.gif -o o.gif", "--use"},
      {2, "--use image -o o.gif --prompt x", "--video"},
      {2, "--video clip.gif --use motion --strokes '1,1->2,2' -o o.gif", "same condition"},
      {2, "--video clip.gif --use depth --depth rgb.npy -o o.gif", "same condition"},
      {2, "--video clip.gif --use sketch --sketch-video rgb.npy -o o.gif", "same condition"},
      {2, "--video clip.gif --use pose -o o.gif", "'pose'"},
      {2, "--video clip.gif --use mask -o o.gif", "--mask"},
      {2, "--video clip.gif --use image --image clip.gif -o o.gif", "same condition"},
      {2, "--motion rgb.npy --strokes '1,1->2,2' -o o.gif", "same condition"},
      {2, "--source clip.gif -o o.gif", "--mask FILE"},
      {2, "--mask clip.gif --prompt x -o o.gif", "--source"},
      {2, "--source clip.gif --mask clip.gif --mask-shape uncrop -o o.gif", "exclude"},
      {2, "--source clip.gif --mask clip.gif --mask-seed 3 -o o.gif", "--mask-shape"},
      {2, "--invert --prompt x -o o.gif", "--init"},
      {2, "--init-strength 0.5 --prompt x -o o.gif", "--init"},
      {2, "--sketch-raw --prompt x -o o.gif", "--sketch"},
      {2, "--prompt x --dtype f8 -o o.gif", "f8"},
      {2, "--prompt x --device 1 --backend cpu -o o.gif", "--device 1"},
      {2, "--depth clip.gif:11 -o o.gif", "strength"},
      {2, "--depth clip.gif:-1 -o o.gif", "strength"},
      {2, "--strokes '1,1 -> 1000,1' -o o.gif", "--strokes: stroke 0: point 1"},
      {2, "--strokes bad.json -o o.gif", "bad.json: stroke 0: radius"},
      {1, "--strokes none.json -o o.gif", "none.json"},
      {1, "--depth none.gif -o o.gif", "--depth: none.gif cannot be read"},
      {1, "--depth none.gif:0.5 -o o.gif", "--depth: none.gif cannot be read"},
      {1, "--depth rgb.npy -o o.gif", "rgb.npy: shape [3, 3, 8, 8]"},
      {1, "--motion rgb.npy -o o.gif", "rgb.npy: shape [3, 3, 8, 8]"},
      {1, "--image clip.gif -o o.gif", "clip.gif"},
      {1, "--image bad.json -o o.gif", "bad.json"},
      {1, "--prompt x --model . -o o.gif", "model"},
      {1, "--prompt x --model none -o o.gif", "--model: none"},
      {1, "--prompt x --dtype f16 --backend cpu -o o.gif", "f32"},
      {1, "--prompt x -o none/o.gif", "none/o.gif"},
      {1, "--prompt x -o none/o.safetensors", "none/o.safetensors"},
      {1, "--prompt x -o none/o/", "none/o"},
      {1, "--prompt x -o clip.gif/", "clip.gif"},
      {2, "--prompt x --max-memory 100K -o o.gif", "--max-memory"},
  };
  int files = program_files();
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char arguments[512];
    snprintf(arguments, sizeof arguments, "generate %s", cases[i].arguments);
    program_expect(arguments, cases[i].exit_status, cases[i].message);
  }
  cr_expect_eq(program_files(), files, "a refused command left a file");
}

Test(generate, a_path_with_a_colon_is_a_path) {
  write_clip("a:0.5/", 3, 64, 32);
  write_clip("b/", 3, 64, 32);
  program_expect("generate " SMALL "--prompt x --depth a:0.5 -o a.safetensors", 0, "");
  program_expect("generate " SMALL "--prompt x --depth b -o b.safetensors", 0, "");
  program_expect("generate " SMALL "--prompt x --depth b:0.5 -o c.safetensors", 0, "");
  cr_expect(same_tensor("a.safetensors", "b.safetensors", "latent"));
  cr_expect(!same_tensor("a.safetensors", "c.safetensors", "latent"));
}

Test(generate, a_full_disk_is_a_failure) {
  cr_assert(!symlink("/dev/full", "o.gif") && !symlink("/dev/full", "o.safetensors"));
  program_expect("generate " SMALL "--prompt x -o o.gif", 1, "No space left");
  program_expect("generate " SMALL "--prompt x -o o.safetensors", 1, "No space left");
  cr_expect_eq(program_files(), 2);
}

Test(generate, an_interrupt_leaves_nothing) {
  static const int signals[] = {SIGINT, SIGTERM};
  for (int i = 0; i < 2; i++) {
    pid_t pid = program_start("generate --prompt x --steps 1000 -o o.gif");
    // Well into the denoising, which takes minutes.
    usleep(1500000);
    cr_assert_eq(kill(pid, signals[i]), 0);
    int status = 0;
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 1, "status %x", (unsigned)status);
    vc_buffer said = fixture_read("err");
    cr_expect(memmem(said.data, said.size, "interrupted", 11), "%.*s", (int)said.size, (char *)said.data);
    vc_buffer_free(&said);
    cr_expect_eq(program_files(), 0);
  }
}
