#include "loaders/tensor_file.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "loaders/checkpoint.h"
#include "loaders/tensor_file_build.h"

typedef struct owned_memory {
  struct owned_memory *next;
} owned_memory;

typedef struct file_state {
  vc_file_map map;
  owned_memory *owned;
  int capacity, metadata_capacity;
  vc_tensor_file *part;  // files whose tensors these are, besides the map's
  int parts, part_capacity;
  char kind[40];
} file_state;

static vc_status no_memory(const vc_tensor_file *file, vc_error *error) {
  return vc_fail(error, VC_NO_MEMORY, "%s: no memory for its list of tensors", file->path ? file->path : "a file");
}

vc_status vc_tensor_file_begin(vc_tensor_file *file, const char *path, vc_file_map map, vc_error *error) {
  *file = (vc_tensor_file){0};
  file_state *state = calloc(1, sizeof *state);
  file->path = strdup(path);
  file->internal = state;
  if (state) state->map = map;
  if (!state) vc_file_map_close(&map);
  return state && file->path ? VC_OK : no_memory(file, error);
}

static bool grow(void *list, int count, int *capacity, size_t size) {
  if (count < *capacity) return true;
  if (count > INT_MAX / 2) return false;
  int wanted = count ? 2 * count : 64;
  void *old, *bigger;
  memcpy(&old, list, sizeof old);
  bigger = reallocarray(old, (size_t)wanted, size);
  if (!bigger) return false;
  memcpy(list, &bigger, sizeof bigger);
  *capacity = wanted;
  return true;
}

vc_status vc_tensor_file_add(vc_tensor_file *file, const char *name, size_t length, const vc_tensor *tensor,
                             vc_error *error) {
  file_state *state = file->internal;
  if (!grow(&file->tensor, file->count, &state->capacity, sizeof *file->tensor)) return no_memory(file, error);
  char *copy = strndup(name, length);
  if (!copy) return no_memory(file, error);
  file->tensor[file->count++] = (vc_named_tensor){copy, *tensor};
  return VC_OK;
}

vc_status vc_tensor_file_add_metadata(vc_tensor_file *file, const char *key, const char *value, vc_error *error) {
  file_state *state = file->internal;
  if (!grow(&file->metadata, file->metadata_count, &state->metadata_capacity, sizeof *file->metadata))
    return no_memory(file, error);
  vc_metadata_entry entry = {strdup(key), strdup(value)};
  if (!entry.key || !entry.value) {
    free(entry.key);
    free(entry.value);
    return no_memory(file, error);
  }
  file->metadata[file->metadata_count++] = entry;
  return VC_OK;
}

vc_status vc_tensor_file_adopt(vc_tensor_file *file, vc_tensor_file *part, vc_error *error) {
  file_state *state = file->internal;
  if (!grow(&state->part, state->parts, &state->part_capacity, sizeof *state->part)) {
    vc_tensor_file_close(part);
    return no_memory(file, error);
  }
  const vc_tensor_file *kept = &state->part[state->parts];
  state->part[state->parts++] = *part;
  *part = (vc_tensor_file){0};
  for (int i = 0; i < kept->count; i++) {
    const vc_named_tensor *t = &kept->tensor[i];
    vc_status status = vc_tensor_file_add(file, t->name, strlen(t->name), &t->tensor, error);
    if (status) return status;
  }
  return VC_OK;
}

void vc_tensor_file_set_kind(vc_tensor_file *file, const char *format, ...) {
  file_state *state = file->internal;
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(state->kind, sizeof state->kind, format, arguments);
  va_end(arguments);
}

const char *vc_tensor_file_kind(const vc_tensor_file *file) {
  const file_state *state = file->internal;
  return state ? state->kind : "";
}

void *vc_tensor_file_own(vc_tensor_file *file, size_t size) {
  enum { HEAD = 64 };  // keeps what is handed out aligned to a cache line
  _Static_assert(sizeof(owned_memory) <= HEAD, "the link fits in front of the memory");
  file_state *state = file->internal;
  if (size > SIZE_MAX / 2) return NULL;
  owned_memory *memory = aligned_alloc(HEAD, HEAD + (size + HEAD - 1) / HEAD * HEAD);
  if (!memory) return NULL;
  memory->next = state->owned;
  state->owned = memory;
  return (unsigned char *)memory + HEAD;
}

static int by_name(const void *a, const void *b) {
  return strcmp(((const vc_named_tensor *)a)->name, ((const vc_named_tensor *)b)->name);
}

static int by_text(const void *a, const void *b) {
  return strcmp(*(char *const *)a, *(char *const *)b);
}

static vc_status check_metadata_keys(const vc_tensor_file *file, vc_error *error) {
  if (file->metadata_count < 2) return VC_OK;
  vc_status status = VC_OK;
  size_t count = (size_t)file->metadata_count;
  char **keys = reallocarray(NULL, count, sizeof *keys);
  if (!keys) return no_memory(file, error);
  for (size_t i = 0; i < count; i++) keys[i] = file->metadata[i].key;
  qsort(keys, count, sizeof *keys, by_text);
  for (size_t i = 1; i < count && !status; i++)
    if (!strcmp(keys[i - 1], keys[i]))
      status = vc_fail(error, VC_FAILED, "%s: metadata \"%.200s\" is there twice", file->path, keys[i]);
  free(keys);
  return status;
}

vc_status vc_tensor_file_finish(vc_tensor_file *file, vc_error *error) {
  if (file->count) qsort(file->tensor, (size_t)file->count, sizeof *file->tensor, by_name);
  for (int i = 1; i < file->count; i++)
    if (!strcmp(file->tensor[i - 1].name, file->tensor[i].name))
      return vc_fail(error, VC_FAILED, "%s: tensor \"%.200s\" is there twice", file->path, file->tensor[i].name);
  return check_metadata_keys(file, error);
}

void vc_tensor_file_close(vc_tensor_file *file) {
  file_state *state = file->internal;
  for (int i = 0; i < file->count; i++) free(file->tensor[i].name);
  for (int i = 0; i < file->metadata_count; i++) {
    free(file->metadata[i].key);
    free(file->metadata[i].value);
  }
  free(file->tensor);
  free(file->metadata);
  free(file->path);
  if (state) {
    for (owned_memory *memory = state->owned, *next; memory; memory = next) {
      next = memory->next;
      free(memory);
    }
    for (int i = 0; i < state->parts; i++) vc_tensor_file_close(&state->part[i]);
    free(state->part);
    vc_file_map_close(&state->map);
    free(state);
  }
  *file = (vc_tensor_file){0};
}

const vc_tensor *vc_tensor_file_find(const vc_tensor_file *file, const char *name) {
  if (!file->count) return NULL;
  vc_named_tensor key = {.name = (char *)(uintptr_t)name};
  const vc_named_tensor *found = bsearch(&key, file->tensor, (size_t)file->count, sizeof key, by_name);
  return found ? &found->tensor : NULL;
}

const char *vc_tensor_file_metadata(const vc_tensor_file *file, const char *key) {
  for (int i = 0; i < file->metadata_count; i++)
    if (!strcmp(file->metadata[i].key, key)) return file->metadata[i].value;
  return NULL;
}

// The map of the file or of the part in which the data lies; ranges outside are passed over by the map's functions.
static void advise(const vc_tensor_file *file, const void *data, size_t size,
                   void (*function)(const vc_file_map *map, const void *data, size_t size)) {
  const file_state *state = file->internal;
  if (!state) return;
  function(&state->map, data, size);
  for (int i = 0; i < state->parts; i++) advise(&state->part[i], data, size, function);
}

void vc_tensor_file_drop_pages(const vc_tensor_file *file, const vc_tensor *tensor) {
  advise(file, tensor->data, vc_tensor_bytes(tensor), vc_file_map_drop);
}

void vc_tensor_file_fetch(const vc_tensor_file *file, const vc_tensor *tensor) {
  advise(file, tensor->data, vc_tensor_bytes(tensor), vc_file_map_fetch);
}

void vc_tensor_file_will_need(const vc_tensor_file *file, const vc_tensor *tensor) {
  advise(file, tensor->data, vc_tensor_bytes(tensor), vc_file_map_will_need);
}

bool vc_is_name(const char *text, size_t length) {
  const utf8proc_uint8_t *bytes = (const utf8proc_uint8_t *)text;
  for (size_t at = 0; at < length;) {
    utf8proc_int32_t code;
    size_t left = length - at;
    utf8proc_ssize_t used = utf8proc_iterate(bytes + at, left < 4 ? (utf8proc_ssize_t)left : 4, &code);
    if (used <= 0 || code <= 0) return false;
    at += (size_t)used;
  }
  return true;
}

// The header of safetensors begins with a bracket behind its length, of which the upper half is 0. Asked first: its
// length may begin like any other format.
static bool is_safetensors(const unsigned char *data, size_t size) {
  return size > 8 && data[8] == '{' && !data[4] && !data[5] && !data[6] && !data[7];
}

// What else people have under the name of a model.
static const char *guess(const unsigned char *data, size_t size) {
  static const struct {
    size_t at;
    const char *text, *what;
  } others[] = {
      {0, "version https://git-lfs", "is a pointer to a file in Git LFS; download the file itself"},
      {0, "<", "is a web page; download the file itself"},
      {0, "\x80", "is a Python pickle, but no checkpoint of torch.save"},
      {0, "\x93NUMPY", "is a NumPy array; a file of named tensors is wanted"},
      {0, "GGUF", "is a GGUF file, which is not supported"},
      {257, "ustar", "is a tar archive; save it again with PyTorch 0.4 or later"},
  };
  if (!size) return "is empty";
  for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
    size_t length = strlen(others[i].text);
    if (size >= others[i].at + length && !memcmp(data + others[i].at, others[i].text, length)) return others[i].what;
  }
  return "is neither a safetensors file nor a PyTorch checkpoint";
}

static vc_status read_any(vc_tensor_file *out, const char *path, vc_file_map map, const void *data, size_t size,
                          bool part, vc_error *error) {
  *out = (vc_tensor_file){0};
  if (is_safetensors(data, size)) return vc_safetensors_read(out, path, map, data, size, error);
  if (vc_checkpoint_is_zip(data, size) || vc_checkpoint_is_legacy(data, size))
    return vc_checkpoint_read(out, path, map, data, size, error);
  if (!part && vc_is_shard_index(data, size)) return vc_shards_read(out, path, map, data, size, error);
  vc_status status = vc_fail(error, VC_FAILED, "%s: %s", path, guess(data, size));
  vc_file_map_close(&map);
  return status;
}

static vc_status open_any(vc_tensor_file *out, const char *path, bool part, vc_error *error) {
  vc_file_map map;
  *out = (vc_tensor_file){0};
  vc_status status = vc_file_map_open(&map, path, error);
  return status ? status : read_any(out, path, map, map.data, map.size, part, error);
}

vc_status vc_tensor_file_open(vc_tensor_file *out, const char *path, vc_error *error) {
  return open_any(out, path, false, error);
}

vc_status vc_tensor_file_open_part(vc_tensor_file *out, const char *path, vc_error *error) {
  return open_any(out, path, true, error);
}

vc_status vc_tensor_file_open_memory(vc_tensor_file *out, const char *name, const void *data, size_t size,
                                     vc_error *error) {
  return read_any(out, name, (vc_file_map){0}, data, size, true, error);
}
