#include "bench/kernels_print.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

// ---- an earlier run

enum { FILE_MAX = 64 << 20 };

static vc_status read_text(char **out, const char *path, vc_error *error) {
  FILE *file = fopen(path, "rb");
  if (!file) return vc_fail(error, VC_FAILED, "%s: cannot be opened: %s", path, strerror(errno));
  size_t size = 0, capacity = 1 << 16;
  char *text = malloc(capacity + 1);
  while (text && size < FILE_MAX) {
    size_t n = fread(text + size, 1, capacity - size, file);
    if (!n) break;
    size += n;
    if (size < capacity) continue;
    char *grown = realloc(text, 2 * capacity + 1);
    if (!grown) free(text);
    text = grown;
    capacity *= 2;
  }
  fclose(file);
  if (!text) return vc_fail(error, VC_NO_MEMORY, "no memory for %s", path);
  text[size] = 0;
  *out = text;
  return VC_OK;
}

static double number(const cJSON *object, const char *name) {
  const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
  return cJSON_IsNumber(item) ? item->valuedouble : NAN;
}

static bool read_kernel(struct vc_kernel_before *out, const cJSON *kernel) {
  const cJSON *op = cJSON_GetObjectItemCaseSensitive(kernel, "op");
  const cJSON *seconds = cJSON_GetObjectItemCaseSensitive(kernel, "seconds");
  if (!cJSON_IsString(op) || strlen(op->valuestring) >= sizeof out->text) return false;
  strcpy(out->text, op->valuestring);
  out->timing =
      (vc_timing){.median = number(seconds, "median"), .low = number(seconds, "low"), .high = number(seconds, "high")};
  return out->timing.median > 0 && out->timing.low > 0 && out->timing.high >= out->timing.low;
}

vc_status vc_kernels_before_read(vc_kernels_before *out, const char *path, vc_error *error) {
  char *text = NULL;
  *out = (vc_kernels_before){0};
  vc_status status = read_text(&text, path, error);
  if (status) return status;
  cJSON *root = cJSON_Parse(text);
  free(text);
  const cJSON *kernels = cJSON_GetObjectItemCaseSensitive(root, "kernels"), *kernel;
  bool good = cJSON_IsArray(kernels);
  out->item = calloc((size_t)cJSON_GetArraySize(kernels) + 1, sizeof *out->item);
  if (!out->item) status = vc_fail(error, VC_NO_MEMORY, "no memory for %s", path);
  cJSON_ArrayForEach(kernel, kernels) if (out->item && good) good = read_kernel(&out->item[out->count++], kernel);
  cJSON_Delete(root);
  if (!status && !good)
    status = vc_fail(error, VC_FAILED, "%s: is not what `bench kernels --json` prints; give it such a file", path);
  if (status) vc_kernels_before_free(out);
  return status;
}

void vc_kernels_before_free(vc_kernels_before *before) {
  free(before->item);
  *before = (vc_kernels_before){0};
}

vc_change vc_kernel_change(const vc_kernel_result *now, const vc_kernels_before *before, double *ratio) {
  *ratio = NAN;
  for (int i = 0; before && i < before->count; i++) {
    if (strcmp(before->item[i].text, now->what.text)) continue;
    const vc_timing *old = &before->item[i].timing;
    double spread = fmax(vc_timing_spread(old), vc_timing_spread(&now->timing));
    *ratio = now->timing.median / old->median;
    if (*ratio > 1 + spread) return VC_CHANGE_SLOWER;
    // The same factor either way.
    return *ratio * (1 + spread) < 1 ? VC_CHANGE_FASTER : VC_CHANGE_NONE;
  }
  return VC_CHANGE_NEW;
}

static const char *const changes[] = {"new", "same", "faster", "slower"};

// ---- printing

static double in_step(const vc_kernel_result *k) {
  return k->timing.median * k->what.in_step;
}

static int by_share(const void *a, const void *b) {
  double x = in_step(*(const vc_kernel_result *const *)a), y = in_step(*(const vc_kernel_result *const *)b);
  return (x < y) - (x > y);
}

static void print_variants(FILE *out, const vc_kernel_result *k) {
  for (int i = 0; i < k->variants; i++)
    fprintf(out, "%s%s %.4f", i ? ", " : "      ms: ", k->variant[i].name, 1e3 * k->variant[i].timing.median);
  if (k->variants) fputs("\n", out);
}

static void print_kernel(FILE *out, const vc_kernels_result *r, const vc_kernel_result *k,
                         const vc_kernels_before *before) {
  double ratio, sum = vc_kernels_step_sum(r);
  vc_change change = vc_kernel_change(k, before, &ratio);
  fprintf(out, "%5d %11.4f %6.1f%% %9.1f %8.1f %8.1f%% %6.1f%% %9.1e", k->what.in_step, 1e3 * k->timing.median,
          100 * vc_timing_spread(&k->timing), k->flops / k->timing.median * 1e-9, k->bytes / k->timing.median * 1e-9,
          100 * vc_kernel_roofline(k, &r->ceilings), sum > 0 ? 100 * in_step(k) / sum : 0, k->error);
  if (before) fprintf(out, " %7.3f %-6s", ratio, changes[change]);
  fprintf(out, "  %s\n", k->what.text);
  print_variants(out, k);
}

static void print_sums(FILE *out, const vc_kernels_result *r) {
  double sum = vc_kernels_step_sum(r);
  fprintf(out, "\nsum of times and occurrences %.4f s", sum);
  if (r->step_seconds > 0)
    fprintf(out, "; the step itself %.4f s: %+.1f %%", r->step_seconds, 100 * (sum / r->step_seconds - 1));
  fputs("\n", out);
}

void vc_kernels_print(FILE *out, const vc_kernels_result *r, const vc_kernels_before *before) {
  const vc_kernel_result **order = malloc(((size_t)r->count + 1) * sizeof *order);
  fprintf(out, "%s %s, %s, %s caches; at best %.1f GFLOP/s (a matrix product), %.1f GB/s (a copy)\n", r->backend,
          r->dtype, r->machine, r->cold ? "cold" : "warm", r->ceilings.flops * 1e-9, r->ceilings.bytes * 1e-9);
  fprintf(out, "%5s %11s %7s %9s %8s %9s %7s %9s", "times", "ms", "spread", "GFLOP/s", "GB/s", "roofline", "share",
          "error");
  if (before) fprintf(out, " %7s %-6s", "ratio", "change");
  fputs("  op\n", out);
  for (int i = 0; i < r->count && order; i++) order[i] = &r->item[i];
  if (order) qsort(order, (size_t)r->count, sizeof *order, by_share);
  for (int i = 0; i < r->count; i++) print_kernel(out, r, order ? order[i] : &r->item[i], before);
  free(order);
  print_sums(out, r);
}

void vc_kernels_print_csv(FILE *out, const vc_kernels_result *r, const vc_kernels_before *before) {
  fputs("op,module,times,median_s,low_s,high_s,flops,bytes,flops_per_s,bytes_per_s,roofline,error", out);
  fputs(before ? ",ratio,change\n" : "\n", out);
  for (int i = 0; i < r->count; i++) {
    const vc_kernel_result *k = &r->item[i];
    double ratio;
    vc_change change = vc_kernel_change(k, before, &ratio);
    fprintf(out, "%s,%s,%d,%.9g,%.9g,%.9g,%.9g,%.9g,%.9g,%.9g,%.4f,%.3g", k->what.text, k->what.module, k->what.in_step,
            k->timing.median, k->timing.low, k->timing.high, k->flops, k->bytes, k->flops / k->timing.median,
            k->bytes / k->timing.median, vc_kernel_roofline(k, &r->ceilings), k->error);
    if (before && change != VC_CHANGE_NEW) fprintf(out, ",%.4f,%s", ratio, changes[change]);
    if (before && change == VC_CHANGE_NEW) fputs(",,new", out);
    fputs("\n", out);
  }
}

static void add_timing(cJSON *object, const vc_timing *t) {
  cJSON *seconds = cJSON_AddObjectToObject(object, "seconds");
  cJSON_AddNumberToObject(seconds, "median", t->median);
  cJSON_AddNumberToObject(seconds, "low", t->low);
  cJSON_AddNumberToObject(seconds, "high", t->high);
  cJSON_AddNumberToObject(seconds, "least", t->least);
  cJSON_AddNumberToObject(seconds, "most", t->most);
  cJSON_AddNumberToObject(seconds, "runs", t->runs);
}

static void add_kernel(cJSON *kernels, const vc_kernels_result *r, const vc_kernel_result *k,
                       const vc_kernels_before *before) {
  cJSON *object = cJSON_CreateObject();
  double ratio, sum = vc_kernels_step_sum(r);
  vc_change change = vc_kernel_change(k, before, &ratio);
  cJSON_AddItemToArray(kernels, object);
  cJSON_AddStringToObject(object, "op", k->what.text);
  cJSON_AddStringToObject(object, "kind", vc_op_name(k->what.kind));
  cJSON_AddStringToObject(object, "module", k->what.module);
  cJSON_AddNumberToObject(object, "times", k->what.in_step);
  cJSON_AddNumberToObject(object, "prologue_times", k->what.in_prologue);
  add_timing(object, &k->timing);
  cJSON_AddNumberToObject(object, "flops", k->flops);
  cJSON_AddNumberToObject(object, "bytes", k->bytes);
  cJSON_AddNumberToObject(object, "flops_per_second", k->flops / k->timing.median);
  cJSON_AddNumberToObject(object, "bytes_per_second", k->bytes / k->timing.median);
  cJSON_AddNumberToObject(object, "roofline", vc_kernel_roofline(k, &r->ceilings));
  cJSON_AddNumberToObject(object, "share", sum > 0 ? in_step(k) / sum : 0);
  cJSON_AddNumberToObject(object, "error", k->error);
  cJSON *variants = k->variants ? cJSON_AddObjectToObject(object, "variants") : NULL;
  for (int i = 0; i < k->variants; i++)
    cJSON_AddNumberToObject(variants, k->variant[i].name, k->variant[i].timing.median);
  if (!before) return;
  cJSON_AddStringToObject(object, "change", changes[change]);
  if (change != VC_CHANGE_NEW) cJSON_AddNumberToObject(object, "ratio", ratio);
}

vc_status vc_kernels_print_json(FILE *out, const vc_kernels_result *r, const vc_kernels_before *before,
                                vc_error *error) {
  double sum = vc_kernels_step_sum(r);
  cJSON *root = cJSON_CreateObject();
  cJSON_AddStringToObject(root, "network", r->network);
  cJSON_AddStringToObject(root, "backend", r->backend);
  cJSON_AddStringToObject(root, "dtype", r->dtype);
  cJSON_AddStringToObject(root, "machine", r->machine);
  cJSON_AddStringToObject(root, "compiler", __VERSION__);
  cJSON_AddStringToObject(root, "caches", r->cold ? "cold" : "warm");
  cJSON *ceilings = cJSON_AddObjectToObject(root, "ceilings");
  cJSON_AddNumberToObject(ceilings, "flops_per_second", r->ceilings.flops);
  cJSON_AddNumberToObject(ceilings, "bytes_per_second", r->ceilings.bytes);
  cJSON_AddNumberToObject(root, "sum_seconds", sum);
  if (r->step_seconds > 0) {
    cJSON_AddNumberToObject(root, "step_seconds", r->step_seconds);
    cJSON_AddNumberToObject(root, "sum_over_step", sum / r->step_seconds);
  }
  cJSON *kernels = cJSON_AddArrayToObject(root, "kernels");
  for (int i = 0; i < r->count; i++) add_kernel(kernels, r, &r->item[i], before);
  char *text = cJSON_Print(root);
  cJSON_Delete(root);
  if (!text) return vc_fail(error, VC_NO_MEMORY, "no memory for the results");
  fprintf(out, "%s\n", text);
  cJSON_free(text);
  return VC_OK;
}
