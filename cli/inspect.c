// videocomposer inspect: what a weights file, a model folder or an output holds.
#include "cli/inspect.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/asset_source.h"
#include "cli/command.h"
#include "loaders/media_metadata.h"

typedef struct values {
  bool json, statistics, check;
} values;

static const vc_option options[] = {
    {.name = "stats",
     .kind = VC_OPTION_FLAG,
     .field = offsetof(values, statistics),
     .help = "also least, greatest and mean value of every tensor, and how many are NaN or infinite"},
    {.name = "check",
     .kind = VC_OPTION_FLAG,
     .field = offsetof(values, check),
     .help = "also compare a file's data with the checksums in it: a zip's, or that of `convert --checksum`"},
    {.name = "json", .kind = VC_OPTION_FLAG, .field = offsetof(values, json), .help = "print JSON"},
};

static const vc_command_spec spec = {
    .name = "inspect",
    .summary =
        "shows what a file of weights holds (safetensors, PyTorch checkpoints), which networks these are and whether\n"
        "this engine can run them, whether a model folder has all that is asked for, or how an output was made (GIF,\n"
        "MP4, WebP, PNG, safetensors)",
    .arguments = "[PATH]",
    .max_arguments = 1,
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .example =
        "videocomposer inspect models/released\nvideocomposer inspect unet.safetensors --stats\n"
        "videocomposer inspect out.gif",
    .notes = "Without a path, the embedded model. Exit status 1 when a model folder lacks something.",
};

static vc_status inspect_media(const char *path, cJSON *json, vc_error *error) {
  vc_metadata metadata = {0};
  vc_status status = vc_media_read_metadata(&metadata, path, error);
  if (status) return status;
  vc_inspect_metadata(metadata.entry, metadata.count, json);
  if (!metadata.count && !json) printf("%s says nothing about how it was made\n", path);
  vc_metadata_free(&metadata);
  return VC_OK;
}

// True for what the readers of pictures and videos know by its first bytes.
static bool is_media(const char *path) {
  unsigned char head[12] = {0};
  FILE *file = fopen(path, "rb");
  size_t size = file ? fread(head, 1, sizeof head, file) : 0;
  if (file) fclose(file);
  return size == sizeof head && (!memcmp(head, "GIF8", 4) || !memcmp(head, "\x89PNG", 4) || !memcmp(head, "RIFF", 4) ||
                                 !memcmp(head + 4, "ftyp", 4));
}

// True for a folder that generate has filled with frames.
static bool holds_frames(const char *folder) {
  char path[4096];
  struct stat s;
  snprintf(path, sizeof path, "%s/0000.png", folder);
  return !stat(path, &s);
}

static vc_status inspect_folder(const char *path, cJSON *json, vc_error *error) {
  vc_model model;
  int problems = 0;
  vc_status status = vc_model_open(&model, path, vc_asset_source_program, error);
  if (status) return status;
  status = vc_inspect_model(&model, json, &problems, error);
  vc_model_close(&model);
  if (!status && problems)
    status = vc_fail(error, VC_FAILED, "%s: %d problem%s listed", path ? path : "the embedded model", problems,
                     problems == 1 ? " is" : "s are");
  return status;
}

static vc_status inspect(const char *path, const values *v, cJSON *json, vc_error *error) {
  struct stat s;
  bool folder = path && !stat(path, &s) && S_ISDIR(s.st_mode);
  if (!path || (folder && !holds_frames(path))) return inspect_folder(path, json, error);
  if (folder || is_media(path)) return inspect_media(path, json, error);
  vc_status status = vc_inspect_file(path, v->statistics, json, error);
  if (!status && v->check) status = vc_inspect_checksums(path, json, error);
  return status;
}

int vc_command_inspect(int argc, char **argv) {
  values v = {0};
  vc_arguments arguments;
  vc_error error;
  int exit_status;
  if (!vc_command_start(&spec, argc, argv, &v, &arguments, &exit_status)) return exit_status;
  cJSON *json = v.json ? cJSON_CreateObject() : NULL;
  vc_status status = v.json && !json ? vc_fail(&error, VC_NO_MEMORY, "no memory")
                                     : inspect(arguments.count ? arguments.item[0] : NULL, &v, json, &error);
  char *text = json ? cJSON_Print(json) : NULL;
  if (text) puts(text);
  cJSON_free(text);
  cJSON_Delete(json);
  return vc_command_finish(&spec, status, &error);
}
