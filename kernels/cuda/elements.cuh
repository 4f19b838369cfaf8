// What the kernels that touch every element once share: places in a shape, fp32 parameters, the choice of a type.
#ifndef VC_KERNELS_CUDA_ELEMENTS_CUH
#define VC_KERNELS_CUDA_ELEMENTS_CUH

#include "kernels/cuda/cuda.h"
#include "kernels/cuda/types.cuh"

struct quotient {
  int64_t q, r;
};

// i / by and i % by of numbers that are not negative. 64-bit division costs about a hundred instructions, 32-bit
// division twenty, and almost all shapes fit.
DEVICE quotient split(int64_t i, int64_t by) {
  if (((uint64_t)(i | by) >> 32) == 0) {
    uint32_t q = (uint32_t)i / (uint32_t)by;
    return {q, (uint32_t)i - q * (uint32_t)by};
  }
  return {i / by, i % by};
}

// N fp32 parameters, in vectors of 16 bytes where N allows.
template <int N>
DEVICE void load_parameters(float (&out)[N], const float *from) {
  if constexpr (N % 4 == 0) {
#pragma unroll
    for (int i = 0; i < N; i += 4) {
      vector_of<float, 4> v = *(const vector_of<float, 4> *)(from + i);
#pragma unroll
      for (int k = 0; k < 4; k++) out[i + k] = v.v[k];
    }
  } else {
#pragma unroll
    for (int i = 0; i < N; i++) out[i] = from[i];
  }
}

// N elements as they were loaded: pairs of 16-bit elements stay in one register each until they are used.
template <class T, int N>
struct alignas(N * sizeof(T)) raw_vector {
  static constexpr int SIZE = N * sizeof(T) < 4 ? 1 : N * (int)sizeof(T) / 4;
  typename std::conditional<N * sizeof(T) == 2, uint16_t, uint32_t>::type word[SIZE];
};

// Element i of v; i is known when the kernel is compiled.
template <class T, int N>
DEVICE float element(const raw_vector<T, N> &v, int i) {
  if constexpr (sizeof(T) == 4) {
    float f;
    memcpy(&f, &v.word[i], sizeof f);
    return f;
  } else {
    uint16_t bits = (uint16_t)(i % 2 ? v.word[i / 2] >> 16 : v.word[i / 2]);
    T t;
    memcpy((void *)&t, &bits, sizeof t);
    return to_float(t);
  }
}

// Host code: function<T>(arguments) for the T that stands for a dtype.
#define BY_DTYPE(dtype, function, ...)                         \
  ((dtype) == VC_F16    ? function<__half>(__VA_ARGS__)        \
   : (dtype) == VC_BF16 ? function<__nv_bfloat16>(__VA_ARGS__) \
                        : function<float>(__VA_ARGS__))

#endif
