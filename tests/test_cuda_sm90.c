// The kernels of sm_90a for linear layers and convolutions, called one by one, against plain loops in double: every
// kind of tile, ragged edges, several tiles a block, split products, all epilogues.
#include <criterion/criterion.h>

#ifndef VC_CUDA_LINKED
Test(cuda_sm90, linear_and_conv) {
  cr_skip_test("this build has no CUDA backend; CUDA_ON_HOST=1 has");
}
#else
#include <stdlib.h>

#include "kernels/cuda/cuda.h"
#include "tests/cuda_operands.h"
#include "tests/op_fixture.h"

static vc_device *device;

static void open_device(void) {
  device = cuda_open_sm90();
}

static void close_device(void) {
  vc_backend_cuda.close(device);
}

TestSuite(cuda_sm90, .init = open_device, .fini = close_device, .timeout = 600);

// Fails unless the product is split exactly when it should be.
static void *put_workspace(const char *name, size_t bytes, bool splits) {
  cr_assert_eq(bytes > 0, splits, "%s: %zu bytes of workspace", name, bytes);
  return splits ? cuda_get(device, bytes) : NULL;
}

// ---- linear layers

typedef struct linear_case {
  const char *name;
  int multiprocessors;
  int64_t rows, c0, c1, x_stride, c_out;  // x_stride 0: dense
  bool splits;
  cuda_finish finish;
} linear_case;

static const linear_case linear_cases[] = {
    {"one large tile, exact", 1, 256, 64, 0, 0, 160, false, {0}},
    {"one vector of everything", 1, 1, 8, 0, 0, 8, false, {.bias = true}},
    {"large tiles, ragged, one block", 1, 300, 200, 0, 0, 312, false, {.bias = true, .residual = true}},
    {"large tiles, several blocks", 3, 700, 136, 0, 0, 328, false, {.bias = true, .activation = VC_ACT_GELU}},
    {"wide tiles, ragged", 1, 270, 328, 0, 0, 248, false, {.residual = true, .activation = VC_ACT_SILU}},
    {"small tiles", 4, 150, 72, 0, 0, 72, false, {.bias = true, .activation = VC_ACT_RELU}},
    {"small tiles, many a block", 2, 130, 456, 0, 0, 64, false, {.activation = VC_ACT_SIGMOID}},
    {"two inputs", 2, 140, 72, 40, 0, 96, false, {.bias = true}},
    {"two inputs, strided", 1, 260, 136, 200, 152, 160, false, {.bias = true, .residual = true}},
    {"strided", 3, 77, 24, 0, 72, 48, false, {0}},
    {"addend by row", 2, 270, 64, 0, 0, 160, false, {.rows_per_addend = 7, .bias = true}},
    {"addend by step", 2, 66, 64, 0, 0, 40, false, {VC_ACT_SILU, .rows_per_addend = 33, .addend_step = 1024}},
    {"GEGLU, exact", 1, 256, 64, 0, 0, 80, false, {.activation = VC_ACT_GEGLU, .bias = true}},
    {"GEGLU, ragged", 2, 333, 72, 16, 0, 168, false, {.activation = VC_ACT_GEGLU, .bias = true, .residual = true}},
    {"GEGLU, no bias", 2, 9, 320, 0, 0, 8, false, {.activation = VC_ACT_GEGLU}},
    {"split", 16, 200, 2120, 0, 0, 160, true, {.bias = true, .residual = true, .activation = VC_ACT_GELU}},
    {"split, two inputs", 12, 100, 520, 328, 0, 72, true, {.rows_per_addend = 50, .bias = true}},
    {"split GEGLU", 24, 260, 2120, 0, 0, 88, true, {.activation = VC_ACT_GEGLU, .bias = true, .residual = true}},
};

static double row_product(const linear_case *c, const float *const x[2], const float *weight, int64_t row,
                          int64_t column) {
  int64_t stride = c->x_stride ? c->x_stride : c->c0;
  const float *w = weight + column * (c->c0 + c->c1);
  double sum = 0;
  for (int64_t i = 0; i < c->c0; i++) sum += (double)x[0][row * stride + i] * (double)w[i];
  for (int64_t i = 0; i < c->c1; i++) sum += (double)x[1][row * c->c1 + i] * (double)w[c->c0 + i];
  return sum;
}

static void run_linear(const linear_case *c, vc_dtype dtype) {
  vc_error error = {{0}};
  int64_t stride = c->x_stride ? c->x_stride : c->c0,
          columns = c->c_out * (c->finish.activation == VC_ACT_GEGLU ? 2 : 1);
  size_t count = (size_t)(c->rows * c->c_out), xs = (size_t)((c->rows - 1) * stride + c->c0);
  float *x[2] = {op_values(1, xs, 1, 0), op_values(2, (size_t)(c->rows * c->c1) + 1, 1, 0)};
  float *weight = op_values(3, (size_t)(columns * (c->c0 + c->c1)), 0.25f, 0);
  cuda_finish_operands f = cuda_make_finish(device, &c->finish, c->rows, c->c_out, dtype);
  vc_linear op = {.dtype = dtype,
                  .rows = c->rows,
                  .c = {c->c0, c->c1},
                  .x_stride = stride,
                  .c_out = c->c_out,
                  .epilogue = f.on_device};
  op.x[0] = cuda_put(device, x[0], xs, dtype);
  if (c->c1) op.x[1] = cuda_put(device, x[1], (size_t)(c->rows * c->c1), dtype);
  op.weight = cuda_put_weight(device, weight, columns, c->c0 + c->c1, NULL, dtype);
  op.out = cuda_put_guarded(device, count * 2);
  device->multiprocessors = c->multiprocessors;
  cr_assert(vc_cuda_linear_wgmma_fits(device, &op), "%s: does not fit", c->name);
  op.workspace = put_workspace(c->name, vc_cuda_linear_wgmma_workspace(device, &op), c->splits);
  cr_assert_eq(vc_cuda_linear_wgmma(device, &op, &error), VC_OK, "%s: %s", c->name, error.message);
  double *want = malloc(count * sizeof *want);
  for (int64_t r = 0; r < c->rows; r++)
    for (int64_t o = 0; o < c->c_out; o++) {
      double gate = columns > c->c_out ? row_product(c, (const float *const *)x, weight, r, c->c_out + o) : 0;
      double v = row_product(c, (const float *const *)x, weight, r, o);
      want[r * c->c_out + o] = cuda_finished(&c->finish, &f, r, o, c->c_out, v, gate);
    }
  cuda_check(device, c->name, dtype, op.out, want, count);
  cuda_release_all(device);
  cuda_free_finish(&f);
  free(want);
  free(weight);
  free(x[0]);
  free(x[1]);
}

Test(cuda_sm90, linear) {
  for (size_t i = 0; i < sizeof linear_cases / sizeof *linear_cases; i++) {
    run_linear(&linear_cases[i], VC_F16);
    run_linear(&linear_cases[i], VC_BF16);
  }
  cr_assert_eq(vc_cuda_dispatched(device, VC_OP_LINEAR, "wgmma"), 2 * sizeof linear_cases / sizeof *linear_cases);
}

// ---- convolutions

typedef struct conv_case {
  const char *name;
  int multiprocessors;
  int64_t n, f, h, w, c0, c1, c_out;
  int upsample;
  int64_t kernel[3], stride[3], dilation, pad[3];
  int64_t more;  // rows and columns of out beyond those of equal padding on both sides
  bool splits;
  cuda_finish finish;
} conv_case;

static const conv_case conv_cases[] = {
    {"3x3, one box", 1, 1, 1, 16, 16, 64, 0, 160, 1, {1, 3, 3}, {1, 1, 1}, 1, {0, 1, 1}, 0, false, {0}},
    {"3x3, ragged",
     2,
     1,
     3,
     9,
     11,
     40,
     0,
     72,
     1,
     {1, 3, 3},
     {1, 1, 1},
     1,
     {0, 1, 1},
     0,
     false,
     {.bias = true, .residual = true}},
    {"3x3, two inputs",
     3,
     2,
     2,
     8,
     6,
     72,
     24,
     64,
     1,
     {1, 3, 3},
     {1, 1, 1},
     1,
     {0, 1, 1},
     0,
     false,
     {.bias = true, .rows_per_addend = 96, .activation = VC_ACT_SILU}},
    {"wide images", 1, 1, 1, 3, 300, 16, 0, 128, 1, {1, 3, 3}, {1, 1, 1}, 1, {0, 1, 1}, 0, false, {.bias = true}},
    {"1x1", 2, 1, 2, 13, 7, 136, 0, 40, 1, {1, 1, 1}, {1, 1, 1}, 1, {0, 0, 0}, 0, false, {.residual = true}},
    {"temporal", 2, 2, 5, 4, 4, 64, 0, 64, 1, {3, 1, 1}, {1, 1, 1}, 1, {1, 0, 0}, 0, false, {.bias = true}},
    {"3x3x3", 1, 1, 3, 5, 6, 24, 0, 48, 1, {3, 3, 3}, {1, 1, 1}, 1, {1, 1, 1}, 0, false, {0}},
    {"stride 2", 2, 2, 1, 14, 10, 48, 0, 80, 1, {1, 3, 3}, {1, 2, 2}, 1, {0, 1, 1}, 0, false, {.bias = true}},
    {"stride 2, padded behind",
     2,
     1,
     2,
     13,
     9,
     64,
     0,
     64,
     1,
     {1, 3, 3},
     {1, 2, 2},
     1,
     {0, 0, 0},
     1,
     false,
     {.bias = true}},
    {"stride 3, wide", 1, 1, 1, 4, 270, 8, 0, 16, 1, {1, 5, 5}, {1, 3, 3}, 1, {0, 2, 2}, 0, false, {0}},
    {"stride along frames", 1, 1, 7, 3, 4, 16, 0, 24, 1, {3, 1, 1}, {2, 1, 1}, 1, {1, 0, 0}, 0, false, {0}},
    {"dilated",
     2,
     1,
     1,
     12,
     13,
     32,
     0,
     32,
     1,
     {1, 3, 3},
     {1, 1, 1},
     3,
     {0, 3, 3},
     0,
     false,
     {.activation = VC_ACT_RELU}},
    {"enlarged", 3, 1, 2, 5, 7, 64, 0, 64, 2, {1, 3, 3}, {1, 1, 1}, 1, {0, 1, 1}, 0, false, {.bias = true}},
    {"enlarged, two inputs",
     1,
     2,
     1,
     8,
     8,
     16,
     72,
     160,
     2,
     {1, 3, 3},
     {1, 1, 1},
     1,
     {0, 1, 1},
     0,
     false,
     {.residual = true}},
    {"enlarged, odd", 2, 1, 1, 6, 5, 24, 0, 40, 2, {1, 4, 2}, {1, 1, 1}, 1, {0, 1, 0}, 0, false, {.bias = true}},
    {"split",
     16,
     2,
     3,
     4,
     4,
     264,
     0,
     64,
     1,
     {1, 3, 3},
     {1, 1, 1},
     1,
     {0, 1, 1},
     0,
     true,
     {.bias = true, .residual = true, .rows_per_addend = 16}},
    {"split, two inputs", 12, 1, 3, 8, 8, 72, 136, 160, 1, {1, 3, 3}, {1, 1, 1}, 1, {0, 1, 1}, 0, true, {.bias = true}},
};

static double pixel_of(const conv_case *c, const float *const x[2], int64_t n, int64_t f, int64_t h, int64_t w,
                       int64_t i) {
  int64_t up = c->upsample;
  if (f < 0 || f >= c->f || h < 0 || h >= c->h * up || w < 0 || w >= c->w * up) return 0;
  int64_t pixel = ((n * c->f + f) * c->h + h / up) * c->w + w / up;
  return (double)(i < c->c0 ? x[0][pixel * c->c0 + i] : x[1][pixel * c->c1 + i - c->c0]);
}

static double pixel_product(const conv_case *c, const vc_conv *op, const float *const x[2], const float *weight,
                            int64_t row, int64_t o) {
  int64_t w0 = row % op->w_out, h0 = row / op->w_out % op->h_out, f0 = row / op->w_out / op->h_out % op->f_out;
  int64_t n = row / op->w_out / op->h_out / op->f_out, channels = c->c0 + c->c1;
  const int64_t *k = c->kernel;
  double sum = 0;
  for (int64_t tap = 0; tap < k[0] * k[1] * k[2]; tap++) {
    int64_t f = f0 * c->stride[0] - c->pad[0] + tap / (k[1] * k[2]) * c->dilation;
    int64_t h = h0 * c->stride[1] - c->pad[1] + tap / k[2] % k[1] * c->dilation;
    int64_t w = w0 * c->stride[2] - c->pad[2] + tap % k[2] * c->dilation;
    for (int64_t i = 0; i < channels; i++)
      sum += pixel_of(c, x, n, f, h, w, i) * (double)weight[(o * channels + i) * k[0] * k[1] * k[2] + tap];
  }
  return sum;
}

static int64_t out_size(const conv_case *c, int axis, int64_t in) {
  int64_t size = (in + 2 * c->pad[axis] - c->dilation * (c->kernel[axis] - 1) - 1) / c->stride[axis] + 1;
  return axis ? size + c->more : size;
}

static vc_conv conv_op(const conv_case *c, vc_dtype dtype) {
  vc_conv op = {.dtype = dtype,
                .n = c->n,
                .f = c->f,
                .h = c->h,
                .w = c->w,
                .c = {c->c0, c->c1},
                .upsample = c->upsample,
                .groups = 1,
                .c_out = c->c_out};
  op.f_out = out_size(c, 0, c->f);
  op.h_out = out_size(c, 1, c->h * c->upsample);
  op.w_out = out_size(c, 2, c->w * c->upsample);
  for (int i = 0; i < 3; i++) {
    op.kernel[i] = c->kernel[i];
    op.stride[i] = c->stride[i];
    op.dilation[i] = c->dilation;
    op.pad[i] = c->pad[i];
  }
  return op;
}

static void run_conv(const conv_case *c, vc_dtype dtype) {
  vc_error error = {{0}};
  vc_conv op = conv_op(c, dtype);
  int64_t rows = op.n * op.f_out * op.h_out * op.w_out, pixels = c->n * c->f * c->h * c->w;
  size_t count = (size_t)(rows * c->c_out), taps = (size_t)(c->kernel[0] * c->kernel[1] * c->kernel[2]);
  float *x[2] = {op_values(1, (size_t)(pixels * c->c0), 1, 0), op_values(2, (size_t)(pixels * c->c1) + 1, 1, 0)};
  float *weight = op_values(3, (size_t)(c->c_out * (c->c0 + c->c1)) * taps, 0.25f, 0);
  cuda_finish_operands f = cuda_make_finish(device, &c->finish, rows, c->c_out, dtype);
  op.epilogue = f.on_device;
  op.x[0] = cuda_put(device, x[0], (size_t)(pixels * c->c0), dtype);
  if (c->c1) op.x[1] = cuda_put(device, x[1], (size_t)(pixels * c->c1), dtype);
  op.weight = cuda_put_weight(device, weight, c->c_out, c->c0 + c->c1, c->kernel, dtype);
  op.out = cuda_put_guarded(device, count * 2);
  device->multiprocessors = c->multiprocessors;
  cr_assert(vc_cuda_conv_wgmma_fits(device, &op), "%s: does not fit", c->name);
  op.workspace = put_workspace(c->name, vc_cuda_conv_wgmma_workspace(device, &op), c->splits);
  cr_assert_eq(vc_cuda_conv_wgmma(device, &op, &error), VC_OK, "%s: %s", c->name, error.message);
  double *want = malloc(count * sizeof *want);
  for (int64_t r = 0; r < rows; r++)
    for (int64_t o = 0; o < c->c_out; o++) {
      double v = pixel_product(c, &op, (const float *const *)x, weight, r, o);
      want[r * c->c_out + o] = cuda_finished(&c->finish, &f, r, o, c->c_out, v, 0);
    }
  cuda_check(device, c->name, dtype, op.out, want, count);
  cuda_release_all(device);
  cuda_free_finish(&f);
  free(want);
  free(weight);
  free(x[0]);
  free(x[1]);
}

Test(cuda_sm90, conv) {
  for (size_t i = 0; i < sizeof conv_cases / sizeof *conv_cases; i++) {
    run_conv(&conv_cases[i], VC_F16);
    run_conv(&conv_cases[i], VC_BF16);
  }
  cr_assert_eq(vc_cuda_dispatched(device, VC_OP_CONV, "wgmma"), 2 * sizeof conv_cases / sizeof *conv_cases);
}

// ---- what they leave to others

Test(cuda_sm90, what_linear_does_not_fit) {
  const vc_linear good = {.dtype = VC_F16, .rows = 100, .c = {64, 0}, .x_stride = 64, .c_out = 64};
  cr_assert(vc_cuda_linear_wgmma_fits(device, &good));
  vc_linear op = good;
#define REFUSED(change) \
  op = good;            \
  op.change;            \
  cr_expect_not(vc_cuda_linear_wgmma_fits(device, &op), "%s", #change)
  REFUSED(dtype = VC_F32);
  REFUSED(c[0] = 60);
  REFUSED(c[1] = 4);
  REFUSED(x_stride = 68);
  REFUSED(c_out = 4);
  REFUSED(x[0] = (void *)8);
  REFUSED(out = (void *)8);
  REFUSED(epilogue.bias = (void *)4);
  REFUSED(epilogue.addend_step = 4);
  REFUSED(rows = INT32_MAX);
#undef REFUSED
  device->major = 8;
  cr_expect_not(vc_cuda_linear_wgmma_fits(device, &good), "sm_80");
  device->major = 12;
  cr_expect_not(vc_cuda_linear_wgmma_fits(device, &good), "sm_120");
}

Test(cuda_sm90, what_conv_does_not_fit) {
  const conv_case *c = &conv_cases[0];
  const vc_conv good = conv_op(c, VC_BF16);
  cr_assert(vc_cuda_conv_wgmma_fits(device, &good));
  vc_conv op = good;
#define REFUSED(change) \
  op = good;            \
  op.change;            \
  cr_expect_not(vc_cuda_conv_wgmma_fits(device, &op), "%s", #change)
  REFUSED(dtype = VC_F32);
  REFUSED(c[0] = 60);
  REFUSED(c[1] = 4);
  REFUSED(c_out = 4);
  REFUSED(groups = 64);
  REFUSED(stride[1] = 9);
  REFUSED(epilogue.activation = VC_ACT_GEGLU);
  REFUSED(x[1] = (void *)8);
#undef REFUSED
  op = good;
  op.upsample = op.stride[1] = 2;
  cr_expect_not(vc_cuda_conv_wgmma_fits(device, &op), "enlarged with a stride");
}
#endif
