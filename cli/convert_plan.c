// Which tensors go into which file, under which name and in which dtype.
#include <stdlib.h>
#include <string.h>

#include "cli/convert.h"

static const char suffix[] = ".safetensors";
enum { SUFFIX = sizeof suffix - 1 };

static bool is_float(vc_dtype dtype) {
  return dtype == VC_F32 || dtype == VC_F16 || dtype == VC_BF16 || dtype == VC_F64;
}

static int by_place(const void *a, const void *b) {
  const vc_convert_item *x = a, *y = b;
  size_t x_size = vc_dtype_size(x->dtype), y_size = vc_dtype_size(y->dtype);
  if (x_size != y_size) return x_size > y_size ? -1 : 1;
  uintptr_t x_at = (uintptr_t)x->source->data, y_at = (uintptr_t)y->source->data;
  if (x_at != y_at) return x_at < y_at ? -1 : 1;
  return strcmp(x->name, y->name);
}

static uint64_t bytes_of(const vc_convert_item *item) {
  return (uint64_t)vc_tensor_count(item->source) * vc_dtype_size(item->dtype);
}

static vc_status list_items(vc_convert *c, const char *prefix, vc_dtype dtype, vc_error *error) {
  size_t length = strlen(prefix);
  c->item = calloc((size_t)c->source->count + 1, sizeof *c->item);
  if (!c->item) return vc_fail(error, VC_NO_MEMORY, "%s: no memory for its list of tensors", c->source->path);
  for (int i = 0; i < c->source->count; i++) {
    const vc_named_tensor *t = &c->source->tensor[i];
    if (strncmp(t->name, prefix, length) != 0 || (length && !t->name[length])) continue;
    bool changed = dtype != VC_DTYPE_COUNT && is_float(t->tensor.dtype);
    c->item[c->items++] =
        (vc_convert_item){.source = &t->tensor, .name = t->name + length, .dtype = changed ? dtype : t->tensor.dtype};
  }
  if (!c->items && length)
    return vc_fail(error, VC_FAILED, "%s: none of its %d tensors begins with \"%.100s\"; the first is \"%.200s\"",
                   c->source->path, c->source->count, prefix, c->source->count ? c->source->tensor[0].name : "");
  qsort(c->item, (size_t)c->items, sizeof *c->item, by_place);
  return VC_OK;
}

// A file holds what fits, and at least one tensor.
static vc_status divide(vc_convert *c, vc_error *error) {
  c->file = calloc((size_t)c->items + 1, sizeof *c->file);
  if (!c->file) return vc_fail(error, VC_NO_MEMORY, "%s: no memory for its list of files", c->output);
  c->files = 1;
  for (int i = 0; i < c->items; i++) {
    vc_convert_file *file = &c->file[c->files - 1];
    uint64_t bytes = bytes_of(&c->item[i]);
    if (c->part_size && file->count && (bytes > c->part_size || file->bytes > c->part_size - bytes)) {
      file = &c->file[c->files++];
      file->first = i;
    }
    file->count++;
    file->bytes += bytes;
  }
  return VC_OK;
}

// NAME-00001-of-00003.safetensors and NAME.safetensors.index.json, as others name them.
static vc_status name_files(vc_convert *c, vc_error *error) {
  size_t length = strlen(c->output);
  size_t stem = length > SUFFIX && !strcmp(c->output + length - SUFFIX, suffix) ? length - SUFFIX : length;
  bool good = true;
  if (c->files == 1) {
    c->file[0].path = strdup(c->output);
    good = c->file[0].path != NULL;
  } else {
    good = asprintf(&c->index, "%.*s%s.index.json", (int)stem, c->output, suffix) > 0;
    if (!good) c->index = NULL;
  }
  for (int i = 0; c->files > 1 && good && i < c->files; i++) {
    good = asprintf(&c->file[i].path, "%.*s-%05d-of-%05d%s", (int)stem, c->output, i + 1, c->files, suffix) > 0;
    if (!good) c->file[i].path = NULL;
  }
  return good ? VC_OK : vc_fail(error, VC_NO_MEMORY, "%s: no memory for the names of its files", c->output);
}

vc_status vc_convert_plan(vc_convert *out, const vc_tensor_file *source, const char *output, const char *prefix,
                          vc_dtype dtype, uint64_t part_size, vc_error *error) {
  *out = (vc_convert){.source = source, .output = output, .part_size = part_size};
  vc_status status = list_items(out, prefix, dtype, error);
  if (!status) status = divide(out, error);
  if (!status) status = name_files(out, error);
  return status;
}

void vc_convert_free(vc_convert *c) {
  for (int i = 0; i < c->files; i++) free(c->file[i].path);
  free(c->file);
  free(c->item);
  free(c->index);
  *c = (vc_convert){0};
}
