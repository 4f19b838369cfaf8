// The product under linear layers and convolutions on sm_90a: out = epilogue(A B'), with A [rows, k] gathered from the
// activations by TMA boxes and B [columns, k] packed weights, f16 or bf16 in, fp32 sums.
//
// A block has three warpgroups. One thread of the first fills a ring of stages in shared memory, each a tile of A and
// one of B, 64 columns deep: 128 bytes a row, swizzled so that wgmma reads it without bank conflicts. The other two
// warpgroups multiply, each its half of the tile's rows, and finish their sums in pieces of 32 columns that go through
// shared memory, so that 64 neighbouring bytes of a row are stored at once. Blocks are as many as multiprocessors
// and go from tile to tile; while sums are finished, the ring fills for the next tile.
// A residual is asked into L2 when its tile begins, and into registers a piece ahead: with few stages a tile (K = 320
// has five) its bytes take as long as the products, and a load at a time would wait for memory at each.
//
// Tiles, by multiprocessor of an H100 (dense: 2048 multiply-adds a cycle; 128 bytes a cycle from shared memory, about
// 48 from L2), a stage of 64 columns:
//   256 x 160   1280 cycles; 53 KB from L2 in 1110; 112 KB by wgmma in 900. The UNet's widths are multiples of 160, and
//               its levels give 256, 128, 64 and 16 such tiles for 132 multiprocessors at c_out = 320 .. 1280, the last
//               two to be split 2 and 8 ways
//   256 x 128   1024 cycles; 49 KB in 1024; for widths that are powers of two
//   128 x 64    256 cycles, 25 KB in 512: bound by L2, but there are five times as many, for small products
// 256 x 256 would need 256 registers a thread for sums alone. GEGLU takes 80 columns of values and their 80 gates as
// one tile of 160, so that a thread has both.
//
// Split products (too few tiles for the device): a block sums a range of the stages into the workspace, in fp32; a
// second kernel adds the parts in their order, so that results are the same on every run, and finishes them.
#ifndef VC_KERNELS_CUDA_PRODUCT_SM90_CUH
#define VC_KERNELS_CUDA_PRODUCT_SM90_CUH

#include "kernels/cuda/cuda.h"
#include "kernels/cuda/epilogue.cuh"
#include "kernels/cuda/sm90.cuh"

constexpr int DEPTH = 64;     // columns of k a stage: 128 bytes, the widest swizzle
constexpr int CONSUMERS = 2;  // warpgroups that multiply
constexpr int THREADS = 128 * (CONSUMERS + 1);
constexpr int PIECE = 32;                                         // columns that a warp finishes at once
constexpr int STAGING = 16 * PIECE * 4;                           // bytes a warp, for that
constexpr int PRODUCER_REGISTERS = 24, CONSUMER_REGISTERS = 240;  // 24 + 2 * 240 <= 65536 / 128

template <int HALVES_, int COLUMNS_, int STAGES_, bool GATED_>
struct tile_shape {
  static constexpr int HALVES = HALVES_;  // pieces of 64 rows that a warpgroup multiplies
  static constexpr int ROWS = 64 * HALVES_ * CONSUMERS;
  static constexpr int COLUMNS = COLUMNS_;  // of B
  static constexpr int STAGES = STAGES_;
  static constexpr bool GATED = GATED_;
  static constexpr int OUT_COLUMNS = GATED_ ? COLUMNS_ / 2 : COLUMNS_;
  static constexpr int A_BYTES = ROWS * DEPTH * 2, B_BYTES = COLUMNS_ * DEPTH * 2;
  static constexpr int STAGE_BYTES = A_BYTES + B_BYTES;
  static constexpr int PIECES = COLUMNS_ / PIECE;
  static constexpr int STAGING_AT = STAGES_ * STAGE_BYTES;
  static constexpr int BARRIERS_AT = STAGING_AT + 4 * CONSUMERS * STAGING;
  static constexpr int SHARED_BYTES = BARRIERS_AT + 2 * STAGES_ * 8;
  static_assert(COLUMNS_ % PIECE == 0 && COLUMNS_ / 2 * 128 % 1024 == 0, "tiles start where the swizzle does");
  static_assert(SHARED_BYTES <= 227 * 1024, "what a block may have");
};

using tile_large = tile_shape<2, 160, 4, false>;
using tile_gated = tile_shape<2, 160, 4, true>;
using tile_wide = tile_shape<2, 128, 4, false>;
using tile_small = tile_shape<1, 64, 6, false>;

// What a kernel is told; G says where A comes from, in linear_sm90.cu and conv_sm90.cu:
//   G::origin                       where a tile of rows lies
//   locate(g, tile) -> origin
//   row_of(g, origin, r)            the row of out that row r of the tile is, or -1
//   load_rows(g, shared, map, barrier, origin, tap, channel)   the tile of A
template <class T, class G>
struct product_of {
  CUtensorMap x[2], weight;
  epilogue_of<T> epilogue;
  G geometry;
  float *parts;  // [splits][rows][part_columns], or NULL when nothing is split
  int64_t rows, part_columns;
  int taps, channels[2], inputs;
  int stages;  // taps * (channels[0] and channels[1], each in steps of DEPTH)
  int row_tiles, column_tiles, splits;
};

// A tile and a range of its stages.
struct work_item {
  int row_tile, column, split;
  int begin, end;
};

template <class S, class P>
DEVICE work_item item_of(const P &p, int i) {
  work_item w;
  w.column = i % p.column_tiles * S::OUT_COLUMNS;
  i /= p.column_tiles;
  w.row_tile = i % p.row_tiles;
  w.split = i / p.row_tiles;
  w.begin = (int)((int64_t)p.stages * w.split / p.splits);
  w.end = (int)((int64_t)p.stages * (w.split + 1) / p.splits);
  return w;
}

template <class P>
DEVICE int items_of(const P &p) {
  return p.column_tiles * p.row_tiles * p.splits;
}

// A place in the ring, and which phase of its barriers is the next.
template <class S>
struct ring_place {
  int stage = 0;
  uint32_t parity = 0;
};

template <class S>
DEVICE void advance(ring_place<S> &at) {
  if (++at.stage < S::STAGES) return;
  at.stage = 0;
  at.parity ^= 1;
}

template <class S>
DEVICE uint32_t full_barrier(uint32_t shared, int stage) {
  return shared + S::BARRIERS_AT + 8 * stage;
}

template <class S>
DEVICE uint32_t empty_barrier(uint32_t shared, int stage) {
  return shared + S::BARRIERS_AT + 8 * (S::STAGES + stage);
}

// ---- filling the ring

// A stage of k: a tap, one of the inputs, and its channels from `channel` on.
struct k_place {
  int tap, input, channel;
};

template <class P>
DEVICE k_place k_place_of(const P &p, int stage) {
  int first = (p.channels[0] + DEPTH - 1) / DEPTH, both = p.stages / p.taps;
  int tap = stage / both, rest = stage - tap * both;
  if (rest < first) return {tap, 0, rest * DEPTH};
  return {tap, 1, (rest - first) * DEPTH};
}

template <class P>
DEVICE void advance(const P &p, k_place &k) {
  k.channel += DEPTH;
  if (k.channel < p.channels[k.input]) return;
  k.channel = 0;
  if (++k.input < p.inputs) return;
  k.input = 0;
  k.tap++;
}

template <class T, class G, class S>
DEVICE void produce(const product_of<T, G> &p, uint32_t shared) {
  ring_place<S> at;
  int c = p.channels[0] + p.channels[1];
  for (int i = blockIdx.x; i < items_of(p); i += gridDim.x) {
    work_item w = item_of<S>(p, i);
    typename G::origin origin = locate(p.geometry, w.row_tile);
    int gates = S::GATED ? (int)p.epilogue.c_out + w.column : w.column + S::COLUMNS / 2;
    k_place k = k_place_of(p, w.begin);
    for (int n = w.begin; n < w.end; n++) {
      uint32_t a = shared + at.stage * S::STAGE_BYTES, b = a + S::A_BYTES, full = full_barrier<S>(shared, at.stage);
      if (!MUTANT(1)) mbarrier_wait(empty_barrier<S>(shared, at.stage), at.parity ^ 1);
      mbarrier_arrive_expect(full, MUTANT(2) ? S::A_BYTES : S::STAGE_BYTES);
      load_rows(p.geometry, a, &p.x[k.input], full, origin, k.tap, k.channel);
      int column = k.tap * c + (k.input && !MUTANT(3) ? p.channels[0] : 0) + k.channel;
      tma_load(b, &p.weight, full, column, w.column);
      tma_load(b + S::B_BYTES / 2, &p.weight, full, column, gates);
      advance(at);
      advance(p, k);
    }
  }
}

// ---- multiplying

template <class T, class S>
DEVICE void multiply(float (&d)[S::HALVES][S::COLUMNS / 2], uint32_t shared, int warpgroup, ring_place<S> &at,
                     int stages) {
  bool releases = threadIdx.x % 32 == 0;
  uint32_t last = 0;  // the barrier of the stage before
  for (int n = 0; n < stages; n++) {
    if (!MUTANT(4)) mbarrier_wait(full_barrier<S>(shared, at.stage), at.parity);
    uint32_t a = shared + at.stage * S::STAGE_BYTES + warpgroup * (S::HALVES * 64 * 128);
    uint32_t b = shared + at.stage * S::STAGE_BYTES + S::A_BYTES;
    wgmma_fence();
#pragma unroll
    for (int k = 0; k < DEPTH / 16; k++)
#pragma unroll
      for (int h = 0; h < S::HALVES; h++)
        wgmma<T>(d[h], wgmma_operand(a + h * (64 * 128) + k * 32), wgmma_operand(b + k * (MUTANT(5) ? 16 : 32)),
                 n > 0 || k > 0);
    wgmma_commit();
    if (MUTANT(6) && releases) mbarrier_arrive(empty_barrier<S>(shared, at.stage));  // while it is still being read
    wgmma_wait<1>();
    if (!MUTANT(6) && n > 0 && releases) mbarrier_arrive(last);
    last = empty_barrier<S>(shared, at.stage);
    advance(at);
  }
  if (!MUTANT(12)) wgmma_wait<0>();
  if (!MUTANT(6) && releases) mbarrier_arrive(last);
}

// ---- finishing

// Where a column of a row lies among a warp's 16 rows of PIECE floats: groups of four are moved so that neither the
// writes (two columns of eight rows) nor the reads (four columns of two or more rows) meet in a bank.
DEVICE uint32_t staged(int row, int column) {
  return (uint32_t)(row * PIECE + (column ^ (row % 4 * 8) ^ (row % 2 * 4)));
}

// Column tile `piece * 4 + i` of the sums, or for GEGLU two tiles of values and the two of their gates.
template <class S>
DEVICE int tile_in_piece(int piece, int i) {
  if (!S::GATED) return piece * 4 + i;
  return i < 2 ? piece * 2 + i : S::COLUMNS / 16 + piece * 2 + i - 2;
}

template <class S, int PIECE_AT>
DEVICE void stage_piece(float *staging, const float *d, int lane) {
#pragma unroll
  for (int i = 0; i < 4; i++)
#pragma unroll
    for (int half = 0; half < 2; half++) {
      int j = tile_in_piece<S>(PIECE_AT, i) * 4 + half * 2;
      *(float2 *)(staging + staged(lane / 4 + half * 8, i * 8 + lane % 4 * 2)) = make_float2(d[j], d[j + 1]);
    }
}

DEVICE void load_staged(float (&v)[8], const float *staging, int row, int column) {
#pragma unroll
  for (int i = 0; i < 8; i += 4) {
    float4 part = *(const float4 *)(staging + staged(row, column + i));
    v[i] = part.x, v[i + 1] = part.y, v[i + 2] = part.z, v[i + 3] = part.w;
  }
}

DEVICE void store_part(float *to, const float (&v)[8]) {
  *(float4 *)to = make_float4(v[0], v[1], v[2], v[3]);
  *(float4 *)(to + 4) = make_float4(v[4], v[5], v[6], v[7]);
}

DEVICE void add_part(float (&v)[8], const float *part) {
  float4 low = *(const float4 *)part, high = *(const float4 *)(part + 4);
  v[0] += low.x, v[1] += low.y, v[2] += low.z, v[3] += low.w;
  v[4] += high.x, v[5] += high.y, v[6] += high.z, v[7] += high.w;
}

// How a warp goes through the 16 rows that it has of each piece: vectors of eight columns, PASSES of them a lane.
template <class S>
struct piece_shape {
  static constexpr int WIDTH = S::GATED ? PIECE / 2 : PIECE;  // columns of out
  static constexpr int LANES = WIDTH / 8, PASSES = LANES * 16 / 32, STEP = 16 / PASSES;
};

// The warp's rows of one half, and where its lane is in them.
template <class S>
struct piece_place {
  float *staging;
  int64_t row[piece_shape<S>::PASSES];  // of out, or -1
  int row_at, column_at;
  int64_t column;  // of out
};

template <class T, class G, class S>
DEVICE bool is_stored(const product_of<T, G> &p, const piece_place<S> &at, int pass, int64_t column) {
  return at.row[pass] >= 0 && (column < p.epilogue.c_out || MUTANT(7));
}

// The residual of a piece is asked for while the one before it is finished: out may be the residual, so that the
// compiler cannot move loads before stores.
template <class T, class G, class S>
DEVICE void load_residual(vector_of<T, 8> (&r)[piece_shape<S>::PASSES], const product_of<T, G> &p,
                          const piece_place<S> &at, int piece) {
  int64_t column = at.column + piece * piece_shape<S>::WIDTH;
#pragma unroll
  for (int i = 0; i < piece_shape<S>::PASSES; i++)
    if (p.epilogue.residual && !p.parts && piece < S::PIECES && is_stored<T, G, S>(p, at, i, column))
      r[i] = *(const vector_of<T, 8> *)(p.epilogue.residual + at.row[i] * p.epilogue.c_out + column);
}

template <class T, class G, class S>
DEVICE void finish_vector(const product_of<T, G> &p, const work_item &w, const piece_place<S> &at, int pass,
                          int64_t column, const vector_of<T, 8> &residual) {
  int row_at = at.row_at + pass * piece_shape<S>::STEP;
  int64_t row = at.row[pass];
  float v[8], gate[8] = {};
  load_staged(v, at.staging, row_at, at.column_at);
  if (S::GATED) load_staged(gate, at.staging, row_at, at.column_at + PIECE / 2);
  if (p.parts) {
    float *to = p.parts + ((MUTANT(13) ? 0 : w.split) * p.rows + row) * p.part_columns + column;
    store_part(to, v);
    if (S::GATED) store_part(to + p.epilogue.c_out, gate);
    return;
  }
  finish_sums<T, 8>(p.epilogue, row, column, v, S::GATED ? gate : nullptr);
  if (p.epilogue.residual) {
#pragma unroll
    for (int i = 0; i < 8; i++) v[i] += to_float(residual.v[i]);
  }
  store_floats<T, 8>(p.epilogue.out + row * p.epilogue.c_out + column, v);
}

// The 16 rows of one warp of one half: piece by piece through its own staging.
template <class T, class G, class S>
DEVICE void finish_rows(const product_of<T, G> &p, const work_item &w, float *staging, const float *d,
                        const typename G::origin &origin, int first_row) {
  using shape = piece_shape<S>;
  int lane = threadIdx.x % 32;
  piece_place<S> at;
  at.staging = staging;
  at.row_at = lane / shape::LANES;
  at.column_at = lane % shape::LANES * 8;
  at.column = w.column + at.column_at;
#pragma unroll
  for (int i = 0; i < shape::PASSES; i++)
    at.row[i] = row_of(p.geometry, origin, first_row + i * shape::STEP + at.row_at);
  vector_of<T, 8> residual[shape::PASSES] = {}, next[shape::PASSES] = {};
  load_residual<T, G, S>(residual, p, at, 0);
#pragma unroll 1
  for (int piece = 0; piece < S::PIECES; piece++) {
    load_residual<T, G, S>(next, p, at, piece + (MUTANT(15) ? 0 : 1));
    if (piece == 0) stage_piece<S, 0>(staging, d, lane);
    if (piece == 1) stage_piece<S, 1>(staging, d, lane);
    if constexpr (S::PIECES > 2) {
      if (piece == 2) stage_piece<S, 2>(staging, d, lane);
      if (piece == 3) stage_piece<S, 3>(staging, d, lane);
    }
    if constexpr (S::PIECES > 4)
      if (piece == 4) stage_piece<S, 4>(staging, d, lane);
    if (!MUTANT(8)) __syncwarp();
    int64_t column = at.column + piece * shape::WIDTH;
#pragma unroll
    for (int i = 0; i < shape::PASSES; i++) {
      if (is_stored<T, G, S>(p, at, i, column)) finish_vector<T, G, S>(p, w, at, i, column, residual[i]);
      residual[i] = next[i];
    }
    __syncwarp();  // before the next piece is staged
  }
}

// The residual is on its way into L2 while the sums are made. A thread a row, 128 bytes a time.
template <class T, class G, class S>
DEVICE void prefetch_residual(const product_of<T, G> &p, const work_item &w, const typename G::origin &origin) {
  if (!p.epilogue.residual || p.parts) return;
  int r = threadIdx.x - 128;
  int64_t row = r < S::ROWS ? row_of(p.geometry, origin, r) : -1;
  int64_t end = w.column + S::OUT_COLUMNS < p.epilogue.c_out ? w.column + S::OUT_COLUMNS : p.epilogue.c_out;
  for (int64_t column = w.column; row >= 0 && column < end; column += 64)
    prefetch_l2(p.epilogue.residual + row * p.epilogue.c_out + column);
}

template <class T, class G, class S>
DEVICE void consume(const product_of<T, G> &p, unsigned char *memory) {
  uint32_t shared = shared_address(memory);
  int warpgroup = threadIdx.x / 128 - 1, warp = threadIdx.x / 32 - 4;
  float *staging = (float *)(memory + S::STAGING_AT + warp * STAGING);
  ring_place<S> at;
  for (int i = blockIdx.x; i < items_of(p); i += gridDim.x) {
    work_item w = item_of<S>(p, i);
    typename G::origin origin = locate(p.geometry, w.row_tile);
    prefetch_residual<T, G, S>(p, w, origin);
    float d[S::HALVES][S::COLUMNS / 2];
    multiply<T, S>(d, shared, warpgroup, at, w.end - w.begin);
#pragma unroll
    for (int h = 0; h < S::HALVES; h++)
      finish_rows<T, G, S>(p, w, staging, d[h], origin, (warpgroup * S::HALVES + h) * 64 + warp % 4 * 16);
  }
}

template <class T, class G, class S>
static __global__ void __launch_bounds__(THREADS, 1) product_kernel(const __grid_constant__ product_of<T, G> p) {
  SHARED_DYNAMIC(memory);
  uint32_t shared = shared_address(memory);
  if (threadIdx.x == 0) {
    for (int i = 0; i < S::STAGES; i++) {
      mbarrier_init(full_barrier<S>(shared, i), 1);
      mbarrier_init(empty_barrier<S>(shared, i), 4 * CONSUMERS);
    }
    mbarrier_init_done();
    tma_prefetch(&p.x[0]);
    tma_prefetch(&p.weight);
  }
  __syncthreads();
  if (threadIdx.x < 128) {
    registers_down<PRODUCER_REGISTERS>();
    if (threadIdx.x == 0) produce<T, G, S>(p, shared);
  } else {
    registers_up<CONSUMER_REGISTERS>();
    consume<T, G, S>(p, memory);
  }
}

// ---- adding up the parts of split products

constexpr int ADD_THREADS = 256;

template <class T, bool GATED>
static __global__ void __launch_bounds__(ADD_THREADS)
    add_parts_kernel(const epilogue_of<T> epilogue, const float *parts, int splits, int64_t rows,
                     int64_t part_columns) {
  int64_t vectors = epilogue.c_out / 8;
  for (int64_t i = (int64_t)blockIdx.x * ADD_THREADS + threadIdx.x; i < rows * vectors;
       i += (int64_t)gridDim.x * ADD_THREADS) {
    int64_t row = i / vectors, column = (i - row * vectors) * 8;
    float v[8] = {}, gate[8] = {};
    for (int s = 0; s < splits; s++) {
      const float *from = parts + (s * rows + row) * part_columns + column;
      add_part(v, from);
      if (GATED) add_part(gate, from + epilogue.c_out);
    }
    finish<T, 8>(epilogue, row, column, v, GATED ? gate : nullptr);
  }
}

#endif
