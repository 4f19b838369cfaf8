#include "cli/command.h"

bool vc_command_start(const vc_command_spec *spec, int argc, char **argv, void *values, vc_arguments *arguments,
                      int *exit_status) {
  vc_error error;
  vc_status status = vc_options_parse(spec, argc, argv, values, arguments, &error);
  *exit_status = vc_command_finish(spec, status, &error);
  if (status) return false;
  if (arguments->help) vc_options_help(spec, stdout);
  return !arguments->help;
}

int vc_command_finish(const vc_command_spec *spec, vc_status status, const vc_error *error) {
  if (!status) return VC_EXIT_DONE;
  fprintf(stderr, "videocomposer %s: %s\n", spec->name, error->message);
  return status == VC_INVALID ? VC_EXIT_USAGE : VC_EXIT_FAILED;
}
