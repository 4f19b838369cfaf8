// Packing of blocks with known lifetimes into one piece of memory at fixed offsets.
#ifndef VC_ENGINE_ARENA_H
#define VC_ENGINE_ARENA_H

#include "engine/status.h"

typedef struct vc_block {
  size_t bytes;
  int first, last;  // alive from op `first` through op `last`, both included
  size_t offset;    // out
} vc_block;

enum { VC_ARENA_ALIGNMENT = 256 };

// Gives every block an offset so that no two blocks that are alive together overlap; *total is the size of the arena.
// Blocks of no bytes take no part.
// Offsets are multiples of VC_ARENA_ALIGNMENT. Tries several orders (by size, by size times lifetime, by start, and
// shaken ones) until the result is within 1/32 of vc_arena_bound, and keeps the smallest: the same every time. Time
// grows with the square of count.
vc_status vc_arena_pack(vc_block *block, int count, size_t *total, vc_error *error);

// The largest sum of bytes (rounded up to the alignment) of blocks that are alive together: no packing is smaller.
size_t vc_arena_bound(const vc_block *block, int count);

#endif
