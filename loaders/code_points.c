#include "loaders/code_points.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

void vc_code_points_free(vc_code_points *text) {
  free(text->data);
  *text = (vc_code_points){0};
}

static bool reserve(vc_code_points *text, size_t more) {
  if (text->failed) return false;
  if (more <= text->capacity - text->count) return true;
  size_t capacity, bytes;
  text->failed = true;
  if (!vc_add_size(text->count, more, &capacity) || !vc_add_size(capacity, capacity / 2 + 64, &capacity) ||
      !vc_mul_size(capacity, sizeof *text->data, &bytes))
    return false;
  int32_t *data = realloc(text->data, bytes);
  if (!data) return false;
  *text = (vc_code_points){.data = data, .count = text->count, .capacity = capacity};
  return true;
}

void vc_code_points_add(vc_code_points *text, int32_t c) {
  if (text->count < text->capacity || reserve(text, 1)) text->data[text->count++] = c;
}

void vc_code_points_append(vc_code_points *text, const int32_t *data, size_t count) {
  if (count == 0 || !reserve(text, count)) return;
  memcpy(text->data + text->count, data, count * sizeof *data);
  text->count += count;
}

vc_status vc_code_points_check(const vc_code_points *text, vc_error *error) {
  if (!text->failed) return VC_OK;
  return vc_fail(error, VC_NO_MEMORY, "out of memory for a text of more than %zu characters", text->count);
}

vc_status vc_code_points_decode(vc_code_points *text, const char *utf8, size_t length, vc_error *error) {
  const utf8proc_uint8_t *bytes = (const utf8proc_uint8_t *)utf8;
  for (size_t at = 0; at < length;) {
    utf8proc_int32_t c;
    // A sequence has at most four bytes; the length is passed bounded because a negative one means "until NUL".
    utf8proc_ssize_t size = utf8proc_iterate(bytes + at, length - at < 4 ? (utf8proc_ssize_t)(length - at) : 4, &c);
    if (size <= 0)
      return vc_fail(error, VC_INVALID, "not valid UTF-8 at byte offset %zu (byte 0x%02x): save the text as UTF-8", at,
                     bytes[at]);
    vc_code_points_add(text, c);
    at += (size_t)size;
  }
  return vc_code_points_check(text, error);
}

static int combining_class(int32_t c) {
  return c < 0x300 ? 0 : utf8proc_get_property(c)->combining_class;
}

// Stable counting sort by combining class. utf8proc_decompose would do it too, but in quadratic time.
static void order_marks(int32_t *marks, size_t count, int32_t *sorted) {
  size_t start[257] = {0};
  for (size_t i = 0; i < count; i++) start[combining_class(marks[i]) + 1]++;
  for (int i = 0; i < 256; i++) start[i + 1] += start[i];
  for (size_t i = 0; i < count; i++) sorted[start[combining_class(marks[i])]++] = marks[i];
  memcpy(marks, sorted, count * sizeof *marks);
}

static void order_all_marks(vc_code_points *text, vc_code_points *scratch) {
  for (size_t i = 0; i < text->count;) {
    int last = combining_class(text->data[i]);
    size_t first = i++;
    if (last == 0) continue;
    bool sorted = true;
    for (int next; i < text->count && (next = combining_class(text->data[i])) != 0; i++) {
      sorted = sorted && last <= next;
      last = next;
    }
    if (sorted) continue;
    scratch->count = 0;
    if (!reserve(scratch, i - first)) return;
    order_marks(text->data + first, i - first, scratch->data);
  }
}

void vc_code_points_compose(vc_code_points *text, vc_code_points *scratch) {
  size_t plain = 0;  // nothing below U+0300 changes or combines with what lies below it
  while (plain < text->count && text->data[plain] < 0x300) plain++;
  if (plain == text->count || text->failed || scratch->failed) return;

  scratch->count = 0;
  for (size_t i = 0; i < text->count; i++) {
    utf8proc_int32_t parts[8];  // no canonical decomposition has more than four
    utf8proc_ssize_t n = 1;
    if (text->data[i] >= 0xc0) n = utf8proc_decompose_char(text->data[i], parts, 8, UTF8PROC_DECOMPOSE, NULL);
    if (text->data[i] < 0xc0 || n < 1 || n > 8)
      vc_code_points_add(scratch, text->data[i]);
    else
      vc_code_points_append(scratch, parts, (size_t)n);
  }
  order_all_marks(scratch, text);
  if (scratch->failed || text->failed) return;
  utf8proc_ssize_t count = utf8proc_normalize_utf32(scratch->data, (utf8proc_ssize_t)scratch->count,
                                                    (utf8proc_option_t)(UTF8PROC_COMPOSE | UTF8PROC_STABLE));
  if (count >= 0) scratch->count = (size_t)count;
  vc_code_points composed = *scratch;
  *scratch = *text;
  *text = composed;
}

static bool is_in(int32_t c, int32_t first, int32_t last) {
  return first <= c && c <= last;
}

// Case_Ignorable: some general categories, and the punctuation that may stand inside a word.
static bool is_case_ignorable(int32_t c) {
  switch (utf8proc_category(c)) {
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_SK:
      return true;
    default:
      break;
  }
  static const int32_t others[] = {'\'',   '.',    ':',    0xb7,   0x387,  0x55f,  0x5f4,  0x2018, 0x2019,
                                   0x2024, 0x2027, 0xfe13, 0xfe52, 0xfe55, 0xff07, 0xff0e, 0xff1a};
  for (size_t i = 0; i < sizeof others / sizeof *others; i++)
    if (c == others[i]) return true;
  return false;
}

// Cased, for a code point that is not Case_Ignorable.
static bool is_cased(int32_t c) {
  switch (utf8proc_category(c)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
      return true;
    default:  // ordinal indicators, Roman numerals, circled and squared letters
      return c == 0xaa || c == 0xba || is_in(c, 0x2160, 0x217f) || is_in(c, 0x24b6, 0x24e9) ||
             is_in(c, 0x1f130, 0x1f149) || is_in(c, 0x1f150, 0x1f169) || is_in(c, 0x1f170, 0x1f189);
  }
}

// The context Final_Sigma: a cased letter before and none behind, case-ignorable ones skipped. A sigma is not itself
// case-ignorable, so no stretch is walked more than twice.
static bool is_final_sigma(const vc_code_points *text, size_t at) {
  size_t before = at, behind = at + 1;
  while (before > 0 && is_case_ignorable(text->data[before - 1])) before--;
  if (before == 0 || !is_cased(text->data[before - 1])) return false;
  while (behind < text->count && is_case_ignorable(text->data[behind])) behind++;
  return behind == text->count || !is_cased(text->data[behind]);
}

void vc_code_points_lower(vc_code_points *out, const vc_code_points *text) {
  for (size_t i = 0; i < text->count; i++) {
    int32_t c = text->data[i];
    if (c < 0x80) {
      vc_code_points_add(out, is_in(c, 'A', 'Z') ? c + ('a' - 'A') : c);
    } else if (c == 0x130) {
      vc_code_points_add(out, 'i');
      vc_code_points_add(out, 0x307);
    } else if (c == 0x3a3) {
      vc_code_points_add(out, is_final_sigma(text, i) ? 0x3c2 : 0x3c3);
    } else {
      vc_code_points_add(out, utf8proc_tolower(c));
    }
  }
}

bool vc_code_point_is_white(int32_t c) {
  if (c < 0x85) return c == ' ' || is_in(c, '\t', '\r');
  return c == 0x85 || c == 0xa0 || c == 0x1680 || is_in(c, 0x2000, 0x200a) || c == 0x2028 || c == 0x2029 ||
         c == 0x202f || c == 0x205f || c == 0x3000;
}
