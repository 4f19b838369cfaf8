// Dtypes, shapes and conversions of host tensors.
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "engine/tensor.h"

Test(tensor, every_half_survives_the_round_trip) {
  for (uint32_t h = 0; h < 0x10000; h++) {
    float value = vc_half_to_float((uint16_t)h);
    uint16_t back = vc_float_to_half(value);
    if (isnan(value))
      cr_assert((back & 0x7c00) == 0x7c00 && (back & 0x3ff), "half %04x", h);
    else
      cr_assert_eq(back, h, "half %04x came back as %04x", h, back);
  }
}

Test(tensor, halves_round_to_nearest_even) {
  static const struct {
    float value;
    uint16_t half;
  } cases[] = {{1.0f, 0x3c00},          {1.00048828125f, 0x3c00}, {1.00146484375f, 0x3c02}, {65519.0f, 0x7bff},
               {65520.0f, 0x7c00},      {0x1p-24f, 0x0001},       {0x1p-25f, 0x0000},       {0x1.8p-24f, 0x0002},
               {-0x1.ff8p-15f, 0x83ff}, {-INFINITY, 0xfc00}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    cr_expect_eq(vc_float_to_half(cases[i].value), cases[i].half, "%a gave %04x", cases[i].value,
                 vc_float_to_half(cases[i].value));
}

Test(tensor, bfloats_round_to_nearest_even) {
  cr_expect_eq(vc_float_to_bfloat(1.0f), 0x3f80);
  cr_expect_eq(vc_float_to_bfloat(0x1.01p0f), 0x3f80);
  cr_expect_eq(vc_float_to_bfloat(0x1.03p0f), 0x3f82);
  cr_expect(isnan(vc_bfloat_to_float(vc_float_to_bfloat(NAN))));
  cr_expect_eq(vc_bfloat_to_float(0xc000), -2.0f);
}

Test(tensor, conversions_read_any_alignment) {
  unsigned char raw[1 + 4 * 8];
  int64_t values[4] = {-3, 0, 7, 1LL << 40};
  memcpy(raw + 1, values, sizeof values);
  float out[4];
  vc_to_float(out, raw + 1, VC_I64, 4);
  for (int i = 0; i < 4; i++) cr_expect_eq(out[i], (float)values[i]);
}

Test(tensor, values_that_are_not_finite_are_seen_anywhere) {
  static const vc_dtype dtypes[] = {VC_F32, VC_F16, VC_BF16};
  static const float bad[] = {NAN, INFINITY, -INFINITY};
  enum { COUNT = 9001 };  // more than are looked at together
  static unsigned char raw[1 + 4 * COUNT];
  for (int d = 0; d < 3; d++) {
    size_t size = vc_dtype_size(dtypes[d]);
    cr_expect(vc_finite(raw + 1, dtypes[d], 0));
    for (int k = 0; k < 6; k++) {
      size_t at = (size_t[]){0, 1, 4096, 8191, 8192, COUNT - 1}[k];
      for (int i = 0; i < COUNT; i++) {  // the largest finite values
        uint32_t largest = d == 0 ? 0xff7fffff : d == 1 ? 0xfbff : 0xff7f;
        memcpy(raw + 1 + (size_t)i * size, &largest, size);
      }
      cr_expect(vc_finite(raw + 1, dtypes[d], COUNT), "%s", vc_dtype_name(dtypes[d]));
      float value;
      float one;
      vc_from_float(&one, dtypes[d], &bad[k % 3], 1);
      memcpy(raw + 1 + at * size, &one, size);
      vc_to_float(&value, raw + 1 + at * size, dtypes[d], 1);
      cr_assert(!isfinite(value));
      cr_expect_not(vc_finite(raw + 1, dtypes[d], COUNT), "%s, element %zu", vc_dtype_name(dtypes[d]), at);
    }
  }
}

Test(tensor, absurd_shapes_are_refused) {
  static const int64_t shapes[][3] = {{-1, 2, 3}, {1LL << 62, 4, 1}, {0, 1LL << 62, 1LL << 62}, {1LL << 61, 2, 2}};
  for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
    size_t count, bytes;
    cr_expect_not(vc_shape_count(shapes[i], 3, VC_F32, &count, &bytes), "shape %zu", i);
    vc_tensor t;
    vc_error error;
    cr_expect_eq(vc_tensor_new(&t, VC_F32, 3, shapes[i], &error), VC_INVALID);
  }
}

Test(status, messages_are_one_clean_line) {
  vc_error error;
  cr_expect_eq(vc_fail(&error, VC_FAILED, "bad \x1b[31m name\nhere"), VC_FAILED);
  cr_expect_str_eq(error.message, "bad ?[31m name?here");
  cr_expect_eq(vc_fail_in(&error, VC_INVALID, "file %d", 3), VC_INVALID);
  cr_expect_str_eq(error.message, "file 3: bad ?[31m name?here");
}
