// The safetensors format, read memory-mapped and written streaming.
//
// Format (github.com/huggingface/safetensors): 8 bytes little-endian header length, a JSON object
// {name: {dtype, shape, data_offsets: [first, last)}, "__metadata__": {string: string}}, then the data.
#ifndef VC_LOADERS_SAFETENSORS_H
#define VC_LOADERS_SAFETENSORS_H

#include "loaders/tensor_file.h"

// Opens and checks a whole file: header size and JSON, known dtypes, shapes that match their byte ranges, ranges
// inside the file that neither overlap nor leave gaps, unique names. VC_FAILED names the file, the tensor and what is
// wrong. On failure *out is zeroed and needs no closing.
vc_status vc_safetensors_open(vc_tensor_file *out, const char *path, vc_error *error);

// The same for a file that lies in memory (which must outlive it). `name` stands in for the path in messages.
vc_status vc_safetensors_open_memory(vc_tensor_file *out, const char *name, const void *data, size_t size,
                                     vc_error *error);

// The beginning of such a file, malloc'ed: length, JSON and padding; data follows in the given order without gaps.
// Errors as below. `path` is for messages.
vc_status vc_safetensors_header(char **out, size_t *size, const char *path, const vc_named_tensor *tensors, int count,
                                const vc_metadata_entry *metadata, int metadata_count, vc_error *error);

// Writes tensors in the given order beside `path` and renames: a failure or an interrupt leaves no file behind.
// VC_INVALID for a name that is not UTF-8, is "__metadata__" or comes twice; VC_FAILED when the disk does not take it.
vc_status vc_safetensors_write(const char *path, const vc_named_tensor *tensors, int count,
                               const vc_metadata_entry *metadata, int metadata_count, vc_error *error);

// The same where not all data is in memory at once. The dtypes and shapes of `tensors` count, their data does not:
// `provide` is called for each in order and sets *data to its bytes, which must stay until the next call. What it
// returns other than VC_OK ends the writing and is returned.
typedef vc_status (*vc_tensor_provider)(void *opaque, int index, const void **data, vc_error *error);
vc_status vc_safetensors_write_streaming(const char *path, const vc_named_tensor *tensors, int count,
                                         const vc_metadata_entry *metadata, int metadata_count,
                                         vc_tensor_provider provide, void *opaque, vc_error *error);

#endif
