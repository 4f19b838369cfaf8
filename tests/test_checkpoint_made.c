// PyTorch checkpoints made by hand: every way to spell a tensor, and hostile archives and pickles.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "loaders/checkpoint.h"
#include "tests/build_zip.h"

// A pickle under construction.
typedef struct program {
  char *bytes;
  size_t size, room;
} program;

static void put(program *p, const void *bytes, size_t size) {
  if (p->size + size > p->room) {
    p->room = 2 * (p->size + size) + 256;
    p->bytes = realloc(p->bytes, p->room);
  }
  memcpy(p->bytes + p->size, bytes, size);
  p->size += size;
}

#define PUT(p, text) put(p, text, sizeof text - 1)

static void put_text(program *p, const char *text) {
  unsigned char length = (unsigned char)strlen(text);
  PUT(p, "U");
  put(p, &length, 1);
  put(p, text, length);
}

static void put_integer(program *p, int64_t value) {
  PUT(p, "\x8a\x08");
  put(p, &value, 8);
}

static void put_class(program *p, const char *module, const char *name) {
  PUT(p, "c");
  put(p, module, strlen(module));
  PUT(p, "\n");
  put(p, name, strlen(name));
  PUT(p, "\n");
}

static void put_storage(program *p, const char *type, const char *key, int64_t count) {
  PUT(p, "(");
  put_text(p, "storage");
  put_class(p, "torch", type);
  put_text(p, key);
  put_text(p, "cpu");
  put_integer(p, count);
  PUT(p, "tQ");
}

typedef struct spec {
  const char *what;
  const char *type, *key;
  int64_t count, offset;
  int rank;
  int64_t dim[10], stride[10];
  const char *message;  // NULL: it is good
} spec;

static void put_tensor(program *p, const spec *t) {
  put_class(p, "torch._utils", "_rebuild_tensor_v2");
  PUT(p, "(");
  put_storage(p, t->type, t->key, t->count);
  put_integer(p, t->offset);
  PUT(p, "(");
  for (int i = 0; i < t->rank; i++) put_integer(p, t->dim[i]);
  PUT(p, "t(");
  for (int i = 0; i < t->rank; i++) put_integer(p, t->stride[i]);
  PUT(p, "t\x89}tR");
}

static unsigned char bytes_0_to_63[64];

// A checkpoint of the given pickle, whose storages "0" and "1" have 64 bytes 0, 1, 2, ...; "1" is compressed.
static vc_test_zip archive(const program *p, bool compressed) {
  vc_test_zip zip = {0};
  for (int i = 0; i < 64; i++) bytes_0_to_63[i] = (unsigned char)i;
  vc_test_zip_add(&zip, "m/data.pkl", p->bytes, p->size, compressed);
  vc_test_zip_add(&zip, "m/data/0", bytes_0_to_63, 64, false);
  vc_test_zip_add(&zip, "m/data/1", bytes_0_to_63, 64, true);
  vc_test_zip_end(&zip);
  return zip;
}

static vc_status open_program(vc_tensor_file *out, program *p, vc_test_zip *zip, vc_error *error) {
  *zip = archive(p, false);
  free(p->bytes);
  *p = (program){0};
  return vc_tensor_file_open_memory(out, "x.pth", zip->data, zip->size, error);
}

#define HUGE (1LL << 62)

static const spec specs[] = {
    {"a matrix", "ByteStorage", "0", 64, 0, 2, {8, 8}, {8, 1}, NULL},
    {"to the last byte", "ByteStorage", "0", 64, 60, 1, {4}, {1}, NULL},
    {"nothing, anywhere", "ByteStorage", "0", 64, HUGE, 1, {0}, {1}, NULL},
    {"strides of one element", "ByteStorage", "0", 64, 5, 3, {1, 1, 1}, {HUGE, HUGE, HUGE}, NULL},
    {"compressed", "FloatStorage", "1", 16, 3, 1, {4}, {1}, NULL},
    {"compressed and strided", "FloatStorage", "1", 16, 3, 1, {4}, {2}, NULL},
    {"a smaller claim than there is", "ByteStorage", "0", 10, 0, 1, {10}, {1}, NULL},
    {"one element behind", "ByteStorage", "0", 64, 61, 1, {4}, {1}, "reaches beyond"},
    {"behind the claim", "ByteStorage", "0", 10, 0, 1, {11}, {1}, "reaches beyond"},
    {"a larger claim", "ByteStorage", "0", 65, 0, 1, {4}, {1}, "its pickle says 65"},
    {"a huge claim", "DoubleStorage", "0", INT64_MAX, 0, 1, {4}, {1}, "impossible key or size"},
    {"a negative claim", "ByteStorage", "0", -1, 0, 1, {4}, {1}, "no storage"},
    {"the scalar behind", "ByteStorage", "0", 64, 64, 0, {0}, {0}, "reaches beyond"},
    {"offset 2^62", "ByteStorage", "0", 64, HUGE, 1, {1}, {1}, "reaches beyond"},
    {"offset 2^63 - 1 and more", "ByteStorage", "0", 64, INT64_MAX, 2, {2, 2}, {INT64_MAX, 1}, "reaches beyond"},
    {"negative offset", "ByteStorage", "0", 64, -1, 1, {1}, {1}, "offset"},
    {"negative size", "ByteStorage", "0", 64, 0, 1, {-1}, {1}, "shape and strides"},
    {"negative stride", "ByteStorage", "0", 64, 8, 1, {2}, {-1}, "shape and strides"},
    {"stride 2^62", "ByteStorage", "0", 64, 0, 1, {2}, {HUGE}, "reaches beyond"},
    {"stride overflows", "ByteStorage", "0", 64, 0, 1, {9}, {HUGE}, "reaches beyond"},
    {"strides overflow in sum", "ByteStorage", "0", 64, 0, 4, {3, 3, 3, 3}, {HUGE, HUGE, HUGE, HUGE}, "reaches beyond"},
    {"impossible shape", "ByteStorage", "0", 64, 0, 2, {HUGE, HUGE}, {0, 0}, "impossible shape"},
    {"impossible shape of nothing", "ByteStorage", "0", 64, 0, 3, {0, HUGE, HUGE}, {0, 0, 0}, "impossible shape"},
    {"a terabyte of one byte", "ByteStorage", "0", 64, 0, 1, {1LL << 40}, {0}, "exhaust memory"},
    {"2^62 bytes of one byte", "ByteStorage", "0", 64, 0, 1, {HUGE}, {0}, "exhaust memory"},
    {"nine dimensions",
     "ByteStorage",
     "0",
     64,
     0,
     9,
     {1, 1, 1, 1, 1, 1, 1, 1, 1},
     {1, 1, 1, 1, 1, 1, 1, 1, 1},
     "shape and strides"},
    {"no such storage", "ByteStorage", "2", 64, 0, 1, {1}, {1}, "needs storage 2, which is missing"},
    {"a storage with a long key",
     "ByteStorage",
     "0000000000000000000000000000000000000000000000000000000000000000000000000000000",
     64,
     0,
     1,
     {1},
     {1},
     "impossible key"},
    {"complex numbers", "ComplexFloatStorage", "0", 8, 0, 1, {1}, {1}, "complex"},
    {"a storage of nothing known", "StringStorage", "0", 8, 0, 1, {1}, {1}, "unknown type StringStorage"},
};

Test(made_checkpoint, views_are_checked_and_read) {
  for (size_t i = 0; i < sizeof specs / sizeof *specs; i++) {
    const spec *t = &specs[i];
    program p = {0};
    vc_test_zip zip;
    vc_tensor_file file;
    vc_error error = {{0}};
    PUT(&p, "\x80\2}");
    put_text(&p, "w");
    put_tensor(&p, t);
    PUT(&p, "s.");
    vc_status status = open_program(&file, &p, &zip, &error);
    if (t->message) {
      cr_expect_eq(status, VC_FAILED, "%s: gave %d", t->what, status);
      cr_expect(strstr(error.message, t->message), "%s: said \"%s\"", t->what, error.message);
      cr_expect(!strncmp(error.message, "x.pth: tensor \"w\" ", 18) || strstr(t->message, "exhaust"), "%s: said \"%s\"",
                t->what, error.message);
    } else {
      cr_assert_eq(status, VC_OK, "%s: %s", t->what, error.message);
      const vc_tensor *tensor = vc_tensor_file_find(&file, "w");
      size_t element = vc_dtype_size(tensor->dtype), count = vc_tensor_count(tensor);
      for (size_t e = 0; e < count; e++) {
        size_t at = (size_t)t->offset;
        if (t->rank == 1) at += e * (size_t)t->stride[0];
        if (t->rank == 2) at += e / 8 * (size_t)t->stride[0] + e % 8;
        cr_expect_eq(((unsigned char *)tensor->data)[e * element], (unsigned char)(at * element), "%s", t->what);
      }
      const unsigned char *data = tensor->data;
      bool in_place = data >= zip.data && data < zip.data + zip.size;
      cr_expect_eq(in_place, t->key[0] == '0', "%s: copied or not", t->what);
      vc_tensor_file_close(&file);
    }
    vc_test_zip_free(&zip);
  }
}

static const spec plain = {NULL, "ByteStorage", "0", 64, 7, 1, {4}, {1}, NULL};

// Ways to put one tensor "w" (bytes 7 to 10) into a pickle.
static void direct(program *p) {
  PUT(p, "\x80\2}(K\1");  // a key that is no text, and a value that is no tensor, are passed over
  put_tensor(p, &plain);
  put_text(p, "epoch");
  put_integer(p, 3);
  put_text(p, "w");
  put_tensor(p, &plain);
  PUT(p, "u.");
}

static void set_twice(program *p) {
  static const spec other = {NULL, "ByteStorage", "0", 64, 20, 1, {9}, {1}, NULL};
  PUT(p, "\x80\2}(");
  put_text(p, "w");
  put_tensor(p, &other);
  put_text(p, "gone");
  PUT(p, "q\1");
  put_tensor(p, &other);
  put_text(p, "w");
  put_tensor(p, &plain);
  PUT(p, "h\1N");  // the name by reference, its value no tensor any more
  PUT(p, "u.");
}

static void state_in_itself(program *p) {
  PUT(p, "\x80\2}q\0(");
  put_text(p, "state_dict");
  PUT(p, "h\0");
  put_text(p, "w");
  put_tensor(p, &plain);
  PUT(p, "u.");
}

static void beside_the_state(program *p) {
  PUT(p, "\x80\2}(");
  put_text(p, "ema");
  PUT(p, "}");
  put_text(p, "ema.w");
  put_tensor(p, &plain);
  PUT(p, "s");
  put_text(p, "x");
  put_tensor(p, &plain);
  put_text(p, "state_dict");
  PUT(p, "ccollections\nOrderedDict\n)R");
  put_text(p, "w");
  put_tensor(p, &plain);
  PUT(p, "s}");
  put_text(p, "_metadata");
  PUT(p, "}sb");
  put_text(p, "callbacks");
  put_class(p, "lightning", "Callback");
  put_text(p, "score");
  put_class(p, "numpy.core.multiarray", "scalar");
  put_class(p, "numpy", "dtype");
  put_text(p, "f8");
  PUT(p, "\x85R(K\3tbU\10\1\2\3\4\5\6\7\x08\x86R");
  PUT(p, "u.");
}

static void parameter(program *p) {
  PUT(p, "\x80\2}");
  put_text(p, "w");
  put_class(p, "torch._utils", "_rebuild_parameter");
  PUT(p, "(");
  put_tensor(p, &plain);
  PUT(p, "\x88}tRs.");
}

static void decorated(program *p) {
  PUT(p, "\x80\2}");
  put_text(p, "w");
  put_class(p, "torch._tensor", "_rebuild_from_type_v2");
  PUT(p, "(");
  put_class(p, "torch._utils", "_rebuild_tensor_v2");
  put_class(p, "my", "Tensor");
  PUT(p, "(");
  put_storage(p, "ByteStorage", "0", 64);
  PUT(p, "K\7K\4\x85K\1\x85\x89}t}tRs.");
}

static void oldest_constructor(program *p) {
  PUT(p, "\x80\2}");
  put_text(p, "w");
  put_class(p, "torch._utils", "_rebuild_tensor");
  PUT(p, "(");
  put_storage(p, "ByteStorage", "0", 64);
  PUT(p, "K\7K\4\x85K\1\x85tRs.");
}

static void newest_constructor(program *p) {
  PUT(p, "\x80\2}");
  put_text(p, "w");
  put_class(p, "torch._utils", "_rebuild_tensor_v3");
  PUT(p, "(");
  put_storage(p, "UntypedStorage", "0", 64);
  PUT(p, "K\7K\4\x85K\1\x85\x89}");
  put_class(p, "torch", "uint8");
  PUT(p, "tRs.");
}

static void part_of_a_storage(program *p) {
  PUT(p, "\x80\2}");
  put_text(p, "w");
  put_class(p, "torch._utils", "_rebuild_tensor_v2");
  PUT(p, "((");
  put_text(p, "storage");
  put_class(p, "torch", "ByteStorage");
  put_text(p, "0");
  put_text(p, "cpu");
  PUT(p, "K\x40");
  put_text(p, "5");
  PUT(p, "K\5K\6\x87tQK\2K\4\x85K\1\x85\x89}tRs.");
}

static const struct {
  const char *what;
  void (*make)(program *p);
} ways[] = {
    {"direct", direct},
    {"set twice", set_twice},
    {"state dict in itself", state_in_itself},
    {"beside the state", beside_the_state},
    {"parameter", parameter},
    {"decorated", decorated},
    {"oldest constructor", oldest_constructor},
    {"newest constructor", newest_constructor},
    {"part of a storage", part_of_a_storage},
};

Test(made_checkpoint, tensors_are_found_whatever_the_way) {
  for (size_t i = 0; i < sizeof ways / sizeof *ways; i++)
    for (int compressed = 0; compressed < 2; compressed++) {
      static const unsigned char expected[] = {7, 8, 9, 10};
      program p = {0};
      vc_tensor_file file;
      vc_error error = {{0}};
      ways[i].make(&p);
      vc_test_zip zip = archive(&p, compressed);
      cr_assert_eq(vc_checkpoint_open_memory(&file, "x", zip.data, zip.size, &error), VC_OK, "%s: %s", ways[i].what,
                   error.message);
      cr_expect(file.count == 1 && !strcmp(file.tensor[0].name, "w"), "%s: %d tensors", ways[i].what, file.count);
      const vc_tensor *w = &file.tensor[0].tensor;
      cr_assert(w->dtype == VC_U8 && w->rank == 1 && w->dim[0] == 4, "%s", ways[i].what);
      cr_expect_arr_eq(w->data, expected, 4, "%s", ways[i].what);
      vc_tensor_file_close(&file);
      vc_test_zip_free(&zip);
      free(p.bytes);
    }
}

#define CALL(arguments) "ctorch._utils\n_rebuild_tensor_v2\n(" arguments "tR"
#define STORAGE "(U\7storagectorch\nByteStorage\nU\0010U\3cpuK\x40tQ"
#define PICKLE(text) "\x80\2" text, sizeof text + 1

static const struct {
  const char *what, *bytes;
  size_t size;
  const char *message;
} bad_pickles[] = {
    {"a number", PICKLE("K\1."), "no dictionary"},
    {"a list of tensors", PICKLE("](" CALL(STORAGE "K\0))\x89}") "e."), "no dictionary"},
    {"a state that is a number", PICKLE("}U\nstate_dictK\1s."), "no dictionary"},
    {"an empty dictionary", PICKLE("}."), "holds no tensors"},
    {"an empty state", PICKLE("}(U\1w" CALL(STORAGE "K\0))\x89}") "U\nstate_dict}u."), "holds no tensors"},
    {"a name that is no UTF-8", PICKLE("}U\1\xff" CALL(STORAGE "K\0))\x89}") "s."), "not UTF-8"},
    {"a name with a zero", PICKLE("}U\3a\0b" CALL(STORAGE "K\0))\x89}") "s."), "not UTF-8"},
    {"too few arguments", PICKLE("}U\1w" CALL(STORAGE "K\0)") "s."), "too few arguments"},
    {"no arguments", PICKLE("}U\1w" CALL("") "s."), "too few arguments"},
    {"a storage that is none", PICKLE("}U\1w" CALL("K\0K\0)))") "s."), "no storage"},
    {"an id that is no tuple", PICKLE("}U\1w" CALL("U\1aQK\0)))") "s."), "no storage"},
    {"an id that is too short", PICKLE("}U\1w" CALL("U\7storage\x85QK\0)))") "s."), "no storage"},
    {"an id of something else", PICKLE("}U\1w" CALL("(U\6moduleNU\0010NK\1tQK\0)))") "s."), "no storage"},
    {"a type that is no class", PICKLE("}U\1w" CALL("(U\7storageNU\0010NK\1tQK\0)))") "s."), "unknown type"},
    {"offset that is a text", PICKLE("}U\1w" CALL(STORAGE "U\1a))\x89}") "s."), "offset"},
    {"shape that is a number", PICKLE("}U\1w" CALL(STORAGE "K\0K\1)\x89}") "s."), "shape and strides"},
    {"more strides than sizes", PICKLE("}U\1w" CALL(STORAGE "K\0)K\1\x85\x89}") "s."), "shape and strides"},
    {"shape of texts", PICKLE("}U\1w" CALL(STORAGE "K\0U\1a\x85K\1\x85\x89}") "s."), "shape and strides"},
    {"negated", PICKLE("}U\1w" CALL(STORAGE "K\0))\x89}}U\3neg\x88s") "s."), "negated"},
    {"part beyond its storage",
     PICKLE("}U\1w" CALL("(U\7storagectorch\nByteStorage\nU\0010U\3cpuK\x40U\0015K\x3fK\2\x87tQK\0))") "s."),
     "part of a storage"},
    {"a parameter of nothing", PICKLE("}U\1wctorch._utils\n_rebuild_parameter\n)Rs."), "no tensor"},
    {"a parameter of a number", PICKLE("}U\1wctorch._utils\n_rebuild_parameter\nK\1\x85Rs."), "no tensor"},
    {"a deep parameter",
     PICKLE("}U\1wctorch._utils\n_rebuild_parameter\nq\1h\1h\1h\1h\1" CALL(STORAGE
                                                                           "K\0)))") "\x85R\x85R\x85R\x85R\x85Rs."),
     "not supported"},
    {"decorated with a stranger", PICKLE("}U\1wctorch._tensor\n_rebuild_from_type_v2\n(cos\nsystem\nN)}tRs."),
     "not supported"},
    {"decorated with too little", PICKLE("}U\1wctorch._tensor\n_rebuild_from_type_v2\n)Rs."), "too few"},
    {"decorated with no tuple", PICKLE("}U\1wctorch._tensor\n_rebuild_from_type_v2\n(cos\nsystem\nN]}tRs."), "too few"},
    {"a dtype that is unknown",
     PICKLE("}U\1wctorch._utils\n_rebuild_tensor_v3\n(" STORAGE "K\0))\x89}ctorch\nfloat8_e4m3fn\ntRs."), "dtype"},
    {"a call by the way", PICKLE("}(U\1w" CALL(STORAGE "K\0)))") "U\1xcos\nsystem\nU\2ls\x85Ru."), "os.system"},
};

Test(made_checkpoint, bad_pickles_are_refused) {
  for (size_t i = 0; i < sizeof bad_pickles / sizeof *bad_pickles; i++) {
    program p = {0};
    vc_test_zip zip;
    vc_tensor_file file;
    vc_error error = {{0}};
    put(&p, bad_pickles[i].bytes, bad_pickles[i].size);
    cr_expect_eq(open_program(&file, &p, &zip, &error), VC_FAILED, "%s", bad_pickles[i].what);
    cr_expect(strstr(error.message, bad_pickles[i].message), "%s: said \"%s\"", bad_pickles[i].what, error.message);
    vc_test_zip_free(&zip);
  }
}

// Archives with a good pickle and other things wrong or unusual.
static const struct {
  const char *what;
  const char *pickle, *storage, *extra;  // names of entries
  const char *extra_text;
  const char *message;  // NULL: it is good
} archives[] = {
    {"no folder", "data.pkl", "data/0", "version", "3\n", NULL},
    {"deep folder", "a/b/data.pkl", "a/b/data/0", "a/b/.data/serialization_id", "1", NULL},
    {"little-endian", "a/data.pkl", "a/data/0", "a/byteorder", "little", NULL},
    {"byte order of another folder", "a/data.pkl", "a/data/0", "b/byteorder", "big", NULL},
    {"big-endian", "a/data.pkl", "a/data/0", "a/byteorder", "big", "little-endian"},
    {"two pickles", "a/data.pkl", "a/data/0", "b/data.pkl", "", "more than one"},
    {"no pickle", "a/data.pk", "a/data/0", "a/version", "3", "without data.pkl"},
    {"storage in another folder", "a/data.pkl", "b/data/0", "a/version", "3", "storage 0, which is missing"},
};

Test(made_checkpoint, archives_are_told_apart) {
  for (size_t i = 0; i < sizeof archives / sizeof *archives; i++) {
    program p = {0};
    vc_test_zip zip = {0};
    vc_tensor_file file;
    vc_error error = {{0}};
    direct(&p);
    vc_test_zip_add(&zip, archives[i].extra, archives[i].extra_text, strlen(archives[i].extra_text), false);
    vc_test_zip_add(&zip, archives[i].pickle, p.bytes, p.size, false);
    vc_test_zip_add(&zip, archives[i].storage, bytes_0_to_63, 64, false);
    vc_test_zip_end(&zip);
    vc_status status = vc_tensor_file_open_memory(&file, "x", zip.data, zip.size, &error);
    cr_expect_eq(status, archives[i].message ? VC_FAILED : VC_OK, "%s: %s", archives[i].what, error.message);
    if (archives[i].message)
      cr_expect(strstr(error.message, archives[i].message), "%s: said \"%s\"", archives[i].what, error.message);
    vc_tensor_file_close(&file);
    vc_test_zip_free(&zip);
    free(p.bytes);
  }
}

Test(made_checkpoint, bombs_are_refused_before_they_go_off) {
  enum { ZEROS = 100 << 20 };
  vc_tensor_file file;
  vc_error error = {{0}};
  // A storage of 100 MiB of zeros in 100 KB of archive.
  static const spec large = {NULL, "ByteStorage", "0", ZEROS, 0, 1, {ZEROS}, {1}, NULL};
  program p = {0};
  vc_test_zip zip = {0};
  PUT(&p, "\x80\2}");
  put_text(&p, "w");
  put_tensor(&p, &large);
  PUT(&p, "s.");
  unsigned char *zeros = calloc(1, ZEROS);
  vc_test_zip_add(&zip, "a/data.pkl", p.bytes, p.size, false);
  vc_test_zip_add(&zip, "a/data/0", zeros, ZEROS, true);
  vc_test_zip_end(&zip);
  free(zeros);
  cr_expect_eq(vc_tensor_file_open_memory(&file, "x", zip.data, zip.size, &error), VC_FAILED);
  cr_expect(strstr(error.message, "exhaust memory"), "said \"%s\"", error.message);
  vc_test_zip_free(&zip);
  free(p.bytes);

  // Many modest copies of the same storage: 2000 times 4 KB out of 64 bytes.
  static const spec expanded = {NULL, "ByteStorage", "0", 64, 0, 2, {64, 64}, {0, 1}, NULL};
  p = (program){0};
  PUT(&p, "\x80\2}");
  put_tensor(&p, &expanded);
  PUT(&p, "q\1\x30(");
  for (int i = 0; i < 2000; i++) {
    char name[16];
    snprintf(name, sizeof name, "%d", i);
    put_text(&p, name);
    PUT(&p, "h\1");
  }
  PUT(&p, "u.");
  cr_expect_eq(open_program(&file, &p, &zip, &error), VC_FAILED);
  cr_expect(strstr(error.message, "exhaust memory"), "said \"%s\"", error.message);
  vc_test_zip_free(&zip);
}

// Two copies of a name are compared once, not as often as they are set: 10^5 times 4 MB.
Test(made_checkpoint, a_long_name_set_often_is_one_name, .timeout = 30) {
  enum { LENGTH = 4 << 20, TIMES = 100000 };
  static const unsigned char header[] = {'X', LENGTH & 255, LENGTH >> 8 & 255, LENGTH >> 16, 0};
  char *name = malloc(LENGTH + 1);
  memset(name, 'n', LENGTH);
  name[LENGTH] = 0;
  program p = {0};
  vc_test_zip zip;
  vc_tensor_file file;
  PUT(&p, "\x80\2}");
  for (int i = 0; i < 2; i++) {
    put(&p, header, sizeof header);
    put(&p, name, LENGTH);
  }
  PUT(&p, "q\2\x30q\0\x30");
  put_tensor(&p, &plain);
  PUT(&p, "q\1\x30(");
  for (int i = 0; i < TIMES; i++) put(&p, i % 2 ? "h\0h\1" : "h\2h\1", 4);
  PUT(&p, "u.");
  cr_assert_eq(open_program(&file, &p, &zip, NULL), VC_OK);
  cr_expect(file.count == 1 && !strcmp(file.tensor[0].name, name));
  vc_tensor_file_close(&file);
  vc_test_zip_free(&zip);
  free(name);
}
