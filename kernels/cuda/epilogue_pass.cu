// What a vendor's library leaves to be done around its products:
//
//   epilogue_pass  out = activation(out + bias + addend) + residual, in place: out once in and once out, the residual
//                  once. Vectors of 16 bytes where all are aligned, one element otherwise.
//   bias_pass      a bias [c] in the activations' dtype, which is what cuBLASLt adds to fp16 and bf16. c is a few
//                  thousand at most, so that only the launch counts.
#include "kernels/cuda/choose.h"
#include "kernels/cuda/epilogue.cuh"

constexpr int THREADS = 256;

template <class T, int N>
static __global__ void __launch_bounds__(THREADS) epilogue_kernel(epilogue_of<T> e, int64_t vectors, int row_vectors) {
  int64_t stride = (int64_t)gridDim.x * THREADS, i = (int64_t)blockIdx.x * THREADS + threadIdx.x;
  // A step of the loop goes a fixed number of rows and columns ahead: one division a thread.
  int64_t row = i / row_vectors, rows = stride / row_vectors;
  int at = (int)(i - row * row_vectors), columns = (int)(stride - rows * row_vectors);
  for (; i < vectors; i += stride) {
    float v[N];
    load_floats<T, N>(v, e.out + (MUTANT(1) ? i + 1 : i) * N);
    finish<T, N>(e, row, (int64_t)at * N, v);
    row += rows;
    at += columns;
    if (at >= row_vectors && !MUTANT(2)) {
      at -= row_vectors;
      row++;
    }
  }
}

template <class T>
static __global__ void __launch_bounds__(THREADS) bias_kernel(T *out, const float *bias, int c) {
  int i = (int)blockIdx.x * THREADS + (int)threadIdx.x;
  if (i < (MUTANT(3) ? c - 1 : c)) out[i] = from_float<T>(bias[i]);
}

template <class T, int N>
static cudaError_t finish_all(const vc_device *d, const epilogue_of<T> &e, int64_t rows) {
  int64_t row_vectors = e.c_out / N, vectors = rows * row_vectors;
  return launch(epilogue_kernel<T, N>, vc_cuda_blocks(vectors, THREADS, 32 * d->multiprocessors), THREADS, 0, d->stream,
                e, vectors, (int)row_vectors);
}

template <class T>
static cudaError_t choose(const vc_device *d, const vc_epilogue *epilogue, int64_t rows, int64_t c_out, void *out) {
  epilogue_of<T> e = epilogue_for<T>(epilogue, out, c_out);
  return epilogue_is_wide(e) ? finish_all<T, full_vector<T>>(d, e, rows) : finish_all<T, 1>(d, e, rows);
}

extern "C" cudaError_t vc_cuda_epilogue_pass(const vc_device *d, vc_dtype dtype, const vc_epilogue *epilogue,
                                             int64_t rows, int64_t c_out, void *out) {
  return dtype == VC_F16    ? choose<__half>(d, epilogue, rows, c_out, out)
         : dtype == VC_BF16 ? choose<__nv_bfloat16>(d, epilogue, rows, c_out, out)
                            : choose<float>(d, epilogue, rows, c_out, out);
}

extern "C" cudaError_t vc_cuda_bias_pass(const vc_device *d, vc_dtype dtype, const float *bias, int64_t c, void *out) {
  unsigned blocks = vc_cuda_blocks(c, THREADS, INT32_MAX / THREADS);
  if (dtype == VC_F16) return launch(bias_kernel<__half>, blocks, THREADS, 0, d->stream, (__half *)out, bias, (int)c);
  return launch(bias_kernel<__nv_bfloat16>, blocks, THREADS, 0, d->stream, (__nv_bfloat16 *)out, bias, (int)c);
}
