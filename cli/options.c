#include "cli/options.h"

#include <assert.h>
#include <limits.h>
#include <string.h>

#include "cli/nearest.h"

static void *field_of(void *values, const vc_option *option) {
  return (char *)values + option->field;
}

static int choice_index(const vc_option *option, const char *text) {
  for (int i = 0; option->choices[i]; i++)
    if (!strcmp(option->choices[i], text)) return i;
  return -1;
}

static vc_status set_choice(const vc_option *option, const char *text, int *out, vc_error *error) {
  int index = choice_index(option, text);
  if (index >= 0) {
    *out = index;
    return VC_OK;
  }
  char list[512] = "";
  for (int i = 0; option->choices[i]; i++) {
    size_t length = strlen(list);
    snprintf(list + length, sizeof list - length, "%s%s", i ? ", " : "", option->choices[i]);
  }
  return vc_fail(error, VC_INVALID, "must be one of %s, not '%s'", list, text);
}

static vc_status set_list(const char *text, vc_string_list *out, vc_error *error) {
  if (out->count == VC_LIST_MAX) return vc_fail(error, VC_INVALID, "may be given %d times at most", VC_LIST_MAX);
  out->item[out->count++] = text;
  return VC_OK;
}

static vc_status set(const vc_option *option, const char *text, void *field, vc_error *error) {
  switch (option->kind) {
    case VC_OPTION_STRING:
      *(const char **)field = text;
      return VC_OK;
    case VC_OPTION_LIST:
      return set_list(text, field, error);
    case VC_OPTION_INT:
      return vc_parse_int(text, option->min, option->max, field, error);
    case VC_OPTION_UINT64:
      return vc_parse_uint64(text, option->min, option->max, field, error);
    case VC_OPTION_FLOAT:
      return vc_parse_float(text, option->min, option->max, field, error);
    case VC_OPTION_BYTES:
      return vc_parse_bytes(text, field, error);
    case VC_OPTION_SIZE:
      return vc_parse_size(text, option->min, option->max, field, error);
    case VC_OPTION_CHOICE:
      return set_choice(option, text, field, error);
    case VC_OPTION_FLAG:
    case VC_OPTION_HEADING:
      break;
  }
  assert(!"an option of this kind takes no value");
  return VC_INVALID;
}

// `length` characters of `name`, which need not end there.
static const vc_option *find_long(const vc_command_spec *spec, const char *name, size_t length) {
  for (int i = 0; i < spec->option_count; i++) {
    const vc_option *option = &spec->options[i];
    if (option->name && strlen(option->name) == length && !memcmp(option->name, name, length)) return option;
  }
  return NULL;
}

static const vc_option *find_letter(const vc_command_spec *spec, char letter) {
  for (int i = 0; i < spec->option_count; i++)
    if (spec->options[i].letter && spec->options[i].letter == letter) return &spec->options[i];
  return NULL;
}

static bool is_help(const char *text) {
  return !strcmp(text, "--help") || !strcmp(text, "-h");
}

static bool is_option(const vc_command_spec *spec, const char *text) {
  if (text[0] != '-' || !text[1]) return false;
  if (is_help(text)) return true;
  if (text[1] == '-') return !text[2] || find_long(spec, text + 2, strcspn(text + 2, "="));
  return !text[2] && find_letter(spec, text[1]);
}

typedef struct cursor {
  const vc_command_spec *spec;
  int argc, next;  // argv[next] is the first argument that is not consumed yet
  char **argv;
  void *values;
  vc_arguments *out;
  vc_error *error;
} cursor;

// `spelling` is the option as the user wrote it; `attached` its value if that stood in the same argument.
static vc_status apply(cursor *at, const vc_option *option, const char *spelling, const char *attached) {
  at->out->given[option - at->spec->options] = true;
  if (option->kind == VC_OPTION_FLAG) {
    if (attached) return vc_fail(at->error, VC_INVALID, "%s takes no value", spelling);
    *(bool *)field_of(at->values, option) = true;
    return VC_OK;
  }
  const char *text = attached;
  if (!text) {
    if (at->next == at->argc) return vc_fail(at->error, VC_INVALID, "%s needs a value", spelling);
    text = at->argv[at->next];
    if (is_option(at->spec, text))
      return vc_fail(at->error, VC_INVALID, "%s needs a value; if it is to be '%s', write --%s=%s", spelling, text,
                     option->name, text);
    at->next++;
  }
  vc_status status = set(option, text, field_of(at->values, option), at->error);
  return status ? vc_fail_in(at->error, status, "%s", spelling) : VC_OK;
}

static vc_status unknown(cursor *at, const char *name, int length) {
  char word[64];
  snprintf(word, sizeof word, "%.*s", length, name);
  const char *names[VC_OPTION_MAX + 1];
  int count = at->spec->option_count;
  for (int i = 0; i < count; i++) names[i] = at->spec->options[i].name;
  names[count] = "help";
  const char *nearest = length < (int)sizeof word ? vc_nearest(word, names, count + 1) : NULL;
  if (nearest) return vc_fail(at->error, VC_INVALID, "unknown option --%s; did you mean --%s?", word, nearest);
  return vc_fail(at->error, VC_INVALID, "unknown option --%s; --help lists them", word);
}

static vc_status parse_long(cursor *at, const char *name) {
  const char *equals = strchr(name, '=');
  size_t length = equals ? (size_t)(equals - name) : strlen(name);
  const vc_option *option = find_long(at->spec, name, length);
  if (!option) return unknown(at, name, length > INT_MAX ? INT_MAX : (int)length);
  char spelling[64];
  snprintf(spelling, sizeof spelling, "--%s", option->name);
  return apply(at, option, spelling, equals ? equals + 1 : NULL);
}

static vc_status parse_letters(cursor *at, const char *letters) {
  for (const char *letter = letters; *letter; letter++) {
    const vc_option *option = find_letter(at->spec, *letter);
    if (!option)
      return vc_fail(at->error, VC_INVALID, "unknown option -%c in '-%s'; --help lists them", *letter, letters);
    char spelling[] = {'-', *letter, 0};
    const char *attached = NULL;
    if (option->kind != VC_OPTION_FLAG && letter[1]) attached = letter + 1 + (letter[1] == '=');
    vc_status status = apply(at, option, spelling, attached);
    if (status || attached) return status;
  }
  return VC_OK;
}

static void set_fallbacks(const vc_command_spec *spec, void *values) {
  for (int i = 0; i < spec->option_count; i++) {
    const vc_option *option = &spec->options[i];
    if (!option->fallback) continue;
    vc_status status = set(option, option->fallback, field_of(values, option), NULL);
    assert(status == VC_OK);
    (void)status;
  }
}

static vc_status check_count(const vc_command_spec *spec, const vc_arguments *arguments, vc_error *error) {
  int count = arguments->count;
  if (count < spec->min_arguments)
    return vc_fail(error, VC_INVALID, "missing arguments; usage: videocomposer %s [options] %s", spec->name,
                   spec->arguments);
  if (spec->max_arguments >= 0 && count > spec->max_arguments)
    return vc_fail(error, VC_INVALID, "unexpected argument '%s'; usage: videocomposer %s [options]%s%s",
                   arguments->item[spec->max_arguments], spec->name, spec->arguments ? " " : "",
                   spec->arguments ? spec->arguments : "");
  return VC_OK;
}

vc_status vc_options_parse(const vc_command_spec *spec, int argc, char **argv, void *values, vc_arguments *out,
                           vc_error *error) {
  assert(spec->option_count <= VC_OPTION_MAX);
  memset(out, 0, sizeof *out);
  out->item = argv + (argc > 0);
  set_fallbacks(spec, values);
  cursor at = {spec, argc, 1, argv, values, out, error};
  // Help is for whoever got the rest wrong, so it is looked for first.
  for (int i = 1; i < argc && strcmp(argv[i], "--"); i++)
    if (is_help(argv[i])) {
      out->help = true;
      return VC_OK;
    }
  bool ended = false;
  while (at.next < argc) {
    char *text = argv[at.next++];
    vc_status status = VC_OK;
    if (ended || text[0] != '-' || !text[1])
      out->item[out->count++] = text;
    else if (!strcmp(text, "--"))
      ended = true;
    else
      status = text[1] == '-' ? parse_long(&at, text + 2) : parse_letters(&at, text + 1);
    if (status) return status;
  }
  return check_count(spec, out, error);
}

bool vc_option_given(const vc_command_spec *spec, const vc_arguments *arguments, const char *name) {
  const vc_option *option = find_long(spec, name, strlen(name));
  assert(option);
  return option && arguments->given[option - spec->options];
}
