// The architectures of the networks that make conditions, from shapes: MiDaS, PiDiNet, the simplification of sketches.
#include "engine/infer_shapes.h"

enum { DIMS = VC_MAX_DIMS };

static vc_status checked(const vc_shapes *in, vc_status status) {
  return status ? vc_fail_in(in->error, status, "%s", in->file->path) : VC_OK;
}

vc_status vc_infer_midas(vc_midas_config *out, const vc_tensor_file *file, const char *prefix, vc_error *error) {
  vc_shapes in = {"midas", file, prefix, error};
  vc_midas_config c = vc_midas_config_released();
  int64_t patch[DIMS], position[DIMS], fusion[DIMS], head[DIMS], neck[DIMS], side = 0;
  vc_status status = vc_shapes_read(&in, patch, 4, "patch_embedding.weight");
  // [1, places, dim], or without the leading 1.
  const vc_tensor *positions = vc_shapes_find(&in, "pos_embedding");
  int leading = positions && positions->rank == 3;
  if (!status) status = vc_shapes_read(&in, position, 2 + leading, "pos_embedding");
  if (!status) status = vc_shapes_read(&in, fusion, 4, "fusion1.conv_out.weight");
  if (!status) status = vc_shapes_read(&in, head, 4, "head.2.weight");
  for (int i = 0; i < 4 && !status; i++) {
    status = vc_shapes_read(&in, neck, 4, "conv%d.0.weight", i + 1);
    c.neck[i] = neck[0];
  }
  if (status) return status;
  if (position[leading] > (1 << 24))
    return vc_shapes_fail(&in, "pos_embedding has %lld places", (long long)position[leading]);
  while (side * side < position[leading] - 1) side++;
  if (!side || side * side != position[leading] - 1)
    return vc_shapes_fail(&in, "pos_embedding has %lld places, which are no square and one",
                          (long long)position[leading]);
  c.dim = patch[0];
  c.patch = patch[2];
  c.image_size = side * c.patch;
  c.fusion = fusion[0];
  c.head_dim = head[0];
  // 64 channels a head, as in the released network and its smaller sister, else its number of heads.
  if (c.dim % 64 == 0)
    c.heads = c.dim / 64;
  else if (c.dim % c.heads)
    c.heads = 1;
  c.layers = 0;
  while (c.layers < 256 && vc_shapes_find(&in, "blocks.%lld.norm1.weight", (long long)c.layers)) c.layers++;
  status = checked(&in, vc_midas_config_check(&c, error));
  if (!status) *out = c;
  return status;
}

vc_status vc_infer_pidinet(vc_pidinet_config *out, const vc_tensor_file *file, const char *prefix, vc_error *error) {
  vc_shapes in = {"pidinet", file, prefix, error};
  vc_pidinet_config c = vc_pidinet_config_released();
  int64_t first[DIMS], dilation[DIMS], radial[DIMS];
  vc_status status = vc_shapes_read(&in, first, 4, "init_block.weight");
  if (!status) status = vc_shapes_read(&in, dilation, 4, "dilations.0.conv1.weight");
  // The third operator compares pixels along rays: 3x3 numbers, and a 5x5 convolution when it has been folded.
  if (!status) status = vc_shapes_read(&in, radial, 4, "block1_2.conv1.weight");
  if (status) return status;
  c.planes = first[0];
  c.dil = dilation[0];
  c.converted = radial[2] == 5;
  status = checked(&in, vc_pidinet_config_check(&c, error));
  if (!status) *out = c;
  return status;
}

vc_status vc_infer_simplification(vc_simplification_config *out, const vc_tensor_file *file, const char *prefix,
                                  vc_error *error) {
  enum { WIDEST = 1024 };
  vc_shapes in = {"sketch_simplification", file, prefix, error};
  vc_simplification_config c = vc_simplification_config_released();
  int64_t widest[DIMS];
  vc_status status = vc_shapes_read(&in, widest, 4, "layers.16.weight");
  if (status) return status;
  if (widest[0] > WIDEST || WIDEST % widest[0])
    return vc_shapes_fail(&in, "layers.16 is %lld wide, which is no part of %d", (long long)widest[0], (int)WIDEST);
  c.divide = WIDEST / widest[0];
  status = checked(&in, vc_simplification_config_check(&c, error));
  if (!status) *out = c;
  return status;
}
