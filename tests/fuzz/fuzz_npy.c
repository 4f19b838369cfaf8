// Any bytes as a .npy file: refused, or a tensor of as many bytes as its shape says.
#include <stdint.h>

#include "loaders/npy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  vc_tensor tensor;
  vc_error error;
  if (vc_npy_read_memory(&tensor, "fuzz", data, size, &error)) return 0;
  if (vc_tensor_bytes(&tensor) > size) __builtin_trap();
  vc_tensor_free(&tensor);
  return 0;
}
