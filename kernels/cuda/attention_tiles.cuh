// Tiles of rows in shared memory, for the attention kernels that use ldmatrix.
//
// A row has C 16-byte chunks, an even number (a head is padded with zeros to the kernel's C); chunk c of row r lies at
// r C + (c ^ f(r)), f(r) = r G / 8 mod G with G = gcd(C, 8). No two lanes ever meet in a bank:
//   ldmatrix reads chunk c of 8 rows that begin at a multiple of 8. r C mod 8 takes 8 / G values, each of them for G
//   rows that are 8 / G apart and differ in f: within the aligned G chunks that c is in, each row has its own place;
//   cp.async writes 8 neighbouring chunks, counted through the rows from a multiple of 8, for every 8 lanes: f moves
//   chunks only within aligned groups of G, so the same 8 places are written, each once; whole chunks are read alike;
//   results enter a tile as a word of each of 4 lanes in chunk c of 8 rows: the same 8 chunks as for ldmatrix.
#ifndef VC_KERNELS_CUDA_ATTENTION_TILES_CUH
#define VC_KERNELS_CUDA_ATTENTION_TILES_CUH

#include "kernels/cuda/attention.cuh"

constexpr float LOG2_E = 1.4426950408889634f;  // scores become exponents of 2

// Byte offset of a chunk of a tile with C chunks a row.
template <int C>
DEVICE int place(int row, int chunk) {
  static_assert(C % 2 == 0, "an even number of chunks, or rows would need padding");
  constexpr int G = C % 8 == 0 ? 8 : C % 4 == 0 ? 4 : 2;
  return (row * C + (chunk ^ (row / (8 / G) % G))) * 16;
}

// Rows first .. first + ROWS - 1 to shared memory, zeros beyond the last row and channel.
template <class T, int THREADS, int ROWS, int C>
DEVICE void load_rows(uint32_t to, const T *x, int64_t stride, int first, int rows, int chunks) {
  static_assert(ROWS * C % THREADS == 0, "every thread has the same number of chunks");
#pragma unroll
  for (int i = 0; i < ROWS * C / THREADS; i++) {
    int at = i * THREADS + (int)threadIdx.x, row = at / C, chunk = at % C;
    bool valid = first + row < rows && (chunk < chunks || MUTANT(1));
    cp_async<16>(to + place<C>(row, chunk), valid ? x + (first + row) * stride + chunk * 8 : x, valid);
  }
}

#endif
