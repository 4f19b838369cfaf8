// The op interface: one argument struct an op and a table of function pointers that a backend fills in.
//
// Activations are channels-last: n videos, f frames, h rows, w columns, c channels, dense unless a stride is named.
// A token sequence [n s c] has f = h = 1 and w = s. "Row" means the c channels of one pixel or token. Pointers are the
// backend's own memory (host memory for cpu). Statistics and sums are fp32 whatever the storage dtype is.
#ifndef VC_KERNELS_OPS_H
#define VC_KERNELS_OPS_H

#include <stdint.h>

#include "engine/status.h"
#include "engine/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum vc_op_kind {
  VC_OP_LINEAR,
  VC_OP_CONV,
  VC_OP_GROUP_NORM,
  VC_OP_LAYER_NORM,
  VC_OP_ATTENTION,
  VC_OP_ACTIVATION,
  VC_OP_SUM,
  VC_OP_COPY,
  VC_OP_GATHER,
  VC_OP_POOL,
  VC_OP_SINUSOID,
  VC_OP_SAMPLER,
  VC_OP_CONV_TRANSPOSE,
  VC_OP_MAX_POOL,
  VC_OP_RESIZE,
  VC_OP_GATE,
  VC_OP_COUNT,
} vc_op_kind;

// "linear", "conv", ...
const char *vc_op_name(vc_op_kind kind);

typedef enum vc_activation {
  VC_ACT_NONE,
  VC_ACT_SILU,  // x / (1 + exp(-x))
  VC_ACT_GELU,  // exact: x Phi(x)
  VC_ACT_RELU,
  VC_ACT_SIGMOID,
  VC_ACT_GEGLU,  // (first half of the channels) * gelu(second half); as an epilogue of linear the weight has 2 c_out
                 // rows
} vc_activation;

// What happens to a product before it is stored: out = activation(product + bias + addend) + residual.
typedef struct vc_epilogue {
  const float *bias;   // [c_out] (GEGLU: [2 c_out]), or NULL
  const void *addend;  // vectors [c_out] in the op's dtype, or NULL: vector v is added to rows v * rows_per_addend ...
  int64_t rows_per_addend;
  int64_t addend_step;  // elements between the addends of consecutive denoising steps
  const int32_t *step;  // where the backend finds the current step; read only when addend_step is not 0
  vc_activation activation;
  const void *residual;  // shaped like out and dense, or NULL; may be out itself
} vc_epilogue;

// out[r] = epilogue(x0[r] W0' + x1[r] W1'), W = [W0 W1] packed by the backend from a [c_out, c0 + c1] matrix.
typedef struct vc_linear {
  vc_dtype dtype;         // of x, residual, out
  vc_dtype weight_dtype;  // that the weight was packed with; the backend rounds x to it for the product
  int64_t rows;
  const void *x[2];  // x[0] [rows, c[0]]; x[1] [rows, c[1]] or NULL with c[1] = 0: channels behind those of x[0]
  int64_t c[2];
  int64_t x_stride;  // elements between rows of x[0]; c[0] when dense. x[1] is dense
  int64_t c_out;
  const void *weight;  // packed
  vc_epilogue epilogue;
  void *out;  // [rows, c_out], dense
  void *workspace;
} vc_linear;

// Convolution over frames, rows and columns of [n f h w c], zero padded; cross-correlation as in PyTorch.
// Output pixel o along an axis reads input o * stride - pad_before + k * dilation, k = 0 .. kernel - 1.
typedef struct vc_conv {
  vc_dtype dtype;
  vc_dtype weight_dtype;  // as for vc_linear
  int64_t n, f, h, w;     // of the input as stored
  const void *x[2];       // [n f h w c[0]]; [n f h w c[1]] or NULL: channels behind those of x[0]
  int64_t c[2];
  int upsample;       // 1; or 2: the input is enlarged by nearest neighbour in h and w as it is read
  int64_t kernel[3];  // frames, rows, columns
  int64_t stride[3], dilation[3];
  int64_t pad[3];  // before; what lies behind the input is zero too, as far as the output reaches
  int64_t groups;  // 1, or c[0] (depthwise, c_out = c[0], no x[1])
  int64_t f_out, h_out, w_out, c_out;
  const void *weight;  // packed from [c_out, c / groups, kernel...]
  vc_epilogue epilogue;
  void *out;  // [n f_out h_out w_out c_out]
  void *workspace;
} vc_conv;

// Group norm with an affine map, optionally followed by SiLU. Statistics over all rows of one frame (frames = n * f,
// rows = h w) or of one video (frames = n, rows = f h w) and the channels of one group; biased variance, two passes.
typedef struct vc_group_norm {
  vc_dtype dtype;
  int64_t frames, rows;
  const void *x[2];  // [frames, rows, c[0]]; [.., c[1]] or NULL: channels behind those of x[0]
  int64_t c[2];
  int64_t groups;  // divides c[0] + c[1]; a group may lie across the border of the two inputs
  float eps;
  const float *gamma, *beta;  // [c]
  bool silu;
  void *out;  // [frames, rows, c]
  void *workspace;
} vc_group_norm;

typedef struct vc_layer_norm {
  vc_dtype dtype;
  int64_t rows, c;
  const void *x;
  float eps;
  const float *gamma, *beta;
  void *out;
} vc_layer_norm;

// softmax(q k' * scale) v for every sequence and head. A sequence is named by (outer, inner); element (row, head, i)
// of it lies at outer * stride.outer + inner * stride.inner + row * stride.row + head * head_dim + i. A stride may be
// 0: keys and values of a context that all frames share.
typedef struct vc_sequence {
  int64_t outer, inner, row;  // element strides
} vc_sequence;

typedef struct vc_attention {
  vc_dtype dtype;
  int64_t outer, inner;   // number of sequences: outer * inner
  int64_t queries, keys;  // rows of a sequence
  int64_t heads, head_dim;
  float scale;
  bool causal;  // row i sees keys 0 .. i
  const void *q, *k, *v;
  void *out;
  vc_sequence q_stride, k_stride, v_stride, out_stride;
  void *workspace;
} vc_attention;

typedef struct vc_activate {
  vc_dtype dtype;
  int64_t rows, c;  // of out
  vc_activation activation;
  const void *x;  // [rows, c]; GEGLU: [rows, 2 c]
  void *out;      // may be x, but for GEGLU
} vc_activate;

enum { VC_SUM_MAX = 8 };

// The element-wise fusion of conditions: out = sum of scale[i] * x[i]. An input with one frame is the same in all.
typedef struct vc_sum {
  vc_dtype dtype;
  int64_t n, f, rows;  // rows = h w c elements of a frame
  int inputs;
  const void *x[VC_SUM_MAX];
  bool one_frame[VC_SUM_MAX];  // x[i] is [n 1 h w c]
  float scale[VC_SUM_MAX];
  void *out;  // [n f h w c]; may be one of x that has all frames
} vc_sum;

// Strided copy: out[o][r][0 .. c) = x[o % x_outer][r][0 .. c), the strides in elements. Repeats, slices, joins.
typedef struct vc_copy {
  vc_dtype dtype;
  int64_t outer, x_outer, rows, c;
  const void *x;
  int64_t x_stride_outer, x_stride_row;
  void *out;
  int64_t out_stride_outer, out_stride_row;
} vc_copy;

// out[i] = table[index[i]] + (position ? position[i % positions] : 0). An index outside 0 .. entries - 1 is VC_FAILED.
typedef struct vc_gather {
  vc_dtype dtype;  // of table and out
  int64_t count, c, entries;
  const int32_t *index;   // [count]
  const void *table;      // [entries, c]
  const float *position;  // [positions, c] or NULL
  int64_t positions;
  void *out;
} vc_gather;

// Adaptive average pool over h and w: output row i averages rows floor(i h / h_out) .. ceil((i + 1) h / h_out) - 1,
// columns likewise.
typedef struct vc_pool {
  vc_dtype dtype;
  int64_t frames, h, w, c, h_out, w_out;
  const void *x;
  void *out;
} vc_pool;

// Timestep embedding, cosines first: out[i][k] = cos(t[i] * 10000^(-k / half)), out[i][half + k] the sine. c = 2 half.
typedef struct vc_sinusoid {
  vc_dtype dtype;
  int64_t count, c;
  const float *t;
  void *out;
} vc_sinusoid;

// Coefficients of one denoising step. With m0 = the x0 that this step predicts, m1 and m2 those of the two steps
// before, and x_last the sample from which the step before started (all zero at first):
//   m0     = x0[0] x + x0[1] eps
//   x_c    = corrected[0] x + corrected[1] x_last + corrected[2] m0 + corrected[3] m1 + corrected[4] m2
//   x_next = next[0] x_c + next[1] m0 + next[2] m1 + next[3] m2 + next[4] eps + noise * z
typedef struct vc_sampler_row {
  float x0[2];
  float corrected[5];
  float next[5];
  float noise;
} vc_sampler_row;

// Guidance and sampler update fused: eps = uncond + guidance (cond - uncond), then the row of the current step.
typedef struct vc_sampler {
  vc_dtype dtype;   // of eps and input
  int64_t count;    // elements of all videos: n f h w c
  const void *eps;  // [count], or when guided [2 count]: conditional, then unconditional
  bool guided;
  float guidance;
  const vc_sampler_row *table;  // a row a step
  const int32_t *step;
  const float *noise;       // [steps][count], or NULL when no row adds noise
  float *x;                 // [count], the latent: in and out
  float *m1, *m2, *x_last;  // [count] each, history: in and out. x_last gets x_c, m1 gets m0
  void *input;              // [count], x_next in the network's dtype
} vc_sampler;

// Transposed convolution of each frame, as in PyTorch: input pixel i adds to the output pixels i * stride - pad + k,
// k = 0 .. kernel - 1, along rows and columns. out = activation(sum + bias).
typedef struct vc_conv_transpose {
  vc_dtype dtype;
  int64_t frames, h, w, c;
  const void *x;  // [frames h w c]
  int64_t kernel, stride, pad;
  int64_t h_out, w_out, c_out;  // h_out = (h - 1) stride - 2 pad + kernel, w_out likewise
  const void *weight;           // packed from [c, c_out, kernel, kernel]
  const float *bias;            // [c_out] or NULL
  vc_activation activation;     // not GEGLU
  void *out;                    // [frames h_out w_out c_out]
} vc_conv_transpose;

// The largest of every 2x2 pixels, by channel; a last odd row or column is dropped. NaN is the largest of all.
typedef struct vc_max_pool {
  vc_dtype dtype;
  int64_t frames, h, w, c;
  const void *x;
  void *out;  // [frames, h / 2, w / 2, c]
} vc_max_pool;

// Bilinear resize of each frame, without antialiasing. Output i reads the input at i (in - 1) / (out - 1) when corners
// are aligned (0 for a single output), else at max(0, (i + 1/2) in / out - 1/2); the last pixel goes on beyond the
// edge.
typedef struct vc_resize {
  vc_dtype dtype;
  int64_t frames, h, w, c, h_out, w_out;
  bool align_corners;
  const void *x;
  void *out;  // [frames h_out w_out c]
} vc_resize;

// out[r][i] = x[r][i] * gate[r]
typedef struct vc_gate {
  vc_dtype dtype;
  int64_t rows, c;
  const void *x;     // [rows, c]
  const void *gate;  // [rows], in the op's dtype
  void *out;         // may be x
} vc_gate;

// How a parameter gets from a file into the backend's memory.
typedef enum vc_layout {
  VC_LAYOUT_VECTOR,  // fp32, as it is: biases, norms, positions
  VC_LAYOUT_ROWS,    // in the dtype of activations, as it is: embeddings
  VC_LAYOUT_LINEAR,  // [rows, columns]: the backend's layout for vc_linear
  VC_LAYOUT_CONV,    // [c_out, c / groups, kernel...]: the backend's layout for vc_conv
} vc_layout;

enum { VC_STACK_MAX = 3 };

typedef struct vc_pack {
  vc_layout layout;
  vc_dtype dtype;                  // that is computed in: of weights, and of what vc_activations says of it
  int stacked;                     // sources joined along the first axis: q, k, v
  vc_tensor source[VC_STACK_MAX];  // F32, F16 or BF16, any alignment; data may be NULL when only bytes are asked for
  int64_t rows, columns;           // LINEAR: of the joined matrix. VECTOR and ROWS: rows * columns elements
  int64_t kernel[3];               // CONV: with rows = c_out, columns = c / groups
  bool transposed;                 // LINEAR: the source is [columns, rows] (CLIP's projections). CONV: [columns, rows,
                                   // kernel...], and the layout is that of vc_conv_transpose
} vc_pack;

typedef struct vc_device vc_device;  // a backend's threads or stream, handles, memory

typedef struct vc_backend {
  const char *name;
  void (*close)(vc_device *device);
  vc_status (*allocate)(vc_device *device, size_t bytes, void **out, vc_error *error);  // 256-byte aligned, not cleared
  void (*release)(vc_device *device, void *memory);                                     // NULL is allowed
  vc_status (*upload)(vc_device *device, void *to, const void *from, size_t bytes, vc_error *error);
  vc_status (*download)(vc_device *device, void *to, const void *from, size_t bytes, vc_error *error);
  vc_status (*wait)(vc_device *device, vc_error *error);  // until everything asked for so far is done

  // Optional: the dtype of activations where products are computed in this one; NULL: the same. The cpu's are in F32.
  vc_dtype (*activations)(vc_dtype dtype);

  // Bytes of a packed parameter, and the packing itself; `to` is the backend's memory. VC_FAILED when a source holds a
  // NaN or an infinity: whoever packs sees every value, and a look at them of its own would cost as much again.
  vc_status (*pack_bytes)(const vc_pack *pack, size_t *bytes, vc_error *error);
  vc_status (*pack)(vc_device *device, const vc_pack *pack, void *to, vc_error *error);

  // Checks that the op can run with these arguments (pointers may still be NULL) and tells the bytes of workspace that
  // it needs; VC_UNSUPPORTED names the op. Called once an op when a plan is made.
  vc_status (*prepare)(vc_device *device, vc_op_kind kind, const void *arguments, size_t *workspace, vc_error *error);

  // Optional (all four or none): what is asked for between record_begin and record_end is not done but recorded, and
  // replay does it as often as wanted. Uploads and downloads are not recorded and must not happen meanwhile.
  vc_status (*record_begin)(vc_device *device, vc_error *error);
  vc_status (*record_end)(vc_device *device, void **record, vc_error *error);
  vc_status (*replay)(vc_device *device, void *record, vc_error *error);
  void (*forget)(vc_device *device, void *record);

  void (*range)(vc_device *device, const char *name);  // optional: a profiler's range begins; NULL: the last one ends
  size_t (*peak)(const vc_device *device);             // optional: the most bytes that were allocated at once
  // Optional (both or none), for backends that work on their own time: notes when the work asked for so far is done,
  // as mark 0, 1, ...; and after wait, the seconds between two marks.
  vc_status (*mark)(vc_device *device, int mark, vc_error *error);
  vc_status (*between)(vc_device *device, int from, int to, double *seconds, vc_error *error);
  // What computes, for reports: "NVIDIA H200, sm_90, 132 multiprocessors", "avx512, 2 threads, oneDNN 2.6.2".
  void (*describe)(const vc_device *device, char *text, size_t size);
  // For benchmarks: the names of the implementations that there are, ending with NULL, and an op run by one of them, as
  // often as `times` says. VC_UNSUPPORTED when it cannot do this op.
  const char *const *variants;
  // Optional (both or none): choices among implementations that were made by measurement, kept in a file, so that the
  // next process makes the same ones. What is in the file of another machine or version counts for nothing.
  vc_status (*load_choices)(vc_device *device, const char *path, vc_error *error);
  vc_status (*save_choices)(const vc_device *device, const char *path, vc_error *error);
  const char *(*chosen)(const vc_device *device, vc_op_kind kind,
                        const void *arguments);  // optional: which runs this op
  vc_status (*run_variant)(vc_device *device, vc_op_kind kind, const char *variant, const void *arguments, int times,
                           vc_error *error);

  // NULL: unsupported, reported with the op's name and never replaced silently.
  vc_status (*linear)(vc_device *, const vc_linear *, vc_error *);
  vc_status (*conv)(vc_device *, const vc_conv *, vc_error *);
  vc_status (*group_norm)(vc_device *, const vc_group_norm *, vc_error *);
  vc_status (*layer_norm)(vc_device *, const vc_layer_norm *, vc_error *);
  vc_status (*attention)(vc_device *, const vc_attention *, vc_error *);
  vc_status (*activate)(vc_device *, const vc_activate *, vc_error *);
  vc_status (*sum)(vc_device *, const vc_sum *, vc_error *);
  vc_status (*copy)(vc_device *, const vc_copy *, vc_error *);
  vc_status (*gather)(vc_device *, const vc_gather *, vc_error *);
  vc_status (*pool)(vc_device *, const vc_pool *, vc_error *);
  vc_status (*sinusoid)(vc_device *, const vc_sinusoid *, vc_error *);
  vc_status (*sampler)(vc_device *, const vc_sampler *, vc_error *);
  vc_status (*conv_transpose)(vc_device *, const vc_conv_transpose *, vc_error *);
  vc_status (*max_pool)(vc_device *, const vc_max_pool *, vc_error *);
  vc_status (*resize)(vc_device *, const vc_resize *, vc_error *);
  vc_status (*gate)(vc_device *, const vc_gate *, vc_error *);
} vc_backend;

// Runs the op of this kind: the one switch between a kind and its slot. VC_UNSUPPORTED for a NULL slot.
vc_status vc_op_run(const vc_backend *backend, vc_device *device, vc_op_kind kind, const void *arguments,
                    vc_error *error);

// The dtype of this backend's activations where products are computed in `dtype`.
vc_dtype vc_activations_dtype(const vc_backend *backend, vc_dtype dtype);

// The CPU backend: fp32 activations, `threads` threads (0: as many as the process may run on). Products are computed in
// F32, or in BF16: the weights of linear layers and of convolutions over more than one channel are then kept in it, and
// what meets them is rounded to it and added up in fp32. Results do not depend on the number of threads.
extern const vc_backend vc_backend_cpu;
vc_status vc_cpu_open(vc_device **out, int threads, vc_error *error);

#ifdef __cplusplus
}
#endif
#endif
