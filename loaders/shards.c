// The index of weights that are split into several files: a JSON object with "weight_map", {tensor: file beside it}.
#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "loaders/tensor_file_build.h"

enum { MAX_INDEX = 100000000, MAX_PARTS = 4096 };

typedef struct mapping {
  const char *file, *tensor;
} mapping;

bool vc_is_shard_index(const void *data, size_t size) {
  const char *text = data;
  size_t at = 0;
  while (at < size && at < 64 && strchr(" \t\r\n", text[at]) && text[at]) at++;
  return at < size && text[at] == '{';
}

static int by_file(const void *a, const void *b) {
  const mapping *x = a, *y = b;
  int order = strcmp(x->file, y->file);
  return order ? order : strcmp(x->tensor, y->tensor);
}

// Only files beside the index: what is downloaded must not make the program read elsewhere.
static bool is_plain_name(const char *name) {
  return *name && *name != '.' && !strchr(name, '/') && strlen(name) < 256;
}

static vc_status list_mappings(mapping **out, int *count, const cJSON *map, const char *path, vc_error *error) {
  const cJSON *item;
  int size = cJSON_GetArraySize(map);
  *count = 0;
  if (!cJSON_IsObject(map) || !size)
    return vc_fail(error, VC_FAILED, "%s: is JSON without a \"weight_map\", so no index of weights", path);
  *out = calloc((size_t)size, sizeof **out);
  if (!*out) return vc_fail(error, VC_NO_MEMORY, "%s: no memory for its list of tensors", path);
  cJSON_ArrayForEach(item, map) {
    if (!cJSON_IsString(item) || !is_plain_name(item->valuestring))
      return vc_fail(error, VC_FAILED, "%s: tensor \"%.200s\" must be in a file beside the index", path, item->string);
    (*out)[(*count)++] = (mapping){item->valuestring, item->string};
  }
  qsort(*out, (size_t)*count, sizeof **out, by_file);
  return VC_OK;
}

// Opens the file of list[0..count) and checks that these are its tensors, all of them.
static vc_status add_part(vc_tensor_file *out, const mapping *list, int count, vc_error *error) {
  const char *slash = strrchr(out->path, '/');
  char *path = NULL;
  vc_tensor_file part = {0};
  vc_status status = VC_OK;
  if (asprintf(&path, "%.*s%s", slash ? (int)(slash - out->path) + 1 : 0, out->path, list[0].file) < 0)
    return vc_fail(error, VC_NO_MEMORY, "%s: no memory for a path", out->path);
  status = vc_tensor_file_open_part(&part, path, error);
  for (int i = 0; i < count && !status; i++)
    if (!vc_tensor_file_find(&part, list[i].tensor))
      status = vc_fail(error, VC_FAILED, "%s: tensor \"%.200s\" is not in %s", out->path, list[i].tensor, path);
  if (!status && part.count != count)
    status = vc_fail(error, VC_FAILED, "%s: %s holds %d tensors, and the index has %d of them", out->path, path,
                     part.count, count);
  if (!status) status = vc_tensor_file_adopt(out, &part, error);
  vc_tensor_file_close(&part);
  free(path);
  return status;
}

static vc_status add_parts(vc_tensor_file *out, const mapping *list, int count, vc_error *error) {
  vc_status status = VC_OK;
  int parts = 0;
  for (int first = 0, next; first < count && !status; first = next) {
    for (next = first + 1; next < count && !strcmp(list[next].file, list[first].file);) next++;
    if (++parts > MAX_PARTS) return vc_fail(error, VC_FAILED, "%s: has more than %d parts", out->path, MAX_PARTS);
    status = add_part(out, list + first, next - first, error);
  }
  if (!status) vc_tensor_file_set_kind(out, "index of %d part%s", parts, parts == 1 ? "" : "s");
  return status;
}

vc_status vc_shards_read(vc_tensor_file *out, const char *path, vc_file_map map, const void *data, size_t size,
                         vc_error *error) {
  cJSON *index = NULL;
  mapping *list = NULL;
  int count = 0;
  vc_status status = vc_tensor_file_begin(out, path, map, error);
  if (status) goto done;
  if (size > MAX_INDEX || !vc_is_name(data, size)) {
    status = vc_fail(error, VC_FAILED, "%s: is no index of weights: it is too long, or not UTF-8 text", path);
    goto done;
  }
  index = cJSON_ParseWithLength(data, size);
  if (!index) {
    status = vc_fail(error, VC_FAILED, "%s: begins like JSON and is none, nor any file of weights", path);
    goto done;
  }
  status = list_mappings(&list, &count, cJSON_GetObjectItemCaseSensitive(index, "weight_map"), path, error);
  if (!status) status = add_parts(out, list, count, error);
  if (!status) status = vc_tensor_file_finish(out, error);

done:
  free(list);
  cJSON_Delete(index);
  if (status) vc_tensor_file_close(out);
  return status;
}
