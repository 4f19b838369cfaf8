// Packing of blocks by lifetime: never two live blocks in one place, and not much more memory than must be.
#include <criterion/criterion.h>

#include "engine/arena.h"
#include "tests/random.h"

static void check_disjoint(const vc_block *block, int count, size_t total) {
  for (int i = 0; i < count; i++) {
    cr_assert_eq(block[i].offset % VC_ARENA_ALIGNMENT, 0);
    cr_assert_leq(block[i].offset + block[i].bytes, total, "block %d leaves the arena", i);
    for (int j = 0; j < i; j++) {
      if (block[i].last < block[j].first || block[j].last < block[i].first) continue;
      bool apart =
          block[i].offset + block[i].bytes <= block[j].offset || block[j].offset + block[j].bytes <= block[i].offset;
      cr_assert(apart, "blocks %d and %d are alive together and overlap", i, j);
    }
  }
}

Test(arena, random_lifetimes_never_overlap) {
  for (uint64_t seed = 0; seed < 200; seed++) {
    vc_random random = {seed};
    vc_block block[60];
    int count = 1 + (int)vc_random_below(&random, 60);
    for (int i = 0; i < count; i++) {
      int first = (int)vc_random_below(&random, 50);
      block[i] = (vc_block){.bytes = 1 + vc_random_below(&random, 5000),
                            .first = first,
                            .last = first + (int)vc_random_below(&random, 12)};
    }
    size_t total;
    cr_assert_eq(vc_arena_pack(block, count, &total, NULL), VC_OK);
    check_disjoint(block, count, total);
    size_t bound = vc_arena_bound(block, count);
    cr_expect_geq(total, bound);
    cr_expect_leq((double)total, 1.35 * (double)bound, "seed %d: %zu bytes for %zu", (int)seed, total, bound);
  }
}

Test(arena, a_chain_needs_two_blocks) {
  vc_block block[100];
  for (int i = 0; i < 100; i++) block[i] = (vc_block){.bytes = 1024, .first = i, .last = i + 1};
  size_t total;
  cr_assert_eq(vc_arena_pack(block, 100, &total, NULL), VC_OK);
  cr_expect_eq(total, 2048);
  cr_expect_eq(vc_arena_bound(block, 100), 2048);
}

Test(arena, sizes_that_overflow_are_refused) {
  vc_block block[2] = {{.bytes = SIZE_MAX / 2, .last = 1}, {.bytes = SIZE_MAX / 2 + 1000, .last = 1}};
  size_t total;
  vc_error error;
  cr_expect_eq(vc_arena_pack(block, 2, &total, &error), VC_INVALID);
  block[0].bytes = SIZE_MAX;
  cr_expect_eq(vc_arena_pack(block, 1, &total, &error), VC_INVALID);
}
