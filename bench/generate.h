// Measuring whole jobs: text in, frames out.
#ifndef VC_BENCH_GENERATE_H
#define VC_BENCH_GENERATE_H

#include <stdio.h>

#include "bench/clock.h"
#include "engine/videocomposer.h"

typedef struct vc_job_phase {
  char name[24];
  double first;     // seconds in the first job
  vc_timing later;  // in the jobs after it
  size_t weight_bytes, arena_bytes;
} vc_job_phase;

typedef struct vc_job_result {
  double open_seconds;  // of the engine
  double first;         // the first job
  vc_timing later;      // the jobs after it
  int phases;
  vc_job_phase phase[VC_MAX_PHASES];
  int64_t videos, frames, height, width;  // of a job
  int steps;
  double videos_per_hour;  // by the later jobs when there are any
  double peak_bytes;       // of the process
} vc_job_result;

typedef struct vc_job_options {
  vc_engine_options engine;
  bool condition[VC_CONDITION_COUNT];  // made-up videos for these
  int64_t frames, height, width;       // 0: the model's
  int steps;                           // 0: the model's
  int64_t count;                       // videos a job
  double guidance;                     // 0: the model's
  int runs;                            // jobs after the first
  bool (*cancelled)(void *opaque);
} vc_job_options;

vc_status vc_job_measure(vc_job_result *out, const vc_job_options *options, vc_error *error);

void vc_job_print(FILE *out, const vc_job_result *result);
vc_status vc_job_print_json(FILE *out, const vc_job_result *result, vc_error *error);

#endif
