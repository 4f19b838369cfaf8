// What sm_90a adds to gpu.cuh: barriers in shared memory that count bytes, the copy engine that fills tiles (TMA), and
// matrix products of a warpgroup (wgmma). The host's side of it is sm90_on_host.h.
//
//   mbarrier_init(barrier, count)       one thread; then mbarrier_init_done() and __syncthreads()
//   mbarrier_arrive(barrier)            one of the count
//   mbarrier_arrive_expect(barrier, n)  the same, and n bytes must arrive as well before the phase ends
//   mbarrier_wait(barrier, parity)      until the phase of this parity has ended: 0 for the first, 1 for the second
//   ...;
//                                       parity 1 on a fresh barrier returns at once
//   tma_load(shared, map, barrier, x, y, ...)  the box of the map at these coordinates, innermost first; what lies
//   outside
//                                       of the tensor is zero, and counts among the bytes that arrive
//   tma_prefetch(map)                   fetches the description
//   prefetch_l2(p)                      fetches the line of global memory at p into L2
//   shared_fence_async()                ordinary stores to shared memory come before what TMA and wgmma do after a
//   barrier wgmma_fence(), wgmma<T>(d, a, b, add), wgmma_commit(), wgmma_wait<N>()
//                                       d [64 columns] (+)= a [64 16] b [columns 16]', all four warps of a warpgroup; d
//                                       is the compiler's again after the wait. d[j * 4 + i * 2 + e] of lane t of warp
//                                       w is row 16 w + 8 i + t / 4, column 8 j + t % 4 * 2 + e
//   wgmma_operand(shared)               describes a tile of 128-byte rows as TMA stores it with its 128-byte swizzle;
//   16
//                                       columns further on: + 32 bytes. Tiles start at multiples of 1024 bytes
//   registers_up<N>(), registers_down<N>()   of this warpgroup, a multiple of 8
#ifndef VC_KERNELS_CUDA_SM90_CUH
#define VC_KERNELS_CUDA_SM90_CUH

#include <cuda.h>

#include "kernels/cuda/gpu.cuh"

// Start address, no leading offset (one 128-byte row is a whole row of the tile), 1024 bytes between groups of eight
// rows, 128-byte swizzle.
DEVICE uint64_t wgmma_operand(uint32_t shared) {
  return (uint64_t)((shared & 0x3FFFF) >> 4) | (uint64_t)1 << 16 | (uint64_t)(1024 >> 4) << 32 | (uint64_t)1 << 62;
}

#ifdef __CUDACC__
DEVICE void mbarrier_init(uint32_t barrier, uint32_t count) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;\n" ::"r"(barrier), "r"(count) : "memory");
}

DEVICE void mbarrier_init_done() {
  asm volatile("fence.mbarrier_init.release.cluster;\n" ::: "memory");
}

DEVICE void shared_fence_async() {
  asm volatile("fence.proxy.async.shared::cta;\n" ::: "memory");
}

DEVICE void mbarrier_arrive(uint32_t barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];\n" ::"r"(barrier) : "memory");
}

DEVICE void mbarrier_arrive_expect(uint32_t barrier, uint32_t bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;\n" ::"r"(barrier), "r"(bytes) : "memory");
}

DEVICE void mbarrier_wait(uint32_t barrier, uint32_t parity) {
  uint32_t done;
  do {
    asm volatile(
        "{\n.reg .pred p;\n"
        "mbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\n"
        "selp.u32 %0, 1, 0, p;\n}\n"
        : "=r"(done)
        : "r"(barrier), "r"(parity)
        : "memory");
  } while (!done);
}

DEVICE void tma_prefetch(const CUtensorMap *map) {
  asm volatile("prefetch.tensormap [%0];\n" ::"l"(map) : "memory");
}

DEVICE void prefetch_l2(const void *p) {
  asm volatile("prefetch.global.L2 [%0];\n" ::"l"(p));
}

DEVICE void tma_load(uint32_t shared, const CUtensorMap *map, uint32_t barrier, int x, int y) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4}], [%2];\n" ::"r"(
          shared),
      "l"(map), "r"(barrier), "r"(x), "r"(y)
      : "memory");
}

DEVICE void tma_load(uint32_t shared, const CUtensorMap *map, uint32_t barrier, int x, int y, int z, int u, int v) {
  asm volatile(
      "cp.async.bulk.tensor.5d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, %5, %6, %7}], "
      "[%2];\n" ::"r"(shared),
      "l"(map), "r"(barrier), "r"(x), "r"(y), "r"(z), "r"(u), "r"(v)
      : "memory");
}

DEVICE void wgmma_fence() {
  asm volatile("wgmma.fence.sync.aligned;\n" ::: "memory");
}

DEVICE void wgmma_commit() {
  asm volatile("wgmma.commit_group.sync.aligned;\n" ::: "memory");
}

template <int N>
DEVICE void wgmma_wait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;\n" ::"n"(N) : "memory");
}

#define WGMMA_32                                                                                                       \
  "%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30," \
  "%31"
#define WGMMA_64                                                                                                  \
  WGMMA_32                                                                                                        \
  ",%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47,%48,%49,%50,%51,%52,%53,%54,%55,%56,%57,%58," \
  "%59,%60,%61,%62,%63"
#define WGMMA_80 WGMMA_64 ",%64,%65,%66,%67,%68,%69,%70,%71,%72,%73,%74,%75,%76,%77,%78,%79"
#define WGMMA_D4(i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3])
#define WGMMA_D16(i) WGMMA_D4(i), WGMMA_D4(i + 4), WGMMA_D4(i + 8), WGMMA_D4(i + 12)

// One instruction: `d` is its list of registers, `operands` the same for the compiler; a, b and add are numbered
// behind.
#define WGMMA(columns, type, d, a_at, b_at, add_at, ...)                                                          \
  asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %" add_at                                                        \
               ", 0;\n"                                                                                           \
               "wgmma.mma_async.sync.aligned.m64n" columns "k16.f32." type "." type " {" d "}, %" a_at ", %" b_at \
               ", p, 1, 1, 0, 0;\n}\n"                                                                            \
               : __VA_ARGS__                                                                                      \
               : "l"(a), "l"(b), "r"(add))

#define WGMMA_FUNCTION(columns, registers, list, a_at, b_at, add_at, ...)    \
  template <class T>                                                         \
  DEVICE void wgmma(float(&d)[registers], uint64_t a, uint64_t b, int add) { \
    if constexpr (std::is_same<T, __half>::value)                            \
      WGMMA(columns, "f16", list, a_at, b_at, add_at, __VA_ARGS__);          \
    else                                                                     \
      WGMMA(columns, "bf16", list, a_at, b_at, add_at, __VA_ARGS__);         \
  }

WGMMA_FUNCTION("64", 32, WGMMA_32, "32", "33", "34", WGMMA_D16(0), WGMMA_D16(16))
WGMMA_FUNCTION("128", 64, WGMMA_64, "64", "65", "66", WGMMA_D16(0), WGMMA_D16(16), WGMMA_D16(32), WGMMA_D16(48))
WGMMA_FUNCTION("160", 80, WGMMA_80, "80", "81", "82", WGMMA_D16(0), WGMMA_D16(16), WGMMA_D16(32), WGMMA_D16(48),
               WGMMA_D16(64))

template <int N>
DEVICE void registers_up() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;\n" ::"n"(N));
}

template <int N>
DEVICE void registers_down() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;\n" ::"n"(N));
}
#else
#include "sm90_on_host.h"
#endif

#endif
