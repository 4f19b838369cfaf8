// Zip archives of stored entries, written in one pass: zip64 wherever something is too large for the older fields.
//
// Format: PKWARE's APPNOTE.TXT. Sizes and checksums stand behind the data, in descriptors, as streaming writers do it.
#ifndef VC_LOADERS_ZIP_WRITE_H
#define VC_LOADERS_ZIP_WRITE_H

#include "loaders/buffer.h"
#include "loaders/output.h"

typedef struct vc_zip_writer {
  vc_output out;
  vc_buffer directory;
  uint64_t at, entries;
  // The entry being written.
  char name[256];
  uint64_t header_at, size, written;
  uint32_t crc;
} vc_zip_writer;

// Starts an archive that appears at `path` when it is committed. On failure *out is zeroed and needs no abort.
vc_status vc_zip_writer_open(vc_zip_writer *out, const char *path, vc_error *error);

// Starts an entry of `size` bytes, which must then be written exactly, in any number of pieces. Data begins at a
// multiple of 64 bytes. VC_INVALID for a name of more than 255 bytes, or while an entry is not complete.
vc_status vc_zip_writer_begin(vc_zip_writer *writer, const char *name, uint64_t size, vc_error *error);
vc_status vc_zip_writer_data(vc_zip_writer *writer, const void *data, size_t size, vc_error *error);

// Writes the directory and puts the file in place; *writer is zeroed either way.
vc_status vc_zip_writer_commit(vc_zip_writer *writer, vc_error *error);

// Removes what was written. Does nothing on a zeroed struct.
void vc_zip_writer_abort(vc_zip_writer *writer);

#endif
