// What the small model inside the program makes of conditions: measured on the frames that the engine generated. How
// well it does on average is in cli/assets/mini/README.md; the limits here lie below what these scenes and seeds give.
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "loaders/safetensors.h"
#include "tests/program.h"

enum { SIDE = 128, FRAMES = 8, PIXELS = SIDE * SIDE };

static char demo[4200];

static void enter(void) {
  char root[4096];
  cr_assert(getcwd(root, sizeof root));
  snprintf(demo, sizeof demo, "%s/cli/assets/demo", root);
  program_enter();
}

TestSuite(embedded_unet, .init = enter, .fini = program_leave);

// Of a frame: the share of red and orange pixels, their mean column, the part of their bounding box that they fill, and
// the mean brightness of all others.
typedef struct look {
  double share, column, fill, brightness;
} look;

static void generate(look out[FRAMES], const char *arguments) {
  char command[4600];
  snprintf(command, sizeof command, "generate --steps 15 --no-progress -o o.safetensors %s", arguments);
  program_expect(command, 0, "");
  vc_tensor_file file;
  cr_assert_eq(vc_safetensors_open(&file, "o.safetensors", NULL), VC_OK);
  const vc_tensor *video = vc_tensor_file_find(&file, "video");  // [1 3 8 128 128]
  cr_assert(video && video->dtype == VC_F32 && vc_tensor_count(video) == 3 * FRAMES * PIXELS);
  cr_assert(video->dim[1] == 3 && video->dim[2] == FRAMES);
  for (int f = 0; f < FRAMES; f++) {
    const float *red = (const float *)video->data + (size_t)f * PIXELS, *green = red + FRAMES * PIXELS,
                *blue = green + FRAMES * PIXELS;
    double found = 0, columns = 0, rest = 0, left = SIDE, right = 0, top = SIDE, bottom = 0;
    for (int i = 0; i < PIXELS; i++)
      if (red[i] - blue[i] > 0.3F) {
        found++, columns += i % SIDE;
        left = fmin(left, i % SIDE), right = fmax(right, i % SIDE + 1);
        top = fmin(top, i / SIDE), bottom = fmax(bottom, i / SIDE + 1);
      } else {
        rest += (double)(red[i] + green[i] + blue[i]) / 3;
      }
    out[f] = (look){found / PIXELS, columns / fmax(1, found), found / fmax(1, (right - left) * (bottom - top)),
                    rest / fmax(1, PIXELS - found)};
  }
  vc_tensor_file_close(&file);
}

Test(embedded_unet, depth_and_words_decide_place_and_colours) {
  char arguments[4400];
  look seen[FRAMES];
  snprintf(arguments, sizeof arguments, "--prompt 'a red circle over a gray background' --seed 2 --depth %s/depth",
           demo);
  generate(seen, arguments);
  for (int f = 0; f < FRAMES; f++) {
    cr_expect(seen[f].share > 0.05 && seen[f].share < 0.3, "frame %d: %g of it is red", f, seen[f].share);
    cr_expect(seen[f].brightness > 0.3 && seen[f].brightness < 0.7, "frame %d: %g", f, seen[f].brightness);
  }
  double moved = seen[FRAMES - 1].column - seen[0].column;  // in the depth sequence it is 64 pixels
  cr_expect(moved > 40 && moved < 90, "the circle moved by %g pixels", moved);
}

// A square fills its bounding box, a circle 0.79 of it, a triangle half: the same noise with other words.
Test(embedded_unet, words_decide_the_kind_of_shape) {
  static const char *const shapes[] = {"triangle", "circle", "square"};
  enum { SHAPES = 3, SEEDS = 2 };
  double fill[SHAPES] = {0};
  for (int k = 0; k < SHAPES; k++)
    for (int seed = 2; seed < 2 + SEEDS; seed++) {
      char arguments[128];
      look seen[FRAMES];
      snprintf(arguments, sizeof arguments, "--prompt 'a red %s over a gray background' --seed %d", shapes[k], seed);
      generate(seen, arguments);
      for (int f = 0; f < FRAMES; f++) fill[k] += seen[f].fill / (FRAMES * SEEDS);
    }
  cr_expect(fill[0] > 0.35 && fill[0] < 0.58, "triangles fill %g of their boxes", fill[0]);
  cr_expect(fill[1] > 0.66 && fill[1] < 0.82, "circles fill %g of their boxes", fill[1]);
  cr_expect(fill[2] > 0.8, "squares fill %g of their boxes", fill[2]);
}

// The same noise twice: what differs is the stroke alone.
Test(embedded_unet, a_stroke_to_the_right_moves_the_shape_right) {
  enum { SEEDS = 4 };
  double sum = 0;
  for (int seed = 1; seed <= SEEDS; seed++) {
    static const char *const strokes[] = {"96,64 -> 32,64", "32,64 -> 96,64"};
    double moved[2];
    for (int k = 0; k < 2; k++) {
      char arguments[256];
      look seen[FRAMES];
      snprintf(arguments, sizeof arguments,
               "--prompt 'an orange circle over a black background' --strokes '%s' --seed %d", strokes[k], seed);
      generate(seen, arguments);
      cr_expect(seen[0].share > 0.05 && seen[0].brightness < 0.25, "%g orange, %g", seen[0].share, seen[0].brightness);
      moved[k] = seen[FRAMES - 1].column - seen[0].column;
    }
    sum += moved[1] - moved[0];
  }
  cr_expect_gt(sum / SEEDS, 6, "further right by %g pixels than with a stroke to the left", sum / SEEDS);
}
