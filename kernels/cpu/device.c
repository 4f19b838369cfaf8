// The CPU device: memory, and a pool of threads that take fixed work items.
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#endif

#include "kernels/cpu/cpu.h"

enum {
  THREADS_MAX = 1024,
  HUGE_PAGE = 2 << 20,  // large blocks ask for huge pages: strided rows would miss the TLB at every step
  SPIN = 4000,          // looks at the job counter before a thread goes to sleep: some 10 microseconds
};

// What oneDNN asks libgomp for: how many threads a call from this thread may use. Part of OpenMP's C interface; its
// header comes with the compiler and clang has none for libgomp.
extern int omp_get_max_threads(void);
extern void omp_set_num_threads(int count);

typedef struct worker {
  vc_device *device;
  pthread_t thread;
  void *scratch;
} worker;

struct vc_device {
  const vc_cpu_vector *loops;
  int threads;      // the caller's included, which is worker 0
  worker *workers;  // [threads]
  char *scratch;    // [threads][VC_CPU_SCRATCH]
  int started;      // threads running besides the caller

  // The job at hand. The caller writes it while nobody has an item; whoever gets one may read it until the item is
  // done.
  vc_cpu_work work;
  void *context;
  int64_t count;
  _Alignas(64) atomic_llong ahead;   // items that nobody has taken; 0 and below: none
  _Alignas(64) atomic_llong undone;  // items that are not done
  _Alignas(64) atomic_uint job;      // counts jobs: a change wakes the workers
  atomic_int status;                 // of the first item that failed
  atomic_bool stop;
  pthread_mutex_t mutex;  // for those who sleep
  pthread_cond_t wake, done;
};

// oneDNN's sgemm moves the stack pointer into a block of the heap that is just large enough for itself. A signal
// handler that ran on top of it would overwrite what lies below, so signals wait while work is done; faults do not.
static void hold_signals(sigset_t *before) {
  static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT};
  sigset_t set;
  sigfillset(&set);
  for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) sigdelset(&set, faults[i]);
  pthread_sigmask(SIG_BLOCK, &set, before);
}

// Returns true when the job's last item was done here. A worker that comes late, while the next job is being set up,
// finds no items, or those of the next job: taking one is what makes the job's description safe to read.
static bool take_items(vc_device *device, void *scratch) {
  bool last = false;
  for (;;) {
    int64_t ahead = atomic_fetch_sub_explicit(&device->ahead, 1, memory_order_acquire);
    if (ahead <= 0) return last;
    vc_status status = device->work(device->context, device->count - ahead, scratch);
    int ok = VC_OK;
    if (status != VC_OK) atomic_compare_exchange_strong(&device->status, &ok, (int)status);
    last = atomic_fetch_sub_explicit(&device->undone, 1, memory_order_acq_rel) == 1;
  }
}

static inline void relax(void) {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#endif
}

// Returns the number of the job that is not `seen`.
static unsigned wait_for_job(vc_device *device, unsigned seen) {
  for (int i = 0; i < SPIN; i++) {
    unsigned job = atomic_load_explicit(&device->job, memory_order_acquire);
    if (job != seen) return job;
    relax();
  }
  pthread_mutex_lock(&device->mutex);
  while (atomic_load(&device->job) == seen) pthread_cond_wait(&device->wake, &device->mutex);
  unsigned job = atomic_load(&device->job);
  pthread_mutex_unlock(&device->mutex);
  return job;
}

static void *worker_main(void *argument) {
  worker *self = argument;
  vc_device *device = self->device;
  omp_set_num_threads(1);
  for (unsigned seen = 0;;) {
    seen = wait_for_job(device, seen);
    if (atomic_load(&device->stop)) return NULL;
    if (!take_items(device, self->scratch)) continue;
    pthread_mutex_lock(&device->mutex);
    pthread_cond_signal(&device->done);
    pthread_mutex_unlock(&device->mutex);
  }
}

static void start_job(vc_device *device) {
  pthread_mutex_lock(&device->mutex);
  atomic_fetch_add(&device->job, 1);
  pthread_cond_broadcast(&device->wake);
  pthread_mutex_unlock(&device->mutex);
}

// Until the items that workers have taken are done. A worker that has not got around to taking any (the system has
// given its processor to someone else, say) is not waited for.
static void wait_for_items(vc_device *device) {
  for (int i = 0; i < SPIN; i++) {
    if (atomic_load_explicit(&device->undone, memory_order_acquire) == 0) return;
    relax();
  }
  pthread_mutex_lock(&device->mutex);
  while (atomic_load(&device->undone) != 0) pthread_cond_wait(&device->done, &device->mutex);
  pthread_mutex_unlock(&device->mutex);
}

vc_status vc_cpu_parallel(vc_device *device, int64_t count, vc_cpu_work work, void *context) {
  sigset_t signals;  // the caller's own settings, put back below
  int allowed = omp_get_max_threads();
  hold_signals(&signals);
  omp_set_num_threads(1);
  device->work = work;
  device->context = context;
  device->count = count;
  atomic_store_explicit(&device->status, VC_OK, memory_order_relaxed);
  atomic_store_explicit(&device->undone, count, memory_order_relaxed);
  atomic_store_explicit(&device->ahead, count, memory_order_release);
  if (device->started > 0 && count > 1) start_job(device);
  take_items(device, device->workers[0].scratch);
  wait_for_items(device);
  omp_set_num_threads(allowed);
  pthread_sigmask(SIG_SETMASK, &signals, NULL);
  return (vc_status)atomic_load(&device->status);
}

const vc_cpu_vector *vc_cpu_loops(const vc_device *device) {
  return device->loops;
}

int vc_cpu_threads(const vc_device *device) {
  return device->threads;
}

#if defined(__x86_64__) || defined(__i386__)
// Not every compiler that builds this knows the name, so the processor is asked: leaf 7.1, EAX, bit 5.
static bool has_bf16(void) {
  unsigned a = 0, b, c, d;
  return __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a >> 5 & 1);
}
#endif

bool vc_cpu_use(vc_device *device, const char *name) {
  const vc_cpu_vector *loops = NULL;
  if (!strcmp(name, "generic")) loops = vc_cpu_vector_generic;
#if defined(__x86_64__) || defined(__i386__)
  __builtin_cpu_init();
  // Zen 2 and Haswell have all of the first, Skylake-X and Zen 4 all of the second; F16C comes with AVX2.
  if (!strcmp(name, "avx2") && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
    loops = vc_cpu_vector_avx2;
  bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
                __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq");
  if (!strcmp(name, "avx512") && avx512) loops = vc_cpu_vector_avx512;
  if (!strcmp(name, "avx512_bf16") && avx512 && has_bf16()) loops = vc_cpu_vector_avx512_bf16;
#endif
  if (!loops) return false;
  device->loops = loops;
  return true;
}

static int available_threads(void) {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set)) return 1;
  int count = CPU_COUNT(&set);
  return count < 1 ? 1 : count;
}

// The threads inherit the caller's signal mask: everything is held.
static vc_status start_workers(vc_device *device, vc_error *error) {
  for (int i = 0; i < device->threads; i++) {
    worker *w = device->workers + i;
    w->device = device;
    w->scratch = device->scratch + (size_t)i * VC_CPU_SCRATCH;
    if (i == 0) continue;
    int code = pthread_create(&w->thread, NULL, worker_main, w);
    if (code)
      return vc_fail(error, VC_FAILED, "cannot start thread %d of %d: %s; ask for fewer threads", i + 1,
                     device->threads, strerror(code));
    device->started++;
  }
  return VC_OK;
}

vc_status vc_cpu_open(vc_device **out, int threads, vc_error *error) {
  *out = NULL;
  if (threads < 0 || threads > THREADS_MAX)
    return vc_fail(error, VC_INVALID, "%d threads: give 1 to %d, or 0 for all processors", threads, THREADS_MAX);
  if (threads == 0) threads = available_threads();
  if (threads > THREADS_MAX) threads = THREADS_MAX;
  vc_device *device = aligned_alloc(64, (sizeof *device + 63) / 64 * 64);
  if (!device) return vc_fail(error, VC_NO_MEMORY, "no memory for the CPU device");
  memset(device, 0, sizeof *device);
  pthread_mutex_init(&device->mutex, NULL);
  pthread_cond_init(&device->wake, NULL);
  pthread_cond_init(&device->done, NULL);
  device->threads = threads;
  device->workers = calloc((size_t)threads, sizeof *device->workers);
  device->scratch = aligned_alloc(VC_CPU_ALIGNMENT, (size_t)threads * VC_CPU_SCRATCH);
  if (!vc_cpu_use(device, "avx512_bf16") && !vc_cpu_use(device, "avx512") && !vc_cpu_use(device, "avx2"))
    vc_cpu_use(device, "generic");
  vc_status status = VC_OK;
  if (!device->workers || !device->scratch)
    status = vc_fail(error, VC_NO_MEMORY, "no memory for the work space of %d threads", threads);
  if (status == VC_OK) {
    sigset_t signals;
    hold_signals(&signals);
    status = start_workers(device, error);
    pthread_sigmask(SIG_SETMASK, &signals, NULL);
  }
  if (status != VC_OK) {
    vc_cpu_close(device);
    return status;
  }
  *out = device;
  return VC_OK;
}

void vc_cpu_close(vc_device *device) {
  if (!device) return;
  if (device->started) {
    atomic_store(&device->stop, true);
    start_job(device);
    for (int i = 1; i <= device->started; i++) pthread_join(device->workers[i].thread, NULL);
  }
  pthread_cond_destroy(&device->done);
  pthread_cond_destroy(&device->wake);
  pthread_mutex_destroy(&device->mutex);
  free(device->scratch);
  free(device->workers);
  free(device);
}

vc_status vc_cpu_allocate(vc_device *device, size_t bytes, void **out, vc_error *error) {
  (void)device;
  size_t alignment = bytes < HUGE_PAGE ? VC_CPU_ALIGNMENT : HUGE_PAGE, padded;
  *out = NULL;
  if (vc_add_size(bytes, alignment, &padded)) {
    padded -= padded % alignment;
    *out = aligned_alloc(alignment, padded);
  }
  if (!*out) return vc_fail(error, VC_NO_MEMORY, "no memory for %zu bytes", bytes);
  if (alignment == HUGE_PAGE) madvise(*out, padded, MADV_HUGEPAGE);  // no harm where it is refused
  return VC_OK;
}

void vc_cpu_release(vc_device *device, void *memory) {
  (void)device;
  free(memory);
}
