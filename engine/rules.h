// Rules that decide whether a result is near enough to its reference.
#ifndef VC_ENGINE_RULES_H
#define VC_ENGINE_RULES_H

#include "engine/compare.h"

typedef enum vc_rule_kind {
  VC_RULE_RELATIVE,  // relative L2 error of at most `limit`
  VC_RULE_EQUAL,     // no element differs
  VC_RULE_MAX_ABS,   // largest absolute error of at most `limit`
  VC_RULE_DIFFER,    // share of differing elements of at most `limit`
  VC_RULE_IGNORE,    // any values, as long as they are finite
} vc_rule_kind;

typedef struct vc_rule {
  vc_rule_kind kind;
  double limit;
} vc_rule;

typedef struct vc_named_rule {
  char *name;
  vc_rule rule;
} vc_named_rule;

// Rules by name of an output, and one for the rest.
typedef struct vc_rules {
  int count;
  vc_named_rule *item;
  vc_rule rest;
} vc_rules;

// Parses "1e-4", "equal", "max_abs X", "differ X" or "ignore". VC_INVALID for anything else, and for limits that are
// negative or not finite.
vc_status vc_rule_parse(const char *text, vc_rule *out, vc_error *error);

// Parses one rule for everything, as above, or a JSON object of rules by name in which "*" is the rest (`fallback`
// without it). A rule in an object is a number or a string. On failure *out is zeroed and needs no freeing.
vc_status vc_rules_parse(const char *text, vc_rule fallback, vc_rules *out, vc_error *error);
void vc_rules_free(vc_rules *rules);

vc_rule vc_rules_find(const vc_rules *rules, const char *name);

// Writes the rule as vc_rule_parse reads it into text and returns it.
const char *vc_rule_text(vc_rule rule, char *text, size_t size);

// VC_OK when the difference satisfies the rule. VC_FAILED says what was measured against which limit. A NaN or an
// infinite element in the result fails whatever the rule.
vc_status vc_rule_judge(vc_rule rule, const vc_difference *difference, vc_error *error);

#endif
