// videocomposer bench step: one pass of a network, by kind of op and by level of the UNet.
#include "bench/step.h"
#include "cli/bench.h"
#include "cli/interrupt.h"

typedef struct values {
  vc_bench_target target;
  bool json;
  int runs;
  vc_machine machine;
} values;

static const vc_option options[] = {
    VC_BENCH_TARGET_OPTIONS(values),
    {.name = "runs",
     .kind = VC_OPTION_INT,
     .field = offsetof(values, runs),
     .min = 1,
     .max = VC_SAMPLES_MAX,
     .fallback = "5",
     .help = "steps that count, after one that does not"},
    {.name = "json", .kind = VC_OPTION_FLAG, .field = offsetof(values, json), .help = "print JSON"},
};

static const vc_command_spec spec = {
    .name = "bench step",
    .summary = "times one denoising step (of other networks than the UNet: one pass) by kind of op and by level",
    .max_arguments = 0,
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .example = "videocomposer bench step\nvideocomposer bench step --released --runs 1",
};

static vc_status run(const values *v, vc_error *error) {
  vc_bench_opened target;
  vc_step_result result;
  vc_status status = vc_bench_open(&target, &v->target, error);
  if (status) return status;
  vc_step_options o = {.network = (vc_plan_network)v->target.network,
                       .config = &target.config,
                       .model = target.opened ? &target.model : NULL,
                       .shape = target.shape,
                       .runs = v->runs};
  if (!(status = vc_machine_open(&o.compute, &v->machine, error)))
    status = vc_step_measure(&result, &o, vc_bench_interrupted, error);
  vc_machine_close(&o.compute);
  vc_bench_close(&target);
  if (status) return status;
  if (v->json) return vc_step_print_json(stdout, &result, error);
  vc_step_print(stdout, &result);
  return VC_OK;
}

int vc_bench_step_command(int argc, char **argv) {
  values v = {.json = false};
  vc_arguments arguments;
  vc_error error;
  int exit_status;
  if (!vc_command_start(&spec, argc, argv, &v, &arguments, &exit_status)) return exit_status;
  vc_interrupt_install();
  return vc_command_finish(&spec, run(&v, &error), &error);
}
