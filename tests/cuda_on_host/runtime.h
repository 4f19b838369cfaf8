// What stand-ins for libraries and kernel launches need of the stand-in for the CUDA runtime. It returns the errors
// that the real one returns for the misuse that it can see, and keeps to the documented guarantees, no more. In the
// environment:
//
//   CUDA_ON_HOST_ASYNC=1      work on a stream is done when somebody waits for it; otherwise at once
//   CUDA_ON_HOST_ARCH=80      the stand-in device's compute capability times ten (90)
//   CUDA_ON_HOST_DEVICES=0    how many devices there are (1)
//   CUDA_ON_HOST_MEMORY=64    MiB of device memory (16384)
//   CUDA_ON_HOST_CLOCK=work   see `spend`; otherwise whatever happens between two events takes 10 ms
//   CUDA_ON_HOST_FAIL=LIST    calls that fail, with commas between them: NAME:N[=CODE] the Nth call of NAME since
//                             the list was set, NAME:N+ that and all later ones, NAME all; with that cudaError_t,
//                             or the one that suits it. The name of kernel launches is "launch".
//
// Time never is the host's, so that what is chosen by measuring is the same on every run.
#ifndef VC_TESTS_CUDA_ON_HOST_RUNTIME_H
#define VC_TESTS_CUDA_ON_HOST_RUNTIME_H

#include <cuda_runtime_api.h>

#include <cstdint>
#include <functional>

namespace cuda_on_host {
// Puts work on a stream: done at once or later, or, while the stream is being
// captured, by every launch of the graph.
cudaError_t enqueue(cudaStream_t stream, std::function<void()> work);

// Lets nanoseconds pass on CUDA_ON_HOST_CLOCK=work; to be called by what is done on a stream. A block of a kernel takes
// UNIT for every thread and every byte of shared memory asked for at the launch, a call of a vendor's library ten
// units.
void spend(uint64_t nanoseconds);
enum { UNIT = 10 };

// The error that a call of this name shall fail with, cudaSuccess mostly.
cudaError_t injected(const char *call, cudaError_t usual);
bool fails(const char *call);

// All of [p, p + bytes) lies in one allocation that the device may use.
bool device_sees(const void *p, size_t bytes);

// What a launch of this size fails with.
cudaError_t check_launch(dim3 grid, dim3 block, size_t shared_bytes, cudaStream_t stream);

// Ends the process when a kernel gets a pointer to memory that the device does
// not see. The end of an array is fine.
void check_pointer(const void *p);
template <class T>
inline void check_argument(T *p) {
  check_pointer(p);
}
template <class T>
inline void check_argument(const T &) {
}

size_t shared_bytes_optin();  // that a block may ask for
}  // namespace cuda_on_host

#endif
