// The program with --backend cuda: videos like those of the CPU backend, and what it says.
#include <criterion/criterion.h>

#ifndef VC_CUDA_LINKED
Test(cuda_generate, videos) {
  cr_skip_test("this build has no CUDA backend; CUDA_ON_HOST=1 has");
}
#else
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "loaders/media_out.h"
#include "loaders/safetensors.h"
#include "tests/media_fixtures.h"
#include "tests/program.h"

// As small as the model goes, with one condition besides the text.
#define JOB "generate --steps 2 --size 64x32 --frames 3 --seed 7 --prompt 'a red circle' --depth clip.gif "

#ifdef __SANITIZE_ADDRESS__
enum { SANITIZED = true };  // a tenth of the speed: F16 alone
#else
enum { SANITIZED = false };
#endif

static void enter(void) {
  program_enter();
  vc_frames clip = fixture_clip(3, 64, 32, 4);
  vc_error error;
  cr_assert_eq(vc_media_write("clip.gif", &clip, NULL, NULL, &error), VC_OK, "%s", error.message);
  vc_frames_free(&clip);
}

TestSuite(cuda_generate, .init = enter, .fini = program_leave);

static const vc_tensor *video_of(vc_tensor_file *file, const char *path) {
  vc_error error;
  cr_assert_eq(vc_safetensors_open(file, path, &error), VC_OK, "%s", error.message);
  const vc_tensor *video = vc_tensor_file_find(file, "video");
  cr_assert(video && video->dtype == VC_F32 && video->rank == 5, "%s", path);
  return video;
}

// Of values in 0 .. 1.
static double psnr(const char *a, const char *b) {
  vc_tensor_file files[2];
  const vc_tensor *one = video_of(&files[0], a), *two = video_of(&files[1], b);
  size_t count = vc_tensor_count(one);
  double sum = 0;
  cr_assert_eq(count, vc_tensor_count(two));
  for (size_t i = 0; i < count; i++) {
    float x, y;  // the files' tensors need not be aligned
    memcpy(&x, (const char *)one->data + 4 * i, sizeof x);
    memcpy(&y, (const char *)two->data + 4 * i, sizeof y);
    sum += ((double)x - (double)y) * ((double)x - (double)y);
  }
  vc_tensor_file_close(&files[0]);
  vc_tensor_file_close(&files[1]);
  return sum > 0 ? -10 * log10(sum / (double)count) : INFINITY;
}

static bool same_video(const char *a, const char *b) {
  vc_tensor_file files[2];
  const vc_tensor *one = video_of(&files[0], a), *two = video_of(&files[1], b);
  bool same = vc_tensor_bytes(one) == vc_tensor_bytes(two) && !memcmp(one->data, two->data, vc_tensor_bytes(one));
  vc_tensor_file_close(&files[0]);
  vc_tensor_file_close(&files[1]);
  return same;
}

// Measured: 139, 75 and 57 dB. F16 is what runs when no type is named, and its bytes are always the same.
Test(cuda_generate, videos_are_those_of_the_cpu) {
  static const struct {
    const char *options;
    double least;  // dB, of values in 0 .. 1
  } cases[] = {{"--dtype f32", 100}, {"--dtype f16", 60}, {"--dtype bf16", 45}, {"--profile", 60}};
  static const char *const phases[] = {"text", "load unet", "conditions", "denoise", "decode", "MiB"};
  program_expect(JOB "--backend cpu -o cpu.safetensors", 0, "");
  for (int i = 0; i < 4; i++) {
    if (SANITIZED && i != 1) continue;
    const program_result *r = program_runf(JOB "--backend cuda %s -o %d.safetensors", cases[i].options, i);
    cr_assert_eq(r->exit_status, 0, "%s: %s", cases[i].options, r->err);
    if (i < 3) cr_expect_str_empty(r->err);
    for (size_t k = 0; k < sizeof phases / sizeof *phases && i == 3; k++)
      cr_expect(strstr(r->err, phases[k]), "'%s' is not in: %s", phases[k], r->err);
    char path[32];
    snprintf(path, sizeof path, "%d.safetensors", i);
    double got = psnr(path, "cpu.safetensors");
    cr_expect(got >= cases[i].least, "%s: %g dB", cases[i].options, got);
    cr_expect(!i || got < 110, "%s: %g dB, as if in F32", cases[i].options, got);
  }
  if (!SANITIZED) cr_expect(same_video("1.safetensors", "3.safetensors"));
}

Test(cuda_generate, what_cannot_be_done_is_refused) {
  program_expect(JOB "--backend cpu --dtype f16 -o o.gif", 1, "f32");
  program_expect(JOB "--backend cuda --dtype f8 -o o.gif", 2, "f8");
  program_expect(JOB "--backend cuda --device 3 -o o.gif", 2, "no GPU 3");
  setenv("CUDA_ON_HOST_DEVICES", "0", 1);
  program_expect(JOB "--backend cuda -o o.gif", 1, "--backend cpu");
  unsetenv("CUDA_ON_HOST_DEVICES");
  cr_expect(!program_exists("o.gif"));
}

// Memory may run out while the device is opened, while parameters are loaded, and for each arena: one line, and nothing
// is left behind.
Test(cuda_generate, no_memory_at_any_time) {
  static const int allocations[] = {1, 3, 6, 8};
  for (size_t i = 0; i < sizeof allocations / sizeof *allocations; i++) {
    char value[32];
    snprintf(value, sizeof value, "cudaMalloc:%d+", allocations[i]);
    setenv("CUDA_ON_HOST_FAIL", value, 1);
    program_expect(JOB "--backend cuda -o o.gif", 1, "memory");
    unsetenv("CUDA_ON_HOST_FAIL");
    cr_expect(!program_exists("o.gif"));
  }
  setenv("CUDA_ON_HOST_MEMORY", "40", 1);
  program_expect(JOB "--backend cuda -o o.gif", 1, "MiB");
  unsetenv("CUDA_ON_HOST_MEMORY");
}

Test(cuda_generate, plans_are_printed) {
  const program_result *r = program_run("plan --backend cuda --size 64x32 --frames 3");
  cr_assert_eq(r->exit_status, 0, "%s", r->err);
  cr_expect(strstr(r->out, "arena"), "%s", r->out);
}
#endif
