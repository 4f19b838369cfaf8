// Measuring one pass of a network: of the UNet, one denoising step.
#ifndef VC_BENCH_STEP_H
#define VC_BENCH_STEP_H

#include <stdio.h>

#include "bench/clock.h"
#include "cli/plan_network.h"
#include "engine/backends.h"
#include "engine/model.h"

typedef struct vc_step_options {
  vc_plan_network network;
  const vc_model_config *config;
  const vc_model *model;  // NULL: weights are made up, and no file is needed
  vc_plan_shape shape;
  vc_compute compute;
  int runs;        // 1 or more, VC_SAMPLES_MAX at most
  double seconds;  // no more runs, but one, when these are over; 0: no limit
} vc_step_options;

// Some ops of a step together; seconds are the sum of each op's median.
typedef struct vc_step_group {
  char name[24];
  int ops;
  double seconds, flops, bytes;
} vc_step_group;

enum { VC_STEP_LEVELS_MAX = VC_MAX_LEVELS };

typedef struct vc_step_result {
  vc_timing step;
  double load_seconds, prologue_seconds;
  vc_step_group kind[VC_OP_COUNT];  // by op
  int levels;                       // of the UNet; other networks have none
  vc_step_group level[VC_STEP_LEVELS_MAX];
  double level_kind[VC_STEP_LEVELS_MAX][VC_OP_COUNT];  // seconds
  vc_step_group sum;                                   // of all ops
  size_t weight_bytes, arena_bytes, bound_bytes;
  double peak_bytes;  // of the process
} vc_step_result;

// Loads the network, runs the prologue, then one step that is not counted and up to `runs` that are.
vc_status vc_step_measure(vc_step_result *out, const vc_step_options *options, bool (*cancelled)(void *opaque),
                          vc_error *error);

// The UNet's level at which a module works, 0 being the latent's size; -1 when the path does not tell.
int vc_step_level(const char *module, const vc_unet_config *config);

void vc_step_print(FILE *out, const vc_step_result *result);
vc_status vc_step_print_json(FILE *out, const vc_step_result *result, vc_error *error);

#endif
