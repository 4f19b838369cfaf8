// What the tests of the CUDA device share; a failure of any of these fails the test.
#ifndef VC_TESTS_CUDA_FIXTURE_H
#define VC_TESTS_CUDA_FIXTURE_H

#include "kernels/cuda/cuda.h"

// With the backend's own kernels; the caller closes.
vc_device *cuda_opened(void);

void *cuda_allocated(vc_device *device, size_t bytes);
void cuda_upload(vc_device *device, void *to, const void *from, size_t bytes);

// Also waits.
void cuda_download(vc_device *device, void *to, const void *from, size_t bytes);

// The variable in which calls of the runtime are named that a stand-in lets fail; a real GPU's runtime does not listen.
extern const char cuda_fail[];

#endif
