// 3x3 convolutions of stride 1 by the minimal filtering algorithm F(2x2, 3x3) (Winograd 1980; Lavin and Gray,
// arXiv:1509.09308): 2 x 2 output pixels from 4 x 4 input pixels take 16 products instead of 36. Inputs, weight and
// outputs are transformed with additions and halvings alone, so that in fp32 the error stays near that of the plain
// sum. A NaN of the input reaches all pixels of the 2 x 2 that it reaches one of.
//
//   16 matrices [tiles, c] of the inputs, of one item, times 16 matrices [c, columns] of the weight, then summed up
//
// The weight's 16 matrices are made anew in every run: kept, they would take 16/9 of the memory of the weight.
//
// On two Zen 4 cores that is 1.5 to 1.9 times as fast as the plain sum where there are 2048 pixels and 64 channels or
// more, which most of the released model and its autoencoder has; 1.1 to 1.3 times at 512 pixels or 32 channels.
#include <string.h>

#include "kernels/cpu/cpu.h"

enum {
  MATRICES = 16,
  TILES = 64,  // of 2 x 2 pixels an item, at most
  LEAST_TILES = 16,
  LEAST_ITEMS = 16,  // if that can be had
  CHANNELS = 192,    // that are transformed at a time
  GROUP = 2,         // column tiles an item, which share the transformed inputs
  LEAST_CHANNELS = 32,
  LEAST_PIXELS = 512,
  WORKSPACE = 64 << 20,  // bytes of the weight's matrices at a time
};

typedef struct thread_memory {
  float input[MATRICES][TILES * CHANNELS];
  float product[GROUP][MATRICES][TILES * VC_CPU_TILE_COLUMNS];
  float out[2][2 * TILES * VC_CPU_TILE_COLUMNS];  // two rows of pixels
  float zeros[CHANNELS];
} thread_memory;

_Static_assert(sizeof(thread_memory) <= VC_CPU_SCRATCH, "a thread's memory holds the matrices of an item");

// A pass makes some columns of the result.
typedef struct job {
  const vc_conv *op;
  const vc_cpu_vector *loops;
  int64_t c, rows, columns;            // channels in; tiles down and across a picture
  int64_t tiles, item_tiles, group;    // group: column tiles an item
  int64_t first, count, tile_columns;  // columns of the pass
  int64_t row_items;
} job;

static int64_t pieces(int64_t total, int64_t piece) {
  return (total + piece - 1) / piece;
}

static int64_t tile_columns_of(const vc_conv *op) {
  return vc_cpu_tile(op->n * op->f * op->h_out * op->w_out, op->c_out).tile_columns;
}

// Columns of the result that are made at a time: whole tiles, of much the same number; 0 when none fits.
static int64_t pass_columns(const vc_conv *op) {
  int64_t step = tile_columns_of(op), tiles = pieces(op->c_out, step);
  int64_t most = WORKSPACE / (MATRICES * (int64_t)sizeof(float) * (op->c[0] + op->c[1])) / step;
  if (most < 1) return 0;
  int64_t columns = pieces(tiles, pieces(tiles, most)) * step;
  return columns < op->c_out ? columns : op->c_out;
}

size_t vc_cpu_winograd_bytes(const vc_conv *op) {
  for (int i = 0; i < 3; i++)
    if (op->kernel[i] != (i ? 3 : 1) || op->stride[i] != 1 || op->dilation[i] != 1) return 0;
  int64_t frames = op->n * op->f, pixels = frames * op->h_out * op->w_out, c = op->c[0] + op->c[1];
  int64_t tiles = frames * pieces(op->h_out, 2) * pieces(op->w_out, 2);
  if (op->groups > 1 || op->weight_dtype == VC_BF16 || op->pad[0] || op->f_out != op->f) return 0;
  if (c < LEAST_CHANNELS || op->c_out < LEAST_CHANNELS || pixels < LEAST_PIXELS) return 0;
  if (3 * tiles * MATRICES > 2 * pixels * 9) return 0;  // odd sizes fill too few of the tiles
  return (size_t)(MATRICES * c * pass_columns(op)) * sizeof(float);
}

// One channel's nine rows of the pass's columns become sixteen: workspace [MATRICES, c, count].
static vc_status weight_work(void *context, int64_t item, void *scratch) {
  (void)scratch;
  const job *j = context;
  const vc_conv *op = j->op;
  j->loops->winograd_weight((float *)op->workspace + item * j->count, j->c * j->count,
                            (const float *)op->weight + item * op->c_out + j->first, j->c * op->c_out, j->count);
  return VC_OK;
}

// The place of a tile: picture, row and column.
typedef struct place {
  int64_t frame, y, x;
} place;

static place place_of(const job *j, int64_t tile) {
  return (place){tile / j->columns / j->rows, tile / j->columns % j->rows, tile % j->columns};
}

static void find_pixels(const job *j, int64_t tile, int input, int64_t channel, const float *zeros,
                        const float *pixel[MATRICES]) {
  const vc_conv *op = j->op;
  place p = place_of(j, tile);
  int64_t y0 = 2 * p.y - op->pad[1], x0 = 2 * p.x - op->pad[2];
  for (int i = 0; i < MATRICES; i++) {
    int64_t y = y0 + i / 4, x = x0 + i % 4;
    bool outside = y < 0 || y >= op->h * op->upsample || x < 0 || x >= op->w * op->upsample;
    int64_t at = (p.frame * op->h + y / op->upsample) * op->w + x / op->upsample;
    pixel[i] = outside ? zeros : (const float *)op->x[input] + at * op->c[input] + channel;
  }
}

// The products of tiles first .. first + tiles with one column tile after the other.
static vc_status multiply(const job *j, int64_t first, int64_t tiles, const vc_cpu_part *part, thread_memory *m) {
  const vc_conv *op = j->op;
  vc_status status = VC_OK;
  for (int64_t input = 0, k = 0; input < 2; input++) {
    if (!op->c[input]) continue;
    int64_t step = (pieces(op->c[input], pieces(op->c[input], CHANNELS)) + 15) / 16 * 16;
    for (int64_t from = 0, count; from < op->c[input]; from += count, k += count) {
      count = op->c[input] - from < step ? op->c[input] - from : step;
      for (int64_t t = 0; t < tiles; t++) {
        const float *pixel[MATRICES];
        find_pixels(j, first + t, (int)input, from, m->zeros, pixel);
        j->loops->winograd_input(m->input[0] + t * count, TILES * CHANNELS, pixel, count);
      }
      for (int64_t column = 0, g = 0; column < part->n && status == VC_OK; column += j->tile_columns, g++) {
        int64_t n = part->n - column < j->tile_columns ? part->n - column : j->tile_columns;
        for (int i = 0; i < MATRICES && status == VC_OK; i++)
          status = vc_cpu_product(tiles, n, count, m->input[i], count,
                                  (const float *)op->workspace + (i * j->c + k) * j->count + part->column + column,
                                  j->count, k > 0, m->product[g][i], n);
      }
      if (status != VC_OK) return status;
    }
  }
  return VC_OK;
}

// Tiles of one row of tiles, `at` of the item's, are two rows of pixels.
static void store_row(const job *j, int64_t first, int64_t at, int64_t tiles, vc_cpu_part column, const float *product,
                      thread_memory *m) {
  const vc_conv *op = j->op;
  place p = place_of(j, first + at);
  int64_t n = column.n, width = op->w_out - 2 * p.x < 2 * tiles ? op->w_out - 2 * p.x : 2 * tiles;
  for (int64_t t = 0; t < tiles; t++) {
    float *out[4] = {m->out[0] + 2 * t * n, m->out[0] + (2 * t + 1) * n, m->out[1] + 2 * t * n,
                     m->out[1] + (2 * t + 1) * n};
    j->loops->winograd_output(out, product + (at + t) * n, TILES * VC_CPU_TILE_COLUMNS, n);
  }
  for (int i = 0; i < 2 && 2 * p.y + i < op->h_out; i++) {
    column.row = (p.frame * op->h_out + 2 * p.y + i) * op->w_out + 2 * p.x;
    column.m = width;
    vc_cpu_epilogue(j->loops, &op->epilogue, &column, op->c_out, m->out[i], NULL, op->out);
  }
}

static vc_status tiles_work(void *context, int64_t item, void *scratch) {
  const job *j = context;
  thread_memory *m = scratch;
  int64_t first = item % j->row_items * j->item_tiles, width = j->group * j->tile_columns;
  int64_t tiles = j->tiles - first < j->item_tiles ? j->tiles - first : j->item_tiles;
  vc_cpu_part part = {.column = item / j->row_items * width};  // within the pass
  part.n = j->count - part.column < width ? j->count - part.column : width;
  memset(m->zeros, 0, sizeof m->zeros);
  vc_status status = multiply(j, first, tiles, &part, m);
  if (status != VC_OK) return status;
  for (int64_t column = 0, g = 0; column < part.n; column += j->tile_columns, g++) {
    vc_cpu_part one = {.column = j->first + part.column + column};
    one.n = part.n - column < j->tile_columns ? part.n - column : j->tile_columns;
    for (int64_t at = 0, count; at < tiles; at += count) {
      count = j->columns - (first + at) % j->columns;
      if (count > tiles - at) count = tiles - at;
      store_row(j, first, at, count, one, m->product[g][0], m);
    }
  }
  return VC_OK;
}

vc_status vc_cpu_winograd(vc_device *device, const vc_conv *op) {
  job j = {.op = op, .loops = vc_cpu_loops(device), .c = op->c[0] + op->c[1]};
  int64_t columns = pass_columns(op);
  vc_status status = VC_OK;
  j.rows = pieces(op->h_out, 2);
  j.columns = pieces(op->w_out, 2);
  j.tiles = op->n * op->f * j.rows * j.columns;
  j.tile_columns = tile_columns_of(op);
  j.item_tiles = TILES;
  j.group = GROUP;
  while (pieces(j.tiles, j.item_tiles) * pieces(columns, j.group * j.tile_columns) < LEAST_ITEMS) {
    if (j.group > 1)
      j.group--;
    else if (j.item_tiles > LEAST_TILES)
      j.item_tiles /= 2;
    else
      break;
  }
  j.row_items = pieces(j.tiles, j.item_tiles);
  for (; j.first < op->c_out && status == VC_OK; j.first += columns) {
    j.count = op->c_out - j.first < columns ? op->c_out - j.first : columns;
    status = vc_cpu_parallel(device, j.c, weight_work, &j);
    if (status == VC_OK)
      status = vc_cpu_parallel(device, j.row_items * pieces(j.count, j.group * j.tile_columns), tiles_work, &j);
  }
  return status;
}
