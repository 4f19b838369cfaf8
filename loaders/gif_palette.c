// Quantisation to 256 colours for GIF.
//
// Colours are counted in cells of 4 levels a side (with their sums, so that a cell stands for the mean of its pixels,
// not for its middle), the cells are split by variance (median cut with the best plane instead of the median), and a
// few rounds of k-means move the entries to where they serve most. Distances are plain squared RGB.
#include "loaders/gif_palette.h"

#include <stdlib.h>
#include <string.h>

enum {
  MAX_COLORS = 256,
  CELL_BITS = 6,
  CELLS = 1 << (3 * CELL_BITS),
  SCALE = 4,  // k-means works in quarters of a level
  ROUNDS = 6,
  CACHE_SIZE = 1 << 16,
  MAX_SPREAD = 2500  // squared distance beyond which two entries are not mixed: it would show as speckles
};

// Entries as three columns, filled up to 256 with copies of the first, so that a search runs over all in one loop.
typedef struct columns {
  int32_t r[MAX_COLORS], g[MAX_COLORS], b[MAX_COLORS];
} columns;

// Index of the nearest entry, the lowest of equals. |coordinates| stay below 1100, so that a distance and an index fit
// into 31 bits together.
static int nearest(const columns *entries, int r, int g, int b) {
  int32_t best = INT32_MAX;
  for (int i = 0; i < MAX_COLORS; i++) {
    int32_t dr = entries->r[i] - r, dg = entries->g[i] - g, db = entries->b[i] - b;
    int32_t key = ((dr * dr + dg * dg + db * db) << 8) | i;
    best = key < best ? key : best;
  }
  return best & 255;
}

static void fill_up(columns *entries, int count) {
  for (int i = count; i < MAX_COLORS; i++) {
    entries->r[i] = entries->r[0];
    entries->g[i] = entries->g[0];
    entries->b[i] = entries->b[0];
  }
}

// ---- few colours: all of them

static int by_value(const void *left, const void *right) {
  uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
  return (a > b) - (a < b);
}

// False when there are more than 256.
static bool exact_palette(vc_palette *out, const vc_frames *frames) {
  uint32_t table[1024] = {0}, found[MAX_COLORS];  // colour + 1 by open addressing; 0 is free
  int count = 0;
  uint32_t last = 0;
  size_t pixels = (size_t)frames->count * (size_t)frames->width * (size_t)frames->height;
  for (size_t i = 0; i < pixels; i++) {
    const uint8_t *p = frames->rgb + i * 3;
    uint32_t color = ((uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2]) + 1;
    if (color == last) continue;
    last = color;
    uint32_t slot = (color * 2654435761u) >> 22;
    while (table[slot] && table[slot] != color) slot = (slot + 1) & 1023;
    if (table[slot]) continue;
    if (count == MAX_COLORS) return false;
    table[slot] = color;
    found[count++] = color - 1;
  }
  qsort(found, (size_t)count, sizeof *found, by_value);
  for (int i = 0; i < count; i++)
    for (int c = 0; c < 3; c++) out->rgb[i][c] = (uint8_t)(found[i] >> (16 - 8 * c));
  out->count = count;
  return true;
}

// ---- many colours

typedef struct cell {
  uint16_t at[3];  // mean colour in quarters of a level
  uint32_t weight;
} cell;

typedef struct box {
  size_t first, count;  // of cells
  double error;         // weighted squared distance from the mean
  int axis;             // along which most of it lies
} box;

typedef struct cell_sum {
  uint64_t rgb[3], weight;
} cell_sum;

static vc_status count_cells(cell **cells, size_t *cell_count, const vc_frames *frames, vc_error *error) {
  cell_sum *sums = calloc(CELLS, sizeof *sums);
  *cells = malloc(CELLS * sizeof **cells);
  if (!sums || !*cells) {
    free(sums);
    return vc_fail(error, VC_NO_MEMORY, "no memory to count the colours of a clip");
  }
  size_t pixels = (size_t)frames->count * (size_t)frames->width * (size_t)frames->height;
  enum { DROP = 8 - CELL_BITS };
  for (size_t i = 0; i < pixels; i++) {
    const uint8_t *p = frames->rgb + i * 3;
    cell_sum *s = &sums[(size_t)(p[0] >> DROP) << (2 * CELL_BITS) | (size_t)(p[1] >> DROP) << CELL_BITS | p[2] >> DROP];
    for (int c = 0; c < 3; c++) s->rgb[c] += p[c];
    s->weight++;
  }
  size_t n = 0;
  for (size_t i = 0; i < CELLS; i++) {
    if (!sums[i].weight) continue;
    for (int c = 0; c < 3; c++)
      (*cells)[n].at[c] = (uint16_t)((sums[i].rgb[c] * SCALE + sums[i].weight / 2) / sums[i].weight);
    // 32 bits are enough for any clip but an absurd one, whose weights may as well saturate.
    (*cells)[n].weight = sums[i].weight > UINT32_MAX ? UINT32_MAX : (uint32_t)sums[i].weight;
    n++;
  }
  free(sums);
  *cell_count = n;
  return VC_OK;
}

static void measure(box *b, const cell *cells) {
  double weight = 0, sum[3] = {0}, square[3] = {0};
  for (size_t i = b->first; i < b->first + b->count; i++) {
    double w = cells[i].weight;
    weight += w;
    for (int c = 0; c < 3; c++) {
      sum[c] += w * cells[i].at[c];
      square[c] += w * cells[i].at[c] * cells[i].at[c];
    }
  }
  b->error = 0;
  b->axis = 0;
  double largest = -1;
  for (int c = 0; c < 3; c++) {
    double error = square[c] - sum[c] * sum[c] / weight;
    b->error += error;
    if (error > largest) {
      largest = error;
      b->axis = c;
    }
  }
}

static int by_red(const void *left, const void *right) {
  return ((const cell *)left)->at[0] - ((const cell *)right)->at[0];
}
static int by_green(const void *left, const void *right) {
  return ((const cell *)left)->at[1] - ((const cell *)right)->at[1];
}
static int by_blue(const void *left, const void *right) {
  return ((const cell *)left)->at[2] - ((const cell *)right)->at[2];
}

// How many of the box's cells, sorted along its axis, go to the first half: where the squared errors of the halves
// along the axis are least together, which is where the sum of mean * sum is largest.
static size_t best_plane(const box *b, const cell *cells) {
  double weight = 0, sum = 0, left_weight = 0, left_sum = 0, best = -1;
  size_t plane = 1;
  for (size_t i = b->first; i < b->first + b->count; i++) {
    weight += cells[i].weight;
    sum += (double)cells[i].weight * cells[i].at[b->axis];
  }
  for (size_t i = 0; i + 1 < b->count; i++) {
    const cell *at = &cells[b->first + i];
    left_weight += at->weight;
    left_sum += (double)at->weight * at->at[b->axis];
    double right_sum = sum - left_sum;
    double gain = left_sum * left_sum / left_weight + right_sum * right_sum / (weight - left_weight);
    if (gain > best) {
      best = gain;
      plane = i + 1;
    }
  }
  return plane;
}

static int split_boxes(box *boxes, cell *cells, size_t cell_count) {
  static int (*const order[])(const void *, const void *) = {by_red, by_green, by_blue};
  int count = 1;
  boxes[0] = (box){.first = 0, .count = cell_count};
  measure(&boxes[0], cells);
  while (count < MAX_COLORS) {
    int worst = -1;
    for (int i = 0; i < count; i++)
      if (boxes[i].count > 1 && (worst < 0 || boxes[i].error > boxes[worst].error)) worst = i;
    if (worst < 0) break;
    box *b = &boxes[worst], *other = &boxes[count++];
    qsort(cells + b->first, b->count, sizeof *cells, order[b->axis]);
    size_t plane = best_plane(b, cells);
    *other = (box){.first = b->first + plane, .count = b->count - plane};
    b->count = plane;
    measure(b, cells);
    measure(other, cells);
  }
  return count;
}

typedef struct cluster {
  double sum[3], weight;
} cluster;

static void add_to(cluster *to, const cell *from) {
  for (int c = 0; c < 3; c++) to->sum[c] += (double)from->weight * from->at[c];
  to->weight += from->weight;
}

static void move_entries(columns *entries, const cluster *clusters, int count) {
  for (int i = 0; i < count; i++) {
    if (!(clusters[i].weight > 0)) continue;  // an entry that serves nobody stays where it is
    entries->r[i] = (int32_t)(clusters[i].sum[0] / clusters[i].weight + 0.5);
    entries->g[i] = (int32_t)(clusters[i].sum[1] / clusters[i].weight + 0.5);
    entries->b[i] = (int32_t)(clusters[i].sum[2] / clusters[i].weight + 0.5);
  }
  fill_up(entries, count);
}

vc_status vc_palette_make(vc_palette *out, const vc_frames *frames, vc_error *error) {
  *out = (vc_palette){0};
  if (frames->count < 1 || !frames->rgb) return vc_fail(error, VC_INVALID, "a clip without frames has no colours");
  if (exact_palette(out, frames)) return VC_OK;
  cell *cells = NULL;
  size_t cell_count = 0;
  box boxes[MAX_COLORS];
  cluster clusters[MAX_COLORS] = {0};
  columns entries = {0};
  vc_status status = count_cells(&cells, &cell_count, frames, error);
  if (!status) {
    int count = split_boxes(boxes, cells, cell_count);
    for (int i = 0; i < count; i++)
      for (size_t k = 0; k < boxes[i].count; k++) add_to(&clusters[i], &cells[boxes[i].first + k]);
    move_entries(&entries, clusters, count);
    for (int round = 0; round < ROUNDS; round++) {
      memset(clusters, 0, sizeof clusters);
      for (size_t k = 0; k < cell_count; k++)
        add_to(&clusters[nearest(&entries, cells[k].at[0], cells[k].at[1], cells[k].at[2])], &cells[k]);
      move_entries(&entries, clusters, count);
    }
    out->count = count;
    for (int i = 0; i < count; i++) {
      out->rgb[i][0] = (uint8_t)((entries.r[i] + SCALE / 2) / SCALE);
      out->rgb[i][1] = (uint8_t)((entries.g[i] + SCALE / 2) / SCALE);
      out->rgb[i][2] = (uint8_t)((entries.b[i] + SCALE / 2) / SCALE);
    }
  }
  free(cells);
  return status;
}

// ---- mapping

// How a colour is shown: entry `a`, or `b` on `share` of every 64 pixels.
typedef struct mix {
  uint32_t color;  // + 1; 0: nothing is known yet
  uint8_t a, b, share;
} mix;

typedef struct mix_cache {
  columns entries;
  mix known[CACHE_SIZE];  // direct-mapped by colour
} mix_cache;

// The entry that best makes up for the error of the nearest one lies around the colour's mirror image behind it.
static mix find_mix(const columns *e, uint32_t color) {
  int r = (int)(color >> 16), g = (int)(color >> 8 & 255), b = (int)(color & 255);
  int near = nearest(e, r, g, b);
  mix found = {color + 1, (uint8_t)near, (uint8_t)near, 0};
  int er = r - e->r[near], eg = g - e->g[near], eb = b - e->b[near];
  if (!er && !eg && !eb) return found;
  int far = nearest(e, r + er, g + eg, b + eb);
  int sr = e->r[far] - e->r[near], sg = e->g[far] - e->g[near], sb = e->b[far] - e->b[near];
  int spread = sr * sr + sg * sg + sb * sb, along = er * sr + eg * sg + eb * sb;
  if (along <= 0 || spread > MAX_SPREAD) return found;
  int share = (64 * along + spread / 2) / spread;
  found.b = (uint8_t)far;
  found.share = (uint8_t)(share > 64 ? 64 : share);
  return found;
}

// Entry (x, y) of the 8x8 Bayer matrix, 0 to 63: the bits of x ^ y and y, interleaved from the lowest up.
static int bayer(int x, int y) {
  int value = 0;
  for (int bit = 0; bit < 3; bit++) value = value << 2 | (((x ^ y) >> bit & 1) << 1) | (y >> bit & 1);
  return value;
}

vc_status vc_palette_apply(vc_palette_map *map, uint8_t *index, const vc_image *image, const vc_palette *palette,
                           vc_error *error) {
  mix_cache *cache = map->cache;
  if (!cache) {
    map->cache = cache = calloc(1, sizeof *cache);
    if (!cache) return vc_fail(error, VC_NO_MEMORY, "no memory to map colours");
    for (int i = 0; i < palette->count; i++) {
      cache->entries.r[i] = palette->rgb[i][0];
      cache->entries.g[i] = palette->rgb[i][1];
      cache->entries.b[i] = palette->rgb[i][2];
    }
    fill_up(&cache->entries, palette->count);
  }
  int threshold[8][8];
  for (int y = 0; y < 8; y++)
    for (int x = 0; x < 8; x++) threshold[y][x] = bayer(x, y);
  const uint8_t *p = image->rgb;
  for (int y = 0; y < image->height; y++)
    for (int x = 0; x < image->width; x++, p += 3) {
      uint32_t color = (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];
      mix *m = &cache->known[(color * 2654435761u) >> 16];
      if (m->color != color + 1) *m = find_mix(&cache->entries, color);
      *index++ = m->share > threshold[y & 7][x & 7] ? m->b : m->a;
    }
  return VC_OK;
}

void vc_palette_map_free(vc_palette_map *map) {
  free(map->cache);
  map->cache = NULL;
}
