#include "cli/progress.h"

#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum { BAR_MAX = 40, BAR_MIN = 5, USUAL_WIDTH = 80 };

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static int terminal_width(FILE *out) {
  struct winsize size;
  return !ioctl(fileno(out), TIOCGWINSZ, &size) && size.ws_col ? size.ws_col : USUAL_WIDTH;
}

static void format_time(char *text, size_t size, double seconds) {
  long s = seconds < 1e9 ? (long)(seconds + 0.5) : 1000000000;
  if (s >= 3600)
    snprintf(text, size, "%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
  else
    snprintf(text, size, "%ld:%02ld", s / 60, s % 60);
}

const char *vc_progress_text(char *text, size_t size, const char *label, long done, long total, double seconds,
                             int width) {
  char tail[96] = "", left[32];
  if (done > 0 && total > 0) {
    double pace = seconds / (double)done;
    format_time(left, sizeof left, pace * (double)(total - done));
    snprintf(tail, sizeof tail, "  %.*f s/it  %s left", pace < 1 ? 3 : pace < 10 ? 2 : 1, pace, left);
  }
  char count[48], bar[BAR_MAX + 4] = "";
  snprintf(count, sizeof count, "%ld/%ld", done, total);
  int room = width - 1 - snprintf(NULL, 0, "%s  %s%s", label, count, tail) - 3;
  int cells = room > BAR_MAX ? BAR_MAX : room;
  if (cells >= BAR_MIN) {
    int filled = total > 0 ? (int)((double)done / (double)total * cells) : 0;
    for (int i = 0; i < cells; i++) bar[1 + i] = i < filled ? '#' : '.';
    bar[0] = '[';
    bar[cells + 1] = ']';
    bar[cells + 2] = ' ';
    bar[cells + 3] = 0;
  }
  snprintf(text, size, "%s %s%s%s", label, bar, count, tail);
  if (width > 0 && (size_t)width < size) text[width - 1] = 0;
  return text;
}

static void draw(vc_progress *progress, long done, double time) {
  char text[256];
  progress->shown = time;
  vc_progress_text(text, sizeof text, progress->label, done, progress->total, time - progress->started,
                   terminal_width(progress->out));
  fprintf(progress->out, "\r%s\033[K", text);
  fflush(progress->out);
}

void vc_progress_begin(vc_progress *progress, FILE *out, bool wanted, const char *label, long total) {
  *progress = (vc_progress){.out = wanted && isatty(fileno(out)) ? out : NULL, .label = label, .total = total};
  if (!progress->out) return;
  progress->started = now();
  draw(progress, 0, progress->started);
}

void vc_progress_step(vc_progress *progress, long done) {
  if (!progress->out) return;
  double time = now();
  if (time - progress->shown >= 0.1 || done == progress->total) draw(progress, done, time);
}

void vc_progress_end(vc_progress *progress) {
  if (!progress->out) return;
  fputs("\r\033[K", progress->out);
  fflush(progress->out);
  progress->out = NULL;
}
