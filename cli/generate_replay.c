// The command that an output records, and --like, which runs it again.
#include <stdlib.h>
#include <string.h>

#include "cli/generate.h"
#include "loaders/media_metadata.h"
#include "loaders/tensor_file.h"

vc_status vc_generate_command(vc_buffer *out, const vc_generate_options *options, const vc_arguments *arguments,
                              vc_error *error) {
  vc_words words = {0};
  vc_status status = vc_words_add(&words, "videocomposer", error);
  if (!status) status = vc_words_add(&words, "generate", error);
  if (!status) status = vc_options_words(&words, &vc_generate_spec, arguments, options, NULL, error);
  if (!status) status = vc_shell_join(out, &words, error);
  vc_words_free(&words);
  return status;
}

// Options that say nothing about what the video looks like.
static bool worth_repeating(const char *name) {
  static const char *const others[] = {"output",  "like",    "preview", "device",     "max-memory",
                                       "threads", "profile", "json",    "no-progress"};
  for (size_t i = 0; i < sizeof others / sizeof *others; i++)
    if (!strcmp(name, others[i])) return false;
  return true;
}

static vc_status recorded_command(vc_words *out, char **model_hash, const char *path, vc_error *error) {
  vc_metadata metadata = {0};
  vc_tensor_file file = {0};
  const char *command = NULL, *hash = NULL;
  bool tensors = vc_generate_wants_tensors(path);
  vc_status status = tensors ? vc_tensor_file_open(&file, path, error) : vc_media_read_metadata(&metadata, path, error);
  if (status) return status;
  command = tensors ? vc_tensor_file_metadata(&file, "command") : vc_metadata_find(&metadata, "command");
  hash = tensors ? vc_tensor_file_metadata(&file, "model_hash") : vc_metadata_find(&metadata, "model_hash");
  if (!command) status = vc_fail(error, VC_FAILED, "%s does not tell how it was made: it has no command", path);
  if (!status) status = vc_shell_split(out, command, error);
  if (!status &&
      (out->count < 2 || strcmp(out->item[0], "videocomposer") != 0 || strcmp(out->item[1], "generate") != 0))
    status = vc_fail(error, VC_FAILED, "%s was not made by 'videocomposer generate'", path);
  if (!status && hash) *model_hash = strdup(hash);
  vc_metadata_free(&metadata);
  vc_tensor_file_close(&file);
  return status;
}

vc_status vc_generate_like(vc_words *out, char **model_hash, const char *path, int argc, char **argv, vc_error *error) {
  vc_words recorded = {0};
  vc_generate_options old = {.mask_shape = -1};
  vc_arguments arguments;
  *model_hash = NULL;
  vc_status status = recorded_command(&recorded, model_hash, path, error);
  if (!status) {
    status = vc_options_parse(&vc_generate_spec, recorded.count - 1, recorded.item + 1, &old, &arguments, error);
    if (status) status = vc_fail_in(error, VC_FAILED, "%s, which another version may have made", path);
  }
  if (!status) status = vc_words_add(out, argv[0], error);
  if (!status) status = vc_options_words(out, &vc_generate_spec, &arguments, &old, worth_repeating, error);
  for (int i = 1; i < argc && !status; i++) status = vc_words_add(out, argv[i], error);
  vc_words_free(&recorded);
  if (status) {
    free(*model_hash);
    *model_hash = NULL;
  }
  return status;
}
