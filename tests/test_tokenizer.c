// The CLIP tokenizer against the ids of the original, and against bad vocabularies and bad text.
#include <cjson/cJSON.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "loaders/text_clean.h"
#include "loaders/tokenizer.h"

#define VOCABULARY "third_party/clip/bpe_simple_vocab_16e6.txt.gz"
#define GOLDEN "tests/data/tokenizer.json"

static const unsigned time_limit = 120;  // seconds; each test runs in a process of its own

typedef struct bytes {
  char *data;  // with a NUL behind it that does not count
  size_t size;
} bytes;

static bytes read_file(const char *path) {
  FILE *file = fopen(path, "rb");
  cr_assert(file, "cannot open %s: run the tests in the repository root", path);
  bytes out = {calloc(1, (8 << 20) + 1), 0};
  out.size = fread(out.data, 1, 8 << 20, file);
  fclose(file);
  return out;
}

static vc_tokenizer *open_tokenizer(void) {
  bytes file = read_file(VOCABULARY);
  vc_tokenizer *tokenizer;
  vc_error error = {""};
  cr_assert_eq(vc_tokenizer_open(&tokenizer, file.data, file.size, &error), VC_OK, "%s", error.message);
  free(file.data);
  return tokenizer;
}

// ---------------------------------------------------------------- the original's ids

// One text holds U+0000, where a cJSON string would end: U+F8FF, which no text holds, stands in while it is parsed.
static cJSON *read_golden(void) {
  bytes file = read_file(GOLDEN);
  cr_assert_null(strstr(file.data, "\xef\xa3\xbf"));
  cr_assert_null(strstr(file.data, "\\uf8ff"));
  for (char *at = file.data; (at = strstr(at, "\\u0000"));) memcpy(at, "\\uf8ff", 6);
  cJSON *golden = cJSON_Parse(file.data);
  cr_assert(golden, "%s is not JSON", GOLDEN);
  free(file.data);
  return golden;
}

static size_t restore_zeros(char *text) {
  size_t kept = 0;
  for (size_t i = 0, length = strlen(text); i < length; i++) {
    bool zero = strncmp(text + i, "\xef\xa3\xbf", 3) == 0;
    text[kept++] = zero ? 0 : text[i];
    i += zero ? 2 : 0;
  }
  text[kept] = 0;
  return kept;
}

Test(tokenizer, ids_are_those_of_the_original) {
  vc_tokenizer *tokenizer = open_tokenizer();
  cJSON *golden = read_golden();
  const cJSON *entry;
  int texts = 0, simple = 0, zeros = 0, cut = 0;
  cJSON_ArrayForEach(entry, golden) {
    const cJSON *wanted = cJSON_GetObjectItem(entry, "ids_simple");
    simple += wanted != NULL;
    cr_assert_eq(wanted != NULL, cJSON_IsTrue(cJSON_GetObjectItem(entry, "needs_ftfy")));
    if (!wanted) wanted = cJSON_GetObjectItem(entry, "ids");
    char *text = cJSON_GetObjectItem(entry, "text")->valuestring;
    size_t length = restore_zeros(text);
    zeros += memchr(text, 0, length) != NULL;

    int32_t ids[VC_TOKEN_CONTEXT + 1];
    ids[VC_TOKEN_CONTEXT] = -7;
    bool truncated = false;
    vc_error error = {""};
    vc_status status = vc_tokenizer_encode(tokenizer, text, length, VC_TOKEN_CONTEXT, ids, &truncated, &error);
    cr_expect_eq(status, VC_OK, "text %d: %s", texts, error.message);
    const cJSON *id = wanted->child;
    for (int i = 0; i < VC_TOKEN_CONTEXT; i++, id = id ? id->next : NULL)
      cr_expect_eq(ids[i], id ? id->valueint : 0, "text %d \"%s\": place %d is %d", texts, text, i, ids[i]);
    cr_expect_null(id, "text %d: the golden has more than %d ids", texts, VC_TOKEN_CONTEXT);
    cr_expect_eq(ids[VC_TOKEN_CONTEXT], -7, "text %d: written past the end", texts);
    cut += truncated;
    texts++;
  }
  cr_expect_eq(texts, 417);
  cr_expect_eq(simple, 15);
  cr_expect_eq(zeros, 1);
  cr_expect_gt(cut, 0);
  cJSON_Delete(golden);
  vc_tokenizer_close(tokenizer);
}

Test(tokenizer, lists_are_cut_to_the_context) {
  static const struct {
    const char *text;
    int context;
    bool truncated;
    int32_t ids[6];
  } cases[] = {
      {"", 2, false, {49406, 49407}},
      {"", 5, false, {49406, 49407, 0, 0, 0}},
      {"a b c", 5, false, {49406, 320, 321, 322, 49407}},
      {"a b c", 6, false, {49406, 320, 321, 322, 49407, 0}},
      {"a b c", 4, true, {49406, 320, 321, 49407}},
      {"a b c", 3, true, {49406, 320, 49407}},
      {"a b c", 2, true, {49406, 49407}},
      {"supercalifragilistic", 3, true, {49406, 1642, 49407}},
      {"x<END_OF_TEXT>y", 6, false, {49406, 343, 49407, 344, 49407, 0}},
  };
  vc_tokenizer *tokenizer = open_tokenizer();
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    int32_t ids[7] = {-1, -1, -1, -1, -1, -1, -1};
    bool truncated = !cases[i].truncated;
    size_t length = strlen(cases[i].text);
    cr_assert_eq(vc_tokenizer_encode(tokenizer, cases[i].text, length, cases[i].context, ids, &truncated, NULL), VC_OK);
    cr_expect_eq(truncated, cases[i].truncated, "case %zu", i);
    for (int k = 0; k < cases[i].context; k++)
      cr_expect_eq(ids[k], cases[i].ids[k], "case %zu: place %d is %d", i, k, ids[k]);
    cr_expect_eq(ids[cases[i].context], -1, "case %zu: written past the end", i);
    cr_expect_eq(vc_tokenizer_encode(tokenizer, cases[i].text, length, cases[i].context, ids, NULL, NULL), VC_OK);
  }
  int32_t ids[2];
  vc_error error;
  cr_expect_eq(vc_tokenizer_encode(tokenizer, "a", 1, 1, ids, NULL, &error), VC_INVALID);
  cr_expect_eq(vc_tokenizer_encode(tokenizer, "a", 1, -5, ids, NULL, &error), VC_INVALID);
  cr_expect_eq(vc_tokenizer_encode(tokenizer, NULL, 0, 2, ids, NULL, &error), VC_OK);
  cr_expect_eq(ids[1], VC_TOKEN_END);
  vc_tokenizer_close(tokenizer);
}

// The counts are the original's for the same pattern; merging in quadratic time would hit the time limit.
Test(tokenizer, long_texts_are_encoded_whole) {
  alarm(time_limit);
  static const struct {
    const char *piece;
    size_t repeats, count;
  } cases[] = {{"x", 10000, 2502},
               {"x", 1000000, 250002},
               {"word ", 75, 77},
               {"word ", 200000, 200002},
               {"\xe6\x97\xa5", 200000, 200002},
               {"\xcc\x81\xcc\xa3", 200000, 800002},  // combining marks to be put in order
               {"1", 100000, 100002}};
  vc_tokenizer *tokenizer = open_tokenizer();
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    size_t length = strlen(cases[i].piece), count = 0;
    char *text = malloc(length * cases[i].repeats);
    for (size_t k = 0; k < cases[i].repeats; k++) memcpy(text + k * length, cases[i].piece, length);
    int32_t *all = NULL, ids[VC_TOKEN_CONTEXT];
    bool truncated = false;
    cr_assert_eq(vc_tokenizer_encode_all(tokenizer, text, length * cases[i].repeats, &all, &count, NULL), VC_OK);
    cr_expect_eq(count, cases[i].count, "case %zu: %zu ids", i, count);
    cr_assert_eq(vc_tokenizer_encode(tokenizer, text, length * cases[i].repeats, 77, ids, &truncated, NULL), VC_OK);
    cr_expect_eq(truncated, count > 77, "case %zu", i);
    for (size_t k = 0; k < 76 && k < count; k++) cr_expect_eq(ids[k], all[k], "case %zu: place %zu", i, k);
    cr_expect_eq(ids[76], VC_TOKEN_END, "case %zu", i);
    cr_expect_eq(all[count - 1], VC_TOKEN_END, "case %zu", i);
    free(all);
    free(text);
  }
  vc_tokenizer_close(tokenizer);
}

Test(tokenizer, invalid_text_is_refused) {
  static const struct {
    const char *text;
    size_t length;
    const char *says;  // a part of the message
  } cases[] = {
      {"\x80", 1, "offset 0 "},                      // continuation without a start
      {"ab\xbfz", 4, "offset 2 "},                   //
      {"\xc0\x80", 2, "offset 0 "},                  // overlong U+0000
      {"\xc1\xbf", 2, "offset 0 "},                  // overlong U+007F
      {"\xe0\x9f\xbf", 3, "offset 0 "},              // overlong U+07FF
      {"\xf0\x8f\xbf\xbf", 4, "offset 0 "},          // overlong U+FFFF
      {"x\xed\xa0\x80", 4, "offset 1 "},             // first surrogate
      {"x\xed\xbf\xbf", 4, "offset 1 "},             // last surrogate
      {"\xf4\x90\x80\x80", 4, "offset 0 "},          // U+110000
      {"\xf5\x80\x80\x80", 4, "offset 0 "},          // starts beyond
      {"\xf8\x88\x80\x80\x80", 5, "offset 0 "},      // five bytes
      {"\xfc\x84\x80\x80\x80\x80", 6, "offset 0 "},  // six bytes
      {"\xfe", 1, "offset 0 "},                      //
      {"a photo \xff", 9, "offset 8 (byte 0xff)"},   //
      {"ab\xc3", 3, "offset 2 "},                    // cut after one of two
      {"ab\xe6\x97", 4, "offset 2 "},                // two of three
      {"ab\xf0\x9f\x99", 5, "offset 2 "},            // three of four
      {"\xc3(", 2, "offset 0 "},                     // start without its continuation
      {"\xe6\x97(", 3, "offset 0 "},                 //
      {"\xf0\x9f(\x82", 4, "offset 0 "},             //
      {"\xe6\x97\xa5\0\xe9t\xe9", 7, "offset 4 "},   // Latin-1 behind a U+0000
      {"", VC_TEXT_MAX_BYTES + 1, "is too long"},    // refused before it is read
      {"", SIZE_MAX, "is too long"},
  };
  vc_tokenizer *tokenizer = open_tokenizer();
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    int32_t ids[VC_TOKEN_CONTEXT] = {-1}, *all = ids;
    size_t count = 9;
    vc_error error = {""};
    cr_expect_eq(vc_tokenizer_encode(tokenizer, cases[i].text, cases[i].length, 77, ids, NULL, &error), VC_INVALID);
    cr_expect_eq(strncmp(error.message, "prompt: ", 8), 0, "case %zu says %s", i, error.message);
    cr_expect(strstr(error.message, cases[i].says), "case %zu says %s", i, error.message);
    cr_expect_eq(ids[0], -1, "case %zu", i);
    cr_expect_eq(vc_tokenizer_encode_all(tokenizer, cases[i].text, cases[i].length, &all, &count, NULL), VC_INVALID);
    cr_expect_null(all);
    cr_expect_eq(count, 0);
  }
  vc_tokenizer_close(tokenizer);
}

// ---------------------------------------------------------------- bad vocabularies

static void expect_refused(const void *gzip, size_t size, const char *says, const char *name) {
  vc_tokenizer *tokenizer = (vc_tokenizer *)&size;
  vc_error error = {""};
  cr_expect_eq(vc_tokenizer_open(&tokenizer, gzip, size, &error), VC_FAILED, "%s was taken", name);
  cr_expect_null(tokenizer, "%s", name);
  cr_expect_eq(strncmp(error.message, "CLIP vocabulary: ", 17), 0, "%s says %s", name, error.message);
  cr_expect(strstr(error.message, says), "%s says %s", name, error.message);
}

static bytes pack(const char *text, size_t size) {
  z_stream stream = {.next_in = (Bytef *)text, .avail_in = (uInt)size};
  cr_assert_eq(deflateInit2(&stream, 1, Z_DEFLATED, 15 + 16, 9, Z_DEFAULT_STRATEGY), Z_OK);
  bytes out = {malloc(size + 1024), 0};
  stream.next_out = (Bytef *)out.data;
  stream.avail_out = (uInt)(size + 1024);
  cr_assert_eq(deflate(&stream, Z_FINISH), Z_STREAM_END);
  out.size = stream.total_out;
  deflateEnd(&stream);
  return out;
}

static bytes unpack(bytes file) {
  bytes out = {malloc(8 << 20), 0};
  z_stream stream = {
      .next_in = (Bytef *)file.data, .avail_in = (uInt)file.size, .next_out = (Bytef *)out.data, .avail_out = 8 << 20};
  cr_assert_eq(inflateInit2(&stream, 15 + 16), Z_OK);
  cr_assert_eq(inflate(&stream, Z_FINISH), Z_STREAM_END);
  out.size = stream.total_out;
  inflateEnd(&stream);
  return out;
}

Test(tokenizer, damaged_files_are_refused) {
  bytes file = read_file(VOCABULARY);
  expect_refused("", 0, "cut short", "nothing");
  expect_refused("\"bpe\"\ni n\n", 11, "byte offset", "plain text");
  expect_refused("PK\3\4", 4, "byte offset", "a zip file");
  for (size_t size = 1; size < file.size; size += size < 32 ? 1 : file.size / 23) {
    char *exact = malloc(size);  // so that the sanitizer sees a read past the end
    memcpy(exact, file.data, size);
    expect_refused(exact, size, "cut short", "a cut file");
    free(exact);
  }
  expect_refused(file.data, file.size - 1, "cut short", "a file without its last byte");
  for (size_t at = 20; at < file.size; at += file.size / 29) {
    file.data[at] ^= 0x10;
    expect_refused(file.data, file.size, "", "a file with a flipped bit");
    file.data[at] ^= 0x10;
  }
  file.data[file.size - 6] ^= 1;  // in the check sum
  expect_refused(file.data, file.size, "incorrect data check", "a file with a wrong sum");
  file.data[file.size - 6] ^= 1;
  expect_refused(file.data, file.size + 1, "1 bytes follow the gzip data at byte offset 1356917",
                 "a file with a byte behind it");
  free(file.data);
}

Test(tokenizer, huge_files_are_refused) {
  size_t size = (size_t)65 << 20;
  char *zeros = calloc(1, size);
  bytes bomb = pack(zeros, size);
  expect_refused(bomb.data, bomb.size, "unpacks to too much", "a bomb");
  expect_refused(zeros, size, "are too many", "a huge file");
  free(zeros);
  free(bomb.data);
}

// Every case replaces line `line` (1 is the comment) of the real merges, or ends the file there.
Test(tokenizer, wrong_merges_are_refused) {
  static const struct {
    int line;
    const char *text, *says;
  } cases[] = {
      {1, NULL, "holds 0 merges, 48894 are needed"},
      {2, NULL, "holds 0 merges, 48894 are needed"},
      {48895, NULL, "holds 48893 merges, 48894 are needed"},
      {2, "", "line 2 "},
      {2, "i", "line 2 "},
      {2, "i ", "line 2 "},
      {2, " n", "line 2 "},
      {2, "i  n", "line 2 "},
      {2, "i n n", "line 2 "},
      {2, "in g", "line 2 of the merges uses a symbol that no line before makes"},
      {2, "i n</w", "line 2 of the merges uses a symbol"},
      {2, "i \xff", "line 2 of the merges uses a symbol"},
      {3, "i n", "line 3 of the merges makes a symbol again"},
      {48895, "i n", "line 48895 of the merges makes a symbol again"},
      {48895, "jeky", "line 48895 of the merges is not two symbols"},
  };
  bytes file = read_file(VOCABULARY), text = unpack(file);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    const char *line = text.data;
    for (int k = 1; k < cases[i].line; k++) line = strchr(line, '\n') + 1;
    bytes changed = {malloc(text.size + 64), (size_t)(line - text.data)};
    memcpy(changed.data, text.data, changed.size);
    if (cases[i].text) {
      const char *rest = strchr(line, '\n');
      changed.size += (size_t)sprintf(changed.data + changed.size, "%s", cases[i].text);
      memcpy(changed.data + changed.size, rest, text.size - (size_t)(rest - text.data));
      changed.size += text.size - (size_t)(rest - text.data);
    }
    bytes packed = pack(changed.data, changed.size);
    expect_refused(packed.data, packed.size, cases[i].says, cases[i].text ? cases[i].text : "an end");
    free(packed.data);
    free(changed.data);
  }
  free(text.data);
  free(file.data);
}

// What follows the last merge does not count, nor a line end behind it.
Test(tokenizer, the_last_merge_may_end_the_file) {
  bytes file = read_file(VOCABULARY), text = unpack(file);
  const char *end = text.data;
  for (int k = 0; k < 48895; k++) end = strchr(end, '\n') + 1;
  for (size_t drop = 0; drop < 2; drop++) {
    bytes packed = pack(text.data, (size_t)(end - text.data) - drop);
    vc_tokenizer *tokenizer = NULL;
    vc_error error = {""};
    cr_expect_eq(vc_tokenizer_open(&tokenizer, packed.data, packed.size, &error), VC_OK, "%s", error.message);
    int32_t ids[3] = {0};
    cr_expect_eq(vc_tokenizer_encode(tokenizer, "Jekyll", 6, 3, ids, NULL, &error), VC_OK);
    cr_expect_eq(ids[1], 49405, "%d", ids[1]);
    vc_tokenizer_close(tokenizer);
    free(packed.data);
  }
  free(text.data);
  free(file.data);
}
