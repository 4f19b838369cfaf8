// Linear layers by cuBLASLt: out = x W' + bias + residual, sums in fp32 whatever the storage, no TF32.
//
// cuBLASLt is column-major: what lies in memory as x [rows, c], W [c_out, pitch] and out [rows, c_out] is to it x' with
// x_stride elements between columns, W' and out', so that it is asked for out' = (W')' x', "TN". The residual is its C.
//
// What it has and is not used: its GELU is the tanh approximation, ours is exact; its RELU turns NaN into 0, ours keeps
// it. Its bias must be in the dtype of out: F16 and BF16 get one rounded by a small kernel at each launch, because a
// kept copy would go stale when parameters are loaded anew at the same address. Sums that are split over k and put
// together in the storage's dtype are ruled out.
#include <string.h>

#include "kernels/cuda/choose.h"

enum {
  ALIGNMENT = 16,
  BIAS_ROOM = 1 << 20,  // at the beginning of the device's workspace; the rest is cuBLASLt's
};

// What cuBLASLt is asked with. Its descriptors can lie in our memory, and nothing has to be destroyed.
typedef struct plan {
  bool found;
  cublasLtMatmulDescOpaque_t product;
  cublasLtMatrixLayoutOpaque_t weight, x, out;
  cublasLtMatmulAlgo_t algorithm;
} plan;

static cudaDataType_t type_of(vc_dtype dtype) {
  return dtype == VC_F16 ? CUDA_R_16F : dtype == VC_BF16 ? CUDA_R_16BF : CUDA_R_32F;
}

static bool aligned(const void *p) {
  return (uintptr_t)p % ALIGNMENT == 0;
}

bool vc_cuda_linear_cublaslt_fits(const vc_device *d, const vc_linear *op) {
  (void)d;
  const vc_epilogue *e = &op->epilogue;
  if (op->dtype != VC_F32 && op->dtype != VC_F16 && op->dtype != VC_BF16) return false;
  int64_t n = ALIGNMENT / (int64_t)vc_dtype_size(op->dtype);
  if (op->c[1] || e->addend || e->rows_per_addend || e->activation != VC_ACT_NONE) return false;
  if (op->c[0] % n || op->x_stride % n || op->c_out % n || op->c_out > BIAS_ROOM / (int64_t)sizeof(float)) return false;
  if (op->rows > INT32_MAX || op->c[0] > INT32_MAX || op->x_stride > INT32_MAX) return false;
  return aligned(op->x[0]) && aligned(op->weight) && aligned(op->out) && aligned(e->residual) && aligned(e->bias);
}

static cublasStatus_t describe_product(vc_device *d, const vc_linear *op, bool biased, plan *p) {
  const int32_t transposed = CUBLAS_OP_T, plain = CUBLAS_OP_N;
  const uint32_t epilogue = biased ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT;
  cublasLtMatmulDesc_t product = &p->product;
  cublasStatus_t code = cublasLtMatmulDescInit(product, CUBLAS_COMPUTE_32F, CUDA_R_32F);
  if (!code)
    code = cublasLtMatmulDescSetAttribute(product, CUBLASLT_MATMUL_DESC_TRANSA, &transposed, sizeof transposed);
  if (!code) code = cublasLtMatmulDescSetAttribute(product, CUBLASLT_MATMUL_DESC_TRANSB, &plain, sizeof plain);
  if (!code) code = cublasLtMatmulDescSetAttribute(product, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof epilogue);
  if (biased && !code) {
    const int32_t type = (int32_t)type_of(op->dtype);
    const void *any = d->workspace;  // its alignment counts
    code = cublasLtMatmulDescSetAttribute(product, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, &type, sizeof type);
    if (!code) code = cublasLtMatmulDescSetAttribute(product, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &any, sizeof any);
  }
  return code;
}

static cublasStatus_t describe_matrices(const vc_linear *op, plan *p) {
  cudaDataType_t type = type_of(op->dtype);
  uint64_t rows = (uint64_t)op->rows, c = (uint64_t)op->c[0], c_out = (uint64_t)op->c_out;
  cublasStatus_t code = cublasLtMatrixLayoutInit(&p->weight, type, c, c_out, vc_cuda_pitch(op->c[0]));
  if (!code) code = cublasLtMatrixLayoutInit(&p->x, type, c, rows, op->x_stride);
  if (!code) code = cublasLtMatrixLayoutInit(&p->out, type, c_out, rows, op->c_out);
  return code;
}

static cublasStatus_t set_preferences(cublasLtMatmulPreference_t preference) {
  static const cublasLtMatmulPreferenceAttributes_t alignments[] = {
      CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
      CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES};
  const uint64_t workspace = VC_CUDA_WORKSPACE - BIAS_ROOM;
  const uint32_t alignment = ALIGNMENT, schemes = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
  cublasStatus_t code = cublasLtMatmulPreferenceInit(preference);
  if (!code)
    code = cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace,
                                                sizeof workspace);
  if (!code)
    code = cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &schemes,
                                                sizeof schemes);
  for (size_t i = 0; i < sizeof alignments / sizeof *alignments && !code; i++)
    code = cublasLtMatmulPreferenceSetAttribute(preference, alignments[i], &alignment, sizeof alignment);
  return code;
}

static cublasStatus_t make_plan(vc_device *d, const vc_linear *op, bool biased, plan *p) {
  cublasLtMatmulPreferenceOpaque_t preference;
  cublasLtMatmulHeuristicResult_t result;
  int results = 0;
  cublasStatus_t code = describe_product(d, op, biased, p);
  if (!code) code = describe_matrices(op, p);
  if (!code) code = set_preferences(&preference);
  if (!code)
    code = cublasLtMatmulAlgoGetHeuristic(d->cublaslt, &p->product, &p->weight, &p->x, &p->out, &p->out, &preference, 1,
                                          &result, &results);
  if (!code && !results) code = CUBLAS_STATUS_NOT_SUPPORTED;
  if (!code) code = result.state;
  if (code) return code;
  p->algorithm = result.algo;
  p->found = true;
  return CUBLAS_STATUS_SUCCESS;
}

// The plan for this shape; one that could not be made is not asked for again before a launch needs it.
static plan *plan_of(vc_device *d, const vc_linear *op, bool biased, bool again, cublasStatus_t *code) {
  const int64_t shape[] = {VC_CUDA_MEMO_CUBLASLT, op->dtype, op->rows, op->c[0], op->x_stride, op->c_out, biased};
  bool is_new;
  plan *p = vc_cuda_remember(d, VC_OP_LINEAR, shape, sizeof shape / sizeof *shape, sizeof *p, &is_new);
  *code = p ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_ALLOC_FAILED;
  if (p && !p->found) *code = is_new || again ? make_plan(d, op, biased, p) : CUBLAS_STATUS_NOT_SUPPORTED;
  return p;
}

bool vc_cuda_linear_cublaslt_ready(vc_device *d, const vc_linear *op) {
  cublasStatus_t code = CUBLAS_STATUS_SUCCESS;
  for (int biased = 0; biased < 2 && !code; biased++) plan_of(d, op, biased, false, &code);
  return !code;
}

// The bias as cuBLASLt takes it.
static cudaError_t bias_for(vc_device *d, const vc_linear *op, const void **bias) {
  *bias = op->epilogue.bias;
  if (op->dtype == VC_F32 || !*bias) return cudaSuccess;
  *bias = d->workspace;
  return vc_cuda_bias_pass(d, op->dtype, op->epilogue.bias, op->c_out, d->workspace);
}

vc_status vc_cuda_linear_cublaslt(vc_device *d, const vc_linear *op, vc_error *error) {
  const float one = 1, beta = op->epilogue.residual ? 1 : 0;
  const void *bias, *residual = op->epilogue.residual ? op->epilogue.residual : op->out;
  cublasStatus_t code;
  plan *p = plan_of(d, op, op->epilogue.bias != NULL, true, &code);
  vc_status status = vc_cuda_check_cublaslt(code, "describing a product", error);
  if (!status) status = vc_cuda_check(bias_for(d, op, &bias), "rounding a bias", error);
  if (status) return vc_fail_in(error, status, "op linear");
  if (bias) code = cublasLtMatmulDescSetAttribute(&p->product, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias, sizeof bias);
  if (!code)
    code = cublasLtMatmul(d->cublaslt, &p->product, &one, op->weight, &p->weight, op->x[0], &p->x, &beta, residual,
                          &p->out, op->out, &p->out, &p->algorithm, (char *)d->workspace + BIAS_ROOM,
                          VC_CUDA_WORKSPACE - BIAS_ROOM, d->stream);
  status = vc_cuda_check_cublaslt(code, "a product", error);
  if (status) return vc_fail_in(error, status, "op linear");
  return vc_cuda_launched(d, VC_OP_LINEAR, VC_CUDA_CUBLASLT, cudaSuccess, error);
}
