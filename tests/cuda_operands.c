// See cuda_operands.h.
#include "tests/cuda_operands.h"

#ifdef VC_CUDA_LINKED
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cuda/cuda.h"
#include "tests/op_fixture.h"

enum { STEP = 3, GUARD = 4096, BUFFERS = 16 };

static void *buffers[BUFFERS];
static int buffer_count;

vc_device *cuda_open_sm90(void) {
  vc_device *device;
  vc_error error = {{0}};
  cr_assert_eq(vc_cuda_open(&device, 0, VC_CUDA_OWN, &error), VC_OK, "%s", error.message);
  if (device->major == 9) return device;
  vc_backend_cuda.close(device);
  cr_skip_test("this device is no sm_90");
}

void *cuda_get(vc_device *device, size_t bytes) {
  vc_error error = {{0}};
  cr_assert_lt(buffer_count, BUFFERS);
  void **p = &buffers[buffer_count++];
  cr_assert_eq(vc_backend_cuda.allocate(device, bytes, p, &error), VC_OK, "%s", error.message);
  return *p;
}

void *cuda_put(vc_device *device, const float *from, size_t count, vc_dtype dtype) {
  vc_error error = {{0}};
  size_t bytes = count * vc_dtype_size(dtype);
  void *to = cuda_get(device, bytes), *stored = malloc(bytes);
  vc_from_float(stored, dtype, from, count);
  cr_assert_eq(vc_backend_cuda.upload(device, to, stored, bytes, &error), VC_OK, "%s", error.message);
  free(stored);
  return to;
}

void *cuda_put_weight(vc_device *device, const float *weight, int64_t rows, int64_t columns, const int64_t *kernel,
                      vc_dtype dtype) {
  vc_error error = {{0}};
  vc_pack pack = {.layout = kernel ? VC_LAYOUT_CONV : VC_LAYOUT_LINEAR,
                  .dtype = dtype,
                  .stacked = 1,
                  .rows = rows,
                  .columns = columns};
  int64_t taps = 1;
  for (int i = 0; i < 3 && kernel; i++) taps *= pack.kernel[i] = kernel[i];
  pack.source[0] = (vc_tensor){.dtype = VC_F32, .rank = 3, .dim = {rows, columns, taps}, .data = (void *)weight};
  size_t bytes;
  cr_assert_eq(vc_backend_cuda.pack_bytes(&pack, &bytes, &error), VC_OK, "%s", error.message);
  void *to = cuda_get(device, bytes);
  cr_assert_eq(vc_backend_cuda.pack(device, &pack, to, &error), VC_OK, "%s", error.message);
  return to;
}

void cuda_release_all(vc_device *device) {
  while (buffer_count) vc_backend_cuda.release(device, buffers[--buffer_count]);
}

// ---- epilogues

cuda_finish_operands cuda_make_finish(vc_device *device, const cuda_finish *f, int64_t rows, int64_t c_out,
                                      vc_dtype dtype) {
  cuda_finish_operands o = {.on_device = {.activation = f->activation}};
  size_t biases = (size_t)c_out * (f->activation == VC_ACT_GEGLU ? 2 : 1), outputs = (size_t)(rows * c_out);
  if (f->bias) o.on_device.bias = cuda_put(device, o.bias = op_values(11, biases, 1, 0), biases, VC_F32);
  if (f->residual) o.on_device.residual = cuda_put(device, o.residual = op_values(12, outputs, 2, 0), outputs, dtype);
  if (f->rows_per_addend) {
    size_t count = (size_t)(((rows - 1) / f->rows_per_addend + 1) * c_out + STEP * f->addend_step);
    static const int32_t step = STEP;
    vc_error error = {{0}};
    o.on_device.addend = cuda_put(device, o.addend = op_values(13, count, 1, 0), count, dtype);
    o.on_device.rows_per_addend = f->rows_per_addend;
    o.on_device.addend_step = f->addend_step;
    void *at = cuda_get(device, sizeof step);
    cr_assert_eq(vc_backend_cuda.upload(device, at, &step, sizeof step, &error), VC_OK);
    o.on_device.step = at;
  }
  return o;
}

void cuda_free_finish(cuda_finish_operands *o) {
  free(o->bias);
  free(o->addend);
  free(o->residual);
}

double cuda_finished(const cuda_finish *f, const cuda_finish_operands *o, int64_t row, int64_t column, int64_t c_out,
                     double v, double gate) {
  if (f->bias) v += (double)o->bias[column];
  if (f->activation == VC_ACT_GEGLU) {
    v *= op_activated(VC_ACT_GELU, gate + (f->bias ? (double)o->bias[c_out + column] : 0));
  } else {
    if (f->rows_per_addend) v += (double)o->addend[STEP * f->addend_step + row / f->rows_per_addend * c_out + column];
    v = op_activated(f->activation, v);
  }
  return f->residual ? v + (double)o->residual[row * c_out + column] : v;
}

// ---- running and comparing

// Output with guards of the pattern 0xA5 before and behind it.
void *cuda_put_guarded(vc_device *device, size_t bytes) {
  vc_error error = {{0}};
  char *to = cuda_get(device, bytes + 2 * GUARD), *pattern = malloc(bytes + 2 * GUARD);
  memset(pattern, 0xA5, bytes + 2 * GUARD);
  cr_assert_eq(vc_backend_cuda.upload(device, to, pattern, bytes + 2 * GUARD, &error), VC_OK);
  free(pattern);
  return to + GUARD;
}

void cuda_check(vc_device *device, const char *name, vc_dtype dtype, const void *out, const double *want,
                size_t count) {
  vc_error error = {{0}};
  size_t bytes = count * 2;
  unsigned char *got = malloc(bytes + 2 * GUARD);
  cr_assert_eq(vc_backend_cuda.download(device, got, (const char *)out - GUARD, bytes + 2 * GUARD, &error), VC_OK);
  cr_assert_eq(vc_backend_cuda.wait(device, &error), VC_OK, "%s", error.message);
  for (size_t i = 0; i < GUARD; i++)
    cr_assert(got[i] == 0xA5 && got[GUARD + bytes + i] == 0xA5, "%s %s: wrote outside of its output", name,
              vc_dtype_name(dtype));
  float *values = malloc(count * sizeof *values);
  vc_to_float(values, got + GUARD, dtype, count);
  double rounding = dtype == VC_F16 ? 0x1p-11 : 0x1p-8, norm = 0, largest = 0;
  double l2 = op_error(values, want, count);
  cr_assert(l2 <= 0.75 * rounding, "%s %s: relative L2 error %g", name, vc_dtype_name(dtype), l2);
  for (size_t i = 0; i < count; i++) {
    norm += want[i] * want[i];
    double off = fabs((double)values[i] - want[i]) - rounding * fabs(want[i]);
    if (!(off <= largest)) largest = off;
  }
  cr_assert(largest <= 1e-4 * (1 + sqrt(norm / (double)count)), "%s %s: an element is off by %g more than rounding",
            name, vc_dtype_name(dtype), largest);
  free(values);
  free(got);
}
#endif
