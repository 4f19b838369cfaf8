#include "bench/kernels.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench/op_memory.h"
#include "bench/op_reference.h"

// ---- accuracy

enum { CHECKED = 64 };  // elements of an output

typedef struct sample {
  int count;
  size_t index[CHECKED];
  double want[CHECKED];
} sample;

// Taken before the op runs: some ops change what they read.
static void take_sample(sample *s, const vc_op_memory *m) {
  double count = 0;
  uint32_t state = 1;
  for (int i = 0; i < m->operands; i++)
    if (m->operand[i].role == VC_OPERAND_OUTPUT) count = m->operand[i].count;
  s->count = 0;
  for (int i = 0; i < 8 * CHECKED && s->count < CHECKED; i++) {
    state = state * 1664525u + 1013904223u;
    size_t index = i == 0 ? (size_t)count - 1 : (size_t)((double)state * 0x1p-32 * count);
    double want = vc_op_reference(m->kind, &m->host, index);
    if (isnan(want)) continue;  // between the rows of a strided output
    s->index[s->count] = index;
    s->want[s->count++] = want;
  }
}

static vc_status compare_sample(double *error_out, const sample *s, const vc_op_memory *m, vc_error *error) {
  float *got;
  size_t count;
  vc_status status = vc_op_memory_output(m, &got, &count, error);
  double wrong = 0, size = 0;
  for (int i = 0; i < s->count && !status; i++) {
    double away = (double)got[s->index[i]] - s->want[i];
    wrong += away * away;
    size += s->want[i] * s->want[i];
  }
  *error_out = !s->count ? NAN : size > 0 ? sqrt(wrong / size) : sqrt(wrong);
  free(got);
  return status;
}

// ---- time

// Other data for the caches: a copy between blocks larger than them.
typedef struct flusher {
  vc_op_memory memory;
  bool there;
} flusher;

static vc_status flusher_new(flusher *f, const vc_kernels_options *o, vc_error *error) {
  vc_op_kind kind;
  vc_op_arguments arguments;
  f->there = o->cold;
  if (!o->cold) return VC_OK;
  vc_status status = vc_op_parse("copy outer=1 rows=4096 c=4096", &kind, &arguments, error);
  return status ? status : vc_op_memory_new(&f->memory, o->backend, o->device, VC_F32, kind, &arguments, 1, error);
}

// How an op is run: so many times a sample; as the backend chooses, or (`variant`) by one of its implementations.
typedef struct runner {
  const vc_op_memory *memory;
  const char *variant;
  int times;
  void *record;  // of all of them, by a backend that can record: then launching costs nothing
} runner;

static vc_status run_ops(const runner *r, vc_error *error) {
  const vc_op_memory *m = r->memory;
  if (r->record) return m->backend->replay(m->device, r->record, error);
  if (r->variant) return m->backend->run_variant(m->device, m->kind, r->variant, &m->arguments, r->times, error);
  vc_status status = VC_OK;
  for (int i = 0; i < r->times && !status; i++)
    status = vc_op_run(m->backend, m->device, m->kind, &m->arguments, error);
  return status;
}

// Seconds of one op, by the backend's own clock when it has one.
static vc_status run_once(const runner *r, double *seconds, vc_error *error) {
  const vc_op_memory *m = r->memory;
  bool marks = m->backend->mark != NULL;
  double start = vc_clock_now();
  vc_status status = marks ? m->backend->mark(m->device, 0, error) : VC_OK;
  if (!status) status = run_ops(r, error);
  if (!status && marks) status = m->backend->mark(m->device, 1, error);
  if (!status) status = m->backend->wait(m->device, error);
  *seconds = vc_clock_now() - start;
  if (!status && marks) status = m->backend->between(m->device, 0, 1, seconds, error);
  *seconds /= r->times;
  return status;
}

static vc_status record(runner *r, vc_error *error) {
  const vc_op_memory *m = r->memory;
  void *done = NULL;
  if (!m->backend->record_begin) return VC_OK;
  vc_status status = m->backend->record_begin(m->device, error);
  if (status) return status;
  status = run_ops(r, error);
  vc_status ended = m->backend->record_end(m->device, &done, status ? NULL : error);
  r->record = done;
  return status ? status : ended;
}

// Short ops are run several times a sample, so that neither the clock nor the wait for a device shows.
static vc_status time_op(vc_timing *out, const vc_op_memory *m, const char *variant, const flusher *f,
                         const vc_kernels_options *o, vc_error *error) {
  enum { LEAST = 3 };
  const double sample_seconds = 0.5e-3;
  runner r = {.memory = m, .variant = variant, .times = 1}, flush = {.memory = &f->memory, .times = 1};
  vc_samples samples = {0};
  double seconds, begin;
  vc_status status = run_once(&r, &seconds, error);
  if (!status && seconds < 0.05) status = run_once(&r, &seconds, error);
  if (!status && !f->there && seconds < sample_seconds)
    r.times = (int)fmin(1000, sample_seconds / fmax(seconds, 1e-7)) + 1;
  if (!status) status = record(&r, error);
  begin = vc_clock_now();
  for (int i = 0; !status && i < o->runs && (i < LEAST || vc_clock_now() - begin < o->seconds); i++) {
    if (o->cancelled && o->cancelled(o->opaque)) status = vc_fail(error, VC_INTERRUPTED, "interrupted");
    if (!status && f->there) status = run_once(&flush, &seconds, error);
    if (!status) status = run_once(&r, &seconds, error);
    vc_samples_add(&samples, seconds);
  }
  if (r.record) m->backend->forget(m->device, r.record);
  *out = vc_samples_timing(&samples);
  return status;
}

// Every implementation that the backend has of this op.
static vc_status time_variants(vc_kernel_result *out, const vc_op_memory *m, const flusher *f,
                               const vc_kernels_options *o, vc_error *error) {
  for (int i = 0; o->variants && o->backend->variants && o->backend->variants[i]; i++) {
    vc_kernel_variant *v = &out->variant[out->variants];
    assert(out->variants < VC_VARIANTS_MAX);
    v->name = o->backend->variants[i];
    vc_status status = time_op(&v->timing, m, v->name, f, o, error);
    if (status == VC_UNSUPPORTED) continue;
    if (status) return status;
    out->variants++;
  }
  return VC_OK;
}

static vc_status measure(vc_kernel_result *out, const vc_op_case *what, const flusher *f, const vc_kernels_options *o,
                         vc_error *error) {
  vc_op_memory memory;
  sample checked;
  *out = (vc_kernel_result){.what = *what,
                            .flops = vc_op_flops(what->kind, &what->arguments),
                            .bytes = vc_op_bytes(what->kind, &what->arguments, o->backend, o->dtype)};
  vc_status status = vc_op_memory_new(&memory, o->backend, o->device, o->dtype, what->kind, &what->arguments, 7, error);
  if (!status) {
    take_sample(&checked, &memory);
    vc_op_memory_free_host(&memory);
    status = vc_op_run(o->backend, o->device, what->kind, &memory.arguments, error);
  }
  if (!status) status = compare_sample(&out->error, &checked, &memory, error);
  if (!status) status = time_op(&out->timing, &memory, NULL, f, o, error);
  if (!status) status = time_variants(out, &memory, f, o, error);
  vc_op_memory_free(&memory);
  return status ? vc_fail_in(error, status, "%s", what->text) : VC_OK;
}

vc_status vc_kernel_measure(vc_kernel_result *out, const vc_op_case *what, const vc_kernels_options *o,
                            vc_error *error) {
  flusher f = {.there = false};
  vc_status status = flusher_new(&f, o, error);
  if (!status) status = measure(out, what, &f, o, error);
  if (f.there) vc_op_memory_free(&f.memory);
  return status;
}

vc_status vc_kernels_measure(vc_kernels_result *out, const vc_op_cases *cases, const vc_kernels_options *o,
                             vc_error *error) {
  flusher f = {.there = false};
  out->item = calloc((size_t)cases->count + 1, sizeof *out->item);
  vc_status status = out->item ? VC_OK : vc_fail(error, VC_NO_MEMORY, "no memory for results");
  out->ceilings = (vc_ceilings){NAN, NAN};
  if (!status && !o->no_ceilings) status = vc_ceilings_measure(&out->ceilings, o, error);
  if (!status) status = flusher_new(&f, o, error);
  for (int i = 0; i < cases->count && !status; i++) {
    if (o->progress) o->progress(o->opaque, i, cases->count, cases->item[i].text);
    status = measure(&out->item[i], &cases->item[i], &f, o, error);
    if (!status) out->count++;
  }
  if (f.there) vc_op_memory_free(&f.memory);
  return status;
}

void vc_kernels_free(vc_kernels_result *result) {
  free(result->item);
  result->item = NULL;
  result->count = 0;
}

double vc_kernel_roofline(const vc_kernel_result *k, const vc_ceilings *c) {
  return fmax(k->flops / c->flops, k->bytes / c->bytes) / k->timing.median;
}

double vc_kernels_step_sum(const vc_kernels_result *result) {
  double sum = 0;
  for (int i = 0; i < result->count; i++) sum += result->item[i].timing.median * result->item[i].what.in_step;
  return sum;
}
