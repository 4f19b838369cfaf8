// Folding and plans: random networks give the same numbers folded and unfolded, no two live tensors share memory, and
// the denoising loop allocates nothing.
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/plan.h"
#include "tests/allocations.h"
#include "tests/random.h"

// ---- weights made up on the spot, from their name

typedef struct made_up {
  vc_tensor tensor[256];
  char *key[256];
  int count;
  const vc_graph *graph;
} made_up;

static const vc_tensor *make_up(void *source, const char *key) {
  made_up *m = source;
  for (int i = 0; i < m->count; i++)
    if (!strcmp(m->key[i], key)) return &m->tensor[i];
  for (int i = 0; i < m->graph->params; i++) {
    const vc_param_info *info = &m->graph->param[i];
    if (strcmp(info->key[0], key)) continue;
    int64_t dim[5] = {info->rows, info->columns, info->kernel[1], info->kernel[2]};
    int rank = info->layout == VC_LAYOUT_CONV ? 4 : info->layout == VC_LAYOUT_LINEAR ? 2 : 1;
    vc_random random = {14695981039346656037u};
    for (const char *c = key; *c; c++) random.state = random.state * 31 + (unsigned char)*c;
    vc_tensor *t = &m->tensor[m->count];
    cr_assert_eq(vc_tensor_new(t, VC_F32, rank, dim, NULL), VC_OK);
    size_t count = vc_tensor_count(t);
    float scale = rank == 1 ? 0.3f : 1.5f / sqrtf((float)count / (float)info->rows);
    for (size_t k = 0; k < count; k++)
      ((float *)t->data)[k] = scale * vc_random_float(&random) + (strstr(key, "norm") ? 1.0f : 0.0f);
    m->key[m->count] = strdup(key);
    return &m->tensor[m->count++];
  }
  return NULL;
}

static void forget(made_up *m) {
  for (int i = 0; i < m->count; i++) {
    vc_tensor_free(&m->tensor[i]);
    free(m->key[i]);
  }
}

// ---- random networks: a pool of values of one resolution from which each new node takes its inputs

enum { POOL = 8, STEPS = 3 };

static vc_value random_node(vc_graph *g, vc_random *r, vc_value *pool, int count, int index) {
  vc_value x = pool[vc_random_below(r, (uint64_t)count)], y = pool[vc_random_below(r, (uint64_t)count)];
  vc_shape xs = vc_graph_shape(g, x), ys = vc_graph_shape(g, y);
  int64_t c_out = 8 * (1 + (int64_t)vc_random_below(r, 3));
  vc_path name = vc_pathf("node%d", index);
  switch (vc_random_below(r, 8)) {
    case 0:
      return vc_graph_linear(g, x, &(vc_linear_spec){.module = {name.text}, .c_out = c_out, .bias = true});
    case 1:
      return vc_graph_conv3x3(g, x, name.text, c_out);
    case 2: {
      vc_value norm = vc_graph_group_norm(g, x, vc_pathf("%s.norm", name.text).text, 4, 1e-5f, index % 2 == 0);
      return vc_graph_activation(g, norm, VC_ACT_SILU);
    }
    case 3:
      return vc_graph_activation(g, x, VC_ACT_GELU);
    case 4: {
      vc_value hidden =
          vc_graph_linear(g, x, &(vc_linear_spec){.module = {name.text}, .c_out = 2 * c_out, .bias = true});
      return vc_graph_activation(g, hidden, VC_ACT_GEGLU);
    }
    case 5:
      return xs.c == ys.c ? vc_graph_add(g, x, y) : vc_graph_concat(g, x, y);
    case 6:
      return xs.c + ys.c <= 64 ? vc_graph_concat(g, x, y) : vc_graph_activation(g, x, VC_ACT_SIGMOID);
    default: {
      vc_value conv = vc_graph_conv3x3(g, x, name.text, xs.c);
      return vc_graph_add(g, x, conv);
    }
  }
}

typedef struct network {
  vc_graph *graph;
  vc_value video, step, out;
} network;

static network random_network(uint64_t seed) {
  vc_random r = {seed};
  network n = {0};
  cr_assert_eq(vc_graph_new(&n.graph, STEPS, NULL), VC_OK);
  vc_shape shape = {2, 2, 5, 3, 8};
  vc_value pool[POOL];
  pool[0] = n.video = vc_graph_input(n.graph, "video", shape, VC_ELEMENT_ACTIVATION, VC_RATE_VIDEO);
  pool[1] = n.step = vc_graph_input(n.graph, "step", shape, VC_ELEMENT_ACTIVATION, VC_RATE_STEP);
  int count = 2, nodes = 6 + (int)vc_random_below(&r, 20);
  for (int i = 0; i < nodes; i++) {
    vc_value made = random_node(n.graph, &r, pool, count, i);
    if (vc_graph_shape(n.graph, made).c > 64) continue;
    if (count < POOL)
      pool[count++] = made;
    else
      pool[vc_random_below(&r, POOL)] = made;
  }
  n.out = vc_graph_concat(n.graph, pool[count - 1], n.step);
  vc_graph_keep(n.graph, n.out);
  return n;
}

static float *run(network n, vc_device *device, bool no_fold, size_t *elements, vc_plan **keep_plan, vc_random seed) {
  made_up source = {.graph = n.graph};
  vc_weights weights = {.name = "made up", .source = &source, .find = make_up};
  vc_parameters *parameters;
  vc_error error = {{0}};
  vc_plan *plan;
  cr_assert_eq(vc_parameters_new(&parameters, &vc_backend_cpu, device, VC_F32, &error), VC_OK);
  cr_assert_eq(vc_parameters_load(parameters, n.graph, &weights, NULL, NULL, &error), VC_OK, "%s", error.message);
  vc_plan_options options = {
      .backend = &vc_backend_cpu, .device = device, .parameters = parameters, .no_fold = no_fold};
  vc_shape out = vc_graph_shape(n.graph, n.out), in = vc_graph_shape(n.graph, n.video);
  cr_assert_eq(vc_plan_new(&plan, n.graph, &options, &error), VC_OK, "%s", error.message);
  size_t count = (size_t)vc_shape_elements(in);
  *elements = (size_t)vc_shape_elements(out);
  float *input = malloc(count * sizeof *input), *result = malloc(*elements * sizeof *result);
  for (int k = 0; k < 2; k++) {
    for (size_t i = 0; i < count; i++) input[i] = vc_random_float(&seed);
    cr_assert_eq(vc_plan_set(plan, k ? n.step : n.video, input, &error), VC_OK, "%s", error.message);
  }
  cr_assert_eq(vc_plan_run_prologue(plan, &error), VC_OK, "%s", error.message);
  // A second step finds what the prologue left: nothing of it may have been overwritten.
  for (int step = 0; step < 2; step++) cr_assert_eq(vc_plan_run_step(plan, step, &error), VC_OK, "%s", error.message);
  cr_assert_eq(vc_plan_get(plan, n.out, result, &error), VC_OK, "%s", error.message);
  free(input);
  forget(&source);
  if (keep_plan)
    *keep_plan = plan;
  else
    vc_plan_free(plan);
  vc_parameters_free(parameters);
  return result;
}

static void check_plan(const vc_plan *p) {
  for (int i = 0; i < p->tensors; i++) {
    const vc_plan_tensor *a = &p->tensor[i];
    cr_assert_leq(a->offset + a->bytes, p->arena_bytes);
    for (int k = 0; k < i; k++) {
      const vc_plan_tensor *b = &p->tensor[k];
      if (a->last < b->first || b->last < a->first) continue;
      cr_assert(a->offset + a->bytes <= b->offset || b->offset + b->bytes <= a->offset, "%s and %s overlap", a->name,
                b->name);
    }
  }
  cr_assert_geq(p->arena_bytes, p->bound_bytes);
}

Test(plan, random_networks_give_the_same_folded_and_unfolded) {
  vc_device *device;
  cr_assert_eq(vc_cpu_open(&device, 2, NULL), VC_OK);
  int folded = 0;
  for (uint64_t seed = 1; seed <= 60; seed++) {
    size_t count, same;
    vc_plan *plan;
    float *plain = run(random_network(seed), device, true, &count, NULL, (vc_random){seed});
    float *merged = run(random_network(seed), device, false, &same, &plan, (vc_random){seed});
    cr_assert_eq(count, same);
    double difference = 0, size = 0;
    for (size_t i = 0; i < count; i++) {
      difference += ((double)plain[i] - merged[i]) * ((double)plain[i] - merged[i]);
      size += (double)plain[i] * plain[i];
    }
    cr_expect(sqrt(difference / size) <= 1e-5, "seed %d: %g", (int)seed, sqrt(difference / size));
    check_plan(plan);
    folded += plan->folded.activations + plan->folded.residuals + plan->folded.concatenations;
    vc_plan_free(plan);
    free(plain);
    free(merged);
  }
  cr_expect_gt(folded, 100, "only %d folds in 60 networks", folded);
  vc_backend_cpu.close(device);
}

// ---- what is folded, and what must not be

static vc_graph *small_graph(vc_value *conv, vc_value *activated, vc_value *sum) {
  vc_graph *g;
  cr_assert_eq(vc_graph_new(&g, 1, NULL), VC_OK);
  vc_value x = vc_graph_input(g, "x", (vc_shape){1, 1, 4, 4, 8}, VC_ELEMENT_ACTIVATION, VC_RATE_STEP);
  *conv = vc_graph_conv3x3(g, x, "conv", 8);
  *activated = vc_graph_activation(g, *conv, VC_ACT_SILU);
  *sum = vc_graph_add(g, x, *activated);
  vc_graph_keep(g, *sum);
  return g;
}

Test(fold, an_activation_and_a_residual_go_into_the_convolution) {
  vc_value conv, activated, sum;
  vc_fold_counts counts;
  vc_graph *g = small_graph(&conv, &activated, &sum);
  vc_fold(g, &counts);
  cr_expect_eq(counts.activations, 1);
  cr_expect_eq(counts.residuals, 1);
  cr_expect_eq(g->node[0].out, sum);
  cr_expect_eq(g->node[0].activation, VC_ACT_SILU);
  vc_graph_free(g);
}

Test(fold, a_kept_value_stays) {
  vc_value conv, activated, sum;
  vc_fold_counts counts;
  vc_graph *g = small_graph(&conv, &activated, &sum);
  vc_graph_keep(g, conv);
  vc_fold(g, &counts);
  cr_expect_eq(counts.activations, 0);
  cr_expect_eq(counts.residuals, 0);
  vc_graph_free(g);
}

Test(fold, a_value_with_two_readers_stays) {
  vc_value conv, activated, sum;
  vc_fold_counts counts;
  vc_graph *g = small_graph(&conv, &activated, &sum);
  vc_graph_keep(g, vc_graph_activation(g, conv, VC_ACT_RELU));
  vc_fold(g, &counts);
  cr_expect_eq(counts.activations, 0);
  vc_graph_free(g);
}

Test(fold, a_residual_that_comes_later_is_added_separately) {
  vc_graph *g;
  vc_fold_counts counts;
  cr_assert_eq(vc_graph_new(&g, 1, NULL), VC_OK);
  vc_value x = vc_graph_input(g, "x", (vc_shape){1, 1, 4, 4, 8}, VC_ELEMENT_ACTIVATION, VC_RATE_STEP);
  vc_value conv = vc_graph_conv3x3(g, x, "conv", 8);
  vc_value later = vc_graph_activation(g, x, VC_ACT_RELU);
  vc_graph_keep(g, vc_graph_add(g, conv, later));
  vc_fold(g, &counts);
  cr_expect_eq(counts.residuals, 0);
  vc_graph_free(g);
}

// ---- the denoising loop

Test(plan, a_step_allocates_nothing) {
  if (!vc_allocations_counted()) cr_skip_test("allocations cannot be counted under a sanitizer");
  vc_device *device;
  vc_plan *plan;
  size_t count;
  vc_error error;
  cr_assert_eq(vc_cpu_open(&device, 2, NULL), VC_OK);
  network n = random_network(7);
  made_up source = {.graph = n.graph};
  vc_weights weights = {.name = "made up", .source = &source, .find = make_up};
  vc_parameters *parameters;
  cr_assert_eq(vc_parameters_new(&parameters, &vc_backend_cpu, device, VC_F32, NULL), VC_OK);
  cr_assert_eq(vc_parameters_load(parameters, n.graph, &weights, NULL, NULL, &error), VC_OK, "%s", error.message);
  vc_plan_options options = {.backend = &vc_backend_cpu, .device = device, .parameters = parameters, .no_fold = false};
  cr_assert_eq(vc_plan_new(&plan, n.graph, &options, &error), VC_OK, "%s", error.message);
  float *zeros = calloc((size_t)vc_shape_elements(vc_graph_shape(n.graph, n.video)), sizeof *zeros);
  cr_assert_eq(vc_plan_set(plan, n.video, zeros, NULL), VC_OK);
  cr_assert_eq(vc_plan_set(plan, n.step, zeros, NULL), VC_OK);
  cr_assert_eq(vc_plan_run_prologue(plan, NULL), VC_OK);
  count = vc_allocations();
  void *volatile probe = malloc(1);  // volatile, or the compiler removes the pair
  free(probe);
  cr_expect_eq(vc_allocations(), count + 1, "the counter does not count");
  count = vc_allocations();
  for (int step = 0; step < STEPS; step++) cr_assert_eq(vc_plan_run_step(plan, step, &error), VC_OK);
  cr_expect_eq(vc_allocations(), count, "%zu allocations in %d steps", vc_allocations() - count, STEPS);
  free(zeros);
  forget(&source);
  vc_plan_free(plan);
  vc_parameters_free(parameters);
  vc_backend_cpu.close(device);
}

Test(plan, a_plan_without_parameters_does_not_run) {
  vc_device *device;
  vc_error error;
  cr_assert_eq(vc_cpu_open(&device, 1, NULL), VC_OK);
  vc_value a, b, c;
  vc_graph *g = small_graph(&a, &b, &c);
  vc_plan *plan;
  vc_plan_options options = {.backend = &vc_backend_cpu, .device = device, .parameters = NULL, .no_fold = false};
  cr_assert_eq(vc_plan_new(&plan, g, &options, &error), VC_OK, "%s", error.message);
  cr_expect_eq(vc_plan_run_step(plan, 0, &error), VC_INVALID, "a plan without parameters must not run");
  vc_plan_free(plan);
  vc_backend_cpu.close(device);
}

static bool yes(void *opaque) {
  (void)opaque;
  return true;
}

Test(plan, cancelled_runs_say_so) {
  vc_device *device;
  vc_error error;
  vc_plan *plan;
  size_t count;
  cr_assert_eq(vc_cpu_open(&device, 1, NULL), VC_OK);
  free(run(random_network(3), device, false, &count, &plan, (vc_random){3}));
  plan->cancelled = yes;
  cr_expect_eq(vc_plan_run_step(plan, 0, &error), VC_INTERRUPTED);
  vc_plan_free(plan);
  vc_backend_cpu.close(device);
}

// ---- parameters

Test(parameters, every_problem_is_in_one_message) {
  vc_device *device;
  vc_value a, b, c;
  vc_error error = {{0}};
  vc_parameters *parameters;
  cr_assert_eq(vc_cpu_open(&device, 1, NULL), VC_OK);
  vc_graph *g = small_graph(&a, &b, &c);
  made_up source = {.graph = g};
  vc_weights weights = {.name = "some.safetensors", .source = &source, .find = make_up};
  cr_assert_eq(vc_parameters_new(&parameters, &vc_backend_cpu, device, VC_F32, NULL), VC_OK);
  vc_tensor *bias = (vc_tensor *)(uintptr_t)make_up(&source, "conv.bias");
  bias->dim[0] = 7;
  source.key[source.count] = strdup("conv.weight");
  source.tensor[source.count++] = (vc_tensor){.dtype = VC_I32, .rank = 4, .dim = {8, 8, 3, 3}};
  cr_expect_eq(vc_parameters_load(parameters, g, &weights, NULL, NULL, &error), VC_FAILED);
  cr_expect(strstr(error.message, "some.safetensors") && strstr(error.message, "conv.bias is [7], expected [8]") &&
                strstr(error.message, "conv.weight is I32"),
            "%s", error.message);
  bias->dim[0] = 8;
  forget(&source);
  vc_parameters_free(parameters);
  vc_graph_free(g);
  vc_backend_cpu.close(device);
}

Test(parameters, a_nan_is_refused_by_name) {
  static const float values[] = {NAN, INFINITY, -INFINITY};
  for (size_t i = 0; i < 3; i++) {
    vc_device *device;
    vc_value a, b, c;
    vc_error error = {{0}};
    vc_parameters *parameters;
    cr_assert_eq(vc_cpu_open(&device, 1, NULL), VC_OK);
    vc_graph *g = small_graph(&a, &b, &c);
    made_up source = {.graph = g};
    vc_weights weights = {.name = "some.safetensors", .source = &source, .find = make_up};
    cr_assert_eq(vc_parameters_new(&parameters, &vc_backend_cpu, device, VC_F32, NULL), VC_OK);
    ((float *)make_up(&source, "conv.weight")->data)[571] = values[i];
    cr_expect_eq(vc_parameters_load(parameters, g, &weights, NULL, NULL, &error), VC_FAILED);
    cr_expect(strstr(error.message, "conv.weight holds a NaN"), "%s", error.message);
    forget(&source);
    vc_parameters_free(parameters);
    vc_graph_free(g);
    vc_backend_cpu.close(device);
  }
}
