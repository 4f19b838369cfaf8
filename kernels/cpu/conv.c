// Convolutions as sums of matrix products, one tile of [pixels, c_out] an item. The weight is packed as
// [taps * c, c_out], k = tap * c + channel.
//
// Kernels along frames only (1x1x1 and 3x1x1) need no copies: what a tile of consecutive pixels reads through one tap
// is a run of consecutive pixels too. All others copy the pixels that the taps read, row by row, into a slab
// [tile rows, part of k] that stays in the cache; padding, stride, dilation, enlarging and the join of two inputs are
// settled in that copy, which costs 5 % of the products at 320 channels. Depthwise kernels are plain loops.
#include <string.h>

#include "kernels/cpu/cpu.h"

enum {
  SLAB_K = 960,  // values of k in a slab: 960 KB at 256 rows
};

typedef enum path { ALONG_FRAMES, THROUGH_SLAB, DEPTHWISE } path;

typedef struct job {
  const vc_conv *op;
  const vc_cpu_vector *loops;
  vc_cpu_tiling tiling;  // of one video when along frames, else of all
  path path;
  int64_t c, taps;
  int64_t videos, frames, frames_out;  // along frames
  int64_t slab_k;
} job;

// Where an output pixel starts to read; before the first tap's offset is added.
typedef struct origin {
  int64_t video, f, y, x;
} origin;

typedef struct thread_memory {
  float product[VC_CPU_TILE_ROWS * VC_CPU_TILE_COLUMNS];
  origin origin[VC_CPU_TILE_ROWS];
  const float *pixel[VC_TAPS_MAX];
  _Alignas(64) float slab[VC_CPU_TILE_ROWS * SLAB_K];
} thread_memory;

_Static_assert(sizeof(thread_memory) <= VC_CPU_SCRATCH, "a thread's memory holds a tile of a convolution");

static path path_of(const vc_conv *op) {
  if (op->groups > 1) return DEPTHWISE;
  bool in_place = op->kernel[1] == 1 && op->kernel[2] == 1 && op->pad[1] == 0 && op->pad[2] == 0 &&
                  op->stride[0] == 1 && op->stride[1] == 1 && op->stride[2] == 1 && op->upsample == 1 &&
                  op->h_out == op->h && op->w_out == op->w;
  return in_place ? ALONG_FRAMES : THROUGH_SLAB;
}

// product (+)= the inputs at `pixel`, m pixels on, times one tap of the weight.
static vc_status add_tap(const job *j, int64_t tap, int64_t pixel, int64_t m, const vc_cpu_part *part, bool accumulate,
                         float *product) {
  const vc_conv *op = j->op;
  const float *weight = (const float *)op->weight + tap * j->c * op->c_out + part->column;
  for (int i = 0; i < 2; i++) {
    if (op->c[i] == 0) continue;
    vc_status status = vc_cpu_product(m, part->n, op->c[i], (const float *)op->x[i] + pixel * op->c[i], op->c[i],
                                      weight, op->c_out, accumulate, product, part->n);
    if (status != VC_OK) return status;
    weight += op->c[i] * op->c_out;
    accumulate = true;
  }
  return VC_OK;
}

// The tile's rows count from the start of its video here.
static vc_status along_frames(const job *j, int64_t video, const vc_cpu_part *part, float *product) {
  const vc_conv *op = j->op;
  int64_t area = op->h * op->w, pixels = j->frames * area, first = -1;
  // A tap without offset reaches every row, unless there are more frames out than in: it can overwrite the product.
  if (op->pad[0] % op->dilation[0] == 0 && op->pad[0] / op->dilation[0] < op->kernel[0] &&
      part->row + part->m <= pixels)
    first = op->pad[0] / op->dilation[0];
  vc_status status = VC_OK;
  if (first >= 0)
    status = add_tap(j, first, video * pixels + part->row, part->m, part, false, product);
  else
    memset(product, 0, (size_t)(part->m * part->n) * sizeof *product);
  for (int64_t tap = 0; tap < op->kernel[0] && status == VC_OK; tap++) {
    int64_t from = part->row + (tap * op->dilation[0] - op->pad[0]) * area, to = from + part->m;
    int64_t skip = from < 0 ? -from : 0;
    if (to > pixels) to = pixels;
    if (tap == first || from + skip >= to) continue;
    status = add_tap(j, tap, video * pixels + from + skip, to - from - skip, part, true, product + skip * part->n);
  }
  return status;
}

static void find_origins(const vc_conv *op, const vc_cpu_part *part, origin *out) {
  for (int64_t r = 0; r < part->m; r++) {
    int64_t row = part->row + r;
    out[r].x = row % op->w_out * op->stride[2] - op->pad[2];
    row /= op->w_out;
    out[r].y = row % op->h_out * op->stride[1] - op->pad[1];
    row /= op->h_out;
    out[r].f = row % op->f_out * op->stride[0] - op->pad[0];
    out[r].video = row / op->f_out;
  }
}

// The number of the input pixel that a tap reads, or -1 outside.
static inline int64_t find_pixel(const vc_conv *op, const origin *o, int64_t kf, int64_t ky, int64_t kx) {
  int64_t f = o->f + kf * op->dilation[0], y = o->y + ky * op->dilation[1], x = o->x + kx * op->dilation[2];
  if (f < 0 || f >= op->f || y < 0 || y >= op->h * op->upsample || x < 0 || x >= op->w * op->upsample) return -1;
  if (op->upsample == 2) y /= 2, x /= 2;
  return ((o->video * op->f + f) * op->h + y) * op->w + x;
}

// Channels from .. to of a pixel of the joined inputs.
static inline void copy_channels(const vc_conv *op, int64_t pixel, int64_t from, int64_t to, float *out) {
  if (pixel < 0) {
    memset(out, 0, (size_t)(to - from) * sizeof *out);
    return;
  }
  int64_t border = op->c[0];
  if (from < border) {
    int64_t end = to < border ? to : border;
    memcpy(out, (const float *)op->x[0] + pixel * border + from, (size_t)(end - from) * sizeof *out);
    out += end - from;
    from = end;
  }
  if (from < to)
    memcpy(out, (const float *)op->x[1] + pixel * op->c[1] + from - border, (size_t)(to - from) * sizeof *out);
}

static void fill_slab(const job *j, const origin *origins, int64_t m, int64_t k0, int64_t k1, float *slab) {
  const vc_conv *op = j->op;
  int64_t area = op->kernel[1] * op->kernel[2];
  for (int64_t k = k0; k < k1;) {
    int64_t tap = k / j->c, from = k % j->c, to = j->c - from < k1 - k ? j->c : from + k1 - k;
    int64_t kf = tap / area, ky = tap % area / op->kernel[2], kx = tap % op->kernel[2];
    for (int64_t r = 0; r < m; r++)
      copy_channels(op, find_pixel(op, origins + r, kf, ky, kx), from, to, slab + r * (k1 - k0) + k - k0);
    k += to - from;
  }
}

// The same for one input whose pixels are read as they lie: what a row of taps reads is one run, cut off at the edges.
// Whole networks of 3x3 convolutions are 3 % faster with it.
static void fill_slab_by_rows(const job *j, const origin *origins, int64_t m, int64_t k0, int64_t k1, float *slab) {
  const vc_conv *op = j->op;
  int64_t line = op->kernel[2] * j->c;
  for (int64_t k = k0, end; k < k1; k = end) {
    int64_t row = k / line, from = k % line, kf = row / op->kernel[1], ky = row % op->kernel[1];
    end = (row + 1) * line < k1 ? (row + 1) * line : k1;
    int64_t to = from + end - k;
    for (int64_t r = 0; r < m; r++) {
      const origin *o = origins + r;
      float *out = slab + r * (k1 - k0) + k - k0;
      int64_t f = o->f + kf * op->dilation[0], y = o->y + ky * op->dilation[1];
      int64_t first = -o->x * j->c, last = (op->w - o->x) * j->c;  // of the row's values that lie inside
      if (f < 0 || f >= op->f || y < 0 || y >= op->h) last = first = to;
      if (first < from) first = from;
      if (first > to) first = to;
      if (last > to) last = to;
      if (last < first) last = first;
      if (first > from) memset(out, 0, (size_t)(first - from) * sizeof *out);
      if (last > first) {
        int64_t pixel = ((o->video * op->f + f) * op->h + y) * op->w + o->x;
        memcpy(out + first - from, (const float *)op->x[0] + (pixel * j->c + first),
               (size_t)(last - first) * sizeof *out);
      }
      if (to > last) memset(out + last - from, 0, (size_t)(to - last) * sizeof *out);
    }
  }
}

static vc_status through_slab(const job *j, const vc_cpu_part *part, thread_memory *memory) {
  const vc_conv *op = j->op;
  int64_t k_all = j->taps * j->c;
  bool by_rows = op->c[1] == 0 && op->upsample == 1 && op->dilation[2] == 1;
  vc_status status = VC_OK;
  find_origins(op, part, memory->origin);
  for (int64_t k = 0; k < k_all && status == VC_OK; k += j->slab_k) {
    int64_t end = k_all - k < j->slab_k ? k_all : k + j->slab_k;
    (by_rows ? fill_slab_by_rows : fill_slab)(j, memory->origin, part->m, k, end, memory->slab);
    status = vc_cpu_product(part->m, part->n, end - k, memory->slab, end - k,
                            (const float *)op->weight + k * op->c_out + part->column, op->c_out, k > 0, memory->product,
                            part->n);
  }
  return status;
}

static void depthwise(const job *j, const vc_cpu_part *part, thread_memory *memory) {
  const vc_conv *op = j->op;
  find_origins(op, part, memory->origin);
  for (int64_t r = 0; r < part->m; r++) {
    const float **at = memory->pixel;
    for (int64_t kf = 0; kf < op->kernel[0]; kf++)
      for (int64_t ky = 0; ky < op->kernel[1]; ky++)
        for (int64_t kx = 0; kx < op->kernel[2]; kx++) {
          int64_t pixel = find_pixel(op, memory->origin + r, kf, ky, kx);
          *at++ = pixel < 0 ? NULL : (const float *)op->x[0] + pixel * j->c + part->column;
        }
    j->loops->depthwise(memory->product + r * part->n, memory->pixel, (const float *)op->weight + part->column, j->c,
                        j->taps, part->n);
  }
}

static vc_status work(void *context, int64_t item, void *scratch) {
  const job *j = context;
  thread_memory *memory = scratch;
  int64_t tiles = j->tiling.row_tiles * j->tiling.column_tiles, video = item / tiles;
  vc_cpu_part part = vc_cpu_part_of(&j->tiling, item % tiles);
  vc_status status = VC_OK;
  if (j->path == ALONG_FRAMES)
    status = along_frames(j, video, &part, memory->product);
  else if (j->path == THROUGH_SLAB)
    status = through_slab(j, &part, memory);
  else
    depthwise(j, &part, memory);
  part.row += video * j->tiling.rows;
  if (status == VC_OK)
    vc_cpu_epilogue(j->loops, &j->op->epilogue, &part, j->op->c_out, memory->product, NULL, j->op->out);
  return status;
}

vc_status vc_cpu_conv_prepare(const vc_conv *op, size_t *workspace, vc_error *error) {
  *workspace = 0;
  return vc_op_check_conv(op, error);
}

vc_status vc_cpu_conv(vc_device *device, const vc_conv *op, vc_error *error) {
  vc_status status = vc_op_check_epilogue(&op->epilogue, false, error);
  if (status != VC_OK) return vc_fail_in(error, status, "op conv");
  job j = {.op = op, .loops = vc_cpu_loops(device), .path = path_of(op), .videos = 1};
  j.c = op->groups > 1 ? op->c[0] : op->c[0] + op->c[1];
  j.taps = op->kernel[0] * op->kernel[1] * op->kernel[2];
  j.frames = op->n * op->f;
  j.frames_out = op->n * op->f_out;
  if (j.path == ALONG_FRAMES && (op->kernel[0] > 1 || op->pad[0] > 0 || op->f_out != op->f)) {
    j.videos = op->n;
    j.frames = op->f;
    j.frames_out = op->f_out;
  }
  int64_t slabs = (j.taps * j.c + SLAB_K - 1) / SLAB_K;
  j.slab_k = (j.taps * j.c + slabs - 1) / slabs;
  j.tiling = vc_cpu_tile(j.frames_out * op->h_out * op->w_out, op->c_out);
  status = vc_cpu_parallel(device, j.videos * j.tiling.row_tiles * j.tiling.column_tiles, work, &j);
  return vc_cpu_failed(status, VC_OP_CONV, error);
}
