#include "tests/op_fixture.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cpu/cpu.h"
#include "tests/op_run.h"

float *op_values_fine(uint32_t seed, size_t count, float scale, float mean) {
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

float *op_values(uint32_t seed, size_t count, float scale, float mean) {
  float *out = op_values_fine(seed, count, scale, mean);
  // BF16 has fewer digits and F16 the smaller range: rounding to it afterwards leaves no more digits than there were.
  for (size_t i = 0; i < count; i++)
    out[i] = vc_half_to_float(vc_float_to_half(vc_bfloat_to_float(vc_float_to_bfloat(out[i]))));
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

// Every instruction set with one thread against the expected values; the best one with every number of threads.
static void check_on_cpu(const op_check *c, vc_dtype weight_dtype) {
  static const char *const sets[] = {"generic", "avx2", "avx512", "avx512_bf16"};
  static const int threads[] = {1, 2, 3, 5};
  const char *weights = weight_dtype == VC_BF16 ? ", weights in BF16" : "";
  size_t bytes, other_bytes;
  unsigned char *first = NULL;
  for (size_t t = 0; t < sizeof threads / sizeof *threads; t++) {
    op_target target = {.backend = &vc_backend_cpu, .dtype = VC_F32, .weight_dtype = weight_dtype};
    vc_error error;
    cr_assert_eq(vc_cpu_open(&target.device, threads[t], &error), VC_OK, "%s", error.message);
    for (size_t s = 0; s < sizeof sets / sizeof *sets && t == 0; s++) {
      if (!vc_cpu_use(target.device, sets[s])) continue;
      free(first);
      snprintf(target.name, sizeof target.name, "cpu %s%s", sets[s], weights);
      first = op_run(c, &target, &bytes);
    }
    if (t > 0) {
      snprintf(target.name, sizeof target.name, "cpu, %d threads%s", threads[t], weights);
      unsigned char *other = op_run(c, &target, &other_bytes);
      cr_expect(first && other && bytes == other_bytes && !memcmp(first, other, bytes),
                "%s: %d threads give other bytes than one%s", c->name, threads[t], weights);
      free(other);
    }
    vc_backend_cpu.close(target.device);
  }
  free(first);
}

static bool is_wanted(const char *variable, const char *name) {
  const char *words = getenv(variable);
  return !words || strstr(name, words);
}

void op_check_run(const op_check *c) {
  const op_target *targets;
  size_t bytes;
  if (!is_wanted("OP_CASE", c->name)) return;
  if (is_wanted("OP_ONLY", "cpu")) {
    check_on_cpu(c, VC_F32);
    op_check in_bf16 = *c;
    if (c->want_bf16) in_bf16.want = c->want_bf16;
    if (c->kind == VC_OP_LINEAR || c->kind == VC_OP_CONV) check_on_cpu(&in_bf16, VC_BF16);
  }
  int count = op_cuda_targets(c->kind, &targets);
  for (int i = 0; i < count; i++) {
    if (c->f32_only && targets[i].dtype != VC_F32) continue;
    if (is_wanted("OP_ONLY", targets[i].name)) free(op_run(c, &targets[i], &bytes));
  }
}

bool op_use(vc_device *device, const char *set) {
  return vc_cpu_use(device, set);
}

static void check_refused_by_cuda(vc_op_kind kind, const void *op, vc_status status, const char *words) {
  const op_target *targets;
  vc_error error = {{0}};
  vc_dtype dtype;
  size_t bytes;
  memcpy(&dtype, op, sizeof dtype);
  if (status == VC_UNSUPPORTED && (dtype == VC_F16 || dtype == VC_BF16)) return;
  if (!op_cuda_targets(kind, &targets)) return;
  vc_status got = targets->backend->prepare(targets->device, kind, op, &bytes, &error);
  cr_expect(got == VC_INVALID || got == VC_UNSUPPORTED, "cuda, '%s': status %d with '%s'", words, (int)got,
            error.message);
  cr_expect(strstr(error.message, vc_op_name(kind)), "cuda: '%s' does not name the op", error.message);
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
  check_refused_by_cuda(kind, op, status, words);
}

// ---- parameters

// Packed memory with its description behind it: [packed][vc_pack][values]. The latest ones are known by address.
enum { KNOWN = 32, ALIGNMENT = 256 };

static struct {
  const void *packed;
  const vc_pack *pack;
} known[KNOWN];

static size_t aligned(size_t bytes) {
  return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

const vc_pack *op_pack_of(const void *packed) {
  for (int i = 0; i < KNOWN; i++)
    if (known[i].packed == packed) return packed ? known[i].pack : NULL;
  return NULL;
}

static void remember(const void *packed, const vc_pack *pack) {
  static int next;
  for (int i = 0; i < KNOWN; i++)
    if (known[i].packed == packed) known[i].packed = NULL;  // memory that was freed and is used anew
  known[next].packed = packed;
  known[next].pack = pack;
  next = (next + 1) % KNOWN;
}

void *op_pack(const vc_pack *pack) {
  vc_device *device;
  vc_error error;
  size_t bytes, values = vc_tensor_bytes(&pack->source[0]);
  cr_assert_eq(pack->stacked, 1);
  cr_assert_eq(vc_cpu_open(&device, 2, &error), VC_OK);
  cr_assert_eq(vc_backend_cpu.pack_bytes(pack, &bytes, &error), VC_OK, "%s", error.message);
  char *out = aligned_alloc(ALIGNMENT, aligned(bytes) + aligned(sizeof *pack) + aligned(values));
  vc_pack *kept = (vc_pack *)(void *)(out + aligned(bytes));
  *kept = *pack;
  kept->source[0].data = (char *)kept + aligned(sizeof *pack);
  memcpy(kept->source[0].data, pack->source[0].data, values);
  cr_assert_eq(vc_backend_cpu.pack(device, pack, out, &error), VC_OK, "%s", error.message);
  vc_backend_cpu.close(device);
  remember(out, kept);
  return out;
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
  return op_pack(&pack);
}
