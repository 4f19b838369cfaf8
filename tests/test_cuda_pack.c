// Parameters on their way into CUDA memory, against a plain loop over the layouts of cuda.h.
#include <criterion/criterion.h>

#ifndef VC_CUDA_LINKED
Test(cuda_pack, everything) {
  cr_skip_test("this build has no CUDA backend; CUDA_ON_HOST=1 has");
}
#else
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/cuda_fixture.h"
#include "tests/op_fixture.h"

static const vc_backend *const b = &vc_backend_cuda;

typedef struct pack_case {
  const char *name;
  vc_layout layout;
  vc_dtype from;
  int stacked;
  int64_t parts[VC_STACK_MAX];  // rows of each source
  int64_t columns, kernel[3];
  bool transposed;
} pack_case;

static const pack_case pack_cases[] = {
    {"vector", VC_LAYOUT_VECTOR, VC_F16, 1, {70001}, 1, {0}, false},
    {"one value", VC_LAYOUT_VECTOR, VC_BF16, 1, {1}, 1, {0}, false},
    {"joined vectors", VC_LAYOUT_VECTOR, VC_F32, 3, {5, 6, 9}, 1, {0}, false},
    {"rows", VC_LAYOUT_ROWS, VC_BF16, 1, {30}, 17, {0}, false},
    {"joined rows", VC_LAYOUT_ROWS, VC_F32, 2, {3, 4}, 9, {0}, false},
    {"matrix", VC_LAYOUT_LINEAR, VC_F16, 1, {131}, 530, {0}, false},
    {"matrix of one value", VC_LAYOUT_LINEAR, VC_BF16, 1, {1}, 1, {0}, false},
    {"matrix without padding", VC_LAYOUT_LINEAR, VC_F32, 1, {9}, 64, {0}, false},
    {"joined matrices", VC_LAYOUT_LINEAR, VC_F16, 3, {65, 64, 3}, 33, {0}, false},
    {"transposed matrix", VC_LAYOUT_LINEAR, VC_F32, 1, {40}, 61, {0}, true},
    {"kernel", VC_LAYOUT_CONV, VC_F16, 1, {70}, 30, {1, 3, 3}, false},
    {"kernel along frames", VC_LAYOUT_CONV, VC_F32, 1, {9}, 5, {3, 1, 1}, false},
    {"kernel in all directions", VC_LAYOUT_CONV, VC_BF16, 1, {4}, 3, {2, 3, 5}, false},
    {"joined kernels", VC_LAYOUT_CONV, VC_F32, 2, {4, 3}, 6, {1, 3, 3}, false},
    {"depthwise kernel", VC_LAYOUT_CONV, VC_BF16, 1, {90}, 1, {1, 5, 5}, false},
    {"large patches", VC_LAYOUT_CONV, VC_F16, 1, {6}, 3, {1, 60, 64}, false},
    {"transposed kernel", VC_LAYOUT_CONV, VC_F32, 1, {12}, 21, {1, 4, 4}, true},
    {"transposed kernel, 2x2", VC_LAYOUT_CONV, VC_F16, 1, {3}, 8, {1, 2, 2}, true},
};

static int64_t taps_of(const pack_case *t) {
  return t->layout == VC_LAYOUT_CONV ? t->kernel[0] * t->kernel[1] * t->kernel[2] : 1;
}

// Where element (row, column, tap) of the joined parameter must lie: the layouts of cuda.h.
static size_t place(const pack_case *t, int64_t rows, int64_t row, int64_t column, int64_t tap) {
  if (t->layout == VC_LAYOUT_LINEAR) return (size_t)(row * vc_cuda_pitch(t->columns) + column);
  if (t->layout != VC_LAYOUT_CONV) return (size_t)(row * t->columns + column);
  if (t->transposed) return (size_t)((tap * rows + row) * vc_cuda_pitch(t->columns) + column);
  return (size_t)(row * vc_cuda_pitch(taps_of(t) * t->columns) + tap * t->columns + column);
}

static size_t size_of(const pack_case *t, int64_t rows) {
  if (t->layout == VC_LAYOUT_LINEAR) return (size_t)(rows * vc_cuda_pitch(t->columns));
  if (t->layout != VC_LAYOUT_CONV) return (size_t)(rows * t->columns);
  if (t->transposed) return (size_t)(taps_of(t) * rows * vc_cuda_pitch(t->columns));
  return (size_t)(rows * vc_cuda_pitch(taps_of(t) * t->columns));
}

// What the packed parameter should be, in fp32; padding is zero.
static float *expected(const pack_case *t, int64_t rows, float *const *values) {
  int64_t taps = taps_of(t), first = 0;
  float *want = calloc(size_of(t, rows), sizeof *want);
  for (int i = 0; i < t->stacked; first += t->parts[i++])
    for (int64_t r = 0; r < t->parts[i]; r++)
      for (int64_t c = 0; c < t->columns; c++)
        for (int64_t k = 0; k < taps; k++) {
          int64_t at = t->transposed ? c * rows + r : r * t->columns + c;
          want[place(t, rows, first + r, c, k)] = values[i][at * taps + k];
        }
  return want;
}

static void check_pack(const pack_case *t, const vc_pack *p, vc_device *device, const float *want) {
  vc_dtype stored = t->layout == VC_LAYOUT_VECTOR ? VC_F32 : p->dtype;
  size_t count = size_of(t, p->rows), size = vc_dtype_size(stored), bytes = 0, wrong = 0;
  vc_error error = {{0}};
  cr_assert_eq(b->pack_bytes(p, &bytes, &error), VC_OK, "%s: %s", t->name, error.message);
  cr_assert_eq(bytes, count * size, "%s in %s", t->name, vc_dtype_name(p->dtype));
  char *memory = cuda_allocated(device, bytes + 4), *raw = malloc(bytes + 4);
  float *got = malloc(count * sizeof *got);
  const uint32_t guard = 0x12345678;
  cuda_upload(device, memory + bytes, &guard, sizeof guard);
  cr_assert_eq(b->pack(device, p, memory, &error), VC_OK, "%s: %s", t->name, error.message);
  cuda_download(device, raw, memory, bytes + 4);
  vc_to_float(got, raw, stored, count);
  for (size_t i = 0; i < count; i++) wrong += !(got[i] == want[i]);
  cr_expect_eq(wrong, 0, "%s in %s: %zu of %zu values are wrong", t->name, vc_dtype_name(p->dtype), wrong, count);
  cr_expect(!memcmp(raw + bytes, &guard, sizeof guard), "%s: wrote behind the parameter", t->name);
  free(got);
  free(raw);
  b->release(device, memory);
}

static void run_pack(const pack_case *t, vc_device *device) {
  static const vc_dtype dtypes[] = {VC_F32, VC_F16, VC_BF16};
  float *values[VC_STACK_MAX] = {NULL};
  char *files[VC_STACK_MAX] = {NULL};
  vc_pack p = {.layout = t->layout,
               .stacked = t->stacked,
               .columns = t->columns,
               .kernel = {t->kernel[0], t->kernel[1], t->kernel[2]},
               .transposed = t->transposed};
  for (int i = 0; i < t->stacked; i++) {
    size_t count = (size_t)(t->parts[i] * t->columns * taps_of(t)), size = vc_dtype_size(t->from);
    values[i] = op_values((uint32_t)i + 1, count, 1, 0);
    char *aligned = malloc(count * size);
    files[i] = malloc(count * size + 1);
    vc_from_float(aligned, t->from, values[i], count);
    memcpy(files[i] + 1, aligned, count * size);  // a mapped file need not align its tensors
    free(aligned);
    p.source[i] = (vc_tensor){.dtype = t->from, .rank = 3, .dim = {t->parts[i], t->columns, taps_of(t)}};
    p.source[i].data = files[i] + 1;
    p.rows += t->parts[i];
  }
  float *want = expected(t, p.rows, values);
  for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++) {
    p.dtype = dtypes[i];
    check_pack(t, &p, device, want);
  }
  free(want);
  // Wherever an infinity is, packing says so.
  for (int i = 0; i < t->stacked; i++) {
    size_t size = vc_dtype_size(t->from), bytes;
    vc_error error = {{0}};
    char *last = files[i] + 1 + size * ((size_t)(t->parts[i] * t->columns * taps_of(t)) - 1);
    float kept, bad;
    vc_from_float(&bad, t->from, &(float){INFINITY}, 1);
    memcpy(&kept, last, size);
    memcpy(last, &bad, size);
    cr_assert_eq(b->pack_bytes(&p, &bytes, NULL), VC_OK);
    char *memory = cuda_allocated(device, bytes);
    cr_expect_eq(b->pack(device, &p, memory, &error), VC_FAILED, "%s: source %d", t->name, i);
    cr_expect(strstr(error.message, "NaN"), "%s: %s", t->name, error.message);
    b->release(device, memory);
    memcpy(last, &kept, size);
  }
  for (int i = 0; i < t->stacked; i++) {
    free(values[i]);
    free(files[i]);
  }
}

Test(cuda_pack, parameters_are_packed) {
  vc_device *device = cuda_opened();
  for (size_t i = 0; i < sizeof pack_cases / sizeof *pack_cases; i++) run_pack(&pack_cases[i], device);
  b->close(device);
}

// More than the workspace holds at a time, in a number of values that no piece divides.
Test(cuda_pack, large_parameters_are_packed_in_pieces) {
  static const pack_case large = {"large matrix", VC_LAYOUT_LINEAR, VC_F32, 1, {2901}, 2903, {0}, false};
  vc_device *device = cuda_opened();
  cr_assert_gt(2901 * 2903 * sizeof(float), VC_CUDA_WORKSPACE);
  run_pack(&large, device);
  b->close(device);
}

Test(cuda_pack, wrong_parameters_are_refused) {
  float values[64] = {0};
  vc_pack good = {.layout = VC_LAYOUT_LINEAR, .dtype = VC_F16, .stacked = 1, .rows = 8, .columns = 8};
  good.source[0] = (vc_tensor){.dtype = VC_F32, .rank = 2, .dim = {8, 8}, .data = values};
  struct {
    vc_pack pack;
    vc_status status;
    const char *words;
  } cases[11];
  for (int i = 0; i < 11; i++) cases[i].pack = good, cases[i].status = VC_INVALID, cases[i].words = "";
  int n = 0;
  cases[n].pack.dtype = VC_I8, cases[n].status = VC_UNSUPPORTED, cases[n++].words = "I8";
  cases[n++].pack.rows = 0;
  cases[n++].pack.columns = -1;
  cases[n++].pack.rows = INT64_MAX / 2;
  cases[n].pack.stacked = 0, cases[n++].status = VC_UNSUPPORTED;
  cases[n].pack.stacked = VC_STACK_MAX + 1, cases[n++].status = VC_UNSUPPORTED;
  cases[n].pack.stacked = 2, cases[n].pack.transposed = true, cases[n++].status = VC_UNSUPPORTED;
  cases[n].pack.layout = VC_LAYOUT_ROWS, cases[n].pack.transposed = true, cases[n++].status = VC_UNSUPPORTED;
  cases[n].pack.layout = VC_LAYOUT_CONV, cases[n].status = VC_UNSUPPORTED, cases[n].words = "taps";
  for (int i = 0; i < 3; i++) cases[n].pack.kernel[i] = 100;
  n++;
  cases[n].pack.source[0].dtype = VC_I32, cases[n].status = VC_UNSUPPORTED, cases[n++].words = "I32";
  cases[n].pack.source[0].dim[0] = 7, cases[n++].words = "56";
  cr_assert_eq(n, 11);
  vc_device *device = cuda_opened();
  void *memory = cuda_allocated(device, 4096);
  for (int i = 0; i < n; i++) {
    vc_error error = {{0}};
    cr_expect_eq(b->pack(device, &cases[i].pack, memory, &error), cases[i].status, "case %d: %s", i, error.message);
    cr_expect(*error.message && strstr(error.message, cases[i].words), "case %d: '%s'", i, error.message);
  }
  b->release(device, memory);
  b->close(device);
}
#endif
