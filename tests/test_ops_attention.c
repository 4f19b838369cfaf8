// Attention of the CPU backend against a plain loop in double, over every kind of stride.
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>

#include "tests/op_fixture.h"

// How the rows of the sequences lie in memory.
typedef enum arrangement {
  DENSE,     // [outer, inner, row, c]
  TEMPORAL,  // [outer, row, inner, c]: the frames of a pixel
  JOINED,    // q, k and v side by side in one buffer [outer, inner, row, 3 c]
  APART,     // values with a row stride of their own
  SHARED,    // keys and values without outer and inner: one context for all
} arrangement;

typedef struct attention_case {
  const char *name;
  arrangement how;
  int64_t outer, inner, queries, keys, heads, head_dim;
  float size;  // of q and k: how sharp the softmax is
  bool causal, poison;
} attention_case;

static const attention_case cases[] = {
    {"plain", DENSE, 2, 2, 20, 20, 2, 16, 1, false, false},
    {"several blocks of queries and keys", DENSE, 1, 1, 150, 201, 2, 64, 1, false, false},
    {"sharp", DENSE, 1, 1, 70, 300, 1, 32, 12, false, false},
    {"one of everything", DENSE, 1, 1, 1, 1, 1, 1, 1, false, false},
    {"one query", DENSE, 3, 1, 1, 77, 2, 8, 1, false, false},
    {"one key", DENSE, 1, 2, 17, 1, 3, 5, 1, false, false},
    {"wide head", DENSE, 1, 1, 40, 66, 1, 512, 1, false, false},
    {"ragged head", DENSE, 1, 1, 33, 35, 3, 37, 1, false, false},
    {"causal", DENSE, 2, 1, 77, 77, 2, 16, 1, true, false},
    {"causal, several blocks", DENSE, 1, 1, 200, 200, 1, 8, 3, true, false},
    {"causal, fewer keys", DENSE, 1, 1, 70, 30, 1, 8, 1, true, false},
    {"frames of pixels", TEMPORAL, 2, 9, 16, 16, 4, 16, 1, false, false},
    {"one frame", TEMPORAL, 1, 9, 1, 1, 4, 16, 1, false, false},
    {"eight frames of many pixels", TEMPORAL, 1, 300, 8, 8, 2, 12, 1, false, false},
    {"sixty-four frames", TEMPORAL, 1, 3, 64, 64, 1, 8, 1, false, false},
    {"joined", JOINED, 2, 2, 21, 21, 2, 8, 1, false, false},
    {"values apart", APART, 1, 1, 21, 70, 2, 8, 1, false, false},
    {"shared context", SHARED, 2, 3, 30, 77, 2, 16, 1, false, false},
    {"NaN in a query", DENSE, 1, 1, 70, 70, 2, 8, 1, false, true},
};

static float element(const void *base, const vc_sequence *s, int64_t outer, int64_t inner, int64_t row, int64_t i) {
  return ((const float *)base)[outer * s->outer + inner * s->inner + row * s->row + i];
}

// One query of one head; weights has room for all keys. out is dense: [outer, inner, queries, c].
static void expect_row(const vc_attention *op, int64_t outer, int64_t inner, int64_t row, int64_t head, double *weights,
                       double *out) {
  int64_t keys = op->causal && row + 1 < op->keys ? row + 1 : op->keys, at = head * op->head_dim;
  double top = -INFINITY, sum = 0;
  for (int64_t k = 0; k < keys; k++) {
    weights[k] = 0;
    for (int64_t i = 0; i < op->head_dim; i++)
      weights[k] += (double)element(op->q, &op->q_stride, outer, inner, row, at + i) *
                    (double)element(op->k, &op->k_stride, outer, inner, k, at + i) * (double)op->scale;
    if (weights[k] > top) top = weights[k];
  }
  for (int64_t k = 0; k < keys; k++) sum += weights[k] = exp(weights[k] - top);
  for (int64_t i = 0; i < op->head_dim; i++) {
    double value = 0;
    for (int64_t k = 0; k < keys; k++)
      value += weights[k] / sum * (double)element(op->v, &op->v_stride, outer, inner, k, at + i);
    out[at + i] = value;
  }
}

static vc_sequence strides(arrangement how, int64_t inner, int64_t rows, int64_t c) {
  if (how == TEMPORAL) return (vc_sequence){rows * inner * c, c, inner * c};
  int64_t row = how == JOINED ? 3 * c : c;
  return (vc_sequence){inner * rows * row, rows * row, row};
}

static void run(const attention_case *t) {
  int64_t c = t->heads * t->head_dim, sequences = t->outer * t->inner, count = sequences * t->queries * c;
  float *q = op_values(1, (size_t)(count * 3), t->size, 0);
  float *k = op_values(2, (size_t)(sequences * t->keys * c), t->size, 0);
  float *v = op_values(3, (size_t)(sequences * t->keys * c), 1, 0);
  vc_attention op = {.dtype = VC_F32,
                     .outer = t->outer,
                     .inner = t->inner,
                     .queries = t->queries,
                     .keys = t->keys,
                     .heads = t->heads,
                     .head_dim = t->head_dim,
                     .scale = 1 / sqrtf((float)t->head_dim),
                     .causal = t->causal,
                     .q = q,
                     .k = k,
                     .v = v};
  op.q_stride = strides(t->how, t->inner, t->queries, c);
  op.k_stride = op.v_stride = strides(t->how, t->inner, t->keys, c);
  op.out_stride = strides(t->how == TEMPORAL ? TEMPORAL : DENSE, t->inner, t->queries, c);
  if (t->how == JOINED) op.k = q + c, op.v = q + 2 * c;
  if (t->how == APART) op.v_stride.row = c - 3;  // overlapping rows will do
  if (t->how == SHARED) op.k_stride = op.v_stride = (vc_sequence){0, 0, c};
  if (t->poison) q[count / 2] = NAN;
  double *want = malloc((size_t)count * sizeof *want), *weights = malloc((size_t)t->keys * sizeof *weights);
  for (int64_t o = 0; o < t->outer; o++)
    for (int64_t i = 0; i < t->inner; i++)
      for (int64_t r = 0; r < t->queries; r++)
        for (int64_t h = 0; h < t->heads; h++)
          expect_row(&op, o, i, r, h, weights,
                     want + o * op.out_stride.outer + i * op.out_stride.inner + r * op.out_stride.row);
  op_check_run(&(op_check){.name = t->name,
                           .kind = VC_OP_ATTENTION,
                           .op = &op,
                           .out_at = offsetof(vc_attention, out),
                           .workspace_at = offsetof(vc_attention, workspace),
                           .want = want,
                           .count = (size_t)count,
                           .tolerance = 2e-6});
  free(weights);
  free(want);
  free(v);
  free(k);
  free(q);
}

Test(ops_attention, matches_a_plain_loop) {
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) run(cases + i);
}

Test(ops_attention, wrong_arguments_are_refused) {
  const vc_attention good = {
      .dtype = VC_F32, .outer = 1, .inner = 1, .queries = 4, .keys = 4, .heads = 2, .head_dim = 8};
  vc_attention op = good;
  op.dtype = VC_F16;
  op_check_refused(VC_OP_ATTENTION, &op, VC_UNSUPPORTED, "F16");
  op = good, op.keys = 0;
  op_check_refused(VC_OP_ATTENTION, &op, VC_INVALID, "0 keys");
  op = good, op.head_dim = 1 << 20;
  op_check_refused(VC_OP_ATTENTION, &op, VC_UNSUPPORTED, "1048576");
  op = good, op.outer = op.inner = INT64_C(1) << 31;
  op_check_refused(VC_OP_ATTENTION, &op, VC_INVALID, "sequences");
}
