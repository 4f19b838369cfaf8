// The instructions that the emulator offers, against what the PTX ISA says of
// them.
#include <criterion/criterion.h>

#include <vector>

#include "kernels/cuda/gpu.cuh"
#include "tests/cuda_memory.h"

// ---- the instructions of a warp

static __global__ void lanes_kernel(float *out) {
  unsigned lane = threadIdx.x % 32;
  int i = 0;
  auto put = [&](double v) { out[32 * i++ + lane] = (float)v; };
  put(__shfl_sync(~0u, (double)lane, 3));
  put(__shfl_sync(~0u, lane, (int)lane + 1));
  put(__shfl_xor_sync(~0u, (int)lane, 16));
  put(__shfl_down_sync(~0u, (float)lane, 4));
  put(__shfl_up_sync(~0u, (float)lane, 4));
  put(__shfl_sync(~0u, lane, 9, 8));
  put(__shfl_xor_sync(~0u, lane, 8, 8));
  put(__shfl_down_sync(~0u, lane, 3, 8));
  put(__shfl_up_sync(~0u, lane, 3, 8));
  put(__ballot_sync(~0u, lane < 3));
  put(__any_sync(~0u, lane == 30) + 2 * __all_sync(~0u, lane < 32) + 4 * __any_sync(~0u, 0) +
      8 * __all_sync(~0u, lane));
  if (lane < 8) put(__shfl_xor_sync(0xFFu, lane, 1));
}

// PTX ISA, shfl.sync: the bounds of a segment, and the own value where the
// source lies beyond them.
static double lane_expected(int what, int l) {
  switch (what) {
    case 0:
      return 3;
    case 1:
      return (l + 1) % 32;
    case 2:
      return l ^ 16;
    case 3:
      return l + 4 > 31 ? l : l + 4;
    case 4:
      return l < 4 ? l : l - 4;
    case 5:
      return l / 8 * 8 + 1;
    case 6:
      return (l ^ 8) > (l | 7) ? l : l ^ 8;
    case 7:
      return l % 8 + 3 > 7 ? l : l + 3;
    case 8:
      return l % 8 < 3 ? l : l - 3;
    case 9:
      return 7;
    case 10:
      return 3;
    default:
      return l ^ 1;
  }
}

Test(emulator, exchanges_among_lanes) {
  float *out = device_floats(12 * 32);
  launch(lanes_kernel, 1, 32, 0, nullptr, out);
  std::vector<float> got = downloaded(out, 12 * 32);
  for (int what = 0; what < 12; what++)
    for (int l = 0; l < (what == 11 ? 8 : 32); l++)
      cr_expect_eq(got[(size_t)(32 * what + l)], (float)lane_expected(what, l), "%d: lane %d got %g", what, l,
                   got[(size_t)(32 * what + l)]);
  cudaFree(out);
}

static __global__ void named_kernel(float *out) {
  SHARED(float, x, [64]);
  unsigned part = threadIdx.x / 64;  // threads 0 .. 63 produce, 64 .. 127 consume
  if (!part) {
    x[threadIdx.x] = (float)threadIdx.x;
    named_barrier_arrive(3, 128);
  } else {
    named_barrier(3, 128);
    out[threadIdx.x - 64] = x[127 - threadIdx.x];
  }
}

Test(emulator, has_named_barriers) {
  float *out = device_floats(64);
  launch(named_kernel, 2, 128, 0, nullptr, out);
  std::vector<float> got = downloaded(out, 64);
  for (size_t i = 0; i < 64; i++) cr_expect_eq(got[i], (float)(63 - i), "%zu: %g", i, got[i]);
  cudaFree(out);
}

// ---- tensor cores

static float value_of(int seed) {
  return (float)((seed * 37 + seed / 7 * 11) % 61 - 30) / 16;  // exact in both half types
}

template <class T>
static T half_of(float v);
template <>
__half half_of(float v) {
  return __float2half(v);
}
template <>
__nv_bfloat16 half_of(float v) {
  return __float2bfloat16(v);
}

template <class T>
static __global__ void fragments_kernel(float *out, const T *a, const T *b, const float *c) {
  int group = (int)threadIdx.x / 4, in_group = (int)threadIdx.x % 4;
  T fa[8], fb[4];
  float fc[4];
  // PTX ISA, "Matrix Fragments for mma.m16n8k16 with floating point type", word
  // for word.
  for (int i = 0; i < 8; i++) {
    int row = (0 <= i && i < 2) || (4 <= i && i < 6) ? group : group + 8;
    int column = i < 4 ? in_group * 2 + (i & 1) : in_group * 2 + (i & 1) + 8;
    fa[i] = a[16 * row + column];
  }
  for (int i = 0; i < 4; i++) {
    int row = i < 2 ? in_group * 2 + (i & 1) : in_group * 2 + (i & 1) + 8;
    fb[i] = b[8 * row + group];
  }
  for (int i = 0; i < 4; i++) fc[i] = c[8 * (i < 2 ? group : group + 8) + in_group * 2 + (i & 1)];
  uint32_t ra[4], rb[2];
  memcpy(ra, fa, sizeof ra);
  memcpy(rb, fb, sizeof rb);
  mma_m16n8k16<T>(fc, ra, rb);
  for (int i = 0; i < 4; i++) out[8 * (i < 2 ? group : group + 8) + in_group * 2 + (i & 1)] = fc[i];
}

template <class T>
static void check_fragments(const char *name) {
  T a[256], b[128];
  float c[128];
  for (int i = 0; i < 256; i++) a[i] = half_of<T>(value_of(i));
  for (int i = 0; i < 128; i++) b[i] = half_of<T>(value_of(1000 + i));
  for (int i = 0; i < 128; i++) c[i] = value_of(2000 + i);
  float *memory = device_floats(128 + 128 + 64 + 128);
  T *da = (T *)(memory + 128), *db = da + 256;
  float *dc = (float *)(db + 128);
  cudaMemcpy(da, a, sizeof a, cudaMemcpyHostToDevice);
  cudaMemcpy(db, b, sizeof b, cudaMemcpyHostToDevice);
  cudaMemcpy(dc, c, sizeof c, cudaMemcpyHostToDevice);
  launch(fragments_kernel<T>, 1, 32, 0, nullptr, memory, da, db, dc);
  std::vector<float> got = downloaded(memory, 128);
  for (int m = 0; m < 16; m++)
    for (int n = 0; n < 8; n++) {
      double want = c[8 * m + n];
      for (int k = 0; k < 16; k++) want += (double)value_of(16 * m + k) * value_of(1000 + 8 * k + n);
      cr_expect_eq(got[(size_t)(8 * m + n)], (float)want, "%s: [%d %d] is %g, not %g", name, m, n,
                   got[(size_t)(8 * m + n)], want);
    }
  cudaFree(memory);
}

Test(emulator, multiplies_fragments) {
  check_fragments<__half>("f16");
  check_fragments<__nv_bfloat16>("bf16");
}

// Four 8x8 matrices of 16-bit numbers: row r of matrix m holds 64 m + 8 r +
// column.
static __global__ void matrices_kernel(float *out, int transposed) {
  SHARED(uint4, rows, [32]);
  uint16_t *x = (uint16_t *)rows;
  for (int i = 0; i < 8; i++) x[8 * threadIdx.x + i] = (uint16_t)(8 * threadIdx.x + i);
  __syncwarp();
  uint32_t r[4];
  // Lanes 0 .. 7 give the rows of the first matrix, 8 .. 15 those of the
  // second, and so on.
  if (transposed)
    ldmatrix_x4_trans(r, shared_address(&rows[threadIdx.x]));
  else
    ldmatrix_x4(r, shared_address(&rows[threadIdx.x]));
  for (int m = 0; m < 4; m++)
    for (int e = 0; e < 2; e++) out[64 * m + 2 * threadIdx.x + e] = (float)(r[m] >> (16 * e) & 0xFFFF);
}

// PTX ISA, ldmatrix: thread t receives of each matrix the elements 2 (t % 4)
// and 2 (t % 4) + 1 of row t / 4; with .trans the matrices are loaded in
// column-major order.
Test(emulator, loads_matrices) {
  float *out = device_floats(256);
  for (int transposed = 0; transposed < 2; transposed++) {
    launch(matrices_kernel, 1, 32, 0, nullptr, out, transposed);
    std::vector<float> got = downloaded(out, 256);
    for (int m = 0; m < 4; m++)
      for (int t = 0; t < 32; t++)
        for (int e = 0; e < 2; e++) {
          int row = t / 4, column = t % 4 * 2 + e;
          int want = 64 * m + (transposed ? 8 * column + row : 8 * row + column);
          cr_expect_eq(got[(size_t)(64 * m + 2 * t + e)], (float)want, "matrix %d, lane %d, half %d", m, t, e);
        }
  }
  cudaFree(out);
}

// ---- cp.async

static __global__ void zero_fill_kernel(float *out) {
  SHARED(float4, x, [64]);
  cp_async<16>(shared_address(&x[threadIdx.x]), threadIdx.x % 2 ? nullptr : out + 4 * threadIdx.x,
               threadIdx.x % 2 == 0);
  cp_async_commit();
  cp_async_wait<0>();
  out[256 + threadIdx.x] = x[threadIdx.x].w;
}

Test(emulator, fills_with_zeros) {
  float *out = device_floats(320);
  std::vector<float> in(256);
  for (int i = 0; i < 256; i++) in[(size_t)i] = (float)(i + 1);
  cudaMemcpy(out, in.data(), 1024, cudaMemcpyHostToDevice);
  launch(zero_fill_kernel, 1, 64, 0, nullptr, out);
  std::vector<float> got = downloaded(out + 256, 64);
  for (size_t i = 0; i < 64; i++) cr_expect_eq(got[i], i % 2 ? 0.0f : (float)(4 * i + 4), "%zu: %g", i, got[i]);
  cudaFree(out);
}
