// Transposed convolution, maximum pool, bilinear resize and gate against plain loops in double.
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>

#include "tests/op_fixture.h"

// ---- transposed convolution

typedef struct transpose_case {
  const char *name;
  int64_t frames, h, w, c, c_out, kernel, stride, pad;
  bool bias, poison;
  vc_activation activation;
} transpose_case;

static const transpose_case transposes[] = {
    {"4 by 4", 2, 3, 5, 16, 12, 4, 4, 0, .bias = true},
    {"2 by 2, ReLU", 1, 6, 5, 9, 7, 2, 2, 0, .bias = true, .activation = VC_ACT_RELU},
    {"1x1", 2, 3, 4, 5, 3, 1, 1, 0, .bias = false},
    {"4 of stride 2 with padding", 2, 5, 6, 20, 24, 4, 2, 1, .bias = true, .activation = VC_ACT_RELU},
    {"4 of stride 2, several tiles", 1, 15, 17, 33, 350, 4, 2, 1, .bias = true},
    {"several slabs", 1, 3, 2, 1930, 5, 2, 2, 0, .bias = true},
    {"3 of stride 1, sigmoid", 1, 6, 5, 4, 6, 3, 1, 1, .activation = VC_ACT_SIGMOID},
    {"3 of stride 2: phases of different sizes", 2, 5, 4, 6, 5, 3, 2, 0, .bias = true},
    {"5 of stride 3 with padding", 1, 4, 7, 3, 2, 5, 3, 2, .bias = true},
    {"2 of stride 3: gaps", 1, 4, 3, 3, 2, 2, 3, 0, .bias = true},
    {"one of everything", 1, 1, 1, 1, 1, 4, 2, 1, .bias = true},
    {"4 of stride 2 in vectors, several tiles", 2, 16, 17, 40, 152, 4, 2, 1, .bias = true},
    {"2 by 2 in vectors, several tiles, ragged", 1, 19, 20, 72, 125, 2, 2, 0, .activation = VC_ACT_RELU},
    {"2 of stride 3 in vectors: gaps", 2, 4, 3, 16, 10, 2, 3, 0, .bias = true},
    {"NaN", 1, 5, 5, 6, 7, 4, 2, 1, .poison = true},
};

static double activated(vc_activation activation, double v) {
  if (activation == VC_ACT_RELU) return v < 0 ? 0 : v;
  if (activation == VC_ACT_SIGMOID) return 1 / (1 + exp(-v));
  return v;
}

// As it is defined: every input pixel is spread over the output.
static double *spread(const vc_conv_transpose *op, const float *weight) {
  int64_t rows = op->frames * op->h_out * op->w_out;
  double *out = malloc((size_t)(rows * op->c_out) * sizeof *out);
  for (int64_t i = 0; i < rows * op->c_out; i++) out[i] = op->bias ? (double)op->bias[i % op->c_out] : 0;
  for (int64_t pixel = 0; pixel < op->frames * op->h * op->w; pixel++)
    for (int64_t ky = 0; ky < op->kernel; ky++)
      for (int64_t kx = 0; kx < op->kernel; kx++) {
        int64_t y = pixel / op->w % op->h * op->stride - op->pad + ky, x = pixel % op->w * op->stride - op->pad + kx;
        if (y < 0 || y >= op->h_out || x < 0 || x >= op->w_out) continue;
        double *to = out + ((pixel / op->w / op->h * op->h_out + y) * op->w_out + x) * op->c_out;
        for (int64_t i = 0; i < op->c; i++)
          for (int64_t o = 0; o < op->c_out; o++)
            to[o] += (double)((const float *)op->x)[pixel * op->c + i] *
                     (double)weight[((i * op->c_out + o) * op->kernel + ky) * op->kernel + kx];
      }
  for (int64_t i = 0; i < rows * op->c_out; i++) out[i] = activated(op->activation, out[i]);
  return out;
}

static vc_conv_transpose op_of(const transpose_case *t) {
  return (vc_conv_transpose){.dtype = VC_F32,
                             .frames = t->frames,
                             .h = t->h,
                             .w = t->w,
                             .c = t->c,
                             .kernel = t->kernel,
                             .stride = t->stride,
                             .pad = t->pad,
                             .h_out = (t->h - 1) * t->stride - 2 * t->pad + t->kernel,
                             .w_out = (t->w - 1) * t->stride - 2 * t->pad + t->kernel,
                             .c_out = t->c_out,
                             .activation = t->activation};
}

// The source is [c, c_out, kernel, kernel], in halves where `half` says so.
static void *packed(const vc_conv_transpose *op, float *weight, bool half) {
  size_t count = (size_t)(op->c * op->c_out * op->kernel * op->kernel);
  uint16_t *halves = malloc(count * sizeof *halves);
  vc_from_float(halves, VC_F16, weight, count);
  if (half) vc_to_float(weight, halves, VC_F16, count);
  vc_pack pack = {.layout = VC_LAYOUT_CONV,
                  .dtype = VC_F32,
                  .stacked = 1,
                  .rows = op->c_out,
                  .columns = op->c,
                  .kernel = {1, op->kernel, op->kernel},
                  .transposed = true};
  pack.source[0] = (vc_tensor){
      .dtype = half ? VC_F16 : VC_F32, .rank = 4, .dim = {op->c, op->c_out, op->kernel, op->kernel}, .data = weight};
  if (half) pack.source[0].data = halves;
  void *out = op_pack(&pack);
  free(halves);
  return out;
}

static void run_transpose(const transpose_case *t, bool half) {
  vc_conv_transpose op = op_of(t);
  int64_t pixels = op.frames * op.h * op.w, count = op.frames * op.h_out * op.w_out * op.c_out;
  float *x = op_values(1, (size_t)(pixels * t->c), 1, 0), *bias = op_values(3, (size_t)t->c_out, 1, 0);
  float *weight = op_values(2, (size_t)(t->c * t->c_out * t->kernel * t->kernel), 1, 0);
  void *memory = packed(&op, weight, half);
  if (t->poison) x[pixels / 2 * t->c + t->c / 2] = NAN;
  op.x = x;
  op.weight = memory;
  op.bias = t->bias ? bias : NULL;
  double *want = spread(&op, weight);
  op_check_run(&(op_check){.name = t->name,
                           .kind = VC_OP_CONV_TRANSPOSE,
                           .op = &op,
                           .out_at = offsetof(vc_conv_transpose, out),
                           .want = want,
                           .count = (size_t)count,
                           .tolerance = 1e-6});
  free(want);
  free(memory);
  free(weight);
  free(bias);
  free(x);
}

Test(ops_picture, transposed_convolutions) {
  for (size_t i = 0; i < sizeof transposes / sizeof *transposes; i++) run_transpose(transposes + i, i % 2);
}

Test(ops_picture, wrong_transposed_convolutions_are_refused) {
  const vc_conv_transpose good = op_of(&transposes[3]);
  vc_conv_transpose op = good;
  op.dtype = VC_F16;
  op_check_refused(VC_OP_CONV_TRANSPOSE, &op, VC_UNSUPPORTED, "F16");
  op = good, op.stride = 0;
  op_check_refused(VC_OP_CONV_TRANSPOSE, &op, VC_UNSUPPORTED, "stride 0");
  op = good, op.kernel = 65;
  op_check_refused(VC_OP_CONV_TRANSPOSE, &op, VC_UNSUPPORTED, "kernel of 65");
  op = good, op.pad = 4;
  op_check_refused(VC_OP_CONV_TRANSPOSE, &op, VC_UNSUPPORTED, "padding 4");
  op = good, op.pad = -1;
  op_check_refused(VC_OP_CONV_TRANSPOSE, &op, VC_UNSUPPORTED, "padding -1");
  op = good, op.h_out++;
  op_check_refused(VC_OP_CONV_TRANSPOSE, &op, VC_INVALID, "do not fit");
  op = good, op.w = 0, op.w_out = 0;
  op_check_refused(VC_OP_CONV_TRANSPOSE, &op, VC_INVALID, "do not fit");
  op = good, op.frames = INT64_C(1) << 60;
  op_check_refused(VC_OP_CONV_TRANSPOSE, &op, VC_INVALID, "do not fit");
  op = good, op.c_out = 0;
  op_check_refused(VC_OP_CONV_TRANSPOSE, &op, VC_INVALID, "do not fit");
  op = good, op.activation = VC_ACT_GEGLU;
  op_check_refused(VC_OP_CONV_TRANSPOSE, &op, VC_UNSUPPORTED, "activation");
}

// ---- maximum pool

static void run_max_pool(const char *name, int64_t frames, int64_t h, int64_t w, int64_t c, bool poison) {
  float *x = op_values(7, (size_t)(frames * h * w * c), 2, -1);
  int64_t count = frames * (h / 2) * (w / 2) * c;
  double *want = malloc((size_t)count * sizeof *want);
  for (int64_t i = 0; poison && i < frames * h * w; i += 5) x[i * c + i % c] = NAN;
  for (int64_t i = 0; i < count; i++) {
    int64_t k = i % c, column = i / c % (w / 2), row = i / c / (w / 2) % (h / 2), frame = i / c / (w / 2) / (h / 2);
    want[i] = -INFINITY;
    for (int64_t p = 0; p < 4; p++) {
      double v = (double)x[((frame * h + 2 * row + p / 2) * w + 2 * column + p % 2) * c + k];
      if (isnan(v) || v > want[i]) want[i] = v;
      if (isnan(v)) break;
    }
  }
  vc_max_pool op = {.dtype = VC_F32, .frames = frames, .h = h, .w = w, .c = c, .x = x};
  op_check_run(&(op_check){.name = name,
                           .kind = VC_OP_MAX_POOL,
                           .op = &op,
                           .out_at = offsetof(vc_max_pool, out),
                           .want = want,
                           .count = (size_t)count,
                           .tolerance = 0});
  free(want);
  free(x);
}

Test(ops_picture, maximum_pools) {
  run_max_pool("even", 2, 8, 6, 17, false);
  run_max_pool("odd", 3, 7, 9, 5, false);
  run_max_pool("one window", 1, 2, 3, 1, false);
  run_max_pool("NaN", 1, 8, 8, 3, true);
  run_max_pool("whole vectors", 2, 6, 5, 24, false);
  run_max_pool("whole vectors, NaN", 3, 5, 7, 16, true);
}

// ---- resize

typedef struct resize_case {
  const char *name;
  int64_t frames, h, w, c, h_out, w_out;
  bool align_corners;
} resize_case;

static const resize_case resizes[] = {
    {"twice, aligned", 2, 5, 4, 9, 10, 8, true},
    {"twice, not aligned", 2, 5, 4, 9, 10, 8, false},
    {"one pixel, aligned", 1, 1, 1, 3, 4, 5, true},
    {"one pixel, not aligned", 1, 1, 1, 3, 4, 5, false},
    {"to one pixel, aligned", 1, 6, 7, 2, 1, 1, true},
    {"to one pixel, not aligned", 1, 6, 7, 2, 1, 1, false},
    {"eight times, one channel", 1, 6, 4, 1, 50, 38, false},
    {"smaller", 1, 24, 24, 11, 13, 8, false},
    {"smaller, aligned", 1, 24, 24, 11, 13, 8, true},
    {"the same", 2, 5, 6, 4, 5, 6, false},
    {"the same, aligned", 2, 5, 6, 4, 5, 6, true},
    {"whole vectors", 2, 5, 7, 24, 11, 13, false},
    {"whole vectors, aligned", 2, 7, 5, 16, 13, 11, true},
};

static double source(int64_t i, int64_t in, int64_t out, bool align_corners) {
  if (align_corners) return out > 1 ? (double)i * (double)(in - 1) / (double)(out - 1) : 0;
  return fmax(0, ((double)i + 0.5) * (double)in / (double)out - 0.5);
}

static double pixel_at(const float *x, const resize_case *t, int64_t frame, int64_t row, int64_t column, int64_t k) {
  if (row > t->h - 1) row = t->h - 1;
  if (column > t->w - 1) column = t->w - 1;
  return (double)x[((frame * t->h + row) * t->w + column) * t->c + k];
}

static void run_resize(const resize_case *t) {
  float *x = op_values(11, (size_t)(t->frames * t->h * t->w * t->c), 1, 0.25f);
  int64_t count = t->frames * t->h_out * t->w_out * t->c;
  double *want = malloc((size_t)count * sizeof *want);
  for (int64_t i = 0; i < count; i++) {
    int64_t k = i % t->c, pixel = i / t->c, frame = pixel / t->w_out / t->h_out;
    double y = source(pixel / t->w_out % t->h_out, t->h, t->h_out, t->align_corners);
    double column = source(pixel % t->w_out, t->w, t->w_out, t->align_corners), sum = 0;
    for (int64_t p = 0; p < 4; p++) {
      double fy = y - floor(y), fx = column - floor(column);
      sum += (p / 2 ? fy : 1 - fy) * (p % 2 ? fx : 1 - fx) *
             pixel_at(x, t, frame, (int64_t)y + p / 2, (int64_t)column + p % 2, k);
    }
    want[i] = sum;
  }
  vc_resize op = {.dtype = VC_F32,
                  .frames = t->frames,
                  .h = t->h,
                  .w = t->w,
                  .c = t->c,
                  .h_out = t->h_out,
                  .w_out = t->w_out,
                  .align_corners = t->align_corners,
                  .x = x};
  op_check_run(&(op_check){.name = t->name,
                           .kind = VC_OP_RESIZE,
                           .op = &op,
                           .out_at = offsetof(vc_resize, out),
                           .want = want,
                           .count = (size_t)count,
                           .tolerance = 1e-6});
  free(want);
  free(x);
}

Test(ops_picture, resizes) {
  for (size_t i = 0; i < sizeof resizes / sizeof *resizes; i++) run_resize(resizes + i);
}

// ---- gate

static void run_gate(int64_t rows, int64_t c) {
  float *x = op_values(13, (size_t)(rows * c), 1, 0), *gate = op_values(17, (size_t)rows, 1, 0);
  double *want = malloc((size_t)(rows * c) * sizeof *want);
  gate[rows / 2] = NAN;
  for (int64_t i = 0; i < rows * c; i++) want[i] = (double)x[i] * (double)gate[i / c];
  vc_gate op = {.dtype = VC_F32, .rows = rows, .c = c, .x = x, .gate = gate};
  op_check_run(&(op_check){.name = "gate",
                           .kind = VC_OP_GATE,
                           .op = &op,
                           .out_at = offsetof(vc_gate, out),
                           .want = want,
                           .count = (size_t)(rows * c),
                           .tolerance = 1e-6});
  free(want);
  free(gate);
  free(x);
}

Test(ops_picture, gates) {
  run_gate(1, 1);
  run_gate(35, 24);
  run_gate(3000, 7);
  run_gate(3, 20000);
}

Test(ops_picture, wrong_pictures_are_refused) {
  vc_max_pool pool = {.dtype = VC_F32, .frames = 1, .h = 4, .w = 4, .c = 4};
  pool.h = 1;
  op_check_refused(VC_OP_MAX_POOL, &pool, VC_INVALID, "too small");
  pool.h = INT64_C(1) << 62;
  op_check_refused(VC_OP_MAX_POOL, &pool, VC_INVALID, "too large");
  pool.h = 4, pool.dtype = VC_BF16;
  op_check_refused(VC_OP_MAX_POOL, &pool, VC_UNSUPPORTED, "BF16");
  const vc_resize good = {.dtype = VC_F32, .frames = 1, .h = 4, .w = 4, .c = 4, .h_out = 2, .w_out = 2};
  vc_resize resize = good;
  resize.w_out = 0;
  op_check_refused(VC_OP_RESIZE, &resize, VC_INVALID, "empty");
  resize = good, resize.h = -4;
  op_check_refused(VC_OP_RESIZE, &resize, VC_INVALID, "empty");
  resize = good, resize.h_out = resize.w_out = INT64_C(1) << 31;
  op_check_refused(VC_OP_RESIZE, &resize, VC_INVALID, "too large");
  vc_gate gate = {.dtype = VC_F32, .rows = 0, .c = 4};
  op_check_refused(VC_OP_GATE, &gate, VC_INVALID, "empty");
  gate.rows = gate.c = INT64_C(1) << 40;
  op_check_refused(VC_OP_GATE, &gate, VC_INVALID, "too large");
}
