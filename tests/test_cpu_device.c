// The CPU device: its pool of threads, its memory, and the packing of parameters.
#include <criterion/criterion.h>
#include <dirent.h>
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cpu/cpu.h"
#include "tests/op_fixture.h"

static int threads_of_process(void) {
  DIR *folder = opendir("/proc/self/task");
  int count = -2;  // . and ..
  while (folder && readdir(folder)) count++;
  if (folder) closedir(folder);
  return count;
}

static vc_status count_item(void *context, int64_t item, void *scratch) {
  atomic_int *counts = context;
  memset(scratch, (int)item, VC_CPU_SCRATCH);
  atomic_fetch_add(&counts[item], 1);
  return VC_OK;
}

Test(cpu_device, every_item_is_done_once) {
  enum { ITEMS = 100 };
  static atomic_int counts[ITEMS];
  vc_error error;
  for (int threads = 1; threads <= 5; threads += 2) {
    vc_device *device;
    cr_assert_eq(vc_cpu_open(&device, threads, &error), VC_OK);
    for (int64_t items = 0; items <= ITEMS; items += items < 4 ? 1 : 32) {
      memset(counts, 0, sizeof counts);
      cr_assert_eq(vc_cpu_parallel(device, items, count_item, counts), VC_OK);
      for (int i = 0; i < ITEMS; i++)
        cr_assert_eq(counts[i], i < items, "item %d of %d on %d threads", i, (int)items, threads);
    }
    vc_backend_cpu.close(device);
  }
}

static vc_status nothing(void *context, int64_t item, void *scratch) {
  (void)scratch;
  atomic_fetch_add((atomic_int *)context, (int)item);
  return VC_OK;
}

Test(cpu_device, many_short_jobs_do_not_lose_a_thread) {
  vc_device *device;
  vc_error error;
  atomic_int sum = 0;
  cr_assert_eq(vc_cpu_open(&device, 3, &error), VC_OK);
  for (int i = 0; i < 3000; i++) vc_cpu_parallel(device, 4, nothing, &sum);
  cr_expect_eq(sum, 3000 * 6);
  vc_backend_cpu.close(device);
}

static vc_status fail_some(void *context, int64_t item, void *scratch) {
  (void)context;
  (void)scratch;
  return item == 7 ? VC_NO_MEMORY : VC_OK;
}

Test(cpu_device, a_failed_item_is_reported_once) {
  vc_device *device;
  vc_error error;
  atomic_int sum = 0;
  cr_assert_eq(vc_cpu_open(&device, 2, &error), VC_OK);
  cr_expect_eq(vc_cpu_parallel(device, 20, fail_some, NULL), VC_NO_MEMORY);
  cr_expect_eq(vc_cpu_parallel(device, 4, nothing, &sum), VC_OK);
  cr_expect_eq(vc_cpu_failed(VC_NO_MEMORY, VC_OP_CONV, &error), VC_NO_MEMORY);
  cr_expect(strstr(error.message, "op conv"), "%s", error.message);
  vc_backend_cpu.close(device);
}

// The matrix library must stay on the thread that calls it: no team of its own beside the pool.
Test(cpu_device, products_start_no_threads) {
  enum { SIZE = 700 };
  float *x = op_values(1, SIZE * SIZE, 1, 0), *out = malloc(SIZE * SIZE * sizeof *out);
  void *packed = op_packed(x, SIZE, SIZE, NULL);
  vc_device *device;
  vc_error error;
  cr_assert_eq(vc_cpu_open(&device, 2, &error), VC_OK);
  int before = threads_of_process();
  vc_linear op = {.dtype = VC_F32,
                  .rows = SIZE,
                  .x = {x},
                  .c = {SIZE},
                  .x_stride = SIZE,
                  .c_out = SIZE,
                  .weight = packed,
                  .out = out};
  cr_assert_eq(vc_backend_cpu.linear(device, &op, &error), VC_OK);
  cr_expect_eq(threads_of_process(), before);
  vc_backend_cpu.close(device);
  cr_expect_eq(threads_of_process(), before - 1);
  free(packed);
  free(out);
  free(x);
}

Test(cpu_device, memory_is_aligned_and_holds_what_is_uploaded) {
  static const size_t sizes[] = {0, 1, 255, 256, 1000003};
  vc_device *device;
  vc_error error;
  cr_assert_eq(vc_cpu_open(&device, 0, &error), VC_OK);
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    void *memory;
    cr_assert_eq(vc_backend_cpu.allocate(device, sizes[i], &memory, &error), VC_OK);
    cr_expect_eq((uintptr_t)memory % 256, 0);
    float *from = op_values(1, sizes[i] / 4 + 1, 1, 0), *back = calloc(sizes[i] + 1, 1);
    cr_expect_eq(vc_backend_cpu.upload(device, memory, from, sizes[i], &error), VC_OK);
    cr_expect_eq(vc_backend_cpu.wait(device, &error), VC_OK);
    cr_expect_eq(vc_backend_cpu.download(device, back, memory, sizes[i], &error), VC_OK);
    cr_expect(!memcmp(from, back, sizes[i]));
    free(back);
    free(from);
    vc_backend_cpu.release(device, memory);
  }
  void *memory = &error;
  cr_expect_eq(vc_backend_cpu.allocate(device, SIZE_MAX - 10, &memory, &error), VC_NO_MEMORY);
  cr_expect_null(memory);
  vc_backend_cpu.release(device, NULL);
  vc_backend_cpu.close(device);
  vc_backend_cpu.close(NULL);
}

Test(cpu_device, absurd_thread_counts_are_refused) {
  vc_device *device;
  vc_error error;
  cr_expect_eq(vc_cpu_open(&device, -1, &error), VC_INVALID);
  cr_expect_eq(vc_cpu_open(&device, 1 << 20, &error), VC_INVALID);
  cr_expect(strstr(error.message, "1048576 threads"), "%s", error.message);
}

typedef struct pack_case {
  const char *name;
  vc_layout layout;
  vc_dtype dtype;  // of the sources
  int stacked;
  int64_t parts[VC_STACK_MAX];  // rows of each source
  int64_t columns, kernel[3];
  bool transposed;
} pack_case;

static const pack_case pack_cases[] = {
    {"vector", VC_LAYOUT_VECTOR, VC_F16, 1, {70001}, 1, {0}, false},
    {"vector of halves, short", VC_LAYOUT_VECTOR, VC_F16, 1, {5}, 1, {0}, false},
    {"joined vectors", VC_LAYOUT_VECTOR, VC_F32, 3, {5, 6, 9}, 1, {0}, false},
    {"rows", VC_LAYOUT_ROWS, VC_BF16, 1, {30}, 17, {0}, false},
    {"matrix", VC_LAYOUT_LINEAR, VC_F16, 1, {131}, 530, {0}, false},
    {"one value", VC_LAYOUT_LINEAR, VC_BF16, 1, {1}, 1, {0}, false},
    {"joined matrices", VC_LAYOUT_LINEAR, VC_F16, 3, {65, 64, 3}, 33, {0}, false},
    {"transposed matrix", VC_LAYOUT_LINEAR, VC_F32, 1, {40}, 61, {0}, true},
    {"kernel", VC_LAYOUT_CONV, VC_F16, 1, {70}, 300, {1, 3, 3}, false},
    {"kernel along frames", VC_LAYOUT_CONV, VC_F32, 1, {9}, 5, {3, 1, 1}, false},
    {"depthwise kernel", VC_LAYOUT_CONV, VC_BF16, 1, {90}, 1, {1, 5, 5}, false},
    {"large patches", VC_LAYOUT_CONV, VC_F16, 1, {66}, 3, {1, 60, 64}, false},
};

// Where element (row, column, tap) of the joined parameter must lie.
static size_t place(const pack_case *t, int64_t rows, int64_t row, int64_t column, int64_t taps, int64_t tap) {
  if (t->layout == VC_LAYOUT_CONV) return (size_t)((tap * t->columns + column) * rows + row);
  if (t->layout == VC_LAYOUT_LINEAR) return (size_t)(column * rows + row);
  return (size_t)((row * t->columns + column) * taps + tap);
}

static void run_pack(const pack_case *t, vc_device *device) {
  int64_t taps = t->layout == VC_LAYOUT_CONV ? t->kernel[0] * t->kernel[1] * t->kernel[2] : 1, rows = 0, first = 0;
  vc_pack p = {.layout = t->layout,
               .dtype = VC_F32,
               .stacked = t->stacked,
               .columns = t->columns,
               .kernel = {t->kernel[0], t->kernel[1], t->kernel[2]},
               .transposed = t->transposed};
  size_t size = vc_dtype_size(t->dtype), bytes;
  char *files[VC_STACK_MAX] = {NULL};
  for (int i = 0; i < t->stacked; i++) {
    size_t count = (size_t)(t->parts[i] * t->columns * taps);
    float *values = op_values((uint32_t)i, count, 1, 0);
    files[i] = malloc(count * size + 1);
    char *aligned = malloc(count * size + 1);
    vc_from_float(aligned, t->dtype, values, count);
    memcpy(files[i] + 1, aligned, count * size);  // a mapped file need not align its tensors
    p.source[i] = (vc_tensor){.dtype = t->dtype, .rank = 3, .dim = {t->parts[i], t->columns, taps}};
    p.source[i].data = files[i] + 1;
    p.rows += t->parts[i];
    free(aligned);
    free(values);
  }
  rows = p.rows;
  vc_error error = {{0}};
  cr_assert_eq(vc_backend_cpu.pack_bytes(&p, &bytes, &error), VC_OK, "%s: %s", t->name, error.message);
  cr_assert_eq(bytes, (size_t)(rows * t->columns * taps) * sizeof(float), "%s", t->name);
  float *out = malloc(bytes + 4);
  out[bytes / 4] = 123;
  cr_assert_eq(vc_backend_cpu.pack(device, &p, out, &error), VC_OK, "%s: %s", t->name, error.message);
  cr_expect_eq(out[bytes / 4], 123.0f, "%s: wrote behind the parameter", t->name);
  for (int i = 0; i < t->stacked; first += t->parts[i++])
    for (int64_t e = 0; e < t->parts[i] * t->columns * taps; e++) {
      int64_t row = e / taps / t->columns, column = e / taps % t->columns;
      // A transposed source is [columns, rows]; the result is the same bytes.
      size_t at = t->transposed ? (size_t)e : place(t, rows, first + row, column, taps, e % taps);
      float want;
      vc_to_float(&want, (char *)p.source[i].data + (size_t)e * size, t->dtype, 1);
      cr_assert_eq(out[at], want, "%s: element %d of source %d", t->name, (int)e, i);
    }
  free(out);
  for (int i = 0; i < t->stacked; i++) free(files[i]);
}

Test(cpu_device, parameters_are_packed) {
  static const char *const sets[] = {"generic", "avx2", "avx512"};
  vc_device *device;
  vc_error error;
  cr_assert_eq(vc_cpu_open(&device, 2, &error), VC_OK);
  for (size_t s = 0; s < sizeof sets / sizeof *sets; s++) {
    if (!vc_cpu_use(device, sets[s])) continue;
    for (size_t i = 0; i < sizeof pack_cases / sizeof *pack_cases; i++) run_pack(pack_cases + i, device);
  }
  vc_backend_cpu.close(device);
}

// Every half, infinities and NaNs included, comes through both conversions alike.
Test(cpu_device, halves_are_converted_exactly) {
  static const char *const sets[] = {"generic", "avx2", "avx512"};
  enum { ALL = 1 << 16 };
  uint16_t *halves = malloc(ALL * sizeof *halves);
  float *out = malloc(ALL * sizeof *out);
  for (int i = 0; i < ALL; i++) halves[i] = (uint16_t)i;
  vc_device *device;
  vc_error error;
  cr_assert_eq(vc_cpu_open(&device, 1, &error), VC_OK);
  for (size_t s = 0; s < sizeof sets / sizeof *sets; s++) {
    if (!vc_cpu_use(device, sets[s])) continue;
    vc_cpu_loops(device)->half_to_float(out, halves, ALL);
    for (int i = 0; i < ALL; i++) {
      float want = vc_half_to_float((uint16_t)i);
      cr_assert(isnan(want) ? isnan(out[i]) : !memcmp(&out[i], &want, 4), "%s: half %04x", sets[s], (unsigned)i);
    }
  }
  vc_backend_cpu.close(device);
  free(out);
  free(halves);
}

static void expect_pack_refused(const vc_pack *p, vc_status status, const char *words) {
  vc_device *device;
  vc_error error = {{0}};
  float to[64];
  cr_assert_eq(vc_cpu_open(&device, 1, &error), VC_OK);
  vc_status got = vc_backend_cpu.pack(device, p, to, &error);
  cr_expect_eq(got, status, "'%s': status %d with '%s'", words, (int)got, error.message);
  cr_expect(strstr(error.message, words), "'%s' is not in '%s'", words, error.message);
  vc_backend_cpu.close(device);
}

Test(cpu_device, parameters_that_do_not_fit_are_refused) {
  float data[64] = {0};
  const vc_pack good = {.layout = VC_LAYOUT_LINEAR,
                        .dtype = VC_F32,
                        .stacked = 1,
                        .rows = 4,
                        .columns = 4,
                        .source = {{.dtype = VC_F32, .rank = 2, .dim = {4, 4}, .data = data}}};
  vc_pack p = good;
  p.layout = (vc_layout)9;
  expect_pack_refused(&p, VC_INVALID, "layout");
  p = good, p.dtype = VC_F16;
  expect_pack_refused(&p, VC_UNSUPPORTED, "F16");
  p = good, p.rows = 0;
  expect_pack_refused(&p, VC_INVALID, "empty");
  p = good, p.rows = p.columns = INT64_C(1) << 31;
  expect_pack_refused(&p, VC_INVALID, "too large");
  p = good, p.stacked = 0;
  expect_pack_refused(&p, VC_UNSUPPORTED, "0 sources");
  p = good, p.stacked = 4;
  expect_pack_refused(&p, VC_UNSUPPORTED, "4 sources");
  p = good, p.layout = VC_LAYOUT_ROWS, p.transposed = true;
  expect_pack_refused(&p, VC_UNSUPPORTED, "transposed");
  p = good, p.layout = VC_LAYOUT_CONV, p.transposed = true, p.kernel[0] = 1, p.kernel[1] = p.kernel[2] = 300;
  expect_pack_refused(&p, VC_UNSUPPORTED, "taps");
  p = good, p.source[0].dtype = VC_I32;
  expect_pack_refused(&p, VC_UNSUPPORTED, "I32");
  p = good, p.source[0].data = NULL;
  expect_pack_refused(&p, VC_INVALID, "source 0");
  p = good, p.source[0].dim[0] = 3;
  expect_pack_refused(&p, VC_INVALID, "12 values");
  p = good, p.source[0].dim[0] = 5;
  expect_pack_refused(&p, VC_INVALID, "source 0");
  p = good, p.source[0].dim[1] = 3;
  expect_pack_refused(&p, VC_INVALID, "12 values");
  p = good, p.source[0].dim[0] = -4, p.source[0].dim[1] = -4;
  expect_pack_refused(&p, VC_INVALID, "source 0");
}
