// The matrix product of the libraries' stand-ins.
#ifndef VC_TESTS_CUDA_ON_HOST_PRODUCT_H
#define VC_TESTS_CUDA_ON_HOST_PRODUCT_H

#include <stdint.h>

namespace cuda_on_host {
// out [m, n] = x [m, k] weight [n, k]', dense, in fp32 on this thread alone.
void product(int64_t m, int64_t n, int64_t k, const float *x, const float *weight, float *out);
}  // namespace cuda_on_host

#endif
