// A small deterministic generator for tests (splitmix64, Steele et al. 2014).
#ifndef VC_TESTS_RANDOM_H
#define VC_TESTS_RANDOM_H

#include <stdint.h>

typedef struct vc_random {
  uint64_t state;
} vc_random;

static inline uint64_t vc_random_next(vc_random *r) {
  uint64_t z = r->state += 0x9e3779b97f4a7c15u;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
  z = (z ^ z >> 27) * 0x94d049bb133111ebu;
  return z ^ z >> 31;
}

static inline uint64_t vc_random_below(vc_random *r, uint64_t bound) {
  return vc_random_next(r) % bound;
}

// Uniform in -1 .. 1.
static inline float vc_random_float(vc_random *r) {
  return (float)((double)(vc_random_next(r) >> 11) * 0x1p-52 - 1.0);
}

#endif
