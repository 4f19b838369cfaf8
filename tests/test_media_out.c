// Clips out: every format read back, what it says about itself, and places that cannot be written.
#include <criterion/criterion.h>
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "loaders/gif.h"
#include "loaders/media_metadata.h"
#include "loaders/media_out.h"
#include "loaders/mp4.h"
#include "loaders/webp_out.h"
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

static int files_in(const char *path) {
  DIR *open = opendir(path);
  int count = 0;
  for (struct dirent *entry; open && (entry = readdir(open));)
    count += strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..");
  if (open) closedir(open);
  return count;
}

static vc_frames write_and_read(const char *name, const vc_frames *clip, const vc_media_options *options) {
  vc_frames got;
  vc_error error;
  cr_assert_eq(vc_media_write(path_of(name), clip, options, NULL, &error), VC_OK, "%s", error.message);
  // What we write as BT.709 must be read so: the reference's way of reading ignores the tag.
  vc_frames_options how = {.tagged_colors = true, .allow_still = true};
  cr_assert_eq(vc_frames_read(&got, path_of(name), &how, &error), VC_OK, "%s", error.message);
  return got;
}

// ---- suffixes

Test(media_out, suffixes_choose_the_format) {
  static const struct {
    const char *path;
    vc_media_kind kind;
  } good[] = {{"a.gif", VC_MEDIA_GIF},      {"a.GIF", VC_MEDIA_GIF},   {"x/y.z/a.mp4", VC_MEDIA_MP4},
              {"a.webp", VC_MEDIA_WEBP},    {"a.png", VC_MEDIA_STRIP}, {"a", VC_MEDIA_FOLDER},
              {"a.gif/", VC_MEDIA_FOLDER},  {"a.x/", VC_MEDIA_FOLDER}, {"x.y/a", VC_MEDIA_FOLDER},
              {".hidden", VC_MEDIA_FOLDER}, {"..", VC_MEDIA_FOLDER},   {"..gif", VC_MEDIA_GIF},
              {"a.tar.png", VC_MEDIA_STRIP}};
  for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
    vc_media_kind kind;
    cr_expect_eq(vc_media_kind_of(&kind, good[i].path, NULL), VC_OK, "%s", good[i].path);
    cr_expect_eq(kind, good[i].kind, "%s: %d", good[i].path, (int)kind);
  }
  static const char *const bad[] = {"a.avi", "a.", "a.gif.txt", "x/a.jpeg"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    vc_media_kind kind;
    vc_error error = {""};
    cr_expect_eq(vc_media_kind_of(&kind, bad[i], &error), VC_INVALID, "%s", bad[i]);
    cr_expect(fixture_message_has(&error, ".gif, .mp4, .webp, .png"), "'%s'", error.message);
  }
  vc_media_kind kind;
  cr_expect_eq(vc_media_kind_of(&kind, "", NULL), VC_INVALID);
}

// ---- round trips

Test(media_out, every_format_comes_back, .init = set_up, .fini = tear_down) {
  // Sizes from odd to tiny: 4:2:0 rounds up to even ones. The clip has thousands of colours, GIF 256.
  static const struct {
    int count, width, height;
    double gif, mp4, webp;
  } cases[] = {{8, 128, 96, 33, 30, 32},
               {5, 67, 45, 33, 28, 28},
               {2, 2, 2, 30, 10, 15},
               {3, 1, 1, 30, 10, 10},
               {2, 300, 3, 30, 22, 22}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    const struct {
      const char *name;
      double psnr;
      bool even;
    } formats[] = {{"c.gif", cases[i].gif, false},
                   {"c.mp4", cases[i].mp4, true},
                   {"c.webp", cases[i].webp, false},
                   {"frames/", INFINITY, false}};
    for (size_t k = 0; k < sizeof formats / sizeof *formats; k++) {
      vc_frames clip = fixture_clip(cases[i].count, cases[i].width, cases[i].height, 8);
      clip.rgb[0] = (uint8_t)(clip.rgb[0] + 9);  // no two frames alike: WebP merges those
      vc_frames got = write_and_read(formats[k].name, &clip, NULL);
      int width = clip.width + (formats[k].even ? clip.width % 2 : 0);
      int height = clip.height + (formats[k].even ? clip.height % 2 : 0);
      cr_assert(got.count == clip.count || (clip.width <= 2 && k == 2), "case %zu, %s: %d frames", i, formats[k].name,
                got.count);
      cr_assert(got.width == width && got.height == height, "case %zu, %s: %d x %d", i, formats[k].name, got.width,
                got.height);
      // The grown row and column are cut off to compare.
      for (int f = 0; f < got.count; f++) {
        vc_image image = vc_frames_image(&got, f), original = vc_frames_image(&clip, f);
        double sum = 0;
        for (int y = 0; y < clip.height; y++)
          for (int x = 0; x < clip.width * 3; x++) {
            double d = image.rgb[y * width * 3 + x] - original.rgb[y * clip.width * 3 + x];
            sum += d * d;
          }
        double psnr = sum > 0 ? 10 * log10(255 * 255.0 * 3 * clip.width * clip.height / sum) : INFINITY;
        cr_expect(psnr >= formats[k].psnr, "case %zu, %s, frame %d: PSNR %.1f", i, formats[k].name, f, psnr);
      }
      vc_frames_free(&got);
      vc_frames_free(&clip);
    }
  }
}

Test(media_out, few_colours_are_exact_in_gif, .init = set_up, .fini = tear_down) {
  static const int counts[] = {1, 2, 3, 16, 17, 255, 256};
  for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
    vc_frames clip;
    cr_assert_eq(vc_frames_new(&clip, 3, 40, 30, 8, NULL), VC_OK);
    for (size_t p = 0; p < 3 * 40 * 30; p++) {
      int color = (int)(p * 7 + p / 1200) % counts[i];
      clip.rgb[p * 3] = (uint8_t)(color * 37);
      clip.rgb[p * 3 + 1] = (uint8_t)color;
      clip.rgb[p * 3 + 2] = (uint8_t)(255 - color);
    }
    vc_frames got = write_and_read("c.gif", &clip, NULL);
    cr_expect(fixture_clip_psnr(&clip, &got) >= 1000, "%d colours are not exact", counts[i]);
    vc_frames_free(&got);
    vc_frames_free(&clip);
  }
}

Test(media_out, long_codes_and_full_tables_in_gif, .init = set_up, .fini = tear_down) {
  // Noise fills the table of 4096 codes again and again; 256 exact colours make a wrong bit visible.
  vc_frames clip;
  cr_assert_eq(vc_frames_new(&clip, 2, 313, 211, 8, NULL), VC_OK);
  uint32_t state = 1;
  for (size_t p = 0; p < (size_t)2 * 313 * 211; p++) {
    state = state * 1664525 + 1013904223;
    memset(clip.rgb + p * 3, (int)(state >> 24), 3);
  }
  vc_frames got = write_and_read("c.gif", &clip, NULL);
  cr_expect(fixture_clip_psnr(&clip, &got) >= 1000);
  vc_frames_free(&got);
  vc_frames_free(&clip);
}

Test(media_out, gif_dither_keeps_the_mean_and_stands_still, .init = set_up, .fini = tear_down) {
  vc_frames clip = fixture_clip(4, 128, 96, 8), got;
  size_t bytes = 128 * 96 * 3;
  for (int i = 1; i < 4; i++) memcpy(clip.rgb + (size_t)i * bytes, clip.rgb, bytes);
  got = write_and_read("c.gif", &clip, NULL);
  for (int i = 1; i < 4; i++) cr_expect(!memcmp(got.rgb, got.rgb + (size_t)i * bytes, bytes), "frame %d flickers", i);
  for (int y = 0; y < 96; y += 16)
    for (int x = 0; x < 128; x += 16) {
      double sum = 0;
      for (int k = 0; k < 16 * 16 * 3; k++) {
        size_t at = (size_t)((y + k / 48) * 128 + x) * 3 + (size_t)k % 48;
        sum += got.rgb[at] - clip.rgb[at];
      }
      cr_expect(fabs(sum / (16 * 16 * 3)) <= 1.5, "block (%d, %d) is off by %.2f", x, y, sum / (16 * 16 * 3));
    }
  struct stat about;
  cr_assert_eq(stat(path_of("c.gif"), &about), 0);
  vc_buffer one = {0};
  clip.count = 1;
  cr_assert_eq(vc_gif_encode(&one, &clip, 8, NULL, NULL), VC_OK);
  cr_expect(about.st_size <= (off_t)one.size + 3 * 40, "frames that repeat cost %lld bytes",
            (long long)about.st_size - (long long)one.size);
  vc_buffer_free(&one);
  vc_frames_free(&got);
  vc_frames_free(&clip);
}

Test(media_out, webp_can_be_lossless, .init = set_up, .fini = tear_down) {
  vc_frames clip = fixture_clip(3, 80, 70, 8);  // libwebp rounds no pictures below 64
  vc_frames got = write_and_read("c.webp", &clip, &(vc_media_options){.webp_lossless = true});
  cr_expect(fixture_clip_psnr(&clip, &got) >= 1000);
  vc_frames_free(&got);
  for (size_t p = 0; p < (size_t)3 * 80 * 70 * 3; p++) clip.rgb[p] = (uint8_t)(clip.rgb[p] + (p * p * 31 >> 7) % 9);
  vc_buffer near = {0}, exact = {0};
  cr_expect_eq(vc_webp_encode(&near, &clip, &(vc_webp_options){.fps = 8, .lossless = true, .near_lossless = 20}, NULL),
               VC_OK);
  cr_expect_eq(vc_webp_encode(&exact, &clip, &(vc_webp_options){.fps = 8, .lossless = true}, NULL), VC_OK);
  cr_expect_lt(near.size, exact.size);
  vc_buffer_free(&near);
  vc_buffer_free(&exact);
  vc_frames_free(&clip);
}

Test(media_out, the_same_frames_give_the_same_file, .init = set_up, .fini = tear_down) {
  static const char *const names[] = {"c.gif", "c.mp4", "c.webp", "c.png"};
  vc_frames clip = fixture_clip(6, 64, 48, 8);
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    cr_assert_eq(vc_media_write(path_of(names[i]), &clip, NULL, NULL, NULL), VC_OK);
    vc_buffer first = fixture_read(path_of(names[i]));
    cr_assert_eq(vc_media_write(path_of(names[i]), &clip, NULL, NULL, NULL), VC_OK);
    vc_buffer second = fixture_read(path_of(names[i]));
    cr_expect(first.size == second.size && !memcmp(first.data, second.data, first.size), "%s", names[i]);
    vc_buffer_free(&first);
    vc_buffer_free(&second);
  }
  vc_frames_free(&clip);
}

Test(media_out, mp4_has_its_index_in_front, .init = set_up, .fini = tear_down) {
  vc_frames clip = fixture_clip(4, 64, 48, 8);
  vc_buffer file = {0};
  const char *note = "";
  cr_assert(vc_buffer_append(&file, "before", 6));
  cr_assert_eq(vc_mp4_encode(&file, &clip, &(vc_mp4_options){.fps = 8}, &note, NULL), VC_OK);
  cr_expect(!memcmp(file.data, "before", 6) && !memcmp(file.data + 10, "ftyp", 4));
  uint8_t *index = memmem(file.data, file.size, "moov", 4), *data = memmem(file.data, file.size, "mdat", 4);
  cr_expect(index && data && index < data);
  vc_buffer_free(&file);
  vc_frames_free(&clip);
}

Test(media_out, mp4_colours_are_what_they_were, .init = set_up, .fini = tear_down) {
  static const uint8_t colors[][3] = {{0, 0, 0},     {255, 255, 255}, {128, 128, 128}, {255, 0, 0},
                                      {0, 255, 0},   {0, 0, 255},     {255, 255, 0},   {0, 255, 255},
                                      {255, 0, 255}, {200, 120, 40},  {17, 90, 201}};
  for (size_t i = 0; i < sizeof colors / sizeof *colors; i++) {
    vc_frames clip;
    cr_assert_eq(vc_frames_new(&clip, 2, 32, 32, 8, NULL), VC_OK);
    for (size_t p = 0; p < 2 * 32 * 32; p++) memcpy(clip.rgb + p * 3, colors[i], 3);
    vc_frames got = write_and_read("c.mp4", &clip, NULL);
    int worst = 0;
    for (size_t p = 0; p < 2 * 32 * 32 * 3; p++)
      if (abs(got.rgb[p] - clip.rgb[p]) > worst) worst = abs(got.rgb[p] - clip.rgb[p]);
    cr_expect_leq(worst, 4, "colour %zu is off by %d: %d %d %d", i, worst, got.rgb[0], got.rgb[1], got.rgb[2]);
    vc_frames_free(&got);
    vc_frames_free(&clip);
  }
}

// ---- film strip and folder

Test(media_out, strips_lay_frames_in_rows) {
  static const struct {
    int count, columns, gap, width, height;
  } cases[] = {{4, 0, 0, 40, 8}, {4, 2, 3, 23, 19}, {5, 2, 0, 20, 24}, {3, 9, 1, 32, 8}, {1, 0, 5, 10, 8}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    vc_frames clip = fixture_clip(cases[i].count, 10, 8, 8);
    vc_image strip;
    cr_assert_eq(vc_film_strip(&strip, &clip, cases[i].columns, cases[i].gap, NULL), VC_OK);
    cr_assert(strip.width == cases[i].width && strip.height == cases[i].height, "case %zu: %d x %d", i, strip.width,
              strip.height);
    int columns = cases[i].columns && cases[i].columns < cases[i].count ? cases[i].columns : cases[i].count, wrong = 0;
    size_t covered = 0, white = 0, all = (size_t)strip.width * (size_t)strip.height;
    for (int f = 0; f < clip.count; f++)
      for (int y = 0; y < 8; y++) {
        int left = f % columns * (10 + cases[i].gap), top = f / columns * (8 + cases[i].gap) + y;
        wrong += memcmp(strip.rgb + (top * strip.width + left) * 3, vc_frames_image(&clip, f).rgb + y * 30, 30) != 0;
        covered += 10;
      }
    for (size_t p = 0; p < all; p++) white += strip.rgb[p * 3] == 255;
    cr_expect_eq(wrong, 0, "case %zu: %d rows are elsewhere", i, wrong);
    cr_expect_eq(white, all - covered, "case %zu: %zu white pixels", i, white);
    vc_image_free(&strip);
    vc_frames_free(&clip);
  }
  vc_frames wide = fixture_clip(5, 8000, 4, 8);
  vc_image strip;
  cr_assert_eq(vc_film_strip(&strip, &wide, 0, 0, NULL), VC_OK);
  cr_expect(strip.width == 16000 && strip.height == 12, "%d x %d", strip.width, strip.height);
  vc_image_free(&strip);
  vc_error error = {""};
  cr_expect_eq(vc_film_strip(&strip, &wide, 3, 0, &error), VC_INVALID);
  cr_expect(fixture_message_has(&error, "folder of frames"), "'%s'", error.message);
  cr_expect_eq(vc_film_strip(&strip, &wide, -1, 0, NULL), VC_INVALID);
  cr_expect_eq(vc_film_strip(&strip, &wide, 0, -1, NULL), VC_INVALID);
  vc_frames_free(&wide);
}

Test(media_out, folders_replace_only_their_own_kind, .init = set_up, .fini = tear_down) {
  vc_frames clip = fixture_clip(3, 16, 16, 8);
  cr_assert_eq(vc_media_write(path_of("frames"), &clip, NULL, NULL, NULL), VC_OK);
  cr_expect_eq(files_in(path_of("frames")), 3);
  clip.count = 2;
  cr_assert_eq(vc_media_write(path_of("frames/"), &clip, NULL, NULL, NULL), VC_OK);
  cr_expect_eq(files_in(path_of("frames")), 2);
  fixture_write(path_of("frames/diary.txt"), "x", 1);
  vc_error error = {""};
  cr_expect_eq(vc_media_write(path_of("frames"), &clip, NULL, NULL, &error), VC_FAILED);
  cr_expect(fixture_message_has(&error, "frames"), "'%s'", error.message);
  cr_expect_eq(files_in(path_of("frames")), 3);
  cr_expect_eq(files_in(folder), 1, "something was left beside");
  clip.count = 3;
  vc_frames_free(&clip);
}

// ---- metadata

Test(media_out, metadata_comes_back_from_every_format, .init = set_up, .fini = tear_down) {
  static const char *const names[] = {"c.gif", "c.mp4", "c.webp", "c.png", "c", "one.webp"};
  char longest[4000];
  memset(longest, 'x', sizeof longest - 1);
  longest[sizeof longest - 1] = 0;
  const vc_metadata_entry entries[] = {{"command", "videocomposer generate --prompt \"a <cat> & 'dog'\" -o out.gif"},
                                       {"prompt", "eine Möwe am Strand, 日本, \xf0\x9f\x8c\x8a, &amp; &lt;"},
                                       {"lines", "one\ntwo\\three\t"},
                                       {"empty", ""},
                                       {"long", longest}};
  enum { COUNT = sizeof entries / sizeof *entries };
  vc_frames clip = fixture_clip(3, 32, 24, 8);
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    vc_error error;
    vc_metadata got;
    vc_media_options options = {.metadata = entries, .metadata_count = COUNT};
    clip.count = strcmp(names[i], "one.webp") ? 3 : 1;
    cr_assert_eq(vc_media_write(path_of(names[i]), &clip, &options, NULL, &error), VC_OK, "%s", error.message);
    cr_assert_eq(vc_media_read_metadata(&got, path_of(names[i]), &error), VC_OK, "%s", error.message);
    cr_expect_eq(got.count, COUNT, "%s: %d entries", names[i], got.count);
    for (int k = 0; k < COUNT; k++) {
      const char *value = vc_metadata_find(&got, entries[k].key);
      cr_expect(value && !strcmp(value, entries[k].value), "%s: %s is '%s'", names[i], entries[k].key, value);
    }
    vc_metadata_free(&got);
    // Without metadata there is none.
    cr_assert_eq(vc_media_write(path_of(names[i]), &clip, NULL, NULL, &error), VC_OK, "%s", error.message);
    cr_assert_eq(vc_media_read_metadata(&got, path_of(names[i]), &error), VC_OK, "%s", error.message);
    cr_expect(got.count == 0 && !vc_metadata_find(&got, "command"), "%s", names[i]);
    vc_metadata_free(&got);
  }
  clip.count = 3;
  vc_frames_free(&clip);
}

Test(media_out, foreign_texts_are_one_comment) {
  static const struct {
    const char *text;
    int count;
    const char *comment;
  } cases[] = {{"Made with something else", 1, "Made with something else"},
               {"{\"a\": 1}", 1, "{\"a\": 1}"},
               {"[]", 1, "[]"},
               {"{\"a\":\"b\"", 1, "{\"a\":\"b\""},
               {"{}", 0, NULL},
               {"", 0, NULL}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    vc_metadata got;
    cr_assert_eq(vc_metadata_from_text(&got, cases[i].text, strlen(cases[i].text), NULL), VC_OK);
    cr_expect_eq(got.count, cases[i].count, "%s", cases[i].text);
    const char *comment = vc_metadata_find(&got, "comment");
    cr_expect(cases[i].comment ? comment && !strcmp(comment, cases[i].comment) : !comment, "%s", cases[i].text);
    vc_metadata_free(&got);
  }
  static const char *const xmp[] = {"", "<dc:description", "<dc:description><rdf:li", "<dc:description><rdf:li>x",
                                    "<rdf:li>x</rdf:li>"};
  for (size_t i = 0; i < sizeof xmp / sizeof *xmp; i++) {
    vc_metadata got;
    cr_assert_eq(vc_metadata_from_xmp(&got, xmp[i], strlen(xmp[i]), NULL), VC_OK);
    cr_expect_eq(got.count, 0, "%s", xmp[i]);
    vc_metadata_free(&got);
  }
}

Test(media_out, metadata_of_what_is_no_media, .init = set_up, .fini = tear_down) {
  static const char *const names[] = {"c.gif", "c.mp4", "c.webp", "c.png"};
  vc_metadata got;
  vc_frames clip = fixture_clip(3, 32, 24, 8);
  const vc_metadata_entry entry = {"key", "value"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    cr_assert_eq(vc_media_write(path_of(names[i]), &clip, &(vc_media_options){.metadata = &entry, .metadata_count = 1},
                                NULL, NULL),
                 VC_OK);
    vc_buffer file = fixture_read(path_of(names[i]));
    for (size_t k = 0; k < 16; k++) {
      vc_error error = {""};
      fixture_write(path_of("cut"), file.data, file.size * k / 16);
      vc_status status = vc_media_read_metadata(&got, path_of("cut"), &error);
      const char *value = vc_metadata_find(&got, "key");
      cr_expect(status ? fixture_message_has(&error, "cut") : !value || !strcmp(value, "value"), "%s, %zu/16: '%s'",
                names[i], k, error.message);
      vc_metadata_free(&got);
    }
    vc_buffer_free(&file);
  }
  vc_frames_free(&clip);
  fixture_write(path_of("text"), "some text", 9);
  cr_expect_eq(vc_media_read_metadata(&got, path_of("text"), NULL), VC_FAILED);
  cr_expect_eq(vc_media_read_metadata(&got, path_of("missing"), NULL), VC_FAILED);
  cr_expect_eq(vc_media_read_metadata(&got, "/proc/self/fd", NULL), VC_FAILED);
}

// ---- what cannot be written

Test(media_out, unwritable_places_are_refused, .init = set_up, .fini = tear_down) {
  static const char *const paths[] = {"/nonexistent/a.mp4", "/nonexistent/a.webp", "/proc/a.png", "/nonexistent/a/"};
  vc_frames clip = fixture_clip(2, 32, 24, 8);
  for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
    vc_error error = {""};
    cr_expect_eq(vc_media_write(paths[i], &clip, NULL, NULL, &error), VC_FAILED, "%s", paths[i]);
    cr_expect(fixture_message_has(&error, "cannot be written"), "%s: '%s'", paths[i], error.message);
  }
  // A full disk, under names of every format.
  static const char *const names[] = {"full.gif", "full.mp4", "full.webp", "full.png"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    vc_error error = {""};
    cr_assert_eq(symlink("/dev/full", path_of(names[i])), 0);
    cr_expect_eq(vc_media_write(path_of(names[i]), &clip, NULL, NULL, &error), VC_FAILED, "%s", names[i]);
    cr_expect(fixture_message_has(&error, "No space left"), "%s: '%s'", names[i], error.message);
  }
  cr_expect_eq(files_in(folder), 4, "something was left behind");
  vc_frames_free(&clip);
}

Test(media_out, impossible_requests_are_refused, .init = set_up, .fini = tear_down) {
  vc_frames clip = fixture_clip(2, 32, 24, 8), empty = {0}, wide = fixture_clip(1, 16384, 1, 8);
  const vc_metadata_entry bad = {" bad key", "x"};
  const struct {
    const char *name;
    const vc_frames *clip;
    vc_media_options options;
  } cases[] = {{"a.avi", &clip, {.fps = 0}},
               {"a.gif", &empty, {.fps = 0}},
               {"a/", &empty, {.fps = 0}},
               {"a.gif", &clip, {.fps = -1}},
               {"a.gif", &clip, {.fps = NAN}},
               {"a.mp4", &clip, {.fps = NAN}},
               {"a.mp4", &clip, {.fps = 1e9}},
               {"a.mp4", &clip, {.mp4_crf = 52}},
               {"a.webp", &clip, {.fps = NAN}},
               {"a.webp", &wide, {.fps = 0}},
               {"a.png", &clip, {.strip_gap = -1}},
               {"a.png", &clip, {.metadata = &bad, .metadata_count = 1}},
               {"a/", &clip, {.metadata = &bad, .metadata_count = 1}}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    vc_error error = {""};
    cr_expect_eq(vc_media_write(path_of(cases[i].name), cases[i].clip, &cases[i].options, NULL, &error), VC_INVALID,
                 "case %zu, %s", i, cases[i].name);
    cr_expect(error.message[0], "case %zu", i);
  }
  cr_expect_eq(files_in(folder), 0, "something was left behind");
  const char *note = NULL;
  cr_expect_eq(vc_media_write(path_of("a.gif"), &clip, &(vc_media_options){.fps = 60}, &note, NULL), VC_OK);
  cr_expect(note && strstr(note, "50"));
  vc_frames_free(&clip);
  vc_frames_free(&wide);
}
