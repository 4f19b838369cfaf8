// The stand-in for the CUDA runtime: what misuse it refuses, with which error,
// and what waits for what.
#include <criterion/criterion.h>

#include <cstdlib>
#include <vector>

#include "kernels/cuda/gpu.cuh"
#include "tests/cuda_memory.h"

static __global__ void add_kernel(float *p, float v) {
  p[threadIdx.x] += v;
}

static cudaError_t add(float *p, float v, cudaStream_t stream) {
  return launch(add_kernel, 1, 64, 0, stream, p, v);
}

static cudaStream_t new_stream(void) {
  cudaStream_t stream;
  cr_assert_eq(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
  return stream;
}

static cudaEvent_t new_event(unsigned flags) {
  cudaEvent_t event;
  cr_assert_eq(cudaEventCreateWithFlags(&event, flags), cudaSuccess);
  return event;
}

// Tests that want work to be done late say so.
static void do_at_once(void) {
  unsetenv("CUDA_ON_HOST_ASYNC");
}

TestSuite(cuda_runtime, .init = do_at_once);

#define EXPECT(call, code) cr_expect_eq(call, code, "%s is not %s", #call, #code)

Test(cuda_runtime, allocations) {
  int local;
  void *d, *h, *none;
  EXPECT(cudaMalloc(&d, 100), cudaSuccess);
  EXPECT(cudaMallocHost(&h, 100), cudaSuccess);
  cr_expect((uintptr_t)d % 256 == 0 && (uintptr_t)h % 256 == 0);
  for (int i = 0; i < 100; i++) cr_expect_eq(((unsigned char *)d)[i], 0xFF);
  EXPECT(cudaFree(&local), cudaErrorInvalidValue);
  EXPECT(cudaFree((char *)d + 1), cudaErrorInvalidValue);
  EXPECT(cudaFree(h), cudaErrorInvalidValue);
  EXPECT(cudaFreeHost(d), cudaErrorInvalidValue);
  EXPECT(cudaFree(nullptr), cudaSuccess);
  size_t before, after, total;
  cudaMemGetInfo(&before, &total);
  EXPECT(cudaFree(d), cudaSuccess);
  EXPECT(cudaFree(d), cudaErrorInvalidValue);
  EXPECT(cudaFreeHost(h), cudaSuccess);
  EXPECT(cudaFreeHost(h), cudaErrorInvalidValue);
  cudaMemGetInfo(&after, &total);
  cr_expect_eq(after - before, 100);
  EXPECT(cudaMalloc(&none, total + 1), cudaErrorMemoryAllocation);
  cr_expect_null(none);
  setenv("CUDA_ON_HOST_MEMORY", "1", 1);
  EXPECT(cudaMalloc(&d, 1 << 20), cudaSuccess);
  EXPECT(cudaMalloc(&none, 1), cudaErrorMemoryAllocation);
  EXPECT(cudaFree(d), cudaSuccess);
}

Test(cuda_runtime, copies) {
  char host[200] = {};
  void *d, *e, *pinned;
  cudaStream_t s = new_stream();
  cudaMalloc(&d, 100);
  cudaMalloc(&e, 100);
  cudaMallocHost(&pinned, 100);
  char *p = (char *)d;
  const struct {
    const char *name;
    void *to;
    const void *from;
    size_t bytes;
    cudaMemcpyKind kind;
    cudaError_t want;
  } cases[] = {
      {"host to device", d, host, 100, cudaMemcpyHostToDevice, cudaSuccess},
      {"pinned to device", d, pinned, 100, cudaMemcpyHostToDevice, cudaSuccess},
      {"device to host", host, p + 50, 50, cudaMemcpyDeviceToHost, cudaSuccess},
      {"device to device", e, d, 100, cudaMemcpyDeviceToDevice, cudaSuccess},
      {"by address", e, host, 100, cudaMemcpyDefault, cudaSuccess},
      {"nothing", nullptr, nullptr, 0, cudaMemcpyHostToDevice, cudaSuccess},
      {"beyond the target", p + 1, host, 100, cudaMemcpyHostToDevice, cudaErrorInvalidValue},
      {"beyond the source", host, p + 60, 41, cudaMemcpyDeviceToHost, cudaErrorInvalidValue},
      {"beyond a pinned source", d, (char *)pinned + 1, 100, cudaMemcpyHostToDevice, cudaErrorInvalidValue},
      {"a host's as a device's", host, host + 100, 100, cudaMemcpyDeviceToHost, cudaErrorInvalidValue},
      {"a device's as a host's", d, e, 100, cudaMemcpyHostToDevice, cudaErrorInvalidValue},
      {"a null target", nullptr, host, 1, cudaMemcpyHostToDevice, cudaErrorInvalidValue},
  };
  for (const auto &c : cases) cr_expect_eq(cudaMemcpyAsync(c.to, c.from, c.bytes, c.kind, s), c.want, "%s", c.name);
  EXPECT(cudaMemsetAsync(d, 1, 101, s), cudaErrorInvalidValue);
  EXPECT(cudaMemsetAsync(host, 1, 1, s), cudaErrorInvalidValue);
  EXPECT(cudaMemset(p + 99, 1, 1), cudaSuccess);
  for (int i = 0; i < 100; i++) host[i] = (char)i;
  EXPECT(cudaMemcpy2DAsync(d, 10, host, 20, 5, 4, cudaMemcpyHostToDevice, s), cudaSuccess);
  for (int i = 0; i < 20; i++) cr_expect_eq(p[i / 5 * 10 + i % 5], (char)(i / 5 * 20 + i % 5));
  EXPECT(cudaMemcpy2DAsync(d, 30, host, 20, 5, 5, cudaMemcpyHostToDevice, s), cudaErrorInvalidValue);
  EXPECT(cudaMemcpy2DAsync(d, 4, host, 20, 5, 2, cudaMemcpyHostToDevice, s), cudaErrorInvalidValue);
  cudaFree(d);
  EXPECT(cudaMemcpyAsync(d, host, 1, cudaMemcpyHostToDevice, s), cudaErrorInvalidValue);
  cudaFree(e);
  cudaFreeHost(pinned);
  cudaStreamDestroy(s);
}

Test(cuda_runtime, launches) {
  float *p = device_floats(64);
  cudaMemset(p, 0, 256);
  const struct {
    const char *name;
    dim3 grid, block;
    size_t shared_bytes;
    const char *arch;
    cudaError_t want;
  } cases[] = {
      {"right", 1, 64, 0, "90", cudaSuccess},
      {"no blocks", 0, 64, 0, "90", cudaErrorInvalidConfiguration},
      {"no threads", 1, 0, 0, "90", cudaErrorInvalidConfiguration},
      {"1025 threads", 1, 1025, 0, "90", cudaErrorInvalidConfiguration},
      {"1056 threads", 1, dim3(32, 33), 0, "90", cudaErrorInvalidConfiguration},
      {"65 deep", 1, dim3(1, 1, 65), 0, "90", cudaErrorInvalidConfiguration},
      {"65536 rows of blocks", dim3(1, 65536), 64, 0, "90", cudaErrorInvalidConfiguration},
      {"65536 layers of blocks", dim3(1, 1, 65536), 64, 0, "90", cudaErrorInvalidConfiguration},
      {"all shared memory", 1, 64, 232448, "90", cudaSuccess},
      {"more shared memory", 1, 64, 232449, "90", cudaErrorInvalidValue},
      {"all shared memory of sm_80", 1, 64, 166912, "80", cudaSuccess},
      {"more shared memory than sm_80 has", 1, 64, 166913, "80", cudaErrorInvalidValue},
  };
  for (const auto &c : cases) {
    setenv("CUDA_ON_HOST_ARCH", c.arch, 1);
    cr_expect_eq(launch(add_kernel, c.grid, c.block, c.shared_bytes, nullptr, p, 1.0f), c.want, "%s", c.name);
    cr_expect_eq(cudaGetLastError(), c.want, "%s", c.name);
    cr_expect_eq(cudaGetLastError(), cudaSuccess, "%s", c.name);
  }
  cr_expect_eq(downloaded(p, 1)[0], 3.0f);
  cudaFree(p);
}

Test(cuda_runtime, destroyed_handles) {
  float *p = device_floats(64);
  cudaStream_t s = new_stream();
  cudaEvent_t e = new_event(0);
  EXPECT(cudaEventDestroy(e), cudaSuccess);
  EXPECT(cudaEventDestroy(e), cudaErrorInvalidResourceHandle);
  EXPECT(cudaEventRecord(e, s), cudaErrorInvalidResourceHandle);
  EXPECT(cudaEventSynchronize(e), cudaErrorInvalidResourceHandle);
  EXPECT(cudaStreamDestroy(s), cudaSuccess);
  EXPECT(cudaStreamDestroy(s), cudaErrorInvalidResourceHandle);
  EXPECT(cudaStreamSynchronize(s), cudaErrorInvalidResourceHandle);
  EXPECT(cudaMemsetAsync(p, 0, 4, s), cudaErrorInvalidResourceHandle);
  EXPECT(add(p, 1, s), cudaErrorInvalidResourceHandle);
  cudaFree(p);
}

// ---- what waits for what

Test(cuda_runtime, work_is_done_when_somebody_waits) {
  setenv("CUDA_ON_HOST_ASYNC", "1", 1);
  float host[64] = {}, *p = device_floats(64);
  cudaStream_t s = new_stream(), other = new_stream();
  cudaEvent_t first = new_event(cudaEventDisableTiming), second = new_event(cudaEventDisableTiming);
  for (float &v : host) v = 1;
  cudaMemcpyAsync(p, host, 256, cudaMemcpyHostToDevice, s);
  for (float &v : host) v = 5;  // too early: this is what will be copied
  cudaEventRecord(first, s);
  add(p, 1, s);
  cudaEventRecord(second, s);
  cudaMemcpyAsync(host, p, 256, cudaMemcpyDeviceToHost, s);
  EXPECT(cudaStreamQuery(s), cudaErrorNotReady);
  EXPECT(cudaEventQuery(first), cudaErrorNotReady);
  cr_expect_eq(host[0], 5.0f);
  EXPECT(cudaEventSynchronize(first), cudaSuccess);
  cr_expect_eq(p[0], 5.0f);
  EXPECT(cudaEventQuery(second), cudaErrorNotReady);
  // A stream that waits for the event draws the other one on as far as that.
  EXPECT(cudaStreamWaitEvent(other, second, 0), cudaSuccess);
  EXPECT(cudaStreamSynchronize(other), cudaSuccess);
  cr_expect(p[0] == 6.0f && host[0] == 5.0f);
  EXPECT(cudaStreamSynchronize(s), cudaSuccess);
  cr_expect_eq(host[0], 6.0f);
  // The default stream is not waited for by one that was created not to.
  cudaMemset(p, 0, 256);
  add(p, 1, s);
  EXPECT(cudaStreamSynchronize(s), cudaSuccess);
  cr_expect_eq(p[0], 7.0f);
  EXPECT(cudaDeviceSynchronize(), cudaSuccess);
  cr_expect_eq(p[0], 0.0f);
  add(p, 1, s);
  cudaFree(p);  // waits for the device
  EXPECT(cudaStreamQuery(s), cudaSuccess);
  cudaStreamDestroy(s);
  cudaStreamDestroy(other);
}

Test(cuda_runtime, events) {
  cudaStream_t s = new_stream();
  cudaEvent_t start = new_event(0), end = new_event(0), untimed = new_event(cudaEventDisableTiming);
  float time = -1;
  float *p = device_floats(64);
  EXPECT(cudaEventSynchronize(start), cudaSuccess);
  EXPECT(cudaEventElapsedTime(&time, start, end), cudaErrorInvalidResourceHandle);
  cudaEventRecord(start, s);
  add(p, 1, s);
  cudaEventRecord(end, s);
  cudaEventRecord(untimed, s);
  EXPECT(cudaEventElapsedTime(&time, start, end), cudaSuccess);
  cr_expect_gt(time, 0.0f);
  EXPECT(cudaEventElapsedTime(&time, start, untimed), cudaErrorInvalidResourceHandle);
  setenv("CUDA_ON_HOST_ASYNC", "1", 1);
  cudaEventRecord(end, s);
  EXPECT(cudaEventElapsedTime(&time, start, end), cudaErrorNotReady);
  EXPECT(cudaEventSynchronize(end), cudaSuccess);
  EXPECT(cudaEventElapsedTime(&time, start, end), cudaSuccess);
  cudaFree(p);
  cudaStreamDestroy(s);
}

// ---- graphs

Test(cuda_runtime, graphs) {
  cudaStream_t s = new_stream();
  cudaGraph_t graph, none;
  cudaGraphExec_t exec;
  cudaStreamCaptureStatus status;
  float *p = device_floats(64);
  cudaMemset(p, 0, 256);
  EXPECT(cudaStreamEndCapture(s, &none), cudaErrorIllegalState);
  EXPECT(cudaStreamBeginCapture(s, cudaStreamCaptureModeThreadLocal), cudaSuccess);
  EXPECT(cudaStreamBeginCapture(s, cudaStreamCaptureModeThreadLocal), cudaErrorIllegalState);
  EXPECT(cudaStreamIsCapturing(s, &status), cudaSuccess);
  cr_expect_eq(status, cudaStreamCaptureStatusActive);
  add(p, 1, s);
  add(p, 2, s);
  EXPECT(cudaStreamEndCapture(s, &graph), cudaSuccess);
  cr_expect_eq(p[0], 0.0f, "a captured launch has run");
  size_t nodes = 0;
  EXPECT(cudaGraphGetNodes(graph, nullptr, &nodes), cudaSuccess);
  cr_expect_eq(nodes, 2);
  EXPECT(cudaGraphInstantiate(&exec, graph, 0), cudaSuccess);
  EXPECT(cudaGraphDestroy(graph), cudaSuccess);
  EXPECT(cudaGraphDestroy(graph), cudaErrorInvalidValue);
  for (int i = 0; i < 3; i++) EXPECT(cudaGraphLaunch(exec, s), cudaSuccess);
  EXPECT(cudaStreamSynchronize(s), cudaSuccess);
  cr_expect_eq(p[0], 9.0f);
  EXPECT(cudaGraphExecDestroy(exec), cudaSuccess);
  EXPECT(cudaGraphExecDestroy(exec), cudaErrorInvalidValue);
  EXPECT(cudaGraphLaunch(exec, s), cudaErrorInvalidValue);
  cudaFree(p);
  cudaStreamDestroy(s);
}

// What a capture does not allow fails, and so does the end of the capture.
Test(cuda_runtime, captures_end_with_an_error) {
  cudaStream_t s = new_stream();
  cudaEvent_t event = new_event(0);
  float *p = device_floats(64), host[64];
  void *q;
  cudaGraph_t graph;
  for (int i = 0; i < 7; i++) {
    cr_assert_eq(cudaStreamBeginCapture(s, cudaStreamCaptureModeThreadLocal), cudaSuccess);
    cudaError_t code = i == 0   ? cudaMalloc(&q, 4)
                       : i == 1 ? cudaFree(p)
                       : i == 2 ? cudaStreamSynchronize(s)
                       : i == 3 ? cudaMemcpyAsync(p, host, 4, cudaMemcpyHostToDevice, s)
                       : i == 4 ? cudaMemcpyAsync(host, p, 4, cudaMemcpyDeviceToHost, s)
                       : i == 5 ? cudaEventSynchronize(event)
                                : cudaDeviceSynchronize();
    cr_expect_eq(code, cudaErrorStreamCaptureUnsupported, "%d: %s", i, cudaGetErrorName(code));
    EXPECT(add(p, 1, s), cudaErrorStreamCaptureInvalidated);
    EXPECT(cudaStreamEndCapture(s, &graph), cudaErrorStreamCaptureInvalidated);
    cr_expect_null(graph);
    EXPECT(add(p, 1, s), cudaSuccess);
  }
  cr_assert_eq(cudaStreamBeginCapture(s, cudaStreamCaptureModeThreadLocal), cudaSuccess);
  EXPECT(cudaEventRecord(event, s), cudaSuccess);
  EXPECT(cudaEventQuery(event), cudaErrorCapturedEvent);
  EXPECT(cudaStreamDestroy(s), cudaErrorStreamCaptureUnsupported);
  EXPECT(cudaStreamEndCapture(s, &graph), cudaSuccess);
  cudaGraphDestroy(graph);
  cudaFree(p);
  cudaStreamDestroy(s);
}

// ---- errors

Test(cuda_runtime, calls_fail_when_asked_to) {
  void *p[4];
  setenv("CUDA_ON_HOST_FAIL", "cudaMalloc:3,cudaMemset:1=719", 1);
  for (int i = 0; i < 4; i++) EXPECT(cudaMalloc(&p[i], 64), i == 2 ? cudaErrorMemoryAllocation : cudaSuccess);
  EXPECT(cudaMemset(p[0], 0, 64), cudaErrorLaunchFailure);
  EXPECT(cudaMemset(p[0], 0, 64), cudaSuccess);
  EXPECT(cudaPeekAtLastError(), cudaErrorLaunchFailure);
  EXPECT(cudaGetLastError(), cudaErrorLaunchFailure);
  EXPECT(cudaGetLastError(), cudaSuccess);
  setenv("CUDA_ON_HOST_FAIL", "launch:2+", 1);
  float *f = device_floats(64);
  for (int i = 0; i < 4; i++) EXPECT(add(f, 1, nullptr), i ? cudaErrorLaunchOutOfResources : cudaSuccess);
  setenv("CUDA_ON_HOST_FAIL", "launch", 1);
  for (int i = 0; i < 2; i++) EXPECT(add(f, 1, nullptr), cudaErrorLaunchOutOfResources);
  cr_expect_not(cuda_on_host::fails("launches"));
  unsetenv("CUDA_ON_HOST_FAIL");
  EXPECT(add(f, 1, nullptr), cudaSuccess);
  cudaFree(f);
  for (int i = 0; i < 4; i++)
    if (i != 2) cudaFree(p[i]);
}

Test(cuda_runtime, devices) {
  struct cudaDeviceProp about;
  int count;
  EXPECT(cudaGetDeviceCount(&count), cudaSuccess);
  cr_expect_eq(count, 1);
  EXPECT(cudaSetDevice(1), cudaErrorInvalidDevice);
  EXPECT(cudaGetDeviceProperties(&about, 0), cudaSuccess);
  cr_expect(about.major == 9 && about.minor == 0 && about.sharedMemPerBlockOptin == 232448);
  setenv("CUDA_ON_HOST_ARCH", "75", 1);
  EXPECT(cudaGetDeviceProperties(&about, 0), cudaSuccess);
  cr_expect(about.major == 7 && about.minor == 5 && about.sharedMemPerBlockOptin == 65536);
  setenv("CUDA_ON_HOST_DEVICES", "0", 1);
  EXPECT(cudaGetDeviceCount(&count), cudaErrorNoDevice);
  cr_expect_eq(count, 0);
  cr_expect_str_eq(cudaGetErrorName(cudaErrorNoDevice), "cudaErrorNoDevice");
  cr_expect_str_eq(cudaGetErrorString(cudaErrorMemoryAllocation), "out of memory");
  cr_expect_str_eq(cudaGetErrorName((cudaError_t)12345), "unrecognized error code");
}
