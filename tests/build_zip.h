// Makes zip archives in memory, byte by byte, so that tests can make wrong ones.
#ifndef VC_TESTS_BUILD_ZIP_H
#define VC_TESTS_BUILD_ZIP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { VC_TEST_ZIP_ENTRIES = 16 };

typedef struct vc_test_zip {
  unsigned char *data;
  size_t size;
  int count;
  struct {
    char name[64];
    size_t local;    // of the local header in `data`
    size_t central;  // of the directory's record, after vc_test_zip_end
    size_t stored_size, size;
    uint32_t crc;
    int method;
  } entry[VC_TEST_ZIP_ENTRIES];
  size_t end;  // of the end record, after vc_test_zip_end
} vc_test_zip;

void vc_test_zip_add(vc_test_zip *zip, const char *name, const void *data, size_t size, bool deflated);
void vc_test_zip_end(vc_test_zip *zip);

// Little-endian numbers into the archive.
void vc_test_zip_patch(vc_test_zip *zip, size_t at, int bytes, uint64_t value);
void vc_test_zip_free(vc_test_zip *zip);

#endif
