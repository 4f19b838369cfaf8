// A progress bar on standard error, only where somebody sees it.
#ifndef VC_CLI_PROGRESS_H
#define VC_CLI_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

typedef struct vc_progress {
  FILE *out;          // NULL when nothing is shown
  const char *label;  // "denoising"
  long total;
  double started, shown;  // seconds of a monotonic clock
} vc_progress;

// Shows "label   0/total"; steps are counted from here. Nothing is ever written when `wanted` is false (--no-progress)
// or `out` is no terminal. `label` is kept, not copied.
void vc_progress_begin(vc_progress *progress, FILE *out, bool wanted, const char *label, long total);

// `done` steps are complete. Cheap: redraws ten times a second at most, and at the last step.
void vc_progress_step(vc_progress *progress, long done);

// Removes the bar. Safe on a zeroed struct and when called twice; to be called before any message.
void vc_progress_end(vc_progress *progress);

// The bar as text of at most `width` columns: label, bar, done/total, seconds a step, time left.
const char *vc_progress_text(char *text, size_t size, const char *label, long done, long total, double seconds,
                             int width);

#endif
