// Transposed convolution as ordinary ones: output pixels whose place modulo the stride is the same (a phase) read the
// input through the same taps, which lie `stride` apart in the kernel, and each tap is one matrix product. Nothing is
// multiplied with zeros between pixels. The weight is packed as [taps, c, c_out].
//
// A tap's pixels are copied into a slab, as in conv.c: 5 % of the products at 256 channels.
#include <string.h>

#include "kernels/cpu/cpu.h"

enum {
  SLAB_C = 960,  // channels of a slab
};

typedef struct job {
  const vc_conv_transpose *op;
  const vc_cpu_vector *loops;
  vc_cpu_tiling tiling;  // of the largest phase
} job;

// Where an output pixel stands, and the input pixel that its phase's first tap reads.
typedef struct place {
  int64_t frame, y, x;
  int64_t out;
} place;

typedef struct thread_memory {
  float product[VC_CPU_TILE_ROWS * VC_CPU_TILE_COLUMNS];
  float shift[VC_CPU_TILE_COLUMNS];
  place place[VC_CPU_TILE_ROWS];
  _Alignas(64) float slab[VC_CPU_TILE_ROWS * SLAB_C];
} thread_memory;

_Static_assert(sizeof(thread_memory) <= VC_CPU_SCRATCH, "a thread's memory holds a tile of a transposed convolution");

// The output pixels of one phase along one axis: first, first + stride, ...; their number may be 0.
typedef struct run {
  int64_t first, count;
} run;

static run pixels_of(const vc_conv_transpose *op, int64_t phase, int64_t size) {
  run r = {.first = ((phase - op->pad) % op->stride + op->stride) % op->stride};
  r.count = r.first < size ? (size - r.first + op->stride - 1) / op->stride : 0;
  return r;
}

static void find_places(const vc_conv_transpose *op, const vc_cpu_part *part, run y, run x, place *out) {
  for (int64_t r = 0; r < part->m; r++) {
    int64_t row = part->row + r;
    int64_t ox = x.first + row % x.count * op->stride, oy = y.first + row / x.count % y.count * op->stride;
    out[r].frame = row / x.count / y.count;
    out[r].y = (oy + op->pad) / op->stride;
    out[r].x = (ox + op->pad) / op->stride;
    out[r].out = (out[r].frame * op->h_out + oy) * op->w_out + ox;
  }
}

// Channels from .. to of the pixels that the phase's tap (ty, tx) reads.
static void fill_slab(const vc_conv_transpose *op, const place *places, int64_t m, int64_t ty, int64_t tx, int64_t from,
                      int64_t to, float *slab) {
  size_t bytes = (size_t)(to - from) * sizeof *slab;
  for (int64_t r = 0; r < m; r++, slab += to - from) {
    int64_t y = places[r].y - ty, x = places[r].x - tx;
    if (y < 0 || y >= op->h || x < 0 || x >= op->w)
      memset(slab, 0, bytes);
    else
      memcpy(slab, (const float *)op->x + ((places[r].frame * op->h + y) * op->w + x) * op->c + from, bytes);
  }
}

static vc_status multiply(const vc_conv_transpose *op, const vc_cpu_part *part, int64_t phase_y, int64_t phase_x,
                          thread_memory *memory) {
  bool accumulate = false;
  for (int64_t ky = phase_y; ky < op->kernel; ky += op->stride)
    for (int64_t kx = phase_x; kx < op->kernel; kx += op->stride)
      for (int64_t from = 0, to; from < op->c; from = to) {
        to = from + SLAB_C < op->c ? from + SLAB_C : op->c;
        fill_slab(op, memory->place, part->m, ky / op->stride, kx / op->stride, from, to, memory->slab);
        const float *weight = (const float *)op->weight + ((ky * op->kernel + kx) * op->c + from) * op->c_out;
        vc_status status = vc_cpu_product(part->m, part->n, to - from, memory->slab, to - from, weight + part->column,
                                          op->c_out, accumulate, memory->product, part->n);
        if (status != VC_OK) return status;
        accumulate = true;
      }
  if (!accumulate) memset(memory->product, 0, (size_t)(part->m * part->n) * sizeof(float));
  return VC_OK;
}

static vc_status work(void *context, int64_t item, void *scratch) {
  const job *j = context;
  const vc_conv_transpose *op = j->op;
  thread_memory *memory = scratch;
  int64_t tiles = j->tiling.row_tiles * j->tiling.column_tiles, phase = item / tiles;
  int64_t phase_y = phase / op->stride, phase_x = phase % op->stride;
  run y = pixels_of(op, phase_y, op->h_out), x = pixels_of(op, phase_x, op->w_out);
  vc_cpu_part part = vc_cpu_part_of(&j->tiling, item % tiles);
  int64_t left = op->frames * y.count * x.count - part.row;  // the phase may be smaller than the largest
  if (left <= 0) return VC_OK;
  if (left < part.m) part.m = left;
  find_places(op, &part, y, x, memory->place);
  vc_status status = multiply(op, &part, phase_y, phase_x, memory);
  if (status != VC_OK) return status;
  for (int64_t i = 0; i < part.n; i++) memory->shift[i] = op->bias ? op->bias[part.column + i] : 0;
  for (int64_t r = 0; r < part.m; r++)
    j->loops->activate((float *)op->out + memory->place[r].out * op->c_out + part.column, memory->product + r * part.n,
                       memory->shift, op->activation, NULL, part.n);
  return VC_OK;
}

vc_status vc_cpu_conv_transpose_prepare(const vc_conv_transpose *op, size_t *workspace, vc_error *error) {
  *workspace = 0;
  return vc_op_check_conv_transpose(op, error);
}

vc_status vc_cpu_conv_transpose(vc_device *device, const vc_conv_transpose *op, vc_error *error) {
  int64_t rows = (op->h_out + op->stride - 1) / op->stride, columns = (op->w_out + op->stride - 1) / op->stride;
  job j = {.op = op, .loops = vc_cpu_loops(device), .tiling = vc_cpu_tile(op->frames * rows * columns, op->c_out)};
  int64_t items = op->stride * op->stride * j.tiling.row_tiles * j.tiling.column_tiles;
  return vc_cpu_failed(vc_cpu_parallel(device, items, work, &j), VC_OP_CONV_TRANSPOSE, error);
}
