// Convolutions as sums of matrix products, one tile of [pixels, c_out] an item. The weight is packed as
// [taps * c, c_out], k = tap * c + channel.
//
// Kernels along frames only (1x1x1 and 3x1x1) need no copies: what a tile of consecutive pixels reads through one tap
// is a run of consecutive pixels too. All others copy the pixels that the taps read, row by row, into a slab
// [tile rows, part of k] that stays in the cache; padding, stride, dilation, enlarging and the join of two inputs are
// settled in that copy, which costs 5 % of the products at 320 channels. Depthwise kernels are plain loops. Large 3x3
// convolutions go another way altogether: winograd.c.
//
// With a weight in bf16 the inputs are rounded as they are copied, so that every kernel goes through the slab.
#include <string.h>

#include "kernels/cpu/cpu.h"

typedef enum path { ALONG_FRAMES, THROUGH_SLAB, DEPTHWISE } path;

typedef struct job {
  const vc_conv *op;
  const vc_cpu_vector *loops;
  vc_cpu_tiling tiling;  // of one video when along frames, else of all
  path path;
  bool bf16;  // the weight is in bf16, and so are slabs
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
  _Alignas(64) float slab[VC_CPU_TILE_ROWS * VC_CPU_SLAB_K];
} thread_memory;

typedef struct thread_memory_bf16 {
  vc_cpu_bf16 product;
  origin origin[VC_CPU_TILE_ROWS];
} thread_memory_bf16;

_Static_assert(sizeof(thread_memory) <= VC_CPU_SCRATCH && sizeof(thread_memory_bf16) <= VC_CPU_SCRATCH,
               "a thread's memory holds a tile of a convolution");

static bool is_bf16(const vc_conv *op) {
  return op->weight_dtype == VC_BF16 && op->groups == 1 && op->c[0] + op->c[1] > 1;
}

static path path_of(const vc_conv *op) {
  if (op->groups > 1) return DEPTHWISE;
  if (is_bf16(op)) return THROUGH_SLAB;
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

// A slab [m, ld], in fp32 or bf16, and values of it from number `at` on.
typedef struct slab {
  void *values;
  int64_t m, ld, k0, k1;
} slab;

static inline void put_zeros(const job *j, const slab *s, int64_t at, int64_t count) {
  size_t size = j->bf16 ? sizeof(uint16_t) : sizeof(float);
  memset((char *)s->values + (size_t)at * size, 0, (size_t)count * size);
}

static inline void put_values(const job *j, const slab *s, int64_t at, const float *from, int64_t count) {
  if (j->bf16)
    j->loops->round_bf16((uint16_t *)s->values + at, from, count);
  else
    memcpy((float *)s->values + at, from, (size_t)count * sizeof *from);
}

// Channels from .. to of a pixel of the joined inputs.
static inline void copy_channels(const job *j, const slab *s, int64_t at, int64_t pixel, int64_t from, int64_t to) {
  const vc_conv *op = j->op;
  int64_t border = op->c[0];
  if (pixel < 0) {
    put_zeros(j, s, at, to - from);
    return;
  }
  if (from < border) {
    int64_t end = to < border ? to : border;
    put_values(j, s, at, (const float *)op->x[0] + pixel * border + from, end - from);
    at += end - from;
    from = end;
  }
  if (from < to) put_values(j, s, at, (const float *)op->x[1] + pixel * op->c[1] + from - border, to - from);
}

static void fill_slab(const job *j, const origin *origins, const slab *s) {
  const vc_conv *op = j->op;
  int64_t area = op->kernel[1] * op->kernel[2];
  for (int64_t k = s->k0; k < s->k1;) {
    int64_t tap = k / j->c, from = k % j->c, to = j->c - from < s->k1 - k ? j->c : from + s->k1 - k;
    int64_t kf = tap / area, ky = tap % area / op->kernel[2], kx = tap % op->kernel[2];
    for (int64_t r = 0; r < s->m; r++)
      copy_channels(j, s, r * s->ld + k - s->k0, find_pixel(op, origins + r, kf, ky, kx), from, to);
    k += to - from;
  }
}

// The same for one input whose pixels are read as they lie: what a row of taps reads is one run, cut off at the edges.
// Whole networks of 3x3 convolutions are 3 % faster with it.
static void fill_slab_by_rows(const job *j, const origin *origins, const slab *s) {
  const vc_conv *op = j->op;
  int64_t line = op->kernel[2] * j->c;
  for (int64_t k = s->k0, end; k < s->k1; k = end) {
    int64_t row = k / line, from = k % line, kf = row / op->kernel[1], ky = row % op->kernel[1];
    end = (row + 1) * line < s->k1 ? (row + 1) * line : s->k1;
    int64_t to = from + end - k;
    for (int64_t r = 0; r < s->m; r++) {
      const origin *o = origins + r;
      int64_t at = r * s->ld + k - s->k0 - from;  // where the row's values would begin
      int64_t f = o->f + kf * op->dilation[0], y = o->y + ky * op->dilation[1];
      int64_t first = -o->x * j->c, last = (op->w - o->x) * j->c;  // of the row's values that lie inside
      if (f < 0 || f >= op->f || y < 0 || y >= op->h) last = first = to;
      if (first < from) first = from;
      if (first > to) first = to;
      if (last > to) last = to;
      if (last < first) last = first;
      if (first > from) put_zeros(j, s, at + from, first - from);
      if (last > first) {
        int64_t pixel = ((o->video * op->f + f) * op->h + y) * op->w + o->x;
        put_values(j, s, at + first, (const float *)op->x[0] + (pixel * j->c + first), last - first);
      }
      if (to > last) put_zeros(j, s, at + last, to - last);
    }
  }
}

static void fill(const job *j, const origin *origins, slab *s, int64_t k0) {
  const vc_conv *op = j->op;
  bool by_rows = op->c[1] == 0 && op->upsample == 1 && op->dilation[2] == 1;
  s->k0 = k0;
  s->k1 = j->taps * j->c - k0 < j->slab_k ? j->taps * j->c : k0 + j->slab_k;
  s->ld = j->bf16 ? (s->k1 - k0 + 1) / 2 * 2 : s->k1 - k0;
  (by_rows ? fill_slab_by_rows : fill_slab)(j, origins, s);
  for (int64_t r = 0; r < s->m && s->ld > s->k1 - k0; r++) put_zeros(j, s, (r + 1) * s->ld - 1, 1);
}

static vc_status through_slab(const job *j, const vc_cpu_part *part, thread_memory *memory) {
  const vc_conv *op = j->op;
  slab s = {.values = memory->slab, .m = part->m};
  vc_status status = VC_OK;
  find_origins(op, part, memory->origin);
  for (int64_t k = 0; k < j->taps * j->c && status == VC_OK; k += j->slab_k) {
    fill(j, memory->origin, &s, k);
    status = vc_cpu_product(part->m, part->n, s.k1 - k, memory->slab, s.ld,
                            (const float *)op->weight + k * op->c_out + part->column, op->c_out, k > 0, memory->product,
                            part->n);
  }
  return status;
}

static vc_status through_slab_bf16(const job *j, const vc_cpu_part *part, thread_memory_bf16 *memory) {
  slab s = {.values = memory->product.slab, .m = part->m};
  int64_t k_all = j->taps * j->c;
  vc_status status = VC_OK;
  find_origins(j->op, part, memory->origin);
  for (int64_t k = 0; k < k_all && status == VC_OK; k += j->slab_k) {
    fill(j, memory->origin, &s, k);
    status = vc_cpu_product_bf16(j->loops, &memory->product, &(vc_cpu_slab){j->op->weight, part->m, s.k0, s.k1, k_all},
                                 part->column, part->n, memory->product.product);
  }
  vc_cpu_settle_bf16(memory->product.product, part->m, part->column, part->n);
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

static vc_status work_bf16(void *context, int64_t item, void *scratch) {
  const job *j = context;
  thread_memory_bf16 *memory = scratch;
  vc_cpu_part part = vc_cpu_part_of(&j->tiling, item);
  vc_status status = through_slab_bf16(j, &part, memory);
  if (status == VC_OK)
    vc_cpu_epilogue(j->loops, &j->op->epilogue, &part, j->op->c_out, memory->product.product, NULL, j->op->out);
  return status;
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
  vc_status status = vc_op_check_conv(op, error);
  *workspace = status == VC_OK ? vc_cpu_winograd_bytes(op) : 0;
  return status;
}

vc_status vc_cpu_conv(vc_device *device, const vc_conv *op, vc_error *error) {
  vc_status status = vc_op_check_epilogue(&op->epilogue, false, error);
  if (status != VC_OK) return vc_fail_in(error, status, "op conv");
  if (vc_cpu_winograd_bytes(op)) return vc_cpu_failed(vc_cpu_winograd(device, op), VC_OP_CONV, error);
  job j = {.op = op, .loops = vc_cpu_loops(device), .path = path_of(op), .bf16 = is_bf16(op), .videos = 1};
  j.c = op->groups > 1 ? op->c[0] : op->c[0] + op->c[1];
  j.taps = op->kernel[0] * op->kernel[1] * op->kernel[2];
  j.frames = op->n * op->f;
  j.frames_out = op->n * op->f_out;
  if (j.path == ALONG_FRAMES && (op->kernel[0] > 1 || op->pad[0] > 0 || op->f_out != op->f)) {
    j.videos = op->n;
    j.frames = op->f;
    j.frames_out = op->f_out;
  }
  j.slab_k = vc_cpu_slab_k(j.taps * j.c);
  j.tiling = vc_cpu_tile(j.frames_out * op->h_out * op->w_out, op->c_out);
  status =
      vc_cpu_parallel(device, j.videos * j.tiling.row_tiles * j.tiling.column_tiles, j.bf16 ? work_bf16 : work, &j);
  return vc_cpu_failed(status, VC_OP_CONV, error);
}
