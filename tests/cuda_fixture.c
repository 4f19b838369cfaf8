// Empty in a build without the CUDA backend.
#ifdef VC_CUDA_LINKED
#include "tests/cuda_fixture.h"

#include <criterion/criterion.h>

const char cuda_fail[] = "CUDA_ON_HOST_FAIL";

vc_device *cuda_opened(void) {
  vc_device *device = NULL;
  vc_error error = {{0}};
  cr_assert_eq(vc_cuda_open(&device, 0, VC_CUDA_OWN, &error), VC_OK, "%s", error.message);
  return device;
}

void *cuda_allocated(vc_device *device, size_t bytes) {
  void *memory = NULL;
  vc_error error;
  cr_assert_eq(vc_backend_cuda.allocate(device, bytes, &memory, &error), VC_OK, "%s", error.message);
  return memory;
}

void cuda_upload(vc_device *device, void *to, const void *from, size_t bytes) {
  vc_error error;
  cr_assert_eq(vc_backend_cuda.upload(device, to, from, bytes, &error), VC_OK, "%s", error.message);
}

void cuda_download(vc_device *device, void *to, const void *from, size_t bytes) {
  vc_error error;
  cr_assert_eq(vc_backend_cuda.download(device, to, from, bytes, &error), VC_OK, "%s", error.message);
  cr_assert_eq(vc_backend_cuda.wait(device, &error), VC_OK, "%s", error.message);
}
#endif
