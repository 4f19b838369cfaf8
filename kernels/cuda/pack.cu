// Parameters from a file's F32, F16 or BF16 to the layouts of cuda.h. The file's bytes go through the pinned buffers
// into the device's workspace as they are, a piece at a time; a kernel converts them and puts them where they belong.
#include "kernels/cuda/cuda.h"
#include "kernels/cuda/types.cuh"

constexpr int THREADS = 256;

// Element (a, b, t) of a source [.., b, t] belongs at a * stride_a + b * stride_b + t * stride_t.
typedef struct placement {
  int64_t b, t;
  int64_t stride_a, stride_b, stride_t;
} placement;

template <class T, class S>
static __global__ void __launch_bounds__(THREADS)
    pack_kernel(T *to, const S *from, int64_t first, int64_t count, placement p) {
  for (int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x; i < count; i += (int64_t)gridDim.x * THREADS) {
    int64_t at = (MUTANT(1) ? 0 : first) + i, row = at / p.t, a = row / p.b;
    to[a * p.stride_a + (row - a * p.b) * p.stride_b + (at - row * p.t) * p.stride_t] =
        from_float<T>(to_float(from[i]));
  }
}

static vc_dtype stored_as(const vc_pack *p) {
  return p->layout == VC_LAYOUT_VECTOR ? VC_F32 : p->dtype;
}

static int64_t elements_of(const vc_pack *p) {
  switch (p->layout) {
    case VC_LAYOUT_LINEAR:
      return p->rows * vc_cuda_pitch(p->columns);
    case VC_LAYOUT_CONV:
      if (p->transposed) return vc_pack_taps(p) * p->rows * vc_cuda_pitch(p->columns);
      return p->rows * vc_cuda_pitch(vc_pack_taps(p) * p->columns);
    default:
      return p->rows * p->columns;
  }
}

extern "C" vc_status vc_cuda_pack_bytes(const vc_pack *p, size_t *bytes, vc_error *error) {
  *bytes = 0;
  if (p->dtype != VC_F32 && p->dtype != VC_F16 && p->dtype != VC_BF16)
    return vc_fail(error, VC_UNSUPPORTED, "the cuda backend packs for F32, F16 and BF16, not for %s",
                   vc_dtype_name(p->dtype));
  vc_status status = vc_op_check_pack(p, error);
  if (!status) *bytes = (size_t)elements_of(p) * vc_dtype_size(stored_as(p));
  return status;
}

static placement placement_of(const vc_pack *p) {
  switch (p->layout) {
    case VC_LAYOUT_LINEAR: {
      int64_t pitch = vc_cuda_pitch(p->columns);
      return p->transposed ? placement{p->rows, 1, 1, pitch, 0} : placement{p->columns, 1, pitch, 1, 0};
    }
    case VC_LAYOUT_CONV: {
      int64_t taps = vc_pack_taps(p), pitch = vc_cuda_pitch(p->transposed ? p->columns : taps * p->columns);
      return p->transposed ? placement{p->rows, taps, 1, pitch, p->rows * (MUTANT(3) ? p->columns : pitch)}
                           : placement{p->columns, taps, pitch, 1, p->columns};
    }
    default:
      return placement{1, 1, 1, 0, 0};
  }
}

template <class T, class S>
static cudaError_t pack_piece(const vc_device *d, void *to, int64_t first, int64_t count, placement p) {
  return launch(pack_kernel<T, S>, vc_cuda_blocks(count, THREADS, 32 * d->multiprocessors), THREADS, 0, d->stream,
                (T *)to, (const S *)d->workspace, first, count, p);
}

template <class T>
static cudaError_t pack_from(const vc_device *d, vc_dtype from, void *to, int64_t first, int64_t count, placement p) {
  return from == VC_F16    ? pack_piece<T, __half>(d, to, first, count, p)
         : from == VC_BF16 ? pack_piece<T, __nv_bfloat16>(d, to, first, count, p)
                           : pack_piece<T, float>(d, to, first, count, p);
}

static vc_status pack_source(vc_device *d, const vc_pack *p, const vc_tensor *source, int64_t count, void *to,
                             vc_error *error) {
  placement place = placement_of(p);
  vc_dtype dtype = stored_as(p);
  size_t size = vc_dtype_size(source->dtype);
  int64_t piece = VC_CUDA_WORKSPACE / (int64_t)size;
  vc_status status = VC_OK;
  for (int64_t first = 0; first < count && !status; first += piece) {
    int64_t part = count - first < piece ? count - first : piece;
    const char *from = (const char *)source->data + (size_t)first * size;
    if (!vc_finite(from, source->dtype, (size_t)part))
      return vc_fail(error, VC_FAILED, "a parameter holds a NaN or an infinity");
    status = vc_cuda_stage(d, d->workspace, from, (size_t)part * size, error);
    if (status) break;
    cudaError_t code = dtype == VC_F16    ? pack_from<__half>(d, source->dtype, to, first, part, place)
                       : dtype == VC_BF16 ? pack_from<__nv_bfloat16>(d, source->dtype, to, first, part, place)
                                          : pack_from<float>(d, source->dtype, to, first, part, place);
    if (code == cudaSuccess) code = cudaGetLastError();
    status = vc_cuda_check(code, "packing a parameter", error);
  }
  return status;
}

extern "C" vc_status vc_cuda_pack(vc_device *d, const vc_pack *p, void *to, vc_error *error) {
  size_t bytes;
  int64_t counts[VC_STACK_MAX];
  vc_status status = vc_cuda_pack_bytes(p, &bytes, error);
  if (!status) status = vc_op_check_sources(p, counts, error);
  if (!status)
    status = vc_cuda_check(cudaMemsetAsync(to, 0, MUTANT(2) ? 0 : bytes, d->stream), "clearing a parameter", error);
  size_t row = status ? 0 : bytes / (size_t)p->rows;  // of a source that is joined to others; those are not transposed
  for (int i = 0; i < p->stacked && !status; i++) {
    status = pack_source(d, p, &p->source[i], counts[i], to, error);
    to = (char *)to + (size_t)counts[i] / (size_t)(p->columns * (MUTANT(4) ? 1 : vc_pack_taps(p))) * row;
  }
  return status;
}
