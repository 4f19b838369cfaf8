// Which implementation a linear layer or convolution runs as on CUDA: by name, by rule and by measurement; that all
// give the same result.
#include <criterion/criterion.h>

#ifndef VC_CUDA_LINKED
Test(cuda_choose, implementations) {
  cr_skip_test("this build has no CUDA backend; CUDA_ON_HOST=1 has");
}
#else
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/cuda_ops.h"

static void spoil(cuda_op *r) {
  cudaMemsetAsync(cuda_op_out(r), 0xFF, r->out_count * vc_dtype_size(r->dtype), r->device->stream);
}

static double distance(const float *got, const float *want, size_t count) {
  double error = 0, size = 0;
  for (size_t i = 0; i < count; i++) {
    error += pow((double)got[i] - (double)want[i], 2);
    size += pow((double)want[i], 2);
  }
  return sqrt(error / size);
}

// ---- by name

static const cuda_shape shapes[] = {
    {"linear, plain", VC_OP_LINEAR, .rows = 130, .c0 = 64, .c_out = 72},
    {"linear, bias", VC_OP_LINEAR, .rows = 33, .c0 = 40, .c_out = 200, .bias = true},
    {"linear, residual", VC_OP_LINEAR, .rows = 64, .c0 = 128, .c_out = 64, .residual = true},
    {"linear, both", VC_OP_LINEAR, .rows = 257, .c0 = 64, .c_out = 64, .bias = true, .residual = true},
    {"linear, one row", VC_OP_LINEAR, .rows = 1, .c0 = 320, .c_out = 64, .bias = true},
    {"linear, strided", VC_OP_LINEAR, .rows = 90, .c0 = 32, .c_out = 64, .x_stride = 96, .bias = true},
    {"linear, ragged", VC_OP_LINEAR, .rows = 65, .c0 = 37, .c_out = 51, .bias = true},
    {"linear, two inputs", VC_OP_LINEAR, .rows = 65, .c0 = 64, .c1 = 32, .c_out = 64, .bias = true},
    {"linear, addend", VC_OP_LINEAR, .rows = 65, .c0 = 64, .c_out = 64, .bias = true, .addend = true},
    {"linear, GELU", VC_OP_LINEAR, .rows = 65, .c0 = 64, .c_out = 64, .bias = true, .activation = VC_ACT_GELU},
    {"linear, GEGLU", VC_OP_LINEAR, .rows = 65, .c0 = 64, .c_out = 64, .bias = true, .activation = VC_ACT_GEGLU},
    {.name = "3x3, everything",
     .kind = VC_OP_CONV,
     .n = 2,
     .f = 2,
     .h = 9,
     .w = 7,
     .c0 = 32,
     .c_out = 40,
     .kernel = {1, 3, 3},
     .pad = {0, 1, 1},
     .out = {2, 9, 7},
     .activation = VC_ACT_SILU,
     .bias = true,
     .residual = true,
     .addend = true},
    {.name = "3x3, stride 2",
     .kind = VC_OP_CONV,
     .n = 1,
     .f = 3,
     .h = 9,
     .w = 8,
     .c0 = 16,
     .c_out = 24,
     .kernel = {1, 3, 3},
     .stride = 2,
     .pad = {0, 1, 1},
     .out = {3, 5, 4}},
    {.name = "3x3, stride 2, zeros behind alone",
     .kind = VC_OP_CONV,
     .n = 1,
     .f = 1,
     .h = 8,
     .w = 6,
     .c0 = 16,
     .c_out = 16,
     .kernel = {1, 3, 3},
     .stride = 2,
     .out = {1, 4, 3},
     .bias = true},
    {.name = "3x1x1",
     .kind = VC_OP_CONV,
     .n = 2,
     .f = 5,
     .h = 4,
     .w = 3,
     .c0 = 32,
     .c_out = 32,
     .kernel = {3, 1, 1},
     .pad = {1, 0, 0},
     .out = {5, 4, 3},
     .bias = true,
     .residual = true},
    {.name = "1x1",
     .kind = VC_OP_CONV,
     .n = 1,
     .f = 2,
     .h = 5,
     .w = 9,
     .c0 = 64,
     .c_out = 32,
     .kernel = {1, 1, 1},
     .out = {2, 5, 9},
     .activation = VC_ACT_RELU},
    {.name = "1x1, more than all blocks take at once",
     .kind = VC_OP_CONV,
     .n = 1,
     .f = 1,
     .h = 60,
     .w = 62,
     .c0 = 8,
     .c_out = 72,
     .kernel = {1, 1, 1},
     .out = {1, 60, 62},
     .activation = VC_ACT_SIGMOID,
     .bias = true,
     .residual = true},
    {.name = "3x3, enlarged",
     .kind = VC_OP_CONV,
     .n = 1,
     .f = 1,
     .h = 4,
     .w = 5,
     .c0 = 16,
     .c_out = 16,
     .kernel = {1, 3, 3},
     .pad = {0, 1, 1},
     .out = {1, 8, 10},
     .upsample = 2,
     .bias = true},
    {.name = "3x3, four channels",
     .kind = VC_OP_CONV,
     .n = 1,
     .f = 2,
     .h = 6,
     .w = 6,
     .c0 = 4,
     .c_out = 16,
     .kernel = {1, 3, 3},
     .pad = {0, 1, 1},
     .out = {2, 6, 6},
     .bias = true},
};

enum { SHAPES = sizeof shapes / sizeof *shapes };

// Runs a shape as every variant. Sets in `ran` which could.
static void check_variants(vc_device *device, const cuda_shape *s, vc_dtype dtype, bool ran[CUDA_VARIANTS]) {
  double tolerance = dtype == VC_F32 ? 2e-6 : dtype == VC_F16 ? 1.5e-3 : 1.2e-2;
  cuda_op r = cuda_op_make(device, s, dtype);
  float *want = NULL;
  for (int i = 0; i < CUDA_VARIANTS; i++) {
    vc_error error = {{0}};
    uint64_t before = vc_cuda_dispatched(device, s->kind, cuda_variants[i]);
    spoil(&r);
    vc_status status = vc_cuda_run_variant(device, s->kind, cuda_variants[i], &r.op, &error);
    uint64_t runs = vc_cuda_dispatched(device, s->kind, cuda_variants[i]) - before;
    ran[i] = status == VC_OK;
    cr_expect_eq(runs, ran[i], "%s as %s: counted %d times", s->name, cuda_variants[i], (int)runs);
    if (!ran[i]) {
      cr_expect_eq(status, VC_UNSUPPORTED, "%s as %s: %s", s->name, cuda_variants[i], error.message);
      cr_expect(strstr(error.message, vc_op_name(s->kind)) && strstr(error.message, cuda_variants[i]), "%s",
                error.message);
      continue;
    }
    float *got = cuda_op_result(&r);
    if (!want) {
      want = got;
      continue;
    }
    double error_of = distance(got, want, r.out_count);
    cr_expect(error_of <= tolerance, "%s as %s in %s: %g from %s", s->name, cuda_variants[i], vc_dtype_name(dtype),
              error_of, cuda_variants[0]);
    free(got);
  }
  free(want);
  cuda_op_free(&r);
}

Test(cuda_choose, every_variant_gives_the_same_result) {
  static const char *const archs[] = {"80", "90"};
  static const vc_dtype dtypes[] = {VC_F32, VC_F16, VC_BF16};
  int runs[CUDA_VARIANTS] = {0};
  bool hopper = false;
  for (size_t a = 0; a < 2; a++) {
    vc_device *device = cuda_open_device(archs[a], VC_CUDA_OWN);
    hopper = hopper || device->major == 9;
    for (size_t t = 0; t < 3; t++)
      for (int i = 0; i < SHAPES; i++) {
        bool ran[CUDA_VARIANTS];
        check_variants(device, &shapes[i], dtypes[t], ran);
        cr_expect(ran[0], "%s: not on ordinary cores", shapes[i].name);
        for (int k = 0; k < CUDA_VARIANTS; k++) runs[k] += ran[k];
      }
    vc_backend_cuda.close(device);
  }
  for (int k = 0; k < CUDA_VARIANTS; k++)
    cr_expect(runs[k] >= (k == VC_CUDA_WGMMA && !hopper ? 0 : 12), "%s ran %d times", cuda_variants[k], runs[k]);
}

// Whether a vendor's library can run a shape; indices are those of `shapes`.
Test(cuda_choose, what_the_libraries_can_run) {
  static const struct {
    const char *name;
    bool runs;
  } cases[] = {{"linear, plain", true},
               {"linear, bias", true},
               {"linear, residual", true},
               {"linear, both", true},
               {"linear, one row", true},
               {"linear, strided", true},
               {"linear, ragged", false},
               {"linear, two inputs", false},
               {"linear, addend", false},
               {"linear, GELU", false},
               {"linear, GEGLU", false},
               {"3x3, everything", true},
               {"3x3, stride 2", true},
               {"3x3, stride 2, zeros behind alone", true},
               {"3x1x1", true},
               {"1x1", true},
               {"1x1, more than all blocks take at once", true},
               {"3x3, enlarged", false},
               {"3x3, four channels", false}};
  vc_device *device = cuda_open_device("90", VC_CUDA_OWN);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    const cuda_shape *s = &shapes[i];
    bool ran[CUDA_VARIANTS];
    cr_assert_str_eq(s->name, cases[i].name);
    check_variants(device, s, VC_F16, ran);
    cr_expect_eq(ran[s->kind == VC_OP_LINEAR ? VC_CUDA_CUBLASLT : VC_CUDA_CUDNN], cases[i].runs, "%s", s->name);
    cr_expect_not(ran[s->kind == VC_OP_LINEAR ? VC_CUDA_CUDNN : VC_CUDA_CUBLASLT], "%s", s->name);
  }
  vc_backend_cuda.close(device);
}

Test(cuda_choose, a_variant_that_does_not_exist) {
  vc_device *device = cuda_open_device("90", VC_CUDA_OWN);
  vc_error error = {{0}};
  cuda_op r = cuda_op_make(device, &cuda_small_linear, VC_F16);
  cr_expect_eq(vc_cuda_run_variant(device, VC_OP_LINEAR, "abacus", &r.op, &error), VC_UNSUPPORTED);
  cr_expect(strstr(error.message, "op linear") && strstr(error.message, "abacus"), "%s", error.message);
  r.op.linear.rows = -1;
  cr_expect_eq(vc_cuda_run_variant(device, VC_OP_LINEAR, "simt", &r.op, &error), VC_INVALID);
  cr_expect_eq(vc_cuda_linear(device, &r.op.linear, &error), VC_INVALID);
  cr_expect(strstr(error.message, "op linear"), "%s", error.message);
  cuda_op_free(&r);
  vc_backend_cuda.close(device);
}

// ---- by rule

// ---- by rule

static const cuda_shape large_linear = {"large linear", VC_OP_LINEAR, .rows = 4096,
                                        .c0 = 640,      .c_out = 640, .bias = true};
static const cuda_shape large_conv = {.name = "large conv",
                                      .kind = VC_OP_CONV,
                                      .n = 2,
                                      .f = 16,
                                      .h = 16,
                                      .w = 16,
                                      .c0 = 640,
                                      .c_out = 640,
                                      .kernel = {1, 3, 3},
                                      .pad = {0, 1, 1},
                                      .out = {16, 16, 16},
                                      .bias = true};

Test(cuda_choose, the_best_of_ours) {
  vc_device *device = cuda_open_device("90", VC_CUDA_OWN);
  const char *best = device->major == 9 ? "wgmma" : "mma";
  cuda_expect_choice(device, &large_linear, VC_F16, best);
  cuda_expect_choice(device, &large_conv, VC_BF16, best);
  cuda_expect_choice(device, &large_linear, VC_F32, "simt");
  cuda_expect_choice(device, &large_conv, VC_F32, "simt");
  vc_backend_cuda.close(device);
  device = cuda_open_device("80", VC_CUDA_OWN);
  if (device->major == 8) {
    cuda_expect_choice(device, &large_linear, VC_BF16, "mma");
    cuda_expect_choice(device, &large_conv, VC_F16, "mma");
  }
  vc_backend_cuda.close(device);
}

Test(cuda_choose, the_vendors_when_they_can) {
  vc_device *device = cuda_open_device("90", VC_CUDA_VENDOR);
  for (int i = 0; i < SHAPES; i++) {
    cuda_op r = cuda_op_make(device, &shapes[i], VC_F16);
    vc_error error;
    int vendor = shapes[i].kind == VC_OP_LINEAR ? VC_CUDA_CUBLASLT : VC_CUDA_CUDNN;
    bool can = vc_cuda_run_variant(device, r.kind, cuda_variants[vendor], &r.op, &error) == VC_OK;
    int chosen = cuda_variant_index(vc_cuda_chosen(device, r.kind, &r.op));
    cr_expect_eq(chosen == vendor, can, "%s: %s", shapes[i].name, cuda_variants[chosen]);
    uint64_t before = vc_cuda_dispatched(device, r.kind, cuda_variants[chosen]);
    cr_expect_eq(vc_op_run(&vc_backend_cuda, device, r.kind, &r.op, &error), VC_OK, "%s", error.message);
    cr_expect_eq(vc_cuda_dispatched(device, r.kind, cuda_variants[chosen]), before + 1, "%s", shapes[i].name);
    cuda_op_free(&r);
  }
  vc_backend_cuda.close(device);
}

// What was chosen without knowing the pointers gives way to one of ours when they rule it out.
Test(cuda_choose, pointers_can_rule_out_a_choice) {
  vc_device *device = cuda_open_device("90", VC_CUDA_VENDOR);
  vc_error error;
  cuda_op linear = cuda_op_make(device, &cuda_small_linear, VC_F16),
          conv = cuda_op_make(device, &cuda_small_conv, VC_F16);
  cr_expect_str_eq(vc_cuda_chosen(device, VC_OP_LINEAR, &linear.op), "cublaslt");
  cr_expect_str_eq(vc_cuda_chosen(device, VC_OP_CONV, &conv.op), "cudnn");
  conv.op.conv.epilogue.residual = conv.op.conv.out;
  cr_expect_str_neq(vc_cuda_chosen(device, VC_OP_CONV, &conv.op), "cudnn");
  cr_expect_eq(vc_cuda_conv(device, &conv.op.conv, &error), VC_OK, "%s", error.message);
  linear.op.linear.epilogue.residual = linear.op.linear.out;  // cuBLASLt's C may be its D
  cr_expect_str_eq(vc_cuda_chosen(device, VC_OP_LINEAR, &linear.op), "cublaslt");
  linear.op.linear.epilogue.residual = NULL;
  linear.op.linear.x[0] = (const char *)linear.op.linear.x[0] + 2;
  linear.op.linear.rows--;
  cr_expect_str_neq(vc_cuda_chosen(device, VC_OP_LINEAR, &linear.op), "cublaslt");
  cr_expect_eq(vc_cuda_linear(device, &linear.op.linear, &error), VC_OK, "%s", error.message);
  cr_expect_eq(vc_cuda_dispatched(device, VC_OP_LINEAR, "cublaslt"), 0);
  cr_expect_eq(vc_cuda_dispatched(device, VC_OP_CONV, "cudnn"), 0);
  cuda_op_free(&linear);
  cuda_op_free(&conv);
  vc_backend_cuda.close(device);
}

static void count_one(void *context, vc_op_kind kind, const int64_t *at, int dims, void *memory) {
  (void)kind;
  (void)at;
  (void)dims;
  (void)memory;
  ++*(int *)context;
}

static int remembered(const vc_device *device) {
  int count = 0;
  vc_cuda_each(device, count_one, &count);
  return count;
}

Test(cuda_choose, launches_allocate_and_remember_nothing) {
  vc_device *device = cuda_open_device("90", VC_CUDA_VENDOR);
  cuda_op r[2] = {cuda_op_make(device, &cuda_small_linear, VC_F16), cuda_op_make(device, &cuda_small_conv, VC_BF16)};
  vc_error error;
  for (int i = 0; i < 2; i++) {
    size_t allocated = device->allocated, peak = device->peak;
    int known = remembered(device);
    for (int run = 0; run < 3; run++)
      cr_expect_eq(vc_op_run(&vc_backend_cuda, device, r[i].kind, &r[i].op, &error), VC_OK, "%s", error.message);
    for (int v = 0; v < CUDA_VARIANTS; v++) vc_cuda_run_variant(device, r[i].kind, cuda_variants[v], &r[i].op, &error);
    cr_expect_eq(device->allocated, allocated);
    cr_expect_eq(device->peak, peak);
    // The epilogue of cuda_small_linear has a bias: both descriptions of it were made when it was prepared.
    cr_expect_eq(remembered(device), known);
  }
  cuda_op_free(&r[0]);
  cuda_op_free(&r[1]);
  vc_backend_cuda.close(device);
}

// ---- by measurement

Test(cuda_choose, a_measurement_leaves_nothing_behind) {
  vc_device *device = cuda_open_device("90", VC_CUDA_MEASURED);
  for (int i = 0; i < CUDA_MEASURABLE; i++) {
    size_t allocated = device->allocated, peak = device->peak, workspace;
    cuda_op r = cuda_op_plan(device, &cuda_measurable[i], VC_F16);
    cuda_op_prepare(&r, &workspace);
    cr_expect_eq(device->allocated, allocated);
    cr_expect_eq(device->peak, peak);
    for (int v = 0; v < CUDA_VARIANTS; v++)
      cr_expect_eq(vc_cuda_dispatched(device, r.kind, cuda_variants[v]), 0, "%s: %s", cuda_measurable[i].name,
                   cuda_variants[v]);
    const char *name = vc_cuda_chosen(device, r.kind, &r.op);
    r = cuda_op_make(device, &cuda_measurable[i], VC_F16);
    vc_error error;
    cr_expect_eq(vc_op_run(&vc_backend_cuda, device, r.kind, &r.op, &error), VC_OK, "%s", error.message);
    cr_expect_eq(vc_cuda_dispatched(device, r.kind, name), 1, "%s", name);
    float *values = cuda_op_result(&r);
    for (size_t k = 0; k < r.out_count; k++) cr_assert(isfinite(values[k]));
    free(values);
    cuda_op_free(&r);
    vc_backend_cuda.close(device);
    device = cuda_open_device("90", VC_CUDA_MEASURED);
  }
  vc_backend_cuda.close(device);
}

Test(cuda_choose, the_fastest_is_chosen_once) {
  vc_device *device = cuda_open_device("90", VC_CUDA_MEASURED);
  if (!cuda_on_host(device)) {
    vc_backend_cuda.close(device);
    cr_skip_test("clocks can be set on the host alone");
  }
  // By this clock all are equal, so that it is ours.
  cuda_expect_choice(device, &cuda_measurable[0], VC_F32, "simt");
  cuda_expect_choice(device, &cuda_measurable[2], VC_F32, "simt");
  setenv("CUDA_ON_HOST_CLOCK", "work", 1);
  cuda_expect_choice(device, &cuda_measurable[0], VC_F32, "simt");  // as before
  cuda_expect_choice(device, &cuda_measurable[0], VC_F16, "cublaslt");
  cuda_expect_choice(device, &cuda_measurable[2], VC_F16, "cudnn");
  cuda_expect_choice(device, &cuda_measurable[3], VC_BF16, "cudnn");
  cuda_expect_choice(device, &cuda_small_linear, VC_F32, "simt");  // too small to be measured
  unsetenv("CUDA_ON_HOST_CLOCK");
  cuda_expect_choice(device, &cuda_measurable[0], VC_F16, "cublaslt");
  vc_backend_cuda.close(device);
}

Test(cuda_choose, what_cannot_be_measured_goes_by_rule) {
  static const char *const failures[] = {"cudaMalloc", "cublasLtMatmul", "cublasLtMatmul:2",
                                         "cublasLtMatmulAlgoGetHeuristic:1", "cublasLtMatmulAlgoGetHeuristic:2"};
  setenv("CUDA_ON_HOST_CLOCK", "work", 1);
  for (size_t i = 0; i < sizeof failures / sizeof *failures; i++) {
    vc_device *device = cuda_open_device("90", VC_CUDA_MEASURED);
    if (!cuda_on_host(device)) {
      vc_backend_cuda.close(device);
      cr_skip_test("failures can be asked for on the host alone");
    }
    setenv("CUDA_ON_HOST_FAIL", failures[i], 1);
    cuda_expect_choice(device, &cuda_measurable[0], VC_F32, "simt");
    unsetenv("CUDA_ON_HOST_FAIL");
    cuda_op r = cuda_op_make(device, &cuda_measurable[0], VC_F32);
    vc_error error;
    cr_expect_eq(vc_cuda_linear(device, &r.op.linear, &error), VC_OK, "%s: %s", failures[i], error.message);
    cuda_op_free(&r);
    vc_backend_cuda.close(device);
  }
}
#endif
