// Any bytes as a safetensors file: refused, or every byte of every tensor can be read.
#include <stdint.h>

#include "loaders/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  vc_tensor_file file;
  vc_error error;
  volatile unsigned sum = 0;
  if (vc_safetensors_open_memory(&file, "fuzz", data, size, &error)) return 0;
  for (int i = 0; i < file.count; i++) {
    const unsigned char *bytes = file.tensor[i].tensor.data;
    for (size_t b = 0; b < vc_tensor_bytes(&file.tensor[i].tensor); b++) sum += bytes[b];
    if (!vc_tensor_file_find(&file, file.tensor[i].name)) __builtin_trap();
  }
  vc_tensor_file_close(&file);
  (void)sum;
  return 0;
}
