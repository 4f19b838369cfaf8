// Growing buffers, and whole files in and out of them.
#include "loaders/buffer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "loaders/output.h"

bool vc_buffer_reserve(vc_buffer *buffer, size_t capacity) {
  if (capacity <= buffer->capacity) return true;
  size_t grown = buffer->capacity + buffer->capacity / 2;
  if (grown < capacity) grown = capacity;
  uint8_t *data = realloc(buffer->data, grown);
  if (!data) return false;
  buffer->data = data;
  buffer->capacity = grown;
  return true;
}

bool vc_buffer_append(vc_buffer *buffer, const void *data, size_t size) {
  size_t total;
  if (!vc_add_size(buffer->size, size, &total) || !vc_buffer_reserve(buffer, total)) return false;
  if (size) memcpy(buffer->data + buffer->size, data, size);
  buffer->size = total;
  return true;
}

void vc_buffer_free(vc_buffer *buffer) {
  free(buffer->data);
  *buffer = (vc_buffer){0};
}

// Reads to the end, whatever the size was said to be: the file may be a pipe, or grow meanwhile.
static vc_status read_all(vc_buffer *out, FILE *file, const char *path, size_t limit, vc_error *error) {
  while (!feof(file)) {
    if (out->size > limit) return vc_fail(error, VC_FAILED, "%s: larger than the limit of %zu bytes", path, limit);
    if (!vc_buffer_reserve(out, out->size + (64 << 10)))
      return vc_fail(error, VC_NO_MEMORY, "%s: no memory for %zu bytes of it", path, out->size + (64 << 10));
    out->size += fread(out->data + out->size, 1, out->capacity - out->size, file);
    if (ferror(file)) return vc_fail(error, VC_FAILED, "%s: cannot be read: %s", path, strerror(errno));
  }
  if (!out->size) return vc_fail(error, VC_FAILED, "%s: the file is empty", path);
  return VC_OK;
}

vc_status vc_buffer_read_file(vc_buffer *out, const char *path, size_t limit, vc_error *error) {
  *out = (vc_buffer){0};
  FILE *file = fopen(path, "rb");
  if (!file) return vc_fail(error, VC_FAILED, "%s: cannot be opened: %s", path, strerror(errno));
  struct stat about;
  vc_status status = VC_OK;
  if (!fstat(fileno(file), &about)) {
    if (S_ISDIR(about.st_mode))
      status = vc_fail(error, VC_FAILED, "%s: a folder, where a file is wanted", path);
    else if (about.st_size > 0 && (uint64_t)about.st_size > limit)
      status = vc_fail(error, VC_FAILED, "%s: %lld bytes, larger than the limit of %zu", path, (long long)about.st_size,
                       limit);
    else if (about.st_size > 0)
      vc_buffer_reserve(out, (size_t)about.st_size + 1);  // a hint: read_all grows what is missing
  }
  if (!status) status = read_all(out, file, path, limit, error);
  fclose(file);
  if (status) vc_buffer_free(out);
  return status;
}

vc_status vc_buffer_write_file(const void *data, size_t size, const char *path, vc_error *error) {
  vc_output output;
  vc_status status = vc_output_open(&output, path, error);
  if (!status) status = vc_output_write(&output, data, size, error);
  if (!status) status = vc_output_commit(&output, error);
  vc_output_abort(&output);
  return status;
}
