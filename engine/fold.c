#include "engine/fold.h"

#include <stdbool.h>

static bool reads(const vc_node *node, vc_value v) {
  for (int i = 0; i < node->inputs; i++)
    if (node->in[i] == v) return true;
  return node->addend == v || node->residual == v;
}

// Nodes that read v. Kept values count as read once more.
static int readers(const vc_graph *g, vc_value v) {
  int count = g->value[v].kept ? 1 : 0;
  for (int i = 0; i < g->nodes; i++) count += !g->node[i].dead && reads(&g->node[i], v);
  return count;
}

// The live node that computes v when node `reader` alone reads it, else NULL.
static vc_node *sole_producer(vc_graph *g, vc_value v) {
  int p = g->value[v].producer;
  if (p == VC_NONE || g->node[p].dead || readers(g, v) != 1 || g->value[v].kept) return NULL;
  return &g->node[p];
}

static bool is_product(const vc_node *node) {
  return node->kind == VC_NODE_LINEAR || node->kind == VC_NODE_CONV;
}

// The folded node's output takes over: `producer` now writes what `node` wrote.
static void take_over(vc_graph *g, vc_node *producer, vc_node *node) {
  producer->out = node->out;
  g->value[node->out].producer = (int)(producer - g->node);
  node->dead = true;
}

static void fold_activation(vc_graph *g, vc_node *node, vc_fold_counts *counts) {
  vc_node *p = sole_producer(g, node->in[0]);
  if (!p || p->activation != VC_ACT_NONE || p->residual != VC_NONE) return;
  bool conv = p->kind == VC_NODE_CONV || p->kind == VC_NODE_CONV_TRANSPOSE;
  bool fits = p->kind == VC_NODE_LINEAR || (conv && node->activation != VC_ACT_GEGLU) ||
              (p->kind == VC_NODE_GROUP_NORM && node->activation == VC_ACT_SILU);
  // A GEGLU reads its addend and bias before halving; with an addend the two would not line up.
  if (!fits || (node->activation == VC_ACT_GEGLU && p->addend != VC_NONE)) return;
  p->activation = node->activation;
  take_over(g, p, node);
  counts->activations++;
}

// True when v is there before node `at` runs: a value made by an earlier node, an input or a parameter.
static bool known_before(const vc_graph *g, vc_value v, int at) {
  return g->value[v].producer < at;  // VC_NONE is below every node
}

static bool same_shape(vc_shape a, vc_shape b) {
  return a.n == b.n && a.f == b.f && a.h == b.h && a.w == b.w && a.c == b.c;
}

static void fold_residual(vc_graph *g, vc_node *node, vc_fold_counts *counts) {
  if (node->inputs != 2 || node->scale[0] != 1 || node->scale[1] != 1 || node->in[0] == node->in[1]) return;
  for (int i = 0; i < 2; i++) {
    vc_value other = node->in[1 - i];
    vc_node *p = sole_producer(g, node->in[i]);
    if (!p || !is_product(p) || p->residual != VC_NONE || !known_before(g, other, (int)(p - g->node))) continue;
    if (!same_shape(g->value[other].shape, g->value[node->out].shape) ||
        g->value[other].element != VC_ELEMENT_ACTIVATION || g->value[p->out].rate != g->value[node->out].rate)
      continue;
    p->residual = other;
    take_over(g, p, node);
    counts->residuals++;
    return;
  }
}

static bool reads_two(const vc_node *node) {
  return node->inputs == 1 && (node->kind == VC_NODE_LINEAR || node->kind == VC_NODE_GROUP_NORM ||
                               (node->kind == VC_NODE_CONV && node->conv.groups == 1));
}

static void fold_concat(vc_graph *g, vc_node *node, vc_fold_counts *counts) {
  if (g->value[node->out].kept) return;
  for (int i = 0; i < g->nodes; i++) {
    const vc_node *r = &g->node[i];
    if (r->dead || !reads(r, node->out)) continue;
    if (!reads_two(r) || r->residual == node->out || r->addend == node->out) return;
  }
  for (int i = 0; i < g->nodes; i++) {
    vc_node *r = &g->node[i];
    if (r->dead || !reads(r, node->out)) continue;
    r->in[0] = node->in[0];
    r->in[1] = node->in[1];
    r->inputs = 2;
  }
  node->dead = true;
  counts->concatenations++;
}

void vc_fold(vc_graph *g, vc_fold_counts *counts) {
  *counts = (vc_fold_counts){0};
  for (int i = 0; i < g->nodes; i++) {
    vc_node *node = &g->node[i];
    if (node->dead) continue;
    if (node->kind == VC_NODE_ACTIVATION) fold_activation(g, node, counts);
    if (node->kind == VC_NODE_SUM) fold_residual(g, node, counts);
    if (node->kind == VC_NODE_CONCAT) fold_concat(g, node, counts);
  }
}
