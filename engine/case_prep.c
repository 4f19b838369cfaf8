#include "engine/case_prep.h"

#include <cjson/cJSON.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

vc_status vc_case_image(const vc_case *c, const char *name, vc_image *out, vc_error *error) {
  const vc_tensor *tensor;
  *out = (vc_image){0};
  vc_status status = vc_case_input(c, name, 3, (const int64_t[]){VC_ANY, VC_ANY, 3}, &tensor, error);
  if (status) return status;
  if (tensor->dtype != VC_U8)
    return vc_fail(error, VC_FAILED, "input/%s is %s, expected U8", name, vc_dtype_name(tensor->dtype));
  if (!vc_image_size_ok(tensor->dim[1], tensor->dim[0]))
    return vc_fail(error, VC_FAILED, "input/%s is larger than pictures may be", name);
  *out = (vc_image){(int)tensor->dim[1], (int)tensor->dim[0], tensor->data};
  return VC_OK;
}

vc_status vc_case_image_result(vc_case *c, const char *name, vc_image *image, vc_error *error) {
  void *data = NULL;
  int64_t dim[3] = {image->height, image->width, 3};
  vc_status status = vc_case_new_tensor(c, vc_pathf("output/%.140s", name).text, VC_U8, 3, dim, &data, error);
  if (!status) memcpy(data, image->rgb, (size_t)image->height * (size_t)image->width * 3);
  vc_image_free(image);
  return status;
}

const vc_tensor *vc_case_wanted(const vc_case *c, const char *name) {
  return vc_tensor_file_find(c->file, vc_pathf("output/%.140s", name).text);
}

static int64_t integer_at(const vc_tensor *t, size_t i) {
  size_t size = vc_dtype_size(t->dtype);
  const char *from = (const char *)t->data + i * size;
  int64_t value = 0;
  int32_t word = 0;
  int16_t half = 0;
  if (t->dtype == VC_I64) return memcpy(&value, from, size), value;
  if (t->dtype == VC_I32) return memcpy(&word, from, size), word;
  if (t->dtype == VC_I16) return memcpy(&half, from, size), half;
  return t->dtype == VC_I8 ? *(const signed char *)from : *(const unsigned char *)from;
}

vc_status vc_case_integers(const vc_case *c, const char *name, int rank, const int64_t *dim, int64_t **out,
                           int64_t *count, vc_error *error) {
  const vc_tensor *t;
  *out = NULL;
  vc_status status = vc_case_input(c, name, rank, dim, &t, error);
  if (status) return status;
  if (t->dtype != VC_I64 && t->dtype != VC_I32 && t->dtype != VC_I16 && t->dtype != VC_I8 && t->dtype != VC_U8)
    return vc_fail(error, VC_FAILED, "input/%s is %s, expected integers", name, vc_dtype_name(t->dtype));
  size_t n = vc_tensor_count(t);
  int64_t *values = n <= SIZE_MAX / sizeof *values ? malloc(n * sizeof *values) : NULL;
  if (!values) return vc_fail(error, VC_NO_MEMORY, "no memory for input/%s", name);
  for (size_t i = 0; i < n; i++) values[i] = integer_at(t, i);
  *out = values;
  *count = (int64_t)n;
  return VC_OK;
}

static const char *text_field(const vc_case *c, const char *field) {
  const cJSON *item = cJSON_GetObjectItemCaseSensitive(c->config, field);
  return cJSON_IsString(item) ? item->valuestring : NULL;
}

vc_status vc_case_media(const vc_case *c, char **path, vc_error *error) {
  const char *name = text_field(c, "file");
  *path = NULL;
  if (!name) return vc_fail(error, VC_FAILED, "config names no file");
  return vc_case_file(c, name, path, error);
}

vc_status vc_case_ratio(const vc_case *c, const char *field, vc_ratio *out, vc_error *error) {
  const char *text = text_field(c, field);
  char *end = NULL;
  long num = text ? strtol(text, &end, 10) : 0, den = 1;
  if (text && end != text && *end == '/') {
    const char *below = end + 1;
    den = strtol(below, &end, 10);
    if (end == below) den = 0;
  }
  if (!text || *end || num < 1 || den < 1 || num > INT_MAX || den > INT_MAX)
    return vc_fail(error, VC_FAILED, "config: %s is \"%.60s\", and must be a positive ratio such as \"1/16384\"", field,
                   text ? text : "");
  *out = (vc_ratio){(int)num, (int)den};
  return VC_OK;
}

vc_status vc_case_number_result(vc_case *c, const char *name, double value, vc_error *error) {
  void *data = NULL;
  vc_status status = vc_case_new_tensor(c, vc_pathf("output/%.140s", name).text, VC_F64, 0, NULL, &data, error);
  if (!status) memcpy(data, &value, sizeof value);
  return status;
}
