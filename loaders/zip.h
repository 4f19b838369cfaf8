// Zip archives that lie in memory (usually mapped): stored and deflated entries, zip64.
//
// Format: PKWARE's APPNOTE.TXT. The central directory counts; of local headers only the lengths that lead to the data
// are used, since writers that stream leave sizes and checksums out of them.
#ifndef VC_LOADERS_ZIP_H
#define VC_LOADERS_ZIP_H

#include <stdint.h>

#include "engine/status.h"

typedef enum vc_zip_method { VC_ZIP_STORED = 0, VC_ZIP_DEFLATED = 8 } vc_zip_method;

typedef struct vc_zip_entry {
  char *name;
  const unsigned char *data;  // the entry itself when it is stored, else its compressed form
  size_t stored_size;         // bytes of `data`
  size_t size;                // bytes of the entry
  uint32_t crc;
  int method;            // a vc_zip_method; others can be listed and not read
  size_t header_offset;  // of the local header in the archive
} vc_zip_entry;

typedef struct vc_zip {
  int count;
  vc_zip_entry *entry;  // sorted by name (byte order)
} vc_zip;

// Reads and checks the directory: every entry lies inside the archive and overlaps no other, names are UTF-8 and
// unique, nothing is encrypted or on another disk, and no deflated entry claims more than deflate can hold. `path` is
// for messages; `data` must outlive the archive. VC_FAILED says what is wrong. On failure *out is zeroed.
vc_status vc_zip_open(vc_zip *out, const char *path, const void *data, size_t size, vc_error *error);

void vc_zip_close(vc_zip *zip);

// The index of an entry; -1 when there is none of that name.
int vc_zip_find(const vc_zip *zip, const char *name);

// Writes the entry's `size` bytes into `out` and checks their checksum.
vc_status vc_zip_read(const vc_zip_entry *entry, const char *path, void *out, vc_error *error);

// Checks a stored entry in place.
vc_status vc_zip_check(const vc_zip_entry *entry, const char *path, vc_error *error);

#endif
