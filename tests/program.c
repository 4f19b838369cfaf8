#include "tests/program.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

char program_folder[64];
static char program_path[4096];
static program_result last;

void program_enter(void) {
  const char *named = getenv("VIDEOCOMPOSER");
  char self[3072] = "";
  if (readlink("/proc/self/exe", self, sizeof self - 1) > 0) *strrchr(self, '/') = 0;
  snprintf(program_path, sizeof program_path, "%s/../videocomposer", self);
  if (named) cr_assert(realpath(named, program_path), "%s is not there", named);
  strcpy(program_folder, "/tmp/videocomposer-test-XXXXXX");
  cr_assert(mkdtemp(program_folder) && !chdir(program_folder));
  // The user's own cache is neither read nor written, and this one is not among the files that a test counts.
  char cache[80];
  snprintf(cache, sizeof cache, "%s-cache", program_folder);
  setenv("XDG_CACHE_HOME", cache, 1);
}

void program_leave(void) {
  char command[192];
  snprintf(command, sizeof command, "rm -rf %s %s-cache", program_folder, program_folder);
  cr_assert(!chdir("/") && !system(command));
}

static void read_text(const char *path, char *text, size_t size) {
  FILE *file = fopen(path, "r");
  cr_assert(file);
  text[fread(text, 1, size - 1, file)] = 0;
  fclose(file);
}

const program_result *program_run(const char *arguments) {
  char *command = NULL;
  cr_assert(asprintf(&command, "'%s' %s >%s/out 2>%s/err </dev/null", program_path, arguments, program_folder,
                     program_folder) > 0);
  int status = system(command);
  free(command);
  last.exit_status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  char path[128];
  snprintf(path, sizeof path, "%s/out", program_folder);
  read_text(path, last.out, sizeof last.out);
  snprintf(path, sizeof path, "%s/err", program_folder);
  read_text(path, last.err, sizeof last.err);
  return &last;
}

const program_result *program_runf(const char *format, ...) {
  char *arguments = NULL;
  va_list list;
  va_start(list, format);
  cr_assert(vasprintf(&arguments, format, list) > 0);
  va_end(list);
  const program_result *result = program_run(arguments);
  free(arguments);
  return result;
}

void program_expect(const char *arguments, int exit_status, const char *message) {
  const program_result *r = program_run(arguments);
  cr_expect_eq(r->exit_status, exit_status, "'%s' ended with %d and says: %s", arguments, r->exit_status, r->err);
  if (!exit_status) return;
  size_t length = strlen(r->err);
  cr_expect(length && strchr(r->err, '\n') == r->err + length - 1, "'%s' must say one line, not: %s", arguments,
            r->err);
  cr_expect(strstr(r->err, message), "'%s' says: %s", arguments, r->err);
}

pid_t program_start(const char *arguments) {
  char *command = NULL;
  cr_assert(asprintf(&command, "exec '%s' %s >out 2>err </dev/null", program_path, arguments) > 0);
  pid_t pid = fork();
  if (!pid) {
    execl("/bin/sh", "sh", "-c", command, (char *)NULL);
    _exit(127);
  }
  free(command);
  return pid;
}

int program_files(void) {
  DIR *list = opendir(program_folder);
  int count = 0;
  cr_assert(list);
  for (struct dirent *entry; (entry = readdir(list));)
    count += strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..") && strcmp(entry->d_name, "out") &&
             strcmp(entry->d_name, "err");
  closedir(list);
  return count;
}

bool program_exists(const char *path) {
  return !access(path, F_OK);
}
