// Choosing a format by suffix, the film strip, and the folder of frames.
#include "loaders/media_out.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "loaders/gif.h"
#include "loaders/media_metadata.h"
#include "loaders/mp4.h"
#include "loaders/output.h"
#include "loaders/webp_out.h"

vc_status vc_media_kind_of(vc_media_kind *kind, const char *path, vc_error *error) {
  static const struct {
    const char *suffix;
    vc_media_kind kind;
  } known[] = {{".gif", VC_MEDIA_GIF}, {".mp4", VC_MEDIA_MP4}, {".webp", VC_MEDIA_WEBP}, {".png", VC_MEDIA_STRIP}};
  const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
  *kind = VC_MEDIA_FOLDER;
  if (!*path) return vc_fail(error, VC_INVALID, "an empty path: name a file or a folder to write");
  // "dir/", "dir", ".", ".." and ".hidden" have no suffix.
  const char *dot = strrchr(name, '.');
  if (!dot || dot == name || !strcmp(name, "..")) return VC_OK;
  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    if (!strcasecmp(dot, known[i].suffix)) {
      *kind = known[i].kind;
      return VC_OK;
    }
  return vc_fail(error, VC_INVALID,
                 "%s: the suffix %s is not known; known are .gif, .mp4, .webp, .png (a film strip), and a slash at the "
                 "end for a folder of frames",
                 path, dot);
}

// ---- film strip

vc_status vc_film_strip(vc_image *out, const vc_frames *frames, int columns, int gap, vc_error *error) {
  *out = (vc_image){0};
  if (frames->count < 1 || columns < 0 || gap < 0 || gap > VC_IMAGE_MAX_SIDE)
    return vc_fail(error, VC_INVALID, "a film strip of %d frames, %d in a row, gap %d is not possible", frames->count,
                   columns, gap);
  int most = (VC_IMAGE_MAX_SIDE + gap) / (frames->width + gap);
  if (!columns) columns = most > 1 ? most : 1;
  if (columns > frames->count) columns = frames->count;
  int rows = (frames->count + columns - 1) / columns;
  int64_t width = (int64_t)columns * (frames->width + gap) - gap, height = (int64_t)rows * (frames->height + gap) - gap;
  if (!vc_image_size_ok(width, height))
    return vc_fail(error, VC_INVALID,
                   "a film strip of %d x %d frames is %lld x %lld pixels, larger than a picture may be (%d a side): "
                   "write a folder of frames instead",
                   columns, rows, (long long)width, (long long)height, VC_IMAGE_MAX_SIDE);
  vc_status status = vc_image_new(out, (int)width, (int)height, error);
  if (status) return status;
  memset(out->rgb, 255, (size_t)width * (size_t)height * 3);
  size_t row = (size_t)frames->width * 3;
  for (int i = 0; i < frames->count; i++) {
    vc_image frame = vc_frames_image(frames, i);
    size_t left = (size_t)(i % columns) * (size_t)(frames->width + gap);
    size_t top = (size_t)(i / columns) * (size_t)(frames->height + gap);
    for (int y = 0; y < frames->height; y++)
      memcpy(out->rgb + ((top + (size_t)y) * (size_t)width + left) * 3, frame.rgb + (size_t)y * row, row);
  }
  return VC_OK;
}

static vc_status write_strip(const char *path, const vc_frames *frames, const vc_media_options *options,
                             vc_error *error) {
  vc_image strip;
  vc_status status = vc_film_strip(&strip, frames, options->strip_columns, options->strip_gap, error);
  if (status) return vc_fail_in(error, status, "%s", path);
  status = vc_image_write_png(path, &strip, options->metadata, options->metadata_count, error);
  vc_image_free(&strip);
  return status;
}

// ---- folder

static vc_status write_frame(const vc_output_folder *folder, const vc_frames *frames, int i,
                             const vc_media_options *options, vc_error *error) {
  char name[32];
  vc_buffer png = {0};
  vc_output output = {0};
  vc_image image = vc_frames_image(frames, i);
  snprintf(name, sizeof name, "%04d.png", i);
  vc_status status = vc_image_encode_png(&png, &image, options->metadata, options->metadata_count, error);
  if (!status) status = vc_output_folder_file(&output, folder, name, error);
  if (!status) status = vc_output_write(&output, png.data, png.size, error);
  if (!status) status = vc_output_commit(&output, error);
  vc_output_abort(&output);
  vc_buffer_free(&png);
  return status;
}

static vc_status write_folder(const char *path, const vc_frames *frames, const vc_media_options *options,
                              vc_error *error) {
  vc_output_folder folder;
  vc_status status = vc_output_folder_open(&folder, path, error);
  for (int i = 0; i < frames->count && !status; i++) status = write_frame(&folder, frames, i, options, error);
  if (!status) status = vc_output_folder_commit(&folder, error);
  vc_output_folder_abort(&folder);
  return status;
}

// ---- files of one text

static vc_status encode(vc_buffer *file, vc_media_kind kind, const vc_frames *frames, const vc_media_options *options,
                        const char **note, vc_error *error) {
  char *json = NULL, *xmp = NULL;
  vc_status status = VC_OK;
  if (options->metadata_count) status = vc_metadata_to_json(&json, options->metadata, options->metadata_count, error);
  if (!status && kind == VC_MEDIA_GIF) status = vc_gif_encode(file, frames, options->fps, json, error);
  if (!status && kind == VC_MEDIA_MP4) {
    vc_mp4_options how = {.fps = options->fps, .comment = json, .crf = options->mp4_crf};
    status = vc_mp4_encode(file, frames, &how, note, error);
  }
  if (!status && kind == VC_MEDIA_WEBP) {
    if (json) status = vc_metadata_to_xmp(&xmp, json, error);
    vc_webp_options how = {.fps = options->fps, .lossless = options->webp_lossless, .xmp = xmp};
    if (!status) status = vc_webp_encode(file, frames, &how, error);
  }
  free(json);
  free(xmp);
  return status;
}

vc_status vc_media_write(const char *path, const vc_frames *frames, const vc_media_options *options, const char **note,
                         vc_error *error) {
  static const vc_media_options defaults = {0};
  vc_media_options chosen = options ? *options : defaults;
  vc_media_kind kind = VC_MEDIA_FOLDER;
  const char *unused;
  if (!note) note = &unused;
  *note = NULL;
  vc_status status = vc_media_kind_of(&kind, path, error);
  if (status) return status;
  if (frames->count < 1 || !frames->rgb) return vc_fail(error, VC_INVALID, "%s: a clip without frames", path);
  if (chosen.fps == 0) chosen.fps = frames->fps;
  if (kind == VC_MEDIA_STRIP) return write_strip(path, frames, &chosen, error);
  if (kind == VC_MEDIA_FOLDER) return write_folder(path, frames, &chosen, error);
  if (kind == VC_MEDIA_GIF && chosen.fps > 50) *note = "GIF cannot show more than 50 frames a second: it plays slower";
  vc_buffer file = {0};
  status = encode(&file, kind, frames, &chosen, note, error);
  if (status)
    vc_fail_in(error, status, "%s", path);
  else
    status = vc_buffer_write_file(file.data, file.size, path, error);
  vc_buffer_free(&file);
  return status;
}
