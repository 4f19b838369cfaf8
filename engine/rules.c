#include "engine/rules.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
  const char *word;
  vc_rule_kind kind;
  bool limited;
} words[] = {
    {"equal", VC_RULE_EQUAL, false},
    {"max_abs", VC_RULE_MAX_ABS, true},
    {"differ", VC_RULE_DIFFER, true},
    {"ignore", VC_RULE_IGNORE, false},
};
enum { WORD_COUNT = sizeof words / sizeof *words };

static bool parse_limit(const char *text, double *out) {
  if (!*text || text[strspn(text, "0123456789.eE+-")]) return false;
  char *end;
  *out = strtod(text, &end);
  return !*end && isfinite(*out) && *out >= 0;
}

vc_status vc_rule_parse(const char *text, vc_rule *out, vc_error *error) {
  for (int i = 0; i < WORD_COUNT; i++) {
    size_t length = strlen(words[i].word);
    if (strncmp(text, words[i].word, length)) continue;
    *out = (vc_rule){.kind = words[i].kind};
    const char *rest = text + length;
    if (words[i].limited ? *rest == ' ' && parse_limit(rest + 1, &out->limit) : !*rest) return VC_OK;
  }
  *out = (vc_rule){.kind = VC_RULE_RELATIVE};
  if (parse_limit(text, &out->limit)) return VC_OK;
  return vc_fail(error, VC_INVALID,
                 "'%s' is no rule: a number of at least 0 (relative L2), 'equal', 'max_abs X', 'differ X' or 'ignore'",
                 text);
}

static vc_status parse_item(const cJSON *item, vc_rule *out, vc_error *error) {
  if (cJSON_IsString(item)) return vc_rule_parse(item->valuestring, out, error);
  if (!cJSON_IsNumber(item) || !isfinite(item->valuedouble) || item->valuedouble < 0)
    return vc_fail(error, VC_INVALID, "a rule is a string or a number of at least 0");
  *out = (vc_rule){.kind = VC_RULE_RELATIVE, .limit = item->valuedouble};
  return VC_OK;
}

static bool has_rule(const vc_rules *rules, const char *name) {
  for (int i = 0; i < rules->count; i++)
    if (!strcmp(rules->item[i].name, name)) return true;
  return false;
}

static vc_status parse_object(const cJSON *object, vc_rules *out, vc_error *error) {
  int size = cJSON_GetArraySize(object);
  out->item = calloc((size_t)size + 1, sizeof *out->item);
  if (!out->item) return vc_fail(error, VC_NO_MEMORY, "no memory for %d rules", size);
  bool rest_given = false;
  for (const cJSON *item = object->child; item; item = item->next) {
    bool rest = !strcmp(item->string, "*");
    if (rest ? rest_given : has_rule(out, item->string))
      return vc_fail(error, VC_INVALID, "there are two rules for '%s'", item->string);
    rest_given |= rest;
    vc_rule rule;
    vc_status status = parse_item(item, &rule, error);
    if (status) return vc_fail_in(error, status, "rule for '%s'", item->string);
    if (rest) {
      out->rest = rule;
      continue;
    }
    char *name = strdup(item->string);
    if (!name) return vc_fail(error, VC_NO_MEMORY, "no memory for a rule");
    out->item[out->count++] = (vc_named_rule){name, rule};
  }
  return VC_OK;
}

vc_status vc_rules_parse(const char *text, vc_rule fallback, vc_rules *out, vc_error *error) {
  *out = (vc_rules){.rest = fallback};
  if (text[strspn(text, " \t\r\n")] != '{') {
    vc_status status = vc_rule_parse(text, &out->rest, error);
    if (status) vc_rules_free(out);
    return status;
  }
  cJSON *json = cJSON_ParseWithOpts(text, NULL, true);
  vc_status status = cJSON_IsObject(json) ? parse_object(json, out, error)
                                          : vc_fail(error, VC_INVALID, "the rules are no valid JSON object: %s", text);
  cJSON_Delete(json);
  if (status) vc_rules_free(out);
  return status;
}

void vc_rules_free(vc_rules *rules) {
  for (int i = 0; i < rules->count; i++) free(rules->item[i].name);
  free(rules->item);
  *rules = (vc_rules){0};
}

vc_rule vc_rules_find(const vc_rules *rules, const char *name) {
  for (int i = 0; i < rules->count; i++)
    if (!strcmp(rules->item[i].name, name)) return rules->item[i].rule;
  return rules->rest;
}

const char *vc_rule_text(vc_rule rule, char *text, size_t size) {
  snprintf(text, size, "%.9g", rule.limit);
  for (int i = 0; i < WORD_COUNT; i++)
    if (words[i].kind == rule.kind)
      snprintf(text, size, words[i].limited ? "%s %.9g" : "%s", words[i].word, rule.limit);
  return text;
}

vc_status vc_rule_judge(vc_rule rule, const vc_difference *difference, vc_error *error) {
  if (difference->result_nan || difference->result_infinite)
    return vc_fail(error, VC_FAILED, "%zu NaN and %zu infinite of %zu elements", difference->result_nan,
                   difference->result_infinite, difference->count);
  double share = vc_difference_share(difference);
  switch (rule.kind) {
    case VC_RULE_IGNORE:
      return VC_OK;
    case VC_RULE_EQUAL:
      if (!difference->differing) return VC_OK;
      return vc_fail(error, VC_FAILED, "%zu of %zu elements differ, none may", difference->differing,
                     difference->count);
    case VC_RULE_DIFFER:
      if (share <= rule.limit) return VC_OK;
      return vc_fail(error, VC_FAILED, "%.3g of the elements differ, at most %.3g may", share, rule.limit);
    case VC_RULE_MAX_ABS:
      if (difference->max_abs <= rule.limit) return VC_OK;
      return vc_fail(error, VC_FAILED, "largest absolute error %.3g, at most %.3g allowed", difference->max_abs,
                     rule.limit);
    case VC_RULE_RELATIVE:
      if (difference->relative_l2 <= rule.limit) return VC_OK;
      return vc_fail(error, VC_FAILED, "relative L2 error %.3g, at most %.3g allowed", difference->relative_l2,
                     rule.limit);
  }
  return vc_fail(error, VC_INVALID, "a rule of unknown kind %d", (int)rule.kind);
}
