// CUDA threads on the CPU: each is a fiber, a block's fibers run in turn on one thread of the host, and whoever waits
// for others (at a barrier, in an instruction of the whole warp) gives way to them. What kernels call is in
// intrinsics.h and cuda_on_host.h; they come here. A misuse prints "EMU ERROR file:line: ..." and ends the process with
// status 66.
//
// Environment: EMU_ORDER=fifo|lifo|rand (which fiber goes on), EMU_SEED=n, EMU_THREADS=n (blocks at a time),
// EMU_STATS=1.
#ifndef VC_TESTS_CUDA_ON_HOST_EMULATOR_H
#define VC_TESTS_CUDA_ON_HOST_EMULATOR_H

#include <cuda_runtime_api.h>
#include <vector_functions.h>
#include <vector_types.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

// The last parameters of whatever may complain: where the kernel called it.
#define EMU_SITE const char *f_ = __builtin_FILE(), int l_ = __builtin_LINE()

namespace emu {
struct Thread {
  uint3 tid, bid;
  dim3 bdim, gdim;
  unsigned lin, lane, warp;  // position in the block, in its warp, and the warp's in the block
};
extern __thread Thread *cur;      // the CUDA thread that runs
extern __thread char *smem_base;  // shared address 0 of its block, aligned to 1024

[[noreturn]] void fail(const char *f, int l, const char *format, ...) __attribute__((format(printf, 3, 4)));

// Runs `body(argument)` as every thread of every block; returns when all have returned.
void run_grid(dim3 grid, dim3 block, size_t shared_bytes, void (*body)(void *), void *argument);

// ---- barriers and collectives

// Threads of the block wait for each other: `threads` of them, or all that have not returned (0, which only barrier 0
// takes). bar_arrive counts without waiting.
void bar_sync(int id, unsigned threads, const char *f, int l);
void bar_arrive(int id, unsigned threads, const char *f, int l);

// Every lane of `mask` posts `io`; the last one computes for all of them: fn(mask, io of each lane). With `fence`, what
// the lanes wrote before is visible to all afterwards.
typedef void (*ColFn)(unsigned mask, void **io);
void warp_collective(unsigned mask, ColFn fn, void *io, bool fence, const char *what, const char *f, int l);

// ---- shared memory; fresh bytes are 0xFF, a NaN in f32, f16 and bf16

void *smem_static(const void *tag, size_t bytes, size_t align);  // the block's array of that tag
void *smem_dynamic();
// The memory at a shared address, after a check that all of it lies in one array.
char *smem_check(uint32_t address, size_t bytes, size_t align, const char *what, const char *f, int l);

// ---- cp.async: kept per thread until it waits, so that the copy happens at the latest moment

void cp_async_push(void *to, const void *from, unsigned bytes, unsigned valid);
void cp_async_commit();
// The next copy that must be done for no more than `keep` groups to be under way; false when there is none.
int cp_async_pop(int keep, void **to, const void **from, unsigned *bytes, unsigned *valid);

// ---- tensor cores

struct MmaIO {
  float *c;
  const uint32_t *a, *b;
};
void mma16816(unsigned mask, void **io, bool bf16);

// ---- for units that complete on their own, as in emulator_sm90

void park(const char *what, const char *f, int l);  // the thread waits until somebody wakes it
void wake(void *thread);
void yield_spin(const char *what, const char *f, int l);  // lets others go on; too often in vain is a deadlock
uint64_t block_serial();                                  // another number for every block that runs
// Points in time for ThreadSanitizer: what happened before tag_release(t) is visible after tag_acquire(t).
void *fresh_tag();
void tag_release(void *tag);
void tag_acquire(void *tag);

// The emulator is not instrumented, but ThreadSanitizer sees its malloc, free and memset: while a Quiet lives, it does
// not.
struct Quiet {
  Quiet();
  ~Quiet();
  Quiet(const Quiet &) = delete;
  Quiet &operator=(const Quiet &) = delete;
};
}  // namespace emu

#endif
