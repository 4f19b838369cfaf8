#include "bench/op_text.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char vc_op_present[1] = {0};

typedef enum form {
  NUMBER,      // int64_t
  STRIDE,      // int64_t for which 0 says something: not given is -1
  SMALL,       // int
  CHANNELS,    // int64_t[2]: 320 or 320+640
  TRIPLE,      // int64_t[3]: 1x3x3
  STRIDES,     // vc_sequence: outer/inner/row
  WORD,        // bool
  PRESENT,     // a pointer
  ACTIVATION,  // vc_activation
  MASK,        // bool[VC_SUM_MAX], as digits
} form;

typedef struct field {
  const char *name;
  form form;
  size_t at;
} field;

enum { FIELDS_MAX = 24 };

#define FIELD(type, member, form) \
  { #member, form, offsetof(type, member) }
#define EPILOGUE(type)                                                                                               \
  {"bias", PRESENT, offsetof(type, epilogue.bias)}, {"activation", ACTIVATION, offsetof(type, epilogue.activation)}, \
      {"rows_per_addend", NUMBER, offsetof(type, epilogue.rows_per_addend)}, {                                       \
    "residual", PRESENT, offsetof(type, epilogue.residual)                                                           \
  }

static const field fields[VC_OP_COUNT][FIELDS_MAX] = {
    [VC_OP_LINEAR] = {FIELD(vc_linear, rows, NUMBER), FIELD(vc_linear, c, CHANNELS), FIELD(vc_linear, c_out, NUMBER),
                      FIELD(vc_linear, x_stride, NUMBER), EPILOGUE(vc_linear)},
    [VC_OP_CONV] = {FIELD(vc_conv, n, NUMBER), FIELD(vc_conv, f, NUMBER), FIELD(vc_conv, h, NUMBER),
                    FIELD(vc_conv, w, NUMBER), FIELD(vc_conv, c, CHANNELS), FIELD(vc_conv, c_out, NUMBER),
                    FIELD(vc_conv, kernel, TRIPLE), FIELD(vc_conv, pad, TRIPLE), FIELD(vc_conv, stride, TRIPLE),
                    FIELD(vc_conv, dilation, TRIPLE), FIELD(vc_conv, upsample, SMALL), FIELD(vc_conv, groups, NUMBER),
                    FIELD(vc_conv, f_out, NUMBER), FIELD(vc_conv, h_out, NUMBER), FIELD(vc_conv, w_out, NUMBER),
                    EPILOGUE(vc_conv)},
    [VC_OP_GROUP_NORM] = {FIELD(vc_group_norm, frames, NUMBER), FIELD(vc_group_norm, rows, NUMBER),
                          FIELD(vc_group_norm, c, CHANNELS), FIELD(vc_group_norm, groups, NUMBER),
                          FIELD(vc_group_norm, silu, WORD)},
    [VC_OP_LAYER_NORM] = {FIELD(vc_layer_norm, rows, NUMBER), FIELD(vc_layer_norm, c, NUMBER)},
    [VC_OP_ATTENTION] = {FIELD(vc_attention, outer, NUMBER), FIELD(vc_attention, inner, NUMBER),
                         FIELD(vc_attention, queries, NUMBER), FIELD(vc_attention, keys, NUMBER),
                         FIELD(vc_attention, heads, NUMBER), FIELD(vc_attention, head_dim, NUMBER),
                         FIELD(vc_attention, causal, WORD), FIELD(vc_attention, q_stride, STRIDES),
                         FIELD(vc_attention, k_stride, STRIDES), FIELD(vc_attention, v_stride, STRIDES),
                         FIELD(vc_attention, out_stride, STRIDES)},
    [VC_OP_ACTIVATION] = {FIELD(vc_activate, rows, NUMBER), FIELD(vc_activate, c, NUMBER),
                          FIELD(vc_activate, activation, ACTIVATION)},
    [VC_OP_SUM] = {FIELD(vc_sum, n, NUMBER), FIELD(vc_sum, f, NUMBER), FIELD(vc_sum, rows, NUMBER),
                   FIELD(vc_sum, inputs, SMALL), FIELD(vc_sum, one_frame, MASK)},
    [VC_OP_COPY] = {FIELD(vc_copy, outer, NUMBER), FIELD(vc_copy, x_outer, NUMBER), FIELD(vc_copy, rows, NUMBER),
                    FIELD(vc_copy, c, NUMBER), FIELD(vc_copy, x_stride_outer, STRIDE),
                    FIELD(vc_copy, x_stride_row, STRIDE), FIELD(vc_copy, out_stride_outer, STRIDE),
                    FIELD(vc_copy, out_stride_row, STRIDE)},
    [VC_OP_GATHER] = {FIELD(vc_gather, count, NUMBER), FIELD(vc_gather, c, NUMBER), FIELD(vc_gather, entries, NUMBER),
                      FIELD(vc_gather, positions, NUMBER)},
    [VC_OP_POOL] = {FIELD(vc_pool, frames, NUMBER), FIELD(vc_pool, h, NUMBER), FIELD(vc_pool, w, NUMBER),
                    FIELD(vc_pool, c, NUMBER), FIELD(vc_pool, h_out, NUMBER), FIELD(vc_pool, w_out, NUMBER)},
    [VC_OP_SINUSOID] = {FIELD(vc_sinusoid, count, NUMBER), FIELD(vc_sinusoid, c, NUMBER)},
    [VC_OP_SAMPLER] = {FIELD(vc_sampler, count, NUMBER), FIELD(vc_sampler, guided, WORD),
                       FIELD(vc_sampler, noise, PRESENT)},
    [VC_OP_CONV_TRANSPOSE] = {FIELD(vc_conv_transpose, frames, NUMBER), FIELD(vc_conv_transpose, h, NUMBER),
                              FIELD(vc_conv_transpose, w, NUMBER), FIELD(vc_conv_transpose, c, NUMBER),
                              FIELD(vc_conv_transpose, c_out, NUMBER), FIELD(vc_conv_transpose, kernel, NUMBER),
                              FIELD(vc_conv_transpose, stride, NUMBER), FIELD(vc_conv_transpose, pad, NUMBER),
                              FIELD(vc_conv_transpose, h_out, NUMBER), FIELD(vc_conv_transpose, w_out, NUMBER),
                              FIELD(vc_conv_transpose, bias, PRESENT),
                              FIELD(vc_conv_transpose, activation, ACTIVATION)},
    [VC_OP_MAX_POOL] = {FIELD(vc_max_pool, frames, NUMBER), FIELD(vc_max_pool, h, NUMBER),
                        FIELD(vc_max_pool, w, NUMBER), FIELD(vc_max_pool, c, NUMBER)},
    [VC_OP_RESIZE] = {FIELD(vc_resize, frames, NUMBER), FIELD(vc_resize, h, NUMBER), FIELD(vc_resize, w, NUMBER),
                      FIELD(vc_resize, c, NUMBER), FIELD(vc_resize, h_out, NUMBER), FIELD(vc_resize, w_out, NUMBER),
                      FIELD(vc_resize, align_corners, WORD)},
    [VC_OP_GATE] = {FIELD(vc_gate, rows, NUMBER), FIELD(vc_gate, c, NUMBER)},
};

static const char *const activations[] = {"none", "silu", "gelu", "relu", "sigmoid", "geglu"};
enum { ACTIVATIONS = sizeof activations / sizeof *activations };

// ---- what follows from other members, or stands for "not given"

static int64_t or_else(int64_t value, int64_t otherwise) {
  return value ? value : otherwise;
}

// Wraps around where sizes are absurd; prepare() refuses those.
static int64_t times(int64_t a, int64_t b) {
  return (int64_t)((uint64_t)a * (uint64_t)b);
}

static void complete_conv(vc_conv *a) {
  const int64_t in[3] = {a->f, times(a->h, or_else(a->upsample, 1)), times(a->w, or_else(a->upsample, 1))};
  int64_t *const out[3] = {&a->f_out, &a->h_out, &a->w_out};
  a->upsample = a->upsample ? a->upsample : 1;
  a->groups = or_else(a->groups, 1);
  for (int i = 0; i < 3; i++) {
    a->kernel[i] = or_else(a->kernel[i], 1);
    a->stride[i] = or_else(a->stride[i], 1);
    a->dilation[i] = or_else(a->dilation[i], 1);
    if (a->stride[i] < 1 || a->pad[i] < 0 || a->pad[i] > in[i]) continue;
    int64_t reach = in[i] + 2 * a->pad[i] - times(a->dilation[i], a->kernel[i] - 1) - 1;
    *out[i] = or_else(*out[i], reach / a->stride[i] + 1);
  }
}

// Sequences of consecutive rows of the heads' channels; 0 is a stride too (shared), so that only three zeros stand for
// "dense".
static void complete_strides(vc_sequence *s, const vc_attention *a, int64_t rows) {
  if (s->outer || s->inner || s->row) return;
  s->row = times(a->heads, a->head_dim);
  s->inner = times(rows, s->row);
  s->outer = times(a->inner, s->inner);
}

static void complete_copy(vc_copy *a) {
  a->x_outer = or_else(a->x_outer, a->outer);
  if (a->x_stride_row < 0) a->x_stride_row = a->c;
  if (a->x_stride_outer < 0) a->x_stride_outer = times(a->rows, a->c);
  if (a->out_stride_row < 0) a->out_stride_row = a->c;
  if (a->out_stride_outer < 0) a->out_stride_outer = times(a->rows, a->out_stride_row);
}

static void complete(vc_op_kind kind, vc_op_arguments *a) {
  if (kind == VC_OP_LINEAR) a->linear.x_stride = or_else(a->linear.x_stride, a->linear.c[0]);
  if (kind == VC_OP_CONV) complete_conv(&a->conv);
  if (kind == VC_OP_COPY) complete_copy(&a->copy);
  if (kind == VC_OP_SUM) a->sum.inputs = a->sum.inputs ? a->sum.inputs : 2;
  if (kind == VC_OP_GROUP_NORM) a->group_norm.groups = or_else(a->group_norm.groups, 32);
  if (kind == VC_OP_CONV_TRANSPOSE) {
    vc_conv_transpose *t = &a->conv_transpose;
    t->stride = or_else(t->stride, 1);
    t->h_out = or_else(t->h_out, times(t->h - 1, t->stride) - 2 * t->pad + t->kernel);
    t->w_out = or_else(t->w_out, times(t->w - 1, t->stride) - 2 * t->pad + t->kernel);
  }
  if (kind != VC_OP_ATTENTION) return;
  complete_strides(&a->attention.q_stride, &a->attention, a->attention.queries);
  complete_strides(&a->attention.k_stride, &a->attention, a->attention.keys);
  complete_strides(&a->attention.v_stride, &a->attention, a->attention.keys);
  complete_strides(&a->attention.out_stride, &a->attention, a->attention.queries);
}

// What is neither shape nor presence: dtypes, constants, and the pointers that every op of the kind has.
static void settle(vc_op_kind kind, vc_op_arguments *a) {
  vc_epilogue *e = kind == VC_OP_LINEAR ? &a->linear.epilogue : kind == VC_OP_CONV ? &a->conv.epilogue : NULL;
  if (e && e->rows_per_addend) e->addend = vc_op_present;
  if (kind == VC_OP_GROUP_NORM) a->group_norm.eps = 1e-5F;
  if (kind == VC_OP_LAYER_NORM) a->layer_norm.eps = 1e-5F;
  if (kind == VC_OP_SAMPLER) a->sampler.guidance = 9;
  if (kind == VC_OP_ATTENTION) a->attention.scale = 0.125F;
  if (kind == VC_OP_SUM)
    for (int i = 0; i < VC_SUM_MAX; i++) a->sum.scale[i] = 1;
}

// ---- to text

typedef struct line {
  char *text;
  size_t used;
} line;

static void put(line *l, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void put(line *l, const char *format, ...) {
  va_list list;
  va_start(list, format);
  int n = vsnprintf(l->text + l->used, VC_OP_TEXT_MAX - l->used, format, list);
  va_end(list);
  if (n > 0) l->used += (size_t)n;
  if (l->used > VC_OP_TEXT_MAX - 1) l->used = VC_OP_TEXT_MAX - 1;
}

static size_t size_of(form f) {
  static const size_t size[] = {[NUMBER] = sizeof(int64_t),
                                [STRIDE] = sizeof(int64_t),
                                [SMALL] = sizeof(int),
                                [CHANNELS] = 2 * sizeof(int64_t),
                                [TRIPLE] = 3 * sizeof(int64_t),
                                [STRIDES] = sizeof(vc_sequence),
                                [WORD] = sizeof(bool),
                                [PRESENT] = sizeof(void *),
                                [ACTIVATION] = sizeof(vc_activation),
                                [MASK] = VC_SUM_MAX * sizeof(bool)};
  return size[f];
}

static void put_field(line *l, const field *f, const void *value) {
  const int64_t *n = value;
  const vc_sequence *s = value;
  put(l, " %s", f->name);
  switch (f->form) {
    case NUMBER:
    case STRIDE:
      put(l, "=%lld", (long long)*n);
      break;
    case SMALL:
      put(l, "=%d", *(const int *)value);
      break;
    case CHANNELS:
      put(l, "=%lld", (long long)n[0]);
      if (n[1]) put(l, "+%lld", (long long)n[1]);
      break;
    case TRIPLE:
      put(l, "=%lldx%lldx%lld", (long long)n[0], (long long)n[1], (long long)n[2]);
      break;
    case STRIDES:
      put(l, "=%lld/%lld/%lld", (long long)s->outer, (long long)s->inner, (long long)s->row);
      break;
    case ACTIVATION:
      put(l, "=%s", activations[*(const vc_activation *)value]);
      break;
    case MASK:
      put(l, "=");
      for (int i = 0; i < VC_SUM_MAX; i++) put(l, "%d", ((const bool *)value)[i]);
      break;
    case WORD:
    case PRESENT:
      break;
  }
}

// As if the member were not given.
static void forget(vc_op_arguments *a, const field *f) {
  memset((char *)a + f->at, f->form == STRIDE ? 0xff : 0, size_of(f->form));
}

// True when the member may be left out: it is what completing puts there.
static bool follows(vc_op_kind kind, const vc_op_arguments *a, const field *f) {
  vc_op_arguments without = *a;
  forget(&without, f);
  complete(kind, &without);
  return !memcmp((const char *)&without + f->at, (const char *)a + f->at, size_of(f->form));
}

void vc_op_text(vc_op_kind kind, const vc_op_arguments *a, char text[VC_OP_TEXT_MAX]) {
  line l = {text, 0};
  put(&l, "%s", vc_op_name(kind));
  for (const field *f = fields[kind]; f->name; f++) {
    const char *value = (const char *)a + f->at;
    if (f->form == PRESENT) {
      const void *pointer;
      memcpy(&pointer, value, sizeof pointer);
      if (pointer) put_field(&l, f, value);
    } else if (!follows(kind, a, f)) {
      put_field(&l, f, value);
    }
  }
}

// ---- from text

// Reads up to `most` numbers that `between` separates; returns how many, or 0.
static int read_numbers(const char *text, char between, int most, int64_t *out) {
  for (int count = 0; count < most;) {
    char *end;
    if (*text < '0' || *text > '9') return 0;
    long long value = strtoll(text, &end, 10);
    if (value > (1LL << 31)) return 0;  // products of two stay in range
    out[count++] = value;
    if (!*end) return count;
    if (*end != between) return 0;
    text = end + 1;
  }
  return 0;
}

static bool read_mask(const char *value, bool *out) {
  size_t length = strlen(value);
  if (length > VC_SUM_MAX || strspn(value, "01") != length) return false;
  for (size_t i = 0; i < length; i++) out[i] = value[i] == '1';
  return true;
}

static bool read_activation(const char *value, vc_activation *out) {
  for (int i = 0; i < ACTIVATIONS; i++)
    if (!strcmp(value, activations[i])) {
      *out = (vc_activation)i;
      return true;
    }
  return false;
}

static bool read_value(const field *f, const char *value, void *to) {
  int64_t n[3] = {0};
  if (f->form == WORD || f->form == PRESENT) {
    const void *present = vc_op_present;
    if (value) return false;
    if (f->form == WORD)
      *(bool *)to = true;
    else
      memcpy(to, &present, sizeof present);
    return true;
  }
  if (!value) return false;
  switch (f->form) {
    case NUMBER:
    case STRIDE:
      return read_numbers(value, 0, 1, to) == 1;
    case SMALL:
      if (read_numbers(value, 0, 1, n) != 1 || n[0] > VC_SUM_MAX) return false;
      *(int *)to = (int)n[0];
      return true;
    case CHANNELS:
      return read_numbers(value, '+', 2, to) > 0;
    case TRIPLE:
      return read_numbers(value, 'x', 3, to) == 3;
    case STRIDES:
      if (read_numbers(value, '/', 3, n) != 3) return false;
      *(vc_sequence *)to = (vc_sequence){n[0], n[1], n[2]};
      return true;
    case ACTIVATION:
      return read_activation(value, to);
    default:
      return read_mask(value, to);
  }
}

static vc_status read_word(vc_op_kind kind, char *word, vc_op_arguments *out, vc_error *error) {
  char *value = strchr(word, '=');
  if (value) *value++ = 0;
  for (const field *f = fields[kind]; f->name; f++) {
    if (strcmp(word, f->name)) continue;
    if (read_value(f, value, (char *)out + f->at)) return VC_OK;
    return vc_fail(error, VC_INVALID,
                   "--shape: '%s%s%s' is not how %s of %s is written; see `bench kernels` for the form", word,
                   value ? "=" : "", value ? value : "", word, vc_op_name(kind));
  }
  return vc_fail(error, VC_INVALID, "--shape: %s has no '%s'; see `bench kernels` for what it has", vc_op_name(kind),
                 word);
}

vc_status vc_op_parse(const char *text, vc_op_kind *kind, vc_op_arguments *out, vc_error *error) {
  char copy[VC_OP_TEXT_MAX], *rest = copy;
  if (strlen(text) >= sizeof copy) return vc_fail(error, VC_INVALID, "--shape: the text is too long");
  strcpy(copy, text);
  char *word = strtok_r(copy, " ", &rest);
  int k = 0;
  while (word && k < VC_OP_COUNT && strcmp(word, vc_op_name((vc_op_kind)k))) k++;
  if (!word || k == VC_OP_COUNT)
    return vc_fail(error, VC_INVALID,
                   "--shape: begins with an op such as linear, conv, attention or group_norm, not '%s'",
                   word ? word : "");
  *kind = (vc_op_kind)k;
  memset(out, 0, sizeof *out);
  for (const field *f = fields[k]; f->name; f++) forget(out, f);
  while ((word = strtok_r(NULL, " ", &rest))) {
    vc_status status = read_word(*kind, word, out, error);
    if (status) return status;
  }
  complete(*kind, out);
  settle(*kind, out);
  return VC_OK;
}
