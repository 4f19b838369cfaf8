// Every reference case of a network on the CUDA backend: in F32 by the rule of the case, in half precision against the
// error that storage in that type alone makes.
#include <criterion/criterion.h>

#ifndef VC_CUDA_LINKED
Test(cuda_networks, reference_cases) {
  cr_skip_test("this build has no CUDA backend; CUDA_ON_HOST=1 has");
}
#else
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cuda/cuda_open.h"
#include "tests/network_cases.h"

// The network of unet_D_*, with the samplers of sampler_C_*: a third of all the time. F16 has them.
static bool is_twice_there(const char *name, vc_dtype dtype) {
  return dtype != VC_F16 && !strncmp(name, "sampler_D_", 10);
}

// The steps of an inversion amplify what the first ones lost, and channels that lie far from zero lose their digits
// before a norm sees them.
static const char *const ill_conditioned[] = {"sampler_C_inv3", "sampler_D_inv3", "small_group_norm_frame_eps6",
                                              "small_group_norm_video"};

// At most twice the error of storage alone; where that is smaller than the rounding of the output itself, by up to
// 2^-11 or 2^-8 of its size, chance decided, not the network. And at most 2e-2 in F16; in BF16 the storage of these
// small networks, with parameters drawn at random, comes to more than that.
static double allowed(const char *name, vc_dtype dtype, double storage) {
  double limit = 2 * fmax(storage, dtype == VC_F16 ? 0x1p-11 : 0x1p-8);
  for (size_t i = 0; i < sizeof ill_conditioned / sizeof *ill_conditioned; i++)
    if (!strcmp(name, ill_conditioned[i])) return limit;
  return dtype == VC_F16 ? fmin(2e-2, limit) : limit;
}

static void judge(const char *name, const char *where, const vc_case_report *report, vc_dtype dtype,
                  const double *storage) {
  for (int i = 0; i < report->outcomes; i++) {
    const vc_case_outcome *o = &report->outcome[i];
    if (dtype == VC_F32 || o->rule.kind != VC_RULE_RELATIVE) {
      cr_expect(!*o->problem, "%s, %s: %s: %s", name, where, o->name, o->problem);
      continue;
    }
    double error = o->difference.relative_l2, limit = allowed(name, dtype, storage[i]);
    cr_expect(o->measured && error <= limit, "%s, %s: %s is off by %g; storage alone by %g, allowed %g %s", name, where,
              o->name, error, storage[i], limit, o->measured ? "" : o->problem);
  }
}

static void check_all(vc_cuda_library library, vc_dtype dtype, bool all, const char *where) {
  network_run r = {.backend = &vc_backend_cuda, .dtype = dtype};
  vc_error error;
  double reference[NETWORK_OUTPUTS_MAX];
  int count;
  const char *const *names = network_cases(&count);
  int checked = 0;
  cr_assert_eq(vc_cuda_open(&r.device, 0, library, &error), VC_OK, "%s", error.message);
  for (int i = 0; i < count; i++) {
    vc_case_report report;
    if (is_twice_there(names[i], dtype) || ((!all || network_cases_sanitized) && !network_case_is_quick(names[i])))
      continue;
    if (!network_case_storage_errors(names[i], dtype == VC_F32 ? VC_BF16 : dtype, reference)) continue;
    checked++;
    if (!network_case_run(names[i], &r, &report)) continue;
    judge(names[i], where, &report, dtype, reference);
    if (report.seconds > 5) fprintf(stderr, "%s, %s: %.1f s\n", names[i], where, report.seconds);
    vc_case_report_free(&report);
  }
  vc_backend_cuda.close(r.device);
  cr_expect(checked >= 15 || getenv("CASE_ONLY"), "only %d cases of networks", checked);
}

Test(cuda_networks, f32) {
  check_all(VC_CUDA_OWN, VC_F32, true, "F32");
}

Test(cuda_networks, f16) {
  check_all(VC_CUDA_OWN, VC_F16, true, "F16");
}

Test(cuda_networks, bf16) {
  check_all(VC_CUDA_OWN, VC_BF16, true, "BF16");
}

Test(cuda_networks, the_older_generation) {
  setenv("CUDA_ON_HOST_ARCH", "80", 1);
  check_all(VC_CUDA_OWN, VC_F16, false, "sm_80 F16");
}

Test(cuda_networks, the_vendors_libraries) {
  check_all(VC_CUDA_VENDOR, VC_F16, false, "vendor F16");
}
#endif
