// Inside of the emulator: a block while it runs, and the thread of the host that runs it.
#ifndef VC_TESTS_CUDA_ON_HOST_BLOCK_H
#define VC_TESTS_CUDA_ON_HOST_BLOCK_H

#include <vector>

#include "emulator.h"

#if !defined(__x86_64__)
#define EMU_UCONTEXT
#endif
#ifdef EMU_UCONTEXT
#include <ucontext.h>
#endif
#ifdef EMU_ASAN
#include <sanitizer/asan_interface.h>
#endif

namespace emu {
enum {
  THREADS_MAX = 1024,
  STACK_BYTES = 128 << 10,
  STACK_SLOT = STACK_BYTES + 4096,  // with a page that must not be touched below
  SHARED_MAX = 232448,              // 227 KiB: sm_90
  STATIC_SHARED_MAX = 48 << 10,
  TAGS = 8192,
};

enum class State { ready, blocked, done };

struct AsyncCopy {
  void *to;
  const void *from;
  unsigned bytes, valid, group;
};

struct Fiber : Thread {
  State state;
  void *sp;
  char *stack;
  const char *what, *file;  // what it waits for
  int line;
  std::vector<AsyncCopy> copies;
  size_t copies_done;
  unsigned copy_group;
#ifdef EMU_UCONTEXT
  ucontext_t context;
#endif
  void *fake_stack, *tsan_fiber;  // the sanitizers' view of it
};

struct Collective {
  unsigned mask, arrived;
  ColFn fn;
  void *io[32];
  void *tag;
  const char *what, *file;
  int line;
};

// Masks of collectives that wait at the same time have no lane in common; one that is complete is done at once.
struct Warp {
  int pending;
  Collective collective[16];
};

struct Barrier {
  unsigned arrived, want, waiting;
  Fiber *wait[THREADS_MAX];
  void *tag;
  const char *file;
  int line;
};

struct SharedArray {
  const void *tag;
  uint32_t offset, bytes;
};

enum class Order { fifo, lifo, random };

struct Settings {
  Order order;
  uint64_t seed;
  int threads;
};
const Settings &settings();

struct Worker {
  std::vector<Fiber> fibers;
  Fiber host;  // the thread that runs the blocks
  Fiber *ring[THREADS_MAX];
  unsigned head, tail;
  Warp warps[THREADS_MAX / 32];
  Barrier barriers[16];
  unsigned threads, alive, spins;
  uint64_t random;

  char *stacks, *arena;
  unsigned stack_count;
  std::vector<SharedArray> arrays;
  uint32_t shared_used, static_used, dynamic_offset, dynamic_bytes;
  size_t shared_limit;

  void (*body)(void *);
  void *argument;
  uint64_t serial, switches, collectives, blocks;
  char tags[TAGS], start_tag, end_tag;
  unsigned next_tag;
  std::vector<void *> tsan_fibers;
};
extern __thread Worker *worker;

static inline Fiber *self() {
  return static_cast<Fiber *>(cur);
}

// fibers.cpp
void make_stacks(unsigned threads);
void start_fiber(Fiber *fiber, void (*entry)());
void enter_fiber();                   // the first call of a fiber's entry
void run_fibers();                    // until all are done
[[noreturn]] void leave_fiber();      // the last call of a fiber's entry
void make_ready(Fiber *fiber);        // behind the others
void make_ready_first(Fiber *fiber);  // so that a warp goes on before others do, where the order allows
void block_here(const char *what, const char *f, int l);
// collectives.cpp
void thread_returned();  // from its kernel
// shared.cpp
void shared_start(size_t dynamic_bytes);
}  // namespace emu

#endif
