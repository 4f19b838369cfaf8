// .npy files: round trips, what NumPy writes, and what must be refused.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "loaders/npy.h"

// A file of the given version and header, and then data_size bytes 0, 1, 2, ...
static unsigned char *make_file(int version, const char *header, size_t data_size, size_t *size) {
  size_t start = version == 1 ? 10 : 12, length = strlen(header);
  *size = start + length + data_size;
  unsigned char *file = malloc(*size);
  memcpy(file, "\x93NUMPY", 6);
  file[6] = (unsigned char)version;
  file[7] = 0;
  for (size_t i = 8; i < start; i++) file[i] = (unsigned char)(length >> 8 * (i - 8));
  memcpy(file + start, header, length);
  for (size_t i = 0; i < data_size; i++) file[start + length + i] = (unsigned char)i;
  return file;
}

static const struct {
  int version;
  const char *header;
  size_t data_size;
  vc_dtype dtype;
  int rank;
  int64_t dim[3];
} good[] = {
    {1, "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }     \n", 24, VC_F32, 2, {2, 3}},
    {2, "{'descr': '<f2', 'fortran_order': False, 'shape': (3,), }\n", 6, VC_F16, 1, {3}},
    {3, "{'descr': '<f8', 'fortran_order': False, 'shape': (), }\n", 8, VC_F64, 0, {0}},
    {1, "{'shape': (2L, 1L), 'fortran_order': False, 'descr': '|u1'}", 2, VC_U8, 2, {2, 1}},
    {1, "{'descr': '|b1', 'fortran_order': True, 'shape': (4,), }", 4, VC_BOOL, 1, {4}},
    {1, "{\"descr\":\"|i1\",\"fortran_order\":False,\"shape\":(1,2,3)}", 6, VC_I8, 3, {1, 2, 3}},
    {1, "{'descr': '<i2', 'fortran_order': False, 'shape': (0, 3), }", 0, VC_I16, 2, {0, 3}},
    {1, "{'descr': '<i4', 'fortran_order': False, 'shape': (1,), }", 4, VC_I32, 1, {1}},
    {1, "{'descr': '<i8', 'fortran_order': False, 'shape': (1,), }", 8, VC_I64, 1, {1}},
};

Test(npy, good_files_are_read) {
  for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
    size_t size;
    unsigned char *data = make_file(good[i].version, good[i].header, good[i].data_size, &size);
    vc_tensor tensor;
    vc_error error = {{0}};
    cr_assert_eq(vc_npy_read_memory(&tensor, "x", data, size, &error), VC_OK, "%zu: %s", i, error.message);
    cr_expect(tensor.dtype == good[i].dtype && tensor.rank == good[i].rank, "case %zu", i);
    for (int d = 0; d < tensor.rank; d++) cr_expect_eq(tensor.dim[d], good[i].dim[d], "case %zu", i);
    cr_expect_eq(vc_tensor_bytes(&tensor), good[i].data_size);
    for (size_t b = 0; b < good[i].data_size; b++) cr_expect_eq(((unsigned char *)tensor.data)[b], b);
    vc_tensor_free(&tensor);
    free(data);
  }
}

static const struct {
  int version;
  const char *header;
  size_t data_size;
  const char *message;
} bad[] = {
    {0, "", 0, "version 0.0"},
    {4, "", 0, "version 4.0"},
    {1, "", 0, "not a dictionary"},
    {1, "{}", 0, "not a dictionary"},
    {1, "{'descr': '<f4', 'fortran_order': False}", 4, "not a dictionary"},
    {1, "{'descr': '<f4', 'shape': ()}", 4, "not a dictionary"},
    {1, "{'fortran_order': False, 'shape': ()}", 4, "not a dictionary"},
    {1, "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': ()}", 4, "not a dictionary"},
    {1, "{'descr': '<f4', 'fortran_order': False, 'shape': ()", 4, "not a dictionary"},
    {1, "{'descr': '<f4', 'fortran_order': False, 'shape': ()} x", 4, "not a dictionary"},
    {1, "{'descr': '<f4' 'fortran_order': False, 'shape': ()}", 4, "not a dictionary"},
    {1, "{'descr': '<f4', 'fortran_order': 0, 'shape': ()}", 4, "not a dictionary"},
    {1, "{'descr': '<f4', 'fortran_order': False, 'shape': (), 'x': 1}", 4, "not a dictionary"},
    {1, "{'descr': '<f4", 4, "no plain numbers"},
    {1, "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': ()}", 4, "no plain numbers"},
    {1, "{'descr': '>f4', 'fortran_order': False, 'shape': ()}", 4, "\">f4\""},
    {1, "{'descr': '|O', 'fortran_order': False, 'shape': ()}", 4, "\"|O\""},
    {1, "{'descr': '<u2', 'fortran_order': False, 'shape': ()}", 2, "\"<u2\""},
    {1, "{'descr': '<c8', 'fortran_order': False, 'shape': ()}", 8, "\"<c8\""},
    {1, "{'descr': '', 'fortran_order': False, 'shape': ()}", 8, "\"\""},
    {1, "{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3)}", 24, "Fortran order"},
    {1, "{'descr': '<f4', 'fortran_order': False, 'shape': 3}", 12, "no shape"},
    {1, "{'descr': '<f4', 'fortran_order': False, 'shape': (3", 12, "does not end"},
    {1, "{'descr': '<f4', 'fortran_order': False, 'shape': (3 4)}", 12, "does not end"},
    {1, "{'descr': '<f4', 'fortran_order': False, 'shape': (-3,)}", 12, "dimension 0"},
    {1, "{'descr': '<f4', 'fortran_order': False, 'shape': (1,L)}", 12, "dimension 1"},
    {1, "{'descr': '<f4', 'fortran_order': False, 'shape': (9223372036854775808,)}", 12, "dimension 0"},
    {1, "{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296)}", 0, "impossible shape"},
    {1, "{'descr': '|u1', 'fortran_order': False, 'shape': (1099511627776,)}", 12, "1099511627776 bytes"},
    {1, "{'descr': '|u1', 'fortran_order': False, 'shape': (1, 1, 1, 1, 1, 1, 1, 1, 1)}", 1, "more than 8"},
    {1, "{'descr': '<f4', 'fortran_order': False, 'shape': (3,)}", 11, "takes 12 bytes, but 11"},
    {1, "{'descr': '<f4', 'fortran_order': False, 'shape': (3,)}", 13, "takes 12 bytes, but 13"},
};

Test(npy, bad_files_are_refused) {
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    size_t size;
    unsigned char *data = make_file(bad[i].version, bad[i].header, bad[i].data_size, &size);
    vc_tensor tensor;
    vc_error error = {{0}};
    cr_expect_eq(vc_npy_read_memory(&tensor, "x.npy", data, size, &error), VC_FAILED, "%s", bad[i].header);
    cr_expect(strstr(error.message, bad[i].message), "%s: said \"%s\"", bad[i].header, error.message);
    cr_expect(!strncmp(error.message, "x.npy: ", 7) && !tensor.data);
    free(data);
  }
}

Test(npy, every_truncation_is_refused) {
  for (int version = 1; version <= 2; version++) {
    size_t size;
    unsigned char *whole = make_file(version, good[0].header, good[0].data_size, &size);
    for (size_t length = 0; length < size; length++) {
      unsigned char *part = malloc(length + !length);
      memcpy(part, whole, length);
      vc_tensor tensor;
      cr_expect_eq(vc_npy_read_memory(&tensor, "x", part, length, NULL), VC_FAILED, "%zu bytes", length);
      free(part);
    }
    free(whole);
  }
}

Test(npy, header_lengths_that_lie_are_refused) {
  size_t size;
  unsigned char *data = make_file(2, good[0].header, good[0].data_size, &size);
  for (int high = 0; high < 2; high++) {
    vc_tensor tensor;
    data[high ? 11 : 9] = 0xff;
    cr_expect_eq(vc_npy_read_memory(&tensor, "x", data, size, NULL), VC_FAILED);
  }
  free(data);
}

Test(npy, what_is_written_is_read_back) {
  char folder[] = "/tmp/vc_npy_XXXXXX", path[64];
  cr_assert_not_null(mkdtemp(folder));
  snprintf(path, sizeof path, "%s/x.npy", folder);
  vc_error error = {{0}};
  for (int i = 0; i < VC_DTYPE_COUNT; i++)
    for (int rank = 0; rank <= VC_MAX_DIMS; rank++) {
      const int64_t dim[VC_MAX_DIMS] = {2, 1, 3, 1, 2, 1, 1, 2};
      vc_tensor tensor, back;
      cr_assert_eq(vc_tensor_new(&tensor, (vc_dtype)i, rank, dim, &error), VC_OK);
      for (size_t b = 0; b < vc_tensor_bytes(&tensor); b++) ((unsigned char *)tensor.data)[b] = (unsigned char)(b * 5);
      if (i == VC_BF16) {
        cr_expect_eq(vc_npy_write(path, &tensor, &error), VC_INVALID);
      } else {
        cr_assert_eq(vc_npy_write(path, &tensor, &error), VC_OK, "%s", error.message);
        cr_assert_eq(vc_npy_read(&back, path, &error), VC_OK, "%s", error.message);
        cr_expect(back.dtype == tensor.dtype && back.rank == rank);
        cr_expect_arr_eq(back.dim, tensor.dim, sizeof back.dim);
        cr_expect_arr_eq(back.data, tensor.data, vc_tensor_bytes(&tensor));
        vc_tensor_free(&back);
      }
      vc_tensor_free(&tensor);
    }
  unlink(path);
  cr_expect_eq(rmdir(folder), 0);
}

Test(npy, the_header_is_what_numpy_writes) {
  char folder[] = "/tmp/vc_npy_XXXXXX", path[64];
  unsigned char data[6] = {1, 2, 3, 4, 5, 6}, file[256], expected[134] = "\x93NUMPY\x01";
  cr_assert_not_null(mkdtemp(folder));
  snprintf(path, sizeof path, "%s/x.npy", folder);
  const vc_tensor tensor = {.dtype = VC_U8, .rank = 2, .dim = {2, 3}, .data = data};
  cr_assert_eq(vc_npy_write(path, &tensor, NULL), VC_OK);
  FILE *in = fopen(path, "rb");
  cr_assert_not_null(in);
  size_t size = fread(file, 1, sizeof file, in);
  fclose(in);
  static const char text[] = "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 3), }";
  memset(expected + 10, ' ', 117);
  memcpy(expected + 10, text, sizeof text - 1);
  expected[8] = 118;
  expected[127] = '\n';
  memcpy(expected + 128, data, 6);
  cr_expect_eq(size, sizeof expected);
  cr_expect_arr_eq(file, expected, sizeof expected);
  unlink(path);
  cr_expect_eq(rmdir(folder), 0);
}

Test(npy, a_full_disk_is_one_line) {
  unsigned char byte = 0;
  const vc_tensor tensor = {.dtype = VC_U8, .data = &byte};
  vc_error error = {{0}};
  cr_expect_eq(vc_npy_write("/dev/full", &tensor, &error), VC_FAILED);
  cr_expect(strstr(error.message, "/dev/full: cannot be written"), "said \"%s\"", error.message);
}
