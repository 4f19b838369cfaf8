// Every reference case of a network on the CPU with products in BF16.
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>

#include "kernels/cpu/cpu.h"
#include "tests/network_cases.h"

// Weights and what meets them are rounded, but not what is stored: by the error that storage alone makes, chance aside,
// and where a network's storage comes to less than 2e-2, by no more than that.
static double allowed(double storage) {
  double limit = 1.5 * fmax(storage, 0x1p-8);
  return storage <= 2e-2 ? fmin(2e-2, limit) : limit;
}

static void judge(const char *name, const char *set, const vc_case_report *report, const double *storage,
                  int *rounded) {
  for (int i = 0; i < report->outcomes; i++) {
    const vc_case_outcome *o = &report->outcome[i];
    double error = o->difference.relative_l2, limit = allowed(storage[i]);
    cr_expect(o->measured && error <= limit, "%s, %s: %s is off by %g; storage in BF16 by %g, allowed %g %s", name, set,
              o->name, error, storage[i], limit, o->measured ? "" : o->problem);
    *rounded += error > 1e-4;
  }
}

static void check(const char *set) {
  network_run run = {.backend = &vc_backend_cpu, .dtype = VC_BF16};
  int count, checked = 0, rounded = 0;
  const char *const *names = network_cases(&count);
  double storage[NETWORK_OUTPUTS_MAX];
  vc_error error;
  cr_assert_eq(vc_cpu_open(&run.device, 2, &error), VC_OK, "%s", error.message);
  if (!vc_cpu_use(run.device, set)) {
    vc_backend_cpu.close(run.device);
    cr_skip_test("this machine has no %s", set);
  }
  for (int i = 0; i < count; i++) {
    vc_case_report report;
    if (network_cases_sanitized && !network_case_is_quick(names[i])) continue;
    if (!network_case_storage_errors(names[i], VC_BF16, storage)) continue;
    if (!network_case_run(names[i], &run, &report)) continue;
    checked++;
    judge(names[i], set, &report, storage, &rounded);
    vc_case_report_free(&report);
  }
  vc_backend_cpu.close(run.device);
  cr_expect(checked >= 15 || getenv("CASE_ONLY"), "only %d cases of networks", checked);
  cr_expect(rounded >= checked, "%d outputs of %d networks show that anything was rounded", rounded, checked);
}

Test(cpu_bf16, networks) {
  check("avx512_bf16");
}

Test(cpu_bf16, networks_without_instructions) {
  check("generic");
}
