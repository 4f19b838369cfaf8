// CUDA's built-in variables and functions of the device that its headers do not offer to a host compiler.
#ifndef VC_TESTS_CUDA_ON_HOST_INTRINSICS_H
#define VC_TESTS_CUDA_ON_HOST_INTRINSICS_H

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cmath>
#include <type_traits>

#include "emulator.h"

#undef __shared__  // it would silently be a variable on the stack
#define __shared__ use_SHARED_or_SHARED_DYNAMIC_instead_of_raw___shared__
#undef __launch_bounds__
#define __launch_bounds__(...)
#undef __grid_constant__
#define __grid_constant__

#define threadIdx (::emu::cur->tid)
#define blockIdx (::emu::cur->bid)
#define blockDim (::emu::cur->bdim)
#define gridDim (::emu::cur->gdim)
static constexpr int warpSize = 32;

// What one lane reads of another's is the emulator's own exchange, no race of the kernel's.
#define EMU_UNSEEN __attribute__((no_sanitize("thread")))

namespace emu {
template <class T>
struct ShuffleIO {
  T value, result;
  unsigned from;
  const char *file;
  int line;
};

template <class T>
EMU_UNSEEN void shuffle(unsigned mask, void **io) {
  for (unsigned i = 0; i < 32; i++) {
    if (!(mask >> i & 1)) continue;
    ShuffleIO<T> *lane = (ShuffleIO<T> *)io[i];
    if (!(mask >> lane->from & 1))
      fail(lane->file, lane->line, "shfl: lane %u reads lane %u, which is not in mask %08x", i, lane->from, mask);
    __builtin_memcpy(&lane->result, &((ShuffleIO<T> *)io[lane->from])->value, sizeof(T));
  }
}

template <class T>
T shuffled(unsigned mask, T value, unsigned from, const char *f, int l) {
  ShuffleIO<T> io{value, value, from, f, l};
  warp_collective(mask, shuffle<T>, &io, false, "shfl", f, l);
  return io.result;
}

struct VoteIO {
  unsigned yes, votes;
};

EMU_UNSEEN inline void vote(unsigned mask, void **io) {
  unsigned votes = 0;
  for (unsigned i = 0; i < 32; i++)
    if (mask >> i & 1) votes |= ((VoteIO *)io[i])->yes << i;
  for (unsigned i = 0; i < 32; i++)
    if (mask >> i & 1) ((VoteIO *)io[i])->votes = votes;
}

inline void nothing(unsigned, void **) {
}

// The lane to read from, or the own one where that lies outside the part of `width` lanes.
inline unsigned in_part(int lane, int width) {
  int own = (int)cur->lane, first = own & ~(width - 1);
  return (unsigned)(lane < first || lane >= first + width ? own : lane);
}
}  // namespace emu

// ---- together

inline void __syncthreads(EMU_SITE) {
  emu::bar_sync(0, 0, f_, l_);
}
inline void __syncwarp(unsigned mask = ~0u, EMU_SITE) {
  emu::warp_collective(mask, emu::nothing, nullptr, true, "__syncwarp", f_, l_);
}
template <class T>
T __shfl_sync(unsigned mask, T v, int lane, int width = 32, EMU_SITE) {
  unsigned first = emu::cur->lane & ~(unsigned)(width - 1);
  return emu::shuffled(mask, v, first | ((unsigned)lane & (unsigned)(width - 1)), f_, l_);
}
// As the hardware does: a lane of a later part is out of reach, one of an earlier part is not.
template <class T>
T __shfl_xor_sync(unsigned mask, T v, int bits, int width = 32, EMU_SITE) {
  unsigned last = emu::cur->lane | (unsigned)(width - 1), lane = emu::cur->lane ^ (unsigned)bits;
  return emu::shuffled(mask, v, lane > last ? emu::cur->lane : lane, f_, l_);
}
template <class T>
T __shfl_down_sync(unsigned mask, T v, unsigned by, int width = 32, EMU_SITE) {
  return emu::shuffled(mask, v, emu::in_part((int)(emu::cur->lane + by), width), f_, l_);
}
template <class T>
T __shfl_up_sync(unsigned mask, T v, unsigned by, int width = 32, EMU_SITE) {
  return emu::shuffled(mask, v, emu::in_part((int)emu::cur->lane - (int)by, width), f_, l_);
}
inline unsigned __ballot_sync(unsigned mask, int yes, EMU_SITE) {
  emu::VoteIO io{yes ? 1u : 0u, 0};
  emu::warp_collective(mask, emu::vote, &io, false, "a vote", f_, l_);
  return io.votes;
}
inline int __any_sync(unsigned mask, int yes, EMU_SITE) {
  return __ballot_sync(mask, yes, f_, l_) != 0;
}
inline int __all_sync(unsigned mask, int yes, EMU_SITE) {
  return __ballot_sync(mask, !yes, f_, l_) == 0;
}
inline unsigned __activemask() {
  return ~0u;
}
inline void __threadfence() {
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
}
inline void __threadfence_block() {
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

// ---- atomics, relaxed like CUDA's; all return the old value

template <class T>
struct emu_same {  // a parameter of this type takes part in no deduction
  using type = T;
};
template <class T, class F>
T emu_atomic(T *p, F next) {
  T old, wanted;
  __atomic_load(p, &old, __ATOMIC_RELAXED);
  do wanted = next(old);
  while (!__atomic_compare_exchange(p, &old, &wanted, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
  return old;
}
template <class T>
T atomicAdd(T *p, typename emu_same<T>::type v) {
  return emu_atomic(p, [v](T old) { return (T)(old + v); });
}
template <class T>
T atomicSub(T *p, typename emu_same<T>::type v) {
  return emu_atomic(p, [v](T old) { return (T)(old - v); });
}
template <class T>
T atomicMax(T *p, typename emu_same<T>::type v) {
  return emu_atomic(p, [v](T old) { return old < v ? v : old; });
}
template <class T>
T atomicMin(T *p, typename emu_same<T>::type v) {
  return emu_atomic(p, [v](T old) { return v < old ? v : old; });
}
template <class T>
T atomicOr(T *p, typename emu_same<T>::type v) {
  return emu_atomic(p, [v](T old) { return (T)(old | v); });
}
template <class T>
T atomicExch(T *p, typename emu_same<T>::type v) {
  return emu_atomic(p, [v](T) { return v; });
}
template <class T>
T atomicCAS(T *p, typename emu_same<T>::type compare, typename emu_same<T>::type v) {
  return emu_atomic(p, [=](T old) { return old == compare ? v : old; });
}

// ---- loads and stores with cache hints

template <class T>
T __ldg(const T *p) {
  return *p;
}
template <class T>
T __ldcs(const T *p) {
  return *p;
}
template <class T>
T __ldcg(const T *p) {
  return *p;
}
template <class T>
void __stcs(T *p, T v) {
  *p = v;
}
template <class T>
void __stcg(T *p, T v) {
  *p = v;
}

// ---- numbers

inline float rsqrtf(float x) {
  return 1.0f / sqrtf(x);
}
inline double rsqrt(double x) {
  return 1.0 / sqrt(x);
}
#define __expf(x) expf(x)  // glibc has functions of these names
#define __exp10f(x) exp10f(x)
#define __logf(x) logf(x)
#define __log2f(x) log2f(x)
#define __powf(x, y) powf(x, y)
#define __sinf(x) sinf(x)
#define __cosf(x) cosf(x)
inline float __fdividef(float a, float b) {
  return a / b;
}
inline float __frcp_rn(float a) {
  return 1.0f / a;
}
inline float __fsqrt_rn(float a) {
  return sqrtf(a);
}
inline float __frsqrt_rn(float a) {
  return (float)(1.0 / sqrt((double)a));
}
inline float __fadd_rn(float a, float b) {
  return a + b;
}
inline float __fsub_rn(float a, float b) {
  return a - b;
}
inline float __fmul_rn(float a, float b) {
  return a * b;
}
inline float __fdiv_rn(float a, float b) {
  return a / b;
}
inline float __fmaf_rn(float a, float b, float c) {
  return __builtin_fmaf(a, b, c);
}
inline float __saturatef(float a) {
  return a > 0 ? (a < 1 ? a : 1) : 0;  // NaN becomes 0
}
inline int __float2int_rn(float a) {
  return (int)rintf(a);
}
inline int __float2int_rz(float a) {
  return (int)a;
}
inline int __float2int_rd(float a) {
  return (int)floorf(a);
}
inline float __int2float_rn(int a) {
  return (float)a;
}
inline float __uint2float_rn(unsigned a) {
  return (float)a;
}
template <class To, class From>
To emu_bits(From from) {
  static_assert(sizeof(To) == sizeof(From), "the same size");
  To to;
  memcpy(&to, &from, sizeof to);
  return to;
}
inline float __int_as_float(int a) {
  return emu_bits<float>(a);
}
inline float __uint_as_float(unsigned a) {
  return emu_bits<float>(a);
}
inline int __float_as_int(float a) {
  return emu_bits<int>(a);
}
inline unsigned __float_as_uint(float a) {
  return emu_bits<unsigned>(a);
}
inline int __popc(unsigned a) {
  return __builtin_popcount(a);
}
inline int __popcll(unsigned long long a) {
  return __builtin_popcountll(a);
}
inline int __clz(int a) {
  return a ? __builtin_clz((unsigned)a) : 32;
}
inline int __ffs(int a) {
  return __builtin_ffs(a);
}
inline unsigned __brev(unsigned a) {
  unsigned out = 0;
  for (int i = 0; i < 32; i++) out |= (a >> i & 1) << (31 - i);
  return out;
}
inline unsigned __umulhi(unsigned a, unsigned b) {
  return (unsigned)((uint64_t)a * b >> 32);
}
inline int __mulhi(int a, int b) {
  return (int)((int64_t)a * b >> 32);
}
template <class A, class B>
std::common_type_t<A, B> min(A a, B b) {
  using T = std::common_type_t<A, B>;
  if constexpr (std::is_floating_point<T>::value)
    return fmin((T)a, (T)b);  // the other one if one is NaN
  else
    return (T)b < (T)a ? (T)b : (T)a;
}
template <class A, class B>
std::common_type_t<A, B> max(A a, B b) {
  using T = std::common_type_t<A, B>;
  if constexpr (std::is_floating_point<T>::value)
    return fmax((T)a, (T)b);
  else
    return (T)a < (T)b ? (T)b : (T)a;
}

#endif
