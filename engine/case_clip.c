// Cases of CLIP's towers.
#include <stdlib.h>
#include <string.h>

#include "engine/case_graph.h"
#include "engine/case_networks.h"
#include "engine/clip.h"

// Ids of the tokens, checked, and for each text the position of its highest id: the end token.
static vc_status check_tokens(const vc_tensor *tokens, int64_t vocab, int64_t *end, vc_error *error) {
  int64_t length = tokens->dim[1];
  for (int64_t i = 0; i < tokens->dim[0]; i++) {
    double highest = -1;
    for (int64_t k = 0; k < length; k++) {
      double id;
      size_t at = (size_t)(i * length + k);
      vc_to_double(&id, (const char *)tokens->data + at * vc_dtype_size(tokens->dtype), tokens->dtype, 1);
      if (!(id >= 0 && id < (double)vocab) || id != (double)(int64_t)id)
        return vc_fail(error, VC_FAILED, "input/tokens holds %.10g at [%lld, %lld], and ids must be below vocab %lld",
                       id, (long long)i, (long long)k, (long long)vocab);
      if (id > highest) {
        highest = id;
        end[i] = k;
      }
    }
  }
  return VC_OK;
}

// Of a result [n, tokens, c], the token `at[i]` of each i, as a result of its own.
static vc_status pick_tokens(vc_case *c, const char *name, const float *all, const int64_t dim[3], const int64_t *at,
                             vc_error *error) {
  float *to;
  vc_status status = vc_case_new_result(c, name, 2, (int64_t[]){dim[0], dim[2]}, &to, error);
  for (int64_t i = 0; i < dim[0] && !status; i++)
    memcpy(to + i * dim[2], all + (i * dim[1] + (at ? at[i] : 0)) * dim[2], (size_t)dim[2] * sizeof *to);
  return status;
}

vc_status vc_case_clip_text(vc_case *c, vc_error *error) {
  vc_clip_config config;
  const vc_tensor *tokens;
  vc_graph *graph = NULL;
  int64_t *end = NULL;
  vc_status status = vc_clip_config_parse(&config, c->config, error);
  if (!status) status = vc_case_input(c, "tokens", 2, (int64_t[]){VC_ANY, config.text.context}, &tokens, error);
  if (status) return status;
  int64_t n = tokens->dim[0];
  if (!(end = calloc((size_t)n, sizeof *end)))
    return vc_fail(error, VC_NO_MEMORY, "no memory for %lld texts", (long long)n);
  status = check_tokens(tokens, config.text.vocab, end, error);
  if (!status) status = vc_graph_new(&graph, 1, error);
  if (status) goto done;
  vc_value in =
      vc_graph_input(graph, "tokens", (vc_shape){n, 1, 1, config.text.context, 1}, VC_ELEMENT_I32, VC_RATE_STEP);
  vc_case_output out[2] = {{"output/hidden", VC_NONE, VC_CASE_TOKENS}, {"output/every_token", VC_NONE, VC_CASE_TOKENS}};
  vc_clip_text_both(graph, in, &config, &out[0].value, &out[1].value);
  int first = c->results;
  status = vc_case_evaluate(c, graph, out, 2, error);
  if (!status) {
    const vc_tensor all = c->result[first + 1].tensor;  // a copy: the list of results grows
    status = pick_tokens(c, "output/pooled", all.data, all.dim, end, error);
  }
done:
  free(end);
  return status;
}

vc_status vc_case_clip_image(vc_case *c, vc_error *error) {
  vc_clip_config config;
  const vc_tensor *pixels;
  vc_graph *graph = NULL;
  vc_status status = vc_clip_config_parse(&config, c->config, error);
  int64_t size = status ? 0 : config.image.size;
  if (!status) status = vc_case_input(c, "pixels", 4, (int64_t[]){VC_ANY, 3, size, size}, &pixels, error);
  if (!status) status = vc_graph_new(&graph, 1, error);
  if (status) return status;
  vc_value in = vc_graph_input(graph, "pixels", (vc_shape){pixels->dim[0], 1, size, size, 3}, VC_ELEMENT_ACTIVATION,
                               VC_RATE_STEP);
  vc_case_output out = {"output/every_token", vc_clip_image(graph, in, &config), VC_CASE_TOKENS};
  int first = c->results;
  status = vc_case_evaluate(c, graph, &out, 1, error);
  if (status) return status;
  const vc_tensor all = c->result[first].tensor;
  return pick_tokens(c, "output/features", all.data, all.dim, NULL, error);
}
