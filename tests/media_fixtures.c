#include "tests/media_fixtures.h"

#include <ftw.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void need(bool condition, const char *what) {
  if (condition) return;
  perror(what);
  abort();
}

static void paint(uint8_t *rgb, int width, int height, double phase, bool flat) {
  double cx = width * (0.3 + 0.4 * phase), cy = height * 0.5, radius = 0.2 * (width < height ? width : height);
  for (int y = 0; y < height; y++)
    for (int x = 0; x < width; x++, rgb += 3) {
      bool inside = hypot(x + 0.5 - cx, y + 0.5 - cy) < radius;
      double u = (x + 0.5) / width, v = (y + 0.5) / height;
      rgb[0] = inside ? 230 : (uint8_t)(flat ? 40 : 30 + 150 * u);
      rgb[1] = inside ? 60 : (uint8_t)(flat ? 90 : 200 - 120 * v);
      rgb[2] = inside ? 50 : (uint8_t)(flat ? 160 + (y * 4 / height) * 20 : 90 + 80 * sin(3 * (u + v)));
    }
}

static vc_frames make_clip(int count, int width, int height, double fps, bool flat) {
  vc_frames clip;
  need(vc_frames_new(&clip, count, width, height, fps, NULL) == VC_OK, "fixture clip");
  for (int i = 0; i < count; i++)
    paint(vc_frames_image(&clip, i).rgb, width, height, count > 1 ? (double)i / (count - 1) : 0, flat);
  return clip;
}

vc_frames fixture_clip(int count, int width, int height, double fps) {
  return make_clip(count, width, height, fps, false);
}

vc_frames fixture_flat_clip(int count, int width, int height, double fps) {
  return make_clip(count, width, height, fps, true);
}

vc_image fixture_image(int width, int height) {
  vc_image image;
  need(vc_image_new(&image, width, height, NULL) == VC_OK, "fixture image");
  paint(image.rgb, width, height, 0.5, false);
  return image;
}

double fixture_psnr(const uint8_t *a, const uint8_t *b, size_t count) {
  double sum = 0;
  for (size_t i = 0; i < count; i++) sum += (a[i] - b[i]) * (a[i] - b[i]);
  return sum > 0 ? 10 * log10(255.0 * 255.0 * (double)count / sum) : INFINITY;
}

double fixture_clip_psnr(const vc_frames *a, const vc_frames *b) {
  if (a->count != b->count || a->width != b->width || a->height != b->height || !a->count) return 0;
  double least = INFINITY;
  size_t bytes = (size_t)a->width * (size_t)a->height * 3;
  for (int i = 0; i < a->count; i++) {
    double psnr = fixture_psnr(a->rgb + (size_t)i * bytes, b->rgb + (size_t)i * bytes, bytes);
    if (psnr < least) least = psnr;
  }
  return least;
}

char *fixture_folder(void) {
  char *folder = NULL;
  const char *base = getenv("TMPDIR");
  need(asprintf(&folder, "%s/videocomposer-test-XXXXXX", base && *base ? base : "/tmp") > 0, "fixture folder");
  need(mkdtemp(folder), folder);
  return folder;
}

static int remove_one(const char *path, const struct stat *about, int kind, struct FTW *where) {
  (void)about;
  (void)kind;
  (void)where;
  return remove(path);
}

void fixture_remove_folder(char *folder) {
  nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
  free(folder);
}

char *fixture_path(const char *folder, const char *name) {
  char *path = NULL;
  need(asprintf(&path, "%s/%s", folder, name) > 0, "fixture path");
  return path;
}

void fixture_write(const char *path, const void *data, size_t size) {
  FILE *file = fopen(path, "wb");
  need(file, path);
  need(fwrite(data, 1, size, file) == size, path);
  need(!fclose(file), path);
}

vc_buffer fixture_read(const char *path) {
  vc_buffer bytes = {0};
  need(vc_buffer_read_file(&bytes, path, (size_t)1 << 30, NULL) == VC_OK, path);
  return bytes;
}

bool fixture_message_has(const vc_error *error, const char *what) {
  return strstr(error->message, what) && !strchr(error->message, '\n');
}
