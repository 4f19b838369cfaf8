// Optical flow and the metrics that are made of it: known motions, known errors, and what has no answer.
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/metrics.h"
#include "tests/media_fixtures.h"

enum { W = 96, H = 80 };

// A smooth pattern, moved by (dx, dy).
static vc_image pattern(int width, int height, double dx, double dy) {
  vc_image image;
  cr_assert_eq(vc_image_new(&image, width, height, NULL), VC_OK);
  for (int y = 0; y < height; y++)
    for (int x = 0; x < width; x++) {
      double u = x - dx, v = y - dy;
      double wave = sin(u * 0.31) * cos(v * 0.27) + 0.7 * sin(u * 0.11 + v * 0.17) + 0.5 * cos(u * 0.05 - v * 0.23);
      memset(image.rgb + 3 * ((size_t)y * (size_t)width + (size_t)x), (int)lrint(128 + 50 * wave), 3);
    }
  return image;
}

Test(optical_flow, finds_how_far_a_pattern_moved) {
  static const double moves[][2] = {{0, 0}, {1, 0}, {0, -1.5}, {2.5, 1}, {-6, 3}, {0.25, 0.25}};
  static float flow[2 * W * H];
  vc_flow_options options = vc_default_flow_options();
  for (size_t i = 0; i < sizeof moves / sizeof *moves; i++) {
    vc_image a = pattern(W, H, 0, 0), b = pattern(W, H, moves[i][0], moves[i][1]);
    cr_assert_eq(vc_optical_flow(flow, &a, &b, &options, NULL), VC_OK);
    double worst = 0;
    for (int y = 16; y < H - 16; y++)
      for (int x = 16; x < W - 16; x++)
        worst =
            fmax(worst, hypot((double)flow[y * W + x] - moves[i][0], (double)flow[W * H + y * W + x] - moves[i][1]));
    cr_expect(worst < 0.3, "moved by %g, %g: off by %g", moves[i][0], moves[i][1], worst);
    vc_image_free(&a);
    vc_image_free(&b);
  }
}

Test(optical_flow, any_size_has_a_flow) {
  static const int sizes[][2] = {{1, 1}, {1, 40}, {40, 1}, {5, 5}, {31, 64}, {33, 33}};
  static float flow[2 * 64 * 64];
  vc_flow_options options = vc_default_flow_options();
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    vc_image a = pattern(sizes[i][0], sizes[i][1], 0, 0), b = pattern(sizes[i][0], sizes[i][1], 1, 1);
    cr_assert_eq(vc_optical_flow(flow, &a, &b, &options, NULL), VC_OK);
    for (int k = 0; k < 2 * sizes[i][0] * sizes[i][1]; k++) cr_expect(isfinite(flow[k]), "size %zu, element %d", i, k);
    vc_image_free(&a);
    vc_image_free(&b);
  }
}

Test(optical_flow, numbers_out_of_range_are_refused) {
  static const struct {
    vc_flow_options options;
    const char *name;
  } cases[] = {{{1, 3, 15, 3, 5, 1.2}, "pyr_scale"},        {{0, 3, 15, 3, 5, 1.2}, "pyr_scale"},
               {{NAN, 3, 15, 3, 5, 1.2}, "pyr_scale"},      {{0.5, 0, 15, 3, 5, 1.2}, "levels"},
               {{0.5, 3, 0, 3, 5, 1.2}, "winsize"},         {{0.5, 3, 15, 0, 5, 1.2}, "iterations"},
               {{0.5, 3, 15, 3, 32, 1.2}, "poly_n"},        {{0.5, 3, 15, 3, 5, 0}, "poly_sigma"},
               {{0.5, 3, 15, 3, 5, INFINITY}, "poly_sigma"}};
  static float flow[2 * W * H];
  vc_image a = pattern(W, H, 0, 0), b = pattern(W, H - 1, 0, 0);
  vc_error error;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    cr_expect_eq(vc_optical_flow(flow, &a, &a, &cases[i].options, &error), VC_INVALID, "case %zu", i);
    cr_expect(fixture_message_has(&error, cases[i].name), "%s", error.message);
  }
  vc_flow_options options = vc_default_flow_options();
  cr_expect_eq(vc_optical_flow(flow, &a, &b, &options, &error), VC_INVALID);
  vc_image_free(&a);
  vc_image_free(&b);
}

Test(metrics, consistency_is_a_mean_cosine) {
  static const float features[] = {1, 0, 0, 2, 0, 0, 0, 3, 0, 0, -1, 0};
  double value;
  cr_assert_eq(vc_frame_consistency(features, 2, 3, &value, NULL), VC_OK);
  cr_expect_eq(value, 1);
  cr_assert_eq(vc_frame_consistency(features, 4, 3, &value, NULL), VC_OK);
  cr_expect(fabs(value - 0) < 1e-15, "%g", value);  // 1, 0 and -1
  static const float zero[] = {1, 0, 0, 0}, broken[] = {1, 0, NAN, 0}, endless[] = {1, 0, INFINITY, 0};
  cr_expect_eq(vc_frame_consistency(features, 1, 3, &value, NULL), VC_FAILED);
  cr_expect_eq(vc_frame_consistency(zero, 2, 2, &value, NULL), VC_FAILED);
  cr_expect_eq(vc_frame_consistency(broken, 2, 2, &value, NULL), VC_FAILED);
  cr_expect_eq(vc_frame_consistency(endless, 2, 2, &value, NULL), VC_FAILED);
}

Test(metrics, end_points_are_measured_in_pixels) {
  float a[8] = {0, 1, 2, 3, 0, 0, 0, 0}, b[8] = {3, 1, 2, 3, 4, 0, 0, 0};
  double value;
  cr_assert_eq(vc_end_point_error(a, b, 1, 4, &value, NULL), VC_OK);
  cr_expect_eq(value, 1.25);
  cr_assert_eq(vc_end_point_error(a, b, 2, 2, &value, NULL), VC_OK);
  cr_expect_eq(value, (3 + 4) / 4.0);
  cr_expect_eq(vc_end_point_error(a, b, 0, 4, &value, NULL), VC_FAILED);
  a[5] = NAN;
  cr_expect_eq(vc_end_point_error(a, b, 1, 4, &value, NULL), VC_FAILED);
}

static vc_tensor constant_flow(int frames, int height, int width, float x, float y) {
  vc_tensor flow;
  cr_assert_eq(vc_tensor_new(&flow, VC_F32, 4, (const int64_t[]){frames, 2, height, width}, NULL), VC_OK);
  for (int i = 0; i < frames * 2 * height * width; i++) ((float *)flow.data)[i] = i / (height * width) % 2 ? y : x;
  return flow;
}

Test(metrics, a_video_is_measured_against_a_field) {
  // A field of half the size: its pixels are two of the video's.
  vc_tensor flow = constant_flow(2, 16, 24, 4, -2), motion;
  vc_motion_error out;
  vc_error error;
  cr_assert_eq(vc_tensor_new(&motion, VC_F32, 4, (const int64_t[]){3, 8, 12, 2}, NULL), VC_OK);
  float *v = motion.data;
  cr_expect_eq(vc_motion_field_error(&out, &flow, &motion, &error), VC_FAILED);
  cr_expect(fixture_message_has(&error, "nothing moves"), "%s", error.message);
  v[0] = 100;  // frame 0 has nothing before it and does not count
  v[(96 + 40) * 2] = 2;
  v[(96 + 40) * 2 + 1] = -1;
  cr_assert_eq(vc_motion_field_error(&out, &flow, &motion, NULL), VC_OK);
  cr_expect_eq(out.vectors, 1);
  cr_expect(fabs(out.value) < 1e-6, "%g", out.value);
  v[(192 + 5) * 2] = -2;
  v[(192 + 5) * 2 + 1] = 1;
  cr_assert_eq(vc_motion_field_error(&out, &flow, &motion, NULL), VC_OK);
  cr_expect_eq(out.vectors, 2);
  cr_expect(fabs(out.value - hypot(8, 4) / 2) < 1e-6, "the wrong way: %g", out.value);
  motion.dim[0] = 2;
  cr_expect_eq(vc_motion_field_error(&out, &flow, &motion, &error), VC_FAILED);
  vc_tensor_free(&flow);
  vc_tensor_free(&motion);
}

Test(metrics, a_video_is_measured_against_vectors) {
  // The video shows the middle of a picture twice as large and wider.
  vc_tensor flow = constant_flow(1, 16, 16, 3, 0);
  vc_motion_error out;
  vc_vector rows[4] = {{-1, 16, 16, 0, 0, 24, 16, 12, 0, 2},  // 6 pixels there are 3 here
                       {-1, 16, 16, 0, 0, 24, 16, 0, 0, 2},   // stands still: 3 off
                       {1, 16, 16, 0, 0, 24, 16, 12, 0, 2},   // from the future: not counted
                       {-1, 16, 16, 0, 0, 0, 16, 12, 0, 2}};  // cut off
  for (int i = 0; i < 4; i++) rows[i][VC_VECTOR_MOTION_X] = (int16_t)-rows[i][VC_VECTOR_MOTION_X];
  int64_t offset[] = {0, 0, 4};
  vc_vectors v = {.frames = 2, .offset = offset, .row = rows};
  cr_assert_eq(vc_motion_vectors_error(&out, &flow, &v, 32, 48, NULL), VC_OK);
  cr_expect_eq(out.vectors, 2);
  cr_expect(fabs(out.value - 1.5) < 1e-6, "%g", out.value);
  rows[1][VC_VECTOR_SCALE] = 0;
  cr_expect_eq(vc_motion_vectors_error(&out, &flow, &v, 32, 48, NULL), VC_FAILED);
  v.frames = 1;
  cr_expect_eq(vc_motion_vectors_error(&out, &flow, &v, 32, 48, NULL), VC_FAILED);
  vc_tensor_free(&flow);
}

Test(metrics, clips_have_a_flow_between_each_two_frames) {
  vc_frames clip = fixture_clip(3, 40, 36, 4), one = fixture_clip(1, 40, 36, 4);
  vc_flow_options options = vc_default_flow_options();
  vc_tensor flow;
  cr_assert_eq(vc_clip_flow(&flow, &clip, &options, NULL), VC_OK);
  cr_expect_eq(flow.dim[0], 2);
  cr_expect_eq(flow.dim[2], 36);
  vc_tensor_free(&flow);
  cr_expect_eq(vc_clip_flow(&flow, &one, &options, NULL), VC_FAILED);
  cr_expect_null(flow.data);
  vc_frames_free(&clip);
  vc_frames_free(&one);
}
