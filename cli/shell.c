#include "cli/shell.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

void vc_words_free(vc_words *words) {
  for (int i = 0; i < words->count; i++) free(words->item[i]);
  free(words->item);
  *words = (vc_words){0};
}

// Takes the word over.
static vc_status add(vc_words *words, char *word, vc_error *error) {
  char **more = NULL;
  if (word && words->count < VC_WORDS_MAX) more = realloc(words->item, ((size_t)words->count + 2) * sizeof *more);
  if (!more) {
    bool many = words->count >= VC_WORDS_MAX;
    free(word);
    return many ? vc_fail(error, VC_FAILED, "a command of more than %d words", VC_WORDS_MAX)
                : vc_fail(error, VC_NO_MEMORY, "no memory for a command");
  }
  words->item = more;
  more[words->count++] = word;
  more[words->count] = NULL;
  return VC_OK;
}

vc_status vc_words_add(vc_words *words, const char *word, vc_error *error) {
  return add(words, strdup(word), error);
}

static bool append_quoted(vc_buffer *out, const char *word) {
  static const char plain[] =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./,:=+@%";  // nothing to a shell
  if (*word && strspn(word, plain) == strlen(word)) return vc_buffer_append(out, word, strlen(word));
  bool ok = vc_buffer_append(out, "'", 1);
  for (; ok && *word; word++) ok = *word == '\'' ? vc_buffer_append(out, "'\\''", 4) : vc_buffer_append(out, word, 1);
  return ok && vc_buffer_append(out, "'", 1);
}

vc_status vc_shell_join(vc_buffer *out, const vc_words *words, vc_error *error) {
  bool ok = true;
  for (int i = 0; ok && i < words->count; i++)
    ok = (!i || vc_buffer_append(out, " ", 1)) && append_quoted(out, words->item[i]);
  if (ok && vc_buffer_append(out, "", 1)) return VC_OK;
  return vc_fail(error, VC_NO_MEMORY, "no memory for a command");
}

// Reads one word into `word`, which has room for all of the text; NULL when a quote stays open.
static const char *read_word(const char *text, char *word) {
  char quote = 0;
  for (; *text && (quote || !strchr(" \t\r\n", *text)); text++) {
    if (quote == '\'' ? *text == '\'' : quote && *text == '"') {
      quote = 0;
    } else if (!quote && (*text == '\'' || *text == '"')) {
      quote = *text;
    } else if (*text == '\\' && quote != '\'' && text[1] && (!quote || strchr("\"\\$`", text[1]))) {
      *word++ = *++text;
    } else {
      *word++ = *text;
    }
  }
  *word = 0;
  return quote ? NULL : text;
}

vc_status vc_shell_split(vc_words *out, const char *text, vc_error *error) {
  *out = (vc_words){0};
  char *word = malloc(strlen(text) + 1);
  vc_status status = word ? VC_OK : vc_fail(error, VC_NO_MEMORY, "no memory for a command");
  for (text += strspn(text, " \t\r\n"); !status && *text; text += strspn(text, " \t\r\n")) {
    text = read_word(text, word);
    if (!text) {
      status = vc_fail(error, VC_FAILED, "a command with a quote that is not closed");
      break;
    }
    status = vc_words_add(out, word, error);
  }
  free(word);
  if (status) vc_words_free(out);
  return status;
}

// ---- options back into words

// The shortest decimal that is read back as the same number.
static void print_double(char *text, size_t size, double value) {
  for (int digits = 6; digits <= 17; digits++) {
    (void)snprintf(text, size, "%.*g", digits, value);
    if (strtod(text, NULL) == value) return;
  }
}

// The option's value as a user would write it. `text` serves where it has to be made.
static const char *value_text(const vc_option *option, const void *field, char *text, size_t size) {
  switch (option->kind) {
    case VC_OPTION_STRING:
      return *(const char *const *)field;
    case VC_OPTION_INT:
      (void)snprintf(text, size, "%d", *(const int *)field);
      return text;
    case VC_OPTION_UINT64:
    case VC_OPTION_BYTES:
      (void)snprintf(text, size, "%" PRIu64, *(const uint64_t *)field);
      return text;
    case VC_OPTION_FLOAT:
      print_double(text, size, *(const double *)field);
      return text;
    case VC_OPTION_SIZE:
      (void)snprintf(text, size, "%dx%d", ((const vc_size *)field)->width, ((const vc_size *)field)->height);
      return text;
    case VC_OPTION_CHOICE:
      return option->choices[*(const int *)field];
    default:
      return NULL;
  }
}

static vc_status add_value(vc_words *out, const vc_option *option, const char *value, vc_error *error) {
  char name[64];
  (void)snprintf(name, sizeof name, "--%s%s", option->name, value && value[0] == '-' ? "=" : "");
  // A value that begins with a dash could be taken for an option, unless it is attached.
  if (!value || value[0] != '-') {
    vc_status status = vc_words_add(out, name, error);
    return status || !value ? status : vc_words_add(out, value, error);
  }
  char *word = malloc(strlen(name) + strlen(value) + 1);
  if (word) strcat(strcpy(word, name), value);
  return add(out, word, error);
}

vc_status vc_options_words(vc_words *out, const vc_command_spec *spec, const vc_arguments *arguments,
                           const void *values, bool (*wanted)(const char *name), vc_error *error) {
  vc_status status = VC_OK;
  for (int i = 0; i < spec->option_count && !status; i++) {
    const vc_option *option = &spec->options[i];
    const char *field = (const char *)values + option->field;
    char text[64];
    if (!arguments->given[i] || (wanted && !wanted(option->name))) continue;
    if (option->kind == VC_OPTION_STRING && !*(const char *const *)field) continue;
    if (option->kind != VC_OPTION_LIST) {
      status = add_value(out, option, value_text(option, field, text, sizeof text), error);
      continue;
    }
    const vc_string_list *list = (const vc_string_list *)field;
    for (int k = 0; k < list->count && !status; k++) status = add_value(out, option, list->item[k], error);
  }
  return status;
}
