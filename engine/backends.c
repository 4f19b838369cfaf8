#include "engine/backends.h"

#include <stdlib.h>
#include <string.h>

#include "kernels/cuda/cuda_open.h"

#ifdef VC_CUDA_LINKED

static vc_status open_cuda(const vc_backend **backend, vc_device **device, int ordinal, vc_error *error) {
  *backend = &vc_backend_cuda;
  return vc_cuda_open(device, ordinal, VC_CUDA_MEASURED, error);
}

#else

#include <dlfcn.h>
#include <stdio.h>
#include <unistd.h>

static const char library_name[] = "videocomposer_cuda.so";

// The library stays open: its code must outlive every device. dlopen counts, so opening it twice costs nothing.
static vc_status open_library(void **library, vc_error *error) {
  char path[4096];
  ssize_t length = readlink("/proc/self/exe", path, sizeof path - sizeof library_name - 1);
  if (length <= 0) return vc_fail(error, VC_UNSUPPORTED, "the cuda backend: this program cannot find its own folder");
  path[length] = 0;
  memcpy(strrchr(path, '/') + 1, library_name, sizeof library_name);
  if (access(path, F_OK))
    return vc_fail(error, VC_UNSUPPORTED,
                   "this program was built without the cuda backend (%s is not there): build it where nvcc is, or use "
                   "--backend cpu",
                   path);
  *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  return *library ? VC_OK : vc_fail(error, VC_UNSUPPORTED, "the cuda backend cannot be opened: %s", dlerror());
}

static vc_status open_cuda(const vc_backend **backend, vc_device **device, int ordinal, vc_error *error) {
  void *library;
  vc_status status = open_library(&library, error);
  if (status) return status;
  vc_cuda_opener *opener;
  *(void **)&opener = dlsym(library, "vc_cuda_open");
  *backend = dlsym(library, "vc_backend_cuda");
  if (!opener || !*backend)
    return vc_fail(error, VC_UNSUPPORTED, "%s does not belong to this program; build both anew", library_name);
  return opener(device, ordinal, VC_CUDA_MEASURED, error);
}

#endif

static vc_status open_cpu(const vc_backend **backend, vc_device **device, vc_dtype dtype, int threads,
                          vc_error *error) {
  if (dtype != VC_F32 && dtype != VC_BF16 && dtype != VC_DTYPE_COUNT)
    return vc_fail(error, VC_UNSUPPORTED, "the cpu backend computes in f32 and bf16, not %s", vc_dtype_name(dtype));
  *backend = &vc_backend_cpu;
  return vc_cpu_open(device, threads, error);
}

vc_status vc_backend_open(const vc_backend **backend, vc_device **device, const char *name, vc_dtype dtype, int threads,
                          vc_error *error) {
  *backend = NULL;
  *device = NULL;
  if (!strcmp(name, "cpu")) return open_cpu(backend, device, dtype, threads, error);
  if (!strcmp(name, "auto")) {
    if (!open_cuda(backend, device, 0, NULL)) return VC_OK;
    return open_cpu(backend, device, dtype, threads, error);
  }
  if (strncmp(name, "cuda", 4) != 0 || (name[4] && name[4] != ':'))
    return vc_fail(error, VC_INVALID, "there is no backend '%.40s'; choose auto, cpu or cuda", name);
  return open_cuda(backend, device, name[4] ? atoi(name + 5) : 0, error);
}

vc_dtype vc_backend_dtype(const vc_backend *backend, vc_dtype asked) {
  if (asked != VC_DTYPE_COUNT) return asked;
  return strcmp(backend->name, "cuda") ? VC_F32 : VC_F16;
}
