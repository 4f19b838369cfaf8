// Files mapped into memory, read-only.
#ifndef VC_LOADERS_FILE_MAP_H
#define VC_LOADERS_FILE_MAP_H

#include "engine/status.h"

typedef struct vc_file_map {
  const unsigned char *data;  // NULL for an empty file
  size_t size;
} vc_file_map;

// Maps a regular file. Pages are read when they are touched, and count as cache rather than as memory of the process.
// A file that another program shortens meanwhile makes such a read fail with SIGBUS, as with every mapping.
// VC_FAILED names the path and why. On failure *out is zeroed and needs no closing.
vc_status vc_file_map_open(vc_file_map *out, const char *path, vc_error *error);

void vc_file_map_close(vc_file_map *map);

// Have the pages of [data, data + size) read ahead, read them, or give them back, when that range lies in the map; else
// nothing happens. Bytes of pages that were given back, some around the range among them, stay readable and are fetched
// again.
void vc_file_map_will_need(const vc_file_map *map, const void *data, size_t size);
void vc_file_map_fetch(const vc_file_map *map, const void *data, size_t size);
void vc_file_map_drop(const vc_file_map *map, const void *data, size_t size);

#endif
