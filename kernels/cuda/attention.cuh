// What the attention kernels share: their arguments and where a block finds its queries, keys and values.
#ifndef VC_KERNELS_CUDA_ATTENTION_CUH
#define VC_KERNELS_CUDA_ATTENTION_CUH

#include "kernels/cuda/attention.h"
#include "kernels/cuda/types.cuh"

// Passed to kernels by value. Rows and channels fit 32 bits, offsets do not.
template <class T>
struct attention_of {
  const T *q, *k, *v;
  T *out;
  vc_sequence q_stride, k_stride, v_stride, out_stride;
  int inner, queries, keys, heads, head_dim;
  float scale;
  bool causal;
};

template <class T>
static attention_of<T> attention_for(const vc_attention *op) {
  return {(const T *)op->q, (const T *)op->k, (const T *)op->v,  (T *)op->out,   op->q_stride,
          op->k_stride,     op->v_stride,     op->out_stride,    (int)op->inner, (int)op->queries,
          (int)op->keys,    (int)op->heads,   (int)op->head_dim, op->scale,      op->causal};
}

// Host code: heads of all sequences.
static inline int64_t attention_heads(const vc_attention *op) {
  return op->outer * op->inner * op->heads;
}

// One head of one sequence: row 0 of its queries, keys, values and results.
template <class T>
struct attention_head {
  const T *q, *k, *v;
  T *out;
};

// `index` counts heads fastest, then inner, then outer.
template <class T>
DEVICE attention_head<T> attention_at(const attention_of<T> &a, unsigned index) {
  unsigned sequence = index / a.heads, head = index - sequence * a.heads;
  int64_t outer = MUTANT(2) ? index / a.inner : sequence / a.inner, inner = sequence - (unsigned)outer * a.inner,
          column = (int64_t)head * a.head_dim;
  return {a.q + outer * a.q_stride.outer + inner * a.q_stride.inner + column,
          a.k + outer * a.k_stride.outer + inner * a.k_stride.inner + column,
          a.v + outer * a.v_stride.outer + inner * (MUTANT(1) ? a.k_stride : a.v_stride).inner + column,
          a.out + outer * a.out_stride.outer + inner * a.out_stride.inner + column};
}

// What is subtracted from the scores of a row: its maximum, or nothing where no score counts yet, so that no
// infinity meets another. A NaN among the scores is left out of the maximum and comes back through the exponential.
DEVICE float softmax_base(float maximum) {
  return maximum == -INFINITY ? 0.0f : maximum;
}

#endif
