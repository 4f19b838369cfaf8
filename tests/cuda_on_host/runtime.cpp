// Stand-ins for calls of the CUDA runtime: the device, errors, and what makes a
// launch fail.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <map>
#include <string>

#include "emulator.h"
#include "runtime_calls.h"

namespace cuda_on_host {
static int number_from(const char *variable, int otherwise) {
  const char *text = getenv(variable);
  return text && *text ? atoi(text) : otherwise;
}

static int arch() {
  return number_from("CUDA_ON_HOST_ARCH", 90);
}

bool asynchronous() {
  return number_from("CUDA_ON_HOST_ASYNC", 0) != 0;
}

// CUDA C++ Programming Guide, "Technical Specifications per Compute
// Capability".
size_t shared_bytes_optin() {
  switch (arch()) {
    case 70:
    case 72:
      return 96 << 10;
    case 75:
      return 64 << 10;
    case 80:
    case 87:
      return 163 << 10;
    case 86:
    case 89:
    case 120:
      return 99 << 10;
    default:
      return 227 << 10;
  }
}

// ---- errors

static thread_local cudaError_t last_error = cudaSuccess;

cudaError_t noted(cudaError_t error) {
  if (error != cudaSuccess && error != cudaErrorNotReady) last_error = error;
  return error;
}

// Whether an entry of CUDA_ON_HOST_FAIL, NAME[:N[+]][=CODE], names this call
// and means its `count`th one.
static bool means(const char *entry, size_t length, const char *call, unsigned long count, cudaError_t *code) {
  size_t name = strlen(call);
  if (length < name || strncmp(entry, call, name) != 0) return false;
  const char *at = entry + name, *end = entry + length;
  if (at < end && *at != ':' && *at != '=') return false;
  unsigned long wanted = 1;
  bool later = at == end || *at == '=';
  if (at < end && *at == ':') {
    char *after;
    wanted = strtoul(at + 1, &after, 10);
    at = after;
    later = at < end && *at == '+';
    if (later) at++;
  }
  if (at < end && *at == '=') *code = (cudaError_t)strtoul(at + 1, nullptr, 10);
  return later ? count >= wanted : count == wanted;
}

cudaError_t injected(const char *call, cudaError_t usual) {
  static std::mutex mutex;
  static std::string list;
  static std::map<std::string, unsigned long> calls;
  const char *wanted = getenv("CUDA_ON_HOST_FAIL");
  if (!wanted) wanted = "";
  std::lock_guard<std::mutex> lock(mutex);
  if (list != wanted) {
    list = wanted;
    calls.clear();
  }
  if (list.empty()) return cudaSuccess;
  unsigned long count = ++calls[call];
  for (const char *entry = list.c_str(); *entry;) {
    size_t length = strcspn(entry, ",");
    cudaError_t code = usual;
    if (means(entry, length, call, count, &code)) return code;
    entry += length + (entry[length] == ',');
  }
  return cudaSuccess;
}

bool fails(const char *call) {
  return injected(call, cudaErrorUnknown) != cudaSuccess;
}

// ---- launches

cudaError_t check_launch(dim3 grid, dim3 block, size_t shared_bytes, cudaStream_t) {
  cudaError_t error = injected("launch", cudaErrorLaunchOutOfResources);
  if (error != cudaSuccess) return noted(error);
  uint64_t threads = (uint64_t)block.x * block.y * block.z;
  if (!grid.x || !grid.y || !grid.z || grid.x > 0x7fffffff || grid.y > 65535 || grid.z > 65535 || !threads ||
      threads > 1024 || block.z > 64)
    return noted(cudaErrorInvalidConfiguration);
  if (shared_bytes > shared_bytes_optin()) return noted(cudaErrorInvalidValue);
  return cudaSuccess;
}

void check_pointer(const void *p) {
  if (p && !device_sees(p, 0)) emu::fail("launch", 0, "a kernel gets %p, which is no memory of the device", p);
}

struct Text {
  cudaError_t code;
  const char *name, *text;
};

static const Text texts[] = {
    {cudaSuccess, "cudaSuccess", "no error"},
    {cudaErrorInvalidValue, "cudaErrorInvalidValue", "invalid argument"},
    {cudaErrorMemoryAllocation, "cudaErrorMemoryAllocation", "out of memory"},
    {cudaErrorInitializationError, "cudaErrorInitializationError", "initialization error"},
    {cudaErrorInvalidConfiguration, "cudaErrorInvalidConfiguration", "invalid configuration argument"},
    {cudaErrorInsufficientDriver, "cudaErrorInsufficientDriver",
     "CUDA driver version is insufficient for CUDA runtime version"},
    {cudaErrorNoDevice, "cudaErrorNoDevice", "no CUDA-capable device is detected"},
    {cudaErrorInvalidDevice, "cudaErrorInvalidDevice", "invalid device ordinal"},
    {cudaErrorInvalidResourceHandle, "cudaErrorInvalidResourceHandle", "invalid resource handle"},
    {cudaErrorIllegalState, "cudaErrorIllegalState", "the operation cannot be performed in the present state"},
    {cudaErrorNotReady, "cudaErrorNotReady", "device not ready"},
    {cudaErrorIllegalAddress, "cudaErrorIllegalAddress", "an illegal memory access was encountered"},
    {cudaErrorLaunchOutOfResources, "cudaErrorLaunchOutOfResources", "too many resources requested for launch"},
    {cudaErrorLaunchFailure, "cudaErrorLaunchFailure", "unspecified launch failure"},
    {cudaErrorStreamCaptureUnsupported, "cudaErrorStreamCaptureUnsupported",
     "operation not permitted when stream is capturing"},
    {cudaErrorStreamCaptureInvalidated, "cudaErrorStreamCaptureInvalidated",
     "operation failed due to a previous error during capture"},
    {cudaErrorStreamCaptureImplicit, "cudaErrorStreamCaptureImplicit",
     "operation would make the legacy stream depend on a capturing blocking "
     "stream"},
    {cudaErrorStreamCaptureWrongThread, "cudaErrorStreamCaptureWrongThread",
     "attempt to terminate a thread-local capture sequence from another "
     "thread"},
    {cudaErrorCapturedEvent, "cudaErrorCapturedEvent",
     "operation not permitted on an event last recorded in a capturing stream"},
    {cudaErrorUnknown, "cudaErrorUnknown", "unknown error"},
};

static const Text *text_of(cudaError_t code) {
  static const Text unknown = {cudaErrorUnknown, "unrecognized error code", "unrecognized error code"};
  for (const Text &t : texts)
    if (t.code == code) return &t;
  return &unknown;
}
}  // namespace cuda_on_host

using namespace cuda_on_host;

extern "C" {
cudaError_t cudaGetLastError() {
  cudaError_t error = last_error;
  last_error = cudaSuccess;
  return error;
}

cudaError_t cudaPeekAtLastError() {
  return last_error;
}

const char *cudaGetErrorString(cudaError_t code) {
  return text_of(code)->text;
}

const char *cudaGetErrorName(cudaError_t code) {
  return text_of(code)->name;
}

// ---- the device

cudaError_t cudaGetDeviceCount(int *count) {
  *count = 0;
  cudaError_t error = injected(__func__, cudaErrorInsufficientDriver);
  if (error != cudaSuccess) return noted(error);
  *count = number_from("CUDA_ON_HOST_DEVICES", 1);
  return noted(*count > 0 ? cudaSuccess : cudaErrorNoDevice);
}

static cudaError_t check_device(const char *call, int device) {
  cudaError_t error = injected(call, cudaErrorUnknown);
  if (error != cudaSuccess) return error;
  return device >= 0 && device < number_from("CUDA_ON_HOST_DEVICES", 1) ? cudaSuccess : cudaErrorInvalidDevice;
}

cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *about, int device) {
  cudaError_t error = check_device(__func__, device);
  if (error != cudaSuccess) return noted(error);
  size_t available, total;
  cudaMemGetInfo(&available, &total);
  memset(about, 0, sizeof *about);
  strcpy(about->name, "CUDA on the host");
  about->major = arch() / 10;
  about->minor = arch() % 10;
  about->totalGlobalMem = total;
  about->multiProcessorCount = 4;
  about->warpSize = 32;
  about->maxThreadsPerBlock = 1024;
  about->maxThreadsPerMultiProcessor = 2048;
  about->regsPerBlock = about->regsPerMultiprocessor = 65536;
  about->sharedMemPerBlock = 48 << 10;
  about->sharedMemPerBlockOptin = shared_bytes_optin();
  about->sharedMemPerMultiprocessor = shared_bytes_optin() + 1024;
  about->l2CacheSize = 1 << 20;
  about->concurrentKernels = about->unifiedAddressing = about->canMapHostMemory = 1;
  return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr attribute, int device) {
  struct cudaDeviceProp about;
  cudaError_t error = check_device(__func__, device);
  if (error == cudaSuccess) error = cudaGetDeviceProperties(&about, device);
  if (error != cudaSuccess) return noted(error);
  switch (attribute) {
    case cudaDevAttrComputeCapabilityMajor:
      *value = about.major;
      return cudaSuccess;
    case cudaDevAttrComputeCapabilityMinor:
      *value = about.minor;
      return cudaSuccess;
    case cudaDevAttrMultiProcessorCount:
      *value = about.multiProcessorCount;
      return cudaSuccess;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      *value = (int)about.sharedMemPerBlockOptin;
      return cudaSuccess;
    case cudaDevAttrL2CacheSize:
      *value = about.l2CacheSize;
      return cudaSuccess;
    default:
      return noted(cudaErrorInvalidValue);
  }
}

cudaError_t cudaSetDevice(int device) {
  return noted(check_device(__func__, device));
}

cudaError_t cudaGetDevice(int *device) {
  *device = 0;
  return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int *version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int *version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}

cudaError_t cudaFuncSetAttribute(const void *kernel, enum cudaFuncAttribute attribute, int value) {
  cudaError_t error = injected(__func__, cudaErrorInvalidValue);
  bool fits =
      attribute != cudaFuncAttributeMaxDynamicSharedMemorySize || (value >= 0 && (size_t)value <= shared_bytes_optin());
  if (error == cudaSuccess && (!kernel || !fits)) error = cudaErrorInvalidValue;
  return noted(error);
}
}
