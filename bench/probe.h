// What the probes of the kernels' building blocks share. A probe runs one wrapper of gpu.cuh or sm90.cuh on known
// inputs and keeps what it left in registers or memory, bit by bit.
#ifndef VC_BENCH_PROBE_H
#define VC_BENCH_PROBE_H

#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "kernels/cuda/gpu.cuh"

struct probe {
  std::string name;
  int ulp;  // how far two machines may be apart: 0 means the same bits, more is for floats
  std::vector<uint32_t> bits;
};

static inline void probe_check(cudaError_t code, const char *what) {
  if (code == cudaSuccess) return;
  fprintf(stderr, "%s: %s (%s)\n", what, cudaGetErrorString(code), cudaGetErrorName(code));
  exit(1);
}

// Runs the kernel as one block, with `count` words to write and `input` to read, and keeps the words.
template <class T>
static void probe_run(std::vector<probe> &probes, const char *name, int ulp, int threads, size_t shared_bytes,
                      size_t count, const std::vector<T> &input, void (*kernel)(uint32_t *, const T *)) {
  uint32_t *out = nullptr;
  T *in = nullptr;
  size_t in_bytes = input.size() * sizeof(T);
  probe_check(cudaMalloc((void **)&out, count * sizeof *out), name);
  probe_check(cudaMalloc((void **)&in, in_bytes ? in_bytes : 1), name);
  probe_check(cudaMemset(out, 0, count * sizeof *out), name);
  if (in_bytes) probe_check(cudaMemcpy(in, input.data(), in_bytes, cudaMemcpyHostToDevice), name);
  probe_check(launch(kernel, 1, (unsigned)threads, shared_bytes, nullptr, out, (const T *)in), name);
  probe_check(cudaDeviceSynchronize(), name);
  probe p = {name, ulp, std::vector<uint32_t>(count)};
  probe_check(cudaMemcpy(p.bits.data(), out, count * sizeof *out, cudaMemcpyDeviceToHost), name);
  probes.push_back(p);
  cudaFree(out);
  cudaFree(in);
}

DEVICE uint32_t probe_bits(float v) {
  uint32_t bits;
  memcpy(&bits, &v, sizeof bits);
  return bits;
}

// Small numbers that every type holds exactly, and whose products and sums are exact too.
static inline float probe_value(int i) {
  return (float)((i * 37 + i / 7 * 11) % 31 - 15) / 4;
}

void probe_sm90(std::vector<probe> &probes);  // bench/probe_sm90.cu: what only sm_90a has

#endif
