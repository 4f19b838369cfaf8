// videocomposer strip: several clips below each other in one picture, frame by frame.
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "loaders/frames.h"
#include "loaders/media_out.h"

typedef struct values {
  const char *output;
  int gap;
} values;

static const vc_option options[] = {
    {.name = "output",
     .letter = 'o',
     .kind = VC_OPTION_STRING,
     .field = offsetof(values, output),
     .value = "FILE.png",
     .help = "where to write the picture"},
    {.name = "gap",
     .kind = VC_OPTION_INT,
     .field = offsetof(values, gap),
     .max = 64,
     .fallback = "2",
     .help = "white pixels between rows"},
};

static const vc_command_spec spec = {
    .name = "strip",
    .summary = "puts clips below each other in one PNG, a row a clip, its frames side by side",
    .arguments = "CLIP...",
    .min_arguments = 1,
    .max_arguments = VC_LIST_MAX,
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .example = "videocomposer strip a.gif b.gif -o both.png",
};

static vc_status read_row(vc_image *out, const char *path, vc_error *error) {
  vc_frames_options o = {.allow_still = true, .tagged_colors = true};
  vc_frames clip;
  vc_status status = vc_frames_read(&clip, path, &o, error);
  if (status) return status;
  status = vc_film_strip(out, &clip, clip.count, 0, error);
  vc_frames_free(&clip);
  return status ? vc_fail_in(error, status, "%s", path) : VC_OK;
}

static vc_status stack(vc_image *out, const vc_image *row, int rows, int gap, vc_error *error) {
  int width = 0, height = 0, y = 0;
  for (int i = 0; i < rows; i++) {
    if (row[i].width > width) width = row[i].width;
    height += row[i].height + (i ? gap : 0);
  }
  vc_status status = vc_image_new(out, width, height, error);
  if (status) return status;
  memset(out->rgb, 255, (size_t)width * (size_t)height * 3);
  for (int i = 0; i < rows; i++, y += gap)
    for (int k = 0; k < row[i].height; k++, y++)
      memcpy(out->rgb + (size_t)y * (size_t)width * 3, row[i].rgb + (size_t)k * (size_t)row[i].width * 3,
             (size_t)row[i].width * 3);
  return VC_OK;
}

int vc_command_strip(int argc, char **argv) {
  values v = {0};
  vc_arguments arguments;
  vc_error error;
  vc_image row[VC_LIST_MAX] = {{0}}, all = {0};
  vc_status status = VC_OK;
  int exit_status;
  if (!vc_command_start(&spec, argc, argv, &v, &arguments, &exit_status)) return exit_status;
  if (!v.output) status = vc_fail(&error, VC_INVALID, "-o FILE.png is needed");
  for (int i = 0; i < arguments.count && !status; i++) status = read_row(&row[i], arguments.item[i], &error);
  if (!status) status = stack(&all, row, arguments.count, v.gap, &error);
  if (!status) status = vc_image_write_png(v.output, &all, NULL, 0, &error);
  for (int i = 0; i < arguments.count; i++) vc_image_free(&row[i]);
  vc_image_free(&all);
  return vc_command_finish(&spec, status, &error);
}
