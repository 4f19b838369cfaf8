// Runs tests that were written with Criterion, under ThreadSanitizer: that
// leaves no place in memory where Criterion's own runner wants its arena. Each
// test is a process; what the headers of Criterion refer to is defined here, as
// far as the tests of this project use it.
//   BINARY [--tap=FILE] [SUITE | SUITE/NAME]
#include <criterion/criterion.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FAILED = 1, SKIPPED = 77 };

extern struct criterion_test *__start_cr_tst[], *__stop_cr_tst[];
extern struct criterion_suite *__start_cr_sts[] __attribute__((weak)), *__stop_cr_sts[] __attribute__((weak));
struct criterion_options criterion_options;

static struct criterion_test *running;
static bool failed;

// ---- what assertions call

char *cr_translate_assert_msg(int index, ...) {
  (void)index;
  return strdup("an assertion failed");
}

int cr_asprintf(char **out, const char *format, ...) {
  va_list list;
  va_start(list, format);
  int length = vasprintf(out, format, list);
  va_end(list);
  return length;
}

void cr_asprintf_free(char *text) {
  free(text);
}

void cri_asserts_passed_incr(void) {
}

void criterion_send_assert(struct criterion_assert_stats *stats) {
  if (!stats->passed) fprintf(stderr, "%s:%u: %s\n", stats->file, stats->line, stats->message);
}

void criterion_continue_test(void) {
  failed = true;
}

void criterion_abort_test(void) {
  exit(FAILED);
}

void criterion_skip_test(const char *format, ...) {
  va_list list;
  va_start(list, format);
  vfprintf(stderr, format, list);
  va_end(list);
  fputc('\n', stderr);
  exit(SKIPPED);
}

void criterion_test_die(const char *message, ...) {
  fprintf(stderr, "%s\n", message);
  exit(FAILED);
}

void cr_log(enum criterion_severity severity, const char *message, ...) {
  (void)severity;
  fprintf(stderr, "%s\n", message);
}

// ---- a test

static const struct criterion_test_extra_data *suite_of(const struct criterion_test *test) {
  for (struct criterion_suite **s = __start_cr_sts; s && s < __stop_cr_sts; s++)
    if (!strcmp((*s)->name, test->category)) return (*s)->data;
  return NULL;
}

void criterion_internal_test_setup(void) {
  const struct criterion_test_extra_data *suite = suite_of(running);
  if (suite && suite->init) suite->init();
  if (running->data->init) running->data->init();
}

void criterion_internal_test_main(void (*body)(void)) {
  body();
}

void criterion_internal_test_teardown(void) {
  const struct criterion_test_extra_data *suite = suite_of(running);
  if (running->data->fini) running->data->fini();
  if (suite && suite->fini) suite->fini();
}

static int run(struct criterion_test *test) {
  running = test;
  fflush(NULL);
  pid_t child = fork();
  if (child < 0) return FAILED;
  if (!child) {
    test->test();
    exit(failed ? FAILED : 0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static bool wanted(const struct criterion_test *test, const char *filter) {
  size_t suite = strlen(test->category);
  if (!filter) return true;
  if (strncmp(filter, test->category, suite) != 0) return false;
  return !filter[suite] || (filter[suite] == '/' && !strcmp(filter + suite + 1, test->name));
}

int main(int count, char **arguments) {
  FILE *tap = NULL;
  const char *filter = NULL;
  int failures = 0;
  for (int i = 1; i < count; i++) {
    if (!strncmp(arguments[i], "--tap=", 6))
      tap = fopen(arguments[i] + 6, "w");
    else
      filter = arguments[i];
  }
  for (struct criterion_test **t = __start_cr_tst; t < __stop_cr_tst; t++) {
    if (!*t || !wanted(*t, filter)) continue;
    int status = (*t)->data->disabled ? SKIPPED : run(*t);
    bool good = status == (*t)->data->exit_code || status == SKIPPED;
    if (!good) failures++;
    if (!good) fprintf(stderr, "%s::%s failed with status %d\n", (*t)->category, (*t)->name, status);
    if (tap)
      fprintf(tap, "%s - %s::%s%s\n", good ? "ok" : "not ok", (*t)->category, (*t)->name,
              status == SKIPPED ? " # SKIP" : "");
  }
  if (tap) fclose(tap);
  return failures != 0;
}
