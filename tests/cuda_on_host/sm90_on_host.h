// What kernels/cuda/sm90.cuh offers, for a host compiler. Copies are done here and not in the emulator, so that the
// sanitizers of the kernels see them.
#ifndef VC_TESTS_CUDA_ON_HOST_SM90_ON_HOST_H
#define VC_TESTS_CUDA_ON_HOST_SM90_ON_HOST_H

#include <cuda_bf16.h>

#include <type_traits>

#include "emulator_sm90.h"

DEVICE void mbarrier_init(uint32_t barrier, uint32_t count, EMU_SITE) {
  emu::mbarrier_init(barrier, count, f_, l_);
}

DEVICE void mbarrier_init_done() {
}

DEVICE void shared_fence_async() {
}

DEVICE void mbarrier_arrive(uint32_t barrier, EMU_SITE) {
  emu::mbarrier_arrive(barrier, 0, f_, l_);
}

DEVICE void mbarrier_arrive_expect(uint32_t barrier, uint32_t bytes, EMU_SITE) {
  emu::mbarrier_arrive(barrier, bytes, f_, l_);
}

// One row of a box: what of it lies in the tensor, and zeros.
DEVICE void emu_tile_row(char *row, const emu::tensor_map &m, const int *at, const unsigned *i) {
  int64_t from = 0;
  bool inside = true;
  for (unsigned d = 1; d < m.rank; d++) {
    int64_t x = (int64_t)at[d] + (int64_t)i[d] * m.step[d];
    inside = inside && x >= 0 && x < (int64_t)m.dim[d];
    from += x * (int64_t)m.stride[d];
  }
  int64_t begin = at[0] < 0 ? -(int64_t)at[0] : 0, end = (int64_t)m.dim[0] - at[0];
  if (end > m.count[0]) end = m.count[0];
  memset(row, 0, (size_t)m.count[0] * m.element);
  if (inside && begin < end)
    memcpy(row + begin * m.element, m.base + from + (at[0] + begin) * (int64_t)m.element,
           (size_t)(end - begin) * m.element);
}

DEVICE void emu_tile_copy(const emu::tile_load &load, bool spoil) {
  const emu::tensor_map &m = load.map;
  uint32_t row_bytes = m.count[0] * m.element, rows = emu::tile_bytes(m) / row_bytes;
  unsigned i[5] = {0, 0, 0, 0, 0};
  alignas(16) char row[512];
  memset(row, 0xFF, sizeof row);
  for (uint32_t r = 0; r < rows; r++) {
    if (!spoil) emu_tile_row(row, m, load.at, i);
    for (uint32_t c = 0; c < row_bytes; c += 16) {
      uint32_t to = load.to + r * row_bytes + c;
      if (m.swizzled) to ^= (to >> 7 & 7) << 4;
      *(uint4 *)(emu::smem_base + to) = *(const uint4 *)(row + c);
    }
    for (unsigned d = 1; d < 5; d++) {
      if (++i[d] < m.count[d]) break;
      i[d] = 0;
    }
  }
}

DEVICE void emu_tile_issue(uint32_t shared, const CUtensorMap *map, uint32_t barrier, unsigned rank, const int *at,
                           const char *f, int l) {
  emu::tile_load load;
  load.to = shared;
  load.barrier = barrier;
  for (unsigned d = 0; d < 5; d++) load.at[d] = d < rank ? at[d] : 0;
  memcpy(&load.map, map, sizeof load.map);
  if (load.map.rank != rank) emu::fail(f, l, "TMA: %u coordinates for a map of rank %u", rank, load.map.rank);
  emu::tile_issue(load, f, l);
  emu_tile_copy(load, true);
  emu::tile_publish(barrier);
}

DEVICE void tma_load(uint32_t shared, const CUtensorMap *map, uint32_t barrier, int x, int y, EMU_SITE) {
  const int at[] = {x, y};
  emu_tile_issue(shared, map, barrier, 2, at, f_, l_);
}

DEVICE void tma_load(uint32_t shared, const CUtensorMap *map, uint32_t barrier, int x, int y, int z, int u, int v,
                     EMU_SITE) {
  const int at[] = {x, y, z, u, v};
  emu_tile_issue(shared, map, barrier, 5, at, f_, l_);
}

DEVICE void tma_prefetch(const CUtensorMap *) {
}

// Brings nothing that anybody uses, and so races with nobody.
EMU_UNSEEN DEVICE void prefetch_l2(const void *p) {
  (void)*(const volatile char *)p;  // harmless on the device wherever it is, but meant to be inside
}

DEVICE void mbarrier_wait(uint32_t barrier, uint32_t parity, EMU_SITE) {
  emu::tile_load load;
  for (;;) {
    emu::mbarrier_news news = emu::mbarrier_wait_step(barrier, parity, &load, f_, l_);
    if (news == emu::MBARRIER_DONE) return;
    if (news == emu::MBARRIER_AGAIN) continue;
    emu_tile_copy(load, false);
    emu::mbarrier_complete(barrier, emu::tile_bytes(load.map));
  }
}

DEVICE void wgmma_fence() {
  emu::products_fence();
}

DEVICE void wgmma_commit() {
  emu::products_commit();
}

template <class T, int REGISTERS>
DEVICE void wgmma(float (&d)[REGISTERS], uint64_t a, uint64_t b, int add, EMU_SITE) {
  emu::products_add(d, {a, b, REGISTERS * 2, add, std::is_same<T, __nv_bfloat16>::value, 0, 0}, f_, l_);
}

template <int N>
DEVICE void wgmma_wait(EMU_SITE) {
  if (!emu::products_due(N)) return;
#ifdef __SANITIZE_THREAD__  // each lane reads its share of the operands, for the sanitizer
  int lane = (int)emu::cur->lane, warp = (int)emu::cur->warp % 4;
  const emu::product *p;
  for (unsigned i = 0; (p = emu::products_next(N, i)); i++) {
    (void)*(const volatile char *)(emu::smem_base + emu::operand_address(p->a, warp * 16 + lane / 2, lane % 2, f_, l_));
    for (int row = lane / 2; row < p->columns; row += 16)
      (void)*(const volatile char *)(emu::smem_base + emu::operand_address(p->b, row, lane % 2, f_, l_));
  }
#endif
  int keep = N;
  emu::warp_collective(~0u, emu::products_run, &keep, true, "wgmma.wait_group", f_, l_);
  emu::products_finish();
}

template <int N>
DEVICE void registers_up() {
  static_assert(N % 8 == 0 && N >= 24 && N <= 256, "counts that setmaxnreg takes");
}

template <int N>
DEVICE void registers_down() {
  static_assert(N % 8 == 0 && N >= 24 && N <= 256, "counts that setmaxnreg takes");
}

#endif
