// Cases of the metrics: frame consistency's arithmetic is that of engine/metrics.h.
#include <stdlib.h>
#include <string.h>

#include "engine/case_prep.h"
#include "engine/metrics.h"

vc_status vc_case_end_point_error(vc_case *c, vc_error *error) {
  const vc_tensor *flow = vc_case_find(c, "flow"), *reference;
  float *a = NULL, *b = NULL;
  double value = 0;
  if (!flow) return vc_fail(error, VC_FAILED, "input/flow is missing");
  int rank = flow->rank;
  if (rank < 3 || flow->dim[rank - 3] != 2)
    return vc_fail(error, VC_FAILED, "input/flow is no flow field [..., 2, height, width]");
  vc_status status = vc_case_input(c, "flow", rank, flow->dim, &flow, error);
  if (!status) status = vc_case_input(c, "reference", rank, flow->dim, &reference, error);
  if (!status) status = vc_case_floats(flow, false, &a, error);
  if (!status) status = vc_case_floats(reference, false, &b, error);
  if (!status) {
    int64_t plane = flow->dim[rank - 2] * flow->dim[rank - 1], all = (int64_t)vc_tensor_count(flow);
    status = vc_end_point_error(a, b, all / (2 * plane), plane, &value, error);
  }
  if (!status) status = vc_case_number_result(c, "value", value, error);
  free(a);
  free(b);
  return status;
}

// ---- optical flow

typedef struct flow_config {
  double pyramid_scale, poly_sigma;
  int64_t levels, window, iterations, poly_n, flags;
} flow_config;

static vc_status read_flow_options(const vc_case *c, vc_flow_options *out, vc_error *error) {
  static const vc_json_field fields[] = {
      {.name = "pyr_scale", .kind = VC_JSON_REAL, .at = offsetof(flow_config, pyramid_scale), .least = 0, .most = 1},
      {.name = "levels", .at = offsetof(flow_config, levels), .least = 1, .most = 32},
      {.name = "winsize", .at = offsetof(flow_config, window), .least = 1, .most = 1001},
      {.name = "iterations", .at = offsetof(flow_config, iterations), .least = 1, .most = 1000},
      {.name = "poly_n", .at = offsetof(flow_config, poly_n), .least = 1, .most = 31},
      {.name = "poly_sigma", .kind = VC_JSON_REAL, .at = offsetof(flow_config, poly_sigma), .least = 0, .most = 100},
      {.name = "flags", .at = offsetof(flow_config, flags), .least = 0, .most = 0}};
  vc_flow_options o = vc_default_flow_options();
  flow_config f = {o.pyramid_scale, o.poly_sigma, o.levels, o.window, o.iterations, o.poly_n, 0};
  vc_status status = vc_case_config(c, fields, sizeof fields / sizeof *fields, &f, error);
  if (status) return status;
  *out =
      (vc_flow_options){f.pyramid_scale, (int)f.levels, (int)f.window, (int)f.iterations, (int)f.poly_n, f.poly_sigma};
  return vc_flow_options_check(out, error);
}

// The flow between the frames of an input U8 [frames, height, width, 3].
static vc_status flow_result(vc_case *c, const char *input, const char *output, const vc_flow_options *options,
                             const float **out, int64_t dim[4], vc_error *error) {
  const vc_tensor *t;
  float *data = NULL;
  vc_status status = vc_case_input(c, input, 4, (const int64_t[]){VC_ANY, VC_ANY, VC_ANY, 3}, &t, error);
  if (status) return status;
  if (t->dtype != VC_U8 || t->dim[0] < 2 || !vc_image_size_ok(t->dim[2], t->dim[1]))
    return vc_fail(error, VC_FAILED, "input/%s must be U8 of two pictures at least", input);
  memcpy(dim, (const int64_t[]){t->dim[0] - 1, 2, t->dim[1], t->dim[2]}, 4 * sizeof *dim);
  status = vc_case_new_result(c, output, 4, dim, &data, error);
  size_t bytes = (size_t)(t->dim[1] * t->dim[2] * 3);
  for (int64_t i = 0; i < dim[0] && !status; i++) {
    uint8_t *at = (uint8_t *)t->data + (size_t)i * bytes;
    vc_image from = {(int)dim[3], (int)dim[2], at}, to = {(int)dim[3], (int)dim[2], at + bytes};
    status = vc_optical_flow(data + i * 2 * dim[2] * dim[3], &from, &to, options, error);
  }
  *out = data;
  return status;
}

vc_status vc_case_farneback(vc_case *c, vc_error *error) {
  vc_flow_options options;
  const float *flow, *reference;
  int64_t dim[4], reference_dim[4];
  double value = 0;
  vc_status status = read_flow_options(c, &options, error);
  if (!status) status = flow_result(c, "frames", "output/flow", &options, &flow, dim, error);
  if (status || !vc_case_find(c, "reference")) return status;
  status = flow_result(c, "reference", "output/reference_flow", &options, &reference, reference_dim, error);
  if (!status && memcmp(dim, reference_dim, sizeof dim) != 0)
    status = vc_fail(error, VC_FAILED, "input/frames and input/reference have different shapes");
  if (!status) status = vc_end_point_error(flow, reference, dim[0], dim[2] * dim[3], &value, error);
  return status ? status : vc_case_number_result(c, "value", value, error);
}
