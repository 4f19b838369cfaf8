// NumPy's .npy: one array a file.
//
// Format (numpy.org, "NEP 1: a simple file format for NumPy arrays"): "\x93NUMPY", version, the header's length (2
// bytes in version 1, 4 in 2 and 3), a Python dictionary {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)}, the
// data.
#ifndef VC_LOADERS_NPY_H
#define VC_LOADERS_NPY_H

#include "engine/tensor.h"

// Reads versions 1 to 3, little-endian f2 f4 f8 i1 i2 i4 i8 u1 b1 in C order. Anything else that NumPy can write is
// refused by name (VC_FAILED), as is a file whose size does not match its shape. *out is freed with vc_tensor_free;
// on failure it is zeroed.
vc_status vc_npy_read(vc_tensor *out, const char *path, vc_error *error);

// The same for a file that lies in memory. `name` stands in for the path in messages.
vc_status vc_npy_read_memory(vc_tensor *out, const char *name, const void *data, size_t size, vc_error *error);

// Writes version 1, whole or not at all. VC_INVALID for BF16, which NumPy does not have.
vc_status vc_npy_write(const char *path, const vc_tensor *tensor, vc_error *error);

#endif
