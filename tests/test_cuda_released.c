// The released architecture on the CUDA backend at 16 frames of 256 x 256: that a job fits into 4 GB, and that no op of
// a step takes a slow path. Plans alone: nothing is computed, no weights are needed.
#include <criterion/criterion.h>

#ifndef VC_CUDA_LINKED
Test(cuda_released, plans) {
  cr_skip_test("this build has no CUDA backend; CUDA_ON_HOST=1 has");
}
#else
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/plan_network.h"
#include "engine/plan.h"
#include "kernels/cuda/cuda_open.h"

typedef struct planned {
  vc_plan *plan;
  size_t weight_bytes;
} planned;

static planned plan_of(vc_device *device, vc_plan_network network, int64_t frames, vc_dtype dtype) {
  vc_model_config config = vc_model_config_released();
  vc_plan_shape shape = {
      .videos = 1, .frames = frames, .height = 256, .width = 256, .steps = 50, .guided = true, .sampler = true};
  vc_error error = {{0}};
  vc_graph *graph;
  planned p = {NULL, 0};
  cr_assert_eq(vc_plan_conditions("all", &config, &shape, &error), VC_OK, "%s", error.message);
  cr_assert_eq(vc_plan_describe(&graph, network, &config, &shape, &error), VC_OK, "%s", error.message);
  cr_assert_eq(vc_parameters_size(graph, &vc_backend_cuda, dtype, &p.weight_bytes, &error), VC_OK, "%s", error.message);
  vc_plan_options options = {.backend = &vc_backend_cuda, .device = device, .dtype = dtype};
  cr_assert_eq(vc_plan_new(&p.plan, graph, &options, &error), VC_OK, "%s", error.message);
  return p;
}

static vc_device *opened(const char *generation) {
  vc_device *device;
  vc_error error = {{0}};
  setenv("CUDA_ON_HOST_ARCH", generation, 1);
  cr_assert_eq(vc_cuda_open(&device, 0, VC_CUDA_OWN, &error), VC_OK, "%s", error.message);
  return device;
}

Test(cuda_released, a_job_fits_into_four_gigabytes) {
  static const struct {
    vc_plan_network network;
    int64_t frames;  // as many as the engine decodes at once
  } cases[] = {{VC_PLAN_UNET, 16}, {VC_PLAN_VAE_DECODER, 8}, {VC_PLAN_VAE_ENCODER, 8}, {VC_PLAN_CLIP_TEXT, 1}};
  static const char *const generations[] = {"80", "90"};
  for (size_t g = 0; g < 2; g++) {
    vc_device *device = opened(generations[g]);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
      planned p = plan_of(device, cases[i].network, cases[i].frames, VC_F16);
      double bytes = (double)p.weight_bytes + (double)p.plan->arena_bytes;
      fprintf(stderr, "sm_%s, network %zu: %.0f MiB of weights, %.0f MiB of activations and workspace\n",
              generations[g], i, (double)p.weight_bytes / 0x1p20, (double)p.plan->arena_bytes / 0x1p20);
      // Beside them: the libraries' workspace, and what a context takes.
      cr_expect(bytes <= 4e9 - 0.5e9, "network %zu needs %.0f MB", i, bytes / 1e6);
      vc_plan_free(p.plan);
    }
    vc_backend_cuda.close(device);
  }
}

// All linear layers and convolutions of a step are on tensor cores, and all but a hundredth of their arithmetic is in
// the kernels made for the generation.
Test(cuda_released, the_step_is_on_tensor_cores) {
  static const struct {
    const char *generation, *variant;
    vc_dtype dtype;
  } cases[] = {{"90", "wgmma", VC_F16}, {"90", "wgmma", VC_BF16}, {"80", "mma", VC_F16}};
  for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
    vc_device *device = opened(cases[c].generation);
    planned p = plan_of(device, VC_PLAN_UNET, 16, cases[c].dtype);
    double all = 0, fast = 0;
    for (int i = p.plan->prologue_ops; i < p.plan->ops; i++) {
      const vc_plan_op *op = &p.plan->op[i];
      if (op->kind != VC_OP_LINEAR && op->kind != VC_OP_CONV) continue;
      const char *chosen = vc_cuda_chosen(device, op->kind, &op->arguments);
      cr_expect(strcmp(chosen, "simt") && strcmp(chosen, "none"), "%s (%s) is left to %s", op->label,
                vc_op_name(op->kind), chosen);
      all += op->flops;
      if (!strcmp(chosen, cases[c].variant)) fast += op->flops;
    }
    cr_expect(fast >= 0.99 * all, "%.1f %% of the arithmetic is done by %s", 100 * fast / all, cases[c].variant);
    vc_plan_free(p.plan);
    vc_backend_cuda.close(device);
  }
}
#endif
