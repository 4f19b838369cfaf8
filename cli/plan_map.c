#include "cli/plan_map.h"

#include <stdlib.h>
#include <string.h>

#include "loaders/output.h"

enum { WIDTH = 1400, HEIGHT = 760, LEFT = 70, TOP = 50, BOTTOM = 80, RIGHT = 20, BAND = 16 };

static const double letter = 5.4;  // the width of a letter of this font, about

typedef struct map {
  FILE *out;
  const vc_plan *plan;
  double per_op, per_byte, base;  // base: y of offset 0
} map;

static void text(FILE *out, const char *s, int length) {
  for (; *s && length; s++, length--) switch (*s) {
      case '<':
        fputs("&lt;", out);
        break;
      case '>':
        fputs("&gt;", out);
        break;
      case '&':
        fputs("&amp;", out);
        break;
      default:
        fputc(*s, out);
    }
}

static double x_of(const map *m, int op) {
  return LEFT + m->per_op * op;
}

static double mib(size_t bytes) {
  return (double)bytes / 1048576;
}

// A colour that follows from the name, so that a tensor looks the same in every picture.
static unsigned hue(const char *name) {
  unsigned h = 2166136261u;
  for (; *name; name++) h = (h ^ (unsigned char)*name) * 16777619u;
  return h % 360;
}

// The name where the box has room for all of it: along its longer side.
static void name_box(const map *m, const char *name, double x, double y, double w, double h) {
  double length = letter * (double)strlen(name) + 6;
  if (w >= length && h >= 11)
    fprintf(m->out, "<text x=\"%.2f\" y=\"%.2f\">", x + 3, y + h / 2 + 3);
  else if (h >= length && w >= 11)
    fprintf(m->out, "<text transform=\"translate(%.2f %.2f) rotate(-90)\">", x + w / 2 + 3, y + h - 3);
  else
    return;
  text(m->out, name, -1);
  fputs("</text>\n", m->out);
}

static void draw_box(const map *m, const vc_plan_tensor *t) {
  double x = x_of(m, t->first), w = m->per_op * (t->last - t->first + 1), h = m->per_byte * (double)t->bytes;
  double y = m->base - m->per_byte * (double)(t->offset + t->bytes);
  bool large = w > 4 && h > 4;  // a border would hide a small one
  fprintf(m->out, "<rect x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\" fill=\"hsl(%u,%d%%,%d%%)\"%s><title>", x,
          y, w, h < 0.3 ? 0.3 : h, hue(t->name), t->workspace ? 10 : 60, t->workspace ? 82 : 70,
          large ? " stroke=\"white\" stroke-width=\"0.5\"" : "");
  text(m->out, t->name, -1);
  fprintf(m->out, "%s: %.2f MiB, ops %d to %d</title></rect>\n", t->workspace ? " (workspace)" : "", mib(t->bytes),
          t->first, t->last);
  name_box(m, t->name, x, y, w, h);
}

// What is alive at each op, as a line: where it touches the top, there is no smaller arena.
static void draw_alive(const map *m) {
  size_t before = 0;
  fputs("<path fill=\"none\" stroke=\"black\" stroke-width=\"0.8\" d=\"", m->out);
  for (int i = 0; i < m->plan->ops; i++) {
    size_t alive = 0;
    for (int t = 0; t < m->plan->tensors; t++)
      if (m->plan->tensor[t].first <= i && m->plan->tensor[t].last >= i) alive += m->plan->tensor[t].bytes;
    if (i && alive == before) continue;
    if (i)
      fprintf(m->out, "H%.2f", x_of(m, i));
    else
      fprintf(m->out, "M%.2f %.2f", x_of(m, i), m->base);
    fprintf(m->out, "V%.2f", m->base - m->per_byte * (double)alive);
    before = alive;
  }
  fprintf(m->out, "H%.2f\"/>\n", x_of(m, m->plan->ops));
}

// The part of a module's path that a band shows: its first component, or all up to the first that is a number.
static int stage(const char *label, bool numbered) {
  int first = (int)strcspn(label, ".");
  for (const char *at = label + first; numbered && *at; at += 1 + strcspn(at + 1, "."))
    if (at[1] >= '0' && at[1] <= '9') return (int)(at - label) + 1 + (int)strcspn(at + 1, ".");
  return first;
}

static void draw_stage(const map *m, int row, int from, int to, int index, const char *label, int length) {
  double x = x_of(m, from), w = x_of(m, to) - x, y = m->base + 6 + row * (BAND + 2);
  const char *shown = label;
  fprintf(m->out, "<rect x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%d\" fill=\"%s\"><title>", x, y, w, BAND,
          index % 2 ? "#d8d8d8" : "#ececec");
  text(m->out, label, length);
  fprintf(m->out, ": ops %d to %d</title></rect>\n", from, to - 1);
  // Where the whole path has no room, its number may.
  if (w < letter * length + 4 && memchr(label, '.', (size_t)length)) {
    while (shown[0] != '.' || shown[1] < '0' || shown[1] > '9') shown++;
    length -= (int)(++shown - label);
  }
  if (w < letter * length + 2) return;
  fprintf(m->out, "<text x=\"%.2f\" y=\"%.2f\" text-anchor=\"middle\">", x + w / 2, y + 11);
  text(m->out, shown, length);
  fputs("</text>\n", m->out);
}

// Consecutive ops of one module below the picture. An op whose label is no path belongs to the module before it.
static void draw_stages(const map *m, int row, bool numbered) {
  const char *current = NULL;
  int length = 0, from = 0, index = 0;
  for (int i = 0; i < m->plan->ops; i++) {
    const char *label = m->plan->op[i].label;
    if (current && i != m->plan->prologue_ops && !strchr(label, '.')) continue;
    int n = stage(label, numbered);
    if (current && i != m->plan->prologue_ops && n == length && !memcmp(label, current, (size_t)n)) continue;
    if (current) draw_stage(m, row, from, i, index++, current, length);
    current = label;
    length = n;
    from = i;
  }
  if (current) draw_stage(m, row, from, m->plan->ops, index, current, length);
}

static void draw_axes(const map *m) {
  double step = x_of(m, m->plan->prologue_ops), y = m->base + 6 + 2 * (BAND + 2) + 12;
  for (int i = 0; i <= 4; i++) {
    double at = m->base - (m->base - TOP) * i / 4;
    fprintf(m->out,
            "<line x1=\"%d\" y1=\"%.2f\" x2=\"%d\" y2=\"%.2f\" stroke=\"#e4e4e4\"/>\n<text x=\"%d\" y=\"%.2f\" "
            "text-anchor=\"end\">%.1f MiB</text>\n",
            LEFT, at, WIDTH - RIGHT, at, LEFT - 4, at + 3, mib(m->plan->arena_bytes) * i / 4);
  }
  fprintf(m->out, "<text x=\"%.2f\" y=\"%.2f\">every step: ops %d to %d</text>\n", step + 3, y, m->plan->prologue_ops,
          m->plan->ops - 1);
  if (!m->plan->prologue_ops) return;
  fprintf(m->out, "<text x=\"%d\" y=\"%.2f\">once a video: ops 0 to %d</text>\n", LEFT, y, m->plan->prologue_ops - 1);
  fprintf(m->out, "<line x1=\"%.2f\" y1=\"%d\" x2=\"%.2f\" y2=\"%.2f\" stroke=\"black\" stroke-dasharray=\"4\"/>\n",
          step, TOP, step, y);
}

vc_status vc_plan_map_write(const char *path, const vc_plan *plan, const char *title, vc_error *error) {
  vc_output output;
  vc_status status = vc_output_open(&output, path, error);
  if (status) return status;
  map m = {.out = output.file, .plan = plan, .base = HEIGHT - BOTTOM};
  m.per_op = (double)(WIDTH - LEFT - RIGHT) / (plan->ops ? plan->ops : 1);
  m.per_byte = (m.base - TOP) / (double)(plan->arena_bytes ? plan->arena_bytes : 1);
  fprintf(m.out,
          "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" font-family=\"sans-serif\" "
          "font-size=\"9\">\n<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n<text x=\"%d\" y=\"20\" "
          "font-size=\"14\">",
          WIDTH, HEIGHT, LEFT);
  text(m.out, title, -1);
  fprintf(
      m.out,
      "</text>\n<text x=\"%d\" y=\"36\">arena %.1f MiB, lower bound %.1f MiB, %d ops; a box is a tensor from its first "
      "op to its last, the black line all bytes alive</text>\n",
      LEFT, mib(plan->arena_bytes), mib(plan->bound_bytes), plan->ops);
  draw_axes(&m);
  for (int i = 0; i < plan->tensors; i++) draw_box(&m, &plan->tensor[i]);
  draw_alive(&m);
  draw_stages(&m, 0, false);
  draw_stages(&m, 1, true);
  fputs("</svg>\n", m.out);
  return vc_output_commit(&output, error);
}
