// Subcommands, and what they all share: how they start, how they report and how they end.
#ifndef VC_CLI_COMMAND_H
#define VC_CLI_COMMAND_H

#include "cli/options.h"

// Every subcommand: its name and what it does. A line here declares and dispatches it; it lives in cli/NAME.c.
// clang-format off
#define VC_COMMANDS(ENTRY) \
  ENTRY(generate, "make videos from a text and other conditions") \
  ENTRY(extract, "conditions of a video or picture, as files that generate reads back") \
  ENTRY(evaluate, "metrics of videos: frame consistency, motion control error") \
  ENTRY(compare, "compare two tensor files, two images or two videos") \
  ENTRY(verify, "run reference cases and compare tensors: the regression check") \
  ENTRY(bench, "measure a denoising step; write random weights to measure with") \
  ENTRY(convert, "make safetensors of PyTorch checkpoints, in any dtype, whole or in parts") \
  ENTRY(inspect, "show what a weights file, a model folder or an output holds") \
  ENTRY(strip, "put clips below each other in one picture") \
  ENTRY(plan, "show the memory plan of a network at a shape")
// clang-format on

// argv[0] is the subcommand's name. Returns the exit status: 0 done, 1 the work failed, 2 wrong usage.
#define VC_DECLARE_COMMAND(name, summary) int vc_command_##name(int argc, char **argv);
VC_COMMANDS(VC_DECLARE_COMMAND)
#undef VC_DECLARE_COMMAND

enum { VC_EXIT_DONE = 0, VC_EXIT_FAILED = 1, VC_EXIT_USAGE = 2 };

// Reads the command line into `values` (see vc_options_parse). False when the subcommand has to return *exit_status at
// once: --help has been printed, or the usage is wrong and one line on standard error says how.
bool vc_command_start(const vc_command_spec *spec, int argc, char **argv, void *values, vc_arguments *arguments,
                      int *exit_status);

// The exit status that belongs to a status; if that is not 0, prints the message as one line on standard error first.
// Any progress bar must have ended.
int vc_command_finish(const vc_command_spec *spec, vc_status status, const vc_error *error);

#endif
