// Still pictures: every kind of PNG, JPEG and WebP, damage of all sorts, and PNG files written.
#include <criterion/criterion.h>
#include <png.h>
#include <stdio.h>  // jpeglib.h needs it first
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <webp/encode.h>
#include <webp/mux.h>

#include <jpeglib.h>

#include "loaders/image.h"
#include "loaders/media_metadata.h"
#include "tests/media_fixtures.h"

enum { WIDTH = 37, HEIGHT = 23 };

// ---- encoders of what the library reads and does not write

static void append_png(png_structp png, png_bytep data, size_t size) {
  cr_assert(vc_buffer_append(png_get_io_ptr(png), data, size));
}

static void flush_png(png_structp png) {
  (void)png;
}

// rows hold the samples as PNG stores them.
static vc_buffer encode_png(int width, int height, int depth, int type, bool interlaced, bool with_transparency,
                            uint8_t *rows, size_t stride) {
  vc_buffer out = {0};
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
  png_infop info = png_create_info_struct(png);
  cr_assert(!setjmp(png_jmpbuf(png)), "libpng could not write a fixture");
  png_set_write_fn(png, &out, append_png, flush_png);
  png_set_IHDR(png, info, (png_uint_32)width, (png_uint_32)height, depth, type,
               interlaced ? PNG_INTERLACE_ADAM7 : PNG_INTERLACE_NONE, 0, 0);
  png_color palette[256];
  for (int i = 0; i < 256; i++) palette[i] = (png_color){(png_byte)(255 - i), (png_byte)(i * 7), (png_byte)(i * 3)};
  if (type == PNG_COLOR_TYPE_PALETTE) png_set_PLTE(png, info, palette, 1 << depth);
  png_byte alphas[2] = {0, 100};
  png_color_16 clear = {0, 1, 1, 1, 1};
  if (with_transparency) png_set_tRNS(png, info, alphas, type == PNG_COLOR_TYPE_PALETTE ? 2 : 1, &clear);
  png_bytep pointers[64];
  for (int y = 0; y < height; y++) pointers[y] = rows + (size_t)y * stride;
  png_write_info(png, info);
  png_write_image(png, pointers);
  png_write_end(png, info);
  png_destroy_write_struct(&png, &info);
  return out;
}

static vc_buffer encode_jpeg(const uint8_t *samples, int width, int height, J_COLOR_SPACE space, bool progressive) {
  struct jpeg_compress_struct jpeg;
  struct jpeg_error_mgr errors;
  unsigned char *data = NULL;
  unsigned long size = 0;
  jpeg.err = jpeg_std_error(&errors);
  jpeg_create_compress(&jpeg);
  jpeg_mem_dest(&jpeg, &data, &size);
  jpeg.image_width = (JDIMENSION)width;
  jpeg.image_height = (JDIMENSION)height;
  jpeg.input_components = space == JCS_GRAYSCALE ? 1 : space == JCS_CMYK ? 4 : 3;
  jpeg.in_color_space = space;
  jpeg_set_defaults(&jpeg);
  if (space == JCS_CMYK) jpeg_set_colorspace(&jpeg, JCS_YCCK);
  jpeg_set_quality(&jpeg, 95, TRUE);
  for (int i = 0; i < jpeg.num_components && !progressive; i++)
    jpeg.comp_info[i].h_samp_factor = jpeg.comp_info[i].v_samp_factor = 1;
  if (progressive) jpeg_simple_progression(&jpeg);
  jpeg_start_compress(&jpeg, TRUE);
  for (int y = 0; y < height; y++) {
    JSAMPROW row = (JSAMPROW)(samples + (size_t)y * (size_t)width * (size_t)jpeg.input_components);
    jpeg_write_scanlines(&jpeg, &row, 1);
  }
  jpeg_finish_compress(&jpeg);
  jpeg_destroy_compress(&jpeg);
  vc_buffer out = {0};
  cr_assert(vc_buffer_append(&out, data, size));
  free(data);
  return out;
}

static vc_buffer encode_webp(const vc_image *image, bool lossless) {
  uint8_t *data = NULL;
  size_t size = lossless ? WebPEncodeLosslessRGB(image->rgb, image->width, image->height, image->width * 3, &data)
                         : WebPEncodeRGB(image->rgb, image->width, image->height, image->width * 3, 90, &data);
  vc_buffer out = {0};
  cr_assert(size && vc_buffer_append(&out, data, size));
  WebPFree(data);
  return out;
}

static vc_image decode(const vc_buffer *file, const char *name) {
  vc_image image;
  vc_error error;
  cr_assert_eq(vc_image_read_memory(&image, name, file->data, file->size, &error), VC_OK, "%s", error.message);
  return image;
}

// ---- PNG

typedef struct png_case {
  const char *name;
  int type, depth, channels;
  bool interlaced, transparency;
} png_case;

static int sample_of(int x, int y, int c) {
  return (x * 31 + y * 57 + c * 101 + x * y) & 0xffff;
}

// What the reader should make of a sample: the high byte of 16 bits, fewer than 8 spread over the range.
static uint8_t to_eight(int sample, int depth) {
  if (depth == 16) return (uint8_t)(sample >> 8);
  int most = (1 << depth) - 1;
  return (uint8_t)((sample & most) * 255 / most);
}

static void put_sample(uint8_t *row, int index, int depth, int sample) {
  if (depth == 16) {
    row[index * 2] = (uint8_t)(sample >> 8);
    row[index * 2 + 1] = (uint8_t)sample;
  } else {
    int bit = index * depth, most = (1 << depth) - 1;
    row[bit / 8] |= (uint8_t)((sample & most) << (8 - depth - bit % 8));
  }
}

static void check_png(const png_case *c) {
  static uint8_t rows[HEIGHT][WIDTH * 8];
  memset(rows, 0, sizeof rows);
  for (int y = 0; y < HEIGHT; y++)
    for (int x = 0; x < WIDTH; x++)
      for (int k = 0; k < c->channels; k++) put_sample(rows[y], x * c->channels + k, c->depth, sample_of(x, y, k));
  vc_buffer file =
      encode_png(WIDTH, HEIGHT, c->depth, c->type, c->interlaced, c->transparency, rows[0], sizeof rows[0]);
  vc_image image = decode(&file, c->name);
  cr_assert(image.width == WIDTH && image.height == HEIGHT, "%s", c->name);
  for (int y = 0; y < HEIGHT; y++)
    for (int x = 0; x < WIDTH; x++) {
      uint8_t expected[3];
      int index = sample_of(x, y, 0) & ((1 << (c->depth < 16 ? c->depth : 8)) - 1);
      for (int k = 0; k < 3; k++) expected[k] = to_eight(sample_of(x, y, c->channels < 3 ? 0 : k), c->depth);
      if (c->type == PNG_COLOR_TYPE_PALETTE) {
        expected[0] = (uint8_t)(255 - index);
        expected[1] = (uint8_t)(index * 7);
        expected[2] = (uint8_t)(index * 3);
      }
      const uint8_t *got = image.rgb + (y * WIDTH + x) * 3;
      if (memcmp(got, expected, 3))
        cr_assert_fail("%s at (%d, %d): %d %d %d, not %d %d %d", c->name, x, y, got[0], got[1], got[2], expected[0],
                       expected[1], expected[2]);
    }
  vc_image_free(&image);
  vc_buffer_free(&file);
}

Test(image, every_kind_of_png) {
  static const png_case cases[] = {
      {"gray 1", PNG_COLOR_TYPE_GRAY, 1, 1, false, false},
      {"gray 2", PNG_COLOR_TYPE_GRAY, 2, 1, false, false},
      {"gray 4, interlaced", PNG_COLOR_TYPE_GRAY, 4, 1, true, false},
      {"gray 8", PNG_COLOR_TYPE_GRAY, 8, 1, false, false},
      {"gray 8 with a clear value", PNG_COLOR_TYPE_GRAY, 8, 1, false, true},
      {"gray 16", PNG_COLOR_TYPE_GRAY, 16, 1, false, false},
      {"gray and alpha 8", PNG_COLOR_TYPE_GRAY_ALPHA, 8, 2, false, false},
      {"gray and alpha 16, interlaced", PNG_COLOR_TYPE_GRAY_ALPHA, 16, 2, true, false},
      {"palette 1", PNG_COLOR_TYPE_PALETTE, 1, 1, false, false},
      {"palette 2, interlaced", PNG_COLOR_TYPE_PALETTE, 2, 1, true, false},
      {"palette 4 with alphas", PNG_COLOR_TYPE_PALETTE, 4, 1, false, true},
      {"palette 8", PNG_COLOR_TYPE_PALETTE, 8, 1, false, false},
      {"palette 8 with alphas, interlaced", PNG_COLOR_TYPE_PALETTE, 8, 1, true, true},
      {"rgb 8", PNG_COLOR_TYPE_RGB, 8, 3, false, false},
      {"rgb 8, interlaced", PNG_COLOR_TYPE_RGB, 8, 3, true, false},
      {"rgb 8 with a clear colour", PNG_COLOR_TYPE_RGB, 8, 3, false, true},
      {"rgb 16", PNG_COLOR_TYPE_RGB, 16, 3, false, false},
      {"rgba 8: alpha is dropped, not blended", PNG_COLOR_TYPE_RGB_ALPHA, 8, 4, false, false},
      {"rgba 16, interlaced", PNG_COLOR_TYPE_RGB_ALPHA, 16, 4, true, false},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) check_png(&cases[i]);
}

// ---- JPEG and WebP

Test(image, every_kind_of_jpeg) {
  vc_image image = fixture_image(WIDTH, HEIGHT);
  size_t pixels = WIDTH * HEIGHT;
  uint8_t gray[WIDTH * HEIGHT], cmyk[WIDTH * HEIGHT * 4], gray_rgb[WIDTH * HEIGHT * 3];
  for (size_t i = 0; i < pixels; i++) {
    gray[i] = image.rgb[i * 3];
    memset(gray_rgb + i * 3, gray[i], 3);
    // Adobe's inverted CMYK with as much black as there is: K is the largest of R, G, B, and R = C K / 255.
    const uint8_t *p = image.rgb + i * 3;
    int k = p[0] > p[1] ? p[0] : p[1];
    if (p[2] > k) k = p[2];
    for (int c = 0; c < 3; c++) cmyk[i * 4 + (size_t)c] = (uint8_t)((p[c] * 255 + k / 2) / k);
    cmyk[i * 4 + 3] = (uint8_t)k;
  }
  const struct {
    const char *name;
    const uint8_t *samples, *expected;
    J_COLOR_SPACE space;
    bool progressive;
    double psnr;
  } cases[] = {{"gray", gray, gray_rgb, JCS_GRAYSCALE, false, 42},
               {"colour", image.rgb, image.rgb, JCS_RGB, false, 38},
               {"colour, progressive, half the chroma", image.rgb, image.rgb, JCS_RGB, true, 28},
               {"CMYK as YCCK", cmyk, image.rgb, JCS_CMYK, false, 38}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    vc_buffer file = encode_jpeg(cases[i].samples, WIDTH, HEIGHT, cases[i].space, cases[i].progressive);
    vc_image got = decode(&file, cases[i].name);
    cr_assert(got.width == WIDTH && got.height == HEIGHT, "%s", cases[i].name);
    double psnr = fixture_psnr(got.rgb, cases[i].expected, pixels * 3);
    cr_expect(psnr >= cases[i].psnr, "%s: PSNR %.1f", cases[i].name, psnr);
    vc_image_free(&got);
    vc_buffer_free(&file);
  }
  vc_image_free(&image);
}

Test(image, webp_lossless_is_exact_and_lossy_is_close) {
  vc_image image = fixture_image(WIDTH, HEIGHT);
  for (int lossless = 0; lossless < 2; lossless++) {
    vc_buffer file = encode_webp(&image, lossless);
    vc_image got = decode(&file, "x.webp");
    cr_assert(got.width == WIDTH && got.height == HEIGHT);
    double psnr = fixture_psnr(got.rgb, image.rgb, WIDTH * HEIGHT * 3);
    cr_expect(psnr >= (lossless ? 1000 : 28), "lossless %d: PSNR %.1f", lossless, psnr);
    vc_image_free(&got);
    vc_buffer_free(&file);
  }
  vc_image_free(&image);
}

Test(image, webp_alpha_is_dropped) {
  uint8_t rgba[8 * 8 * 4], *data = NULL;
  for (int i = 0; i < 8 * 8 * 4; i++) rgba[i] = (uint8_t)(i * 5);
  WebPConfig config;
  WebPPicture picture;
  WebPMemoryWriter writer;
  cr_assert(WebPConfigInit(&config) && WebPPictureInit(&picture));
  WebPMemoryWriterInit(&writer);
  config.lossless = config.exact = 1;
  picture.use_argb = 1;
  picture.width = picture.height = 8;
  picture.writer = WebPMemoryWrite;
  picture.custom_ptr = &writer;
  cr_assert(WebPPictureImportRGBA(&picture, rgba, 8 * 4) && WebPEncode(&config, &picture));
  data = writer.mem;
  vc_image image;
  cr_assert_eq(vc_image_read_memory(&image, "x", data, writer.size, NULL), VC_OK);
  for (int i = 0; i < 64; i++) cr_expect(!memcmp(image.rgb + i * 3, rgba + i * 4, 3), "pixel %d", i);
  vc_image_free(&image);
  WebPMemoryWriterClear(&writer);
  WebPPictureFree(&picture);
}

// ---- damage

static vc_buffer encode_kind(int kind) {
  vc_image image = fixture_image(120, 90);
  vc_buffer file = {0};
  if (kind == 0) cr_assert_eq(vc_image_encode_png(&file, &image, NULL, 0, NULL), VC_OK);
  if (kind == 1) file = encode_jpeg(image.rgb, 120, 90, JCS_RGB, false);
  if (kind == 2) file = encode_jpeg(image.rgb, 120, 90, JCS_RGB, true);
  if (kind == 3) file = encode_webp(&image, false);
  if (kind == 4) file = encode_webp(&image, true);
  vc_image_free(&image);
  return file;
}

Test(image, files_cut_anywhere_are_refused) {
  for (int kind = 0; kind < 5; kind++) {
    vc_buffer file = encode_kind(kind);
    for (size_t k = 0; k < 16; k++) {
      vc_image image;
      vc_error error = {""};
      vc_status status = vc_image_read_memory(&image, "some/file", file.data, file.size * k / 16, &error);
      cr_expect_eq(status, VC_FAILED, "kind %d cut to %zu/16 was read", kind, k);
      cr_expect_null(image.rgb);
      cr_expect(fixture_message_has(&error, "some/file: "), "kind %d, %zu/16: '%s'", kind, k, error.message);
    }
    vc_buffer_free(&file);
  }
}

Test(image, flipped_bytes_never_harm) {
  for (int kind = 0; kind < 5; kind++) {
    vc_buffer file = encode_kind(kind);
    for (size_t at = 0; at < file.size; at += 1 + file.size / 200) {
      file.data[at] ^= 0x5a;
      vc_image image;
      vc_error error = {""};
      vc_status status = vc_image_read_memory(&image, "f", file.data, file.size, &error);
      cr_expect((status == VC_OK) == (image.rgb != NULL), "kind %d at %zu", kind, at);
      cr_expect((status == VC_OK) == !error.message[0], "kind %d at %zu: '%s'", kind, at, error.message);
      vc_image_free(&image);
      file.data[at] ^= 0x5a;
    }
    vc_buffer_free(&file);
  }
}

static void put_big_endian(uint8_t *to, uint32_t value) {
  for (int i = 0; i < 4; i++) to[i] = (uint8_t)(value >> (24 - 8 * i));
}

// A PNG whose header tells another size than its data has.
static void resize_png_header(uint8_t *png, uint32_t width, uint32_t height) {
  put_big_endian(png + 16, width);
  put_big_endian(png + 20, height);
  uint32_t crc = 0xffffffff;
  for (int i = 12; i < 29; i++) {
    crc ^= png[i];
    for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
  }
  put_big_endian(png + 29, ~crc);
}

static void resize_jpeg_header(vc_buffer *jpeg, int width, int height) {
  for (size_t i = 2; i + 9 < jpeg->size; i++)
    if (jpeg->data[i] == 0xff && (jpeg->data[i + 1] == 0xc0 || jpeg->data[i + 1] == 0xc2)) {
      jpeg->data[i + 5] = (uint8_t)(height >> 8);
      jpeg->data[i + 6] = (uint8_t)height;
      jpeg->data[i + 7] = (uint8_t)(width >> 8);
      jpeg->data[i + 8] = (uint8_t)width;
      return;
    }
  cr_assert_fail("the fixture has no frame header");
}

Test(image, absurd_sizes_are_refused_from_the_header) {
  static const struct {
    int width, height;
    const char *message;
  } cases[] = {{20000, 20000, "20000 x 20000 pixels is outside the limits"},
               {16385, 1, "outside the limits"},
               {1, 60000, "outside the limits"},
               {16384, 16384, "cannot hold 16384 x 16384 pixels"}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    for (int kind = 0; kind < 3; kind++) {
      vc_buffer file = encode_kind(kind);
      vc_image image;
      vc_error error = {""};
      if (kind == 0)
        resize_png_header(file.data, (uint32_t)cases[i].width, (uint32_t)cases[i].height);
      else
        resize_jpeg_header(&file, cases[i].width, cases[i].height);
      cr_expect_eq(vc_image_read_memory(&image, "f", file.data, file.size, &error), VC_FAILED);
      cr_expect(fixture_message_has(&error, cases[i].message), "kind %d: '%s'", kind, error.message);
      vc_buffer_free(&file);
    }
  static const uint8_t webp[] = {'R', 'I', 'F', 'F', 22, 0, 0, 0, 'W', 'E',  'B',  'P', 'V',  'P',  '8',
                                 'X', 10,  0,   0,   0,  0, 0, 0, 0,   0x1f, 0x4e, 0,   0x1f, 0x4e, 0};
  vc_image image;
  cr_expect_eq(vc_image_read_memory(&image, "f", webp, sizeof webp, NULL), VC_FAILED);
  cr_expect_not(vc_image_size_ok(INT64_MAX, INT64_MAX));
  cr_expect(vc_image_size_ok(16384, 16384));
}

Test(image, what_is_no_picture_is_said_to_be_none) {
  char *folder = fixture_folder();
  const struct {
    const char *name, *content, *message;
    size_t size;
  } cases[] = {{"text.png", "just some text\n", "not a PNG, JPEG or WebP", 15},
               {"empty.jpg", "", "is empty", 0},
               {"one", "\x89", "not a PNG, JPEG or WebP", 1},
               {"magic.png", "\x89PNG\r\n\x1a\n", "ends too early", 8},
               {"magic.jpg", "\xff\xd8\xff", "ends too early", 3},
               {"magic.webp", "RIFF\0\0\0\0WEBP", "WebP", 12}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char *path = fixture_path(folder, cases[i].name);
    fixture_write(path, cases[i].content, cases[i].size);
    vc_image image;
    vc_error error = {""};
    cr_expect_eq(vc_image_read(&image, path, &error), VC_FAILED, "%s", cases[i].name);
    cr_expect(fixture_message_has(&error, cases[i].message) && fixture_message_has(&error, path), "%s: '%s'",
              cases[i].name, error.message);
    free(path);
  }
  vc_image image;
  vc_error error = {""};
  cr_expect_eq(vc_image_read(&image, folder, &error), VC_FAILED);
  cr_expect(fixture_message_has(&error, "a folder"), "'%s'", error.message);
  cr_expect_eq(vc_image_read(&image, "/nonexistent/picture.png", &error), VC_FAILED);
  cr_expect(fixture_message_has(&error, "/nonexistent/picture.png: cannot be opened"), "'%s'", error.message);
  cr_expect_eq(vc_image_read(&image, "/nonexistent", NULL), VC_FAILED);
  fixture_remove_folder(folder);
}

Test(image, animated_webp_is_no_still_picture) {
  WebPAnimEncoder *encoder = WebPAnimEncoderNew(8, 8, NULL);
  vc_image image = fixture_image(8, 8), got;
  WebPPicture picture;
  WebPData data = {0};
  for (int i = 0; i < 2; i++) {
    memset(image.rgb, i * 200, 8 * 8 * 3);
    cr_assert(WebPPictureInit(&picture));
    picture.use_argb = 1;
    picture.width = picture.height = 8;
    cr_assert(WebPPictureImportRGB(&picture, image.rgb, 24) && WebPAnimEncoderAdd(encoder, &picture, i * 100, NULL));
    WebPPictureFree(&picture);
  }
  cr_assert(WebPAnimEncoderAdd(encoder, NULL, 200, NULL) && WebPAnimEncoderAssemble(encoder, &data));
  vc_error error = {""};
  cr_expect_eq(vc_image_read_memory(&got, "f", data.bytes, data.size, &error), VC_FAILED);
  cr_expect(fixture_message_has(&error, "animated"), "'%s'", error.message);
  WebPDataClear(&data);
  WebPAnimEncoderDelete(encoder);
  vc_image_free(&image);
}

// ---- writing

Test(image, png_round_trip_with_text) {
  char *folder = fixture_folder(), *path = fixture_path(folder, "out.png");
  static const int sizes[][2] = {{1, 1}, {WIDTH, HEIGHT}, {3000, 2}};
  const vc_metadata_entry text[] = {{"Comment", "plain"}, {"prompt", "eine Möwe <&> \"日本\""}, {"empty", ""}};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    vc_image image = fixture_image(sizes[i][0], sizes[i][1]), got;
    vc_metadata metadata;
    vc_error error;
    cr_assert_eq(vc_image_write_png(path, &image, text, 3, &error), VC_OK, "%s", error.message);
    cr_assert_eq(vc_image_read(&got, path, &error), VC_OK, "%s", error.message);
    cr_assert(got.width == image.width && got.height == image.height);
    cr_expect(!memcmp(got.rgb, image.rgb, (size_t)got.width * (size_t)got.height * 3));
    cr_assert_eq(vc_media_read_metadata(&metadata, path, &error), VC_OK, "%s", error.message);
    cr_assert_eq(metadata.count, 3);
    for (int k = 0; k < 3; k++) {
      cr_expect_str_eq(metadata.entry[k].key, text[k].key);
      cr_expect_str_eq(metadata.entry[k].value, text[k].value);
    }
    vc_metadata_free(&metadata);
    vc_image_free(&image);
    vc_image_free(&got);
  }
  free(path);
  fixture_remove_folder(folder);
}

Test(image, bad_png_text_keys_are_refused) {
  static const char *const keys[] = {
      "",     " a",        "a ",
      "a  b", "tab\there", "an eighty character key is one more than the specification of the format allows.."};
  vc_image image = fixture_image(2, 2);
  for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
    vc_buffer file = {0};
    const vc_metadata_entry text = {(char *)keys[i], "v"};
    cr_expect_eq(vc_image_encode_png(&file, &image, &text, 1, NULL), VC_INVALID, "key '%s'", keys[i]);
    vc_buffer_free(&file);
  }
  vc_image_free(&image);
}

Test(image, unwritable_places_are_refused) {
  vc_image image = fixture_image(300, 200), none = {0};
  static const char *const paths[] = {"/dev/full", "/nonexistent/x.png", "/proc/x.png", "/tmp", ""};
  for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
    vc_error error = {""};
    cr_expect_eq(vc_image_write_png(paths[i], &image, NULL, 0, &error), VC_FAILED, "%s", paths[i]);
    cr_expect(fixture_message_has(&error, paths[i]), "'%s'", error.message);
  }
  cr_expect_eq(vc_image_write_png("/dev/null", &none, NULL, 0, NULL), VC_INVALID);
  vc_image_free(&image);
}
