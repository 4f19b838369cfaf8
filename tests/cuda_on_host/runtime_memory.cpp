// Stand-ins for calls of the CUDA runtime: memory and copies. Allocations come from malloc one by one, so that
// AddressSanitizer sees what kernels do with them, and begin as NaN in every type.
#include <stdlib.h>
#include <string.h>

#include <map>

#include "runtime_calls.h"

namespace cuda_on_host {
struct Allocation {
  size_t bytes;
  bool pinned;
};

static std::mutex mutex;
static size_t used;

static std::map<uintptr_t, Allocation> &allocations() {
  static auto *all = new std::map<uintptr_t, Allocation>;  // outlives whatever frees memory at exit
  return *all;
}

static size_t device_bytes() {
  const char *text = getenv("CUDA_ON_HOST_MEMORY");
  return (text ? strtoull(text, nullptr, 10) : 16384) << 20;
}

enum class Place { pageable, pinned, device, outside };

// Where [p, p + bytes) lies; outside: begins in an allocation and ends elsewhere.
static Place place_of(const void *p, size_t bytes) {
  std::lock_guard<std::mutex> lock(mutex);
  auto next = allocations().upper_bound((uintptr_t)p);
  if (next == allocations().begin()) return Place::pageable;
  auto &[base, block] = *--next;
  size_t offset = (uintptr_t)p - base;
  if (offset > block.bytes || (offset == block.bytes && bytes)) return Place::pageable;
  if (bytes > block.bytes - offset) return Place::outside;
  return block.pinned ? Place::pinned : Place::device;
}

bool device_sees(const void *p, size_t bytes) {
  Place place = place_of(p, bytes);
  return place == Place::device || place == Place::pinned;
}

static cudaError_t allocate(void **out, size_t bytes, bool pinned) {
  *out = nullptr;
  if (!bytes) return cudaSuccess;
  std::lock_guard<std::mutex> lock(mutex);
  if (!pinned && (bytes > device_bytes() || used > device_bytes() - bytes)) return cudaErrorMemoryAllocation;
  void *p;
  if (posix_memalign(&p, 256, bytes)) return cudaErrorMemoryAllocation;
  memset(p, 0xFF, bytes);
  allocations()[(uintptr_t)p] = {bytes, pinned};
  if (!pinned) used += bytes;
  *out = p;
  return cudaSuccess;
}

static cudaError_t release(void *p, bool pinned) {
  if (!p) return cudaSuccess;
  finish_all();  // both wait for the device
  std::lock_guard<std::mutex> lock(mutex);
  auto found = allocations().find((uintptr_t)p);
  if (found == allocations().end() || found->second.pinned != pinned) return cudaErrorInvalidValue;
  if (!pinned) used -= found->second.bytes;
  allocations().erase(found);
  free(p);
  return cudaSuccess;
}

// ---- copies

// Whether a copy in that direction may have an end at p.
static bool may_copy(const void *p, size_t bytes, bool device) {
  Place place = place_of(p, bytes);
  return device ? place == Place::device || place == Place::pinned : place == Place::pageable || place == Place::pinned;
}

static bool check_ends(const void *to, size_t to_bytes, const void *from, size_t from_bytes, cudaMemcpyKind kind) {
  bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  if (kind == cudaMemcpyDefault) {
    to_device = place_of(to, to_bytes) != Place::pageable;
    from_device = place_of(from, from_bytes) != Place::pageable;
  } else if ((unsigned)kind > cudaMemcpyDefault) {
    return false;
  }
  return may_copy(to, to_bytes, to_device) && may_copy(from, from_bytes, from_device);
}

static bool is_pageable(const void *p) {
  return place_of(p, 1) == Place::pageable;
}

static cudaError_t copy_rows(const char *call, void *to, size_t to_pitch, const void *from, size_t from_pitch,
                             size_t width, size_t rows, cudaMemcpyKind kind, cudaStream_t stream) {
  cudaError_t error = injected(call, cudaErrorUnknown);
  if (error != cudaSuccess) return error;
  if (!width || !rows) return cudaSuccess;
  if (!to || !from || to_pitch < width || from_pitch < width) return cudaErrorInvalidValue;
  if (!check_ends(to, (rows - 1) * to_pitch + width, from, (rows - 1) * from_pitch + width, kind))
    return cudaErrorInvalidValue;
  cudaStreamCaptureStatus capture = cudaStreamCaptureStatusNone;
  error = cudaStreamIsCapturing(stream, &capture);
  if (error != cudaSuccess) return error;
  // Memory that is not pinned would be copied by the call itself, which a graph does not repeat.
  if (capture != cudaStreamCaptureStatusNone && (is_pageable(to) || is_pageable(from))) return not_in_capture();
  return enqueue(stream, [=] {
    for (size_t row = 0; row < rows; row++)
      memcpy((char *)to + row * to_pitch, (const char *)from + row * from_pitch, width);
  });
}

static cudaError_t fill(const char *call, void *p, int value, size_t bytes, cudaStream_t stream) {
  cudaError_t error = injected(call, cudaErrorUnknown);
  if (error != cudaSuccess || !bytes) return error;
  if (!device_sees(p, bytes)) return cudaErrorInvalidValue;
  return enqueue(stream, [=] { memset(p, value, bytes); });
}
}  // namespace cuda_on_host

using namespace cuda_on_host;

static cudaError_t allocate_call(const char *call, void **p, size_t bytes, bool pinned) {
  cudaError_t error = injected(call, cudaErrorMemoryAllocation);
  if (error == cudaSuccess) error = not_in_capture();
  if (error == cudaSuccess) error = p ? allocate(p, bytes, pinned) : cudaErrorInvalidValue;
  return noted(error);
}

static cudaError_t release_call(const char *call, void *p, bool pinned) {
  cudaError_t error = injected(call, cudaErrorUnknown);
  if (error == cudaSuccess) error = not_in_capture();
  if (error == cudaSuccess) error = release(p, pinned);
  return noted(error);
}

extern "C" {
cudaError_t cudaMalloc(void **p, size_t bytes) {
  return allocate_call(__func__, p, bytes, false);
}

cudaError_t cudaFree(void *p) {
  return release_call(__func__, p, false);
}

cudaError_t cudaMallocHost(void **p, size_t bytes) {
  return allocate_call(__func__, p, bytes, true);
}

cudaError_t cudaHostAlloc(void **p, size_t bytes, unsigned) {
  return allocate_call(__func__, p, bytes, true);
}

cudaError_t cudaFreeHost(void *p) {
  return release_call(__func__, p, true);
}

cudaError_t cudaMemGetInfo(size_t *available, size_t *total) {
  std::lock_guard<std::mutex> lock(mutex);
  *total = device_bytes();
  *available = *total > used ? *total - used : 0;
  return cudaSuccess;
}

cudaError_t cudaPointerGetAttributes(struct cudaPointerAttributes *about, const void *p) {
  Place place = place_of(p, 1);
  memset(about, 0, sizeof *about);
  about->type = place == Place::device   ? cudaMemoryTypeDevice
                : place == Place::pinned ? cudaMemoryTypeHost
                                         : cudaMemoryTypeUnregistered;
  about->devicePointer = place == Place::pageable ? nullptr : (void *)p;
  about->hostPointer = place == Place::device ? nullptr : (void *)p;
  return cudaSuccess;
}

// On device memory it does not wait for the device.
cudaError_t cudaMemset(void *p, int value, size_t bytes) {
  cudaError_t error = not_in_capture();
  return noted(error == cudaSuccess ? fill(__func__, p, value, bytes, nullptr) : error);
}

cudaError_t cudaMemsetAsync(void *p, int value, size_t bytes, cudaStream_t stream) {
  return noted(fill(__func__, p, value, bytes, stream));
}

cudaError_t cudaMemcpy(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind) {
  cudaError_t error = not_in_capture();
  if (error == cudaSuccess) error = copy_rows(__func__, to, bytes, from, bytes, bytes, 1, kind, nullptr);
  if (error == cudaSuccess) error = finish_stream(nullptr);
  return noted(error);
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind, cudaStream_t stream) {
  return noted(copy_rows(__func__, to, bytes, from, bytes, bytes, 1, kind, stream));
}

cudaError_t cudaMemcpy2DAsync(void *to, size_t to_pitch, const void *from, size_t from_pitch, size_t width, size_t rows,
                              enum cudaMemcpyKind kind, cudaStream_t stream) {
  return noted(copy_rows(__func__, to, to_pitch, from, from_pitch, width, rows, kind, stream));
}
}
