// Files of named tensors: the safetensors format, read memory-mapped and written streaming.
//
// Format (github.com/huggingface/safetensors): 8 bytes little-endian header length, a JSON object
// {name: {dtype, shape, data_offsets: [first, last)}, "__metadata__": {string: string}}, then the data.
#ifndef VC_LOADERS_SAFETENSORS_H
#define VC_LOADERS_SAFETENSORS_H

#include "engine/tensor.h"

typedef struct vc_named_tensor {
  char *name;
  vc_tensor tensor;  // data points into the mapped file, unaligned
} vc_named_tensor;

typedef struct vc_metadata_entry {
  char *key, *value;
} vc_metadata_entry;

// An open file of tensors. Everything in it is owned by it and lives until vc_tensor_file_close.
typedef struct vc_tensor_file {
  char *path;  // as given; for messages
  int count;   // tensors, sorted by name (byte order)
  vc_named_tensor *tensor;
  int metadata_count;
  vc_metadata_entry *metadata;  // in file order
  void *internal;               // the mapping
} vc_tensor_file;

// Opens and checks a whole file: header size and JSON, known dtypes, shapes that match their byte ranges, ranges
// inside the file that neither overlap nor leave gaps, unique names. VC_FAILED names the file, the tensor and what is
// wrong. On failure *out is zeroed and needs no closing.
vc_status vc_safetensors_open(vc_tensor_file *out, const char *path, vc_error *error);

// The same for a file that lies in memory (which must outlive it). `name` stands in for the path in messages.
vc_status vc_safetensors_open_memory(vc_tensor_file *out, const char *name, const void *data, size_t size,
                                     vc_error *error);

void vc_tensor_file_close(vc_tensor_file *file);

// NULL when there is none of that name.
const vc_tensor *vc_tensor_file_find(const vc_tensor_file *file, const char *name);
const char *vc_tensor_file_metadata(const vc_tensor_file *file, const char *key);

// Tells the system that the pages of this tensor's data are not needed any more (after it has been packed elsewhere);
// reading them again is correct and slow.
void vc_tensor_file_drop_pages(const vc_tensor_file *file, const vc_tensor *tensor);

// Writes tensors in the given order beside `path` and renames: a failure or an interrupt leaves no file behind.
vc_status vc_safetensors_write(const char *path, const vc_named_tensor *tensors, int count,
                               const vc_metadata_entry *metadata, int metadata_count, vc_error *error);

#endif
