// Weights in bf16: what instructions for products in pairs want to read. The weight of a linear layer or a convolution
// is a matrix of k rows (k = tap * c + channel, as in fp32) and c_out columns. Columns lie in blocks of VC_CPU_BLOCK; a
// block holds, for every two neighbours along k, the pairs of its columns: [c_out / BLOCK][k / 2][BLOCK][2]. Zeros fill
// the last block and the last pair up.
#include <string.h>

#include "kernels/cpu/cpu.h"

enum {
  BLOCK_LINE = 512,    // values of a row that an item takes at a time, where a channel has few taps
  COLUMNS_STEP = 512,  // columns of a transposed source that an item takes at a time
};

_Static_assert(VC_CPU_BLOCK *VC_TAPS_MAX * 5 * sizeof(float) <= VC_CPU_SCRATCH, "a thread's memory holds a block");
_Static_assert(BLOCK_LINE <= (int)VC_TAPS_MAX && COLUMNS_STEP * 8 * sizeof(float) <= VC_CPU_SCRATCH, "and a line");

typedef struct job {
  const vc_tensor *source;
  const vc_cpu_vector *loops;
  int64_t outer, c, taps, pairs;  // rows of the source, or, transposed, its columns; pairs: of a column
  int64_t first;                  // column that the source's first row becomes
  int64_t c_step, c_blocks;       // channels an item, and how many such pieces
  uint16_t *to;
} job;

bool vc_cpu_packs_bf16(const vc_pack *p) {
  if (p->dtype != VC_BF16) return false;
  return p->layout == VC_LAYOUT_LINEAR || (p->layout == VC_LAYOUT_CONV && !p->transposed && p->columns > 1);
}

size_t vc_cpu_bf16_bytes(const vc_pack *p) {
  int64_t pairs = (p->columns * vc_pack_taps(p) + 1) / 2, blocks = (p->rows + VC_CPU_BLOCK - 1) / VC_CPU_BLOCK;
  return (size_t)(blocks * pairs * VC_CPU_BLOCK * 2) * sizeof(uint16_t);
}

static uint16_t *place(const job *j, int64_t column, int64_t k) {
  return j->to + ((column / VC_CPU_BLOCK * j->pairs + k / 2) * VC_CPU_BLOCK + column % VC_CPU_BLOCK) * 2 + k % 2;
}

static inline void join(uint16_t *restrict to, const uint16_t *first, const uint16_t *second, int64_t count) {
  for (int64_t i = 0; i < count; i++) {
    to[2 * i] = first[i];
    to[2 * i + 1] = second[i];
  }
}

// `lines` rows k, k + step, ... of `count` columns each, all of one block.
static void put_lines(const job *j, int64_t column, int64_t count, int64_t k, int64_t lines, const uint16_t *line,
                      int64_t step) {
  for (int64_t i = 0; i < lines;) {
    uint16_t *to = place(j, column, k + i);
    const uint16_t *from = line + i * step;
    if ((k + i) % 2 == 0 && i + 1 < lines) {
      join(to, from, from + step, count);
      i += 2;
    } else {
      for (int64_t o = 0; o < count; o++) to[2 * o] = from[o];
      i += 1;
    }
  }
}

// Some channels of the rows that become one block's columns. A source joined to another may begin within a block.
static vc_status rows_work(void *context, int64_t item, void *scratch) {
  const job *j = context;
  int64_t begin = j->first / VC_CPU_BLOCK * VC_CPU_BLOCK + item / j->c_blocks * VC_CPU_BLOCK;
  int64_t end = begin + VC_CPU_BLOCK < j->first + j->outer ? begin + VC_CPU_BLOCK : j->first + j->outer;
  if (begin < j->first) begin = j->first;
  int64_t c0 = item % j->c_blocks * j->c_step, outs = end - begin;
  int64_t channels = j->c - c0 < j->c_step ? j->c - c0 : j->c_step, line = channels * j->taps;
  float *block = scratch, *turned = block + outs * line;  // [outs, line], [line, outs]
  uint16_t *rounded = (uint16_t *)(void *)(turned + outs * line);
  for (int64_t o = 0; o < outs; o++)
    if (!vc_cpu_convert(j->loops, block + o * line, j->source, ((begin - j->first + o) * j->c + c0) * j->taps, line))
      return VC_FAILED;
  j->loops->transpose(turned, outs, block, outs, line, line, 1);
  j->loops->round_bf16(rounded, turned, outs * line);
  for (int64_t tap = 0; tap < j->taps; tap++)
    put_lines(j, begin, outs, tap * j->c + c0, channels, rounded + tap * outs, j->taps * outs);
  return VC_OK;
}

// Two rows of a source that is transposed already, which are a pair.
static vc_status transposed_work(void *context, int64_t item, void *scratch) {
  const job *j = context;
  int64_t k = 2 * item, lines = j->c - k < 2 ? j->c - k : 2;
  float *values = scratch;
  uint16_t *rounded = (uint16_t *)(void *)(values + COLUMNS_STEP);  // [2, COLUMNS_STEP]
  for (int64_t at = 0; at < j->outer; at += COLUMNS_STEP) {
    int64_t columns = j->outer - at < COLUMNS_STEP ? j->outer - at : COLUMNS_STEP;
    for (int64_t i = 0; i < lines; i++) {
      if (!vc_cpu_convert(j->loops, values, j->source, (k + i) * j->outer + at, columns)) return VC_FAILED;
      j->loops->round_bf16(rounded + i * COLUMNS_STEP, values, columns);
    }
    for (int64_t o = 0; o < columns; o += VC_CPU_BLOCK)
      put_lines(j, at + o, columns - o < VC_CPU_BLOCK ? columns - o : VC_CPU_BLOCK, k, lines, rounded + o,
                COLUMNS_STEP);
  }
  return VC_OK;
}

vc_status vc_cpu_pack_bf16(vc_device *device, const vc_pack *p, const int64_t counts[VC_STACK_MAX], void *to) {
  int64_t taps = vc_pack_taps(p), k = p->columns * taps, done = 0;
  vc_status status = VC_OK;
  if (k % 2 || p->rows % VC_CPU_BLOCK) memset(to, 0, vc_cpu_bf16_bytes(p));
  for (int i = 0; i < p->stacked && status == VC_OK; i++) {
    job j = {.source = &p->source[i],
             .loops = vc_cpu_loops(device),
             .outer = counts[i] / k,
             .c = p->columns,
             .taps = taps,
             .pairs = (k + 1) / 2,
             .first = done,
             .to = to};
    done += j.outer;
    // An even number of channels, so that a pair is rarely cut.
    j.c_step = BLOCK_LINE / taps < 2 ? 1 : BLOCK_LINE / taps / 2 * 2;
    j.c_blocks = (j.c + j.c_step - 1) / j.c_step;
    int64_t blocks = (j.first % VC_CPU_BLOCK + j.outer + VC_CPU_BLOCK - 1) / VC_CPU_BLOCK;
    status = p->transposed ? vc_cpu_parallel(device, j.pairs, transposed_work, &j)
                           : vc_cpu_parallel(device, blocks * j.c_blocks, rows_work, &j);
  }
  return status;
}
