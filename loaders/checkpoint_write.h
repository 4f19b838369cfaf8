// PyTorch checkpoints in the zip container, as torch.save writes a state dict, without PyTorch.
#ifndef VC_LOADERS_CHECKPOINT_WRITE_H
#define VC_LOADERS_CHECKPOINT_WRITE_H

#include "loaders/safetensors.h"

// Writes a dictionary of contiguous tensors, each with a storage of its own, in the given order; with `outer` the
// dictionary is the value of that key ("state_dict") of another. torch.load reads it, weights_only or not. Data comes
// from `provide` as in vc_safetensors_write_streaming. All or nothing: a failure or an interrupt leaves no file.
vc_status vc_checkpoint_write_streaming(const char *path, const char *outer, const vc_named_tensor *tensors, int count,
                                        vc_tensor_provider provide, void *opaque, vc_error *error);

#endif
