#include "cli/nearest.h"

#include <string.h>

enum { LONGEST = 40 };

static int least(int a, int b, int c) {
  int d = a < b ? a : b;
  return d < c ? d : c;
}

// Optimal string alignment distance: insertions, deletions, substitutions, and neighbours swapped.
static int distance(const char *a, const char *b) {
  int m = (int)strlen(a), n = (int)strlen(b);
  int d[3][LONGEST + 1];
  for (int j = 0; j <= n; j++) d[0][j] = j;
  for (int i = 1; i <= m; i++) {
    int *now = d[i % 3], *last = d[(i + 2) % 3], *before = d[(i + 1) % 3];
    now[0] = i;
    for (int j = 1; j <= n; j++) {
      now[j] = least(last[j] + 1, now[j - 1] + 1, last[j - 1] + (a[i - 1] != b[j - 1]));
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        now[j] = least(now[j], before[j - 2] + 1, now[j]);
    }
  }
  return d[m % 3][n];
}

const char *vc_nearest(const char *word, const char *const *candidates, int count) {
  size_t length = strlen(word);
  const char *nearest = NULL;
  int best = (int)length / 3 + 1;  // more mistakes than this, and it is another word
  if (length > LONGEST) return NULL;
  for (int i = 0; i < count; i++) {
    const char *candidate = candidates[i];
    if (!candidate || strlen(candidate) > LONGEST) continue;
    int d = distance(word, candidate);
    if (d <= best && d < (int)length && (!nearest || d < best)) {
      best = d;
      nearest = candidate;
    }
  }
  for (int i = 0; !nearest && length >= 2 && i < count; i++)
    if (candidates[i] && !strncmp(candidates[i], word, length)) nearest = candidates[i];
  return nearest;
}
