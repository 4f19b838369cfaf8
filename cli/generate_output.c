// The outputs of generate: their names, whether they can be written, and writing them with the record of how they were
// made.
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cli/generate.h"
#include "engine/stc.h"
#include "engine/version.h"
#include "loaders/media_out.h"
#include "loaders/output.h"
#include "loaders/safetensors.h"

bool vc_generate_wants_tensors(const char *path) {
  static const char suffix[] = ".safetensors";
  size_t length = strlen(path);
  return length >= sizeof suffix - 1 && !strcasecmp(path + length - (sizeof suffix - 1), suffix);
}

char *vc_generate_output_path(const char *path, int64_t k, int64_t count) {
  size_t length = strlen(path);
  if (count == 1) return strdup(path);
  while (length > 1 && path[length - 1] == '/') length--;
  size_t name = length;
  while (name > 0 && path[name - 1] != '/') name--;
  const char *dot = memrchr(path + name, '.', length - name);
  size_t stem = dot && dot > path + name ? (size_t)(dot - path) : length;
  char *out = malloc(length + 32);
  if (out) (void)sprintf(out, "%.*s_%" PRId64 "%.*s", (int)stem, path, k, (int)(length - stem), path + stem);
  return out;
}

static vc_status no_memory(vc_error *error) {
  return vc_fail(error, VC_NO_MEMORY, "no memory for the result");
}

static vc_status probe_one(const char *path, vc_error *error) {
  vc_media_kind kind = VC_MEDIA_GIF;
  vc_status status = vc_generate_wants_tensors(path) ? VC_OK : vc_media_kind_of(&kind, path, error);
  if (status) return status;
  if (kind == VC_MEDIA_FOLDER) {
    vc_output_folder folder;
    status = vc_output_folder_open(&folder, path, error);
    vc_output_folder_abort(&folder);
  } else {
    vc_output file;
    status = vc_output_open(&file, path, error);
    vc_output_abort(&file);
  }
  return status;
}

vc_status vc_generate_probe(const char *path, int64_t count, vc_error *error) {
  vc_status status = VC_OK;
  if (vc_generate_wants_tensors(path)) count = 1;
  for (int64_t k = 0; k < count && !status; k++) {
    char *one = vc_generate_output_path(path, k, count);
    status = one ? probe_one(one, error) : no_memory(error);
    free(one);
  }
  return status;
}

// ---- metadata

enum { MOST_ENTRIES = 8 };

typedef struct record_entries {
  vc_metadata_entry entry[MOST_ENTRIES];
  int count;
  vc_buffer command;
  char seed[32], start[48];
} record_entries;

static void add_entry(record_entries *e, const char *key, const char *value) {
  if (value) e->entry[e->count++] = (vc_metadata_entry){(char *)key, (char *)value};
}

// Of video k by itself, or of all of them for k < 0. A video by itself has the command that makes it alone.
static vc_status make_entries(record_entries *e, const vc_generate_record *r, int64_t k, vc_error *error) {
  vc_generate_options options = *r->options;
  vc_arguments arguments = *r->arguments;
  *e = (record_entries){0};
  if (k >= 0 && r->request->count > 1) {
    options.seed += (uint64_t)k;
    for (int i = 0; i < vc_generate_spec.option_count; i++) {
      const char *name = vc_generate_spec.options[i].name;
      if (!name) continue;
      if (!strcmp(name, "seed")) arguments.given[i] = true;
      if (!strcmp(name, "count")) arguments.given[i] = false;
      if (!strcmp(name, "mask-seed")) arguments.given[i] = options.mask_shape >= 0;
    }
    if (options.first_frame == VC_START_RANDOM) {
      (void)snprintf(e->start, sizeof e->start, "random:%" PRIu64, options.start_seed);
      options.start = e->start;
    }
  }
  vc_status status = vc_generate_command(&e->command, &options, &arguments, error);
  if (status) return status;
  (void)snprintf(e->seed, sizeof e->seed, "%" PRIu64, options.seed);
  add_entry(e, "command", (const char *)e->command.data);
  add_entry(e, "prompt", options.prompt);
  add_entry(e, "seed", e->seed);
  add_entry(e, "model", vc_engine_config(r->engine)->name);
  add_entry(e, "model_hash", vc_engine_model_hash(r->engine));
  add_entry(e, "version", VC_VERSION);
  return VC_OK;
}

// ---- frames

static vc_status make_frames(vc_frames *out, const vc_generate_record *r, const vc_result *result, int64_t k,
                             vc_error *error) {
  const int64_t *dim = result->video.dim;
  vc_status status = vc_frames_new(out, (int)dim[1], (int)dim[3], (int)dim[2], r->fps, error);
  if (status) return status;
  size_t size = (size_t)(dim[1] * dim[2] * dim[3] * 3);
  const float *from = (const float *)result->video.data + (size_t)k * size;
  for (size_t i = 0; i < size; i++) out->rgb[i] = (uint8_t)lrintf(from[i] * 255);
  if (r->options->show_conditions)
    status = vc_generate_show_conditions(out, r->inputs, vc_engine_config(r->engine), error);
  return status;
}

static vc_status write_media(const vc_generate_record *r, const vc_result *result, int64_t k, vc_error *error) {
  vc_frames frames = {0};
  record_entries entries = {0};
  const char *note = NULL;
  char *path = vc_generate_output_path(r->options->output, k, r->request->count);
  vc_status status = path ? make_frames(&frames, r, result, k, error) : no_memory(error);
  if (!status) status = make_entries(&entries, r, k, error);
  if (!status) {
    vc_media_options options = {.fps = r->fps, .metadata = entries.entry, .metadata_count = entries.count};
    status = vc_media_write(path, &frames, &options, &note, error);
  }
  if (!status && note) vc_generate_note("%s: %s", path, note);
  vc_buffer_free(&entries.command);
  vc_frames_free(&frames);
  free(path);
  return status;
}

// ---- tensors

// [n f h w c] to [n c f h w].
static vc_status channels_first(vc_tensor *out, const vc_tensor *in, vc_error *error) {
  const int64_t *d = in->dim;
  vc_status status = vc_tensor_new(out, VC_F32, 5, (const int64_t[]){d[0], d[4], d[1], d[2], d[3]}, error);
  if (status) return status;
  int64_t plane = d[1] * d[2] * d[3], channels = d[4];
  float *to = out->data;
  for (int64_t n = 0; n < d[0]; n++)
    for (int64_t c = 0; c < channels; c++) {
      const float *from = (const float *)in->data + n * plane * channels + c;
      for (int64_t i = 0; i < plane; i++) *to++ = from[i * channels];
    }
  return VC_OK;
}

// A condition as one video of [n c f h w] with n = 1.
static vc_status condition_tensor(vc_tensor *out, const vc_tensor *in, vc_error *error) {
  vc_tensor view = *in;
  view.rank = 5;
  view.dim[0] = 1;
  for (int i = 0; i < 4; i++) view.dim[i + 1] = in->dim[i];
  return channels_first(out, &view, error);
}

static vc_status write_tensors(const vc_generate_record *r, const vc_result *result, vc_error *error) {
  vc_named_tensor tensors[2 + VC_CONDITION_COUNT] = {{.name = "latent"}, {.name = "video"}};
  char names[VC_CONDITION_COUNT][48];
  record_entries entries = {0};
  int count = 2;
  vc_status status = channels_first(&tensors[0].tensor, &result->latent, error);
  if (!status) status = channels_first(&tensors[1].tensor, &result->video, error);
  for (int i = 0; i < VC_CONDITION_COUNT && !status && r->options->show_conditions; i++) {
    if (!r->inputs->condition[i].data) continue;
    (void)snprintf(names[i], sizeof names[i], "condition/%s", vc_stc_table[i].condition);
    tensors[count].name = names[i];
    status = condition_tensor(&tensors[count].tensor, &r->inputs->condition[i], error);
    count++;
  }
  if (!status) status = make_entries(&entries, r, -1, error);
  if (!status) status = vc_safetensors_write(r->options->output, tensors, count, entries.entry, entries.count, error);
  for (int i = 0; i < count; i++) vc_tensor_free(&tensors[i].tensor);
  vc_buffer_free(&entries.command);
  return status;
}

vc_status vc_generate_write(const vc_generate_record *record, const vc_result *result, vc_error *error) {
  if (vc_generate_wants_tensors(record->options->output)) return write_tensors(record, result, error);
  vc_status status = VC_OK;
  for (int64_t k = 0; k < record->request->count && !status; k++) status = write_media(record, result, k, error);
  return status;
}
