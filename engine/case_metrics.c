// Cases of the measures of a video.
#include <stdlib.h>

#include "engine/case_networks.h"
#include "engine/metrics.h"

vc_status vc_case_frame_consistency(vc_case *c, vc_error *error) {
  const vc_tensor *features;
  float *data = NULL;
  double value;
  void *to;
  vc_status status = vc_case_input(c, "features", 2, (int64_t[]){VC_ANY, VC_ANY}, &features, error);
  if (!status) status = vc_case_floats(features, false, &data, error);
  if (!status) status = vc_frame_consistency(data, features->dim[0], features->dim[1], &value, error);
  if (!status) status = vc_case_new_tensor(c, "output/value", VC_F64, 0, NULL, &to, error);
  if (!status) *(double *)to = value;
  free(data);
  return status;
}
