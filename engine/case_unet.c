#include "engine/case_unet.h"

#include <stdlib.h>
#include <string.h>

#include "engine/case_networks.h"
#include "engine/stc.h"

// Tokens [n or 1, l, context_dim]; *out is NULL when there are none of that name.
static vc_status read_tokens(const vc_case *c, const char *name, const vc_unet_case *unet, int64_t tokens,
                             const vc_tensor **out, vc_error *error) {
  const vc_tensor *tensor = vc_case_find(c, name);
  *out = NULL;
  if (!tensor) return VC_OK;
  int64_t n = tensor->rank == 3 && tensor->dim[0] == 1 ? 1 : unet->request.n;
  return vc_case_input(c, name, 3, (int64_t[]){n, tokens, unet->config.context_dim}, out, error);
}

static vc_status read_context(const vc_case *c, vc_unet_case *unet, vc_error *error) {
  vc_unet_request *r = &unet->request;
  vc_status status = read_tokens(c, "y", unet, VC_ANY, &unet->y, error);
  if (!status)
    status = read_tokens(c, "zero_y", unet, unet->y && r->guided ? unet->y->dim[1] : VC_ANY, &unet->zero_y, error);
  if (!status && !unet->zero_y && (r->guided || !unet->y))
    status = vc_fail(error, VC_FAILED, "input/%s is missing", r->guided ? "zero_y" : "y");
  if (!status) status = read_tokens(c, "image", unet, VC_ANY, &unet->image, error);
  if (status) return status;
  r->text_tokens = (unet->y ? unet->y : unet->zero_y)->dim[1];
  r->style_tokens = unet->image ? unet->image->dim[1] : 0;
  return VC_OK;
}

static vc_status read_videos(const vc_case *c, vc_unet_request *r, vc_error *error) {
  for (int i = 0; i < VC_CONDITION_COUNT; i++) {
    const vc_tensor *video = vc_case_find(c, vc_stc_table[i].input);
    if (!video) continue;
    int64_t dim[5] = {VC_ANY, vc_stc_table[i].channels, VC_ANY, VC_ANY, VC_ANY};
    vc_status status = vc_case_input(c, vc_stc_table[i].input, 5, dim, &video, error);
    if (status) return status;
    r->video[i].n = video->dim[0];
    r->video[i].f = video->dim[2];
    r->video[i].h = video->dim[3];
    r->video[i].w = video->dim[4];
    r->video[i].strength = 1;
  }
  return VC_OK;
}

vc_status vc_unet_case_read(const vc_case *c, const struct cJSON *config, int64_t timesteps, bool guided,
                            vc_unet_case *out, vc_error *error) {
  *out = (vc_unet_case){.request = {.guided = guided}};
  vc_status status = vc_unet_config_parse(&out->config, config, error);
  int64_t dim[5] = {VC_ANY, out->config.in_dim, VC_ANY, VC_ANY, VC_ANY};
  if (!status) status = vc_case_input(c, "x", 5, dim, &out->x, error);
  if (status) return status;
  vc_unet_request *r = &out->request;
  r->n = out->x->dim[0];
  r->f = out->x->dim[2];
  r->h = out->x->dim[3];
  r->w = out->x->dim[4];
  r->timesteps = timesteps;
  status = read_context(c, out, error);
  if (!status) status = read_videos(c, r, error);
  return status ? status : vc_unet_request_check(&out->config, r, error);
}

// Writes the tokens of n videos; one video's stand for all, and none are zeros.
static void fill_tokens(float *to, const vc_tensor *tokens, int64_t n, size_t per_video) {
  for (int64_t i = 0; i < n; i++) {
    size_t from = tokens && tokens->dim[0] > 1 ? (size_t)i * per_video : 0;
    if (tokens)
      vc_to_float(to + (size_t)i * per_video, (const char *)tokens->data + from * vc_dtype_size(tokens->dtype),
                  tokens->dtype, per_video);
    else
      memset(to + (size_t)i * per_video, 0, per_video * sizeof *to);
  }
}

static vc_status set_tokens(vc_case_graph *graph, const vc_unet_request *r, const char *name, const vc_tensor *cond,
                            const vc_tensor *uncond, size_t per_video, vc_error *error) {
  float *data = calloc((size_t)r->n * 2 * per_video, sizeof *data);
  if (!data) return vc_fail(error, VC_NO_MEMORY, "no memory for tokens");
  fill_tokens(data, cond, r->n, per_video);
  if (r->guided) fill_tokens(data + (size_t)r->n * per_video, uncond, r->n, per_video);
  vc_status status = vc_case_graph_set(graph, name, data, error);
  free(data);
  return status;
}

vc_status vc_unet_case_set(vc_case_graph *graph, const vc_unet_case *unet, vc_error *error) {
  const vc_unet_request *r = &unet->request;
  size_t width = (size_t)unet->config.context_dim;
  vc_status status = vc_case_graph_set_inputs(graph, error);
  if (!status)
    status = set_tokens(graph, r, "y", unet->y ? unet->y : unet->zero_y, unet->zero_y, (size_t)r->text_tokens * width,
                        error);
  if (!status && unet->image)
    status = set_tokens(graph, r, "image", unet->image, NULL, (size_t)r->style_tokens * width, error);
  return status;
}

vc_status vc_case_unet(vc_case *c, vc_error *error) {
  vc_unet_case unet;
  vc_case_graph run;
  vc_graph *graph = NULL;
  const vc_tensor *t = vc_case_find(c, "t"), *x = vc_case_find(c, "x");
  bool shared = t && t->rank == 1 && t->dim[0] == 1;
  vc_status status = vc_case_input(c, "t", 1, (int64_t[]){shared || !x || !x->rank ? VC_ANY : x->dim[0]}, &t, error);
  if (!status) status = vc_unet_case_read(c, c->config, t->dim[0], false, &unet, error);
  if (!status) status = vc_graph_new(&graph, 1, error);
  if (status) return status;
  vc_case_output out = {"output/out", vc_unet_describe(graph, &unet.config, &unet.request), VC_CASE_VIDEO};
  status = vc_case_graph_open(&run, c, graph, &out, 1, error);
  if (status) return status;
  status = vc_unet_case_set(&run, &unet, error);
  if (!status) status = vc_plan_run_prologue(run.plan, error);
  if (!status) status = vc_plan_run_step(run.plan, 0, error);
  if (!status) status = vc_case_graph_take(&run, &out, error);
  if (!status) status = vc_case_graph_take_traces(&run, error);
  vc_case_graph_close(&run);
  return status;
}
