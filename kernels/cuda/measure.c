// Which implementation of a linear layer or convolution is the fastest here. Each runs on operands of its own: once to
// warm up, once alone, and, if that takes less than SLOW, some times more as part of a CUDA graph, which is how steps
// run; what cannot be recorded in one drops out. So a shape costs a few milliseconds, or two runs of each candidate.
//
// All operands hold the same small number: what a product costs does not depend on it beyond the clock, which is the
// same for all.
#include <stdlib.h>
#include <string.h>

#include "kernels/cuda/choose.h"

enum {
  TIMES = 5,      // measurements of a graph, of which the median counts
  RUNS_MAX = 16,  // of the op in a graph
  FILL = 0x3c,    // every byte: 1.06 in fp16, 0.0115 in bf16 and fp32
};

#define SLOW 2.0f   // milliseconds
#define GRAPH 0.1f  // milliseconds that a graph should last, so that starting it counts little

// A later variant must be faster by this to be chosen: noise is to change the choice, and with it the last bits of
// results, as rarely as can be.
#define MARGIN 0.03f

typedef struct operands {
  vc_op_kind kind;
  union {
    vc_linear linear;
    vc_conv conv;
  } op;
  char *memory;
} operands;

// Adds a part to what is wanted; false when there is no such size.
static bool add_part(size_t *total, int64_t count, size_t size, size_t *at) {
  size_t bytes;
  *at = *total;
  if (!vc_mul_size((size_t)count, size, &bytes) || !vc_add_size(*total, bytes, total) ||
      !vc_add_size(*total, VC_CUDA_ALIGNMENT - 1, total))
    return false;
  *total -= *total % VC_CUDA_ALIGNMENT;
  return true;
}

typedef struct sizes {
  int64_t x[2], weight, bias, addend, out;  // elements
} sizes;

static sizes sizes_of_linear(const vc_linear *op) {
  const vc_epilogue *e = &op->epilogue;
  int64_t weight_rows = e->activation == VC_ACT_GEGLU ? 2 * op->c_out : op->c_out;
  int64_t addends = e->rows_per_addend > 0 ? (op->rows - 1) / e->rows_per_addend + 1 : 0;
  return (sizes){{op->rows * op->x_stride, op->rows * op->c[1]},
                 weight_rows * vc_cuda_pitch(op->c[0] + op->c[1]),
                 weight_rows,
                 addends * op->c_out,
                 op->rows * op->c_out};
}

static sizes sizes_of_conv(const vc_conv *op) {
  const vc_epilogue *e = &op->epilogue;
  int64_t in = op->n * op->f * op->h * op->w, out = op->n * op->f_out * op->h_out * op->w_out;
  int64_t taps = op->kernel[0] * op->kernel[1] * op->kernel[2];
  int64_t addends = e->rows_per_addend > 0 ? (out - 1) / e->rows_per_addend + 1 : 0;
  return (sizes){{in * op->c[0], in * op->c[1]},
                 op->c_out * vc_cuda_pitch(taps * (op->c[0] + op->c[1]) / op->groups),
                 op->c_out,
                 addends * op->c_out,
                 out * op->c_out};
}

static void set_epilogue(vc_epilogue *e, char *base, size_t bias, size_t addend) {
  e->bias = (const float *)(const void *)(base + bias);
  e->addend = e->rows_per_addend > 0 ? base + addend : NULL;
  e->addend_step = 0;
  e->step = NULL;
  e->residual = NULL;
}

// Memory for all operands in one piece, filled. false without it.
static bool make_operands(vc_device *d, vc_op_kind kind, const void *op, size_t workspace_bytes, operands *o) {
  *o = (operands){.kind = kind};
  memcpy(&o->op, op, kind == VC_OP_LINEAR ? sizeof o->op.linear : sizeof o->op.conv);
  vc_linear *l = &o->op.linear;
  vc_conv *c = &o->op.conv;
  sizes s = kind == VC_OP_LINEAR ? sizes_of_linear(l) : sizes_of_conv(c);
  size_t size = vc_dtype_size(*(const vc_dtype *)op), total = 0, x[2], weight, bias, addend, out, workspace;
  if (!add_part(&total, s.x[0], size, &x[0]) || !add_part(&total, s.x[1], size, &x[1]) ||
      !add_part(&total, s.weight, size, &weight) || !add_part(&total, s.bias, sizeof(float), &bias) ||
      !add_part(&total, s.addend, size, &addend) || !add_part(&total, s.out, size, &out) ||
      !add_part(&total, (int64_t)workspace_bytes, 1, &workspace))
    return false;
  if (cudaMalloc((void **)&o->memory, total) != cudaSuccess) {
    o->memory = NULL;
    cudaGetLastError();  // or the next launch would report it
    return false;
  }
  if (cudaMemsetAsync(o->memory, FILL, total, d->stream) != cudaSuccess) return false;
  for (int i = 0; i < 2; i++) {
    const void **pointer = kind == VC_OP_LINEAR ? &l->x[i] : &c->x[i];
    *pointer = s.x[i] ? o->memory + x[i] : NULL;
  }
  *(kind == VC_OP_LINEAR ? &l->weight : &c->weight) = o->memory + weight;
  *(kind == VC_OP_LINEAR ? &l->out : &c->out) = o->memory + out;
  *(kind == VC_OP_LINEAR ? &l->workspace : &c->workspace) = o->memory + workspace;
  set_epilogue(kind == VC_OP_LINEAR ? &l->epilogue : &c->epilogue, o->memory, bias, addend);
  return true;
}

typedef struct stopwatch {
  cudaEvent_t before, after;
} stopwatch;

static cudaError_t start(vc_device *d, const stopwatch *w) {
  return cudaEventRecord(w->before, d->stream);
}

static cudaError_t stop(vc_device *d, const stopwatch *w, float *milliseconds) {
  cudaError_t code = cudaEventRecord(w->after, d->stream);
  if (code == cudaSuccess) code = cudaEventSynchronize(w->after);
  if (code == cudaSuccess) code = cudaEventElapsedTime(milliseconds, w->before, w->after);
  return code;
}

// A graph of `runs` runs; NULL when this variant cannot be recorded.
static cudaGraphExec_t record(vc_device *d, const operands *o, vc_cuda_variant variant, int runs) {
  cudaGraph_t graph = NULL;
  cudaGraphExec_t exec = NULL;
  if (cudaStreamBeginCapture(d->stream, cudaStreamCaptureModeThreadLocal) != cudaSuccess) return NULL;
  vc_status status = VC_OK;
  for (int i = 0; i < runs && !status; i++) status = vc_cuda_run(d, o->kind, variant, &o->op, NULL);
  cudaError_t code = cudaStreamEndCapture(d->stream, &graph);
  if (!status && code == cudaSuccess && cudaGraphInstantiate(&exec, graph, 0) != cudaSuccess) exec = NULL;
  if (graph) cudaGraphDestroy(graph);
  return exec;
}

static int compare(const void *a, const void *b) {
  float x = *(const float *)a, y = *(const float *)b;
  return (x > y) - (x < y);
}

static float time_in_graph(vc_device *d, const operands *o, vc_cuda_variant variant, const stopwatch *w, int runs) {
  float times[TIMES];
  cudaGraphExec_t exec = record(d, o, variant, runs);
  if (!exec) return -1;
  cudaError_t code = cudaGraphLaunch(exec, d->stream);
  for (int i = 0; i < TIMES && code == cudaSuccess; i++) {
    code = start(d, w);
    if (code == cudaSuccess) code = cudaGraphLaunch(exec, d->stream);
    if (code == cudaSuccess) code = stop(d, w, &times[i]);
  }
  cudaStreamSynchronize(d->stream);
  cudaGraphExecDestroy(exec);
  if (code != cudaSuccess) return -1;
  qsort(times, TIMES, sizeof *times, compare);
  return times[TIMES / 2] / (float)runs;
}

// Milliseconds of a run; not above 0 when it failed.
static float time_of(vc_device *d, const operands *o, vc_cuda_variant variant, const stopwatch *w) {
  float alone = 0;
  if (vc_cuda_run(d, o->kind, variant, &o->op, NULL) || start(d, w) != cudaSuccess) return -1;
  if (vc_cuda_run(d, o->kind, variant, &o->op, NULL) || stop(d, w, &alone) != cudaSuccess) return -1;
  if (!(alone > 0) || alone >= SLOW) return alone;
  float runs = GRAPH / alone;
  return time_in_graph(d, o, variant, w, runs < 1 ? 1 : runs > RUNS_MAX ? RUNS_MAX : (int)runs);
}

vc_cuda_variant vc_cuda_measure(vc_device *d, vc_op_kind kind, const void *op, const vc_cuda_variant *variant,
                                int count) {
  vc_cuda_variant best = variant[0];
  size_t workspace = 0;
  uint64_t dispatched[VC_CUDA_VARIANTS];
  stopwatch watch = {NULL, NULL};
  operands o;
  memcpy(dispatched, d->dispatched[kind], sizeof dispatched);
  for (int i = 0; i < count; i++) {
    size_t bytes = vc_cuda_variant_workspace(d, kind, variant[i], op);
    if (bytes > workspace) workspace = bytes;
  }
  bool measurable = make_operands(d, kind, op, workspace, &o) &&
                    cudaEventCreateWithFlags(&watch.before, cudaEventDefault) == cudaSuccess &&
                    cudaEventCreateWithFlags(&watch.after, cudaEventDefault) == cudaSuccess;
  float fastest = 0;
  for (int i = 0; i < count && measurable; i++) {
    float time = time_of(d, &o, variant[i], &watch);
    if (!(time > 0) || (fastest > 0 && !(time < (1 - MARGIN) * fastest))) continue;
    fastest = time;
    best = variant[i];
  }
  cudaStreamSynchronize(d->stream);
  if (watch.before) cudaEventDestroy(watch.before);
  if (watch.after) cudaEventDestroy(watch.after);
  if (o.memory) cudaFree(o.memory);
  cudaGetLastError();  // a failure here is not the next launch's
  memcpy(d->dispatched[kind], dispatched, sizeof dispatched);
  return best;
}
