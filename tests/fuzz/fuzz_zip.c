// Any bytes as a zip archive: refused, or every entry of a sane size can be read or is refused.
#include <stdint.h>
#include <stdlib.h>

#include "loaders/zip.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  enum { LIMIT = 4 << 20 };
  vc_zip zip;
  vc_error error;
  if (vc_zip_open(&zip, "fuzz", data, size, &error)) return 0;
  for (int i = 0; i < zip.count; i++) {
    const vc_zip_entry *e = &zip.entry[i];
    if (e->data < data || e->stored_size > size || (size_t)(e->data - data) > size - e->stored_size) __builtin_trap();
    if (vc_zip_find(&zip, e->name) < 0) __builtin_trap();
    if (e->method == VC_ZIP_STORED) (void)vc_zip_check(e, "fuzz", &error);
    if (e->size > LIMIT) continue;
    void *copy = malloc(e->size + 1);
    if (copy) (void)vc_zip_read(e, "fuzz", copy, &error);
    free(copy);
  }
  vc_zip_close(&zip);
  return 0;
}
