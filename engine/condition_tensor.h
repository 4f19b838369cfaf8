// Conditions that come as tensors: .safetensors and .npy files, in whatever order of dimensions, brought to [f h w c].
#ifndef VC_ENGINE_CONDITION_TENSOR_H
#define VC_ENGINE_CONDITION_TENSOR_H

#include "engine/tensor.h"

typedef struct vc_tensor_kind {
  const char *name;    // of the tensor in its file
  int64_t channels;    // 1, 2, 3 or 4
  double least, most;  // of its values
} vc_tensor_kind;

// Whether the name ends as a tensor file's does: .safetensors, .npy, .pt or .pth.
bool vc_is_tensor_path(const char *path);

// Reads the tensor of kind->name, or of the name "video", or the only one of the file, into a new F32 tensor [f h w c].
// A file whose metadata have a `layout` ("fhwc") is read so. VC_FAILED names the file and what is wrong.
vc_status vc_condition_read_tensor(vc_tensor *out, const char *path, const vc_tensor_kind *kind, vc_error *error);

// Accepted are, after any number of leading dimensions of 1: [f h w] and [h w] for one channel, [c f h w], [f c h w],
// [f h w c], and for a single frame [c h w] and [h w c]. Where the channels could be in two places, and where that
// makes a difference, the tensor is refused. Values of any dtype are taken as they are; each must be finite and in the
// kind's range. The result has sides of at most VC_MAX_SIDE.
vc_status vc_condition_from_tensor(vc_tensor *out, const vc_tensor *in, const vc_tensor_kind *kind, vc_error *error);

#endif
