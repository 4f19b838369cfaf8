// videocomposer convert: weights of any known container to safetensors.
#include "cli/convert.h"

#include <cjson/cJSON.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/command.h"
#include "cli/interrupt.h"

enum { MIB = 1 << 20 };

typedef struct values {
  const char *output, *prefix;
  int dtype;
  uint64_t part_size;
  bool checksum, allow_overflow, json, no_progress;
} values;

static const char *const dtypes[] = {"keep", "f32", "f16", "bf16", NULL};
static const vc_dtype dtype_of[] = {VC_DTYPE_COUNT, VC_F32, VC_F16, VC_BF16};

static const vc_option options[] = {
    {.name = "output",
     .letter = 'o',
     .kind = VC_OPTION_STRING,
     .field = offsetof(values, output),
     .value = "FILE",
     .help = "safetensors file to write"},
    {.name = "dtype",
     .kind = VC_OPTION_CHOICE,
     .field = offsetof(values, dtype),
     .choices = dtypes,
     .fallback = "keep",
     .help = "of floating-point tensors; others stay as they are"},
    {.name = "prefix",
     .kind = VC_OPTION_STRING,
     .field = offsetof(values, prefix),
     .value = "TEXT",
     .help = "take only tensors whose names begin so, and strip it: module., first_stage_model."},
    {.name = "shard-size",
     .kind = VC_OPTION_BYTES,
     .field = offsetof(values, part_size),
     .help =
         "write parts of at most this size, NAME-00001-of-00003.safetensors, and NAME.safetensors.index.json; a tensor "
         "may be larger"},
    {.name = "checksum",
     .kind = VC_OPTION_FLAG,
     .field = offsetof(values, checksum),
     .help = "put the CRC-32 of the data into the metadata, where `inspect --check` finds it"},
    {.name = "allow-overflow",
     .kind = VC_OPTION_FLAG,
     .field = offsetof(values, allow_overflow),
     .help = "store values that are too large for the dtype as infinities instead of failing"},
    {.name = "json", .kind = VC_OPTION_FLAG, .field = offsetof(values, json), .help = "print the result as JSON"},
    {.name = "no-progress",
     .kind = VC_OPTION_FLAG,
     .field = offsetof(values, no_progress),
     .help = "no progress bar, also on a terminal"},
};

static const vc_command_spec spec = {
    .name = "convert",
    .summary =
        "makes safetensors of a PyTorch checkpoint (.pth .ckpt .bin .pt, of any version) or of another safetensors\n"
        "file, without PyTorch. The checkpoint is read as data: nothing in it is executed",
    .arguments = "FILE [OUTPUT]",
    .min_arguments = 1,
    .max_arguments = 2,
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .example =
        "videocomposer convert non_ema_228000.pth -o unet.safetensors --dtype f16\n"
        "videocomposer convert v2-1_512-ema-pruned.ckpt -o vae.safetensors --prefix first_stage_model.",
    .notes =
        "FILE may also be the index of a file in parts (NAME.safetensors.index.json). Tensors that hold NaNs or\n"
        "infinities, or values too large for --dtype, are listed with their number. Memory stays below 300 MB\n"
        "whatever the size of FILE; tensors that are not contiguous in it, or compressed, are held besides.",
};

static vc_status check_output(const char *path, vc_error *error) {
  static const char suffix[] = ".safetensors";
  struct stat s;
  size_t length = strlen(path);
  if (length >= sizeof suffix && !strcmp(path + length - sizeof suffix + 1, suffix)) return VC_OK;
  if (!stat(path, &s) && !S_ISREG(s.st_mode)) return VC_OK;
  return vc_fail(error, VC_INVALID, "the output '%s' must be named *.safetensors", path);
}

static cJSON *count_json(const vc_convert_item *item) {
  cJSON *object = cJSON_CreateObject();
  cJSON_AddStringToObject(object, "tensor", item->name);
  cJSON_AddNumberToObject(object, "nan", (double)item->count.nans);
  cJSON_AddNumberToObject(object, "infinite", (double)item->count.infinities);
  cJSON_AddNumberToObject(object, "overflow", (double)item->count.overflows);
  return object;
}

static bool is_odd(const vc_convert_item *item) {
  return item->count.nans || item->count.infinities || item->count.overflows;
}

static vc_status print_json(const vc_convert *c, vc_error *error) {
  cJSON *root = cJSON_CreateObject(), *files = cJSON_AddArrayToObject(root, "files");
  for (int i = 0; i < c->files; i++) {
    cJSON *file = cJSON_CreateObject();
    char crc[16];
    snprintf(crc, sizeof crc, "%08x", c->file[i].crc);
    cJSON_AddStringToObject(file, "path", c->file[i].path);
    cJSON_AddNumberToObject(file, "tensors", c->file[i].count);
    cJSON_AddNumberToObject(file, "bytes", (double)c->file[i].bytes);
    cJSON_AddStringToObject(file, VC_CHECKSUM_KEY, crc);
    cJSON_AddItemToArray(files, file);
  }
  if (c->index) cJSON_AddStringToObject(root, "index", c->index);
  cJSON *odd = cJSON_AddArrayToObject(root, "not_finite");
  for (int i = 0; i < c->items; i++)
    if (is_odd(&c->item[i])) cJSON_AddItemToArray(odd, count_json(&c->item[i]));
  char *text = cJSON_Print(root);
  cJSON_Delete(root);
  if (!text) return vc_fail(error, VC_NO_MEMORY, "no memory for the result");
  puts(text);
  cJSON_free(text);
  return VC_OK;
}

static void print_text(const vc_convert *c, bool written) {
  for (int i = 0; i < c->items; i++) {
    const vc_convert_count *n = &c->item[i].count;
    if (is_odd(&c->item[i]))
      printf("%s: %zu NaN, %zu infinite, %zu too large for %s\n", c->item[i].name, n->nans, n->infinities, n->overflows,
             vc_dtype_name(c->item[i].dtype));
  }
  for (int i = 0; i < c->files && written; i++)
    printf("%s: %d tensors, %.1f MiB, CRC-32 %08x\n", c->file[i].path, c->file[i].count, (double)c->file[i].bytes / MIB,
           c->file[i].crc);
  if (c->index && written) printf("%s: index of %d parts\n", c->index, c->files);
}

static long mebibytes_of(const vc_convert *c) {
  uint64_t bytes = 0;
  for (int i = 0; i < c->items; i++) bytes += vc_tensor_bytes(c->item[i].source);
  return (long)(bytes / MIB);
}

static vc_status convert(const char *input, const values *v, vc_error *error) {
  vc_tensor_file source = {0};
  vc_convert plan = {0};
  vc_progress progress = {0};
  vc_status status = vc_tensor_file_open(&source, input, error);
  if (status) return status;
  status =
      vc_convert_plan(&plan, &source, v->output, v->prefix ? v->prefix : "", dtype_of[v->dtype], v->part_size, error);
  if (!status) {
    plan.allow_overflow = v->allow_overflow;
    plan.checksum = v->checksum;
    vc_progress_begin(&progress, stderr, !v->no_progress, "converting (MiB)", mebibytes_of(&plan));
    status = vc_convert_write(&plan, &progress, error);
    vc_progress_end(&progress);
    if (!v->json)
      print_text(&plan, !status);
    else if (!status)
      status = print_json(&plan, error);
  }
  vc_convert_free(&plan);
  vc_tensor_file_close(&source);
  return status;
}

int vc_command_convert(int argc, char **argv) {
  values v = {0};
  vc_arguments arguments;
  vc_error error;
  int exit_status;
  if (!vc_command_start(&spec, argc, argv, &v, &arguments, &exit_status)) return exit_status;
  vc_status status = VC_OK;
  if (arguments.count == 2 && v.output)
    status = vc_fail(&error, VC_INVALID, "the output is given twice, as '%s' and '%s'", arguments.item[1], v.output);
  if (arguments.count == 2) v.output = arguments.item[1];
  if (!v.output) status = vc_fail(&error, VC_INVALID, "give the file to write: -o NAME.safetensors");
  if (!status) status = check_output(v.output, &error);
  if (!status) status = convert(arguments.item[0], &v, &error);
  return vc_command_finish(&spec, status, &error);
}
