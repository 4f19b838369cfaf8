// The random generator: known answers, what a number depends on, and its statistics.
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/philox.h"

Test(philox, known_answers_of_the_publication) {
  static const struct {
    uint32_t counter[4], key[2], out[4];
  } cases[] = {
      {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
      {{~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
      {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
       {0xa4093822, 0x299f31d0},
       {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    uint32_t out[4];
    vc_philox4x32(cases[i].counter, cases[i].key, out);
    cr_expect_arr_eq(out, cases[i].out, sizeof out, "case %zu: %08x %08x %08x %08x", i, out[0], out[1], out[2], out[3]);
    memcpy(out, cases[i].counter, sizeof out);
    vc_philox4x32(out, cases[i].key, out);
    cr_expect_arr_eq(out, cases[i].out, sizeof out, "case %zu in place", i);
  }
}

// The third known answer again, through the layout of seed, stream and block.
Test(philox, words_come_from_the_documented_counter) {
  uint32_t out[4];
  vc_philox_words(0x299f31d0a4093822, 0x0370734413198a2e, 4 * 0x05a308d3243f6a88, out, 4);
  const uint32_t counter[4] = {0x243f6a88, 0x05a308d3, 0x13198a2e, 0x03707344}, key[2] = {0xa4093822, 0x299f31d0};
  uint32_t expected[4];
  vc_philox4x32(counter, key, expected);
  cr_expect_arr_eq(out, expected, sizeof out);
}

Test(philox, normals_follow_the_documented_formula) {
  enum { count = 64 };
  float normals[count];
  uint32_t words[count];
  vc_philox_normal(42, 7, 8, normals, count);
  vc_philox_words(42, 7, 8, words, count);
  for (int i = 0; i < count; i += 2) {
    double u = ((double)words[i] + 1) / 4294967296.0, v = words[i + 1] / 4294967296.0;
    double radius = sqrt(-2 * log(u));
    cr_expect(fabs(normals[i] - radius * cos(2 * M_PI * v)) <= 1e-6, "element %d: %g", i, normals[i]);
    cr_expect(fabs(normals[i + 1] - radius * sin(2 * M_PI * v)) <= 1e-6, "element %d: %g", i + 1, normals[i + 1]);
  }
}

// A block whose first word is 0, found by running the rounds backwards: the logarithm must not see 0.
Test(philox, the_largest_normal_is_finite) {
  const uint64_t stream = 0x5c4f93d2060b8b08, first = 4 * 0x1157b9c8ebf8ba29;
  uint32_t word;
  float normal;
  vc_philox_words(1, stream, first, &word, 1);
  vc_philox_normal(1, stream, first, &normal, 1);
  cr_expect_eq(word, 0);
  cr_expect(fabs(normal - sqrt(64 * log(2))) <= 1e-6, "%g", normal);
}

Test(philox, chunks_of_any_size_give_the_same_numbers) {
  enum { count = 4099 };
  static const uint64_t firsts[] = {0, 1, 2, 3, 1021, (1ull << 34) - 5, UINT64_MAX - 6};
  static const size_t chunks[] = {1, 2, 3, 4, 5, 7, 64, 1000, count};
  static float whole[count], parts[count];
  static uint32_t whole_words[count], part_words[count];
  for (size_t f = 0; f < sizeof firsts / sizeof *firsts; f++) {
    vc_philox_normal(9, 3, firsts[f], whole, count);
    vc_philox_words(9, 3, firsts[f], whole_words, count);
    for (size_t c = 0; c < sizeof chunks / sizeof *chunks; c++) {
      for (size_t at = 0; at < count; at += chunks[c]) {
        size_t size = count - at < chunks[c] ? count - at : chunks[c];
        vc_philox_normal(9, 3, firsts[f] + at, parts + at, size);
        vc_philox_words(9, 3, firsts[f] + at, part_words + at, size);
      }
      cr_expect_arr_eq(parts, whole, sizeof whole, "first %zu, chunks of %zu", f, chunks[c]);
      cr_expect_arr_eq(part_words, whole_words, sizeof whole_words, "words, first %zu, chunks of %zu", f, chunks[c]);
    }
  }
}

Test(philox, nothing_is_written_for_a_count_of_zero) {
  float value = 5;
  vc_philox_normal(1, 2, 3, &value, 0);
  cr_expect_eq(value, 5);
}

// Every half of seed and stream counts, and so does the high half of the index.
Test(philox, seeds_streams_and_indices_differ) {
  static const uint64_t cases[][3] = {{1, 2, 4},          {1ull << 32, 2, 4}, {2, 2, 4},          {1, 3, 4},
                                      {1, 2ull << 32, 4}, {1, 2, 8},          {1, 2, 4ull << 33}, {2, 1, 4}};
  enum { cases_count = sizeof cases / sizeof *cases };
  uint32_t words[cases_count][4];
  for (int i = 0; i < cases_count; i++) vc_philox_words(cases[i][0], cases[i][1], cases[i][2], words[i], 4);
  for (int i = 0; i < cases_count; i++)
    for (int k = 0; k < i; k++) cr_expect(memcmp(words[i], words[k], sizeof words[i]), "cases %d and %d", i, k);
}

static int ascending(const void *a, const void *b) {
  float x = *(const float *)a, y = *(const float *)b;
  return (x > y) - (x < y);
}

// With n = 2^20 the standard errors of mean, variance, skewness and kurtosis are sqrt(1, 2, 6, 24) / 1024; the bounds
// are five of them, the one of Kolmogorov and Smirnov holds with probability 1 - 3e-9.
Test(philox, normals_are_normal) {
  enum { count = 1 << 20 };
  float *x = malloc(count * sizeof *x);
  cr_assert(x);
  for (uint64_t seed = 0; seed < 3; seed++) {
    vc_philox_normal(seed, 11, 0, x, count);
    double moment[5] = {0}, lag[5] = {0};
    for (int i = 0; i < count; i++)
      for (int k = 1; k <= 4; k++) {
        moment[k] += pow(x[i], k) / count;
        lag[k] += i >= k ? (double)x[i] * x[i - k] / count : 0;
      }
    double five = 5 / sqrt(count);
    cr_expect(fabs(moment[1]) <= five, "seed %d: mean %g", (int)seed, moment[1]);
    cr_expect(fabs(moment[2] - 1) <= five * sqrt(2), "seed %d: variance %g", (int)seed, moment[2]);
    cr_expect(fabs(moment[3]) <= five * sqrt(15), "seed %d: third moment %g", (int)seed, moment[3]);
    cr_expect(fabs(moment[4] - 3) <= five * sqrt(96), "seed %d: fourth moment %g", (int)seed, moment[4]);
    for (int k = 1; k <= 4; k++)
      cr_expect(fabs(lag[k]) <= five, "seed %d: correlation %g at lag %d", (int)seed, lag[k], k);

    qsort(x, count, sizeof *x, ascending);
    double distance = 0;
    for (int i = 0; i < count; i++) {
      double p = 0.5 * erfc(-x[i] / sqrt(2));
      distance = fmax(distance, fmax(fabs(p - (double)i / count), fabs(p - (i + 1.0) / count)));
    }
    cr_expect(distance <= 3.2 / sqrt(count), "seed %d: Kolmogorov-Smirnov distance %g", (int)seed, distance);
    cr_expect(x[0] <= -4 && x[count - 1] >= 4 && x[count - 1] <= 6.7f, "seed %d: %g .. %g", (int)seed, x[0],
              x[count - 1]);
  }
  free(x);
}

Test(philox, integers_are_uniform_and_in_range) {
  static const uint32_t bounds[] = {1, 2, 3, 10, 100, 1000};
  enum { count = 100000 };
  for (size_t b = 0; b < sizeof bounds / sizeof *bounds; b++) {
    static int seen[1000];
    memset(seen, 0, sizeof seen);
    for (uint64_t i = 0; i < count; i++) {
      uint32_t value = vc_philox_below(5, 1, i, bounds[b]);
      cr_assert_lt(value, bounds[b]);
      seen[value]++;
    }
    double expected = (double)count / bounds[b], chi = 0, freedom = bounds[b] - 1;
    for (uint32_t i = 0; i < bounds[b]; i++) chi += (seen[i] - expected) * (seen[i] - expected) / expected;
    cr_expect(chi <= freedom + 5 * sqrt(2 * freedom) + 20, "bound %u: chi squared %g", bounds[b], chi);
  }
}

Test(philox, integers_use_the_whole_product) {
  static const uint32_t bounds[] = {UINT32_MAX, 1u << 31, 0xfffffffb, 12345};
  for (size_t b = 0; b < sizeof bounds / sizeof *bounds; b++)
    for (uint64_t i = 0; i < 1000; i++) {
      uint32_t w[4];
      vc_philox_words(77, 8, 4 * i, w, 4);
      // floor((w1 2^32 + w0) bound / 2^64) in schoolbook limbs of 16 bits
      uint64_t limb[4] = {w[0] & 0xffff, w[0] >> 16, w[1] & 0xffff, w[1] >> 16};
      uint64_t product[6] = {0}, factor[2] = {bounds[b] & 0xffff, bounds[b] >> 16};
      for (int k = 0; k < 4; k++)
        for (int m = 0; m < 2; m++) {
          uint64_t carry = limb[k] * factor[m];
          for (int at = k + m; carry; at++) {
            carry += product[at];
            product[at] = carry & 0xffff;
            carry >>= 16;
          }
        }
      cr_assert_eq(vc_philox_below(77, 8, i, bounds[b]), (uint32_t)(product[4] | product[5] << 16));
    }
}
