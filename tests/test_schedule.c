// The noise schedule: its tables, the continuous schedule, spacings, and the stored reference values.
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/schedule.h"
#include "loaders/tensor_file.h"

static vc_schedule released(void) {
  vc_schedule schedule;
  vc_error error;
  cr_assert_eq(vc_schedule_make(VC_SCHEDULE_STEPS, VC_SCHEDULE_FIRST_BETA, VC_SCHEDULE_LAST_BETA, &schedule, &error),
               VC_OK, "%s", error.message);
  return schedule;
}

// relative L2 of `count` values against a tensor of the reference
static void expect_tensor(const vc_tensor_file *file, const char *name, const double *values, size_t count) {
  const vc_tensor *tensor = vc_tensor_file_find(file, name);
  cr_assert(tensor, "%s is not in %s", name, file->path);
  cr_assert_eq(vc_tensor_count(tensor), count, "%s", name);
  double *expected = malloc(count * sizeof *expected), difference = 0, norm = 0;
  cr_assert(expected);
  vc_to_double(expected, tensor->data, tensor->dtype, count);
  for (size_t i = 0; i < count; i++) {
    difference += (values[i] - expected[i]) * (values[i] - expected[i]);
    norm += expected[i] * expected[i];
  }
  free(expected);
  double relative = sqrt(difference / norm);
  cr_expect(relative <= 1e-7, "%s: relative L2 %g", name, relative);
}

// The reference is rounded to float, so 2^-24 is what can be expected.
Test(schedule, equals_the_reference) {
  static const int steps[] = {6, 20};
  vc_schedule s = released();
  vc_tensor_file file;
  vc_error error;
  cr_assert_eq(vc_tensor_file_open(&file, "tests/data/golden/schedule.safetensors", &error), VC_OK, "%s",
               error.message);
  expect_tensor(&file, "output/betas", s.betas, 1000);
  expect_tensor(&file, "output/alphas_cumprod", s.alphas_cumprod, 1000);
  for (int spacing = 0; spacing < VC_SPACING_COUNT; spacing++)
    for (int k = 0; k < 2; k++) {
      static const char *const names[] = {"t", "log_alpha", "sigma", "lambda"};
      double values[4][21];
      vc_schedule_times(&s, (vc_spacing)spacing, steps[k], values[0]);
      for (int i = 0; i <= steps[k]; i++) {
        values[1][i] = vc_schedule_log_alpha(&s, values[0][i]);
        values[2][i] = vc_schedule_sigma(&s, values[0][i]);
        values[3][i] = vc_schedule_lambda(&s, values[0][i]);
      }
      for (int v = 0; v < 4; v++) {
        char name[64];
        snprintf(name, sizeof name, "output/dpmpp_%s.%s.%d", names[v], vc_spacing_name((vc_spacing)spacing), steps[k]);
        expect_tensor(&file, name, values[v], (size_t)steps[k] + 1);
      }
    }
  vc_tensor_file_close(&file);
  vc_schedule_free(&s);
}

Test(schedule, tables_agree_with_each_other) {
  static const struct {
    int total;
    double first, last;
  } cases[] = {{1000, 0.00085, 0.0120}, {2, 0.1, 0.2}, {10, 0.01, 0.5}, {10000, 1e-8, 1e-4}, {100, 0.02, 0.02}};
  for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
    vc_schedule s;
    cr_assert_eq(vc_schedule_make(cases[c].total, cases[c].first, cases[c].last, &s, NULL), VC_OK, "case %zu", c);
    cr_expect_eq(s.total, cases[c].total);
    cr_expect(fabs(s.betas[0] / cases[c].first - 1) <= 1e-12 && fabs(s.betas[s.total - 1] / cases[c].last - 1) <= 1e-9,
              "case %zu: betas %g .. %g", c, s.betas[0], s.betas[s.total - 1]);
    for (int i = 0; i < s.total; i++) {
      double time = (i + 1.0) / s.total, a = s.alphas_cumprod[i];
      cr_assert(i == 0 || a < s.alphas_cumprod[i - 1], "case %zu: step %d", c, i);
      cr_assert(fabs(exp(2 * s.log_alphas[i]) / a - 1) <= 1e-11, "case %zu: step %d", c, i);
      cr_assert(fabs(vc_schedule_log_alpha(&s, time) - s.log_alphas[i]) <= 1e-12, "case %zu: step %d", c, i);
      double sigma = vc_schedule_sigma(&s, time), lambda = vc_schedule_lambda(&s, time);
      cr_assert(fabs(sigma * sigma / (1 - a) - 1) <= 1e-6, "case %zu: step %d: sigma %g", c, i, sigma);
      cr_assert(fabs(lambda - 0.5 * log(a / (1 - a))) <= 1e-6, "case %zu: step %d: lambda %g", c, i, lambda);
    }
    vc_schedule_free(&s);
    cr_expect_null(s.betas);
  }
}

// Inside the grid, at its points, and beyond both ends.
Test(schedule, lambda_has_an_inverse) {
  vc_schedule s = released();
  for (int i = 1; i <= 4003; i++) {
    double time = i * 0.25 / 1000, lambda = vc_schedule_lambda(&s, time);
    cr_assert(fabs(vc_schedule_time_of_lambda(&s, lambda) - time) <= 1e-11, "time %g", time);
    cr_assert(i == 1 || lambda < vc_schedule_lambda(&s, time - 0.25 / 1000), "time %g", time);
  }
  vc_schedule_free(&s);
}

Test(schedule, log_alpha_is_linear_between_grid_points) {
  vc_schedule s = released();
  for (int i = 0; i + 1 < s.total; i++)
    for (int k = 1; k < 4; k++) {
      double expected = s.log_alphas[i] + 0.25 * k * (s.log_alphas[i + 1] - s.log_alphas[i]);
      cr_assert(fabs(vc_schedule_log_alpha(&s, (i + 1 + 0.25 * k) / s.total) - expected) <= 1e-12, "%d %d", i, k);
    }
  vc_schedule_free(&s);
}

Test(schedule, spacings_are_even_in_what_they_say) {
  static const int steps[] = {1, 2, 7, 50, 1000};
  vc_schedule s = released();
  static double times[1001];
  for (size_t c = 0; c < sizeof steps / sizeof *steps; c++)
    for (int spacing = 0; spacing < VC_SPACING_COUNT; spacing++) {
      int n = steps[c];
      vc_schedule_times(&s, (vc_spacing)spacing, n, times);
      cr_expect(fabs(times[0] - 1) <= 1e-12 && fabs(times[n] - 0.001) <= 1e-12, "%d: %g .. %g", n, times[0], times[n]);
      for (int i = 0; i < n; i++) {
        double step = times[i + 1] - times[i], expected = -0.999 / n;
        if (spacing == VC_SPACING_LOG_SNR) {
          step = vc_schedule_lambda(&s, times[i + 1]) - vc_schedule_lambda(&s, times[i]);
          expected = (vc_schedule_lambda(&s, 0.001) - vc_schedule_lambda(&s, 1)) / n;
        }
        cr_assert(fabs(step / expected - 1) <= 1e-9, "%d steps, %s, step %d: %g", n,
                  vc_spacing_name((vc_spacing)spacing), i, step);
      }
    }
  vc_schedule_free(&s);
}

Test(schedule, names_go_both_ways) {
  for (int i = 0; i < VC_SPACING_COUNT; i++) {
    vc_spacing spacing = VC_SPACING_COUNT;
    cr_expect(vc_spacing_parse(vc_spacing_name((vc_spacing)i), &spacing) && (int)spacing == i);
  }
  vc_spacing spacing = VC_SPACING_COUNT;
  cr_expect_not(vc_spacing_parse("logsnr", &spacing));
  cr_expect_not(vc_spacing_parse("", &spacing));
  cr_expect_eq((int)spacing, VC_SPACING_COUNT);
  cr_expect_null(vc_spacing_name(VC_SPACING_COUNT));
  cr_expect_null(vc_spacing_name((vc_spacing)-1));
}

Test(schedule, bad_schedules_are_refused) {
  static const struct {
    int total;
    double first, last;
    const char *says;
  } cases[] = {{1, 0.1, 0.2, "1 training steps"}, {0, 0.1, 0.2, "0 training steps"},
               {-5, 0.1, 0.2, "-5 training"},     {10001, 0.1, 0.2, "10001 training"},
               {10, 0, 0.2, "from 0 to 0.2"},     {10, -0.1, 0.2, "from -0.1"},
               {10, 0.3, 0.2, "from 0.3 to 0.2"}, {10, 0.1, 1, "from 0.1 to 1"},
               {10, NAN, 0.2, "from nan"},        {10, 0.1, NAN, "to nan"},
               {10, 0.1, INFINITY, "to inf"},     {10, 1e-300, 0.2, "1e-300"},
               {1000, 0.02, 0.1, "signal of"},    {10000, 0.9, 0.9, "signal of 0"}};
  for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
    vc_schedule s;
    vc_error error = {""};
    cr_expect_eq(vc_schedule_make(cases[c].total, cases[c].first, cases[c].last, &s, &error), VC_INVALID, "case %zu",
                 c);
    cr_expect(strstr(error.message, cases[c].says), "case %zu: %s", c, error.message);
    cr_expect_null(s.betas, "case %zu", c);
    cr_expect_eq(s.total, 0, "case %zu", c);
  }
}
