#include "loaders/safetensors.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

#include "loaders/tensor_file_build.h"

enum { LENGTH_BYTES = 8, MAX_HEADER = 100000000 };

typedef struct byte_range {
  size_t first, last;
  const char *name;
} byte_range;

// Offsets and dimensions: cJSON holds numbers as double, in which every integer below 2^53 is exact. Beyond that the
// number in the file is unknown, and no file is that large.
static bool read_size(const cJSON *item, int64_t *out) {
  if (!cJSON_IsNumber(item)) return false;
  double value = item->valuedouble;
  if (!(value >= 0 && value < 0x1p53) || value != (double)(int64_t)value) return false;
  *out = (int64_t)value;
  return true;
}

// A string that cJSON would cut short: JSON may hold U+0000 as an escape, C strings may not.
static bool holds_zero_escape(const char *json, size_t length) {
  for (size_t i = 0; i + 5 < length; i++) {
    if (json[i] != '\\') continue;
    if (!memcmp(json + i + 1, "u0000", 5)) return true;
    i++;
  }
  return false;
}

static vc_status parse_header(cJSON **out, const char *path, const char *json, size_t length, vc_error *error) {
  const char *end = json;
  if (!length || json[0] != '{') return vc_fail(error, VC_FAILED, "%s: its header is not a JSON object", path);
  if (!vc_is_name(json, length))
    return vc_fail(error, VC_FAILED, "%s: its header is not UTF-8 text without zero bytes", path);
  if (holds_zero_escape(json, length))
    return vc_fail(error, VC_FAILED, "%s: its header holds a name or text with U+0000", path);
  *out = cJSON_ParseWithLengthOpts(json, length, &end, false);
  size_t at = *out && end ? (size_t)(end - json) : 0;
  while (*out && at < length && strchr(" \t\r\n", json[at])) at++;
  if (*out && at == length) return VC_OK;
  cJSON_Delete(*out);
  *out = NULL;
  if (!at && end >= json && end <= json + length) at = (size_t)(end - json);
  return vc_fail(error, VC_FAILED, "%s: its header is not valid JSON at byte %zu", path, LENGTH_BYTES + at);
}

static vc_status read_shape(vc_tensor *tensor, const cJSON *shape, const char *path, const char *name,
                            vc_error *error) {
  const cJSON *item;
  if (!cJSON_IsArray(shape)) return vc_fail(error, VC_FAILED, "%s: tensor \"%.200s\" has no shape", path, name);
  cJSON_ArrayForEach(item, shape) {
    if (tensor->rank == VC_MAX_DIMS)
      return vc_fail(error, VC_FAILED, "%s: tensor \"%.200s\" has more than %d dimensions", path, name, VC_MAX_DIMS);
    if (!read_size(item, &tensor->dim[tensor->rank]))
      return vc_fail(error, VC_FAILED, "%s: tensor \"%.200s\": dimension %d is not a whole number from 0 to 2^53", path,
                     name, tensor->rank);
    tensor->rank++;
  }
  return VC_OK;
}

// The three fields of a tensor's entry, each of which must be there once.
static vc_status read_fields(const cJSON *entry, const cJSON *field[3], const char *path, vc_error *error) {
  static const char *const names[3] = {"dtype", "shape", "data_offsets"};
  const cJSON *item;
  if (!cJSON_IsObject(entry))
    return vc_fail(error, VC_FAILED, "%s: the entry of tensor \"%.200s\" is not a JSON object", path, entry->string);
  cJSON_ArrayForEach(item, entry) for (int i = 0; i < 3; i++) {
    if (strcmp(item->string, names[i])) continue;
    if (field[i])
      return vc_fail(error, VC_FAILED, "%s: tensor \"%.200s\" has two of %s", path, entry->string, names[i]);
    field[i] = item;
  }
  for (int i = 0; i < 3; i++)
    if (!field[i]) return vc_fail(error, VC_FAILED, "%s: tensor \"%.200s\" has no %s", path, entry->string, names[i]);
  return VC_OK;
}

static vc_status read_entry(vc_tensor *tensor, byte_range *range, const cJSON *entry, const char *path,
                            size_t data_size, vc_error *error) {
  const cJSON *field[3] = {NULL, NULL, NULL};
  const char *name = entry->string;
  int64_t first = 0, last = 0;
  size_t count, bytes;
  char text[256];

  vc_status status = read_fields(entry, field, path, error);
  if (status) return status;
  *tensor = (vc_tensor){0};
  if (!cJSON_IsString(field[0]) || !vc_dtype_parse(field[0]->valuestring, &tensor->dtype))
    return vc_fail(error, VC_FAILED, "%s: tensor \"%.200s\" has dtype \"%.40s\", which is not supported", path, name,
                   cJSON_IsString(field[0]) ? field[0]->valuestring : "?");
  status = read_shape(tensor, field[1], path, name, error);
  if (status) return status;
  const cJSON *offset = cJSON_IsArray(field[2]) ? field[2]->child : NULL;
  if (!offset || !offset->next || offset->next->next || !read_size(offset, &first) || !read_size(offset->next, &last))
    return vc_fail(error, VC_FAILED, "%s: tensor \"%.200s\": data_offsets are not two whole numbers from 0 to 2^53",
                   path, name);
  if (first > last || (uint64_t)last > data_size)
    return vc_fail(error, VC_FAILED,
                   "%s: tensor \"%.200s\" lies at bytes %lld to %lld of %zu bytes of data; is the file cut short?",
                   path, name, (long long)first, (long long)last, data_size);
  vc_shape_text(tensor->dim, tensor->rank, text, sizeof text);
  if (!vc_shape_count(tensor->dim, tensor->rank, tensor->dtype, &count, &bytes))
    return vc_fail(error, VC_FAILED, "%s: tensor \"%.200s\" has an impossible shape %s", path, name, text);
  if (bytes != (size_t)(last - first))
    return vc_fail(error, VC_FAILED, "%s: tensor \"%.200s\" of %s %s takes %zu bytes, but its range has %lld", path,
                   name, vc_dtype_name(tensor->dtype), text, bytes, (long long)(last - first));
  *range = (byte_range){(size_t)first, (size_t)last, name};
  return VC_OK;
}

static vc_status read_metadata(vc_tensor_file *file, const cJSON *metadata, vc_error *error) {
  const cJSON *item;
  if (!cJSON_IsObject(metadata)) return vc_fail(error, VC_FAILED, "%s: __metadata__ is not an object", file->path);
  if (file->metadata_count) return vc_fail(error, VC_FAILED, "%s: __metadata__ is there twice", file->path);
  cJSON_ArrayForEach(item, metadata) {
    if (!cJSON_IsString(item))
      return vc_fail(error, VC_FAILED, "%s: metadata \"%.200s\" is not a string", file->path, item->string);
    vc_status status = vc_tensor_file_add_metadata(file, item->string, item->valuestring, error);
    if (status) return status;
  }
  return VC_OK;
}

static int by_position(const void *a, const void *b) {
  const byte_range *x = a, *y = b;
  if (x->first != y->first) return x->first < y->first ? -1 : 1;
  return x->last < y->last ? -1 : x->last > y->last;
}

// The ranges must tile the data exactly: bytes that belong to two tensors or to none are how files smuggle or lose
// data.
static vc_status check_ranges(byte_range *range, size_t count, const char *path, size_t data_size, vc_error *error) {
  size_t at = 0;
  if (count) qsort(range, count, sizeof *range, by_position);
  for (size_t i = 0; i < count; i++) {
    if (range[i].first < at)
      return vc_fail(error, VC_FAILED, "%s: tensor \"%.200s\" overlaps tensor \"%.200s\" at byte %zu of the data", path,
                     range[i].name, range[i - 1].name, range[i].first);
    if (range[i].first > at)
      return vc_fail(error, VC_FAILED,
                     "%s: bytes %zu to %zu of the data, before tensor \"%.200s\", belong to no tensor", path, at,
                     range[i].first, range[i].name);
    at = range[i].last;
  }
  if (at != data_size)
    return vc_fail(error, VC_FAILED, "%s: %zu bytes at its end belong to no tensor", path, data_size - at);
  return VC_OK;
}

static vc_status read_header(vc_tensor_file *file, const cJSON *header, const unsigned char *data, size_t data_size,
                             vc_error *error) {
  vc_status status = VC_OK;
  const cJSON *entry;
  size_t entries = 0, used = 0;

  cJSON_ArrayForEach(entry, header) entries++;
  byte_range *range = calloc(entries + 1, sizeof *range);
  if (!range) return vc_fail(error, VC_NO_MEMORY, "%s: no memory for %zu tensors", file->path, entries);
  cJSON_ArrayForEach(entry, header) {
    vc_tensor tensor;
    if (!strcmp(entry->string, "__metadata__")) {
      status = read_metadata(file, entry, error);
    } else {
      status = read_entry(&tensor, &range[used], entry, file->path, data_size, error);
      if (status) goto done;
      // Memory is only read through it: the map is read-only.
      tensor.data = (void *)(uintptr_t)(data + range[used++].first);
      status = vc_tensor_file_add(file, entry->string, strlen(entry->string), &tensor, error);
    }
    if (status) goto done;
  }
  status = vc_tensor_file_finish(file, error);
  if (!status) status = check_ranges(range, used, file->path, data_size, error);

done:
  free(range);
  return status;
}

vc_status vc_safetensors_read(vc_tensor_file *out, const char *path, vc_file_map map, const void *data, size_t size,
                              vc_error *error) {
  const unsigned char *bytes = data;
  cJSON *header = NULL;
  uint64_t length = 0;

  vc_status status = vc_tensor_file_begin(out, path, map, error);
  if (status) goto done;
  if (size < LENGTH_BYTES) {
    status = vc_fail(error, VC_FAILED, "%s: has %zu bytes, too few for a safetensors file", path, size);
    goto done;
  }
  for (int i = 0; i < LENGTH_BYTES; i++) length |= (uint64_t)bytes[i] << 8 * i;
  if (length > MAX_HEADER || length > size - LENGTH_BYTES) {
    status = vc_fail(error, VC_FAILED,
                     "%s: claims a header of %llu bytes, but has %zu; it is no safetensors file, or is cut short", path,
                     (unsigned long long)length, size);
    goto done;
  }
  size_t at = LENGTH_BYTES + (size_t)length;
  vc_tensor_file_set_kind(out, "safetensors");
  status = parse_header(&header, path, (const char *)bytes + LENGTH_BYTES, (size_t)length, error);
  if (!status) status = read_header(out, header, bytes + at, size - at, error);

done:
  cJSON_Delete(header);
  if (status) vc_tensor_file_close(out);
  return status;
}

vc_status vc_safetensors_open(vc_tensor_file *out, const char *path, vc_error *error) {
  vc_file_map map;
  *out = (vc_tensor_file){0};
  vc_status status = vc_file_map_open(&map, path, error);
  if (status) return status;
  return vc_safetensors_read(out, path, map, map.data, map.size, error);
}

vc_status vc_safetensors_open_memory(vc_tensor_file *out, const char *name, const void *data, size_t size,
                                     vc_error *error) {
  return vc_safetensors_read(out, name, (vc_file_map){0}, data, size, error);
}
