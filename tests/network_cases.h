// The reference cases of networks in tests/data/golden, run on a backend and by one that stores everything in a type.
#ifndef VC_TESTS_NETWORK_CASES_H
#define VC_TESTS_NETWORK_CASES_H

#include "engine/case.h"

enum { NETWORK_OUTPUTS_MAX = 64 };

typedef struct network_run {
  const vc_backend *backend;
  vc_device *device;
  vc_dtype dtype;
} network_run;

// Names without folder and ending, sorted; *count of them. CASE_ONLY=words in the environment: those that hold the
// words.
const char *const *network_cases(int *count);

// One of every kind, the quick ones: for what takes long, and all that is run under a sanitizer.
bool network_case_is_quick(const char *name);
extern const bool network_cases_sanitized;

// The caller frees the report. A case that cannot be run is a failure of the test, and false.
bool network_case_run(const char *name, const network_run *run, vc_case_report *report);

// The relative L2 errors of all outputs with storage in that type, on the CPU; 0 when the case runs no ops.
int network_case_storage_errors(const char *name, vc_dtype dtype, double errors[NETWORK_OUTPUTS_MAX]);

#endif
