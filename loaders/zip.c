#include "loaders/zip.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "loaders/tensor_file_build.h"

// Record lengths without their variable parts.
enum {
  LOCAL_SIZE = 30,
  CENTRAL_SIZE = 46,
  END_SIZE = 22,
  LOCATOR_SIZE = 20,
  END64_SIZE = 56,
  MAX_COMMENT = 0xffff,
  FLAG_ENCRYPTED = 1,
  EXTRA_ZIP64 = 1,
  DEFLATE_RATIO = 1032,  // deflate cannot do better (zlib.net/zlib_tech.html)
};

typedef struct archive {
  const char *path;
  const unsigned char *data;
  size_t size;
  size_t directory, directory_size;  // where the central directory lies
  uint64_t count;
} archive;

static uint64_t number(const unsigned char *at, int bytes) {
  uint64_t value = 0;
  for (int i = 0; i < bytes; i++) value |= (uint64_t)at[i] << 8 * i;
  return value;
}

static bool is_record(const unsigned char *at, const char *signature) {
  return at[0] == 'P' && at[1] == 'K' && at[2] == signature[0] && at[3] == signature[1];
}

// The zip64 end record, which counts wherever there is a locator for it.
static vc_status read_end64(archive *in, size_t end, vc_error *error) {
  if (end < LOCATOR_SIZE || !is_record(in->data + end - LOCATOR_SIZE, "\6\7")) return VC_OK;
  const unsigned char *locator = in->data + end - LOCATOR_SIZE;
  uint64_t at = number(locator + 8, 8);
  if (end - LOCATOR_SIZE < END64_SIZE || at > end - LOCATOR_SIZE - END64_SIZE || !is_record(in->data + at, "\6\6"))
    return vc_fail(error, VC_FAILED, "%s: its zip64 end record is not where byte %zu says", in->path,
                   end - LOCATOR_SIZE);
  const unsigned char *record = in->data + at;
  if (number(record + 16, 4) || number(record + 20, 4) || number(record + 24, 8) != number(record + 32, 8))
    return vc_fail(error, VC_FAILED, "%s: is one part of a zip archive of several", in->path);
  in->count = number(record + 32, 8);
  uint64_t size = number(record + 40, 8), offset = number(record + 48, 8);
  if (offset > at || size > at - offset)
    return vc_fail(error, VC_FAILED, "%s: its zip directory lies outside the file; is it cut short?", in->path);
  in->directory = (size_t)offset;
  in->directory_size = (size_t)size;
  return VC_OK;
}

static vc_status read_end(archive *in, vc_error *error) {
  size_t lowest = in->size > END_SIZE + MAX_COMMENT ? in->size - END_SIZE - MAX_COMMENT : 0;
  size_t end = in->size < END_SIZE ? 0 : in->size - END_SIZE + 1;
  bool found = false;
  while (end > lowest && !found) {
    end--;
    const unsigned char *at = in->data + end;
    found = is_record(at, "\5\6") && number(at + 20, 2) == in->size - end - END_SIZE;
  }
  if (!found) return vc_fail(error, VC_FAILED, "%s: has no zip directory at its end; it is cut short", in->path);
  const unsigned char *record = in->data + end;
  in->count = number(record + 10, 2);
  uint64_t size = number(record + 12, 4), offset = number(record + 16, 4);
  in->directory = in->directory_size = 0;
  bool large = in->count == 0xffff || size == 0xffffffff || offset == 0xffffffff;
  if (!large) {
    if (number(record + 4, 2) || number(record + 6, 2) || number(record + 8, 2) != in->count)
      return vc_fail(error, VC_FAILED, "%s: is one part of a zip archive of several", in->path);
    if (offset > end || size > end - offset)
      return vc_fail(error, VC_FAILED, "%s: its zip directory lies outside the file; is it cut short?", in->path);
    in->directory = (size_t)offset;
    in->directory_size = (size_t)size;
  }
  vc_status status = read_end64(in, end, error);
  if (!status && (in->count > in->directory_size / CENTRAL_SIZE || in->count > INT_MAX))
    status = vc_fail(error, VC_FAILED, "%s: claims %llu zip entries, but its directory has %zu bytes", in->path,
                     (unsigned long long)in->count, in->directory_size);
  return status;
}

// Replaces the fields that are full by those of the zip64 extra field, which holds only these and in this order.
static bool read_extra(const unsigned char *extra, size_t size, uint64_t *field[3]) {
  bool wanted = false;
  for (int i = 0; i < 3; i++) wanted = wanted || *field[i] == 0xffffffff;
  while (wanted && size >= 4) {
    size_t id = (size_t)number(extra, 2), length = (size_t)number(extra + 2, 2), at = 4;
    if (length > size - 4) return false;
    for (int i = 0; id == EXTRA_ZIP64 && i < 3; i++) {
      if (*field[i] != 0xffffffff) continue;
      if (at + 8 > 4 + length) return false;
      *field[i] = number(extra + at, 8);
      at += 8;
    }
    if (id == EXTRA_ZIP64) return true;
    extra += 4 + length;
    size -= 4 + length;
  }
  return !wanted;
}

// Follows the local header to the data.
static vc_status locate(const archive *in, vc_zip_entry *entry, uint64_t offset, uint64_t stored_size,
                        vc_error *error) {
  const char *name = entry->name;
  if (in->directory < LOCAL_SIZE || offset > in->directory - LOCAL_SIZE || !is_record(in->data + offset, "\3\4"))
    return vc_fail(error, VC_FAILED, "%s: zip entry \"%.200s\" has no header at byte %llu", in->path, name,
                   (unsigned long long)offset);
  const unsigned char *local = in->data + offset;
  size_t name_length = (size_t)number(local + 26, 2), left = in->directory - (size_t)offset - LOCAL_SIZE;
  size_t skip = name_length + (size_t)number(local + 28, 2);
  if (skip > left || stored_size > left - skip)
    return vc_fail(error, VC_FAILED, "%s: zip entry \"%.200s\" claims %llu bytes from byte %llu on, beyond the data",
                   in->path, name, (unsigned long long)stored_size, (unsigned long long)offset);
  if (name_length != strlen(name) || memcmp(local + LOCAL_SIZE, name, name_length))
    return vc_fail(error, VC_FAILED, "%s: zip entry \"%.200s\" has another name at byte %llu", in->path, name,
                   (unsigned long long)offset);
  entry->header_offset = (size_t)offset;
  entry->data = local + LOCAL_SIZE + skip;
  entry->stored_size = (size_t)stored_size;
  return VC_OK;
}

// Reads the directory's record at *at and moves *at behind it.
static vc_status read_entry(const archive *in, size_t *at, vc_zip_entry *entry, vc_error *error) {
  const unsigned char *record = in->data + *at;
  size_t left = in->directory + in->directory_size - *at;
  if (left < CENTRAL_SIZE || !is_record(record, "\1\2"))
    return vc_fail(error, VC_FAILED, "%s: its zip directory is broken at byte %zu", in->path, *at);
  size_t name = (size_t)number(record + 28, 2), extra = (size_t)number(record + 30, 2);
  size_t total = CENTRAL_SIZE + name + extra + (size_t)number(record + 32, 2);
  const unsigned char *text = record + CENTRAL_SIZE;
  if (total > left || !vc_is_name((const char *)text, name))
    return vc_fail(error, VC_FAILED, "%s: its zip directory is broken at byte %zu", in->path, *at);
  entry->name = strndup((const char *)text, name);
  if (!entry->name) return vc_fail(error, VC_NO_MEMORY, "%s: no memory for its zip directory", in->path);
  uint64_t size = number(record + 24, 4), stored_size = number(record + 20, 4), offset = number(record + 42, 4);
  uint64_t *field[3] = {&size, &stored_size, &offset};
  if (!read_extra(text + name, extra, field))
    return vc_fail(error, VC_FAILED, "%s: zip entry \"%.200s\" lacks its 64-bit size", in->path, entry->name);
  if (number(record + 8, 2) & FLAG_ENCRYPTED)
    return vc_fail(error, VC_FAILED, "%s: zip entry \"%.200s\" is encrypted", in->path, entry->name);
  entry->method = (int)number(record + 10, 2);
  entry->crc = (uint32_t)number(record + 16, 4);
  vc_status status = locate(in, entry, offset, stored_size, error);
  if (status) return status;
  bool possible = entry->method == VC_ZIP_STORED ? size == stored_size : size / DEFLATE_RATIO <= stored_size;
  if (!possible || size > SIZE_MAX / 2)
    return vc_fail(error, VC_FAILED, "%s: zip entry \"%.200s\" claims %llu bytes in %llu", in->path, entry->name,
                   (unsigned long long)size, (unsigned long long)stored_size);
  entry->size = (size_t)size;
  *at += total;
  return VC_OK;
}

static int by_offset(const void *a, const void *b) {
  const vc_zip_entry *x = a, *y = b;
  return x->header_offset < y->header_offset ? -1 : x->header_offset > y->header_offset;
}

static int by_name(const void *a, const void *b) {
  return strcmp(((const vc_zip_entry *)a)->name, ((const vc_zip_entry *)b)->name);
}

// Entries that share bytes are how a small archive unpacks into a huge one.
static vc_status check_entries(vc_zip *zip, const archive *in, vc_error *error) {
  vc_zip_entry *entry = zip->entry;
  qsort(entry, (size_t)zip->count, sizeof *entry, by_offset);
  for (int i = 1; i < zip->count; i++)
    if (entry[i - 1].data + entry[i - 1].stored_size > in->data + entry[i].header_offset)
      return vc_fail(error, VC_FAILED, "%s: zip entries \"%.200s\" and \"%.200s\" overlap", in->path, entry[i - 1].name,
                     entry[i].name);
  qsort(entry, (size_t)zip->count, sizeof *entry, by_name);
  for (int i = 1; i < zip->count; i++)
    if (!strcmp(entry[i - 1].name, entry[i].name))
      return vc_fail(error, VC_FAILED, "%s: zip entry \"%.200s\" is there twice", in->path, entry[i].name);
  return VC_OK;
}

vc_status vc_zip_open(vc_zip *out, const char *path, const void *data, size_t size, vc_error *error) {
  archive in = {.path = path, .data = data, .size = size};
  *out = (vc_zip){0};
  vc_status status = read_end(&in, error);
  if (status) goto done;
  size_t at = in.directory;
  out->entry = calloc((size_t)in.count + 1, sizeof *out->entry);
  if (!out->entry) {
    status = vc_fail(error, VC_NO_MEMORY, "%s: no memory for its zip directory", path);
    goto done;
  }
  while (!status && (uint64_t)out->count < in.count) status = read_entry(&in, &at, &out->entry[out->count++], error);
  if (!status) status = check_entries(out, &in, error);

done:
  if (status) vc_zip_close(out);
  return status;
}

void vc_zip_close(vc_zip *zip) {
  for (int i = 0; i < zip->count; i++) free(zip->entry[i].name);
  free(zip->entry);
  *zip = (vc_zip){0};
}

int vc_zip_find(const vc_zip *zip, const char *name) {
  vc_zip_entry key = {.name = (char *)(uintptr_t)name};
  if (!zip->count) return -1;
  const vc_zip_entry *found = bsearch(&key, zip->entry, (size_t)zip->count, sizeof key, by_name);
  return found ? (int)(found - zip->entry) : -1;
}

static vc_status check_crc(const vc_zip_entry *entry, const char *path, const unsigned char *data, vc_error *error) {
  uint32_t crc = (uint32_t)crc32_z(crc32_z(0, NULL, 0), data, entry->size);
  if (crc == entry->crc) return VC_OK;
  return vc_fail(error, VC_FAILED, "%s: zip entry \"%.200s\" is damaged: checksum %08x instead of %08x", path,
                 entry->name, (unsigned)crc, (unsigned)entry->crc);
}

vc_status vc_zip_check(const vc_zip_entry *entry, const char *path, vc_error *error) {
  return check_crc(entry, path, entry->data, error);
}

// zlib counts in 32 bits: input and output are handed to it in pieces.
static bool inflate_all(const vc_zip_entry *entry, unsigned char *out) {
  size_t in_left = entry->stored_size, out_left = entry->size;
  unsigned char none;
  z_stream stream = {.next_in = (unsigned char *)(uintptr_t)entry->data, .next_out = out_left ? out : &none};
  if (inflateInit2(&stream, -MAX_WBITS) != Z_OK) return false;
  int result = Z_OK;
  while (result == Z_OK) {
    uInt in_piece = in_left > UINT_MAX ? UINT_MAX : (uInt)in_left;
    uInt out_piece = out_left > UINT_MAX ? UINT_MAX : (uInt)out_left;
    stream.avail_in = in_piece;
    stream.avail_out = out_piece;
    result = inflate(&stream, Z_NO_FLUSH);
    in_left -= in_piece - stream.avail_in;
    out_left -= out_piece - stream.avail_out;
  }
  inflateEnd(&stream);
  return result == Z_STREAM_END && !in_left && !out_left;
}

vc_status vc_zip_read(const vc_zip_entry *entry, const char *path, void *out, vc_error *error) {
  if (entry->method == VC_ZIP_STORED) {
    memcpy(out, entry->data, entry->size);
  } else if (entry->method != VC_ZIP_DEFLATED) {
    return vc_fail(error, VC_FAILED, "%s: zip entry \"%.200s\" is compressed by method %d; only deflate is known", path,
                   entry->name, entry->method);
  } else if (!inflate_all(entry, out)) {
    return vc_fail(error, VC_FAILED, "%s: zip entry \"%.200s\" does not decompress to its %zu bytes", path, entry->name,
                   entry->size);
  }
  return check_crc(entry, path, out, error);
}
