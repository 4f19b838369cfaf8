// Choices among implementations, kept in a file.
#include <criterion/criterion.h>

#ifndef VC_CUDA_LINKED
Test(cuda_choices, implementations) {
  cr_skip_test("this build has no CUDA backend; CUDA_ON_HOST=1 has");
}
#else
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/cuda_ops.h"

static const char heading_lines[] = "videocomposer choices of kernels 1\n";

static void in_folder(char *path, size_t size, const char *folder, const char *name) {
  snprintf(path, size, "%s/%s", folder, name);
}

static char *read_file(const char *path) {
  FILE *file = fopen(path, "r");
  if (!file) return NULL;
  char *text = calloc(1, 1 << 16);
  size_t length = fread(text, 1, (1 << 16) - 1, file);
  text[length] = 0;
  fclose(file);
  return text;
}

static void write_file(const char *path, const char *text) {
  FILE *file = fopen(path, "w");
  fputs(text, file);
  fclose(file);
}

typedef struct saved {
  char folder[64], path[128];
  char *text;  // of the file
  const char *chosen[CUDA_MEASURABLE];
} saved;

static saved save_some(void) {
  saved s = {.folder = "/tmp/choices.XXXXXX"};
  vc_error error;
  size_t workspace;
  cr_assert(mkdtemp(s.folder));
  in_folder(s.path, sizeof s.path, s.folder, "choices");
  vc_device *device = cuda_open_device("90", VC_CUDA_MEASURED);
  setenv("CUDA_ON_HOST_CLOCK", "work", 1);
  for (int i = 0; i < CUDA_MEASURABLE; i++) {
    cuda_op r = cuda_op_plan(device, &cuda_measurable[i], VC_F16);
    cuda_op_prepare(&r, &workspace);
    s.chosen[i] = vc_cuda_chosen(device, r.kind, &r.op);
  }
  unsetenv("CUDA_ON_HOST_CLOCK");
  for (int times = 0; times < 2; times++)
    cr_assert_eq(vc_cuda_choices_save(device, s.path, &error), VC_OK, "%s", error.message);
  vc_backend_cuda.close(device);
  s.text = read_file(s.path);
  cr_assert(s.text);
  return s;
}

static void forget(saved *s) {
  unlink(s->path);
  cr_expect_eq(rmdir(s->folder), 0, "something else was left in %s", s->folder);
  free(s->text);
}

static vc_status load(vc_cuda_library library, const char *path, int *loaded, vc_error *error) {
  vc_device *device = cuda_open_device("90", library);
  vc_status status = vc_cuda_choices_load(device, path, loaded, error);
  vc_backend_cuda.close(device);
  return status;
}

Test(cuda_choices, choices_come_back_from_a_file) {
  saved s = save_some();
  vc_error error = {{0}};
  int loaded = -1;
  cr_expect(!strncmp(s.text, heading_lines, strlen(heading_lines)), "%s", s.text);
  vc_device *device = cuda_open_device("90", VC_CUDA_MEASURED);
  cr_expect_eq(vc_cuda_choices_load(device, s.path, &loaded, &error), VC_OK, "%s", error.message);
  cr_expect_eq(loaded, CUDA_MEASURABLE);
  for (int i = 0; i < CUDA_MEASURABLE; i++) cuda_expect_choice(device, &cuda_measurable[i], VC_F16, s.chosen[i]);
  cr_expect_eq(vc_cuda_choices_load(device, s.path, &loaded, &error), VC_OK);
  cr_expect_eq(loaded, 0, "choices that are known are not replaced");
  vc_backend_cuda.close(device);
  cr_expect_eq(load(VC_CUDA_OWN, s.path, &loaded, &error), VC_OK);
  cr_expect_eq(loaded, 0);
  cr_expect_eq(load(VC_CUDA_VENDOR, s.path, &loaded, &error), VC_OK);
  cr_expect_eq(loaded, 0);
  forget(&s);
}

Test(cuda_choices, files_of_others_are_ignored) {
  saved s = save_some();
  vc_error error = {{0}};
  int loaded = -1;
  char other[128];
  in_folder(other, sizeof other, s.folder, "none");
  cr_expect_eq(load(VC_CUDA_MEASURED, other, &loaded, &error), VC_OK);
  cr_expect_eq(loaded, 0);
  size_t heading = (size_t)(strstr(strstr(s.text, "driver"), "\n") - s.text);
  for (size_t i = 0; i < heading; i += 3) {  // another version, GPU, driver, library
    s.text[i] ^= 1;
    write_file(s.path, s.text);
    cr_expect_eq(load(VC_CUDA_MEASURED, s.path, &loaded, &error), VC_OK, "%s", error.message);
    cr_expect_eq(loaded, 0, "byte %d of the heading", (int)i);
    s.text[i] ^= 1;
  }
  write_file(s.path, "");
  cr_expect_eq(load(VC_CUDA_MEASURED, s.path, &loaded, &error), VC_OK);
  cr_expect_eq(loaded, 0);
  cr_expect_eq(load(VC_CUDA_MEASURED, s.folder, &loaded, &error), VC_FAILED);
  cr_expect(strstr(error.message, s.folder), "%s", error.message);
  forget(&s);
}

Test(cuda_choices, lines_that_are_no_choices) {
  static const char *const lines[] = {"linear",
                                      "linear simt",
                                      "linear abacus 2 0 0 300 64 0 64 128\n",
                                      "matmul simt 2 0 0 300 64 0 64 128\n",
                                      "linear cudnn 2 0 0 300 64 0 64 128\n",
                                      "linear simt 2 0 0 300 64 0 64\n",
                                      "linear simt 2 0 0 300 64 0 64 128 9\n",
                                      "linear simt 2 0 0 300 64 0 64 x\n",
                                      "linear simt 2 0 0 300 64 0 64 99999999999999999999\n",
                                      "linear simt 2 0 0 300 64 0 64 128",
                                      "\n",
                                      "conv simt 2 0 0 300 64 0 64 128\n",
                                      "conv cublaslt 0 0 0 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1\n"};
  saved s = save_some();
  char *end = strstr(strstr(s.text, "driver"), "\n") + 1;
  for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
    vc_error error = {{0}};
    int loaded = -1;
    strcpy(end, "linear simt 2 0 0 301 64 0 64 128\n");
    strcat(end, lines[i]);
    write_file(s.path, s.text);
    cr_expect_eq(load(VC_CUDA_MEASURED, s.path, &loaded, &error), VC_FAILED, "'%s'", lines[i]);
    cr_expect(strstr(error.message, s.path) && strstr(error.message, "line 5"), "%s", error.message);
    cr_expect_eq(loaded, 1);
  }
  forget(&s);
}

Test(cuda_choices, a_file_that_cannot_be_written) {
  vc_device *device = cuda_open_device("90", VC_CUDA_OWN);
  vc_error error = {{0}};
  cr_expect_eq(vc_cuda_choices_save(device, "/no/such/folder/choices", &error), VC_FAILED);
  cr_expect(strstr(error.message, "/no/such/folder/choices"), "%s", error.message);
  char folder[] = "/tmp/choices.XXXXXX";
  cr_assert(mkdtemp(folder));
  char inside[128];
  in_folder(inside, sizeof inside, folder, "taken");
  cr_assert_eq(mkdir(inside, 0700), 0);
  cr_expect_eq(vc_cuda_choices_save(device, inside, &error), VC_FAILED);
  rmdir(inside);
  cr_expect_eq(rmdir(folder), 0, "a temporary file is left in %s", folder);
  vc_backend_cuda.close(device);
}
#endif
