// How a reader of a container fills a vc_tensor_file. For loaders/ only.
#ifndef VC_LOADERS_TENSOR_FILE_BUILD_H
#define VC_LOADERS_TENSOR_FILE_BUILD_H

#include "loaders/file_map.h"
#include "loaders/tensor_file.h"

// Starts an empty file and hands it the map (which may be zero, for memory that somebody else owns). Even on failure
// the map is taken: vc_tensor_file_close, which is safe then too, closes it.
vc_status vc_tensor_file_begin(vc_tensor_file *file, const char *path, vc_file_map map, vc_error *error);

// Adds a tensor or a metadata entry; strings are copied, and need no terminator.
vc_status vc_tensor_file_add(vc_tensor_file *file, const char *name, size_t length, const vc_tensor *tensor,
                             vc_error *error);
vc_status vc_tensor_file_add_metadata(vc_tensor_file *file, const char *key, const char *value, vc_error *error);

// Adds all tensors of `part`, and takes it over: also on failure it is zeroed, and closed together with the file.
vc_status vc_tensor_file_adopt(vc_tensor_file *file, vc_tensor_file *part, vc_error *error);

// What vc_tensor_file_kind says; cut after 40 bytes.
void vc_tensor_file_set_kind(vc_tensor_file *file, const char *format, ...) __attribute__((format(printf, 2, 3)));

// Memory that is freed together with the file. NULL when there is none.
void *vc_tensor_file_own(vc_tensor_file *file, size_t size);

// Sorts by name and refuses a name or a metadata key that comes twice. Last step.
vc_status vc_tensor_file_finish(vc_tensor_file *file, vc_error *error);

// Whether text[0..length) is UTF-8 without U+0000, as names of tensors must be.
bool vc_is_name(const char *text, size_t length);

// Opens a file that is no index, so that an index cannot name itself.
vc_status vc_tensor_file_open_part(vc_tensor_file *out, const char *path, vc_error *error);

// Whether data begins like the index of a split file.
bool vc_is_shard_index(const void *data, size_t size);

// The readers behind vc_tensor_file_open: each takes the map, also on failure, when *out is zeroed.
vc_status vc_shards_read(vc_tensor_file *out, const char *path, vc_file_map map, const void *data, size_t size,
                         vc_error *error);
vc_status vc_safetensors_read(vc_tensor_file *out, const char *path, vc_file_map map, const void *data, size_t size,
                              vc_error *error);
vc_status vc_checkpoint_read(vc_tensor_file *out, const char *path, vc_file_map map, const void *data, size_t size,
                             vc_error *error);

#endif
