// The inner loops, compiled once an instruction set from vector_loops.h; a device picks a table when it opens.
#ifndef VC_KERNELS_CPU_VECTOR_H
#define VC_KERNELS_CPU_VECTOR_H

#include "kernels/ops.h"

// The loop reads and writes at the same index only, so that equal pointers do no harm.
#ifdef __clang__
#pragma clang diagnostic ignored "-Wpass-failed"  // a sanitizer may keep a loop from being vectorised
#define INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#else
#define INDEPENDENT _Pragma("GCC ivdep")
#endif

enum { VC_CPU_BLOCK = 32 };  // columns of a weight in bf16 that lie together

typedef struct vc_cpu_vector {
  const char *name;

  // out = activation(x + shift) + residual, element-wise; residual may be NULL or out. Not for GEGLU.
  void (*activate)(float *out, const float *x, const float *shift, vc_activation activation, const float *residual,
                   int64_t count);
  // out = (value + value_shift) * gelu(gate + gate_shift) + residual
  void (*geglu)(float *out, const float *value, const float *value_shift, const float *gate, const float *gate_shift,
                const float *residual, int64_t count);

  // For every column of x [rows, c] (row stride `stride`): sum and sum of squares of x - center.
  void (*column_sums)(const float *x, int64_t rows, int64_t stride, const float *center, float *sum, float *square,
                      int64_t c);
  // out = (x - center) * scale + shift, then SiLU when asked for
  void (*normalize)(float *out, const float *x, const float *center, const float *scale, const float *shift, bool silu,
                    int64_t count);
  // One row of layer norm.
  void (*layer_norm)(float *out, const float *x, const float *gamma, const float *beta, float eps, int64_t c);

  // c[i][j] (+)= sum over p of a[i * a_row + p * a_column] * b[p][j] for i < m, j < n, p < k; n a multiple of 16. For
  // products too small for the library.
  void (*product)(int64_t m, int64_t n, int64_t k, const float *a, int64_t a_row, int64_t a_column, const float *b,
                  int64_t ldb, float *c, int64_t ldc, bool accumulate);
  // One block of a softmax down the columns of s [rows, n], n a multiple of 16: s = exp(s - new maximum), with maximum
  // and sum [n] carried on and decay [n] = exp(old maximum - new maximum).
  void (*softmax)(float *s, int64_t rows, int64_t n, float *maximum, float *sum, float *decay);
  // out[p * n + i] = x[i * stride + p] * scale for i < rows, p < c
  void (*transpose)(float *out, int64_t n, const float *x, int64_t rows, int64_t stride, int64_t c, float scale);
  // out = x * factor; out may be x
  void (*scale)(float *out, const float *x, float factor, int64_t count);

  // out[i] = sum over taps t of x[t][i] * w[t][i], i < c, w with row stride ldw; a NULL x[t] is a row of zeros
  void (*depthwise)(float *out, const float *const *x, const float *w, int64_t ldw, int64_t taps, int64_t c);

  // The three transforms of winograd.c, of `count` values at a time. Weight: rows w + t * w_step of the nine taps
  // become rows u + i * u_step of 16 matrices. Input: the 16 pixels of a tile become rows v + i * v_step. Output: rows
  // m + i * m_step become four pixels.
  void (*winograd_weight)(float *u, int64_t u_step, const float *w, int64_t w_step, int64_t count);
  void (*winograd_input)(float *v, int64_t v_step, const float *const pixel[16], int64_t count);
  void (*winograd_output)(float *const out[4], const float *m, int64_t m_step, int64_t count);

  // `count` halves at any alignment to float
  void (*half_to_float)(float *out, const void *in, int64_t count);

  // bf16: float to it, rounded to nearest even; from it; and `count` pairs of it taken apart.
  void (*round_bf16)(uint16_t *out, const float *x, int64_t count);
  void (*widen_bf16)(float *out, const uint16_t *x, int64_t count);
  void (*split_pairs)(float *first, float *second, const uint16_t *pairs, int64_t count);
  // c[i][j] (+)= sum over p < pairs, s < 2 of a[i][2 p + s] * b[j / BLOCK][p][j % BLOCK][s], ldb the values from one
  // block of columns to the next; i < m, j < n, n a multiple of BLOCK. NULL where there are no instructions for it.
  void (*product_bf16)(int64_t m, int64_t n, int64_t pairs, const uint16_t *a, int64_t lda, const uint16_t *b,
                       int64_t ldb, float *c, int64_t ldc, bool accumulate);
} vc_cpu_vector;

// NULL where the compiler was not asked for the instruction set.
extern const vc_cpu_vector *const vc_cpu_vector_generic;
extern const vc_cpu_vector *const vc_cpu_vector_avx2;
extern const vc_cpu_vector *const vc_cpu_vector_avx512;
extern const vc_cpu_vector *const vc_cpu_vector_avx512_bf16;

#endif
