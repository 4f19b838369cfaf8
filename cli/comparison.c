#include "cli/comparison.h"

static void print_measures(FILE *out, const vc_tensor *reference, const vc_difference *d) {
  char text[128];
  if (!d->differing && d->count) {
    fprintf(out, ": equal");
    return;
  }
  fprintf(out, ": rel_l2 %.3g, max_abs %.3g", d->relative_l2, d->max_abs);
  if (d->differing) fprintf(out, " at %s", vc_index_text(reference, d->max_index, text, sizeof text));
  fprintf(out, ", cosine %.9g, %zu of %zu differ", d->cosine, d->differing, d->count);
  if (d->differing) fprintf(out, " from %s on", vc_index_text(reference, d->first_index, text, sizeof text));
  if (d->result_nan || d->result_infinite)
    fprintf(out, ", %zu NaN and %zu infinite", d->result_nan, d->result_infinite);
  if (d->reference_nan || d->reference_infinite)
    fprintf(out, ", reference has %zu NaN and %zu infinite", d->reference_nan, d->reference_infinite);
}

void vc_comparison_print(FILE *out, const vc_comparison *comparison) {
  const vc_tensor *reference = comparison->reference;
  char text[128];
  fprintf(out, "%-5s %s", comparison->problem ? "FAIL" : "ok", comparison->name);
  if (reference) fprintf(out, " %s", vc_shape_text(reference->dim, reference->rank, text, sizeof text));
  if (comparison->measured) print_measures(out, reference, &comparison->difference);
  if (comparison->rule) fprintf(out, " (rule %s)", vc_rule_text(*comparison->rule, text, sizeof text));
  if (comparison->problem) fprintf(out, "; %s", comparison->problem);
  fputc('\n', out);
}

static void add_index(cJSON *object, const char *key, const vc_tensor *tensor, size_t index) {
  cJSON *array = cJSON_AddArrayToObject(object, key);
  size_t stride = 1;
  for (int i = 1; i < tensor->rank; i++) stride *= (size_t)tensor->dim[i];
  for (int i = 0; i < tensor->rank; i++) {
    cJSON_AddItemToArray(array, cJSON_CreateNumber((double)(index / stride)));
    index %= stride;
    if (i + 1 < tensor->rank) stride /= (size_t)tensor->dim[i + 1];
  }
}

static void add_measures(cJSON *object, const vc_tensor *reference, const vc_difference *d) {
  cJSON_AddNumberToObject(object, "relative_l2", d->relative_l2);
  cJSON_AddNumberToObject(object, "max_abs", d->max_abs);
  cJSON_AddNumberToObject(object, "cosine", d->cosine);
  cJSON_AddNumberToObject(object, "elements", (double)d->count);
  cJSON_AddNumberToObject(object, "differing", (double)d->differing);
  cJSON_AddNumberToObject(object, "result_nan", (double)d->result_nan);
  cJSON_AddNumberToObject(object, "result_infinite", (double)d->result_infinite);
  if (!d->differing) return;
  add_index(object, "first_index", reference, d->first_index);
  add_index(object, "max_index", reference, d->max_index);
}

cJSON *vc_comparison_json(const vc_comparison *comparison) {
  cJSON *object = cJSON_CreateObject();
  const vc_tensor *reference = comparison->reference;
  char text[128];
  cJSON_AddStringToObject(object, "name", comparison->name);
  cJSON_AddBoolToObject(object, "passed", !comparison->problem);
  if (reference) {
    cJSON *shape = cJSON_AddArrayToObject(object, "shape");
    for (int i = 0; i < reference->rank; i++)
      cJSON_AddItemToArray(shape, cJSON_CreateNumber((double)reference->dim[i]));
    cJSON_AddStringToObject(object, "dtype", vc_dtype_name(reference->dtype));
  }
  if (comparison->measured) add_measures(object, reference, &comparison->difference);
  if (comparison->rule) cJSON_AddStringToObject(object, "rule", vc_rule_text(*comparison->rule, text, sizeof text));
  if (comparison->problem) cJSON_AddStringToObject(object, "problem", comparison->problem);
  return object;
}
