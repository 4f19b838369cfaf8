// Convolution by TMA and wgmma in half precision on sm_90a, as a product without an unfolded input: A [pixels of out,
// taps x channels] is gathered by five-dimensional tensor maps of the activations (c w h f n). The product, its tiles
// and its pipeline are product_sm90.cuh's.
//
// The rows of a tile are a box of output pixels, 2^a by 2^b by 2^c by 2^d along w, h, f and n, chosen so that as few
// boxes as possible cover the output. For one tap, their inputs are a box of the same shape, shifted by the tap: one
// TMA load for 64 channels, which leaves zeros where the box reaches beyond the input, to whichever side. Strides are
// traversal strides of the map. Nearest enlargement by 2 needs no enlarged input: output pixels of one parity read the
// small image at shifts floor((parity - pad + k) / 2), so that each of the four parities has boxes of its own.
//
// [2 x 16 x 32 x 32 pixels, 320] by 3x3 to 320: 60 GFLOP, 76 us at 798 TFLOP/s; 42 MB of activations and 2 MB of
// weights, 15 us at 3 TB/s: bound by the tensor cores, each input is read nine times from L2. The 4 x 4 level, [512
// pixels, 2560] to 1280: 30 GFLOP, 38 us; 59 MB of weights, 20 us, in 360 stages that are split among the
// multiprocessors.
#include "kernels/cuda/plan_sm90.cuh"

namespace {

enum { W, H, F, N, AXES };  // of a box

struct pixel_boxes {
  struct origin {
    int at[AXES];  // the first pixel: of out, or of out of one parity
    int parity_h, parity_w;
  };
  int shift[AXES], tiles[AXES];  // a box is 2^shift pixels; so many boxes cover out (of one parity)
  int out[AXES];
  int kernel[3], stride[3], dilation[3], pad[3];  // along W, H, F
  int upsample;
};

DEVICE pixel_boxes::origin locate(const pixel_boxes &g, int tile) {
  pixel_boxes::origin o;
  o.parity_w = o.parity_h = 0;
  if (g.upsample == 2) {
    o.parity_w = tile % 2;
    o.parity_h = tile / 2 % 2;
    tile /= 4;
  }
#pragma unroll
  for (int i = 0; i < AXES; i++) {
    o.at[i] = tile % g.tiles[i] << g.shift[i];
    tile /= g.tiles[i];
  }
  return o;
}

DEVICE int64_t row_of(const pixel_boxes &g, const pixel_boxes::origin &o, int r) {
  int at[AXES];
#pragma unroll
  for (int i = 0; i < AXES; i++) {
    at[i] = o.at[i] + (r & ((1 << g.shift[i]) - 1));
    r >>= g.shift[i];
  }
  if (g.upsample == 2) {
    at[W] = at[W] * 2 + o.parity_w;
    at[H] = at[H] * 2 + o.parity_h;
  }
  bool inside = MUTANT(9) || (at[W] < g.out[W] && at[H] < g.out[H] && at[F] < g.out[F] && at[N] < g.out[N]);
  return inside ? (((int64_t)at[N] * g.out[F] + at[F]) * g.out[H] + at[H]) * g.out[W] + at[W] : -1;
}

// Where tap k of the box's first pixel lies along an axis of the input.
DEVICE int tap_at(const pixel_boxes &g, int axis, int at, int parity, int k) {
  int shift = k * g.dilation[axis] - g.pad[axis];
  if (MUTANT(10)) shift = -shift;
  if (g.upsample == 1 || axis == F) return at * g.stride[axis] + shift;
  return at + ((parity + shift) >> (MUTANT(11) ? 0 : 1));  // rounded down, for negative ones too
}

DEVICE void load_rows(const pixel_boxes &g, uint32_t shared, const CUtensorMap *map, uint32_t barrier,
                      const pixel_boxes::origin &o, int tap, int channel) {
  int row = tap / g.kernel[W], frame = row / g.kernel[H];
  int w = tap_at(g, W, o.at[W], o.parity_w, tap - row * g.kernel[W]);
  int h = tap_at(g, H, o.at[H], o.parity_h, row - frame * g.kernel[H]);
  tma_load(shared, map, barrier, channel, w, h, tap_at(g, F, o.at[F], 0, frame), o.at[N]);
}

}  // namespace

// ---- boxes

// The op's axes in the order W, H, F.
static const int OP_AXIS[3] = {2, 1, 0};

static void out_size(const vc_conv *op, int64_t out[AXES]) {
  int64_t up = op->upsample;
  out[W] = (op->w_out + up - 1) / up, out[H] = (op->h_out + up - 1) / up, out[F] = op->f_out, out[N] = op->n;
}

// Fills the shifts of the box of 2^total pixels that covers out with the fewest boxes; of several the widest, then the
// highest. Returns their number, all parities together.
static int64_t choose_box(const vc_conv *op, int total, int shift[AXES]) {
  int64_t out[AXES], least = INT64_MAX;
  out_size(op, out);
  auto boxes = [&](int axis, int s) { return (out[axis] + (1 << s) - 1) >> s; };
  auto too_long = [&](int axis, int s) { return op->stride[OP_AXIS[axis]] << s > 256; };
  for (int w = total; w >= 0; w--)
    for (int h = total - w; h >= 0; h--)
      for (int f = total - w - h; f >= 0; f--) {
        int n = total - w - h - f;
        if (too_long(W, w) || too_long(H, h) || too_long(F, f)) continue;
        int64_t count = boxes(W, w) * boxes(H, h) * boxes(F, f) * boxes(N, n) * op->upsample * op->upsample;
        if (count >= least) continue;
        least = count;
        shift[W] = w, shift[H] = h, shift[F] = f, shift[N] = n;
      }
  return least;
}

static int log2_of(int rows) {
  return 31 - __builtin_clz((unsigned)rows);
}

static product_size size_of(const vc_conv *op) {
  product_size s = {};
  int shift[AXES];
  for (int i = 0; i < TILE_KINDS; i++) s.row_tiles[i] = choose_box(op, log2_of(TILE_ROWS[i]), shift);
  s.rows = op->n * op->f_out * op->h_out * op->w_out;
  s.c_out = op->c_out;
  for (int i = 0; i < 2; i++) s.stages += (op->c[i] + DEPTH - 1) / DEPTH;
  s.stages *= op->kernel[0] * op->kernel[1] * op->kernel[2];
  return s;
}

static bool axes_fit(const vc_conv *op) {
  constexpr int64_t LIMIT = 1 << 24;
  const int64_t size[] = {op->n, op->f, op->h, op->w, op->f_out, op->h_out, op->w_out};
  for (int64_t v : size)
    if (v < 1 || v > LIMIT) return false;
  for (int i = 0; i < 3; i++) {
    if (op->stride[i] < 1 || op->stride[i] > 8 || op->kernel[i] > 64) return false;
    if (op->dilation[i] > 1024 || op->pad[i] < 0 || op->pad[i] > 65536) return false;
  }
  return op->upsample == 1 || (op->upsample == 2 && op->stride[1] == 1 && op->stride[2] == 1);
}

extern "C" bool vc_cuda_conv_wgmma_fits(const vc_device *device, const vc_conv *op) {
  return device_fits(device, op->dtype, op->c, op->c_out) &&
         addresses_fit(op->x, op->weight, op->epilogue, op->out, op->workspace) && op->groups == 1 && axes_fit(op) &&
         op->epilogue.activation != VC_ACT_GEGLU && size_fits(size_of(op));
}

extern "C" size_t vc_cuda_conv_wgmma_workspace(const vc_device *device, const vc_conv *op) {
  product_size s = size_of(op);
  return part_bytes(s, plan_product(device, s, true));
}

// ---- launching

static pixel_boxes boxes_of(const vc_conv *op, int tile_rows) {
  pixel_boxes g = {};
  int64_t out[AXES];
  out_size(op, out);
  choose_box(op, log2_of(tile_rows), g.shift);
  for (int i = 0; i < AXES; i++) g.tiles[i] = (int)((out[i] + (1 << g.shift[i]) - 1) >> g.shift[i]);
  g.out[W] = (int)op->w_out, g.out[H] = (int)op->h_out, g.out[F] = (int)op->f_out, g.out[N] = (int)op->n;
  for (int i = 0; i < 3; i++) {
    g.kernel[i] = (int)op->kernel[OP_AXIS[i]];
    g.stride[i] = (int)op->stride[OP_AXIS[i]];
    g.dilation[i] = (int)op->dilation[OP_AXIS[i]];
    g.pad[i] = (int)op->pad[OP_AXIS[i]];
  }
  g.upsample = op->upsample;
  return g;
}

static vc_status make_input_map(CUtensorMap *map, const vc_conv *op, int input, const pixel_boxes &g, vc_error *error) {
  map_of m = {5,
              op->x[input],
              {(cuuint64_t)op->c[input], (cuuint64_t)op->w, (cuuint64_t)op->h, (cuuint64_t)op->f, (cuuint64_t)op->n},
              {},
              {DEPTH, 1u << g.shift[W], 1u << g.shift[H], 1u << g.shift[F], 1u << g.shift[N]},
              {1, (cuuint32_t)g.stride[W], (cuuint32_t)g.stride[H], (cuuint32_t)g.stride[F], 1}};
  m.stride[1] = m.size[0] * 2;
  for (int i = 2; i < 5; i++) m.stride[i] = m.stride[i - 1] * m.size[i - 1];
  return make_map(map, op->dtype, m, "x", error);
}

template <class T>
static vc_status run(vc_device *device, const vc_conv *op, vc_error *error) {
  product_size s = size_of(op);
  product_plan plan = plan_product(device, s, op->workspace != nullptr);
  product_of<T, pixel_boxes> p = {};
  p.geometry = boxes_of(op, TILE_ROWS[plan.tile]);
  p.taps = (int)(op->kernel[0] * op->kernel[1] * op->kernel[2]);
  p.inputs = op->c[1] ? 2 : 1;
  vc_status status = VC_OK;
  for (int i = 0; i < p.inputs && !status; i++) {
    p.channels[i] = (int)op->c[i];
    status = make_input_map(&p.x[i], op, i, p.geometry, error);
  }
  if (!status)
    status =
        make_weight_map(&p.weight, op->dtype, op->weight, op->c_out, p.taps * (op->c[0] + op->c[1]), plan.tile, error);
  if (status) return status;
  return launch_product<T, pixel_boxes, false>(device, VC_OP_CONV, s, plan, op->epilogue, op->out, op->workspace, p,
                                               error);
}

extern "C" vc_status vc_cuda_conv_wgmma(vc_device *device, const vc_conv *op, vc_error *error) {
  return op->dtype == VC_F16 ? run<__half>(device, op, error) : run<__nv_bfloat16>(device, op, error);
}
