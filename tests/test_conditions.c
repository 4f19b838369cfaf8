// From files to conditions: sizes, cuts, values, layouts of tensors, masks, and the choice of frames.
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/clips.h"
#include "engine/condition_tensor.h"
#include "engine/conditions.h"
#include "engine/masks.h"
#include "loaders/npy.h"
#include "loaders/resample.h"
#include "loaders/safetensors.h"
#include "tests/media_fixtures.h"

static vc_model_config config_of(int64_t side) {
  vc_model_config config = {.height = side, .width = side};
  config.preprocessing.misc_size = side * 3 / 2;
  return config;
}

// ---- pictures

Test(conditions, sides_follow_the_request) {
  static const struct {
    int64_t own, size, height, width;
    int want_height, want_width;
  } cases[] = {{256, 384, 256, 256, 384, 384}, {256, 384, 128, 192, 192, 288}, {128, 128, 128, 192, 128, 192},
               {256, 256, 512, 512, 512, 512}, {256, 384, 8, 8192, 12, 12288}, {8, 384, 8192, 8192, 16384, 16384}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    vc_model_config config = config_of(cases[i].own);
    int height, width;
    vc_condition_sides(&config, cases[i].size, cases[i].height, cases[i].width, &height, &width);
    cr_expect_eq(height, cases[i].want_height, "case %zu: %d", i, height);
    cr_expect_eq(width, cases[i].want_width, "case %zu: %d", i, width);
  }
}

Test(conditions, covering_a_square_is_the_released_resize) {
  static const int sizes[][2] = {{131, 77}, {77, 131}, {100, 100}, {384, 384}, {640, 360}, {33, 500}};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    vc_image in = fixture_image(sizes[i][0], sizes[i][1]), a = {0}, b = {0};
    cr_assert_eq(vc_cover(&a, &in, 96, 96, NULL), VC_OK);
    cr_assert_eq(vc_misc_resize(&b, &in, 96, VC_BICUBIC, NULL), VC_OK);
    cr_expect_arr_eq(a.rgb, b.rgb, 96 * 96 * 3, "case %zu", i);
    vc_image_free(&in);
    vc_image_free(&a);
    vc_image_free(&b);
  }
}

Test(conditions, covering_keeps_proportions_and_the_middle) {
  // A picture whose left half is black and whose right half is white: the edge stays in the middle.
  static const int wanted[][2] = {{60, 30}, {30, 60}, {17, 90}, {90, 17}, {45, 45}};
  for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
    vc_image in = {0}, out = {0};
    cr_assert_eq(vc_image_new(&in, 200, 100, NULL), VC_OK);
    for (int p = 0; p < 200 * 100; p++) memset(in.rgb + 3 * p, p % 200 < 100 ? 0 : 255, 3);
    cr_assert_eq(vc_cover(&out, &in, wanted[i][0], wanted[i][1], NULL), VC_OK);
    cr_assert_eq(out.width, wanted[i][0]);
    cr_assert_eq(out.height, wanted[i][1]);
    const uint8_t *row = out.rgb + 3 * (out.height / 2) * out.width;
    cr_expect_eq(row[3 * (out.width / 2 - 2)], 0, "case %zu", i);
    cr_expect_eq(row[3 * (out.width / 2 + 2)], 255, "case %zu", i);
    vc_image_free(&in);
    vc_image_free(&out);
  }
}

Test(conditions, pictures_become_numbers) {
  vc_preprocessing_config config = {.clip_size = 2, .clip_mean = {0.5, 0.25, 0}, .clip_std = {0.5, 1, 2}};
  uint8_t pixels[] = {0, 51, 255, 255, 102, 0, 51, 153, 102, 204, 0, 51};
  vc_image image = {2, 2, pixels};
  vc_tensor t;
  cr_assert_eq(vc_condition_image(&t, &image, 2, 2, NULL), VC_OK);
  cr_assert_eq(t.rank, 4);
  for (int i = 0; i < 12; i++) cr_expect_eq(((float *)t.data)[i], (float)pixels[i] / 255);
  vc_tensor_free(&t);
  cr_assert_eq(vc_condition_style(&t, &image, false, &config, NULL), VC_OK);
  cr_assert_eq(t.rank, 3);
  for (int i = 0; i < 12; i++) {
    float want = ((float)pixels[i] / 255 - (float)config.clip_mean[i % 3]) / (float)config.clip_std[i % 3];
    cr_expect_float_eq(((float *)t.data)[i], want, 1e-6f, "value %d", i);
  }
  vc_tensor_free(&t);
}

Test(conditions, style_pictures_and_style_frames_are_cut_as_released) {
  vc_preprocessing_config config = {.clip_size = 64, .clip_std = {1, 1, 1}};
  vc_image in = fixture_image(200, 301), want = {0};
  for (int of_video = 0; of_video < 2; of_video++) {
    vc_tensor t;
    cr_assert_eq(vc_condition_style(&t, &in, of_video, &config, NULL), VC_OK);
    cr_assert_eq(of_video ? vc_center_crop_v2(&want, &in, 64, NULL) : vc_clip_resize(&want, &in, 64, NULL), VC_OK);
    for (int i = 0; i < 64 * 64 * 3; i++) cr_assert_float_eq(((float *)t.data)[i] * 255, want.rgb[i], 1e-3f);
    vc_tensor_free(&t);
    vc_image_free(&want);
  }
  vc_image_free(&in);
}

// ---- sequences of pictures

static vc_frames gray_clip(int count, int side) {
  vc_frames clip;
  cr_assert_eq(vc_frames_new(&clip, count, side, side, 8, NULL), VC_OK);
  size_t frame = (size_t)side * (size_t)side * 3;
  for (int f = 0; f < count; f++) memset(clip.rgb + (size_t)f * frame, 10 * f, frame);
  return clip;
}

Test(conditions, gray_frames_keep_their_value) {
  vc_frames clip = gray_clip(4, 6);
  const int index[] = {3, 1, 1, 0, 2};
  vc_tensor t;
  cr_assert_eq(vc_condition_gray(&t, &clip, index, 5, 6, 6, 1 / 127.5, NULL), VC_OK);
  cr_assert(t.dim[0] == 5 && t.dim[1] == 6 && t.dim[2] == 6 && t.dim[3] == 1);
  for (int i = 0; i < 5 * 36; i++)
    cr_assert_float_eq(((float *)t.data)[i], 10.0f * (float)index[i / 36] / 127.5f, 1e-7f);
  vc_tensor_free(&t);
  vc_clip_invert(&clip);
  cr_assert_eq(clip.rgb[0], 255);
  cr_expect_float_eq(vc_clip_brightness(&clip), (255 - 15) / 255.0, 1e-6);
  vc_frames_free(&clip);
}

Test(conditions, init_frames_have_the_autoencoders_range) {
  vc_preprocessing_config config = {.video_mean = {0.5, 0.5, 0.5}, .video_std = {0.5, 0.5, 0.5}};
  vc_frames clip = fixture_clip(3, 90, 70, 8);
  const int index[] = {0, 2};
  static const int sides[][2] = {{32, 32}, {32, 64}};
  for (int i = 0; i < 2; i++) {
    vc_tensor t;
    vc_image want = {0}, last = vc_frames_image(&clip, 2);
    int height = sides[i][0], width = sides[i][1];
    cr_assert_eq(vc_condition_init(&t, &clip, index, 2, height, width, &config, NULL), VC_OK);
    cr_assert_eq(i ? vc_cover(&want, &last, width, height, NULL) : vc_center_crop_v2(&want, &last, 32, NULL), VC_OK);
    const float *second = (float *)t.data + height * width * 3;
    for (int k = 0; k < height * width * 3; k++) cr_assert_float_eq(second[k], (float)want.rgb[k] / 127.5f - 1, 1e-6f);
    vc_tensor_free(&t);
    vc_image_free(&want);
  }
  vc_frames_free(&clip);
}

Test(conditions, sequences_are_cut_padded_or_refused) {
  static const struct {
    int want, have;
    vc_pad pad;
    vc_status status;
    int index[6];
  } cases[] = {{4, 6, VC_PAD_REFUSE, VC_OK, {0, 1, 2, 3}},
               {3, 3, VC_PAD_REFUSE, VC_OK, {0, 1, 2}},
               {5, 3, VC_PAD_REFUSE, VC_FAILED, {0}},
               {5, 3, VC_PAD_HOLD, VC_OK, {0, 1, 2, 2, 2}},
               {6, 4, VC_PAD_LOOP, VC_OK, {0, 1, 2, 3, 0, 1}},
               {4, 1, VC_PAD_REFUSE, VC_OK, {0, 0, 0, 0}},
               {1, 5, VC_PAD_LOOP, VC_OK, {0}}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    int index[6] = {0};
    vc_error error;
    vc_status status = vc_sequence_select(index, cases[i].want, cases[i].have, cases[i].pad, &error);
    cr_expect_eq(status, cases[i].status, "case %zu", i);
    if (status)
      cr_expect(fixture_message_has(&error, "has 3 frames"), "%s", error.message);
    else
      cr_expect_arr_eq(index, cases[i].index, sizeof(int) * (size_t)cases[i].want, "case %zu", i);
  }
}

Test(conditions, clips_are_sampled_by_time) {
  static const struct {
    int count;
    double clip_fps, fps;
    int want;
    double rate;
    int index[8];
  } cases[] = {
      {8, 4, 4, 8, 4, {0, 1, 2, 3, 4, 5, 6, 7}},       // its own rate
      {40, 20, 4, 4, 4, {2, 7, 12, 17}},               // every fifth
      {8, 10, 4, 8, 10, {0, 1, 2, 3, 4, 5, 6, 7}},     // too short for the rate, but with enough frames
      {20, 20, 4, 8, 9, {1, 3, 5, 7, 9, 12, 14, 16}},  // faster than asked for, as the released code
      {1, 8, 4, 4, 4, {0, 0, 0, 0}},                   // a picture
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    vc_frames clip;
    int index[8];
    double rate = 0;
    vc_error error;
    cr_assert_eq(vc_frames_new(&clip, cases[i].count, 4, 4, cases[i].clip_fps, NULL), VC_OK);
    cr_expect_eq(vc_clip_select(index, cases[i].want, &clip, cases[i].fps, VC_PAD_REFUSE, &rate, &error), VC_OK, "%zu",
                 i);
    cr_expect_float_eq(rate, cases[i].rate, 1e-9, "case %zu: %g", i, rate);
    for (int k = 0; k < cases[i].want; k++)
      cr_expect_eq(index[k], cases[i].index[k], "case %zu, frame %d: %d", i, k, index[k]);
    vc_frames_free(&clip);
  }
  vc_frames clip;
  int index[8];
  double rate;
  vc_error error;
  cr_assert_eq(vc_frames_new(&clip, 5, 4, 4, 10, NULL), VC_OK);
  cr_expect_eq(vc_clip_select(index, 8, &clip, 4, VC_PAD_REFUSE, &rate, &error), VC_FAILED);
  cr_expect(fixture_message_has(&error, "has 5 frames"), "%s", error.message);
  cr_expect_eq(vc_clip_select(index, 8, &clip, 4, VC_PAD_LOOP, &rate, &error), VC_OK);
  cr_expect_eq(index[7], 2);
  vc_frames_free(&clip);
}

// ---- tensors

// Element i of a tensor holds i.
static vc_tensor counting(int rank, const int64_t *dim) {
  vc_tensor t;
  cr_assert_eq(vc_tensor_new(&t, VC_F32, rank, dim, NULL), VC_OK);
  for (size_t i = 0; i < vc_tensor_count(&t); i++) ((float *)t.data)[i] = (float)i;
  return t;
}

Test(conditions, tensors_of_every_layout_become_one) {
  // `last` is where the last value of the result comes from; `second` that of its second channel or column.
  static const struct {
    int channels, rank;
    int64_t dim[6];
    int64_t want[4];
    float second, last;
  } cases[] = {
      {1, 3, {5, 3, 4}, {5, 3, 4, 1}, 1, 59},         {1, 2, {3, 4}, {1, 3, 4, 1}, 1, 11},
      {1, 4, {5, 1, 3, 4}, {5, 3, 4, 1}, 1, 59},      {1, 4, {1, 5, 3, 4}, {5, 3, 4, 1}, 1, 59},
      {1, 4, {5, 3, 4, 1}, {5, 3, 4, 1}, 1, 59},      {1, 6, {1, 1, 1, 5, 3, 4}, {5, 3, 4, 1}, 1, 59},
      {1, 4, {1, 3, 4, 1}, {1, 3, 4, 1}, 1, 11},      {2, 4, {2, 5, 3, 4}, {5, 3, 4, 2}, 60, 119},
      {2, 4, {5, 2, 3, 4}, {5, 3, 4, 2}, 12, 119},    {2, 4, {5, 3, 4, 2}, {5, 3, 4, 2}, 1, 119},
      {2, 5, {1, 2, 5, 3, 4}, {5, 3, 4, 2}, 60, 119}, {2, 4, {1, 2, 3, 4}, {1, 3, 4, 2}, 12, 23},
      {3, 3, {3, 4, 5}, {1, 4, 5, 3}, 20, 59},        {3, 3, {4, 5, 3}, {1, 4, 5, 3}, 1, 59},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    vc_tensor in = counting(cases[i].rank, cases[i].dim), out;
    vc_tensor_kind kind = {"motion", cases[i].channels, 0, 1000};
    vc_error error = {""};
    cr_expect_eq(vc_condition_from_tensor(&out, &in, &kind, &error), VC_OK, "case %zu: %s", i, error.message);
    if (out.data) {
      cr_expect_arr_eq(out.dim, cases[i].want, sizeof cases[i].want, "case %zu", i);
      const float *value = out.data;
      cr_expect_eq(value[0], 0, "case %zu", i);
      cr_expect_eq(value[1], cases[i].second, "case %zu: %g", i, value[1]);
      cr_expect_eq(value[vc_tensor_count(&out) - 1], cases[i].last, "case %zu", i);
    }
    vc_tensor_free(&in);
    vc_tensor_free(&out);
  }
}

Test(conditions, tensors_that_do_not_fit_are_refused) {
  static const struct {
    int channels, rank;
    int64_t dim[6];
    const char *message;
  } cases[] = {{2, 4, {2, 2, 3, 4}, "more than one way"},
               {2, 4, {5, 3, 4, 7}, "is none of"},
               {1, 4, {5, 2, 3, 4}, "is none of"},
               {1, 1, {12}, "is none of"},
               {1, 5, {2, 1, 3, 4, 5}, "is none of"},
               {1, 3, {0, 3, 4}, "no frames"},
               {1, 3, {1, 2, 20000}, "above"},
               {1, 3, {4, 1, 9}, "is none of"},
               {1, 0, {0}, "is none of"}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    vc_tensor in = counting(cases[i].rank, cases[i].dim), out;
    vc_tensor_kind kind = {"motion", cases[i].channels, 0, 1e9};
    vc_error error = {""};
    cr_expect_neq(vc_condition_from_tensor(&out, &in, &kind, &error), VC_OK, "case %zu", i);
    cr_expect(fixture_message_has(&error, cases[i].message), "case %zu: %s", i, error.message);
    cr_expect_null(out.data);
    vc_tensor_free(&in);
  }
}

Test(conditions, values_must_be_finite_and_in_range) {
  static const float wrong[] = {NAN, INFINITY, -INFINITY, -0.01f, 10.01f};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    vc_tensor in, out;
    cr_assert_eq(vc_tensor_new(&in, VC_F32, 3, (const int64_t[]){2, 3, 4}, NULL), VC_OK);
    ((float *)in.data)[12 + 4 + 2] = wrong[i];
    vc_error error;
    vc_tensor_kind kind = {"depth", 1, 0, 10};
    cr_expect_eq(vc_condition_from_tensor(&out, &in, &kind, &error), VC_FAILED, "value %zu", i);
    cr_expect(fixture_message_has(&error, "frame 1, row 1, column 2"), "%s", error.message);
    vc_tensor_free(&in);
  }
}

Test(conditions, the_right_tensor_of_a_file_is_taken) {
  static const struct {
    const char *names[3], *wanted;
    float value;  // of the tensor that is found; -1: none
  } cases[] = {{{"depth"}, "depth", 1},           {{"anything"}, "depth", 1},       {{"a", "depth"}, "depth", 2},
               {{"video", "latent"}, "depth", 1}, {{"video", "depth"}, "depth", 2}, {{"a", "b"}, "depth", -1}};
  char *folder = fixture_folder(), *path = fixture_path(folder, "t.safetensors"), *npy = fixture_path(folder, "t.npy");
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    vc_named_tensor tensors[3] = {0};
    int count = 0;
    for (; count < 3 && cases[i].names[count]; count++) {
      tensors[count].name = (char *)cases[i].names[count];
      cr_assert_eq(vc_tensor_new(&tensors[count].tensor, VC_F16, 2, (const int64_t[]){2, 2}, NULL), VC_OK);
      for (int k = 0; k < 4; k++) ((uint16_t *)tensors[count].tensor.data)[k] = vc_float_to_half((float)count + 1);
    }
    cr_assert_eq(vc_safetensors_write(path, tensors, count, NULL, 0, NULL), VC_OK);
    vc_tensor out;
    vc_error error;
    vc_tensor_kind kind = {cases[i].wanted, 1, 0, 10};
    vc_status status = vc_condition_read_tensor(&out, path, &kind, &error);
    cr_expect_eq(status, cases[i].value < 0 ? VC_FAILED : VC_OK, "case %zu", i);
    if (!status) cr_expect_eq(((float *)out.data)[3], cases[i].value, "case %zu", i);
    if (status) cr_expect(fixture_message_has(&error, "none is named 'depth'"), "%s", error.message);
    vc_tensor_free(&out);
    for (int k = 0; k < count; k++) vc_tensor_free(&tensors[k].tensor);
  }
  vc_tensor array = counting(3, (const int64_t[]){2, 2, 2}), out;
  vc_tensor_kind kind = {"depth", 1, 0, 10};
  cr_assert_eq(vc_npy_write(npy, &array, NULL), VC_OK);
  cr_expect_eq(vc_condition_read_tensor(&out, npy, &kind, NULL), VC_OK);
  cr_expect_eq(((float *)out.data)[7], 7);
  vc_tensor_free(&out);
  vc_tensor_free(&array);
  free(path);
  free(npy);
  fixture_remove_folder(folder);
}

Test(conditions, a_tensor_can_be_a_clip) {
  char *folder = fixture_folder(), *path = fixture_path(folder, "clip.npy");
  vc_tensor t;
  vc_frames clip;
  cr_assert_eq(vc_tensor_new(&t, VC_F32, 4, (const int64_t[]){3, 2, 4, 5}, NULL), VC_OK);  // [c f h w]
  for (int i = 0; i < 120; i++) ((float *)t.data)[i] = (float)i / 255;
  cr_assert_eq(vc_npy_write(path, &t, NULL), VC_OK);
  cr_assert_eq(vc_clip_read(&clip, path, 2, 4, NULL), VC_OK);
  cr_assert(clip.count == 2 && clip.width == 5 && clip.height == 4);
  static const uint8_t first[] = {0, 40, 80, 1, 41, 81};
  cr_expect_arr_eq(clip.rgb, first, sizeof first);
  vc_frames_free(&clip);
  ((float *)t.data)[0] = 1.5f;
  cr_assert_eq(vc_npy_write(path, &t, NULL), VC_OK);
  cr_expect_eq(vc_clip_read(&clip, path, 2, 4, NULL), VC_FAILED);
  vc_tensor_free(&t);
  free(path);
  fixture_remove_folder(folder);
}

// ---- masks

Test(conditions, masked_videos_are_zero_in_the_hole) {
  vc_frames source = gray_clip(3, 4);
  vc_mask mask;
  const int index[] = {2, 1}, mask_index[] = {0, 1};
  vc_tensor t;
  cr_assert_eq(vc_mask_new(&mask, 2, 2, 4, NULL), VC_OK);
  // Twice as wide as high: the two columns at the sides are cut. In mask 0 the upper left is open, in mask 1 all is
  // kept but for what is cut.
  mask.data[1] = 1;
  mask.data[8 + 0] = mask.data[8 + 3] = 1;
  cr_assert_eq(vc_condition_masked(&t, &source, index, &mask, mask_index, 2, 4, 4, NULL), VC_OK);
  for (int f = 0; f < 2; f++)
    for (int y = 0; y < 4; y++)
      for (int x = 0; x < 4; x++) {
        const float *v = (float *)t.data + ((f * 4 + y) * 4 + x) * 4;
        float keep = f == 0 && y < 2 && x < 2 ? 0 : 1;
        cr_expect_eq(v[3], keep, "frame %d, (%d, %d)", f, x, y);
        float want = (10.0f * (float)index[f] / 255 * 2 - 1) * keep;
        for (int c = 0; c < 3; c++) cr_expect_float_eq(v[c], want, 1e-6f, "frame %d, (%d, %d)", f, x, y);
      }
  vc_tensor_free(&t);
  vc_mask_free(&mask);
  vc_frames_free(&source);
}

Test(conditions, masked_videos_agree_with_the_planar_ones) {
  enum { SIDE = 12, PLANE = SIDE * SIDE };
  vc_frames source = fixture_clip(2, SIDE, SIDE, 8);
  vc_mask mask;
  const int index[] = {0, 1}, zero[] = {0, 0};
  float planar_in[2 * 3 * PLANE], planar_mask[PLANE], want[2 * 4 * PLANE];
  cr_assert_eq(vc_mask_new(&mask, 1, 512, 512, NULL), VC_OK);
  vc_mask_draw(mask.data, 512, 512, VC_MASK_IRREGULAR, 3);
  uint8_t small[PLANE];
  vc_resize_nearest(small, SIDE, SIDE, mask.data, 512, 512, 1);
  int holes = 0;
  for (int i = 0; i < PLANE; i++) holes += (planar_mask[i] = small[i]) > 0;
  cr_assert(holes > 0 && holes < PLANE);
  for (int f = 0; f < 2; f++) {
    vc_image frame = vc_frames_image(&source, f);
    vc_to_tensor(planar_in + f * 3 * PLANE, &frame);
  }
  vc_masked_condition(want, planar_in, planar_mask, 2, PLANE);
  vc_tensor t;
  cr_assert_eq(vc_condition_masked(&t, &source, index, &mask, zero, 2, SIDE, SIDE, NULL), VC_OK);
  for (int f = 0; f < 2; f++)
    for (int i = 0; i < PLANE; i++)
      for (int c = 0; c < 4; c++)
        cr_assert_float_eq(((float *)t.data)[(f * PLANE + i) * 4 + c], want[(f * 4 + c) * PLANE + i], 1e-6f);
  vc_tensor_free(&t);
  vc_mask_free(&mask);
  vc_frames_free(&source);
}

Test(conditions, masks_come_from_pictures_and_tensors) {
  vc_frames clip = gray_clip(20, 2);  // frame 13 is the first above half
  vc_mask mask;
  cr_assert_eq(vc_mask_of_clip(&mask, &clip, NULL), VC_OK);
  for (int f = 0; f < 20; f++) cr_expect_eq(mask.data[f * 4 + 3], f >= 13, "frame %d", f);
  vc_mask_free(&mask);
  vc_frames_free(&clip);
  float values[] = {0, 0.49f, 0.5f, 1};
  vc_tensor t = {VC_F32, 4, {1, 2, 2, 1}, values};
  cr_assert_eq(vc_mask_of_tensor(&mask, &t, NULL), VC_OK);
  static const uint8_t want[] = {0, 0, 1, 1};
  cr_expect_arr_eq(mask.data, want, 4);
  vc_mask_free(&mask);
  cr_expect_neq(vc_mask_new(&mask, 0, 2, 2, NULL), VC_OK);
}

Test(masks, shapes_depend_on_the_seed_alone) {
  enum { SIDE = 512 };
  uint8_t *a = malloc(SIDE * SIDE), *b = malloc(SIDE * SIDE);
  for (int shape = 0; shape < VC_MASK_SHAPE_COUNT; shape++) {
    int different = 0, least = SIDE * SIDE, most = 0;
    for (uint64_t seed = 0; seed < 40; seed++) {
      vc_mask_draw(a, SIDE, SIDE, (vc_mask_shape)shape, seed);
      memset(b, 7, SIDE * SIDE);
      vc_mask_draw(b, SIDE, SIDE, (vc_mask_shape)shape, seed);
      cr_expect(!memcmp(a, b, SIDE * SIDE), "%s, seed %d", vc_mask_shape_name((vc_mask_shape)shape), (int)seed);
      vc_mask_draw(b, SIDE, SIDE, (vc_mask_shape)shape, seed + 1000);
      different += memcmp(a, b, SIDE * SIDE) != 0;
      int area = 0;
      for (int i = 0; i < SIDE * SIDE; i++) {
        cr_assert(a[i] <= 1);
        area += a[i];
      }
      least = area < least ? area : least;
      most = area > most ? area : most;
    }
    cr_expect(different >= 20, "shape %d: %d of 40 seeds differ", shape, different);
    cr_expect(least > 0 && most < SIDE * SIDE, "shape %d: %d to %d pixels", shape, least, most);
    // Halves are halves; rectangles are 30 to 149 pixels a side, 4 at most.
    if (shape == VC_MASK_UNCROP) cr_expect(least == SIDE * SIDE / 2 && most == least);
    if (shape == VC_MASK_RECTANGLE) cr_expect(least >= 900 && most <= 4 * 149 * 149);
  }
  free(a);
  free(b);
}

Test(masks, rectangles_keep_their_margin) {
  uint8_t mask[64 * 96];
  for (uint64_t seed = 0; seed < 100; seed++) {
    vc_mask_draw(mask, 64, 96, VC_MASK_RECTANGLE, seed);
    for (int x = 0; x < 96; x++) cr_assert(!mask[x] && !mask[63 * 96 + x], "seed %d", (int)seed);
    for (int y = 0; y < 64; y++) cr_assert(!mask[y * 96] && !mask[y * 96 + 95], "seed %d", (int)seed);
  }
}

Test(masks, parts_are_drawn_where_they_belong) {
  uint8_t mask[10 * 12] = {0};
  vc_mask_line line = {3, 4, 8, 4, 2};  // radius 1: three rows, rounded ends
  vc_mask_draw_line(mask, 10, 12, &line);
  for (int y = 0; y < 10; y++)
    for (int x = 0; x < 12; x++) {
      bool inside = (y == 4 && x >= 2 && x <= 9) || ((y == 3 || y == 5) && x >= 3 && x <= 8);
      cr_expect_eq(mask[y * 12 + x], inside, "(%d, %d)", x, y);
    }
  memset(mask, 0, sizeof mask);
  vc_mask_draw_line(mask, 10, 12, &(vc_mask_line){-5, -5, 40, 40, 3});  // cut at the border
  cr_expect(mask[0] && mask[9 * 12 + 9] && !mask[11] && !mask[9 * 12]);
  memset(mask, 0, sizeof mask);
  vc_mask_draw_rectangle(mask, 10, 12, -3, 8, 5, 50);
  cr_expect(mask[8 * 12] && mask[9 * 12 + 1] && !mask[9 * 12 + 2] && !mask[7 * 12]);
  static const int open[4] = {0, 9 * 12, 5 * 12, 5 * 12 + 11}, kept[4] = {5 * 12, 4 * 12, 5 * 12 + 6, 5 * 12 + 5};
  for (int side = 0; side < 4; side++) {
    memset(mask, 0, sizeof mask);
    vc_mask_draw_half(mask, 10, 12, side);
    cr_expect(mask[open[side]] && !mask[kept[side]], "side %d", side);
  }
}
