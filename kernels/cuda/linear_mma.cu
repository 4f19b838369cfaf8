// out = epilogue(x0 W0' + x1 W1') on tensor cores, fp16 and bf16: see product_mma.cuh.
//
// The released UNet's layers, both passes of guidance (2 x 16 frames); bytes read and written once; the larger of FLOP
// at 798 TFLOP/s and bytes at 3 TB/s, what an H100 has, bounds them:
//   rows   k     columns       GFLOP   MB    us by FLOP, by bytes
//   32768  320   320           6.7     42    8.4   14    projections of the 32 x 32 level: memory is the bound
//   32768  320   960           20      84    25    28    queries, keys and values
//   32768  320   2560, gated   54      107   67    36    GEGLU is applied here, so that 1280 columns are stored
//   8192   640   640           6.7     22    8.4   7.3
//   2048   1280  1280          6.7     14    8.4   4.6   128 tiles of 128 x 160 on 132 multiprocessors
//   512    1280  1280          1.7     6     2.1   2.0   160 tiles of 64 x 64
#include "kernels/cuda/product_mma.cuh"

extern "C" bool vc_cuda_linear_mma_fits(const vc_device *device, const vc_linear *op) {
  return device->major >= 8 && (op->dtype == VC_F16 || op->dtype == VC_BF16) && linear_fits(op);
}

extern "C" size_t vc_cuda_linear_mma_workspace(const vc_device *device, const vc_linear *op) {
  bool gated = op->epilogue.activation == VC_ACT_GEGLU;
  mma_plan plan = plan_mma(device, op->rows, (gated ? 2 : 1) * op->c_out, op->c[0] + op->c[1], gated,
                           mma_vectors(op->c[0], op->c[1], op->x_stride), true);
  return mma_workspace(plan, op->rows, gated && !MUTANT(1));
}

template <class T>
static cudaError_t run(const vc_device *d, const vc_linear *op) {
  return run_mma<T, PRODUCT_LINEAR>(d, product_of_linear<T>(op), op->workspace);
}

extern "C" vc_status vc_cuda_linear_mma(vc_device *device, const vc_linear *op, vc_error *error) {
  cudaError_t code = op->dtype == VC_F16 ? run<__half>(device, op) : run<__nv_bfloat16>(device, op);
  return vc_cuda_launched(device, VC_OP_LINEAR, VC_CUDA_MMA, code, error);
}
