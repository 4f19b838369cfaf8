#include "engine/json_fields.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <string.h>

// The value as it stands in the file, short enough for a message.
static void value_text(char *text, size_t size, const cJSON *item) {
  char *printed = cJSON_PrintUnformatted(item);
  size_t length = printed ? strlen(printed) : 0;
  if (length >= size) length = size - 1;
  memcpy(text, printed ? printed : "", length);
  text[length] = 0;
  cJSON_free(printed);
}

static vc_status refuse(const char *what, const char *name, const cJSON *item, const char *allowed, vc_error *error) {
  char text[64];
  value_text(text, sizeof text, item);
  return vc_fail(error, VC_FAILED, "%s: %s is %s, and must be %s", what, name, text, allowed);
}

static vc_status read_number(const cJSON *item, const char *what, const vc_json_field *field, int index, void *out,
                             vc_error *error) {
  double value = cJSON_IsNumber(item) ? item->valuedouble : 0;
  bool whole = field->kind == VC_JSON_INT;
  bool fits = cJSON_IsNumber(item) && value >= field->least && value <= field->most;
  if (!fits || (whole && value != (double)(int64_t)value)) {
    char allowed[96];
    (void)snprintf(allowed, sizeof allowed, "%s from %.10g to %.10g", whole ? "a whole number" : "a number",
                   field->least, field->most);
    return refuse(what, field->name, item, allowed, error);
  }
  if (whole)
    ((int64_t *)out)[index] = (int64_t)value;
  else
    ((double *)out)[index] = value;
  return VC_OK;
}

static vc_status read_list(const cJSON *list, const char *what, const vc_json_field *field, char *base,
                           vc_error *error) {
  int length = cJSON_IsArray(list) ? cJSON_GetArraySize(list) : -1, index = 0;
  if (length < (field->count_at ? 0 : field->capacity) || length > field->capacity) {
    char allowed[64];
    (void)snprintf(allowed, sizeof allowed, field->count_at ? "a list of at most %d numbers" : "a list of %d numbers",
                   field->capacity);
    return refuse(what, field->name, list, allowed, error);
  }
  const cJSON *item;
  cJSON_ArrayForEach(item, list) {
    vc_status status = read_number(item, what, field, index++, base + field->at, error);
    if (status) return status;
  }
  if (field->count_at) memcpy(base + field->count_at, &length, sizeof length);
  return VC_OK;
}

static vc_status read_field(const cJSON *item, const char *what, const vc_json_field *field, char *base,
                            vc_error *error) {
  switch (field->kind) {
    case VC_JSON_INT:
    case VC_JSON_REAL:
      if (field->capacity) return read_list(item, what, field, base, error);
      return read_number(item, what, field, 0, base + field->at, error);
    case VC_JSON_BOOL:
      if (!cJSON_IsBool(item)) return refuse(what, field->name, item, "true or false", error);
      *(bool *)(base + field->at) = cJSON_IsTrue(item);
      return VC_OK;
    case VC_JSON_TEXT:
      if (!cJSON_IsString(item) || strlen(item->valuestring) >= (size_t)field->capacity) {
        char allowed[64];
        (void)snprintf(allowed, sizeof allowed, "a text of at most %d bytes", field->capacity - 1);
        return refuse(what, field->name, item, allowed, error);
      }
      memcpy(base + field->at, item->valuestring, strlen(item->valuestring) + 1);
      return VC_OK;
  }
  return VC_OK;
}

vc_status vc_json_read(const cJSON *object, const char *what, const vc_json_field *fields, int count, void *out,
                       vc_error *error) {
  if (!cJSON_IsObject(object)) return vc_fail(error, VC_FAILED, "%s: must be a JSON object", what);
  for (int i = 0; i < count; i++) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, fields[i].name);
    if (!item || cJSON_IsNull(item)) {
      if (fields[i].required) return vc_fail(error, VC_FAILED, "%s: %s is missing", what, fields[i].name);
      continue;
    }
    vc_status status = read_field(item, what, &fields[i], out, error);
    if (status) return status;
  }
  return VC_OK;
}

vc_status vc_json_check(const char *what, const vc_json_field *fields, int count, const void *base, vc_error *error) {
  for (int i = 0; i < count; i++) {
    const vc_json_field *f = &fields[i];
    const char *at = (const char *)base + f->at;
    int length = f->capacity ? f->capacity : 1;
    if (f->kind == VC_JSON_TEXT || f->kind == VC_JSON_BOOL) continue;
    if (f->count_at) memcpy(&length, (const char *)base + f->count_at, sizeof length);
    if (length < 0 || length > (f->capacity ? f->capacity : 1))
      return vc_fail(error, VC_FAILED, "%s: %s has %d elements, and may have %d", what, f->name, length, f->capacity);
    for (int j = 0; j < length; j++) {
      double value = f->kind == VC_JSON_INT ? (double)((const int64_t *)at)[j] : ((const double *)at)[j];
      if (!(value >= f->least && value <= f->most))
        return vc_fail(error, VC_FAILED, "%s: %s is %.10g, and must be %.10g to %.10g", what, f->name, value, f->least,
                       f->most);
    }
  }
  return VC_OK;
}

vc_status vc_json_parse(cJSON **out, const char *text, const char *what, vc_error *error) {
  *out = cJSON_ParseWithOpts(text, NULL, true);
  if (cJSON_IsObject(*out)) return VC_OK;
  bool valid = *out;
  cJSON_Delete(*out);
  *out = NULL;
  return vc_fail(error, VC_FAILED, "%s: %s", what, valid ? "must be a JSON object" : "is not valid JSON");
}
