// The subcommands of `bench` that have options of their own, and what those have in common.
#ifndef VC_CLI_BENCH_H
#define VC_CLI_BENCH_H

#include "cli/asset_source.h"
#include "cli/command.h"
#include "cli/machine.h"
#include "cli/plan_network.h"
#include "engine/model.h"

// argv[0] is "step", "kernels", "generate". They return the exit status.
int vc_bench_step_command(int argc, char **argv);
int vc_bench_kernels_command(int argc, char **argv);
int vc_bench_generate_command(int argc, char **argv);

// Which network at which shape.
typedef struct vc_bench_target {
  const char *model, *conditions;
  bool released, no_guidance;
  int network, frames;
  vc_size size;
} vc_bench_target;

extern const char *const vc_bench_networks[];  // as vc_plan_network; ends with NULL

// The entries of an option table for the members `target` and `machine` of its struct of values.
// clang-format off
#define VC_BENCH_TARGET_OPTIONS(type)                                                                                 \
  {.name = "network", .kind = VC_OPTION_CHOICE, .field = offsetof(type, target.network),                              \
   .choices = vc_bench_networks, .fallback = "unet", .help = "the network to measure"},                               \
  {.name = "model", .kind = VC_OPTION_STRING, .field = offsetof(type, target.model), .value = "DIR",                  \
   .help = "model folder (default: the embedded model)"},                                                             \
  {.name = "released", .kind = VC_OPTION_FLAG, .field = offsetof(type, target.released),                              \
   .help = "the released architecture with made-up weights: no files are needed"},                                    \
  {.name = "size", .kind = VC_OPTION_SIZE, .field = offsetof(type, target.size), .min = 8, .max = 8192,               \
   .help = "pixels (default: the model's)"},                                                                          \
  {.name = "frames", .kind = VC_OPTION_INT, .field = offsetof(type, target.frames), .min = 1, .max = 1024,            \
   .help = "frames (default: the model's)"},                                                                          \
  {.name = "conditions", .kind = VC_OPTION_STRING, .field = offsetof(type, target.conditions), .value = "LIST",       \
   .fallback = "all", .help = "conditions of the UNet, by commas; all, none"},                                        \
  {.name = "no-guidance", .kind = VC_OPTION_FLAG, .field = offsetof(type, target.no_guidance),                        \
   .help = "one pass a step instead of the conditional and the unconditional one"},                                   \
  VC_MACHINE_OPTIONS(type, "auto")
// clang-format on

// What the options name. Close the model when *opened.
typedef struct vc_bench_opened {
  bool opened;
  vc_model model;  // only when `opened`; else weights are made up
  vc_model_config config;
  vc_plan_shape shape;
} vc_bench_opened;

// VC_INVALID for options that do not go together, or sizes that the network cannot take.
vc_status vc_bench_open(vc_bench_opened *out, const vc_bench_target *target, vc_error *error);
void vc_bench_close(vc_bench_opened *opened);

// For measurements that poll.
bool vc_bench_interrupted(void *opaque);

#endif
