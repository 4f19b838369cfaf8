// State of what only sm_90a has: barriers in shared memory, tiles that the copy engine loads, products of a warpgroup.
// The instructions are in sm90_on_host.h. Every copy and product happens at the latest moment that the hardware allows,
// by the thread that waits for it; from the earliest moment on its target is NaN.
#ifndef VC_TESTS_CUDA_ON_HOST_EMULATOR_SM90_H
#define VC_TESTS_CUDA_ON_HOST_EMULATOR_SM90_H

#include <cuda.h>

#include "emulator.h"

namespace emu {
// What the stand-in of cuTensorMapEncodeTiled stores in a CUtensorMap.
struct tensor_map {
  uint32_t magic;
  uint32_t rank, element, swizzled;
  char *base;
  uint64_t dim[5], stride[5];  // stride in bytes, [0] unused
  uint16_t count[5];           // elements of the box along each dimension
  uint8_t step[5];
};

struct tile_load {
  uint32_t to, barrier;
  int at[5];
  tensor_map map;
};

uint32_t tile_bytes(const tensor_map &map);
void mbarrier_init(uint32_t barrier, uint32_t count, const char *f, int l);
void mbarrier_arrive(uint32_t barrier, uint32_t bytes, const char *f, int l);
void mbarrier_complete(uint32_t barrier, uint32_t bytes);
enum mbarrier_news { MBARRIER_DONE, MBARRIER_LOAD, MBARRIER_AGAIN };
mbarrier_news mbarrier_wait_step(uint32_t barrier, uint32_t parity, tile_load *load, const char *f, int l);
void tile_issue(const tile_load &load, const char *f, int l);
void tile_publish(uint32_t barrier);

struct product {
  uint64_t a, b;
  int columns, add;
  bool bf16;
  unsigned group, slot;
};

void products_fence();
void products_add(float *d, product p, const char *f, int l);
void products_commit();
bool products_due(int keep);                         // does this thread have products to wait for?
const product *products_next(int keep, unsigned i);  // the i-th of them, or null: for sanitizers
void products_run(unsigned mask, void **keep);
void products_finish();
uint32_t operand_address(uint64_t operand, int row, int chunk, const char *f, int l);
}  // namespace emu

#endif
