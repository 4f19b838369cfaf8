// Writes what the building blocks of the kernels do on this machine as JSON, to compare a GPU with another one or with
// the emulator of tests/cuda_on_host, for which this file is compiled too. bench/probe_compare.py compares two.
//   probe FILE.json
#include "bench/probe.h"

// ---- matrix products

// Lane t passes the words 6 t .. 6 t + 5: four registers of a, two of b. c starts as lane * 4 + register, so that a
// lane that gets another's sums shows.
template <class T>
static __global__ void __launch_bounds__(32) mma_kernel(uint32_t *out, const uint32_t *in) {
  uint32_t a[4], b[2];
  float c[4];
  for (int i = 0; i < 4; i++) a[i] = in[6 * threadIdx.x + i];
  for (int i = 0; i < 2; i++) b[i] = in[6 * threadIdx.x + 4 + i];
  for (int i = 0; i < 4; i++) c[i] = (float)(threadIdx.x * 4 + i);
  mma_m16n8k16<T>(c, a, b);
  for (int i = 0; i < 4; i++) out[4 * threadIdx.x + i] = probe_bits(c[i]);
}

template <class T>
static uint32_t pair_of(float low, float high) {
  T v[2];
  if constexpr (std::is_same<T, __half>::value) {
    v[0] = __float2half_rn(low);
    v[1] = __float2half_rn(high);
  } else {
    v[0] = __float2bfloat16_rn(low);
    v[1] = __float2bfloat16_rn(high);
  }
  uint32_t bits;
  memcpy(&bits, v, sizeof bits);
  return bits;
}

template <class T>
static void probe_mma(std::vector<probe> &probes, const char *exact, const char *rounded) {
  std::vector<uint32_t> in(32 * 6);
  for (int i = 0; i < 32 * 6; i++) in[(size_t)i] = pair_of<T>(probe_value(2 * i), probe_value(2 * i + 1));
  probe_run<uint32_t>(probes, exact, 0, 32, 0, 128, in, mma_kernel<T>);
  // Sums that must be rounded: tensor cores truncate where the emulator rounds, 16 terms of up to 4.
  for (int i = 0; i < 32 * 6; i++) in[(size_t)i] = pair_of<T>(probe_value(3 * i) / 3, probe_value(3 * i + 1) / 7);
  probe_run<uint32_t>(probes, rounded, 64, 32, 0, 128, in, mma_kernel<T>);
}

// ---- shared memory

template <bool TRANSPOSED>
static __global__ void __launch_bounds__(32) ldmatrix_kernel(uint32_t *out, const uint32_t *) {
  SHARED(uint4, rows, [32]);
  uint32_t base = 0x10001u * 8 * threadIdx.x + 0x10000u;
  rows[threadIdx.x] = make_uint4(base, base + 0x20002u, base + 0x40004u, base + 0x60006u);
  __syncwarp();
  uint32_t r[4];
  if (TRANSPOSED)
    ldmatrix_x4_trans(r, shared_address(&rows[threadIdx.x ^ 1]));
  else
    ldmatrix_x4(r, shared_address(&rows[threadIdx.x ^ 1]));
  for (int i = 0; i < 4; i++) out[4 * threadIdx.x + i] = r[i];
}

// Every third thread copies nothing, which fills with zeros.
template <int BYTES>
static __global__ void __launch_bounds__(64) cp_async_kernel(uint32_t *out, const uint32_t *in) {
  constexpr int WORDS = BYTES / 4;
  SHARED(uint4, target, [64]);
  uint32_t *words = (uint32_t *)target;
  for (int i = 0; i < 4; i++) words[4 * threadIdx.x + i] = 0xDEADBEEF;
  __syncthreads();
  for (int group = 0; group < 2; group++) {
    unsigned at = threadIdx.x / 2 + 32 * group;
    if (threadIdx.x % 2 == 0) cp_async<BYTES>(shared_address(words + 4 * at), in + WORDS * (63 - at), at % 3 != 0);
    cp_async_commit();
  }
  cp_async_wait<1>();
  __syncthreads();
  if (threadIdx.x < 32)
    for (int i = 0; i < 4; i++) out[4 * threadIdx.x + i] = words[4 * threadIdx.x + i];
  cp_async_wait<0>();
  __syncthreads();
  for (int i = 0; i < 4; i++) out[128 + 4 * threadIdx.x + i] = words[4 * threadIdx.x + i];
}

// Where dynamic memory lies, and that the same address arithmetic holds on both sides.
static __global__ void __launch_bounds__(32) address_kernel(uint32_t *out, const uint32_t *) {
  SHARED_DYNAMIC(dynamic);
  out[threadIdx.x] = shared_address(dynamic + 16 * threadIdx.x) - shared_address(dynamic);
  out[32 + threadIdx.x] = shared_address(dynamic) % 128;
}

// ---- lanes and barriers

static __global__ void __launch_bounds__(32) lanes_kernel(uint32_t *out, const uint32_t *in) {
  uint32_t v = in[threadIdx.x], lane = threadIdx.x;
  const uint32_t got[] = {__shfl_sync(~0u, v, 5),
                          __shfl_sync(~0u, v, (int)lane + 3),
                          __shfl_sync(~0u, v, 9, 8),
                          __shfl_xor_sync(~0u, v, 16),
                          __shfl_xor_sync(~0u, v, 5, 4),
                          __shfl_up_sync(~0u, v, 3),
                          __shfl_up_sync(~0u, v, 3, 8),
                          __shfl_down_sync(~0u, v, 3),
                          __shfl_down_sync(~0u, v, 3, 8),
                          __ballot_sync(~0u, v & 1),
                          (uint32_t)__any_sync(~0u, lane == 31),
                          (uint32_t)__all_sync(~0u, lane < 31),
                          (uint32_t)__popc(v),
                          (uint32_t)__clz((int)v),
                          (uint32_t)__ffs((int)v)};
  for (unsigned i = 0; i < sizeof got / sizeof *got; i++) out[32 * i + lane] = got[i];
}

static __global__ void __launch_bounds__(128) named_barrier_kernel(uint32_t *out, const uint32_t *in) {
  SHARED(uint32_t, x, [64]);
  if (threadIdx.x < 64) {
    x[threadIdx.x] = in[threadIdx.x];
    named_barrier_arrive(2, 128);
  } else {
    named_barrier(2, 128);
    out[threadIdx.x - 64] = x[127 - threadIdx.x];
  }
}

// ---- numbers

static __global__ void __launch_bounds__(256) exp2_kernel(uint32_t *out, const float *in) {
  out[threadIdx.x] = probe_bits(exp2_fast(in[threadIdx.x]));
}

static __global__ void __launch_bounds__(256) functions_kernel(uint32_t *out, const float *in) {
  float v = in[threadIdx.x];
  out[threadIdx.x] = probe_bits(expf(v));
  out[256 + threadIdx.x] = probe_bits(erff(v));
  out[512 + threadIdx.x] = probe_bits(rsqrtf(fabsf(v) + 0.001f));
  out[768 + threadIdx.x] = probe_bits(1.0f / (1.0f + v * v));
}

static __global__ void __launch_bounds__(256) halves_kernel(uint32_t *out, const float *in) {
  float v = in[threadIdx.x];
  __half h = __float2half_rn(v);
  __nv_bfloat16 b = __float2bfloat16_rn(v);
  out[threadIdx.x] = probe_bits(__half2float(h));
  out[256 + threadIdx.x] = probe_bits(__bfloat162float(b));
}

static std::vector<float> numbers(float scale) {
  std::vector<float> out(256);
  for (int i = 0; i < 256; i++) out[(size_t)i] = ((float)i - 127.5f) * scale;
  return out;
}

// Between two halves, at their limits, and what is no number.
static std::vector<float> rounding_cases() {
  std::vector<float> out = numbers(257.0f / 256);
  const float special[] = {0.0f,     -0.0f,    1 + 0x1p-11f, 1 + 0x3p-11f, 1 + 0x1p-8f, 1 + 0x3p-8f, 65504, 65519.99f,
                           65520,    -65520,   0x1p-24f,     0x1p-25f,     0x1.8p-25f,  0x1p-14f,    1e38f, 3.4e38f,
                           3.39e38f, INFINITY, -INFINITY,    0x1p-133f,    0x1p-134f,   0x1.8p-134f};
  for (size_t i = 0; i < sizeof special / sizeof *special; i++) out[i] = special[i];
  return out;
}

static void probe_all(std::vector<probe> &probes) {
  std::vector<uint32_t> words(256);
  for (uint32_t i = 0; i < 256; i++) words[i] = i * 2654435761u;
  probe_mma<__half>(probes, "mma f16, exact", "mma f16, rounded");
  probe_mma<__nv_bfloat16>(probes, "mma bf16, exact", "mma bf16, rounded");
  probe_run<uint32_t>(probes, "ldmatrix_x4", 0, 32, 0, 128, {}, ldmatrix_kernel<false>);
  probe_run<uint32_t>(probes, "ldmatrix_x4_trans", 0, 32, 0, 128, {}, ldmatrix_kernel<true>);
  probe_run<uint32_t>(probes, "cp_async 4", 0, 64, 0, 384, words, cp_async_kernel<4>);
  probe_run<uint32_t>(probes, "cp_async 8", 0, 64, 0, 384, words, cp_async_kernel<8>);
  probe_run<uint32_t>(probes, "cp_async 16", 0, 64, 0, 384, words, cp_async_kernel<16>);
  probe_run<uint32_t>(probes, "shared_address", 0, 32, 100000, 64, {}, address_kernel);
  probe_run<uint32_t>(probes, "shuffles, votes, bits", 0, 32, 0, 15 * 32, words, lanes_kernel);
  probe_run<uint32_t>(probes, "named_barrier", 0, 128, 0, 64, words, named_barrier_kernel);
  probe_run<float>(probes, "exp2_fast", 4, 256, 0, 256, numbers(1.1f), exp2_kernel);
  probe_run<float>(probes, "expf, erff, rsqrtf, division", 4, 256, 0, 1024, numbers(0.05f), functions_kernel);
  probe_run<float>(probes, "f16 and bf16 of f32", 0, 256, 0, 512, rounding_cases(), halves_kernel);
}

static void write_json(FILE *file, const cudaDeviceProp &about, const std::vector<probe> &probes) {
  fprintf(file, "{\n \"device\": \"%s\",\n \"compute_capability\": \"%d.%d\",\n \"probes\": [", about.name, about.major,
          about.minor);
  for (size_t i = 0; i < probes.size(); i++) {
    fprintf(file, "%s\n  {\"name\": \"%s\", \"ulp\": %d, \"bits\": \"", i ? "," : "", probes[i].name.c_str(),
            probes[i].ulp);
    for (uint32_t word : probes[i].bits) fprintf(file, "%08x", word);
    fprintf(file, "\"}");
  }
  fprintf(file, "\n ]\n}\n");
}

int main(int count, char **arguments) {
  if (count != 2) {
    fprintf(stderr, "usage: probe FILE.json\n");
    return 2;
  }
  cudaDeviceProp about;
  std::vector<probe> probes;
  probe_check(cudaGetDeviceProperties(&about, 0), "device 0");
  probe_all(probes);
  if (about.major == 9) probe_sm90(probes);
  FILE *file = fopen(arguments[1], "w");
  if (!file) {
    perror(arguments[1]);
    return 1;
  }
  write_json(file, about, probes);
  bool failed = ferror(file);
  failed = fclose(file) != 0 || failed;
  if (failed) fprintf(stderr, "%s: cannot be written\n", arguments[1]);
  return failed;
}
