// out = epilogue(x0 W0' + x1 W1') on ordinary cores, any shape, in fp32, fp16 and bf16: see product_simt.cuh.
#include "kernels/cuda/product_simt.cuh"

extern "C" bool vc_cuda_linear_simt_fits(const vc_device *device, const vc_linear *op) {
  (void)device;
  return linear_fits(op);
}

template <class T>
static cudaError_t run(const vc_device *d, const vc_linear *op) {
  return run_simt<T, PRODUCT_LINEAR>(d, product_of_linear<T>(op));
}

extern "C" vc_status vc_cuda_linear_simt(vc_device *device, const vc_linear *op, vc_error *error) {
  cudaError_t code = op->dtype == VC_F16    ? run<__half>(device, op)
                     : op->dtype == VC_BF16 ? run<__nv_bfloat16>(device, op)
                                            : run<float>(device, op);
  return vc_cuda_launched(device, VC_OP_LINEAR, VC_CUDA_SIMT, code, error);
}
