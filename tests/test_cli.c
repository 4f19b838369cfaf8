// The program as scripts see it: exit status, standard output, and one line on standard error.
#include <cjson/cJSON.h>
#include <criterion/criterion.h>
#include <math.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/command.h"
#include "loaders/image.h"
#include "loaders/npy.h"
#include "loaders/safetensors.h"

extern char **environ;

typedef struct outcome {
  int exit_status;  // -1: a signal ended it
  char out[32768], err[8192];
} outcome;

static outcome result;  // of the last run, in the process of one test
static char folder[64];

static void read_all(FILE *file, char *text, size_t size) {
  rewind(file);
  text[fread(text, 1, size - 1, file)] = 0;
  fclose(file);
}

// Runs the program with the words of the line; "%d" in it stands for the folder of this test. The program's output
// goes to `out`, or to result.out when that is NULL.
static void run_to(const char *out_path, const char *line) {
  static char copy[4096];
  char *argv[64] = {"videocomposer"}, *to = copy;
  for (const char *from = line; *from; from++) {
    if (from[0] == '%' && from[1] == 'd') {
      to += sprintf(to, "%s", folder);
      from++;
    } else {
      *to++ = *from;
    }
  }
  *to = 0;
  int argc = 1;
  for (char *word = strtok(copy, " "); word; word = strtok(NULL, " ")) argv[argc++] = word;

  const char *program = getenv("VIDEOCOMPOSER");
  FILE *out = out_path ? fopen(out_path, "w") : tmpfile(), *err = tmpfile();
  cr_assert(out && err);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", 0, 0);
  posix_spawn_file_actions_adddup2(&actions, fileno(out), 1);
  posix_spawn_file_actions_adddup2(&actions, fileno(err), 2);
  pid_t pid;
  program = program ? program : "build/videocomposer";
  cr_assert_eq(posix_spawn(&pid, program, &actions, NULL, argv, environ), 0, "%s cannot be run", program);
  posix_spawn_file_actions_destroy(&actions);
  int status = 0;
  cr_assert_eq(waitpid(pid, &status, 0), pid);
  result.exit_status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  read_all(out, result.out, sizeof result.out);
  read_all(err, result.err, sizeof result.err);
}

static void run(const char *line) {
  run_to(NULL, line);
}

static void expect_failure(const char *line, int exit_status, const char *message) {
  run(line);
  cr_expect_eq(result.exit_status, exit_status, "'%s' ended with %d", line, result.exit_status);
  size_t length = strlen(result.err);
  cr_expect(length && strchr(result.err, '\n') == result.err + length - 1, "'%s' must say one line, not: %s", line,
            result.err);
  cr_expect(strstr(result.err, message), "'%s' says: %s", line, result.err);
}

static void make_folder(void) {
  strcpy(folder, "/tmp/videocomposer-test-XXXXXX");
  cr_assert(mkdtemp(folder));
}

static void remove_folder(void) {
  pid_t pid;
  char *argv[] = {"rm", "-rf", folder, NULL};
  if (!posix_spawnp(&pid, "rm", NULL, NULL, argv, environ)) waitpid(pid, NULL, 0);
}

static const char *path_of(const char *name) {
  static char path[128];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  return path;
}

#define ENTRY_NAME(name, summary) #name,
static const char *const commands[] = {VC_COMMANDS(ENTRY_NAME)};
enum { COMMAND_COUNT = sizeof commands / sizeof *commands };

Test(cli, help_and_version_are_printed) {
  run("--help");
  cr_expect_eq(result.exit_status, 0);
  cr_expect_str_empty(result.err);
  for (int i = 0; i < COMMAND_COUNT; i++) cr_expect(strstr(result.out, commands[i]), "%s", commands[i]);
  run("--version");
  cr_expect_eq(result.exit_status, 0);
  cr_expect(!strncmp(result.out, "videocomposer ", 14), "%s", result.out);
}

Test(cli, every_command_has_help_with_an_example) {
  for (int i = 0; i < COMMAND_COUNT; i++) {
    char line[64], expected[64];
    snprintf(line, sizeof line, "%s --help", commands[i]);
    run(line);
    cr_expect_eq(result.exit_status, 0, "%s", line);
    cr_expect_str_empty(result.err, "%s", line);
    snprintf(expected, sizeof expected, "Usage: videocomposer %s", commands[i]);
    cr_expect(strstr(result.out, expected), "%s", line);
    snprintf(expected, sizeof expected, "\nExample\n  videocomposer %s", commands[i]);
    cr_expect(strstr(result.out, expected), "%s", line);
  }
}

Test(cli, every_command_refuses_an_unknown_option) {
  for (int i = 0; i < COMMAND_COUNT; i++) {
    char line[64];
    snprintf(line, sizeof line, "%s --no-such-option 3", commands[i]);
    expect_failure(line, 2, "unknown option --no-such-option");
  }
}

Test(cli, wrong_usage_ends_with_2_and_one_line) {
  static const struct {
    const char *line, *message;
  } cases[] = {
      {"", "videocomposer: no command"},
      {"comapre", "unknown command 'comapre'; did you mean 'compare'?"},
      {"xyzzy", "unknown command 'xyzzy'; 'videocomposer --help' lists them"},
      {"--nonsense", "unknown command '--nonsense'"},
      {"compare", "missing arguments; usage: videocomposer compare [options] RESULT REFERENCE"},
      {"compare a", "missing arguments"},
      {"compare a b c", "unexpected argument 'c'"},
      {"compare a b --tolerence 1", "did you mean --tolerance?"},
      {"compare a b --tolerance", "--tolerance needs a value"},
      {"compare a b --tolerance nan", "--tolerance: 'nan' is no rule"},
      {"compare a b --tolerance {\"x\":-1}", "rule for 'x'"},
      {"compare a b --min-psnr nan", "--min-psnr: must be a number from 0 to 1000, not 'nan'"},
      {"compare a b --min-ssim 2", "--min-ssim: must be a number from -1 to 1, not '2'"},
      {"compare --json=1 a b", "--json takes no value"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    expect_failure(cases[i].line, 2, cases[i].message);
    cr_expect_str_empty(result.out, "%s", cases[i].line);
  }
}

Test(cli, a_full_disk_is_no_success) {
  if (access("/dev/full", W_OK)) cr_skip_test("there is no /dev/full");
  run_to("/dev/full", "--help");
  cr_expect_eq(result.exit_status, 1);
  cr_expect(strstr(result.err, "standard output cannot be written"), "%s", result.err);
}

TestSuite(compare_command, .init = make_folder, .fini = remove_folder);

enum { COUNT = 12 };

// x [3, 4] and y, of which one element is changed.
static void write_tensors(const char *name, size_t index, float value, const char *second) {
  float x[COUNT], y[2] = {1, 2};
  for (int i = 0; i < COUNT; i++) x[i] = (float)i;
  x[index] = value;
  char names[2][8] = {"x"};
  snprintf(names[1], sizeof names[1], "%s", second);
  vc_named_tensor tensors[] = {{names[0], {.dtype = VC_F32, .rank = 2, .dim = {3, 4}, .data = x}},
                               {names[1], {.dtype = VC_F32, .rank = 1, .dim = {2}, .data = y}}};
  vc_error error;
  cr_assert_eq(vc_safetensors_write(path_of(name), tensors, 2, NULL, 0, &error), VC_OK, "%s", error.message);
}

Test(compare_command, tensor_files) {
  write_tensors("reference", 0, 0, "y");
  write_tensors("same", 0, 0, "y");
  write_tensors("near", 6, 6.5f, "y");
  write_tensors("nan", 6, NAN, "y");
  write_tensors("other", 0, 0, "z");
  run("compare %d/same %d/reference --tolerance equal");
  cr_expect_eq(result.exit_status, 0);
  cr_expect(strstr(result.out, "ok    x [3, 4]: equal (rule equal)\n"), "%s", result.out);
  cr_expect(strstr(result.out, "2 passed, 0 failed\n"), "%s", result.out);
  cr_expect_str_empty(result.err);

  run("compare %d/near %d/reference");
  cr_expect_eq(result.exit_status, 0, "without a limit a difference is no failure");
  cr_expect(strstr(result.out, "ok    x [3, 4]: rel_l2 0.0222, max_abs 0.5 at [1, 2], cosine 0.999"), "%s", result.out);
  cr_expect(strstr(result.out, "1 of 12 differ from [1, 2] on\n"), "%s", result.out);

  run("compare %d/near %d/reference --tolerance 0.03");
  cr_expect_eq(result.exit_status, 0);
  run("compare %d/near %d/reference --tolerance {\"x\":\"max_abs\\u00200.5\",\"*\":\"equal\"}");
  cr_expect_eq(result.exit_status, 0, "%s%s", result.out, result.err);
  expect_failure("compare %d/near %d/reference --tolerance 0.02", 1, "1 of 2 comparisons failed");
  cr_expect(strstr(result.out, "FAIL  x"), "%s", result.out);
  cr_expect(strstr(result.out, "relative L2 error 0.0222, at most 0.02 allowed\n"), "%s", result.out);
  cr_expect(strstr(result.out, "1 passed, 1 failed\n"), "%s", result.out);

  expect_failure("compare %d/nan %d/reference --tolerance 1e9", 1, "1 of 2 comparisons failed");
  cr_expect(strstr(result.out, "1 NaN and 0 infinite"), "%s", result.out);
  expect_failure("compare %d/nan %d/nan --tolerance ignore", 1, "1 of 2 comparisons failed");

  expect_failure("compare %d/other %d/reference", 1, "2 of 3 comparisons failed");
  cr_expect(strstr(result.out, "FAIL  y [2]; the result has no tensor of this name\n"), "%s", result.out);
  cr_expect(strstr(result.out, "FAIL  z; the reference has no tensor of this name\n"), "%s", result.out);
  expect_failure("compare %d/same %d/reference --min-psnr 30", 2, "--min-psnr and --min-ssim are for images");
}

Test(compare_command, json_holds_the_same) {
  write_tensors("reference", 0, 0, "y");
  write_tensors("near", 6, 6.5f, "y");
  write_tensors("nan", 6, NAN, "y");
  run("compare --json %d/near %d/reference --tolerance 1e-3");
  cr_expect_eq(result.exit_status, 1);
  cJSON *json = cJSON_Parse(result.out);
  cr_assert(json, "%s", result.out);
  cr_expect_eq(cJSON_GetObjectItem(json, "passed")->valueint, 1);
  cr_expect_eq(cJSON_GetObjectItem(json, "failed")->valueint, 1);
  cJSON *x = cJSON_GetArrayItem(cJSON_GetObjectItem(json, "tensors"), 0);
  cr_expect_str_eq(cJSON_GetObjectItem(x, "name")->valuestring, "x");
  cr_expect(cJSON_IsFalse(cJSON_GetObjectItem(x, "passed")));
  cr_expect_eq(cJSON_GetObjectItem(x, "max_abs")->valuedouble, 0.5);
  cr_expect_eq(cJSON_GetObjectItem(x, "differing")->valueint, 1);
  cr_expect_eq(cJSON_GetArrayItem(cJSON_GetObjectItem(x, "max_index"), 0)->valueint, 1);
  cr_expect_eq(cJSON_GetArrayItem(cJSON_GetObjectItem(x, "max_index"), 1)->valueint, 2);
  cr_expect_eq(cJSON_GetArraySize(cJSON_GetObjectItem(x, "shape")), 2);
  cr_expect(cJSON_GetObjectItem(x, "problem"));
  cJSON_Delete(json);

  run("compare --json %d/nan %d/reference");
  json = cJSON_Parse(result.out);
  cr_assert(json, "what is not finite must not break JSON: %s", result.out);
  x = cJSON_GetArrayItem(cJSON_GetObjectItem(json, "tensors"), 0);
  cr_expect(cJSON_IsNull(cJSON_GetObjectItem(x, "relative_l2")));
  cr_expect_eq(cJSON_GetObjectItem(x, "result_nan")->valueint, 1);
  cJSON_Delete(json);
}

Test(compare_command, arrays_of_numpy) {
  float x[4] = {1, 2, 3, 4}, y[4] = {1, 2, 3, 5};
  vc_tensor a = {.dtype = VC_F32, .rank = 1, .dim = {4}, .data = x};
  vc_tensor b = {.dtype = VC_F32, .rank = 2, .dim = {2, 2}, .data = y};
  cr_assert_eq(vc_npy_write(path_of("a.npy"), &a, NULL), VC_OK);
  cr_assert_eq(vc_npy_write(path_of("b.npy"), &b, NULL), VC_OK);
  run("compare %d/a.npy %d/a.npy --tolerance 0");
  cr_expect_eq(result.exit_status, 0, "%s", result.err);
  expect_failure("compare %d/a.npy %d/b.npy", 1, "1 of 1 comparisons failed");
  cr_expect(strstr(result.out, "shape [4], expected [2, 2]"), "%s", result.out);
}

static void write_picture(const char *name, int width, int height, int change) {
  vc_image image;
  vc_error error;
  cr_assert_eq(vc_image_new(&image, width, height, &error), VC_OK, "%s", error.message);
  for (int i = 0; i < width * height * 3; i++) image.rgb[i] = (uint8_t)(i * 7 % 200);
  uint8_t *sample = image.rgb + (5 * width + 6) * 3 + 1;
  *sample = (uint8_t)(*sample + change);
  cr_assert_eq(vc_image_write_png(path_of(name), &image, NULL, 0, &error), VC_OK, "%s", error.message);
  vc_image_free(&image);
}

Test(compare_command, pictures) {
  write_picture("a.png", 20, 16, 0);
  write_picture("b.png", 20, 16, 40);
  write_picture("wide.png", 21, 16, 0);
  write_picture("small.png", 8, 8, 0);
  write_tensors("tensors", 0, 0, "y");
  run("compare %d/a.png %d/a.png --tolerance equal --min-psnr 100 --min-ssim 1");
  cr_expect_eq(result.exit_status, 0, "%s%s", result.out, result.err);
  cr_expect(strstr(result.out, "ok    frames [1, 16, 20, 3]: equal"), "%s", result.out);

  // One sample of 960 is off by 40: 10 log10(255^2 * 960 / 1600).
  run("compare %d/b.png %d/a.png --min-psnr 45.9");
  cr_expect_eq(result.exit_status, 0, "%s", result.out);
  cr_expect(strstr(result.out, "PSNR 45.91 dB (worst frame 45.91), SSIM 0.9"), "%s", result.out);
  cr_expect(strstr(result.out, "max_abs 40 at [0, 5, 6, 1]"), "%s", result.out);
  expect_failure("compare %d/b.png %d/a.png --min-psnr 45.95", 1, "1 of 1 comparisons failed");
  cr_expect(strstr(result.out, "PSNR 45.91 dB, at least 45.95 asked for"), "%s", result.out);
  expect_failure("compare %d/b.png %d/a.png --min-ssim 1", 1, "1 of 1 comparisons failed");
  expect_failure("compare %d/small.png %d/small.png --min-ssim 0", 1, "1 of 1 comparisons failed");
  run("compare %d/small.png %d/small.png --json");
  cr_expect_eq(result.exit_status, 0);
  cr_expect(strstr(result.out, "\"ssim\":\tnull"), "%s", result.out);

  expect_failure("compare %d/wide.png %d/a.png", 1, "1 of 1 comparisons failed");
  cr_expect(strstr(result.out, "shape [1, 16, 21, 3], expected [1, 16, 20, 3]"), "%s", result.out);
  expect_failure("compare %d/a.png %d/tensors", 2, "both must be of one kind");
  expect_failure("compare %d/tensors %d/a.png", 2, "both must be of one kind");
}

Test(compare_command, folders_of_pictures_are_videos) {
  char name[64];
  for (int f = 0; f < 2; f++)
    for (int i = 0; i < 3; i++) {
      if (!i) cr_assert_eq(mkdir(path_of(f ? "b" : "a"), 0700), 0);
      snprintf(name, sizeof name, "%c/%d.png", 'a' + f, i);
      write_picture(name, 12, 12, f && i == 2 ? 3 : 0);
    }
  run("compare %d/b %d/a --tolerance {\"frames\":\"max_abs\\u00203\"} --min-ssim 0.5");
  cr_expect_eq(result.exit_status, 0, "%s%s", result.out, result.err);
  cr_expect(strstr(result.out, "1 of 1296 differ from [2, 5, 6, 1] on"), "%s", result.out);
}

Test(compare_command, bad_files_end_with_1_and_their_name) {
  write_tensors("tensors", 0, 0, "y");
  expect_failure("compare %d/none %d/tensors", 1, "/none: cannot be opened");
  expect_failure("compare %d/tensors %d/none", 1, "/none: cannot be opened");
  cr_assert_eq(truncate(path_of("tensors"), 40), 0);
  expect_failure("compare %d/tensors %d/tensors", 1, "/tensors");
  cr_assert_eq(truncate(path_of("tensors"), 0), 0);
  expect_failure("compare %d/tensors %d/tensors", 1, "/tensors");
  vc_error error;
  cr_assert_eq(vc_safetensors_write(path_of("empty"), NULL, 0, NULL, 0, &error), VC_OK, "%s", error.message);
  expect_failure("compare %d/empty %d/empty", 1, "nothing to compare");
}
