// Opening and closing a CUDA device, its memory, and copies through pinned buffers.
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cuda/cuda.h"

vc_status vc_cuda_check(cudaError_t code, const char *what, vc_error *error) {
  if (code == cudaSuccess) return VC_OK;
  (void)cudaGetLastError();  // or the next launch would report it
  vc_status status = code == cudaErrorMemoryAllocation ? VC_NO_MEMORY : VC_FAILED;
  return vc_fail(error, status, "CUDA: %s: %s (%s)", what, cudaGetErrorString(code), cudaGetErrorName(code));
}

vc_status vc_cuda_check_cublaslt(cublasStatus_t code, const char *what, vc_error *error) {
  if (code == CUBLAS_STATUS_SUCCESS) return VC_OK;
  return vc_fail(error, VC_FAILED, "cuBLASLt: %s: status %d", what, (int)code);
}

vc_status vc_cuda_check_cudnn(cudnnStatus_t code, const char *what, vc_error *error) {
  if (code == CUDNN_STATUS_SUCCESS) return VC_OK;
  return vc_fail(error, VC_FAILED, "cuDNN: %s: %s", what, cudnnGetErrorString(code));
}

static vc_status open_handles(vc_device *d, vc_error *error) {
  vc_status status = vc_cuda_check(cudaStreamCreateWithFlags(&d->stream, cudaStreamNonBlocking), "a stream", error);
  if (!status) status = vc_cuda_check(cudaMalloc(&d->workspace, VC_CUDA_WORKSPACE), "a workspace", error);
  if (!status) status = vc_cuda_check(cudaMalloc((void **)&d->fault, sizeof *d->fault), "a flag", error);
  if (!status) status = vc_cuda_check(cudaMemsetAsync(d->fault, 0, sizeof *d->fault, d->stream), "a flag", error);
  for (int i = 0; i < 2 && !status; i++) {
    status = vc_cuda_check(cudaMallocHost(&d->staging[i], VC_CUDA_STAGING), "pinned memory", error);
    if (!status)
      status = vc_cuda_check(cudaEventCreateWithFlags(&d->staged[i], cudaEventDisableTiming), "an event", error);
  }
  if (!status) status = vc_cuda_check_cublaslt(cublasLtCreate(&d->cublaslt), "a handle", error);
  if (!status) status = vc_cuda_check_cudnn(cudnnCreate(&d->cudnn), "a handle", error);
  if (!status) status = vc_cuda_check_cudnn(cudnnSetStream(d->cudnn, d->stream), "its stream", error);
  return status;
}

static vc_status find_device(vc_device *d, vc_error *error) {
  int count = 0;
  cudaError_t code = cudaGetDeviceCount(&count);
  if (code != cudaSuccess || !count)
    return vc_fail(error, VC_UNSUPPORTED, "no NVIDIA GPU can be used here (%s); --backend cpu needs none",
                   code == cudaSuccess ? "none was found" : cudaGetErrorString(code));
  if (d->ordinal < 0 || d->ordinal >= count)
    return vc_fail(error, VC_INVALID, "there is no GPU %d; this machine has 0 .. %d", d->ordinal, count - 1);
  struct cudaDeviceProp about;
  vc_status status = vc_cuda_check(cudaGetDeviceProperties(&about, d->ordinal), "the device's properties", error);
  if (status) return status;
  if (about.major < 8)
    return vc_fail(error, VC_UNSUPPORTED, "%s is of compute capability %d.%d; the kernels need 8.0 or later",
                   about.name, about.major, about.minor);
  memcpy(d->name, about.name, sizeof d->name);
  d->major = about.major;
  d->minor = about.minor;
  d->multiprocessors = about.multiProcessorCount;
  d->shared_bytes = about.sharedMemPerBlockOptin;
  return vc_cuda_check(cudaSetDevice(d->ordinal), "choosing the device", error);
}

void vc_cuda_close(vc_device *d) {
  if (!d) return;
  if (d->stream) cudaStreamSynchronize(d->stream);
  if (d->choices) vc_cuda_forget_all(d->choices);
  if (d->cudnn) cudnnDestroy(d->cudnn);
  if (d->cublaslt) cublasLtDestroy(d->cublaslt);
  for (int i = 0; i < 2; i++) {
    if (d->staged[i]) cudaEventDestroy(d->staged[i]);
    if (d->staging[i]) cudaFreeHost(d->staging[i]);
  }
  for (int i = 0; i < d->marks; i++)
    if (d->mark[i]) cudaEventDestroy(d->mark[i]);
  free(d->mark);
  if (d->fault) cudaFree(d->fault);
  if (d->workspace) cudaFree(d->workspace);
  if (d->stream) cudaStreamDestroy(d->stream);
  free(d->block);
  free(d);
}

vc_status vc_cuda_open(vc_device **out, int ordinal, vc_cuda_library library, vc_error *error) {
  *out = NULL;
  vc_device *d = calloc(1, sizeof *d);
  if (!d) return vc_fail(error, VC_NO_MEMORY, "no memory for a device");
  d->ordinal = ordinal;
  d->library = library;
  vc_status status = find_device(d, error);
  if (!status) status = open_handles(d, error);
  if (status)
    vc_cuda_close(d);
  else
    *out = d;
  return status;
}

const char *const vc_cuda_variant_names[VC_CUDA_VARIANTS] = {"simt", "mma", "wgmma", "cublaslt", "cudnn"};

uint64_t vc_cuda_dispatched(const vc_device *device, vc_op_kind kind, const char *variant) {
  for (int i = 0; i < VC_CUDA_VARIANTS; i++)
    if (!strcmp(vc_cuda_variant_names[i], variant)) return device->dispatched[kind][i];
  return 0;
}

// ---- memory

vc_status vc_cuda_allocate(vc_device *d, size_t bytes, void **out, vc_error *error) {
  *out = NULL;
  if (d->blocks == d->room) {
    int room = d->room ? 2 * d->room : 64;
    void *block = realloc(d->block, (size_t)room * sizeof *d->block);
    if (!block) return vc_fail(error, VC_NO_MEMORY, "no memory for a table of allocations");
    d->block = block;
    d->room = room;
  }
  cudaError_t code = cudaMalloc(out, bytes ? bytes : 1);
  if (code != cudaSuccess) {
    *out = NULL;
    (void)cudaGetLastError();  // or the next launch would report it
    size_t unused = 0, total = 0;
    cudaMemGetInfo(&unused, &total);
    if (code != cudaErrorMemoryAllocation) return vc_cuda_check(code, "memory", error);
    return vc_fail(error, VC_NO_MEMORY, "no %zu MiB of memory on GPU %d: %zu MiB of %zu are free",
                   (bytes + (1 << 20) - 1) >> 20, d->ordinal, unused >> 20, total >> 20);
  }
  d->block[d->blocks].memory = *out;
  d->block[d->blocks++].bytes = bytes;
  d->allocated += bytes;
  if (d->allocated > d->peak) d->peak = d->allocated;
  return VC_OK;
}

void vc_cuda_release(vc_device *d, void *memory) {
  if (!memory) return;
  cudaFree(memory);
  for (int i = 0; i < d->blocks; i++) {
    if (d->block[i].memory != memory) continue;
    d->allocated -= d->block[i].bytes;
    d->block[i] = d->block[--d->blocks];
    return;
  }
}

// ---- copies

vc_status vc_cuda_stage(vc_device *d, void *to, const void *from, size_t bytes, vc_error *error) {
  vc_status status = VC_OK;
  for (size_t at = 0; at < bytes && !status; at += VC_CUDA_STAGING) {
    size_t part = bytes - at < VC_CUDA_STAGING ? bytes - at : VC_CUDA_STAGING;
    int i = d->next_staging;
    d->next_staging = !i;
    status = vc_cuda_check(cudaEventSynchronize(d->staged[i]), "waiting for a copy", error);
    if (status) break;
    memcpy(d->staging[i], (const char *)from + at, part);
    status = vc_cuda_check(cudaMemcpyAsync((char *)to + at, d->staging[i], part, cudaMemcpyHostToDevice, d->stream),
                           "a copy", error);
    if (!status) status = vc_cuda_check(cudaEventRecord(d->staged[i], d->stream), "an event", error);
  }
  return status;
}

// ---- times

vc_status vc_cuda_mark(vc_device *d, int mark, vc_error *error) {
  if (mark >= d->marks) {
    int marks = mark < 512 ? 1024 : 2 * mark;
    cudaEvent_t *grown = realloc(d->mark, (size_t)marks * sizeof *grown);
    if (!grown) return vc_fail(error, VC_NO_MEMORY, "no memory for %d events", marks);
    memset(grown + d->marks, 0, (size_t)(marks - d->marks) * sizeof *grown);
    d->mark = grown;
    d->marks = marks;
  }
  vc_status status = d->mark[mark]
                         ? VC_OK
                         : vc_cuda_check(cudaEventCreateWithFlags(&d->mark[mark], cudaEventDefault), "an event", error);
  return status ? status : vc_cuda_check(cudaEventRecord(d->mark[mark], d->stream), "an event", error);
}

vc_status vc_cuda_between(vc_device *d, int from, int to, double *seconds, vc_error *error) {
  float milliseconds = 0;
  vc_status status =
      vc_cuda_check(cudaEventElapsedTime(&milliseconds, d->mark[from], d->mark[to]), "the time of an op", error);
  *seconds = 1e-3 * milliseconds;
  return status;
}

// ---- what was found out

struct vc_cuda_choice {
  vc_cuda_choice *next;
  vc_op_kind kind;
  int dims;
  int64_t shape[32];
  void (*destroy)(void *memory);
  _Alignas(16) char memory[];
};

void *vc_cuda_recall(const vc_device *d, vc_op_kind kind, const int64_t *shape, int dims) {
  for (vc_cuda_choice *c = d->choices; c; c = c->next)
    if (c->kind == kind && c->dims == dims && !memcmp(c->shape, shape, (size_t)dims * sizeof *shape)) return c->memory;
  return NULL;
}

void *vc_cuda_remember(vc_device *d, vc_op_kind kind, const int64_t *shape, int dims, size_t bytes, bool *is_new) {
  *is_new = false;
  void *known = vc_cuda_recall(d, kind, shape, dims);
  if (known) return known;
  vc_cuda_choice *c = calloc(1, sizeof *c + bytes);
  if (!c || dims > (int)(sizeof c->shape / sizeof *c->shape)) {
    free(c);
    return NULL;
  }
  c->kind = kind;
  c->dims = dims;
  memcpy(c->shape, shape, (size_t)dims * sizeof *shape);
  c->next = d->choices;
  d->choices = c;
  *is_new = true;
  return c->memory;
}

void vc_cuda_when_forgotten(void *memory, void (*destroy)(void *memory)) {
  vc_cuda_choice *c = (void *)((char *)memory - offsetof(vc_cuda_choice, memory));
  c->destroy = destroy;
}

void vc_cuda_each(const vc_device *d, vc_cuda_visit visit, void *context) {
  for (vc_cuda_choice *c = d->choices; c; c = c->next) visit(context, c->kind, c->shape, c->dims, c->memory);
}

void vc_cuda_forget_all(vc_cuda_choice *choices) {
  while (choices) {
    vc_cuda_choice *next = choices->next;
    if (choices->destroy) choices->destroy(choices->memory);
    free(choices);
    choices = next;
  }
}
