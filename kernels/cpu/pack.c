// Parameters from a file's F32, F16 or BF16 to the fp32 layouts of the ops:
//   VECTOR, ROWS   as they are
//   LINEAR         [columns, rows], the transpose of what a file holds (and what a transposed source is already)
//   CONV           [taps, c, c_out], from [c_out, c, taps] or, transposed, from [c, c_out, taps]
// Weights in bf16 are another matter: pack_bf16.c. None depends on how many rows the op will have.
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "kernels/cpu/cpu.h"

enum {
  CHUNK = 1 << 16,          // values of an item of a plain conversion
  BLOCK_OUT = 64,           // rows of a source that an item transposes: 256 bytes of every row of the result
  BLOCK_IN = VC_TAPS_MAX,   // values of each of them at most, twice in scratch
  BLOCK_LINE = 1536,        // values of each where a channel has few taps: block and result fit a core's own cache
  SPREAD_VALUES = 1 << 16,  // values of a transposed kernel that are in scratch at a time
  PAGE = 4096,
  HUGE_PAGE = 2 << 20,
};

_Static_assert(2 * BLOCK_OUT * BLOCK_IN * sizeof(float) <= VC_CPU_SCRATCH, "a thread's memory holds both blocks");
_Static_assert(SPREAD_VALUES * sizeof(float) <= VC_CPU_SCRATCH, "a thread's memory holds a transposed kernel's part");

// The source seen as [outer, c, taps], to be stored as [taps, c, all outers] from column `first` on; or, when plain, as
// a run of values.
typedef struct job {
  const vc_tensor *source;
  const vc_cpu_vector *loops;
  int64_t outer, c, taps;
  int64_t columns, first;
  int64_t c_step, c_blocks;  // channels an item, and how many such pieces
  float *to;
} job;

bool vc_cpu_convert(const vc_cpu_vector *loops, float *to, const vc_tensor *source, int64_t first, int64_t count) {
  const char *from = (const char *)source->data + (size_t)first * vc_dtype_size(source->dtype);
  if (source->dtype == VC_F16)
    loops->half_to_float(to, from, count);
  else
    vc_to_float(to, from, source->dtype, (size_t)count);
  return vc_finite(to, VC_F32, (size_t)count);
}

static vc_status plain_work(void *context, int64_t item, void *scratch) {
  (void)scratch;
  const job *j = context;
  int64_t from = item * CHUNK, count = j->outer - from < CHUNK ? j->outer - from : CHUNK;
  return vc_cpu_convert(j->loops, j->to + from, j->source, from, count) ? VC_OK : VC_FAILED;
}

static void prefetch(const vc_tensor *source, int64_t first, int64_t count) {
  const char *from = (const char *)source->data + (size_t)first * vc_dtype_size(source->dtype);
  for (size_t at = 0; at < (size_t)count * vc_dtype_size(source->dtype); at += 64) __builtin_prefetch(from + at);
}

// Past the caches: what is written is not read soon, and memory need not be read before it is written.
static void stream(float *to, const float *from, int64_t count) {
#ifdef __SSE2__
  if ((uintptr_t)to % 16 == 0 && count % 4 == 0) {
    for (int64_t i = 0; i < count; i += 4) _mm_stream_ps(to + i, _mm_loadu_ps(from + i));
    return;
  }
#endif
  memcpy(to, from, (size_t)count * sizeof *to);
}

static void finish_stream(void) {
#ifdef __SSE2__
  _mm_sfence();  // other threads see it
#endif
}

static vc_status transpose_work(void *context, int64_t item, void *scratch) {
  const job *j = context;
  int64_t out0 = item / j->c_blocks * BLOCK_OUT, c0 = item % j->c_blocks * j->c_step;
  int64_t outs = j->outer - out0 < BLOCK_OUT ? j->outer - out0 : BLOCK_OUT;
  int64_t channels = j->c - c0 < j->c_step ? j->c - c0 : j->c_step, line = channels * j->taps;
  float *block = scratch, *turned = block + BLOCK_OUT * BLOCK_IN;  // [outs, line], [line, outs]
  for (int64_t o = 0; o < outs; o++) {
    if (o + 4 < outs) prefetch(j->source, ((out0 + o + 4) * j->c + c0) * j->taps, line);
    if (!vc_cpu_convert(j->loops, block + o * line, j->source, ((out0 + o) * j->c + c0) * j->taps, line))
      return VC_FAILED;
  }
  j->loops->transpose(turned, outs, block, outs, line, line, 1);
  for (int64_t tap = 0; tap < j->taps; tap++)
    for (int64_t i = 0; i < channels; i++)
      stream(j->to + (tap * j->c + c0 + i) * j->columns + j->first + out0, turned + (i * j->taps + tap) * outs, outs);
  finish_stream();
  return VC_OK;
}

// One input channel of a transposed convolution an item: [c_out, taps] to the channel's row of every tap.
static vc_status spread_work(void *context, int64_t item, void *scratch) {
  const job *j = context;
  for (int64_t c0 = 0; c0 < j->columns; c0 += j->c_step) {
    int64_t channels = j->columns - c0 < j->c_step ? j->columns - c0 : j->c_step;
    float *block = scratch, *to = j->to + item * j->columns + c0;
    if (!vc_cpu_convert(j->loops, block, j->source, (item * j->columns + c0) * j->taps, channels * j->taps))
      return VC_FAILED;
    for (int64_t tap = 0; tap < j->taps; tap++, to += j->c * j->columns)
      for (int64_t i = 0; i < channels; i++) to[i] = block[i * j->taps + tap];
  }
  return VC_OK;
}

typedef struct region {
  char *from;
  size_t bytes;
} region;

static vc_status touch_work(void *context, int64_t item, void *scratch) {
  (void)scratch;
  const region *r = context;
  size_t head = (uintptr_t)r->from % HUGE_PAGE, end = (size_t)(item + 1) * HUGE_PAGE - head;
  size_t at = item ? (size_t)item * HUGE_PAGE - head : 0;
  for (; at < end && at < r->bytes; at += PAGE) *(volatile char *)(r->from + at) = 0;
  return VC_OK;
}

// The system clears a new page when it is touched for the first time, which is a good part of the work. All threads
// share it, right before the bytes are written: what is packed into is scattered, and a thread that clears for
// itself there keeps the others waiting. An item is a huge page, which two threads would both clear.
static void touch(vc_device *device, void *to, size_t bytes) {
  region r = {to, bytes};
  int64_t pages = (int64_t)(((uintptr_t)to % HUGE_PAGE + bytes + HUGE_PAGE - 1) / HUGE_PAGE);
  if (bytes >= HUGE_PAGE) (void)vc_cpu_parallel(device, pages, touch_work, &r);
}

static vc_status finished(vc_status status, vc_error *error) {
  return status ? vc_fail(error, status, "a parameter holds a NaN or an infinity") : VC_OK;
}

vc_status vc_cpu_pack_bytes(const vc_pack *p, size_t *bytes, vc_error *error) {
  *bytes = 0;
  if (p->dtype != VC_F32 && p->dtype != VC_BF16)
    return vc_fail(error, VC_UNSUPPORTED, "the cpu backend packs for F32 and BF16, not for %s",
                   vc_dtype_name(p->dtype));
  vc_status status = vc_op_check_pack(p, error);
  if (status) return status;
  *bytes =
      vc_cpu_packs_bf16(p) ? vc_cpu_bf16_bytes(p) : (size_t)(p->rows * p->columns * vc_pack_taps(p)) * sizeof(float);
  return VC_OK;
}

vc_status vc_cpu_pack(vc_device *device, const vc_pack *p, void *to, vc_error *error) {
  size_t bytes;
  int64_t counts[VC_STACK_MAX], done = 0;
  vc_status status = vc_cpu_pack_bytes(p, &bytes, error);
  if (status == VC_OK) status = vc_op_check_sources(p, counts, error);
  if (status) return status;
  touch(device, to, bytes);
  if (vc_cpu_packs_bf16(p)) return finished(vc_cpu_pack_bf16(device, p, counts, to), error);
  bool spread = p->layout == VC_LAYOUT_CONV && p->transposed;
  bool turn = !spread && (p->layout == VC_LAYOUT_CONV || (p->layout == VC_LAYOUT_LINEAR && !p->transposed));
  for (int i = 0; i < p->stacked && status == VC_OK; i++) {
    job j = {.source = &p->source[i], .loops = vc_cpu_loops(device), .to = to};
    if (turn) {
      j.c = p->columns;
      j.taps = vc_pack_taps(p);
      j.outer = counts[i] / (j.c * j.taps);
      j.columns = p->rows;
      j.first = done;
      done += j.outer;
      j.c_blocks = (j.c * j.taps + BLOCK_LINE - 1) / BLOCK_LINE;
      j.c_step = (j.c + j.c_blocks - 1) / j.c_blocks;
      j.c_blocks = (j.c + j.c_step - 1) / j.c_step;
      status = vc_cpu_parallel(device, (j.outer + BLOCK_OUT - 1) / BLOCK_OUT * j.c_blocks, transpose_work, &j);
    } else if (spread) {
      j.c = p->columns;
      j.taps = vc_pack_taps(p);
      j.columns = p->rows;
      j.c_step = SPREAD_VALUES / j.taps;
      status = vc_cpu_parallel(device, j.c, spread_work, &j);
    } else {
      j.outer = counts[i];
      j.to += done;
      done += j.outer;
      status = vc_cpu_parallel(device, (j.outer + CHUNK - 1) / CHUNK, plain_work, &j);
    }
  }
  return finished(status, error);
}
