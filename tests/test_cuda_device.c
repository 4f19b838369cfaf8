// The CUDA device: opening, memory, copies.
#include <criterion/criterion.h>

#ifndef VC_CUDA_LINKED
Test(cuda_device, everything) {
  cr_skip_test("this build has no CUDA backend; CUDA_ON_HOST=1 has");
}
#else
#include <stdlib.h>
#include <string.h>

#include "tests/cuda_fixture.h"

static const vc_backend *const b = &vc_backend_cuda;

// ---- opening

Test(cuda_device, opens_and_closes) {
  static const vc_cuda_library libraries[] = {VC_CUDA_OWN, VC_CUDA_VENDOR, VC_CUDA_MEASURED};
  for (size_t i = 0; i < sizeof libraries / sizeof *libraries; i++) {
    vc_device *device;
    vc_error error;
    cr_assert_eq(vc_cuda_open(&device, 0, libraries[i], &error), VC_OK, "%s", error.message);
    char text[300] = "";
    b->describe(device, text, sizeof text);
    cr_expect(strstr(text, "sm_") && strstr(text, "multiprocessors"), "%s", text);
    cr_expect_eq(vc_cuda_dispatched(device, VC_OP_LINEAR, "no such variant"), 0);
    b->close(device);
  }
  b->close(NULL);
}

Test(cuda_device, a_device_that_is_not_there) {
  static const int ordinals[] = {-1, 99};
  for (size_t i = 0; i < sizeof ordinals / sizeof *ordinals; i++) {
    vc_device *device = (vc_device *)(void *)&device;
    vc_error error = {{0}};
    cr_expect_eq(vc_cuda_open(&device, ordinals[i], VC_CUDA_OWN, &error), VC_INVALID);
    cr_expect_null(device);
    cr_expect(strstr(error.message, "there is no GPU"), "%s", error.message);
  }
}

// Whatever fails on the way, the device is not opened, the message says what, and nothing is left behind.
Test(cuda_device, every_failure_while_opening_is_reported) {
  static const struct {
    const char *call;
    vc_status status;
    const char *words;
  } cases[] = {
      {"cudaGetDeviceCount", VC_UNSUPPORTED, "--backend cpu"},
      {"cudaGetDeviceProperties", VC_FAILED, "properties"},
      {"cudaSetDevice", VC_FAILED, "device"},
      {"cudaStreamCreateWithFlags", VC_NO_MEMORY, "stream"},
      {"cudaMalloc:1", VC_NO_MEMORY, "workspace"},
      {"cudaMalloc:2", VC_NO_MEMORY, "flag"},
      {"cudaMemsetAsync", VC_FAILED, "flag"},
      {"cudaMallocHost:1", VC_NO_MEMORY, "pinned"},
      {"cudaMallocHost:2", VC_NO_MEMORY, "pinned"},
      {"cudaEventCreateWithFlags:1", VC_NO_MEMORY, "event"},
      {"cudaEventCreateWithFlags:2", VC_NO_MEMORY, "event"},
      {"cublasLtCreate", VC_FAILED, "cuBLASLt"},
      {"cudnnCreate", VC_FAILED, "cuDNN"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    vc_device *device = (vc_device *)(void *)&device;
    vc_error error = {{0}};
    setenv(cuda_fail, cases[i].call, 1);
    cr_expect_eq(vc_cuda_open(&device, 0, VC_CUDA_OWN, &error), cases[i].status, "%s: %s", cases[i].call,
                 error.message);
    cr_expect_null(device, "%s", cases[i].call);
    cr_expect(strstr(error.message, cases[i].words), "%s: '%s'", cases[i].call, error.message);
  }
  unsetenv(cuda_fail);
  b->close(cuda_opened());
}

// ---- memory

Test(cuda_device, memory_is_aligned_and_counted) {
  static const size_t sizes[] = {0, 1, 255, 256, 1000003};
  vc_device *device = cuda_opened();
  void *memory[5];
  size_t before = b->peak(device), sum = 0;
  for (int i = 0; i < 5; i++) {
    memory[i] = cuda_allocated(device, sizes[i]);
    cr_expect_eq((uintptr_t)memory[i] % VC_CUDA_ALIGNMENT, 0);
    sum += sizes[i];
    cr_expect_eq(b->peak(device), before + sum);
  }
  for (int i = 0; i < 5; i++) b->release(device, memory[i]);
  cr_expect_eq(b->peak(device), before + sum, "releasing lowers no peak");
  void *small = cuda_allocated(device, 1000);
  cr_expect_eq(b->peak(device), before + sum, "what was released counts no more");
  void *large = cuda_allocated(device, 2000003);
  cr_expect_eq(b->peak(device), before + 2001003);
  b->release(device, NULL);
  b->release(device, small);
  b->release(device, large);
  b->close(device);
}

Test(cuda_device, many_allocations) {
  enum { MANY = 300 };
  vc_device *device = cuda_opened();
  void *memory[MANY];
  size_t before = b->peak(device);
  for (int i = 0; i < MANY; i++) memory[i] = cuda_allocated(device, (size_t)i);
  for (int i = 0; i < MANY; i += 2) b->release(device, memory[i]);
  for (int i = 1; i < MANY; i += 2) b->release(device, memory[i]);
  cr_expect_eq(b->peak(device), before + MANY * (MANY - 1) / 2);
  b->release(device, cuda_allocated(device, MANY * MANY));
  cr_expect_eq(b->peak(device), before + MANY * MANY, "everything was given back");
  b->close(device);
}

Test(cuda_device, no_memory_is_reported_and_survived) {
  vc_device *device = cuda_opened();
  size_t before = b->peak(device);
  void *memory = device;
  vc_error error = {{0}};
  setenv(cuda_fail, "cudaMalloc:1", 1);
  cr_expect_eq(b->allocate(device, 7u << 20, &memory, &error), VC_NO_MEMORY);
  unsetenv(cuda_fail);
  cr_expect_null(memory);
  cr_expect(strstr(error.message, "7 MiB") && strstr(error.message, "GPU 0") && strstr(error.message, "free"), "%s",
            error.message);
  cr_expect_eq(b->peak(device), before);
  b->release(device, cuda_allocated(device, 1 << 20));
  b->close(device);
}

// ---- copies

// Around the size of the staging buffers, from any address; the source may be reused at once.
Test(cuda_device, uploads_of_every_size) {
  enum { S = VC_CUDA_STAGING, GUARD = 16 };
  static const size_t sizes[] = {0, 1, 4095, S - 1, S, S + 1, 2 * S, 2 * S + 1, 9 << 20};
  vc_device *device = cuda_opened();
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    size_t n = sizes[i];
    unsigned char *from = malloc(n + 1), *back = malloc(n + GUARD), guard[GUARD];
    char *memory = cuda_allocated(device, n + GUARD);
    memset(guard, 0xA5, sizeof guard);
    cuda_upload(device, memory + n, guard, sizeof guard);
    for (size_t k = 0; k < n; k++) from[k + 1] = (unsigned char)(k * 31 + k / 251 + i);
    cuda_upload(device, memory, from + 1, n);
    memset(from, 0, n + 1);
    cuda_download(device, back, memory, n + GUARD);
    size_t wrong = 0;
    for (size_t k = 0; k < n; k++) wrong += back[k] != (unsigned char)(k * 31 + k / 251 + i);
    cr_expect_eq(wrong, 0, "%zu of %zu bytes are wrong", wrong, n);
    cr_expect(!memcmp(back + n, guard, sizeof guard), "%zu bytes: wrote behind them", n);
    b->release(device, memory);
    free(back);
    free(from);
  }
  b->close(device);
}

Test(cuda_device, a_failed_copy_is_reported) {
  static const char *const calls[] = {"cudaEventSynchronize", "cudaMemcpyAsync", "cudaEventRecord"};
  vc_device *device = cuda_opened();
  char *memory = cuda_allocated(device, 100), bytes[100] = {0};
  for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
    vc_error error = {{0}};
    setenv(cuda_fail, calls[i], 1);
    cr_expect_eq(b->upload(device, memory, bytes, sizeof bytes, &error), VC_FAILED, "%s", calls[i]);
    cr_expect(strstr(error.message, "CUDA"), "%s: %s", calls[i], error.message);
    if (i == 1) {
      cr_expect_eq(b->download(device, bytes, memory, sizeof bytes, &error), VC_FAILED);
      cr_expect_eq(b->wait(device, &error), VC_FAILED);
    }
    unsetenv(cuda_fail);
  }
  setenv(cuda_fail, "cudaStreamSynchronize", 1);
  vc_error error = {{0}};
  cr_expect_eq(b->wait(device, &error), VC_FAILED);
  cr_expect(strstr(error.message, "waiting"), "%s", error.message);
  unsetenv(cuda_fail);
  cr_expect_eq(b->wait(device, &error), VC_OK);
  b->release(device, memory);
  b->close(device);
}
#endif
