// Work on a CUDA device: recording, faults, failures, marks, two devices at once.
#include <criterion/criterion.h>

#ifndef VC_CUDA_LINKED
Test(cuda_stream, everything) {
  cr_skip_test("this build has no CUDA backend; CUDA_ON_HOST=1 has");
}
#else
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/cuda_fixture.h"

static const vc_backend *const b = &vc_backend_cuda;

enum { COUNT = 1000 };

// out = 2 x, or in place.
static vc_sum doubling(const float *x, float *out) {
  return (vc_sum){.dtype = VC_F32, .n = 1, .f = 1, .rows = COUNT, .inputs = 1, .x = {x}, .scale = {2}, .out = out};
}

static void run(vc_device *device, const vc_sum *op) {
  vc_error error;
  size_t workspace;
  cr_assert_eq(b->prepare(device, VC_OP_SUM, op, &workspace, &error), VC_OK, "%s", error.message);
  cr_assert_eq(vc_op_run(b, device, VC_OP_SUM, op, &error), VC_OK, "%s", error.message);
}

static float *filled(vc_device *device, float value) {
  float host[COUNT], *memory = cuda_allocated(device, sizeof host);
  for (int i = 0; i < COUNT; i++) host[i] = value;
  cuda_upload(device, memory, host, sizeof host);
  return memory;
}

static void expect_all(vc_device *device, const float *memory, float value, const char *what) {
  float host[COUNT];
  int wrong = 0;
  cuda_download(device, host, memory, sizeof host);
  for (int i = 0; i < COUNT; i++) wrong += !(host[i] == value);
  cr_expect_eq(wrong, 0, "%s: %d values are not %g but %g", what, wrong, (double)value, (double)host[0]);
}

Test(cuda_stream, an_index_outside_the_table_is_reported_once) {
  static const int32_t bad[] = {-1, 4, INT32_MAX};
  vc_device *device = cuda_opened();
  float table[4 * 2] = {1, 2, 3, 4, 5, 6, 7, 8};
  float *device_table = cuda_allocated(device, sizeof table), *out = cuda_allocated(device, 6 * sizeof *out);
  int32_t *index = cuda_allocated(device, 3 * sizeof *index);
  cuda_upload(device, device_table, table, sizeof table);
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    const int32_t indices[3] = {3, bad[i], 1};
    vc_error error = {{0}};
    char words[32];
    snprintf(words, sizeof words, "index %d ", (int)bad[i]);
    cuda_upload(device, index, indices, sizeof indices);
    vc_gather op = {
        .dtype = VC_F32, .count = 3, .c = 2, .entries = 4, .index = index, .table = device_table, .out = out};
    cr_expect_eq(vc_op_run(b, device, VC_OP_GATHER, &op, &error), VC_OK);
    cr_expect_eq(b->wait(device, &error), VC_FAILED);
    cr_expect(strstr(error.message, words) && strstr(error.message, "gather"), "%s", error.message);
    cr_expect_eq(b->wait(device, &error), VC_OK, "the device can be used again");
  }
  b->release(device, index);
  b->release(device, out);
  b->release(device, device_table);
  b->close(device);
}

Test(cuda_stream, a_record_is_done_as_often_as_it_is_replayed) {
  vc_device *device = cuda_opened();
  float *x = filled(device, 1), *y = filled(device, 0);
  vc_sum twice = doubling(x, x), copy = doubling(x, y);
  void *record = NULL, *other = NULL;
  vc_error error;
  run(device, &twice);
  expect_all(device, x, 2, "before");
  cr_assert_eq(b->record_begin(device, &error), VC_OK, "%s", error.message);
  run(device, &twice);
  run(device, &copy);
  cr_assert_eq(b->record_end(device, &record, &error), VC_OK, "%s", error.message);
  cr_assert_not_null(record);
  expect_all(device, x, 2, "what is recorded is not done");
  cr_expect_eq(b->replay(device, record, &error), VC_OK, "%s", error.message);
  expect_all(device, x, 4, "replayed");
  expect_all(device, y, 8, "replayed");
  cr_assert_eq(b->record_begin(device, &error), VC_OK);
  run(device, &copy);
  cr_assert_eq(b->record_end(device, &other, &error), VC_OK);
  cr_expect_eq(b->replay(device, record, &error), VC_OK);
  cr_expect_eq(b->replay(device, record, &error), VC_OK);
  expect_all(device, x, 16, "three times");
  b->forget(device, record);
  cr_expect_eq(b->replay(device, other, &error), VC_OK);
  expect_all(device, y, 32, "the other record");
  b->forget(device, other);
  b->forget(device, NULL);
  b->release(device, x);
  b->release(device, y);
  b->close(device);
}

Test(cuda_stream, failures_of_recording_are_reported) {
  vc_device *device = cuda_opened();
  float *x = filled(device, 1);
  vc_sum twice = doubling(x, x);
  void *record = device;
  vc_error error = {{0}};
  cr_expect_eq(b->record_end(device, &record, &error), VC_FAILED, "nothing was begun");
  cr_expect_null(record);
  cr_expect(strstr(error.message, "recording"), "%s", error.message);
  setenv(cuda_fail, "cudaStreamBeginCapture", 1);
  cr_expect_eq(b->record_begin(device, &error), VC_FAILED);
  setenv(cuda_fail, "cudaGraphInstantiate", 1);
  cr_assert_eq(b->record_begin(device, &error), VC_OK);
  run(device, &twice);
  record = device;
  cr_expect_eq(b->record_end(device, &record, &error), VC_NO_MEMORY);
  cr_expect_null(record);
  unsetenv(cuda_fail);
  run(device, &twice);
  expect_all(device, x, 2, "after failures");
  b->release(device, x);
  b->close(device);
}

Test(cuda_stream, a_failed_launch_is_reported_and_not_counted) {
  vc_device *device = cuda_opened();
  float *x = filled(device, 1);
  vc_sum twice = doubling(x, x);
  vc_error error = {{0}};
  uint64_t before = vc_cuda_dispatched(device, VC_OP_SUM, "simt");
  setenv(cuda_fail, "launch", 1);
  cr_expect_eq(vc_op_run(b, device, VC_OP_SUM, &twice, &error), VC_FAILED);
  unsetenv(cuda_fail);
  cr_expect(strstr(error.message, "sum"), "%s", error.message);
  cr_expect_eq(vc_cuda_dispatched(device, VC_OP_SUM, "simt"), before);
  run(device, &twice);
  cr_expect_eq(vc_cuda_dispatched(device, VC_OP_SUM, "simt"), before + 1);
  b->release(device, x);
  b->close(device);
}

Test(cuda_stream, marks_measure_time) {
  vc_device *device = cuda_opened();
  float *x = filled(device, 1);
  vc_sum twice = doubling(x, x);
  vc_error error;
  for (int i = 0; i < 70; i++) {
    cr_assert_eq(b->mark(device, i, &error), VC_OK, "%s", error.message);
    if (i < 3) run(device, &twice);
  }
  cr_assert_eq(b->wait(device, &error), VC_OK);
  for (int i = 0; i < 69; i++) {
    double seconds = -1;
    cr_expect_eq(b->between(device, i, i + 1, &seconds, &error), VC_OK);
    cr_expect(seconds >= 0 && seconds < 60, "%g s", seconds);
  }
  b->release(device, x);
  b->close(device);
}

Test(cuda_stream, two_devices_side_by_side) {
  vc_device *first = cuda_opened(), *second = cuda_opened();
  float *x = filled(first, 1), *y = filled(second, 3);
  vc_sum of_x = doubling(x, x), of_y = doubling(y, y);
  void *record;
  vc_error error;
  cr_assert_eq(b->record_begin(first, &error), VC_OK);
  run(first, &of_x);
  run(second, &of_y);  // done at once: only the first device records
  cr_assert_eq(b->record_end(first, &record, &error), VC_OK);
  expect_all(second, y, 6, "the second device");
  expect_all(first, x, 1, "the first device");
  cr_expect_eq(b->replay(first, record, &error), VC_OK);
  expect_all(first, x, 2, "the first device");
  cr_expect_eq(vc_cuda_dispatched(second, VC_OP_SUM, "simt"), 1);
  b->forget(first, record);
  b->release(first, x);
  b->close(first);
  run(second, &of_y);
  expect_all(second, y, 12, "the second device alone");
  b->release(second, y);
  b->close(second);
}
#endif
