// Cases of the autoencoder.
#include <stdlib.h>

#include "engine/case_graph.h"
#include "engine/case_networks.h"
#include "engine/vae.h"

// mean, logvar and latent of moments [n, 2 c, h, w], with noise from the case.
static vc_status posterior_results(vc_case *c, const float *moments, const int64_t dim[4], double scale,
                                   vc_error *error) {
  static const char *const names[3] = {"output/mean", "output/logvar", "output/latent"};
  int64_t half[4] = {dim[0], dim[1] / 2, dim[2], dim[3]}, rows = dim[2] * dim[3], pixels = dim[0] * rows;
  size_t count = (size_t)(pixels * half[1]);
  const vc_tensor *noise;
  float *last = NULL, *z = NULL, *to;
  float *part[3] = {NULL};
  vc_status status = vc_case_input(c, "noise", 4, half, &noise, error);
  if (!status) status = vc_case_floats(noise, true, &z, error);
  if (status) goto done;
  last = malloc(2 * count * sizeof *last);
  for (int i = 0; i < 3; i++) part[i] = malloc(count * sizeof *part[i]);
  if (!last || !part[0] || !part[1] || !part[2]) {
    status = vc_fail(error, VC_NO_MEMORY, "no memory for a posterior");
    goto done;
  }
  vc_channels_last(last, moments, dim[0], rows, dim[1]);
  vc_vae_posterior(last, z, pixels, half[1], scale, part[0], part[1], part[2]);
  for (int i = 0; i < 3 && !status; i++) {
    status = vc_case_new_result(c, names[i], 4, half, &to, error);
    if (!status) vc_channels_first(to, part[i], dim[0], rows, half[1]);
  }
done:
  for (int i = 0; i < 3; i++) free(part[i]);
  free(last);
  free(z);
  return status;
}

static vc_status begin(const vc_case *c, const char *name, int64_t channels, vc_graph **graph, vc_value *x,
                       vc_error *error) {
  const vc_tensor *image;
  vc_status status = vc_case_input(c, name, 4, (int64_t[]){VC_ANY, channels, VC_ANY, VC_ANY}, &image, error);
  if (!status) status = vc_graph_new(graph, 1, error);
  if (status) return status;
  vc_shape shape = {image->dim[0], 1, image->dim[2], image->dim[3], channels};
  *x = vc_graph_input(*graph, name, shape, VC_ELEMENT_ACTIVATION, VC_RATE_STEP);
  return VC_OK;
}

vc_status vc_case_vae_encoder(vc_case *c, vc_error *error) {
  vc_vae_config config;
  vc_graph *graph = NULL;
  vc_value x;
  vc_status status = vc_vae_config_parse(&config, c->config, error);
  if (!status) status = begin(c, "image", config.in_channels, &graph, &x, error);
  if (status) return status;
  vc_shape s = vc_graph_shape(graph, x);
  int64_t scale = vc_vae_scale(&config);
  if (s.h < scale || s.w < scale) {
    vc_graph_free(graph);
    return vc_fail(error, VC_FAILED, "input/image is %lld x %lld, and its sides must be at least %lld", (long long)s.h,
                   (long long)s.w, (long long)scale);
  }
  int first = c->results;
  vc_case_output out = {"output/moments", vc_vae_encoder(graph, x, &config), VC_CASE_IMAGE};
  status = vc_case_evaluate(c, graph, &out, 1, error);
  if (status) return status;
  const vc_tensor moments = c->result[first].tensor;  // a copy: the list of results grows
  return posterior_results(c, moments.data, moments.dim, config.scale_factor, error);
}

vc_status vc_case_vae_decoder(vc_case *c, vc_error *error) {
  vc_vae_config config;
  vc_graph *graph = NULL;
  vc_value x;
  vc_status status = vc_vae_config_parse(&config, c->config, error);
  if (!status) status = begin(c, "latent", config.embed_dim, &graph, &x, error);
  if (status) return status;
  vc_case_output out = {"output/image", vc_vae_decoder(graph, x, &config), VC_CASE_IMAGE};
  return vc_case_evaluate(c, graph, &out, 1, error);
}

vc_status vc_case_vae_posterior(vc_case *c, vc_error *error) {
  const vc_tensor *moments;
  float *data = NULL;
  vc_status status = vc_case_input(c, "moments", 4, (int64_t[]){VC_ANY, VC_ANY, VC_ANY, VC_ANY}, &moments, error);
  if (status) return status;
  if (moments->dim[1] % 2)
    return vc_fail(error, VC_FAILED, "input/moments has %lld channels, and must have an even number",
                   (long long)moments->dim[1]);
  status = vc_case_floats(moments, false, &data, error);
  if (!status) status = posterior_results(c, data, moments->dim, vc_vae_config_released().scale_factor, error);
  free(data);
  return status;
}
