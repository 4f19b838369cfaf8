// The pickle reader: every opcode that it knows, and programs that are wrong or hostile.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "loaders/pickle.h"

static const vc_pickle_name calls[] = {{"known", "call"}, {NULL, NULL}};

// Writes a value as text into out: enough to compare whole results in a table.
static void show(const vc_pickle_value *value, char *out, size_t size, int depth) {
  static const char *const brackets[] = {
      [VC_PICKLE_TUPLE] = "()",  [VC_PICKLE_LIST] = "[]", [VC_PICKLE_SET] = "<>",       [VC_PICKLE_DICT] = "{}",
      [VC_PICKLE_GLOBAL] = "g(", [VC_PICKLE_CALL] = "c(", [VC_PICKLE_PERSISTENT] = "p("};
  size_t at = strlen(out);
  if (depth > 6) {
    snprintf(out + at, size - at, "...");
    return;
  }
  switch (value->kind) {
    case VC_PICKLE_NONE:
      snprintf(out + at, size - at, "None");
      break;
    case VC_PICKLE_BOOL:
      snprintf(out + at, size - at, value->integer ? "True" : "False");
      break;
    case VC_PICKLE_INT:
      snprintf(out + at, size - at, "%lld", (long long)value->integer);
      break;
    case VC_PICKLE_FLOAT:
      snprintf(out + at, size - at, "%g", value->number);
      break;
    case VC_PICKLE_LONG:
      snprintf(out + at, size - at, "long%u", value->count);
      break;
    case VC_PICKLE_TEXT:
      snprintf(out + at, size - at, "'%.*s'", (int)value->count, value->text);
      break;
    case VC_PICKLE_BYTES:
      snprintf(out + at, size - at, "b'%.*s'", (int)value->count, value->text);
      break;
    default: {
      const char *bracket = brackets[value->kind];
      snprintf(out + at, size - at, "%.*s", bracket[1] == '(' ? 2 : 1, bracket);
      for (uint32_t i = 0; i < value->count; i++) {
        at = strlen(out);
        if (i) snprintf(out + at, size - at, ",");
        show(value->item[i], out, size, depth + 1);
      }
      at = strlen(out);
      snprintf(out + at, size - at, "%c", bracket[1] == '(' ? ')' : bracket[1]);
    }
  }
}

#define PICKLE(text) text, sizeof text - 1

static const struct {
  const char *what, *bytes;
  size_t size;
  const char *expected;
} good[] = {
    {"none", PICKLE("\x80\2N."), "None"},
    {"booleans", PICKLE("\x80\2\x88\x89\x86."), "(True,False)"},
    {"integers", PICKLE("\x80\2(J\xff\xff\xff\xffK\xffM\xff\xffJ\0\0\0\x80t."), "(-1,255,65535,-2147483648)"},
    {"longs", PICKLE("\x80\2(\x8a\0\x8a\1\xff\x8a\2\xff\0\x8a\x08\0\0\0\0\0\0\0\x80\x8b\5\0\0\0\0\0\0\0\1t."),
     "(0,-1,255,-9223372036854775808,4294967296)"},
    {"a longer long", PICKLE("\x80\2\x8a\x09\0\0\0\0\0\0\0\x80\0."), "long9"},
    {"float", PICKLE("\x80\2G\x3f\xf8\0\0\0\0\0\0."), "1.5"},
    {"texts", PICKLE("\x80\4(U\1aT\1\0\0\0bX\1\0\0\0c\x8c\1d\x8d\1\0\0\0\0\0\0\0et."), "('a','b','c','d','e')"},
    {"bytes", PICKLE("\x80\5(C\1aB\1\0\0\0b\x8e\1\0\0\0\0\0\0\0c\x96\1\0\0\0\0\0\0\0dt."), "(b'a',b'b',b'c',b'd')"},
    {"tuples", PICKLE("\x80\2(K\1)K\1\x85K\1K\2\x86K\1K\2K\3\x87t."), "(1,(),(1),(1,2),(1,2,3))"},
    {"lists", PICKLE("\x80\2(]]K\1a](K\1K\2e(K\1lt."), "([],[1],[1,2],[1])"},
    {"dictionaries", PICKLE("\x80\2(}}K\1K\2s}(K\1K\2K\3K\4u(K\1K\2dt."), "({},{1,2},{1,2,3,4},{1,2})"},
    {"sets", PICKLE("\x80\4\x8f(K\1K\2\x90(K\3\x91\x86."), "(<1,2>,<3>)"},
    {"memo", PICKLE("\x80\2(K\7q\0K\x08r\1\0\0\0h\1j\0\0\0\0t."), "(7,8,8,7)"},
    {"memoize", PICKLE("\x80\4(K\7\x94K\x08\x94h\0h\1t."), "(7,8,7,8)"},
    {"stack",
     PICKLE("\x80\2K\1K\x02"
            "02\x86."),
     "(1,1)"},
    {"marks",
     PICKLE("\x80\2K\1(K\2K\x03"
            "1(0."),
     "1"},
    {"frame", PICKLE("\x80\4\x95\2\0\0\0\0\0\0\0N."), "None"},
    {"class", PICKLE("\x80\2cposix\nsystem\n."), "g('posix','system')"},
    {"class from the stack", PICKLE("\x80\4\x8c\1a\x8c\1b\x93."), "g('a','b')"},
    {"call", PICKLE("\x80\2cknown\ncall\nK\1\x85R."), "c(g('known','call'),(1))"},
    {"new object", PICKLE("\x80\2cknown\ncall\n)\x81."), "c(g('known','call'),())"},
    {"new object with keywords", PICKLE("\x80\4cknown\ncall\n)}\x92."), "c(g('known','call'),())"},
    {"call with state", PICKLE("\x80\2cknown\ncall\n)RK\1b."), "c(g('known','call'),())"},
    {"ordered", PICKLE("\x80\2ccollections\nOrderedDict\n)R(K\1K\2u}b."), "{1,2}"},
    {"ordered from pairs", PICKLE("\x80\2ccollections\nOrderedDict\n](](K\1K\2e](K\3K\4ee\x85R."), "{1,2,3,4}"},
    {"default", PICKLE("\x80\2ccollections\ndefaultdict\nc__builtin__\nint\n\x85RK\1K\2s."), "{1,2}"},
    {"persistent", PICKLE("\x80\2U\1aQ."), "p('a')"},
    {"itself", PICKLE("\x80\2]q\0h\0a."), "[[[[[[[...]]]]]]]"},
};

Test(pickle, programs_give_their_values) {
  for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
    vc_pickle in;
    vc_error error = {{0}};
    char text[512] = "";
    cr_assert_eq(vc_pickle_read(&in, "x", good[i].bytes, good[i].size, calls, &error), VC_OK, "%s: %s", good[i].what,
                 error.message);
    show(in.root, text, sizeof text, 0);
    cr_expect_str_eq(text, good[i].expected, "%s gave %s", good[i].what, text);
    cr_expect_eq(in.used, good[i].size, "%s took %zu bytes", good[i].what, in.used);
    vc_pickle_close(&in);
  }
}

Test(pickle, only_the_first_is_read) {
  static const char bytes[] = "\x80\2N.\x80\2K\1.";
  vc_pickle in;
  cr_assert_eq(vc_pickle_read(&in, "x", bytes, sizeof bytes - 1, calls, NULL), VC_OK);
  cr_expect_eq(in.used, 4);
  vc_pickle_close(&in);
}

Test(pickle, persistent_ids_are_listed_in_order) {
  static const char bytes[] = "\x80\2U\1aQU\1bQ0.";
  vc_pickle in;
  cr_assert_eq(vc_pickle_read(&in, "x", bytes, sizeof bytes - 1, calls, NULL), VC_OK);
  cr_assert_eq(in.persistent_count, 2);
  cr_expect(vc_pickle_is_text(in.persistent[0]->item[0], "a") && vc_pickle_is_text(in.persistent[1]->item[0], "b"));
  vc_pickle_close(&in);
}

Test(pickle, the_last_of_equal_keys_counts) {
  static const char bytes[] = "\x80\2}(U\1aK\1U\1aK\2K\1K\3u.";
  vc_pickle in;
  cr_assert_eq(vc_pickle_read(&in, "x", bytes, sizeof bytes - 1, calls, NULL), VC_OK);
  cr_assert_not_null(vc_pickle_get(in.root, "a"));
  cr_expect_eq(vc_pickle_get(in.root, "a")->integer, 2);
  cr_expect_null(vc_pickle_get(in.root, "b"));
  cr_expect_null(vc_pickle_get(in.root, ""));
  vc_pickle_close(&in);
}

static const struct {
  const char *what, *bytes;
  size_t size;
  const char *message;
} bad[] = {
    {"nothing", PICKLE(""), "does not begin"},
    {"protocol 0", PICKLE("N."), "does not begin"},
    {"protocol 1", PICKLE("\x80\1N."), "protocol 1"},
    {"protocol 6", PICKLE("\x80\6N."), "protocol 6"},
    {"no end", PICKLE("\x80\2N"), "cut short"},
    {"nothing on the stack", PICKLE("\x80\2."), "takes more"},
    {"two values", PICKLE("\x80\2NN."), "more than one"},
    {"a mark left", PICKLE("\x80\2N(."), "takes more"},
    {"mark below the value", PICKLE("\x80\2(N."), "more than one"},
    {"no mark", PICKLE("\x80\2Nt."), "mark"},
    {"below the mark", PICKLE("\x80\2K\1(\x85."), "takes more"},
    {"container below the mark", PICKLE("\x80\2](K\1a."), "takes more"},
    {"pop of nothing",
     PICKLE("\x80\2"
            "0."),
     "takes more"},
    {"dup of nothing",
     PICKLE("\x80\2"
            "2."),
     "takes more"},
    {"append to a tuple", PICKLE("\x80\2)K\1a."), "no list"},
    {"append to a shared tuple", PICKLE("\x80\2)(K\1e."), "no list"},
    {"item of a list", PICKLE("\x80\2]K\1K\2s."), "no dict"},
    {"key without value", PICKLE("\x80\2}(K\1u."), "without a value"},
    {"made with a key without value", PICKLE("\x80\2(K\1d."), "without a value"},
    {"set items of a list", PICKLE("\x80\4](K\1\x90."), "no set"},
    {"memo not stored", PICKLE("\x80\2h\0."), "never stored"},
    {"memo gap", PICKLE("\x80\2Nq\4h\2."), "never stored"},
    {"huge memo index", PICKLE("\x80\2Nr\xff\xff\xff\xff."), "too large"},
    {"put of nothing", PICKLE("\x80\2q\0."), "takes more"},
    {"text cut short", PICKLE("\x80\2X\5\0\0\0abcd"), "cut short"},
    {"text of 4 GB", PICKLE("\x80\2X\xff\xff\xff\xff."), "cut short"},
    {"text of 2^64", PICKLE("\x80\2\x8d\xff\xff\xff\xff\xff\xff\xff\xff."), "cut short"},
    {"bytes of 2^63", PICKLE("\x80\2\x8e\0\0\0\0\0\0\0\x80."), "cut short"},
    {"long of 2 GB", PICKLE("\x80\2\x8b\xff\xff\xff\x7f."), "cut short"},
    {"frame beyond the end", PICKLE("\x80\4\x95\x7f\0\0\0\0\0\0\0N."), "cut short"},
    {"class without end", PICKLE("\x80\2cposix\nsystem"), "cut short"},
    {"class of a number", PICKLE("\x80\4K\1K\2\x93."), "no text"},
    {"call of a stranger", PICKLE("\x80\2cposix\nsystem\nU\2ls\x85R."), "posix.system"},
    {"call of a stranger with a like name", PICKLE("\x80\2cknown\ncaller\n)R."), "known.caller"},
    {"new object of a stranger", PICKLE("\x80\2cos\npopen\n)\x81."), "os.popen"},
    {"keywords and a stranger", PICKLE("\x80\4cos\npopen\n)}\x92."), "os.popen"},
    {"call of a text", PICKLE("\x80\2U\1a)R."), "no function"},
    {"call of a call", PICKLE("\x80\2cknown\ncall\n)R)R."), "no function"},
    {"call with a list", PICKLE("\x80\2cknown\ncall\n]R."), "without arguments"},
    {"attributes of a class", PICKLE("\x80\2cknown\ncall\n}b."), "sets attributes"},
    {"attributes of a list", PICKLE("\x80\2]}b."), "sets attributes"},
    {"ordered from numbers", PICKLE("\x80\2ccollections\nOrderedDict\nK\1\x85R."), "list of pairs"},
    {"ordered from triples",
     PICKLE("\x80\2ccollections\nOrderedDict\n]K\1K\1K\1\x87"
            "a\x85R."),
     "list of pairs"},
    {"text opcodes", PICKLE("\x80\2I1\n."), "opcode 0x49"},
    {"instance", PICKLE("\x80\2(iposix\nsystem\n."), "opcode 0x69"},
    {"object", PICKLE("\x80\2(cposix\nsystem\no."), "opcode 0x6f"},
    {"extension", PICKLE("\x80\2\x82\1."), "opcode 0x82"},
    {"buffer", PICKLE("\x80\5\x97."), "opcode 0x97"},
};

Test(pickle, bad_programs_are_refused) {
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    vc_pickle in;
    vc_error error = {{0}};
    cr_expect_eq(vc_pickle_read(&in, "x.pth", bad[i].bytes, bad[i].size, calls, &error), VC_FAILED, "%s", bad[i].what);
    cr_expect(strstr(error.message, bad[i].message), "%s: said \"%s\"", bad[i].what, error.message);
    cr_expect(!strncmp(error.message, "x.pth: ", 7) && !in.root && !in.internal);
  }
}

Test(pickle, depth_costs_no_stack) {
  enum { DEPTH = 2000000 };
  char *bytes = malloc(DEPTH + 4);
  memcpy(bytes, "\x80\2)", 3);
  memset(bytes + 3, '\x85', DEPTH);
  bytes[DEPTH + 3] = '.';
  vc_pickle in;
  cr_assert_eq(vc_pickle_read(&in, "x", bytes, DEPTH + 4, calls, NULL), VC_OK);
  vc_pickle_close(&in);
  memset(bytes + 2, '(', DEPTH + 2);
  cr_expect_eq(vc_pickle_read(&in, "x", bytes, DEPTH + 4, calls, NULL), VC_FAILED);
  free(bytes);
}

Test(pickle, one_list_cannot_be_expanded_again_and_again) {
  // A list of 20000 references to one pair, and 20000 dictionaries made of it: 400 million entries from 150 KB.
  enum { COUNT = 20000 };
  static const char head[] = "\x80\2(ccollections\nOrderedDict\nq\0]q\1(K\1K\2\x86q\2";
  char *bytes = malloc(sizeof head + 10 * COUNT);
  size_t at = sizeof head - 1;
  memcpy(bytes, head, at);
  for (int i = 0; i < COUNT; i++, at += 2) memcpy(bytes + at, "h\2", 2);
  memcpy(bytes + at++, "e", 1);
  for (int i = 0; i < COUNT; i++, at += 6) memcpy(bytes + at, "h\0h\1\x85R", 6);
  memcpy(bytes + at, "t.", 2);
  vc_pickle in;
  vc_error error;
  cr_expect_eq(vc_pickle_read(&in, "x", bytes, at + 2, calls, &error), VC_FAILED);
  cr_expect(strstr(error.message, "again and again"), "said \"%s\"", error.message);
  free(bytes);
}

Test(pickle, too_large_ones_are_refused) {
  size_t size = VC_PICKLE_MAX + 100;
  char *bytes = malloc(size);
  memcpy(bytes, "\x80\2N", 3);
  for (size_t i = 3; i + 2 <= size; i += 2) memcpy(bytes + i, "N0", 2);
  vc_pickle in;
  cr_expect_eq(vc_pickle_read(&in, "x", bytes, size, calls, NULL), VC_FAILED);
  free(bytes);
}
