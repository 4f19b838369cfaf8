#include "cli/assets.h"

#include <string.h>

// Laid out by cli/assets_data.S; ends with an entry whose name is NULL.
extern const vc_asset vc_asset_table[];

const vc_asset *vc_asset_find(const char *name) {
  for (const vc_asset *asset = vc_asset_table; asset->name; asset++)
    if (!strcmp(asset->name, name)) return asset;
  return NULL;
}
