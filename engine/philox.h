// Random numbers that depend on where they are asked for and not on when: Philox4x32-10.
//
// Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC 2011). Ten rounds of a keyed
// bijection turn a counter of 128 bits into 128 random bits. Here
//
//   key     = { low 32 bits of seed, high 32 bits of seed }
//   counter = { low 32 bits of block, high 32 bits of block, low 32 bits of stream, high 32 bits of stream }
//
// A seed belongs to a video, a stream to a purpose (the first latent, the noise of step 7, a mask), a block holds four
// words. So a CPU and a GPU, one thread or many, whole tensors or slices, all draw the same numbers.
#ifndef VC_ENGINE_PHILOX_H
#define VC_ENGINE_PHILOX_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// The bijection itself; out may be counter.
void vc_philox4x32(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

// out[k] is word (i mod 4) of block i / 4, i = first + k (modulo 2^64): uniform over all 32-bit values.
void vc_philox_words(uint64_t seed, uint64_t stream, uint64_t first, uint32_t *out, size_t count);

// out[k] is standard normal and depends on seed, stream and i = first + k (modulo 2^64) alone. Box and Muller on two
// pairs a block, all in double and rounded to float at the end: with the words w of block i / 4 and p = 0 for
// i mod 4 < 2, else p = 2,
//
//   radius = sqrt(-2 ln((w[p] + 1) / 2^32)),  angle = 2 pi w[p + 1] / 2^32,
//   even i: radius cos(angle),  odd i: radius sin(angle).
//
// The largest magnitude is sqrt(64 ln 2) = 6.66. Two libraries of mathematics may differ in the last bit of a float,
// rarely: where their doubles round to either side.
void vc_philox_normal(uint64_t seed, uint64_t stream, uint64_t first, float *out, size_t count);

// Uniform in 0 .. bound - 1 (bound > 0) from seed, stream and index alone: floor(r bound / 2^64), r = words 1 and 0 of
// block `index`, word 1 the high half. No value is favoured by more than 2^-32 of its share. It shares blocks with the
// functions above: give it a stream of its own.
uint32_t vc_philox_below(uint64_t seed, uint64_t stream, uint64_t index, uint32_t bound);

#ifdef __cplusplus
}
#endif
#endif
