#include "bench/random_model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/network_graphs.h"
#include "engine/clip.h"
#include "engine/philox.h"
#include "loaders/checkpoint_write.h"

enum { CAPACITY = 16384 };

typedef struct tensors {
  vc_named_tensor *item;
  vc_param_info *info;
  int count;
} tensors;

typedef struct writer {
  const tensors *list;
  const vc_random_model *options;
  float *values;
  void *raw;
} writer;

static bool knows(const tensors *list, const char *name) {
  for (int i = 0; i < list->count; i++)
    if (!strcmp(list->item[i].name, name)) return true;
  return false;
}

// In the released file of PiDiNet all kernels are 3x3; those that are described as 5x5 become so when they are folded.
static void unfold(vc_tensor *t) {
  for (int i = 2; i < t->rank; i++)
    if (t->dim[i] == 5) t->dim[i] = 3;
}

static vc_status add_graph(tensors *list, const vc_graph *graph, const vc_random_model *o, vc_network network,
                           vc_error *error) {
  for (int i = 0; i < graph->params; i++)
    for (int k = 0; k < graph->param[i].stacked; k++) {
      char name[512];
      snprintf(name, sizeof name, "%s%s", o->released ? vc_network_released_prefix(network) : "",
               graph->param[i].key[k]);
      if (knows(list, name)) continue;
      if (list->count == CAPACITY) return vc_fail(error, VC_FAILED, "more tensors than a model has");
      vc_named_tensor *t = &list->item[list->count];
      t->name = strdup(name);
      if (!t->name) return vc_fail(error, VC_NO_MEMORY, "no memory for a tensor's name");
      t->tensor = (vc_tensor){.dtype = o->dtype};
      t->tensor.rank = vc_param_file_shape(&graph->param[i], k, t->tensor.dim);
      if (o->released && network == VC_NETWORK_PIDINET) unfold(&t->tensor);
      list->info[list->count++] = graph->param[i];  // its texts belong to the graph
    }
  return VC_OK;
}

// MiDaS keeps its embeddings with leading ones, which the engine does not ask for.
static void add_leading_ones(tensors *list) {
  for (int i = 0; i < list->count; i++) {
    vc_tensor *t = &list->item[i].tensor;
    if (!strcmp(list->item[i].name, "pos_embedding"))
      *t = (vc_tensor){.dtype = t->dtype, .rank = 3, .dim = {1, t->dim[0], t->dim[1]}};
    if (!strcmp(list->item[i].name, "cls_embedding"))
      *t = (vc_tensor){.dtype = t->dtype, .rank = 3, .dim = {1, 1, t->dim[0]}};
  }
}

// CLIP's last text block and its projection are in the file, though only metrics ask for them.
static vc_status add_text_features(tensors *list, const vc_random_model *o, vc_error *error) {
  vc_graph *graph;
  vc_status status = vc_graph_new(&graph, 1, error);
  if (status) return status;
  vc_shape shape = {1, 1, 1, o->config->clip.text.context, 1};
  vc_value tokens = vc_graph_input(graph, "tokens", shape, VC_ELEMENT_I32, VC_RATE_STEP);
  vc_clip_text_features(graph, tokens, &o->config->clip);
  status = vc_graph_check(graph, error);
  if (!status) status = add_graph(list, graph, o, VC_NETWORK_CLIP, error);
  vc_graph_free(graph);
  return status;
}

// What one tensor holds, by its kind.
static void fill(const vc_param_info *info, const vc_named_tensor *t, uint64_t seed, uint64_t stream, float *values,
                 size_t count) {
  if (t->tensor.rank == 1 && info->layout == VC_LAYOUT_VECTOR) {
    size_t length = strlen(t->name);
    float value = length > 6 && !strcmp(t->name + length - 6, "weight") ? 1.0F : 0.0F;
    for (size_t i = 0; i < count; i++) values[i] = value;
    return;
  }
  vc_philox_normal(seed, stream, 0, values, count);
  double inputs = (double)info->columns;
  for (int i = 0; i < 3; i++)
    if (info->layout == VC_LAYOUT_CONV) inputs *= (double)info->kernel[i];
  float scale = info->layout == VC_LAYOUT_LINEAR || info->layout == VC_LAYOUT_CONV ? (float)(1 / sqrt(inputs)) : 0.02F;
  for (size_t i = 0; i < count; i++) values[i] *= scale;
}

static vc_status provide(void *opaque, int index, const void **data, vc_error *error) {
  writer *w = opaque;
  const vc_named_tensor *t = &w->list->item[index];
  size_t count = vc_tensor_count(&t->tensor);
  if (w->options->cancelled && w->options->cancelled()) return vc_fail(error, VC_INTERRUPTED, "interrupted");
  fill(&w->list->info[index], t, w->options->seed, (uint64_t)index, w->values, count);
  vc_from_float(w->raw, t->tensor.dtype, w->values, count);
  *data = w->raw;
  return VC_OK;
}

static vc_status write_file(const char *path, const tensors *list, const vc_random_model *o, const char *outer,
                            vc_error *error) {
  size_t largest = 1;
  for (int i = 0; i < list->count; i++) {
    size_t count = vc_tensor_count(&list->item[i].tensor);
    if (count > largest) largest = count;
  }
  writer w = {list, o, malloc(largest * sizeof(float)), malloc(largest * sizeof(float))};
  vc_metadata_entry note = {(char *)(uintptr_t) "note", (char *)(uintptr_t) "random weights, for measuring"};
  vc_status status = w.values && w.raw ? VC_OK : vc_fail(error, VC_NO_MEMORY, "no memory for random weights");
  if (!status && o->released)
    status = vc_checkpoint_write_streaming(path, outer, list->item, list->count, provide, &w, error);
  else if (!status)
    status = vc_safetensors_write_streaming(path, list->item, list->count, &note, 1, provide, &w, error);
  free(w.values);
  free(w.raw);
  return status;
}

static vc_status write_network(const char *folder, vc_network network, const vc_random_model *o, vc_error *error) {
  vc_network_graphs graphs = {.count = 0};
  tensors list = {calloc(CAPACITY, sizeof *list.item), calloc(CAPACITY, sizeof *list.info), 0};
  bool outer = network == VC_NETWORK_VAE || network == VC_NETWORK_PIDINET;
  char path[4096];
  vc_status status = list.item && list.info ? VC_OK : vc_fail(error, VC_NO_MEMORY, "no memory for a list of tensors");
  if (!status) status = vc_network_graphs_new(&graphs, network, o->config, error);
  for (int i = 0; i < graphs.count && !status; i++) status = add_graph(&list, graphs.graph[i], o, network, error);
  if (!status && network == VC_NETWORK_CLIP) status = add_text_features(&list, o, error);
  if (network == VC_NETWORK_MIDAS) add_leading_ones(&list);
  snprintf(path, sizeof path, "%s/%s", folder, vc_network_file(network, o->released));
  if (!status) status = write_file(path, &list, o, outer ? "state_dict" : NULL, error);
  for (int i = 0; i < list.count; i++) free(list.item[i].name);
  free(list.item);
  free(list.info);
  vc_network_graphs_free(&graphs);
  return status;
}

vc_status vc_random_model_write(const char *folder, const vc_random_model *options, vc_error *error) {
  vc_status status = VC_OK;
  for (int n = 0; n < VC_NETWORK_COUNT && !status; n++)
    if (options->network[n]) status = write_network(folder, (vc_network)n, options, error);
  return status;
}
