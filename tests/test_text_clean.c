// Cleaning of prompts: each step's rules and their edges.
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <utf8proc.h>

#include "loaders/text_clean.h"

static const unsigned time_limit = 120;  // seconds; each test runs in a process of its own

static char *to_utf8(const vc_code_points *text) {
  char *out = calloc(text->count + 1, 4);
  size_t size = 0;
  for (size_t i = 0; i < text->count; i++)
    size += (size_t)utf8proc_encode_char(text->data[i], (utf8proc_uint8_t *)out + size);
  return out;
}

#define TEXT(literal) literal, sizeof literal - 1

// The wanted texts are what the original's cleaning gives (none of them holds U+0000).
Test(text_clean, texts_come_out_as_in_the_original) {
  static const struct {
    const char *text;
    size_t length;
    const char *wanted;
  } cases[] = {
      // white space and case
      {TEXT("  A\t\tSwan \r\n on\u3000Water\u00a0 "), "a swan on water"},
      {TEXT("\u2003\u2028"), ""},
      {TEXT("a\u200bB"), "a\u200bb"},
      {TEXT("\u1e9e \u0130I \u2126 \u01c5"), "\u00df i\u0307i \u03c9 d\u017e"},
      {TEXT("a\013b\014c"), "ab c"},
      // final sigma
      {TEXT("\u039f\u0394\u03a5\u03a3\u03a3\u0395\u03a5\u03a3"), "\u03bf\u03b4\u03c5\u03c3\u03c3\u03b5\u03c5\u03c2"},
      {TEXT("\u03a3"), "\u03c3"},
      {TEXT("A\u03a3"), "a\u03c2"},
      {TEXT("A\u03a3B"), "a\u03c3b"},
      {TEXT("A.\u03a3'"), "a.\u03c2'"},
      {TEXT("A\u00ad\u03a3\u0301 B"), "a\u00ad\u03c2\u0301 b"},
      {TEXT(".\u03a3."), ".\u03c3."},
      {TEXT("\u24b6\u03a3"), "\u24d0\u03c2"},
      {TEXT("\u00aa\u03a3"), "\u00aa\u03c2"},
      {TEXT("\u2160\u03a3\u2170"), "\u2170\u03c3\u2170"},
      {TEXT("1\u03a3"), "1\u03c3"},
      {TEXT("A\u03a3:B"), "a\u03c3:b"},
      {TEXT("A\u03a3\u02b0"), "a\u03c2\u02b0"},
      // references, resolved by the repair until nothing changes
      {TEXT("&amp;amp;amp;amp;lt;b&gt;"), "<b>"},
      {TEXT("&EACUTE;&Eacute;&SZLIG;&FFILIG;&NAPOS;x"), "\u00e9\u00e9ssffi'nx"},
      {TEXT("&#38;#38;#38;#233;"), "\u00e9"},
      {TEXT("&#59;&#x3b;"), ";;"},
      {TEXT("&lt&#59;"), "<;"},
      {TEXT("&am&#112;;#65;"), "a"},
      {TEXT("e&#769;"), "\u00e9"},
      {TEXT("&lt\u0338;&lt;\u0338"), "<\u0338;\u226e"},
      // references, resolved twice by the browsers' rules
      {TEXT("<&amp;amp;lt;"), "<&lt;"},
      {TEXT("<&amp;amp;amp;lt;"), "<&amp;lt;"},
      {TEXT("<&notit; &notin; &notinx &copy2023 &ampamp;"), "<\u00acit; \u2209 \u00acinx \u00a92023 &"},
      {TEXT("<&EACUTE;"), "<&eacute;"},
      {TEXT("<&frac12x&Aacutes&frac1"), "<\u00bdx\u00e1s&frac1"},
      {TEXT("<&#x41&#66c&#67;"), "<abcc"},
      {TEXT("<&#;&#x;&#xg;&;& &a;&\u00e9;&gt\u00e9"), "<&#;&#x;&#xg;&;& &a;&\u00e9;>\u00e9"},
      {TEXT("<&CounterClockwiseContourIntegral;&acE;"), "<\u2233\u223e\u0333"},
      {TEXT("a\n&EACUTE;<\n&EACUTE;\n&lt;"), "a &eacute;< &eacute; <"},
      {TEXT("<&aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa&amp;"), "<&aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa&"},
      {TEXT("<&gtaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"), "<>aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"},
      // numbers out of the ordinary
      {TEXT("<&#0;&#x110000;&#xd800;&#99999999999999999999;"), "<\ufffd\ufffd\ufffd\ufffd"},
      {TEXT("<a&#1;b&#xb;c&#127;d&#xfdd0;e&#x1ffff;f"), "<abcdef"},
      {TEXT("<&#128;&#x81;&#x9f;"), "<\u20ac\302\201\u00ff"},
      {TEXT("&#0;&#x110000;&#xDFFF;"), "\ufffd\ufffd\ufffd"},
      {TEXT("a&#13;&#10;b&#xc;c"), "a b c"},
      {TEXT("&#000000000000000000065313;"), "a"},
      {TEXT("&#0000000000000000000065313;"), "\uff41"},
      // plain forms
      {TEXT("\u201cit\u2019s\u201d \u201b\u02bc\u201e"), "\"it's\" ''\""},
      {TEXT("\uff21\uff42\uff01\uff3b \uff76\uff9e \uffe3 \uffa1 \uffe6"), "ab![ \u30ac \u0304 \u1100 \u20a9"},
      {TEXT("\u0132\u0133\u0149\u01c4\u01c8\u01cc\u01f2\ufb00\ufb03\ufb05\ufb06"), "ijij'nd\u017eljnjdzffffi\u017ftst"},
      {TEXT("\302\200\302\223x\302\224\302\205\302\237\302\201"), "\u20ac\"x\"\u2026\u00ff\302\201"},
      {TEXT("\uff06amp;"), "&"},
      // control characters and terminal escapes
      {TEXT("a\000b\007c\177d"), "abcd"},
      {TEXT("\033[31mred\033[0;1m!\033["), "red!["},
      {TEXT("\033A \033[12\033[m"), "a [12"},
      {TEXT("\033\uff3b0mx"), "x"},
      {TEXT("\033[&#48;mx"), "x"},
      {TEXT("\ufeffa\u206ab\ufffbc\ufffdd"), "abc\ufffdd"},
      {TEXT("\r\033[0m\n"), ""},
      // canonical composition
      {TEXT("cafe\u0301"), "caf\u00e9"},
      {TEXT("a\u0308\u0304 \u0344"), "\u01df \u0308\u0301"},
      {TEXT("o\u0302\u0323"), "\u1ed9"},
      {TEXT("\u212b\u1fef\u037e"), "\u00e5`;"},
      {TEXT("\u1112\u1161\u11ab\u1100\u1161\u11a8"), "\ud55c\uac01"},
      {TEXT("\ufb1d\u0958\u2adc"), "\u05d9\u05b4\u0915\u093c\u2add\u0338"},
      {TEXT("q\u0307\u0323\u0345\u0301\u0323"), "q\u0323\u0323\u0307\u0301\u0345"},
      {TEXT("\U0001d15e"), "\U0001d157\U0001d165"},
      {TEXT("\u0f71\u0f80\u0f72"), "\u0f71\u0f80\u0f72"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    vc_code_points out = {0};
    vc_error error = {""};
    char *exact = malloc(cases[i].length);  // without a NUL, so that the sanitizer sees a read past the end
    memcpy(exact, cases[i].text, cases[i].length);
    cr_assert_eq(vc_text_clean(&out, exact, cases[i].length, &error), VC_OK, "%s", error.message);
    char *got = to_utf8(&out);
    cr_expect_str_eq(got, cases[i].wanted, "case %zu \"%s\": got \"%s\", not \"%s\"", i, cases[i].text, got,
                     cases[i].wanted);
    free(got);
    free(exact);
    vc_code_points_free(&out);
  }
}

static char *nested(size_t levels) {
  char *text = malloc(4 * levels + 2);
  text[0] = '&';
  for (size_t i = 0; i < levels; i++) memcpy(text + 1 + 4 * i, "amp;", 4);
  text[4 * levels + 1] = 0;
  return text;
}

Test(text_clean, deep_nesting_is_resolved_or_refused) {
  alarm(time_limit);
  vc_code_points out = {0};
  vc_error error = {""};
  char *text = nested(2500);
  cr_expect_eq(vc_text_clean(&out, text, 10001, &error), VC_OK, "%s", error.message);
  cr_assert_eq(out.count, 1);
  cr_expect_eq(out.data[0], '&');
  free(text);

  text = nested(500000);
  cr_expect_eq(vc_text_clean(&out, text, 2000001, &error), VC_INVALID);
  cr_expect(strstr(error.message, "nested too deeply"), "%s", error.message);
  free(text);
  vc_code_points_free(&out);
}

// Rounds are limited by what they cost, not by their number: a long text with little nesting passes.
Test(text_clean, long_texts_with_references_pass) {
  alarm(time_limit);
  size_t repeats = 400000;
  char *text = malloc(9 * repeats);
  for (size_t i = 0; i < repeats; i++) memcpy(text + 9 * i, "&amp;amp;", 9);
  vc_code_points out = {0};
  vc_error error = {""};
  cr_expect_eq(vc_text_clean(&out, text, 9 * repeats, &error), VC_OK, "%s", error.message);
  cr_expect_eq(out.count, repeats);
  free(text);
  vc_code_points_free(&out);
}

// Marks of all classes in falling order, a million of them: sorting by exchanging neighbours would hit the time limit.
Test(text_clean, marks_are_ordered_in_linear_time) {
  alarm(time_limit);
  vc_code_points text = {0}, scratch = {0};
  vc_code_points_add(&text, 'q');
  for (int i = 0; i < 500000; i++) vc_code_points_add(&text, 0x301);
  for (int i = 0; i < 500000; i++) vc_code_points_add(&text, 0x323);
  vc_code_points_compose(&text, &scratch);
  cr_assert_eq(vc_code_points_check(&text, NULL), VC_OK);
  cr_assert_eq(text.count, 1000001);
  cr_expect_eq(text.data[1], 0x323);
  cr_expect_eq(text.data[500000], 0x323);
  cr_expect_eq(text.data[500001], 0x301);
  cr_expect_eq(text.data[1000000], 0x301);
  vc_code_points_free(&text);
  vc_code_points_free(&scratch);
}

Test(text_clean, a_failed_text_stays_failed) {
  vc_code_points text = {.failed = true};
  vc_error error = {""};
  vc_code_points_add(&text, 'a');
  vc_code_points_append(&text, (int32_t[]){'b', 'c'}, 2);
  cr_expect_eq(text.count, 0);
  cr_expect_eq(vc_code_points_check(&text, &error), VC_NO_MEMORY);
  cr_expect(strstr(error.message, "out of memory"), "%s", error.message);
  vc_code_points_free(&text);
  cr_expect_eq(vc_code_points_check(&text, &error), VC_OK);
}
