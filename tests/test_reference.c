// Reference videos: which frames are taken, from where, at which rate; and clips that cannot serve.
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/reference.h"
#include "loaders/media_out.h"
#include "loaders/npy.h"
#include "loaders/reencode.h"
#include "tests/media_fixtures.h"

static char *folder;

static void enter(void) {
  folder = fixture_folder();
}

static void leave(void) {
  fixture_remove_folder(folder);
}

TestSuite(reference, .init = enter, .fini = leave);

// A clip as a file of the kind that the name says.
static char *write_clip(const char *name, int count, double fps) {
  vc_frames clip = fixture_clip(count, 64, 48, fps);
  char *path = fixture_path(folder, name);
  vc_error error;
  cr_assert_eq(vc_media_write(path, &clip, NULL, NULL, &error), VC_OK, "%s", error.message);
  vc_frames_free(&clip);
  return path;
}

static vc_reference read_it(const char *path, vc_reference_options options) {
  vc_reference out;
  vc_error error;
  cr_assert_eq(vc_reference_read(&out, path, &options, &error), VC_OK, "%s", error.message);
  return out;
}

static void expect_refusal(const char *path, vc_reference_options options, const char *message) {
  vc_reference out;
  vc_error error = {""};
  cr_expect_neq(vc_reference_read(&out, path, &options, &error), VC_OK, "%s was taken", path);
  cr_expect(fixture_message_has(&error, message), "'%s' has no '%s'", error.message, message);
  cr_expect(fixture_message_has(&error, path), "'%s' does not name the file", error.message);
  cr_expect_null(out.index);
  cr_expect_null(out.frames.rgb);
}

Test(reference, frames_are_taken_at_the_rate) {
  char *path = write_clip("a.mp4", 40, 8);
  vc_frames whole;
  cr_assert_eq(vc_frames_read(&whole, path, NULL, NULL), VC_OK);
  static const struct {
    double fps;
    int start, frames, source[4];
  } cases[] = {{4, 0, 4, {0, 2, 4, 6}},
               {4, 3, 4, {6, 8, 10, 12}},
               {8, 5, 4, {5, 6, 7, 8}},
               {2, 1, 4, {5, 9, 13, 17}},
               {16, 2, 4, {1, 1, 2, 2}}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    vc_reference r = read_it(path, (vc_reference_options){.frames = 4, .fps = cases[i].fps, .start = cases[i].start});
    cr_expect_eq(r.rate, cases[i].fps);
    cr_expect_eq(r.start, cases[i].start);
    for (int f = 0; f < 4; f++) {
      cr_expect_eq(r.source_index[f], cases[i].source[f], "case %zu: frame %d is %d", i, f, r.source_index[f]);
      cr_expect_arr_eq(vc_frames_image(&r.frames, r.index[f]).rgb, vc_frames_image(&whole, cases[i].source[f]).rgb,
                       64 * 48 * 3, "case %zu: frame %d", i, f);
    }
    vc_reference_free(&r);
  }
  vc_frames_free(&whole);
  free(path);
}

Test(reference, motion_comes_from_the_reencode) {
  char *path = write_clip("a.mp4", 24, 8);
  vc_reference r = read_it(path, (vc_reference_options){.frames = 6, .fps = 4, .start = 2, .motion = true});
  static const int index[] = {0, 2, 4, 6, 8, 10, 12, 14};
  vc_reencoded coded;
  vc_reencode_options options = {.rate = {4, 1}, .keep_from = 2, .pixels = true};
  cr_assert_eq(vc_reencode(&coded, path, NULL, index, 8, &options, NULL), VC_OK);
  cr_assert_eq(r.frames.count, 6);
  cr_expect_arr_eq(r.frames.rgb, coded.frames.rgb, (size_t)6 * 64 * 48 * 3);
  cr_expect_arr_eq(r.vectors.type, coded.vectors.type, 6);
  cr_expect_eq(r.vectors.offset[6], coded.vectors.offset[6]);
  cr_expect_eq(r.moved[0], -1, "nothing is known of what was before the first frame");
  for (int f = 1; f < 6; f++) cr_expect_eq(r.moved[f], f);
  vc_tensor motion;
  cr_assert_eq(vc_reference_motion(&motion, &r, 6, 48, 64, NULL), VC_OK);
  const float *v = motion.data;
  double x = 0;
  for (size_t i = 48 * 64 * 2; i < vc_tensor_count(&motion); i += 2) x += (double)v[i];
  for (size_t i = 0; i < 48 * 64 * 2; i++) cr_assert_eq(v[i], 0);
  cr_expect(x > 4, "the disc goes to the right, its vectors %g", x);
  vc_tensor_free(&motion);
  vc_reencoded_free(&coded);
  vc_reference_free(&r);
  free(path);
}

Test(reference, short_clips_are_padded_as_asked_for) {
  char *path = write_clip("a.mp4", 5, 4);
  vc_reference_options options = {.frames = 8, .fps = 4, .pad = VC_PAD_HOLD, .motion = true};
  vc_reference r = read_it(path, options);
  static const int held[] = {0, 1, 2, 3, 4, 4, 4, 4}, looped[] = {0, 1, 2, 3, 4, 0, 1, 2};
  static const int still[] = {-1, 1, 2, 3, 4, -1, -1, -1}, leapt[] = {-1, 1, 2, 3, 4, -1, 1, 2};
  cr_expect_arr_eq(r.index, held, sizeof held);
  cr_expect_arr_eq(r.moved, still, sizeof still);
  vc_reference_free(&r);
  options.pad = VC_PAD_LOOP;
  r = read_it(path, options);
  cr_expect_arr_eq(r.index, looped, sizeof looped);
  cr_expect_arr_eq(r.moved, leapt, sizeof leapt);
  vc_reference_free(&r);
  options.pad = VC_PAD_REFUSE;
  expect_refusal(path, options, "has 5 frames, and the video 8");
  options.frames = 4;
  options.start = 2;
  expect_refusal(path, options, "from frame 2 on at 4 a second: has 3 frames");
  options.start = 5;
  expect_refusal(path, options, "has 5 frames at 4 a second, and cannot begin with frame 5");
  options.start = 4;
  options.pad = VC_PAD_HOLD;
  expect_refusal(path, options, "holds one frame from frame 4 on");
  free(path);
}

Test(reference, short_clips_are_looked_at_faster) {
  char *path = write_clip("a.mp4", 24, 24);  // one second
  vc_reference r = read_it(path, (vc_reference_options){.frames = 8, .fps = 4, .motion = true});
  cr_expect_eq(r.rate, 9);
  cr_expect_eq(r.frames.count, 8);
  vc_reference_free(&r);
  free(path);
}

Test(reference, a_random_start_is_an_i_frame_by_the_seed) {
  char *path = write_clip("a.mp4", 60, 4);
  bool seen[60] = {false};
  for (uint64_t seed = 0; seed < 24; seed++) {
    vc_reference_options options = {.frames = 6, .fps = 4, .start = VC_START_RANDOM, .seed = seed, .motion = true};
    vc_reference a = read_it(path, options);
    cr_expect_eq(a.start % 12, 0, "%d", a.start);
    cr_expect_leq(a.start, 54);
    cr_expect_eq(a.vectors.type[0], 'I');
    seen[a.start] = true;
    if (seed < 3) {
      vc_reference b = read_it(path, options);
      cr_expect_eq(a.start, b.start);
      options.motion = false;
      vc_reference c = read_it(path, options);
      cr_expect_eq(a.start, c.start, "another condition would begin elsewhere");
      vc_reference_free(&b);
      vc_reference_free(&c);
    }
    vc_reference_free(&a);
  }
  for (int start = 0; start <= 48; start += 12) cr_expect(seen[start], "%d was never drawn", start);
  free(path);
}

Test(reference, codec_vectors_are_those_of_the_stream) {
  char *path = write_clip("a.mp4", 12, 24), *gif = write_clip("a.gif", 12, 10);
  vc_reference_options options = {.frames = 8, .fps = 4, .start = 1, .motion = true, .codec = true};
  vc_reference r = read_it(path, options);
  vc_vectors all;
  cr_assert_eq(vc_vectors_read(&all, path, 0, NULL, NULL), VC_OK);
  cr_expect_eq(r.rate, 24);
  for (int f = 0; f < 8; f++) {
    int64_t count = all.offset[f + 2] - all.offset[f + 1];
    cr_expect_eq(r.source_index[f], f + 1);
    cr_assert_eq(r.vectors.offset[f + 1] - r.vectors.offset[f], count);
    if (count)
      cr_expect_arr_eq(r.vectors.row[r.vectors.offset[f]], all.row[all.offset[f + 1]],
                       (size_t)count * sizeof(vc_vector));
  }
  vc_vectors_free(&all);
  vc_reference_free(&r);
  expect_refusal(gif, options, "no motion vectors out of its codec (gif)");
  free(path);
  free(gif);
}

Test(reference, other_kinds_of_clips_are_taken) {
  static const char *const names[] = {"a.gif", "a.webp", "a/"};
  for (size_t i = 0; i < 3; i++) {
    char *path = write_clip(names[i], 9, 5);
    vc_reference r = read_it(path, (vc_reference_options){.frames = 4, .fps = 5, .start = 2, .motion = true});
    cr_expect_eq(r.frames.count, 4, "%s", names[i]);
    cr_expect_eq(r.source_index[0], 2, "%s", names[i]);
    cr_expect_gt(r.vectors.offset[4], 0, "%s", names[i]);
    vc_reference_free(&r);
    free(path);
  }
}

static void write_silence(const char *path) {
  uint8_t wav[44 + 16000] = "RIFF....WAVEfmt ";
  static const uint8_t format[] = {16, 0, 0, 0, 1, 0, 1, 0, 0x40, 0x1f, 0, 0, 0x40, 0x1f, 0, 0, 1, 0, 8, 0};
  memcpy(wav + 16, format, sizeof format);
  memcpy(wav + 36, "data\x80\x3e\0\0", 8);
  memcpy(wav + 4, "\xa4\x3e\0\0", 4);
  fixture_write(path, wav, sizeof wav);
}

Test(reference, what_is_no_clip_is_refused) {
  vc_reference_options motion = {.frames = 4, .fps = 4, .motion = true}, pictures = {.frames = 4, .fps = 4};
  char *path = fixture_path(folder, "a.wav");
  write_silence(path);
  expect_refusal(path, motion, "sound only");
  expect_refusal(path, pictures, "sound only");
  free(path);

  path = fixture_path(folder, "none.mp4");
  expect_refusal(path, motion, "cannot be opened");
  free(path);

  vc_image image = fixture_image(40, 30);
  path = fixture_path(folder, "a.png");
  cr_assert_eq(vc_image_write_png(path, &image, NULL, 0, NULL), VC_OK);
  expect_refusal(path, motion, "a still picture");
  expect_refusal(path, pictures, "a still picture");
  pictures.still = true;
  vc_reference r = read_it(path, pictures);
  cr_expect_eq(r.frames.count, 1);
  cr_expect_eq(r.index[3], 0);
  cr_expect_eq(r.source_count, 1);
  vc_reference_free(&r);
  free(path);
  vc_image_free(&image);

  vc_tensor t;
  cr_assert_eq(vc_tensor_new(&t, VC_F32, 4, (const int64_t[]){4, 8, 10, 3}, NULL), VC_OK);
  path = fixture_path(folder, "a.npy");
  cr_assert_eq(vc_npy_write(path, &t, NULL), VC_OK);
  motion.codec = true;
  expect_refusal(path, motion, "a tensor has no codec");
  vc_tensor_free(&t);
  free(path);
}

Test(reference, damage_in_the_middle_is_told) {
  char *path = write_clip("a.mp4", 60, 8);
  vc_buffer file = fixture_read(path);
  int refused = 0, tried = 0;
  vc_reference_options options = {.frames = 12, .fps = 4, .motion = true};
  // The index is in front; the frames that are wanted lie behind it.
  for (size_t at = file.size / 3; at + 40 < file.size * 2 / 3; at += file.size / 30, tried++) {
    uint8_t kept[40];
    memcpy(kept, file.data + at, 40);
    memset(file.data + at, 0xff, 40);
    fixture_write(path, file.data, file.size);
    vc_reference out;
    vc_error error = {""};
    if (vc_reference_read(&out, path, &options, &error)) {
      refused++;
      cr_expect(fixture_message_has(&error, path), "%s", error.message);
    }
    vc_reference_free(&out);
    memcpy(file.data + at, kept, 40);
  }
  // Damage behind the last wanted frame does not count.
  cr_expect_gt(refused, 0, "none of %d was noticed", tried);
  vc_buffer_free(&file);
  free(path);
}

Test(reference, pixels_are_scaled_to_the_size) {
  char *path = write_clip("a.gif", 4, 4);
  vc_reference r = read_it(path, (vc_reference_options){.frames = 4, .fps = 4});
  vc_tensor pixels;
  cr_assert_eq(vc_reference_pixels(&pixels, &r, 20, 30, NULL), VC_OK);
  cr_expect_eq(pixels.dim[0], 4);
  cr_expect_eq(pixels.dim[1], 20);
  cr_expect_eq(pixels.dim[2], 30);
  float most = 0;
  for (size_t i = 0; i < vc_tensor_count(&pixels); i++) most = fmaxf(most, ((float *)pixels.data)[i]);
  cr_expect(most > 0.5F && most <= 1);
  vc_tensor_free(&pixels);
  vc_reference_free(&r);
  free(path);
}

Test(reference, times_count_from_the_first_frame) {
  // 12 frames at 12 a second; the same clip beginning elsewhere in time gives the same frames.
  static const int64_t starts[] = {0, 1, 5, 1000, -7, INT64_C(1) << 40};
  vc_frames clip = fixture_clip(12, 16, 16, 12);
  int first[8], index[8];
  double rate;
  for (size_t i = 0; i < sizeof starts / sizeof *starts; i++) {
    for (int f = 0; f < 12; f++) clip.pts[f] = starts[i] + f;
    cr_assert_eq(vc_clip_select(i ? index : first, 8, &clip, 8, VC_PAD_REFUSE, &rate, NULL), VC_OK);
    if (i) cr_expect_arr_eq(index, first, sizeof first, "start %zu", i);
  }
  clip.pts[0] = INT64_MIN;
  vc_error error;
  cr_expect_eq(vc_clip_select(index, 8, &clip, 8, VC_PAD_REFUSE, &rate, &error), VC_FAILED);
  cr_expect(fixture_message_has(&error, "absurd"), "%s", error.message);
  vc_frames_free(&clip);
}
