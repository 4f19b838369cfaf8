// Fibers: their stacks, the switch from one to the next, who is next, and what the sanitizers must be told of it.
#include <sys/mman.h>

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>

#include "block.h"

#ifdef EMU_ASAN
extern "C" {
void __sanitizer_start_switch_fiber(void **fake_stack, const void *bottom, size_t size);
void __sanitizer_finish_switch_fiber(void *fake_stack, const void **old_bottom, size_t *old_size);
}
#endif
#ifdef EMU_TSAN
extern "C" {
void *__tsan_create_fiber(unsigned flags);
void *__tsan_get_current_fiber(void);
void __tsan_switch_to_fiber(void *fiber, unsigned flags);
void __tsan_acquire(void *at);
void __tsan_release(void *at);
void AnnotateIgnoreReadsBegin(const char *file, int line);
void AnnotateIgnoreReadsEnd(const char *file, int line);
void AnnotateIgnoreWritesBegin(const char *file, int line);
void AnnotateIgnoreWritesEnd(const char *file, int line);
}
#endif

namespace emu {
__thread Thread *cur;
__thread char *smem_base;
__thread Worker *worker;

void fail(const char *f, int l, const char *format, ...) {
  va_list list;
  va_start(list, format);
  fflush(stdout);
  fprintf(stderr, "EMU ERROR %s:%d: ", f ? f : "?", l);
  vfprintf(stderr, format, list);
  va_end(list);
  if (cur)
    fprintf(stderr, "  [block %u,%u,%u thread %u,%u,%u]", cur->bid.x, cur->bid.y, cur->bid.z, cur->tid.x, cur->tid.y,
            cur->tid.z);
  fprintf(stderr, "\n");
  _Exit(66);
}

// ---- the switch

#ifndef EMU_UCONTEXT
// The registers that a function must keep (System V x86-64), pushed on the old stack and popped from the new one.
extern "C" void emu_switch_stack(void **save, void *load);
asm(".text\n"
    ".globl emu_switch_stack\n"
    ".type emu_switch_stack, @function\n"
    "emu_switch_stack:\n"
    "  pushq %rbp\n"
    "  pushq %rbx\n"
    "  pushq %r12\n"
    "  pushq %r13\n"
    "  pushq %r14\n"
    "  pushq %r15\n"
    "  movq %rsp, (%rdi)\n"
    "  movq %rsi, %rsp\n"
    "  popq %r15\n"
    "  popq %r14\n"
    "  popq %r13\n"
    "  popq %r12\n"
    "  popq %rbx\n"
    "  popq %rbp\n"
    "  ret\n"
    ".size emu_switch_stack, . - emu_switch_stack\n");
#endif

#ifdef EMU_ASAN
static __thread const void *host_bottom;
static __thread size_t host_size;
#endif

static void switch_to(Fiber *to) {
  Fiber *from = self();
  if (to == from) return;
  cur = to;
  worker->switches++;
#ifdef EMU_ASAN
  bool home = to == &worker->host;
  __sanitizer_start_switch_fiber(from->state == State::done ? nullptr : &from->fake_stack,
                                 home ? host_bottom : to->stack, home ? host_size : (size_t)STACK_BYTES);
#endif
#ifdef EMU_TSAN
  __tsan_switch_to_fiber(to->tsan_fiber, 1);  // 1: no synchronisation; that is for barriers to create
#endif
#ifdef EMU_UCONTEXT
  swapcontext(&from->context, &to->context);
#else
  emu_switch_stack(&from->sp, to->sp);
#endif
#ifdef EMU_ASAN
  __sanitizer_finish_switch_fiber(from->fake_stack, nullptr, nullptr);
#endif
}

void enter_fiber() {
#ifdef EMU_ASAN
  const void *bottom;
  size_t size;
  __sanitizer_finish_switch_fiber(nullptr, &bottom, &size);
  if (!host_bottom) {  // the first fiber of all is entered from the host's stack
    host_bottom = bottom;
    host_size = size;
  }
#endif
  tag_acquire(&worker->start_tag);
}

// ---- stacks

static char *map_memory(size_t bytes) {
  void *p = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) fail("emulator", 0, "no memory for stacks");
  return (char *)p;
}

// What was poisoned must not stay so: the next mapping at this address, of anybody, would inherit it.
static void unmap_memory(char *p, size_t bytes) {
#ifdef EMU_ASAN
  __asan_unpoison_memory_region(p, bytes);
#endif
  munmap(p, bytes);
}

void make_stacks(unsigned threads) {
  Worker *w = worker;
  const size_t arena = SHARED_MAX + 64 * 1024;
  bool fresh = false;
#ifdef EMU_TSAN
  fresh = true;  // or two blocks would seem to race on the stacks and the shared memory that they use in turn
#endif
  if (w->stacks && w->stack_count >= threads && !fresh) return;
  if (w->stacks) {
    unmap_memory(w->stacks, (size_t)STACK_SLOT * w->stack_count);
    unmap_memory(w->arena, arena);
  }
  w->stacks = map_memory((size_t)STACK_SLOT * threads);
  w->arena = map_memory(arena);
  w->stack_count = threads;
  smem_base = (char *)(((uintptr_t)w->arena + 1023) & ~(uintptr_t)1023);
  for (unsigned i = 0; i < threads && !fresh; i++) mprotect(w->stacks + (size_t)STACK_SLOT * i, 4096, PROT_NONE);
}

void start_fiber(Fiber *fiber, void (*entry)()) {
  Worker *w = worker;
  unsigned i = fiber->lin;
  fiber->stack = w->stacks + (size_t)STACK_SLOT * i + 4096;
  fiber->fake_stack = nullptr;
#ifdef EMU_UCONTEXT
  getcontext(&fiber->context);
  fiber->context.uc_stack.ss_sp = fiber->stack;
  fiber->context.uc_stack.ss_size = STACK_BYTES;
  fiber->context.uc_link = nullptr;
  makecontext(&fiber->context, entry, 0);
#else
  // Tops at different offsets in a page: else the stacks of a warp would fall on the same few lines of the cache.
  void **sp = (void **)(fiber->stack + STACK_BYTES - i % 32 * 320 % 4096);
  *--sp = nullptr;
  *--sp = (void *)entry;
  for (int k = 0; k < 6; k++) *--sp = nullptr;
  fiber->sp = sp;
#endif
#ifdef EMU_TSAN
  // They are dear to make. Rotated, so that the same thread of two blocks is rarely the same fiber.
  while (w->tsan_fibers.size() < w->threads) w->tsan_fibers.push_back(__tsan_create_fiber(0));
  fiber->tsan_fiber = w->tsan_fibers[(i + w->blocks * 37) % w->threads];
#endif
  make_ready(fiber);
}

// ---- who is next

void make_ready(Fiber *fiber) {
  fiber->state = State::ready;
  worker->ring[worker->tail++ % THREADS_MAX] = fiber;
}

void make_ready_first(Fiber *fiber) {
  if (settings().order != Order::fifo) return make_ready(fiber);
  fiber->state = State::ready;
  worker->ring[--worker->head % THREADS_MAX] = fiber;
}

[[noreturn]] static void deadlock() {
  Worker *w = worker;
  fprintf(stderr, "EMU ERROR deadlock in block %u,%u,%u:\n", cur->bid.x, cur->bid.y, cur->bid.z);
  const Fiber *last = nullptr;
  for (unsigned i = 0, shown = 0; i < w->threads && shown < 8; i++) {
    const Fiber *f = &w->fibers[i];
    bool waits = f->state == State::blocked;
    if (waits && (!last || last->line != f->line || last->what != f->what)) {
      fprintf(stderr, "  thread %u.. waits in %s at %s:%d\n", i, f->what, f->file, f->line);
      shown++;
    }
    last = waits ? f : nullptr;
  }
  _Exit(66);
}

static uint64_t next_random(Worker *w) {
  w->random ^= w->random << 13;
  w->random ^= w->random >> 7;
  w->random ^= w->random << 17;
  return w->random;
}

static Fiber *pick() {
  Worker *w = worker;
  if (w->head == w->tail) {
    if (!w->alive) return &w->host;
    deadlock();
  }
  Order order = settings().order;
  if (order == Order::lifo) return w->ring[--w->tail % THREADS_MAX];
  if (order == Order::random) {
    unsigned k = w->head + (unsigned)(next_random(w) % (w->tail - w->head));
    std::swap(w->ring[k % THREADS_MAX], w->ring[w->head % THREADS_MAX]);
  }
  return w->ring[w->head++ % THREADS_MAX];
}

void block_here(const char *what, const char *f, int l) {
  Fiber *m = self();
  m->state = State::blocked;
  m->what = what;
  m->file = f;
  m->line = l;
  switch_to(pick());
}

void run_fibers() {
  Worker *w = worker;
#ifdef EMU_TSAN
  w->host.tsan_fiber = __tsan_get_current_fiber();
#endif
  tag_release(&w->start_tag);
  w->host.bid = w->fibers[0].bid;
  w->host.state = State::ready;
  cur = &w->host;
  switch_to(pick());
  cur = nullptr;
}

void leave_fiber() {
  worker->alive--;
  worker->spins = 0;
  thread_returned();
  tag_release(&worker->end_tag);
  self()->state = State::done;
  switch_to(pick());
  __builtin_unreachable();
}

void park(const char *what, const char *f, int l) {
  block_here(what, f, l);
}

void wake(void *thread) {
  make_ready(static_cast<Fiber *>(static_cast<Thread *>(thread)));
}

void yield_spin(const char *what, const char *f, int l) {
  Worker *w = worker;
  Fiber *m = self();
  m->what = what;
  m->file = f;
  m->line = l;
  if (++w->spins > 4 * w->threads + 100000) {
    m->state = State::blocked;
    deadlock();
  }
  make_ready(m);
  if (settings().order == Order::lifo) std::swap(w->ring[(w->tail - 1) % THREADS_MAX], w->ring[w->head % THREADS_MAX]);
  switch_to(pick());
}

// ---- ThreadSanitizer

void *fresh_tag() {
  return worker->tags + worker->next_tag++ % TAGS;
}

#ifdef EMU_TSAN
void tag_release(void *tag) {
  __tsan_release(tag);
}
void tag_acquire(void *tag) {
  __tsan_acquire(tag);
}
Quiet::Quiet() {
  AnnotateIgnoreWritesBegin("", 0);
  AnnotateIgnoreReadsBegin("", 0);
}
Quiet::~Quiet() {
  AnnotateIgnoreReadsEnd("", 0);
  AnnotateIgnoreWritesEnd("", 0);
}
#else
void tag_release(void *) {
}
void tag_acquire(void *) {
}
Quiet::Quiet() {
}
Quiet::~Quiet() {
}
#endif
}  // namespace emu
