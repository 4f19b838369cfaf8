// extract, evaluate and the conditions that generate takes from videos, from outside: what extract writes, generate
// reads back as if it had extracted it itself.
#include <cjson/cJSON.h>
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/compare.h"
#include "loaders/media_out.h"
#include "loaders/npy.h"
#include "loaders/safetensors.h"
#include "tests/media_fixtures.h"
#include "tests/program.h"

#define SIZE "--size 64x32 --frames 4 "
#define MAKE "generate --prompt x --steps 1 " SIZE "--show-conditions "

static void write_clip(const char *path, int count, int width, int height, double fps) {
  vc_frames clip = fixture_clip(count, width, height, fps);
  vc_error error;
  cr_assert_eq(vc_media_write(path, &clip, NULL, NULL, &error), VC_OK, "%s", error.message);
  vc_frames_free(&clip);
}

static void enter(void) {
  program_enter();
  write_clip("clip.mp4", 30, 80, 48, 8);
}

TestSuite(extract_command, .init = enter, .fini = program_leave);

static const vc_tensor *tensor_of(const vc_tensor_file *file, const char *name) {
  const vc_tensor *t = vc_tensor_file_find(file, name);
  cr_assert(t, "%s has no %s", file->path, name);
  return t;
}

// The tensors that show what the network saw are the same in both files.
static void expect_same_conditions(const char *a, const char *b, int conditions) {
  vc_tensor_file one, two;
  int compared = 0;
  cr_assert_eq(vc_safetensors_open(&one, a, NULL), VC_OK);
  cr_assert_eq(vc_safetensors_open(&two, b, NULL), VC_OK);
  cr_expect_eq(one.count, two.count);
  for (int i = 0; i < one.count; i++) {
    vc_difference difference;
    cr_assert_eq(vc_compare_tensors(tensor_of(&two, one.tensor[i].name), &one.tensor[i].tensor, &difference, NULL),
                 VC_OK);
    cr_expect_eq(difference.differing, 0, "%s: %s differs", b, one.tensor[i].name);
    compared += !strncmp(one.tensor[i].name, "condition/", 10);
  }
  cr_expect_eq(compared, conditions);
  vc_tensor_file_close(&one);
  vc_tensor_file_close(&two);
}

Test(extract_command, what_is_extracted_is_read_back) {
  program_expect("extract clip.mp4 --use sketch,motion,mask,image,style,frames " SIZE "-o parts", 0, NULL);
  program_expect("extract clip.mp4 --use sketch,motion,mask,image,style,frames " SIZE "-o all.safetensors", 0, NULL);
  static const char *const files[] = {"sketch.safetensors", "sketch.png",     "motion.safetensors", "motion.png",
                                      "mask.safetensors",   "mask.png",       "image.png",          "style.png",
                                      "frames/0000.png",    "frames/0003.png"};
  for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
    char path[64];
    snprintf(path, sizeof path, "parts/%s", files[i]);
    cr_expect(program_exists(path), "%s is missing", path);
  }
  program_expect(MAKE
                 "--video clip.mp4 --use sketch,motion,image,style,mask --mask parts/mask.safetensors "
                 "-o whole.safetensors",
                 0, NULL);
  program_expect(MAKE
                 "--sketch-video parts/sketch.safetensors --motion parts/motion.safetensors "
                 "--image parts/image.png --style parts/style.png --source parts/frames "
                 "--mask parts/mask.safetensors -o parts.safetensors",
                 0, NULL);
  program_expect(MAKE
                 "--sketch-video all.safetensors --motion all.safetensors --image all.safetensors "
                 "--style all.safetensors --source all.safetensors --mask all.safetensors -o one.safetensors",
                 0, NULL);
  expect_same_conditions("whole.safetensors", "parts.safetensors", 4);
  expect_same_conditions("whole.safetensors", "one.safetensors", 4);
}

Test(extract_command, two_frames_of_motion_are_told_apart_from_two_channels) {
  program_expect("extract clip.mp4 --use motion --size 64x32 --frames 2 -o m.safetensors", 0, NULL);
  program_expect("generate --prompt x --steps 1 --size 64x32 --frames 2 --motion m.safetensors -o o.gif", 0, NULL);
}

// Sum of one channel of a motion file, [f h w 2].
static double sum_of(const char *path, int channel) {
  vc_tensor_file file;
  double sum = 0;
  cr_assert_eq(vc_safetensors_open(&file, path, NULL), VC_OK);
  const vc_tensor *t = tensor_of(&file, "motion");
  float *values = malloc(vc_tensor_count(t) * sizeof *values);
  vc_to_float(values, t->data, t->dtype, vc_tensor_count(t));
  for (size_t i = 0; i < vc_tensor_count(t); i++) sum += i % 2 == (size_t)channel ? (double)values[i] : 0;
  free(values);
  vc_tensor_file_close(&file);
  return sum;
}

Test(extract_command, motion_has_the_direction_of_what_moves) {
  static const struct {
    const char *arguments;
    int x, y;  // signs
  } cases[] = {{"--strokes '16,16 -> 48,16'", 1, 0},
               {"--strokes '48,16 -> 16,16'", -1, 0},
               {"--strokes '32,4 -> 32,28'", 0, 1},
               {"--strokes '10,28 -> 50,4'", 1, -1},
               {"clip.mp4", 1, 0},
               {"clip.mp4 --motion-source codec", 1, 0},
               {"clip.mp4 --start 5", 1, 0},
               {"clip.mp4 --start random --seed 4", 1, 0}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    const program_result *r = program_runf("extract %s --use motion " SIZE "-o m.safetensors", cases[i].arguments);
    cr_assert_eq(r->exit_status, 0, "%s", r->err);
    double x = sum_of("m.safetensors", 0), y = sum_of("m.safetensors", 1);
    cr_expect(cases[i].x * x > 0 || (!cases[i].x && fabs(x) < 1e-6), "%s: x %g", cases[i].arguments, x);
    cr_expect(cases[i].y * y > 0 || (!cases[i].y && fabs(y) < fabs(x) + 1e-6), "%s: y %g", cases[i].arguments, y);
  }
}

Test(extract_command, pictures_and_drawn_masks_are_taken) {
  vc_image image = fixture_image(90, 70);
  cr_assert_eq(vc_image_write_png("p.png", &image, NULL, 0, NULL), VC_OK);
  vc_image_free(&image);
  program_expect("extract p.png --use sketch,image,style,mask --mask-shape rectangle " SIZE "-o p", 0, NULL);
  vc_tensor_file file;
  cr_assert_eq(vc_safetensors_open(&file, "p/sketch.safetensors", NULL), VC_OK);
  cr_expect_eq(tensor_of(&file, "sketch")->dim[0], 1, "a picture has one sketch");
  vc_tensor_file_close(&file);
  program_expect(MAKE "--sketch p/sketch.safetensors -o a.safetensors", 0, NULL);
  program_expect(MAKE "--sketch p.png -o b.safetensors", 0, NULL);
  expect_same_conditions("a.safetensors", "b.safetensors", 1);
  program_expect(MAKE "--source clip.mp4 --mask p/mask.safetensors -o a.safetensors", 0, NULL);
  program_expect(MAKE "--source clip.mp4 --mask-shape rectangle -o b.safetensors", 0, NULL);
  expect_same_conditions("a.safetensors", "b.safetensors", 1);
}

Test(extract_command, a_random_start_is_recorded_for_each_video) {
  program_expect(MAKE "--motion clip.mp4 --fps 8 --start random --seed 5 --count 2 -o o.png", 0, NULL);
  program_expect("generate --like o_1.png -o again.png", 0, NULL);
  vc_image a, b;
  cr_assert_eq(vc_image_read(&a, "o_1.png", NULL), VC_OK);
  cr_assert_eq(vc_image_read(&b, "again.png", NULL), VC_OK);
  cr_assert_eq(a.width, b.width);
  cr_expect_arr_eq(a.rgb, b.rgb, (size_t)a.width * (size_t)a.height * 3);
  vc_image_free(&a);
  vc_image_free(&b);
}

Test(extract_command, a_still_clip_is_told) {
  vc_frames clip = fixture_clip(8, 64, 48, 4);
  for (int f = 1; f < 8; f++) memcpy(vc_frames_image(&clip, f).rgb, clip.rgb, 64 * 48 * 3);
  cr_assert_eq(vc_media_write("still.gif", &clip, NULL, NULL, NULL), VC_OK);
  vc_frames_free(&clip);
  const program_result *r = program_run(MAKE "--motion still.gif -o o.gif");
  cr_expect_eq(r->exit_status, 0);
  cr_expect(strstr(r->err, "nothing moves in still.gif"), "%s", r->err);
}

Test(extract_command, wrong_usage_is_refused) {
  fixture_write("text.txt", "no clip at all", 14);
  write_clip("short.gif", 2, 64, 48, 4);
  static const struct {
    int exit_status;
    const char *arguments, *message;
  } cases[] = {
      {2, "extract clip.mp4 -o d", "--use is missing"},
      {2, "extract clip.mp4 --use motion", "-o is missing"},
      {2, "extract --use motion -o d", "a clip or a picture is missing"},
      {2, "extract clip.mp4 --use pose -o d", "it is 'pose'"},
      {2, "extract clip.mp4 --use motion,, -o d", "it is 'motion,,'"},
      {2, "extract clip.mp4 clip.mp4 --use motion -o d", "clip.mp4"},
      {2, "extract --strokes '1,1 -> 5,5' --use motion,frames -o d", "need a clip"},
      {1, "extract --strokes '1,1' --use motion -o d", "--strokes: 1,1: cannot be opened"},
      {2, "extract clip.mp4 --use motion --start x -o d", "--start must be"},
      {1, "extract none.mp4 --use motion -o d", "none.mp4"},
      {1, "extract text.txt --use motion -o d", "text.txt"},
      {1, "extract short.gif --use motion -o d", "has 2 frames, and the video 8"},
      {1, "extract clip.mp4 --use motion -o none/d", "none/d cannot be made"},
      {1, "extract clip.mp4 --use motion -o text.txt", "no folder"},
      {1, "extract clip.mp4 --use motion -o none/a.safetensors", "none/a.safetensors"},
      {2, "evaluate", "VIDEO"},
      {2, "evaluate clip.mp4 --no-consistency", "nothing to measure"},
      {1, "evaluate none.gif", "none.gif"},
      {1, "evaluate text.txt", "text.txt"},
      {1, "evaluate clip.mp4 --reference short.gif", "has 2 frames, and the video 30"},
      {1, "evaluate clip.mp4 --reference text.txt", "text.txt"},
  };
  int files = program_files();
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    program_expect(cases[i].arguments, cases[i].exit_status, cases[i].message);
  cr_expect_eq(program_files(), files, "a refused command left a file");
}

// A figure of the first video.
static double figure_of(const char *arguments, const char *name) {
  const program_result *r = program_run(arguments);
  cr_assert_eq(r->exit_status, 0, "%s", r->err);
  cJSON *json = cJSON_Parse(r->out);
  cJSON *item = cJSON_GetObjectItem(cJSON_GetArrayItem(cJSON_GetObjectItem(json, "videos"), 0), name);
  cr_assert(cJSON_IsNumber(item), "no %s in %s", name, r->out);
  double value = item->valuedouble;
  cJSON_Delete(json);
  return value;
}

// A pattern that moves to the right by `step` pixels a frame.
static void write_pattern(const char *path, int step) {
  vc_frames clip;
  cr_assert_eq(vc_frames_new(&clip, 5, 96, 64, 4, NULL), VC_OK);
  for (int i = 0; i < 5 * 64 * 96; i++) {
    double x = i % 96 - i / (64 * 96) * step, y = i / 96 % 64;
    memset(clip.rgb + 3 * i, (int)(128 + 60 * sin(x * 0.31) * cos(y * 0.27) + 50 * sin(x * 0.11 + y * 0.17)), 3);
  }
  cr_assert_eq(vc_media_write(path, &clip, NULL, NULL, NULL), VC_OK);
  vc_frames_free(&clip);
}

Test(extract_command, evaluate_tells_right_motion_from_wrong) {
  write_pattern("right.gif", 3);
  write_pattern("left.gif", -3);
  write_pattern("still.gif", 0);
  program_expect("extract right.gif --use motion --size 96x64 --frames 5 -o right.safetensors", 0, NULL);
  double same = figure_of("evaluate right.gif --reference right.gif --json --no-consistency", "motion_control_error");
  double still = figure_of("evaluate still.gif --reference right.gif --json --no-consistency", "motion_control_error");
  double wrong = figure_of("evaluate left.gif --reference right.gif --json --no-consistency", "motion_control_error");
  cr_expect_eq(same, 0);
  cr_expect(fabs(still - 3) < 0.5, "%g", still);
  cr_expect(fabs(wrong - 6) < 1, "%g", wrong);
  same = figure_of("evaluate right.gif --reference right.safetensors --json --no-consistency", "motion_control_error");
  wrong = figure_of("evaluate left.gif --reference right.safetensors --json --no-consistency", "motion_control_error");
  cr_expect(same < 0.8 && wrong > 4.5, "%g, %g", same, wrong);
  cr_expect(fabs(figure_of("evaluate still.gif --json", "frame_consistency") - 1) < 1e-6);
  double moving = figure_of("evaluate clip.mp4 --json", "frame_consistency");
  cr_expect(moving > 0.5 && moving < 1, "%g", moving);
}
