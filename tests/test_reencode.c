// The re-encode of reference videos: repeatable, equal to what its own stream holds, with the motion that is there.
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "loaders/media_out.h"
#include "loaders/reencode.h"
#include "tests/media_fixtures.h"

enum { W = 96, H = 64 };

// A pattern that moves by (dx, dy) pixels a frame.
static vc_frames moving_clip(int count, int dx, int dy) {
  vc_frames clip;
  cr_assert_eq(vc_frames_new(&clip, count, W, H, 8, NULL), VC_OK);
  for (int f = 0; f < count; f++)
    for (int y = 0; y < H; y++)
      for (int x = 0; x < W; x++) {
        double u = x - f * dx + 500, v = y - f * dy + 500;
        double wave = sin(u * 0.41) * cos(v * 0.33) + 0.6 * sin(u * 0.13 + v * 0.21) + 0.4 * cos(u * 0.07 - v * 0.11);
        for (int c = 0; c < 3; c++)
          clip.rgb[((size_t)(f * H + y) * W + (size_t)x) * 3 + (size_t)c] = (uint8_t)(128 + 55 * wave);
      }
  return clip;
}

static vc_reencoded reencode(const vc_frames *clip, const int *index, int count, vc_reencode_options options) {
  vc_reencoded out;
  vc_error error;
  options.rate = (vc_ratio){4, 1};
  cr_assert_eq(vc_reencode(&out, "clip", clip, index, count, &options, &error), VC_OK, "%s", error.message);
  return out;
}

static const int all[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

static bool same_vectors(const vc_vectors *a, const vc_vectors *b) {
  return a->frames == b->frames && !memcmp(a->type, b->type, (size_t)a->frames) &&
         !memcmp(a->offset, b->offset, ((size_t)a->frames + 1) * sizeof *a->offset) && a->offset[a->frames] > 0 &&
         !memcmp(a->row, b->row, (size_t)a->offset[a->frames] * sizeof *a->row);
}

Test(reencode, frames_and_vectors_are_those_of_the_stream) {
  vc_frames clip = moving_clip(16, 2, 0), read;
  vc_vectors vectors;
  char *folder = fixture_folder(), *path = fixture_path(folder, "a.m4v");
  vc_reencoded a = reencode(&clip, all, 16, (vc_reencode_options){.pixels = true, .keep_stream = true});
  vc_reencoded b = reencode(&clip, all, 16, (vc_reencode_options){.pixels = true, .keep_stream = true});
  cr_assert_eq(a.frames.count, 16);
  cr_expect_arr_eq(a.vectors.type, "IPPPPPPPPPPPIPPP", 16, "%.16s", a.vectors.type);
  cr_assert_eq(a.stream.size, b.stream.size);
  cr_expect_arr_eq(a.stream.data, b.stream.data, a.stream.size, "the same clip gave two streams");
  cr_expect(fixture_clip_psnr(&a.frames, &clip) > 25);
  fixture_write(path, a.stream.data, a.stream.size);
  cr_assert_eq(vc_frames_read(&read, path, NULL, NULL), VC_OK);
  cr_assert_eq(read.count, 16);
  cr_expect_arr_eq(read.rgb, a.frames.rgb, (size_t)16 * W * H * 3);
  cr_assert_eq(vc_vectors_read(&vectors, path, 0, NULL, NULL), VC_OK);
  cr_expect(same_vectors(&vectors, &a.vectors));
  vc_vectors_free(&vectors);
  vc_frames_free(&read);
  vc_reencoded_free(&a);
  vc_reencoded_free(&b);
  vc_frames_free(&clip);
  free(path);
  fixture_remove_folder(folder);
}

// Mean displacement over all blocks of the P frames.
static void mean_motion(const vc_vectors *v, double mean[2]) {
  int64_t rows = v->offset[v->frames];
  mean[0] = mean[1] = 0;
  for (int64_t i = 0; i < rows; i++)
    for (int k = 0; k < 2; k++)
      mean[k] += (double)(v->row[i][VC_VECTOR_SOURCE] * v->row[i][VC_VECTOR_MOTION_X + k]) /
                 v->row[i][VC_VECTOR_SCALE] / (double)rows;
}

Test(reencode, vectors_point_where_things_go) {
  static const int moves[][2] = {{3, 0}, {-2, 0}, {0, 2}, {1, -3}};
  for (size_t i = 0; i < sizeof moves / sizeof *moves; i++) {
    vc_frames clip = moving_clip(8, moves[i][0], moves[i][1]);
    vc_reencoded out = reencode(&clip, all, 8, (vc_reencode_options){.keep_from = 0});
    double mean[2];
    mean_motion(&out.vectors, mean);
    cr_expect(fabs(mean[0] - moves[i][0]) < 0.4 && fabs(mean[1] - moves[i][1]) < 0.4, "moved by %d, %d: %g, %g",
              moves[i][0], moves[i][1], mean[0], mean[1]);
    cr_expect_eq(out.frames.count, 0, "no pixels were wanted");
    cr_expect_eq(out.stream.size, 0);
    vc_reencoded_free(&out);
    vc_frames_free(&clip);
  }
}

Test(reencode, a_part_is_that_part_of_the_whole) {
  vc_frames clip = moving_clip(16, 2, 1);
  vc_reencoded whole = reencode(&clip, all, 16, (vc_reencode_options){.pixels = true});
  vc_reencoded part = reencode(&clip, all, 13, (vc_reencode_options){.pixels = true, .keep_from = 9});
  cr_assert_eq(part.frames.count, 4);
  cr_assert_eq(part.vectors.frames, 4);
  cr_expect_arr_eq(part.frames.rgb, vc_frames_image(&whole.frames, 9).rgb, (size_t)4 * W * H * 3);
  cr_expect_arr_eq(part.vectors.type, whole.vectors.type + 9, 4);
  for (int f = 0; f < 4; f++)
    cr_expect_eq(part.vectors.offset[f + 1] - part.vectors.offset[f],
                 whole.vectors.offset[f + 10] - whole.vectors.offset[f + 9]);
  vc_reencoded_free(&whole);
  vc_reencoded_free(&part);
  vc_frames_free(&clip);
}

Test(reencode, a_repeated_frame_stands_still) {
  vc_frames clip = moving_clip(4, 3, 0);
  static const int index[] = {0, 1, 1, 3};
  vc_reencoded out = reencode(&clip, index, 4, (vc_reencode_options){.pixels = true});
  const vc_vectors *v = &out.vectors;
  int64_t moved[4] = {0};
  for (int f = 0; f < 4; f++)
    for (int64_t i = v->offset[f]; i < v->offset[f + 1]; i++)
      moved[f] += v->row[i][VC_VECTOR_MOTION_X] || v->row[i][VC_VECTOR_MOTION_Y];
  cr_expect_eq(moved[0], 0);
  cr_expect_gt(moved[1], 8);
  cr_expect_lt(moved[2], moved[1] / 4);
  cr_expect_gt(moved[3], 8);
  vc_reencoded_free(&out);
  vc_frames_free(&clip);
}

Test(reencode, odd_and_small_sizes_are_taken) {
  static const int sizes[][2] = {{33, 17}, {16, 16}, {15, 31}, {2, 2}, {641, 3}};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    vc_frames clip = fixture_clip(3, sizes[i][0], sizes[i][1], 4);
    vc_reencoded out = reencode(&clip, all, 3, (vc_reencode_options){.pixels = true});
    cr_expect_eq(out.frames.count, 3);
    cr_expect_eq(out.frames.width, sizes[i][0]);
    cr_expect_eq(out.frames.height, sizes[i][1]);
    vc_reencoded_free(&out);
    vc_frames_free(&clip);
  }
}

Test(reencode, what_cannot_be_is_refused) {
  vc_frames clip = moving_clip(4, 1, 0), wide = fixture_clip(1, VC_REENCODE_MAX_SIDE + 1, 2, 4);
  vc_reencode_options options = {.rate = {4, 1}, .pixels = true};
  static const int far[] = {0, 2, 4};
  vc_reencoded out;
  vc_error error;
  cr_expect_eq(vc_reencode(&out, "clip", &clip, far, 3, &options, &error), VC_FAILED);
  cr_expect(fixture_message_has(&error, "clip: has 4 frames, and frame 4 is wanted"), "%s", error.message);
  cr_expect_eq(vc_reencode(&out, "clip", &clip, far, 0, &options, &error), VC_INVALID);
  cr_expect_eq(vc_reencode(&out, "wide", &wide, all, 1, &options, &error), VC_FAILED);
  cr_expect(fixture_message_has(&error, "8192 x 2"), "%s", error.message);
  cr_expect_eq(vc_reencode(&out, "/nowhere/a.mp4", NULL, all, 1, &options, &error), VC_FAILED);
  cr_expect(fixture_message_has(&error, "/nowhere/a.mp4"), "%s", error.message);
  cr_expect_eq(out.frames.count, 0);
  cr_expect_null(out.stream.data);
  options.rate = (vc_ratio){0, 1};
  cr_expect_eq(vc_reencode(&out, "clip", &clip, all, 1, &options, &error), VC_INVALID);
  vc_frames_free(&clip);
  vc_frames_free(&wide);
}

Test(reencode, starts_are_i_frames_with_enough_behind_them) {
  static const struct {
    const char *types;
    int frames, count, start[4];
  } cases[] = {{"IPPPPPPPPPPPIPPPP", 16, 1, {0}}, {"IPPIPPIPP", 3, 3, {0, 3, 6}}, {"IPPIPPIPP", 4, 2, {0, 3}},
               {"IPPIPPIPP", 10, 0, {0}},         {"PPPIPB", 2, 1, {3}},          {"", 1, 0, {0}}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    int start[20], length = (int)strlen(cases[i].types);
    int count = vc_start_candidates(start, cases[i].types, length, cases[i].frames);
    cr_expect_eq(count, cases[i].count, "case %zu: %d", i, count);
    for (int k = 0; k < count && k < 4; k++) cr_expect_eq(start[k], cases[i].start[k], "case %zu", i);
  }
}
