#include "cli/network_graphs.h"

#include <string.h>

#include "cli/plan_network.h"

static const struct {
  int count;
  vc_plan_network network[VC_NETWORK_GRAPHS];
} parts[VC_NETWORK_COUNT] = {
    [VC_NETWORK_UNET] = {1, {VC_PLAN_UNET}},
    [VC_NETWORK_VAE] = {2, {VC_PLAN_VAE_DECODER, VC_PLAN_VAE_ENCODER}},
    [VC_NETWORK_CLIP] = {2, {VC_PLAN_CLIP_TEXT, VC_PLAN_CLIP_IMAGE}},
    [VC_NETWORK_MIDAS] = {1, {VC_PLAN_MIDAS}},
    [VC_NETWORK_PIDINET] = {1, {VC_PLAN_PIDINET}},
    [VC_NETWORK_SKETCH_SIMPLIFICATION] = {1, {VC_PLAN_SIMPLIFICATION}},
};

vc_status vc_network_graphs_new(vc_network_graphs *out, vc_network network, const vc_model_config *c, vc_error *error) {
  // What is asked for does not depend on the size, which must be one that the network takes.
  int64_t multiple = c->latent_scale << (c->unet.levels - 1);
  int64_t height = (c->height + multiple - 1) / multiple * multiple,
          width = (c->width + multiple - 1) / multiple * multiple;
  vc_plan_shape shape = {
      .videos = 1, .frames = c->frames, .height = height, .width = width, .steps = 1, .guided = true};
  *out = (vc_network_graphs){.count = 0};
  vc_status status = vc_plan_conditions("all", c, &shape, error);
  for (int i = 0; i < parts[network].count && !status; i++) {
    status = vc_plan_describe(&out->graph[i], parts[network].network[i], c, &shape, error);
    out->count += !status;
  }
  if (status) vc_network_graphs_free(out);
  return status;
}

void vc_network_graphs_free(vc_network_graphs *graphs) {
  for (int i = 0; i < graphs->count; i++) vc_graph_free(graphs->graph[i]);
  *graphs = (vc_network_graphs){.count = 0};
}

bool vc_network_graphs_ask(const vc_network_graphs *graphs, const char *key) {
  for (int n = 0; n < graphs->count; n++)
    for (int i = 0; i < graphs->graph[n]->params; i++) {
      const vc_param_info *p = &graphs->graph[n]->param[i];
      for (int k = 0; k < p->stacked; k++)
        if (!strcmp(p->key[k], key)) return true;
    }
  return false;
}

// Whether a parameter stands in an earlier place too: parts of a network may share it.
static bool seen_before(const vc_network_graphs *graphs, int graph, int param) {
  const char *key = graphs->graph[graph]->param[param].key[0];
  for (int n = 0; n <= graph; n++)
    for (int i = 0; i < (n < graph ? graphs->graph[n]->params : param); i++)
      if (!strcmp(graphs->graph[n]->param[i].key[0], key)) return true;
  return false;
}

double vc_network_graphs_parameters(const vc_network_graphs *graphs) {
  double sum = 0;
  for (int n = 0; n < graphs->count; n++)
    for (int i = 0; i < graphs->graph[n]->params; i++) {
      const vc_param_info *p = &graphs->graph[n]->param[i];
      double kernel = p->layout == VC_LAYOUT_CONV ? (double)(p->kernel[0] * p->kernel[1] * p->kernel[2]) : 1;
      if (!seen_before(graphs, n, i)) sum += (double)(p->rows * p->columns) * kernel;
    }
  return sum;
}
