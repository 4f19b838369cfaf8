// Barriers of a block, and what the lanes of a warp do together.
#include "block.h"

namespace emu {
// ---- barriers

static void check_arrival(Barrier &b, int id, unsigned threads, const char *f, int l) {
  if (id < 0 || id > 15) fail(f, l, "there is no barrier %d", id);
  if (id && (!threads || threads % 32)) fail(f, l, "barrier %d for %u threads: they must be whole warps", id, threads);
  if (threads > worker->threads) fail(f, l, "barrier %d for %u threads in a block of %u", id, threads, worker->threads);
  if (!b.arrived) {
    b.tag = fresh_tag();
    b.file = f;
    b.line = l;
    b.want = threads;
  } else if (!threads && (b.file != f || b.line != l)) {
    fail(f, l, "divergent __syncthreads: other threads wait at %s:%d", b.file, b.line);
  } else if (b.want != threads) {
    fail(f, l, "barrier %d for %u threads; others came for %u at %s:%d", id, threads, b.want, b.file, b.line);
  }
}

static void release(Barrier &b) {
  for (unsigned i = 0; i < b.waiting; i++)
    if (b.wait[i] != self()) make_ready(b.wait[i]);
  b.arrived = b.waiting = 0;
  worker->spins = 0;
}

static bool complete(const Barrier &b) {
  return b.arrived == (b.want ? b.want : worker->alive);
}

void bar_sync(int id, unsigned threads, const char *f, int l) {
  Barrier &b = worker->barriers[id & 15];
  check_arrival(b, id, threads, f, l);
  void *tag = b.tag;
  tag_release(tag);
  b.arrived++;
  b.wait[b.waiting++] = self();
  if (complete(b))
    release(b);
  else
    block_here(id ? "a named barrier" : "__syncthreads", f, l);
  tag_acquire(tag);
}

void bar_arrive(int id, unsigned threads, const char *f, int l) {
  Barrier &b = worker->barriers[id & 15];
  check_arrival(b, id, threads, f, l);
  tag_release(b.tag);
  b.arrived++;
  if (complete(b)) release(b);
}

// ---- warps

static unsigned lanes_of(unsigned warp) {
  unsigned lanes = worker->threads - warp * 32;
  return lanes >= 32 ? ~0u : (1u << lanes) - 1;
}

static Collective *join(Warp *warp, unsigned mask, ColFn fn, const char *what, const char *f, int l) {
  Collective *found = nullptr;
  for (int i = 0; i < warp->pending; i++) {
    Collective *c = &warp->collective[i];
    if (!(c->mask & mask)) continue;
    if (c->mask != mask || c->fn != fn)
      fail(f, l, "%s with mask %08x: other lanes of the warp wait in %s with mask %08x at %s:%d", what, mask, c->what,
           c->mask, c->file, c->line);
    found = c;
  }
  return found;
}

static Collective *begin(Warp *warp, unsigned mask, ColFn fn, bool fence, const char *what, const char *f, int l) {
  worker->collectives++;
  Collective *c = &warp->collective[warp->pending++];
  c->mask = mask;
  c->arrived = 0;
  c->fn = fn;
  c->tag = fence ? fresh_tag() : nullptr;
  c->what = what;
  c->file = f;
  c->line = l;
  return c;
}

static void finish(Warp *warp, Collective *c) {
  Fiber *m = self();
  unsigned mask = c->mask;
  c->fn(mask, c->io);
  *c = warp->collective[--warp->pending];
  for (int i = 31; i >= 0; i--)
    if ((mask >> i & 1) && (unsigned)i != m->lane) make_ready_first(&worker->fibers[m->warp * 32 + (unsigned)i]);
}

void warp_collective(unsigned mask, ColFn fn, void *io, bool fence, const char *what, const char *f, int l) {
  Fiber *m = self();
  Warp *warp = &worker->warps[m->warp];
  unsigned bit = 1u << m->lane;
  if (!(mask & bit)) fail(f, l, "%s: calling lane %u is not in mask %08x", what, m->lane, mask);
  unsigned exist = lanes_of(m->warp);
  if (mask != ~0u && (mask & ~exist)) fail(f, l, "%s: mask %08x names lanes that do not exist", what, mask);
  mask &= exist;  // the full mask in a last warp that is not full is tolerated
  Collective *c = warp->pending ? join(warp, mask, fn, what, f, l) : nullptr;
  if (!c) c = begin(warp, mask, fn, fence, what, f, l);
  c->io[m->lane] = io;
  c->arrived |= bit;
  void *tag = c->tag;
  if (tag) tag_release(tag);
  if (c->arrived == mask)
    finish(warp, c);
  else
    block_here(what, f, l);
  if (tag) tag_acquire(tag);
}

void thread_returned() {
  Fiber *m = self();
  if (m->copies_done != m->copies.size())
    fail("kernel's end", 0, "the thread returns with %zu cp.async not waited for", m->copies.size() - m->copies_done);
  Warp *warp = &worker->warps[m->warp];
  for (int i = 0; i < warp->pending; i++) {
    Collective *c = &warp->collective[i];
    if (c->mask >> m->lane & 1)
      fail(c->file, c->line, "lane %u has returned but is in the mask %08x of %s", m->lane, c->mask, c->what);
  }
  Barrier &b = worker->barriers[0];
  if (b.waiting && !b.want && complete(b)) release(b);
}
}  // namespace emu
