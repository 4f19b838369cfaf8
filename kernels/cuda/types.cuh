// Storage types and what kernels share: values between storage and fp32, vectors of 16 bytes, sums over a warp and a
// block, activations.
#ifndef VC_KERNELS_CUDA_TYPES_CUH
#define VC_KERNELS_CUDA_TYPES_CUH

#include "kernels/cuda/gpu.cuh"
#include "kernels/ops.h"

DEVICE float to_float(float v) {
  return v;
}
DEVICE float to_float(__half v) {
  return __half2float(v);
}
DEVICE float to_float(__nv_bfloat16 v) {
  return __bfloat162float(v);
}

// Rounded to nearest even.
template <class T>
DEVICE T from_float(float v) {
  if constexpr (sizeof(T) == 4)
    return v;
  else if constexpr (std::is_same<T, __half>::value)
    return __float2half_rn(v);
  else
    return __float2bfloat16_rn(v);
}

// N elements that are loaded and stored in one go; N * sizeof(T) is 2, 4, 8 or 16, and so is the alignment.
template <class T, int N>
struct alignas(N * sizeof(T)) vector_of {
  T v[N];
};

// Host code: 16-byte vectors may be loaded from there.
static inline bool is_aligned(const void *p) {
  return (uintptr_t)p % 16 == 0;
}

// Elements of T in 16 bytes.
template <class T>
constexpr int full_vector = 16 / (int)sizeof(T);

template <class T, int N>
DEVICE void load_floats(float (&out)[N], const T *from) {
  vector_of<T, N> v = *(const vector_of<T, N> *)from;
#pragma unroll
  for (int i = 0; i < N; i++) out[i] = to_float(v.v[i]);
}

template <class T, int N>
DEVICE void store_floats(T *to, const float (&in)[N]) {
  vector_of<T, N> v;
#pragma unroll
  for (int i = 0; i < N; i++) v.v[i] = from_float<T>(in[i]);
  *(vector_of<T, N> *)to = v;
}

// Two values as the 32 bits that mma takes: `low` in the lower half.
template <class T>
DEVICE uint32_t pack_two(float low, float high) {
  vector_of<T, 2> v = {{from_float<T>(low), from_float<T>(high)}};
  uint32_t bits;
  memcpy(&bits, &v, sizeof bits);
  return bits;
}

DEVICE float warp_sum(float v) {
#pragma unroll
  for (int step = 16; step; step >>= 1) v += __shfl_xor_sync(~0u, v, step);
  return v;
}

// Every thread of the block gets the sum; THREADS is the block's size, a multiple of 32. Synchronises the block.
template <int THREADS>
DEVICE float block_sum(float v) {
  SHARED(float, part, [THREADS / 32]);
  v = warp_sum(v);
  if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = v;
  __syncthreads();
  float total = 0;
#pragma unroll
  for (int i = 0; i < THREADS / 32; i++) total += part[i];
  __syncthreads();  // part is used again by the next call
  return total;
}

DEVICE float silu(float v) {
  return v / (1.0f + expf(-v));
}

DEVICE float gelu(float v) {
  return 0.5f * v * (1.0f + erff(v * 0.70710678118654752f));
}

// GEGLU is no function of one value; it is the caller's.
DEVICE float activated(float v, vc_activation activation) {
  switch (activation) {
    case VC_ACT_SILU:
      return silu(v);
    case VC_ACT_GELU:
      return gelu(v);
    case VC_ACT_RELU:
      return v < 0 ? 0 : v;  // keeps NaN
    case VC_ACT_SIGMOID:
      return 1.0f / (1.0f + expf(-v));
    default:
      return v;
  }
}

#endif
