// videocomposer bench: measurements.
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "bench/load.h"
#include "bench/random_model.h"
#include "cli/bench.h"
#include "cli/interrupt.h"

typedef struct values {
  const char *model, *output;
  bool json;
  int runs, threads, dtype, networks, layout;
  uint64_t seed;
} values;

static const char *const dtypes[] = {"f32", "f16", "bf16", NULL};
static const vc_dtype dtype_of[] = {VC_F32, VC_F16, VC_BF16};
static const char *const networks[] = {"all", "unet", "vae", "clip", "midas", "pidinet", "sketch_simplification", NULL};
static const char *const layouts[] = {"own", "released", NULL};

static const vc_option options[] = {
    {.kind = VC_OPTION_HEADING, .help = "bench load"},
    {.name = "model",
     .kind = VC_OPTION_STRING,
     .field = offsetof(values, model),
     .value = "DIR",
     .help = "model folder"},
    {.name = "runs",
     .kind = VC_OPTION_INT,
     .field = offsetof(values, runs),
     .min = 1,
     .max = 64,
     .fallback = "3",
     .help = "times to load from the disk and from memory"},
    {.name = "threads",
     .kind = VC_OPTION_INT,
     .field = offsetof(values, threads),
     .min = 0,
     .max = 1024,
     .fallback = "0",
     .help = "threads; 0: as many as the process may use"},
    {.name = "json", .kind = VC_OPTION_FLAG, .field = offsetof(values, json), .help = "print JSON"},
    {.kind = VC_OPTION_HEADING, .help = "bench random-model"},
    {.name = "output",
     .letter = 'o',
     .kind = VC_OPTION_STRING,
     .field = offsetof(values, output),
     .value = "DIR",
     .help = "folder to write a model of the released architecture with random weights into"},
    {.name = "dtype",
     .kind = VC_OPTION_CHOICE,
     .field = offsetof(values, dtype),
     .choices = dtypes,
     .fallback = "f16",
     .help = "of the weights in the files"},
    {.name = "layout",
     .kind = VC_OPTION_CHOICE,
     .field = offsetof(values, layout),
     .choices = layouts,
     .fallback = "own",
     .help = "this engine's safetensors, or PyTorch checkpoints as the released files are"},
    {.name = "networks",
     .kind = VC_OPTION_CHOICE,
     .field = offsetof(values, networks),
     .choices = networks,
     .fallback = "all",
     .help = "which files to write; `bench load`: which to load"},
    {.name = "seed",
     .kind = VC_OPTION_UINT64,
     .field = offsetof(values, seed),
     .fallback = "0",
     .help = "of the weights"},
};

static const vc_command_spec spec = {
    .name = "bench",
    .summary =
        "measures. Of these, the first three have options of their own: see `bench step --help` and so on.\n"
        "  step          one denoising step, by kind of op and by level\n"
        "  kernels       every distinct op of a network by itself, against the roofline\n"
        "  generate      a whole job, by phase\n"
        "  load          loading weights, from disk and from memory\n"
        "  random-model  no measurement: writes weights of the released architecture to measure with",
    .arguments = "step|kernels|generate|load|random-model",
    .min_arguments = 1,
    .max_arguments = 1,
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .example =
        "videocomposer bench random-model -o /tmp/random && videocomposer bench load --model /tmp/random\n"
        "videocomposer bench step --released --runs 1",
};

static vc_status bench_random_model(const values *v, vc_error *error) {
  vc_model_config config = vc_model_config_released();
  vc_random_model o = {.config = &config,
                       .released = v->layout == 1,
                       .dtype = dtype_of[v->dtype],
                       .seed = v->seed,
                       .cancelled = vc_interrupted};
  for (int n = 0; n < VC_NETWORK_COUNT; n++) o.network[n] = !v->networks || v->networks == n + 1;
  if (!v->output) return vc_fail(error, VC_INVALID, "random-model needs -o DIR");
  if (mkdir(v->output, 0777) && errno != EEXIST)
    return vc_fail(error, VC_FAILED, "%s: cannot be made: %s", v->output, strerror(errno));
  return vc_random_model_write(v->output, &o, error);
}

static vc_status bench_load(const values *v, vc_error *error) {
  vc_load_result result[VC_NETWORK_COUNT];
  vc_model model;
  bool wanted[VC_NETWORK_COUNT];
  int count = 0;
  if (!v->model) return vc_fail(error, VC_INVALID, "load needs --model DIR: the embedded model is in no file");
  vc_status status = vc_model_open(&model, v->model, NULL, error);
  if (status) return status;
  for (int n = 0; n < VC_NETWORK_COUNT; n++) wanted[n] = v->networks ? v->networks == n + 1 : model.present[n];
  vc_model_close(&model);
  for (int n = 0; n < VC_NETWORK_COUNT && !status; n++) {
    vc_load_options o = {.folder = v->model, .network = (vc_network)n, .threads = v->threads, .runs = v->runs};
    if (!wanted[n]) continue;
    status = vc_load_measure(&result[count], &o, vc_bench_interrupted, error);
    if (!status && !v->json) vc_load_print(stdout, &result[count]);
    count++;
  }
  return !status && v->json ? vc_load_print_json(stdout, result, count, error) : status;
}

// Those with options of their own come right behind `bench`.
static int (*own_command(const char *name))(int, char **) {
  static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
  } own[] = {
      {"step", vc_bench_step_command}, {"kernels", vc_bench_kernels_command}, {"generate", vc_bench_generate_command}};
  for (size_t i = 0; name && i < sizeof own / sizeof *own; i++)
    if (!strcmp(name, own[i].name)) return own[i].run;
  return NULL;
}

int vc_command_bench(int argc, char **argv) {
  int (*own)(int, char **) = own_command(argc > 1 ? argv[1] : NULL);
  if (own) return own(argc - 1, argv + 1);
  values v = {0};
  vc_arguments arguments;
  vc_error error;
  vc_status status;
  int exit_status;
  if (!vc_command_start(&spec, argc, argv, &v, &arguments, &exit_status)) return exit_status;
  vc_interrupt_install();
  if (own_command(arguments.item[0]))
    status = vc_fail(&error, VC_INVALID, "'%s' comes right behind bench: bench %s [options]", arguments.item[0],
                     arguments.item[0]);
  else if (!strcmp(arguments.item[0], "load"))
    status = bench_load(&v, &error);
  else if (!strcmp(arguments.item[0], "random-model"))
    status = bench_random_model(&v, &error);
  else
    status =
        vc_fail(&error, VC_INVALID, "'%s' cannot be measured; there are step, kernels, generate, load and random-model",
                arguments.item[0]);
  return vc_command_finish(&spec, status, &error);
}
