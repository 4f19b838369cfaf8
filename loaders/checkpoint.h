// PyTorch checkpoints (.pth .pt .ckpt .bin) as torch.save writes them, without PyTorch: the zip container, and the
// format before it. The pickle inside is interpreted as data and never executed (loaders/pickle.h).
//
// Zip: FOLDER/data.pkl is the pickle, FOLDER/data/KEY the storages, FOLDER may be anything. Before: five pickles (magic
// number, version, system, object, list of storage keys), then for each key 8 bytes of element count and its data. In
// both, a tensor is a call of torch._utils._rebuild_tensor_v2(storage, offset, size, stride, ...), and a storage is a
// persistent id ("storage", class, key, location, element count). Source: torch/serialization.py, torch/_utils.py.
#ifndef VC_LOADERS_CHECKPOINT_H
#define VC_LOADERS_CHECKPOINT_H

#include "loaders/tensor_file.h"

// Gives the tensors of the state dict: the value of "state_dict" where the outer dictionary has one, else the outer
// dictionary. Its other entries (numbers, options) are left out, as is all beside it (optimizer, callbacks). Names stay
// as they are stored.
//
// Contiguous tensors of stored entries lie in the mapped file; views with other strides, and storages that the zip
// compresses, are copied, into at most 8 times the size of the file plus 1 MiB; a file that needs more is refused.
// Checksums of data that is read in place are not verified. VC_FAILED names the file and what is wrong: a class that is
// called and is no part of tensors, a tensor that reaches beyond its storage, a dtype that this engine does not have,
// big-endian data. On failure *out is zeroed and needs no closing.
vc_status vc_checkpoint_open(vc_tensor_file *out, const char *path, vc_error *error);

// The same for a file that lies in memory (which must outlive it). `name` stands in for the path in messages.
vc_status vc_checkpoint_open_memory(vc_tensor_file *out, const char *name, const void *data, size_t size,
                                    vc_error *error);

// Whether data begins like a checkpoint of either format.
bool vc_checkpoint_is_zip(const void *data, size_t size);
bool vc_checkpoint_is_legacy(const void *data, size_t size);

#endif
