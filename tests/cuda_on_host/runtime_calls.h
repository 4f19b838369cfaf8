// What the files of the stand-in for the CUDA runtime share.
#ifndef VC_TESTS_CUDA_ON_HOST_RUNTIME_CALLS_H
#define VC_TESTS_CUDA_ON_HOST_RUNTIME_CALLS_H

#include <memory>
#include <mutex>
#include <unordered_map>

#include "runtime.h"

namespace cuda_on_host {
// Every call begins with the error that was asked for, and ends with noting its own for cudaGetLastError.
cudaError_t noted(cudaError_t error);

// For calls that a capture does not allow: ends the capture that this thread has begun, if any, with an error.
cudaError_t not_in_capture();

bool asynchronous();

// Does what is queued: on one stream, on all.
cudaError_t finish_stream(cudaStream_t stream);
void finish_all();

// Handles are never used twice, so that one which was destroyed is told from a new one.
template <class T>
class Handles {
 public:
  T *make() {
    std::lock_guard<std::mutex> lock(mutex);
    T *handle = new T();
    all[handle].reset(handle);
    return handle;
  }
  bool lives(const T *handle) {
    std::lock_guard<std::mutex> lock(mutex);
    auto found = all.find(handle);
    return found != all.end() && handle->alive;
  }

 private:
  std::mutex mutex;
  std::unordered_map<const T *, std::unique_ptr<T>> all;
};
}  // namespace cuda_on_host

#endif
