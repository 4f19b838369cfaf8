// What `bench` is made of: descriptions of ops, the ops of a plan, references in double, made-up weights, comparisons.
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench/kernels_print.h"
#include "bench/made_up.h"
#include "bench/op_memory.h"
#include "bench/op_operands.h"
#include "bench/op_reference.h"
#include "bench/step.h"
#include "cli/asset_source.h"

// ---- descriptions

// One or more of every kind, with everything that an op can have.
static const char *const ops[] = {
    "linear rows=7 c=12 c_out=5",
    "linear rows=7 c=12+20 c_out=48 bias activation=silu rows_per_addend=4 residual",
    "linear rows=9 c=16 c_out=40 x_stride=24 bias activation=geglu residual",
    "conv n=2 f=3 h=5 w=4 c=6 c_out=7 kernel=1x3x3 pad=0x1x1 bias",
    "conv n=2 f=3 h=5 w=4 c=6+10 c_out=20 kernel=1x3x3 pad=0x1x1 bias rows_per_addend=60 residual",
    "conv n=1 f=2 h=5 w=4 c=6 c_out=7 kernel=1x3x3 pad=0x1x1 upsample=2 bias activation=relu",
    "conv n=2 f=5 h=3 w=4 c=8 c_out=12 kernel=3x1x1 pad=1x0x0 bias residual",
    "conv n=1 f=1 h=9 w=8 c=4 c_out=6 kernel=1x3x3 stride=1x2x2 w_out=4",
    "conv n=1 f=2 h=9 w=8 c=16 c_out=16 kernel=1x3x3 pad=0x2x2 dilation=1x2x2 groups=16",
    "group_norm frames=3 rows=50 c=64",
    "group_norm frames=2 rows=400 c=40+24 groups=8 silu",
    "layer_norm rows=6 c=100",
    "attention outer=2 inner=3 queries=9 keys=7 heads=2 head_dim=24",
    "attention outer=1 inner=2 queries=70 keys=70 heads=1 head_dim=16 causal",
    ("attention outer=2 inner=4 queries=3 keys=3 heads=2 head_dim=8 q_stride=576/48/192 k_stride=576/48/192 "
     "v_stride=576/48/192 out_stride=192/16/64"),
    "attention outer=2 inner=3 queries=4 keys=5 heads=2 head_dim=8 k_stride=160/0/32 v_stride=160/0/32",
    "activation rows=5 c=33 activation=gelu",
    "activation rows=5 c=33 activation=geglu",
    "sum n=2 f=3 rows=35 inputs=3 one_frame=01000000",
    "copy outer=4 x_outer=2 rows=3 c=5",
    "copy outer=2 rows=3 c=5 out_stride_outer=40 out_stride_row=9",
    "copy outer=2 rows=3 c=5 x_stride_row=0",
    "gather count=11 c=6 entries=20 positions=4",
    "pool frames=2 h=7 w=5 c=3 h_out=3 w_out=2",
    "sinusoid count=5 c=16",
    "sampler count=100",
    "sampler count=100 guided noise",
    "conv_transpose frames=2 h=5 w=4 c=6 c_out=7 kernel=4 stride=2 pad=1 bias activation=relu",
    "max_pool frames=2 h=7 w=6 c=5",
    "resize frames=2 h=5 w=4 c=3 h_out=9 w_out=10",
    "resize frames=2 h=5 w=4 c=3 h_out=3 w_out=7 align_corners",
    "gate rows=5 c=9",
};
enum { OPS = sizeof ops / sizeof *ops };

static void parse(const char *text, vc_op_kind *kind, vc_op_arguments *arguments) {
  vc_error error = {{0}};
  cr_assert_eq(vc_op_parse(text, kind, arguments, &error), VC_OK, "%s: %s", text, error.message);
}

Test(bench, descriptions_come_back_as_they_were) {
  bool seen[VC_OP_COUNT] = {false};
  for (int i = 0; i < OPS; i++) {
    vc_op_kind kind;
    vc_op_arguments arguments;
    char text[VC_OP_TEXT_MAX];
    parse(ops[i], &kind, &arguments);
    vc_op_text(kind, &arguments, text);
    cr_expect_str_eq(text, ops[i]);
    seen[kind] = true;
  }
  for (int k = 0; k < VC_OP_COUNT; k++) cr_expect(seen[k], "no %s in the list", vc_op_name((vc_op_kind)k));
}

Test(bench, descriptions_that_say_nothing_are_refused) {
  static const struct {
    const char *text, *words;
  } cases[] = {
      {"", "begins with an op"},
      {"matmul rows=3", "not 'matmul'"},
      {"linear lines=3", "linear has no 'lines'"},
      {"linear rows=", "'rows='"},
      {"linear rows=-3", "'rows=-3'"},
      {"linear rows=3x", "'rows=3x'"},
      {"linear rows", "'rows'"},
      {"linear rows=99999999999999999999", "rows"},
      {"linear bias=1", "'bias=1'"},
      {"linear c=1+2+3", "'c=1+2+3'"},
      {"linear activation=softmax", "'activation=softmax'"},
      {"conv kernel=3x3", "'kernel=3x3'"},
      {"sum one_frame=2", "'one_frame=2'"},
      {"attention q_stride=1/2", "'q_stride=1/2'"},
  };
  char longest[400];
  vc_op_kind kind;
  vc_op_arguments arguments;
  vc_error error;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    cr_expect_eq(vc_op_parse(cases[i].text, &kind, &arguments, &error), VC_INVALID, "'%s'", cases[i].text);
    cr_expect(strstr(error.message, cases[i].words), "'%s': %s", cases[i].text, error.message);
  }
  memset(longest, ' ', sizeof longest);
  memcpy(longest, "linear", 6);
  longest[sizeof longest - 1] = 0;
  cr_expect_eq(vc_op_parse(longest, &kind, &arguments, &error), VC_INVALID);
}

// ---- measuring, and what it says about accuracy

static vc_kernels_options quick(vc_device *device) {
  return (vc_kernels_options){.backend = &vc_backend_cpu, .device = device, .dtype = VC_F32, .runs = 3};
}

static vc_status measure(vc_kernel_result *out, const char *text, const vc_kernels_options *o, vc_error *error) {
  vc_op_case what = {.in_step = 1};
  parse(text, &what.kind, &what.arguments);
  vc_op_text(what.kind, &what.arguments, what.text);
  return vc_kernel_measure(out, &what, o, error);
}

static vc_device *open_device(int threads) {
  vc_device *device;
  vc_error error;
  cr_assert_eq(vc_cpu_open(&device, threads, &error), VC_OK, "%s", error.message);
  return device;
}

Test(bench, every_kind_of_op_agrees_with_its_reference) {
  vc_device *device = open_device(2);
  vc_kernels_options o = quick(device);
  for (int i = 0; i < OPS; i++) {
    vc_kernel_result r;
    vc_error error = {{0}};
    o.cold = i % 8 == 0;
    o.variants = i % 4 == 0;
    cr_assert_eq(measure(&r, ops[i], &o, &error), VC_OK, "%s: %s", ops[i], error.message);
    cr_expect(r.error <= 2e-6, "%s: error %g", ops[i], r.error);
    cr_expect(r.timing.runs == 3 && r.timing.median > 0 && r.timing.low <= r.timing.high, "%s", ops[i]);
    cr_expect(!o.variants == !r.variants, "%s: %d variants", ops[i], r.variants);
  }
  vc_backend_cpu.close(device);
}

// A backend whose layer norm writes what the device points to, over and over.
static float wrong_value;

static vc_status wrong_layer_norm(vc_device *device, const vc_layer_norm *op, vc_error *error) {
  (void)device;
  (void)error;
  for (int64_t i = 0; i < op->rows * op->c; i++) ((float *)op->out)[i] = wrong_value;
  return VC_OK;
}

Test(bench, wrong_results_have_a_large_error_or_none) {
  vc_device *device = open_device(1);
  vc_backend wrong = vc_backend_cpu;
  vc_kernels_options o = quick(device);
  vc_kernel_result r;
  vc_error error;
  wrong.layer_norm = wrong_layer_norm;
  o.backend = &wrong;
  cr_assert_eq(measure(&r, "layer_norm rows=6 c=100", &o, &error), VC_OK);
  cr_expect(r.error > 0.99 && r.error < 1.01, "zeros: %g", r.error);
  wrong_value = NAN;
  cr_assert_eq(measure(&r, "layer_norm rows=6 c=100", &o, &error), VC_OK);
  cr_expect(isnan(r.error), "NaN: %g", r.error);
  wrong.layer_norm = NULL;
  cr_expect_eq(measure(&r, "layer_norm rows=6 c=100", &o, &error), VC_UNSUPPORTED);
  cr_expect(strstr(error.message, "layer_norm rows=6 c=100"), "%s", error.message);
  vc_backend_cpu.close(device);
}

Test(bench, shapes_that_no_backend_takes_are_refused) {
  static const char *const bad[] = {
      "linear",
      "linear rows=4 c=4",
      "conv n=1 f=1 h=4 w=4 c=4 c_out=4 groups=2",
      "conv n=1 f=1 h=2147483648 w=2147483648 c=2147483648 c_out=1",
      "group_norm frames=1 rows=4 c=10 groups=4",
      "attention outer=1 inner=1 queries=4 keys=4 heads=1 head_dim=4000",
      "attention outer=2147483648 inner=1 queries=2147483648 keys=4 heads=1 head_dim=4",
      "layer_norm rows=2147483648 c=2147483648",
      "attention outer=9 inner=9 queries=4 keys=4 heads=1 head_dim=4 q_stride=2147483648/2147483648/2147483648",
  };
  vc_device *device = open_device(1);
  vc_kernels_options o = quick(device);
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    vc_kernel_result r;
    vc_error error;
    cr_expect_neq(measure(&r, bad[i], &o, &error), VC_OK, "'%s'", bad[i]);
  }
  vc_backend_cpu.close(device);
}

// ---- the ops of a plan

static vc_plan *plan_of(vc_device *device, const vc_model_config *config, vc_plan_network network) {
  vc_plan_shape shape = {.videos = 1,
                         .frames = config->frames,
                         .height = config->height,
                         .width = config->width,
                         .steps = 50,
                         .guided = true,
                         .sampler = true};
  vc_error error = {{0}};
  vc_graph *graph;
  vc_plan *plan;
  cr_assert_eq(vc_plan_conditions("all", config, &shape, &error), VC_OK, "%s", error.message);
  cr_assert_eq(vc_plan_describe(&graph, network, config, &shape, &error), VC_OK, "%s", error.message);
  vc_plan_options options = {.backend = &vc_backend_cpu, .device = device};
  cr_assert_eq(vc_plan_new(&plan, graph, &options, &error), VC_OK, "%s", error.message);
  return plan;
}

static void expect_covered(const vc_plan *plan, const char *name) {
  vc_op_cases cases;
  vc_error error;
  int step = 0, prologue = 0, kinds[VC_OP_COUNT] = {0};
  double flops = 0, planned = 0;
  cr_assert_eq(vc_op_cases_of_plan(&cases, plan, &error), VC_OK);
  for (int i = 0; i < cases.count; i++) {
    const vc_op_case *c = &cases.item[i];
    vc_op_kind kind;
    vc_op_arguments arguments;
    char again[VC_OP_TEXT_MAX];
    step += c->in_step;
    prologue += c->in_prologue;
    kinds[c->kind] += c->in_step + c->in_prologue;
    flops += (c->in_step + c->in_prologue) * vc_op_flops(c->kind, &c->arguments);
    cr_expect(strlen(c->text) < VC_OP_TEXT_MAX - 1, "%s: cut off: %s", name, c->text);
    for (int k = 0; k < i; k++) cr_expect(strcmp(c->text, cases.item[k].text), "%s: twice: %s", name, c->text);
    parse(c->text, &kind, &arguments);  // what is printed can be given to --shape
    vc_op_text(kind, &arguments, again);
    cr_expect_str_eq(again, c->text);
    cr_expect_eq(vc_op_flops(kind, &arguments), vc_op_flops(c->kind, &c->arguments), "%s", c->text);
  }
  for (int i = 0; i < plan->ops; i++) {
    kinds[plan->op[i].kind]--;
    planned += plan->op[i].flops;
  }
  for (int k = 0; k < VC_OP_COUNT; k++) cr_expect_eq(kinds[k], 0, "%s: %s", name, vc_op_name((vc_op_kind)k));
  cr_expect_eq(step, plan->ops - plan->prologue_ops, "%s", name);
  cr_expect_eq(prologue, plan->prologue_ops, "%s", name);
  cr_expect(fabs(flops - planned) <= 1e-9 * planned, "%s: %g FLOP, planned %g", name, flops, planned);
  vc_op_cases_free(&cases);
}

Test(bench, the_ops_of_every_network_are_covered) {
  static const char *const names[] = {"unet",       "vae-decoder", "vae-encoder", "clip-text",
                                      "clip-image", "midas",       "pidinet",     "sketch-simplification"};
  vc_model_config config = vc_model_config_released();
  vc_device *device = open_device(1);
  for (int n = VC_PLAN_UNET; n <= VC_PLAN_SIMPLIFICATION; n++) {
    vc_plan *plan = plan_of(device, &config, (vc_plan_network)n);
    expect_covered(plan, names[n]);
    vc_plan_free(plan);
  }
  vc_backend_cpu.close(device);
}

Test(bench, filters) {
  vc_model_config config = vc_model_config_released();
  vc_device *device = open_device(1);
  vc_plan *plan = plan_of(device, &config, VC_PLAN_UNET);
  vc_op_cases cases;
  vc_error error;
  cr_assert_eq(vc_op_cases_of_plan(&cases, plan, &error), VC_OK);
  int all = cases.count;
  vc_op_cases_filter(&cases, NULL, true);
  cr_expect_eq(cases.count, all);
  vc_op_cases_filter(&cases, NULL, false);
  cr_expect(cases.count < all);
  vc_op_cases_filter(&cases, "group_norm", false);
  cr_expect(cases.count > 10);
  for (int i = 0; i < cases.count; i++) cr_expect_eq(cases.item[i].kind, VC_OP_GROUP_NORM);
  vc_op_cases_filter(&cases, "no such op", false);
  cr_expect_eq(cases.count, 0);
  vc_op_cases_free(&cases);
  vc_plan_free(plan);
  vc_backend_cpu.close(device);
}

// Bytes of operands, by hand.
Test(bench, bytes_of_an_op) {
  static const struct {
    const char *text;
    double elements;
  } cases[] = {
      {"linear rows=7 c=12 c_out=5", 7 * 12 + 12 * 5 + 7 * 5},
      {"linear rows=9 c=16 c_out=40 x_stride=24 bias activation=geglu residual", 9 * 16 + 16 * 80 + 80 + 2 * 9 * 40},
      {"attention outer=2 inner=3 queries=4 keys=5 heads=2 head_dim=8 k_stride=160/0/32 v_stride=160/0/32",
       2 * (2 * 3 * 4 * 16) + 2 * (2 * 5 * 16)},
      {"copy outer=4 x_outer=2 rows=3 c=5", 2 * 15 + 4 * 15},
      {"sampler count=100", 100 + 13 + 4 * 200 + 100},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    vc_op_kind kind;
    vc_op_arguments arguments;
    parse(cases[i].text, &kind, &arguments);
    cr_expect_eq(vc_op_bytes(kind, &arguments, &vc_backend_cpu, VC_F32), 4 * cases[i].elements, "%s: %g", cases[i].text,
                 vc_op_bytes(kind, &arguments, &vc_backend_cpu, VC_F32));
  }
}

// ---- levels, timings, comparisons

Test(bench, levels_of_modules) {
  static const struct {
    const char *module;
    int level;
  } cases[] = {{"input_blocks.0.0", 0},
               {"input_blocks.2.1.proj_in", 0},
               {"input_blocks.3.op", 0},
               {"input_blocks.4.0", 1},
               {"input_blocks.11.0", 3},
               {"middle_block.2.norm", 3},
               {"output_blocks.0.0", 3},
               {"output_blocks.2.1", 3},
               {"output_blocks.3.0", 2},
               {"output_blocks.11.2", 0},
               {"out.2", 0},
               {"sampler", 0},
               {"output_blocks.12.0", -1},
               {"input_blocks.99.0", -1},
               {"repeat", -1},
               {"input_blocks.-1.0", -1},
               {"pre_image_condition.0", -1},
               {"", -1}};
  vc_model_config config = vc_model_config_released();
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    cr_expect_eq(vc_step_level(cases[i].module, &config.unet), cases[i].level, "%s: %d", cases[i].module,
                 vc_step_level(cases[i].module, &config.unet));
}

Test(bench, quartiles) {
  vc_samples s = {0};
  vc_timing t = vc_samples_timing(&s);
  cr_expect(t.runs == 0 && isnan(t.median));
  vc_samples_add(&s, 3);
  t = vc_samples_timing(&s);
  cr_expect(t.median == 3 && t.low == 3 && t.high == 3 && vc_timing_spread(&t) == 0);
  vc_samples_add(&s, 1);
  vc_samples_add(&s, 2);
  vc_samples_add(&s, 100);
  vc_samples_add(&s, 4);
  t = vc_samples_timing(&s);
  cr_expect(t.runs == 5 && t.median == 3 && t.low == 2 && t.high == 4 && t.least == 1 && t.most == 100);
  cr_expect_float_eq(vc_timing_spread(&t), 2.0 / 3, 1e-12);
  for (int i = 0; i < 2 * VC_SAMPLES_MAX; i++) vc_samples_add(&s, 5);
  cr_expect_eq(s.count, VC_SAMPLES_MAX);
}

Test(bench, a_change_counts_when_it_exceeds_the_spread) {
  static const struct {
    double old[3], now[3];  // median, low, high
    vc_change change;
  } cases[] = {
      {{1, 0.99, 1.01}, {1.1, 1.09, 1.11}, VC_CHANGE_SLOWER},   {{1, 0.99, 1.01}, {0.9, 0.89, 0.91}, VC_CHANGE_FASTER},
      {{1, 0.99, 1.01}, {1.01, 1.0, 1.02}, VC_CHANGE_NONE},     {{1, 0.8, 1.2}, {1.1, 1.09, 1.11}, VC_CHANGE_NONE},
      {{1, 0.99, 1.01}, {1.1, 0.9, 1.3}, VC_CHANGE_NONE},       {{1, 0.9, 1.1}, {1.3, 1.29, 1.31}, VC_CHANGE_SLOWER},
      {{1, 0.9, 1.1}, {1 / 1.3, 0.75, 0.78}, VC_CHANGE_FASTER}, {{1, 1, 1}, {1, 1, 1}, VC_CHANGE_NONE},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    const double *a = cases[i].old, *b = cases[i].now;
    struct vc_kernel_before old = {.text = "x", .timing = {.median = a[0], .low = a[1], .high = a[2]}};
    vc_kernels_before before = {1, &old};
    vc_kernel_result now = {.timing = {.median = b[0], .low = b[1], .high = b[2]}};
    double ratio;
    strcpy(now.what.text, "x");
    cr_expect_eq(vc_kernel_change(&now, &before, &ratio), cases[i].change, "case %zu", i);
    cr_expect_float_eq(ratio, b[0] / a[0], 1e-12);
    strcpy(now.what.text, "y");
    cr_expect_eq(vc_kernel_change(&now, &before, &ratio), VC_CHANGE_NEW);
    cr_expect(isnan(ratio));
    cr_expect_eq(vc_kernel_change(&now, NULL, &ratio), VC_CHANGE_NEW);
  }
}

// ---- made-up weights

Test(bench, made_up_weights_are_whole_and_the_same_every_time) {
  vc_model_config config;
  vc_model model;
  vc_error error = {{0}};
  cr_assert_eq(vc_model_open(&model, NULL, vc_asset_source_program, &error), VC_OK, "%s", error.message);
  config = model.config;
  vc_model_close(&model);
  vc_device *device = open_device(1);
  vc_plan *plan = plan_of(device, &config, VC_PLAN_UNET);
  vc_made_up *one, *other;
  cr_assert_eq(vc_made_up_new(&one, plan->graph, &error), VC_OK);
  cr_assert_eq(vc_made_up_new(&other, plan->graph, &error), VC_OK);
  vc_weights a = vc_made_up_weights(one), b = vc_made_up_weights(other);
  cr_expect_eq(vc_parameters_audit(plan->graph, &a, NULL, NULL), 0);
  for (int i = 0; i < plan->graph->params; i++) {
    const char *key = plan->graph->param[i].key[0];
    const vc_tensor *x = a.find(a.source, key), *y = b.find(b.source, key);
    double squares = 0;
    cr_assert(x && y && vc_tensor_bytes(x) == vc_tensor_bytes(y) && !memcmp(x->data, y->data, vc_tensor_bytes(x)));
    for (size_t k = 0; k < vc_tensor_count(x); k++) {
      squares += (double)((float *)x->data)[k] * (double)((float *)x->data)[k];
      cr_assert(isfinite(((float *)x->data)[k]), "%s", key);
    }
    bool product = plan->graph->param[i].layout == VC_LAYOUT_LINEAR || plan->graph->param[i].layout == VC_LAYOUT_CONV;
    cr_expect(!product || squares > 0, "%s is all zero", key);
  }
  cr_expect_null(a.find(a.source, "no.such.weight"));
  vc_made_up_free(one);
  vc_made_up_free(other);
  vc_plan_free(plan);
  vc_backend_cpu.close(device);
}
