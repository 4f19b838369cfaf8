// Option tables: what is taken, what is refused and in which words, and what --help says.
#include <criterion/criterion.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/interrupt.h"
#include "cli/nearest.h"
#include "cli/options.h"
#include "cli/progress.h"

typedef struct values {
  const char *output;
  int steps;
  double guidance, shift;
  uint64_t seed, memory, jobs;
  vc_size size;
  int backend;
  bool json, verbose;
  vc_string_list depth;
} values;

static const char *const backends[] = {"auto", "cuda", "cpu", NULL};

#define FIELD(name) .field = offsetof(values, name)
static const vc_option options[] = {
    {.name = "output", .letter = 'o', .kind = VC_OPTION_STRING, FIELD(output), .value = "FILE", .help = "where to"},
    {.kind = VC_OPTION_HEADING, .help = "Sampling"},
    {.name = "steps",
     .letter = 'n',
     .kind = VC_OPTION_INT,
     FIELD(steps),
     .min = 1,
     .max = 1000,
     .fallback = "50",
     .help = "denoising steps"},
    {.name = "guidance",
     .kind = VC_OPTION_FLOAT,
     FIELD(guidance),
     .min = 0,
     .max = INFINITY,
     .fallback = "9",
     .help = "guidance scale"},
    {.name = "shift", .kind = VC_OPTION_FLOAT, FIELD(shift), .help = "any number"},
    {.name = "seed", .kind = VC_OPTION_UINT64, FIELD(seed), .help = "seed"},
    {.name = "jobs", .kind = VC_OPTION_UINT64, FIELD(jobs), .min = 1, .max = 8, .help = "jobs"},
    {.name = "size",
     .kind = VC_OPTION_SIZE,
     FIELD(size),
     .min = 64,
     .max = 2048,
     .fallback = "256x192",
     .help = "size"},
    {.kind = VC_OPTION_HEADING, .help = "Machine"},
    {.name = "max-memory", .kind = VC_OPTION_BYTES, FIELD(memory), .help = "memory to use"},
    {.name = "backend",
     .kind = VC_OPTION_CHOICE,
     FIELD(backend),
     .choices = backends,
     .fallback = "auto",
     .help = "what computes"},
    {.name = "json", .kind = VC_OPTION_FLAG, FIELD(json), .help = "machine-readable"},
    {.name = "verbose", .letter = 'v', .kind = VC_OPTION_FLAG, FIELD(verbose), .help = "say more"},
    {.name = "depth", .kind = VC_OPTION_LIST, FIELD(depth), .help = "depth sequence"},
};

static const vc_command_spec spec = {
    .name = "try",
    .summary = "tries options",
    .arguments = "[FILE]",
    .max_arguments = 1,
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .example = "videocomposer try --steps 3\nvideocomposer try x",
};

// Splits the line at spaces; "''" stands for an empty argument.
static vc_status parse(const char *line, values *out, vc_arguments *arguments, vc_error *error) {
  static char copy[1024];
  static char *argv[40];
  int argc = 0;
  snprintf(copy, sizeof copy, "try %s", line);
  for (char *word = strtok(copy, " "); word; word = strtok(NULL, " ")) argv[argc++] = strcmp(word, "''") ? word : "";
  memset(out, 0, sizeof *out);
  memset(error, 0, sizeof *error);
  return vc_options_parse(&spec, argc, argv, out, arguments, error);
}

static values taken(const char *line) {
  values v;
  vc_arguments arguments;
  vc_error error;
  cr_assert_eq(parse(line, &v, &arguments, &error), VC_OK, "'%s': %s", line, error.message);
  return v;
}

Test(options, fallbacks_hold_without_options) {
  values v = taken("");
  cr_expect_null(v.output);
  cr_expect_eq(v.steps, 50);
  cr_expect_eq(v.guidance, 9.0);
  cr_expect(v.size.width == 256 && v.size.height == 192);
  cr_expect_eq(v.backend, 0);
  cr_expect(!v.json && !v.verbose && !v.depth.count);
}

Test(options, every_spelling_of_a_value_is_taken) {
  static const char *const lines[] = {
      "--steps 7 --output a.gif", "--steps=7 --output=a.gif", "-n 7 -o a.gif", "-n7 -oa.gif", "-n=7 -o=a.gif",
      "--steps 9 -n 7 -o a.gif"};
  for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
    values v = taken(lines[i]);
    cr_expect_eq(v.steps, 7, "%s", lines[i]);
    cr_expect_str_eq(v.output, "a.gif", "%s", lines[i]);
  }
  values v = taken("-vo x");
  cr_expect(v.verbose);
  cr_expect_str_eq(v.output, "x");
  cr_expect_str_eq(taken("--output=").output, "");
  cr_expect_str_eq(taken("--output=--steps").output, "--steps");
  cr_expect_str_eq(taken("--output --red-cat").output, "--red-cat");
  cr_expect_str_eq(taken("-o -").output, "-");
}

Test(options, kinds_reach_their_fields) {
  cr_expect_eq(taken("--seed 18446744073709551615").seed, UINT64_MAX);
  cr_expect_eq(taken("--guidance 7.5e0").guidance, 7.5);
  cr_expect_eq(taken("--shift -1e-3").shift, -1e-3);
  cr_expect_eq(taken("--backend cpu").backend, 2);
  cr_expect_eq(taken("--max-memory 4G").memory, 4ULL << 30);
  cr_expect_eq(taken("--max-memory 1.5K").memory, 1536);
  cr_expect_eq(taken("--max-memory 123").memory, 123);
  cr_expect_eq(taken("--size 64x2048").size.height, 2048);
  cr_expect(taken("--json").json);
  vc_string_list depth = taken("--depth a:0.5 --depth b").depth;
  cr_expect_eq(depth.count, 2);
  cr_expect_str_eq(depth.item[0], "a:0.5");
  cr_expect_str_eq(depth.item[1], "b");
}

Test(options, arguments_may_stand_anywhere) {
  static const struct {
    const char *line, *argument;
  } cases[] = {{"x --steps 3", "x"}, {"--steps 3 x", "x"}, {"--steps 3 -- --json", "--json"}, {"-", "-"}, {"''", ""}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    values v;
    vc_arguments arguments;
    vc_error error;
    cr_assert_eq(parse(cases[i].line, &v, &arguments, &error), VC_OK, "%s", error.message);
    cr_expect_eq(arguments.count, 1);
    cr_expect_str_eq(arguments.item[0], cases[i].argument);
    cr_expect_not(v.json);
  }
}

Test(options, given_tells_a_choice_from_a_fallback) {
  values v;
  vc_arguments arguments;
  vc_error error;
  cr_assert_eq(parse("--guidance 9", &v, &arguments, &error), VC_OK);
  cr_expect(vc_option_given(&spec, &arguments, "guidance"));
  cr_expect_not(vc_option_given(&spec, &arguments, "steps"));
}

Test(options, wrong_usage_is_named) {
  static const struct {
    const char *line, *message;
  } cases[] = {
      {"--step 3", "unknown option --step; did you mean --steps?"},
      {"--outptu x", "unknown option --outptu; did you mean --output?"},
      {"--max 3", "unknown option --max; did you mean --max-memory?"},
      {"--hlep", "unknown option --hlep; did you mean --help?"},
      {"--colour=red", "unknown option --colour; --help lists them"},
      {"-x", "unknown option -x in '-x'; --help lists them"},
      {"-vx", "unknown option -x in '-vx'; --help lists them"},
      {"--steps", "--steps needs a value"},
      {"-n", "-n needs a value"},
      {"--output --steps 3", "--output needs a value; if it is to be '--steps', write --output=--steps"},
      {"--output -v", "--output needs a value; if it is to be '-v', write --output=-v"},
      {"--json=yes", "--json takes no value"},
      {"--steps 0", "--steps: must be a whole number from 1 to 1000, not '0'"},
      {"--steps=1001", "--steps: must be a whole number from 1 to 1000, not '1001'"},
      {"-n 2.5", "-n: must be a whole number from 1 to 1000, not '2.5'"},
      {"--steps 1e2", "--steps: must be a whole number from 1 to 1000, not '1e2'"},
      {"--steps 0x10", "--steps: must be a whole number from 1 to 1000, not '0x10'"},
      {"--steps ''", "--steps: must be a whole number from 1 to 1000, not ''"},
      {"--steps 99999999999999999999", "--steps: must be a whole number from 1 to 1000, not '99999999999999999999'"},
      {"--guidance -1", "--guidance: must be a number of at least 0, not '-1'"},
      {"--guidance nan", "--guidance: must be a number of at least 0, not 'nan'"},
      {"--guidance inf", "--guidance: must be a number of at least 0, not 'inf'"},
      {"--guidance 1e999", "--guidance: must be a number of at least 0, not '1e999'"},
      {"--guidance 9,5", "--guidance: must be a number of at least 0, not '9,5'"},
      {"--shift -nan", "--shift: must be a number, not '-nan'"},
      {"--shift 0x1p3", "--shift: must be a number, not '0x1p3'"},
      {"--shift e5", "--shift: must be a number, not 'e5'"},
      {"--seed -1", "--seed: must be a whole number of at least 0, not '-1'"},
      {"--seed 18446744073709551616", "--seed: must be a whole number of at least 0, not '18446744073709551616'"},
      {"--jobs 9", "--jobs: must be a whole number from 1 to 8, not '9'"},
      {"--max-memory 0", "--max-memory: must be a number of bytes, such as 4G or 1500M, not '0'"},
      {"--max-memory 4GB", "--max-memory: must be a number of bytes, such as 4G or 1500M, not '4GB'"},
      {"--max-memory 9e30T", "--max-memory: must be a number of bytes, such as 4G or 1500M, not '9e30T'"},
      {"--max-memory K", "--max-memory: must be a number of bytes, such as 4G or 1500M, not 'K'"},
      {"--size 256", "--size: must be WIDTHxHEIGHT, each from 64 to 2048, not '256'"},
      {"--size 256x", "--size: must be WIDTHxHEIGHT, each from 64 to 2048, not '256x'"},
      {"--size 256x32", "--size: must be WIDTHxHEIGHT, each from 64 to 2048, not '256x32'"},
      {"--size 256x256x3", "--size: must be WIDTHxHEIGHT, each from 64 to 2048, not '256x256x3'"},
      {"--size -256x256", "--size: must be WIDTHxHEIGHT, each from 64 to 2048, not '-256x256'"},
      {"--size 00000000000000256x256",
       "--size: must be WIDTHxHEIGHT, each from 64 to 2048, not '00000000000000256x256'"},
      {"--backend gpu", "--backend: must be one of auto, cuda, cpu, not 'gpu'"},
      {"x y", "unexpected argument 'y'; usage: videocomposer try [options] [FILE]"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    values v;
    vc_arguments arguments;
    vc_error error;
    cr_expect_eq(parse(cases[i].line, &v, &arguments, &error), VC_INVALID, "'%s' was taken", cases[i].line);
    cr_expect_str_eq(error.message, cases[i].message);
  }
}

Test(options, a_list_has_an_end) {
  char *argv[2 * VC_LIST_MAX + 3] = {"try"};
  for (int i = 0; i <= VC_LIST_MAX; i++) {
    argv[1 + 2 * i] = "--depth";
    argv[2 + 2 * i] = "x";
  }
  values v = {0};
  vc_arguments arguments;
  vc_error error;
  cr_expect_eq(vc_options_parse(&spec, 1 + 2 * VC_LIST_MAX, argv, &v, &arguments, &error), VC_OK);
  memset(&v, 0, sizeof v);
  cr_expect_eq(vc_options_parse(&spec, 3 + 2 * VC_LIST_MAX, argv, &v, &arguments, &error), VC_INVALID);
  cr_expect_str_eq(error.message, "--depth: may be given 64 times at most");
}

Test(options, missing_arguments_are_named) {
  vc_command_spec two = spec;
  two.arguments = "A B";
  two.min_arguments = 2;
  two.max_arguments = -1;
  char *argv[] = {"try", "a", "b", "c", "d"};
  values v = {0};
  vc_arguments arguments;
  vc_error error;
  cr_expect_eq(vc_options_parse(&two, 2, argv, &v, &arguments, &error), VC_INVALID);
  cr_expect_str_eq(error.message, "missing arguments; usage: videocomposer try [options] A B");
  cr_expect_eq(vc_options_parse(&two, 5, argv, &v, &arguments, &error), VC_OK);
  cr_expect_eq(arguments.count, 4);
  cr_expect_str_eq(arguments.item[3], "d");
}

Test(options, help_comes_before_any_complaint) {
  static const char *const lines[] = {"--help", "-h", "--nonsense --help", "--steps abc -h", "a b c --help"};
  for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
    values v;
    vc_arguments arguments;
    vc_error error;
    cr_expect_eq(parse(lines[i], &v, &arguments, &error), VC_OK, "%s", lines[i]);
    cr_expect(arguments.help, "%s", lines[i]);
  }
  values v;
  vc_arguments arguments;
  vc_error error;
  cr_expect_eq(parse("-- --help", &v, &arguments, &error), VC_OK);
  cr_expect_not(arguments.help);
}

Test(options, help_shows_every_option_with_its_limits) {
  char *text = NULL;
  size_t size = 0;
  FILE *out = open_memstream(&text, &size);
  vc_options_help(&spec, out);
  fclose(out);
  static const char *const expected[] = {"Usage: videocomposer try [options] [FILE]\n",
                                         "Tries options.\n",
                                         "\nSampling\n",
                                         "\nMachine\n",
                                         "  -o, --output FILE           where to\n",
                                         "  -n, --steps N               denoising steps (from 1 to 1000; default 50)\n",
                                         "guidance scale (at least 0; default 9)\n",
                                         "      --shift X               any number\n",
                                         "size (from 64 to 2048; default 256x192)\n",
                                         "what computes (default auto)\n",
                                         "--backend auto|cuda|cpu",
                                         "print this text\n",
                                         "--depth TEXT            depth sequence; may be repeated\n",
                                         "\nExample\n  videocomposer try --steps 3\n  videocomposer try x\n"};
  for (size_t i = 0; i < sizeof expected / sizeof *expected; i++)
    cr_expect(strstr(text, expected[i]), "no '%s' in:\n%s", expected[i], text);
  for (const char *line = text; *line; line += strcspn(line, "\n") + 1)
    cr_expect_leq(strcspn(line, "\n"), 100, "too wide: %.*s", (int)strcspn(line, "\n"), line);
  free(text);
}

Test(options, the_nearest_word_is_found) {
  static const char *const words[] = {"generate", "verify", NULL, "compare", "convert", "bench", "batch"};
  static const struct {
    const char *word, *nearest;
  } cases[] = {{"genrate", "generate"},
               {"gen", "generate"},
               {"comprae", "compare"},
               {"covnert", "convert"},
               {"bnech", "bench"},
               {"x", NULL},
               {"", NULL},
               {"unrelated", NULL},
               {"verify-all-of-these-cases-that-are-here-now", NULL}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    const char *nearest = vc_nearest(cases[i].word, words, sizeof words / sizeof *words);
    cr_expect(cases[i].nearest ? nearest && !strcmp(nearest, cases[i].nearest) : !nearest, "'%s' gave '%s'",
              cases[i].word, nearest ? nearest : "nothing");
  }
}

Test(progress, the_line_tells_pace_and_time_left) {
  static const struct {
    long done, total;
    double seconds;
    int width;
    const char *text;
  } cases[] = {
      {0, 50, 0, 60, "denoising [........................................] 0/50"},
      {10, 50, 25, 60, "denoising [###...............] 10/50  2.50 s/it  1:40 left"},
      {50, 50, 2.5, 80, "denoising [#####################################] 50/50  0.050 s/it  0:00 left"},
      {1, 200, 30, 40, "denoising 1/200  30.0 s/it  1:39:30 lef"},
      {1, 0, 1, 40, "denoising [..............] 1/0"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char text[256];
    vc_progress_text(text, sizeof text, "denoising", cases[i].done, cases[i].total, cases[i].seconds, cases[i].width);
    cr_expect_lt((int)strlen(text), cases[i].width, "case %zu", i);
    if (i != 4) cr_expect_str_eq(text, cases[i].text);
  }
}

Test(progress, nothing_is_written_where_nobody_looks) {
  FILE *out = tmpfile();
  vc_progress progress;
  vc_progress_begin(&progress, out, true, "x", 3);
  for (long i = 0; i <= 3; i++) vc_progress_step(&progress, i);
  vc_progress_end(&progress);
  vc_progress_end(&progress);
  cr_expect_eq(ftell(out), 0);
  fclose(out);
}

Test(progress, the_bar_is_removed_from_a_terminal) {
  int leader = posix_openpt(O_RDWR | O_NOCTTY);
  cr_assert(leader >= 0 && !grantpt(leader) && !unlockpt(leader));
  FILE *terminal = fopen(ptsname(leader), "w");
  cr_assert(terminal);
  vc_progress progress;
  vc_progress_begin(&progress, terminal, false, "hidden", 2);
  vc_progress_step(&progress, 2);
  vc_progress_end(&progress);
  vc_progress_begin(&progress, terminal, true, "shown", 2);
  vc_progress_step(&progress, 2);
  vc_progress_end(&progress);
  vc_progress_end(&progress);
  fclose(terminal);
  char text[1024] = "";
  size_t length = 0;
  for (ssize_t n; (n = read(leader, text + length, sizeof text - 1 - length)) > 0;) length += (size_t)n;
  cr_assert_gt(length, 8);
  cr_expect(strstr(text, "shown") && strstr(text, "2/2"), "%s", text);
  cr_expect_not(strstr(text, "hidden"), "%s", text);
  static const char last[] = "\r\033[K";
  cr_expect_str_eq(text + length - strlen(last), last);
  close(leader);
}

Test(interrupt, the_first_signal_asks) {
  vc_interrupt_install();
  vc_error error;
  cr_expect_not(vc_interrupted());
  cr_expect_eq(vc_interrupt_check(&error), VC_OK);
  raise(SIGTERM);
  cr_expect(vc_interrupted());
  cr_expect_eq(vc_interrupt_check(&error), VC_INTERRUPTED);
  cr_expect_str_eq(error.message, "interrupted by SIGTERM");
}

Test(interrupt, the_second_signal_kills, .signal = SIGTERM) {
  vc_interrupt_install();
  raise(SIGINT);
  raise(SIGTERM);
}

Test(interrupt, an_ignored_signal_stays_ignored) {
  signal(SIGINT, SIG_IGN);
  vc_interrupt_install();
  raise(SIGINT);
  cr_expect_not(vc_interrupted());
}
