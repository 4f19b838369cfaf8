// Group norm with an affine map, optionally SiLU behind it: (x - mean) / sqrt(variance + eps) * gamma + beta,
// statistics over all rows of a frame and the channels of a group, which may lie across the border of two inputs.
//
// Bytes: x once and out once are the least: 42 MB for 32 frames of 1024 rows of 320 channels in half precision.
//
// A group is a narrow strip of a channels-last frame (10 channels, 20 bytes, of every 640), so a block takes a span of
// columns that is whole vectors of 16 bytes: its threads stand in rows of `columns` threads, a thread keeps to one
// column of vectors and walks down the frame. Its mean and squares of each channel are updated by Welford's method;
// then the block adds up the threads' means, and their squares about the mean of all, in a fixed order. All statistics
// are of x - center, center being the frame's first value of the group: exact enough for a mean of 30 with a deviation
// of 1e-3.
//
// slab: a span of whole groups (the least common multiple of group and vector: 40 channels for groups of 10) over all
//   rows fits into shared memory: 1024 rows of 80 bytes. One kernel reads x once, keeps it, normalises it from there.
//   384 threads: two blocks of 84 KB fit on a multiprocessor of sm_90, with 80 registers a thread and 48 KB of loads
//   under way.
// chunks: otherwise (a video's statistics: 16384 rows; a VAE's) one kernel measures chunks of rows and columns, and a
//   second adds up the chunks of the groups that it needs (Chan's formula, fixed order) and normalises. x is read
//   twice; where it fits into the L2 cache (50 MB on sm_90, x of 21 MB) the second time comes from there. Two blocks a
//   multiprocessor, 264 in all for two videos of 320 channels: every block of the second kernel reads the parts of
//   its groups, 8 KB then, which grows with the number of chunks.
#include "kernels/cuda/elements.cuh"

constexpr int MAX_COLUMNS = 64;  // vectors of a span
constexpr int SLAB_THREADS = 384;
constexpr int CHUNK_THREADS = 256;

// The op and how it is cut up, by value to all kernels.
template <class T>
struct norm_of {
  const T *x[2];
  int64_t c0, c1;
  const float *gamma, *beta;
  T *out;
  int64_t rows;
  int c, groups, wide;  // wide: channels of a group
  float eps;
  bool silu;
  int columns, spans;  // vectors of a span; the last span may have fewer
  int64_t chunk_rows;
  int chunks, pieces;  // chunks of a frame; spans that a group touches, at most
  float2 *part;        // mean and squares, [frames, groups, chunks, pieces]
};

// Where a thread stands in its span, which begins and ends at channels `from` and `to`.
struct standing {
  int from, to, width;      // width: of a whole span
  int first_group, groups;  // that the span touches
  int channel;              // first of the thread's vector
  int row, rows;            // the thread's row of threads, of how many
  bool works;
};

template <class T, int N, int THREADS>
DEVICE standing stand(const norm_of<T> &n, int span) {
  standing s;
  s.width = n.columns * N;
  s.from = span * s.width;
  s.to = min(s.from + s.width, n.c);
  s.rows = THREADS / n.columns;
  s.row = (int)threadIdx.x / n.columns;
  s.channel = s.from + ((int)threadIdx.x - s.row * n.columns) * N;
  s.works = s.row < s.rows && s.channel < s.to;
  s.first_group = s.from / n.wide;
  s.groups = (s.to - 1) / n.wide - s.first_group + 1;
  return s;
}

// The channels of the span's group g, counted from the span's first.
struct range {
  int from, to;
};

template <class T>
DEVICE range channels_of(const norm_of<T> &n, const standing &s, int g) {
  int low = (s.first_group + g) * n.wide;
  return {max(low, s.from) - s.from, min(low + n.wide, s.to) - s.from};
}

// A column of x in one frame: row r is at at[r * stride].
template <class T>
struct strip {
  const T *at;
  int64_t stride;
};

template <class T>
DEVICE strip<T> strip_of(const norm_of<T> &n, int64_t frame, int channel) {
  if (channel < n.c0) return {n.x[0] + frame * n.rows * n.c0 + channel, n.c0};
  return {n.x[1] + frame * n.rows * n.c1 + channel - n.c0, n.c1};
}

// The centers of N channels: the first value of each channel's group in the frame.
template <class T, int N>
DEVICE void load_centers(float (&center)[N], const norm_of<T> &n, int64_t frame, int channel) {
  int first = channel / n.wide * n.wide;
  float value = to_float(*strip_of(n, frame, first).at);
#pragma unroll
  for (int k = 0; k < N; k++) {
    if (channel + k == first + n.wide) {  // rarely: only what differs is loaded
      first += n.wide;
      value = to_float(*strip_of(n, frame, first).at);
    }
    center[k] = value;
  }
}

// Of x - center, by channel, over the `count` rows that a thread has seen.
template <int N>
struct moments {
  float center[N], mean[N], squares[N];
  float count;
};

// Measures `rows` vectors that lie `step` elements apart. Loads of several are under way at a time. KEEP: vector i is
// also put into keep[i * THREADS].
template <class T, int N, bool KEEP, int THREADS>
DEVICE void measure(moments<N> &m, const T *at, int64_t step, int rows, raw_vector<T, N> *keep) {
  constexpr int BATCH = N * sizeof(T) < 16 ? 8 : 4;
  for (int row = 0; row < rows; row += BATCH) {
    raw_vector<T, N> v[BATCH];
#pragma unroll
    for (int b = 0; b < BATCH; b++, at += step)
      if (row + b < rows) v[b] = *(const raw_vector<T, N> *)at;
#pragma unroll
    for (int b = 0; b < BATCH; b++) {
      if (row + b >= rows) break;
      if constexpr (KEEP) keep[(int64_t)(row + b) * THREADS] = v[b];
      float share = 1.0f / (float)(row + b + 1);
#pragma unroll
      for (int k = 0; k < N; k++) {
        float value = element(v[b], k) - (MUTANT(1) ? 0.0f : m.center[k]), away = value - m.mean[k];
        m.mean[k] += away * share;
        m.squares[k] += away * (value - m.mean[k]);
      }
    }
  }
  m.count = (float)rows;
}

// How many of the rows 0 .. rows - 1 are row, row + step, ...
DEVICE int share_of(int64_t rows, int row, int step) {
  return row < rows ? (int)((rows - row - 1) / step) + 1 : 0;
}

template <class T, int N>
DEVICE void start(moments<N> &m, const norm_of<T> &n, int64_t frame, int channel) {
  m.count = 0;
  load_centers(m.center, n, frame, channel);
#pragma unroll
  for (int k = 0; k < N; k++) m.mean[k] = m.squares[k] = 0;
}

// Adds up the N values of every thread by the group of their channel: sum[g], g from the span's first. `scratch` is
// [rows of threads][width]. Synchronises the block.
template <class T, int N, int THREADS>
DEVICE void group_sums(const norm_of<T> &n, const standing &s, const float (&v)[N], float *scratch, float *sum) {
  if (s.works) {
#pragma unroll
    for (int k = 0; k < N; k++) scratch[s.row * s.width + s.channel - s.from + k] = v[k];
  }
  if (!MUTANT(2)) __syncthreads();
  int lane = (int)threadIdx.x % 32;
  for (int g = (int)threadIdx.x / 32; g < s.groups; g += THREADS / 32) {
    range span = channels_of(n, s, g);
    int wide = span.to - span.from;
    float total = 0;
    for (int i = lane; i < s.rows * wide - (MUTANT(3) ? 1 : 0); i += 32)
      total += scratch[i / wide * s.width + span.from + i % wide];
    total = warp_sum(total);
    if (lane == 0) sum[g] = total;
  }
  __syncthreads();
}

// The mean, relative to the center, and the squares about it of each of the span's groups over the `rows` rows that
// the block has measured.
template <class T, int N, int THREADS>
DEVICE void combine(const norm_of<T> &n, const standing &s, const moments<N> &m, int64_t rows, float *scratch,
                    float *mean, float *squares) {
  float v[N];
#pragma unroll
  for (int k = 0; k < N; k++) v[k] = m.count * m.mean[k];
  group_sums<T, N, THREADS>(n, s, v, scratch, mean);
  for (int g = (int)threadIdx.x; g < s.groups; g += THREADS) {
    range span = channels_of(n, s, g);
    mean[g] /= (float)rows * (float)(span.to - span.from);
  }
  __syncthreads();
#pragma unroll
  for (int k = 0; k < N; k++) {
    float away = s.works ? m.mean[k] - mean[(s.channel + k) / n.wide - s.first_group] : 0;
    v[k] = m.squares[k] + (MUTANT(4) ? 0 : m.count * away * away);
  }
  group_sums<T, N, THREADS>(n, s, v, scratch, squares);
}

// out = (x - center) * scale + shift
template <int N>
struct map_of {
  float center[N], scale[N], shift[N];
};

// mean and rate, 1 / sqrt(variance + eps), are those of the span's groups.
template <class T, int N>
DEVICE void make_map(map_of<N> &map, const norm_of<T> &n, const standing &s, int64_t frame, const float *mean,
                     const float *rate) {
  load_centers(map.center, n, frame, s.channel);
#pragma unroll
  for (int k = 0; k < N; k++) {
    int channel = s.channel + k, g = channel / n.wide - s.first_group;
    map.scale[k] = rate[g] * n.gamma[channel];
    map.shift[k] = n.beta[channel] - mean[g] * map.scale[k];
  }
}

template <class T, int N>
DEVICE void normalise(T *out, const raw_vector<T, N> &x, const map_of<N> &map, bool with_silu) {
  float y[N];
#pragma unroll
  for (int k = 0; k < N; k++) {
    y[k] = (element(x, k) - map.center[k]) * map.scale[k] + map.shift[k];
    if (with_silu) y[k] = __fdividef(y[k], 1.0f + expf(-y[k]));  // an exact division would double the instructions
  }
  store_floats<T, N>(out, y);
}

// ---- slab

template <class T, int N>
static __global__ void __launch_bounds__(SLAB_THREADS, 2) slab_kernel(norm_of<T> n) {
  SHARED_DYNAMIC(memory);
  SHARED(float, scratch, [SLAB_THREADS * N]);
  SHARED(float, mean, [MAX_COLUMNS * N]);
  SHARED(float, rate, [MAX_COLUMNS * N]);
  raw_vector<T, N> *slab = (raw_vector<T, N> *)memory + threadIdx.x;  // a thread reads its own vectors alone
  int64_t frame = blockIdx.x / n.spans;
  standing s = stand<T, N, SLAB_THREADS>(n, blockIdx.x % n.spans);
  moments<N> m = {};
  if (s.works) {
    start(m, n, frame, s.channel);
    strip<T> x = strip_of(n, frame, s.channel);
    measure<T, N, true, SLAB_THREADS>(m, x.at + s.row * x.stride, s.rows * x.stride, share_of(n.rows, s.row, s.rows),
                                      slab);
  }
  combine<T, N, SLAB_THREADS>(n, s, m, n.rows, scratch, mean, rate);
  for (int g = (int)threadIdx.x; g < s.groups; g += SLAB_THREADS)
    rate[g] = rsqrtf(rate[g] / ((float)n.rows * (float)n.wide) + n.eps);
  if (!MUTANT(5)) __syncthreads();
  if (!s.works) return;
  map_of<N> map;
  make_map(map, n, s, frame, mean, rate);
  T *out = n.out + frame * n.rows * n.c + s.channel;
#pragma unroll 2
  for (int64_t row = s.row; row < n.rows; row += s.rows, slab += SLAB_THREADS)
    normalise<T, N>(out + row * n.c, *slab, map, n.silu);
}

// ---- chunks

template <class T>
DEVICE float2 *part_of(const norm_of<T> &n, int64_t frame, int group, int chunk) {
  return n.part + ((frame * n.groups + group) * n.chunks + chunk) * n.pieces;
}

template <class T>
DEVICE int64_t rows_of(const norm_of<T> &n, int chunk) {
  return min(n.chunk_rows, n.rows - chunk * n.chunk_rows);
}

template <class T, int N>
static __global__ void __launch_bounds__(CHUNK_THREADS, 2) measure_kernel(norm_of<T> n) {
  SHARED(float, scratch, [CHUNK_THREADS * N]);
  SHARED(float, mean, [MAX_COLUMNS * N]);
  SHARED(float, squares, [MAX_COLUMNS * N]);
  int64_t frame = blockIdx.x / n.spans, from = blockIdx.y * n.chunk_rows, rows = rows_of(n, blockIdx.y);
  int span = blockIdx.x % n.spans;
  standing s = stand<T, N, CHUNK_THREADS>(n, span);
  moments<N> m = {};
  if (s.works) {
    start(m, n, frame, s.channel);
    strip<T> x = strip_of(n, frame, s.channel);
    measure<T, N, false, CHUNK_THREADS>(m, x.at + (from + s.row) * x.stride, s.rows * x.stride,
                                        share_of(rows, s.row, s.rows), nullptr);
  }
  combine<T, N, CHUNK_THREADS>(n, s, m, rows, scratch, mean, squares);
  for (int g = (int)threadIdx.x; g < s.groups; g += CHUNK_THREADS) {
    int group = s.first_group + g, piece = span - group * n.wide / s.width;
    part_of(n, frame, group, blockIdx.y)[piece] = make_float2(mean[g], squares[g]);
  }
}

// A warp adds up the chunks and pieces of one group.
template <class T>
DEVICE float2 merged(const norm_of<T> &n, const standing &s, int64_t frame, int group) {
  int low = group * n.wide, high = low + n.wide, first = low / s.width, pieces = (high - 1) / s.width - first + 1;
  int lane = (int)threadIdx.x % 32, items = n.chunks * pieces;
  float total = (float)n.rows * (float)n.wide, mean = 0, squares = 0;
  for (int pass = 0; pass < 2; pass++) {
    for (int i = lane; i < items; i += 32) {
      int chunk = i / pieces, piece = i % pieces, from = (first + piece) * s.width;
      float2 part = part_of(n, frame, group, chunk)[piece];
      float count = (float)rows_of(n, MUTANT(6) ? 0 : chunk) * (float)(min(high, from + s.width) - max(low, from));
      float away = part.x - mean;
      if (pass == 0)
        squares += count * part.x;
      else
        squares += part.y + (MUTANT(7) ? 0 : count * away * away);
    }
    squares = warp_sum(squares);
    if (pass == 0) mean = squares / total, squares = 0;
  }
  return make_float2(mean, rsqrtf(squares / total + n.eps));
}

template <class T, int N>
static __global__ void __launch_bounds__(CHUNK_THREADS, 2) normalise_kernel(norm_of<T> n) {
  SHARED(float, mean, [MAX_COLUMNS * N]);
  SHARED(float, rate, [MAX_COLUMNS * N]);
  int64_t frame = blockIdx.x / n.spans, from = blockIdx.y * n.chunk_rows, to = from + rows_of(n, blockIdx.y);
  standing s = stand<T, N, CHUNK_THREADS>(n, blockIdx.x % n.spans);
  for (int g = (int)threadIdx.x / 32; g < s.groups; g += CHUNK_THREADS / 32) {
    float2 both = merged(n, s, frame, s.first_group + g);
    if (threadIdx.x % 32 == 0) mean[g] = both.x, rate[g] = both.y;
  }
  __syncthreads();
  if (!s.works) return;
  map_of<N> map;
  make_map(map, n, s, frame, mean, rate);
  strip<T> x = strip_of(n, frame, s.channel);
  T *out = n.out + frame * n.rows * n.c + s.channel;
  constexpr int BATCH = 4;  // loads under way before the first store, which the compiler may not overtake
  for (int64_t row = from + s.row; row < to; row += BATCH * s.rows) {
    raw_vector<T, N> v[BATCH];
#pragma unroll
    for (int b = 0; b < BATCH; b++)
      if (row + b * s.rows < to) v[b] = *(const raw_vector<T, N> *)(x.at + (row + b * s.rows) * x.stride);
#pragma unroll
    for (int b = 0; b < BATCH; b++)
      if (row + b * s.rows < to) normalise<T, N>(out + (row + b * s.rows) * n.c, v[b], map, n.silu);
  }
}

// ---- host

// How an op is cut up for vectors of n elements.
struct cut {
  int n;
  bool slab;
  int columns, spans, chunks, pieces;
  int64_t chunk_rows;
  size_t shared, workspace;
};

static int64_t common_multiple(int64_t a, int64_t b) {
  int64_t x = a, y = b;
  while (y) {
    int64_t rest = x % y;
    x = y;
    y = rest;
  }
  return a / x * b;
}

static size_t slab_bytes(const vc_group_norm *op, int n, int64_t columns) {
  int64_t rows = SLAB_THREADS / columns, vector = n * (op->dtype == VC_F32 ? 4 : 2);
  return (size_t)((op->rows + rows - 1) / rows * SLAB_THREADS * vector);
}

// Spans of whole groups and vectors whose slab fits into shared memory: 128 bytes of a row at least, unless that leaves
// multiprocessors idle or a single block on each.
static bool cut_slab(cut *cut, const vc_device *d, const vc_group_norm *op, int n) {
  int64_t c = op->c[0] + op->c[1], unit = common_multiple(c / op->groups, n) / n, units = c / n / unit;
  size_t fixed = (size_t)(SLAB_THREADS + 2 * MAX_COLUMNS) * (size_t)n * sizeof(float) + 1024, roomy = 96 << 10;
  if (unit > MAX_COLUMNS || op->rows > 1 << 20 || slab_bytes(op, n, unit) + fixed > d->shared_bytes) return false;
  int64_t element = op->dtype == VC_F32 ? 4 : 2, k = 1;
  for (int64_t next = 2; next <= units && next * unit <= MAX_COLUMNS; next++) {
    bool wide = k * unit * n * element >= 128 && op->rows >= 4 * (SLAB_THREADS / (k * unit));
    if (wide || op->frames * (units / next) < d->multiprocessors || slab_bytes(op, n, next * unit) > roomy) break;
    if (units % next == 0) k = next;
  }
  *cut = {n, true, (int)(k * unit), (int)(units / k), 1, 1, op->rows, slab_bytes(op, n, k * unit), 0};
  return cut->spans * op->frames * 4 >= d->multiprocessors || op->frames * op->rows * c * element <= 2 << 20;
}

static void cut_chunks(cut *cut, const vc_device *d, const vc_group_norm *op, int n) {
  int64_t c = op->c[0] + op->c[1], wide = c / op->groups, vectors = c / n;
  int64_t spans = (vectors + MAX_COLUMNS / 2 - 1) / (MAX_COLUMNS / 2), columns = (vectors + spans - 1) / spans;
  spans = (vectors + columns - 1) / columns;
  int64_t most = op->rows / (CHUNK_THREADS / columns * 4), chunks = 2 * d->multiprocessors / (op->frames * spans);
  if (chunks > most) chunks = most;
  if (chunks < 1) chunks = 1;
  int64_t rows = (op->rows + chunks - 1) / chunks;
  chunks = (op->rows + rows - 1) / rows;
  int64_t pieces = (wide + columns * n - 1) / (columns * n) + 1;
  *cut = {n,          false,       (int)columns,
          (int)spans, (int)chunks, (int)pieces,
          rows,       0,           (size_t)(op->frames * op->groups * chunks * pieces) * sizeof(float2)};
}

// Half precision goes by 8 elements, or by 4 where only then a slab fits and all multiprocessors get one: 32 frames of
// groups of 30 channels. Unaligned: by 1.
static cut cut_up(const vc_device *d, const vc_group_norm *op, bool aligned) {
  int full = op->dtype == VC_F32 ? 4 : 8;
  cut c;
  if (!aligned || op->c[0] % full || op->c[1] % full) full = 1;
  for (int n = full; n >= 4 || n == full; n /= 2)
    if (cut_slab(&c, d, op, n) && (n == full || c.spans * op->frames >= d->multiprocessors)) return c;
  cut_chunks(&c, d, op, full);
  return c;
}

template <class T, int N>
static cudaError_t run_slab(const vc_device *d, const norm_of<T> &n, const vc_group_norm *op, const cut &cut) {
  return launch(slab_kernel<T, N>, (unsigned)(op->frames * cut.spans), SLAB_THREADS, cut.shared, d->stream, n);
}

template <class T, int N>
static cudaError_t run_chunks(const vc_device *d, const norm_of<T> &n, const vc_group_norm *op, const cut &cut) {
  dim3 grid((unsigned)(op->frames * cut.spans), (unsigned)cut.chunks);
  cudaError_t code = launch(measure_kernel<T, N>, grid, CHUNK_THREADS, 0, d->stream, n);
  return code == cudaSuccess ? launch(normalise_kernel<T, N>, grid, CHUNK_THREADS, 0, d->stream, n) : code;
}

template <class T>
static cudaError_t run(const vc_device *d, const vc_group_norm *op) {
  constexpr int N = full_vector<T>;
  cut c = cut_up(d, op, is_aligned(op->x[0]) && is_aligned(op->x[1]) && is_aligned(op->out));
  norm_of<T> n = {};
  n.x[0] = (const T *)op->x[0];
  n.x[1] = (const T *)op->x[1];
  n.c0 = op->c[0];
  n.c1 = op->c[1];
  n.gamma = op->gamma;
  n.beta = op->beta;
  n.out = (T *)op->out;
  n.rows = op->rows;
  n.c = (int)(op->c[0] + op->c[1]);
  n.groups = (int)op->groups;
  n.wide = n.c / n.groups;
  n.eps = op->eps;
  n.silu = op->silu;
  n.columns = c.columns;
  n.spans = c.spans;
  n.chunk_rows = c.chunk_rows;
  n.chunks = c.chunks;
  n.pieces = c.pieces;
  n.part = (float2 *)op->workspace;
  if (!c.slab) return c.n == 1 ? run_chunks<T, 1>(d, n, op, c) : run_chunks<T, N>(d, n, op, c);
  return c.n == 1 ? run_slab<T, 1>(d, n, op, c) : c.n == 4 ? run_slab<T, 4>(d, n, op, c) : run_slab<T, N>(d, n, op, c);
}

extern "C" vc_status vc_cuda_group_norm_prepare(vc_device *device, const vc_group_norm *op, size_t *workspace,
                                                vc_error *error) {
  constexpr int64_t CHANNELS_MAX = 1 << 24;
  const int64_t size[] = {op->frames, op->rows, op->c[0] + op->c[1]};
  *workspace = 0;
  if (op->c[0] < 1 || op->c[1] < 0 || op->c[0] > CHANNELS_MAX || op->c[1] > CHANNELS_MAX || op->frames > CHANNELS_MAX ||
      !vc_op_sizes(3, size))
    return vc_fail(error, VC_INVALID, "[%lld %lld %lld + %lld] is empty or too large", (long long)op->frames,
                   (long long)op->rows, (long long)op->c[0], (long long)op->c[1]);
  if (op->groups < 1 || size[2] % op->groups)
    return vc_fail(error, VC_INVALID, "%lld channels in %lld groups", (long long)size[2], (long long)op->groups);
  // Where the pointers will be aligned is not known yet.
  cut aligned = cut_up(device, op, true), other = cut_up(device, op, false);
  if (op->frames * (aligned.spans > other.spans ? aligned.spans : other.spans) > INT32_MAX)
    return vc_fail(error, VC_INVALID, "[%lld %lld %lld] is too large", (long long)op->frames, (long long)op->rows,
                   (long long)size[2]);
  *workspace = aligned.workspace > other.workspace ? aligned.workspace : other.workspace;
  return VC_OK;
}

extern "C" vc_status vc_cuda_group_norm(vc_device *device, const vc_group_norm *op, vc_error *error) {
  return vc_cuda_launched(device, VC_OP_GROUP_NORM, VC_CUDA_SIMT, BY_DTYPE(op->dtype, run, device, op), error);
}
