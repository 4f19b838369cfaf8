// Floats in device memory, for tests of the emulator.
#ifndef VC_TESTS_CUDA_MEMORY_H
#define VC_TESTS_CUDA_MEMORY_H

#include <criterion/criterion.h>
#include <cuda_runtime_api.h>

#include <vector>

static inline float *device_floats(size_t count) {
  void *p = nullptr;
  cr_assert_eq(cudaMalloc(&p, count * sizeof(float)), cudaSuccess);
  return (float *)p;
}

static inline std::vector<float> downloaded(const float *p, size_t count) {
  std::vector<float> out(count);
  cr_assert_eq(cudaMemcpy(out.data(), p, count * sizeof(float), cudaMemcpyDeviceToHost), cudaSuccess);
  return out;
}

#endif
