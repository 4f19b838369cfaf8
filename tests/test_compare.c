// The comparer that every other check relies on: whatever is wrong with a result has to show.
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/compare.h"
#include "engine/picture_compare.h"
#include "engine/rules.h"

static const char *const strict_rules[] = {"1e-3", "equal", "max_abs 1e-3", "differ 0.1"};
enum { STRICT_COUNT = sizeof strict_rules / sizeof *strict_rules };

static vc_rule rule_of(const char *text) {
  vc_rule rule;
  vc_error error;
  cr_assert_eq(vc_rule_parse(text, &rule, &error), VC_OK, "%s", error.message);
  return rule;
}

static bool passes(const char *rule, const vc_difference *difference) {
  vc_error error;
  return vc_rule_judge(rule_of(rule), difference, &error) == VC_OK;
}

static vc_difference compare_floats(const float *result, const float *reference, size_t count) {
  vc_difference d;
  vc_compare_arrays(result, VC_F32, reference, VC_F32, count, &d);
  return d;
}

enum { N = 2000 };  // more than a block of the comparer

static void fill(float *values) {
  for (int i = 0; i < N; i++) values[i] = (float)(i * 7 % 31) - 15.5f;
}

Test(compare, equal_arrays_pass_every_rule) {
  float a[N];
  fill(a);
  vc_difference d = compare_floats(a, a, N);
  cr_expect_eq(d.count, N);
  cr_expect_eq(d.differing, 0);
  cr_expect_eq(d.first_index, N);
  cr_expect_eq(d.relative_l2, 0.0);
  cr_expect_eq(d.max_abs, 0.0);
  cr_expect_float_eq(d.cosine, 1, 1e-12);
  for (int i = 0; i < STRICT_COUNT; i++) cr_expect(passes(strict_rules[i], &d), "%s", strict_rules[i]);
  cr_expect(passes("0", &d));
}

Test(compare, one_special_value_anywhere_fails_every_rule) {
  static const struct {
    float value;
    size_t index, nan, infinite;
  } cases[] = {{NAN, 0, 1, 0}, {NAN, N - 1, 1, 0}, {INFINITY, 1024, 0, 1}, {-INFINITY, 3, 0, 1}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    float result[N], reference[N];
    fill(result);
    fill(reference);
    result[cases[i].index] = cases[i].value;
    vc_difference d = compare_floats(result, reference, N);
    cr_expect_eq(d.result_nan, cases[i].nan, "case %zu", i);
    cr_expect_eq(d.result_infinite, cases[i].infinite, "case %zu", i);
    cr_expect_eq(d.first_index, cases[i].index);
    cr_expect_eq(d.max_index, cases[i].index);
    cr_expect(isnan(d.relative_l2) && isnan(d.max_abs) && isnan(d.cosine), "case %zu", i);
    for (int r = 0; r < STRICT_COUNT; r++)
      cr_expect_not(passes(strict_rules[r], &d), "case %zu passed '%s'", i, strict_rules[r]);
    cr_expect_not(passes("ignore", &d), "case %zu", i);
    cr_expect_not(passes("differ 1", &d), "case %zu", i);

    // The same value in the reference too makes it no better.
    reference[cases[i].index] = cases[i].value;
    d = compare_floats(result, reference, N);
    for (int r = 0; r < STRICT_COUNT; r++)
      cr_expect_not(passes(strict_rules[r], &d), "case %zu passed '%s'", i, strict_rules[r]);

    // In the reference alone, nothing can be near it.
    fill(result);
    d = compare_floats(result, reference, N);
    cr_expect_eq(d.reference_nan + d.reference_infinite, 1);
    cr_expect_eq(d.result_nan + d.result_infinite, 0);
    cr_expect_not(passes("1e9", &d), "case %zu", i);
    cr_expect_not(passes("max_abs 1e9", &d), "case %zu", i);
    cr_expect_not(passes("equal", &d), "case %zu", i);
  }
}

Test(compare, a_special_value_does_not_hide_what_differs_before_it) {
  float result[] = {1, 5, NAN}, reference[] = {1, 2, 3};
  vc_difference d = compare_floats(result, reference, 3);
  cr_expect_eq(d.first_index, 1);
  cr_expect_eq(d.max_index, 2);
  cr_expect_eq(d.differing, 2);
}

Test(compare, zeros_instead_of_a_result_fail) {
  float zeros[N] = {0}, reference[N];
  fill(reference);
  vc_difference d = compare_floats(zeros, reference, N);
  cr_expect_float_eq(d.relative_l2, 1, 1e-12);
  cr_expect_eq(d.cosine, 0.0);
  for (int r = 0; r < STRICT_COUNT; r++) cr_expect_not(passes(strict_rules[r], &d), "%s", strict_rules[r]);
}

Test(compare, a_reference_of_zeros_accepts_zeros_only) {
  float zeros[N] = {0}, tiny[N] = {0};
  tiny[N - 2] = 1e-30f;
  vc_difference d = compare_floats(zeros, zeros, N);
  cr_expect_eq(d.relative_l2, 0.0);
  cr_expect_eq(d.cosine, 1.0);
  cr_expect(passes("0", &d) && passes("equal", &d));
  d = compare_floats(tiny, zeros, N);
  cr_expect(isinf(d.relative_l2));
  cr_expect_eq(d.cosine, 0.0);
  cr_expect_eq(d.first_index, N - 2);
  cr_expect_not(passes("1e9", &d));
  cr_expect(passes("max_abs 1e-29", &d));
}

Test(compare, a_swapped_axis_fails) {
  enum { SIDE = 24 };
  static float result[SIDE * SIDE], reference[SIDE * SIDE];
  for (int i = 0; i < SIDE; i++)
    for (int j = 0; j < SIDE; j++) {
      reference[i * SIDE + j] = sinf((float)(3 * i + j));
      result[j * SIDE + i] = sinf((float)(3 * i + j));
    }
  vc_difference d = compare_floats(result, reference, SIDE * SIDE);
  cr_expect_gt(d.relative_l2, 0.5);
  for (int r = 0; r < STRICT_COUNT; r++) cr_expect_not(passes(strict_rules[r], &d), "%s", strict_rules[r]);

  vc_error error;
  vc_tensor a = {.dtype = VC_F32, .rank = 3, .dim = {2, 12, 24}, .data = result};
  vc_tensor b = {.dtype = VC_F32, .rank = 3, .dim = {12, 2, 24}, .data = reference};
  cr_expect_eq(vc_compare_tensors(&a, &b, &d, &error), VC_FAILED);
  cr_expect_str_eq(error.message, "shape [2, 12, 24], expected [12, 2, 24]");
}

Test(compare, values_moved_by_one_fail) {
  float reference[N + 1];
  for (int i = 0; i <= N; i++) reference[i] = sinf((float)i * 0.7f);
  vc_difference d = compare_floats(reference + 1, reference, N);
  for (int r = 0; r < STRICT_COUNT; r++) cr_expect_not(passes(strict_rules[r], &d), "%s", strict_rules[r]);
}

Test(compare, the_last_element_counts) {
  static const size_t counts[] = {1, 2, 1023, 1024, 1025, N};
  float result[N], reference[N];
  fill(reference);
  for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
    fill(result);
    size_t last = counts[i] - 1;
    result[last] += 0.25f;
    vc_difference d = compare_floats(result, reference, counts[i]);
    cr_expect_eq(d.differing, 1, "count %zu", counts[i]);
    cr_expect_eq(d.first_index, last);
    cr_expect_eq(d.max_index, last);
    cr_expect_eq(d.max_abs, 0.25);
    cr_expect_not(passes("equal", &d));
    cr_expect_not(passes("1e-6", &d));
  }
}

Test(compare, empty_arrays_are_equal) {
  vc_difference d = compare_floats(NULL, NULL, 0);
  cr_expect_eq(d.count, 0);
  cr_expect_eq(d.relative_l2, 0.0);
  cr_expect_eq(vc_difference_share(&d), 0.0);
  for (int r = 0; r < STRICT_COUNT; r++) cr_expect(passes(strict_rules[r], &d), "%s", strict_rules[r]);

  vc_tensor none = {.dtype = VC_F32, .rank = 2, .dim = {0, 3}}, some = {.dtype = VC_F32, .rank = 2, .dim = {1, 3}};
  float data[3] = {0};
  some.data = data;
  cr_expect_eq(vc_compare_tensors(&none, &none, &d, NULL), VC_OK);
  cr_expect_eq(vc_compare_tensors(&none, &some, &d, NULL), VC_FAILED, "an empty result is no result");
}

Test(compare, measures_are_those_of_the_definition) {
  float result[] = {3, 0, 4, 1}, reference[] = {3, 4, 4, 2};
  vc_difference d = compare_floats(result, reference, 4);
  cr_expect_float_eq(d.relative_l2, sqrt(17.0) / sqrt(45.0), 1e-14);
  cr_expect_float_eq(d.cosine, 27 / sqrt(26.0 * 45.0), 1e-14);
  cr_expect_eq(d.max_abs, 4.0);
  cr_expect_eq(d.max_index, 1);
  cr_expect_eq(d.first_index, 1);
  cr_expect_eq(vc_difference_share(&d), 0.5);
  cr_expect(passes("differ 0.5", &d));
  cr_expect_not(passes("differ 0.49", &d));
  cr_expect(passes("max_abs 4", &d));
  cr_expect_not(passes("max_abs 3.9", &d));
  cr_expect(passes("0.615", &d));
  cr_expect_not(passes("0.614", &d));
  cr_expect(passes("ignore", &d));
}

Test(compare, what_overflows_does_not_pass) {
  double result[] = {1.01e155, 1}, reference[] = {1e155, 1};
  vc_difference d;
  vc_compare_arrays(result, VC_F64, reference, VC_F64, 2, &d);
  cr_expect_not(passes("0.02", &d), "squares overflow, so the error is not known");
  vc_compare_arrays(reference, VC_F64, reference, VC_F64, 2, &d);
  cr_expect(passes("0", &d), "equal is equal");
  double far[] = {1e308}, away[] = {-1e308};
  vc_compare_arrays(far, VC_F64, away, VC_F64, 1, &d);
  for (int r = 0; r < STRICT_COUNT; r++) cr_expect_not(passes(strict_rules[r], &d), "%s", strict_rules[r]);
}

Test(compare, wide_integers_are_compared_exactly) {
  int64_t result[] = {(1LL << 60) + 1, INT64_MIN}, reference[] = {1LL << 60, INT64_MAX};
  vc_difference d;
  vc_compare_arrays(result, VC_I64, reference, VC_I64, 1, &d);
  cr_expect_eq(d.differing, 1);
  cr_expect_eq(d.max_abs, 1.0);
  cr_expect_not(passes("equal", &d));
  cr_expect_not(passes("0", &d));
  vc_compare_arrays(result, VC_I64, reference, VC_I64, 2, &d);
  cr_expect_eq(d.max_abs, 0x1p64);
  cr_expect_eq(d.max_index, 1);
}

Test(compare, any_two_dtypes_compare_by_value) {
  float floats[] = {1, -2, 0.5f};
  uint16_t halves[] = {0x3c00, 0xc000, 0x3800}, bfloats[] = {0x3f80, 0xc000, 0x3f00};
  vc_difference d;
  vc_compare_arrays(halves, VC_F16, floats, VC_F32, 3, &d);
  cr_expect_eq(d.differing, 0);
  vc_compare_arrays(bfloats, VC_BF16, halves, VC_F16, 3, &d);
  cr_expect_eq(d.differing, 0);
  uint8_t bytes[] = {1, 254, 0};
  vc_compare_arrays(bytes, VC_U8, floats, VC_F32, 3, &d);
  cr_expect_eq(d.first_index, 1);
  cr_expect_eq(d.max_abs, 256.0);
}

Test(compare, dtypes_of_tensors_must_match) {
  float a[2] = {1, 2};
  double b[2] = {1, 2};
  vc_tensor result = {.dtype = VC_F32, .rank = 1, .dim = {2}, .data = a};
  vc_tensor reference = {.dtype = VC_F64, .rank = 1, .dim = {2}, .data = b};
  vc_difference d;
  vc_error error;
  cr_expect_eq(vc_compare_tensors(&result, &reference, &d, &error), VC_FAILED);
  cr_expect_str_eq(error.message, "dtype F32, expected F64");
  reference.rank = 0;
  cr_expect_eq(vc_compare_tensors(&result, &reference, &d, &error), VC_FAILED);
}

Test(compare, indices_are_written_by_axis) {
  static const struct {
    int rank;
    int64_t dim[3];
    size_t index;
    const char *text;
  } cases[] = {{3, {2, 3, 4}, 0, "[0, 0, 0]"},
               {3, {2, 3, 4}, 23, "[1, 2, 3]"},
               {3, {2, 3, 4}, 17, "[1, 1, 1]"},
               {1, {9}, 8, "[8]"},
               {0, {0}, 0, "[]"},
               {2, {0, 3}, 0, "[0, 0]"}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    vc_tensor t = {.rank = cases[i].rank};
    memcpy(t.dim, cases[i].dim, sizeof cases[i].dim);
    char text[64];
    cr_expect_str_eq(vc_index_text(&t, cases[i].index, text, sizeof text), cases[i].text);
  }
}

Test(rules, single_rules_parse_and_print) {
  static const struct {
    const char *text;
    vc_rule_kind kind;
    double limit;
    const char *printed;
  } cases[] = {{"2.0e-05", VC_RULE_RELATIVE, 2e-5, "2e-05"}, {"0", VC_RULE_RELATIVE, 0, "0"},
               {"equal", VC_RULE_EQUAL, 0, "equal"},         {"max_abs 3", VC_RULE_MAX_ABS, 3, "max_abs 3"},
               {"ignore", VC_RULE_IGNORE, 0, "ignore"},      {"differ 0.005", VC_RULE_DIFFER, 0.005, "differ 0.005"}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    vc_rule rule = rule_of(cases[i].text);
    char text[64];
    cr_expect_eq(rule.kind, cases[i].kind, "%s", cases[i].text);
    cr_expect_eq(rule.limit, cases[i].limit, "%s", cases[i].text);
    cr_expect_str_eq(vc_rule_text(rule, text, sizeof text), cases[i].printed);
  }
}

Test(rules, rules_that_judge_nothing_are_refused) {
  static const char *const bad[] = {"",
                                    "nan",
                                    "NaN",
                                    "inf",
                                    "-1",
                                    "1e999",
                                    "1e-4x",
                                    "0x10",
                                    "equal 1",
                                    "equality",
                                    "max_abs",
                                    "max_abs ",
                                    "max_abs nan",
                                    "max_abs -1",
                                    "differ inf",
                                    "ignored",
                                    "[1]",
                                    "\"equal\"",
                                    "{",
                                    "{}x",
                                    "{\"a\":}",
                                    "{\"a\": -1}",
                                    "{\"a\": \"nan\"}",
                                    "{\"a\": null}",
                                    "{\"a\": 1e999}",
                                    "{\"a\": {}}",
                                    "{\"a\": 1, \"a\": 2}",
                                    "{\"*\": 1, \"*\": 2}",
                                    "{\"a\": \"max_abs\"}"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    vc_rules rules;
    vc_error error = {""};
    cr_expect_eq(vc_rules_parse(bad[i], (vc_rule){0}, &rules, &error), VC_INVALID, "'%s' was taken", bad[i]);
    cr_expect(error.message[0], "'%s' has no message", bad[i]);
    cr_expect(!rules.item && !rules.count, "'%s' left rules behind", bad[i]);
  }
}

Test(rules, an_object_names_outputs_and_the_rest) {
  vc_rules rules;
  vc_error error;
  const char *text = " {\"rgb\": \"max_abs 3\", \"*\": \"equal\", \"crc\": \"ignore\", \"x\": 1e-6}";
  cr_assert_eq(vc_rules_parse(text, rule_of("1e-4"), &rules, &error), VC_OK, "%s", error.message);
  cr_expect_eq(rules.count, 3);
  cr_expect_eq(vc_rules_find(&rules, "rgb").kind, VC_RULE_MAX_ABS);
  cr_expect_eq(vc_rules_find(&rules, "rgb").limit, 3.0);
  cr_expect_eq(vc_rules_find(&rules, "crc").kind, VC_RULE_IGNORE);
  cr_expect_eq(vc_rules_find(&rules, "x").limit, 1e-6);
  cr_expect_eq(vc_rules_find(&rules, "anything").kind, VC_RULE_EQUAL);
  vc_rules_free(&rules);

  cr_assert_eq(vc_rules_parse("{\"a\": \"equal\"}", rule_of("1e-4"), &rules, &error), VC_OK, "%s", error.message);
  cr_expect_eq(vc_rules_find(&rules, "b").kind, VC_RULE_RELATIVE);
  cr_expect_eq(vc_rules_find(&rules, "b").limit, 1e-4);
  vc_rules_free(&rules);

  cr_assert_eq(vc_rules_parse("differ 0.1", rule_of("0"), &rules, &error), VC_OK, "%s", error.message);
  cr_expect_eq(vc_rules_find(&rules, "b").kind, VC_RULE_DIFFER);
  vc_rules_free(&rules);
}

enum { WIDTH = 17, HEIGHT = 14 };

static void draw(uint8_t *a, uint8_t *b) {
  for (int y = 0; y < HEIGHT; y++)
    for (int x = 0; x < WIDTH; x++)
      for (int c = 0; c < 3; c++) {
        int p = (x * x * 3 + y * 11 + x * y * c + 40 * c) % 256, q = p + (x * 13 + y * 7 + c * 5) % 41 - 20;
        a[(y * WIDTH + x) * 3 + c] = (uint8_t)p;
        b[(y * WIDTH + x) * 3 + c] = (uint8_t)(q < 0 ? 0 : q > 255 ? 255 : q);
      }
}

// Expected values: the formulas evaluated window by window, with two-pass variances, in another language.
Test(pictures, psnr_and_ssim_are_those_of_the_definition) {
  uint8_t a[WIDTH * HEIGHT * 3], b[WIDTH * HEIGHT * 3];
  draw(a, b);
  double ssim = 0;
  cr_assert_eq(vc_ssim(a, b, WIDTH, HEIGHT, &ssim, NULL), VC_OK);
  cr_expect_float_eq(ssim, 0.986765783614, 1e-10, "%.12f", ssim);
  cr_expect_float_eq(vc_psnr(a, b, sizeof a), 26.8559897051, 1e-9);
}

Test(pictures, equal_pictures_are_perfect_and_others_are_not) {
  uint8_t a[WIDTH * HEIGHT * 3], b[WIDTH * HEIGHT * 3], flat[WIDTH * HEIGHT * 3] = {0};
  draw(a, b);
  double ssim = 0;
  cr_assert_eq(vc_ssim(a, a, WIDTH, HEIGHT, &ssim, NULL), VC_OK);
  cr_expect_float_eq(ssim, 1, 1e-12);
  cr_expect(isinf(vc_psnr(a, a, sizeof a)));
  cr_assert_eq(vc_ssim(flat, flat, WIDTH, HEIGHT, &ssim, NULL), VC_OK);
  cr_expect_float_eq(ssim, 1, 1e-12);
  cr_assert_eq(vc_ssim(a, flat, WIDTH, HEIGHT, &ssim, NULL), VC_OK);
  cr_expect_lt(ssim, 0.1);
}

Test(pictures, ssim_refuses_pictures_smaller_than_its_window) {
  uint8_t picture[11 * 11 * 3] = {0};
  double ssim = -2;
  vc_error error;
  cr_expect_eq(vc_ssim(picture, picture, 10, 11, &ssim, &error), VC_INVALID);
  cr_expect_eq(vc_ssim(picture, picture, 11, 10, &ssim, &error), VC_INVALID);
  cr_expect_eq(vc_ssim(picture, picture, 11, 11, &ssim, &error), VC_OK);
  cr_expect_eq(ssim, 1.0);
}
