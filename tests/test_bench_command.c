// `bench` and `plan` from outside, with the small model inside the program: complete JSON, comparisons, figures made of
// it.
#include <cjson/cJSON.h>
#include <criterion/criterion.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/program.h"

static char repository[4096];

// The program runs in a folder of its own; the scripts lie where the tests were started.
static void enter(void) {
  cr_assert(getcwd(repository, sizeof repository));
  program_enter();
}

TestSuite(bench_command, .init = enter, .fini = program_leave);

static cJSON *read_json(const char *path) {
  FILE *file = fopen(path, "rb");
  cr_assert(file, "%s is not there", path);
  char *text = calloc(1, 4 << 20);
  cr_assert(fread(text, 1, (4 << 20) - 1, file) > 0);
  fclose(file);
  cJSON *json = cJSON_Parse(text);
  cr_assert(json, "%s is no JSON: %.200s", path, text);
  free(text);
  return json;
}

// What the program prints for the arguments, which may be more than program_run keeps.
static cJSON *run_json(const char *arguments) {
  const program_result *r = program_run(arguments);
  cr_assert_eq(r->exit_status, 0, "'%s' says: %s", arguments, r->err);
  char path[128];
  snprintf(path, sizeof path, "%s/out", program_folder);
  return read_json(path);
}

static double number(const cJSON *object, const char *name) {
  const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
  cr_assert(cJSON_IsNumber(item), "no number %s", name);
  return item->valuedouble;
}

static double sum(const cJSON *objects, const char *name) {
  const cJSON *item;
  double total = 0;
  cJSON_ArrayForEach(item, objects) total += number(item, name);
  return total;
}

static const cJSON *member(const cJSON *object, const char *name) {
  const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
  cr_assert(item, "no %s", name);
  return item;
}

Test(bench_command, step_by_kind_and_by_level) {
  cJSON *step = run_json("bench step --runs 2 --json");
  const cJSON *kinds = member(step, "kinds"), *levels = member(step, "levels"), *level;
  double ops = sum(kinds, "ops");
  cr_expect(ops > 300, "%g ops", ops);
  cr_expect_eq(sum(levels, "ops"), ops);
  cr_expect_eq(cJSON_GetArraySize(levels), 3);
  cr_expect_float_eq(sum(kinds, "seconds"), number(step, "sum_seconds"), 1e-9);
  cr_expect_float_eq(sum(levels, "seconds"), number(step, "sum_seconds"), 1e-9);
  cr_expect_float_eq(sum(levels, "flops"), number(step, "flops"), 1);
  cJSON_ArrayForEach(level, levels) {
    const cJSON *kind;
    double seconds = 0;
    cJSON_ArrayForEach(kind, member(level, "kinds")) seconds += kind->valuedouble;
    cr_expect_float_eq(seconds, number(level, "seconds"), 1e-9, "%s", level->string);
  }
  cr_expect(number(step, "least") <= number(step, "seconds") && number(step, "seconds") <= number(step, "most"));
  cr_expect(number(step, "peak_bytes") > number(step, "weight_bytes"));
  cJSON_Delete(step);
}

// Every op of the step, as often as it occurs; one that is missing would show in the sums.
Test(bench_command, kernels_cover_the_step_and_compare) {
  cJSON *step = run_json("bench step --runs 1 --json"),
        *kernels = run_json("bench kernels --seconds 0 --runs 3 --json");
  const cJSON *list = member(kernels, "kernels"), *kind, *kernel;
  cr_assert(!rename("out", "before.json"));
  cJSON_ArrayForEach(kind, member(step, "kinds")) {
    double times = 0, flops = 0;
    cJSON_ArrayForEach(kernel, list) if (!strcmp(member(kernel, "kind")->valuestring, kind->string)) {
      times += number(kernel, "times");
      flops += number(kernel, "times") * number(kernel, "flops");
    }
    cr_expect_eq(times, number(kind, "ops"), "%s: %g of %g", kind->string, times, number(kind, "ops"));
    cr_expect_float_eq(flops, number(kind, "flops"), 1e-9 * flops, "%s", kind->string);
  }
  double total = 0;
  cJSON_ArrayForEach(kernel, list) {
    const cJSON *seconds = member(kernel, "seconds");
    total += number(kernel, "times") * number(seconds, "median");
    cr_expect(number(seconds, "low") <= number(seconds, "median"));
    cr_expect(number(seconds, "median") <= number(seconds, "high"));
    cr_expect(number(kernel, "error") <= 3e-6, "%s: error %g", member(kernel, "op")->valuestring,
              number(kernel, "error"));
    cr_expect(number(kernel, "roofline") > 0);
  }
  cr_expect_float_eq(total, number(kernels, "sum_seconds"), 1e-9 * total);
  cr_expect_float_eq(number(kernels, "sum_over_step"), total / number(kernels, "step_seconds"), 1e-9);
  cr_expect_float_eq(sum(list, "share"), 1, 1e-9);
  cJSON_Delete(step);
  cJSON_Delete(kernels);

  kernels = run_json("bench kernels --filter layer_norm --seconds 0 --compare before.json --json --no-roofline");
  cJSON_ArrayForEach(kernel, member(kernels, "kernels")) {
    cr_expect_str_neq(member(kernel, "change")->valuestring, "new");
    cr_expect(number(kernel, "ratio") > 0);
  }
  cJSON_Delete(kernels);
  const program_result *r = program_run(
      "bench kernels --shape 'layer_norm rows=3 c=5' --shape 'gate rows=3 c=5' --csv --no-roofline --compare "
      "before.json");
  cr_expect_eq(r->exit_status, 0, "%s", r->err);
  cr_expect(strstr(r->out, "\nlayer_norm rows=3 c=5,,0,") && strstr(r->out, ",,new\n"), "%s", r->out);
}

Test(bench_command, kernels_say_what_is_wrong) {
  static const struct {
    const char *arguments;
    int exit_status;
    const char *message;
  } cases[] = {
      {"bench kernels --json --csv", 2, "not both"},
      {"bench kernels --filter nothing-like-this", 2, "no op contains this"},
      {"bench kernels --shape 'linear lines=3'", 2, "no 'lines'"},
      {"bench kernels --shape 'linear rows=3' --filter x", 2, "leave --filter"},
      {"bench kernels --shape 'layer_norm rows=0 c=4'", 2, "layer_norm"},
      {"bench kernels --released --model x", 2, "leave --model"},
      {"bench kernels --size 100x100", 2, "multiples of"},
      {"bench kernels --conditions smell", 2, "smell"},
      {"bench kernels --compare none.json", 1, "none.json: cannot be opened"},
      {"bench kernels --compare bad.json", 1, "bad.json: is not what"},
      {"bench kernels --compare wrong.json", 1, "wrong.json: is not what"},
      {"bench step --model none", 1, "none"},
      {"bench --json step", 2, "comes right behind bench"},
      {"bench nothing", 2, "cannot be measured"},
      {"bench generate --conditions smell", 2, "smell"},
      {"bench generate --size 3x3", 2, "--size"},
  };
  FILE *file = fopen("bad.json", "w");
  cr_assert(file && fputs("{\"kernels\": 3}", file) >= 0 && !fclose(file));
  file = fopen("wrong.json", "w");
  cr_assert(file && fputs("{\"kernels\": [{\"op\": \"x\", \"seconds\": {\"median\": 0}}]}", file) >= 0 &&
            !fclose(file));
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    program_expect(cases[i].arguments, cases[i].exit_status, cases[i].message);
}

Test(bench_command, tables_for_people) {
  const program_result *r = program_run("bench kernels --filter 'copy ' --seconds 0 --variants");
  cr_expect_eq(r->exit_status, 0, "%s", r->err);
  cr_expect(strstr(r->out, "roofline") && strstr(r->out, "copy outer=2") && strstr(r->out, "generic "), "%s", r->out);
  r = program_run("bench kernels --list --network vae-decoder");
  cr_expect_eq(r->exit_status, 0, "%s", r->err);
  cr_expect(strstr(r->out, "upsample=2"), "%s", r->out);
  cJSON *listed = run_json("bench kernels --list --json --filter 'linear '");
  const cJSON *op;
  cr_expect_gt(sum(member(listed, "ops"), "in_step"), 0);
  cJSON_ArrayForEach(op, member(listed, "ops")) {
    cr_expect_eq(strncmp(member(op, "op")->valuestring, "linear rows=", 12), 0, "%s", member(op, "op")->valuestring);
    cr_expect_gt(member(op, "flops")->valuedouble, 0);
  }
  cJSON_Delete(listed);
  r = program_run("bench step --runs 1 --network clip-text");
  cr_expect_eq(r->exit_status, 0, "%s", r->err);
  cr_expect(strstr(r->out, "gather") && !strstr(r->out, "level"), "%s", r->out);
}

Test(bench_command, whole_jobs_by_phase) {
  cJSON *job = run_json("bench generate --steps 1 --frames 2 --size 32x32 --runs 1 --conditions depth --json");
  const cJSON *phases = member(job, "phases"), *phase;
  bool denoise = false;
  cr_expect(sum(phases, "first_seconds") <= number(job, "first_seconds"));
  cr_expect(sum(phases, "seconds") <= number(job, "seconds"));
  cr_expect_float_eq(number(job, "videos_per_hour"), 3600 / number(job, "seconds"),
                     1e-6 * number(job, "videos_per_hour"));
  cr_expect(number(job, "steps") == 1 && number(job, "frames") == 2 && number(job, "width") == 32);
  cJSON_ArrayForEach(phase, phases) denoise |= !strcmp(member(phase, "name")->valuestring, "denoise");
  cr_expect(denoise);
  cJSON_Delete(job);
}

// What folding saves is the difference of the two plans.
Test(bench_command, plans_say_what_they_save) {
  cJSON *plan = run_json("plan --json -o map.svg"), *plain = run_json("plan --json --no-fold");
  const cJSON *folded = member(member(plan, "folded"), "saved_in_a_step");
  const cJSON *moved = member(plan, "moved_to_the_prologue"), *video = member(plan, "saved_in_a_video");
  cr_expect_float_eq(number(folded, "bytes"), number(plain, "step_bytes") - number(plan, "step_bytes"), 1);
  cr_expect(number(folded, "bytes") > 0 && number(folded, "ops") > 0);
  cr_expect(number(moved, "flops") > 0 && number(moved, "bytes") > 0);
  cr_expect_float_eq(number(video, "flops"), 50 * number(moved, "flops") - number(plan, "prologue_flops"), 1);
  cr_expect_float_eq(number(video, "bytes"), 50 * number(moved, "bytes") - number(plan, "prologue_bytes"), 1);
  cr_expect_null(cJSON_GetObjectItemCaseSensitive(plain, "moved_to_the_prologue"));
  cJSON_Delete(plan);
  cJSON_Delete(plain);
  FILE *file = fopen("map.svg", "r");
  char *text = calloc(1, 4 << 20);
  cr_assert(file && fread(text, 1, (4 << 20) - 1, file) > 0 && !fclose(file));
  static const char *const words[] = {
      "<svg ", "arena ", "lower bound ", "middle_block", "once a video: ops 0 to ", "every step: ops ", "</svg>"};
  for (size_t i = 0; i < sizeof words / sizeof *words; i++) cr_expect(strstr(text, words[i]), "no '%s'", words[i]);
  free(text);
}

static int script(const char *format, ...) __attribute__((format(printf, 1, 2)));
static int script(const char *format, ...) {
  char arguments[512], command[6000];
  va_list list;
  va_start(list, format);
  vsnprintf(arguments, sizeof arguments, format, list);
  va_end(list);
  snprintf(command, sizeof command, "python3 '%s/bench/render.py' %s >said 2>&1", repository, arguments);
  int status = system(command);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static bool holds(const char *path, const char *words) {
  char text[65536];
  FILE *file = fopen(path, "r");
  if (!file) return false;
  text[fread(text, 1, sizeof text - 1, file)] = 0;
  fclose(file);
  return strstr(text, words) != NULL;
}

static void write_text(const char *path, const char *text) {
  FILE *file = fopen(path, "w");
  cr_assert(file && fputs(text, file) >= 0 && !fclose(file));
}

// A result with round numbers: one kind of op, half of the roofline.
static const char fixture[] =
    "{\"format\": \"videocomposer-bench/1\", \"date\": \"2001-02-03\", \"commit\": null, \"threads\": 4,"
    " \"machine\": {\"cpu\": \"Test <CPU>\", \"cores\": 4, \"memory_bytes\": 1, \"system\": \"Test OS\", \"kernel\": "
    "\"1\"},"
    " \"load_before\": 0, \"load_after\": 0,"
    " \"torch_networks\": {\"threads\": 4, \"repeats\": 3, \"results\": [{\"network\": \"midas\", \"torch\": \"2.0\","
    "  \"input\": [4, 3, 8, 16], \"ours\": {\"median\": 0.2}, \"theirs\": {\"median\": 0.3},"
    "  \"ratio\": {\"median\": 1.5, \"least\": 1.25, \"most\": 1.75}}]},"
    " \"embedded\": {"
    "  \"step\": {\"seconds\": 0.25, \"sum_seconds\": 0.25, \"flops\": 1e9, \"kinds\": {\"linear\": {\"seconds\": "
    "0.25}},"
    "   \"levels\": {\"16x16\": {\"seconds\": 0.25, \"flops\": 1e9, \"kinds\": {\"linear\": 0.25}}}},"
    "  \"generate\": {\"seconds\": 12.5, \"videos_per_hour\": 288, \"peak_bytes\": 104857600},"
    "  \"kernels\": {\"machine\": \"set, lib 1\", \"sum_over_step\": 0.97,"
    "   \"ceilings\": {\"flops_per_second\": 2e10, \"bytes_per_second\": 1e10}, \"kernels\": ["
    "    {\"op\": \"linear rows=1\", \"kind\": \"linear\", \"times\": 5, \"seconds\": {\"median\": 0.05}, \"flops\": "
    "5e8,"
    "     \"bytes\": 1e6, \"flops_per_second\": 1e10, \"bytes_per_second\": 2e7, \"roofline\": 0.5, \"share\": 1}]}}}";

Test(bench_command, figures_are_rendered_from_results) {
  if (system("python3 -c '' 2>/dev/null")) cr_skip_test("no python3");
  cr_assert(!system("mkdir results"));
  write_text("README.md", "before\n<!-- figures -->\nold\n<!-- /figures -->\nbehind\n");
  cr_expect_eq(script("--results results --readme README.md"), 0);
  cr_expect(holds("README.md", "Nothing has been measured yet") && !holds("README.md", "old"));

  write_text("results/a.json", fixture);
  cr_expect_eq(script("--results results --readme README.md --check"), 1);
  cr_expect(holds("README.md", "Nothing has been measured yet"), "--check must change nothing");
  cr_expect_eq(script("--results results --readme README.md"), 0);
  static const char *const words[] = {"before\n<!-- figures -->\n",
                                      "<!-- /figures -->\nbehind\n",
                                      "| Test <CPU>, 4 cores |",
                                      "250 ms",
                                      "12.5 s",
                                      "| 288 | 100 MiB |",
                                      "| linear | 5 | 250 ms | 100.0 % | 10 | 0.0 | 50 % |",
                                      "add up to 97 % of the step",
                                      "| midas | 4 x 3 x 8 x 16 | 200 ms | 300 ms | 1.50 | 1.25, 1.75 |",
                                      "torch_networks.py --ours",
                                      "![roofline](results/a-roofline.svg)"};
  for (size_t i = 0; i < sizeof words / sizeof *words; i++)
    cr_expect(holds("README.md", words[i]), "no '%s'", words[i]);
  cr_expect(holds("results/a-roofline.svg", "Test &lt;CPU&gt;") && holds("results/a-roofline.svg", "20 GFLOP/s"));
  cr_expect(holds("results/a-levels.svg", "16x16") && holds("results/a-levels.svg", "100 %, 4 GFLOP/s"));
  cr_expect_eq(script("--results results --readme README.md --check"), 0);

  write_text("README.md", "no place\n");
  cr_expect_eq(script("--results results --readme README.md"), 1);
  cr_expect(holds("said", "to write between"));
  write_text("results/b.json", "{\"format\": \"other\"}");
  cr_expect_eq(script("--results results --readme README.md"), 1);
}
