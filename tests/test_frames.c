// Clips in: folders, GIF, WebP and videos, what is wrong with them, and rates.
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "loaders/frames.h"
#include "loaders/gif.h"
#include "loaders/media_out.h"
#include "tests/media_fixtures.h"

static char *folder;

static void set_up(void) {
  folder = fixture_folder();
}

static void tear_down(void) {
  fixture_remove_folder(folder);
}

static char *path_of(const char *name) {
  static char path[512];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  return path;
}

static void write_clip(const char *name, const vc_frames *clip) {
  vc_error error;
  cr_assert_eq(vc_media_write(path_of(name), clip, NULL, NULL, &error), VC_OK, "%s", error.message);
}

static vc_frames read_clip(const char *name, const vc_frames_options *options) {
  vc_frames clip;
  vc_error error;
  cr_assert_eq(vc_frames_read(&clip, path_of(name), options, &error), VC_OK, "%s", error.message);
  return clip;
}

static void expect_refused(const char *name, const vc_frames_options *options, const char *message) {
  vc_frames clip;
  vc_error error = {""};
  cr_expect_neq(vc_frames_read(&clip, path_of(name), options, &error), VC_OK, "%s was read", name);
  cr_expect_null(clip.rgb);
  cr_expect(fixture_message_has(&error, message) && fixture_message_has(&error, name), "%s: '%s', not '%s'", name,
            error.message, message);
}

// A picture of one value, to be found again in a clip.
static void write_numbered(const char *name, int value, int width, int height) {
  vc_image image;
  cr_assert_eq(vc_image_new(&image, width, height, NULL), VC_OK);
  memset(image.rgb, value, (size_t)width * (size_t)height * 3);
  cr_assert_eq(vc_image_write_png(path_of(name), &image, NULL, 0, NULL), VC_OK);
  vc_image_free(&image);
}

// ---- folders and stills

Test(frames, folders_are_read_in_natural_order, .init = set_up, .fini = tear_down) {
  static const char *const names[] = {"f1.png",
                                      "f2.png",
                                      "f09.PNG",
                                      "f10.png",
                                      "f011.png",
                                      "f100.png",
                                      "f100a.png",
                                      "g0.png",
                                      "g00.png",
                                      "g99999999999999999999.png",
                                      "g100000000000000000000.png"};
  enum { COUNT = sizeof names / sizeof *names };
  for (int i = COUNT - 1; i >= 0; i--) write_numbered(names[i], i + 1, 3, 2);
  fixture_write(path_of(".hidden.png"), "x", 1);
  fixture_write(path_of("notes.txt"), "x", 1);
  vc_frames clip = read_clip("", &(vc_frames_options){.folder_fps = 12.5});
  cr_assert_eq(clip.count, COUNT);
  // g0 and g00 are one number: the order of strings decides, where '.' comes before '0'
  for (int i = 0; i < COUNT; i++) cr_expect_eq(clip.rgb[i * 18], i + 1, "%s is not number %d", names[i], i);
  cr_expect(clip.width == 3 && clip.height == 2 && clip.fps == 12.5);
  cr_expect(clip.time_base.num == 2 && clip.time_base.den == 25 && clip.pts[3] == 3);
  vc_frames_free(&clip);
  clip = read_clip("", &(vc_frames_options){.stop_after = 4});
  cr_expect(clip.count == 4 && clip.fps == VC_FRAMES_DEFAULT_FPS);
  vc_frames_free(&clip);
}

Test(frames, bad_folders_are_refused, .init = set_up, .fini = tear_down) {
  expect_refused("", NULL, "holds no .png, .jpg, .jpeg or .webp pictures");
  expect_refused("missing", NULL, "cannot be opened");
  write_numbered("1.png", 1, 3, 2);
  write_numbered("2.png", 1, 3, 3);
  expect_refused("2.png", &(vc_frames_options){.allow_still = true, .max_bytes = 1}, "MB of pixels");
  vc_frames clip;
  vc_error error = {""};
  cr_expect_eq(vc_frames_read(&clip, folder, NULL, &error), VC_FAILED);
  cr_expect(fixture_message_has(&error, "2.png: 3 x 3 pixels, but the frames before are 3 x 2"), "%s", error.message);
  fixture_write(path_of("2.png"), "not a picture", 13);
  cr_expect_eq(vc_frames_read(&clip, folder, NULL, &error), VC_FAILED);
  cr_expect(fixture_message_has(&error, "2.png: not a PNG"), "%s", error.message);
}

Test(frames, a_still_is_a_clip_only_where_allowed, .init = set_up, .fini = tear_down) {
  write_numbered("a.png", 7, 5, 4);
  expect_refused("a.png", NULL, "a still picture");
  vc_frames clip = read_clip("a.png", &(vc_frames_options){.allow_still = true});
  cr_expect(clip.count == 1 && clip.width == 5 && clip.height == 4 && clip.rgb[0] == 7 && clip.pts[0] == 0);
  vc_frames_free(&clip);
  vc_frames one = fixture_clip(1, 16, 16, 8);
  write_clip("a.webp", &one);
  expect_refused("a.webp", NULL, "a still picture");
  clip = read_clip("a.webp", &(vc_frames_options){.allow_still = true});
  cr_expect_eq(clip.count, 1);
  vc_frames_free(&clip);
  vc_frames_free(&one);
}

// ---- clips of all kinds

Test(frames, limits_hold_for_every_kind, .init = set_up, .fini = tear_down) {
  static const char *const names[] = {"c.gif", "c.webp", "c.mp4", "c"};
  vc_frames clip = fixture_clip(6, 32, 24, 10);
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    write_clip(names[i], &clip);
    vc_frames all = read_clip(names[i], &(vc_frames_options){.max_count = 6, .max_bytes = 6 * 32 * 24 * 3});
    cr_expect_eq(all.count, 6, "%s", names[i]);
    vc_frames_free(&all);
    vc_frames some = read_clip(names[i], &(vc_frames_options){.stop_after = 2});
    cr_expect_eq(some.count, 2, "%s", names[i]);
    vc_frames_free(&some);
    expect_refused(names[i], &(vc_frames_options){.max_count = 5}, "more than 5 frames");
    expect_refused(names[i], &(vc_frames_options){.max_bytes = 6 * 32 * 24 * 3 - 1}, "after 5 frames");
    expect_refused(names[i], &(vc_frames_options){.folder_fps = NAN}, "frames a second");
  }
  vc_frames_free(&clip);
}

Test(frames, times_of_every_kind, .init = set_up, .fini = tear_down) {
  static const struct {
    const char *name;
    double fps;
  } cases[] = {{"8.gif", 8}, {"8.webp", 8}, {"8.mp4", 8}, {"25.gif", 25}, {"25.mp4", 25}, {"ntsc.mp4", 30000 / 1001.0}};
  vc_frames clip = fixture_clip(8, 32, 24, 8);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    vc_media_options options = {.fps = cases[i].fps};
    cr_assert_eq(vc_media_write(path_of(cases[i].name), &clip, &options, NULL, NULL), VC_OK);
    vc_frames got = read_clip(cases[i].name, NULL);
    cr_expect(fabs(got.fps - cases[i].fps) <= 1e-3, "%s: %g a second", cases[i].name, got.fps);
    for (int k = 0; k < got.count; k++) {
      double at = (double)(got.pts[k] - got.pts[0]) * got.time_base.num / got.time_base.den;
      cr_expect(fabs(at - k / cases[i].fps) <= 0.0051, "%s: frame %d at %g s", cases[i].name, k, at);
    }
    vc_frames same;
    cr_assert_eq(vc_frames_at_rate(&same, &got, vc_ratio_of(cases[i].fps), NULL), VC_OK);
    cr_expect(same.count == 8 && !memcmp(same.rgb, got.rgb, 8 * 32 * 24 * 3), "%s: %d", cases[i].name, same.count);
    vc_frames_free(&same);
    cr_assert_eq(vc_frames_at_rate(&same, &got, vc_ratio_of(cases[i].fps / 2), NULL), VC_OK);
    cr_expect_eq(same.count, 4, "%s at half the rate: %d frames", cases[i].name, same.count);
    vc_frames_free(&same);
    vc_frames_free(&got);
  }
  vc_frames_free(&clip);
}

// Writes a quarter turn or flip into the display matrix of an MP4's track header.
static void turn_mp4(const char *name, const int turn[4]) {
  vc_buffer file = fixture_read(path_of(name));
  uint8_t *header = memmem(file.data, file.size, "tkhd", 4);
  cr_assert(header);
  uint8_t *matrix = header + 44;  // version 0: after the type 4 flags, 20 times and numbers, 16 layer and volume
  static const uint8_t one[4] = {0, 1, 0, 0}, minus_one[4] = {0xff, 0xff, 0, 0}, zero[4] = {0};
  cr_assert(!memcmp(matrix, one, 4) && !memcmp(matrix + 16, one, 4), "the matrix is not where it should be");
  static const int at[4] = {0, 4, 12, 16};
  for (int i = 0; i < 4; i++) memcpy(matrix + at[i], turn[i] > 0 ? one : turn[i] < 0 ? minus_one : zero, 4);
  fixture_write(path_of("turned.mp4"), file.data, file.size);
  vc_buffer_free(&file);
}

Test(frames, videos_are_turned_as_they_say, .init = set_up, .fini = tear_down) {
  static const struct {
    const char *name;
    int turn[4];
  } cases[] = {{"as it is", {1, 0, 0, 1}},        {"a quarter right", {0, 1, -1, 0}}, {"half", {-1, 0, 0, -1}},
               {"a quarter left", {0, -1, 1, 0}}, {"mirrored", {-1, 0, 0, 1}},        {"upside down", {1, 0, 0, -1}},
               {"transposed", {0, 1, 1, 0}}};
  vc_frames clip = fixture_clip(3, 48, 32, 8);
  write_clip("c.mp4", &clip);
  vc_frames plain = read_clip("c.mp4", NULL);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    const int *t = cases[i].turn;
    turn_mp4("c.mp4", t);
    vc_frames got = read_clip("turned.mp4", NULL);
    cr_assert(got.width == (t[0] ? 48 : 32) && got.height == (t[0] ? 32 : 48), "%s: %d x %d", cases[i].name, got.width,
              got.height);
    int wrong = 0;
    for (int y = 0; y < 32; y++)
      for (int x = 0; x < 48; x++) {
        int to_x = t[0] * x + t[2] * y, to_y = t[1] * x + t[3] * y;
        if (t[0] < 0 || t[2] < 0) to_x += got.width - 1;
        if (t[1] < 0 || t[3] < 0) to_y += got.height - 1;
        wrong += memcmp(plain.rgb + (y * 48 + x) * 3, got.rgb + (to_y * got.width + to_x) * 3, 3) != 0;
      }
    cr_expect_eq(wrong, 0, "%s: %d pixels are elsewhere", cases[i].name, wrong);
    vc_frames_free(&got);
  }
  vc_frames_free(&plain);
  vc_frames_free(&clip);
}

// ---- damage

Test(frames, clips_cut_anywhere_are_refused, .init = set_up, .fini = tear_down) {
  static const char *const names[] = {"c.gif", "c.webp", "c.mp4"};
  vc_frames clip = fixture_clip(6, 96, 64, 10);
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    write_clip(names[i], &clip);
    vc_buffer file = fixture_read(path_of(names[i]));
    for (size_t k = 0; k < 16; k++) {
      fixture_write(path_of(names[i]), file.data, file.size * k / 16);
      vc_frames got;
      vc_error error = {""};
      cr_expect_eq(vc_frames_read(&got, path_of(names[i]), NULL, &error), VC_FAILED, "%s cut to %zu/16 was read",
                   names[i], k);
      cr_expect(fixture_message_has(&error, names[i]), "%s, %zu/16: '%s'", names[i], k, error.message);
      vc_frames_free(&got);
    }
    vc_buffer_free(&file);
  }
  vc_frames_free(&clip);
}

Test(frames, flipped_bytes_never_harm, .init = set_up, .fini = tear_down) {
  static const char *const names[] = {"c.gif", "c.webp", "c.mp4"};
  vc_frames clip = fixture_clip(3, 40, 30, 10);
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    write_clip(names[i], &clip);
    vc_buffer file = fixture_read(path_of(names[i]));
    for (size_t at = 0; at < file.size; at += 1 + file.size / 60) {
      file.data[at] ^= 0xa5;
      fixture_write(path_of(names[i]), file.data, file.size);
      vc_frames got;
      vc_error error = {""};
      vc_status status = vc_frames_read(&got, path_of(names[i]), &(vc_frames_options){.max_bytes = 1 << 24}, &error);
      cr_expect((status == VC_OK) == (got.rgb != NULL), "%s at %zu", names[i], at);
      cr_expect((status == VC_OK) == !error.message[0], "%s at %zu: '%s'", names[i], at, error.message);
      vc_frames_free(&got);
      file.data[at] ^= 0xa5;
    }
    vc_buffer_free(&file);
  }
  vc_frames_free(&clip);
}

Test(frames, what_holds_no_clip_is_said_to_hold_none, .init = set_up, .fini = tear_down) {
  // 8 samples of 16-bit sound
  static const char wav[] =
      "RIFF\x34\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x80\x3e\0\0\x02\0\x10\0data\x10\0\0\0"
      "\0\0\1\0\2\0\3\0\4\0\3\0\2\0\1";
  static const char huge[] = "YUV4MPEG2 W16400 H2 F25:1 C420jpeg\nFRAME\n....";
  static const char no_frames[] = "YUV4MPEG2 W32 H32 F25:1 C420jpeg\n";
  static const char playlist[] = "ffconcat version 1.0\nfile '/etc/passwd'\n";
  static const char gif[] = "GIF89a\x10\0\x10\0\x80\0\0\0\0\0\xff\xff\xff;";
  const struct {
    const char *name, *content, *message;
    size_t size;
  } cases[] = {{"sound.wav", wav, "holds sound only", sizeof wav},
               {"huge.y4m", huge, "outside the limits", sizeof huge - 1},
               {"none.y4m", no_frames, "no frames", sizeof no_frames - 1},
               {"list.mp4", playlist, "not a video", sizeof playlist - 1},
               {"text.mp4", "some text, and not a video at all\n", "not a video", 34},
               {"empty.mp4", "", "is empty", 0},
               {"empty.gif", gif, "", sizeof gif - 1}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    fixture_write(path_of(cases[i].name), cases[i].content, cases[i].size);
    expect_refused(cases[i].name, NULL, cases[i].message);
  }
}

Test(frames, gif_blocks_are_walked) {
  vc_gif_summary summary;
  static const char good[] =
      "GIF89a\x10\0\x10\0\0\0\0!\xf9\x04\0\x07\0\0\0,\0\0\0\0\1\0\1\0\0\2\2\x4c\1\0,\0\0\0\0\1\0\1\0\0\2\2\x4c\1\0;";
  cr_assert_eq(vc_gif_scan(&summary, (const uint8_t *)good, sizeof good - 1, NULL), VC_OK);
  cr_expect(summary.frames == 2 && summary.duration == 17 && summary.last_delay == 10 && summary.width == 16);
  for (size_t size = 0; size < sizeof good - 1; size++)
    cr_expect_eq(vc_gif_scan(&summary, (const uint8_t *)good, size, NULL), VC_FAILED, "cut to %zu", size);
}

// ---- rates

static const vc_tensor *need_tensor(const vc_tensor_file *file, const char *name) {
  const vc_tensor *tensor = vc_tensor_file_find(file, name);
  cr_assert(tensor && tensor->dtype == VC_I64 && tensor->rank == 1, "%s: %s", file->path, name);
  return tensor;
}

Test(frames, rates_equal_the_fps_filter) {
  static const struct {
    const char *path;
    vc_ratio time_base, frame_rate;
  } cases[] = {{"tests/data/golden/sampling_blackswan.safetensors", {1, 10240}, {20, 1}},
               {"tests/data/golden/sampling_motion_transfer.safetensors", {1, 16384}, {16, 1}},
               {"tests/data/golden/sampling_video_8800.safetensors", {1, 16384}, {16, 1}}};
  static const int rates[] = {2, 3, 4, 5, 6, 7, 8, 10, 16, 24, 30};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    vc_tensor_file file;
    vc_error error;
    cr_assert_eq(vc_tensor_file_open(&file, cases[i].path, &error), VC_OK, "%s", error.message);
    const vc_tensor *times = need_tensor(&file, "input/pts");
    int count = (int)times->dim[0];
    int64_t pts[128];
    cr_assert(count <= 128);
    memcpy(pts, times->data, (size_t)count * sizeof *pts);
    for (size_t r = 0; r < sizeof rates / sizeof *rates; r++) {
      char name[32];
      snprintf(name, sizeof name, "output/fps_%d", rates[r]);
      const vc_tensor *expected = need_tensor(&file, name);
      int *index, found;
      cr_assert_eq(vc_fps_select(&index, &found, pts, count, cases[i].time_base, cases[i].frame_rate,
                                 (vc_ratio){rates[r], 1}, 1000, &error),
                   VC_OK, "%s", error.message);
      cr_assert_eq(found, (int)expected->dim[0], "%s %s: %d frames", cases[i].path, name, found);
      for (int k = 0; k < found; k++) {
        int64_t want;
        memcpy(&want, (const int64_t *)expected->data + k, sizeof want);
        cr_expect_eq(index[k], want, "%s %s [%d]: %d", cases[i].path, name, k, index[k]);
      }
      free(index);
    }
    vc_tensor_file_close(&file);
  }
}

Test(frames, rates_by_hand) {
  static const struct {
    const char *name;
    int64_t pts[4];
    int count;
    vc_ratio time_base, frame_rate, fps;
    int expected[8], expected_count;
  } cases[] = {{"one frame", {5}, 1, {1, 8}, {8, 1}, {8, 1}, {0}, 1},
               {"one frame, repeated", {0}, 1, {1, 1}, {1, 1}, {3, 1}, {0, 0, 0}, 3},
               {"before zero", {-2, -1, 0}, 3, {1, 2}, {2, 1}, {2, 1}, {0, 1, 2}, 3},
               {"a gap", {0, 1, 4}, 3, {1, 1}, {1, 1}, {1, 1}, {0, 1, 1, 1, 2}, 5},
               {"two at one tick: the later", {0, 1, 2, 3}, 4, {1, 4}, {4, 1}, {2, 1}, {0, 2}, 2},
               {"ties round up", {0, 1, 2}, 3, {1, 2}, {2, 1}, {1, 1}, {0, 2}, 2},
               {"going back counts as standing", {0, 2, 1}, 3, {1, 1}, {1, 1}, {1, 1}, {0, 0}, 2},
               {"ntsc", {0, 1001, 2002}, 3, {1, 30000}, {30000, 1001}, {30000, 1001}, {0, 1, 2}, 3}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    int *index, count;
    vc_error error;
    cr_assert_eq(vc_fps_select(&index, &count, cases[i].pts, cases[i].count, cases[i].time_base, cases[i].frame_rate,
                               cases[i].fps, 100, &error),
                 VC_OK, "%s: %s", cases[i].name, error.message);
    cr_expect_eq(count, cases[i].expected_count, "%s: %d frames", cases[i].name, count);
    for (int k = 0; k < count && k < cases[i].expected_count; k++)
      cr_expect_eq(index[k], cases[i].expected[k], "%s [%d]: %d", cases[i].name, k, index[k]);
    free(index);
  }
}

Test(frames, absurd_rates_are_refused) {
  static const int64_t far[] = {0, INT64_MAX}, long_gap[] = {0, 1000000};
  const vc_ratio one = {1, 1}, most = {INT32_MAX, 1}, least = {1, INT32_MAX}, none = {0, 1}, minus = {-1, 1};
  const struct {
    const int64_t *pts;
    int count;
    vc_ratio time_base, frame_rate, fps;
    vc_status status;
  } cases[] = {{far, 2, most, most, most, VC_FAILED},  {far, 2, one, one, one, VC_FAILED},
               {far, 2, one, least, one, VC_FAILED},   {long_gap, 2, one, one, one, VC_FAILED},
               {far, 2, one, one, none, VC_INVALID},   {far, 2, minus, one, one, VC_INVALID},
               {far, 2, one, {1, 0}, one, VC_INVALID}, {far, 0, one, one, one, VC_INVALID}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    int *index, count;
    cr_expect_eq(vc_fps_select(&index, &count, cases[i].pts, cases[i].count, cases[i].time_base, cases[i].frame_rate,
                               cases[i].fps, 1000, NULL),
                 cases[i].status, "case %zu", i);
    cr_expect_null(index);
  }
}

Test(frames, target_rates) {
  static const struct {
    int count;
    double fps;
    int wanted, frames, expected;
  } cases[] = {{42, 20, 4, 16, 8}, {79, 1294336 / 82429.0, 4, 16, 4},
               {80, 16, 4, 16, 4}, {64, 16, 4, 16, 5},
               {16, 8, 4, 16, 9},  {100, 10, 0, 16, 2}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    int rate = vc_target_fps(cases[i].count, cases[i].fps, cases[i].wanted, cases[i].frames);
    cr_expect_eq(rate, cases[i].expected, "case %zu: %d", i, rate);
  }
  static const struct {
    double value;
    vc_ratio ratio;
  } ratios[] = {{8, {8, 1}}, {23.976, {24000, 1001}}, {29.97, {30000, 1001}}, {12.5, {25, 2}}, {0.5, {1, 2}}};
  for (size_t i = 0; i < sizeof ratios / sizeof *ratios; i++) {
    vc_ratio r = vc_ratio_of(ratios[i].value);
    cr_expect(r.num == ratios[i].ratio.num && r.den == ratios[i].ratio.den, "%g: %d/%d", ratios[i].value, r.num, r.den);
  }
}

Test(frames, impossible_clips_are_refused) {
  static const struct {
    int count, width, height;
    double fps;
  } cases[] = {{0, 8, 8, 8}, {1, 0, 8, 8}, {1, 8, 20000, 8}, {1, 8, 8, 0}, {1, 8, 8, NAN}, {20000, 16384, 16384, 8}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    vc_frames clip;
    cr_expect_eq(vc_frames_new(&clip, cases[i].count, cases[i].width, cases[i].height, cases[i].fps, NULL), VC_INVALID,
                 "case %zu", i);
    cr_expect_null(clip.rgb);
  }
}
