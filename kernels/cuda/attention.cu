// Attention: checks, and the choice of a kernel. It depends on the shape alone; memory that is not aligned, which a
// plan never has at shapes that allow better, takes the kernel that runs everywhere.
#include "kernels/cuda/attention.cuh"

// Rows of a multiple of 16 bytes in half precision, wherever they begin.
static bool rows_are_aligned(const vc_attention *op) {
  const vc_sequence *stride[] = {&op->q_stride, &op->k_stride, &op->v_stride, &op->out_stride};
  if (op->dtype == VC_F32 || (op->head_dim % 8 != 0 && !MUTANT(1))) return false;
  for (int i = MUTANT(2); i < 4 - MUTANT(3); i++)
    if (stride[i]->outer % 8 != 0 || stride[i]->inner % 8 != 0 || stride[i]->row % 8 != 0) return false;
  return true;
}

static bool memory_is_aligned(const vc_attention *op) {
  return is_aligned(op->q) && is_aligned(op->k) && is_aligned(op->v) && is_aligned(op->out);
}

extern "C" vc_status vc_cuda_attention_prepare(vc_device *device, const vc_attention *op, size_t *workspace,
                                               vc_error *error) {
  (void)device;
  *workspace = 0;
  const int64_t results[] = {op->outer, op->inner, op->queries, op->heads, op->head_dim};
  const int64_t context[] = {op->keys, op->heads, op->head_dim};
  if (!vc_op_sizes(5, results) || !vc_op_sizes(3, context))
    return vc_fail(error, VC_INVALID, "%lld x %lld sequences, %lld queries, %lld keys, %lld heads of %lld",
                   (long long)op->outer, (long long)op->inner, (long long)op->queries, (long long)op->keys,
                   (long long)op->heads, (long long)op->head_dim);
  if (op->head_dim > VC_CUDA_ATTENTION_HEAD)
    return vc_fail(error, VC_UNSUPPORTED, "a head of %lld channels; %d is the most", (long long)op->head_dim,
                   VC_CUDA_ATTENTION_HEAD);
  int64_t rows = op->outer * op->inner * op->heads * op->queries;
  if (rows > VC_CUDA_ATTENTION_ROWS || op->keys > VC_CUDA_ATTENTION_ROWS)
    return vc_fail(error, VC_UNSUPPORTED, "%lld queries of all heads and %lld keys; %d is the most", (long long)rows,
                   (long long)op->keys, VC_CUDA_ATTENTION_ROWS);
  return VC_OK;
}

extern "C" vc_status vc_cuda_attention(vc_device *device, const vc_attention *op, vc_error *error) {
  if (rows_are_aligned(op) && memory_is_aligned(op)) {
    if (vc_cuda_attention_short_fits(op)) return vc_cuda_attention_short(device, op, error);
    if (vc_cuda_attention_flash_fits(op)) return vc_cuda_attention_flash(device, op, error);
    if (vc_cuda_attention_wide_fits(op)) return vc_cuda_attention_wide(device, op, error);
  }
  return vc_cuda_attention_simt(device, op, error);
}
