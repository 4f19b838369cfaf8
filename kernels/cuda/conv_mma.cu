// Convolutions on tensor cores, fp16 and bf16, as products whose rows are gathered as they are needed: see
// product_mma.cuh.
//
// The released UNet's layers, both passes of guidance (2 x 16 frames); bytes read and written once; the larger of FLOP
// at 798 TFLOP/s and bytes at 3 TB/s, what an H100 has, bounds them:
//   rows   k         columns   GFLOP   MB   us by FLOP, by bytes
//   32768  9 x 320   320       60      44   76   15
//   32768  3 x 320   320       20      43   25   14   temporal, 3 x 1 x 1
//   8192   9 x 640   640       60      28   76   9.4
//   2048   9 x 1280  1280      60      40   76   13   128 tiles of 128 x 160: k in 2 splits
//   512    9 x 1280  1280      15      32   19   11   32 tiles: k in 4 splits
//   32768  9 x 320   4         0.8     21   0.9  7    the last layer; 64 x 64 tiles waste 15 of 16 columns
// A pixel is read under up to 9 taps, from L2: nothing is kept between taps.
#include "kernels/cuda/product_mma.cuh"

extern "C" bool vc_cuda_conv_mma_fits(const vc_device *device, const vc_conv *op) {
  return device->major >= 8 && (op->dtype == VC_F16 || op->dtype == VC_BF16) && (op->groups == 1 || MUTANT(1)) &&
         conv_fits(op);
}

extern "C" size_t vc_cuda_conv_mma_workspace(const vc_device *device, const vc_conv *op) {
  int64_t rows = op->n * op->f_out * op->h_out * op->w_out;
  int64_t k = op->kernel[0] * op->kernel[1] * op->kernel[2] * (op->c[0] + op->c[1]);
  mma_plan plan = plan_mma(device, rows, op->c_out, k, false, mma_vectors(op->c[0], op->c[1], 0), true);
  return mma_workspace(plan, rows, false);
}

template <class T>
static cudaError_t run(const vc_device *d, const vc_conv *op) {
  return run_mma<T, PRODUCT_CONV>(d, product_of_conv<T>(op), op->workspace);
}

extern "C" vc_status vc_cuda_conv_mma(vc_device *device, const vc_conv *op, vc_error *error) {
  cudaError_t code = op->dtype == VC_F16 ? run<__half>(device, op) : run<__nv_bfloat16>(device, op);
  return vc_cuda_launched(device, VC_OP_CONV, VC_CUDA_MMA, code, error);
}
