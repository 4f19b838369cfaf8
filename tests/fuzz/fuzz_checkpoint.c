// Any bytes as a file of tensors of any container (a zip archive's checksums are repaired first, so that changes reach
// the pickle): refused, or every byte of every tensor can be read.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "loaders/checkpoint.h"
#include "loaders/zip.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// Writes the true checksum of every stored entry into the directory.
static void repair(uint8_t *data, size_t size) {
  vc_zip zip;
  if (vc_zip_open(&zip, "fuzz", data, size, NULL)) return;
  for (int i = 0; i < zip.count; i++) {
    const vc_zip_entry *entry = &zip.entry[i];
    if (entry->method != VC_ZIP_STORED) continue;
    uint32_t crc = (uint32_t)crc32_z(0, entry->data, entry->size);
    for (size_t at = 0; at + 46 <= size; at++)
      if (!memcmp(data + at, "PK\1\2", 4) && !memcmp(data + at + 16, &entry->crc, 4)) memcpy(data + at + 16, &crc, 4);
  }
  vc_zip_close(&zip);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  vc_tensor_file file;
  vc_error error;
  volatile unsigned sum = 0;
  uint8_t *copy = malloc(size + !size);
  memcpy(copy, data, size);
  repair(copy, size);
  if (vc_tensor_file_open_memory(&file, "fuzz", copy, size, &error) == VC_OK) {
    for (int i = 0; i < file.count; i++) {
      const unsigned char *bytes = file.tensor[i].tensor.data;
      for (size_t b = 0; b < vc_tensor_bytes(&file.tensor[i].tensor); b++) sum += bytes[b];
    }
    vc_tensor_file_close(&file);
  }
  free(copy);
  (void)sum;
  return 0;
}
