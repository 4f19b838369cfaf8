// Grids: their blocks in the order that the settings ask for, several at a time on threads of the host. What a block
// does depends on its number and the seed alone, so that any number of threads gives the same results.
#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <numeric>
#include <thread>

#include "block.h"
#include "runtime.h"

namespace emu {
static Settings read_settings() {
  Settings s = {Order::fifo, 0, (int)std::min(4u, std::max(1u, std::thread::hardware_concurrency()))};
  const char *order = getenv("EMU_ORDER"), *seed = getenv("EMU_SEED"), *threads = getenv("EMU_THREADS");
  if (order && !strcmp(order, "lifo")) s.order = Order::lifo;
  if (order && !strcmp(order, "rand")) s.order = Order::random;
  if (seed) s.seed = strtoull(seed, nullptr, 10);
  if (threads) s.threads = std::clamp(atoi(threads), 1, 64);
#ifdef EMU_TSAN
  s.threads = 1;  // races between blocks are found from what happens before what, not from running them at once
#endif
  return s;
}

const Settings &settings() {
  static const Settings read = read_settings();
  return read;
}

// ---- one block

struct Grid {
  dim3 size, block;
  size_t shared_bytes, shared_limit;
  void (*body)(void *);
  void *argument;
  uint64_t blocks, step, offset;  // block number i of the order is (i * step + offset) % blocks
  std::atomic<uint64_t> next{0};
};

static std::atomic<uint64_t> serials, total_blocks, total_switches, total_collectives;

static void thread_main() {
  enter_fiber();
  worker->body(worker->argument);
  leave_fiber();
}

static void place(Fiber *f, const Grid &g, uint64_t block, unsigned i) {
  f->tid = uint3{i % g.block.x, i / g.block.x % g.block.y, i / (g.block.x * g.block.y)};
  f->bid = uint3{(unsigned)(block % g.size.x), (unsigned)(block / g.size.x % g.size.y),
                 (unsigned)(block / ((uint64_t)g.size.x * g.size.y))};
  f->bdim = g.block;
  f->gdim = g.size;
  f->lin = i;
  f->lane = i % 32;
  f->warp = i / 32;
  f->copies.clear();
  f->copies_done = 0;
  f->copy_group = 0;
}

static void run_block(const Grid &g, uint64_t block) {
  Worker *w = worker;
  unsigned threads = g.block.x * g.block.y * g.block.z;
  if (w->fibers.size() < threads) w->fibers.resize(threads);
  w->threads = w->alive = threads;
  w->head = w->tail = w->spins = 0;
  w->body = g.body;
  w->argument = g.argument;
  w->shared_limit = g.shared_limit;
  w->random = (settings().seed + 1) * 0x9E3779B97F4A7C15u + block * 0xD1B54A32D192ED03u;
  if (!w->random) w->random = 1;
  for (unsigned i = 0; i < (threads + 31) / 32; i++) w->warps[i].pending = 0;
  for (Barrier &b : w->barriers) b.arrived = b.waiting = 0;
  make_stacks(threads);  // a Quiet would hide from ThreadSanitizer that the memory is new
  {
    Quiet quiet;
    shared_start(g.shared_bytes);
    for (unsigned i = 0; i < threads; i++) {
      place(&w->fibers[i], g, block, i);
      start_fiber(&w->fibers[i], thread_main);
    }
  }
  w->blocks++;
  w->serial = ++serials;
  run_fibers();
}

// Blocks until none is left.
static void run_blocks(Grid &g) {
  static __thread Worker *own;
  if (!own) own = new Worker();
  Worker *w = worker = own;
  uint64_t switches = w->switches, collectives = w->collectives;
  for (uint64_t i; (i = g.next++) < g.blocks;) run_block(g, (i * g.step + g.offset) % g.blocks);
  tag_acquire(&w->end_tag);  // blocks have no order among them; the host comes after all
  total_switches += w->switches - switches;
  total_collectives += w->collectives - collectives;
}

// ---- threads of the host

// They wait for the next grid, and are never joined. A process that was forked off starts its own.
class Pool {
 public:
  explicit Pool(int threads) : process(getpid()) {
    for (int i = 0; i < threads; i++) std::thread(&Pool::serve, this, i).detach();
  }
  void run(Grid *grid, int helpers) {
    std::unique_lock<std::mutex> lock(mutex);
    job = grid;
    wanted = helpers;
    running = helpers;
    generation++;
    start.notify_all();
    lock.unlock();
    run_blocks(*grid);
    lock.lock();
    done.wait(lock, [this] { return running == 0; });
  }
  const pid_t process;
  std::mutex busy;

 private:
  void serve(int number) {
    for (uint64_t seen = 0;;) {
      std::unique_lock<std::mutex> lock(mutex);
      start.wait(lock, [&] { return generation != seen; });
      seen = generation;
      if (number >= wanted) continue;
      Grid *grid = job;
      lock.unlock();
      run_blocks(*grid);
      lock.lock();
      if (--running == 0) done.notify_one();
    }
  }
  std::mutex mutex;
  std::condition_variable start, done;
  Grid *job = nullptr;
  int wanted = 0, running = 0;
  uint64_t generation = 0;
};

static Pool *pool() {
  static std::mutex mutex;
  static Pool *shared;
  std::lock_guard<std::mutex> lock(mutex);
  if (!shared || shared->process != getpid()) shared = new Pool(settings().threads - 1);
  return shared;
}

static void print_statistics() {
  fprintf(stderr, "emulator: %llu blocks, %llu switches, %llu collectives\n", (unsigned long long)total_blocks,
          (unsigned long long)total_switches, (unsigned long long)total_collectives);
}

void run_grid(dim3 grid, dim3 block, size_t shared_bytes, void (*body)(void *), void *argument) {
  static const bool statistics = getenv("EMU_STATS") && !atexit(print_statistics);
  (void)statistics;
  Grid g;
  g.size = grid;
  g.block = block;
  g.shared_bytes = shared_bytes;
  g.shared_limit = cuda_on_host::shared_bytes_optin();
  g.body = body;
  g.argument = argument;
  g.blocks = (uint64_t)grid.x * grid.y * grid.z;
  g.step = 1;
  g.offset = 0;
  uint64_t threads = (uint64_t)block.x * block.y * block.z;
  if (!g.blocks || !threads || threads > THREADS_MAX || shared_bytes > SHARED_MAX)
    fail("launch", 0, "grid %u,%u,%u of blocks %u,%u,%u with %zu bytes", grid.x, grid.y, grid.z, block.x, block.y,
         block.z, shared_bytes);
  if (settings().order != Order::fifo && g.blocks > 1) {
    g.step = 0x9E3779B1u % g.blocks | 1;
    while (std::gcd(g.step, g.blocks) != 1) g.step += 2;
    g.offset = (settings().seed * 7919 + 3) % g.blocks;
  }
  total_blocks += g.blocks;
  int helpers = (int)std::min<uint64_t>((uint64_t)settings().threads, g.blocks) - 1;
  Pool *shared = helpers > 0 ? pool() : nullptr;
  if (shared && shared->busy.try_lock()) {
    shared->run(&g, helpers);
    shared->busy.unlock();
  } else {
    run_blocks(g);
  }
}

uint64_t block_serial() {
  return worker->serial;
}
}  // namespace emu
