#include "tests/cuda_ops.h"

#ifdef VC_CUDA_LINKED
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "tests/op_fixture.h"

const char *const cuda_variants[CUDA_VARIANTS] = {"simt", "mma", "wgmma", "cublaslt", "cudnn"};

vc_device *cuda_open_device(const char *arch, vc_cuda_library library) {
  vc_device *device;
  vc_error error = {{0}};
  setenv("CUDA_ON_HOST_ARCH", arch, 1);
  cr_assert_eq(vc_cuda_open(&device, 0, library, &error), VC_OK, "%s", error.message);
  return device;
}

bool cuda_on_host(const vc_device *device) {
  return !strcmp(device->name, "CUDA on the host");
}
const cuda_shape cuda_small_linear = {"linear", VC_OP_LINEAR, .rows = 70, .c0 = 64, .c_out = 48, .bias = true};
const cuda_shape cuda_small_conv = {.name = "conv",
                                    .kind = VC_OP_CONV,
                                    .n = 1,
                                    .f = 2,
                                    .h = 6,
                                    .w = 5,
                                    .c0 = 16,
                                    .c_out = 24,
                                    .kernel = {1, 3, 3},
                                    .pad = {0, 1, 1},
                                    .out = {2, 6, 5},
                                    .bias = true};
static void *give(cuda_op *r, vc_dtype dtype, uint32_t seed, int64_t count, float scale) {
  vc_error error;
  size_t bytes = (size_t)count * vc_dtype_size(dtype);
  float *values = op_values(seed, (size_t)count, scale, 0);
  void *stored = malloc(bytes + 1), *memory;
  vc_from_float(stored, dtype, values, (size_t)count);
  cr_assert_eq(vc_cuda_allocate(r->device, bytes, &memory, &error), VC_OK, "%s", error.message);
  cr_assert_eq(vc_cuda_stage(r->device, memory, stored, bytes, &error), VC_OK, "%s", error.message);
  r->memory[r->buffers++] = memory;
  free(stored);
  free(values);
  return memory;
}

static void *give_weight(cuda_op *r, const cuda_shape *s, int64_t rows, int64_t columns) {
  vc_error error;
  size_t bytes;
  int64_t taps = s->kind == VC_OP_CONV ? s->kernel[0] * s->kernel[1] * s->kernel[2] : 1;
  float *values = op_values(3, (size_t)(rows * columns * taps), 0.25f, 0);
  vc_pack pack = {.layout = s->kind == VC_OP_CONV ? VC_LAYOUT_CONV : VC_LAYOUT_LINEAR,
                  .dtype = r->dtype,
                  .stacked = 1,
                  .rows = rows,
                  .columns = columns,
                  .kernel = {s->kernel[0], s->kernel[1], s->kernel[2]},
                  .source = {{.dtype = VC_F32, .rank = 3, .dim = {rows, columns, taps}, .data = values}}};
  void *memory;
  cr_assert_eq(vc_cuda_pack_bytes(&pack, &bytes, &error), VC_OK, "%s", error.message);
  cr_assert_eq(vc_cuda_allocate(r->device, bytes, &memory, &error), VC_OK, "%s", error.message);
  cr_assert_eq(vc_cuda_pack(r->device, &pack, memory, &error), VC_OK, "%s", error.message);
  r->memory[r->buffers++] = memory;
  free(values);
  return memory;
}

static void describe(cuda_op *r, const cuda_shape *s) {
  if (s->kind == VC_OP_LINEAR) {
    r->op.linear = (vc_linear){.dtype = r->dtype,
                               .weight_dtype = r->dtype,
                               .rows = s->rows,
                               .c = {s->c0, s->c1},
                               .x_stride = s->x_stride ? s->x_stride : s->c0,
                               .c_out = s->c_out,
                               .epilogue.activation = s->activation,
                               .epilogue.rows_per_addend = s->addend ? s->rows : 0};
    return;
  }
  int64_t stride = s->stride ? s->stride : 1;
  r->op.conv =
      (vc_conv){.dtype = r->dtype,
                .weight_dtype = r->dtype,
                .n = s->n,
                .f = s->f,
                .h = s->h,
                .w = s->w,
                .c = {s->c0, s->c1},
                .upsample = s->upsample ? s->upsample : 1,
                .kernel = {s->kernel[0], s->kernel[1], s->kernel[2]},
                .stride = {s->kernel[1] > 1 ? 1 : stride, s->kernel[1] > 1 ? stride : 1, s->kernel[2] > 1 ? stride : 1},
                .dilation = {1, 1, 1},
                .pad = {s->pad[0], s->pad[1], s->pad[2]},
                .groups = 1,
                .f_out = s->out[0],
                .h_out = s->out[1],
                .w_out = s->out[2],
                .c_out = s->c_out,
                .epilogue.activation = s->activation,
                .epilogue.rows_per_addend = s->addend ? s->out[1] * s->out[2] : 0};
}

cuda_op cuda_op_plan(vc_device *device, const cuda_shape *s, vc_dtype dtype) {
  cuda_op r = {.device = device, .kind = s->kind, .dtype = dtype};
  describe(&r, s);
  return r;
}

void cuda_op_prepare(cuda_op *r, size_t *workspace) {
  vc_error error = {{0}};
  vc_status status = vc_backend_cuda.prepare(r->device, r->kind, &r->op, workspace, &error);
  cr_expect_eq(status, VC_OK, "%s", error.message);
}

cuda_op cuda_op_make(vc_device *device, const cuda_shape *s, vc_dtype dtype) {
  cuda_op r = cuda_op_plan(device, s, dtype);
  bool linear = s->kind == VC_OP_LINEAR;
  vc_linear *l = &r.op.linear;
  vc_conv *c = &r.op.conv;
  size_t workspace = 0;
  cuda_op_prepare(&r, &workspace);
  int64_t in = linear ? s->rows : s->n * s->f * s->h * s->w;
  int64_t rows = linear ? s->rows : s->n * s->out[0] * s->out[1] * s->out[2];
  int64_t columns = s->activation == VC_ACT_GEGLU ? 2 * s->c_out : s->c_out;
  const void **x = linear ? l->x : c->x;
  vc_epilogue *e = linear ? &l->epilogue : &c->epilogue;
  x[0] = give(&r, dtype, 1, in * (linear ? l->x_stride : s->c0), 1);
  x[1] = s->c1 ? give(&r, dtype, 2, in * s->c1, 1) : NULL;
  *(linear ? &l->weight : &c->weight) = give_weight(&r, s, columns, s->c0 + s->c1);
  e->bias = s->bias ? give(&r, VC_F32, 4, columns, 1) : NULL;
  e->residual = s->residual ? give(&r, dtype, 5, rows * s->c_out, 1) : NULL;
  e->addend = s->addend ? give(&r, dtype, 6, rows / e->rows_per_addend * s->c_out, 1) : NULL;
  *(linear ? &l->workspace : &c->workspace) = give(&r, VC_F32, 7, (int64_t)workspace / 4 + 1, 1);
  r.out_count = (size_t)(rows * s->c_out);
  *(linear ? &l->out : &c->out) = give(&r, dtype, 8, rows * s->c_out, 1);
  return r;
}

void cuda_op_free(cuda_op *r) {
  for (int i = 0; i < r->buffers; i++) vc_cuda_release(r->device, r->memory[i]);
  r->buffers = 0;
}

void *cuda_op_out(const cuda_op *r) {
  return r->kind == VC_OP_LINEAR ? r->op.linear.out : r->op.conv.out;
}

float *cuda_op_result(cuda_op *r) {
  vc_error error;
  size_t bytes = r->out_count * vc_dtype_size(r->dtype);
  void *stored = malloc(bytes);
  float *values = malloc(r->out_count * sizeof *values);
  cr_assert_eq(vc_backend_cuda.download(r->device, stored, cuda_op_out(r), bytes, &error), VC_OK, "%s", error.message);
  cr_assert_eq(vc_backend_cuda.wait(r->device, &error), VC_OK, "%s", error.message);
  vc_to_float(values, stored, r->dtype, r->out_count);
  free(stored);
  return values;
}

int cuda_variant_index(const char *name) {
  for (int i = 0; i < CUDA_VARIANTS; i++)
    if (!strcmp(cuda_variants[i], name)) return i;
  return -1;
}
void cuda_expect_choice(vc_device *device, const cuda_shape *s, vc_dtype dtype, const char *want) {
  size_t workspace;
  cuda_op r = cuda_op_plan(device, s, dtype);
  cuda_op_prepare(&r, &workspace);
  const char *got = vc_cuda_chosen(device, s->kind, &r.op);
  cr_expect_str_eq(got, want, "%s in %s on sm_%d: %s, not %s", s->name, vc_dtype_name(dtype), device->major * 10, got,
                   want);
}

const cuda_shape cuda_measurable[CUDA_MEASURABLE] = {
    {"linear, measured", VC_OP_LINEAR, .rows = 1200, .c0 = 128, .c_out = 128, .bias = true},
    {"linear, measured with GEGLU", VC_OP_LINEAR, .rows = 150, .c0 = 64, .c_out = 96, .activation = VC_ACT_GEGLU},
    {.name = "conv, measured",
     .kind = VC_OP_CONV,
     .n = 1,
     .f = 2,
     .h = 20,
     .w = 20,
     .c0 = 64,
     .c_out = 64,
     .kernel = {1, 3, 3},
     .pad = {0, 1, 1},
     .out = {2, 20, 20},
     .addend = true},
    {.name = "conv along frames, measured",
     .kind = VC_OP_CONV,
     .n = 1,
     .f = 6,
     .h = 16,
     .w = 16,
     .c0 = 64,
     .c_out = 64,
     .kernel = {3, 1, 1},
     .pad = {1, 0, 0},
     .out = {6, 16, 16}},
};

#endif
