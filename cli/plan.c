// videocomposer plan: the memory plan of a network at a shape.
#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

#include "cli/asset_source.h"
#include "cli/command.h"
#include "cli/machine.h"
#include "cli/plan_map.h"
#include "cli/plan_network.h"
#include "cli/plan_savings.h"
#include "engine/model.h"
#include "engine/plan.h"

typedef struct values {
  int network;
  const char *model, *conditions, *output;
  bool released, json, no_guidance, no_fold, ops;
  int frames, steps, videos;
  vc_machine machine;
  vc_size size;
} values;

static const char *const networks[] = {"unet",  "vae-decoder", "vae-encoder",           "clip-text", "clip-image",
                                       "midas", "pidinet",     "sketch-simplification", NULL};

static const vc_option options[] = {
    {.name = "network",
     .kind = VC_OPTION_CHOICE,
     .field = offsetof(values, network),
     .choices = networks,
     .fallback = "unet",
     .help = "the network to plan"},
    {.name = "model",
     .kind = VC_OPTION_STRING,
     .field = offsetof(values, model),
     .value = "DIR",
     .help = "model folder whose architecture is planned (default: the embedded model)"},
    {.name = "released",
     .kind = VC_OPTION_FLAG,
     .field = offsetof(values, released),
     .help = "plan the released architecture; no weights are needed"},
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
    {.name = "videos",
     .kind = VC_OPTION_INT,
     .field = offsetof(values, videos),
     .min = 1,
     .max = 64,
     .fallback = "1",
     .help = "videos in one batch"},
    {.name = "steps",
     .kind = VC_OPTION_INT,
     .field = offsetof(values, steps),
     .min = 1,
     .max = 1000,
     .fallback = "50",
     .help = "denoising steps, whose time embeddings are made in the prologue"},
    {.name = "conditions",
     .kind = VC_OPTION_STRING,
     .field = offsetof(values, conditions),
     .value = "LIST",
     .fallback = "all",
     .help = "conditions of the UNet, by commas; all, none"},
    VC_MACHINE_OPTIONS(values, "auto"),
    {.name = "no-guidance",
     .kind = VC_OPTION_FLAG,
     .field = offsetof(values, no_guidance),
     .help = "one pass a step instead of the conditional and the unconditional one"},
    {.name = "no-fold",
     .kind = VC_OPTION_FLAG,
     .field = offsetof(values, no_fold),
     .help = "lower every node by itself, to compare"},
    {.name = "ops",
     .kind = VC_OPTION_FLAG,
     .field = offsetof(values, ops),
     .help = "list every op and every tensor's lifetime"},
    {.name = "json", .kind = VC_OPTION_FLAG, .field = offsetof(values, json), .help = "print everything as JSON"},
    {.name = "output",
     .letter = 'o',
     .kind = VC_OPTION_STRING,
     .field = offsetof(values, output),
     .value = "FILE.svg",
     .help = "write a picture: ops across, bytes up, a box for each tensor"},
};

static const vc_command_spec spec = {
    .name = "plan",
    .summary =
        "shows what a network needs at a shape before anything runs: its arena, the lower bound of it,\n"
        "weights, arithmetic, what was folded, and the lifetime of every tensor",
    .max_arguments = 0,
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .example =
        "videocomposer plan --released --size 256x256 --frames 16 -o unet.svg\n"
        "videocomposer plan --network vae-decoder --ops",
};

static vc_status read_config(const values *v, vc_model_config *config, vc_error *error) {
  vc_model model;
  if (v->released) {
    *config = vc_model_config_released();
    return VC_OK;
  }
  vc_status status = vc_model_open(&model, v->model, vc_asset_source_program, error);
  if (status) return status;
  *config = model.config;
  vc_model_close(&model);
  return VC_OK;
}

static void print_work(const char *title, vc_plan_work work) {
  bool large = work.flops >= 1e11;
  printf("%-15s %10d ops, %.3f %s, %.3f GB\n", title, work.ops, work.flops * (large ? 1e-12 : 1e-9),
         large ? "TFLOP" : "GFLOP", work.bytes * 1e-9);
}

static void print_savings(const values *v, const vc_plan *p, const vc_plan_savings *saved) {
  print_work("  less a step", saved->folded);
  if (!p->prologue_ops) return;
  printf("once a video instead of once a step, in %d steps\n", v->steps);
  print_work("  less a step", saved->moved);
  print_work("  less a video", saved->video);
}

static void print_text(const values *v, const vc_plan *p, const vc_plan_savings *saved, size_t weight_bytes) {
  const double mib = 1048576;
  printf("weights         %10.1f MiB in %d parameters\n", (double)weight_bytes / mib, p->graph->params);
  printf("arena           %10.1f MiB (%.1f %% above the lower bound of %.1f MiB)\n", (double)p->arena_bytes / mib,
         100.0 * ((double)p->arena_bytes / (double)p->bound_bytes - 1), (double)p->bound_bytes / mib);
  print_work("prologue", vc_plan_work_of(p, 0, p->prologue_ops));
  print_work("step", vc_plan_work_of(p, p->prologue_ops, p->ops));
  printf("folded          %10d activations, %d residuals, %d concatenations\n", p->folded.activations,
         p->folded.residuals, p->folded.concatenations);
  if (saved) print_savings(v, p, saved);
  if (!v->ops) return;
  printf("\n%5s %-10s %12s %10s  %s\n", "op", "kind", "GFLOP", "MB", "module");
  for (int i = 0; i < p->ops; i++)
    printf("%5d %-10s %12.3f %10.3f  %s%s\n", i, vc_op_name(p->op[i].kind), p->op[i].flops * 1e-9,
           p->op[i].bytes * 1e-6, p->op[i].label, i < p->prologue_ops ? " (prologue)" : "");
  printf("\n%5s %5s %14s %14s  %s\n", "first", "last", "offset", "bytes", "tensor");
  for (int i = 0; i < p->tensors; i++)
    printf("%5d %5d %14zu %14zu  %s%s\n", p->tensor[i].first, p->tensor[i].last, p->tensor[i].offset,
           p->tensor[i].bytes, p->tensor[i].name, p->tensor[i].workspace ? " (workspace)" : "");
}

static void add_work(cJSON *object, const char *name, vc_plan_work work) {
  cJSON *item = cJSON_AddObjectToObject(object, name);
  cJSON_AddNumberToObject(item, "ops", work.ops);
  cJSON_AddNumberToObject(item, "flops", work.flops);
  cJSON_AddNumberToObject(item, "bytes", work.bytes);
}

static vc_status print_json(const vc_plan *p, const vc_plan_savings *saved, size_t weight_bytes, vc_error *error) {
  vc_plan_work prologue = vc_plan_work_of(p, 0, p->prologue_ops), step = vc_plan_work_of(p, p->prologue_ops, p->ops);
  cJSON *root = cJSON_CreateObject();
  cJSON_AddNumberToObject(root, "weight_bytes", (double)weight_bytes);
  cJSON_AddNumberToObject(root, "arena_bytes", (double)p->arena_bytes);
  cJSON_AddNumberToObject(root, "bound_bytes", (double)p->bound_bytes);
  cJSON_AddNumberToObject(root, "prologue_ops", p->prologue_ops);
  cJSON_AddNumberToObject(root, "prologue_flops", prologue.flops);
  cJSON_AddNumberToObject(root, "prologue_bytes", prologue.bytes);
  cJSON_AddNumberToObject(root, "step_flops", step.flops);
  cJSON_AddNumberToObject(root, "step_bytes", step.bytes);
  cJSON *folded = cJSON_AddObjectToObject(root, "folded");
  cJSON_AddNumberToObject(folded, "activations", p->folded.activations);
  cJSON_AddNumberToObject(folded, "residuals", p->folded.residuals);
  cJSON_AddNumberToObject(folded, "concatenations", p->folded.concatenations);
  if (saved) {
    add_work(folded, "saved_in_a_step", saved->folded);
    add_work(root, "moved_to_the_prologue", saved->moved);
    add_work(root, "saved_in_a_video", saved->video);
  }
  cJSON *ops = cJSON_AddArrayToObject(root, "ops"), *tensors = cJSON_AddArrayToObject(root, "tensors");
  for (int i = 0; i < p->ops; i++) {
    cJSON *op = cJSON_CreateObject();
    cJSON_AddStringToObject(op, "kind", vc_op_name(p->op[i].kind));
    cJSON_AddStringToObject(op, "module", p->op[i].label);
    cJSON_AddNumberToObject(op, "flops", p->op[i].flops);
    cJSON_AddNumberToObject(op, "bytes", p->op[i].bytes);
    cJSON_AddItemToArray(ops, op);
  }
  for (int i = 0; i < p->tensors; i++) {
    const vc_plan_tensor *t = &p->tensor[i];
    cJSON *item = cJSON_CreateObject();
    cJSON_AddStringToObject(item, "name", t->name);
    cJSON_AddNumberToObject(item, "offset", (double)t->offset);
    cJSON_AddNumberToObject(item, "bytes", (double)t->bytes);
    cJSON_AddNumberToObject(item, "first", t->first);
    cJSON_AddNumberToObject(item, "last", t->last);
    cJSON_AddBoolToObject(item, "workspace", t->workspace);
    cJSON_AddItemToArray(tensors, item);
  }
  char *text = cJSON_Print(root);
  cJSON_Delete(root);
  if (!text) return vc_fail(error, VC_NO_MEMORY, "no memory for the JSON of a plan");
  puts(text);
  cJSON_free(text);
  return VC_OK;
}

static vc_status show(const values *v, const vc_model_config *config, const vc_plan_shape *shape, vc_graph *graph,
                      const vc_compute *compute, vc_error *error) {
  vc_plan_savings savings, *saved = v->no_fold ? NULL : &savings;
  size_t weight_bytes = 0;
  char title[128];
  vc_plan *plan = NULL;
  vc_plan_options o = {
      .backend = compute->backend, .device = compute->device, .dtype = compute->dtype, .no_fold = v->no_fold};
  vc_status status = vc_parameters_size(graph, compute->backend, compute->dtype, &weight_bytes, error);
  if (status) {
    vc_graph_free(graph);
    return status;
  }
  if ((status = vc_plan_new(&plan, graph, &o, error))) return status;
  if (saved) status = vc_plan_savings_of(saved, plan, (vc_plan_network)v->network, config, shape, error);
  if (!status && v->json) status = print_json(plan, saved, weight_bytes, error);
  if (!status && !v->json) print_text(v, plan, saved, weight_bytes);
  snprintf(title, sizeof title, "%s, %d frames of %dx%d, %s %s", networks[v->network], v->frames, v->size.width,
           v->size.height, compute->backend->name, vc_dtype_name(compute->dtype));
  if (!status && v->output) status = vc_plan_map_write(v->output, plan, title, error);
  vc_plan_free(plan);
  return status;
}

static vc_status run(values *v, vc_error *error) {
  vc_model_config config;
  vc_compute compute;
  vc_graph *graph;
  vc_status status = read_config(v, &config, error);
  if (status) return status;
  if (!v->frames) v->frames = (int)config.frames;
  if (!v->size.width) v->size = (vc_size){(int)config.width, (int)config.height};
  if (v->size.width % config.latent_scale || v->size.height % config.latent_scale)
    return vc_fail(error, VC_INVALID, "--size %dx%d: sides must be multiples of %lld", v->size.width, v->size.height,
                   (long long)config.latent_scale);
  vc_plan_shape shape = {.videos = v->videos,
                         .frames = v->frames,
                         .height = v->size.height,
                         .width = v->size.width,
                         .steps = v->steps,
                         .guided = !v->no_guidance,
                         .sampler = true};
  status = vc_plan_conditions(v->conditions, &config, &shape, error);
  if (!status) status = vc_plan_describe(&graph, (vc_plan_network)v->network, &config, &shape, error);
  if (status) return status;
  if ((status = vc_machine_open(&compute, &v->machine, error))) {
    vc_graph_free(graph);
    return status;
  }
  status = show(v, &config, &shape, graph, &compute, error);
  vc_machine_close(&compute);
  return status;
}

int vc_command_plan(int argc, char **argv) {
  values v = {0};
  vc_arguments arguments;
  vc_error error;
  int exit_status;
  if (!vc_command_start(&spec, argc, argv, &v, &arguments, &exit_status)) return exit_status;
  return vc_command_finish(&spec, run(&v, &error), &error);
}
