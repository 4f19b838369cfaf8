// A folder of pictures as a clip.
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "loaders/frames_build.h"

typedef struct name_list {
  char **name;
  size_t count;
} name_list;

static bool has_picture_suffix(const char *name) {
  static const char *const suffixes[] = {".png", ".jpg", ".jpeg", ".webp"};
  const char *dot = strrchr(name, '.');
  if (!dot || name[0] == '.') return false;
  for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++)
    if (!strcasecmp(dot, suffixes[i])) return true;
  return false;
}

// Runs of digits compare by value, all else by byte; names that are equal so (2.png, 02.png) compare as strings.
static int natural_order(const void *left, const void *right) {
  const char *whole_a = *(char *const *)left, *whole_b = *(char *const *)right;
  const unsigned char *a = (const unsigned char *)whole_a, *b = (const unsigned char *)whole_b;
  while (*a && *b) {
    if (isdigit(*a) && isdigit(*b)) {
      while (*a == '0') a++;
      while (*b == '0') b++;
      size_t na = 0, nb = 0;
      while (isdigit(a[na])) na++;
      while (isdigit(b[nb])) nb++;
      if (na != nb) return na < nb ? -1 : 1;
      int order = memcmp(a, b, na);
      if (order) return order;
      a += na;
      b += nb;
    } else {
      if (*a != *b) return *a < *b ? -1 : 1;
      a++;
      b++;
    }
  }
  if (*a || *b) return *a ? 1 : -1;
  return strcmp(whole_a, whole_b);
}

static vc_status keep_name(name_list *list, const char *name, vc_error *error) {
  if (list->count > VC_FRAMES_MAX_COUNT)
    return vc_fail(error, VC_FAILED, "more than %d pictures: split the folder", VC_FRAMES_MAX_COUNT);
  if (!(list->count & (list->count - 1))) {
    size_t room = list->count ? list->count * 2 : 1;
    char **grown = realloc(list->name, room * sizeof *grown);
    if (!grown) return vc_fail(error, VC_NO_MEMORY, "no memory for %zu file names", room);
    list->name = grown;
  }
  char *copy = strdup(name);
  if (!copy) return vc_fail(error, VC_NO_MEMORY, "no memory for a file name");
  list->name[list->count++] = copy;
  return VC_OK;
}

static vc_status list_pictures(name_list *list, const char *path, vc_error *error) {
  DIR *folder = opendir(path);
  if (!folder) return vc_fail(error, VC_FAILED, "%s: cannot be opened: %s", path, strerror(errno));
  vc_status status = VC_OK;
  for (errno = 0; !status;) {
    struct dirent *entry = readdir(folder);
    if (!entry) break;
    if (has_picture_suffix(entry->d_name)) status = keep_name(list, entry->d_name, error);
    errno = 0;
  }
  if (!status && errno) status = vc_fail(error, VC_FAILED, "cannot be read: %s", strerror(errno));
  closedir(folder);
  if (!status && !list->count)
    status = vc_fail(error, VC_FAILED, "the folder holds no .png, .jpg, .jpeg or .webp pictures");
  if (status) return vc_fail_in(error, status, "%s", path);
  qsort(list->name, list->count, sizeof *list->name, natural_order);
  return VC_OK;
}

static vc_status add_picture(vc_frames *frames, const char *path, const vc_frames_options *options, vc_error *error) {
  vc_image image;
  uint8_t *pixels = NULL;
  vc_status status = vc_image_read(&image, path, error);
  if (status) return status;
  status = vc_frames_add(frames, options, image.width, image.height, frames->count, &pixels, error);
  if (!status)
    memcpy(pixels, image.rgb, (size_t)image.width * (size_t)image.height * 3);
  else
    vc_fail_in(error, status, "%s", path);
  vc_image_free(&image);
  return status;
}

static void free_names(name_list *list) {
  for (size_t i = 0; i < list->count; i++) free(list->name[i]);
  free(list->name);
}

vc_status vc_folder_first_picture(char **out, const char *path, vc_error *error) {
  name_list list = {0};
  *out = NULL;
  vc_status status = list_pictures(&list, path, error);
  if (!status && asprintf(out, "%s/%s", path, list.name[0]) < 0) {
    *out = NULL;
    status = vc_fail(error, VC_NO_MEMORY, "no memory for a path");
  }
  free_names(&list);
  return status;
}

vc_status vc_frames_from_folder(vc_frames *frames, const char *path, const vc_frames_options *options,
                                vc_error *error) {
  name_list list = {0};
  vc_status status = list_pictures(&list, path, error);
  for (size_t i = 0; i < list.count && !status && !vc_frames_enough(frames, options); i++) {
    char *file = NULL;
    if (asprintf(&file, "%s/%s", path, list.name[i]) < 0)
      status = vc_fail(error, VC_NO_MEMORY, "no memory for a path");
    else
      status = add_picture(frames, file, options, error);
    free(file);
  }
  free_names(&list);
  return status;
}
