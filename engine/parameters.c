#include "engine/parameters.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/read_ahead.h"

typedef struct entry {
  uint64_t hash;  // of keys and layout; 64 bits are taken to be unique within a model
  void *memory;
} entry;

struct vc_parameters {
  const vc_backend *backend;
  vc_device *device;
  vc_dtype dtype;
  entry *entry;  // sorted by hash
  int entries;
  void **block;
  int blocks;
  size_t bytes;
};

static uint64_t hash_of(const vc_param_info *info) {
  uint64_t h = 14695981039346656037u;  // FNV-1a
  for (int i = 0; i < info->stacked; i++)
    for (const char *c = info->key[i];; c++) {
      h = (h ^ (unsigned char)*c) * 1099511628211u;
      if (!*c) break;
    }
  return (h ^ (unsigned)info->layout) * 1099511628211u;
}

static int by_hash(const void *a, const void *b) {
  const entry *x = a, *y = b;
  return (x->hash > y->hash) - (x->hash < y->hash);
}

void *vc_parameters_find(const vc_parameters *p, const vc_param_info *info) {
  entry wanted = {.hash = hash_of(info)};
  const entry *found = p->entries ? bsearch(&wanted, p->entry, (size_t)p->entries, sizeof wanted, by_hash) : NULL;
  return found ? found->memory : NULL;
}

size_t vc_parameters_bytes(const vc_parameters *p) {
  return p->bytes;
}

vc_status vc_parameters_new(vc_parameters **out, const vc_backend *backend, vc_device *device, vc_dtype dtype,
                            vc_error *error) {
  *out = calloc(1, sizeof **out);
  if (!*out) return vc_fail(error, VC_NO_MEMORY, "no memory for a table of parameters");
  **out = (vc_parameters){.backend = backend, .device = device, .dtype = dtype};
  return VC_OK;
}

void vc_parameters_free(vc_parameters *p) {
  if (!p) return;
  for (int i = 0; i < p->blocks; i++) p->backend->release(p->device, p->block[i]);
  free(p->block);
  free(p->entry);
  free(p);
}

// ---- checking

int vc_param_file_shape(const vc_param_info *info, int i, int64_t dim[VC_MAX_DIMS]) {
  int rank = 0;
  if (info->layout == VC_LAYOUT_VECTOR || info->layout == VC_LAYOUT_ROWS) {
    if (info->flat && info->columns > 1 && info->rows > 1) {
      dim[rank++] = info->rows;
      dim[rank++] = info->columns;
    } else {
      dim[rank++] = info->key_rows[i] * info->columns;
    }
    return rank;
  }
  dim[rank++] = info->transposed ? info->columns : info->key_rows[i];
  dim[rank++] = info->transposed ? info->key_rows[i] : info->columns;
  for (int k = 0; k < info->spatial_rank; k++)
    dim[rank++] = info->layout == VC_LAYOUT_CONV ? info->kernel[3 - info->spatial_rank + k] : 1;
  return rank;
}

static bool shape_fits(const vc_param_info *info, int i, const vc_tensor *t) {
  int64_t dim[VC_MAX_DIMS];
  int rank = vc_param_file_shape(info, i, dim), skip = 0;
  if (info->flat)  // embeddings are stored as [1, 1, c], [1, n, c], ...
    while (skip < t->rank - rank && t->dim[skip] == 1) skip++;
  if (t->rank - skip != rank) return false;
  for (int k = 0; k < rank; k++)
    if (t->dim[skip + k] != dim[k]) return false;
  return true;
}

int vc_parameters_audit(const vc_graph *graph, const vc_weights *weights,
                        void (*report)(void *opaque, vc_finding finding, const char *key, const char *detail),
                        void *opaque) {
  int count = 0;
  for (int i = 0; i < graph->params; i++)
    for (int k = 0; k < graph->param[i].stacked; k++) {
      const vc_param_info *info = &graph->param[i];
      const vc_tensor *t = weights->find(weights->source, info->key[k]);
      char is[128], wanted[128], detail[300];
      int64_t dim[VC_MAX_DIMS];
      int rank = vc_param_file_shape(info, k, dim);
      vc_finding finding;
      if (!t) {
        finding = VC_FOUND_MISSING;
        snprintf(detail, sizeof detail, "expected %s", vc_shape_text(dim, rank, wanted, sizeof wanted));
      } else if (!shape_fits(info, k, t)) {
        finding = VC_FOUND_SHAPE;
        snprintf(detail, sizeof detail, "is %s, expected %s", vc_shape_text(t->dim, t->rank, is, sizeof is),
                 vc_shape_text(dim, rank, wanted, sizeof wanted));
      } else if (t->dtype != VC_F32 && t->dtype != VC_F16 && t->dtype != VC_BF16) {
        finding = VC_FOUND_DTYPE;
        snprintf(detail, sizeof detail, "is %s, expected F32, F16 or BF16", vc_dtype_name(t->dtype));
      } else {
        continue;
      }
      count++;
      report(opaque, finding, info->key[k], detail);
    }
  return count;
}

// The first findings go into the message, the others are counted; `inspect` lists them all.
typedef struct summary {
  char text[640];
  size_t used;
  int shown;
} summary;

static void summarise(void *opaque, vc_finding finding, const char *key, const char *detail) {
  summary *s = opaque;
  if (s->shown >= 4 || s->used > sizeof s->text - 200) return;
  int n = snprintf(s->text + s->used, sizeof s->text - s->used, "%s%.90s %s%.100s", s->shown ? "; " : "", key,
                   finding == VC_FOUND_MISSING ? "is missing, " : "", detail);
  if (n > 0) s->used += (size_t)n < sizeof s->text - s->used ? (size_t)n : sizeof s->text - s->used - 1;
  s->shown++;
}

static vc_status check_all(const vc_graph *graph, const vc_weights *weights, vc_error *error) {
  summary s = {0};
  int count = vc_parameters_audit(graph, weights, summarise, &s);
  if (!count) return VC_OK;
  return vc_fail(error, VC_FAILED, "%.200s: %d tensor%s missing or misshapen: %s%s", weights->name, count,
                 count == 1 ? " is" : "s are", s.text, count > s.shown ? "; ... (`inspect` lists all)" : "");
}

// ---- packing

static vc_pack pack_of(const vc_param_info *info, vc_dtype dtype) {
  vc_pack pack = {.layout = info->layout,
                  .dtype = dtype,
                  .stacked = info->stacked,
                  .rows = info->rows,
                  .columns = info->columns,
                  .transposed = info->transposed};
  memcpy(pack.kernel, info->kernel, sizeof pack.kernel);
  return pack;
}

static vc_status padded_bytes(const vc_param_info *info, const vc_backend *backend, vc_dtype dtype, size_t *bytes,
                              vc_error *error) {
  vc_pack pack = pack_of(info, dtype);
  vc_status status = backend->pack_bytes(&pack, bytes, error);
  if (status) return vc_fail_in(error, status, "%s", info->key[0]);
  *bytes = (*bytes + 255) / 256 * 256;
  return VC_OK;
}

vc_status vc_parameters_size(const vc_graph *graph, const vc_backend *backend, vc_dtype dtype, size_t *bytes,
                             vc_error *error) {
  *bytes = 0;
  for (int i = 0; i < graph->params; i++) {
    size_t one;
    vc_status status = padded_bytes(&graph->param[i], backend, dtype, &one, error);
    if (status) return status;
    if (!vc_add_size(*bytes, one, bytes)) return vc_fail(error, VC_INVALID, "the parameters do not fit into memory");
  }
  return VC_OK;
}

// Room for the entries and the block that a load may add, so that nothing can fail once packing has begun.
static vc_status reserve(vc_parameters *p, int entries, vc_error *error) {
  entry *e = realloc(p->entry, (size_t)(p->entries + entries + 1) * sizeof *e);
  if (e) p->entry = e;
  void **b = realloc(p->block, (size_t)(p->blocks + 1) * sizeof *b);
  if (b) p->block = b;
  return e && b ? VC_OK : vc_fail(error, VC_NO_MEMORY, "no memory for a table of parameters");
}

// A parameter to be packed: where its tensors begin in the list of all, and its place in the block.
typedef struct item {
  const vc_param_info *info;
  const vc_tensor *tensor[VC_STACK_MAX];
  size_t at;
} item;

// What is to be loaded, in the order in which it lies in the file.
typedef struct work {
  item *item;
  int items;
  const vc_tensor **tensor;  // of all items, one after another
  int tensors;
  size_t bytes;  // packed
} work;

static int by_address(const void *a, const void *b) {
  const item *x = a, *y = b;
  uintptr_t p = (uintptr_t)x->tensor[0]->data, q = (uintptr_t)y->tensor[0]->data;
  if (p != q) return p < q ? -1 : 1;
  return (x->at > y->at) - (x->at < y->at);
}

static vc_status list_work(work *w, const vc_parameters *p, const vc_graph *graph, const vc_weights *weights,
                           vc_error *error) {
  int tensors = 0;
  for (int i = 0; i < graph->params; i++) tensors += graph->param[i].stacked;
  w->item = malloc(((size_t)graph->params + 1) * sizeof *w->item);
  w->tensor = malloc(((size_t)tensors + 1) * sizeof(vc_tensor *));
  if (!w->item || !w->tensor) return vc_fail(error, VC_NO_MEMORY, "no memory for a list of parameters");
  for (int i = 0; i < graph->params; i++) {
    item *to = &w->item[w->items];
    size_t one;
    *to = (item){.info = &graph->param[i], .at = w->bytes};
    if (vc_parameters_find(p, to->info)) continue;
    vc_status status = padded_bytes(to->info, p->backend, p->dtype, &one, error);
    if (status) return status;
    if (!vc_add_size(w->bytes, one, &w->bytes))
      return vc_fail(error, VC_INVALID, "%s: the parameters do not fit into memory", weights->name);
    for (int k = 0; k < to->info->stacked; k++) to->tensor[k] = weights->find(weights->source, to->info->key[k]);
    w->items++;
  }
  qsort(w->item, (size_t)w->items, sizeof *w->item, by_address);
  for (int i = 0; i < w->items; i++)
    for (int k = 0; k < w->item[i].info->stacked; k++) w->tensor[w->tensors++] = w->item[i].tensor[k];
  return VC_OK;
}

// `first` is that of the item's tensors in the list of all.
static vc_status pack_one(vc_parameters *p, const item *what, vc_read_ahead *ahead, int first, void *to,
                          vc_error *error) {
  const vc_param_info *info = what->info;
  const vc_weights *weights = ahead->weights;
  vc_pack pack = pack_of(info, p->dtype);
  for (int k = 0; k < info->stacked; k++) {
    vc_read_ahead_wait(ahead, first + k);
    pack.source[k] = *what->tensor[k];
  }
  vc_status status = p->backend->pack(p->device, &pack, to, error);
  for (int k = 0; k < info->stacked && status == VC_FAILED; k++)
    if (!vc_finite(pack.source[k].data, pack.source[k].dtype, vc_tensor_count(&pack.source[k])))
      return vc_fail(error, VC_FAILED, "%s: tensor %s holds a NaN or an infinity; the file is damaged", weights->name,
                     info->key[k]);
  if (status) return vc_fail_in(error, status, "%s: tensor %s", weights->name, info->key[0]);
  for (int k = 0; k < info->stacked && weights->done; k++) weights->done(weights->source, what->tensor[k]);
  return VC_OK;
}

// Packs all into the block, and enters each behind the entries that count.
static vc_status pack_all(vc_parameters *p, const work *w, vc_read_ahead *ahead, char *block,
                          bool (*cancelled)(void *opaque), void *opaque, vc_error *error) {
  vc_status status = VC_OK;
  for (int i = 0, first = 0; i < w->items && !status; i++) {
    const item *what = &w->item[i];
    // A parameter that two nodes share is packed twice at most: sorting makes the first one found from then on.
    if (cancelled && cancelled(opaque)) status = vc_fail(error, VC_INTERRUPTED, "interrupted while loading weights");
    if (!status) status = pack_one(p, what, ahead, first, block + what->at, error);
    p->entry[p->entries + i] = (entry){hash_of(what->info), block + what->at};
    first += what->info->stacked;
  }
  return status;
}

vc_status vc_parameters_load(vc_parameters *p, const vc_graph *graph, const vc_weights *weights,
                             bool (*cancelled)(void *opaque), void *opaque, vc_error *error) {
  work w = {.items = 0};
  void *block = NULL;
  vc_status status = check_all(graph, weights, error);
  if (!status) status = list_work(&w, p, graph, weights, error);
  if (!status && w.items) {
    vc_read_ahead ahead;
    vc_read_ahead_begin(&ahead, weights, w.tensor, w.tensors);  // the disk works while memory is made ready
    status = reserve(p, w.items, error);
    if (!status && (status = p->backend->allocate(p->device, w.bytes, &block, error)))
      status = vc_fail_in(error, status, "parameters of %s", weights->name);
    if (!status) status = pack_all(p, &w, &ahead, block, cancelled, opaque, error);
    vc_read_ahead_end(&ahead);
    if (status) {
      p->backend->release(p->device, block);
    } else {
      p->block[p->blocks++] = block;
      p->entries += w.items;
      p->bytes += w.bytes;
      qsort(p->entry, (size_t)p->entries, sizeof *p->entry, by_hash);
    }
  }
  free(w.item);
  free((void *)w.tensor);
  return status;
}
