// The host's part of a product on sm_90a: which tile, how many parts, and the tensor maps for TMA.
#ifndef VC_KERNELS_CUDA_PLAN_SM90_CUH
#define VC_KERNELS_CUDA_PLAN_SM90_CUH

#include "kernels/cuda/product_sm90.cuh"

enum tile_kind { TILE_LARGE, TILE_WIDE, TILE_SMALL, TILE_KINDS };

constexpr int TILE_ROWS[TILE_KINDS] = {tile_large::ROWS, tile_wide::ROWS, tile_small::ROWS};

// The size of a product: tiles of rows by kind of tile, rows and columns of out, stages of k.
struct product_size {
  int64_t row_tiles[TILE_KINDS], rows, c_out, stages;
  bool gated;
};

struct product_plan {
  tile_kind tile;
  int splits;
  int64_t column_tiles;
};

static product_plan plan_for(const product_size &s, tile_kind tile, int splits) {
  const int columns[TILE_KINDS] = {s.gated ? tile_gated::OUT_COLUMNS : tile_large::OUT_COLUMNS, tile_wide::OUT_COLUMNS,
                                   tile_small::OUT_COLUMNS};
  return {tile, splits, (s.c_out + columns[tile] - 1) / columns[tile]};
}

// Cycles that the product should take: waves of blocks, each its stages at the rate of the tensor cores or of L2 (the
// numbers of product_sm90.cuh), the way into the pipeline, and the tile's way out; parts cost their bytes once more,
// and a launch.
static double plan_cycles(const vc_device *d, const product_size &s, const product_plan &p) {
  static const double stage[TILE_KINDS] = {1280, 1024, 520}, out[TILE_KINDS] = {5100, 4100, 1000};
  constexpr double FILL = 1500, LAUNCH = 4000, MEMORY = 14;  // bytes a cycle and multiprocessor
  double items = (double)(s.row_tiles[p.tile] * p.column_tiles * p.splits);
  double waves = ceil(items / d->multiprocessors), stages = ceil((double)s.stages / p.splits);
  double cycles = FILL + waves * (stages * stage[p.tile] + out[p.tile]);
  double part_bytes = (double)(s.rows * s.c_out) * (s.gated ? 8 : 4) * p.splits;
  return p.splits == 1 ? cycles : cycles + LAUNCH + 2 * part_bytes / (MEMORY * d->multiprocessors);
}

static product_plan plan_product(const vc_device *d, const product_size &s, bool may_split) {
  constexpr int SPLITS_MAX = 32, STAGES_MIN = 4;
  product_plan best = plan_for(s, TILE_LARGE, 1);
  double least = plan_cycles(d, s, best);
  for (int tile = 0; tile < (s.gated ? 1 : (int)TILE_KINDS); tile++)
    for (int splits = 1; splits <= (may_split ? SPLITS_MAX : 1); splits++) {
      if (splits > 1 && s.stages < (int64_t)splits * STAGES_MIN) break;
      product_plan plan = plan_for(s, (tile_kind)tile, splits);
      double cycles = plan_cycles(d, s, plan);
      if (!(cycles < least)) continue;
      least = cycles;
      best = plan;
    }
  return best;
}

static size_t part_bytes(const product_size &s, const product_plan &p) {
  return p.splits == 1 ? 0 : (size_t)(s.rows * s.c_out) * (s.gated ? 2 : 1) * sizeof(float) * (size_t)p.splits;
}

// ---- tensor maps

typedef decltype(&cuTensorMapEncodeTiled) encode_function;

// The driver's function, without linking the driver's library. NULL when it is too old to have it.
static encode_function find_encode() {
  void *function = nullptr;
  cudaDriverEntryPointQueryResult result = cudaDriverEntryPointSymbolNotFound;
  cudaError_t code =
      cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, 12000, cudaEnableDefault, &result);
  return code == cudaSuccess && result == cudaDriverEntryPointSuccess ? (encode_function)function : nullptr;
}

// A tensor of half precision as TMA sees it, innermost dimension first.
struct map_of {
  int rank;
  const void *base;
  cuuint64_t size[5], stride[5];  // stride[i] in bytes, of dimension i; [0] is not used
  cuuint32_t box[5], step[5];     // box in steps: what arrives
};

static vc_status make_map(CUtensorMap *map, vc_dtype dtype, map_of m, const char *what, vc_error *error) {
  static const encode_function encode = find_encode();
  if (!encode)
    return vc_fail(error, VC_UNSUPPORTED, "the driver has no cuTensorMapEncodeTiled; it must be 12.0 or later");
  for (int i = 0; i < m.rank; i++) m.box[i] *= m.step[i];
  CUresult code =
      encode(map, dtype == VC_F16 ? CU_TENSOR_MAP_DATA_TYPE_FLOAT16 : CU_TENSOR_MAP_DATA_TYPE_BFLOAT16,
             (cuuint32_t)m.rank, (void *)m.base, m.size, m.stride + 1, m.box, m.step, CU_TENSOR_MAP_INTERLEAVE_NONE,
             CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (code == CUDA_SUCCESS) return VC_OK;
  return vc_fail(error, VC_FAILED, "CUDA: the driver refuses a tensor map of %s at %p (%d)", what, m.base, (int)code);
}

// The weight [columns][pitch], half a tile of columns a box.
static vc_status make_weight_map(CUtensorMap *map, vc_dtype dtype, const void *weight, int64_t columns, int64_t k,
                                 tile_kind tile, vc_error *error) {
  static const int box[TILE_KINDS] = {tile_large::COLUMNS / 2, tile_wide::COLUMNS / 2, tile_small::COLUMNS / 2};
  map_of m = {2,
              weight,
              {(cuuint64_t)k, (cuuint64_t)columns},
              {0, (cuuint64_t)vc_cuda_pitch(k) * 2},
              {DEPTH, (cuuint32_t)box[tile]},
              {1, 1}};
  return make_map(map, dtype, m, "the weight", error);
}

// ---- launching

// Half precision on a device that has wgmma (its successors do not), rows of 16-byte vectors on both sides.
static bool device_fits(const vc_device *d, vc_dtype dtype, const int64_t c[2], int64_t c_out) {
  return d->major == 9 && d->shared_bytes >= (size_t)tile_large::SHARED_BYTES &&
         (dtype == VC_F16 || dtype == VC_BF16) && c[0] > 0 && c[0] % 8 == 0 && c[1] % 8 == 0 && c_out % 8 == 0;
}

// Addresses of vectors; those that are not known yet are NULL.
static bool addresses_fit(const void *const x[2], const void *weight, const vc_epilogue &e, const void *out,
                          const void *workspace) {
  return is_aligned(x[0]) && is_aligned(x[1]) && is_aligned(weight) && is_aligned(out) && is_aligned(workspace) &&
         is_aligned(e.bias) && is_aligned(e.addend) && is_aligned(e.residual) && e.addend_step % 8 == 0;
}

// Coordinates and counts of tiles are 32 bits in the kernels.
static bool size_fits(const product_size &s) {
  constexpr int64_t LIMIT = INT32_MAX / 64;
  int64_t columns = plan_for(s, TILE_SMALL, 1).column_tiles, items;
  return s.rows <= INT32_MAX - 256 && s.c_out <= LIMIT && s.stages <= LIMIT &&
         !__builtin_mul_overflow(s.row_tiles[TILE_SMALL], columns, &items) && items <= LIMIT;
}

template <class T, class G, class S>
static cudaError_t launch_tile(const vc_device *d, const product_of<T, G> &p) {
  unsigned blocks = vc_cuda_blocks((int64_t)p.row_tiles * p.column_tiles * p.splits, 1, d->multiprocessors);
  cudaError_t code = launch(product_kernel<T, G, S>, dim3(blocks), dim3(THREADS), S::SHARED_BYTES, d->stream, p);
  if (code != cudaSuccess || !p.parts) return code;
  blocks = vc_cuda_blocks(p.rows * (p.epilogue.c_out / 8), ADD_THREADS, 8 * d->multiprocessors);
  return launch(add_parts_kernel<T, S::GATED>, dim3(blocks), dim3(ADD_THREADS), 0, d->stream, p.epilogue,
                (const float *)p.parts, p.splits, p.rows, p.part_columns);
}

// The rest of `p` (all but maps, geometry, taps and channels), and the launch.
template <class T, class G, bool MAY_GATE>
static vc_status launch_product(vc_device *d, vc_op_kind kind, const product_size &s, const product_plan &plan,
                                const vc_epilogue &epilogue, void *out, void *workspace, product_of<T, G> &p,
                                vc_error *error) {
  p.epilogue = epilogue_for<T>(&epilogue, out, s.c_out);
  p.parts = plan.splits > 1 ? (float *)workspace : nullptr;
  p.rows = s.rows;
  p.part_columns = s.gated ? 2 * s.c_out : s.c_out;
  p.stages = (int)s.stages;
  p.row_tiles = (int)s.row_tiles[plan.tile];
  p.column_tiles = (int)plan.column_tiles;
  p.splits = plan.splits;
  cudaError_t code = cudaSuccess;
  if (MAY_GATE && s.gated)
    code = launch_tile<T, G, typename std::conditional<MAY_GATE, tile_gated, tile_large>::type>(d, p);
  else if (plan.tile == TILE_LARGE)
    code = launch_tile<T, G, tile_large>(d, p);
  else if (plan.tile == TILE_WIDE)
    code = launch_tile<T, G, tile_wide>(d, p);
  else
    code = launch_tile<T, G, tile_small>(d, p);
  return vc_cuda_launched(d, kind, VC_CUDA_WGMMA, code, error);
}

#endif
