#include "engine/case.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/case_networks.h"

static const double f32_tolerance = 1e-4, half_tolerance = 2e-2;

#define ENTRY(name) {#name, vc_case_##name},
static const struct {
  const char *name;
  vc_case_function run;
} networks[] = {VC_CASE_NETWORKS(ENTRY)};
enum { NETWORKS = sizeof networks / sizeof *networks };

const char *vc_case_network(int index) {
  return index >= 0 && index < NETWORKS ? networks[index].name : NULL;
}

static vc_status find_network(const char *name, vc_case_function *run, vc_error *error) {
  for (int i = 0; i < NETWORKS; i++) {
    if (strcmp(name, networks[i].name) != 0) continue;
    *run = networks[i].run;
    return VC_OK;
  }
  return vc_fail(error, VC_FAILED, "unknown network \"%.60s\"", name);
}

// ---- rules

// In half precision the relative rules of a case, which are for f32, give way to a looser one.
static vc_rule adapt(vc_rule rule, const vc_case_options *options) {
  if (rule.kind != VC_RULE_RELATIVE) return rule;
  if (options->tolerance >= 0)
    rule.limit = options->tolerance;
  else if (options->dtype != VC_F32 && rule.limit < half_tolerance)
    rule.limit = half_tolerance;
  return rule;
}

static vc_status read_rules(const vc_tensor_file *file, vc_rules *out, vc_error *error) {
  const char *text = vc_tensor_file_metadata(file, "tolerance");
  vc_rule fallback = {VC_RULE_RELATIVE, f32_tolerance};
  if (!text) {
    *out = (vc_rules){.rest = fallback};
    return VC_OK;
  }
  vc_status status = vc_rules_parse(text, fallback, out, error);
  return status ? vc_fail_in(error, VC_FAILED, "tolerance") : VC_OK;
}

// ---- judging

static const vc_tensor *find_result(const vc_case *c, const char *name) {
  for (int i = 0; i < c->results; i++)
    if (!strcmp(c->result[i].name, name)) return &c->result[i].tensor;
  return NULL;
}

static void judge(const vc_case *c, vc_case_outcome *outcome, const char *full_name) {
  const vc_tensor *result = find_result(c, full_name);
  vc_error why = {""};
  if (!result)
    vc_fail(&why, VC_FAILED, outcome->trace ? "no value of its own here" : "the network has no output of this name");
  else if (!vc_compare_tensors(result, outcome->reference, &outcome->difference, &why))
    outcome->measured = true;
  if (outcome->measured && !outcome->trace) vc_rule_judge(outcome->rule, &outcome->difference, &why);
  snprintf(outcome->problem, sizeof outcome->problem, "%.190s", why.message);
}

// One outcome for each "output/NAME" of the file, then one for each "trace/NAME" if wanted.
static vc_status judge_all(const vc_case *c, const vc_rules *rules, vc_case_report *out, vc_error *error) {
  static const char *const prefixes[2] = {"output/", "trace/"};
  out->outcome = calloc((size_t)c->file->count + 1, sizeof *out->outcome);
  if (!out->outcome) return vc_fail(error, VC_NO_MEMORY, "no memory for a report");
  for (int kind = 0; kind < (c->options->trace ? 2 : 1); kind++) {
    size_t length = strlen(prefixes[kind]);
    for (int i = 0; i < c->file->count; i++) {
      const char *name = c->file->tensor[i].name;
      if (strncmp(name, prefixes[kind], length) != 0) continue;
      vc_case_outcome *outcome = &out->outcome[out->outcomes++];
      outcome->name = kind ? name : name + length;
      outcome->trace = kind == 1;
      outcome->reference = &c->file->tensor[i].tensor;
      outcome->rule = adapt(vc_rules_find(rules, outcome->name), c->options);
      judge(c, outcome, name);
      out->failed += !outcome->trace && *outcome->problem;
    }
    if (!kind && !out->outcomes) return vc_fail(error, VC_FAILED, "the case has no outputs (tensors \"output/NAME\")");
  }
  return VC_OK;
}

// ---- running

static vc_status open_weights(vc_case *c, vc_tensor_file *weights, vc_error *error) {
  const char *name = vc_tensor_file_metadata(c->file, "weights");
  char *path = NULL;
  if (!name) return VC_OK;
  vc_status status = vc_case_file(c, name, &path, error);
  if (!status) status = vc_tensor_file_open(weights, path, error);
  if (!status) c->weight_file = weights;
  free(path);
  return status;
}

static vc_status read_header(const vc_tensor_file *file, vc_case_report *out, vc_case_function *run, cJSON **config,
                             vc_error *error) {
  const char *format = vc_tensor_file_metadata(file, "format"), *note = vc_tensor_file_metadata(file, "note");
  const char *network = vc_tensor_file_metadata(file, "network"), *json = vc_tensor_file_metadata(file, "config");
  if (!format || strcmp(format, "videocomposer-case/1") != 0)
    return vc_fail(error, VC_FAILED, "is no case: its metadata has no format \"videocomposer-case/1\"");
  if (!network) return vc_fail(error, VC_FAILED, "its metadata names no network");
  snprintf(out->network, sizeof out->network, "%.63s", network);
  snprintf(out->note, sizeof out->note, "%.255s", note ? note : "");
  vc_status status = find_network(network, run, error);
  return status ? status : vc_json_parse(config, json ? json : "{}", "config", error);
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

vc_status vc_case_run(const char *path, const vc_case_options *options, vc_case_report *out, vc_error *error) {
  vc_tensor_file weights = {0};
  vc_rules rules = {0};
  vc_case_function run = NULL;
  cJSON *config = NULL;
  *out = (vc_case_report){.outcomes = 0};
  vc_status status = vc_tensor_file_open(&out->file, path, error);
  if (status) return status;
  vc_case c = {.path = path, .options = options, .file = &out->file};
  status = read_header(&out->file, out, &run, &config, error);
  if (!status) status = read_rules(&out->file, &rules, error);
  if (!status) status = open_weights(&c, &weights, error);
  if (!status) {
    double start = now();
    c.config = config;
    status = run(&c, error);
    out->seconds = now() - start;
  }
  if (!status) status = judge_all(&c, &rules, out, error);
  if (status) vc_fail_in(error, status, "%.300s", path);
  for (int i = 0; i < c.results; i++) {
    free(c.result[i].name);
    vc_tensor_free(&c.result[i].tensor);
  }
  free(c.result);
  vc_rules_free(&rules);
  vc_tensor_file_close(&weights);
  cJSON_Delete(config);
  return status;
}

void vc_case_report_free(vc_case_report *report) {
  free(report->outcome);
  vc_tensor_file_close(&report->file);
  *report = (vc_case_report){.outcomes = 0};
}
