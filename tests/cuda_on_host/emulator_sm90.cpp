// Barriers, tiles and warpgroup products of the emulator; compiled without sanitizers, like the rest of it.
#include "emulator_sm90.h"

#include <cuda_runtime_api.h>
#include <immintrin.h>

#include <list>
#include <vector>

#include "runtime.h"

namespace emu {
namespace {

constexpr uint32_t MAP_MAGIC = 0x7A3A5EED;
constexpr int SLOTS = 4;  // accumulators that a warp may have under way

struct barrier_state {
  uint32_t at, count, pending;
  int64_t bytes;
  uint32_t phase;
  void *tag[2];  // what sanitizers synchronise on, for the phases of either parity
  std::vector<void *> waiting;
  std::list<tile_load> loads;
};

// The products of one thread that nobody has waited for, and the accumulators that they go to.
struct thread_state {
  std::vector<product> queue;
  size_t done = 0;
  unsigned group = 0;
  bool fenced = false;
  float *target[SLOTS] = {};
  int columns[SLOTS] = {};
};

struct warp_state {
  alignas(32) float sums[SLOTS][16][256];
};

struct block_state {
  uint64_t serial = ~0ull;
  std::list<barrier_state> barriers;
  std::vector<thread_state> threads;
  std::vector<warp_state> warps;
};

block_state &block() {
  static thread_local block_state b;
  if (b.serial != block_serial()) {
    b.serial = block_serial();
    b.barriers.clear();
    b.threads.assign(1024, thread_state());
    b.warps.resize(32);
  }
  return b;
}

barrier_state &find(uint32_t at, const char *f, int l) {
  for (auto &b : block().barriers)
    if (b.at == at) return b;
  fail(f, l, "no barrier was initialised at shared address 0x%x", at);
}

void wake_all(barrier_state &b) {
  for (void *w : b.waiting) wake(w);
  b.waiting.clear();
}

void end_phase(barrier_state &b) {
  if (b.pending || b.bytes) return;
  b.phase ^= 1;
  b.pending = b.count;
  b.tag[b.phase] = fresh_tag();
  wake_all(b);
}

}  // namespace

// ---- barriers

void mbarrier_init(uint32_t at, uint32_t count, const char *f, int l) {
  Quiet quiet;
  smem_check(at, 8, 8, "mbarrier.init", f, l);
  for (auto &b : block().barriers)
    if (b.at == at) fail(f, l, "the barrier at shared address 0x%x is initialised twice", at);
  block().barriers.push_back({at, count, count, 0, 0, {fresh_tag(), fresh_tag()}, {}, {}});
}

void mbarrier_arrive(uint32_t at, uint32_t bytes, const char *f, int l) {
  Quiet quiet;
  barrier_state &b = find(at, f, l);
  if (!b.pending) fail(f, l, "more arrivals at a barrier than its count");
  tag_release(b.tag[b.phase]);
  b.bytes += bytes;
  b.pending--;
  end_phase(b);
}

void mbarrier_complete(uint32_t at, uint32_t bytes) {
  Quiet quiet;
  barrier_state &b = find(at, nullptr, 0);
  tag_release(b.tag[b.phase]);
  b.bytes -= bytes;
  end_phase(b);
}

mbarrier_news mbarrier_wait_step(uint32_t at, uint32_t parity, tile_load *load, const char *f, int l) {
  Quiet quiet;
  if (parity > 1) fail(f, l, "%u is no parity", parity);
  barrier_state &b = find(at, f, l);
  if (b.phase != parity) {
    tag_acquire(b.tag[parity]);
    return MBARRIER_DONE;
  }
  if (!b.loads.empty()) {
    tag_acquire(b.tag[b.phase]);
    *load = b.loads.front();
    b.loads.pop_front();
    return MBARRIER_LOAD;
  }
  b.waiting.push_back(cur);
  park("mbarrier_wait", f, l);
  return MBARRIER_AGAIN;
}

// ---- tiles

uint32_t tile_bytes(const tensor_map &m) {
  uint32_t bytes = m.element;
  for (int count : m.count) bytes *= (uint32_t)count;
  return bytes;
}

void tile_issue(const tile_load &load, const char *f, int l) {
  Quiet quiet;
  if (load.map.magic != MAP_MAGIC) fail(f, l, "TMA: this is no tensor map");
  smem_check(load.to, tile_bytes(load.map), load.map.swizzled ? 1024 : 128, "TMA's target", f, l);
  barrier_state &b = find(load.barrier, f, l);
  b.loads.push_back(load);
  wake_all(b);
}

void tile_publish(uint32_t at) {
  Quiet quiet;
  barrier_state &b = find(at, nullptr, 0);
  tag_release(b.tag[b.phase]);
}

// ---- products

// Where 16 bytes of an operand lie: K-major, groups of eight 128-byte rows, 128-byte swizzle.
uint32_t operand_address(uint64_t operand, int row, int chunk, const char *f, int l) {
  uint32_t start = (uint32_t)(operand & 0x3FFF) << 4, group = (uint32_t)(operand >> 32 & 0x3FFF) << 4;
  if (operand >> 62 != 1) fail(f, l, "wgmma: an operand without 128-byte swizzle");
  if ((start & ~0x7Fu) % 1024) fail(f, l, "wgmma: an operand at 0x%x, not in rows from a multiple of 1024", start);
  uint32_t at = start + (uint32_t)(row / 8) * group + (uint32_t)(row % 8 * 128 + chunk * 16);
  at ^= (at >> 7 & 7) << 4;
  smem_check(at, 16, 16, "wgmma's operand", f, l);
  return at;
}

void products_fence() {
  Quiet quiet;
  block().threads[cur->lin].fenced = true;
}

// Element i of an accumulator in the sums of its warp.
static float *sum_of(warp_state &w, unsigned slot, int i) {
  int lane = (int)cur->lane;
  return &w.sums[slot][lane / 4 + i / 2 % 2 * 8][i / 4 * 8 + lane % 4 * 2 + i % 2];
}

void products_add(float *d, product p, const char *f, int l) {
  Quiet quiet;
  thread_state &t = block().threads[cur->lin];
  if (!t.fenced) fail(f, l, "wgmma without wgmma.fence");
  unsigned slot = 0;
  while (slot < SLOTS && t.target[slot] != d) slot++;
  if (slot == SLOTS) {
    for (slot = 0; slot < SLOTS && t.target[slot];) slot++;
    if (slot == SLOTS) fail(f, l, "wgmma: the emulator follows %d accumulators at once", SLOTS);
    t.target[slot] = d;
    t.columns[slot] = p.columns;
    for (int i = 0; i < p.columns / 2; i++) {
      *sum_of(block().warps[cur->warp], slot, i) = d[i];
      d[i] = __builtin_nanf("");  // under way: nobody may read it
    }
  }
  p.group = t.group;
  p.slot = slot;
  t.queue.push_back(p);
}

void products_commit() {
  Quiet quiet;
  block().threads[cur->lin].group++;
}

const product *products_next(int keep, unsigned i) {
  thread_state &t = block().threads[cur->lin];
  size_t at = t.done + i;
  return at < t.queue.size() && (int)(t.group - t.queue[at].group) > keep ? &t.queue[at] : nullptr;
}

bool products_due(int keep) {
  return products_next(keep, 0) != nullptr;
}

static void read_operand(float (*to)[16], uint64_t operand, int first, int rows, bool bf16) {
  for (int r = 0; r < rows; r++)
    for (int c = 0; c < 2; c++) {
      uint32_t at = operand_address(operand, first + r, c, "wgmma", 0);
      __m128i halves = _mm_load_si128((const __m128i *)(smem_base + at));
      __m256 v =
          bf16 ? _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16)) : _mm256_cvtph_ps(halves);
      _mm256_storeu_ps(&to[r][c * 8], v);
    }
}

// sums[16][columns] += a[16][16] b[16][columns], eight columns of four rows at a time
static void multiply(float (*sums)[256], const float (*a)[16], const float (*b)[256], int columns) {
  for (int c = 0; c < columns; c += 8)
    for (int r = 0; r < 16; r += 4) {
      __m256 s[4];
      for (int i = 0; i < 4; i++) s[i] = _mm256_load_ps(&sums[r + i][c]);
      for (int k = 0; k < 16; k++) {
        __m256 v = _mm256_load_ps(&b[k][c]);
        for (int i = 0; i < 4; i++) s[i] = _mm256_fmadd_ps(_mm256_broadcast_ss(&a[r + i][k]), v, s[i]);
      }
      for (int i = 0; i < 4; i++) _mm256_store_ps(&sums[r + i][c], s[i]);
    }
}

static void run(warp_state &w, const product &p) {
  static thread_local float a[16][16], rows[256][16];
  alignas(32) static thread_local float b[16][256];
  int warp = (int)cur->warp % 4;
  read_operand(a, p.a, warp * 16, 16, p.bf16);
  read_operand(rows, p.b, 0, p.columns, p.bf16);
  for (int c = 0; c < p.columns; c++)
    for (int k = 0; k < 16; k++) b[k][c] = rows[c][k];
  if (!p.add) memset(w.sums[p.slot], 0, sizeof w.sums[p.slot]);
  multiply(w.sums[p.slot], a, b, p.columns);
}

// The last lane to arrive does what all lanes of its warp asked for.
void products_run(unsigned mask, void **keep) {
  block_state &b = block();
  if (mask != ~0u) fail("wgmma", 0, "wgmma in a part of a warp");
  unsigned first = cur->warp * 32;
  const product *p;
  for (unsigned i = 0; (p = products_next(*(int *)keep[cur->lane], i)); i++) {
    for (unsigned lane = 0; lane < 32; lane++) {
      thread_state &t = b.threads[first + lane];
      const product *q = t.done + i < t.queue.size() ? &t.queue[t.done + i] : nullptr;
      if (!q || q->a != p->a || q->b != p->b || q->add != p->add || q->slot != p->slot || q->group != p->group)
        fail("wgmma", 0, "wgmma: the lanes of a warp ask for different products");
    }
    run(b.warps[cur->warp], *p);
  }
  unsigned count = 0;
  while (products_next(*(int *)keep[cur->lane], count)) count++;
  for (unsigned lane = 0; lane < 32; lane++) b.threads[first + lane].done += count;
}

// Gives back the accumulators that nothing is under way to.
void products_finish() {
  Quiet quiet;
  thread_state &t = block().threads[cur->lin];
  for (unsigned slot = 0; slot < SLOTS; slot++) {
    bool busy = !t.target[slot];
    for (size_t i = t.done; i < t.queue.size() && !busy; i++) busy = t.queue[i].slot == slot;
    if (busy) continue;
    for (int i = 0; i < t.columns[slot] / 2; i++) t.target[slot][i] = *sum_of(block().warps[cur->warp], slot, i);
    t.target[slot] = nullptr;
  }
  if (t.done < t.queue.size()) return;
  t.queue.clear();
  t.done = 0;
  t.fenced = false;
}

}  // namespace emu

// ---- the driver's function, and how the runtime hands it out

static bool map_can_be(CUtensorMapDataType type, cuuint32_t rank, const void *base, const cuuint64_t *dim,
                       const cuuint64_t *stride, const cuuint32_t *box, const cuuint32_t *step,
                       CUtensorMapSwizzle swizzle) {
  if (type != CU_TENSOR_MAP_DATA_TYPE_FLOAT16 && type != CU_TENSOR_MAP_DATA_TYPE_BFLOAT16) return false;
  if (rank < 1 || rank > 5 || (uintptr_t)base % 16) return false;
  for (cuuint32_t d = 0; d < rank; d++) {
    if (dim[d] < 1 || dim[d] > (cuuint64_t)1 << 32 || box[d] < 1 || box[d] > 256 || step[d] < 1 || step[d] > 8)
      return false;
    if (d && (stride[d - 1] % 16 || stride[d - 1] >= (cuuint64_t)1 << 40)) return false;
    if (d == 1 && stride[0] < dim[0] * 2) return false;
  }
  if (box[0] * 2 % 16) return false;
  cuuint64_t bytes = dim[0] * 2;
  for (cuuint32_t d = 1; d < rank; d++) bytes += (dim[d] - 1) * stride[d - 1];
  if (!cuda_on_host::device_sees(base, bytes))
    emu::fail("cuTensorMapEncodeTiled", 0, "a tensor at %p not on the device", base);
  return swizzle == CU_TENSOR_MAP_SWIZZLE_NONE || (swizzle == CU_TENSOR_MAP_SWIZZLE_128B && box[0] * 2 <= 128);
}

static CUresult encode_tiled(CUtensorMap *map, CUtensorMapDataType type, cuuint32_t rank, void *base,
                             const cuuint64_t *dim, const cuuint64_t *stride, const cuuint32_t *box,
                             const cuuint32_t *step, CUtensorMapInterleave interleave, CUtensorMapSwizzle swizzle,
                             CUtensorMapL2promotion, CUtensorMapFloatOOBfill fill) {
  if ((uintptr_t)map % 64 || interleave != CU_TENSOR_MAP_INTERLEAVE_NONE || fill != CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE ||
      !map_can_be(type, rank, base, dim, stride, box, step, swizzle))
    return CUDA_ERROR_INVALID_VALUE;
  emu::tensor_map m = {};
  static_assert(sizeof m <= sizeof *map, "fits into its place");
  m.magic = emu::MAP_MAGIC;
  m.rank = rank;
  m.element = 2;
  m.swizzled = swizzle == CU_TENSOR_MAP_SWIZZLE_128B;
  m.base = (char *)base;
  for (cuuint32_t d = 0; d < 5; d++) {
    bool used = d < rank;
    m.dim[d] = used ? dim[d] : 1;
    m.stride[d] = used && d ? stride[d - 1] : 0;
    m.step[d] = used && d ? (uint8_t)step[d] : 1;  // the innermost dimension has none
    m.count[d] = used ? (uint16_t)((box[d] + m.step[d] - 1) / m.step[d]) : 1;
  }
  memset(map, 0, sizeof *map);
  memcpy(map, &m, sizeof m);
  return CUDA_SUCCESS;
}

extern "C" cudaError_t cudaGetDriverEntryPointByVersion(const char *symbol, void **function, unsigned,
                                                        unsigned long long, cudaDriverEntryPointQueryResult *result) {
  bool known = !strcmp(symbol, "cuTensorMapEncodeTiled");
  *function = known ? (void *)encode_tiled : nullptr;
  if (result) *result = known ? cudaDriverEntryPointSuccess : cudaDriverEntryPointSymbolNotFound;
  return cudaSuccess;
}
