// Looking up the shapes of a network's tensors. For infer*.c only.
#ifndef VC_ENGINE_INFER_SHAPES_H
#define VC_ENGINE_INFER_SHAPES_H

#include "engine/infer.h"

typedef struct vc_shapes {
  const char *network;  // for messages
  const vc_tensor_file *file;
  const char *prefix;
  vc_error *error;
} vc_shapes;

// The tensor of this name below the prefix, or NULL.
const vc_tensor *vc_shapes_find(const vc_shapes *in, const char *format, ...) __attribute__((format(printf, 2, 3)));

// The dimensions of one that must be there, have this rank and not be empty. VC_FAILED names it.
vc_status vc_shapes_read(const vc_shapes *in, int64_t dim[VC_MAX_DIMS], int rank, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

// VC_FAILED: what the shapes of a network say does not fit together.
vc_status vc_shapes_fail(const vc_shapes *in, const char *format, ...) __attribute__((format(printf, 2, 3)));

// The released number of groups, or the most below it that divide every one of the widths.
int64_t vc_infer_groups(int64_t released, const int64_t *width, int count);

#endif
