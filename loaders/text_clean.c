#include "loaders/text_clean.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "loaders/html_entities.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

// References can be nested so that each round over a line resolves only one layer. So many code points may be visited
// in all: 8 rounds over the whole text, and half a second's worth on top, which 10,000 characters never need.
#define MAX_ROUNDS 8
#define MAX_EXTRA_WORK ((uint64_t)1 << 27)

// What browsers make of the C1 controls: Windows-1252, where that defines them.
static const uint16_t windows_1252[32] = {0x20ac, 0x0081, 0x201a, 0x0192, 0x201e, 0x2026, 0x2020, 0x2021,
                                          0x02c6, 0x2030, 0x0160, 0x2039, 0x0152, 0x008d, 0x017d, 0x008f,
                                          0x0090, 0x2018, 0x2019, 0x201c, 0x201d, 0x2022, 0x2013, 0x2014,
                                          0x02dc, 0x2122, 0x0161, 0x203a, 0x0153, 0x009d, 0x017e, 0x0178};

// ---------------------------------------------------------------- character references

static int compare_names(const void *a, const void *b) {
  return strcmp(((const vc_html_entity *)a)->name, ((const vc_html_entity *)b)->name);
}

static const vc_html_entity *find_entity(const char *name, bool capitals) {
  vc_html_entity key = {.name = name, .value = {0}};
  if (capitals) return bsearch(&key, vc_html_capitals, COUNT(vc_html_capitals), sizeof key, compare_names);
  return bsearch(&key, vc_html_entities, COUNT(vc_html_entities), sizeof key, compare_names);
}

static bool is_digit(int32_t c) {
  return c >= '0' && c <= '9';
}

static bool is_letter(int32_t c) {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static int digit_value(int32_t c, int base) {
  if (is_digit(c)) return c - '0';
  if (base == 16 && is_letter(c) && (c | 0x20) <= 'f') return (c | 0x20) - 'a' + 10;
  return -1;
}

// Reads "&#38;" or "&#x26;" (the last character optional) at the start of a text. Returns how many code points it
// takes, 0 if there is none, and its number, held at 0x110000 when it is larger.
static size_t read_number(const int32_t *text, size_t count, int32_t *number) {
  if (count < 3 || text[0] != '&' || text[1] != '#') return 0;
  int base = (text[2] | 0x20) == 'x' ? 16 : 10;
  size_t first = base == 16 ? 3 : 2, i = first;
  int32_t value = 0;
  for (int digit; i < count && (digit = digit_value(text[i], base)) >= 0; i++) {
    value = value * base + digit;
    if (value > 0x110000) value = 0x110000;
  }
  if (i == first) return 0;
  *number = value;
  return i < count && text[i] == ';' ? i + 1 : i;
}

// The character of a numeric reference by the HTML standard's rules for bad numbers, or -1 where it stands for nothing.
static int32_t number_value(int32_t number) {
  if (number == 0 || number > 0x10ffff || (number >= 0xd800 && number <= 0xdfff)) return 0xfffd;
  if (number >= 0x80 && number < 0xa0) return windows_1252[number - 0x80];
  bool control = (number < 0x20 && (number < '\t' || number == 0x0b || number > '\r')) || number == 0x7f;
  bool noncharacter = (number >= 0xfdd0 && number <= 0xfdef) || (number & 0xfffe) == 0xfffe;
  return control || noncharacter ? -1 : number;
}

static void add_value(vc_code_points *out, const vc_html_entity *entity) {
  for (size_t i = 0; i < COUNT(entity->value) && entity->value[i]; i++) vc_code_points_add(out, entity->value[i]);
}

// Adds what stands for the text after an '&' that is no numeric reference: up to 32 characters and a ';' are taken, of
// which the longest name at the front counts. Returns how many code points were taken, 0 if it is a bare '&'.
static size_t add_named(vc_code_points *out, const int32_t *text, size_t count) {
  char name[34];
  size_t length = 0, ascii = 0, taken = 0;
  for (; taken < 32 && taken < count; taken++) {
    int32_t c = text[taken];
    if (c == '\t' || c == '\n' || c == '\f' || c == ' ' || c == '<' || c == '&' || c == '#' || c == ';') break;
    if (c > 0 && c < 0x80 && ascii == taken) name[ascii++] = (char)c;
  }
  if (taken == 0) return 0;
  length = ascii;
  if (taken < count && text[taken] == ';') {
    if (ascii == taken) name[length++] = ';';
    taken++;
  }
  const vc_html_entity *entity = NULL;
  for (; length >= 2 && !entity; length--) {
    name[length] = 0;
    entity = find_entity(name, false);
    if (entity) break;
    if (length > 7) length = 7;  // prefixes count only for names without a ';', the longest of which has six letters
  }
  if (entity)
    add_value(out, entity);
  else
    vc_code_points_add(out, '&');
  size_t used = entity ? length : 0;
  vc_code_points_append(out, text + used, taken - used);
  return taken;
}

// Resolves every reference once, as browsers do.
static void unescape(vc_code_points *out, const vc_code_points *text) {
  for (size_t i = 0; i < text->count;) {
    const int32_t *at = text->data + i;
    size_t left = text->count - i;
    int32_t number;
    size_t size = read_number(at, left, &number);
    if (size > 0) {
      int32_t c = number_value(number);
      if (c >= 0) vc_code_points_add(out, c);
      i += size;
    } else if (*at == '&' && (size = add_named(out, at + 1, left - 1)) > 0) {
      i += 1 + size;
    } else {
      vc_code_points_add(out, *at);
      i++;
    }
  }
}

// ---------------------------------------------------------------- repair of a line

static void add_unquoted(vc_code_points *out, int32_t c) {
  if (c >= 0x201c && c <= 0x201f)
    c = '"';
  else if (c == 0x2bc || (c >= 0x2018 && c <= 0x201b))
    c = '\'';
  vc_code_points_add(out, c);
}

// The letters of a ligature or digraph, NULL if it is none.
static const int32_t *ligature(int32_t c) {
  static const struct {
    int32_t ligature, letters[4];
  } table[] = {{0x132, {'I', 'J'}},    {0x133, {'i', 'j'}},   {0x149, {0x2bc, 'n'}},     {0x1c4, {'D', 0x17d}},
               {0x1c5, {'D', 0x17e}},  {0x1c6, {'d', 0x17e}}, {0x1c7, {'L', 'J'}},       {0x1c8, {'L', 'j'}},
               {0x1c9, {'l', 'j'}},    {0x1ca, {'N', 'J'}},   {0x1cb, {'N', 'j'}},       {0x1cc, {'n', 'j'}},
               {0x1f1, {'D', 'Z'}},    {0x1f2, {'D', 'z'}},   {0x1f3, {'d', 'z'}},       {0xfb00, {'f', 'f'}},
               {0xfb01, {'f', 'i'}},   {0xfb02, {'f', 'l'}},  {0xfb03, {'f', 'f', 'i'}}, {0xfb04, {'f', 'f', 'l'}},
               {0xfb05, {0x17f, 't'}}, {0xfb06, {'s', 't'}}};
  if (c < 0x132 || (c > 0x1f3 && c < 0xfb00) || c > 0xfb06) return NULL;
  for (size_t i = 0; i < COUNT(table); i++)
    if (table[i].ligature == c) return table[i].letters;
  return NULL;
}

// Adds one character in its plain form.
static void add_plain(vc_code_points *out, int32_t c) {
  if (c < 0x80) {
    vc_code_points_add(out, c);
    return;
  }
  if (c < 0xa0) c = windows_1252[c - 0x80];
  const int32_t *letters = ligature(c);
  if (letters) {
    for (; *letters; letters++) add_unquoted(out, *letters);
  } else if (c == 0x3000) {
    vc_code_points_add(out, ' ');
  } else if (c >= 0xff01 && c <= 0xffef) {  // full- and half-width forms
    utf8proc_int32_t parts[8];
    utf8proc_ssize_t n =
        utf8proc_decompose_char(c, parts, 8, (utf8proc_option_t)(UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT), NULL);
    for (utf8proc_ssize_t i = 0; i < n && i < 8; i++) add_unquoted(out, parts[i]);
  } else {
    add_unquoted(out, c);
  }
}

// Adds what the reference at the start of `text` stands for, in plain form; returns how many code points it takes, 0 if
// there is none. Stricter than unescape: it must end in ';' with at most 24 characters inside; &#59; is left alone.
static size_t add_repaired(vc_code_points *out, const int32_t *text, size_t count) {
  if (count < 3 || text[0] != '&') return 0;
  char name[32];
  size_t first = text[1] == '#' ? 2 : 1, length = 0;
  while (first + length < count && length < 24 && (is_digit(text[first + length]) || is_letter(text[first + length]))) {
    name[length] = (char)text[first + length];
    length++;
  }
  size_t size = first + length + 1;
  if (length == 0 || size > count || text[size - 1] != ';') return 0;
  if (first == 2) {
    int32_t number;
    if (read_number(text, size, &number) != size || number == ';') return 0;
    int32_t c = number_value(number);
    if (c >= 0) add_plain(out, c);
    return size;
  }
  memcpy(name + length, ";", 2);
  const vc_html_entity *entity = find_entity(name, false);
  if (!entity) entity = find_entity(name, true);
  if (!entity) return 0;
  for (size_t i = 0; i < COUNT(entity->value) && entity->value[i]; i++) add_plain(out, entity->value[i]);
  return size;
}

// The length of a terminal's colour or cursor sequence at an escape character, 0 if none follows.
static size_t terminal_escape(const int32_t *text, size_t count) {
  if (count < 3 || text[1] != '[') return 0;
  size_t i = 2;
  while (i < count && (is_digit(text[i]) || text[i] == ';')) i++;
  return i < count && is_letter(text[i]) ? i + 1 : 0;
}

static bool is_control(int32_t c) {
  if (c < 0x80) return (c < 0x20 && c != '\t' && c != '\n' && c != '\f' && c != '\r') || c == 0x7f;
  return (c >= 0x206a && c <= 0x206f) || c == 0xfeff || (c >= 0xfff9 && c <= 0xfffc);
}

// Line ends become U+000A; terminal escapes and control characters go.
static void strip_controls(vc_code_points *text) {
  size_t kept = 0;
  for (size_t i = 0; i < text->count; i++) {
    int32_t c = text->data[i];
    if (c == 0x1b) {
      size_t size = terminal_escape(text->data + i, text->count - i);
      i += size ? size - 1 : 0;
      continue;
    }
    if (is_control(c)) continue;
    if (c == '\r' && i + 1 < text->count && text->data[i + 1] == '\n') i++;
    if (c == '\r' || c == 0x2028 || c == 0x2029) c = '\n';
    text->data[kept++] = c;
  }
  text->count = kept;
}

static void swap(vc_code_points *a, vc_code_points *b) {
  vc_code_points other = *a;
  *a = *b;
  *b = other;
}

typedef struct repair {
  vc_code_points line, next, scratch;
  uint64_t work;  // code points that may still be visited
} repair;

// Repairs r->line until nothing changes.
static vc_status repair_line(repair *r, bool references, vc_error *error) {
  for (;;) {
    r->next.count = 0;
    for (size_t i = 0, size; i < r->line.count; i += size) {
      size = references ? add_repaired(&r->next, r->line.data + i, r->line.count - i) : 0;
      if (size == 0) {
        add_plain(&r->next, r->line.data[i]);
        size = 1;
      }
    }
    strip_controls(&r->next);
    vc_code_points_compose(&r->next, &r->scratch);
    if (r->next.failed || r->scratch.failed)
      return vc_code_points_check(r->next.failed ? &r->next : &r->scratch, error);
    bool same = r->line.count == r->next.count &&
                (r->line.count == 0 || memcmp(r->line.data, r->next.data, r->line.count * sizeof *r->line.data) == 0);
    swap(&r->line, &r->next);
    if (same) return VC_OK;
    if (r->line.count > r->work)
      return vc_fail(error, VC_INVALID,
                     "character references (such as &amp;) are nested too deeply in a long line: write them plainly");
    r->work -= r->line.count;
  }
}

static vc_status repair_text(vc_code_points *out, const vc_code_points *text, vc_error *error) {
  repair r = {.work = MAX_EXTRA_WORK + (uint64_t)MAX_ROUNDS * text->count};
  vc_status status = VC_OK;
  bool references = true;
  for (size_t i = 0, end; i < text->count && status == VC_OK; i = end) {
    for (end = i; end < text->count && text->data[end] != '\n'; end++)
      references = references && text->data[end] != '<';
    end += end < text->count;
    r.line.count = 0;
    vc_code_points_append(&r.line, text->data + i, end - i);
    status = vc_code_points_check(&r.line, error);
    if (status == VC_OK) status = repair_line(&r, references, error);
    if (status == VC_OK) vc_code_points_append(out, r.line.data, r.line.count);
  }
  vc_code_points_free(&r.line);
  vc_code_points_free(&r.next);
  vc_code_points_free(&r.scratch);
  return status ? status : vc_code_points_check(out, error);
}

// ---------------------------------------------------------------- the whole

static void collapse_white(vc_code_points *text) {
  size_t kept = 0;
  for (size_t i = 0; i < text->count; i++) {
    if (!vc_code_point_is_white(text->data[i]))
      text->data[kept++] = text->data[i];
    else if (kept > 0 && text->data[kept - 1] != ' ')
      text->data[kept++] = ' ';
  }
  text->count = kept - (kept > 0 && text->data[kept - 1] == ' ');
}

vc_status vc_text_clean(vc_code_points *out, const char *utf8, size_t length, vc_error *error) {
  if (length > VC_TEXT_MAX_BYTES)
    return vc_fail(error, VC_INVALID, "a text of %zu bytes is too long: at most %zu are taken", length,
                   VC_TEXT_MAX_BYTES);
  vc_code_points a = {0}, b = {0};
  vc_status status = vc_code_points_decode(&a, utf8, length, error);
  if (status == VC_OK) status = repair_text(&b, &a, error);
  if (status) goto done;
  a.count = 0;
  unescape(&a, &b);
  if ((status = vc_code_points_check(&a, error))) goto done;
  b.count = 0;
  unescape(&b, &a);
  if ((status = vc_code_points_check(&b, error))) goto done;
  collapse_white(&b);
  vc_code_points_lower(out, &b);
  status = vc_code_points_check(out, error);
done:
  vc_code_points_free(&a);
  vc_code_points_free(&b);
  return status;
}
