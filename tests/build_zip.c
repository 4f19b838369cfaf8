#include "tests/build_zip.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

static void put(vc_test_zip *zip, const void *data, size_t size) {
  zip->data = realloc(zip->data, zip->size + size + 1);
  if (size) memcpy(zip->data + zip->size, data, size);
  zip->size += size;
}

static void put_number(vc_test_zip *zip, int bytes, uint64_t value) {
  for (int i = 0; i < bytes; i++) {
    unsigned char byte = i < 8 ? (unsigned char)(value >> 8 * i) : 0;
    put(zip, &byte, 1);
  }
}

void vc_test_zip_patch(vc_test_zip *zip, size_t at, int bytes, uint64_t value) {
  for (int i = 0; i < bytes; i++) zip->data[at + (size_t)i] = (unsigned char)(value >> 8 * i);
}

static size_t deflate_raw(unsigned char *out, size_t room, const void *data, size_t size) {
  z_stream stream = {.next_in = (unsigned char *)(uintptr_t)data, .avail_in = (uInt)size, .next_out = out};
  stream.avail_out = (uInt)room;
  deflateInit2(&stream, 9, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY);
  deflate(&stream, Z_FINISH);
  deflateEnd(&stream);
  return stream.total_out;
}

void vc_test_zip_add(vc_test_zip *zip, const char *name, const void *data, size_t size, bool deflated) {
  int i = zip->count++;
  size_t room = size + size / 8 + 256;
  unsigned char *packed = malloc(room);
  zip->entry[i].local = zip->size;
  zip->entry[i].size = size;
  zip->entry[i].stored_size = deflated ? deflate_raw(packed, room, data, size) : size;
  zip->entry[i].crc = (uint32_t)crc32(0, data, (uInt)size);
  zip->entry[i].method = deflated ? 8 : 0;
  snprintf(zip->entry[i].name, sizeof zip->entry[i].name, "%s", name);
  // As streaming writers do it: sizes and checksum stand in a descriptor behind the data; an extra field pads.
  put(zip, "PK\3\4\x14\0\x08\x08", 8);
  put_number(zip, 2, deflated ? 8 : 0);
  put_number(zip, 4 + 4 + 4 + 4, 0);
  put_number(zip, 2, strlen(name));
  put_number(zip, 2, 9);
  put(zip, name, strlen(name));
  put(zip, "FB\5\0ZZZZZ", 9);
  put(zip, deflated ? (const void *)packed : data, zip->entry[i].stored_size);
  put(zip, "PK\7\x08", 4);
  put_number(zip, 4, zip->entry[i].crc);
  put_number(zip, 4, zip->entry[i].stored_size);
  put_number(zip, 4, size);
  free(packed);
}

void vc_test_zip_end(vc_test_zip *zip) {
  size_t start = zip->size;
  for (int i = 0; i < zip->count; i++) {
    zip->entry[i].central = zip->size;
    put(zip, "PK\1\2\0\0\x14\0\x08\x08", 10);
    put_number(zip, 2, (uint64_t)zip->entry[i].method);
    put_number(zip, 4, 0);
    put_number(zip, 4, zip->entry[i].crc);
    put_number(zip, 4, zip->entry[i].stored_size);
    put_number(zip, 4, zip->entry[i].size);
    put_number(zip, 2, strlen(zip->entry[i].name));
    put_number(zip, 2 + 2 + 2 + 2 + 4, 0);
    put_number(zip, 4, zip->entry[i].local);
    put(zip, zip->entry[i].name, strlen(zip->entry[i].name));
  }
  zip->end = zip->size;
  put(zip, "PK\5\6\0\0\0\0", 8);
  put_number(zip, 2, (uint64_t)zip->count);
  put_number(zip, 2, (uint64_t)zip->count);
  put_number(zip, 4, zip->end - start);
  put_number(zip, 4, start);
  put_number(zip, 2, 0);
}

void vc_test_zip_free(vc_test_zip *zip) {
  free(zip->data);
  *zip = (vc_test_zip){0};
}
