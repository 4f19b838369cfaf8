// Cases of the UNet's layers, one by one.
#include <string.h>

#include "engine/blocks.h"
#include "engine/case_graph.h"
#include "engine/case_networks.h"
#include "engine/config.h"
#include "engine/stc.h"
#include "engine/unet.h"

#define COUNT(a) ((int)(sizeof(a) / sizeof *(a)))

// The arguments of all layers; each case has some of them.
typedef struct block_config {
  int64_t dim, emb_dim, out_dim, heads, head_dim, context_dim, groups, concat_dim, stc_size[2];
  double eps;
  bool over_frames;
  char condition[32];
} block_config;

#define FIELD(field) \
  { .name = #field, .at = offsetof(block_config, field), .least = 1, .most = VC_MAX_CHANNELS, .required = true }
#define GROUPS \
  { .name = "groups", .at = offsetof(block_config, groups), .least = 1, .most = VC_MAX_CHANNELS }

static vc_status read_config(const vc_case *c, const vc_json_field *fields, int count, block_config *out,
                             vc_error *error) {
  *out = (block_config){.groups = 32, .eps = 1e-5, .concat_dim = 8, .stc_size = {128, 128}};
  return vc_case_config(c, fields, count, out, error);
}

static vc_status divides(int64_t groups, const char *name, int64_t channels, vc_error *error) {
  if (channels % groups == 0) return VC_OK;
  return vc_fail(error, VC_FAILED, "config: groups is %lld, and must divide %s, %lld", (long long)groups, name,
                 (long long)channels);
}

static vc_status width_fits(const block_config *config, vc_error *error) {
  if (config->heads * config->head_dim <= VC_MAX_CHANNELS) return VC_OK;
  return vc_fail(error, VC_FAILED, "config: heads %lld times head_dim %lld is more than %d channels",
                 (long long)config->heads, (long long)config->head_dim, (int)VC_MAX_CHANNELS);
}

// A graph with the input "x" {n f h w c} of the case.
static vc_status begin(const vc_case *c, int64_t channels, vc_graph **graph, vc_value *x, vc_error *error) {
  const vc_tensor *tensor;
  *graph = NULL;
  vc_status status = vc_case_input(c, "x", 5, (int64_t[]){VC_ANY, channels, VC_ANY, VC_ANY, VC_ANY}, &tensor, error);
  if (!status) status = vc_graph_new(graph, 1, error);
  if (status) return status;
  vc_shape shape = {tensor->dim[0], tensor->dim[2], tensor->dim[3], tensor->dim[4], tensor->dim[1]};
  *x = vc_graph_input(*graph, "x", shape, VC_ELEMENT_ACTIVATION, VC_RATE_STEP);
  return VC_OK;
}

static vc_status finish(vc_case *c, vc_graph *graph, vc_value out, vc_error *error) {
  return vc_case_evaluate(c, graph, &(vc_case_output){"output/out", out, VC_CASE_VIDEO}, 1, error);
}

vc_status vc_case_resblock(vc_case *c, vc_error *error) {
  static const vc_json_field fields[] = {FIELD(dim), FIELD(emb_dim), FIELD(out_dim), GROUPS};
  block_config config;
  vc_graph *g;
  vc_value x;
  const vc_tensor *emb;
  vc_status status = read_config(c, fields, COUNT(fields), &config, error);
  if (!status) status = divides(config.groups, "dim", config.dim, error);
  if (!status) status = divides(config.groups, "out_dim", config.out_dim, error);
  if (!status) status = begin(c, config.dim, &g, &x, error);
  if (status) return status;
  vc_shape s = vc_graph_shape(g, x);
  status = vc_case_input(c, "emb", 2, (int64_t[]){s.n, config.emb_dim}, &emb, error);
  if (status) {
    vc_graph_free(g);
    return status;
  }
  vc_value e = vc_graph_input(g, "emb", (vc_shape){s.n, 1, 1, 1, config.emb_dim}, VC_ELEMENT_ACTIVATION, VC_RATE_VIDEO);
  vc_res_spec spec = {
      .module = "", .c_out = config.out_dim, .groups = config.groups, .emb = vc_graph_activation(g, e, VC_ACT_SILU)};
  return finish(c, g, vc_block_res(g, x, &spec), error);
}

vc_status vc_case_spatial_transformer(vc_case *c, vc_error *error) {
  static const vc_json_field fields[] = {FIELD(dim), FIELD(heads), FIELD(head_dim), FIELD(context_dim), GROUPS};
  block_config config;
  vc_graph *g;
  vc_value x;
  const vc_tensor *context;
  vc_status status = read_config(c, fields, COUNT(fields), &config, error);
  if (!status) status = divides(config.groups, "dim", config.dim, error);
  if (!status) status = width_fits(&config, error);
  if (!status) status = begin(c, config.dim, &g, &x, error);
  if (status) return status;
  vc_shape s = vc_graph_shape(g, x);
  status = vc_case_input(c, "context", 3, (int64_t[]){s.n, VC_ANY, config.context_dim}, &context, error);
  if (status) {
    vc_graph_free(g);
    return status;
  }
  vc_transformer_spec spec = {
      .module = "", .heads = config.heads, .head_dim = config.head_dim, .groups = config.groups};
  spec.context = vc_graph_input(g, "context", (vc_shape){s.n, 1, 1, context->dim[1], config.context_dim},
                                VC_ELEMENT_ACTIVATION, VC_RATE_VIDEO);
  return finish(c, g, vc_block_spatial_transformer(g, x, &spec), error);
}

vc_status vc_case_temporal_transformer(vc_case *c, vc_error *error) {
  static const vc_json_field fields[] = {FIELD(dim), FIELD(heads), FIELD(head_dim), GROUPS};
  block_config config;
  vc_graph *g;
  vc_value x;
  vc_status status = read_config(c, fields, COUNT(fields), &config, error);
  if (!status) status = divides(config.groups, "dim", config.dim, error);
  if (!status) status = width_fits(&config, error);
  if (!status) status = begin(c, config.dim, &g, &x, error);
  if (status) return status;
  vc_transformer_spec spec = {
      .module = "", .heads = config.heads, .head_dim = config.head_dim, .groups = config.groups, .context = VC_NONE};
  return finish(c, g, vc_block_temporal_transformer(g, x, &spec), error);
}

vc_status vc_case_temporal_conv(vc_case *c, vc_error *error) {
  static const vc_json_field fields[] = {FIELD(dim), GROUPS};
  block_config config;
  vc_graph *g;
  vc_value x;
  vc_status status = read_config(c, fields, COUNT(fields), &config, error);
  if (!status) status = divides(config.groups, "dim", config.dim, error);
  if (!status) status = begin(c, config.dim, &g, &x, error);
  return status ? status : finish(c, g, vc_block_temporal_conv(g, x, "", config.groups), error);
}

vc_status vc_case_downsample(vc_case *c, vc_error *error) {
  static const vc_json_field fields[] = {FIELD(dim)};
  block_config config;
  vc_graph *g;
  vc_value x;
  vc_status status = read_config(c, fields, COUNT(fields), &config, error);
  if (!status) status = begin(c, config.dim, &g, &x, error);
  return status ? status : finish(c, g, vc_block_downsample(g, x, ""), error);
}

vc_status vc_case_upsample(vc_case *c, vc_error *error) {
  static const vc_json_field fields[] = {FIELD(dim)};
  block_config config;
  vc_graph *g;
  vc_value x;
  vc_status status = read_config(c, fields, COUNT(fields), &config, error);
  if (!status) status = begin(c, config.dim, &g, &x, error);
  return status ? status : finish(c, g, vc_block_upsample(g, x, ""), error);
}

vc_status vc_case_group_norm(vc_case *c, vc_error *error) {
  static const vc_json_field fields[] = {
      FIELD(dim),
      FIELD(groups),
      {.name = "eps", .kind = VC_JSON_REAL, .at = offsetof(block_config, eps), .most = 1, .required = true},
      {.name = "over_frames", .kind = VC_JSON_BOOL, .at = offsetof(block_config, over_frames), .required = true},
  };
  block_config config;
  vc_graph *g;
  vc_value x;
  vc_status status = read_config(c, fields, COUNT(fields), &config, error);
  if (!status) status = divides(config.groups, "dim", config.dim, error);
  if (!status) status = begin(c, config.dim, &g, &x, error);
  if (status) return status;
  return finish(c, g, vc_graph_group_norm(g, x, "", config.groups, (float)config.eps, config.over_frames), error);
}

vc_status vc_case_time_embed(vc_case *c, vc_error *error) {
  static const vc_json_field fields[] = {FIELD(dim)};
  block_config config;
  const vc_tensor *t;
  vc_graph *g;
  vc_status status = read_config(c, fields, COUNT(fields), &config, error);
  if (!status && config.dim % 2)
    status = vc_fail(error, VC_FAILED, "config: dim is %lld, and must be even", (long long)config.dim);
  if (!status) status = vc_case_input(c, "t", 1, (int64_t[]){VC_ANY}, &t, error);
  if (!status) status = vc_graph_new(&g, 1, error);
  if (status) return status;
  vc_value in = vc_graph_input(g, "t", (vc_shape){t->dim[0], 1, 1, 1, 1}, VC_ELEMENT_F32, VC_RATE_STEP);
  vc_value out = vc_unet_time_embed(g, in, config.dim);
  vc_case_output outputs[2] = {{"output/out", out, VC_CASE_VECTOR},
                               {"output/sinusoid", vc_graph_find(g, "sinusoid"), VC_CASE_VECTOR}};
  return vc_case_evaluate(c, g, outputs, 2, error);
}

vc_status vc_case_stc(vc_case *c, vc_error *error) {
  static const vc_json_field fields[] = {
      {.name = "condition",
       .kind = VC_JSON_TEXT,
       .at = offsetof(block_config, condition),
       .capacity = sizeof(((block_config *)0)->condition),
       .required = true},
      {.name = "concat_dim", .at = offsetof(block_config, concat_dim), .least = 1, .most = 1024, .required = true},
      {.name = "stc_size",
       .at = offsetof(block_config, stc_size),
       .capacity = 2,
       .least = 1,
       .most = 4096,
       .required = true},
  };
  block_config config;
  vc_graph *g;
  vc_value x;
  int which = 0;
  vc_status status = read_config(c, fields, COUNT(fields), &config, error);
  if (status) return status;
  while (which < VC_CONDITION_COUNT && strcmp(config.condition, vc_stc_table[which].condition) != 0) which++;
  if (which == VC_CONDITION_COUNT)
    return vc_fail(error, VC_FAILED, "config: condition is \"%s\", and there is no such encoder", config.condition);
  status = begin(c, vc_stc_table[which].channels, &g, &x, error);
  if (status) return status;
  return finish(c, g, vc_stc_encoder(g, x, (vc_condition)which, config.concat_dim, config.stc_size), error);
}
