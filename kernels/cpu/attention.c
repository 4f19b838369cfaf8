// Attention in blocks, so that scores never leave the cache: for 64 queries at a time, blocks of keys with a running
// maximum and sum. Scores stand as [key, query], K times the transposed queries: the softmax then runs along the vector
// lanes without sums across them, and only the queries need a transposition, once a block. The result [query, head_dim]
// gathers P' V.
//
// Keys and values are copied to a dense block first: the frames of one pixel lie a power of two apart, where they
// would throw each other out of the cache.
#include <math.h>
#include <string.h>

#include "kernels/cpu/cpu.h"

enum {
  QUERIES = 64,
  KEYS = 64,
  HEAD_MAX = 1024,
  ITEM_WORK = 1 << 20,  // multiply-adds of an item: short sequences are taken several at a time
};

typedef struct thread_memory {
  float q[HEAD_MAX * QUERIES];    // [head_dim, n], scaled
  float out[QUERIES * HEAD_MAX];  // [queries, wide]
  float k[KEYS * HEAD_MAX];       // [keys, head_dim]
  float v[KEYS * HEAD_MAX];       // [keys, wide]
  float scores[KEYS * QUERIES];   // [keys, n]
  float maximum[QUERIES], sum[QUERIES], decay[QUERIES];
} thread_memory;

_Static_assert(sizeof(thread_memory) <= VC_CPU_SCRATCH, "a thread's memory holds a block of attention");

typedef struct job {
  const vc_attention *op;
  const vc_cpu_vector *loops;
  int64_t blocks;  // of queries, a sequence and head
  int64_t units, units_per_item;
} job;

// One block of queries of one head of one sequence.
typedef struct unit {
  const float *q, *k, *v;
  float *out;
  int64_t first, queries, n;  // n: queries, up to a multiple of 16
} unit;

static int64_t offset(const vc_sequence *stride, int64_t outer, int64_t inner) {
  return outer * stride->outer + inner * stride->inner;
}

static unit unit_of(const job *j, int64_t index) {
  const vc_attention *op = j->op;
  int64_t block = index % j->blocks, head = index / j->blocks % op->heads, sequence = index / j->blocks / op->heads;
  int64_t outer = sequence / op->inner, inner = sequence % op->inner, column = head * op->head_dim;
  unit u = {.first = block * QUERIES};
  u.queries = op->queries - u.first < QUERIES ? op->queries - u.first : QUERIES;
  u.n = (u.queries + 15) / 16 * 16;
  u.q = (const float *)op->q + offset(&op->q_stride, outer, inner) + u.first * op->q_stride.row + column;
  u.k = (const float *)op->k + offset(&op->k_stride, outer, inner) + column;
  u.v = (const float *)op->v + offset(&op->v_stride, outer, inner) + column;
  u.out = (float *)op->out + offset(&op->out_stride, outer, inner) + u.first * op->out_stride.row + column;
  return u;
}

// Rows of d values to rows of `wide`, the rest zero.
static void load_rows(float *to, int64_t wide, const float *from, int64_t rows, int64_t stride, int64_t d) {
  for (int64_t r = 0; r < rows; r++) {
    memcpy(to + r * wide, from + r * stride, (size_t)d * sizeof *to);
    for (int64_t i = d; i < wide; i++) to[r * wide + i] = 0;
  }
}

// Hides keys behind the query: only blocks across the diagonal have any.
static void mask_scores(const unit *u, int64_t first_key, int64_t keys, float *scores) {
  for (int64_t r = 0; r < keys; r++) {
    int64_t hidden = first_key + r - u->first;
    for (int64_t i = 0; i < hidden && i < u->n; i++) scores[r * u->n + i] = -INFINITY;
  }
}

static void attend(const job *j, const unit *u, thread_memory *t) {
  const vc_attention *op = j->op;
  int64_t d = op->head_dim, wide = (d + 15) / 16 * 16, keys = op->keys;
  if (op->causal && keys > u->first + u->queries) keys = u->first + u->queries;
  // Lanes without a query work on zeros; their results are dropped.
  if (u->n > u->queries) memset(t->q, 0, (size_t)(d * u->n) * sizeof *t->q);
  j->loops->transpose(t->q, u->n, u->q, u->queries, op->q_stride.row, d, op->scale);
  for (int64_t i = 0; i < u->n; i++) t->maximum[i] = -INFINITY, t->sum[i] = 0;
  for (int64_t key = 0; key < keys; key += KEYS) {
    int64_t count = keys - key < KEYS ? keys - key : KEYS;
    load_rows(t->k, d, u->k + key * op->k_stride.row, count, op->k_stride.row, d);
    load_rows(t->v, wide, u->v + key * op->v_stride.row, count, op->v_stride.row, d);
    j->loops->product(count, u->n, d, t->k, d, 1, t->q, u->n, t->scores, u->n, false);
    if (op->causal && key + count > u->first + 1) mask_scores(u, key, count, t->scores);
    j->loops->softmax(t->scores, count, u->n, t->maximum, t->sum, t->decay);
    for (int64_t i = 0; i < u->queries && key > 0; i++)
      if (t->decay[i] != 1) j->loops->scale(t->out + i * wide, t->out + i * wide, t->decay[i], wide);
    j->loops->product(u->queries, wide, count, t->scores, 1, u->n, t->v, wide, t->out, wide, key > 0);
  }
  for (int64_t i = 0; i < u->queries; i++)
    j->loops->scale(u->out + i * op->out_stride.row, t->out + i * wide, 1 / t->sum[i], d);
}

static vc_status work(void *context, int64_t item, void *scratch) {
  const job *j = context;
  int64_t from = item * j->units_per_item;
  int64_t to = j->units - from < j->units_per_item ? j->units : from + j->units_per_item;
  for (int64_t i = from; i < to; i++) {
    unit u = unit_of(j, i);
    attend(j, &u, scratch);
  }
  return VC_OK;
}

vc_status vc_cpu_attention_prepare(const vc_attention *op, size_t *workspace, vc_error *error) {
  *workspace = 0;
  if (!vc_op_sizes(5, (int64_t[]){op->outer, op->inner, op->queries, op->heads, op->head_dim}) ||
      !vc_op_sizes(3, (int64_t[]){op->keys, op->heads, op->head_dim}))
    return vc_fail(error, VC_INVALID, "%lld x %lld sequences, %lld queries, %lld keys, %lld heads of %lld",
                   (long long)op->outer, (long long)op->inner, (long long)op->queries, (long long)op->keys,
                   (long long)op->heads, (long long)op->head_dim);
  if (op->head_dim > HEAD_MAX)
    return vc_fail(error, VC_UNSUPPORTED, "a head of %lld channels; %d is the most", (long long)op->head_dim, HEAD_MAX);
  return VC_OK;
}

vc_status vc_cpu_attention(vc_device *device, const vc_attention *op, vc_error *error) {
  job j = {.op = op, .loops = vc_cpu_loops(device), .blocks = (op->queries + QUERIES - 1) / QUERIES};
  j.units = op->outer * op->inner * op->heads * j.blocks;
  int64_t queries = op->queries < QUERIES ? op->queries : QUERIES;
  double unit_work = 2.0 * (double)queries * (double)op->keys * (double)op->head_dim;
  j.units_per_item = unit_work >= ITEM_WORK ? 1 : (int64_t)(ITEM_WORK / unit_work);
  vc_status status = vc_cpu_parallel(device, (j.units + j.units_per_item - 1) / j.units_per_item, work, &j);
  return vc_cpu_failed(status, VC_OP_ATTENTION, error);
}
