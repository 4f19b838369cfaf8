// Time, and what many measurements of one thing come to.
#ifndef VC_BENCH_CLOCK_H
#define VC_BENCH_CLOCK_H

// Seconds on a clock that only goes forward.
double vc_clock_now(void);

// The most memory that the process has held at once, in bytes, as the system counts it.
double vc_clock_peak_bytes(void);

enum { VC_SAMPLES_MAX = 1024 };

typedef struct vc_samples {
  int count;
  double seconds[VC_SAMPLES_MAX];
} vc_samples;

// Half of all measurements lie between `low` and `high`, the quartiles: unlike the extremes they stay where they are
// when the machine is busy for a moment.
typedef struct vc_timing {
  int runs;
  double median, low, high, least, most;  // seconds; NaN without measurements
} vc_timing;

// Drops what goes beyond VC_SAMPLES_MAX.
void vc_samples_add(vc_samples *samples, double seconds);

// Sorts the samples.
vc_timing vc_samples_timing(vc_samples *samples);

// (high - low) / median
double vc_timing_spread(const vc_timing *timing);

#endif
