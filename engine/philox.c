#include "engine/philox.h"

#include <assert.h>
#include <math.h>

void vc_philox4x32(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]) {
  uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3], k0 = key[0], k1 = key[1];
  for (int round = 0; round < 10; round++) {
    uint64_t a = (uint64_t)c0 * 0xD2511F53u, b = (uint64_t)c2 * 0xCD9E8D57u;
    c0 = (uint32_t)(b >> 32) ^ c1 ^ k0;
    c1 = (uint32_t)b;
    c2 = (uint32_t)(a >> 32) ^ c3 ^ k1;
    c3 = (uint32_t)a;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  out[0] = c0;
  out[1] = c1;
  out[2] = c2;
  out[3] = c3;
}

static void block_words(uint64_t seed, uint64_t stream, uint64_t block, uint32_t out[4]) {
  const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
  const uint32_t counter[4] = {(uint32_t)block, (uint32_t)(block >> 32), (uint32_t)stream, (uint32_t)(stream >> 32)};
  vc_philox4x32(counter, key, out);
}

void vc_philox_words(uint64_t seed, uint64_t stream, uint64_t first, uint32_t *out, size_t count) {
  uint32_t words[4];
  for (size_t k = 0; k < count; k++) {
    uint64_t i = first + k;
    if (k == 0 || i % 4 == 0) block_words(seed, stream, i / 4, words);
    out[k] = words[i % 4];
  }
}

static void block_normals(uint64_t seed, uint64_t stream, uint64_t block, float out[4]) {
  static const double two_pi = 6.283185307179586476925286766559;
  uint32_t words[4];
  block_words(seed, stream, block, words);
  for (int p = 0; p < 4; p += 2) {
    double radius = sqrt(-2 * log((words[p] + 1.0) * 0x1p-32)), angle = two_pi * (words[p + 1] * 0x1p-32);
    out[p] = (float)(radius * cos(angle));
    out[p + 1] = (float)(radius * sin(angle));
  }
}

void vc_philox_normal(uint64_t seed, uint64_t stream, uint64_t first, float *out, size_t count) {
  float normals[4];
  for (size_t k = 0; k < count; k++) {
    uint64_t i = first + k;
    if (k == 0 || i % 4 == 0) block_normals(seed, stream, i / 4, normals);
    out[k] = normals[i % 4];
  }
}

uint32_t vc_philox_below(uint64_t seed, uint64_t stream, uint64_t index, uint32_t bound) {
  assert(bound > 0);
  uint32_t words[4];
  block_words(seed, stream, index, words);
  uint64_t low = (uint64_t)words[0] * bound, high = (uint64_t)words[1] * bound;
  return (uint32_t)((high + (low >> 32)) >> 32);
}
