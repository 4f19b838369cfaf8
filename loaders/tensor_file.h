// Files of named tensors, whatever their container: safetensors or a PyTorch checkpoint.
#ifndef VC_LOADERS_TENSOR_FILE_H
#define VC_LOADERS_TENSOR_FILE_H

#include "engine/tensor.h"

typedef struct vc_named_tensor {
  char *name;
  vc_tensor tensor;  // data mostly points into the mapped file, unaligned
} vc_named_tensor;

typedef struct vc_metadata_entry {
  char *key, *value;
} vc_metadata_entry;

// An open file of tensors. Everything in it is owned by it and lives until vc_tensor_file_close. Read-only: writing to
// the data of a tensor faults.
typedef struct vc_tensor_file {
  char *path;  // as given; for messages
  int count;   // tensors, sorted by name (byte order)
  vc_named_tensor *tensor;
  int metadata_count;
  vc_metadata_entry *metadata;  // in file order
  void *internal;               // the mapping, and copies of what cannot be read in place
} vc_tensor_file;

// Opens a file of any known container, told apart by its content and not by its name: safetensors
// (loaders/safetensors.h), a PyTorch checkpoint, zip or older (loaders/checkpoint.h), or the index of a file that is
// split into parts, which lie beside it (NAME.safetensors.index.json). VC_FAILED names the file and what is wrong. On
// failure *out is zeroed and needs no closing.
vc_status vc_tensor_file_open(vc_tensor_file *out, const char *path, vc_error *error);

// The same for a file that lies in memory (which must outlive it). `name` stands in for the path in messages.
vc_status vc_tensor_file_open_memory(vc_tensor_file *out, const char *name, const void *data, size_t size,
                                     vc_error *error);

void vc_tensor_file_close(vc_tensor_file *file);

// What the file is: "safetensors", "PyTorch checkpoint (zip)", "PyTorch checkpoint (before 1.6)", "index of 3 parts".
const char *vc_tensor_file_kind(const vc_tensor_file *file);

// NULL when there is none of that name.
const vc_tensor *vc_tensor_file_find(const vc_tensor_file *file, const char *name);
const char *vc_tensor_file_metadata(const vc_tensor_file *file, const char *key);

// Tells the system that the pages of this tensor's data will be read soon; reads them in; or tells it that they are not
// needed any more (after it has been packed elsewhere): reading them again is correct and slow. `tensor` may be any
// part of a tensor of the file.
void vc_tensor_file_will_need(const vc_tensor_file *file, const vc_tensor *tensor);
void vc_tensor_file_fetch(const vc_tensor_file *file, const vc_tensor *tensor);
void vc_tensor_file_drop_pages(const vc_tensor_file *file, const vc_tensor *tensor);

#endif
