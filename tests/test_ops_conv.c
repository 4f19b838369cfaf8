// Convolutions against a plain loop in double.
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>

#include "tests/op_fixture.h"

typedef struct conv_case {
  const char *name;
  int64_t n, f, h, w, c0, c1, c_out;
  int64_t kernel[3], stride[3], dilation[3], pad[3];  // stride and dilation 0: 1
  int64_t after[3];                                   // padding behind the input, which decides the output's size
  int upsample;                                       // 0: 1
  bool depthwise, bias, residual, addend, poison;
  vc_activation activation;
} conv_case;

static const conv_case cases[] = {
    {"3x3", 2, 3, 8, 8, 16, 0, 32, {1, 3, 3}, .pad = {0, 1, 1}, .after = {0, 1, 1}, .bias = true},
    {"3x3, ragged, residual", 1, 2, 7, 5, 9, 0, 11, {1, 3, 3}, .pad = {0, 1, 1}, .after = {0, 1, 1}, .residual = true},
    {"3x3, several tiles and slabs", 1, 1, 12, 9, 110, 0, 350, {1, 3, 3}, .pad = {0, 1, 1}, .after = {0, 1, 1}},
    {"3x3, two inputs across a slab", 1, 2, 6, 6, 101, 57, 24, {1, 3, 3}, .pad = {0, 1, 1}, .after = {0, 1, 1}},
    {"3x3, addend a video, SiLU",
     3,
     2,
     5,
     4,
     6,
     0,
     8,
     {1, 3, 3},
     .pad = {0, 1, 1},
     .after = {0, 1, 1},
     .bias = true,
     .addend = true,
     .activation = VC_ACT_SILU},
    {"3x3, a slab that ends in the second input",
     1,
     1,
     5,
     6,
     37,
     121,
     24,
     {1, 3, 3},
     .pad = {0, 1, 1},
     .after = {0, 1, 1}},
    {"stride 2, padded on both sides", 1, 2, 8, 6, 5, 0, 7, {1, 3, 3}, {1, 2, 2}, .pad = {0, 1, 1}, .after = {0, 1, 1}},
    {"stride 2, odd size", 1, 1, 9, 7, 5, 0, 7, {1, 3, 3}, {1, 2, 2}, .pad = {0, 1, 1}, .after = {0, 1, 1}},
    {"stride 2, padded behind only", 2, 1, 8, 6, 5, 0, 7, {1, 3, 3}, {1, 2, 2}, .after = {0, 1, 1}},
    {"enlarged", 1, 2, 4, 3, 6, 0, 10, {1, 3, 3}, .pad = {0, 1, 1}, .after = {0, 1, 1}, .upsample = 2},
    {"enlarged, two inputs, 1x1", 1, 1, 4, 3, 6, 3, 10, {1, 1, 1}, .upsample = 2},
    {"dilation", 1, 1, 11, 9, 4, 0, 6, {1, 3, 3}, {1, 1, 1}, {1, 4, 2}, .pad = {0, 4, 2}, .after = {0, 4, 2}},
    {"7x7 of stride 2, three channels",
     1,
     2,
     13,
     12,
     3,
     0,
     16,
     {1, 7, 7},
     {1, 2, 2},
     .pad = {0, 3, 3},
     .after = {0, 3, 3},
     .activation = VC_ACT_RELU},
    {"16x16 patches", 1, 1, 32, 48, 3, 0, 20, {1, 16, 16}, .stride = {1, 16, 16}},
    {"1x1", 2, 2, 3, 5, 12, 0, 7, {1, 1, 1}, .bias = true, .activation = VC_ACT_GELU},
    {"1x1, two inputs", 1, 2, 4, 4, 20, 13, 9, .kernel = {1, 1, 1}},
    {"1x1 of stride 2", 1, 2, 5, 6, 8, 0, 9, {1, 1, 1}, .stride = {1, 2, 2}},
    {"3x1x1", 2, 5, 3, 4, 10, 0, 12, {3, 1, 1}, .pad = {1, 0, 0}, .after = {1, 0, 0}, .bias = true, .residual = true},
    {"3x1x1, one frame", 2, 1, 3, 4, 10, 0, 12, {3, 1, 1}, .pad = {1, 0, 0}, .after = {1, 0, 0}},
    {"3x1x1, many tiles", 1, 9, 12, 11, 6, 0, 5, {3, 1, 1}, .pad = {1, 0, 0}, .after = {1, 0, 0}},
    {"3x1x1, two inputs", 1, 4, 2, 3, 5, 6, 7, {3, 1, 1}, .pad = {1, 0, 0}, .after = {1, 0, 0}},
    {"3x1x1, causal", 1, 4, 2, 3, 5, 0, 7, {3, 1, 1}, .pad = {2, 0, 0}},
    {"3x1x1, dilated", 1, 6, 2, 2, 5, 0, 7, {3, 1, 1}, .dilation = {2, 1, 1}, .pad = {2, 0, 0}, .after = {2, 0, 0}},
    {"2x1x1, dilated past its padding", 1, 6, 2, 2, 5, 0, 7, {2, 1, 1}, .dilation = {3, 1, 1}, .pad = {2, 0, 0}},
    {"3x1x1, padded to more frames", 2, 3, 2, 2, 5, 0, 7, {3, 1, 1}, .pad = {3, 0, 0}, .after = {4, 0, 0}},
    {"3x1x1, padded behind to more frames", 2, 3, 2, 2, 5, 0, 7, {3, 1, 1}, .pad = {1, 0, 0}, .after = {4, 0, 0}},
    {"3x1x1 of stride 2", 1, 7, 2, 2, 5, 0, 7, {3, 1, 1}, {2, 1, 1}, .pad = {1, 0, 0}, .after = {1, 0, 0}},
    {"3x3x3", 1, 4, 5, 4, 3, 0, 4, {3, 3, 3}, .pad = {1, 1, 1}, .after = {1, 1, 1}},
    {"one of everything", 1, 1, 1, 1, 1, 0, 1, {1, 3, 3}, .pad = {0, 1, 1}, .after = {0, 1, 1}, .bias = true},
    {"depthwise 3x3",
     1,
     2,
     6,
     5,
     21,
     0,
     21,
     {1, 3, 3},
     .pad = {0, 1, 1},
     .after = {0, 1, 1},
     .depthwise = true,
     .activation = VC_ACT_RELU},
    {"depthwise 5x5, several tiles",
     1,
     1,
     20,
     15,
     350,
     0,
     350,
     {1, 5, 5},
     .pad = {0, 2, 2},
     .after = {0, 2, 2},
     .depthwise = true,
     .residual = true},
    {"3x3, tiles of 160, two inputs that meet within 32 of k",
     2,
     1,
     15,
     17,
     24,
     16,
     152,
     {1, 3, 3},
     .pad = {0, 1, 1},
     .after = {0, 1, 1},
     .bias = true,
     .residual = true},
    {"3x3, tiles of 128", 1, 2, 15, 17, 16, 0, 128, {1, 3, 3}, .pad = {0, 1, 1}, .after = {0, 1, 1}, .addend = true},
    {"3x3, several taps in 32 of k, enlarged",
     1,
     3,
     5,
     6,
     8,
     0,
     40,
     {1, 3, 3},
     .pad = {0, 1, 1},
     .after = {0, 1, 1},
     .upsample = 2},
    {"3x3, k split", 1, 2, 5, 4, 160, 0, 56, {1, 3, 3}, .pad = {0, 1, 1}, .after = {0, 1, 1}, .residual = true},
    {"3x3, k split, ragged", 2, 1, 5, 3, 152, 0, 45, {1, 3, 3}, .pad = {0, 1, 1}, .after = {0, 1, 1}, .addend = true},
    {"3x3, k split, two inputs", 1, 1, 5, 5, 160, 160, 32, {1, 3, 3}, .pad = {0, 1, 1}, .after = {0, 1, 1}},
    {"stride 2, dilated, in vectors",
     1,
     2,
     13,
     11,
     40,
     0,
     72,
     {1, 3, 3},
     {1, 2, 2},
     {1, 2, 3},
     .pad = {0, 1, 2},
     .after = {0, 2, 3},
     .activation = VC_ACT_SILU},
    {"3x1x1 in vectors", 2, 5, 4, 5, 24, 40, 64, {3, 1, 1}, .pad = {1, 0, 0}, .after = {1, 0, 0}, .bias = true},
    {"1x1 in vectors", 1, 2, 7, 5, 56, 0, 65, {1, 1, 1}, .bias = true, .residual = true},
    // What follows has the 512 pixels and 32 channels from which on the CPU goes by winograd.c.
    {"large 3x3", 1, 2, 16, 16, 32, 0, 40, {1, 3, 3}, .pad = {0, 1, 1}, .after = {0, 1, 1}, .bias = true},
    {"large 3x3, odd, two inputs, SiLU, residual",
     2,
     1,
     23,
     17,
     50,
     35,
     33,
     {1, 3, 3},
     .pad = {0, 1, 1},
     .after = {0, 1, 1},
     .bias = true,
     .residual = true,
     .activation = VC_ACT_SILU},
    {"large 3x3, enlarged, addend",
     2,
     2,
     7,
     9,
     36,
     0,
     64,
     {1, 3, 3},
     .pad = {0, 1, 1},
     .after = {0, 1, 1},
     .addend = true,
     .upsample = 2},
    {"large 3x3, padded before only", 1, 1, 24, 33, 32, 0, 48, {1, 3, 3}, .pad = {0, 1, 2}},
    {"large 3x3, no padding", 1, 1, 30, 25, 33, 0, 32, {1, 3, 3}, .bias = true},
    {"large 3x3, several slabs", 1, 2, 16, 18, 200, 0, 32, {1, 3, 3}, .pad = {0, 1, 1}, .after = {0, 1, 1}},
    {"large 3x3, several column tiles", 1, 2, 16, 16, 32, 0, 350, {1, 3, 3}, .pad = {0, 1, 1}, .after = {0, 1, 1}},
    {"NaN 3x3 in vectors", 1, 1, 9, 8, 32, 0, 40, {1, 3, 3}, .pad = {0, 1, 1}, .after = {0, 1, 1}, .poison = true},
    {"NaN 3x3", 1, 1, 6, 6, 8, 0, 9, {1, 3, 3}, .pad = {0, 1, 1}, .after = {0, 1, 1}, .poison = true},
    {"NaN 3x1x1", 1, 5, 3, 3, 8, 0, 9, {3, 1, 1}, .pad = {1, 0, 0}, .after = {1, 0, 0}, .poison = true},
    {"depthwise, stride 2, odd", 1, 3, 7, 7, 10, 0, 10, {1, 3, 3}, {1, 2, 2}, .depthwise = true, .bias = true},
    {"NaN depthwise",
     1,
     1,
     6,
     6,
     8,
     0,
     8,
     {1, 3, 3},
     .pad = {0, 1, 1},
     .after = {0, 1, 1},
     .depthwise = true,
     .poison = true},
};

// Value of channel i at a place of the enlarged and padded input.
static double input_at(const vc_conv *op, int64_t n, int64_t f, int64_t y, int64_t x, int64_t i) {
  if (f < 0 || f >= op->f || y < 0 || y >= op->h * op->upsample || x < 0 || x >= op->w * op->upsample) return 0;
  int64_t pixel = ((n * op->f + f) * op->h + y / op->upsample) * op->w + x / op->upsample;
  if (i < op->c[0]) return (double)((const float *)op->x[0])[pixel * op->c[0] + i];
  return (double)((const float *)op->x[1])[pixel * op->c[1] + i - op->c[0]];
}

static double value_at(const vc_conv *op, const float *weight, const int64_t at[4], int64_t o) {
  int64_t c = op->groups > 1 ? 1 : op->c[0] + op->c[1];
  double sum = op->epilogue.bias ? (double)op->epilogue.bias[o] : 0;
  for (int64_t i = 0; i < c; i++)
    for (int64_t kf = 0; kf < op->kernel[0]; kf++)
      for (int64_t ky = 0; ky < op->kernel[1]; ky++)
        for (int64_t kx = 0; kx < op->kernel[2]; kx++)
          sum += (double)weight[(((o * c + i) * op->kernel[0] + kf) * op->kernel[1] + ky) * op->kernel[2] + kx] *
                 input_at(op, at[0], at[1] * op->stride[0] - op->pad[0] + kf * op->dilation[0],
                          at[2] * op->stride[1] - op->pad[1] + ky * op->dilation[1],
                          at[3] * op->stride[2] - op->pad[2] + kx * op->dilation[2], op->groups > 1 ? o : i);
  return sum;
}

static double *expected(const vc_conv *op, const float *weight) {
  const vc_epilogue *e = &op->epilogue;
  int64_t rows = op->n * op->f_out * op->h_out * op->w_out;
  double *want = malloc((size_t)(rows * op->c_out) * sizeof *want);
  for (int64_t r = 0; r < rows; r++)
    for (int64_t o = 0; o < op->c_out; o++) {
      int64_t at[4] = {r / op->w_out / op->h_out / op->f_out, r / op->w_out / op->h_out % op->f_out,
                       r / op->w_out % op->h_out, r % op->w_out};
      double v = value_at(op, weight, at, o);
      if (e->addend) v += (double)((const float *)e->addend)[r / e->rows_per_addend * op->c_out + o];
      v = op_activated(e->activation, v);
      if (e->residual) v += (double)((const float *)e->residual)[r * op->c_out + o];
      want[r * op->c_out + o] = v;
    }
  return want;
}

// The inputs and the weight rounded to bf16, in copies. A kernel of one channel is not in it.
static double *expected_in_bf16(const vc_conv *op, const float *weight) {
  int64_t c = op->c[0] + op->c[1], pixels = op->n * op->f * op->h * op->w;
  int64_t weights = op->c_out * c * op->kernel[0] * op->kernel[1] * op->kernel[2];
  if (op->groups > 1 || c == 1) return expected(op, weight);
  vc_conv copy = *op;
  float *x[2], *w = malloc((size_t)weights * sizeof *w);
  for (int64_t i = 0; i < weights; i++) w[i] = vc_bfloat_to_float(vc_float_to_bfloat(weight[i]));
  for (int k = 0; k < 2; k++) {
    x[k] = malloc((size_t)(pixels * op->c[k]) * sizeof *x[k] + 1);
    for (int64_t i = 0; i < pixels * op->c[k]; i++)
      x[k][i] = vc_bfloat_to_float(vc_float_to_bfloat(((const float *)op->x[k])[i]));
    copy.x[k] = x[k];
  }
  double *want = expected(&copy, w);
  free(x[0]);
  free(x[1]);
  free(w);
  return want;
}

static int64_t size_out(const conv_case *t, int axis, int64_t size, int64_t stride, int64_t dilation) {
  return (size + t->pad[axis] + t->after[axis] - dilation * (t->kernel[axis] - 1) - 1) / stride + 1;
}

static vc_conv op_of(const conv_case *t) {
  vc_conv op = {.dtype = VC_F32,
                .n = t->n,
                .f = t->f,
                .h = t->h,
                .w = t->w,
                .c = {t->c0, t->c1},
                .upsample = t->upsample ? t->upsample : 1,
                .groups = t->depthwise ? t->c0 : 1,
                .c_out = t->c_out};
  for (int i = 0; i < 3; i++) {
    op.kernel[i] = t->kernel[i];
    op.stride[i] = t->stride[i] ? t->stride[i] : 1;
    op.dilation[i] = t->dilation[i] ? t->dilation[i] : 1;
    op.pad[i] = t->pad[i];
  }
  op.f_out = size_out(t, 0, op.f, op.stride[0], op.dilation[0]);
  op.h_out = size_out(t, 1, op.h * op.upsample, op.stride[1], op.dilation[1]);
  op.w_out = size_out(t, 2, op.w * op.upsample, op.stride[2], op.dilation[2]);
  return op;
}

// `fine`: of values that take all the bits of F32.
static void run(const conv_case *t, bool fine) {
  float *(*values)(uint32_t, size_t, float, float) = fine ? op_values_fine : op_values;
  vc_conv op = op_of(t);
  int64_t pixels = op.n * op.f * op.h * op.w, count = op.n * op.f_out * op.h_out * op.w_out * op.c_out;
  int64_t c = t->depthwise ? 1 : t->c0 + t->c1, taps = op.kernel[0] * op.kernel[1] * op.kernel[2];
  float *x0 = values(1, (size_t)(pixels * t->c0), 1, 0), *x1 = values(2, (size_t)(pixels * t->c1), 1, 0);
  float *weight = values(3, (size_t)(t->c_out * c * taps), 1, 0), *bias = op_values(4, (size_t)t->c_out, 1, 0);
  float *residual = op_values(5, (size_t)count, 1, 0), *addend = op_values(6, (size_t)(t->n * t->c_out), 1, 0);
  void *packed = op_packed(weight, t->c_out, c, op.kernel);
  if (t->poison) x0[pixels / 2 * t->c0 + t->c0 / 2] = NAN;
  op.x[0] = x0;
  op.x[1] = t->c1 ? x1 : NULL;
  op.weight = packed;
  op.epilogue = (vc_epilogue){.bias = t->bias ? bias : NULL,
                              .addend = t->addend ? addend : NULL,
                              .rows_per_addend = op.f_out * op.h_out * op.w_out,
                              .activation = t->activation,
                              .residual = t->residual ? residual : NULL};
  double *want = expected(&op, weight), *want_bf16 = fine ? expected_in_bf16(&op, weight) : NULL;
  // Outside the input stand zeros, not the absence of a tap: a NaN reaches the pixels around it and no others.
  op_check_run(&(op_check){.name = t->name,
                           .kind = VC_OP_CONV,
                           .op = &op,
                           .out_at = offsetof(vc_conv, out),
                           .want = want,
                           .count = (size_t)count,
                           .f32_only = fine,
                           .want_bf16 = want_bf16,
                           .tolerance = 1e-6});
  free(want_bf16);
  free(want);
  free(packed);
  free(addend);
  free(residual);
  free(bias);
  free(weight);
  free(x1);
  free(x0);
}

Test(ops_conv, match_a_plain_loop) {
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) run(cases + i, false);
}

// A convolution that the CPU makes in several passes, against its frames one by one, which are too small for that.
Test(ops_conv, passes_over_the_weight_agree_with_small_convolutions) {
  enum { C = 2080, C_OUT = 1024, SIDE = 16, FRAME = SIDE * SIDE };
  vc_conv op =
      op_of(&(conv_case){"passes", 1, 2, SIDE, SIDE, C, 0, C_OUT, {1, 3, 3}, .pad = {0, 1, 1}, .after = {0, 1, 1}});
  float *x = op_values_fine(1, 2 * FRAME * C, 1, 0), *weight = op_values_fine(2, (size_t)C_OUT * C * 9, 1, 0);
  float *out = malloc(2 * FRAME * C_OUT * sizeof *out), *frame = malloc(FRAME * C_OUT * sizeof *frame);
  double largest = 0, worst = 0;
  vc_device *device;
  vc_error error;
  size_t bytes, none;
  op.x[0] = x;
  op.weight = op_packed(weight, C_OUT, C, op.kernel);
  op.out = out;
  cr_assert_eq(vc_cpu_open(&device, 2, &error), VC_OK);
  cr_assert_eq(vc_backend_cpu.prepare(device, VC_OP_CONV, &op, &bytes, &error), VC_OK);
  cr_assert(bytes > 0 && bytes < 16 * sizeof(float) * C * C_OUT, "%zu bytes of workspace", bytes);
  op.workspace = malloc(bytes);
  cr_assert_eq(vc_backend_cpu.conv(device, &op, &error), VC_OK);
  for (int f = 0; f < 2; f++) {
    vc_conv one = op;
    one.f = one.f_out = 1;
    one.x[0] = x + f * FRAME * C;
    one.out = frame;
    one.workspace = NULL;
    cr_assert_eq(vc_backend_cpu.prepare(device, VC_OP_CONV, &one, &none, &error), VC_OK);
    cr_assert_eq(none, 0);
    cr_assert_eq(vc_backend_cpu.conv(device, &one, &error), VC_OK);
    for (int i = 0; i < FRAME * C_OUT; i++) {
      largest = fmax(largest, fabs((double)frame[i]));
      worst = fmax(worst, fabs((double)frame[i] - (double)out[f * FRAME * C_OUT + i]));
    }
  }
  cr_expect(worst <= 4e-6 * largest, "%g of %g", worst, largest);
  vc_backend_cpu.close(device);
  free(op.workspace);
  free((void *)(uintptr_t)op.weight);
  free(frame);
  free(out);
  free(weight);
  free(x);
}

// By tiles of 2 x 2 pixels, a NaN may reach a pixel more than its own neighbours on each side, and no others.
Test(ops_conv, a_nan_stays_near_where_it_was) {
  enum { C = 32, SIDE = 24, Y = 9, X = 14 };
  vc_conv op = op_of(&(conv_case){"nan", 1, 1, SIDE, SIDE, C, 0, C, {1, 3, 3}, .pad = {0, 1, 1}, .after = {0, 1, 1}});
  float *x = op_values(1, SIDE * SIDE * C, 1, 0), *weight = op_values(2, C * C * 9, 1, 0);
  float *out = malloc(SIDE * SIDE * C * sizeof *out);
  vc_device *device;
  vc_error error;
  size_t bytes;
  x[(Y * SIDE + X) * C + 5] = NAN;
  op.x[0] = x;
  op.weight = op_packed(weight, C, C, op.kernel);
  op.out = out;
  cr_assert_eq(vc_cpu_open(&device, 1, &error), VC_OK);
  cr_assert_eq(vc_backend_cpu.prepare(device, VC_OP_CONV, &op, &bytes, &error), VC_OK);
  cr_assert_gt(bytes, 0);
  op.workspace = malloc(bytes);
  cr_assert_eq(vc_backend_cpu.conv(device, &op, &error), VC_OK);
  for (int i = 0; i < SIDE * SIDE * C; i++) {
    int dy = abs(i / C / SIDE - Y), dx = abs(i / C % SIDE - X);
    if (dy <= 1 && dx <= 1) cr_expect(isnan(out[i]), "%d, %d", dy, dx);
    if (dy > 2 || dx > 2) cr_expect(isfinite(out[i]), "%d, %d", dy, dx);
  }
  vc_backend_cpu.close(device);
  free(op.workspace);
  free((void *)(uintptr_t)op.weight);
  free(out);
  free(weight);
  free(x);
}

Test(ops_conv, inputs_are_rounded_where_the_weight_is) {
  static const conv_case fine[] = {
      {"fine 3x3", 1, 2, 7, 5, 9, 0, 11, {1, 3, 3}, .pad = {0, 1, 1}, .after = {0, 1, 1}, .residual = true},
      {"fine 3x3, two inputs", 1, 2, 6, 6, 101, 57, 24, {1, 3, 3}, .pad = {0, 1, 1}, .after = {0, 1, 1}},
      {"fine 3x1x1", 2, 5, 3, 4, 33, 0, 12, {3, 1, 1}, .pad = {1, 0, 0}, .after = {1, 0, 0}, .bias = true},
      {"fine 3x3, one channel", 1, 2, 7, 5, 1, 0, 11, {1, 3, 3}, .pad = {0, 1, 1}, .after = {0, 1, 1}},
      {"fine depthwise", 1, 3, 7, 7, 10, 0, 10, {1, 3, 3}, {1, 2, 2}, .depthwise = true, .bias = true},
  };
  for (size_t i = 0; i < sizeof fine / sizeof *fine; i++) run(fine + i, true);
}

Test(ops_conv, wrong_arguments_are_refused) {
  const vc_conv good = op_of(&cases[0]);
  vc_conv op = good;
  op.dtype = VC_BF16;
  op_check_refused(VC_OP_CONV, &op, VC_UNSUPPORTED, "BF16");
  op = good, op.weight_dtype = VC_F16;
  op_check_refused(VC_OP_CONV, &op, VC_UNSUPPORTED, "weights in F32 and BF16, not in F16");
  op = good, op.w = 0;
  op_check_refused(VC_OP_CONV, &op, VC_INVALID, "not positive");
  op = good, op.stride[1] = 0;
  op_check_refused(VC_OP_CONV, &op, VC_INVALID, "not positive");
  op = good, op.dilation[2] = -1;
  op_check_refused(VC_OP_CONV, &op, VC_INVALID, "not positive");
  op = good, op.pad[0] = -1;
  op_check_refused(VC_OP_CONV, &op, VC_INVALID, "not positive");
  op = good, op.n = INT64_C(1) << 62;
  op_check_refused(VC_OP_CONV, &op, VC_INVALID, "too large");
  op = good, op.h = op.w = op.f = INT64_C(1) << 30;
  op_check_refused(VC_OP_CONV, &op, VC_INVALID, "too large");
  op = good, op.pad[1] = INT64_MAX;
  op_check_refused(VC_OP_CONV, &op, VC_INVALID, "too large");
  op = good, op.upsample = 3;
  op_check_refused(VC_OP_CONV, &op, VC_UNSUPPORTED, "enlarging by 3");
  op = good, op.groups = 2;
  op_check_refused(VC_OP_CONV, &op, VC_UNSUPPORTED, "2 groups");
  op = good, op.groups = op.c[0];
  op_check_refused(VC_OP_CONV, &op, VC_UNSUPPORTED, "groups");
  op = good, op.kernel[1] = op.kernel[2] = 100;
  op_check_refused(VC_OP_CONV, &op, VC_UNSUPPORTED, "taps");
  op = good, op.epilogue.activation = VC_ACT_GEGLU;
  op_check_refused(VC_OP_CONV, &op, VC_UNSUPPORTED, "GEGLU");
}
