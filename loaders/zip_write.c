#include "loaders/zip_write.h"

#include <string.h>
#include <zlib.h>

enum {
  ALIGNMENT = 64,
  LOCAL_HEADER = 30,
  ZIP64_EXTRA = 20,  // id, length, size, compressed size
  PAD_EXTRA = 4,     // id and length
  VERSION = 45,      // that zip64 needs
  FLAGS = 0x0808,    // sizes in a descriptor; the name is UTF-8
  LARGE = -1,        // what the older fields hold where zip64 fields count
};

// A record under construction; the largest has a name and a few fields.
typedef struct record {
  unsigned char byte[512];
  size_t size;
} record;

static void put(record *r, uint64_t value, int bytes) {
  for (int i = 0; i < bytes; i++) r->byte[r->size++] = (unsigned char)(i < 8 ? value >> 8 * i : 0);
}

static void put_text(record *r, const char *text) {
  size_t length = strlen(text);
  memcpy(r->byte + r->size, text, length);
  r->size += length;
}

// 4 bytes of a value, or all ones when it does not fit.
static void put_old(record *r, uint64_t value) {
  put(r, value < UINT32_MAX ? value : (uint64_t)LARGE, 4);
}

static vc_status emit(vc_zip_writer *w, const void *data, size_t size, vc_error *error) {
  w->at += size;
  return vc_output_write(&w->out, data, size, error);
}

vc_status vc_zip_writer_open(vc_zip_writer *out, const char *path, vc_error *error) {
  *out = (vc_zip_writer){0};
  return vc_output_open(&out->out, path, error);
}

// The descriptor behind the data, and the entry's place in the directory.
static vc_status end_entry(vc_zip_writer *w, vc_error *error) {
  record d = {.size = 0}, c = {.size = 0};
  bool large = w->size >= UINT32_MAX, far = w->header_at >= UINT32_MAX;
  if (!w->name[0]) return VC_OK;
  if (w->written != w->size)
    return vc_fail(error, VC_INVALID, "%s: entry %s has %llu of %llu bytes", w->out.path, w->name,
                   (unsigned long long)w->written, (unsigned long long)w->size);
  put(&d, 0x08074b50, 4);
  put(&d, w->crc, 4);
  put(&d, w->size, large ? 8 : 4);
  put(&d, w->size, large ? 8 : 4);
  put(&c, 0x02014b50, 4);
  put(&c, VERSION, 2);
  put(&c, VERSION, 2);
  put(&c, FLAGS, 2);
  put(&c, 0, 2 + 4);  // stored; no time
  put(&c, w->crc, 4);
  put_old(&c, large ? UINT64_MAX : w->size);
  put_old(&c, large ? UINT64_MAX : w->size);
  put(&c, strlen(w->name), 2);
  put(&c, large || far ? 4 + (large ? 16u : 0u) + (far ? 8u : 0u) : 0, 2);
  put(&c, 0, 2 + 2 + 2 + 4);  // no comment, disk 0, no attributes
  put_old(&c, w->header_at);
  put_text(&c, w->name);
  if (large || far) put(&c, 1 | (uint64_t)((large ? 16 : 0) + (far ? 8 : 0)) << 16, 4);
  if (large) put(&c, w->size, 8), put(&c, w->size, 8);
  if (far) put(&c, w->header_at, 8);
  if (!vc_buffer_append(&w->directory, c.byte, c.size))
    return vc_fail(error, VC_NO_MEMORY, "%s: no memory for the directory of the archive", w->out.path);
  w->entries++;
  w->name[0] = 0;
  return emit(w, d.byte, d.size, error);
}

vc_status vc_zip_writer_begin(vc_zip_writer *w, const char *name, uint64_t size, vc_error *error) {
  record h = {.size = 0};
  bool large = size >= UINT32_MAX;
  vc_status status = end_entry(w, error);
  if (status) return status;
  size_t length = strlen(name);
  if (!length || length >= sizeof w->name)
    return vc_fail(error, VC_INVALID, "%s: an entry's name has %zu bytes, and may have 1 to 255", w->out.path, length);
  w->header_at = w->at;
  w->size = size;
  w->written = 0;
  w->crc = 0;
  memcpy(w->name, name, length + 1);
  uint64_t data_at = w->at + LOCAL_HEADER + length + (large ? ZIP64_EXTRA : 0) + PAD_EXTRA;
  uint64_t pad = (ALIGNMENT - data_at % ALIGNMENT) % ALIGNMENT;
  put(&h, 0x04034b50, 4);
  put(&h, VERSION, 2);
  put(&h, FLAGS, 2);
  put(&h, 0, 2 + 4 + 4);  // stored; no time; the checksum follows the data
  put(&h, large ? (uint64_t)LARGE : 0, 4);
  put(&h, large ? (uint64_t)LARGE : 0, 4);
  put(&h, length, 2);
  put(&h, (large ? ZIP64_EXTRA : 0) + PAD_EXTRA + pad, 2);
  put_text(&h, name);
  if (large) put(&h, 1 | 16 << 16, 4), put(&h, 0, 8), put(&h, 0, 8);
  put(&h, 0x4246 | pad << 16, 4);  // "FB", as PyTorch pads
  memset(h.byte + h.size, 'Z', pad);
  h.size += pad;
  return emit(w, h.byte, h.size, error);
}

vc_status vc_zip_writer_data(vc_zip_writer *w, const void *data, size_t size, vc_error *error) {
  if (!w->name[0] || size > w->size - w->written)
    return vc_fail(error, VC_INVALID, "%s: more data than its entry was said to have", w->out.path);
  if (size) w->crc = (uint32_t)crc32_z(w->crc, data, size);
  w->written += size;
  return emit(w, data, size, error);
}

static vc_status write_end(vc_zip_writer *w, vc_error *error) {
  record r = {.size = 0};
  uint64_t directory_at = w->at;
  vc_status status = emit(w, w->directory.data, w->directory.size, error);
  if (status) return status;
  uint64_t end_at = w->at;
  put(&r, 0x06064b50, 4);
  put(&r, 44, 8);  // bytes of this record that follow
  put(&r, VERSION, 2);
  put(&r, VERSION, 2);
  put(&r, 0, 4 + 4);
  put(&r, w->entries, 8);
  put(&r, w->entries, 8);
  put(&r, w->directory.size, 8);
  put(&r, directory_at, 8);
  put(&r, 0x07064b50, 4);  // where the record above is
  put(&r, 0, 4);
  put(&r, end_at, 8);
  put(&r, 1, 4);
  put(&r, 0x06054b50, 4);
  put(&r, 0, 4);
  put(&r, w->entries < UINT16_MAX ? w->entries : UINT16_MAX, 2);
  put(&r, w->entries < UINT16_MAX ? w->entries : UINT16_MAX, 2);
  put_old(&r, w->directory.size);
  put_old(&r, directory_at);
  put(&r, 0, 2);
  return emit(w, r.byte, r.size, error);
}

vc_status vc_zip_writer_commit(vc_zip_writer *w, vc_error *error) {
  vc_status status = end_entry(w, error);
  if (!status) status = write_end(w, error);
  if (!status) status = vc_output_commit(&w->out, error);
  vc_zip_writer_abort(w);
  return status;
}

void vc_zip_writer_abort(vc_zip_writer *w) {
  vc_output_abort(&w->out);
  vc_buffer_free(&w->directory);
  *w = (vc_zip_writer){0};
}
