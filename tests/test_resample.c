// Resizing and cropping against Pillow's and torchvision's own results, to the byte.
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "loaders/resample.h"
#include "tests/media_fixtures.h"

#define GOLDEN "tests/data/golden/"

static vc_tensor_file open_golden(const char *path) {
  vc_tensor_file file;
  vc_error error;
  cr_assert_eq(vc_tensor_file_open(&file, path, &error), VC_OK, "%s", error.message);
  return file;
}

static const vc_tensor *find(const vc_tensor_file *file, const char *format, int i) {
  char name[64];
  snprintf(name, sizeof name, format, i);
  return vc_tensor_file_find(file, name);
}

static vc_image view(const vc_tensor *tensor) {
  cr_assert_eq(tensor->dtype, VC_U8);
  cr_assert_eq(tensor->rank, 3);
  return (vc_image){(int)tensor->dim[1], (int)tensor->dim[0], tensor->data};
}

static void expect_equal(const vc_image *got, const vc_tensor *expected, const char *what, int i) {
  cr_assert(expected, "%s %d has no reference", what, i);
  vc_image want = view(expected);
  cr_assert_eq(got->width, want.width, "%s %d: width %d, not %d", what, i, got->width, want.width);
  cr_assert_eq(got->height, want.height, "%s %d: height %d, not %d", what, i, got->height, want.height);
  size_t bytes = (size_t)want.width * (size_t)want.height * 3;
  for (size_t k = 0; k < bytes; k++)
    if (got->rgb[k] != want.rgb[k])
      cr_assert_fail("%s %d: byte %zu is %d, not %d", what, i, k, got->rgb[k], want.rgb[k]);
}

Test(resample, equals_pillow) {
  static const struct {
    const char *path;
    vc_filter filter;
  } cases[] = {{GOLDEN "resize_box.safetensors", VC_BOX},
               {GOLDEN "resize_bilinear.safetensors", VC_BILINEAR},
               {GOLDEN "resize_bicubic.safetensors", VC_BICUBIC},
               {GOLDEN "resize_lanczos.safetensors", VC_LANCZOS}};
  for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
    vc_tensor_file file = open_golden(cases[c].path);
    int checked = 0;
    for (const vc_tensor *in; (in = find(&file, "input/image%d", checked)); checked++) {
      const vc_tensor *expected = find(&file, "output/image%d", checked);
      vc_image image = view(in), out;
      vc_error error;
      cr_assert_eq(vc_image_resize(&out, &image, (int)expected->dim[1], (int)expected->dim[0], cases[c].filter, &error),
                   VC_OK, "%s", error.message);
      expect_equal(&out, expected, cases[c].path, checked);
      vc_image_free(&out);
    }
    cr_expect_eq(checked, 7, "%s holds %d pictures", cases[c].path, checked);
    vc_tensor_file_close(&file);
  }
}

Test(resample, crops_equal_the_released_transforms) {
  static const int sizes[] = {32, 33, 24, 33, 24, 33};
  vc_tensor_file file = open_golden(GOLDEN "center_crop.safetensors");
  for (int i = 0; i < 6; i++) {
    vc_image image = view(find(&file, "input/image%d", i)), out;
    vc_error error;
    cr_assert_eq(vc_center_crop_v2(&out, &image, sizes[i], &error), VC_OK, "%s", error.message);
    expect_equal(&out, find(&file, "output/v2_%d", i), "v2", i);
    vc_image_free(&out);
    cr_assert_eq(vc_clip_resize(&out, &image, sizes[i], &error), VC_OK, "%s", error.message);
    expect_equal(&out, find(&file, "output/clip_%d", i), "clip", i);
    vc_image_free(&out);
  }
  vc_tensor_file_close(&file);
}

Test(resample, sizes_and_origins_round_as_the_reference) {
  static const struct {
    int height, width, size, out_height, out_width;
  } sides[] = {{480, 854, 256, 256, 455}, {854, 480, 256, 455, 256}, {426, 550, 384, 384, 495},
               {100, 100, 7, 7, 7},       {3, 10, 2, 2, 6},          {1, 16384, 1, 1, 16384}};
  for (size_t i = 0; i < sizeof sides / sizeof *sides; i++) {
    int height, width;
    vc_short_side(sides[i].height, sides[i].width, sides[i].size, &height, &width);
    cr_expect_eq(height, sides[i].out_height, "case %zu: %d", i, height);
    cr_expect_eq(width, sides[i].out_width, "case %zu: %d", i, width);
  }
  // Margins of 0.5, 1.5, 2.5 go to the even neighbour.
  static const int origins[][3] = {{11, 10, 0}, {13, 10, 2}, {15, 10, 2}, {17, 10, 4}, {10, 10, 0}, {14, 10, 2}};
  for (size_t i = 0; i < sizeof origins / sizeof *origins; i++)
    cr_expect_eq(vc_crop_origin(origins[i][0], origins[i][1]), origins[i][2], "case %zu", i);
}

Test(resample, misc_frames_are_square_and_centred) {
  vc_image image = fixture_image(100, 60), out, scaled, middle;
  cr_assert_eq(vc_misc_resize(&out, &image, 48, VC_BICUBIC, NULL), VC_OK);
  cr_expect(out.width == 48 && out.height == 48);
  cr_assert_eq(vc_image_resize(&scaled, &image, 80, 48, VC_BICUBIC, NULL), VC_OK);
  cr_assert_eq(vc_crop(&middle, &scaled, 16, 0, 48, 48, NULL), VC_OK);
  cr_expect_arr_eq(out.rgb, middle.rgb, 48 * 48 * 3);
  vc_image_free(&image);
  vc_image_free(&out);
  vc_image_free(&scaled);
  vc_image_free(&middle);
}

Test(resample, nothing_changes_at_the_same_size) {
  vc_image image = fixture_image(31, 17), out;
  for (int filter = VC_BOX; filter <= VC_LANCZOS; filter++) {
    cr_assert_eq(vc_image_resize(&out, &image, 31, 17, (vc_filter)filter, NULL), VC_OK);
    cr_expect_arr_eq(out.rgb, image.rgb, 31 * 17 * 3);
    vc_image_free(&out);
  }
  vc_image_free(&image);
}

Test(resample, extreme_shapes) {
  static const int sizes[][4] = {{1, 1, 300, 200},  {300, 200, 1, 1}, {16384, 1, 1, 700},
                                 {1, 16384, 70, 1}, {2, 2, 3, 1},     {5, 3, 16384, 2}};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
    for (int filter = VC_BOX; filter <= VC_LANCZOS; filter++) {
      vc_image image, out;
      cr_assert_eq(vc_image_new(&image, sizes[i][0], sizes[i][1], NULL), VC_OK);
      memset(image.rgb, 137, (size_t)image.width * (size_t)image.height * 3);
      cr_assert_eq(vc_image_resize(&out, &image, sizes[i][2], sizes[i][3], (vc_filter)filter, NULL), VC_OK);
      size_t count = (size_t)out.width * (size_t)out.height * 3, same = 0;
      while (same < count && out.rgb[same] == 137) same++;
      cr_assert_eq(same, count, "case %zu: byte %zu of a flat picture became %d", i, same,
                   out.rgb[same < count ? same : 0]);
      vc_image_free(&image);
      vc_image_free(&out);
    }
}

Test(resample, impossible_requests_are_refused) {
  vc_image image = fixture_image(20, 10), empty = {0}, out;
  vc_error error;
  static const int sizes[][2] = {{0, 5}, {5, 0}, {-1, 5}, {16385, 5}, {16384, 16385}};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    cr_expect_eq(vc_image_resize(&out, &image, sizes[i][0], sizes[i][1], VC_BICUBIC, &error), VC_INVALID, "case %zu",
                 i);
    cr_expect_null(out.rgb);
  }
  static const int crops[][4] = {{-1, 0, 5, 5}, {0, -1, 5, 5}, {16, 0, 5, 5}, {0, 6, 5, 5}, {0, 0, 21, 5},
                                 {0, 0, 0, 5},  {1, 0, 20, 5}, {0, 0, 5, -1}, {21, 0, 1, 1}};
  for (size_t i = 0; i < sizeof crops / sizeof *crops; i++)
    cr_expect_eq(vc_crop(&out, &image, crops[i][0], crops[i][1], crops[i][2], crops[i][3], &error), VC_INVALID,
                 "case %zu", i);
  cr_expect_eq(vc_center_crop_v2(&out, &image, 0, &error), VC_INVALID);
  cr_expect_eq(vc_center_crop_v2(&out, &image, 1 << 30, &error), VC_INVALID);
  cr_expect_eq(vc_clip_resize(&out, &image, -3, &error), VC_INVALID);
  cr_expect_eq(vc_misc_resize(&out, &empty, 384, VC_BICUBIC, &error), VC_INVALID);
  cr_expect_eq(vc_image_resize(&out, &empty, 4, 4, VC_BICUBIC, &error), VC_INVALID);
  vc_image thin = fixture_image(2000, 1);  // to 16 high it would be 32000 wide
  cr_expect_eq(vc_clip_resize(&out, &thin, 16, &error), VC_INVALID);
  vc_image_free(&thin);
  vc_image_free(&image);
}

Test(resample, tensors_are_planes_in_range) {
  static uint8_t bytes[2 * 3 * 3];
  for (int i = 0; i < 18; i++) bytes[i] = (uint8_t)(i * 15);
  vc_image image = {3, 2, bytes};
  float x[18];
  vc_to_tensor(x, &image);
  for (int c = 0; c < 3; c++)
    for (int i = 0; i < 6; i++) cr_expect_eq(x[c * 6 + i], (float)bytes[i * 3 + c] / 255);
  vc_normalise(x, 3, 6, vc_clip_mean, vc_clip_std);
  cr_expect(fabsf(x[17] - (1.0f - 0.40821073f) / 0.27577711f) <= 1e-6f);
  cr_expect_eq(x[0], (0.0f - 0.48145466f) / 0.26862954f);
  cr_expect_eq(x[6], (15.0f / 255 - 0.4578275f) / 0.26130258f);
}

Test(resample, masks_take_the_nearest_sample) {
  float mask[48], out[36];
  for (int i = 0; i < 48; i++) mask[i] = (float)i;
  vc_resize_nearest(out, 1, 36, mask, 1, 48, sizeof *mask);
  for (int i = 0; i < 36; i++) cr_expect_eq(out[i], (float)(i * 48 / 36), "sample %d is %g", i, out[i]);
  uint8_t small[] = {1, 2, 3, 4}, large[16];
  static const uint8_t expected[] = {1, 1, 2, 2, 1, 1, 2, 2, 3, 3, 4, 4, 3, 3, 4, 4};
  vc_resize_nearest(large, 4, 4, small, 2, 2, 1);
  cr_expect_arr_eq(large, expected, 16);
}

Test(resample, masked_condition_leaves_the_hole_at_zero) {
  float frames[2 * 3 * 2], out[2 * 4 * 2];
  static const float mask[2] = {0, 1};
  for (int i = 0; i < 12; i++) frames[i] = (float)i / 11;
  vc_masked_condition(out, frames, mask, 2, 2);
  for (int t = 0; t < 2; t++) {
    for (int c = 0; c < 3; c++) {
      float kept = out[(t * 4 + c) * 2], hole = out[(t * 4 + c) * 2 + 1];
      cr_expect(fabsf(kept - (frames[(t * 3 + c) * 2] * 2 - 1)) <= 1e-6f, "frame %d channel %d: %g", t, c, kept);
      cr_expect_eq(hole, 0);
    }
    cr_expect_eq(out[(t * 4 + 3) * 2], 1);
    cr_expect_eq(out[(t * 4 + 3) * 2 + 1], 0);
  }
}
