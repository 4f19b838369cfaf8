// The product on tensor cores with mma.sync (sm_80 and later), fp16 and bf16.
//
// A block makes BM x BN of out, 32 of k at a time. Four stages of both operands stand in shared memory, 64 bytes a row,
// and cp.async fills three while one is multiplied. The 16-byte chunks of a row are exchanged by its number (chunk ^
// row / 2), so that the 8 rows which ldmatrix takes at once lie in all 32 banks. A warp makes 32 rows and half of the
// columns: its 2 x BN / 16 products of a k step take 2 + BN / 32 ldmatrix.
//
// Tiles, FLOP a byte that comes from L2, registers for sums:
//   128 x 160   71   80   the widths of the released UNet (320, 640, 1280, 5120 before GEGLU) are multiples of 160
//   128 x 128   64   64   for powers of two: CLIP, the autoencoder, MiDaS
//   64 x 64     32   32   for small products and odd widths
// An A100 makes 312 TFLOP/s and gives some 5 TB/s from L2: 62 FLOP a byte, so that the large tiles can be bound by its
// tensor cores. On an H100 mma.sync would be bound by L2 at about 5.5 x 71 = 390 TFLOP/s; wgmma is for that.
//
// Two blocks of the large ones share a multiprocessor (72 KiB and 64 KiB of its 164 or more; 128 registers a thread),
// one loads while the other multiplies. Blocks take tiles in groups of 8 row tiles by all column tiles, so that what is
// resident at once reads few rows of either operand.
//
// When the grid would leave multiprocessors idle, k is split over several blocks. Each stores fp32 sums to the
// workspace, and a second kernel adds them in the order of k and finishes: the same bytes on every run.
#ifndef VC_KERNELS_CUDA_PRODUCT_MMA_CUH
#define VC_KERNELS_CUDA_PRODUCT_MMA_CUH

#include "kernels/cuda/product.cuh"

constexpr int MMA_BK = 32;     // values of k in a stage
constexpr int MMA_CHUNK = 8;   // in 16 bytes
constexpr int MMA_ROW = 64;    // bytes of a stage's row
constexpr int MMA_STAGES = 4;  // a power of two
constexpr int MMA_LANES = 4;   // threads that load a row
constexpr int MMA_PASS = 64;   // rows that are finished at once
constexpr int MMA_GROUP = 8;   // row tiles that neighbouring blocks take

template <int BM_, int BN_, int BLOCKS_>
struct mma_tile {
  static constexpr int BM = BM_, BN = BN_, BLOCKS = BLOCKS_;  // blocks that share a multiprocessor
  static constexpr int WARP_COLUMNS = BN / 2;
  static constexpr int THREADS = 2 * BM;            // a warp has 32 rows, two stand side by side
  static constexpr int STEP = THREADS / MMA_LANES;  // rows that the block loads at once
  static constexpr int A_ROWS = BM / STEP, B_ROWS = (BN + STEP - 1) / STEP;
  static constexpr int A_BYTES = BM * MMA_ROW, STAGE_BYTES = (BM + BN) * MMA_ROW;
  static constexpr int SHARED_BYTES = MMA_STAGES * STAGE_BYTES;
  static_assert(WARP_COLUMNS % 16 == 0 && STEP % 8 == 0, "ldmatrix takes 16 columns; chunks are exchanged by 8 rows");
  static_assert(MMA_PASS * STAGE_PITCH<BN> * 4 <= SHARED_BYTES, "rows are finished where the stages were");
};

typedef mma_tile<128, 160, 2> mma_wide;
typedef mma_tile<128, 128, 2> mma_square;
typedef mma_tile<64, 64, 4> mma_small;

// How the work is divided. Passed to kernels by value.
typedef struct mma_plan {
  int tile;  // 0 .. 2: as above
  int down, across;
  int splits, parts;  // of k: parts of MMA_BK in each split
  int64_t pitch;      // floats between rows of partial sums
  float *partial;     // [splits, rows, gated ? 2 : 1, pitch], or NULL
} mma_plan;

DEVICE uint32_t mma_offset(int row, int chunk) {
  return (uint32_t)(row * MMA_ROW + ((chunk ^ (row / 2 % 4)) * 16));
}

// What a thread loads: a chunk of A_ROWS rows of A and of B_ROWS rows of W.
template <class T, product_kind KIND, class TILE, bool VECTORS>
struct mma_loader {
  walk<T, KIND, TILE::A_ROWS, TILE::STEP> w;
  const T *weight[TILE::B_ROWS];
  unsigned valid;  // a bit a row of W: the others are zeros
  int k, first;
  int64_t tile_row;
  uint32_t to;

  __device__ __forceinline__ void begin(const product<T> &p, const place *places, int64_t tile_row_, int tile_column,
                                        int part) {
    tile_row = tile_row_;
    valid = 0;
    first = threadIdx.x / MMA_LANES;
    int chunk = threadIdx.x % MMA_LANES;
    k = part * MMA_BK + chunk * MMA_CHUNK;
    to = mma_offset(first, chunk);
    w.begin(p, places, tile_row, first, k);
#pragma unroll
    for (int i = 0; i < TILE::B_ROWS; i++) {
      int j = first + i * TILE::STEP, row = j < TILE::BN ? weight_row<T, TILE::BN>(p, tile_column, j) : -1;
      if (row >= 0) valid |= 1u << i;
      weight[i] = p.weight + (row < 0 ? 0 : row) * p.pitch;
    }
  }

  // Without vectors: the thread copies value by value, and the barrier before the stage is read makes it visible.
  __device__ __forceinline__ void gather(const product<T> &p, const place *places, unsigned char *stage) {
    vector_of<T, MMA_CHUNK> chunk[TILE::A_ROWS];
#pragma unroll
    for (int i = 0; i < MMA_CHUNK; i++) {
#pragma unroll
      for (int r = 0; r < TILE::A_ROWS; r++) chunk[r].v[i] = w.row[r] ? w.row[r][w.channel] : from_float<T>(0);
      w.advance(p, places, tile_row, first, i + 1 < MMA_CHUNK ? 1 : MMA_BK - MMA_CHUNK + 1);
    }
#pragma unroll
    for (int r = 0; r < TILE::A_ROWS; r++)
      *(vector_of<T, MMA_CHUNK> *)(stage + to + r * TILE::STEP * MMA_ROW) = chunk[r];
  }

  // The next part of k to a stage; does not commit.
  __device__ __forceinline__ void load(const product<T> &p, const place *places, unsigned char *stage) {
    uint32_t a = shared_address(stage) + to, b = a + TILE::A_BYTES;
    int64_t at = KIND == PRODUCT_TRANSPOSED ? w.weight_at + w.channel : k;
    bool inside = VECTORS ? w.inside(p) : k < p.pitch;
#pragma unroll
    for (int i = 0; i < TILE::B_ROWS; i++) {
      if (TILE::BN % TILE::STEP && !MUTANT(29) && first + i * TILE::STEP >= TILE::BN) break;
      cp_async<16>(b + i * TILE::STEP * MMA_ROW, weight[i] + at, inside && (valid >> i & 1));
    }
    k += MMA_BK;
    if constexpr (VECTORS) {
#pragma unroll
      for (int i = 0; i < TILE::A_ROWS; i++) cp_async<16>(a + i * TILE::STEP * MMA_ROW, w.at(i), w.row[i] != nullptr);
      w.advance(p, places, tile_row, first, MMA_BK);
    } else {
      gather(p, places, stage);
    }
  }
};

template <class TILE>
using mma_sums = float[2][TILE::WARP_COLUMNS / 8][4];

template <class T, class TILE>
DEVICE void mma_multiply(mma_sums<TILE> &sum, uint32_t stage) {
  int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  int a_row = warp / 2 * 32 + lane % 16, a_chunk = lane / 16;
  int b_row = warp % 2 * TILE::WARP_COLUMNS + lane / 16 * 8 + lane % 8, b_chunk = lane / 8 % 2;
#pragma unroll
  for (int k = 0; k < MMA_BK / 16; k++) {
    uint32_t a[2][4];
    uint32_t a_at = stage + mma_offset(a_row, a_chunk + 2 * k);
    uint32_t b_at =
        stage + TILE::A_BYTES + (MUTANT(24) ? mma_offset(b_row, b_chunk) + 32 * k : mma_offset(b_row, b_chunk + 2 * k));
    ldmatrix_x4(a[0], a_at);
    ldmatrix_x4(a[1], a_at + 16 * MMA_ROW);
#pragma unroll
    for (int j = 0; j < TILE::WARP_COLUMNS / 16; j++) {
      uint32_t b[4];
      ldmatrix_x4(b, b_at + j * 16 * MMA_ROW);
#pragma unroll
      for (int i = 0; i < 2; i++) {
        mma_m16n8k16<T>(sum[i][2 * j], a[i], b);
        mma_m16n8k16<T>(sum[i][2 * j + 1], a[i], b + (MUTANT(25) ? 1 : 2));
      }
    }
  }
}

// A lane has columns 2 (lane % 4) and the next of rows lane / 4 and 8 more, in each 16 x 8 of its warp.
template <class T, product_kind KIND, class TILE>
DEVICE void mma_finish(const product<T> &p, const place *places, float *stage, const mma_sums<TILE> &sum,
                       int64_t first_row, int tile) {
  int lane = threadIdx.x % 32, warp = threadIdx.x / 32, row = warp / 2 * 32 + lane / 4;
  int column = warp % 2 * TILE::WARP_COLUMNS + lane % 4 * 2;
#pragma unroll
  for (int pass = 0; pass < TILE::BM; pass += MMA_PASS) {
    if (row >= pass && row < pass + MMA_PASS) {
      float *to = stage + (row - pass) * STAGE_PITCH<TILE::BN> + column;
#pragma unroll
      for (int i = 0; i < 2; i++)
#pragma unroll
        for (int j = 0; j < TILE::WARP_COLUMNS / 8; j++) {
          const float *s = sum[i][j];
          float *at = to + i * 16 * STAGE_PITCH<TILE::BN> + j * 8;
          store_floats<float, 2>(at, {s[0], s[1]});
          store_floats<float, 2>(at + 8 * STAGE_PITCH<TILE::BN>, {s[2], s[3]});
        }
    }
    __syncthreads();
    finish_rows<T, KIND, TILE::BN, MMA_PASS, TILE::THREADS>(p, places, stage, first_row, pass, tile);
    if (pass + MMA_PASS < TILE::BM && !MUTANT(28)) __syncthreads();
  }
}

// Sums of one split to the workspace, in pairs; those of a gated product with values before gates in each row.
template <class T, class TILE>
DEVICE void mma_store_partial(const product<T> &p, const mma_plan &plan, const mma_sums<TILE> &sum, int64_t first_row,
                              int tile) {
  int lane = threadIdx.x % 32, warp = threadIdx.x / 32, halves = p.gated ? 2 : 1, width = TILE::BN / halves;
  int64_t row = first_row + warp / 2 * 32 + lane / 4;
  float *partial = plan.partial + blockIdx.y * plan.pitch * (MUTANT(26) ? 1 : halves) * p.rows;
#pragma unroll
  for (int j = 0; j < TILE::WARP_COLUMNS / 8; j++) {
    int at = warp % 2 * TILE::WARP_COLUMNS + j * 8 + lane % 4 * 2, half = at >= width;
    int64_t column = tile * width + at - half * width;
    if (column >= plan.pitch) continue;
#pragma unroll
    for (int i = 0; i < 4; i++)
      if (row + i * 8 < p.rows)
        store_floats<float, 2>(partial + ((row + i * 8) * halves + half) * plan.pitch + column,
                               {sum[i / 2][j][i % 2 * 2], sum[i / 2][j][i % 2 * 2 + 1]});
  }
}

template <class T, product_kind KIND, class TILE, bool VECTORS>
static __global__ void __launch_bounds__(TILE::THREADS, TILE::BLOCKS) product_mma_kernel(product<T> p, mma_plan plan) {
  SHARED_DYNAMIC(stages);
  SHARED(place, places, [KIND == PRODUCT_LINEAR ? 1 : TILE::BM]);
  int group = blockIdx.x / (MMA_GROUP * plan.across), in_group = blockIdx.x - group * MMA_GROUP * plan.across;
  int height = min(MMA_GROUP, plan.down - group * MMA_GROUP), tile = in_group / height;
  int64_t first_row = (int64_t)(group * MMA_GROUP + in_group - tile * height) * TILE::BM;
  if constexpr (KIND != PRODUCT_LINEAR) {
    find_places<T, KIND, TILE::BM, TILE::THREADS>(p, first_row, places);
    __syncthreads();
  }

  int taps = KIND == PRODUCT_LINEAR ? 1 : p.kernel[0] * p.kernel[1] * p.kernel[2];
  int begin = blockIdx.y * plan.parts, parts = min(plan.parts, (taps * p.c + MMA_BK - 1) / MMA_BK - begin);
  mma_loader<T, KIND, TILE, VECTORS> loader;
  loader.begin(p, places, first_row, tile, begin);
#pragma unroll
  for (int i = 0; i < MMA_STAGES - 1; i++) {
    if (i < parts) loader.load(p, places, stages + i * TILE::STAGE_BYTES);
    cp_async_commit();
  }
  mma_sums<TILE> sum = {};
  for (int i = 0; i < parts; i++) {
    if (!MUTANT(21)) cp_async_wait<MMA_STAGES - 2>();
    if (!MUTANT(22))
      __syncthreads();  // this stage is there for all, and all are done with the one before, which is filled next
    if (i + MMA_STAGES - 1 < parts)
      loader.load(p, places, stages + (i + MMA_STAGES - !MUTANT(23)) % MMA_STAGES * TILE::STAGE_BYTES);
    cp_async_commit();
    mma_multiply<T, TILE>(sum, shared_address(stages) + i % MMA_STAGES * TILE::STAGE_BYTES);
  }
  if (plan.partial) {
    mma_store_partial<T, TILE>(p, plan, sum, first_row, tile);
    return;
  }
  if (!MUTANT(30)) __syncthreads();
  mma_finish<T, KIND, TILE>(p, places, (float *)stages, sum, first_row, tile);
}

constexpr int REDUCE_THREADS = 256;

template <class T, int N>
static __global__ void __launch_bounds__(REDUCE_THREADS) product_reduce_kernel(product<T> p, mma_plan plan) {
  int vectors = p.columns / N, halves = p.gated ? 2 : 1;
  int64_t split = plan.pitch * halves * p.rows;
  for (int64_t i = (int64_t)blockIdx.x * REDUCE_THREADS + threadIdx.x; i < (int64_t)vectors * p.rows;
       i += (int64_t)gridDim.x * REDUCE_THREADS) {
    int64_t row = i / vectors;
    int column = (int)(i - row * vectors) * N;
    const float *from = plan.partial + row * halves * plan.pitch + column;
    float v[N] = {}, gate[N] = {};
    for (int s = MUTANT(27); s < plan.splits; s++, from += split) {
      add_bias<N>(v, from);
      if (p.gated) add_bias<N>(gate, from + plan.pitch);
    }
    finish<T, N>(p.epilogue, row, column, v, p.gated ? gate : nullptr);
  }
}

// ---- host

constexpr int64_t MMA_PARTIAL_MAX = 64 << 20;  // bytes of partial sums
constexpr int MMA_SPLITS_MAX = 16, MMA_PARTS_MIN = 8;

// A model of the time in cycles, only to compare plans: a multiprocessor makes 1024 FMA a cycle, less in smaller tiles
// and when one block of a large tile is alone on it; filling the stages and finishing costs as much as 8 parts; a
// second kernel costs 4000 cycles, and the machine moves 1500 bytes of partial sums a cycle.
static inline double mma_cycles(const vc_device *d, const mma_plan &plan, int64_t rows, int64_t columns, int bm, int bn,
                                double rate) {
  int64_t blocks = (int64_t)plan.down * plan.across * plan.splits;
  int64_t each = (blocks + d->multiprocessors - 1) / d->multiprocessors;
  if (each == 1 && bm == 128) rate *= 0.8;
  double cycles = (double)each * (plan.parts + 8) * bm * bn * MMA_BK / (1024 * rate);
  if (plan.splits > 1) cycles += 4000 + 8.0 * (double)(plan.splits * rows * columns) / 1500;
  return cycles;
}

// The plan of a product of [rows, k] and [columns, k]'; `columns` counts the gates too.
static mma_plan plan_mma(const vc_device *d, int64_t rows, int64_t columns, int64_t k, bool gated, bool vectors,
                         bool may_split) {
  static const struct {
    int bm, bn;
    double rate;
  } tiles[] = {
      {mma_wide::BM, mma_wide::BN, 1.0}, {mma_square::BM, mma_square::BN, 0.96}, {mma_small::BM, mma_small::BN, 0.65}};
  int64_t parts = (k + MMA_BK - 1) / MMA_BK, out = gated ? columns / 2 : columns;
  mma_plan best = {};
  double least = 0;
  for (int t = vectors ? 0 : 2; t < 3; t++)
    for (int splits = 1; splits <= (may_split && vectors ? MMA_SPLITS_MAX : 1); splits++) {
      int across = gated ? tiles[t].bn / 2 : tiles[t].bn;
      mma_plan plan = {};
      plan.tile = t;
      plan.down = (int)((rows + tiles[t].bm - 1) / tiles[t].bm);
      plan.across = (int)((out + across - 1) / across);
      plan.parts = (int)((parts + splits - 1) / splits);
      plan.splits = plan.parts ? (int)((parts + plan.parts - 1) / plan.parts) : 1;
      plan.pitch = (out + 7) / 8 * 8;
      int64_t bytes = plan.splits * rows * (gated ? 2 : 1) * plan.pitch * (int64_t)sizeof(float);
      if (splits > 1 && (plan.splits != splits || plan.parts < MMA_PARTS_MIN || bytes > MMA_PARTIAL_MAX)) continue;
      double cycles = mma_cycles(d, plan, rows, columns, tiles[t].bm, tiles[t].bn, tiles[t].rate);
      if (least > 0 && !(cycles < least)) continue;
      least = cycles;
      best = plan;
    }
  return best;
}

static inline size_t mma_workspace(const mma_plan &plan, int64_t rows, bool gated) {
  return plan.splits > 1 ? (size_t)(plan.splits * rows * (gated ? 2 : 1) * plan.pitch) * sizeof(float) : 0;
}

template <class T, product_kind KIND, class TILE, bool VECTORS>
static cudaError_t launch_mma(const vc_device *d, const product<T> &p, const mma_plan &plan) {
  if ((int64_t)plan.down * plan.across > INT32_MAX) return cudaErrorInvalidConfiguration;
  return launch(product_mma_kernel<T, KIND, TILE, VECTORS>,
                dim3((unsigned)(plan.down * plan.across), (unsigned)plan.splits), TILE::THREADS, TILE::SHARED_BYTES,
                d->stream, p, plan);
}

template <class T>
static cudaError_t launch_reduce(const vc_device *d, const product<T> &p, const mma_plan &plan) {
  constexpr int N = full_vector<T>;
  int n = p.wide ? N : 1;
  unsigned blocks = vc_cuda_blocks((int64_t)p.rows * (p.columns / n), REDUCE_THREADS, 16 * d->multiprocessors);
  return launch(p.wide ? product_reduce_kernel<T, N> : product_reduce_kernel<T, 1>, blocks, REDUCE_THREADS, 0,
                d->stream, p, plan);
}

// Whether the op's shape alone allows vectors; the launch looks at the addresses too.
static inline bool mma_vectors(int64_t c0, int64_t c1, int64_t stride) {
  return c0 % MMA_CHUNK == 0 && c1 % MMA_CHUNK == 0 && stride % MMA_CHUNK == 0;
}

// workspace: as large as mma_workspace of the op says, or NULL.
template <class T, product_kind KIND>
static cudaError_t run_mma(const vc_device *d, product<T> p, void *workspace) {
  p.vectors = reads_vectors(p, MMA_CHUNK);
  int64_t k = (int64_t)p.c * p.kernel[0] * p.kernel[1] * p.kernel[2];
  mma_plan plan =
      plan_mma(d, p.rows, (int64_t)p.columns * (p.gated ? 2 : 1), k, p.gated, p.vectors, workspace != nullptr);
  if (plan.splits > 1) plan.partial = (float *)workspace;
  cudaError_t code;
  if constexpr (KIND != PRODUCT_TRANSPOSED) {
    if (!p.vectors) return launch_mma<T, KIND, mma_small, false>(d, p, plan);
  }
  if (plan.tile == 0)
    code = launch_mma<T, KIND, mma_wide, true>(d, p, plan);
  else if (plan.tile == 1)
    code = launch_mma<T, KIND, mma_square, true>(d, p, plan);
  else
    code = launch_mma<T, KIND, mma_small, true>(d, p, plan);
  return code == cudaSuccess && plan.partial ? launch_reduce(d, p, plan) : code;
}

#endif
