// The tables of the samplers: reference values, late starts, and what is refused.
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/sampler.h"
#include "loaders/tensor_file.h"

static vc_schedule released(void) {
  vc_schedule s;
  cr_assert_eq(vc_schedule_make(VC_SCHEDULE_STEPS, VC_SCHEDULE_FIRST_BETA, VC_SCHEDULE_LAST_BETA, &s, NULL), VC_OK);
  return s;
}

static vc_sampler_plan make(vc_sampler_kind kind, int steps, double eta, const vc_sampler_options *options) {
  vc_sampler_plan plan;
  vc_error error = {""};
  cr_assert_eq(vc_sampler_make(kind, steps, eta, options, &plan, &error), VC_OK, "%s", error.message);
  cr_assert(plan.steps >= 1);
  cr_assert_eq(plan.kind, kind);
  return plan;
}

// A late start keeps the last rows as they are (DDIM has no history), and says how to noise the video for it.
Test(sampler_table, strength_leaves_out_the_first_steps) {
  static const struct {
    int steps, kept, first_t;
    double strength;
  } cases[] = {{50, 50, 981, 1}, {50, 25, 481, 0.5}, {50, 1, 1, 0},        {50, 1, 1, 0.001},       {50, 40, 781, 0.8},
               {30, 31, 991, 1}, {30, 16, 496, 0.5}, {1000, 1000, 999, 1}, {1000, 999, 999, 0.999}, {1, 1, 1, 0.5}};
  vc_schedule s = released();
  for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
    vc_sampler_options options = vc_sampler_default_options();
    vc_sampler_plan all = make(VC_SAMPLER_DDIM, cases[c].steps, 0.5, &options);
    options.strength = cases[c].strength;
    vc_sampler_plan late = make(VC_SAMPLER_DDIM, cases[c].steps, 0.5, &options);
    cr_expect_eq(late.steps, cases[c].kept, "case %zu: %d steps", c, late.steps);
    cr_expect_eq(late.t[0], cases[c].first_t, "case %zu: from %g", c, late.t[0]);
    cr_expect_arr_eq(late.rows, all.rows + all.steps - late.steps, (size_t)late.steps * sizeof *late.rows, "case %zu",
                     c);
    double a = s.alphas_cumprod[cases[c].first_t];
    cr_expect(fabs(late.signal - sqrt(a)) <= 1e-7 && fabs(late.noise - sqrt(1 - a)) <= 1e-7, "case %zu: %g %g", c,
              late.signal, late.noise);
    vc_sampler_plan_free(&all);
    vc_sampler_plan_free(&late);
  }
  vc_schedule_free(&s);
}

Test(sampler_table, strength_ends_an_inversion_where_ddim_starts) {
  static const struct {
    int steps, kept;
    double strength;
  } cases[] = {{50, 50, 1}, {50, 49, 0.9999}, {50, 24, 0.5}, {50, 1, 0.04}, {50, 1, 0}, {1000, 999, 0.9999}};
  vc_schedule s = released();
  for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
    vc_sampler_options options = vc_sampler_default_options();
    options.strength = cases[c].strength;
    vc_sampler_plan up = make(VC_SAMPLER_DDIM_INVERSION, cases[c].steps, 0, &options),
                    down = make(VC_SAMPLER_DDIM, cases[c].steps, 0, &options);
    cr_expect_eq(up.steps, cases[c].kept, "case %zu: %d steps", c, up.steps);
    double a = cases[c].strength < 1 ? s.alphas_cumprod[(int)down.t[0]] : 0;
    cr_expect(fabs(up.rows[up.steps - 1].next[1] - sqrt(a)) <= 1e-7, "case %zu", c);
    vc_sampler_plan_free(&up);
    vc_sampler_plan_free(&down);
  }
  vc_schedule_free(&s);
}

Test(sampler_table, golden_ddim_steps) {
  static const char *const names[] = {"0.0", "0.7"};
  vc_schedule s = released();
  for (int c = 0; c < 2; c++) {
    char path[128];
    snprintf(path, sizeof path, "tests/data/golden/ddim_step_eta%s.safetensors", names[c]);
    vc_tensor_file file;
    vc_error error;
    cr_assert_eq(vc_tensor_file_open(&file, path, &error), VC_OK, "%s", error.message);
    static const char *const wanted[] = {"input/x", "input/eps", "input/noise",
                                         "input/t", "output/x0", "output/x_prev"};
    float data[6][1024];
    size_t count[6];
    for (int k = 0; k < 6; k++) {
      const vc_tensor *tensor = vc_tensor_file_find(&file, wanted[k]);
      cr_assert(tensor, "%s", wanted[k]);
      count[k] = vc_tensor_count(tensor);
      cr_assert(count[k] <= 1024 && count[k] > 0 && (k == 3 || count[k] == count[0]));
      vc_to_float(data[k], tensor->data, tensor->dtype, count[k]);
    }
    size_t each = count[0] / count[3];
    double difference[2] = {0}, norm[2] = {0};
    for (size_t i = 0; i < count[0]; i++) {
      int t = (int)data[3][i / each];
      vc_sampler_row row = vc_sampler_ddim_row(&s, t, t - 20, atof(names[c]));
      double x0 = (double)row.x0[0] * data[0][i] + (double)row.x0[1] * data[1][i];
      double next = row.next[1] * x0 + (double)row.next[4] * data[1][i] + (double)row.noise * data[2][i];
      difference[0] += pow(x0 - data[4][i], 2);
      difference[1] += pow(next - data[5][i], 2);
      norm[0] += pow(data[4][i], 2);
      norm[1] += pow(data[5][i], 2);
    }
    for (int k = 0; k < 2; k++)
      cr_expect(sqrt(difference[k] / norm[k]) <= 2e-7, "%s %s: relative L2 %g", path, wanted[4 + k],
                sqrt(difference[k] / norm[k]));
    vc_tensor_file_close(&file);
  }
  vc_schedule_free(&s);
}

Test(sampler_table, golden_timesteps) {
  static const int steps[] = {5, 6, 20, 30, 50, 1000};
  vc_tensor_file file;
  vc_error error;
  cr_assert_eq(vc_tensor_file_open(&file, "tests/data/golden/schedule.safetensors", &error), VC_OK, "%s",
               error.message);
  for (size_t c = 0; c < sizeof steps / sizeof *steps; c++) {
    char name[64];
    snprintf(name, sizeof name, "output/ddim_t.%d", steps[c]);
    const vc_tensor *tensor = vc_tensor_file_find(&file, name);
    cr_assert(tensor, "%s", name);
    vc_sampler_plan plan = make(VC_SAMPLER_DDIM, steps[c], 0, NULL);
    float expected[1000];
    cr_assert_eq(vc_tensor_count(tensor), (size_t)plan.steps, "%s", name);
    vc_to_float(expected, tensor->data, tensor->dtype, (size_t)plan.steps);
    cr_expect_arr_eq(plan.t, expected, (size_t)plan.steps * sizeof *expected, "%s", name);
    vc_sampler_plan_free(&plan);
  }
  vc_tensor_file_close(&file);
}

Test(sampler_table, names_go_both_ways) {
  for (int i = 0; i < VC_SAMPLER_KIND_COUNT; i++) {
    vc_sampler_kind kind = VC_SAMPLER_KIND_COUNT;
    cr_expect(vc_sampler_kind_parse(vc_sampler_kind_name((vc_sampler_kind)i), &kind) && (int)kind == i);
  }
  vc_sampler_kind kind = VC_SAMPLER_KIND_COUNT;
  cr_expect_not(vc_sampler_kind_parse("DDIM", &kind));
  cr_expect_eq((int)kind, VC_SAMPLER_KIND_COUNT);
  cr_expect_null(vc_sampler_kind_name(VC_SAMPLER_KIND_COUNT));
  cr_expect_null(vc_sampler_kind_name((vc_sampler_kind)-1));
}

Test(sampler_table, bad_requests_are_refused) {
  vc_schedule s;
  cr_assert_eq(vc_schedule_make(10, 0.01, 0.2, &s, NULL), VC_OK);
  const struct {
    vc_sampler_kind kind;
    int steps;
    double eta;
    vc_sampler_options options;
    const char *says;
  } cases[] = {
      {VC_SAMPLER_DDIM, 0, 0, {.strength = 1}, "0 steps"},
      {VC_SAMPLER_DDIM, -3, 0, {.strength = 1}, "-3 steps"},
      {VC_SAMPLER_UNIPC, 1001, 0, {.strength = 1}, "1 .. 1000"},
      {VC_SAMPLER_DDIM, 11, 0, {.schedule = &s, .strength = 1}, "1 .. 10"},
      {VC_SAMPLER_DDIM, 50, -0.1, {.strength = 1}, "eta -0.1"},
      {VC_SAMPLER_DDIM, 50, 1.5, {.strength = 1}, "eta 1.5"},
      {VC_SAMPLER_DDIM, 50, NAN, {.strength = 1}, "eta nan"},
      {VC_SAMPLER_DDIM_INVERSION, 50, 0.5, {.strength = 1}, "ddim_inversion adds no noise"},
      {VC_SAMPLER_DPMPP_2M, 50, 0.5, {.strength = 1}, "dpmpp2m adds no noise"},
      {VC_SAMPLER_UNIPC, 50, 1, {.strength = 1}, "unipc adds no noise"},
      {VC_SAMPLER_UNIPC, 50, 0, {.spacing = VC_SPACING_COUNT, .strength = 1}, "no spacing"},
      {VC_SAMPLER_DDIM, 50, 0, {.strength = 1.01}, "strength 1.01"},
      {VC_SAMPLER_DDIM, 50, 0, {.strength = -0.5}, "strength -0.5"},
      {VC_SAMPLER_DDIM, 50, 0, {.strength = NAN}, "strength nan"},
      {VC_SAMPLER_KIND_COUNT, 50, 0, {.strength = 1}, "no kind of sampler"},
      {(vc_sampler_kind)-1, 50, 0, {.strength = 1}, "no kind of sampler"},
  };
  for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
    vc_sampler_plan plan;
    vc_error error = {""};
    cr_expect_eq(vc_sampler_make(cases[c].kind, cases[c].steps, cases[c].eta, &cases[c].options, &plan, &error),
                 VC_INVALID, "case %zu", c);
    cr_expect(strstr(error.message, cases[c].says), "case %zu: %s", c, error.message);
    cr_expect(!plan.rows && !plan.t && !plan.steps, "case %zu", c);
    cr_expect_eq(vc_sampler_make(cases[c].kind, cases[c].steps, cases[c].eta, &cases[c].options, &plan, NULL),
                 VC_INVALID);
  }
  vc_schedule_free(&s);
}
