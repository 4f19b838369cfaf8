// Dispatches to the subcommand; each is a file of its own in cli/.
#include <errno.h>
#include <string.h>

#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/nearest.h"
#include "engine/version.h"

typedef struct command {
  const char *name;
  int (*run)(int argc, char **argv);
  const char *summary;
} command;

#define COMMAND_ENTRY(name, summary) {#name, vc_command_##name, summary},
static const command commands[] = {VC_COMMANDS(COMMAND_ENTRY)};
enum { COMMAND_COUNT = sizeof commands / sizeof *commands };

static void print_help(FILE *out) {
  fprintf(out,
          "Usage: videocomposer COMMAND [options] [arguments]\n\n"
          "Makes videos from a text and any combination of images, sketches, depth maps, motion and masks\n"
          "(VideoComposer, arXiv 2306.02018).\n\n"
          "Commands\n");
  for (int i = 0; i < COMMAND_COUNT; i++) fprintf(out, "  %-10s %s\n", commands[i].name, commands[i].summary);
  fprintf(out,
          "\n'videocomposer COMMAND --help' tells more about one, with an example; --version prints the version.\n"
          "Exit status: 0 done, 1 the work failed, 2 wrong usage.\n");
}

static int dispatch(int argc, char **argv) {
  const char *names[COMMAND_COUNT];
  for (int i = 0; i < COMMAND_COUNT; i++) {
    names[i] = commands[i].name;
    if (!strcmp(argv[1], names[i])) return commands[i].run(argc - 1, argv + 1);
  }
  vc_error error;
  const char *nearest = vc_nearest(argv[1], names, COMMAND_COUNT);
  if (nearest)
    vc_fail(&error, VC_INVALID, "unknown command '%s'; did you mean '%s'?", argv[1], nearest);
  else
    vc_fail(&error, VC_INVALID, "unknown command '%s'; 'videocomposer --help' lists them", argv[1]);
  fprintf(stderr, "videocomposer: %s\n", error.message);
  return VC_EXIT_USAGE;
}

int main(int argc, char **argv) {
  int exit_status = VC_EXIT_DONE;
  if (argc < 2) {
    fprintf(stderr, "videocomposer: no command; 'videocomposer --help' lists them\n");
    exit_status = VC_EXIT_USAGE;
  } else if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) {
    print_help(stdout);
  } else if (!strcmp(argv[1], "--version")) {
    printf("videocomposer %s\n", VC_VERSION);
  } else {
    vc_interrupt_install();
    exit_status = dispatch(argc, argv);
  }
  // A result that did not reach its file is a failure, however the work went.
  if ((fflush(stdout) || ferror(stdout)) && exit_status == VC_EXIT_DONE) {
    fprintf(stderr, "videocomposer: standard output cannot be written: %s\n", strerror(errno));
    exit_status = VC_EXIT_FAILED;
  }
  return exit_status;
}
