// Stand-ins for the calls of cuDNN that the backend uses: descriptors check what they are given when they are
// finalized, the heuristics propose engines as the real ones do (good and unsuitable ones), and an execution computes
// the convolution in fp32 and rounds once. An engine that breaks a promise (TF32, not the same on every run) gives NaN.
#include <cudnn.h>
#include <string.h>

#include <algorithm>
#include <map>
#include <vector>

#include "engine/tensor.h"
#include "product.h"
#include "runtime.h"

struct cudnnContext {
  cudaStream_t stream;
};

namespace {
// An engine that the heuristics know.
struct engine_kind {
  const char *name;
  std::vector<cudnnBackendNumericalNote_t> notes;
  size_t workspace;
  bool plans;  // finalizing a plan for it succeeds
};

const engine_kind half_engines[] = {
    {"winograd", {CUDNN_NUMERICAL_NOTE_TENSOR_CORE, CUDNN_NUMERICAL_NOTE_WINOGRAD}, 0, true},
    {"split", {CUDNN_NUMERICAL_NOTE_TENSOR_CORE, CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC}, 0, true},
    {"half sums", {CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION}, 0, true},
    {"greedy", {CUDNN_NUMERICAL_NOTE_TENSOR_CORE}, (size_t)1 << 30, true},
    {"unavailable", {CUDNN_NUMERICAL_NOTE_TENSOR_CORE}, 0, false},
    {"good", {CUDNN_NUMERICAL_NOTE_TENSOR_CORE, CUDNN_NUMERICAL_NOTE_STRICT_NAN_PROP}, 1 << 20, true}};
const engine_kind float_engines[] = {
    {"tf32", {CUDNN_NUMERICAL_NOTE_TENSOR_CORE, CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS}, 0, true},
    {"fft", {CUDNN_NUMERICAL_NOTE_FFT}, 0, true},
    {"good", {}, 1 << 20, true}};
const engine_kind fallback_engines[] = {{"slow", {}, 0, true}};

bool is_exact(const engine_kind *e, cudnnDataType_t type) {
  for (auto note : e->notes)
    if (note != CUDNN_NUMERICAL_NOTE_STRICT_NAN_PROP &&
        (note != CUDNN_NUMERICAL_NOTE_TENSOR_CORE || type == CUDNN_DATA_FLOAT))
      return false;
  return true;
}

struct value {
  cudnnBackendAttributeType_t type;
  int64_t count;
  std::vector<char> bytes;
};

struct descriptor {
  cudnnBackendDescriptorType_t type;
  bool final = false;
  std::map<int, value> values;
  const engine_kind *engine = nullptr;  // of ENGINE and ENGINECFG
  const descriptor *graph = nullptr;    // of ENGINECFG
};

size_t size_of(cudnnBackendAttributeType_t type) {
  switch (type) {
    case CUDNN_TYPE_HANDLE:
      return sizeof(cudnnHandle_t);
    case CUDNN_TYPE_DATA_TYPE:
      return sizeof(cudnnDataType_t);
    case CUDNN_TYPE_INT64:
      return sizeof(int64_t);
    case CUDNN_TYPE_FLOAT:
      return sizeof(float);
    case CUDNN_TYPE_VOID_PTR:
    case CUDNN_TYPE_BACKEND_DESCRIPTOR:
      return sizeof(void *);
    case CUDNN_TYPE_CONVOLUTION_MODE:
      return sizeof(cudnnConvolutionMode_t);
    case CUDNN_TYPE_HEUR_MODE:
      return sizeof(cudnnBackendHeurMode_t);
    default:
      return 0;
  }
}

// What a descriptor must be given; -1 stands for any number of elements.
struct rule {
  cudnnBackendDescriptorType_t descriptor;
  cudnnBackendAttributeName_t name;
  cudnnBackendAttributeType_t type;
  int64_t count;
};

const rule rules[] = {
    {CUDNN_BACKEND_TENSOR_DESCRIPTOR, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1},
    {CUDNN_BACKEND_TENSOR_DESCRIPTOR, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4},
    {CUDNN_BACKEND_TENSOR_DESCRIPTOR, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4},
    {CUDNN_BACKEND_TENSOR_DESCRIPTOR, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1},
    {CUDNN_BACKEND_TENSOR_DESCRIPTOR, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1},
    {CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, 1},
    {CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1},
    {CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1},
    {CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, 2},
    {CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, 2},
    {CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, 2},
    {CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, 2},
    {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
     CUDNN_TYPE_BACKEND_DESCRIPTOR, 1},
    {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
     CUDNN_TYPE_BACKEND_DESCRIPTOR, 1},
    {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
     CUDNN_TYPE_BACKEND_DESCRIPTOR, 1},
    {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
     CUDNN_TYPE_BACKEND_DESCRIPTOR, 1},
    {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
     CUDNN_TYPE_FLOAT, 1},
    {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA,
     CUDNN_TYPE_FLOAT, 1},
    {CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1},
    {CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1},
    {CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1},
    {CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1},
    {CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1},
    {CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, CUDNN_TYPE_BACKEND_DESCRIPTOR,
     1},
    {CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, -1},
    {CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, -1},
    {CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1},
};

template <class T>
T get(const descriptor *d, cudnnBackendAttributeName_t name, int64_t i = 0) {
  T out;
  memcpy(&out, d->values.at(name).bytes.data() + (size_t)i * sizeof out, sizeof out);
  return out;
}

const descriptor *link(const descriptor *d, cudnnBackendAttributeName_t name) {
  return (const descriptor *)get<void *>(d, name);
}

struct tensor {
  cudnnDataType_t type;
  int64_t size[4], stride[4], id, alignment;
};

tensor tensor_of(const descriptor *d) {
  tensor t;
  t.type = get<cudnnDataType_t>(d, CUDNN_ATTR_TENSOR_DATA_TYPE);
  t.id = get<int64_t>(d, CUDNN_ATTR_TENSOR_UNIQUE_ID);
  t.alignment = get<int64_t>(d, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT);
  for (int i = 0; i < 4; i++) {
    t.size[i] = get<int64_t>(d, CUDNN_ATTR_TENSOR_DIMENSIONS, i);
    t.stride[i] = get<int64_t>(d, CUDNN_ATTR_TENSOR_STRIDES, i);
  }
  return t;
}

vc_dtype dtype_of(cudnnDataType_t type) {
  return type == CUDNN_DATA_HALF ? VC_F16 : type == CUDNN_DATA_BFLOAT16 ? VC_BF16 : VC_F32;
}

struct convolution {
  tensor x, w, y;
  int64_t before[2], after[2], stride[2], dilation[2];
};

convolution convolution_of(const descriptor *graph) {
  const descriptor *operation = link(graph, CUDNN_ATTR_OPERATIONGRAPH_OPS);
  const descriptor *how = link(operation, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC);
  convolution c;
  c.x = tensor_of(link(operation, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X));
  c.w = tensor_of(link(operation, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W));
  c.y = tensor_of(link(operation, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y));
  for (int i = 0; i < 2; i++) {
    c.before[i] = get<int64_t>(how, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, i);
    c.after[i] = get<int64_t>(how, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, i);
    c.stride[i] = get<int64_t>(how, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, i);
    c.dilation[i] = get<int64_t>(how, CUDNN_ATTR_CONVOLUTION_DILATIONS, i);
  }
  return c;
}

// ---- finalizing

bool tensor_is_good(const tensor &t) {
  if (t.type != CUDNN_DATA_FLOAT && t.type != CUDNN_DATA_HALF && t.type != CUDNN_DATA_BFLOAT16) return false;
  int64_t count = 1;  // channels-last and dense
  for (int i : {1, 3, 2, 0}) {
    if (t.size[i] < 1 || t.stride[i] != count) return false;
    count *= t.size[i];
  }
  return t.alignment >= 1 && !(t.alignment & (t.alignment - 1));
}

bool convolution_is_good(const convolution &c) {
  if (c.x.type != c.w.type || c.x.type != c.y.type || c.x.size[1] != c.w.size[1]) return false;
  if (c.x.size[0] != c.y.size[0] || c.y.size[1] != c.w.size[0]) return false;
  if (c.x.id == c.w.id || c.x.id == c.y.id || c.w.id == c.y.id) return false;
  for (int i = 0; i < 2; i++) {
    int64_t padded = c.x.size[2 + i] + c.before[i] + c.after[i], extent = (c.w.size[2 + i] - 1) * c.dilation[i] + 1;
    if (c.before[i] < 0 || c.after[i] < 0 || c.stride[i] < 1 || c.dilation[i] < 1 || padded < extent) return false;
    if ((padded - extent) / c.stride[i] + 1 != c.y.size[2 + i]) return false;
  }
  return true;
}

cudnnStatus_t check_plan(const descriptor *d) {
  const descriptor *config = link(d, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG);
  if (!config->engine) return CUDNN_STATUS_BAD_PARAM;
  return config->engine->plans ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_NOT_SUPPORTED;
}

cudnnStatus_t check(const descriptor *d) {
  for (const rule &r : rules) {
    if (r.descriptor != d->type) continue;
    auto found = d->values.find(r.name);
    if (found == d->values.end() || (r.count >= 0 && found->second.count != r.count)) return CUDNN_STATUS_BAD_PARAM;
    if (r.type != CUDNN_TYPE_BACKEND_DESCRIPTOR) continue;
    const descriptor *other = link(d, r.name);
    if (!other || (!other->final && other->type != CUDNN_BACKEND_ENGINECFG_DESCRIPTOR)) return CUDNN_STATUS_BAD_PARAM;
  }
  bool good = true;
  switch (d->type) {
    case CUDNN_BACKEND_TENSOR_DESCRIPTOR:
      good = tensor_is_good(tensor_of(d));
      break;
    case CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR:
      good = get<int64_t>(d, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS) == 2 &&
             get<cudnnDataType_t>(d, CUDNN_ATTR_CONVOLUTION_COMP_TYPE) == CUDNN_DATA_FLOAT &&
             get<cudnnConvolutionMode_t>(d, CUDNN_ATTR_CONVOLUTION_CONV_MODE) == CUDNN_CROSS_CORRELATION;
      break;
    case CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR:
      good = get<cudnnHandle_t>(d, CUDNN_ATTR_OPERATIONGRAPH_HANDLE) && convolution_is_good(convolution_of(d));
      break;
    case CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR:
      return check_plan(d);
    case CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR:
      good = d->values.at(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS).count ==
             d->values.at(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS).count;
      break;
    default:
      break;
  }
  return good ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_BAD_PARAM;
}

// ---- asking

// Engines take channels in 16-byte pieces only.
cudnnStatus_t propose(const descriptor *d, int64_t room, int64_t *count, void **out) {
  const descriptor *graph = link(d, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH);
  convolution c = convolution_of(graph);
  int64_t piece = c.x.type == CUDNN_DATA_FLOAT ? 4 : 8;
  const engine_kind *engine = c.x.type == CUDNN_DATA_FLOAT ? float_engines : half_engines;
  size_t engines = c.x.type == CUDNN_DATA_FLOAT ? std::size(float_engines) : std::size(half_engines);
  if (get<cudnnBackendHeurMode_t>(d, CUDNN_ATTR_ENGINEHEUR_MODE) == CUDNN_HEUR_MODE_FALLBACK) {
    engine = fallback_engines;
    engines = std::size(fallback_engines);
  } else if (cuda_on_host::fails("cudnnHeuristics")) {
    engines = 0;
  }
  if (c.x.size[1] % piece || c.y.size[1] % piece) engines = 0;
  *count = 0;
  for (size_t i = 0; i < engines && *count < room; i++) {
    descriptor *config = (descriptor *)out[(*count)++];
    if (!config || config->type != CUDNN_BACKEND_ENGINECFG_DESCRIPTOR) return CUDNN_STATUS_BAD_PARAM;
    config->engine = engine + i;
    config->graph = graph;
    config->final = true;
  }
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t give_notes(const descriptor *d, int64_t room, int64_t *count, void *out) {
  if (!d->engine) return CUDNN_STATUS_BAD_PARAM;
  *count = std::min<int64_t>(room, (int64_t)d->engine->notes.size());
  if (*count) memcpy(out, d->engine->notes.data(), (size_t)*count * sizeof d->engine->notes[0]);
  return CUDNN_STATUS_SUCCESS;
}

// ---- executing

struct job {
  convolution c;
  bool exact;
  const void *x, *w;
  void *y, *workspace;
  size_t workspace_bytes;
};

// The values that an output row of pixels reads: [w_out][taps][c].
void gather(const job &j, const float *image, int64_t y, std::vector<float> &rows) {
  const convolution &c = j.c;
  int64_t channels = c.x.size[1], h = c.x.size[2], w = c.x.size[3], kw = c.w.size[3];
  float *out = rows.data();
  for (int64_t x = 0; x < c.y.size[3]; x++)
    for (int64_t tap = 0; tap < c.w.size[2] * kw; tap++, out += channels) {
      int64_t iy = y * c.stride[0] - c.before[0] + tap / kw * c.dilation[0];
      int64_t ix = x * c.stride[1] - c.before[1] + tap % kw * c.dilation[1];
      if (iy < 0 || iy >= h || ix < 0 || ix >= w)
        std::fill(out, out + channels, 0.0f);
      else
        std::copy_n(image + (iy * w + ix) * channels, channels, out);
    }
}

void run(const job &j) {
  const convolution &c = j.c;
  vc_dtype dtype = dtype_of(c.x.type);
  int64_t k = c.w.stride[0], n = c.w.size[0], m = c.y.size[3];
  std::vector<float> weight((size_t)(n * k)), image((size_t)c.x.stride[0]), rows((size_t)(m * k)),
      sums((size_t)(m * n));
  memset(j.workspace, 0xFF, j.workspace_bytes);  // the library's to write
  vc_to_float(weight.data(), j.w, dtype, weight.size());
  char *out = (char *)j.y;
  for (int64_t i = 0; i < c.x.size[0]; i++) {
    vc_to_float(image.data(), (const char *)j.x + i * c.x.stride[0] * (int64_t)vc_dtype_size(dtype), dtype,
                image.size());
    for (int64_t y = 0; y < c.y.size[2]; y++) {
      gather(j, image.data(), y, rows);
      cuda_on_host::product(m, n, k, rows.data(), weight.data(), sums.data());
      if (!j.exact) std::fill(sums.begin(), sums.end(), __builtin_nanf(""));
      vc_from_float(out, dtype, sums.data(), sums.size());
      out += sums.size() * vc_dtype_size(dtype);
    }
  }
}

void *pointer_of(const descriptor *pack, const tensor &t) {
  for (int64_t i = 0; i < pack->values.at(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS).count; i++)
    if (get<int64_t>(pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, i) == t.id) {
      void *p = get<void *>(pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, i);
      return (uintptr_t)p % (uintptr_t)t.alignment ? nullptr : p;
    }
  return nullptr;
}
}  // namespace

extern "C" {
cudnnStatus_t cudnnCreate(cudnnHandle_t *handle) {
  if (cuda_on_host::fails("cudnnCreate")) return CUDNN_STATUS_NOT_INITIALIZED;
  *handle = new cudnnContext{};
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnDestroy(cudnnHandle_t handle) {
  delete handle;
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnSetStream(cudnnHandle_t handle, cudaStream_t stream) {
  handle->stream = stream;
  return CUDNN_STATUS_SUCCESS;
}
size_t cudnnGetVersion() {
  return CUDNN_VERSION;
}
const char *cudnnGetErrorString(cudnnStatus_t status) {
  return status == CUDNN_STATUS_BAD_PARAM       ? "CUDNN_STATUS_BAD_PARAM"
         : status == CUDNN_STATUS_NOT_SUPPORTED ? "CUDNN_STATUS_NOT_SUPPORTED"
                                                : "CUDNN_STATUS_EXECUTION_FAILED";
}

cudnnStatus_t cudnnBackendCreateDescriptor(cudnnBackendDescriptorType_t type, cudnnBackendDescriptor_t *out) {
  if (cuda_on_host::fails("cudnnBackendCreateDescriptor")) return CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED;
  descriptor *d = new descriptor;
  d->type = type;
  *out = d;
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnBackendDestroyDescriptor(cudnnBackendDescriptor_t memory) {
  delete (descriptor *)memory;
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendSetAttribute(cudnnBackendDescriptor_t memory, cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t type, int64_t count, const void *from) {
  descriptor *d = (descriptor *)memory;
  if (!d || d->final || !from || count < 1) return CUDNN_STATUS_BAD_PARAM;
  for (const rule &r : rules) {
    if (r.descriptor != d->type || r.name != name) continue;
    if (r.type != type) return CUDNN_STATUS_BAD_PARAM;
    const char *bytes = (const char *)from;
    d->values[name] = {type, count, std::vector<char>(bytes, bytes + (size_t)count * size_of(type))};
    return CUDNN_STATUS_SUCCESS;
  }
  return CUDNN_STATUS_BAD_PARAM;
}

cudnnStatus_t cudnnBackendFinalize(cudnnBackendDescriptor_t memory) {
  descriptor *d = (descriptor *)memory;
  if (!d || d->final || cuda_on_host::fails("cudnnBackendFinalize")) return CUDNN_STATUS_BAD_PARAM;
  cudnnStatus_t status = check(d);
  d->final = !status;
  return status;
}

cudnnStatus_t cudnnBackendGetAttribute(cudnnBackendDescriptor_t memory, cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t type, int64_t room, int64_t *count, void *out) {
  const descriptor *d = (const descriptor *)memory;
  if (!d || !d->final || !count || !out || room < 1) return CUDNN_STATUS_BAD_PARAM;
  if (name == CUDNN_ATTR_ENGINEHEUR_RESULTS && type == CUDNN_TYPE_BACKEND_DESCRIPTOR)
    return propose(d, room, count, (void **)out);
  if (name == CUDNN_ATTR_ENGINE_NUMERICAL_NOTE && type == CUDNN_TYPE_NUMERICAL_NOTE)
    return give_notes(d, room, count, out);
  if (name == CUDNN_ATTR_ENGINECFG_ENGINE && type == CUDNN_TYPE_BACKEND_DESCRIPTOR) {
    descriptor *engine = *(descriptor **)out;
    if (!engine || engine->type != CUDNN_BACKEND_ENGINE_DESCRIPTOR) return CUDNN_STATUS_BAD_PARAM;
    engine->engine = d->engine;
    engine->final = true;
    *count = 1;
    return CUDNN_STATUS_SUCCESS;
  }
  if (name == CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE && type == CUDNN_TYPE_INT64) {
    int64_t bytes = (int64_t)link(d, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG)->engine->workspace;
    memcpy(out, &bytes, sizeof bytes);
    *count = 1;
    return CUDNN_STATUS_SUCCESS;
  }
  return CUDNN_STATUS_NOT_SUPPORTED;
}

cudnnStatus_t cudnnBackendExecute(cudnnHandle_t handle, cudnnBackendDescriptor_t plan_memory,
                                  cudnnBackendDescriptor_t pack_memory) {
  const descriptor *plan = (const descriptor *)plan_memory, *pack = (const descriptor *)pack_memory;
  if (!handle || !plan || !pack || !plan->final || !pack->final) return CUDNN_STATUS_BAD_PARAM;
  if (cuda_on_host::fails("cudnnBackendExecute")) return CUDNN_STATUS_EXECUTION_FAILED;
  const descriptor *config = link(plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG);
  if (handle != get<cudnnHandle_t>(plan, CUDNN_ATTR_EXECUTION_PLAN_HANDLE)) return CUDNN_STATUS_BAD_PARAM;
  job j = {};
  j.c = convolution_of(config->graph);
  j.exact = is_exact(config->engine, j.c.x.type);
  j.x = pointer_of(pack, j.c.x);
  j.w = pointer_of(pack, j.c.w);
  j.y = pointer_of(pack, j.c.y);
  j.workspace = get<void *>(pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE);
  j.workspace_bytes = config->engine->workspace;
  if (!j.x || !j.w || !j.y || (j.workspace_bytes && !j.workspace)) return CUDNN_STATUS_BAD_PARAM;
  cuda_on_host::enqueue(handle->stream, [=] {
    run(j);
    cuda_on_host::spend(10 * cuda_on_host::UNIT);
  });
  return CUDNN_STATUS_SUCCESS;
}
}
