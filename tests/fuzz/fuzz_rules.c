// Rules come from the metadata of reference cases, which are files like any other.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "engine/rules.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  char *text = malloc(size + 1);
  if (!text) return 0;
  memcpy(text, data, size);
  text[size] = 0;
  vc_rules rules;
  vc_error error;
  if (vc_rules_parse(text, (vc_rule){.kind = VC_RULE_RELATIVE, .limit = 1e-4}, &rules, &error) == VC_OK) {
    vc_rule rule = vc_rules_find(&rules, "rgb");
    char written[64];
    vc_rule again;
    if (vc_rule_parse(vc_rule_text(rule, written, sizeof written), &again, &error) || again.kind != rule.kind) abort();
    vc_rules_free(&rules);
  }
  free(text);
  return 0;
}
