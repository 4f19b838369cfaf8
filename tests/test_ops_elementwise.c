// The small ops against plain loops in double: activations, sums, copies, look-ups, pools,
// timestep embeddings, the sampler's update.
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/op_run.h"

Test(ops_elementwise, activations_match_double) {
  static const char *const names[] = {"none", "SiLU", "GELU", "ReLU", "sigmoid"};
  static const int64_t counts[] = {1, 7, 33, 1000, 40001};
  for (int a = VC_ACT_NONE; a <= VC_ACT_SIGMOID; a++)
    for (size_t k = 0; k < sizeof counts / sizeof *counts; k++) {
      int64_t count = counts[k];
      float *x = op_values(7, (size_t)count, 6, 0);
      if (count > 7) x[7] = NAN;
      vc_activate op = {.dtype = VC_F32, .rows = 1, .c = count, .activation = (vc_activation)a, .x = x};
      double *want = malloc((size_t)count * sizeof *want);
      for (int64_t i = 0; i < count; i++) want[i] = isnan(x[i]) ? NAN : op_activated(op.activation, (double)x[i]);
      op_check_run(&(op_check){.name = names[a],
                               .kind = VC_OP_ACTIVATION,
                               .op = &op,
                               .out_at = offsetof(vc_activate, out),
                               .want = want,
                               .count = (size_t)count,
                               .tolerance = 2e-7});
      free(want);
      free(x);
    }
}

// Far out too, where a careless formula overflows or loses its digits: every value by itself, relative to its size.
Test(ops_elementwise, every_activation_is_accurate_by_itself) {
  enum { COUNT = 40000 };
  static const double allowed[] = {[VC_ACT_SILU] = 3e-7, [VC_ACT_GELU] = 4e-6, [VC_ACT_SIGMOID] = 3e-7};
  static const char *const sets[] = {"generic", "avx2", "avx512", "avx512_bf16"};
  static const vc_activation activations[] = {VC_ACT_SILU, VC_ACT_GELU, VC_ACT_SIGMOID};
  float *x = malloc(COUNT * sizeof *x), *out = malloc(COUNT * sizeof *out);
  for (int i = 0; i < COUNT; i++) x[i] = (float)(i - COUNT / 2) * (200.0f / COUNT);
  vc_device *device;
  vc_error error;
  cr_assert_eq(vc_cpu_open(&device, 1, &error), VC_OK);
  for (size_t s = 0; s < sizeof sets / sizeof *sets; s++) {
    if (!op_use(device, sets[s])) continue;
    for (size_t a = 0; a < sizeof activations / sizeof *activations; a++) {
      vc_activate op = {.dtype = VC_F32, .rows = COUNT / 8, .c = 8, .activation = activations[a], .x = x, .out = out};
      cr_assert_eq(vc_backend_cpu.activate(device, &op, &error), VC_OK);
      for (int i = 0; i < COUNT; i++) {
        double want = op_activated(op.activation, (double)x[i]), off = fabs((double)out[i] - want);
        cr_assert(off <= allowed[op.activation] * fabs(want) || off <= 1e-36, "%s, activation %d of %a: %a, not %a",
                  sets[s], (int)op.activation, (double)x[i], (double)out[i], want);
      }
    }
  }
  vc_backend_cpu.close(device);
  free(out);
  free(x);
}

Test(ops_elementwise, activations_may_be_in_place) {
  enum { COUNT = 1000 };
  float *x = op_values(9, COUNT, 4, 0);
  double *want = malloc(COUNT * sizeof *want);
  for (int i = 0; i < COUNT; i++) want[i] = op_activated(VC_ACT_SILU, (double)x[i]);
  vc_activate op = {.dtype = VC_F32, .rows = COUNT, .c = 1, .activation = VC_ACT_SILU, .x = x};
  op_check_run(&(op_check){.name = "in place",
                           .kind = VC_OP_ACTIVATION,
                           .op = &op,
                           .out_at = offsetof(vc_activate, out),
                           .in_place_at = offsetof(vc_activate, x),
                           .want = want,
                           .count = COUNT,
                           .tolerance = 2e-7});
  free(want);
  free(x);
}

Test(ops_elementwise, geglu_matches_double) {
  static const int64_t shapes[][2] = {{1, 1}, {5, 3}, {9, 700}, {300, 130}};
  for (size_t k = 0; k < sizeof shapes / sizeof *shapes; k++) {
    int64_t rows = shapes[k][0], c = shapes[k][1];
    float *x = op_values(7, (size_t)(rows * 2 * c), 4, 0);
    vc_activate op = {.dtype = VC_F32, .rows = rows, .c = c, .activation = VC_ACT_GEGLU, .x = x};
    double *want = malloc((size_t)(rows * c) * sizeof *want);
    for (int64_t r = 0; r < rows; r++)
      for (int64_t i = 0; i < c; i++)
        want[r * c + i] = (double)x[r * 2 * c + i] * op_activated(VC_ACT_GELU, (double)x[r * 2 * c + c + i]);
    op_check_run(&(op_check){.name = "GEGLU",
                             .kind = VC_OP_ACTIVATION,
                             .op = &op,
                             .out_at = offsetof(vc_activate, out),
                             .want = want,
                             .count = (size_t)(rows * c),
                             .tolerance = 3e-7});
    free(want);
    free(x);
  }
}

Test(ops_elementwise, sums_match_double) {
  static const struct {
    int64_t n, f, rows;
    int inputs, one_frame;  // bits
  } cases[] = {{1, 1, 1, 1, 0},
               {2, 3, 50, 3, 2},
               {1, 4, 40000, 2, 0},
               {2, 2, 33, VC_SUM_MAX, 0xfd},
               {3, 2, 264, VC_SUM_MAX, 0x12}};
  for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
    int64_t n = cases[k].n, f = cases[k].f, rows = cases[k].rows, count = n * f * rows;
    vc_sum op = {.dtype = VC_F32, .n = n, .f = f, .rows = rows, .inputs = cases[k].inputs};
    double *want = calloc((size_t)count, sizeof *want);
    for (int i = 0; i < op.inputs; i++) {
      op.one_frame[i] = cases[k].one_frame >> i & 1;
      op.scale[i] = 0.5f + (float)i;
      op.x[i] = op_values((uint32_t)i, (size_t)count, 1, 0);
      for (int64_t e = 0; e < count; e++) {
        int64_t frame = e / rows, from = op.one_frame[i] ? frame / f : frame;
        want[e] += (double)op.scale[i] * (double)((const float *)op.x[i])[from * rows + e % rows];
      }
    }
    op_check_run(&(op_check){.name = "sum",
                             .kind = VC_OP_SUM,
                             .op = &op,
                             .out_at = offsetof(vc_sum, out),
                             .want = want,
                             .count = (size_t)count,
                             .tolerance = 2e-7});
    for (int i = 0; i < op.inputs; i++) free((void *)op.x[i]);
    free(want);
  }
}

// Repeats, slices, joins: the copy is exact and leaves what lies between its rows alone.
Test(ops_elementwise, copies_are_exact) {
  static const vc_copy cases[] = {
      {.outer = 1, .x_outer = 1, .rows = 1, .c = 1},
      {.outer = 6,
       .x_outer = 2,
       .rows = 3,
       .c = 5,
       .x_stride_outer = 21,
       .x_stride_row = 7,
       .out_stride_outer = 40,
       .out_stride_row = 9},
      {.outer = 4,
       .x_outer = 4,
       .rows = 700,
       .c = 40,
       .x_stride_outer = 28000,
       .x_stride_row = 40,
       .out_stride_outer = 50,
       .out_stride_row = 200},
      {.outer = 3, .x_outer = 1, .rows = 2, .c = 4, .x_stride_row = 4, .out_stride_outer = 8, .out_stride_row = 4},
      // Rows of 16, 8, 4 and 2 bytes in half precision, and long rows that only a stride keeps from 16.
      {.outer = 5,
       .x_outer = 3,
       .rows = 4,
       .c = 24,
       .x_stride_outer = 200,
       .x_stride_row = 40,
       .out_stride_outer = 168,
       .out_stride_row = 32},
      {.outer = 7, .x_outer = 7, .rows = 1, .c = 4, .x_stride_outer = 12, .out_stride_outer = 8},
      {.outer = 7, .x_outer = 7, .rows = 1, .c = 6, .x_stride_outer = 10, .out_stride_outer = 8},
      {.outer = 2,
       .x_outer = 2,
       .rows = 3,
       .c = 3,
       .x_stride_outer = 9,
       .x_stride_row = 3,
       .out_stride_outer = 12,
       .out_stride_row = 4},
      {.outer = 2, .x_outer = 1, .rows = 3, .c = 64, .x_stride_row = 65, .out_stride_outer = 192, .out_stride_row = 64},
  };
  for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
    vc_copy op = cases[k];
    size_t size = (size_t)((op.outer - 1) * op.out_stride_outer + (op.rows - 1) * op.out_stride_row + op.c);
    size_t from = (size_t)((op.x_outer - 1) * op.x_stride_outer + (op.rows - 1) * op.x_stride_row + op.c);
    float *x = op_values(3, from, 1, 0);
    op.x = x;
    double *want = malloc(size * sizeof *want);
    for (size_t i = 0; i < size; i++) want[i] = NAN;  // what the guarded output is filled with
    for (int64_t o = 0; o < op.outer; o++)
      for (int64_t r = 0; r < op.rows; r++)
        for (int64_t i = 0; i < op.c; i++)
          want[o * op.out_stride_outer + r * op.out_stride_row + i] =
              (double)x[o % op.x_outer * op.x_stride_outer + r * op.x_stride_row + i];
    op_check_run(&(op_check){.name = "copy",
                             .kind = VC_OP_COPY,
                             .op = &op,
                             .out_at = offsetof(vc_copy, out),
                             .want = want,
                             .count = size,
                             .tolerance = 0});
    free(want);
    free(x);
  }
}

static void run_gather(int c) {
  enum { ENTRIES = 11, COUNT = 10, POSITIONS = 5 };
  static const int32_t index[COUNT] = {0, 10, 3, 3, 7, 1, 2, 10, 0, 5};
  size_t count = (size_t)COUNT * (size_t)c;
  float *table = op_values(1, (size_t)ENTRIES * (size_t)c, 1, 0);
  float *position = op_values(2, (size_t)POSITIONS * (size_t)c, 1, 0);
  double *want = malloc(count * sizeof *want);
  for (int with = 0; with < 2; with++) {
    vc_gather op = {.dtype = VC_F32,
                    .count = COUNT,
                    .c = c,
                    .entries = ENTRIES,
                    .index = index,
                    .table = table,
                    .position = with ? position : NULL,
                    .positions = with ? POSITIONS : 0};
    for (int i = 0; i < COUNT * c; i++)
      want[i] = (double)table[index[i / c] * c + i % c] + (with ? (double)position[i / c % POSITIONS * c + i % c] : 0);
    op_check_run(&(op_check){.name = "gather",
                             .kind = VC_OP_GATHER,
                             .op = &op,
                             .out_at = offsetof(vc_gather, out),
                             .want = want,
                             .count = count,
                             .tolerance = 1e-7});
  }
  free(want);
  free(position);
  free(table);
}

Test(ops_elementwise, gathers_add_positions) {
  run_gather(13);
  run_gather(24);
  run_gather(1032);
}

Test(ops_elementwise, gather_refuses_an_index_outside_the_table) {
  static const int32_t bad[] = {-1, 4, INT32_MAX, INT32_MIN};
  float table[4 * 2] = {0}, out[2 * 2];
  vc_device *device;
  vc_error error;
  cr_assert_eq(vc_cpu_open(&device, 1, &error), VC_OK);
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    int32_t index[2] = {3, bad[i]};
    vc_gather op = {.dtype = VC_F32, .count = 2, .c = 2, .entries = 4, .index = index, .table = table, .out = out};
    cr_expect_eq(vc_backend_cpu.gather(device, &op, &error), VC_FAILED);
    cr_expect(strstr(error.message, "place 1"), "%s", error.message);
  }
  vc_backend_cpu.close(device);
}

// A GPU cannot refuse when it is asked: the row becomes zeros, and wait() tells it once.
Test(ops_elementwise, cuda_reports_an_index_outside_the_table_when_it_waits) {
  static const int32_t bad[] = {-1, 4, INT32_MAX};
  const op_target *targets;
  int count = op_cuda_targets(VC_OP_GATHER, &targets);
  for (int t = 0; t < count; t++) {
    const vc_backend *b = targets[t].backend;
    vc_device *device = targets[t].device;
    size_t row = 2 * vc_dtype_size(targets[t].dtype);
    unsigned char ones[32], got[32], zeros[32] = {0};
    char *memory, words[64];
    vc_error error;
    memset(ones, 0x3C, sizeof ones);
    cr_assert_eq(b->allocate(device, 1024, (void **)&memory, &error), VC_OK);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
      const int32_t index[2] = {3, bad[i]};
      const float position[4] = {0, 0, 1, 1};  // are not added to what is not there
      vc_gather op = {.dtype = targets[t].dtype, .count = 2, .c = 2, .entries = 4, .positions = 2};
      op.index = (int32_t *)(void *)memory;
      op.table = memory + 256;
      op.out = memory + 512;
      op.position = (float *)(void *)(memory + 768);
      cr_assert_eq(b->upload(device, memory + 768, position, sizeof position, &error), VC_OK);
      cr_assert_eq(b->upload(device, memory, index, sizeof index, &error), VC_OK);
      cr_assert_eq(b->upload(device, memory + 256, ones, sizeof ones, &error), VC_OK);
      cr_assert_eq(b->upload(device, memory + 512, ones, sizeof ones, &error), VC_OK);
      cr_assert_eq(b->gather(device, &op, &error), VC_OK);
      cr_expect_eq(b->wait(device, &error), VC_FAILED, "%s: %d passes", targets[t].name, bad[i]);
      snprintf(words, sizeof words, "index %d lies outside", bad[i]);
      cr_expect(strstr(error.message, words), "%s: '%s'", targets[t].name, error.message);
      cr_assert_eq(b->download(device, got, memory + 512, sizeof got, &error), VC_OK);
      cr_expect_eq(b->wait(device, &error), VC_OK, "%s: told twice", targets[t].name);
      cr_expect(!memcmp(got, ones, row) && !memcmp(got + row, zeros, row), "%s: not a row of zeros", targets[t].name);
    }
    b->release(device, memory);
  }
}

Test(ops_elementwise, pools_match_double) {
  static const int64_t shapes[][6] = {
      {1, 1, 1, 1, 1, 1},  {2, 8, 6, 5, 4, 3},    {1, 7, 9, 3, 3, 4},   {1, 5, 4, 2, 8, 9},    {2, 13, 13, 33, 5, 1},
      {2, 9, 7, 24, 4, 3}, {1, 21, 18, 24, 3, 2}, {2, 21, 23, 5, 3, 2}, {3, 40, 30, 16, 1, 1}, {2, 31, 29, 3, 1, 1}};
  for (size_t k = 0; k < sizeof shapes / sizeof *shapes; k++) {
    const int64_t *s = shapes[k];
    vc_pool op = {.dtype = VC_F32, .frames = s[0], .h = s[1], .w = s[2], .c = s[3], .h_out = s[4], .w_out = s[5]};
    int64_t count = op.frames * op.h_out * op.w_out * op.c;
    float *x = op_values(5, (size_t)(op.frames * op.h * op.w * op.c), 1, 0);
    op.x = x;
    double *want = malloc((size_t)count * sizeof *want);
    for (int64_t e = 0; e < count; e++) {
      int64_t i = e % op.c, column = e / op.c % op.w_out, row = e / op.c / op.w_out % op.h_out;
      int64_t y0 = row * op.h / op.h_out, y1 = ((row + 1) * op.h + op.h_out - 1) / op.h_out;
      int64_t x0 = column * op.w / op.w_out, x1 = ((column + 1) * op.w + op.w_out - 1) / op.w_out;
      int64_t frame = e / op.c / op.w_out / op.h_out;
      want[e] = 0;
      for (int64_t y = y0; y < y1; y++)
        for (int64_t c = x0; c < x1; c++)
          want[e] += (double)x[((frame * op.h + y) * op.w + c) * op.c + i] / (double)((y1 - y0) * (x1 - x0));
    }
    op_check_run(&(op_check){.name = "pool",
                             .kind = VC_OP_POOL,
                             .op = &op,
                             .out_at = offsetof(vc_pool, out),
                             .want = want,
                             .count = (size_t)count,
                             .tolerance = 3e-7});
    free(want);
    free(x);
  }
}

Test(ops_elementwise, sinusoids_match_double) {
  enum { COUNT = 5, C = 320 };
  static const float t[COUNT] = {0, 1, 999, 481.5f, 21};
  double want[COUNT * C];
  for (int i = 0; i < COUNT * C; i++) {
    int k = i % C % (C / 2);
    double angle = (double)t[i / C] * pow(10000, -(double)k / (C / 2));
    want[i] = i % C < C / 2 ? cos(angle) : sin(angle);
  }
  vc_sinusoid op = {.dtype = VC_F32, .count = COUNT, .c = C, .t = t};
  op_check_run(&(op_check){.name = "sinusoid",
                           .kind = VC_OP_SINUSOID,
                           .op = &op,
                           .out_at = offsetof(vc_sinusoid, out),
                           .want = want,
                           .count = COUNT * C,
                           .tolerance = 1e-7});
}

enum { STEPS = 3 };

// The latent and its history, as the op takes them and as they should be afterwards.
typedef struct sampler_state {
  float *x, *m1, *m2, *x_last;
} sampler_state;

static void step_latent(vc_sampler *op, const sampler_state *s, double *want[5]) {
  const vc_sampler_row *row = op->table + *op->step;
  for (int64_t i = 0; i < op->count; i++) {
    const float *e = op->eps;
    double eps = (double)e[i];
    if (op->guided) eps = (double)e[op->count + i] + (double)op->guidance * ((double)e[i] - (double)e[op->count + i]);
    double m1 = (double)s->m1[i], m2 = (double)s->m2[i];
    double m0 = (double)row->x0[0] * (double)s->x[i] + (double)row->x0[1] * eps;
    double c = (double)row->corrected[0] * (double)s->x[i] + (double)row->corrected[1] * (double)s->x_last[i] +
               (double)row->corrected[2] * m0 + (double)row->corrected[3] * m1 + (double)row->corrected[4] * m2;
    double next = (double)row->next[0] * c + (double)row->next[1] * m0 + (double)row->next[2] * m1 +
                  (double)row->next[3] * m2 + (double)row->next[4] * eps;
    if (op->noise) next += (double)row->noise * (double)op->noise[*op->step * op->count + i];
    want[0][i] = want[1][i] = next;
    want[2][i] = m0;
    want[3][i] = m1;
    want[4][i] = c;
  }
}

static void run_sampler(size_t count, bool guided, bool noisy, int32_t step) {
  static const vc_sampler_row table[STEPS] = {
      {{1, 0}, {1, 0, 0, 0, 0}, {0, 1, 0, 0, 0}, 0},
      {{1.1f, -0.4f}, {0.9f, 0.2f, -0.3f, 0.15f, 0.05f}, {0.8f, 0.3f, -0.2f, 0.1f, 0.07f}, 0.25f},
      {{1.3f, -0.8f}, {1, 0, 0, 0, 0}, {0.5f, 0.4f, 0, 0, 0.6f}, 0.1f}};
  float *eps = op_values(1, 2 * count, 1, 0), *noise = op_values(2, STEPS * count, 1, 0);
  double *want[5];
  for (int i = 0; i < 5; i++) want[i] = malloc(count * sizeof **want);
  sampler_state s = {op_values(3, count, 1, 0), op_values(4, count, 1, 0), op_values(5, count, 1, 0),
                     op_values(6, count, 1, 0)};
  vc_sampler op = {.dtype = VC_F32,
                   .count = (int64_t)count,
                   .eps = eps,
                   .guided = guided,
                   .guidance = 9,
                   .table = table,
                   .step = &step,
                   .noise = noisy ? noise : NULL,
                   .x = s.x,
                   .m1 = s.m1,
                   .m2 = s.m2,
                   .x_last = s.x_last};
  step_latent(&op, &s, want);
  const op_result also[] = {{offsetof(vc_sampler, input), want[1], count},
                            {offsetof(vc_sampler, m1), want[2], count},
                            {offsetof(vc_sampler, m2), want[3], count},
                            {offsetof(vc_sampler, x_last), want[4], count}};
  op_check_run(&(op_check){.name = "sampler",
                           .kind = VC_OP_SAMPLER,
                           .op = &op,
                           .out_at = offsetof(vc_sampler, x),
                           .want = want[0],
                           .count = count,
                           .also = also,
                           .also_count = sizeof also / sizeof *also,
                           .tolerance = 5e-7});
  free(s.x);
  free(s.m1);
  free(s.m2);
  free(s.x_last);
  for (int i = 0; i < 5; i++) free(want[i]);
  free(noise);
  free(eps);
}

Test(ops_elementwise, sampler_steps_match_double) {
  for (int32_t step = 0; step < STEPS; step++)
    for (int k = 0; k < 4; k++) {
      run_sampler(9001, k & 1, k & 2, step);
      run_sampler(1028, k & 1, k & 2, step);
    }
}

Test(ops_elementwise, wrong_arguments_are_refused) {
  const vc_activate activate = {.dtype = VC_F32, .rows = 1, .c = 1, .activation = (vc_activation)17};
  op_check_refused(VC_OP_ACTIVATION, &activate, VC_INVALID, "17");
  const vc_activate huge = {.dtype = VC_F32, .rows = INT64_MAX, .c = 2};
  op_check_refused(VC_OP_ACTIVATION, &huge, VC_INVALID, "too large");
  const vc_sum sum = {.dtype = VC_F32, .n = 1, .f = 1, .rows = 1, .inputs = VC_SUM_MAX + 1};
  op_check_refused(VC_OP_SUM, &sum, VC_INVALID, "9 inputs");
  const vc_sum none = {.dtype = VC_F32, .n = 1, .f = 0, .rows = 1, .inputs = 1};
  op_check_refused(VC_OP_SUM, &none, VC_INVALID, "empty");
  const vc_copy copy = {.dtype = VC_F32, .outer = 1, .x_outer = 0, .rows = 1, .c = 1};
  op_check_refused(VC_OP_COPY, &copy, VC_INVALID, "empty");
  const vc_gather gather = {.dtype = VC_BF16, .count = 1, .c = 1, .entries = 1};
  op_check_refused(VC_OP_GATHER, &gather, VC_UNSUPPORTED, "BF16");
  const vc_gather empty = {.dtype = VC_F32, .count = 1, .c = 1, .entries = 0};
  op_check_refused(VC_OP_GATHER, &empty, VC_INVALID, "0 entries");
  const vc_pool pool = {.dtype = VC_F32, .frames = 1, .h = 4, .w = 4, .c = 1, .h_out = 0, .w_out = 4};
  op_check_refused(VC_OP_POOL, &pool, VC_INVALID, "to 0 x 4");
  const vc_sinusoid odd = {.dtype = VC_F32, .count = 1, .c = 5};
  op_check_refused(VC_OP_SINUSOID, &odd, VC_INVALID, "odd");
  const vc_sampler sampler = {.dtype = VC_F32, .count = 0};
  op_check_refused(VC_OP_SAMPLER, &sampler, VC_INVALID, "0 elements");
}
