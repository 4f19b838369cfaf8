// The description of a computation: values, parameters and nodes, recorded by the networks and turned into a plan.
//
// A network is a function that calls the builders below; nothing is computed or allocated for tensors here. Builders
// are total: a failure (no memory) is remembered and reported once by vc_graph_check, so that descriptions read
// straight through. Shapes that do not fit together are programmer errors (assert); what comes from files or users is
// checked before a network is described.
#ifndef VC_ENGINE_GRAPH_H
#define VC_ENGINE_GRAPH_H

#include "kernels/ops.h"

// n videos, f frames, h rows, w columns, c channels; tokens [n s c] are {n, 1, 1, s, c}.
typedef struct vc_shape {
  int64_t n, f, h, w, c;
} vc_shape;

int64_t vc_shape_rows(vc_shape s);      // n f h w
int64_t vc_shape_elements(vc_shape s);  // n f h w c

typedef int vc_value;  // index into vc_graph.value
typedef int vc_param;  // index into vc_graph.param
enum { VC_NONE = -1 };

// How often a value is computed.
typedef enum vc_rate {
  VC_RATE_VIDEO,  // once a video: the prologue
  VC_RATE_STEP,   // in every denoising step
} vc_rate;

typedef enum vc_element {
  VC_ELEMENT_ACTIVATION,  // the plan's dtype
  VC_ELEMENT_F32,
  VC_ELEMENT_I32,
} vc_element;

typedef struct vc_value_info {
  vc_shape shape;
  vc_element element;
  vc_rate rate;
  bool input;        // filled by the caller
  bool kept;         // read by the caller: never folded away, alive to the end
  int producer;      // node, or VC_NONE
  vc_param param;    // the value is a parameter (VC_LAYOUT_ROWS), or VC_NONE
  const char *name;  // module path or input name, or NULL
} vc_value_info;

typedef struct vc_param_info {
  int stacked;
  const char *key[VC_STACK_MAX];
  int64_t key_rows[VC_STACK_MAX];  // of each source
  vc_layout layout;
  int64_t rows, columns, kernel[3];
  bool transposed;
  int spatial_rank;  // 0: [rows, columns] (VECTOR: [rows]); else trailing kernel dimensions in the file: 1, 2 or 3
  bool flat;         // ROWS, VECTOR: the file's shape may have any leading ones
} vc_param_info;

// What a node computes: an op of the backend, or a form that planning folds or lowers to ops.
typedef enum vc_node_kind {
  VC_NODE_LINEAR,
  VC_NODE_CONV,
  VC_NODE_GROUP_NORM,
  VC_NODE_LAYER_NORM,
  VC_NODE_ATTENTION,
  VC_NODE_ACTIVATION,
  VC_NODE_SUM,
  VC_NODE_CONCAT,  // along channels
  VC_NODE_JOIN,    // along tokens
  VC_NODE_REPEAT,  // videos i % n
  VC_NODE_GATHER,
  VC_NODE_POOL,
  VC_NODE_SINUSOID,
  VC_NODE_SAMPLER,
  VC_NODE_CONV_TRANSPOSE,
  VC_NODE_MAX_POOL,
  VC_NODE_RESIZE,
  VC_NODE_GATE,
  VC_NODE_ROWS,  // rows of each video, picked at even distances
} vc_node_kind;

// Attention runs over the pixels of each frame or over the frames of each pixel.
typedef enum vc_axis { VC_AXIS_PIXELS, VC_AXIS_FRAMES } vc_axis;

typedef struct vc_node {
  vc_node_kind kind;
  int inputs;
  vc_value in[VC_SUM_MAX];
  vc_value out;
  vc_param weight, bias;     // LINEAR, CONV, CONV_TRANSPOSE; gamma and beta of norms; weight of GATHER: the positions
  vc_activation activation;  // LINEAR, CONV, CONV_TRANSPOSE, GROUP_NORM (SiLU), ACTIVATION
  vc_value addend;           // LINEAR, CONV: vectors [steps * videos, c_out] added before the activation, or VC_NONE
  vc_value residual;         // LINEAR, CONV: set by folding
  const char *label;         // for profiles and messages
  bool dead;                 // folded into another node
  union {
    struct {
      int64_t kernel[3], stride[3], dilation[3], pad[3], groups;
      int upsample;
    } conv;
    struct {
      int64_t kernel, stride, pad;
    } transpose;
    struct {
      int64_t first, step;
    } rows;
    bool align_corners;  // RESIZE
    struct {
      int64_t groups;
      float eps;
      bool over_frames;
    } norm;
    struct {
      vc_axis axis;
      int64_t heads, head_dim, at[3];  // first channel of q, k, v in their rows
      float scale;
      bool causal;
    } attention;
    float scale[VC_SUM_MAX];
    struct {
      bool guided;
      float guidance;
      vc_value x, m1, m2, x_last, table, noise;  // noise may be VC_NONE
    } sampler;
  };
} vc_node;

typedef struct vc_graph {
  vc_value_info *value;
  int values;
  vc_param_info *param;
  int params;
  vc_node *node;
  int nodes;
  int64_t steps;  // rows of the step tables (timesteps, addends); 1 for a network that runs once
  int value_capacity, param_capacity, node_capacity;
  struct vc_text_block *text;
  bool no_memory;
} vc_graph;

vc_status vc_graph_new(vc_graph **out, int64_t steps, vc_error *error);
void vc_graph_free(vc_graph *graph);

// VC_NO_MEMORY when a builder failed.
vc_status vc_graph_check(const vc_graph *graph, vc_error *error);

// A path such as "input_blocks.3.op", by value, for building keys.
typedef struct vc_path {
  char text[160];
} vc_path;
vc_path vc_pathf(const char *format, ...) __attribute__((format(printf, 1, 2)));

// ---- inputs and parameters as values

vc_value vc_graph_input(vc_graph *graph, const char *name, vc_shape shape, vc_element element, vc_rate rate);

// The value of this name, or VC_NONE.
vc_value vc_graph_find(const vc_graph *graph, const char *name);

// Names a value by its module's path, so that a trace can ask for it.
vc_value vc_graph_name(vc_graph *graph, vc_value value, const char *name);

// The caller will read this value.
void vc_graph_keep(vc_graph *graph, vc_value value);

// A parameter used as an activation, [rows c] = {1, 1, 1, rows, c}; `key` may have leading ones in the file.
vc_value vc_graph_parameter(vc_graph *graph, const char *key, int64_t rows, int64_t c);

vc_shape vc_graph_shape(const vc_graph *graph, vc_value value);

// ---- nodes

typedef struct vc_linear_spec {
  const char *module[VC_STACK_MAX];  // keys are module + ".weight" and ".bias"; several are joined: q, k, v
  const char *weight, *bias_key;     // instead of module: the whole keys
  int64_t c_out;                     // of the joined matrix (GEGLU is an activation behind it, so 2 c there)
  bool bias;
  bool transposed;   // the file's matrix is [in, out]
  int spatial_rank;  // the file's weight is a 1x1 convolution of this rank
  vc_value addend;   // used when has_addend
  bool has_addend;
} vc_linear_spec;
vc_value vc_graph_linear(vc_graph *graph, vc_value x, const vc_linear_spec *spec);

typedef struct vc_conv_spec {
  const char *module;
  int64_t c_out;
  int64_t kernel[3];  // frames, rows, columns
  int64_t stride;     // of rows and columns; 0 stands for 1
  int64_t dilation;   // of rows and columns; 0 stands for 1
  int64_t groups;     // 0 and 1: none; else the input's channels and c_out alike: depthwise
  int64_t pad[3], pad_after[3];
  int spatial_rank;  // kernel dimensions in the file: 2 (rows, columns) or 3
  bool bias;
  bool upsample;  // nearest, to twice the rows and columns, before the convolution
  vc_value addend;
  bool has_addend;
} vc_conv_spec;
vc_value vc_graph_conv(vc_graph *graph, vc_value x, const vc_conv_spec *spec);

// 3x3 per frame with padding 1 on all sides and a bias.
vc_value vc_graph_conv3x3(vc_graph *graph, vc_value x, const char *module, int64_t c_out);

// Transposed convolution of each frame with a bias; the file's weight is [c, c_out, kernel, kernel].
typedef struct vc_conv_transpose_spec {
  const char *module;
  int64_t c_out, kernel, stride, pad;
} vc_conv_transpose_spec;
vc_value vc_graph_conv_transpose(vc_graph *graph, vc_value x, const vc_conv_transpose_spec *spec);

vc_value vc_graph_group_norm(vc_graph *graph, vc_value x, const char *module, int64_t groups, float eps,
                             bool over_frames);
vc_value vc_graph_layer_norm(vc_graph *graph, vc_value x, const char *module, float eps);
vc_value vc_graph_activation(vc_graph *graph, vc_value x, vc_activation activation);

typedef struct vc_attention_spec {
  vc_axis axis;
  int64_t heads, head_dim;
  vc_value q, k, v;          // k and v of a context have one frame and are shared by the frames of q
  int64_t q_at, k_at, v_at;  // first channel within the rows of q, k, v
  bool causal;
  const char *label;
} vc_attention_spec;
// -> [n f h w, heads * head_dim] with q's n f h w.
vc_value vc_graph_attention(vc_graph *graph, const vc_attention_spec *spec);

vc_value vc_graph_add(vc_graph *graph, vc_value a, vc_value b);
// sum of scale[i] x[i]; an input of one frame, or of one video and one frame, is the same in all.
vc_value vc_graph_sum(vc_graph *graph, int inputs, const vc_value *x, const float *scale);
vc_value vc_graph_concat(vc_graph *graph, vc_value a, vc_value b);
vc_value vc_graph_join(vc_graph *graph, vc_value a, vc_value b);
// n videos: video i is x's video i % x.n. x itself when it has n already.
vc_value vc_graph_repeat(vc_graph *graph, vc_value x, int64_t n);
// rows of `table` (a value [entries c]) chosen by index (I32 [n s]) -> [n s c], plus a position parameter or NULL.
vc_value vc_graph_gather(vc_graph *graph, vc_value table, vc_value index, const char *position_key);
vc_value vc_graph_pool(vc_graph *graph, vc_value x, int64_t h_out, int64_t w_out);
// The largest of every 2x2 pixels; a last odd row or column is dropped.
vc_value vc_graph_max_pool(vc_graph *graph, vc_value x);
// Bilinear, without antialiasing; see vc_resize.
vc_value vc_graph_resize(vc_graph *graph, vc_value x, int64_t h_out, int64_t w_out, bool align_corners);
// x times one number a row, `gate` [.. 1].
vc_value vc_graph_gate(vc_graph *graph, vc_value x, vc_value gate);
// {n 1 h w c}, rows first, first + step, ... of each video of x (f = 1): tokens to pixels, or with step 0 one of them
// spread over all.
vc_value vc_graph_rows(vc_graph *graph, vc_value x, int64_t first, int64_t step, int64_t h, int64_t w);
// t: F32 {n, 1, 1, 1, 1} -> {n, 1, 1, 1, c}
vc_value vc_graph_sinusoid(vc_graph *graph, vc_value t, int64_t c);

typedef struct vc_sampler_spec {
  vc_value eps;    // of twice x's videos when guided
  vc_value input;  // the network's input: rewritten by the node
  bool guided;
  float guidance;
  bool noise;  // some step adds noise: an input "noise" [steps] x latent
} vc_sampler_spec;
// Adds the inputs "sampler.x" "sampler.m1" "sampler.m2" "sampler.x_last" "sampler.table" and, with noise,
// "sampler.noise", and the node that updates them.
void vc_graph_sampler(vc_graph *graph, const vc_sampler_spec *spec);

#endif
