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

// Of a frame: the share of red and orange pixels, their mean column, and the mean brightness of all others.
typedef struct look {
  double share, column, brightness;
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
    double found = 0, columns = 0, rest = 0;
    for (int i = 0; i < PIXELS; i++)
      if (red[i] - blue[i] > 0.3F)
        found++, columns += i % SIDE;
      else
        rest += (double)(red[i] + green[i] + blue[i]) / 3;
    out[f] = (look){found / PIXELS, columns / fmax(1, found), rest / fmax(1, PIXELS - found)};
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
