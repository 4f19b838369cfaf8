// out = epilogue(x0 W0' + x1 W1') by TMA and wgmma: linear layers in half precision on sm_90a. The product itself, its
// tiles and its pipeline are product_sm90.cuh's; here A is the rows of x, by two-dimensional tensor maps of both
// inputs.
//
// The UNet at its widest, [32768 rows, 320] times [320, 320]: 6.7 GFLOP, 8.4 us at 798 TFLOP/s; 42 MB (63 with a
// residual), 14 us (21) at 3 TB/s: bound by memory, the weight stays in L2. [8192, 2560] times [2560, 640]: 27 GFLOP,
// 34 us; 55 MB, 18 us: bound by the tensor cores, as all levels below are. GEGLU [32768, 320] to 1280: 54 GFLOP, 67 us;
// 105 MB, 35 us, where a product that is stored and gated afterwards would move 441 MB.
#include "kernels/cuda/plan_sm90.cuh"

namespace {

struct dense_rows {
  typedef int origin;  // the tile's first row
  int rows, tile_rows;
};

DEVICE int locate(const dense_rows &g, int tile) {
  return tile * g.tile_rows;
}

DEVICE int64_t row_of(const dense_rows &g, int origin, int r) {
  return origin + r < g.rows + (MUTANT(14) ? 1 : 0) ? origin + r : -1;
}

DEVICE void load_rows(const dense_rows &, uint32_t shared, const CUtensorMap *map, uint32_t barrier, int origin, int,
                      int channel) {
  tma_load(shared, map, barrier, channel, origin);
}

}  // namespace

static product_size size_of(const vc_linear *op) {
  product_size s = {};
  for (int i = 0; i < TILE_KINDS; i++) s.row_tiles[i] = (op->rows + TILE_ROWS[i] - 1) / TILE_ROWS[i];
  s.rows = op->rows;
  s.c_out = op->c_out;
  s.gated = op->epilogue.activation == VC_ACT_GEGLU;
  for (int i = 0; i < 2; i++) s.stages += (op->c[i] + DEPTH - 1) / DEPTH;
  return s;
}

extern "C" bool vc_cuda_linear_wgmma_fits(const vc_device *device, const vc_linear *op) {
  return device_fits(device, op->dtype, op->c, op->c_out) &&
         addresses_fit(op->x, op->weight, op->epilogue, op->out, op->workspace) && op->x_stride % 8 == 0 &&
         size_fits(size_of(op));
}

extern "C" size_t vc_cuda_linear_wgmma_workspace(const vc_device *device, const vc_linear *op) {
  product_size s = size_of(op);
  return part_bytes(s, plan_product(device, s, true));
}

template <class T>
static vc_status run(vc_device *device, const vc_linear *op, vc_error *error) {
  product_size s = size_of(op);
  product_plan plan = plan_product(device, s, op->workspace != nullptr);
  product_of<T, dense_rows> p = {};
  p.geometry = {(int)op->rows, TILE_ROWS[plan.tile]};
  p.taps = 1;
  p.inputs = op->c[1] ? 2 : 1;
  vc_status status = VC_OK;
  for (int i = 0; i < p.inputs && !status; i++) {
    p.channels[i] = (int)op->c[i];
    map_of m = {2,
                op->x[i],
                {(cuuint64_t)op->c[i], (cuuint64_t)op->rows},
                {0, (cuuint64_t)(i ? op->c[1] : op->x_stride) * 2},
                {DEPTH, (cuuint32_t)TILE_ROWS[plan.tile]},
                {1, 1}};
    status = make_map(&p.x[i], op->dtype, m, "x", error);
  }
  int64_t columns = s.gated ? 2 * op->c_out : op->c_out;
  if (!status)
    status = make_weight_map(&p.weight, op->dtype, op->weight, columns, op->c[0] + op->c[1], plan.tile, error);
  if (status) return status;
  return launch_product<T, dense_rows, true>(device, VC_OP_LINEAR, s, plan, op->epilogue, op->out, op->workspace, p,
                                             error);
}

extern "C" vc_status vc_cuda_linear_wgmma(vc_device *device, const vc_linear *op, vc_error *error) {
  return op->dtype == VC_F16 ? run<__half>(device, op, error) : run<__nv_bfloat16>(device, op, error);
}
