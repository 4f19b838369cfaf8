// A file of weights: what is in it, and what it is.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "cli/convert.h"
#include "cli/inspect.h"
#include "cli/interrupt.h"
#include "loaders/checkpoint.h"
#include "loaders/file_map.h"
#include "loaders/zip.h"

// ---- tensors

vc_status vc_tensor_statistics_of(const vc_tensor *t, vc_tensor_statistics *out, vc_error *error) {
  enum { CHUNK = 65536 };
  size_t count = vc_tensor_count(t), size = vc_dtype_size(t->dtype), finite = 0;
  double *element = malloc(CHUNK * sizeof *element), sum = 0;
  if (!element) return vc_fail(error, VC_NO_MEMORY, "no memory for statistics");
  *out = (vc_tensor_statistics){.min = INFINITY, .max = -INFINITY};
  for (size_t at = 0; at < count; at += CHUNK) {
    size_t n = count - at < CHUNK ? count - at : CHUNK;
    vc_to_double(element, (const char *)t->data + at * size, t->dtype, n);
    for (size_t i = 0; i < n; i++) {
      if (isnan(element[i])) {
        out->nans++;
      } else if (isinf(element[i])) {
        out->infinities++;
      } else {
        finite++;
        sum += element[i];
        out->min = fmin(out->min, element[i]);
        out->max = fmax(out->max, element[i]);
      }
    }
  }
  out->mean = finite ? sum / (double)finite : NAN;
  free(element);
  return VC_OK;
}

static void print_tensor(const vc_named_tensor *t, const vc_tensor_statistics *s) {
  char shape[160];
  printf("%-5s %-24s %s", vc_dtype_name(t->tensor.dtype),
         vc_shape_text(t->tensor.dim, t->tensor.rank, shape, sizeof shape), t->name);
  if (s) {
    printf("  min %.6g max %.6g mean %.6g", s->min, s->max, s->mean);
    if (s->nans) printf(" NaN %zu", s->nans);
    if (s->infinities) printf(" infinite %zu", s->infinities);
  }
  printf("\n");
}

static void add_tensor(const vc_named_tensor *t, const vc_tensor_statistics *s, cJSON *array) {
  cJSON *item = cJSON_CreateObject();
  cJSON_AddStringToObject(item, "name", t->name);
  cJSON_AddStringToObject(item, "dtype", vc_dtype_name(t->tensor.dtype));
  cJSON *shape = cJSON_AddArrayToObject(item, "shape");
  for (int i = 0; i < t->tensor.rank; i++) cJSON_AddItemToArray(shape, cJSON_CreateNumber((double)t->tensor.dim[i]));
  if (s) {
    cJSON_AddNumberToObject(item, "min", s->min);
    cJSON_AddNumberToObject(item, "max", s->max);
    cJSON_AddNumberToObject(item, "mean", s->mean);
    cJSON_AddNumberToObject(item, "nan", (double)s->nans);
    cJSON_AddNumberToObject(item, "infinite", (double)s->infinities);
  }
  cJSON_AddItemToArray(array, item);
}

static vc_status show_tensors(const vc_tensor_file *file, bool statistics, cJSON *json, vc_error *error) {
  cJSON *array = json ? cJSON_AddArrayToObject(json, "tensors") : NULL;
  for (int i = 0; i < file->count; i++) {
    const vc_named_tensor *t = &file->tensor[i];
    vc_tensor_statistics s;
    vc_status status = statistics ? vc_tensor_statistics_of(&t->tensor, &s, error) : VC_OK;
    if (!status) status = vc_interrupt_check(error);
    if (status) return status;
    if (statistics) vc_tensor_file_drop_pages(file, &t->tensor);
    if (array)
      add_tensor(t, statistics ? &s : NULL, array);
    else
      print_tensor(t, statistics ? &s : NULL);
  }
  return VC_OK;
}

void vc_inspect_metadata(const vc_metadata_entry *entry, int count, cJSON *json) {
  cJSON *object = json ? cJSON_AddObjectToObject(json, "metadata") : NULL;
  for (int i = 0; i < count; i++)
    if (object)
      cJSON_AddStringToObject(object, entry[i].key, entry[i].value);
    else
      printf("%s: %s\n", entry[i].key, entry[i].value);
}

// ---- the whole

static void show_totals(const vc_tensor_file *file, cJSON *json) {
  int of_dtype[VC_DTYPE_COUNT] = {0};
  double elements = 0, bytes = 0;
  for (int i = 0; i < file->count; i++) {
    elements += (double)vc_tensor_count(&file->tensor[i].tensor);
    bytes += (double)vc_tensor_bytes(&file->tensor[i].tensor);
    of_dtype[file->tensor[i].tensor.dtype]++;
  }
  cJSON *dtypes = NULL;
  if (json) {
    cJSON_AddStringToObject(json, "container", vc_tensor_file_kind(file));
    cJSON_AddNumberToObject(json, "elements", elements);
    cJSON_AddNumberToObject(json, "bytes", bytes);
    dtypes = cJSON_AddObjectToObject(json, "dtypes");
  } else {
    printf("%s: %d tensors, %.0f elements, %.1f MiB;", vc_tensor_file_kind(file), file->count, elements,
           bytes / 1048576);
  }
  for (int d = 0; d < VC_DTYPE_COUNT; d++) {
    if (!of_dtype[d]) continue;
    if (json)
      cJSON_AddNumberToObject(dtypes, vc_dtype_name((vc_dtype)d), of_dtype[d]);
    else
      printf(" %d %s", of_dtype[d], vc_dtype_name((vc_dtype)d));
  }
  if (!json) printf("\n");
}

static vc_network network_named(const char *name) {
  int n = 0;
  while (n < VC_NETWORK_COUNT && strcmp(name, vc_network_name((vc_network)n)) != 0) n++;
  return (vc_network)n;
}

static vc_status show_part(const char *path, const vc_weights_part *part, cJSON *array, vc_error *error) {
  vc_model model;
  vc_error why;
  int problems = 0;
  if (!part->network) {
    cJSON *item = array ? cJSON_CreateObject() : NULL;
    if (!array) {
      printf("%s, prefix \"%s\": this engine cannot run it\n", part->what, part->prefix);
    } else {
      cJSON_AddNullToObject(item, "network");
      cJSON_AddStringToObject(item, "what", part->what);
      cJSON_AddStringToObject(item, "prefix", part->prefix);
      cJSON_AddBoolToObject(item, "runnable", false);
      cJSON_AddItemToArray(array, item);
    }
    return VC_OK;
  }
  vc_status status = vc_model_open_file(&model, network_named(part->network), path, part->prefix, &why, error);
  if (status) return status;
  if (!array) printf("%s\n", part->what);
  if (!array)
    printf("    %s; %s\n", why.message[0] ? why.message : "heads, groups and scales are in no file of weights",
           why.message[0] ? "compared with the released one" : "those shown are the released rule's");
  status = vc_inspect_network(&model, network_named(part->network), array, &problems, error);
  if (!status && array) {
    cJSON *item = cJSON_GetArrayItem(array, cJSON_GetArraySize(array) - 1);
    cJSON_AddStringToObject(item, "what", part->what);
    cJSON_AddBoolToObject(item, "runnable", problems == 0);
  }
  vc_model_close(&model);
  return status;
}

vc_status vc_inspect_file(const char *path, bool statistics, cJSON *json, vc_error *error) {
  vc_tensor_file file;
  vc_weights_part part[VC_PARTS_MAX];
  vc_status status = vc_tensor_file_open(&file, path, error);
  if (status) return status;
  vc_inspect_metadata(file.metadata, file.metadata_count, json);
  status = show_tensors(&file, statistics, json, error);
  int parts = vc_infer_parts(&file, part);
  if (!status) show_totals(&file, json);
  cJSON *networks = json ? cJSON_AddArrayToObject(json, "networks") : NULL;
  if (!parts && !json && !status) printf("no network that this engine knows\n");
  for (int i = 0; i < parts && !status; i++) status = show_part(path, &part[i], networks, error);
  vc_tensor_file_close(&file);
  return status;
}

// ---- checksums

static vc_status check_zip(const char *path, const vc_file_map *map, vc_error *error) {
  vc_zip zip;
  vc_status status = vc_zip_open(&zip, path, map->data, map->size, error);
  if (status) return status;
  for (int i = 0; i < zip.count && !status; i++) {
    const vc_zip_entry *e = &zip.entry[i];
    void *copy = NULL;
    if (e->method == VC_ZIP_STORED) {
      status = vc_zip_check(e, path, error);
    } else if (!(copy = malloc(e->size + 1))) {
      status = vc_fail(error, VC_NO_MEMORY, "%s: no memory for its entry %s", path, e->name);
    } else {
      status = vc_zip_read(e, path, copy, error);
    }
    free(copy);
    vc_file_map_drop(map, e->data, e->stored_size);
    if (!status) status = vc_interrupt_check(error);
  }
  vc_zip_close(&zip);
  return status;
}

// Over all that is behind the header, whose length has been checked when the file was opened.
static vc_status check_safetensors(const char *path, const vc_file_map *map, const char *expected, vc_error *error) {
  enum { PIECE = 8 << 20 };
  uint64_t length = 0;
  uint32_t crc = 0;
  char found[16];
  vc_status status = VC_OK;
  for (int i = 0; i < 8; i++) length |= (uint64_t)map->data[i] << 8 * i;
  for (size_t at = 8 + (size_t)length; at < map->size && !status; at += PIECE) {
    size_t size = map->size - at < PIECE ? map->size - at : PIECE;
    crc = (uint32_t)crc32_z(crc, map->data + at, size);
    vc_file_map_drop(map, map->data + at, size);
    status = vc_interrupt_check(error);
  }
  snprintf(found, sizeof found, "%08x", crc);
  if (!status && strcmp(found, expected) != 0)
    status = vc_fail(error, VC_FAILED, "%s: its data has CRC-32 %s, and its metadata says %.40s; the file is damaged",
                     path, found, expected);
  return status;
}

vc_status vc_inspect_checksums(const char *path, cJSON *json, vc_error *error) {
  vc_tensor_file file = {0};
  vc_file_map map = {0};
  vc_status status = vc_tensor_file_open(&file, path, error);
  if (!status) status = vc_file_map_open(&map, path, error);
  if (status) goto done;
  const char *expected = vc_tensor_file_metadata(&file, VC_CHECKSUM_KEY);
  if (vc_checkpoint_is_zip(map.data, map.size))
    status = check_zip(path, &map, error);
  else if (expected && !strcmp(vc_tensor_file_kind(&file), "safetensors"))
    status = check_safetensors(path, &map, expected, error);
  else
    status = vc_fail(error, VC_FAILED, "%s: has no checksum to compare with; `convert --checksum` writes one", path);
  if (!status && json)
    cJSON_AddStringToObject(json, "checksums", "good");
  else if (!status)
    printf("checksums are good\n");
done:
  vc_file_map_close(&map);
  vc_tensor_file_close(&file);
  return status;
}
