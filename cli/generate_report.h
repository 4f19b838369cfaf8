// What generate says while it works and when it is done.
#ifndef VC_CLI_GENERATE_REPORT_H
#define VC_CLI_GENERATE_REPORT_H

#include "cli/generate.h"
#include "cli/progress.h"

// {0} but for the first three.
typedef struct vc_generate_watch {
  const vc_generate_options *options;
  const char *model;  // name, for the colours of previews
  int scale;          // pixels of a latent pixel in previews
  vc_progress bar;
  const char *phase;  // that the bar shows; NULL when there is none
  bool preview_failed;
  vc_error preview_error;
} vc_generate_watch;

// The callbacks of a request: a progress bar with the time left, Ctrl-C, previews. `watch` must outlive them.
vc_callbacks vc_generate_callbacks(vc_generate_watch *watch);

// To be called before anything is printed.
void vc_generate_watch_end(vc_generate_watch *watch);

// "out.gif.preview.png"; malloc'ed.
char *vc_generate_preview_path(const char *output, int64_t k, int64_t count);

// Time and memory of every phase on standard error; `total` seconds in all.
void vc_generate_print_profile(const vc_result *result, double total);

// One JSON object on standard output.
vc_status vc_generate_print_json(const vc_generate_record *record, const vc_result *result, double total,
                                 vc_error *error);

#endif
