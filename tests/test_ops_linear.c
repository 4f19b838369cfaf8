// Linear layers against a plain loop in double.
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>

#include "tests/op_fixture.h"

typedef struct linear_case {
  const char *name;
  int64_t rows, c0, c1, c_out;
  int64_t x_stride;  // 0: dense
  vc_activation activation;
  bool bias, residual;
  int64_t rows_per_addend, addend_step;  // 0: no addend
  bool poison;                           // one input is NaN
} linear_case;

enum { STEP = 3 };

static const linear_case cases[] = {
    {.name = "plain", .rows = 64, .c0 = 48, .c_out = 96},
    {.name = "one of everything", .rows = 1, .c0 = 1, .c_out = 1, .bias = true},
    {.name = "one row", .rows = 1, .c0 = 331, .c_out = 703, .bias = true, .activation = VC_ACT_SILU},
    {.name = "one channel in", .rows = 37, .c0 = 1, .c_out = 5, .residual = true},
    {.name = "one channel out", .rows = 300, .c0 = 17, .c_out = 1, .bias = true, .activation = VC_ACT_SIGMOID},
    {.name = "several tiles, ragged", .rows = 523, .c0 = 77, .c_out = 645, .bias = true, .residual = true},
    {.name = "two inputs", .rows = 70, .c0 = 33, .c1 = 19, .c_out = 40, .bias = true, .activation = VC_ACT_GELU},
    {.name = "strided input", .rows = 150, .c0 = 24, .x_stride = 72, .c_out = 31},
    {.name = "strided and second",
     .rows = 29,
     .c0 = 24,
     .x_stride = 25,
     .c1 = 7,
     .c_out = 31,
     .activation = VC_ACT_RELU},
    {.name = "GEGLU", .rows = 90, .c0 = 40, .c_out = 160, .bias = true, .activation = VC_ACT_GEGLU},
    {.name = "GEGLU, ragged, no bias",
     .rows = 61,
     .c0 = 13,
     .c1 = 9,
     .c_out = 333,
     .residual = true,
     .activation = VC_ACT_GEGLU},
    {.name = "addend a video",
     .rows = 600,
     .c0 = 16,
     .c_out = 37,
     .rows_per_addend = 200,
     .bias = true,
     .residual = true},
    {.name = "addend a video and step",
     .rows = 35,
     .c0 = 16,
     .c_out = 37,
     .rows_per_addend = 7,
     .addend_step = 1000,
     .activation = VC_ACT_SILU},
    {.name = "a tile less one", .rows = 63, .c0 = 24, .c_out = 63, .bias = true},
    {.name = "a tile and one", .rows = 65, .c0 = 40, .c_out = 65, .residual = true},
    {.name = "a tile, four stages of k", .rows = 64, .c0 = 128, .c_out = 64, .bias = true},
    {.name = "a tile, five stages of k and a part", .rows = 64, .c0 = 168, .c_out = 64, .bias = true},
    {.name = "tiles of 160, two inputs that meet within 32 of k",
     .rows = 383,
     .c0 = 72,
     .c1 = 32,
     .c_out = 152,
     .bias = true,
     .residual = true},
    {.name = "tiles of 160, ragged", .rows = 385, .c0 = 64, .c_out = 131, .rows_per_addend = 90},
    {.name = "tiles of 160, GEGLU", .rows = 380, .c0 = 48, .c_out = 88, .bias = true, .activation = VC_ACT_GEGLU},
    {.name = "tiles of 128, strided", .rows = 500, .c0 = 40, .x_stride = 56, .c_out = 128, .activation = VC_ACT_SILU},
    {.name = "tiles of 128, GEGLU", .rows = 500, .c0 = 40, .c_out = 64, .residual = true, .activation = VC_ACT_GEGLU},
    {.name = "k split", .rows = 40, .c0 = 1504, .c_out = 56, .bias = true, .residual = true},
    {.name = "k split, ragged, two inputs",
     .rows = 33,
     .c0 = 1000,
     .c1 = 536,
     .c_out = 51,
     .rows_per_addend = 11,
     .activation = VC_ACT_GELU},
    {.name = "k split, GEGLU", .rows = 40, .c0 = 1504, .c_out = 27, .bias = true, .activation = VC_ACT_GEGLU},
    {.name = "NaN in a vector", .rows = 70, .c0 = 48, .c_out = 40, .bias = true, .poison = true},
    {.name = "NaN", .rows = 9, .c0 = 16, .c_out = 37, .bias = true, .activation = VC_ACT_RELU, .poison = true},
    {.name = "NaN through GEGLU", .rows = 9, .c0 = 16, .c_out = 37, .activation = VC_ACT_GEGLU, .poison = true},
};

static double row_product(const vc_linear *op, const float *weight, int64_t r, int64_t o) {
  int64_t c = op->c[0] + op->c[1];
  double sum = op->epilogue.bias ? (double)op->epilogue.bias[o] : 0;
  for (int64_t i = 0; i < c; i++) {
    float x = i < op->c[0] ? ((const float *)op->x[0])[r * op->x_stride + i]
                           : ((const float *)op->x[1])[r * op->c[1] + i - op->c[0]];
    sum += (double)x * (double)weight[o * c + i];
  }
  return sum;
}

static double *expected(const vc_linear *op, const float *weight) {
  const vc_epilogue *e = &op->epilogue;
  double *want = malloc((size_t)(op->rows * op->c_out) * sizeof *want);
  for (int64_t r = 0; r < op->rows; r++)
    for (int64_t o = 0; o < op->c_out; o++) {
      double v = row_product(op, weight, r, o);
      if (e->addend)
        v += (double)((const float *)e->addend)[(e->addend_step ? STEP * e->addend_step : 0) +
                                                r / e->rows_per_addend * op->c_out + o];
      if (e->activation == VC_ACT_GEGLU)
        v *= op_activated(VC_ACT_GELU, row_product(op, weight, r, op->c_out + o));
      else
        v = op_activated(e->activation, v);
      if (e->residual) v += (double)((const float *)e->residual)[r * op->c_out + o];
      want[r * op->c_out + o] = v;
    }
  return want;
}

static float rounded(float value) {
  return vc_bfloat_to_float(vc_float_to_bfloat(value));
}

// The inputs and the weight rounded to bf16, in copies.
static double *expected_in_bf16(const vc_linear *op, const float *weight) {
  int64_t outs = op->epilogue.activation == VC_ACT_GEGLU ? 2 * op->c_out : op->c_out, c = op->c[0] + op->c[1];
  vc_linear copy = *op;
  float *x[2], *w = malloc((size_t)(outs * c) * sizeof *w);
  for (int64_t i = 0; i < outs * c; i++) w[i] = rounded(weight[i]);
  for (int k = 0; k < 2; k++) {
    int64_t count = k ? op->rows * op->c[1] : (op->rows - 1) * op->x_stride + op->c[0];
    x[k] = malloc((size_t)count * sizeof *x[k] + 1);
    for (int64_t i = 0; i < count; i++) x[k][i] = rounded(((const float *)op->x[k])[i]);
    copy.x[k] = x[k];
  }
  double *want = expected(&copy, w);
  free(x[0]);
  free(x[1]);
  free(w);
  return want;
}

// `fine`: of values that take all the bits of F32.
static void run(const linear_case *t, bool fine) {
  float *(*values)(uint32_t, size_t, float, float) = fine ? op_values_fine : op_values;
  int64_t stride = t->x_stride ? t->x_stride : t->c0, c = t->c0 + t->c1;
  int64_t outs = t->activation == VC_ACT_GEGLU ? 2 * t->c_out : t->c_out;
  int64_t videos = t->rows_per_addend ? (t->rows + t->rows_per_addend - 1) / t->rows_per_addend : 0;
  const int32_t step = STEP;
  float *x0 = values(1, (size_t)(t->rows * stride), 1, 0), *x1 = values(2, (size_t)(t->rows * t->c1), 1, 0);
  float *weight = values(3, (size_t)(outs * c), 1, 0), *bias = op_values(4, (size_t)outs, 1, 0);
  float *residual = op_values(5, (size_t)(t->rows * t->c_out), 1, 0);
  float *addend = op_values(6, (size_t)(STEP * t->addend_step + videos * t->c_out), 1, 0);
  void *packed = op_packed(weight, outs, c, NULL);
  if (t->poison) x0[t->rows / 2 * stride + t->c0 / 2] = NAN;
  vc_linear op = {.dtype = VC_F32,
                  .rows = t->rows,
                  .x = {x0, t->c1 ? x1 : NULL},
                  .c = {t->c0, t->c1},
                  .x_stride = stride,
                  .c_out = t->c_out,
                  .weight = packed};
  op.epilogue = (vc_epilogue){.bias = t->bias ? bias : NULL,
                              .addend = videos ? addend : NULL,
                              .rows_per_addend = t->rows_per_addend,
                              .addend_step = t->addend_step,
                              .step = t->addend_step ? &step : NULL,
                              .activation = t->activation,
                              .residual = t->residual ? residual : NULL};
  double *want = expected(&op, weight), *want_bf16 = fine ? expected_in_bf16(&op, weight) : NULL;
  op_check_run(&(op_check){.name = t->name,
                           .kind = VC_OP_LINEAR,
                           .op = &op,
                           .out_at = offsetof(vc_linear, out),
                           .want = want,
                           .count = (size_t)(t->rows * t->c_out),
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

Test(ops_linear, match_a_plain_loop) {
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) run(cases + i, false);
}

Test(ops_linear, inputs_are_rounded_where_the_weight_is) {
  static const linear_case fine[] = {
      {.name = "fine", .rows = 70, .c0 = 45, .c_out = 130, .bias = true},
      {.name = "fine, two inputs", .rows = 270, .c0 = 997, .c1 = 301, .c_out = 37, .residual = true},
      {.name = "fine, GEGLU", .rows = 33, .c0 = 40, .x_stride = 41, .c_out = 51, .activation = VC_ACT_GEGLU},
  };
  for (size_t i = 0; i < sizeof fine / sizeof *fine; i++) run(fine + i, true);
}

// The planner may give the residual's memory to the output.
Test(ops_linear, the_residual_may_be_the_output) {
  enum { ROWS = 300, C = 40 };
  float *x = op_values(1, ROWS * C, 1, 0), *weight = op_values(2, C * C, 1, 0),
        *residual = op_values(3, ROWS * C, 1, 0);
  void *packed = op_packed(weight, C, C, NULL);
  vc_linear op = {.dtype = VC_F32, .rows = ROWS, .x = {x}, .c = {C}, .x_stride = C, .c_out = C, .weight = packed};
  op.epilogue.residual = residual;
  double *want = expected(&op, weight);
  op_check_run(&(op_check){.name = "in place of the residual",
                           .kind = VC_OP_LINEAR,
                           .op = &op,
                           .out_at = offsetof(vc_linear, out),
                           .in_place_at = offsetof(vc_linear, epilogue.residual),
                           .want = want,
                           .count = ROWS * C,
                           .tolerance = 1e-6});
  free(want);
  free(packed);
  free(residual);
  free(weight);
  free(x);
}

Test(ops_linear, wrong_arguments_are_refused) {
  const vc_linear good = {.dtype = VC_F32, .rows = 4, .c = {8, 0}, .x_stride = 8, .c_out = 8};
  vc_linear op = good;
  op.dtype = VC_F16;
  op_check_refused(VC_OP_LINEAR, &op, VC_UNSUPPORTED, "F16");
  op = good, op.weight_dtype = VC_F16;
  op_check_refused(VC_OP_LINEAR, &op, VC_UNSUPPORTED, "weights in F32 and BF16, not in F16");
  op = good, op.rows = 0;
  op_check_refused(VC_OP_LINEAR, &op, VC_INVALID, "0 rows");
  op = good, op.c_out = -1;
  op_check_refused(VC_OP_LINEAR, &op, VC_INVALID, "to -1");
  op = good, op.c[1] = -1;
  op_check_refused(VC_OP_LINEAR, &op, VC_INVALID, "8 + -1");
  op = good, op.x_stride = 7;
  op_check_refused(VC_OP_LINEAR, &op, VC_INVALID, "stride 7");
  op = good, op.rows = INT64_C(1) << 60;
  op_check_refused(VC_OP_LINEAR, &op, VC_INVALID, "rows");
  op = good, op.c_out = INT64_C(1) << 61;
  op_check_refused(VC_OP_LINEAR, &op, VC_INVALID, "channels");
  op = good, op.epilogue.activation = (vc_activation)99;
  op_check_refused(VC_OP_LINEAR, &op, VC_INVALID, "99");
  float addend[8] = {0};
  op = good, op.epilogue.addend = addend;
  op_check_refused(VC_OP_LINEAR, &op, VC_INVALID, "addend");
  op.epilogue.rows_per_addend = 1, op.epilogue.activation = VC_ACT_GEGLU;
  op_check_refused(VC_OP_LINEAR, &op, VC_UNSUPPORTED, "GEGLU");
}
