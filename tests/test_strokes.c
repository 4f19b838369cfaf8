// Strokes: what is understood, what is refused, and the field of motion they stand for.
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/strokes.h"

static const vc_strokes_defaults defaults = {.canvas = {256, 256}, .frames = 16};

Test(strokes, json_is_read_with_its_defaults) {
  static const char text[] =
      "{\"canvas\": [320, 200], \"background\": [1.5, -2],\n"
      " \"strokes\": [{\"points\": [[0, 0], [30, 40], [30, 140]]},\n"
      "               {\"points\": [[-160, 300], [480, -100]], \"frames\": [2, 5], \"radius\": 7.5, \"strength\": "
      "0.5}]}";
  vc_strokes s;
  vc_error error = {""};
  cr_assert_eq(vc_strokes_parse_json(&s, "file", text, &defaults, &error), VC_OK, "%s", error.message);
  cr_expect(s.canvas[0] == 320 && s.canvas[1] == 200 && s.background[0] == 1.5 && s.background[1] == -2);
  cr_assert_eq(s.count, 2);
  cr_assert_eq(s.stroke[0].points, 3);
  cr_expect_eq(s.stroke[0].run[2], 150);
  cr_expect(s.stroke[0].first == 0 && s.stroke[0].last == 15);
  cr_expect_float_eq(s.stroke[0].radius, 200 * 24.0 / 256, 1e-12);
  cr_expect_eq(s.stroke[0].strength, 1);
  cr_expect(s.stroke[1].first == 2 && s.stroke[1].last == 5 && s.stroke[1].radius == 7.5 &&
            s.stroke[1].strength == 0.5);
  vc_strokes_free(&s);
  cr_assert_eq(vc_strokes_parse_json(&s, "file", "{\"background\": [1, 0]}", &defaults, &error), VC_OK);
  cr_expect_eq(s.count, 0);
  vc_strokes_free(&s);
}

Test(strokes, wrong_json_is_refused_by_name) {
  static const struct {
    const char *text, *message;
  } cases[] = {
      {"", "is no JSON"},
      {"{\"strokes\": [}", "is no JSON"},
      {"{} trailing", "is no JSON"},
      {"[]", "must be a JSON object"},
      {"{}", "strokes must be a list"},
      {"{\"strokes\": []}", "neither strokes nor a background"},
      {"{\"strokes\": 5}", "strokes must be a list"},
      {"{\"strokes\": [], \"stroke\": 1}", "'stroke'"},
      {"{\"canvas\": [256], \"strokes\": []}", "canvas must be"},
      {"{\"canvas\": [0, 256], \"strokes\": []}", "canvas must be"},
      {"{\"canvas\": [1e999, 256], \"strokes\": []}", "canvas must be"},
      {"{\"canvas\": [\"a\", 2], \"strokes\": []}", "canvas must be"},
      {"{\"background\": [1, 2, 3], \"strokes\": []}", "background must be"},
      {"{\"strokes\": [3]}", "stroke 0: must be an object"},
      {"{\"strokes\": [{}]}", "stroke 0: points must be"},
      {"{\"strokes\": [{\"points\": [[1, 2]]}]}", "stroke 0: points has 1"},
      {"{\"strokes\": [{\"points\": [[1, 2], [3]]}]}", "stroke 0: point 1 must be [x, y]"},
      {"{\"strokes\": [{\"points\": [[1, 2], [3, null]]}]}", "stroke 0: point 1 must be [x, y]"},
      {"{\"strokes\": [{\"points\": [[1, 2], [3, 4]]}, {\"points\": [[1, 2], [385, 4]]}]}",
       "stroke 1: point 1 is (385"},
      {"{\"strokes\": [{\"points\": [[1, 2], [3, -129]]}]}", "stroke 0: point 1 is (3, -129)"},
      {"{\"strokes\": [{\"points\": [[1, 2], [3, 4]], \"frames\": [3, 3]}]}", "stroke 0: frames"},
      {"{\"strokes\": [{\"points\": [[1, 2], [3, 4]], \"frames\": [-1, 3]}]}", "stroke 0: frames"},
      {"{\"strokes\": [{\"points\": [[1, 2], [3, 4]], \"frames\": [0.5, 3]}]}", "stroke 0: frames"},
      {"{\"strokes\": [{\"points\": [[1, 2], [3, 4]], \"frames\": [0, 1e12]}]}", "stroke 0: frames"},
      {"{\"strokes\": [{\"points\": [[1, 2], [3, 4]], \"radius\": 0}]}", "stroke 0: radius"},
      {"{\"strokes\": [{\"points\": [[1, 2], [3, 4]], \"radius\": \"5\"}]}", "stroke 0: radius"},
      {"{\"strokes\": [{\"points\": [[1, 2], [3, 4]], \"strength\": 1e9}]}", "stroke 0: strength"},
      {"{\"strokes\": [{\"points\": [[1, 2], [3, 4]], \"raduis\": 3}]}", "stroke 0: has a field 'raduis'"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    vc_strokes s;
    vc_error error = {""};
    cr_expect_eq(vc_strokes_parse_json(&s, "my.json", cases[i].text, &defaults, &error), VC_INVALID, "%s",
                 cases[i].text);
    cr_expect(strstr(error.message, cases[i].message) && strstr(error.message, "my.json: "), "%s says: %s",
              cases[i].text, error.message);
    cr_expect(!s.stroke && !s.count);
  }
}

Test(strokes, too_many_are_refused) {
  char *text = malloc(1 << 20), *to = text;
  to += sprintf(to, "{\"strokes\": [");
  for (int i = 0; i < VC_STROKES_MAX + 1; i++) to += sprintf(to, "%s{\"points\":[[1,2],[3,4]]}", i ? "," : "");
  strcpy(to, "]}");
  vc_strokes s;
  vc_error error;
  cr_expect_eq(vc_strokes_parse_json(&s, "f", text, &defaults, &error), VC_INVALID);
  cr_expect(strstr(error.message, "257 strokes"), "%s", error.message);
  to = text;
  for (int i = 0; i < VC_STROKE_MAX_POINTS + 1; i++) to += sprintf(to, "%s%d,1", i ? "->" : "", i % 200);
  cr_expect_eq(vc_strokes_parse_text(&s, text, &defaults, &error), VC_INVALID);
  cr_expect(strstr(error.message, "stroke 0: points has 4097"), "%s", error.message);
  free(text);
}

Test(strokes, text_is_read) {
  vc_strokes s;
  vc_error error = {""};
  cr_assert_eq(vc_strokes_parse_text(&s, " 64,128 -> 192 , 128.5;-1e1,20->30,40 -> 5,6 ; ", &defaults, &error), VC_OK,
               "%s", error.message);
  cr_assert_eq(s.count, 2);
  cr_expect(s.stroke[0].points == 2 && s.stroke[0].point[1][0] == 192 && s.stroke[0].point[1][1] == 128.5);
  cr_expect(s.stroke[1].points == 3 && s.stroke[1].point[0][0] == -10 && s.stroke[1].point[2][1] == 6);
  vc_strokes_free(&s);
  static const struct {
    const char *text, *message;
  } wrong[] = {{"", "stroke 0"},
               {"1,2", "stroke 0"},
               {"1,2->", "point 1"},
               {"1,2->3", "point 1"},
               {"1,2->3,4x", "point 1"},
               {"1,2->3,4 5,6", "point 1"},
               {"a,2->3,4", "point 0"},
               {"1,2->nan,4", "point 1"},
               {"1,2->3,4;;5,6->7,8", "stroke 1"},
               {"1,2->0x10,4", "point 1"},
               {"1,2->3,4;9,9->9,999", "stroke 1: point 1 is (9, 999)"},
               {"->", "point 0"},
               {"1,2->inf,4", "point 1"}};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    cr_expect_eq(vc_strokes_parse_text(&s, wrong[i].text, &defaults, &error), VC_INVALID, "'%s'", wrong[i].text);
    cr_expect(strstr(error.message, wrong[i].message), "'%s' says: %s", wrong[i].text, error.message);
    cr_expect(!s.stroke && !s.count);
  }
}

Test(strokes, paths_are_walked_at_constant_speed) {
  vc_strokes s;
  cr_assert_eq(vc_strokes_parse_json(&s, "f",
                                     "{\"strokes\": [{\"points\": [[0, 0], [30, 0], [30, 0], [30, 60]], \"frames\": "
                                     "[2, 11]}]}",
                                     &defaults, NULL),
               VC_OK);
  static const double want[][2] = {{0, 0},   {0, 0},   {0, 0},   {10, 0},  {20, 0},  {30, 0},  {30, 10},
                                   {30, 20}, {30, 30}, {30, 40}, {30, 50}, {30, 60}, {30, 60}, {30, 60}};
  for (int f = 0; f < 14; f++) {
    double at[2];
    vc_stroke_at(&s.stroke[0], f, at);
    cr_expect_float_eq(at[0], want[f][0], 1e-12, "frame %d: %g", f, at[0]);
    cr_expect_float_eq(at[1], want[f][1], 1e-12, "frame %d: %g", f, at[1]);
  }
  vc_strokes_free(&s);
}

Test(strokes, motion_fades_towards_the_rim) {
  static const double cases[][3] = {{0, 10, 1}, {5, 10, 1}, {7.5, 10, 0.5}, {9, 10, 0.2}, {10, 10, 0}, {50, 10, 0}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    cr_expect_float_eq(vc_stroke_weight(cases[i][0], cases[i][1]), cases[i][2], 1e-12, "case %zu", i);
}

static const float *vector(const vc_tensor *t, int64_t f, int64_t y, int64_t x) {
  return (const float *)t->data + ((f * t->dim[1] + y) * t->dim[2] + x) * 2;
}

Test(strokes, fields_hold_vectors_at_block_centres) {
  // A point that moves 8 pixels a frame along the row y = 24 of a 64 x 64 canvas, in blocks of 16.
  vc_strokes s;
  vc_tensor t;
  cr_assert_eq(vc_strokes_parse_json(&s, "f",
                                     "{\"canvas\": [64, 64], \"strokes\": [{\"points\": [[8, 24], [40, 24]], "
                                     "\"frames\": [0, 4], \"radius\": 32}]}",
                                     &defaults, NULL),
               VC_OK);
  cr_assert_eq(vc_strokes_field(&t, &s, 6, 64, 64, 16, NULL), VC_OK);
  int64_t want_dim[] = {6, 64, 64, 2};
  cr_expect_arr_eq(t.dim, want_dim, sizeof want_dim);
  for (int f = 0; f < 6; f++)
    for (int y = 0; y < 64; y++)
      for (int x = 0; x < 64; x++) {
        double distance = hypot(x - (8 + 8.0 * f), y - 24.0);
        bool centre = x % 16 == 8 && y % 16 == 8, moving = f >= 1 && f <= 4;
        double weight = !centre || !moving ? 0 : fmin(1, fmax(0, 2 * (1 - distance / 32)));
        if (centre && moving && y == 24 && x - 8 <= 8 + 8 * f && 8 + 8 * f < x + 8) weight = 1;
        cr_expect_float_eq(vector(&t, f, y, x)[0], 8 * weight, 1e-6, "frame %d, (%d, %d): %g", f, x, y,
                           (double)vector(&t, f, y, x)[0]);
        cr_expect_eq(vector(&t, f, y, x)[1], 0);
      }
  vc_tensor_free(&t);
  vc_strokes_free(&s);
}

Test(strokes, canvases_are_stretched_over_the_field) {
  // The same drawing on a canvas of twice the size gives the same field; strength scales it.
  static const char *const text[] = {
      "{\"canvas\": [128, 64], \"background\": [1, -2], \"strokes\": [{\"points\": [[20, 20], [100, 44]], \"radius\": "
      "20}]}",
      "{\"canvas\": [256, 128], \"background\": [2, -4], \"strokes\": [{\"points\": [[40, 40], [200, 88]], \"radius\": "
      "40}]}",
      "{\"canvas\": [128, 64], \"background\": [1, -2], \"strokes\": [{\"points\": [[20, 20], [100, 44]], \"radius\": "
      "20, "
      "\"strength\": 0.5}]}"};
  vc_tensor t[3];
  for (int i = 0; i < 3; i++) {
    vc_strokes s;
    cr_assert_eq(vc_strokes_parse_json(&s, "f", text[i], &defaults, NULL), VC_OK);
    cr_assert_eq(vc_strokes_field(&t[i], &s, 9, 64, 128, 8, NULL), VC_OK);
    vc_strokes_free(&s);
  }
  size_t count = vc_tensor_count(&t[0]);
  for (size_t i = 0; i < count; i++)
    cr_assert_float_eq(((float *)t[0].data)[i], ((float *)t[1].data)[i], 1e-5f, "element %zu", i);
  // Where the point is, motion is the stroke's (80 / 15 a frame), or half of it; far from it, the background's.
  cr_expect_float_eq(vector(&t[0], 3, 28, 36)[0], 80.0 / 15, 1e-5);
  cr_expect_float_eq(vector(&t[2], 3, 28, 36)[0], 40.0 / 15, 1e-5);
  cr_expect_float_eq(vector(&t[0], 3, 60, 124)[0], 1, 1e-6);
  cr_expect_float_eq(vector(&t[0], 3, 60, 124)[1], -2, 1e-6);
  cr_expect_eq(vector(&t[0], 0, 60, 124)[1], 0);
  for (int i = 0; i < 3; i++) vc_tensor_free(&t[i]);
}

Test(strokes, a_small_radius_still_moves_its_block) {
  vc_strokes s;
  vc_tensor t;
  cr_assert_eq(vc_strokes_parse_json(&s, "f",
                                     "{\"canvas\": [64, 64], \"strokes\": [{\"points\": [[1, 1], [1, 13]], \"frames\": "
                                     "[0, 4], \"radius\": 1}]}",
                                     &defaults, NULL),
               VC_OK);
  cr_assert_eq(vc_strokes_field(&t, &s, 5, 64, 64, 16, NULL), VC_OK);
  int nonzero = 0;
  for (size_t i = 0; i < vc_tensor_count(&t); i++) nonzero += ((float *)t.data)[i] != 0;
  cr_expect_eq(nonzero, 4, "%d values", nonzero);
  for (int f = 1; f < 5; f++) cr_expect_eq(vector(&t, f, 8, 8)[1], 3);
  vc_tensor_free(&t);
  vc_strokes_free(&s);
}

Test(strokes, the_nearer_stroke_counts) {
  vc_strokes s;
  vc_tensor t;
  cr_assert_eq(vc_strokes_parse_text(&s, "40,72 -> 55,72; 120,72 -> 120,87", &defaults, NULL), VC_OK);
  s.stroke[0].radius = s.stroke[1].radius = 100;
  cr_assert_eq(vc_strokes_field(&t, &s, 16, 256, 256, 16, NULL), VC_OK);
  cr_expect(vector(&t, 1, 72, 40)[0] == 1 && vector(&t, 1, 72, 40)[1] == 0);
  cr_expect(vector(&t, 1, 72, 120)[0] == 0 && vector(&t, 1, 72, 120)[1] == 1);
  vc_tensor_free(&t);
  vc_strokes_free(&s);
}
