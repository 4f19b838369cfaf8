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

// A parameter packed in bf16: blocks of columns, in them pairs along k, in these the columns; zeros fill up the rest.
static void check_bf16(const pack_case *t, const vc_pack *p, const uint16_t *out, size_t bytes) {
  int64_t taps = p->layout == VC_LAYOUT_CONV ? p->kernel[0] * p->kernel[1] * p->kernel[2] : 1, first = 0;
  int64_t k_all = t->columns * taps, blocks = (p->rows + VC_CPU_BLOCK - 1) / VC_CPU_BLOCK;
  cr_assert_eq(bytes, (size_t)(blocks * VC_CPU_BLOCK * (k_all + k_all % 2)) * sizeof *out, "%s", t->name);
  uint16_t *want = calloc(bytes, 1);
  for (int i = 0; i < t->stacked; first += t->parts[i++]) {
    const vc_tensor *source = &p->source[i];
    for (int64_t e = 0; e < t->parts[i] * k_all; e++) {
      int64_t row = first + (t->transposed ? e % t->parts[i] : e / k_all);
      int64_t k = t->transposed ? e / t->parts[i] : e % taps * t->columns + e / taps % t->columns;
      float value;
      vc_to_float(&value, (char *)source->data + (size_t)e * vc_dtype_size(source->dtype), source->dtype, 1);
      want[((row / VC_CPU_BLOCK * ((k_all + 1) / 2) + k / 2) * VC_CPU_BLOCK + row % VC_CPU_BLOCK) * 2 + k % 2] =
          vc_float_to_bfloat(value);
    }
  }
  cr_expect(!memcmp(out, want, bytes), "%s: not what it should be in bf16", t->name);
  free(want);
}

static void run_pack(const pack_case *t, vc_device *device, vc_dtype dtype) {
  int64_t taps = t->layout == VC_LAYOUT_CONV ? t->kernel[0] * t->kernel[1] * t->kernel[2] : 1, rows = 0, first = 0;
  vc_pack p = {.layout = t->layout,
               .dtype = dtype,
               .stacked = t->stacked,
               .columns = t->columns,
               .kernel = {t->kernel[0], t->kernel[1], t->kernel[2]},
               .transposed = t->transposed};
  size_t size = vc_dtype_size(t->dtype), bytes;
  char *files[VC_STACK_MAX] = {NULL};
  for (int i = 0; i < t->stacked; i++) {
    size_t count = (size_t)(t->parts[i] * t->columns * taps);
    float *values = op_values_fine((uint32_t)i, count, 1, 0);
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
  // Of weights, a kernel of one channel stays as it is in fp32; so do vectors and rows.
  bool bf16 = dtype == VC_BF16 && (t->layout == VC_LAYOUT_LINEAR || (t->layout == VC_LAYOUT_CONV && t->columns > 1));
  if (!bf16) cr_assert_eq(bytes, (size_t)(rows * t->columns * taps) * sizeof(float), "%s", t->name);
  float *out = malloc(bytes + 4);
  memset(out, 0xff, bytes);
  out[bytes / 4] = 123;
  cr_assert_eq(vc_backend_cpu.pack(device, &p, out, &error), VC_OK, "%s: %s", t->name, error.message);
  cr_expect_eq(out[bytes / 4], 123.0f, "%s: wrote behind the parameter", t->name);
  if (bf16) check_bf16(t, &p, (uint16_t *)(void *)out, bytes);
  for (int i = 0; i < t->stacked && !bf16; first += t->parts[i++])
    for (int64_t e = 0; e < t->parts[i] * t->columns * taps; e++) {
      int64_t row = e / taps / t->columns, column = e / taps % t->columns;
      // A transposed source is [columns, rows]; the result is the same bytes.
      size_t at = t->transposed ? (size_t)e : place(t, rows, first + row, column, taps, e % taps);
      float want;
      vc_to_float(&want, (char *)p.source[i].data + (size_t)e * size, t->dtype, 1);
      cr_assert_eq(out[at], want, "%s: element %d of source %d", t->name, (int)e, i);
    }
  // Wherever a NaN or an infinity is, packing says so.
  for (int i = 0; i < t->stacked; i++) {
    size_t count = (size_t)(t->parts[i] * t->columns * taps), spots[] = {0, count / 2, count - 1};
    for (int k = 0; k < 3; k++) {
      char *at = files[i] + 1 + spots[k] * size;
      float kept, bad;
      vc_from_float(&bad, t->dtype, &(float){k ? -INFINITY : NAN}, 1);
      memcpy(&kept, at, size);
      memcpy(at, &bad, size);
      cr_expect_eq(vc_backend_cpu.pack(device, &p, out, &error), VC_FAILED, "%s: source %d, spot %d", t->name, i, k);
      cr_expect(strstr(error.message, "NaN"), "%s: %s", t->name, error.message);
      memcpy(at, &kept, size);
    }
  }
  free(out);
  for (int i = 0; i < t->stacked; i++) free(files[i]);
}

Test(cpu_device, parameters_are_packed) {
  static const char *const sets[] = {"generic", "avx2", "avx512", "avx512_bf16"};
  vc_device *device;
  vc_error error;
  cr_assert_eq(vc_cpu_open(&device, 2, &error), VC_OK);
  for (size_t s = 0; s < sizeof sets / sizeof *sets; s++) {
    if (!vc_cpu_use(device, sets[s])) continue;
    for (size_t i = 0; i < sizeof pack_cases / sizeof *pack_cases; i++) {
      run_pack(pack_cases + i, device, VC_F32);
      run_pack(pack_cases + i, device, VC_BF16);
    }
  }
  vc_backend_cpu.close(device);
}

// Every half, infinities and NaNs included, comes through both conversions alike.
Test(cpu_device, halves_are_converted_exactly) {
  static const char *const sets[] = {"generic", "avx2", "avx512", "avx512_bf16"};
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

Test(cpu_device, the_loops_are_those_that_were_asked_for) {
  static const char *const sets[] = {"generic", "avx2", "avx512", "avx512_bf16"};
  vc_device *device;
  vc_error error;
  cr_assert_eq(vc_cpu_open(&device, 1, &error), VC_OK);
  for (size_t s = 0; s < sizeof sets / sizeof *sets; s++) {
    if (!vc_cpu_use(device, sets[s])) continue;
    cr_expect_str_eq(vc_cpu_loops(device)->name, sets[s]);
    cr_expect_eq(vc_cpu_loops(device)->product_bf16 != NULL, !strcmp(sets[s], "avx512_bf16"), "%s", sets[s]);
  }
  cr_expect(!vc_cpu_use(device, "avx"));
  vc_backend_cpu.close(device);
}

// An odd number of values along k is filled up to pairs. What the op before has left in a thread's memory, NaNs here,
// must not show: neither through a linear layer nor through a convolution.
Test(cpu_device, what_an_op_leaves_in_memory_does_not_show_in_the_next) {
  enum { ROWS = 64, WIDE = 66, ODD = 33, OUT = 40 };
  static const char *const sets[] = {"generic", "avx512_bf16"};
  float *x = op_values(1, ROWS * WIDE, 1, 0), *weight = op_values(2, OUT * WIDE, 1, 0), out[ROWS * OUT];
  float *bad = malloc(ROWS * WIDE * sizeof *bad);
  for (int i = 0; i < ROWS * WIDE; i++) bad[i] = NAN;
  vc_device *device;
  vc_error error;
  cr_assert_eq(vc_cpu_open(&device, 1, &error), VC_OK);
  vc_linear linear = {.weight_dtype = VC_BF16, .rows = ROWS, .c_out = OUT, .out = out};
  vc_conv conv = {.weight_dtype = VC_BF16,
                  .n = 1,
                  .f = 1,
                  .h = 8,
                  .w = 8,
                  .c = {ODD},
                  .upsample = 1,
                  .groups = 1,
                  .c_out = OUT,
                  .f_out = 1,
                  .h_out = 8,
                  .w_out = 8,
                  .kernel = {1, 1, 1},
                  .stride = {1, 1, 1},
                  .dilation = {1, 1, 1},
                  .out = out};
  for (int k = 0; k < 2; k++) {
    vc_pack pack = {.layout = VC_LAYOUT_LINEAR, .dtype = VC_BF16, .stacked = 1, .rows = OUT, .columns = k ? ODD : WIDE};
    pack.source[0] = (vc_tensor){.dtype = VC_F32, .rank = 2, .dim = {OUT, pack.columns}, .data = weight};
    void **to = (void **)(uintptr_t)(k ? &conv.weight : &linear.weight);
    size_t bytes;
    cr_assert_eq(vc_backend_cpu.pack_bytes(&pack, &bytes, &error), VC_OK);
    cr_assert_eq(vc_backend_cpu.allocate(device, bytes, to, &error), VC_OK);
    cr_assert_eq(vc_backend_cpu.pack(device, &pack, *to, &error), VC_OK);
  }
  for (size_t s = 0; s < 2 * (sizeof sets / sizeof *sets); s++) {
    bool of_conv = s % 2;
    size_t wrong = 0;
    if (!vc_cpu_use(device, sets[s / 2])) continue;
    vc_linear first = linear, second = linear;
    first.x[0] = bad, first.c[0] = first.x_stride = WIDE;
    second.x[0] = conv.x[0] = x, second.c[0] = second.x_stride = ODD, second.weight = conv.weight;
    cr_assert_eq(vc_backend_cpu.linear(device, &first, &error), VC_OK);
    cr_assert(isnan(out[0]) && isnan(out[ROWS * OUT - 1]));
    cr_assert_eq(of_conv ? vc_backend_cpu.conv(device, &conv, &error) : vc_backend_cpu.linear(device, &second, &error),
                 VC_OK);
    for (int i = 0; i < ROWS * OUT; i++) wrong += !isfinite(out[i]);
    cr_expect_eq(wrong, 0, "%s, %s: %zu values are NaN", sets[s / 2], of_conv ? "conv" : "linear", wrong);
  }
  vc_backend_cpu.release(device, (void *)(uintptr_t)linear.weight);
  vc_backend_cpu.release(device, (void *)(uintptr_t)conv.weight);
  vc_backend_cpu.close(device);
  free(bad);
  free(weight);
  free(x);
}

// To nearest, and to even where two are as near; a NaN stays one, and infinity is what the largest floats become. Where
// there are instructions, subnormal numbers become zero.
Test(cpu_device, floats_are_rounded_to_bf16) {
  static const char *const sets[] = {"generic", "avx2", "avx512", "avx512_bf16"};
  static const uint32_t rest[] = {0, 1, 0x7fff, 0x8000, 0x8001, 0xffff};
  enum { EACH = sizeof rest / sizeof *rest, ALL = EACH << 16 };
  float *values = malloc(ALL * sizeof *values);
  uint16_t *out = malloc((ALL + 1) * sizeof *out);
  for (uint32_t i = 0; i < ALL; i++) {
    uint32_t bits = i / EACH << 16 | rest[i % EACH];
    memcpy(values + i, &bits, sizeof bits);
  }
  vc_device *device;
  vc_error error;
  cr_assert_eq(vc_cpu_open(&device, 1, &error), VC_OK);
  for (size_t s = 0; s < sizeof sets / sizeof *sets; s++) {
    if (!vc_cpu_use(device, sets[s])) continue;
    for (int64_t count = ALL; count > ALL - 40; count -= 13) {  // with all kinds of rests
      out[count] = 0xbeef;
      vc_cpu_loops(device)->round_bf16(out, values, count);
      cr_assert_eq(out[count], 0xbeef, "%s: wrote behind %d values", sets[s], (int)count);
      for (int64_t i = 0; i < count; i++) {
        float got = vc_bfloat_to_float(out[i]), want = vc_bfloat_to_float(vc_float_to_bfloat(values[i]));
        bool flushed = fpclassify(values[i]) == FP_SUBNORMAL && got == 0;
        cr_assert(isnan(want) ? isnan(got) : flushed || !memcmp(&got, &want, 4), "%s: %a becomes %a", sets[s],
                  (double)values[i], (double)got);
      }
    }
  }
  vc_backend_cpu.close(device);
  free(values);
  free(out);
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
