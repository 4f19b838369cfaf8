// The text of --help, from the same table that options are parsed with.
#include <ctype.h>
#include <math.h>
#include <string.h>

#include "cli/options.h"

enum { WIDTH = 100, COLUMN = 30 };

static const char *value_name(const vc_option *option) {
  if (option->value) return option->value;
  switch (option->kind) {
    case VC_OPTION_INT:
    case VC_OPTION_UINT64:
      return "N";
    case VC_OPTION_FLOAT:
      return "X";
    case VC_OPTION_BYTES:
      return "BYTES";
    case VC_OPTION_SIZE:
      return "WxH";
    case VC_OPTION_STRING:
    case VC_OPTION_LIST:
      return "TEXT";
    default:
      return "";
  }
}

// Words from `column` on, broken before WIDTH and indented to COLUMN.
static void print_wrapped(FILE *out, const char *text, int column) {
  while (*text) {
    int length = (int)strcspn(text, " ");
    if (column > COLUMN && column + 1 + length > WIDTH) {
      fprintf(out, "\n%*s", COLUMN, "");
      column = COLUMN;
    } else if (column > COLUMN) {
      fputc(' ', out);
      column++;
    }
    fprintf(out, "%.*s", length, text);
    column += length;
    text += length;
    text += strspn(text, " ");
  }
  fputc('\n', out);
}

static void add(char *text, size_t size, const char *more) {
  size_t length = strlen(text);
  snprintf(text + length, size - length, "%s", more);
}

// "--guidance X" with its letter, as wide as the column; on a line of its own if it is wider.
static void print_left(FILE *out, const vc_option *option) {
  char left[160] = "  ", letter[] = {'-', option->letter, ',', ' ', 0};
  add(left, sizeof left, option->letter ? letter : "    ");
  add(left, sizeof left, "--");
  add(left, sizeof left, option->name);
  if (option->kind == VC_OPTION_CHOICE && !option->value) {
    for (int i = 0; option->choices[i]; i++) {
      add(left, sizeof left, i ? "|" : " ");
      add(left, sizeof left, option->choices[i]);
    }
  } else if (*value_name(option)) {
    add(left, sizeof left, " ");
    add(left, sizeof left, value_name(option));
  }
  int width = (int)strlen(left);
  fprintf(out, "%s", left);
  if (width > COLUMN - 2)
    fprintf(out, "\n%*s", COLUMN, "");
  else
    fprintf(out, "%*s", COLUMN - width, "");
}

static void print_option(FILE *out, const vc_option *option) {
  print_left(out, option);
  char text[1024] = "", part[128];
  add(text, sizeof text, option->help);
  bool number = option->kind == VC_OPTION_INT || option->kind == VC_OPTION_UINT64 || option->kind == VC_OPTION_FLOAT ||
                option->kind == VC_OPTION_SIZE;
  char range[64];
  const char *limits = number ? vc_range_text(option->min, option->max, range, sizeof range) : "";
  if (*limits && !strncmp(limits, " of ", 4)) limits += 3;
  if (*limits || option->fallback) {
    snprintf(part, sizeof part, " (%s%s%s%s)", *limits ? limits + 1 : "", *limits && option->fallback ? "; " : "",
             option->fallback ? "default " : "", option->fallback ? option->fallback : "");
    add(text, sizeof text, part);
  }
  if (option->kind == VC_OPTION_LIST) add(text, sizeof text, "; may be repeated");
  print_wrapped(out, text, COLUMN);
}

void vc_options_help(const vc_command_spec *spec, FILE *out) {
  fprintf(out, "Usage: videocomposer %s [options]%s%s\n\n%c%s.\n", spec->name, spec->arguments ? " " : "",
          spec->arguments ? spec->arguments : "", toupper((unsigned char)spec->summary[0]), spec->summary + 1);
  if (!spec->option_count || spec->options[0].kind != VC_OPTION_HEADING) fprintf(out, "\nOptions\n");
  for (int i = 0; i < spec->option_count; i++) {
    if (spec->options[i].kind == VC_OPTION_HEADING)
      fprintf(out, "\n%s\n", spec->options[i].help);
    else
      print_option(out, &spec->options[i]);
  }
  static const vc_option help = {.name = "help", .letter = 'h', .kind = VC_OPTION_FLAG, .help = "print this text"};
  print_option(out, &help);
  if (spec->notes) fprintf(out, "\n%s\n", spec->notes);
  fprintf(out, "\nExample\n");
  for (const char *line = spec->example; *line;) {
    int length = (int)strcspn(line, "\n");
    fprintf(out, "  %.*s\n", length, line);
    line += length + (line[length] == '\n');
  }
}
