// What kernels/cuda/gpu.cuh offers, for a host compiler: each instruction does its work at the latest moment that the
// hardware allows, and spoils its target at the earliest.
#ifndef VC_TESTS_CUDA_ON_HOST_H
#define VC_TESTS_CUDA_ON_HOST_H

#include <tuple>
#include <type_traits>
#include <utility>

#include "emulator.h"
#include "intrinsics.h"
#include "runtime.h"

#define DEVICE static inline
#define SHARED(T, name, ...)          \
  static char name##_tag_;            \
  using name##_type_ = T __VA_ARGS__; \
  name##_type_ &name = *(name##_type_ *)::emu::smem_static(&name##_tag_, sizeof(name##_type_), alignof(name##_type_))
#define SHARED_DYNAMIC(name) unsigned char *name = (unsigned char *)::emu::smem_dynamic()

// The arguments are copied, as they are on the device. Pointers among them must be to memory that the device sees.
template <class... P, class... A>
static inline cudaError_t launch(void (*kernel)(P...), dim3 grid, dim3 block, size_t shared_bytes, cudaStream_t stream,
                                 A &&...arguments) {
  using Call = std::pair<void (*)(P...), std::tuple<P...>>;
  static_assert(sizeof(std::tuple<P...>) <= 4096, "more arguments than a launch takes");
  Call call(kernel, std::tuple<P...>(std::forward<A>(arguments)...));
  cudaError_t error = cuda_on_host::check_launch(grid, block, shared_bytes, stream);
  if (error != cudaSuccess) return error;
  return cuda_on_host::enqueue(stream, [=] {
    Call mine = call;
    std::apply([](auto... argument) { (cuda_on_host::check_argument(argument), ...); }, mine.second);
    emu::run_grid(
        grid, block, shared_bytes, [](void *p) { std::apply(((Call *)p)->first, ((Call *)p)->second); }, &mine);
    uint64_t blocks = (uint64_t)grid.x * grid.y * grid.z, each = block.x * block.y * block.z + shared_bytes;
    cuda_on_host::spend(blocks * each * cuda_on_host::UNIT);
  });
}

// The same 32-bit arithmetic, XOR swizzles included, as on the device.
DEVICE uint32_t shared_address(const void *p) {
  return (uint32_t)((const char *)p - emu::smem_base);
}

DEVICE void named_barrier(int id, unsigned threads, EMU_SITE) {
  emu::bar_sync(id, threads, f_, l_);
}

DEVICE void named_barrier_arrive(int id, unsigned threads, EMU_SITE) {
  emu::bar_arrive(id, threads, f_, l_);
}

// ---- cp.async: the copies happen in the thread that issued them, when it waits; until then their target is NaN

template <int BYTES>
DEVICE void cp_async(uint32_t shared, const void *global, bool valid, EMU_SITE) {
  static_assert(BYTES == 4 || BYTES == 8 || BYTES == 16, "sizes that cp.async has");
  char *to = emu::smem_check(shared, BYTES, BYTES, "cp.async", f_, l_);
  if (valid) {
    if ((uintptr_t)global % BYTES) emu::fail(f_, l_, "cp.async source %p is not aligned to %d bytes", global, BYTES);
    (void)*(const volatile char *)global;  // a sanitizer shall see a bad source here
    (void)((const volatile char *)global)[BYTES - 1];
  }
  for (int i = 0; i < BYTES; i += 4) *(uint32_t *)(to + i) = ~0u;
  emu::cp_async_push(to, global, BYTES, valid ? BYTES : 0);
}

DEVICE void cp_async_commit() {
  emu::cp_async_commit();
}

template <int N>
DEVICE void cp_async_wait() {
  void *to;
  const void *from;
  unsigned bytes, valid;
  while (emu::cp_async_pop(N, &to, &from, &bytes, &valid))
    for (unsigned i = 0; i < bytes / 4; i++) ((uint32_t *)to)[i] = valid ? ((const uint32_t *)from)[i] : 0;
}

// ---- ldmatrix: every lane reads a row of its own, where the sanitizers see it, and the rows are exchanged

namespace emu {
struct MatrixIO {
  uint4 row;
  uint32_t r[4];
};

// Lane t gets of matrix m the elements (t / 4, t % 4 * 2) and the next one of the row, or with the axes swapped.
template <bool TRANSPOSED>
EMU_UNSEEN void exchange_rows(unsigned mask, void **io) {
  if (mask != ~0u) fail("ldmatrix", 0, "in a warp that is not full");
  for (int m = 0; m < 4; m++)
    for (int t = 0; t < 32; t++) {
      uint32_t pair = 0;
      for (int e = 0; e < 2; e++) {
        int row = TRANSPOSED ? t % 4 * 2 + e : t / 4, column = TRANSPOSED ? t / 4 : t % 4 * 2 + e;
        pair |= (uint32_t)((const uint16_t *)&((MatrixIO *)io[m * 8 + row])->row)[column] << (16 * e);
      }
      ((MatrixIO *)io[t])->r[m] = pair;
    }
}

template <bool TRANSPOSED>
inline void load_matrices(uint32_t (&r)[4], uint32_t shared, const char *f, int l) {
  MatrixIO io;
  io.row = *(const uint4 *)smem_check(shared, 16, 16, "ldmatrix", f, l);
  warp_collective(~0u, exchange_rows<TRANSPOSED>, &io, false, "ldmatrix", f, l);
  for (int i = 0; i < 4; i++) r[i] = io.r[i];
}

template <bool BF16>
inline void mma(unsigned mask, void **io) {
  mma16816(mask, io, BF16);
}
}  // namespace emu

DEVICE void ldmatrix_x4(uint32_t (&r)[4], uint32_t shared, EMU_SITE) {
  emu::load_matrices<false>(r, shared, f_, l_);
}

DEVICE void ldmatrix_x4_trans(uint32_t (&r)[4], uint32_t shared, EMU_SITE) {
  emu::load_matrices<true>(r, shared, f_, l_);
}

template <class T>
DEVICE void mma_m16n8k16(float (&c)[4], const uint32_t (&a)[4], const uint32_t *b, EMU_SITE) {
  static_assert(std::is_same<T, __half>::value || std::is_same<T, __nv_bfloat16>::value, "types that mma has");
  emu::MmaIO io{c, a, b};
  emu::warp_collective(~0u, emu::mma<std::is_same<T, __nv_bfloat16>::value>, &io, false, "mma", f_, l_);
}

// As ex2.approx.ftz: nothing between 0 and the smallest normal number.
DEVICE float exp2_fast(float x) {
  float y = exp2f(x);
  return y < 0x1p-126f ? 0 : y;
}

#endif
