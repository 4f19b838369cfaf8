// Strokes from JSON and from text, with every number checked.
#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/strokes.h"

enum { MAX_SIDE = 1 << 14, MAX_RADIUS = 1 << 15, MAX_STRENGTH = 100 };

// A list of exactly `count` numbers within the limits.
static bool read_numbers(const cJSON *list, int count, double least, double most, double *out) {
  if (!cJSON_IsArray(list) || cJSON_GetArraySize(list) != count) return false;
  int i = 0;
  const cJSON *item;
  cJSON_ArrayForEach(item, list) {
    if (!cJSON_IsNumber(item) || !(item->valuedouble >= least && item->valuedouble <= most)) return false;
    out[i++] = item->valuedouble;
  }
  return true;
}

static vc_status check_names(const cJSON *object, const char *const *known, int count, vc_error *error) {
  const cJSON *item;
  cJSON_ArrayForEach(item, object) {
    bool found = false;
    for (int i = 0; i < count; i++) found = found || !strcmp(item->string, known[i]);
    if (found) continue;
    char list[128] = "";
    for (int i = 0; i < count; i++) {
      size_t length = strlen(list);
      (void)snprintf(list + length, sizeof list - length, "%s%s", i ? ", " : "", known[i]);
    }
    return vc_fail(error, VC_INVALID, "has a field '%s'; the known ones are %s", item->string, list);
  }
  return VC_OK;
}

static vc_status new_points(vc_stroke *stroke, int count, vc_error *error) {
  if (count < 2 || count > VC_STROKE_MAX_POINTS)
    return vc_fail(error, VC_INVALID, "points has %d of them; a path needs 2 to %d", count, VC_STROKE_MAX_POINTS);
  stroke->point = calloc((size_t)count, sizeof *stroke->point);
  stroke->run = calloc((size_t)count, sizeof *stroke->run);
  if (!stroke->point || !stroke->run) return vc_fail(error, VC_NO_MEMORY, "no memory for %d points", count);
  stroke->points = count;
  return VC_OK;
}

// Points inside or near the canvas, and the lengths between them.
static vc_status finish_points(vc_stroke *stroke, const double canvas[2], vc_error *error) {
  for (int i = 0; i < stroke->points; i++) {
    const double *p = stroke->point[i];
    for (int k = 0; k < 2; k++)
      if (!(p[k] >= -0.5 * canvas[k] && p[k] <= 1.5 * canvas[k]))
        return vc_fail(error, VC_INVALID,
                       "point %d is (%.6g, %.6g), far outside the canvas of %.6g x %.6g (\"canvas\" sets it)", i, p[0],
                       p[1], canvas[0], canvas[1]);
    if (i) stroke->run[i] = stroke->run[i - 1] + hypot(p[0] - stroke->point[i - 1][0], p[1] - stroke->point[i - 1][1]);
  }
  return VC_OK;
}

static void set_defaults(vc_stroke *stroke, const double canvas[2], const vc_strokes_defaults *defaults) {
  *stroke = (vc_stroke){
      .last = defaults->frames > 1 ? defaults->frames - 1 : 1,
      .radius = VC_STROKE_RADIUS * fmin(canvas[0], canvas[1]),
      .strength = 1,
  };
}

static vc_status read_points(vc_stroke *stroke, const cJSON *list, const double canvas[2], vc_error *error) {
  if (!cJSON_IsArray(list)) return vc_fail(error, VC_INVALID, "points must be a list of [x, y]");
  vc_status status = new_points(stroke, cJSON_GetArraySize(list), error);
  if (status) return status;
  int i = 0;
  const cJSON *item;
  cJSON_ArrayForEach(item, list) {
    if (!read_numbers(item, 2, -1e9, 1e9, stroke->point[i]))
      return vc_fail(error, VC_INVALID, "point %d must be [x, y], two numbers", i);
    i++;
  }
  return finish_points(stroke, canvas, error);
}

static vc_status read_frames(vc_stroke *stroke, const cJSON *list, vc_error *error) {
  double frames[2];
  if (!list) return VC_OK;
  if (!read_numbers(list, 2, 0, VC_STROKE_MAX_FRAME, frames) || frames[0] != floor(frames[0]) ||
      frames[1] != floor(frames[1]) || !(frames[0] < frames[1]))
    return vc_fail(error, VC_INVALID, "frames must be [first, last], whole numbers from 0 to %d with first < last",
                   VC_STROKE_MAX_FRAME);
  stroke->first = (int64_t)frames[0];
  stroke->last = (int64_t)frames[1];
  return VC_OK;
}

static vc_status read_value(const cJSON *item, const char *name, double least, double most, double *out,
                            vc_error *error) {
  if (!item) return VC_OK;
  if (!cJSON_IsNumber(item) || !(item->valuedouble >= least && item->valuedouble <= most))
    return vc_fail(error, VC_INVALID, "%s must be a number from %g to %g", name, least, most);
  *out = item->valuedouble;
  return VC_OK;
}

static vc_status read_stroke(vc_stroke *stroke, const cJSON *object, const double canvas[2], vc_error *error) {
  static const char *const known[] = {"points", "frames", "radius", "strength"};
  if (!cJSON_IsObject(object)) return vc_fail(error, VC_INVALID, "must be an object with \"points\"");
  vc_status status = check_names(object, known, 4, error);
  if (!status) status = read_points(stroke, cJSON_GetObjectItemCaseSensitive(object, "points"), canvas, error);
  if (!status) status = read_frames(stroke, cJSON_GetObjectItemCaseSensitive(object, "frames"), error);
  if (!status)
    status = read_value(cJSON_GetObjectItemCaseSensitive(object, "radius"), "radius", 0.5, MAX_RADIUS, &stroke->radius,
                        error);
  if (!status)
    status = read_value(cJSON_GetObjectItemCaseSensitive(object, "strength"), "strength", -MAX_STRENGTH, MAX_STRENGTH,
                        &stroke->strength, error);
  return status;
}

static vc_status new_strokes(vc_strokes *out, int count, vc_error *error) {
  if (count > VC_STROKES_MAX) return vc_fail(error, VC_INVALID, "%d strokes; %d are possible", count, VC_STROKES_MAX);
  if (count && !(out->stroke = calloc((size_t)count, sizeof *out->stroke)))
    return vc_fail(error, VC_NO_MEMORY, "no memory for %d strokes", count);
  return VC_OK;
}

static vc_status read_head(vc_strokes *out, const cJSON *root, vc_error *error) {
  static const char *const known[] = {"canvas", "background", "strokes"};
  if (!cJSON_IsObject(root)) return vc_fail(error, VC_INVALID, "must be a JSON object with \"strokes\"");
  vc_status status = check_names(root, known, 3, error);
  const cJSON *canvas = cJSON_GetObjectItemCaseSensitive(root, "canvas");
  const cJSON *background = cJSON_GetObjectItemCaseSensitive(root, "background");
  if (!status && canvas && !read_numbers(canvas, 2, 1, MAX_SIDE, out->canvas))
    status = vc_fail(error, VC_INVALID, "canvas must be [width, height], numbers from 1 to %d", MAX_SIDE);
  if (!status && background && !read_numbers(background, 2, -MAX_SIDE, MAX_SIDE, out->background))
    status = vc_fail(error, VC_INVALID, "background must be [dx, dy], pixels a frame");
  return status;
}

vc_status vc_strokes_parse_json(vc_strokes *out, const char *name, const char *text,
                                const vc_strokes_defaults *defaults, vc_error *error) {
  *out = (vc_strokes){.canvas = {defaults->canvas[0], defaults->canvas[1]}};
  const char *end = NULL;
  cJSON *root = cJSON_ParseWithOpts(text, &end, true);
  vc_status status = VC_OK;
  if (!root)
    status = vc_fail(error, VC_INVALID, "is no JSON: wrong at byte %lld", end ? (long long)(end - text) : 0LL);
  else
    status = read_head(out, root, error);
  const cJSON *list = root ? cJSON_GetObjectItemCaseSensitive(root, "strokes") : NULL;
  if (!status && !cJSON_IsArray(list) && (list || (out->background[0] == 0 && out->background[1] == 0)))
    status = vc_fail(error, VC_INVALID, "strokes must be a list");
  if (!status) status = new_strokes(out, list ? cJSON_GetArraySize(list) : 0, error);
  const cJSON *item = list ? list->child : NULL;
  for (; !status && item; item = item->next) {
    vc_stroke *stroke = &out->stroke[out->count];
    set_defaults(stroke, out->canvas, defaults);
    status = read_stroke(stroke, item, out->canvas, error);
    if (status) status = vc_fail_in(error, status, "stroke %d", out->count);
    out->count++;
  }
  if (!status && !out->count && out->background[0] == 0 && out->background[1] == 0)
    status = vc_fail(error, VC_INVALID, "has neither strokes nor a background that moves");
  cJSON_Delete(root);
  if (!status) return VC_OK;
  vc_strokes_free(out);
  return vc_fail_in(error, status, "%s", name);
}

// ---- text

static const char *skip_spaces(const char *text) {
  return text + strspn(text, " \t\r\n");
}

// A plain decimal number; NULL when there is none.
static const char *read_decimal(const char *text, double *value) {
  text = skip_spaces(text);
  size_t length = strspn(text, "+-0123456789.eE");
  if (!length || text[length] == 'x' || text[length] == 'X') return NULL;
  char *end = NULL;
  *value = strtod(text, &end);
  return end != text && isfinite(*value) ? skip_spaces(end) : NULL;
}

// How many `what` there are in the part of the text up to `end`.
static int count_of(const char *text, const char *end, const char *what) {
  int count = 0;
  size_t length = strlen(what);
  for (; text + length <= end; text++) count += !memcmp(text, what, length);
  return count;
}

static vc_status read_path(vc_stroke *stroke, const char *text, const char *end, const double canvas[2],
                           vc_error *error) {
  vc_status status = new_points(stroke, count_of(text, end, "->") + 1, error);
  if (status) return status;
  const char *at = text;
  for (int i = 0; i < stroke->points; i++) {
    at = read_decimal(at, &stroke->point[i][0]);
    at = at && *at == ',' ? read_decimal(at + 1, &stroke->point[i][1]) : NULL;
    bool last = i + 1 == stroke->points;
    if (!at || (last ? at != end : strncmp(at, "->", 2) != 0))
      return vc_fail(error, VC_INVALID, "point %d must be written \"x,y\", and points be parted by \"->\"", i);
    at += last ? 0 : 2;
  }
  return finish_points(stroke, canvas, error);
}

vc_status vc_strokes_parse_text(vc_strokes *out, const char *text, const vc_strokes_defaults *defaults,
                                vc_error *error) {
  *out = (vc_strokes){.canvas = {defaults->canvas[0], defaults->canvas[1]}};
  vc_status status = new_strokes(out, count_of(text, text + strlen(text), ";") + 1, error);
  while (!status) {
    const char *end = text + strcspn(text, ";");
    vc_stroke *stroke = &out->stroke[out->count];
    set_defaults(stroke, out->canvas, defaults);
    status = read_path(stroke, text, end, out->canvas, error);
    if (status) status = vc_fail_in(error, status, "stroke %d", out->count);
    out->count++;
    if (!*end) break;
    text = end + 1;
    if (!*skip_spaces(text)) break;  // a semicolon at the end
  }
  if (status) vc_strokes_free(out);
  return status;
}
