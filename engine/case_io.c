#include "engine/case_io.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const vc_tensor *vc_case_find(const vc_case *c, const char *name) {
  return vc_tensor_file_find(c->file, vc_pathf("input/%.140s", name).text);
}

static void expected_text(char *text, size_t size, int rank, const int64_t *dim) {
  size_t used = (size_t)snprintf(text, size, "[");
  for (int i = 0; i < rank && used < size; i++) {
    int n = dim[i] == VC_ANY ? snprintf(text + used, size - used, "%s*", i ? ", " : "")
                             : snprintf(text + used, size - used, "%s%lld", i ? ", " : "", (long long)dim[i]);
    used += (size_t)n;
  }
  if (used < size) snprintf(text + used, size - used, "]");
}

static vc_status check_finite(const vc_tensor *tensor, const char *name, vc_error *error) {
  enum { CHUNK = 1024 };
  float chunk[CHUNK];
  size_t count = vc_tensor_count(tensor), size = vc_dtype_size(tensor->dtype);
  for (size_t done = 0; done < count;) {
    size_t n = count - done < CHUNK ? count - done : CHUNK;
    vc_to_float(chunk, (const char *)tensor->data + done * size, tensor->dtype, n);
    for (size_t i = 0; i < n; i++)
      if (!isfinite(chunk[i]))
        return vc_fail(error, VC_FAILED, "input/%s holds a NaN or an infinity at element %zu", name, done + i);
    done += n;
  }
  return VC_OK;
}

vc_status vc_case_input(const vc_case *c, const char *name, int rank, const int64_t *dim, const vc_tensor **out,
                        vc_error *error) {
  const vc_tensor *tensor = vc_case_find(c, name);
  *out = NULL;
  if (!tensor) return vc_fail(error, VC_FAILED, "input/%s is missing", name);
  bool fits = tensor->rank == rank;
  for (int i = 0; i < rank && fits; i++) fits = tensor->dim[i] >= 1 && (dim[i] == VC_ANY || tensor->dim[i] == dim[i]);
  if (!fits) {
    char is[128], expected[128];
    expected_text(expected, sizeof expected, rank, dim);
    return vc_fail(error, VC_FAILED, "input/%s is %s, expected %s", name,
                   vc_shape_text(tensor->dim, tensor->rank, is, sizeof is), expected);
  }
  vc_status status = check_finite(tensor, name, error);
  if (!status) *out = tensor;
  return status;
}

void vc_channels_first(float *out, const float *in, int64_t n, int64_t rows, int64_t c) {
  for (int64_t i = 0; i < n; i++)
    for (int64_t k = 0; k < c; k++)
      for (int64_t r = 0; r < rows; r++) out[(i * c + k) * rows + r] = in[(i * rows + r) * c + k];
}

void vc_channels_last(float *out, const float *in, int64_t n, int64_t rows, int64_t c) {
  for (int64_t i = 0; i < n; i++)
    for (int64_t r = 0; r < rows; r++)
      for (int64_t k = 0; k < c; k++) out[(i * rows + r) * c + k] = in[(i * c + k) * rows + r];
}

vc_status vc_case_floats(const vc_tensor *tensor, bool channels_last, float **out, vc_error *error) {
  size_t count = vc_tensor_count(tensor), bytes;
  *out = NULL;
  float *plain = vc_mul_size(count, sizeof(float), &bytes) ? malloc(bytes + 1) : NULL, *moved = NULL;
  bool move = channels_last && tensor->rank > 2;
  if (plain && move) moved = malloc(bytes + 1);
  if (!plain || (move && !moved)) {
    free(plain);
    return vc_fail(error, VC_NO_MEMORY, "no memory for an input of %zu numbers", count);
  }
  vc_to_float(plain, tensor->data, tensor->dtype, count);
  if (move) {
    int64_t rows = (int64_t)count / (tensor->dim[0] * tensor->dim[1]);
    vc_channels_last(moved, plain, tensor->dim[0], rows, tensor->dim[1]);
    free(plain);
  }
  *out = move ? moved : plain;
  return VC_OK;
}

vc_status vc_case_new_tensor(vc_case *c, const char *name, vc_dtype dtype, int rank, const int64_t *dim, void **data,
                             vc_error *error) {
  vc_case_result *list = realloc(c->result, (size_t)(c->results + 1) * sizeof *list);
  if (list) c->result = list;
  char *copy = strdup(name);
  if (!list || !copy) {
    free(copy);
    return vc_fail(error, VC_NO_MEMORY, "no memory for %s", name);
  }
  vc_case_result *result = &c->result[c->results];
  vc_status status = vc_tensor_new(&result->tensor, dtype, rank, dim, error);
  if (status) {
    free(copy);
    return vc_fail_in(error, status, "%s", name);
  }
  result->name = copy;
  c->results++;
  *data = result->tensor.data;
  return VC_OK;
}

vc_status vc_case_new_result(vc_case *c, const char *name, int rank, const int64_t *dim, float **data,
                             vc_error *error) {
  void *raw = NULL;
  vc_status status = vc_case_new_tensor(c, name, VC_F32, rank, dim, &raw, error);
  *data = raw;
  return status;
}

static const vc_tensor *find_parameter(void *source, const char *key) {
  const vc_case *c = source;
  key += *key == '.';
  if (c->weight_file) return vc_tensor_file_find(c->weight_file, key);
  return vc_tensor_file_find(c->file, vc_pathf("param/%.150s", key).text);
}

vc_weights vc_case_weights(const vc_case *c) {
  if (c->weights) return *c->weights;
  return (vc_weights){
      .name = c->weight_file ? c->weight_file->path : c->path, .source = (void *)(uintptr_t)c, .find = find_parameter};
}

static vc_status join_path(char **path, const char *folder, size_t folder_length, const char *name, vc_error *error) {
  size_t size = folder_length + strlen(name) + 2;
  *path = malloc(size);
  if (!*path) return vc_fail(error, VC_NO_MEMORY, "no memory for a path");
  snprintf(*path, size, "%.*s%s%s", (int)folder_length, folder, folder_length ? "/" : "", name);
  return VC_OK;
}

vc_status vc_case_file(const vc_case *c, const char *name, char **path, vc_error *error) {
  *path = NULL;
  if (!*name || strchr(name, '/') || !strcmp(name, ".") || !strcmp(name, ".."))
    return vc_fail(error, VC_FAILED, "\"%.100s\" is not the name of a file beside the case", name);
  const char *slash = strrchr(c->path, '/');
  // A case directly below the root has an empty folder, which would be taken for the current one.
  const char *folder = slash == c->path ? "/." : c->path;
  vc_status status = join_path(path, folder, slash == c->path ? 2 : slash ? (size_t)(slash - c->path) : 0, name, error);
  if (status || !access(*path, R_OK)) return status;
  free(*path);
  *path = NULL;
  for (const char *const *data = c->options->data; data && *data; data++) {
    status = join_path(path, *data, strlen(*data), name, error);
    if (status || !access(*path, R_OK)) return status;
    free(*path);
    *path = NULL;
  }
  return vc_fail(
      error, VC_FAILED, "%.200s is not beside the case%s", name,
      c->options->data && *c->options->data ? ", nor in a folder of --data" : "; give its folder with --data");
}

vc_status vc_case_config(const vc_case *c, const vc_json_field *fields, int count, void *out, vc_error *error) {
  return vc_json_read(c->config, "config", fields, count, out, error);
}
