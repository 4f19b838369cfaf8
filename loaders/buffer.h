// A growing run of bytes: what encoders write into, and what whole files are read into.
#ifndef VC_LOADERS_BUFFER_H
#define VC_LOADERS_BUFFER_H

#include <stdint.h>

#include "engine/status.h"

// {0} is an empty buffer. vc_buffer_free releases it and makes it empty again.
typedef struct vc_buffer {
  uint8_t *data;
  size_t size, capacity;
} vc_buffer;

// False when memory could not be had; the buffer is unchanged then.
bool vc_buffer_reserve(vc_buffer *buffer, size_t capacity);
bool vc_buffer_append(vc_buffer *buffer, const void *data, size_t size);
void vc_buffer_free(vc_buffer *buffer);

// Reads a whole file of at most `limit` bytes. VC_FAILED for what cannot be opened, is a folder, cannot be read, is
// empty or is larger; the message names the path.
vc_status vc_buffer_read_file(vc_buffer *out, const char *path, size_t limit, vc_error *error);

// Writes `size` bytes as the whole content of `path`, through the atomic writer of loaders/output.h.
vc_status vc_buffer_write_file(const void *data, size_t size, const char *path, vc_error *error);

#endif
