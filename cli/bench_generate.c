// videocomposer bench generate: whole jobs, by phase.
#include "bench/generate.h"
#include "cli/bench.h"
#include "cli/interrupt.h"

typedef struct values {
  const char *model, *conditions;
  bool json, no_guidance;
  int frames, steps, runs, count;
  vc_machine machine;
  vc_size size;
} values;

static const vc_option options[] = {
    {.name = "model",
     .kind = VC_OPTION_STRING,
     .field = offsetof(values, model),
     .value = "DIR",
     .help = "model folder (default: the embedded model)"},
    {.name = "size",
     .kind = VC_OPTION_SIZE,
     .field = offsetof(values, size),
     .min = 8,
     .max = 8192,
     .help = "pixels (default: the model's)"},
    {.name = "frames",
     .kind = VC_OPTION_INT,
     .field = offsetof(values, frames),
     .min = 1,
     .max = 1024,
     .help = "frames (default: the model's)"},
    {.name = "steps",
     .kind = VC_OPTION_INT,
     .field = offsetof(values, steps),
     .min = 1,
     .max = 1000,
     .help = "denoising steps (default: the model's)"},
    {.name = "count",
     .kind = VC_OPTION_INT,
     .field = offsetof(values, count),
     .min = 1,
     .max = 1024,
     .fallback = "1",
     .help = "videos a job"},
    {.name = "conditions",
     .kind = VC_OPTION_STRING,
     .field = offsetof(values, conditions),
     .value = "LIST",
     .fallback = "none",
     .help = "condition videos, made up, by commas; all, none"},
    {.name = "no-guidance",
     .kind = VC_OPTION_FLAG,
     .field = offsetof(values, no_guidance),
     .help = "one pass a step instead of the conditional and the unconditional one"},
    {.name = "runs",
     .kind = VC_OPTION_INT,
     .field = offsetof(values, runs),
     .min = 0,
     .max = VC_SAMPLES_MAX,
     .fallback = "2",
     .help = "jobs after the first"},
    VC_MACHINE_OPTIONS(values, "auto"),
    {.name = "json", .kind = VC_OPTION_FLAG, .field = offsetof(values, json), .help = "print JSON"},
};

static const vc_command_spec spec = {
    .name = "bench generate",
    .summary =
        "times whole jobs, from a text to frames, by phase: the first one, and those that come after it in the\n"
        "same process; videos an hour; the most memory that the process held",
    .max_arguments = 0,
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .example = "videocomposer bench generate --steps 10 --conditions depth",
};

// Which conditions there are depends on the model; the engine opens it once more, which costs nothing.
static vc_status read_conditions(const values *v, vc_job_options *o, vc_error *error) {
  vc_model model;
  vc_plan_shape shape = {.videos = 1};
  vc_status status = vc_model_open(&model, v->model, vc_asset_source_program, error);
  if (status) return status;
  status = vc_plan_conditions(v->conditions, &model.config, &shape, error);
  for (int i = 0; i < VC_CONDITION_COUNT; i++) o->condition[i] = shape.condition[i];
  vc_model_close(&model);
  return status;
}

static vc_status run(const values *v, vc_error *error) {
  vc_job_result result;
  vc_job_options o = {.engine = vc_default_engine_options(),
                      .frames = v->frames,
                      .height = v->size.height,
                      .width = v->size.width,
                      .steps = v->steps,
                      .count = v->count,
                      .guidance = v->no_guidance ? 1 : 0,
                      .runs = v->runs,
                      .cancelled = vc_bench_interrupted};
  o.engine.model = v->model;
  o.engine.asset = vc_asset_source_program;
  vc_machine_choice choice;
  vc_status status = vc_machine_set(&o.engine, &choice, &v->machine, error);
  if (status) return status;
  status = read_conditions(v, &o, error);
  if (!status) status = vc_job_measure(&result, &o, error);
  if (status) return status;
  if (v->json) return vc_job_print_json(stdout, &result, error);
  vc_job_print(stdout, &result);
  return VC_OK;
}

int vc_bench_generate_command(int argc, char **argv) {
  values v = {.json = false};
  vc_arguments arguments;
  vc_error error;
  int exit_status;
  if (!vc_command_start(&spec, argc, argv, &v, &arguments, &exit_status)) return exit_status;
  vc_interrupt_install();
  return vc_command_finish(&spec, run(&v, &error), &error);
}
