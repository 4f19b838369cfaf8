#include "tests/op_run.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/plan.h"
#include "tests/op_buffers.h"

enum {
  GUARD = 128,  // elements on both sides of an output; keeps it aligned to 256 bytes in half precision
  WORKSPACE_GUARD = 256,
};

// NaNs that no arithmetic makes: an element that is never written shows, and so does one that should not be.
static const uint32_t sentinel32 = 0x7fc0beef;
static const uint16_t sentinel_half = 0x7eef, sentinel_bfloat = 0x7fef;

// One allocation of the device. Inputs that overlap in host memory share one, as they do in an arena.
typedef struct block {
  const char *from;  // the host's; NULL: an output
  size_t count, guard;
  vc_dtype dtype;  // as it is stored; I32 stands for any 4 bytes
  bool out;
  size_t bytes;
  unsigned char *initial, *got;
  void *memory;
} block;

typedef struct running {
  const op_check *check;
  const op_target *target;
  vc_op_arguments op;  // with the device's pointers
  op_buffer buffer[OP_BUFFERS_MAX];
  block block[OP_BUFFERS_MAX];
  int buffers, blocks;
  int block_of[OP_BUFFERS_MAX];
  void *workspace;
  size_t workspace_bytes;
} running;

static vc_dtype stored_as(const running *r, op_element element) {
  return element == OP_ACTIVATION ? r->target->dtype : element == OP_FLOAT ? VC_F32 : VC_I32;
}

static bool failed(const running *r, vc_status status, const char *what, const vc_error *error) {
  if (status == VC_OK) return false;
  cr_expect(false, "%s, %s: %s: %s", r->check->name, r->target->name, what, error->message);
  return true;
}

// ---- the blocks

static int block_for(running *r, const op_buffer *b, const char *host) {
  bool shared = !b->out && b->element == OP_ACTIVATION;
  for (int i = 0; i < r->blocks && shared; i++) {
    block *k = &r->block[i];
    const char *end = k->from + 4 * k->count, *host_end = host + 4 * b->count;
    if (k->out || !k->from || k->dtype != r->target->dtype || host >= end || host_end <= k->from) continue;
    if (host < k->from) k->from = host;
    k->count = (size_t)((host_end > end ? host_end : end) - k->from) / 4;
    return i;
  }
  r->block[r->blocks] = (block){.from = b->in ? host : NULL,
                                .count = b->count,
                                .guard = b->out ? GUARD : 0,
                                .dtype = stored_as(r, b->element),
                                .out = b->out};
  return r->blocks++;
}

static void arrange(running *r) {
  const op_check *c = r->check;
  int alias = -1, first = -1;
  r->buffers = op_buffers(c->kind, c->op, r->buffer);
  for (int i = 0; i < r->buffers; i++) {
    const op_buffer *b = &r->buffer[i];
    r->block_of[i] = -1;
    if (c->in_place_at && b->at == c->in_place_at)
      alias = i;
    else if (b->element != OP_PACKED)
      r->block_of[i] = block_for(r, b, op_pointer(c->op, b->at));
    if (b->at == c->out_at) first = i;
  }
  cr_assert(first >= 0, "%s: no output where one was named", c->name);
  if (!c->in_place_at) return;
  cr_assert(alias >= 0 && r->buffer[alias].count == r->buffer[first].count, "%s: in place of what?", c->name);
  r->block_of[alias] = r->block_of[first];
  r->block[r->block_of[first]].from = op_pointer(c->op, c->in_place_at);
}

static void fill(unsigned char *to, const block *b) {
  size_t size = vc_dtype_size(b->dtype), all = b->count + 2 * b->guard;
  for (size_t i = 0; i < all; i++) {
    if (b->dtype == VC_F16)
      memcpy(to + i * size, &sentinel_half, size);
    else if (b->dtype == VC_BF16)
      memcpy(to + i * size, &sentinel_bfloat, size);
    else
      memcpy(to + i * size, &sentinel32, size);
  }
  if (!b->from) return;
  if (b->dtype == VC_I32)
    memcpy(to + b->guard * size, b->from, b->count * size);
  else
    vc_from_float(to + b->guard * size, b->dtype, (const float *)(const void *)b->from, b->count);
}

static bool place(running *r) {
  const op_target *t = r->target;
  vc_error error;
  for (int i = 0; i < r->blocks; i++) {
    block *b = &r->block[i];
    b->bytes = (b->count + 2 * b->guard) * vc_dtype_size(b->dtype);
    b->initial = malloc(b->bytes + 1);
    b->got = malloc(b->bytes + 1);
    fill(b->initial, b);
    if (failed(r, t->backend->allocate(t->device, b->bytes, &b->memory, &error), "memory", &error)) return false;
    if (failed(r, t->backend->upload(t->device, b->memory, b->initial, b->bytes, &error), "upload", &error))
      return false;
  }
  return true;
}

// The parameter anew, in the layout and dtype of this backend.
static bool pack(running *r, size_t at) {
  const op_target *t = r->target;
  const vc_pack *known = op_pack_of(op_pointer(r->check->op, at));
  cr_assert(known, "%s: the weight does not come from op_packed", r->check->name);
  vc_pack p = *known;
  vc_error error;
  size_t bytes;
  void *memory;
  p.dtype = t->weight_dtype;
  if (failed(r, t->backend->pack_bytes(&p, &bytes, &error), "pack", &error)) return false;
  if (failed(r, t->backend->allocate(t->device, bytes, &memory, &error), "memory", &error)) return false;
  r->block[r->blocks].memory = memory;
  r->blocks++;
  op_set_pointer(&r->op, at, memory);
  return !failed(r, t->backend->pack(t->device, &p, memory, &error), "pack", &error);
}

// As a plan does it: parameters have their places when an op is prepared, tensors not yet.
static bool prepare(running *r) {
  const op_target *t = r->target;
  vc_error error;
  memcpy(&r->op, r->check->op, op_size(r->check->kind));
  memcpy(&r->op, &t->dtype, sizeof t->dtype);
  if (r->check->kind == VC_OP_LINEAR) r->op.linear.weight_dtype = t->weight_dtype;
  if (r->check->kind == VC_OP_CONV) r->op.conv.weight_dtype = t->weight_dtype;
  int placed = r->blocks;
  for (int i = 0; i < r->buffers; i++) {
    const op_buffer *b = &r->buffer[i];
    if (b->element == OP_PACKED) {
      if (!pack(r, b->at)) return false;
    } else {
      bool parameter = b->element == OP_FLOAT && !b->out;
      op_set_pointer(&r->op, b->at, parameter ? r->block[r->block_of[i]].memory : NULL);
    }
  }
  if (failed(r, t->backend->prepare(t->device, r->check->kind, &r->op, &r->workspace_bytes, &error), "prepare", &error))
    return false;
  for (int i = 0; i < r->buffers; i++) {
    if (r->block_of[i] < 0) continue;
    const block *b = &r->block[r->block_of[i]];
    const char *host = op_pointer(r->check->op, r->buffer[i].at);
    size_t skipped = b->from && host && r->buffer[i].in ? (size_t)(host - b->from) / 4 : 0;
    op_set_pointer(&r->op, r->buffer[i].at, (char *)b->memory + (b->guard + skipped) * vc_dtype_size(b->dtype));
  }
  cr_assert(placed <= OP_BUFFERS_MAX);
  return true;
}

static bool take_workspace(running *r) {
  const op_target *t = r->target;
  size_t at = op_workspace_at(r->check->kind), bytes = r->workspace_bytes;
  vc_error error;
  if (bytes && !at) {
    cr_expect(false, "%s, %s: asks for a workspace, and the op has none", r->check->name, t->name);
    return false;
  }
  if (!bytes) return true;
  unsigned char *poison = malloc(bytes + WORKSPACE_GUARD);
  memset(poison, 0xFF, bytes + WORKSPACE_GUARD);
  vc_status status = t->backend->allocate(t->device, bytes + WORKSPACE_GUARD, &r->workspace, &error);
  if (!status) status = t->backend->upload(t->device, r->workspace, poison, bytes + WORKSPACE_GUARD, &error);
  free(poison);
  op_set_pointer(&r->op, at, r->workspace);
  return !failed(r, status, "workspace", &error);
}

// ---- running

static bool restore(running *r) {
  const op_target *t = r->target;
  vc_status status = VC_OK;
  vc_error error;
  for (int i = 0; i < r->blocks && !status; i++)
    if (r->block[i].out)
      status = t->backend->upload(t->device, r->block[i].memory, r->block[i].initial, r->block[i].bytes, &error);
  return !failed(r, status, "upload", &error);
}

static bool fetch(running *r) {
  const op_target *t = r->target;
  vc_error error;
  vc_status status = VC_OK;
  for (int i = 0; i < r->blocks && !status; i++)
    if (r->block[i].out)
      status = t->backend->download(t->device, r->block[i].got, r->block[i].memory, r->block[i].bytes, &error);
  if (!status) status = t->backend->wait(t->device, &error);
  return !failed(r, status, "download", &error);
}

static bool run_directly(running *r) {
  const op_target *t = r->target;
  vc_error error;
  uint64_t before = t->dispatched ? t->dispatched(t->device, r->check->kind) : 0;
  if (failed(r, vc_op_run(t->backend, t->device, r->check->kind, &r->op, &error), "run", &error)) return false;
  cr_expect(!t->dispatched || t->dispatched(t->device, r->check->kind) > before, "%s, %s: no launch was counted",
            r->check->name, t->name);
  return fetch(r);
}

static bool run_recorded(running *r) {
  const op_target *t = r->target;
  void *record = NULL;
  vc_error error, ending;
  if (!t->backend->record_begin) return run_directly(r);
  if (failed(r, t->backend->record_begin(t->device, &error), "recording", &error)) return false;
  vc_status status = vc_op_run(t->backend, t->device, r->check->kind, &r->op, &error);
  vc_status ended = t->backend->record_end(t->device, &record, &ending);
  bool ok = !failed(r, status, "run while recording", &error) && !failed(r, ended, "end of recording", &ending);
  if (ok) ok = !failed(r, t->backend->replay(t->device, record, &error), "replay", &error) && fetch(r);
  t->backend->forget(t->device, record);
  return ok;
}

// ---- checking

static bool is_sentinel(const unsigned char *at, vc_dtype dtype) {
  if (dtype == VC_F16) return !memcmp(at, &sentinel_half, sizeof sentinel_half);
  if (dtype == VC_BF16) return !memcmp(at, &sentinel_bfloat, sizeof sentinel_bfloat);
  return !memcmp(at, &sentinel32, sizeof sentinel32);
}

static void check_guards(const running *r) {
  for (int i = 0; i < r->blocks; i++) {
    const block *b = &r->block[i];
    size_t size = vc_dtype_size(b->dtype), bad = 0;
    for (size_t k = 0; k < b->guard; k++)
      bad +=
          !is_sentinel(b->got + k * size, b->dtype) + !is_sentinel(b->got + (b->guard + b->count + k) * size, b->dtype);
    cr_expect_eq(bad, 0, "%s, %s: %zu elements beside an output were written", r->check->name, r->target->name, bad);
  }
  if (!r->workspace) return;
  unsigned char tail[WORKSPACE_GUARD];
  size_t bad = 0;
  vc_error error;
  const op_target *t = r->target;
  vc_status status =
      t->backend->download(t->device, tail, (char *)r->workspace + r->workspace_bytes, sizeof tail, &error);
  if (!status) status = t->backend->wait(t->device, &error);
  if (failed(r, status, "download", &error)) return;
  for (size_t i = 0; i < sizeof tail; i++) bad += tail[i] != 0xFF;
  cr_expect_eq(bad, 0, "%s, %s: %zu bytes behind the workspace were written", r->check->name, t->name, bad);
}

// Inputs and weights are exact in every dtype, and sums are in fp32 and in another order than the CPU's, so that F32
// may be twice as far off as there. In half precision the output is rounded, by at most 2^-11 (F16) or 2^-8 (BF16:
// 2^-9) of its size, 0.6 of that in the mean; the rest is for what a kernel may round on its way, as attention does
// with its weights. Copies and maxima are exact in any dtype.
static double tolerance_of(const running *r, vc_dtype dtype) {
  double tolerance = r->check->tolerance;
  if (tolerance > 0 && r->target->dispatched) tolerance *= 2;
  if (tolerance > 0 && dtype == VC_F16) tolerance = fmax(tolerance, 1e-3);
  if (tolerance > 0 && dtype == VC_BF16) tolerance = fmax(tolerance, 8e-3);
  return tolerance;
}

static void check_values(const running *r, const block *b, const op_result *result) {
  const char *name = r->check->name, *where = r->target->name;
  const unsigned char *raw = b->got + b->guard * vc_dtype_size(b->dtype);
  double tolerance = tolerance_of(r, b->dtype), largest = 0, worst = 0;
  size_t untouched = 0, touched = 0;
  float *got = malloc((result->count + 1) * sizeof *got);
  vc_to_float(got, raw, b->dtype, result->count);
  double error = op_error(got, result->want, result->count);
  for (size_t i = 0; i < result->count; i++) {
    if (isnan(result->want[i])) {
      bool as_it_was = is_sentinel(raw + i * vc_dtype_size(b->dtype), b->dtype);
      untouched += as_it_was;
      touched += !as_it_was;
      continue;
    }
    largest = fmax(largest, fabs(result->want[i]));
    if (!(fabs((double)got[i] - result->want[i]) <= worst)) worst = fabs((double)got[i] - result->want[i]);
  }
  free(got);
  cr_expect(error <= tolerance, "%s, %s: relative L2 error %g, allowed %g", name, where, error, tolerance);
  cr_expect(worst <= 20 * tolerance * largest, "%s, %s: an element is off by %g of %g", name, where, worst, largest);
  if (r->check->kind == VC_OP_COPY)
    cr_expect_eq(touched, 0, "%s, %s: wrote %zu elements between its rows", name, where, touched);
  else
    cr_expect_eq(untouched, 0, "%s, %s: left %zu elements as they were", name, where, untouched);
}

static void check_result(const running *r, const op_result *result) {
  for (int i = 0; i < r->buffers; i++) {
    if (r->buffer[i].at != result->out_at || !r->buffer[i].out) continue;
    const block *b = &r->block[r->block_of[i]];
    cr_assert_eq(b->count, result->count, "%s: %zu values are expected of %zu", r->check->name, result->count,
                 b->count);
    check_values(r, b, result);
    return;
  }
  cr_assert(false, "%s: the op writes nothing there", r->check->name);
}

static void check_all(const running *r) {
  const op_check *c = r->check;
  check_guards(r);
  check_result(r, &(op_result){c->out_at, c->want, c->count});
  for (int i = 0; i < c->also_count; i++) check_result(r, &c->also[i]);
}

static unsigned char *collect(const running *r, size_t *bytes) {
  *bytes = 0;
  for (int i = 0; i < r->blocks; i++)
    if (r->block[i].out) *bytes += r->block[i].bytes;
  unsigned char *all = malloc(*bytes), *to = all;
  for (int i = 0; i < r->blocks; i++) {
    if (!r->block[i].out) continue;
    memcpy(to, r->block[i].got, r->block[i].bytes);
    to += r->block[i].bytes;
  }
  return all;
}

unsigned char *op_run(const op_check *check, const op_target *target, size_t *bytes) {
  running r = {.check = check, .target = target};
  unsigned char *first = NULL, *second = NULL;
  arrange(&r);
  if (place(&r) && prepare(&r) && take_workspace(&r) && run_directly(&r)) {
    first = collect(&r, bytes);
    check_all(&r);
    if (restore(&r) && run_recorded(&r)) {
      second = collect(&r, bytes);
      cr_expect(!memcmp(first, second, *bytes), "%s, %s: %s gives other bytes", check->name, target->name,
                target->backend->record_begin ? "the recorded op" : "a second run");
    }
  }
  free(second);
  for (int i = 0; i < r.blocks; i++) {
    free(r.block[i].initial);
    free(r.block[i].got);
    target->backend->release(target->device, r.block[i].memory);
  }
  target->backend->release(target->device, r.workspace);
  return first;
}
