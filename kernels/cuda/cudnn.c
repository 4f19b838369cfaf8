// Convolutions by cuDNN's graph interface: one operation, sums in fp32, without TF32, Winograd or FFT; then a pass of
// our own for bias, addend, activation and residual where there are any, because cuDNN adds a bias in the storage's
// dtype and a residual before the activation only.
//
// To cuDNN our channels-last tensors are [n c h w] with strides of NHWC. It sees two dimensions in space: kernels
// within a frame are convolutions of n f images; kernels along frames (3x1x1) are those of n images that are f high and
// h w wide. Packed kernels are [c_out][taps][c] without gaps when taps * c is a multiple of 8.
#include <string.h>

#include "kernels/cuda/choose.h"

enum {
  ALIGNMENT = 16,
  CONFIGS = 12,  // of its engines, best first, that are looked at
  X_ID = 1,
  WEIGHT_ID,
  OUT_ID,
};

enum { X, WEIGHT, OUT, CONVOLUTION, OPERATION, GRAPH, CONFIG, PLAN, PARTS };

// What was built for a shape, and lives until the device is closed.
typedef struct plan {
  bool found;
  cudnnBackendDescriptor_t part[PARTS];
} plan;

// One convolution in two dimensions.
typedef struct geometry {
  int64_t x[4], weight[4], out[4];  // n c h w; c_out c h w
  int64_t before[2], after[2], stride[2], dilation[2];
} geometry;

static bool aligned(const void *p) {
  return (uintptr_t)p % ALIGNMENT == 0;
}

// Zeros behind the input: as many as the output reaches. false when the sizes do not belong together.
static bool find_padding(int64_t in, int64_t out, int64_t kernel, int64_t stride, int64_t dilation, int64_t before,
                         int64_t *after) {
  int64_t extent = (kernel - 1) * dilation + 1;
  *after = (out - 1) * stride + extent - in - before;
  if (*after < 0) *after = 0;
  return (in + before + *after - extent) / stride + 1 == out;
}

static bool find_geometry(const vc_conv *op, geometry *g) {
  const int64_t *k = op->kernel;
  int64_t pixels = op->h * op->w, c = op->c[0];
  bool within = k[0] == 1 && op->stride[0] == 1 && op->pad[0] == 0 && op->f_out == op->f;
  bool along = k[1] == 1 && k[2] == 1 && op->stride[1] == 1 && op->stride[2] == 1 && op->pad[1] == 0 &&
               op->pad[2] == 0 && op->h_out == op->h && op->w_out == op->w;
  if (within)
    *g = (geometry){{op->n * op->f, c, op->h, op->w},
                    {op->c_out, c, k[1], k[2]},
                    {op->n * op->f, op->c_out, op->h_out, op->w_out},
                    .before = {op->pad[1], op->pad[2]},
                    .stride = {op->stride[1], op->stride[2]},
                    .dilation = {op->dilation[1], op->dilation[2]}};
  else if (along)
    *g = (geometry){{op->n, c, op->f, pixels}, {op->c_out, c, k[0], 1},      {op->n, op->c_out, op->f_out, pixels},
                    .before = {op->pad[0], 0}, .stride = {op->stride[0], 1}, .dilation = {op->dilation[0], 1}};
  else
    return false;
  for (int i = 0; i < 2; i++)
    if (!find_padding(g->x[2 + i], g->out[2 + i], g->weight[2 + i], g->stride[i], g->dilation[i], g->before[i],
                      &g->after[i]))
      return false;
  for (int i = 0; i < 4; i++)
    if (g->x[i] > INT32_MAX || g->weight[i] > INT32_MAX || g->out[i] > INT32_MAX) return false;
  return true;
}

bool vc_cuda_conv_cudnn_fits(const vc_device *d, const vc_conv *op) {
  (void)d;
  const vc_epilogue *e = &op->epilogue;
  geometry g;
  if (op->dtype != VC_F32 && op->dtype != VC_F16 && op->dtype != VC_BF16) return false;
  int64_t n = ALIGNMENT / (int64_t)vc_dtype_size(op->dtype), k = op->kernel[0] * op->kernel[1] * op->kernel[2];
  if (op->groups != 1 || op->c[1] || op->upsample != 1 || op->c[0] % n || op->c_out % n) return false;
  if (vc_cuda_pitch(k * op->c[0]) != k * op->c[0]) return false;
  if (e->residual && e->residual == op->out) return false;  // overwritten before it would be read
  return aligned(op->x[0]) && aligned(op->weight) && aligned(op->out) && find_geometry(op, &g);
}

// ---- building

static cudnnStatus_t make(cudnnBackendDescriptor_t *out, cudnnBackendDescriptorType_t type) {
  cudnnStatus_t code = cudnnBackendCreateDescriptor(type, out);
  if (code) *out = NULL;
  return code;
}

static void destroy(cudnnBackendDescriptor_t *descriptor) {
  if (*descriptor) cudnnBackendDestroyDescriptor(*descriptor);
  *descriptor = NULL;
}

static void destroy_plan(void *memory) {
  plan *p = memory;
  for (int i = PARTS - 1; i >= 0; i--) destroy(&p->part[i]);
  p->found = false;
}

typedef struct attribute {
  cudnnBackendAttributeName_t name;
  cudnnBackendAttributeType_t type;
  int64_t count;
  const void *values;
} attribute;

static cudnnStatus_t build(cudnnBackendDescriptor_t *out, cudnnBackendDescriptorType_t type, const attribute *a,
                           int count) {
  cudnnStatus_t code = make(out, type);
  for (int i = 0; i < count && !code; i++)
    code = cudnnBackendSetAttribute(*out, a[i].name, a[i].type, a[i].count, a[i].values);
  return code ? code : cudnnBackendFinalize(*out);
}

#define BUILD(out, type, ...) \
  build(out, type, (attribute[]){__VA_ARGS__}, (int)(sizeof((attribute[]){__VA_ARGS__}) / sizeof(attribute)))

// Channels-last.
static cudnnStatus_t build_tensor(cudnnBackendDescriptor_t *out, vc_dtype dtype, int64_t id, const int64_t *size) {
  const cudnnDataType_t type = dtype == VC_F16    ? CUDNN_DATA_HALF
                               : dtype == VC_BF16 ? CUDNN_DATA_BFLOAT16
                                                  : CUDNN_DATA_FLOAT;
  const int64_t alignment = ALIGNMENT, stride[] = {size[1] * size[2] * size[3], 1, size[1] * size[3], size[1]};
  return BUILD(out, CUDNN_BACKEND_TENSOR_DESCRIPTOR, {CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type},
               {CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, size},
               {CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, stride},
               {CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &id},
               {CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, &alignment});
}

static cudnnStatus_t build_convolution(cudnnBackendDescriptor_t *out, const geometry *g) {
  const cudnnDataType_t sums = CUDNN_DATA_FLOAT;
  const cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
  const int64_t dimensions = 2;
  return BUILD(out, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR,
               {CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, 1, &dimensions},
               {CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &sums},
               {CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode},
               {CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, 2, g->before},
               {CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, 2, g->after},
               {CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, 2, g->stride},
               {CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, 2, g->dilation});
}

static cudnnStatus_t build_graph(vc_device *d, plan *p, vc_dtype dtype, const geometry *g) {
  const float one = 1, zero = 0;
  cudnnBackendDescriptor_t *part = p->part;
  cudnnStatus_t code = build_tensor(&part[X], dtype, X_ID, g->x);
  if (!code) code = build_tensor(&part[WEIGHT], dtype, WEIGHT_ID, g->weight);
  if (!code) code = build_tensor(&part[OUT], dtype, OUT_ID, g->out);
  if (!code) code = build_convolution(&part[CONVOLUTION], g);
  if (!code)
    code = BUILD(
        &part[OPERATION], CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
        {CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &part[CONVOLUTION]},
        {CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &part[X]},
        {CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &part[WEIGHT]},
        {CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &part[OUT]},
        {CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA, CUDNN_TYPE_FLOAT, 1, &one},
        {CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA, CUDNN_TYPE_FLOAT, 1, &zero});
  if (!code)
    code = BUILD(&part[GRAPH], CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR,
                 {CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &part[OPERATION]},
                 {CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1, &d->cudnn});
  return code;
}

// The engine's sums are as exact as ours, and the same on every run.
static bool is_exact(cudnnBackendDescriptor_t config, vc_dtype dtype) {
  cudnnBackendDescriptor_t engine = NULL;
  cudnnBackendNumericalNote_t note[CUDNN_NUMERICAL_NOTE_TYPE_COUNT];
  int64_t count = 0;
  cudnnStatus_t code = make(&engine, CUDNN_BACKEND_ENGINE_DESCRIPTOR);
  if (!code)
    code = cudnnBackendGetAttribute(config, CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &count,
                                    &engine);
  if (!code)
    code = cudnnBackendGetAttribute(engine, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE,
                                    CUDNN_NUMERICAL_NOTE_TYPE_COUNT, &count, note);
  bool exact = !code;
  for (int64_t i = 0; i < count && i < CUDNN_NUMERICAL_NOTE_TYPE_COUNT && exact; i++) {
    // On tensor cores fp32 becomes TF32. Which NaN rules an engine keeps is all that is left to it.
    if (note[i] == CUDNN_NUMERICAL_NOTE_TENSOR_CORE)
      exact = dtype != VC_F32;
    else
      exact = note[i] == CUDNN_NUMERICAL_NOTE_STRICT_NAN_PROP;
  }
  destroy(&engine);
  return exact;
}

static bool try_config(vc_device *d, plan *p, cudnnBackendDescriptor_t config, vc_dtype dtype) {
  int64_t workspace = 0, count = 0;
  if (!is_exact(config, dtype)) return false;
  cudnnStatus_t code = BUILD(&p->part[PLAN], CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR,
                             {CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1, &d->cudnn},
                             {CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &config});
  if (!code)
    code = cudnnBackendGetAttribute(p->part[PLAN], CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1,
                                    &count, &workspace);
  p->found = !code && workspace <= VC_CUDA_WORKSPACE;
  if (!p->found) destroy(&p->part[PLAN]);
  return p->found;
}

// Tries the engines that cuDNN proposes, best first.
static cudnnStatus_t try_mode(vc_device *d, plan *p, cudnnBackendHeurMode_t mode, vc_dtype dtype) {
  cudnnBackendDescriptor_t heuristic = NULL, config[CONFIGS] = {NULL};
  int64_t count = 0;
  cudnnStatus_t code = BUILD(&heuristic, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR,
                             {CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &p->part[GRAPH]},
                             {CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode});
  for (int i = 0; i < CONFIGS && !code; i++) code = make(&config[i], CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
  if (!code)
    code = cudnnBackendGetAttribute(heuristic, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, CONFIGS,
                                    &count, config);
  for (int64_t i = 0; i < count && i < CONFIGS && !code && !p->found; i++) {
    if (!try_config(d, p, config[i], dtype)) continue;
    p->part[CONFIG] = config[i];
    config[i] = NULL;
  }
  for (int i = 0; i < CONFIGS; i++) destroy(&config[i]);
  destroy(&heuristic);
  if (!code && !p->found) code = CUDNN_STATUS_NOT_SUPPORTED;
  return code;
}

static cudnnStatus_t make_plan(vc_device *d, const vc_conv *op, plan *p) {
  geometry g;
  if (!find_geometry(op, &g)) return CUDNN_STATUS_NOT_SUPPORTED;
  cudnnStatus_t code = build_graph(d, p, op->dtype, &g);
  if (!code && try_mode(d, p, CUDNN_HEUR_MODE_A, op->dtype)) code = try_mode(d, p, CUDNN_HEUR_MODE_FALLBACK, op->dtype);
  if (code) destroy_plan(p);
  return code;
}

// The plan for this shape; one that could not be made is not tried again before a launch needs it.
static plan *plan_of(vc_device *d, const vc_conv *op, bool again, cudnnStatus_t *code) {
  const int64_t shape[] = {
      VC_CUDA_MEMO_CUDNN, op->dtype,     op->n,           op->f,           op->h,          op->w,
      op->c[0],           op->c_out,     op->f_out,       op->h_out,       op->w_out,      op->kernel[0],
      op->kernel[1],      op->kernel[2], op->stride[0],   op->stride[1],   op->stride[2],  op->pad[0],
      op->pad[1],         op->pad[2],    op->dilation[0], op->dilation[1], op->dilation[2]};
  bool is_new;
  plan *p = vc_cuda_remember(d, VC_OP_CONV, shape, sizeof shape / sizeof *shape, sizeof *p, &is_new);
  *code = p ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED;
  if (!p) return NULL;
  if (is_new) vc_cuda_when_forgotten(p, destroy_plan);
  if (!p->found) *code = is_new || again ? make_plan(d, op, p) : CUDNN_STATUS_NOT_SUPPORTED;
  return p;
}

bool vc_cuda_conv_cudnn_ready(vc_device *d, const vc_conv *op) {
  cudnnStatus_t code;
  plan_of(d, op, false, &code);
  return !code;
}

// ---- running

static cudnnStatus_t execute(vc_device *d, const vc_conv *op, const plan *p) {
  const int64_t id[] = {X_ID, WEIGHT_ID, OUT_ID};
  const void *pointer[] = {op->x[0], op->weight, op->out};
  cudnnBackendDescriptor_t pack = NULL;
  cudnnStatus_t code =
      BUILD(&pack, CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, {CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, 3, id},
            {CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, 3, pointer},
            {CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &d->workspace});
  if (!code) code = cudnnBackendExecute(d->cudnn, p->part[PLAN], pack);
  destroy(&pack);
  return code;
}

vc_status vc_cuda_conv_cudnn(vc_device *d, const vc_conv *op, vc_error *error) {
  const vc_epilogue *e = &op->epilogue;
  cudnnStatus_t code;
  const plan *p = plan_of(d, op, true, &code);
  vc_status status = vc_cuda_check_cudnn(code, "describing a convolution", error);
  if (!status) status = vc_cuda_check_cudnn(execute(d, op, p), "a convolution", error);
  if (status) return vc_fail_in(error, status, "op conv");
  cudaError_t pass = cudaSuccess;
  if (e->bias || e->addend || e->residual || e->activation != VC_ACT_NONE)
    pass = vc_cuda_epilogue_pass(d, op->dtype, e, op->n * op->f_out * op->h_out * op->w_out, op->c_out, op->out);
  return vc_cuda_launched(d, VC_OP_CONV, VC_CUDA_CUDNN, pass, error);
}
