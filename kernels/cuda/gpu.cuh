// The one switch between the two ways a kernel file is compiled: by nvcc for the device, or by a host compiler against
// tests/cuda_on_host, which runs it on the CPU. Kernel files include this and use no inline PTX, no <<<>>> and no raw
// __shared__ of their own; what both sides must offer is declared here and, for the host, in cuda_on_host.h.
//
//   DEVICE                     a function of the device
//   SHARED(T, name, [n])       a static array in shared memory
//   SHARED_DYNAMIC(name)       the launch's dynamic shared memory, unsigned char[], 128-byte aligned
//   launch(kernel, grid, block, shared_bytes, stream, arguments ...) -> cudaError_t
//   shared_address(p)          where p lies in shared memory, 32 bits: what the instructions below take
//   cp_async<BYTES>(shared, global, valid)   4, 8 or 16 bytes global -> shared, zeros when not valid
//   cp_async_commit(), cp_async_wait<N>()    at most N committed groups still under way afterwards
//   ldmatrix_x4(r, shared), ldmatrix_x4_trans(r, shared)
//   mma_m16n8k16<T>(c, a, b)   c [16 8] fp32 += a [16 16] b [16 8]; T is __half or __nv_bfloat16
//   exp2_fast(x)               2^x, relative error about 2^-22
//   named_barrier(id, threads), named_barrier_arrive(id, threads)   id 1 .. 15, whole warps; arriving does not wait
#ifndef VC_KERNELS_CUDA_GPU_CUH
#define VC_KERNELS_CUDA_GPU_CUH

// Planted bugs, to see that the tests find them (tests/cuda_on_host/mutants): MUTANT(n) is false in every other build.
#ifndef VC_MUTANT
#define VC_MUTANT 0
#endif
#define MUTANT(n) (VC_MUTANT == (n))

#ifdef __CUDACC__
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstdint>
#include <type_traits>
#include <utility>

#define DEVICE static __device__ __forceinline__
#define SHARED(T, name, ...) __shared__ T name __VA_ARGS__
#define SHARED_DYNAMIC(name) extern __shared__ __align__(1024) unsigned char name[]

template <class... P, class... A>
static inline cudaError_t launch(void (*kernel)(P...), dim3 grid, dim3 block, size_t shared_bytes, cudaStream_t stream,
                                 A &&...arguments) {
  if (shared_bytes > 48 * 1024) {
    cudaError_t error =
        cudaFuncSetAttribute((const void *)kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)shared_bytes);
    if (error != cudaSuccess) return error;
  }
  cudaLaunchConfig_t config = {};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = shared_bytes;
  config.stream = stream;
  return cudaLaunchKernelEx(&config, kernel, std::forward<A>(arguments)...);
}

DEVICE uint32_t shared_address(const void *p) {
  return (uint32_t)__cvta_generic_to_shared(p);
}

template <int BYTES>
DEVICE void cp_async(uint32_t shared, const void *global, bool valid) {
  static_assert(BYTES == 4 || BYTES == 8 || BYTES == 16, "sizes that cp.async has");
  if constexpr (BYTES == 16)
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;\n" ::"r"(shared), "l"(global), "r"(valid ? 16 : 0)
                 : "memory");
  else
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;\n" ::"r"(shared), "l"(global), "n"(BYTES),
                 "r"(valid ? BYTES : 0)
                 : "memory");
}

DEVICE void cp_async_commit() {
  asm volatile("cp.async.commit_group;\n" ::: "memory");
}

template <int N>
DEVICE void cp_async_wait() {
  asm volatile("cp.async.wait_group %0;\n" ::"n"(N) : "memory");
}

DEVICE void ldmatrix_x4(uint32_t (&r)[4], uint32_t shared) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];\n"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared)
               : "memory");
}

DEVICE void ldmatrix_x4_trans(uint32_t (&r)[4], uint32_t shared) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];\n"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared)
               : "memory");
}

template <class T>
DEVICE void mma_m16n8k16(float (&c)[4], const uint32_t (&a)[4], const uint32_t *b);

template <>
__device__ __forceinline__ void mma_m16n8k16<__half>(float (&c)[4], const uint32_t (&a)[4], const uint32_t *b) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};\n"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

template <>
__device__ __forceinline__ void mma_m16n8k16<__nv_bfloat16>(float (&c)[4], const uint32_t (&a)[4], const uint32_t *b) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};\n"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

DEVICE void named_barrier(int id, unsigned threads) {
  asm volatile("bar.sync %0, %1;\n" ::"r"(id), "r"(threads) : "memory");
}

DEVICE void named_barrier_arrive(int id, unsigned threads) {
  asm volatile("bar.arrive %0, %1;\n" ::"r"(id), "r"(threads) : "memory");
}

DEVICE float exp2_fast(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
#else
#include "cuda_on_host.h"
#endif

#endif
