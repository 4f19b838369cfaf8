#include "bench/clock.h"

#include <math.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

double vc_clock_now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

double vc_clock_peak_bytes(void) {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return (double)usage.ru_maxrss * 1024;
}

void vc_samples_add(vc_samples *samples, double seconds) {
  if (samples->count < VC_SAMPLES_MAX) samples->seconds[samples->count++] = seconds;
}

static int by_size(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

// Between two samples where the place is.
static double quantile(const vc_samples *s, double share) {
  double at = share * (double)(s->count - 1);
  int below = (int)at, above = below + 1 < s->count ? below + 1 : below;
  return s->seconds[below] + (at - below) * (s->seconds[above] - s->seconds[below]);
}

vc_timing vc_samples_timing(vc_samples *s) {
  if (!s->count) return (vc_timing){0, NAN, NAN, NAN, NAN, NAN};
  qsort(s->seconds, (size_t)s->count, sizeof *s->seconds, by_size);
  return (vc_timing){.runs = s->count,
                     .median = quantile(s, 0.5),
                     .low = quantile(s, 0.25),
                     .high = quantile(s, 0.75),
                     .least = s->seconds[0],
                     .most = s->seconds[s->count - 1]};
}

double vc_timing_spread(const vc_timing *t) {
  return (t->high - t->low) / t->median;
}
