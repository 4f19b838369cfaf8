#include "tests/op_fixture.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cpu/cpu.h"

enum { GUARD = 64 };

static const uint32_t sentinel = 0x7fc0beef;  // a NaN: an element that is never written shows too

float *op_values(uint32_t seed, size_t count, float scale, float mean) {
  float *out = malloc((count + 1) * sizeof *out);
  uint32_t state = seed * 2654435761u + 12345;
  for (size_t i = 0; i < count; i++) {
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    out[i] = ((float)(state >> 8) * 0x1p-23f - 1) * scale + mean;
  }
  return out;
}

double op_activated(vc_activation activation, double v) {
  switch (activation) {
    case VC_ACT_SILU:
      return v / (1 + exp(-v));
    case VC_ACT_GELU:
      return 0.5 * v * erfc(-v / sqrt(2));
    case VC_ACT_RELU:
      return v < 0 ? 0 : v;
    case VC_ACT_SIGMOID:
      return 1 / (1 + exp(-v));
    default:
      return v;
  }
}

double op_error(const float *got, const double *want, size_t count) {
  double error = 0, size = 0;
  for (size_t i = 0; i < count; i++) {
    if (isnan(got[i]) != isnan(want[i])) return NAN;
    if (isnan(want[i])) continue;
    error += ((double)got[i] - want[i]) * ((double)got[i] - want[i]);
    size += want[i] * want[i];
  }
  return sqrt(error) / (size > 0 ? sqrt(size) : 1);
}

static void check_elements(const op_check *c, const char *where, const float *got) {
  double error = op_error(got, c->want, c->count), largest = 0, worst = 0;
  for (size_t i = 0; i < c->count; i++) {
    if (isnan(c->want[i])) continue;
    if (fabs(c->want[i]) > largest) largest = fabs(c->want[i]);
    if (fabs((double)got[i] - c->want[i]) > worst) worst = fabs((double)got[i] - c->want[i]);
  }
  cr_expect(error <= c->tolerance, "%s, %s: relative L2 error %g, allowed %g", c->name, where, error, c->tolerance);
  cr_expect(worst <= 20 * c->tolerance * largest, "%s, %s: an element is off by %g of %g", c->name, where, worst,
            largest);
}

static void run_on(const op_check *c, vc_device *device, const char *where, uint32_t *out) {
  vc_error error = {{0}};
  size_t bytes = 0;
  void *workspace = NULL;
  for (size_t i = 0; i < c->count + 2 * GUARD; i++) out[i] = sentinel;
  vc_status status = vc_backend_cpu.prepare(device, c->kind, c->op, &bytes, &error);
  cr_assert_eq(status, VC_OK, "%s, %s: %s", c->name, where, error.message);
  status = vc_backend_cpu.allocate(device, bytes + 4, &workspace, &error);
  cr_assert_eq(status, VC_OK, "%s", error.message);
  memcpy((char *)workspace + bytes, &sentinel, 4);
  uint32_t *body = out + GUARD;
  memcpy((char *)c->op + c->out_at, &body, sizeof body);
  if (c->workspace_at) memcpy((char *)c->op + c->workspace_at, &workspace, sizeof workspace);
  status = vc_op_run(&vc_backend_cpu, device, c->kind, c->op, &error);
  cr_assert_eq(status, VC_OK, "%s, %s: %s", c->name, where, error.message);
  cr_expect(!memcmp((char *)workspace + bytes, &sentinel, 4), "%s, %s: wrote behind the workspace", c->name, where);
  for (size_t i = 0; i < GUARD; i++)
    cr_assert(out[i] == sentinel && out[GUARD + c->count + i] == sentinel, "%s, %s: wrote beside the output", c->name,
              where);
  vc_backend_cpu.release(device, workspace);
}

void op_check_run(const op_check *c) {
  static const char *const sets[] = {"generic", "avx2", "avx512"};
  static const int threads[] = {1, 2, 3, 5};
  size_t bytes = (c->count + 2 * GUARD) * sizeof(uint32_t);
  uint32_t *first = malloc(bytes), *other = malloc(bytes);
  for (size_t t = 0; t < sizeof threads / sizeof *threads; t++) {
    vc_device *device;
    vc_error error;
    cr_assert_eq(vc_cpu_open(&device, threads[t], &error), VC_OK);
    // Every instruction set with one thread against the expected values; the best one with every number of threads.
    for (size_t s = 0; s < sizeof sets / sizeof *sets; s++) {
      if (!vc_cpu_use(device, sets[s])) continue;
      if (t > 0) continue;
      run_on(c, device, sets[s], first);
      check_elements(c, sets[s], (float *)(first + GUARD));
    }
    if (t > 0) {
      char where[32];
      snprintf(where, sizeof where, "%d threads", threads[t]);
      run_on(c, device, where, other);
      cr_expect(!memcmp(first, other, bytes), "%s: %s give other bytes than one", c->name, where);
    }
    vc_backend_cpu.close(device);
  }
  free(first);
  free(other);
}

bool op_use(vc_device *device, const char *set) {
  return vc_cpu_use(device, set);
}

void op_check_refused(vc_op_kind kind, const void *op, vc_status status, const char *words) {
  vc_device *device;
  vc_error error = {{0}};
  size_t bytes;
  cr_assert_eq(vc_cpu_open(&device, 1, &error), VC_OK);
  vc_status got = vc_backend_cpu.prepare(device, kind, op, &bytes, &error);
  cr_expect_eq(got, status, "'%s': status %d with '%s'", words, (int)got, error.message);
  cr_expect(strstr(error.message, words), "'%s' is not in '%s'", words, error.message);
  cr_expect(strstr(error.message, vc_op_name(kind)), "'%s' does not name the op", error.message);
  vc_backend_cpu.close(device);
}

void *op_packed(const float *weight, int64_t rows, int64_t columns, const int64_t *kernel) {
  vc_pack pack = {.layout = kernel ? VC_LAYOUT_CONV : VC_LAYOUT_LINEAR,
                  .dtype = VC_F32,
                  .stacked = 1,
                  .rows = rows,
                  .columns = columns};
  int64_t taps = 1;
  for (int i = 0; i < 3 && kernel; i++) taps *= pack.kernel[i] = kernel[i];
  pack.source[0] = (vc_tensor){.dtype = VC_F32, .rank = 3, .dim = {rows, columns, taps}, .data = (void *)weight};
  vc_device *device;
  vc_error error;
  size_t bytes;
  cr_assert_eq(vc_cpu_open(&device, 2, &error), VC_OK);
  cr_assert_eq(vc_backend_cpu.pack_bytes(&pack, &bytes, &error), VC_OK);
  void *out = NULL;
  cr_assert_eq(vc_backend_cpu.allocate(device, bytes, &out, &error), VC_OK);
  cr_assert_eq(vc_backend_cpu.pack(device, &pack, out, &error), VC_OK);
  vc_backend_cpu.close(device);
  return out;
}
