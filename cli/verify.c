// videocomposer verify: runs reference cases and compares tensors.
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "cli/comparison.h"
#include "cli/interrupt.h"
#include "cli/machine.h"
#include "engine/case.h"
#include "loaders/tensor_file.h"

typedef struct values {
  vc_machine machine;
  double tolerance;
  vc_string_list data;
  bool trace, json;
} values;

static const vc_option options[] = {
    VC_MACHINE_OPTIONS(values, "f32"),
    {.name = "tolerance",
     .kind = VC_OPTION_FLOAT,
     .field = offsetof(values, tolerance),
     .min = 0,
     .max = 1e6,
     .value = "X",
     .help = "the largest relative L2 error, in place of the cases' own; their other rules ('equal', ...) stay"},
    {.name = "data",
     .kind = VC_OPTION_LIST,
     .field = offsetof(values, data),
     .value = "DIR",
     .help = "where files that cases name are looked for if they are not beside the case; may be given several times"},
    {.name = "trace",
     .kind = VC_OPTION_FLAG,
     .field = offsetof(values, trace),
     .help = "print the errors of inner values too; they never decide"},
    {.name = "json",
     .kind = VC_OPTION_FLAG,
     .field = offsetof(values, json),
     .help = "print one JSON object instead of text"},
};

static const vc_command_spec spec = {
    .name = "verify",
    .summary = "runs reference cases (format videocomposer-case/1) and compares what comes out with what they hold",
    .arguments = "CASE.safetensors ...",
    .min_arguments = 1,
    .max_arguments = -1,
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .example =
        "videocomposer verify golden/*.safetensors\n"
        "videocomposer verify --trace --json unet_text.safetensors",
    .notes =
        "A file of parameters that one of the named cases uses may be named too, as in *.safetensors; it counts as\n"
        "neither. Any other file that is no case is a failure.\n"
        "Without a tolerance in the case the limit is 1e-4. The last line is 'N passed, N failed', and the exit\n"
        "status is 0 when none failed.",
};

// The run over all cases.
typedef struct session {
  vc_case_options options;
  vc_compute compute;
  cJSON *json, *cases;  // NULL for text
  int passed, failed;
} session;

static bool interrupted(void *opaque) {
  (void)opaque;
  return vc_interrupted();
}

static vc_comparison comparison_of(const vc_case_outcome *outcome) {
  return (vc_comparison){.name = outcome->name,
                         .reference = outcome->reference,
                         .measured = outcome->measured,
                         .difference = outcome->difference,
                         .rule = outcome->trace ? NULL : &outcome->rule,
                         .problem = *outcome->problem ? outcome->problem : NULL};
}

static void print_outcome(const vc_case_outcome *outcome) {
  vc_comparison comparison = comparison_of(outcome);
  fputs("  ", stdout);
  if (outcome->trace && !outcome->measured)
    printf("--    %s; %s\n", outcome->name, outcome->problem);
  else
    vc_comparison_print(stdout, &comparison);
}

static void print_case(const char *path, const vc_case_report *report, const char *problem) {
  if (problem) {
    printf("FAIL  %s\n", problem);
    return;
  }
  printf("%-5s %s (%s, %.2f s)\n", report->failed ? "FAIL" : "ok", path, report->network, report->seconds);
  for (int i = 0; i < report->outcomes; i++) print_outcome(&report->outcome[i]);
}

static bool add_case(session *s, const char *path, const vc_case_report *report, const char *problem) {
  cJSON *item = cJSON_CreateObject();
  if (!item || !cJSON_AddItemToArray(s->cases, item)) {
    cJSON_Delete(item);
    return false;
  }
  bool ok = cJSON_AddStringToObject(item, "case", path) &&
            cJSON_AddBoolToObject(item, "passed", !problem && !report->failed) &&
            (!*report->network || cJSON_AddStringToObject(item, "network", report->network)) &&
            (!problem || cJSON_AddStringToObject(item, "problem", problem)) &&
            cJSON_AddNumberToObject(item, "seconds", report->seconds);
  cJSON *outputs = cJSON_AddArrayToObject(item, "outputs"), *traces = cJSON_AddArrayToObject(item, "trace");
  for (int i = 0; i < report->outcomes && ok && !problem; i++) {
    vc_comparison comparison = comparison_of(&report->outcome[i]);
    cJSON *outcome = vc_comparison_json(&comparison);
    ok = outcome && cJSON_AddItemToArray(report->outcome[i].trace ? traces : outputs, outcome);
    if (!ok) cJSON_Delete(outcome);
  }
  return ok && outputs && traces;
}

static vc_status run_case(session *s, const char *path, vc_error *error) {
  vc_case_report report;
  vc_error why;
  vc_status status = vc_case_run(path, &s->options, &report, &why);
  const char *problem = status ? why.message : NULL;
  if (status == VC_INTERRUPTED) {
    vc_case_report_free(&report);
    return vc_interrupt_check(error);
  }
  bool told = true;
  status || report.failed ? s->failed++ : s->passed++;
  if (s->cases)
    told = add_case(s, path, &report, problem);
  else
    print_case(path, &report, problem);
  vc_case_report_free(&report);
  return told ? VC_OK : vc_fail(error, VC_NO_MEMORY, "no memory for the result");
}

static vc_status summarise(const session *s, vc_error *error) {
  if (!s->json) {
    printf("%d passed, %d failed\n", s->passed, s->failed);
    return VC_OK;
  }
  char *text =
      cJSON_AddNumberToObject(s->json, "passed", s->passed) && cJSON_AddNumberToObject(s->json, "failed", s->failed)
          ? cJSON_Print(s->json)
          : NULL;
  if (!text) return vc_fail(error, VC_NO_MEMORY, "no memory for the result");
  puts(text);
  cJSON_free(text);
  return VC_OK;
}

// The metadata entry of a tensor file, copied; NULL when the file cannot be read or has none.
static char *metadata_of(const char *path, const char *key) {
  vc_tensor_file file;
  if (vc_tensor_file_open(&file, path, NULL)) return NULL;
  const char *value = vc_tensor_file_metadata(&file, key);
  char *copy = value ? strdup(value) : NULL;
  vc_tensor_file_close(&file);
  return copy;
}

static bool same_folder(const char *a, const char *b) {
  const char *x = strrchr(a, '/'), *y = strrchr(b, '/');
  size_t m = x ? (size_t)(x - a) : 0, n = y ? (size_t)(y - b) : 0;
  return m == n && !memcmp(a, b, m);
}

// True for a file without a network that some case of the command line names as its weights.
static bool is_weights_of_a_case(const vc_arguments *arguments, const char *path) {
  const char *name = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
  char *network = metadata_of(path, "network");
  bool found = false;
  for (int i = 0; i < arguments->count && !network && !found; i++) {
    if (!same_folder(arguments->item[i], path)) continue;
    char *weights = metadata_of(arguments->item[i], "weights");
    found = weights && !strcmp(weights, name);
    free(weights);
  }
  free(network);
  return found;
}

static vc_status run_all(session *s, const vc_arguments *arguments, bool json, vc_error *error) {
  vc_status status = VC_OK;
  if (json) {
    s->json = cJSON_CreateObject();
    s->cases = cJSON_AddArrayToObject(s->json, "cases");
    if (!s->cases) return vc_fail(error, VC_NO_MEMORY, "no memory for the result");
  }
  for (int i = 0; i < arguments->count && !status; i++) {
    if (!is_weights_of_a_case(arguments, arguments->item[i]))
      status = run_case(s, arguments->item[i], error);
    else if (!json)
      printf("--    %s: parameters of a case\n", arguments->item[i]);
  }
  return status ? status : summarise(s, error);
}

int vc_command_verify(int argc, char **argv) {
  values v = {.tolerance = -1};
  session s = {.passed = 0};
  vc_arguments arguments;
  vc_error error;
  int exit_status;
  if (!vc_command_start(&spec, argc, argv, &v, &arguments, &exit_status)) return exit_status;
  const char *data[VC_LIST_MAX + 1] = {NULL};
  memcpy(data, v.data.item, (size_t)v.data.count * sizeof *data);
  s.options = (vc_case_options){.data = data, .tolerance = v.tolerance, .trace = v.trace, .cancelled = interrupted};
  vc_status status = vc_machine_open(&s.compute, &v.machine, &error);
  s.options.backend = s.compute.backend;
  s.options.device = s.compute.device;
  s.options.dtype = s.compute.dtype;
  if (!status) status = run_all(&s, &arguments, v.json, &error);
  vc_machine_close(&s.compute);
  cJSON_Delete(s.json);
  // The failed cases have been told one by one: nothing is left to say.
  if (!status && s.failed) return VC_EXIT_FAILED;
  return vc_command_finish(&spec, status, &error);
}
