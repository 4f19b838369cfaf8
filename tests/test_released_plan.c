// The released architecture at 16 frames of 256 x 256: how tight its memory plan is, what the prologue takes out of the
// steps, and what guidance shares. Nothing is computed; no weights are needed.
#include <criterion/criterion.h>
#include <string.h>

#include "cli/plan_network.h"
#include "engine/plan.h"

static vc_plan *plan_of(vc_device *device, vc_plan_network network, int64_t frames, bool guided) {
  vc_model_config config = vc_model_config_released();
  vc_plan_shape shape = {.videos = 1, .frames = frames, .height = 256, .width = 256, .steps = 50, .guided = guided};
  vc_error error = {{0}};
  vc_graph *graph;
  vc_plan *plan;
  shape.sampler = true;
  cr_assert_eq(vc_plan_conditions("all", &config, &shape, &error), VC_OK, "%s", error.message);
  cr_assert_eq(vc_plan_describe(&graph, network, &config, &shape, &error), VC_OK, "%s", error.message);
  vc_plan_options options = {.backend = &vc_backend_cpu, .device = device};
  cr_assert_eq(vc_plan_new(&plan, graph, &options, &error), VC_OK, "%s", error.message);
  return plan;
}

Test(released_plan, arenas_are_within_a_tenth_of_the_lower_bound) {
  static const struct {
    vc_plan_network network;
    int64_t frames;
    bool guided;
  } cases[] = {{VC_PLAN_UNET, 16, true},        {VC_PLAN_UNET, 16, false},       {VC_PLAN_UNET, 8, true},
               {VC_PLAN_VAE_DECODER, 1, false}, {VC_PLAN_VAE_DECODER, 4, false}, {VC_PLAN_VAE_ENCODER, 1, false},
               {VC_PLAN_CLIP_TEXT, 1, true},    {VC_PLAN_CLIP_IMAGE, 1, false}};
  vc_device *device;
  cr_assert_eq(vc_cpu_open(&device, 1, NULL), VC_OK);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    vc_plan *plan = plan_of(device, cases[i].network, cases[i].frames, cases[i].guided);
    cr_expect((double)plan->arena_bytes <= 1.1 * (double)plan->bound_bytes, "case %zu: %zu bytes, bound %zu", i,
              plan->arena_bytes, plan->bound_bytes);
    vc_plan_free(plan);
  }
  vc_backend_cpu.close(device);
}

static double flops(const vc_plan *plan, int from, int to) {
  double sum = 0;
  for (int i = from; i < to; i++) sum += plan->op[i].flops;
  return sum;
}

// Text-only, a pass is 2443.5 GMAC as released. In the steps remain neither the keys and values of the context (31.9)
// nor the time embedding (0.03); the condition encoders of the case below are in the prologue as well.
Test(released_plan, what_does_not_change_is_computed_once) {
  vc_device *device;
  cr_assert_eq(vc_cpu_open(&device, 1, NULL), VC_OK);
  vc_plan *plan = plan_of(device, VC_PLAN_UNET, 16, false);
  double step = flops(plan, plan->prologue_ops, plan->ops) / 2e9;
  cr_expect(step >= 2443.5 - 31.9 - 0.1 - 1 && step <= 2443.5 - 31.9 + 1, "a step takes %.1f GMAC", step);
  for (int i = 0; i < plan->ops; i++) {
    bool context = strstr(plan->op[i].label, "_embedding") || strstr(plan->op[i].label, "time_embed") ||
                   strstr(plan->op[i].label, "pre_image_condition") || strstr(plan->op[i].label, "emb_layers");
    if (context) cr_expect_lt(i, plan->prologue_ops, "%s is in the steps", plan->op[i].label);
  }
  vc_plan_free(plan);
  vc_backend_cpu.close(device);
}

// Both guidance passes are the same until the first cross-attention.
Test(released_plan, guidance_costs_less_than_two_passes) {
  vc_device *device;
  cr_assert_eq(vc_cpu_open(&device, 1, NULL), VC_OK);
  vc_plan *one = plan_of(device, VC_PLAN_UNET, 16, false), *two = plan_of(device, VC_PLAN_UNET, 16, true);
  double ratio = flops(two, two->prologue_ops, two->ops) / flops(one, one->prologue_ops, one->ops);
  cr_expect(ratio > 1.8 && ratio < 1.95, "%.3f", ratio);
  vc_plan_free(one);
  vc_plan_free(two);
  vc_backend_cpu.close(device);
}
