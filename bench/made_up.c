#include "bench/made_up.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

// One source of one parameter.
typedef struct entry {
  const vc_param_info *info;
  int source;
  vc_tensor tensor;
} entry;

enum { POOL = 65521 };  // a prime, so that the rows of a matrix differ

struct vc_made_up {
  entry *item;
  int count;
  float pool[POOL];             // uniform in -1 .. 1
  float *memory[VC_STACK_MAX];  // the sources of one parameter at a time
  const entry *holds[VC_STACK_MAX];
};

static const char *key_of(const entry *e) {
  return e->info->key[e->source];
}

static int by_key(const void *a, const void *b) {
  return strcmp(key_of(a), key_of(b));
}

vc_status vc_made_up_new(vc_made_up **out, const vc_graph *graph, vc_error *error) {
  vc_made_up *m = *out = calloc(1, sizeof *m);
  size_t largest = 1, capacity = (size_t)graph->params * VC_STACK_MAX + 1;
  bool memory = m && (m->item = calloc(capacity, sizeof *m->item));
  for (int i = 0; i < graph->params && memory; i++)
    for (int k = 0; k < graph->param[i].stacked; k++) {
      entry *e = &m->item[m->count++];
      *e = (entry){.info = &graph->param[i], .source = k, .tensor = {.dtype = VC_F32}};
      e->tensor.rank = vc_param_file_shape(e->info, k, e->tensor.dim);
      size_t bytes = vc_tensor_bytes(&e->tensor);
      if (bytes > largest) largest = bytes;
    }
  for (int i = 0; i < VC_STACK_MAX && memory; i++) memory = (m->memory[i] = malloc(largest)) != NULL;
  if (memory) {
    for (int i = 0; i < m->count; i++) m->item[i].tensor.data = m->memory[m->item[i].source];
    uint32_t state = 1;
    for (int i = 0; i < POOL; i++) {
      state = state * 1664525u + 1013904223u;
      m->pool[i] = (float)(state >> 8) * 0x1p-23F - 1;
    }
    qsort(m->item, (size_t)m->count, sizeof *m->item, by_key);
    return VC_OK;
  }
  vc_made_up_free(m);
  *out = NULL;
  return vc_fail(error, VC_NO_MEMORY, "no memory for made-up weights");
}

void vc_made_up_free(vc_made_up *m) {
  if (!m) return;
  for (int i = 0; i < VC_STACK_MAX; i++) free(m->memory[i]);
  free(m->item);
  free(m);
}

static void fill(const vc_made_up *m, const entry *e, float *values, size_t count) {
  const vc_param_info *info = e->info;
  const char *key = key_of(e);
  size_t length = strlen(key);
  double inputs = (double)info->columns;
  bool vector = info->layout == VC_LAYOUT_VECTOR && e->tensor.rank == 1;
  bool factor = vector && length > 6 && !strcmp(key + length - 6, "weight");
  for (int i = 0; i < 3 && info->layout == VC_LAYOUT_CONV; i++) inputs *= (double)info->kernel[i];
  bool product = info->layout == VC_LAYOUT_LINEAR || info->layout == VC_LAYOUT_CONV;
  float scale = vector ? 0 : product ? (float)sqrt(3 / inputs) : 0.03F;
  uint32_t start = 2166136261u;
  for (const char *c = key; *c; c++) start = (start ^ (unsigned char)*c) * 16777619u;
  for (size_t i = 0, at = start % POOL; i < count; at = 0) {
    size_t n = POOL - at < count - i ? POOL - at : count - i;
    for (size_t k = 0; k < n; k++) values[i + k] = m->pool[at + k] * scale + (factor ? 1.0F : 0.0F);
    i += n;
  }
}

// A tensor's values stand until another one is asked for that is the same part of its parameter.
static const vc_tensor *find(void *source, const char *key) {
  vc_made_up *m = source;
  vc_param_info wanted = {.key = {key}};
  entry *e = bsearch(&(entry){.info = &wanted}, m->item, (size_t)m->count, sizeof *m->item, by_key);
  if (!e) return NULL;
  if (m->holds[e->source] != e) fill(m, e, m->memory[e->source], vc_tensor_count(&e->tensor));
  m->holds[e->source] = e;
  return &e->tensor;
}

vc_weights vc_made_up_weights(vc_made_up *m) {
  return (vc_weights){.name = "made-up weights", .source = m, .find = find};
}
