// videocomposer bench kernels: every distinct op of a network by itself, against what the machine can do.
#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/kernels_print.h"
#include "bench/op_operands.h"
#include "bench/step.h"
#include "cli/bench.h"
#include "cli/interrupt.h"
#include "cli/progress.h"

typedef struct values {
  vc_bench_target target;
  vc_string_list shapes;
  const char *filter, *compare;
  bool cold, variants, prologue, list, no_step, no_roofline, json, csv, no_progress;
  int runs;
  vc_machine machine;
  double seconds;
} values;

static const vc_option options[] = {
    {.kind = VC_OPTION_HEADING, .help = "What is measured"},
    VC_BENCH_TARGET_OPTIONS(values),
    {.name = "filter",
     .kind = VC_OPTION_STRING,
     .field = offsetof(values, filter),
     .value = "TEXT",
     .help = "only ops whose description or first module contains this"},
    {.name = "prologue",
     .kind = VC_OPTION_FLAG,
     .field = offsetof(values, prologue),
     .help = "also ops that run once a video only"},
    {.name = "shape",
     .kind = VC_OPTION_LIST,
     .field = offsetof(values, shapes),
     .value = "OP",
     .help = "this op instead of a network's, described as in the last column; may be repeated"},
    {.name = "list",
     .kind = VC_OPTION_FLAG,
     .field = offsetof(values, list),
     .help = "only list the ops: how often each occurs, its arithmetic, the bytes it moves, what runs it"},
    {.kind = VC_OPTION_HEADING, .help = "How"},
    {.name = "cold",
     .kind = VC_OPTION_FLAG,
     .field = offsetof(values, cold),
     .help = "with other data in the caches before every run"},
    {.name = "variants",
     .kind = VC_OPTION_FLAG,
     .field = offsetof(values, variants),
     .help = "also each of the backend's implementations (CPU: instruction sets)"},
    {.name = "seconds",
     .kind = VC_OPTION_FLOAT,
     .field = offsetof(values, seconds),
     .min = 0,
     .max = 3600,
     .fallback = "0.3",
     .help = "to spend on each op; at least three runs"},
    {.name = "runs",
     .kind = VC_OPTION_INT,
     .field = offsetof(values, runs),
     .min = 1,
     .max = VC_SAMPLES_MAX,
     .fallback = "200",
     .help = "of each op, at most"},
    {.name = "no-step",
     .kind = VC_OPTION_FLAG,
     .field = offsetof(values, no_step),
     .help = "do not measure the whole step beside the sum of its ops"},
    {.name = "no-roofline",
     .kind = VC_OPTION_FLAG,
     .field = offsetof(values, no_roofline),
     .help = "do not measure what the machine does at best"},
    {.name = "no-progress", .kind = VC_OPTION_FLAG, .field = offsetof(values, no_progress), .help = "no progress bar"},
    {.kind = VC_OPTION_HEADING, .help = "Output"},
    {.name = "compare",
     .kind = VC_OPTION_STRING,
     .field = offsetof(values, compare),
     .value = "FILE",
     .help = "JSON of an earlier run: the ratio of the times, and whether it exceeds the spread"},
    {.name = "json", .kind = VC_OPTION_FLAG, .field = offsetof(values, json), .help = "print JSON"},
    {.name = "csv", .kind = VC_OPTION_FLAG, .field = offsetof(values, csv), .help = "print CSV"},
};

static const vc_command_spec spec = {
    .name = "bench kernels",
    .summary =
        "times every distinct op of a network's step by itself: median and spread, arithmetic and memory\n"
        "traffic a second, share of the roofline that a large product and a large copy set here, and the\n"
        "error against double precision",
    .max_arguments = 0,
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .example =
        "videocomposer bench kernels --json >before.json\n"
        "videocomposer bench kernels --released --filter conv --compare before.json\n"
        "videocomposer bench kernels --shape 'linear rows=4096 c=320 c_out=1280 bias activation=geglu' --variants",
    .notes =
        "An op whose operands fit into the caches may exceed 100 % of the roofline: its ceiling is that of\n"
        "the memory behind them.",
};

static vc_status collect(vc_op_cases *out, const values *v, const vc_bench_opened *target, const vc_compute *compute,
                         vc_error *error) {
  *out = (vc_op_cases){0};
  vc_status status = VC_OK;
  for (int i = 0; i < v->shapes.count && !status; i++) status = vc_op_cases_add_text(out, v->shapes.item[i], error);
  if (status || v->shapes.count) return status;
  vc_graph *graph;
  vc_plan *plan;
  vc_plan_options o = {.backend = compute->backend, .device = compute->device, .dtype = compute->dtype};
  status = vc_plan_describe(&graph, (vc_plan_network)v->target.network, &target->config, &target->shape, error);
  if (!status) status = vc_plan_new(&plan, graph, &o, error);
  if (status) return status;
  status = vc_op_cases_of_plan(out, plan, error);
  vc_plan_free(plan);
  if (!status) vc_op_cases_filter(out, v->filter, v->prologue);
  if (!status && !out->count)
    status = vc_fail(error, VC_INVALID, "--filter %s: no op contains this; --list shows them", v->filter);
  return status;
}

static const char *runner(const vc_op_case *c, const vc_compute *compute) {
  const vc_backend *backend = compute->backend;
  return backend->chosen ? backend->chosen(compute->device, c->kind, &c->arguments) : NULL;
}

static void print_list(const vc_op_cases *cases, const vc_compute *compute) {
  printf("%5s %8s %10s %10s %-9s  %s\n", "step", "prologue", "MFLOP", "MB", "by", "op");
  for (int i = 0; i < cases->count; i++) {
    const vc_op_case *c = &cases->item[i];
    const char *variant = runner(c, compute);
    printf("%5d %8d %10.2f %10.3f %-9s  %s\n", c->in_step, c->in_prologue, vc_op_flops(c->kind, &c->arguments) * 1e-6,
           vc_op_bytes(c->kind, &c->arguments, compute->backend, compute->dtype) * 1e-6, variant ? variant : "",
           c->text);
  }
}

static vc_status print_list_json(const vc_op_cases *cases, const vc_compute *compute, vc_error *error) {
  cJSON *root = cJSON_CreateObject(), *list = cJSON_AddArrayToObject(root, "ops");
  for (int i = 0; i < cases->count; i++) {
    const vc_op_case *c = &cases->item[i];
    cJSON *op = cJSON_CreateObject();
    const char *variant = runner(c, compute);
    cJSON_AddStringToObject(op, "op", c->text);
    cJSON_AddNumberToObject(op, "in_step", c->in_step);
    cJSON_AddNumberToObject(op, "in_prologue", c->in_prologue);
    cJSON_AddNumberToObject(op, "flops", vc_op_flops(c->kind, &c->arguments));
    cJSON_AddNumberToObject(op, "bytes", vc_op_bytes(c->kind, &c->arguments, compute->backend, compute->dtype));
    if (variant) cJSON_AddStringToObject(op, "by", variant);
    cJSON_AddItemToArray(list, op);
  }
  char *text = list ? cJSON_Print(root) : NULL;
  cJSON_Delete(root);
  if (!text) return vc_fail(error, VC_NO_MEMORY, "no memory for the list as JSON");
  puts(text);
  free(text);
  return VC_OK;
}

static void show_progress(void *opaque, int done, int total, const char *text) {
  vc_progress *progress = opaque;
  (void)text;
  if (done == 0) vc_progress_begin(progress, stderr, true, "measuring ops", total);
  vc_progress_step(progress, done);
}

// The whole step, when all of its ops are measured.
static vc_status measure_step(double *seconds, const values *v, const vc_bench_opened *target,
                              const vc_compute *compute, vc_error *error) {
  enum { RUNS = 50 };
  vc_step_result step;
  *seconds = 0;
  if (v->no_step || v->filter || v->shapes.count) return VC_OK;
  vc_step_options o = {.network = (vc_plan_network)v->target.network,
                       .config = &target->config,
                       .model = target->opened ? &target->model : NULL,
                       .shape = target->shape,
                       .runs = RUNS,
                       .compute = *compute,
                       .seconds = 2};
  vc_status status = vc_step_measure(&step, &o, vc_bench_interrupted, error);
  if (!status) *seconds = step.step.median;
  return status;
}

static vc_status print(const values *v, const vc_kernels_result *result, vc_error *error) {
  vc_kernels_before before, *with = NULL;
  vc_status status = VC_OK;
  if (v->compare) {
    if ((status = vc_kernels_before_read(&before, v->compare, error))) return status;
    with = &before;
  }
  if (v->json)
    status = vc_kernels_print_json(stdout, result, with, error);
  else if (v->csv)
    vc_kernels_print_csv(stdout, result, with);
  else
    vc_kernels_print(stdout, result, with);
  if (with) vc_kernels_before_free(with);
  return status;
}

static vc_status measure(const values *v, const vc_op_cases *cases, const vc_bench_opened *target,
                         const vc_compute *compute, vc_error *error) {
  vc_progress progress = {0};
  char machine[320];
  vc_kernels_options o = {.backend = compute->backend,
                          .device = compute->device,
                          .dtype = compute->dtype,
                          .cold = v->cold,
                          .variants = v->variants,
                          .no_ceilings = v->no_roofline,
                          .seconds = v->seconds,
                          .runs = v->runs,
                          .cancelled = vc_bench_interrupted,
                          .progress = v->no_progress || !isatty(STDERR_FILENO) ? NULL : show_progress,
                          .opaque = &progress};
  compute->backend->describe(compute->device, machine, sizeof machine);
  vc_kernels_result result = {.backend = compute->backend->name,
                              .dtype = vc_dtype_name(compute->dtype),
                              .network = v->shapes.count ? "" : vc_bench_networks[v->target.network],
                              .machine = machine,
                              .cold = v->cold};
  vc_status status = measure_step(&result.step_seconds, v, target, compute, error);
  if (!status) status = vc_kernels_measure(&result, cases, &o, error);
  vc_progress_end(&progress);
  if (!status) status = print(v, &result, error);
  vc_kernels_free(&result);
  return status;
}

static vc_status run(const values *v, vc_error *error) {
  vc_bench_opened target;
  vc_op_cases cases = {0};
  vc_compute compute;
  vc_kernels_before before;
  if (v->list && v->csv) return vc_fail(error, VC_INVALID, "--list prints text or --json, not --csv");
  if (v->json && v->csv) return vc_fail(error, VC_INVALID, "--json or --csv, not both");
  if (v->shapes.count && (v->filter || v->prologue))
    return vc_fail(error, VC_INVALID, "--shape stands for itself; leave --filter and --prologue out");
  if (v->compare) {  // a wrong file is told before minutes of measuring
    vc_status status = vc_kernels_before_read(&before, v->compare, error);
    if (status) return status;
    vc_kernels_before_free(&before);
  }
  vc_status status = vc_bench_open(&target, &v->target, error);
  if (status) return status;
  status = vc_machine_open(&compute, &v->machine, error);
  if (!status) status = collect(&cases, v, &target, &compute, error);
  if (!status && v->list && v->json) status = print_list_json(&cases, &compute, error);
  if (!status && v->list && !v->json) print_list(&cases, &compute);
  if (!status && !v->list) status = measure(v, &cases, &target, &compute, error);
  vc_op_cases_free(&cases);
  vc_machine_close(&compute);
  vc_bench_close(&target);
  return status;
}

int vc_bench_kernels_command(int argc, char **argv) {
  values v = {.json = false};
  vc_arguments arguments;
  vc_error error;
  int exit_status;
  if (!vc_command_start(&spec, argc, argv, &v, &arguments, &exit_status)) return exit_status;
  vc_interrupt_install();
  return vc_command_finish(&spec, run(&v, &error), &error);
}
