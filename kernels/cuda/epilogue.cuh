// What happens to fp32 sums before they are stored, for every kernel that ends in a product:
// out = activation(sum + bias + addend) + residual.
#ifndef VC_KERNELS_CUDA_EPILOGUE_CUH
#define VC_KERNELS_CUDA_EPILOGUE_CUH

#include "kernels/cuda/types.cuh"

// Passed to kernels by value.
template <class T>
struct epilogue_of {
  const float *bias;
  const T *addend;
  const int32_t *step;
  const T *residual;
  T *out;
  int64_t rows_per_addend, addend_step;
  int64_t c_out;
  vc_activation activation;
};

template <class T>
static epilogue_of<T> epilogue_for(const vc_epilogue *e, void *out, int64_t c_out) {
  return {e->bias,
          (const T *)e->addend,
          e->addend && e->addend_step ? e->step : nullptr,
          (const T *)e->residual,
          (T *)out,
          e->rows_per_addend,
          e->addend_step,
          c_out,
          e->activation};
}

// Host code: rows of out, residual, addend and bias may be taken in 16-byte vectors.
template <class T>
static bool epilogue_is_wide(const epilogue_of<T> &e) {
  constexpr int N = full_vector<T>;
  return e.c_out % N == 0 && (!e.step || e.addend_step % N == 0) && is_aligned(e.out) && is_aligned(e.bias) &&
         is_aligned(e.addend) && is_aligned(e.residual);
}

// v += the N biases from `bias` on.
template <int N>
DEVICE void add_bias(float *v, const float *bias) {
  constexpr int PART = N > 4 ? 4 : N;
#pragma unroll
  for (int i = 0; i < N; i += PART) {
    float b[PART];
    load_floats<float, PART>(b, bias + i);
#pragma unroll
    for (int k = 0; k < PART; k++) v[i + k] += b[k];
  }
}

// One choice for all.
template <int N>
DEVICE void activate_all(float (&v)[N], vc_activation activation) {
#define ALL(kind)                                                               \
  case kind:                                                                    \
    _Pragma("unroll") for (int i = 0; i < N; i++) v[i] = activated(v[i], kind); \
    break
  switch (activation) {
    ALL(VC_ACT_SILU);
    ALL(VC_ACT_GELU);
    ALL(VC_ACT_RELU);
    ALL(VC_ACT_SIGMOID);
    default:
      break;
  }
#undef ALL
}

// The vector that is added to a row. A 64-bit division would cost more than the rest of the epilogue.
template <class T>
DEVICE const T *addend_of(const epilogue_of<T> &e, int64_t row) {
  int64_t vector = (row | e.rows_per_addend) >> 32 ? row / e.rows_per_addend
                                                   : (int64_t)((uint32_t)row / (uint32_t)e.rows_per_addend);
  return e.addend + (e.step ? *e.step * e.addend_step : 0) + (MUTANT(52) ? e.c_out : 0) + vector * e.c_out;
}

// All but the residual, for N neighbouring columns of a row, whose address must be a multiple of N elements. GEGLU
// alone has `gate`: the gates of the same columns of out, of which `v` are the values; the bias has 2 c_out entries.
template <class T, int N>
DEVICE void finish_sums(const epilogue_of<T> &e, int64_t row, int64_t column, float (&v)[N], const float *gate) {
  if (e.bias) add_bias<N>(v, e.bias + column);
  if (gate) {
    float g[N];
#pragma unroll
    for (int i = 0; i < N; i++) g[i] = gate[i];
    if (e.bias) add_bias<N>(g, e.bias + (MUTANT(51) ? 0 : e.c_out) + column);
#pragma unroll
    for (int i = 0; i < N; i++) v[i] *= gelu(g[i]);
  } else {
    if (e.addend) {
      float a[N];
      load_floats<T, N>(a, addend_of(e, row) + column);
#pragma unroll
      for (int i = 0; i < N; i++) v[i] += a[i];
    }
    activate_all(v, e.activation);
  }
}

// Finishes and stores them.
template <class T, int N>
DEVICE void finish(const epilogue_of<T> &e, int64_t row, int64_t column, float (&v)[N], const float *gate = nullptr) {
  finish_sums<T, N>(e, row, column, v, gate);
  if (e.residual) {
    float r[N];
    load_floats<T, N>(r, e.residual + row * e.c_out + column);
#pragma unroll
    for (int i = 0; i < N; i++) v[i] += MUTANT(53) ? r[0] : r[i];
  }
  store_floats<T, N>(e.out + row * e.c_out + column, v);
}

#endif
