#include "engine/arena.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static size_t rounded(size_t bytes) {
  return (bytes + VC_ARENA_ALIGNMENT - 1) / VC_ARENA_ALIGNMENT * VC_ARENA_ALIGNMENT;
}

// A block's rank in one of the orders, with its index so that equal ranks keep their order.
typedef struct ranked {
  double rank;
  int index;
} ranked;

static int by_rank(const void *a, const void *b) {
  const ranked *x = a, *y = b;
  if (x->rank != y->rank) return x->rank > y->rank ? -1 : 1;
  return (x->index > y->index) - (x->index < y->index);
}

enum { ORDERS = 7, TRIES = 47 };

// A number in 0 .. 1 that follows from both arguments (the finaliser of MurmurHash3).
static double jitter(uint64_t try, uint64_t index) {
  uint64_t h = try * 0x9e3779b97f4a7c15u + index;
  h = (h ^ h >> 33) * 0xff51afd7ed558ccdu;
  h = (h ^ h >> 33) * 0xc4ceb9fe1a85ec53u;
  return (double)((h ^ h >> 33) >> 11) * 0x1p-53;
}

// Large blocks first, and the more so the longer they live; the last orders are by start and by lifetime alone.
static double rank_of(const vc_block *b, int order) {
  static const double power[ORDERS - 2] = {0, 1, 0.5, 0.25, 2};
  double life = b->last - b->first + 1;
  if (order == ORDERS - 2) return -(double)b->first;
  if (order == ORDERS - 1) return life;
  return (double)b->bytes * pow(life, power[order]);
}

// The lowest offset at which `block` fits between the already placed ones that are alive with it; `placed` is sorted
// by offset.
static size_t lowest_gap(const vc_block *all, const int *placed, int count, const vc_block *block) {
  size_t at = 0, best = SIZE_MAX, best_gap = SIZE_MAX, need = rounded(block->bytes);
  for (int i = 0; i < count; i++) {
    const vc_block *p = &all[placed[i]];
    if (p->last < block->first || p->first > block->last) continue;
    if (p->offset > at && p->offset - at >= need && p->offset - at < best_gap) {
      best_gap = p->offset - at;
      best = at;
    }
    size_t end = p->offset + rounded(p->bytes);
    if (end > at) at = end;
  }
  return best != SIZE_MAX ? best : at;
}

static size_t place(vc_block *block, const ranked *order, int *placed, int count) {
  size_t total = 0;
  for (int i = 0, put = 0; i < count; i++) {
    vc_block *b = &block[order[i].index];
    b->offset = 0;
    if (!b->bytes) continue;
    b->offset = lowest_gap(block, placed, put, b);
    if (b->offset + rounded(b->bytes) > total) total = b->offset + rounded(b->bytes);
    int at = put++;
    for (; at > 0 && block[placed[at - 1]].offset > b->offset; at--) placed[at] = placed[at - 1];
    placed[at] = order[i].index;
  }
  return total;
}

vc_status vc_arena_pack(vc_block *block, int count, size_t *total, vc_error *error) {
  size_t n = (size_t)(count > 0 ? count : 1), sum = 0;
  for (int i = 0; i < count; i++)
    if (block[i].bytes > SIZE_MAX - VC_ARENA_ALIGNMENT || !vc_add_size(sum, rounded(block[i].bytes), &sum))
      return vc_fail(error, VC_INVALID, "the tensors of this plan do not fit into any memory");
  ranked *order = malloc(n * sizeof *order);
  int *placed = malloc(n * sizeof *placed);
  size_t *best = malloc(n * sizeof *best);
  vc_status status = VC_OK;
  if (!order || !placed || !best) {
    status = vc_fail(error, VC_NO_MEMORY, "no memory for planning %d tensors", count);
    goto done;
  }
  *total = SIZE_MAX;
  size_t good = vc_arena_bound(block, count);
  good += good / 32;
  // The plain orders first; while they leave gaps, the best of them with its ranks shaken by up to a half.
  for (int try = 0, base = 0; try<TRIES && * total> good; try++) {
    for (int i = 0; i < count; i++) {
      double shaken = try < ORDERS ? 1 : 1 + 0.5 * jitter((uint64_t)try, (uint64_t)i);
      order[i] = (ranked) {
        rank_of(&block[i], try < ORDERS ? try : base) * shaken, i
      };
    }
    qsort(order, (size_t)count, sizeof *order, by_rank);
    size_t size = place(block, order, placed, count);
    if (size >= *total) continue;
    *total = size;
    if (try < ORDERS) base = try;
    for (int i = 0; i < count; i++) best[i] = block[i].offset;
  }
  for (int i = 0; i < count; i++) block[i].offset = best[i];
done:
  free(order);
  free(placed);
  free(best);
  return status;
}

size_t vc_arena_bound(const vc_block *block, int count) {
  size_t bound = 0;
  // The largest live set begins where some block begins.
  for (int i = 0; i < count; i++) {
    size_t live = 0;
    for (int j = 0; j < count; j++)
      if (block[j].first <= block[i].first && block[j].last >= block[i].first) live += rounded(block[j].bytes);
    if (live > bound) bound = live;
  }
  return bound;
}
