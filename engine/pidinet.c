#include "engine/pidinet.h"

static const int blocks_of_stage[4] = {3, 4, 4, 4};

static vc_value conv1x1(vc_graph *g, vc_value x, vc_path module, int64_t c_out, bool bias) {
  vc_linear_spec spec = {.module = {module.text}, .c_out = c_out, .bias = bias, .spatial_rank = 2};
  return vc_graph_linear(g, x, &spec);
}

static vc_value conv(vc_graph *g, vc_value x, vc_path module, int64_t c_out, int64_t kernel, int64_t groups,
                     int64_t dilation) {
  int64_t pad = kernel / 2 * dilation;
  return vc_graph_conv(g, x,
                       &(vc_conv_spec){.module = module.text,
                                       .c_out = c_out,
                                       .kernel = {1, kernel, kernel},
                                       .dilation = dilation,
                                       .groups = groups,
                                       .pad = {0, pad, pad},
                                       .pad_after = {0, pad, pad}});
}

// Pooled where a stage begins; then a depthwise convolution, ReLU and 1x1, with a skip around them.
static vc_value block(vc_graph *g, vc_value x, vc_path module, int64_t c_out, bool pooled, bool radial) {
  if (pooled) x = vc_graph_max_pool(g, x);
  int64_t c = vc_graph_shape(g, x).c;
  vc_value skip = x;
  if (pooled) skip = conv1x1(g, x, vc_pathf("%s.shortcut", module.text), c_out, true);
  vc_value h = conv(g, x, vc_pathf("%s.conv1", module.text), c, radial ? 5 : 3, c, 1);
  h = conv1x1(g, vc_graph_activation(g, h, VC_ACT_RELU), vc_pathf("%s.conv2", module.text), c_out, false);
  return vc_graph_name(g, vc_graph_add(g, skip, h), module.text);
}

// A stage's map: four dilated convolutions, a gate for each pixel, one channel, the frame's size.
static vc_value side_map(vc_graph *g, vc_value x, int stage, const vc_pidinet_config *config, int64_t h, int64_t w) {
  vc_path m = vc_pathf("dilations.%d", stage), gate = vc_pathf("attentions.%d", stage);
  x = vc_graph_activation(g, x, VC_ACT_RELU);
  x = conv1x1(g, x, vc_pathf("%s.conv1", m.text), config->dil, true);
  vc_value sum = VC_NONE;
  for (int i = 0; i < 4; i++) {
    vc_value one = conv(g, x, vc_pathf("%s.conv2_%d", m.text, i + 1), config->dil, 3, 1, 5 + 2 * i);
    sum = i ? vc_graph_add(g, sum, one) : one;
  }
  vc_value a = conv1x1(g, vc_graph_activation(g, sum, VC_ACT_RELU), vc_pathf("%s.conv1", gate.text), 4, true);
  a = vc_graph_activation(g, conv(g, a, vc_pathf("%s.conv2", gate.text), 1, 3, 1, 1), VC_ACT_SIGMOID);
  x = conv1x1(g, vc_graph_gate(g, sum, a), vc_pathf("conv_reduces.%d.conv", stage), 1, true);
  return vc_graph_resize(g, x, h, w, false);
}

// The layers of pixel differences take turns: cd, ad, rd, cv; the "rd" ones are 5x5 as ordinary convolutions.
vc_value vc_pidinet(vc_graph *g, vc_value frames, const vc_pidinet_config *config) {
  vc_shape s = vc_graph_shape(g, frames);
  const int64_t width[4] = {config->planes, 2 * config->planes, 4 * config->planes, 4 * config->planes};
  vc_value x = conv(g, frames, vc_pathf("init_block"), config->planes, 3, 1, 1), maps = VC_NONE;
  int layer = 1;
  for (int i = 0; i < 4; i++) {
    for (int k = 0; k < blocks_of_stage[i]; k++, layer++)
      x = block(g, x, vc_pathf("block%d_%d", i + 1, k + 1), width[i], i > 0 && k == 0, layer % 4 == 2);
    vc_value map = side_map(g, x, i, config, s.h, s.w);
    maps = i ? vc_graph_concat(g, maps, map) : map;
  }
  return vc_graph_activation(g, conv1x1(g, maps, vc_pathf("classifier"), 1, true), VC_ACT_SIGMOID);
}
