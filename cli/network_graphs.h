// Everything that a network may ask of its file: the descriptions of all that is computed with it.
#ifndef VC_CLI_NETWORK_GRAPHS_H
#define VC_CLI_NETWORK_GRAPHS_H

#include "engine/model.h"

enum { VC_NETWORK_GRAPHS = 2 };  // the halves of the autoencoder, the towers of CLIP

typedef struct vc_network_graphs {
  int count;
  vc_graph *graph[VC_NETWORK_GRAPHS];
} vc_network_graphs;

// Describes a network with all conditions that the configuration has. On failure *out is zeroed.
vc_status vc_network_graphs_new(vc_network_graphs *out, vc_network network, const vc_model_config *config,
                                vc_error *error);
void vc_network_graphs_free(vc_network_graphs *graphs);

// Whether one of them asks for this tensor.
bool vc_network_graphs_ask(const vc_network_graphs *graphs, const char *key);

// Numbers of all parameters, each counted once.
double vc_network_graphs_parameters(const vc_network_graphs *graphs);

#endif
