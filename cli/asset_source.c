#include "cli/asset_source.h"

#include "cli/assets.h"

const void *vc_asset_source_program(const char *name, size_t *size) {
  const vc_asset *found = vc_asset_find(name);
  if (found) *size = found->size;
  return found ? found->data : NULL;
}
