// Writing what extract has made: tensors that generate reads back as they are, and pictures.
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/condition_pictures.h"
#include "cli/extract.h"
#include "engine/condition_tensor.h"
#include "engine/version.h"
#include "loaders/media_out.h"
#include "loaders/output.h"
#include "loaders/safetensors.h"

enum { MOST_TENSORS = 16, ARROWS_SIDE = 512 };

// Tensors on their way into files. Their data belong to what was extracted, or to `owned`.
typedef struct collection {
  vc_named_tensor tensor[MOST_TENSORS];
  int count;
  vc_tensor owned[MOST_TENSORS];
  int owned_count;
} collection;

static void add(collection *c, const char *name, const vc_tensor *tensor) {
  if (tensor->data) c->tensor[c->count++] = (vc_named_tensor){(char *)name, *tensor};
}

static void collection_free(collection *c) {
  for (int i = 0; i < c->owned_count; i++) vc_tensor_free(&c->owned[i]);
}

// A picture as [1 h w 3] in 0..1: bytes come back as they were.
static vc_status add_image(collection *c, const char *name, const vc_image *image, vc_error *error) {
  if (!image->rgb) return VC_OK;
  vc_tensor *t = &c->owned[c->owned_count];
  vc_status status = vc_tensor_new(t, VC_F32, 4, (const int64_t[]){1, image->height, image->width, 3}, error);
  if (status) return status;
  c->owned_count++;
  float *to = t->data;
  for (size_t i = 0; i < vc_tensor_count(t); i++) to[i] = (float)image->rgb[i] / 255;
  add(c, name, t);
  return VC_OK;
}

// The clip as [f h w 3] in 0..1. Halves are near enough to tell bytes apart, and half as long.
static vc_status add_frames(collection *c, const vc_extracted *e, vc_error *error) {
  const vc_frames *clip = &e->reference.frames;
  vc_tensor *t = &c->owned[c->owned_count];
  vc_status status = vc_tensor_new(t, VC_F16, 4, (const int64_t[]){e->frames, clip->height, clip->width, 3}, error);
  if (status) return status;
  c->owned_count++;
  uint16_t half[256], *to = t->data;
  for (int i = 0; i < 256; i++) half[i] = vc_float_to_half((float)i / 255);
  size_t size = (size_t)clip->height * (size_t)clip->width * 3;
  for (int f = 0; f < e->frames; f++) {
    const uint8_t *from = clip->rgb + (size_t)e->reference.index[f] * size;
    for (size_t i = 0; i < size; i++) *to++ = half[from[i]];
  }
  add(c, "video", t);
  return VC_OK;
}

// The vectors themselves, for `evaluate`: those of each frame of the video.
static vc_status add_vectors(collection *c, const vc_extracted *e, vc_error *error) {
  const vc_reference *r = &e->reference;
  vc_tensor *rows = &c->owned[c->owned_count], *offsets = rows + 1;
  if (!e->motion.data || !r->vectors.frames) return VC_OK;
  int64_t count = 0;
  for (int f = 0; f < e->frames; f++)
    if (r->moved[f] >= 0) count += r->vectors.offset[r->moved[f] + 1] - r->vectors.offset[r->moved[f]];
  vc_status status = vc_tensor_new(rows, VC_I16, 2, (const int64_t[]){count, VC_VECTOR_COLUMNS}, error);
  if (status) return status;
  c->owned_count++;
  if ((status = vc_tensor_new(offsets, VC_I64, 1, (const int64_t[]){e->frames + 1}, error))) return status;
  c->owned_count++;
  vc_vector *to = rows->data;
  int64_t *at = offsets->data;
  for (int f = 0; f < e->frames; f++) {
    int from = r->moved[f];
    int64_t n = from < 0 ? 0 : r->vectors.offset[from + 1] - r->vectors.offset[from];
    if (n) memcpy(to + at[f], r->vectors.row + r->vectors.offset[from], (size_t)n * sizeof *to);
    at[f + 1] = at[f] + n;
  }
  add(c, "vectors", rows);
  add(c, "offsets", offsets);
  return VC_OK;
}

static vc_status collect(collection *c, const vc_extracted *e, vc_error *error) {
  add(c, "depth", &e->depth);
  add(c, "sketch", &e->sketch);
  add(c, "motion", &e->motion);
  vc_status status = add_vectors(c, e, error);
  add(c, "mask", &e->mask);
  if (!status) status = add_image(c, "image", &e->image, error);
  if (!status) status = add_image(c, "style", &e->style, error);
  if (!status && e->has_frames) status = add_frames(c, e, error);
  return status;
}

// ---- tensors

static vc_status write_tensors(const char *path, const vc_named_tensor *tensor, int count, const vc_extracted *e,
                               const char *source, vc_error *error) {
  char numbers[4][32];
  (void)snprintf(numbers[0], sizeof numbers[0], "%.6g", e->reference.rate);
  (void)snprintf(numbers[1], sizeof numbers[1], "%d", e->reference.start);
  (void)snprintf(numbers[2], sizeof numbers[2], "%d", e->reference.frames.height);
  (void)snprintf(numbers[3], sizeof numbers[3], "%d", e->reference.frames.width);
  vc_metadata_entry metadata[] = {{"layout", "fhwc"},          {"version", VC_VERSION}, {"source", (char *)source},
                                  {"fps", numbers[0]},         {"start", numbers[1]},   {"source_height", numbers[2]},
                                  {"source_width", numbers[3]}};
  int entries = e->reference.frames.count ? 7 : 3;
  return vc_safetensors_write(path, tensor, count, metadata, entries, error);
}

// ---- the folder

static char *join(const char *folder, const char *name, const char *suffix) {
  size_t size = strlen(folder) + strlen(name) + strlen(suffix) + 2;
  char *path = malloc(size);
  if (path) (void)snprintf(path, size, "%s/%s%s", folder, name, suffix);
  return path;
}

static vc_status write_clip_picture(const char *folder, const char *name, vc_frames *clip, vc_error *error) {
  char *path = join(folder, name, ".png");
  vc_status status = path ? vc_write_picture(path, clip, error) : vc_fail(error, VC_NO_MEMORY, "no memory for a path");
  vc_frames_free(clip);
  free(path);
  return status;
}

static vc_status write_image(const char *folder, const char *name, const vc_image *image, vc_error *error) {
  if (!image->rgb) return VC_OK;
  char *path = join(folder, name, ".png");
  vc_status status =
      path ? vc_image_write_png(path, image, NULL, 0, error) : vc_fail(error, VC_NO_MEMORY, "no memory for a path");
  free(path);
  return status;
}

static vc_status write_pictures(const char *folder, const vc_extracted *e, vc_error *error) {
  vc_frames clip;
  vc_status status = write_image(folder, "image", &e->image, error);
  if (!status) status = write_image(folder, "style", &e->style, error);
  if (!status && e->depth.data && !(status = vc_picture_depth(&clip, &e->depth, e->fps, error)))
    status = write_clip_picture(folder, "depth", &clip, error);
  if (!status && e->sketch.data && !(status = vc_picture_gray(&clip, &e->sketch, e->fps, error)))
    status = write_clip_picture(folder, "sketch", &clip, error);
  if (!status && e->mask.data && !(status = vc_picture_gray(&clip, &e->mask, e->fps, error)))
    status = write_clip_picture(folder, "mask", &clip, error);
  if (status || !e->motion.data) return status;
  int side = (int)(e->motion.dim[1] < e->motion.dim[2] ? e->motion.dim[1] : e->motion.dim[2]);
  int factor = side < ARROWS_SIDE ? (ARROWS_SIDE + side - 1) / side : 1;
  const vc_frames *ground = e->reference.frames.count ? &e->reference.frames : NULL;
  status = vc_picture_motion(&clip, &e->motion, ground, e->reference.index, e->motion_gain, factor, e->fps, error);
  return status ? status : write_clip_picture(folder, "motion", &clip, error);
}

// One PNG for each frame, in a folder of their own.
static vc_status write_frames(const char *folder, const vc_extracted *e, vc_error *error) {
  const vc_frames *from = &e->reference.frames;
  vc_frames clip = {0};
  char *path = join(folder, "frames", "/");
  vc_status status = path ? VC_OK : vc_fail(error, VC_NO_MEMORY, "no memory for a path");
  if (!status) status = vc_frames_new(&clip, e->frames, from->width, from->height, e->fps, error);
  size_t size = (size_t)from->width * (size_t)from->height * 3;
  for (int f = 0; f < e->frames && !status; f++)
    memcpy(clip.rgb + (size_t)f * size, from->rgb + (size_t)e->reference.index[f] * size, size);
  if (!status) status = vc_media_write(path, &clip, NULL, NULL, error);
  vc_frames_free(&clip);
  free(path);
  return status;
}

static vc_status write_folder(const char *folder, const vc_extracted *e, const char *source, vc_error *error) {
  collection c = {.count = 0};
  if (mkdir(folder, 0777) && errno != EEXIST)
    return vc_fail(error, VC_FAILED, "%s cannot be made: %s", folder, strerror(errno));
  add(&c, "depth", &e->depth);
  add(&c, "sketch", &e->sketch);
  add(&c, "mask", &e->mask);
  vc_status status = VC_OK;
  for (int i = 0; i < c.count && !status; i++) {
    char *path = join(folder, c.tensor[i].name, ".safetensors");
    status = path ? write_tensors(path, &c.tensor[i], 1, e, source, error)
                  : vc_fail(error, VC_NO_MEMORY, "no memory for a path");
    free(path);
  }
  c.count = 0;
  if (!status && e->motion.data) {
    char *path = join(folder, "motion", ".safetensors");
    add(&c, "motion", &e->motion);
    status = path ? add_vectors(&c, e, error) : vc_fail(error, VC_NO_MEMORY, "no memory for a path");
    if (!status) status = write_tensors(path, c.tensor, c.count, e, source, error);
    free(path);
  }
  collection_free(&c);
  if (!status) status = write_pictures(folder, e, error);
  if (!status && e->has_frames) status = write_frames(folder, e, error);
  return status;
}

static bool wants_file(const char *path) {
  static const char suffix[] = ".safetensors";
  size_t length = strlen(path), tail = sizeof suffix - 1;
  return length >= tail && !strcmp(path + length - tail, suffix);
}

vc_status vc_extracted_write(const char *path, const vc_extracted *e, const char *source, vc_error *error) {
  if (!wants_file(path)) return write_folder(path, e, source, error);
  collection c = {.count = 0};
  vc_status status = collect(&c, e, error);
  if (!status) status = write_tensors(path, c.tensor, c.count, e, source, error);
  collection_free(&c);
  return status;
}

vc_status vc_extracted_probe(const char *path, vc_error *error) {
  struct stat about;
  if (wants_file(path)) {
    vc_output file;
    vc_status status = vc_output_open(&file, path, error);
    vc_output_abort(&file);
    return status;
  }
  if (!stat(path, &about)) {
    if (!S_ISDIR(about.st_mode))
      return vc_fail(error, VC_FAILED, "%s is no folder; give a folder, or a file that ends in .safetensors", path);
    return access(path, W_OK | X_OK) ? vc_fail(error, VC_FAILED, "%s cannot be written to: %s", path, strerror(errno))
                                     : VC_OK;
  }
  // Made and removed again: that tells whether its own folder is there and takes it.
  if (mkdir(path, 0777)) return vc_fail(error, VC_FAILED, "%s cannot be made: %s", path, strerror(errno));
  rmdir(path);
  return VC_OK;
}

void vc_extracted_free(vc_extracted *e) {
  vc_reference_free(&e->reference);
  vc_tensor_free(&e->depth);
  vc_tensor_free(&e->sketch);
  vc_tensor_free(&e->motion);
  vc_tensor_free(&e->mask);
  vc_image_free(&e->image);
  vc_image_free(&e->style);
  *e = (vc_extracted){.frames = 0};
}
