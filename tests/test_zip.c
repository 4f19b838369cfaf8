// The zip reader: stored and deflated entries, and archives that lie.
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "loaders/zip.h"
#include "tests/build_zip.h"

static unsigned char pattern[5000];

// Two stored entries and a deflated one.
static vc_test_zip make(void) {
  vc_test_zip zip = {0};
  for (size_t i = 0; i < sizeof pattern; i++) pattern[i] = (unsigned char)(i * i >> 4);
  vc_test_zip_add(&zip, "b/one", pattern, 100, false);
  vc_test_zip_add(&zip, "b/packed", pattern, sizeof pattern, true);
  vc_test_zip_add(&zip, "a", pattern + 7, 0, false);
  vc_test_zip_end(&zip);
  return zip;
}

static void expect_whole(const vc_zip *in) {
  static const char *const names[] = {"a", "b/one", "b/packed"};
  static const size_t sizes[] = {0, 100, sizeof pattern};
  cr_assert_eq(in->count, 3);
  for (int i = 0; i < 3; i++) {
    unsigned char out[sizeof pattern + 1];
    vc_error error = {{0}};
    cr_expect_str_eq(in->entry[i].name, names[i]);
    cr_assert_eq(in->entry[i].size, sizes[i]);
    cr_expect_eq(vc_zip_find(in, names[i]), i);
    cr_expect_eq(vc_zip_read(&in->entry[i], "x", out, &error), VC_OK, "%s", error.message);
    cr_expect_arr_eq(out, pattern, sizes[i]);
  }
  cr_expect_eq(vc_zip_check(&in->entry[1], "x", NULL), VC_OK);
  cr_expect_arr_eq(in->entry[1].data, pattern, 100);
  cr_expect_eq(vc_zip_find(in, "b"), -1);
}

Test(zip, entries_are_read) {
  vc_test_zip zip = make();
  vc_zip in;
  vc_error error = {{0}};
  cr_assert_eq(vc_zip_open(&in, "x", zip.data, zip.size, &error), VC_OK, "%s", error.message);
  expect_whole(&in);
  vc_zip_close(&in);
  vc_test_zip_free(&zip);
}

Test(zip, a_comment_may_follow) {
  vc_test_zip zip = make();
  vc_zip in;
  unsigned char *longer = malloc(zip.size + 70000);
  static const size_t lengths[] = {1, 22, 65535, 65536};
  for (size_t i = 0; i < 4; i++) {
    memcpy(longer, zip.data, zip.size);
    memset(longer + zip.size, 'P', lengths[i]);
    longer[zip.size - 2] = (unsigned char)lengths[i];
    longer[zip.size - 1] = (unsigned char)(lengths[i] >> 8);
    vc_status status = vc_zip_open(&in, "x", longer, zip.size + lengths[i], NULL);
    cr_expect_eq(status, lengths[i] > 65535 ? VC_FAILED : VC_OK, "%zu", lengths[i]);
    if (!status) expect_whole(&in);
    vc_zip_close(&in);
  }
  free(longer);
  vc_test_zip_free(&zip);
}

// Offsets of fields: in the directory's record, in the local header, in the end record.
enum { C_FLAGS = 8, C_METHOD = 10, C_CRC = 16, C_STORED = 20, C_SIZE = 24, C_NAME = 28, C_EXTRA = 30, C_OFFSET = 42 };
enum { L_NAME = 26, L_EXTRA = 28, L_TEXT = 30 };
enum { E_DISK = 4, E_COUNT = 10, E_SIZE = 12, E_OFFSET = 16 };
enum { CENTRAL, LOCAL, END };

static const struct {
  const char *what;
  int record, entry, field, bytes;
  uint64_t value;
  const char *message;
} patches[] = {
    {"signature of the directory", CENTRAL, 0, 0, 1, 'Q', "directory is broken"},
    {"signature of an entry", LOCAL, 1, 0, 1, 'Q', "no header at byte"},
    {"signature of the end", END, 0, 0, 1, 'Q', "no zip directory"},
    {"encrypted", CENTRAL, 0, C_FLAGS, 2, 9, "encrypted"},
    {"stored size differs", CENTRAL, 0, C_SIZE, 4, 101, "claims 101 bytes in 100"},
    {"a gigabyte", CENTRAL, 1, C_SIZE, 4, 1u << 30, "claims 1073741824 bytes"},
    {"beyond the data", CENTRAL, 0, C_STORED, 4, 1000000, "beyond the data"},
    {"into the directory", CENTRAL, 2, C_STORED, 4, 40, "beyond the data"},
    {"offset beyond the file", CENTRAL, 0, C_OFFSET, 4, 0xfffffff0, "no header at byte"},
    {"offset of another", CENTRAL, 0, C_OFFSET, 4, 1, "no header at byte"},
    {"64-bit size without the field", CENTRAL, 0, C_SIZE, 4, 0xffffffff, "lacks its 64-bit size"},
    {"name longer than the directory", CENTRAL, 2, C_NAME, 2, 2, "broken"},
    {"name shorter", CENTRAL, 2, C_NAME, 2, 0, "another name"},
    {"name with a zero", CENTRAL, 1, 46, 1, 0, "broken"},
    {"name that is no UTF-8", CENTRAL, 1, 46, 1, 0xff, "broken"},
    {"another name inside", LOCAL, 0, L_TEXT, 1, 'c', "another name"},
    {"extra beyond the data", LOCAL, 2, L_EXTRA, 2, 0xffff, "beyond the data"},
    {"more entries than there are", END, 0, E_COUNT - 2, 4, 0x00040004, "claims 4 zip entries"},
    {"many more entries", END, 0, E_COUNT - 2, 4, 0x70007000, "claims 28672 zip entries"},
    {"another disk", END, 0, E_DISK, 2, 1, "of several"},
    {"counts differ", END, 0, E_COUNT, 2, 2, "of several"},
    {"directory size", END, 0, E_SIZE, 4, 0xfffffff0, "outside the file"},
    {"directory offset", END, 0, E_OFFSET, 4, 0xfffffff0, "outside the file"},
    {"full fields without zip64", END, 0, E_COUNT, 2, 0xffff, "claims 65535 zip entries"},
};

Test(zip, archives_that_lie_are_refused) {
  for (size_t i = 0; i < sizeof patches / sizeof *patches; i++) {
    vc_test_zip zip = make();
    vc_zip in;
    vc_error error = {{0}};
    size_t at = patches[i].record == END     ? zip.end
                : patches[i].record == LOCAL ? zip.entry[patches[i].entry].local
                                             : zip.entry[patches[i].entry].central;
    vc_test_zip_patch(&zip, at + (size_t)patches[i].field, patches[i].bytes, patches[i].value);
    cr_expect_eq(vc_zip_open(&in, "x.zip", zip.data, zip.size, &error), VC_FAILED, "%s", patches[i].what);
    cr_expect(strstr(error.message, patches[i].message), "%s: said \"%s\"", patches[i].what, error.message);
    cr_expect(!strncmp(error.message, "x.zip: ", 7) && !in.count && !in.entry);
    vc_test_zip_free(&zip);
  }
}

static const struct {
  const char *what;
  int entry, field, bytes;
  uint64_t value;
  const char *message;
} damages[] = {
    {"checksum of a stored entry", 0, C_CRC, 4, 12345, "damaged"},
    {"checksum of a packed entry", 1, C_CRC, 4, 12345, "damaged"},
    {"fewer bytes than unpacked", 1, C_SIZE, 4, sizeof pattern - 1, "does not decompress"},
    {"more bytes than unpacked", 1, C_SIZE, 4, sizeof pattern + 1, "does not decompress"},
    {"unknown method", 1, C_METHOD, 2, 12, "method 12"},
};

Test(zip, damaged_entries_are_noticed) {
  for (size_t i = 0; i < sizeof damages / sizeof *damages; i++) {
    vc_test_zip zip = make();
    vc_zip in;
    vc_error error = {{0}};
    unsigned char out[sizeof pattern + 1];
    vc_test_zip_patch(&zip, zip.entry[damages[i].entry].central + (size_t)damages[i].field, damages[i].bytes,
                      damages[i].value);
    cr_assert_eq(vc_zip_open(&in, "x", zip.data, zip.size, &error), VC_OK, "%s: %s", damages[i].what, error.message);
    int at = vc_zip_find(&in, zip.entry[damages[i].entry].name);
    cr_expect_eq(vc_zip_read(&in.entry[at], "x", out, &error), VC_FAILED, "%s", damages[i].what);
    cr_expect(strstr(error.message, damages[i].message), "%s: said \"%s\"", damages[i].what, error.message);
    vc_zip_close(&in);
    vc_test_zip_free(&zip);
  }
}

Test(zip, entries_may_not_share_bytes) {
  vc_test_zip zip = make();
  vc_zip in;
  vc_error error;
  // The first entry reaches over the header of the second; both are correct by themselves.
  vc_test_zip_patch(&zip, zip.entry[0].central + C_STORED, 4, 120);
  vc_test_zip_patch(&zip, zip.entry[0].central + C_SIZE, 4, 120);
  cr_expect_eq(vc_zip_open(&in, "x", zip.data, zip.size, &error), VC_FAILED);
  cr_expect(strstr(error.message, "\"b/one\" and \"b/packed\" overlap"), "said \"%s\"", error.message);
  vc_test_zip_free(&zip);
}

Test(zip, names_are_unique) {
  vc_test_zip zip = {0};
  vc_zip in;
  vc_error error;
  vc_test_zip_add(&zip, "a", pattern, 3, false);
  vc_test_zip_add(&zip, "a", pattern, 3, false);
  vc_test_zip_end(&zip);
  cr_expect_eq(vc_zip_open(&in, "x", zip.data, zip.size, &error), VC_FAILED);
  cr_expect(strstr(error.message, "\"a\" is there twice"), "said \"%s\"", error.message);
  vc_test_zip_free(&zip);
}

Test(zip, every_truncation_is_refused) {
  vc_test_zip zip = make();
  for (size_t length = 0; length < zip.size; length++) {
    unsigned char *part = malloc(length + !length);
    memcpy(part, zip.data, length);
    vc_zip in;
    cr_expect_eq(vc_zip_open(&in, "x", part, length, NULL), VC_FAILED, "%zu bytes", length);
    free(part);
  }
  vc_test_zip_free(&zip);
}

Test(zip, every_changed_byte_is_survived) {
  vc_test_zip zip = make();
  for (size_t i = 0; i < zip.size; i++)
    for (int bit = 0; bit < 8; bit++) {
      vc_zip in;
      zip.data[i] ^= (unsigned char)(1 << bit);
      if (vc_zip_open(&in, "x", zip.data, zip.size, NULL) == VC_OK)
        for (int e = 0; e < in.count; e++) {
          cr_expect(in.entry[e].data >= zip.data && in.entry[e].data + in.entry[e].stored_size <= zip.data + zip.size);
          unsigned char *out = malloc(in.entry[e].size + 1);
          vc_zip_read(&in.entry[e], "x", out, NULL);
          free(out);
        }
      vc_zip_close(&in);
      zip.data[i] ^= (unsigned char)(1 << bit);
    }
  vc_test_zip_free(&zip);
}
