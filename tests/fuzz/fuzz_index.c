// Any bytes as the index of weights in parts, beside which there are none: always refused.
#include <stdint.h>
#include <stdlib.h>

#include "loaders/tensor_file_build.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  vc_tensor_file file;
  vc_error error;
  if (!vc_is_shard_index(data, size)) return 0;
  if (vc_shards_read(&file, "/nowhere/fuzz.index.json", (vc_file_map){0}, data, size, &error) == VC_OK) abort();
  if (file.internal) abort();
  return 0;
}
