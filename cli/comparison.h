// One compared tensor as a line of text or as JSON: what `compare` and `verify` print.
#ifndef VC_CLI_COMPARISON_H
#define VC_CLI_COMPARISON_H

#include <cjson/cJSON.h>
#include <stdio.h>

#include "engine/rules.h"

typedef struct vc_comparison {
  const char *name;
  const vc_tensor *reference;  // for shape, dtype and indices; NULL when there is none of that name
  bool measured;               // `difference` holds
  vc_difference difference;
  const vc_rule *rule;  // what was asked of it; NULL for nothing
  const char *problem;  // why it failed; NULL when it did not
} vc_comparison;

// "ok    NAME [2, 3]: rel_l2 1.2e-06, max_abs 3e-05 at [0, 1], cosine 1, 12 of 4096 differ from [0, 0] on (rule 1e-4)";
// begins with FAIL, and says why, if there is a problem.
void vc_comparison_print(FILE *out, const vc_comparison *comparison);

// The same as an object: name, passed, and where they apply shape, dtype, relative_l2, max_abs, max_index, cosine,
// elements, differing, first_index, result_nan, result_infinite, rule, problem. What is not finite becomes null. NULL
// when there is no memory.
cJSON *vc_comparison_json(const vc_comparison *comparison);

#endif
