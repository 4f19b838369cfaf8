// Shared memory of the block that runs, and copies into it that complete later.
#include "block.h"

namespace emu {
// New bytes are NaN. Between two arrays lie 64 bytes that AddressSanitizer lets nobody touch.
static uint32_t allocate(size_t bytes, size_t align) {
  Worker *w = worker;
  uint32_t at = (uint32_t)((w->shared_used + align - 1) / align * align);
  w->shared_used = at + (uint32_t)bytes;
#ifdef EMU_ASAN
  w->shared_used += 64;
  __asan_unpoison_memory_region(smem_base + at, bytes);
#endif
  Quiet quiet;
  memset(smem_base + at, 0xFF, bytes);
  return at;
}

void shared_start(size_t dynamic_bytes) {
  Worker *w = worker;
  w->arrays.clear();
  w->shared_used = w->static_used = 0;
  w->dynamic_offset = 0;
  w->dynamic_bytes = (uint32_t)dynamic_bytes;
#ifdef EMU_ASAN
  __asan_poison_memory_region(smem_base, SHARED_MAX + 32 * 1024);
#endif
  if (dynamic_bytes) w->dynamic_offset = allocate(dynamic_bytes, 1024);
}

void *smem_static(const void *tag, size_t bytes, size_t align) {
  Worker *w = worker;
  for (const SharedArray &a : w->arrays)
    if (a.tag == tag) return smem_base + a.offset;
  w->static_used += (uint32_t)((bytes + 15) / 16 * 16);
  if (w->static_used > STATIC_SHARED_MAX) fail("kernel", 0, "a block has more than 48 KiB of static shared memory");
  if (w->static_used + w->dynamic_bytes > w->shared_limit)
    fail("kernel", 0, "a block uses %u bytes of shared memory; the device has %zu", w->static_used + w->dynamic_bytes,
         w->shared_limit);
  uint32_t at = allocate(bytes, align < 16 ? 16 : align);
  Quiet quiet;
  w->arrays.push_back({tag, at, (uint32_t)bytes});
  return smem_base + at;
}

void *smem_dynamic() {
  return smem_base + worker->dynamic_offset;
}

char *smem_check(uint32_t address, size_t bytes, size_t align, const char *what, const char *f, int l) {
  const Worker *w = worker;
  uint64_t end = (uint64_t)address + bytes;
  if (address % align) fail(f, l, "%s: shared address 0x%x is not aligned to %zu bytes", what, address, align);
  if (address >= w->dynamic_offset && end <= (uint64_t)w->dynamic_offset + w->dynamic_bytes) return smem_base + address;
  for (const SharedArray &a : w->arrays)
    if (address >= a.offset && end <= (uint64_t)a.offset + a.bytes) return smem_base + address;
  fail(f, l, "%s: shared address 0x%x (and %zu bytes) lies outside every shared array", what, address, bytes);
}

// ---- cp.async

void cp_async_push(void *to, const void *from, unsigned bytes, unsigned valid) {
  Quiet quiet;
  Fiber *m = self();
  m->copies.push_back({to, from, bytes, valid, m->copy_group});
}

void cp_async_commit() {
  self()->copy_group++;
}

int cp_async_pop(int keep, void **to, const void **from, unsigned *bytes, unsigned *valid) {
  Fiber *m = self();
  if (m->copies_done < m->copies.size()) {
    const AsyncCopy &copy = m->copies[m->copies_done];
    if ((int)(m->copy_group - copy.group) <= keep) return 0;
    m->copies_done++;
    *to = copy.to;
    *from = copy.from;
    *bytes = copy.bytes;
    *valid = copy.valid;
    return 1;
  }
  m->copies.clear();
  m->copies_done = 0;
  return 0;
}
}  // namespace emu
