// The safetensors reader and writer: round trips, and every way in which a file can be wrong.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "loaders/safetensors.h"

// A file of `header` and then `data_size` bytes 0, 1, 2, ... The length field is the header's own plus `lie`.
static unsigned char *make_file(const char *header, size_t header_size, size_t data_size, int64_t lie, size_t *size) {
  *size = 8 + header_size + data_size;
  unsigned char *file = malloc(*size);
  uint64_t length = header_size + (uint64_t)lie;
  for (int i = 0; i < 8; i++) file[i] = (unsigned char)(length >> 8 * i);
  memcpy(file + 8, header, header_size);
  for (size_t i = 0; i < data_size; i++) file[8 + header_size + i] = (unsigned char)i;
  return file;
}

static const struct {
  const char *what;
  const char *header;
  size_t data_size;
  const char *message;  // a part of what must be said
} bad_headers[] = {
    {"no JSON", "{\"a\":", 0, "not valid JSON"},
    {"an array", "[1]", 0, "not a JSON object"},
    {"a number", "1", 0, "not a JSON object"},
    {"empty", "", 0, "not a JSON object"},
    {"space before", " {}", 0, "not a JSON object"},
    {"text behind", "{} x", 0, "not valid JSON at byte 11"},
    {"invalid UTF-8", "{\"\xff\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0,1]}}", 1, "not UTF-8"},
    {"overlong UTF-8", "{\"\xc0\x80\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0,1]}}", 1, "not UTF-8"},
    {"escaped zero", "{\"a\\u0000b\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0,1]}}", 1, "U+0000"},
    {"entry is no object", "{\"a\":3}", 0, "\"a\" is not a JSON object"},
    {"no dtype", "{\"a\":{\"shape\":[],\"data_offsets\":[0,4]}}", 4, "has no dtype"},
    {"no shape", "{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4, "has no shape"},
    {"no offsets", "{\"a\":{\"dtype\":\"F32\",\"shape\":[]}}", 4, "has no data_offsets"},
    {"two dtypes", "{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]}}", 4,
     "two of dtype"},
    {"unknown dtype", "{\"a\":{\"dtype\":\"F8_E4M3\",\"shape\":[],\"data_offsets\":[0,1]}}", 1, "F8_E4M3"},
    {"dtype in small letters", "{\"a\":{\"dtype\":\"f32\",\"shape\":[],\"data_offsets\":[0,4]}}", 4, "\"f32\""},
    {"dtype is a number", "{\"a\":{\"dtype\":32,\"shape\":[],\"data_offsets\":[0,4]}}", 4, "not supported"},
    {"shape is a number", "{\"a\":{\"dtype\":\"F32\",\"shape\":1,\"data_offsets\":[0,4]}}", 4, "has no shape"},
    {"negative dimension", "{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}", 4, "dimension 0"},
    {"two negative dimensions", "{\"a\":{\"dtype\":\"F32\",\"shape\":[-1,-1],\"data_offsets\":[0,4]}}", 4,
     "dimension 0"},
    {"broken dimension", "{\"a\":{\"dtype\":\"F32\",\"shape\":[1,0.5],\"data_offsets\":[0,4]}}", 4, "dimension 1"},
    {"dimension 2^53 + 1", "{\"a\":{\"dtype\":\"U8\",\"shape\":[9007199254740993],\"data_offsets\":[0,4]}}", 4,
     "dimension 0"},
    {"dimension 1e999", "{\"a\":{\"dtype\":\"U8\",\"shape\":[1e999],\"data_offsets\":[0,4]}}", 4, "dimension 0"},
    {"dimension is text", "{\"a\":{\"dtype\":\"U8\",\"shape\":[\"4\"],\"data_offsets\":[0,4]}}", 4, "dimension 0"},
    {"nine dimensions", "{\"a\":{\"dtype\":\"U8\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,1]}}", 1,
     "more than 8 dimensions"},
    {"shape overflows", "{\"a\":{\"dtype\":\"U8\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,0]}}", 0,
     "impossible shape"},
    {"shape overflows beside 0",
     "{\"a\":{\"dtype\":\"U8\",\"shape\":[0,4294967296,4294967296],\"data_offsets\":[0,0]}}", 0, "impossible shape"},
    {"byte count overflows", "{\"a\":{\"dtype\":\"F64\",\"shape\":[4294967296,536870912],\"data_offsets\":[0,0]}}", 0,
     "impossible shape"},
    {"offsets are text", "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":\"01\"}}", 1, "data_offsets"},
    {"one offset", "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1]}}", 1, "data_offsets"},
    {"three offsets", "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1,1]}}", 1, "data_offsets"},
    {"negative offset", "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[-1,0]}}", 1, "data_offsets"},
    {"offset 2^63", "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[9223372036854775808,0]}}", 1,
     "data_offsets"},
    {"offset 2^64", "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[18446744073709551616,1]}}", 1,
     "data_offsets"},
    {"offsets swapped", "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,0]}}", 1, "bytes 1 to 0"},
    {"beyond the end", "{\"a\":{\"dtype\":\"U8\",\"shape\":[5],\"data_offsets\":[0,5]}}", 4, "0 to 5 of 4"},
    {"a terabyte", "{\"a\":{\"dtype\":\"U8\",\"shape\":[1099511627776],\"data_offsets\":[0,1099511627776]}}", 4,
     "cut short"},
    {"too few bytes", "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}", 4, "takes 8 bytes"},
    {"too many bytes", "{\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,8]}}", 8, "takes 4 bytes"},
    {"overlap",
     "{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},"
     "\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[2,6]}}",
     6, "overlaps"},
    {"the same range",
     "{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},"
     "\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}",
     4, "overlaps"},
    {"gap",
     "{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
     "\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[3,5]}}",
     5, "bytes 2 to 3"},
    {"gap at the beginning", "{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[1,3]}}", 3, "bytes 0 to 1"},
    {"bytes at the end", "{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]}}", 3, "1 bytes at its end"},
    {"bytes and no tensor", "{}", 1, "1 bytes at its end"},
    {"the same name",
     "{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
     "\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[2,4]}}",
     4, "\"a\" is there twice"},
    {"the same name, escaped",
     "{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
     "\"\\u0061\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[2,4]}}",
     4, "\"a\" is there twice"},
    {"metadata is a list", "{\"__metadata__\":[]}", 0, "not an object"},
    {"metadata holds a number", "{\"__metadata__\":{\"a\":1}}", 0, "\"a\" is not a string"},
    {"the same metadata", "{\"__metadata__\":{\"a\":\"1\",\"a\":\"2\"}}", 0, "\"a\" is there twice"},
};

Test(safetensors, bad_headers_are_refused) {
  for (size_t i = 0; i < sizeof bad_headers / sizeof *bad_headers; i++) {
    size_t size;
    unsigned char *data =
        make_file(bad_headers[i].header, strlen(bad_headers[i].header), bad_headers[i].data_size, 0, &size);
    vc_tensor_file file;
    vc_error error = {{0}};
    vc_status status = vc_safetensors_open_memory(&file, "x.safetensors", data, size, &error);
    cr_expect_eq(status, VC_FAILED, "%s: gave %d", bad_headers[i].what, status);
    cr_expect(strstr(error.message, bad_headers[i].message), "%s: said \"%s\"", bad_headers[i].what, error.message);
    cr_expect_eq(strncmp(error.message, "x.safetensors: ", 15), 0, "%s: said \"%s\"", bad_headers[i].what,
                 error.message);
    cr_expect(!strchr(error.message, '\n') && file.count == 0 && !file.tensor && !file.internal);
    free(data);
  }
}

static const char good_header[] =
    "{\"b\":{\"dtype\":\"U8\",\"shape\":[2,2],\"data_offsets\":[0,4]},"
    "\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[4,8]},"
    "\"empty\":{\"dtype\":\"I64\",\"shape\":[0,3],\"data_offsets\":[4,4]},"
    "\"__metadata__\":{\"z\":\"1\",\"y\":\"\\u00fc \\\\u0000\"}}  ";

Test(safetensors, a_good_file_is_read) {
  size_t size;
  unsigned char *data = make_file(good_header, strlen(good_header), 8, 0, &size);
  vc_tensor_file file;
  vc_error error;
  cr_assert_eq(vc_safetensors_open_memory(&file, "x", data, size, &error), VC_OK, "%s", error.message);
  cr_expect_eq(file.count, 3);
  cr_expect_str_eq(file.tensor[0].name, "a");
  cr_expect_str_eq(file.tensor[1].name, "b");
  cr_expect_str_eq(file.tensor[2].name, "empty");
  const vc_tensor *b = vc_tensor_file_find(&file, "b");
  cr_assert_not_null(b);
  cr_expect(b->dtype == VC_U8 && b->rank == 2 && b->dim[0] == 2 && b->dim[1] == 2);
  cr_expect_eq(((unsigned char *)b->data)[3], 3);
  cr_expect_eq(vc_tensor_file_find(&file, "a")->rank, 0);
  cr_expect_eq(vc_tensor_bytes(vc_tensor_file_find(&file, "empty")), 0);
  cr_expect_null(vc_tensor_file_find(&file, "c"));
  cr_expect_str_eq(file.metadata[0].key, "z");
  cr_expect_str_eq(vc_tensor_file_metadata(&file, "y"), "\xc3\xbc \\u0000");
  cr_expect_null(vc_tensor_file_metadata(&file, "x"));
  vc_tensor_file_drop_pages(&file, b);
  vc_tensor_file_close(&file);
  free(data);
}

Test(safetensors, every_truncation_is_refused) {
  size_t size;
  unsigned char *whole = make_file(good_header, strlen(good_header), 8, 0, &size);
  for (size_t length = 0; length < size; length++) {
    unsigned char *part = malloc(length + !length);  // its own block, so that a sanitizer sees reads behind it
    memcpy(part, whole, length);
    vc_tensor_file file;
    vc_error error;
    cr_expect_eq(vc_safetensors_open_memory(&file, "x", part, length, &error), VC_FAILED, "%zu bytes", length);
    free(part);
  }
  free(whole);
}

Test(safetensors, every_changed_byte_is_refused_or_read) {
  size_t size;
  unsigned char *whole = make_file(good_header, strlen(good_header), 8, 0, &size);
  for (size_t i = 0; i < size - 8; i++)
    for (int bit = 0; bit < 8; bit++) {
      vc_tensor_file file;
      whole[i] ^= (unsigned char)(1 << bit);
      if (vc_safetensors_open_memory(&file, "x", whole, size, NULL) == VC_OK) {
        for (int t = 0; t < file.count; t++) {
          const unsigned char *first = file.tensor[t].tensor.data;
          cr_expect(first >= whole && first + vc_tensor_bytes(&file.tensor[t].tensor) <= whole + size);
        }
        vc_tensor_file_close(&file);
      }
      whole[i] ^= (unsigned char)(1 << bit);
    }
  free(whole);
}

Test(safetensors, header_lengths_that_lie_are_refused) {
  static const int64_t lies[] = {-1, 1, 9, 1 << 20, 200000000, INT64_MAX / 2, -1000};
  for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
    size_t size;
    unsigned char *data = make_file("{}", 2, 0, lies[i], &size);
    vc_tensor_file file;
    vc_error error;
    cr_expect_eq(vc_safetensors_open_memory(&file, "x", data, size, &error), VC_FAILED, "lie %lld", (long long)lies[i]);
    free(data);
  }
}

Test(safetensors, deep_nesting_is_refused) {
  enum { DEPTH = 100000 };
  char *header = malloc(DEPTH + 6);
  memcpy(header, "{\"a\":", 5);
  memset(header + 5, '[', DEPTH);
  size_t size;
  unsigned char *data = make_file(header, DEPTH + 5, 0, 0, &size);
  vc_tensor_file file;
  vc_error error;
  cr_expect_eq(vc_safetensors_open_memory(&file, "x", data, size, &error), VC_FAILED);
  free(data);
  free(header);
}

// A folder of the test's own, and a path in it.
static char folder[] = "/tmp/vc_safetensors_XXXXXX";
static char path[128];

static void make_folder(void) {
  cr_assert_not_null(mkdtemp(folder));
  snprintf(path, sizeof path, "%s/x.safetensors", folder);
}

static void remove_folder(void) {
  unlink(path);
  cr_expect_eq(rmdir(folder), 0, "something was left in %s", folder);
}

Test(safetensors, what_is_written_is_read_back, .init = make_folder, .fini = remove_folder) {
  vc_tensor tensor[VC_DTYPE_COUNT];
  vc_named_tensor named[VC_DTYPE_COUNT];
  char names[VC_DTYPE_COUNT][32];
  vc_error error;
  for (int i = 0; i < VC_DTYPE_COUNT; i++) {
    const int64_t dim[3] = {i, 3, 5};
    cr_assert_eq(vc_tensor_new(&tensor[i], (vc_dtype)i, i % 4, dim, &error), VC_OK);
    for (size_t b = 0; b < vc_tensor_bytes(&tensor[i]); b++)
      ((unsigned char *)tensor[i].data)[b] = (unsigned char)(b * 7);
    snprintf(names[i], sizeof names[i], "t%d \"\\\x01\xc3\xbc", 9 - i);
    named[i] = (vc_named_tensor){names[i], tensor[i]};
  }
  const vc_metadata_entry metadata[] = {{(char *)"command", (char *)"a \"b\"\n\t\\u0000"}, {(char *)"", (char *)""}};
  cr_assert_eq(vc_safetensors_write(path, named, VC_DTYPE_COUNT, metadata, 2, &error), VC_OK, "%s", error.message);
  vc_tensor_file file;
  cr_assert_eq(vc_safetensors_open(&file, path, &error), VC_OK, "%s", error.message);
  cr_expect_eq(file.count, VC_DTYPE_COUNT);
  for (int i = 0; i < VC_DTYPE_COUNT; i++) {
    const vc_tensor *back = vc_tensor_file_find(&file, names[i]);
    cr_assert_not_null(back, "%s", names[i]);
    cr_expect_eq(back->dtype, tensor[i].dtype);
    cr_expect_eq(back->rank, tensor[i].rank);
    cr_expect_arr_eq(back->dim, tensor[i].dim, sizeof back->dim);
    cr_expect_arr_eq(back->data, tensor[i].data, vc_tensor_bytes(&tensor[i]));
    vc_tensor_file_drop_pages(&file, back);
    cr_expect_arr_eq(back->data, tensor[i].data, vc_tensor_bytes(&tensor[i]));
    vc_tensor_free(&tensor[i]);
  }
  cr_expect_eq(file.metadata_count, 2);
  cr_expect_str_eq(vc_tensor_file_metadata(&file, "command"), metadata[0].value);
  cr_expect_str_eq(vc_tensor_file_metadata(&file, ""), "");
  vc_tensor_file_close(&file);
}

Test(safetensors, nothing_at_all_is_a_file_too, .init = make_folder, .fini = remove_folder) {
  vc_error error;
  vc_tensor_file file;
  struct stat info;
  cr_assert_eq(vc_safetensors_write(path, NULL, 0, NULL, 0, &error), VC_OK, "%s", error.message);
  cr_expect(!stat(path, &info) && info.st_size == 16);  // the data begins at a multiple of 8
  cr_assert_eq(vc_safetensors_open(&file, path, &error), VC_OK, "%s", error.message);
  cr_expect(file.count == 0 && !vc_tensor_file_find(&file, "a"));
  vc_tensor_file_close(&file);
}

Test(safetensors, bad_names_are_not_written, .init = make_folder, .fini = remove_folder) {
  static const struct {
    const char *first, *second, *message;
  } cases[] = {{"a", "a", "twice"}, {"a", "__metadata__", "reserves"}, {"a\xff", "b", "UTF-8"}};
  unsigned char byte = 0;
  vc_tensor tensor = {.dtype = VC_U8, .data = &byte}, absurd = {.dtype = VC_U8, .rank = 1, .dim = {-1}};
  vc_error error;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    const vc_named_tensor named[] = {{(char *)(uintptr_t)cases[i].first, tensor},
                                     {(char *)(uintptr_t)cases[i].second, tensor}};
    cr_expect_eq(vc_safetensors_write(path, named, 2, NULL, 0, &error), VC_INVALID);
    cr_expect(strstr(error.message, cases[i].message), "said \"%s\"", error.message);
    const vc_metadata_entry metadata[] = {{named[0].name, (char *)"1"}, {named[1].name, (char *)"2"}};
    cr_expect_eq(vc_safetensors_write(path, NULL, 0, metadata, 2, &error), VC_INVALID);
    cr_expect(strstr(error.message, cases[i].message), "said \"%s\"", error.message);
  }
  const vc_metadata_entry bad_value = {(char *)"a", (char *)"\xff"};
  cr_expect_eq(vc_safetensors_write(path, NULL, 0, &bad_value, 1, &error), VC_INVALID);
  const vc_named_tensor bad_shape = {(char *)"a", absurd};
  cr_expect_eq(vc_safetensors_write(path, &bad_shape, 1, NULL, 0, &error), VC_INVALID);
  cr_expect(access(path, F_OK), "a refused file was written");
}

static vc_status provide_or_fail(void *opaque, int index, const void **data, vc_error *error) {
  *data = opaque;
  return index < 1 ? VC_OK : vc_fail(error, VC_INTERRUPTED, "interrupted");
}

Test(safetensors, a_provider_that_fails_leaves_nothing, .init = make_folder, .fini = remove_folder) {
  unsigned char bytes[3] = {1, 2, 3};
  const vc_tensor tensor = {.dtype = VC_U8, .rank = 1, .dim = {3}};
  const vc_named_tensor named[] = {{(char *)"a", tensor}, {(char *)"b", tensor}};
  vc_error error;
  vc_tensor_file file;
  cr_expect_eq(vc_safetensors_write_streaming(path, named, 2, NULL, 0, provide_or_fail, bytes, &error), VC_INTERRUPTED);
  cr_expect(access(path, F_OK));
  cr_assert_eq(vc_safetensors_write_streaming(path, named, 1, NULL, 0, provide_or_fail, bytes, &error), VC_OK);
  cr_assert_eq(vc_safetensors_open(&file, path, &error), VC_OK, "%s", error.message);
  cr_expect_arr_eq(file.tensor[0].tensor.data, bytes, 3);
  vc_tensor_file_close(&file);
}

Test(safetensors, a_full_disk_is_one_line) {
  unsigned char bytes[1 << 16] = {0};
  vc_tensor tensor = {.dtype = VC_U8, .rank = 1, .dim = {sizeof bytes}, .data = bytes};
  const vc_named_tensor named = {(char *)"a", tensor};
  vc_error error;
  cr_expect_eq(vc_safetensors_write("/dev/full", &named, 1, NULL, 0, &error), VC_FAILED);
  cr_expect_eq(strncmp(error.message, "/dev/full: ", 11), 0);
  cr_expect(strstr(error.message, "No space left"), "said \"%s\"", error.message);
  cr_expect_eq(vc_safetensors_write("/dev/full", NULL, 0, NULL, 0, &error), VC_FAILED);  // found at the flush
  cr_expect(strstr(error.message, "No space left"), "said \"%s\"", error.message);
}

Test(safetensors, paths_that_are_no_files_are_refused) {
  static const struct {
    const char *path, *message;
  } cases[] = {
      {"/nonexistent/a", "No such file"}, {"/tmp", "a folder"}, {"/dev/null", "a device"}, {"", "No such file"}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    vc_tensor_file file;
    vc_error error;
    cr_expect_eq(vc_safetensors_open(&file, cases[i].path, &error), VC_FAILED);
    cr_expect(strstr(error.message, cases[i].message), "said \"%s\"", error.message);
    cr_expect_eq(vc_tensor_file_open(&file, cases[i].path, &error), VC_FAILED);
  }
}
