#include "engine/sketch_simplification.h"

// Channels that come out, size of the kernel and stride; `up` is a transposed convolution.
static const struct layer {
  int64_t c_out;
  int kernel, stride;
  bool up;
} layers[] = {
    {48, 5, 2, false},   {128, 3, 1, false},  {128, 3, 1, false}, {128, 3, 2, false},  {256, 3, 1, false},
    {256, 3, 1, false},  {256, 3, 2, false},  {512, 3, 1, false}, {1024, 3, 1, false}, {1024, 3, 1, false},
    {1024, 3, 1, false}, {1024, 3, 1, false}, {512, 3, 1, false}, {256, 3, 1, false},  {256, 4, 2, true},
    {256, 3, 1, false},  {128, 3, 1, false},  {128, 4, 2, true},  {128, 3, 1, false},  {48, 3, 1, false},
    {48, 4, 2, true},    {24, 3, 1, false},   {1, 3, 1, false},
};
enum { LAYERS = sizeof layers / sizeof *layers };

static int64_t width(int64_t c, int64_t divide) {
  return c == 1 ? 1 : c / divide < 1 ? 1 : c / divide;
}

vc_value vc_sketch_simplification(vc_graph *g, vc_value x, const vc_simplification_config *config) {
  for (int i = 0; i < LAYERS; i++) {
    const struct layer *l = &layers[i];
    vc_path module = vc_pathf("layers.%d", 2 * i);
    int64_t c_out = width(l->c_out, config->divide), pad = (l->kernel - 1) / 2;
    if (l->up)
      x = vc_graph_conv_transpose(
          g, x,
          &(vc_conv_transpose_spec){
              .module = module.text, .c_out = c_out, .kernel = l->kernel, .stride = l->stride, .pad = pad});
    else
      x = vc_graph_conv(g, x,
                        &(vc_conv_spec){.module = module.text,
                                        .c_out = c_out,
                                        .kernel = {1, l->kernel, l->kernel},
                                        .stride = l->stride,
                                        .pad = {0, pad, pad},
                                        .pad_after = {0, pad, pad},
                                        .bias = true});
    x = vc_graph_activation(g, x, i < LAYERS - 1 ? VC_ACT_RELU : VC_ACT_SIGMOID);
  }
  return x;
}
