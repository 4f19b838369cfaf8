// Guidance and the sampler's update in one pass over the latent: eps = uncond + guidance (cond - uncond), then the
// row of the current step, whose coefficients vc_sampler_row describes.
//
// Bytes: both predictions, four fp32 states in and out, the next input. A video of [16 32 32 4] is 65536 elements: 2 MB
// of traffic and one launch a step, so what counts is that it is one launch. The step is read from device memory, which
// lets one recording serve all steps. A thread reads everything of an element before it writes, so that states may be
// updated in place.
#include "kernels/cuda/elements.cuh"

constexpr int THREADS = 256;

template <class T>
struct states {
  const T *cond, *uncond;  // uncond may be NULL
  float guidance;
  const vc_sampler_row *table;
  const int32_t *step;
  const float *noise;  // may be NULL
  float *x, *m1, *m2, *x_last;
  T *input;
  int64_t count;
};

template <class T, int N>
static __global__ void __launch_bounds__(THREADS) sampler_kernel(states<T> s) {
  const int64_t step = *s.step;
  const vc_sampler_row row = s.table[step];
  const float *noise = s.noise && row.noise != 0 ? s.noise + (MUTANT(1) ? 0 : step) * s.count : nullptr;
  for (int64_t i = ((int64_t)blockIdx.x * THREADS + threadIdx.x) * N; i < s.count;
       i += (int64_t)gridDim.x * THREADS * N) {
    float eps[N], uncond[N], x[N], m1[N], m2[N], last[N], z[N];
    load_floats<T, N>(eps, s.cond + i);
    if (s.uncond) load_floats<T, N>(uncond, s.uncond + i);
    load_floats<float, N>(x, s.x + i);
    load_floats<float, N>(m1, s.m1 + i);
    load_floats<float, N>(m2, s.m2 + i);
    load_floats<float, N>(last, s.x_last + i);
    if (noise) load_floats<float, N>(z, noise + i);
#pragma unroll
    for (int k = 0; k < N; k++) {
      if (s.uncond) eps[k] = uncond[k] + s.guidance * (eps[k] - uncond[k]);
      float m0 = row.x0[0] * x[k] + row.x0[1] * eps[k];
      float corrected = row.corrected[0] * x[k] + row.corrected[1] * last[k] + row.corrected[2] * m0 +
                        row.corrected[3] * m1[k] + row.corrected[4] * m2[k];
      float next =
          row.next[0] * corrected + row.next[1] * m0 + row.next[2] * m1[k] + row.next[3] * m2[k] + row.next[4] * eps[k];
      if (noise) next += row.noise * z[k];
      last[k] = MUTANT(2) ? x[k] : corrected;
      m2[k] = MUTANT(3) ? m0 : m1[k];
      m1[k] = m0;
      x[k] = next;
    }
    store_floats<float, N>(s.x_last + i, last);
    store_floats<float, N>(s.m2 + i, m2);
    store_floats<float, N>(s.m1 + i, m1);
    store_floats<float, N>(s.x + i, x);
    store_floats<T, N>(s.input + i, x);
  }
}

template <class T, int N>
static cudaError_t run(const vc_device *d, const states<T> &s) {
  unsigned blocks = vc_cuda_blocks(s.count / N, THREADS, 32 * d->multiprocessors);
  return launch(sampler_kernel<T, N>, blocks, THREADS, 0, d->stream, s);
}

// Four elements at a time: 16 bytes of every fp32 state.
template <class T>
static cudaError_t choose(const vc_device *d, const vc_sampler *op) {
  const T *cond = (const T *)op->eps;
  states<T> s = {cond,           op->guided ? cond + op->count : nullptr,
                 op->guidance,   op->table,
                 op->step,       op->noise,
                 op->x,          op->m1,
                 op->m2,         op->x_last,
                 (T *)op->input, op->count};
  const void *all[] = {op->eps, op->noise, op->x, op->m1, op->m2, op->x_last, op->input};
  bool aligned = op->count % 4 == 0;
  for (const void *p : all) aligned = aligned && is_aligned(p);
  return aligned ? run<T, 4>(d, s) : run<T, 1>(d, s);
}

extern "C" vc_status vc_cuda_sampler_prepare(vc_device *device, const vc_sampler *op, size_t *workspace,
                                             vc_error *error) {
  (void)device;
  *workspace = 0;
  const int64_t size[] = {2, op->count};
  if (!vc_op_sizes(2, size)) return vc_fail(error, VC_INVALID, "%lld elements", (long long)op->count);
  return VC_OK;
}

extern "C" vc_status vc_cuda_sampler(vc_device *device, const vc_sampler *op, vc_error *error) {
  return vc_cuda_launched(device, VC_OP_SAMPLER, VC_CUDA_SIMT, BY_DTYPE(op->dtype, choose, device, op), error);
}
