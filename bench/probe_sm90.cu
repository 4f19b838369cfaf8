// Probes of sm90.cuh: tiles that TMA stores, what wgmma makes of them in each thread, the phases of a barrier.
#include "bench/probe.h"
#include "kernels/cuda/sm90.cuh"

constexpr int THREADS = 128, ROW = 64;  // elements of a row of 128 bytes
constexpr int WGMMA_STEPS = 4;          // of 16 columns: one such row

// ---- running

typedef decltype(&cuTensorMapEncodeTiled) encode_function;

static encode_function find_encode() {
  void *function = nullptr;
  cudaDriverEntryPointQueryResult result;
  probe_check(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, 12000, cudaEnableDefault, &result),
              "cuTensorMapEncodeTiled");
  return (encode_function)function;
}

// Tensors of 16-bit elements, innermost dimension first; rows are padded to `pitch` elements.
struct tensor {
  int rank, pitch, size[5], box[5], step[5];
};

static CUtensorMap map_of(const tensor &t, const void *base, bool bfloat) {
  CUtensorMap map;
  cuuint64_t size[5], stride[5] = {(cuuint64_t)t.pitch * 2};
  cuuint32_t box[5], step[5];
  for (int i = 0; i < t.rank; i++) {
    size[i] = (cuuint64_t)t.size[i];
    if (i) stride[i] = stride[i - 1] * size[i];
    step[i] = (cuuint32_t)t.step[i];
    box[i] = (cuuint32_t)(t.box[i] * t.step[i]);
  }
  CUresult code =
      find_encode()(&map, bfloat ? CU_TENSOR_MAP_DATA_TYPE_BFLOAT16 : CU_TENSOR_MAP_DATA_TYPE_FLOAT16,
                    (cuuint32_t)t.rank, (void *)base, size, stride, box, step, CU_TENSOR_MAP_INTERLEAVE_NONE,
                    CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_NONE, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (code == CUDA_SUCCESS) return map;
  fprintf(stderr, "cuTensorMapEncodeTiled: %d\n", (int)code);
  exit(1);
}

// Device memory with `values` in it, for the life of the process.
static void *on_device(const std::vector<uint16_t> &values) {
  void *to = nullptr;
  probe_check(cudaMalloc(&to, values.size() * 2), "memory");
  probe_check(cudaMemcpy(to, values.data(), values.size() * 2, cudaMemcpyHostToDevice), "a copy");
  return to;
}

template <class... P, class... A>
static void run(std::vector<probe> &probes, const char *name, int ulp, size_t shared_bytes, size_t count,
                void (*kernel)(uint32_t *, P...), A... arguments) {
  uint32_t *out = nullptr;
  probe_check(cudaMalloc((void **)&out, count * sizeof *out), name);
  probe_check(cudaMemset(out, 0, count * sizeof *out), name);
  probe_check(launch(kernel, 1, THREADS, shared_bytes, nullptr, out, arguments...), name);
  probe_check(cudaDeviceSynchronize(), name);
  probe p = {name, ulp, std::vector<uint32_t>(count)};
  probe_check(cudaMemcpy(p.bits.data(), out, count * sizeof *out, cudaMemcpyDeviceToHost), name);
  probes.push_back(p);
  cudaFree(out);
}

// ---- tiles

// A barrier for one arrival; all threads of the block call it.
DEVICE void start_barrier(uint32_t barrier) {
  if (threadIdx.x == 0) {
    mbarrier_init(barrier, 1);
    mbarrier_init_done();
  }
  __syncthreads();
}

constexpr int TILE_ROWS = 16, TILE_BYTES = TILE_ROWS * ROW * 2;

// Dumps a tile as it lies in shared memory, which shows the swizzle and what is filled with zeros.
template <int RANK>
static __global__ void __launch_bounds__(THREADS)
    tile_kernel(uint32_t *out, const __grid_constant__ CUtensorMap map, int x, int y, int z, int u, int v) {
  SHARED_DYNAMIC(memory);
  uint32_t tile = shared_address(memory), barrier = tile + TILE_BYTES;
  start_barrier(barrier);
  if (threadIdx.x == 0) {
    mbarrier_arrive_expect(barrier, TILE_BYTES);
    if (RANK == 2)
      tma_load(tile, &map, barrier, x, y);
    else
      tma_load(tile, &map, barrier, x, y, z, u, v);
  }
  mbarrier_wait(barrier, 0);
  for (int i = threadIdx.x; i < TILE_BYTES / 4; i += THREADS) out[i] = ((const uint32_t *)memory)[i];
}

static void probe_tiles(std::vector<probe> &probes) {
  std::vector<uint16_t> codes(1 << 15);
  for (size_t i = 0; i < codes.size(); i++) codes[i] = (uint16_t)(i + 1);
  void *base = on_device(codes);
  const tensor plane = {2, 80, {72, 20}, {ROW, TILE_ROWS}, {1, 1}};
  const tensor video = {5, 40, {40, 7, 6, 3, 2}, {ROW, 4, 2, 2, 1}, {1, 1, 1, 1, 1}};
  const tensor strided = {5, 40, {40, 7, 6, 3, 2}, {ROW, 4, 4, 1, 1}, {1, 2, 3, 1, 1}};
  CUtensorMap map = map_of(plane, base, false);
  run(probes, "tma_load 2d, behind the end", 0, TILE_BYTES + 16, TILE_BYTES / 4, tile_kernel<2>, map, 24, 8, 0, 0, 0);
  run(probes, "tma_load 2d, before the start", 0, TILE_BYTES + 16, TILE_BYTES / 4, tile_kernel<2>, map, -8, -3, 0, 0,
      0);
  map = map_of(video, base, true);
  run(probes, "tma_load 5d", 0, TILE_BYTES + 16, TILE_BYTES / 4, tile_kernel<5>, map, 8, -1, 5, 2, 1);
  map = map_of(strided, base, false);
  run(probes, "tma_load 5d, strides", 0, TILE_BYTES + 16, TILE_BYTES / 4, tile_kernel<5>, map, 0, -1, -2, 1, 0);
}

// ---- products

// a [64 64] b [COLUMNS 64]' in four steps. `all`: every register of a thread in one word; else one register a thread.
template <class T, int COLUMNS>
static __global__ void __launch_bounds__(THREADS) wgmma_kernel(uint32_t *out, const __grid_constant__ CUtensorMap a_map,
                                                               const __grid_constant__ CUtensorMap b_map, bool all) {
  constexpr int A_BYTES = 64 * ROW * 2, B_BYTES = COLUMNS * ROW * 2;
  SHARED_DYNAMIC(memory);
  uint32_t a = shared_address(memory), b = a + A_BYTES, barrier = b + B_BYTES;
  start_barrier(barrier);
  if (threadIdx.x == 0) {
    mbarrier_arrive_expect(barrier, A_BYTES + B_BYTES);
    tma_load(a, &a_map, barrier, 0, 0);
    tma_load(b, &b_map, barrier, 0, 0);
  }
  mbarrier_wait(barrier, 0);
  float d[COLUMNS / 2];
#pragma unroll
  for (int i = 0; i < COLUMNS / 2; i++) d[i] = 1e9f;  // the first step does not add to it
  wgmma_fence();
#pragma unroll
  for (int k = 0; k < WGMMA_STEPS; k++) wgmma<T>(d, wgmma_operand(a + 32 * k), wgmma_operand(b + 32 * k), k > 0);
  wgmma_commit();
  wgmma_wait<0>();
  uint32_t word = 0;
#pragma unroll
  for (int i = 0; i < COLUMNS / 2; i++) {
    if (all) word = word * 31 + probe_bits(d[i]);
    if (!all && i == (int)threadIdx.x % (COLUMNS / 2)) word = probe_bits(d[i]);
  }
  out[threadIdx.x] = word;
}

template <class T>
static std::vector<uint16_t> matrix(int rows, float divisor) {
  std::vector<uint16_t> out((size_t)rows * ROW);
  for (size_t i = 0; i < out.size(); i++) {
    float v = probe_value((int)i + rows) / divisor;
    T element;
    if constexpr (std::is_same<T, __half>::value)
      element = __float2half_rn(v);
    else
      element = __float2bfloat16_rn(v);
    memcpy(&out[i], &element, sizeof element);
  }
  return out;
}

template <class T, int COLUMNS>
static void probe_wgmma(std::vector<probe> &probes, const std::string &type) {
  constexpr size_t BYTES = (64 + COLUMNS) * ROW * 2 + 16;
  const bool bfloat = !std::is_same<T, __half>::value;
  const tensor a = {2, ROW, {ROW, 64}, {ROW, 64}, {1, 1}}, b = {2, ROW, {ROW, COLUMNS}, {ROW, COLUMNS}, {1, 1}};
  std::string name = "wgmma " + type + ", " + std::to_string(COLUMNS) + " columns, ";
  for (int rounded = 0; rounded < 2; rounded++) {
    CUtensorMap a_map = map_of(a, on_device(matrix<T>(64, rounded ? 3 : 1)), bfloat);
    CUtensorMap b_map = map_of(b, on_device(matrix<T>(COLUMNS, rounded ? 7 : 1)), bfloat);
    run(probes, (name + (rounded ? "rounded" : "exact")).c_str(), rounded ? 256 : 0, BYTES, THREADS,
        wgmma_kernel<T, COLUMNS>, a_map, b_map, !rounded);
  }
}

// ---- barriers

// What parity a barrier of two arrivals has after each of six phases, some of which wait for no bytes; hangs if it is
// not as sm90.cuh says.
static __global__ void __launch_bounds__(THREADS) phases_kernel(uint32_t *out) {
  SHARED_DYNAMIC(memory);
  uint32_t barrier = shared_address(memory);
  if (threadIdx.x == 0) {
    mbarrier_init(barrier, 2);
    mbarrier_init_done();
  }
  __syncthreads();
  mbarrier_wait(barrier, 1);
  __syncthreads();
  for (int phase = 0; phase < 6; phase++) {
    if (threadIdx.x == 0) mbarrier_arrive_expect(barrier, 0);
    if (threadIdx.x == 96) mbarrier_arrive(barrier);
    mbarrier_wait(barrier, phase % 2);
    out[phase * THREADS + threadIdx.x] = (uint32_t)phase + 1;
    __syncthreads();
  }
}

void probe_sm90(std::vector<probe> &probes) {
  probe_tiles(probes);
  probe_wgmma<__half, 64>(probes, "f16");
  probe_wgmma<__half, 128>(probes, "f16");
  probe_wgmma<__half, 160>(probes, "f16");
  probe_wgmma<__nv_bfloat16, 64>(probes, "bf16");
  probe_wgmma<__nv_bfloat16, 128>(probes, "bf16");
  probe_wgmma<__nv_bfloat16, 160>(probes, "bf16");
  run(probes, "mbarrier phases", 0, 16, 6 * THREADS, phases_kernel);
}
