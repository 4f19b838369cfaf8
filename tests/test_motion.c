// Motion vectors: collecting, turning, scattering into fields, scaling, masks, shapes that walk.
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/motion.h"

// A run of frames with the given rows each, all 16 x 16 blocks of scale 2.
typedef struct simple {
  int16_t source, x, y, mx, my;
} simple;

static vc_vectors vectors_of(const simple *rows, const int *counts, int frames) {
  vc_vectors v = {.frames = frames};
  int64_t total = 0;
  v.offset = calloc((size_t)frames + 1, sizeof *v.offset);
  v.type = calloc((size_t)frames, 1);
  for (int f = 0; f < frames; f++) v.offset[f + 1] = total += counts[f];
  v.row = calloc((size_t)total + 1, sizeof *v.row);
  for (int64_t i = 0; i < total; i++) {
    const simple *r = &rows[i];
    const int16_t row[VC_VECTOR_COLUMNS] = {r->source, 16, 16, r->x, r->y, r->x, r->y, r->mx, r->my, 2};
    memcpy(v.row[i], row, sizeof row);
  }
  return v;
}

Test(motion, a_field_holds_a_vector_at_each_middle) {
  static const simple rows[] = {
      {-1, 3, 2, 8, -6}, {1, 5, 4, 8, -6}, {-1, -7, 90, 2, 2}, {-1, 3, 2, 1, 0}, {-1, 1, 1, 0, 0}};
  vc_vectors v = vectors_of(rows, (const int[]){5}, 1);
  double field[2][6][8];
  int64_t nonzero = 0;
  cr_assert_eq(vc_motion_field(&field[0][0][0], v.row, 5, 6, 8, &nonzero, NULL), VC_OK);
  cr_expect_eq(field[0][2][3], -0.5, "the last of two stays");
  cr_expect_eq(field[1][2][3], 0);
  cr_expect_eq(field[0][4][5], 4, "vectors into the future point the other way");
  cr_expect_eq(field[1][4][5], -3);
  cr_expect_eq(field[0][5][0], -1, "a middle outside is moved to the rim");
  cr_expect_eq(nonzero, 3);
  double sum = 0;
  for (int i = 0; i < 96; i++) sum += fabs((&field[0][0][0])[i]);
  cr_expect_eq(sum, 0.5 + 4 + 3 + 1 + 1, "all else is zero");
  v.row[1][VC_VECTOR_SCALE] = 0;
  vc_error error;
  cr_expect_eq(vc_motion_field(&field[0][0][0], v.row, 5, 6, 8, NULL, &error), VC_FAILED);
  cr_expect(strstr(error.message, "vector 1 has scale 0"), "%s", error.message);
  vc_vectors_free(&v);
}

Test(motion, a_condition_of_the_same_size_is_the_field) {
  static const simple rows[] = {{-1, 3, 2, 8, -6}, {-1, 5, 4, -3, 0}};
  vc_vectors v = vectors_of(rows, (const int[]){0, 2}, 2);
  vc_tensor out;
  const int pick[] = {0, 1, -1, 1};
  cr_assert_eq(vc_motion_condition(&out, &v, pick, 4, 8, 8, 8, 8, NULL), VC_OK);
  cr_assert_eq(out.dim[0], 4);
  const float *value = out.data;
  cr_expect_eq(value[((1 * 8 + 2) * 8 + 3) * 2], -4);
  cr_expect_eq(value[((1 * 8 + 2) * 8 + 3) * 2 + 1], 3);
  cr_expect_eq(value[((1 * 8 + 4) * 8 + 5) * 2], 1.5F);
  cr_expect_eq(vc_motion_amount(&out, 0), 0);
  cr_expect_eq(vc_motion_amount(&out, 1), 8.5);
  cr_expect_eq(vc_motion_amount(&out, 2), 0, "a frame of -1 stands still");
  cr_expect_eq(vc_motion_amount(&out, 3), 8.5);
  vc_tensor_free(&out);
  vc_vectors_free(&v);
}

Test(motion, a_condition_keeps_values_and_covers_the_size) {
  // One vector everywhere: scaling and cutting leave its value.
  simple rows[20 * 12];
  for (int i = 0; i < 240; i++) rows[i] = (simple){-1, (int16_t)(i % 20), (int16_t)(i / 20), -5, 3};
  vc_vectors v = vectors_of(rows, (const int[]){240}, 1);
  static const int sizes[][2] = {{8, 8}, {12, 20}, {6, 40}, {40, 6}, {1, 1}, {31, 17}};
  for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
    vc_tensor out;
    cr_assert_eq(vc_motion_condition(&out, &v, (const int[]){0}, 1, 12, 20, sizes[s][0], sizes[s][1], NULL), VC_OK);
    for (size_t i = 0; i < vc_tensor_count(&out); i++)
      cr_assert(fabs((double)((float *)out.data)[i] - (i % 2 ? -1.5 : 2.5)) < 1e-6, "size %zu, element %zu", s, i);
    vc_tensor_free(&out);
  }
  vc_tensor out;
  cr_expect_eq(vc_motion_condition(&out, &v, (const int[]){0}, 1, 0, 20, 8, 8, NULL), VC_INVALID);
  cr_expect_null(out.data);
  vc_vectors_free(&v);
}

Test(motion, turned_vectors_make_a_turned_field) {
  // x' = a x + c y and so on, as loaders/video.h has it.
  static const int turns[][4] = {{1, 0, 0, 1},  {-1, 0, 0, -1}, {0, 1, -1, 0}, {0, -1, 1, 0},
                                 {-1, 0, 0, 1}, {1, 0, 0, -1},  {0, 1, 1, 0},  {0, -1, -1, 0}};
  enum { W = 9, H = 5 };
  static const simple rows[] = {{-1, 2, 1, 7, -4}, {-1, 8, 4, -2, 10}, {-1, 0, 0, 6, 6}};
  for (size_t t = 0; t < 8; t++) {
    const int *turn = turns[t];
    int a = turn[0], b = turn[1], c = turn[2], d = turn[3];
    int width = a ? W : H, height = a ? H : W;
    vc_vectors v = vectors_of(rows, (const int[]){3}, 1);
    double before[2][H][W], after[2][W * H];
    cr_assert_eq(vc_motion_field(&before[0][0][0], v.row, 3, H, W, NULL, NULL), VC_OK);
    vc_vectors_turn(&v, turn, W, H);
    cr_assert_eq(vc_motion_field(&after[0][0], v.row, 3, height, width, NULL, NULL), VC_OK);
    int left = (a < 0 || c < 0) ? width - 1 : 0, top = (b < 0 || d < 0) ? height - 1 : 0;
    for (int y = 0; y < H; y++)
      for (int x = 0; x < W; x++) {
        int at = (top + b * x + d * y) * width + left + a * x + c * y;
        double vx = before[0][y][x], vy = before[1][y][x];
        cr_expect_eq(after[0][at], a * vx + c * vy, "turn %zu at %d, %d", t, x, y);
        cr_expect_eq(after[1][at], b * vx + d * vy, "turn %zu at %d, %d", t, x, y);
      }
    vc_vectors_free(&v);
  }
}

Test(motion, frames_are_collected_one_by_one) {
  static const simple rows[] = {{-1, 2, 1, 7, -4}, {-1, 8, 4, -2, 10}, {-1, 0, 0, 6, 6}};
  vc_vectors from = vectors_of(rows, (const int[]){2, 0, 1}, 3), to = {0};
  memcpy(from.type, "IPB", 3);
  static const int order[] = {2, 1, 0, 0, 2, 1, 1, 0, 2};
  int64_t total = 0;
  for (int i = 0; i < 9; i++) cr_assert_eq(vc_vectors_add_from(&to, &from, order[i], NULL), VC_OK);
  cr_assert_eq(vc_vectors_add_still(&to, 'S', NULL), VC_OK);
  cr_assert_eq(to.frames, 10);
  for (int i = 0; i < 9; i++) {
    int64_t first = from.offset[order[i]], count = from.offset[order[i] + 1] - first;
    cr_expect_eq(to.offset[i], total);
    cr_expect_eq(to.type[i], from.type[order[i]]);
    for (int64_t k = 0; k < count; k++)
      cr_expect_arr_eq(to.row[total + k], from.row[first + k], sizeof(vc_vector), "frame %d", i);
    total += count;
  }
  cr_expect_eq(to.offset[9], total);
  cr_expect_eq(to.offset[10], total);
  cr_expect_eq(to.type[9], 'S');
  vc_vectors_free(&to);
  vc_vectors_free(&from);
}

Test(motion, masks_are_blocks_that_move) {
  static const simple rows[] = {{-1, 8, 8, 1, 0}, {-1, 24, 8, 0, 0}, {-1, 40, 40, 0, -1}};
  vc_vectors v = vectors_of(rows, (const int[]){3}, 1);
  uint8_t mask[44][44] = {{0}};
  vc_motion_blocks(&mask[0][0], v.row, 3, 44, 44);
  for (int y = 0; y < 44; y++)
    for (int x = 0; x < 44; x++)
      cr_expect_eq(mask[y][x], (x < 16 && y < 16) || (x >= 32 && y >= 32), "at %d, %d", x, y);
  vc_vectors_free(&v);

  vc_tensor motion, blocks;
  cr_assert_eq(vc_tensor_new(&motion, VC_F32, 4, (const int64_t[]){2, 10, 7, 2}, NULL), VC_OK);
  ((float *)motion.data)[((1 * 10 + 9) * 7 + 5) * 2 + 1] = 0.1F;
  cr_assert_eq(vc_motion_mask(&blocks, &motion, 4, NULL), VC_OK);
  cr_expect_eq(blocks.dtype, VC_U8);
  for (int i = 0; i < 140; i++)
    cr_expect_eq(((uint8_t *)blocks.data)[i], i >= 70 && i % 70 / 7 >= 8 && i % 7 >= 4, "element %d", i);
  vc_tensor_free(&motion);
  vc_tensor_free(&blocks);
}

Test(motion, a_shape_to_the_right_is_a_field_to_the_right) {
  uint8_t shape[32 * 32] = {0};
  for (int y = 8; y < 24; y++) memset(shape + y * 32 + 4, 1, 12);
  static const float path[] = {10, 16, 22, 16};
  vc_shape_walk walk = {shape, path, 2, 5, 32, 4};
  static float field[5][2][32][32];
  cr_assert_eq(vc_shape_motion(&field[0][0][0][0], &walk, NULL), VC_OK);
  for (int t = 0; t < 5; t++)
    for (int y = 0; y < 32; y++)
      for (int x = 0; x < 32; x++) {
        int u = x - 3 * t;
        bool inside = t && y % 4 == 2 && x % 4 == 2 && u >= 4 && u < 16 && y >= 8 && y < 24;
        cr_expect_eq(field[t][0][y][x], inside ? 3 : 0, "frame %d at %d, %d", t, x, y);
        cr_expect_eq(field[t][1][y][x], 0);
      }
  walk.points = 1;
  cr_expect_eq(vc_shape_motion(&field[0][0][0][0], &walk, NULL), VC_INVALID);
}
