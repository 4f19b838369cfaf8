// Stand-ins for the calls of cuBLASLt that the backend uses: as strict about their arguments as the documentation is,
// and stricter where it is vague. Products are computed in fp32 and rounded once.
#include <cublasLt.h>
#include <string.h>

#include <vector>

#include "engine/tensor.h"
#include "product.h"
#include "runtime.h"

struct cublasLtContext {
  int unused;
};

namespace {
enum : uint64_t { PRODUCT = 0x70726f64, LAYOUT, PREFERENCE, ALGORITHM };

struct product {
  uint64_t kind;
  int32_t compute, scale, transposed_a, transposed_b, bias_type;
  uint32_t epilogue;
  const void *bias;
};

struct layout {
  uint64_t kind;
  cudaDataType type;
  uint64_t rows, columns;
  int64_t ld;
};

struct preference {
  uint64_t kind, workspace;
  uint32_t schemes, alignment[4];
};

// An algorithm is good for the problem that it was found for alone.
struct algorithm {
  uint64_t kind, problem, workspace;
  uint32_t alignment[4];
};

static_assert(sizeof(product) <= sizeof(cublasLtMatmulDescOpaque_t), "fits the library's memory");
static_assert(sizeof(layout) <= sizeof(cublasLtMatrixLayoutOpaque_t), "fits the library's memory");
static_assert(sizeof(preference) <= sizeof(cublasLtMatmulPreferenceOpaque_t), "fits the library's memory");
static_assert(sizeof(algorithm) <= sizeof(cublasLtMatmulAlgo_t), "fits the library's memory");

template <class T>
const T *as(const void *memory, uint64_t kind) {
  const T *t = (const T *)memory;
  return t && t->kind == kind ? t : nullptr;
}

const layout *as_layout(cublasLtMatrixLayout_t l) {
  return as<layout>(l, LAYOUT);
}

bool is_float(cudaDataType type) {
  return type == CUDA_R_32F || type == CUDA_R_16F || type == CUDA_R_16BF;
}

vc_dtype dtype_of(cudaDataType type) {
  return type == CUDA_R_16F ? VC_F16 : type == CUDA_R_16BF ? VC_BF16 : VC_F32;
}

uint64_t mix(uint64_t hash, uint64_t value) {
  return (hash ^ value) * 0x100000001b3ull;
}

uint64_t problem_of(const product *p, const layout *a, const layout *b, const layout *d) {
  uint64_t hash = mix(0xcbf29ce484222325ull, p->epilogue);
  for (const layout *l : {a, b, d}) {
    hash = mix(mix(mix(mix(hash, l->type), l->rows), l->columns), (uint64_t)l->ld);
  }
  return hash;
}

cublasStatus_t check(const product *p, const layout *a, const layout *b, const layout *c, const layout *d) {
  if (!p || !a || !b || !c || !d) return CUBLAS_STATUS_INVALID_VALUE;
  for (const layout *l : {a, b, c, d})
    if (!l->rows || !l->columns || l->ld < (int64_t)l->rows) return CUBLAS_STATUS_INVALID_VALUE;
  if (p->compute != CUBLAS_COMPUTE_32F || p->scale != CUDA_R_32F) return CUBLAS_STATUS_NOT_SUPPORTED;
  if (p->transposed_a != CUBLAS_OP_T || p->transposed_b != CUBLAS_OP_N) return CUBLAS_STATUS_NOT_SUPPORTED;
  if (!is_float(a->type) || b->type != a->type || c->type != a->type || d->type != a->type)
    return CUBLAS_STATUS_NOT_SUPPORTED;
  if (a->rows != b->rows || a->columns != d->rows || b->columns != d->columns) return CUBLAS_STATUS_INVALID_VALUE;
  if (c->rows != d->rows || c->columns != d->columns) return CUBLAS_STATUS_INVALID_VALUE;
  if (p->epilogue != CUBLASLT_EPILOGUE_DEFAULT && p->epilogue != CUBLASLT_EPILOGUE_BIAS)
    return CUBLAS_STATUS_NOT_SUPPORTED;
  // A bias has the type of D, whatever ours are.
  if (p->epilogue == CUBLASLT_EPILOGUE_BIAS && p->bias_type != -1 && p->bias_type != d->type)
    return CUBLAS_STATUS_NOT_SUPPORTED;
  return CUBLAS_STATUS_SUCCESS;
}

bool is_aligned(const void *p, uint32_t bytes) {
  return p && (uintptr_t)p % bytes == 0;
}

// What a product works on, taken when it is asked for; the values are read when it is done.
struct job {
  layout a, b, c, d;
  const void *weight, *x, *residual, *bias;
  void *out, *workspace;
  size_t workspace_bytes;
  float alpha, beta;
};

std::vector<float> floats(const void *from, cudaDataType type, size_t count) {
  std::vector<float> out(count);
  vc_to_float(out.data(), from, dtype_of(type), count);
  return out;
}

const char *element(const void *p, cudaDataType type, int64_t index) {
  return (const char *)p + index * (int64_t)vc_dtype_size(dtype_of(type));
}

// [columns, rows] in our view, without the gaps.
std::vector<float> matrix(const void *from, const layout &l) {
  std::vector<float> out(l.rows * l.columns);
  for (uint64_t i = 0; i < l.columns; i++)
    vc_to_float(&out[i * l.rows], element(from, l.type, (int64_t)i * l.ld), dtype_of(l.type), l.rows);
  return out;
}

void run(const job &j) {
  memset(j.workspace, 0xFF, j.workspace_bytes);  // the library's to write: whoever keeps values there must lose them
  std::vector<float> x = matrix(j.x, j.b), weight = matrix(j.weight, j.a), sums(j.d.rows * j.d.columns), bias;
  int64_t m = (int64_t)j.d.columns, n = (int64_t)j.d.rows, k = (int64_t)j.a.rows;
  cuda_on_host::product(m, n, k, x.data(), weight.data(), sums.data());
  if (j.bias) bias = floats(j.bias, j.d.type, (size_t)n);
  for (int64_t i = 0; i < m; i++) {
    float *row = &sums[(size_t)(i * n)];
    std::vector<float> residual;
    if (j.beta != 0) residual = floats(element(j.residual, j.c.type, i * j.c.ld), j.c.type, (size_t)n);
    for (int64_t l = 0; l < n; l++) {
      row[l] *= j.alpha;
      if (j.beta != 0) row[l] += j.beta * residual[(size_t)l];
      if (j.bias) row[l] += bias[(size_t)l];
    }
    vc_from_float((char *)element(j.out, j.d.type, i * j.d.ld), dtype_of(j.d.type), row, (size_t)n);
  }
}

template <class T>
cublasStatus_t put(T *to, const void *value, size_t bytes) {
  if (!value || bytes != sizeof *to) return CUBLAS_STATUS_INVALID_VALUE;
  memcpy(to, value, bytes);
  return CUBLAS_STATUS_SUCCESS;
}
}  // namespace

extern "C" {
cublasStatus_t cublasLtCreate(cublasLtHandle_t *handle) {
  if (cuda_on_host::fails("cublasLtCreate")) return CUBLAS_STATUS_ALLOC_FAILED;
  *handle = new cublasLtContext{};
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) {
  delete handle;
  return CUBLAS_STATUS_SUCCESS;
}
size_t cublasLtGetVersion() {
  return 130000;
}

cublasStatus_t cublasLtMatmulDescInit_internal(cublasLtMatmulDesc_t memory, size_t size, cublasComputeType_t compute,
                                               cudaDataType_t scale) {
  if (!memory || size < sizeof(product)) return CUBLAS_STATUS_INVALID_VALUE;
  *(product *)memory = {PRODUCT, compute, scale, CUBLAS_OP_N, CUBLAS_OP_N, -1, CUBLASLT_EPILOGUE_DEFAULT, nullptr};
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutInit_internal(cublasLtMatrixLayout_t memory, size_t size, cudaDataType type,
                                                 uint64_t rows, uint64_t columns, int64_t ld) {
  if (!memory || size < sizeof(layout)) return CUBLAS_STATUS_INVALID_VALUE;
  *(layout *)memory = {LAYOUT, type, rows, columns, ld};
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceInit_internal(cublasLtMatmulPreference_t memory, size_t size) {
  if (!memory || size < sizeof(preference)) return CUBLAS_STATUS_INVALID_VALUE;
  *(preference *)memory = {PREFERENCE, 0, CUBLASLT_REDUCTION_SCHEME_MASK, {256, 256, 256, 256}};
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t memory, cublasLtMatmulDescAttributes_t attribute,
                                              const void *value, size_t bytes) {
  product *p = (product *)as<product>(memory, PRODUCT);
  if (!p) return CUBLAS_STATUS_INVALID_VALUE;
  switch (attribute) {
    case CUBLASLT_MATMUL_DESC_TRANSA:
      return put(&p->transposed_a, value, bytes);
    case CUBLASLT_MATMUL_DESC_TRANSB:
      return put(&p->transposed_b, value, bytes);
    case CUBLASLT_MATMUL_DESC_EPILOGUE:
      return put(&p->epilogue, value, bytes);
    case CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE:
      return put(&p->bias_type, value, bytes);
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER:
      return put(&p->bias, value, bytes);
    default:
      return CUBLAS_STATUS_NOT_SUPPORTED;
  }
}

cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t memory,
                                                    cublasLtMatmulPreferenceAttributes_t attribute, const void *value,
                                                    size_t bytes) {
  preference *p = (preference *)as<preference>(memory, PREFERENCE);
  if (!p) return CUBLAS_STATUS_INVALID_VALUE;
  switch (attribute) {
    case CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES:
      return put(&p->workspace, value, bytes);
    case CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK:
      return put(&p->schemes, value, bytes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES:
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES:
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES:
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES:
      return put(&p->alignment[attribute - CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES], value, bytes);
    default:
      return CUBLAS_STATUS_NOT_SUPPORTED;
  }
}

// One algorithm for what tensor cores can take in 16-byte pieces, none otherwise. It wants some workspace.
cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc,
                                              cublasLtMatrixLayout_t a_desc, cublasLtMatrixLayout_t b_desc,
                                              cublasLtMatrixLayout_t c_desc, cublasLtMatrixLayout_t d_desc,
                                              cublasLtMatmulPreference_t wanted, int room,
                                              cublasLtMatmulHeuristicResult_t results[], int *count) {
  const product *p = as<product>(desc, PRODUCT);
  const layout *a = as_layout(a_desc), *b = as_layout(b_desc), *c = as_layout(c_desc), *d = as_layout(d_desc);
  const preference *w = as<preference>(wanted, PREFERENCE);
  *count = 0;
  if (!handle || !w || room < 1) return CUBLAS_STATUS_INVALID_VALUE;
  if (cuda_on_host::fails("cublasLtMatmulAlgoGetHeuristic")) return CUBLAS_STATUS_NOT_SUPPORTED;
  cublasStatus_t status = check(p, a, b, c, d);
  if (status) return status;
  if (p->epilogue == CUBLASLT_EPILOGUE_BIAS && !is_aligned(p->bias, 16)) return CUBLAS_STATUS_NOT_SUPPORTED;
  for (const layout *l : {a, b, c, d})
    if (l->ld * (int64_t)vc_dtype_size(dtype_of(l->type)) % 16) return CUBLAS_STATUS_NOT_SUPPORTED;
  algorithm found = {ALGORITHM, problem_of(p, a, b, d), w->workspace < 1 << 20 ? w->workspace : 1 << 20, {}};
  memcpy(found.alignment, w->alignment, sizeof found.alignment);
  memset(&results[0], 0, sizeof results[0]);
  memcpy(&results[0].algo, &found, sizeof found);
  results[0].workspaceSize = found.workspace;
  results[0].state = CUBLAS_STATUS_SUCCESS;
  *count = 1;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc, const void *alpha, const void *a,
                              cublasLtMatrixLayout_t a_desc, const void *b, cublasLtMatrixLayout_t b_desc,
                              const void *beta, const void *c, cublasLtMatrixLayout_t c_desc, void *d,
                              cublasLtMatrixLayout_t d_desc, const cublasLtMatmulAlgo_t *algo, void *workspace,
                              size_t workspace_bytes, cudaStream_t stream) {
  const product *p = as<product>(desc, PRODUCT);
  const algorithm *how = as<algorithm>(algo, ALGORITHM);
  const layout *la = as_layout(a_desc), *lb = as_layout(b_desc), *lc = as_layout(c_desc), *ld = as_layout(d_desc);
  if (!handle || !alpha || !beta || !how) return CUBLAS_STATUS_INVALID_VALUE;
  if (cuda_on_host::fails("cublasLtMatmul")) return CUBLAS_STATUS_EXECUTION_FAILED;
  cublasStatus_t status = check(p, la, lb, lc, ld);
  if (status) return status;
  if (how->problem != problem_of(p, la, lb, ld)) return CUBLAS_STATUS_INVALID_VALUE;
  if (workspace_bytes < how->workspace || !is_aligned(workspace, 256)) return CUBLAS_STATUS_INVALID_VALUE;
  if (!is_aligned(a, how->alignment[0]) || !is_aligned(b, how->alignment[1]) || !is_aligned(c, how->alignment[2]) ||
      !is_aligned(d, how->alignment[3]))
    return CUBLAS_STATUS_INVALID_VALUE;
  if (c == d && lc->ld != ld->ld) return CUBLAS_STATUS_INVALID_VALUE;
  bool biased = p->epilogue == CUBLASLT_EPILOGUE_BIAS;
  if (biased && !is_aligned(p->bias, 16)) return CUBLAS_STATUS_INVALID_VALUE;
  job j = {*la, *lb, *lc, *ld, a, b, c, biased ? p->bias : nullptr, d, workspace, how->workspace, 0, 0};
  memcpy(&j.alpha, alpha, sizeof j.alpha);
  memcpy(&j.beta, beta, sizeof j.beta);
  cuda_on_host::enqueue(stream, [=] {
    run(j);
    cuda_on_host::spend(10 * cuda_on_host::UNIT);
  });
  return CUBLAS_STATUS_SUCCESS;
}
}
