// Attention against a plain loop in double, over every kind of stride.
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/op_fixture.h"

// How the rows of the sequences lie in memory.
typedef enum arrangement {
  DENSE,            // [outer, inner, row, c]
  TEMPORAL,         // [outer, row, inner, c]: the frames of a pixel
  JOINED,           // q, k and v side by side in one buffer [outer, inner, row, 3 c]
  JOINED_TEMPORAL,  // [outer, row, inner, 3 c]
  ASKEW,            // JOINED, but k one element further on and v two, with rows of 3 c + 8
  APART,            // values with strides of their own
  SHARED,           // keys and values without outer and inner: one context for all
} arrangement;

typedef enum poison {
  CLEAN,
  NAN_QUERY,
  NAN_KEY,
  NAN_VALUE,
  LOW,   // all scores far below 0: a key beyond the end, all zero, would outweigh the others
  LATE,  // and the last key of a sequence far above
} poison;

typedef struct attention_case {
  const char *name;
  arrangement how;
  int64_t outer, inner, queries, keys, heads, head_dim;
  float size;  // of q and k: how sharp the softmax is
  bool causal;
  poison poison;
} attention_case;

// The kernels of CUDA cut heads at 32, 48, 64, 80, 128, 256 and 512 channels, queries at 16, 32, 64 and 128, keys at
// 16, 32 and 64.
static const attention_case cases[] = {
    {"plain", DENSE, 2, 2, 20, 20, 2, 16, 1, false, CLEAN},
    {"several blocks of queries and keys", DENSE, 1, 1, 150, 201, 2, 64, 1, false, CLEAN},
    {"sharp", DENSE, 1, 1, 70, 300, 1, 32, 12, false, CLEAN},
    {"one of everything", DENSE, 1, 1, 1, 1, 1, 1, 1, false, CLEAN},
    {"one query", DENSE, 3, 1, 1, 77, 2, 8, 1, false, CLEAN},
    {"one key", DENSE, 1, 2, 17, 1, 3, 5, 1, false, CLEAN},
    {"wide head", DENSE, 1, 1, 40, 66, 1, 512, 1, false, CLEAN},
    {"ragged head", DENSE, 1, 1, 33, 35, 3, 37, 1, false, CLEAN},
    {"causal", DENSE, 2, 1, 77, 77, 2, 16, 1, true, CLEAN},
    {"causal, several blocks", DENSE, 1, 1, 200, 200, 1, 8, 3, true, CLEAN},
    {"causal, fewer keys", DENSE, 1, 1, 70, 30, 1, 8, 1, true, CLEAN},
    {"frames of pixels", TEMPORAL, 2, 9, 16, 16, 4, 16, 1, false, CLEAN},
    {"one frame", TEMPORAL, 1, 9, 1, 1, 4, 16, 1, false, CLEAN},
    {"eight frames of many pixels", TEMPORAL, 1, 300, 8, 8, 2, 12, 1, false, CLEAN},
    {"sixty-four frames", TEMPORAL, 1, 3, 64, 64, 1, 8, 1, false, CLEAN},
    {"joined", JOINED, 2, 2, 21, 21, 2, 8, 1, false, CLEAN},
    {"values apart", APART, 2, 3, 21, 70, 2, 8, 1, false, CLEAN},
    {"shared context", SHARED, 2, 3, 30, 77, 2, 16, 1, false, CLEAN},
    {"NaN in a query", DENSE, 1, 1, 70, 70, 2, 8, 1, false, NAN_QUERY},
    // Short sequences.
    {"two frames, 7 heads of 8", JOINED_TEMPORAL, 1, 3, 2, 2, 7, 8, 1, false, CLEAN},
    {"fifteen frames, heads of 24", TEMPORAL, 1, 3, 15, 15, 2, 24, 1, false, CLEAN},
    {"sixteen frames, heads of 64", JOINED_TEMPORAL, 2, 3, 16, 16, 2, 64, 1, false, CLEAN},
    {"sixteen frames, heads of 80", TEMPORAL, 1, 5, 16, 16, 1, 80, 1, false, LOW},
    {"sixteen frames, heads of 128", TEMPORAL, 1, 2, 16, 16, 1, 128, 1, false, CLEAN},
    {"sixteen causal frames", TEMPORAL, 1, 3, 16, 16, 2, 40, 3, true, CLEAN},
    {"seventeen frames", JOINED_TEMPORAL, 1, 3, 17, 17, 3, 40, 1, false, LOW},
    {"thirty-two frames", TEMPORAL, 1, 2, 32, 32, 1, 64, 1, false, CLEAN},
    {"thirty-one causal frames", TEMPORAL, 1, 2, 31, 31, 1, 64, 1, true, CLEAN},
    {"thirty-three frames", TEMPORAL, 1, 2, 33, 33, 2, 64, 1, false, CLEAN},
    {"five queries, sixteen keys", DENSE, 1, 3, 5, 16, 2, 48, 1, false, CLEAN},
    {"sixteen queries, one key", DENSE, 1, 3, 16, 1, 2, 72, 1, false, CLEAN},
    {"thirty queries, three keys", DENSE, 1, 3, 30, 3, 1, 56, 2, false, LOW},
    {"NaN in a query of some frames", TEMPORAL, 1, 3, 9, 9, 2, 64, 1, false, NAN_QUERY},
    {"NaN in a key of causal frames", TEMPORAL, 1, 3, 9, 9, 2, 64, 1, true, NAN_KEY},
    {"NaN in a value of some frames", TEMPORAL, 1, 3, 20, 20, 2, 64, 1, false, NAN_VALUE},
    // Tiles of keys.
    {"heads of 40", DENSE, 1, 2, 63, 65, 2, 40, 1, false, CLEAN},
    {"heads of 48, low", DENSE, 1, 1, 65, 129, 1, 48, 2, false, LOW},
    {"heads of 72", DENSE, 1, 1, 65, 81, 2, 72, 1, false, CLEAN},
    {"heads of 80, low", DENSE, 1, 1, 17, 77, 1, 80, 2, false, LOW},
    {"heads of 96", DENSE, 1, 1, 63, 128, 1, 96, 1, false, CLEAN},
    {"heads of 128, late", DENSE, 1, 1, 65, 130, 1, 128, 2, false, LATE},
    {"heads of 24 and one key", DENSE, 1, 1, 65, 1, 1, 24, 1, false, CLEAN},
    {"heads of 16, low", JOINED, 1, 1, 65, 65, 3, 16, 4, false, LOW},
    {"heads of 64, low", DENSE, 1, 2, 64, 63, 1, 64, 2, false, LOW},
    {"heads of 64, late", DENSE, 1, 1, 33, 193, 1, 64, 2, false, LATE},
    {"blocks of 128 queries", JOINED, 2, 1, 129, 129, 4, 64, 1, false, CLEAN},
    {"blocks of 128 queries, causal", DENSE, 1, 2, 140, 140, 4, 64, 4, true, LATE},
    {"blocks of 128 queries, context", SHARED, 2, 2, 70, 81, 2, 64, 2, false, LOW},
    {"context of heads of 40", SHARED, 2, 2, 20, 81, 3, 40, 1, false, CLEAN},
    {"causal, heads of 80", DENSE, 1, 1, 77, 77, 2, 80, 2, true, CLEAN},
    {"causal, more keys", DENSE, 1, 1, 70, 100, 1, 32, 1, true, CLEAN},
    {"NaN in a query of many", DENSE, 1, 1, 70, 70, 2, 64, 1, false, NAN_QUERY},
    {"NaN in a key of many", DENSE, 1, 1, 70, 150, 2, 40, 1, false, NAN_KEY},
    {"NaN in a causal key", DENSE, 1, 1, 140, 140, 2, 64, 1, true, NAN_KEY},
    {"NaN in a value of many", DENSE, 1, 1, 70, 150, 1, 128, 1, false, NAN_VALUE},
    // Heads that a warp cannot hold.
    {"a head of 160", DENSE, 1, 2, 65, 33, 1, 160, 1, false, CLEAN},
    {"heads of 136, low", DENSE, 1, 1, 63, 65, 2, 136, 2, false, LOW},
    {"a head of 512, late", DENSE, 1, 1, 65, 97, 1, 512, 2, false, LATE},
    {"a head of 512 and a key", DENSE, 1, 1, 70, 1, 1, 512, 1, false, CLEAN},
    {"a causal head of 264", JOINED, 1, 1, 80, 80, 1, 264, 2, true, CLEAN},
    {"NaN in a key of a wide head", DENSE, 1, 1, 70, 70, 1, 256, 1, false, NAN_KEY},
    {"NaN in a query of a wide head", DENSE, 1, 1, 70, 40, 1, 320, 1, false, NAN_QUERY},
    // What no tensor core takes.
    {"a head of 520", DENSE, 1, 1, 17, 17, 1, 520, 1, false, CLEAN},
    {"a head of 1024", DENSE, 1, 1, 3, 20, 1, 1024, 1, false, CLEAN},
    {"askew", ASKEW, 1, 2, 40, 40, 2, 64, 2, false, LOW},
    {"askew, causal", ASKEW, 1, 1, 70, 70, 2, 16, 1, true, CLEAN},
    {"heads of 4", DENSE, 1, 1, 65, 70, 2, 4, 1, false, LATE},
    {"frames, heads of 100", TEMPORAL, 1, 2, 17, 17, 1, 100, 1, false, NAN_KEY},
};

// One row of one sequence, all heads.
static float *row_of(const void *base, const vc_sequence *s, int64_t outer, int64_t inner, int64_t row) {
  return (float *)base + outer * s->outer + inner * s->inner + row * s->row;
}

// One query of one head; weights has room for all keys. out is dense: [outer, inner, queries, c].
static void expect_row(const vc_attention *op, int64_t outer, int64_t inner, int64_t row, int64_t head, double *weights,
                       double *out) {
  int64_t keys = op->causal && row + 1 < op->keys ? row + 1 : op->keys, at = head * op->head_dim;
  double top = -INFINITY, sum = 0;
  for (int64_t k = 0; k < keys; k++) {
    weights[k] = 0;
    for (int64_t i = 0; i < op->head_dim; i++)
      weights[k] += (double)row_of(op->q, &op->q_stride, outer, inner, row)[at + i] *
                    (double)row_of(op->k, &op->k_stride, outer, inner, k)[at + i] * (double)op->scale;
    if (weights[k] > top) top = weights[k];
  }
  for (int64_t k = 0; k < keys; k++) sum += weights[k] = exp(weights[k] - top);
  for (int64_t i = 0; i < op->head_dim; i++) {
    double value = 0;
    for (int64_t k = 0; k < keys; k++)
      value += weights[k] / sum * (double)row_of(op->v, &op->v_stride, outer, inner, k)[at + i];
    out[at + i] = value;
  }
}

static vc_sequence strides(arrangement how, int64_t inner, int64_t rows, int64_t c) {
  if (how == TEMPORAL || how == JOINED_TEMPORAL) {
    int64_t pixel = how == TEMPORAL ? c : 3 * c;
    return (vc_sequence){rows * inner * pixel, pixel, inner * pixel};
  }
  int64_t row = how == JOINED ? 3 * c : how == ASKEW ? 3 * c + 8 : c;
  return (vc_sequence){inner * rows * row, rows * row, row};
}

static void spoil(const vc_attention *op, poison with) {
  int64_t o = op->outer - 1, i = op->inner / 2, c = op->heads * op->head_dim;
  if (with == NAN_QUERY) row_of(op->q, &op->q_stride, o, i, op->queries / 2)[c / 2] = NAN;
  if (with == NAN_KEY) row_of(op->k, &op->k_stride, o, i, op->keys / 2)[c / 2] = NAN;
  if (with == NAN_VALUE) row_of(op->v, &op->v_stride, o, i, op->keys / 2)[c / 2] = NAN;
  if (with != LOW && with != LATE) return;
  for (o = 0; o < op->outer; o++)
    for (i = 0; i < op->inner; i++)
      for (int64_t e = 0; e < c; e++) {
        for (int64_t r = 0; r < op->queries; r++) {
          float *q = row_of(op->q, &op->q_stride, o, i, r) + e;
          *q = fabsf(*q);
        }
        for (int64_t r = 0; r < op->keys; r++) {
          float *k = row_of(op->k, &op->k_stride, o, i, r) + e;
          *k = with == LATE && r == op->keys - 1 ? fabsf(*k) : -fabsf(*k);
        }
      }
}

static void place(vc_attention *op, const attention_case *t) {
  int64_t c = t->heads * t->head_dim;
  bool over_frames = t->how == TEMPORAL || t->how == JOINED_TEMPORAL;
  op->q_stride = strides(t->how, t->inner, t->queries, c);
  op->k_stride = op->v_stride = strides(t->how, t->inner, t->keys, c);
  op->out_stride = strides(over_frames ? TEMPORAL : DENSE, t->inner, t->queries, c);
  const float *q = op->q;
  int64_t askew = t->how == ASKEW;
  if (askew || t->how == JOINED || t->how == JOINED_TEMPORAL) op->k = q + c + askew, op->v = q + 2 * (c + askew);
  if (t->how == APART)  // overlapping rows will do
    op->v_stride = (vc_sequence){op->v_stride.outer - 7, op->v_stride.inner - 5, c - 3};
  if (t->how == SHARED) op->k_stride = op->v_stride = (vc_sequence){0, 0, c};
}

static void run(const attention_case *t) {
  int64_t c = t->heads * t->head_dim, sequences = t->outer * t->inner, count = sequences * t->queries * c;
  float *q = op_values(1, (size_t)(sequences * t->queries * (3 * c + 8)), t->size, 0);
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
  place(&op, t);
  spoil(&op, t->poison);
  double *want = malloc((size_t)count * sizeof *want), *weights = malloc((size_t)t->keys * sizeof *weights);
  for (int64_t o = 0; o < t->outer; o++)
    for (int64_t i = 0; i < t->inner; i++)
      for (int64_t r = 0; r < t->queries; r++)
        for (int64_t h = 0; h < t->heads; h++)
          expect_row(&op, o, i, r, h, weights,
                     want + o * op.out_stride.outer + i * op.out_stride.inner + r * op.out_stride.row);
  // Sharp scores are some 100 in size: their last bit, in fp32, already moves a weight by 4e-6.
  op_check_run(&(op_check){.name = t->name,
                           .kind = VC_OP_ATTENTION,
                           .op = &op,
                           .out_at = offsetof(vc_attention, out),
                           .want = want,
                           .count = (size_t)count,
                           .tolerance = t->size > 4 ? 6e-6 : 2e-6});
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

#ifdef VC_CUDA_LINKED
#include "kernels/cuda/cuda_open.h"

// Which kernel a shape gets is no accident: a silent fall back to the slow one would pass every other test.
Test(ops_attention, cuda_chooses_by_shape) {
  static const struct {
    vc_dtype dtype;
    int64_t queries, keys, head_dim, stride, askew;
    const char *variant;
    int loose;  // rows of 4 elements more: 1 those of q, 2 of k, 3 of v, 4 of out
  } shapes[] = {
      {VC_F16, 16, 16, 64, 192, 0, "mma", 0},   {VC_BF16, 64, 64, 40, 40, 0, "mma", 0},
      {VC_F16, 70, 77, 128, 128, 0, "mma", 0},  {VC_F16, 16, 16, 8, 8, 0, "mma", 0},
      {VC_BF16, 16, 40, 512, 512, 0, "mma", 0}, {VC_F16, 20, 20, 80, 80, 0, "mma", 0},
      {VC_F16, 16, 16, 64, 192, 1, "simt", 0},  {VC_F16, 16, 16, 64, 196, 0, "simt", 0},
      {VC_BF16, 16, 16, 12, 16, 0, "simt", 0},  {VC_F16, 40, 40, 520, 520, 0, "simt", 0},
      {VC_F32, 16, 16, 64, 64, 0, "simt", 0},   {VC_F16, 16, 16, 64, 64, 0, "simt", 1},
      {VC_F16, 40, 40, 64, 64, 0, "simt", 2},   {VC_F16, 16, 16, 64, 64, 0, "simt", 3},
      {VC_BF16, 16, 16, 64, 64, 0, "simt", 4},
  };
  vc_device *device;
  vc_error error = {{0}};
  cr_assert_eq(vc_cuda_open(&device, 0, VC_CUDA_OWN, &error), VC_OK, "%s", error.message);
  for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
    int64_t rows = shapes[i].queries + shapes[i].keys, at = shapes[i].askew;
    void *memory = NULL;
    size_t each = (size_t)((rows + 1) * shapes[i].stride) * 4, workspace;
    cr_assert_eq(vc_backend_cuda.allocate(device, 2 * each, &memory, &error), VC_OK, "%s", error.message);
    char *start = (char *)memory + at * (int64_t)vc_dtype_size(shapes[i].dtype);
    vc_sequence stride[4];
    for (int k = 0; k < 4; k++) stride[k] = (vc_sequence){0, 0, shapes[i].stride + 4 * (k + 1 == shapes[i].loose)};
    vc_attention op = {.dtype = shapes[i].dtype,
                       .outer = 1,
                       .inner = 1,
                       .queries = shapes[i].queries,
                       .keys = shapes[i].keys,
                       .heads = 1,
                       .head_dim = shapes[i].head_dim,
                       .scale = 1,
                       .q = start,
                       .k = start,
                       .v = start,
                       .out = start + each,
                       .q_stride = stride[0],
                       .k_stride = stride[1],
                       .v_stride = stride[2],
                       .out_stride = stride[3]};
    uint64_t before = vc_cuda_dispatched(device, VC_OP_ATTENTION, shapes[i].variant);
    cr_assert_eq(vc_backend_cuda.prepare(device, VC_OP_ATTENTION, &op, &workspace, &error), VC_OK, "%s", error.message);
    cr_assert_eq(vc_backend_cuda.attention(device, &op, &error), VC_OK, "%s", error.message);
    cr_assert_eq(vc_backend_cuda.wait(device, &error), VC_OK, "%s", error.message);
    cr_expect_eq(vc_cuda_dispatched(device, VC_OP_ATTENTION, shapes[i].variant), before + 1, "shape %zu: not %s", i,
                 shapes[i].variant);
    vc_backend_cuda.release(device, memory);
  }
  // Blocks are counted in 32 bits, and less.
  vc_attention op = {
      .dtype = VC_F16, .outer = 1 << 20, .inner = 16, .queries = 16, .keys = 16, .heads = 1, .head_dim = 8};
  size_t bytes;
  cr_expect_eq(vc_backend_cuda.prepare(device, VC_OP_ATTENTION, &op, &bytes, &error), VC_UNSUPPORTED);
  cr_expect(strstr(error.message, "268435456 queries"), "'%s'", error.message);
  vc_backend_cuda.close(device);
}
#endif
