// Group norm and layer norm against plain loops in double.
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>

#include "tests/op_fixture.h"

typedef struct group_case {
  const char *name;
  int64_t frames, rows, c0, c1, groups;
  float eps, scale, mean;
  bool silu, poison;
  int64_t fade;  // so many rows further down all is half as large: chunks of rows then have means of their own
} group_case;

static const group_case group_cases[] = {
    {"plain", 2, 64, 32, 0, 8, 1e-5f, 1, 0, .silu = false},
    {"SiLU", 2, 33, 24, 0, 4, 1e-5f, 1, 0.5f, .silu = true},
    {"two inputs, a group across the border", 3, 20, 10, 14, 4, 1e-5f, 1, 0.3f, .silu = true},
    {"two inputs, one group", 1, 5, 3, 4, 1, 1e-6f, 1, 0, .silu = false},
    {"one channel a group", 1, 40, 7, 0, 7, 1e-5f, 2, 1, .silu = false},
    {"one row", 2, 1, 64, 0, 4, 1e-5f, 1, 0, .silu = false},
    {"one value", 1, 1, 1, 0, 1, 1e-5f, 1, 0, .silu = false},
    {"several blocks of rows", 1, 1037, 48, 0, 6, 1e-5f, 1, 2, .silu = false},
    {"several blocks, wide", 2, 70, 900, 380, 32, 1e-5f, 1, -1, .silu = false},
    {"far from zero", 1, 700, 64, 0, 8, 1e-6f, 1e-3f, 30, .silu = false},
    {"far from zero, SiLU", 2, 300, 20, 12, 4, 1e-6f, 2e-3f, -30, .silu = true},
    {"far from zero, in steps of 1/8", 1, 300, 64, 0, 8, 1e-6f, 2, 30, .silu = false},
    {"next to nothing", 1, 300, 32, 0, 4, 1e-6f, 1e-4f, 0, .silu = false},
    {"constant", 1, 300, 32, 0, 4, 1e-6f, 0, 3, .silu = false},
    {"NaN", 2, 40, 16, 0, 4, 1e-5f, 1, 0, .silu = true, .poison = true},
    {"NaN, several chunks", 1, 3000, 16, 0, 2, 1e-5f, 1, 0, .silu = true, .poison = true},
    {"groups of 10", 3, 200, 320, 0, 32, 1e-5f, 1, 0.5f, .silu = true},
    {"groups of 30, long", 2, 1000, 80, 40, 4, 1e-5f, 1, 0.5f, .silu = true},
    {"few rows, many channels", 2, 5, 640, 640, 32, 1e-5f, 1, 0, .silu = true},
    {"groups of many vectors", 1, 103, 760, 520, 2, 1e-5f, 1, 1, .silu = true},
    {"groups of many vectors, far from zero", 1, 261, 1296, 0, 2, 1e-6f, 1e-3f, 30, .silu = false},
    {"groups of many single channels", 2, 75, 517, 513, 2, 1e-5f, 1, 1, .silu = false},
    {"one group of all", 1, 90, 1289, 7, 1, 1e-5f, 1, 0, .silu = false},
    {"long, a group across the border", 1, 9001, 10, 14, 3, 1e-5f, 1, 2, .silu = false},
    {"long, fading", 1, 2003, 128, 0, 2, 1e-5f, 1, 0.5f, .silu = false, .fade = 250},
    {"long, the border between vectors", 1, 2003, 72, 56, 2, 1e-5f, 1, 0.5f, .silu = true, .fade = 777},
    {"long and wide, fading", 1, 801, 320, 0, 2, 1e-5f, 1, 0.5f, .silu = true, .fade = 300},
};

// In half precision values that lie this close to each other would all be the same.
static bool is_fine(float scale, float mean) {
  return scale > 0 && scale < fabsf(mean) / 64;
}

static double at(const vc_group_norm *op, int64_t row, int64_t i) {
  if (i < op->c[0]) return (double)((const float *)op->x[0])[row * op->c[0] + i];
  return (double)((const float *)op->x[1])[row * op->c[1] + i - op->c[0]];
}

static void expect_group(const vc_group_norm *op, int64_t frame, int64_t group, double *want) {
  int64_t c = op->c[0] + op->c[1], wide = c / op->groups;
  double mean = 0, variance = 0, count = (double)(op->rows * wide);
  for (int64_t r = frame * op->rows; r < (frame + 1) * op->rows; r++)
    for (int64_t i = group * wide; i < (group + 1) * wide; i++) mean += at(op, r, i) / count;
  for (int64_t r = frame * op->rows; r < (frame + 1) * op->rows; r++)
    for (int64_t i = group * wide; i < (group + 1) * wide; i++)
      variance += (at(op, r, i) - mean) * (at(op, r, i) - mean) / count;
  for (int64_t r = frame * op->rows; r < (frame + 1) * op->rows; r++)
    for (int64_t i = group * wide; i < (group + 1) * wide; i++) {
      double v = (at(op, r, i) - mean) / sqrt(variance + (double)op->eps) * (double)op->gamma[i] + (double)op->beta[i];
      want[r * c + i] = op->silu ? v / (1 + exp(-v)) : v;
    }
}

static void run_group(const group_case *t) {
  int64_t c = t->c0 + t->c1, rows = t->frames * t->rows;
  bool fine = is_fine(t->scale, t->mean);
  float *x0 = (fine ? op_values_fine : op_values)(1, (size_t)(rows * t->c0), t->scale, t->mean);
  float *x1 = (fine ? op_values_fine : op_values)(2, (size_t)(rows * t->c1), t->scale, t->mean);
  float *gamma = op_values(3, (size_t)c, 1, 1), *beta = op_values(4, (size_t)c, 1, 0);
  if (t->poison) x0[5] = NAN;
  for (int64_t i = 0; t->fade && i < rows * t->c0; i++) x0[i] = ldexpf(x0[i], -(int)(i / t->c0 / t->fade));
  vc_group_norm op = {.dtype = VC_F32,
                      .frames = t->frames,
                      .rows = t->rows,
                      .x = {x0, t->c1 ? x1 : NULL},
                      .c = {t->c0, t->c1},
                      .groups = t->groups,
                      .eps = t->eps,
                      .gamma = gamma,
                      .beta = beta,
                      .silu = t->silu};
  double *want = malloc((size_t)(rows * c) * sizeof *want);
  for (int64_t f = 0; f < t->frames; f++)
    for (int64_t g = 0; g < t->groups; g++) expect_group(&op, f, g, want);
  op_check_run(&(op_check){.name = t->name,
                           .kind = VC_OP_GROUP_NORM,
                           .op = &op,
                           .out_at = offsetof(vc_group_norm, out),
                           .want = want,
                           .count = (size_t)(rows * c),
                           .tolerance = 2e-6,
                           .f32_only = fine});
  free(want);
  free(beta);
  free(gamma);
  free(x1);
  free(x0);
}

Test(ops_norm, group_norm_matches_a_plain_loop) {
  for (size_t i = 0; i < sizeof group_cases / sizeof *group_cases; i++) run_group(group_cases + i);
}

typedef struct layer_case {
  const char *name;
  int64_t rows, c;
  float scale, mean;
  bool poison;
} layer_case;

static const layer_case layer_cases[] = {
    {"plain", 50, 64, 1, 0, .poison = false},
    {"ragged", 3, 331, 1, 1, .poison = false},
    {"one channel", 4, 1, 1, 1, .poison = false},
    {"one row", 1, 1280, 1, 0, .poison = false},
    {"fewer than a lane", 9, 5, 1, 0, .poison = false},
    {"far from zero", 20, 320, 1e-2f, 30, .poison = false},
    {"many rows", 1500, 40, 1, -2, .poison = false},
    {"NaN", 4, 20, 1, 0, true},
    {"one vector", 67, 8, 1, 0, .poison = false},
    {"half a vector", 21, 12, 1, 0, .poison = false},
    {"ragged lanes", 13, 176, 1, 0.5f, .poison = false},
    {"320 channels", 39, 320, 1, 0, .poison = false},
    {"768 channels", 5, 768, 1, -1, .poison = false},
    {"1288 channels", 9, 1288, 1, 0, .poison = false},
    {"2560 channels", 3, 2560, 1, 0, .poison = false},
    {"2568 channels", 3, 2568, 1, 0, .poison = false},
    {"wide, NaN", 9, 640, 1, 0, true},
};

static void run_layer(const layer_case *t) {
  bool fine = is_fine(t->scale, t->mean);
  float *x = (fine ? op_values_fine : op_values)(1, (size_t)(t->rows * t->c), t->scale, t->mean);
  float *gamma = op_values(3, (size_t)t->c, 1, 1), *beta = op_values(4, (size_t)t->c, 1, 0);
  if (t->poison) x[t->c + 1] = NAN;
  vc_layer_norm op = {.dtype = VC_F32, .rows = t->rows, .c = t->c, .x = x, .eps = 1e-5f, .gamma = gamma, .beta = beta};
  double *want = malloc((size_t)(t->rows * t->c) * sizeof *want);
  for (int64_t r = 0; r < t->rows; r++) {
    double mean = 0, variance = 0;
    for (int64_t i = 0; i < t->c; i++) mean += (double)x[r * t->c + i] / (double)t->c;
    for (int64_t i = 0; i < t->c; i++) variance += pow((double)x[r * t->c + i] - mean, 2) / (double)t->c;
    for (int64_t i = 0; i < t->c; i++)
      want[r * t->c + i] =
          ((double)x[r * t->c + i] - mean) / sqrt(variance + (double)op.eps) * (double)gamma[i] + (double)beta[i];
  }
  op_check_run(&(op_check){.name = t->name,
                           .kind = VC_OP_LAYER_NORM,
                           .op = &op,
                           .out_at = offsetof(vc_layer_norm, out),
                           .want = want,
                           .count = (size_t)(t->rows * t->c),
                           .tolerance = 1e-6,
                           .f32_only = fine});
  free(want);
  free(beta);
  free(gamma);
  free(x);
}

Test(ops_norm, layer_norm_matches_a_plain_loop) {
  for (size_t i = 0; i < sizeof layer_cases / sizeof *layer_cases; i++) run_layer(layer_cases + i);
}

Test(ops_norm, wrong_arguments_are_refused) {
  const vc_group_norm good = {.dtype = VC_F32, .frames = 1, .rows = 4, .c = {8, 4}, .groups = 4};
  vc_group_norm op = good;
  op.dtype = VC_F64;
  op_check_refused(VC_OP_GROUP_NORM, &op, VC_UNSUPPORTED, "F64");
  op = good, op.groups = 5;
  op_check_refused(VC_OP_GROUP_NORM, &op, VC_INVALID, "5 groups");
  op = good, op.groups = 0;
  op_check_refused(VC_OP_GROUP_NORM, &op, VC_INVALID, "0 groups");
  op = good, op.rows = 0;
  op_check_refused(VC_OP_GROUP_NORM, &op, VC_INVALID, "empty");
  op = good, op.c[1] = -4;
  op_check_refused(VC_OP_GROUP_NORM, &op, VC_INVALID, "empty");
  op = good, op.frames = op.rows = INT64_C(1) << 31;
  op_check_refused(VC_OP_GROUP_NORM, &op, VC_INVALID, "too large");
  vc_layer_norm layer = {.dtype = VC_F32, .rows = 1, .c = 0};
  op_check_refused(VC_OP_LAYER_NORM, &layer, VC_INVALID, "empty");
  layer.c = INT64_MAX;
  op_check_refused(VC_OP_LAYER_NORM, &layer, VC_INVALID, "too large");
}
