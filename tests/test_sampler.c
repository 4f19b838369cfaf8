// Samplers at work: whole trajectories against the textbook form of each algorithm, and the order of each.
#include <criterion/criterion.h>
#include <math.h>

#include "engine/sampler.h"

enum { width = 6, most = 1001 };

typedef struct vector {
  double v[width];
} vector;

// A model that predicts noise: smooth, not linear, and it mixes the elements. `t` is the timestep, fractional or not.
static vector fake_model(vector x, double t) {
  vector eps;
  for (int j = 0; j < width; j++) eps.v[j] = 0.6 * tanh(x.v[j] + 0.3 * x.v[(j + 1) % width]) + 0.3 * cos(0.004 * t + j);
  return eps;
}

static vector start(void) {
  return (vector){{0.3, -1.2, 0.9, 2.1, -0.4, 0.05}};
}

// Noise of step i: fixed numbers of about unit size.
static vector fake_noise(int i) {
  vector z;
  for (int j = 0; j < width; j++) z.v[j] = 1.4 * sin(12.9898 * (i + 1) + 78.233 * j);
  return z;
}

// sum of c[k] * x[k]
static vector combine(int count, const double *c, const vector *x) {
  vector out = {{0}};
  for (int k = 0; k < count; k++)
    for (int j = 0; j < width; j++) out.v[j] += c[k] * x[k].v[j];
  return out;
}

static vector mix(double a, vector x, double b, vector y) {
  return combine(2, (double[]){a, b}, (vector[]){x, y});
}

static double distance(vector a, vector b) {
  double difference = 0, norm = 0;
  for (int j = 0; j < width; j++) {
    difference += (a.v[j] - b.v[j]) * (a.v[j] - b.v[j]);
    norm += b.v[j] * b.v[j];
  }
  return sqrt(difference / norm);
}

static vc_schedule released(void) {
  vc_schedule s;
  cr_assert_eq(vc_schedule_make(VC_SCHEDULE_STEPS, VC_SCHEDULE_FIRST_BETA, VC_SCHEDULE_LAST_BETA, &s, NULL), VC_OK);
  return s;
}

static vc_sampler_plan make(vc_sampler_kind kind, int steps, double eta, const vc_sampler_options *options) {
  vc_sampler_plan plan;
  vc_error error = {""};
  cr_assert_eq(vc_sampler_make(kind, steps, eta, options, &plan, &error), VC_OK, "%s", error.message);
  cr_assert(plan.steps >= 1 && plan.steps < most);
  cr_assert_eq(plan.kind, kind);
  return plan;
}

typedef struct history {
  vector x, m1, m2, x_last;
} history;

// One row as kernels/ops.h defines it.
static void apply(const vc_sampler_row *row, vector eps, vector z, history *h) {
  vector m0 = mix(row->x0[0], h->x, row->x0[1], eps);
  double c[5], n[6];
  for (int i = 0; i < 5; i++) {
    c[i] = row->corrected[i];
    n[i] = row->next[i];
  }
  n[5] = row->noise;
  vector corrected = combine(5, c, (vector[]){h->x, h->x_last, m0, h->m1, h->m2});
  h->x = combine(6, n, (vector[]){corrected, m0, h->m1, h->m2, eps, z});
  h->m2 = h->m1;
  h->m1 = m0;
  h->x_last = corrected;
}

// The whole trajectory of a plan: out[0] = x, out[i] after i steps.
static void follow(const vc_sampler_plan *plan, vector x, vector *out) {
  history h = {.x = x};
  out[0] = x;
  for (int i = 0; i < plan->steps; i++) {
    apply(&plan->rows[i], fake_model(h.x, plan->t[i]), fake_noise(i), &h);
    out[i + 1] = h.x;
  }
}

// Rows are floats, 2^-24 each; the factor is what dozens to a thousand steps make of it.
static void expect_same(const char *name, int n, int steps, const vector *got, const vector *expected) {
  for (int i = 0; i <= steps; i++) {
    double error = distance(got[i], expected[i]);
    cr_assert(error <= 5e-6, "%s, %d steps: relative L2 %g after step %d", name, n, error, i);
  }
}

static const int step_counts[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 20, 30, 50, 600, 1000};
enum { step_counts_count = sizeof step_counts / sizeof *step_counts };

// Equation 12 of arXiv 2010.02502, with the released timesteps.
static int textbook_ddim(const vc_schedule *s, int n, double eta, vector x, vector *out, double *t_out) {
  int stride = 1000 / n, count = 0;
  for (int t = 0; t < 1000; t += stride) count++;
  out[0] = x;
  for (int i = 0; i < count; i++) {
    int t = (count - 1 - i) * stride + 1;
    if (t > 999) t = 999;
    double a = s->alphas_cumprod[t], a_prev = s->alphas_cumprod[t - stride > 0 ? t - stride : 0];
    double sigma = eta * sqrt((1 - a_prev) / (1 - a)) * sqrt(1 - a / a_prev);
    vector eps = fake_model(x, t), x0 = mix(1 / sqrt(a), x, -sqrt(1 - a) / sqrt(a), eps);
    vector direction = mix(sqrt(1 - a_prev - sigma * sigma), eps, sigma, fake_noise(i));
    x = mix(sqrt(a_prev), x0, 1, direction);
    out[i + 1] = x;
    t_out[i] = t;
  }
  return count;
}

Test(sampler, ddim_equals_the_textbook) {
  static const double etas[] = {0, 0.3, 1};
  static vector got[most], expected[most];
  static double t[most];
  vc_schedule s = released();
  for (int c = 0; c < step_counts_count; c++)
    for (int e = 0; e < 3; e++) {
      int n = step_counts[c], steps = textbook_ddim(&s, n, etas[e], start(), expected, t);
      vc_sampler_plan plan = make(VC_SAMPLER_DDIM, n, etas[e], NULL);
      cr_assert_eq(plan.steps, steps, "%d steps: %d", n, plan.steps);
      cr_expect_eq(plan.needs_noise, etas[e] > 0, "%d steps, eta %g", n, etas[e]);
      for (int i = 0; i < steps; i++) {
        cr_assert_eq(plan.t[i], t[i], "%d steps, step %d: %g", n, i, plan.t[i]);
        cr_assert(fabs(plan.time[i] - (t[i] + 1) / 1000) <= 1e-12, "%d steps, step %d: %g", n, i, plan.time[i]);
        cr_assert_eq(plan.rows[i].noise != 0, etas[e] > 0, "%d steps, step %d", n, i);
      }
      follow(&plan, start(), got);
      expect_same("ddim", n, steps, got, expected);
      vc_sampler_plan_free(&plan);
      cr_expect(!plan.t && !plan.time && !plan.rows);
    }
  vc_schedule_free(&s);
}

Test(sampler, inversion_equals_the_textbook) {
  static vector got[most], expected[most];
  vc_schedule s = released();
  for (int c = 0; c < step_counts_count; c++) {
    int n = step_counts[c], stride = 1000 / n, steps = 0;
    vector x = expected[0] = start();
    for (int t = 0; t < 1000; t += stride) {
      double a = s.alphas_cumprod[t], a_next = t + stride < 1000 ? s.alphas_cumprod[t + stride] : 0;
      vector eps = fake_model(x, t), x0 = mix(1 / sqrt(a), x, -sqrt(1 - a) / sqrt(a), eps);
      expected[++steps] = x = mix(sqrt(a_next), x0, sqrt(1 - a_next), eps);
    }
    vc_sampler_plan plan = make(VC_SAMPLER_DDIM_INVERSION, n, 0, NULL);
    cr_assert_eq(plan.steps, steps, "%d steps: %d", n, plan.steps);
    for (int i = 0; i < steps; i++) cr_assert_eq(plan.t[i], i * stride, "%d steps, step %d: %g", n, i, plan.t[i]);
    cr_expect(plan.signal == 1 && plan.noise == 0 && !plan.needs_noise);
    follow(&plan, start(), got);
    expect_same("ddim_inversion", n, steps, got, expected);
    vc_sampler_plan_free(&plan);
  }
  vc_schedule_free(&s);
}

typedef struct grid {
  double time[most], alpha[most], sigma[most], lambda[most];
} grid;

static void fill(grid *g, const vc_schedule *s, vc_spacing spacing, int n) {
  vc_schedule_times(s, spacing, n, g->time);
  for (int i = 0; i <= n; i++) {
    g->lambda[i] = vc_schedule_lambda(s, g->time[i]);
    g->sigma[i] = 1 / sqrt(1 + exp(2 * g->lambda[i]));
    g->alpha[i] = 1 / sqrt(1 + exp(-2 * g->lambda[i]));
  }
}

// Algorithm 2 of arXiv 2211.01095 from grid point `first` on.
static void textbook_dpmpp(const grid *g, int n, int first, vector x, vector *out) {
  vector before = {{0}};
  out[0] = x;
  for (int i = first; i < n; i++) {
    vector eps = fake_model(x, 1000 * g->time[i] - 1);
    vector x0 = mix(1 / g->alpha[i], x, -g->sigma[i] / g->alpha[i], eps), d = x0;
    double h = g->lambda[i + 1] - g->lambda[i];
    if (i > first && !(i == n - 1 && n < 10)) {
      double r = (g->lambda[i] - g->lambda[i - 1]) / h;
      d = mix(1 + 1 / (2 * r), x0, -1 / (2 * r), before);
    }
    x = mix(g->sigma[i + 1] / g->sigma[i], x, -g->alpha[i + 1] * (exp(-h) - 1), d);
    before = x0;
    out[i - first + 1] = x;
  }
}

// arXiv 2302.04867, data prediction: phi_k and the system R rho = b / B with B(h) = exp(-h) - 1 as the paper has them.
// Returns rho of order p with the points r (the last is 1 in a corrector).
static void solve_rho(double h, int p, const double *r, double *rho) {
  double b = expm1(-h), phi1 = expm1(-h) / -h, phi2 = (phi1 - 1) / -h, phi3 = (phi2 - 0.5) / -h;
  double first = -h * phi2 / b, second = 2 * -h * phi3 / b;  // k! h phi_(k + 1) / B
  if (p == 1) {
    rho[0] = 0.5;  // the paper's choice for one point
    return;
  }
  double determinant = r[1] - r[0];  // of [[1, 1], [r0, r1]]
  rho[0] = (first * r[1] - second) / determinant;
  rho[1] = (second - r[0] * first) / determinant;
}

// out: the predictions; corrected: the samples from which they start (corrected[i] belongs to out[i]).
static void textbook_unipc(const grid *g, int n, int first, vector x, vector *out, vector *corrected) {
  vector m[3] = {{{0}}}, from = x;  // m[0] newest; `from`: the corrected sample one step before
  int p_before = 0;
  out[0] = x;
  for (int i = first; i < n; i++) {
    vector eps = fake_model(x, 1000 * g->time[i] - 1), x0 = mix(1 / g->alpha[i], x, -g->sigma[i] / g->alpha[i], eps);
    if (i > first) {  // UniC: from i - 1 to i; m[0] is x0 at i - 1, m[1] at i - 2
      double h = g->lambda[i] - g->lambda[i - 1], b = expm1(-h), r[2] = {1}, rho[2];
      int p = p_before;
      if (p == 2) {
        r[0] = (g->lambda[i - 2] - g->lambda[i - 1]) / h;
        r[1] = 1;
      }
      solve_rho(h, p, r, rho);
      vector base = mix(g->sigma[i] / g->sigma[i - 1], from, -g->alpha[i] * b, m[0]), sum = {{0}};
      if (p == 2) sum = mix(rho[0] / r[0], mix(1, m[1], -1, m[0]), 1, sum);
      sum = mix(rho[p - 1], mix(1, x0, -1, m[0]), 1, sum);
      x = mix(1, base, -g->alpha[i] * b, sum);
    }
    corrected[i - first] = from = x;
    m[1] = m[0];
    m[0] = x0;
    int p = i == first || i == n - 1 ? 1 : 2;
    double h = g->lambda[i + 1] - g->lambda[i], b = expm1(-h), rho[1], r[1];
    vector base = mix(g->sigma[i + 1] / g->sigma[i], x, -g->alpha[i + 1] * b, x0);
    if (p == 2) {
      r[0] = (g->lambda[i - 1] - g->lambda[i]) / h;
      solve_rho(h, 1, r, rho);
      base = mix(1, base, -g->alpha[i + 1] * b * rho[0] / r[0], mix(1, m[1], -1, m[0]));
    }
    out[i - first + 1] = x = base;
    p_before = p;
  }
}

Test(sampler, solvers_equal_the_textbook) {
  static const double strengths[] = {1, 0.6};
  static vector got[most], expected[most], corrected[most];
  static grid g;
  vc_schedule s = released();
  for (int c = 0; c < step_counts_count; c++)
    for (int k = 0; k < 8; k++) {
      bool unipc = k & 1;
      vc_sampler_options options = {
          .schedule = k & 2 ? &s : NULL, .spacing = (vc_spacing)(k >> 1 & 1), .strength = strengths[k >> 2]};
      int n = step_counts[c], kept = (int)lround(n * options.strength);
      fill(&g, &s, options.spacing, n);
      vc_sampler_plan plan = make(unipc ? VC_SAMPLER_UNIPC : VC_SAMPLER_DPMPP_2M, n, 0, &options);
      cr_assert_eq(plan.steps, kept, "%d steps: %d", n, plan.steps);
      for (int i = 0; i < kept; i++) {
        cr_assert_eq(plan.time[i], g.time[n - kept + i]);
        cr_assert(fabs(plan.t[i] - (1000 * plan.time[i] - 1)) <= 5e-5, "step %d: %g", i, plan.t[i]);
      }
      if (unipc)
        textbook_unipc(&g, n, n - kept, start(), expected, corrected);
      else
        textbook_dpmpp(&g, n, n - kept, start(), expected);
      follow(&plan, start(), got);
      expect_same(unipc ? "unipc" : "dpmpp2m", n, kept, got, expected);
      cr_expect(!plan.needs_noise);
      cr_expect(fabs(plan.signal - g.alpha[n - kept]) <= 1e-7 && fabs(plan.noise - g.sigma[n - kept]) <= 1e-7);
      vc_sampler_plan_free(&plan);
    }
  vc_schedule_free(&s);
}

// Data that is normal with these standard deviations: the model that knows it predicts sigma x / (alpha^2 d^2 +
// sigma^2), and the exact path keeps x / sqrt(alpha^2 d^2 + sigma^2) constant.
static const double deviation[width] = {0.1, 0.4, 0.8, 1.5, 2.5, 4};

static double spread(const vc_schedule *s, double time, int j) {
  double alpha = exp(vc_schedule_log_alpha(s, time)), sigma = vc_schedule_sigma(s, time);
  return sqrt(alpha * alpha * deviation[j] * deviation[j] + sigma * sigma);
}

static vector exact_model(const vc_schedule *s, vector x, double time) {
  for (int j = 0; j < width; j++) x.v[j] *= vc_schedule_sigma(s, time) / pow(spread(s, time, j), 2);
  return x;
}

// The error at the start of the last step, which is of order 1 in some samplers and so hides the order of the rest.
static double error_of(vc_sampler_kind kind, const vc_schedule *s, int n) {
  vc_sampler_options options = {.schedule = s, .spacing = VC_SPACING_LOG_SNR, .strength = 1};
  vc_sampler_plan plan = make(kind, n, 0, &options);
  history h = {.x = start()};
  double from = plan.time[0], to = plan.time[plan.steps - 1];
  for (int i = 0; i < plan.steps - 1; i++) apply(&plan.rows[i], exact_model(s, h.x, plan.time[i]), start(), &h);
  vector expected = start();
  for (int j = 0; j < width; j++) expected.v[j] *= spread(s, to, j) / spread(s, from, j);
  vc_sampler_plan_free(&plan);
  return distance(h.x, expected);
}

// Order: log2 of the error's fall when the steps double. DDIM's timesteps are even in t and the model's own, so only
// its order counts; the solvers' starts are of lower order, which costs them a little.
Test(sampler, converges_with_the_order_of_the_method) {
  static const struct {
    vc_sampler_kind kind;
    int n;
    double order, last;  // order at least this; error with 4 n steps at most that
  } cases[] = {
      {VC_SAMPLER_DDIM, 50, 0.8, 2e-2}, {VC_SAMPLER_DPMPP_2M, 40, 1.8, 1e-3}, {VC_SAMPLER_UNIPC, 20, 2.7, 1e-4}};
  vc_schedule s = released();
  for (size_t c = 0; c < sizeof cases / sizeof *cases; c++)
    for (int k = 1; k <= 2; k++) {
      double coarse = error_of(cases[c].kind, &s, cases[c].n * k),
             fine = error_of(cases[c].kind, &s, cases[c].n * 2 * k);
      double order = log2(coarse / fine);
      cr_log_info("%s: error %g with %d steps, %g with twice as many: order %.2f\n",
                  vc_sampler_kind_name(cases[c].kind), coarse, cases[c].n * k, fine, order);
      cr_expect(order >= cases[c].order && order <= cases[c].order + 1, "%s, %d steps: errors %g and %g, order %g",
                vc_sampler_kind_name(cases[c].kind), cases[c].n * k, coarse, fine, order);
      if (k == 2) cr_expect(fine <= cases[c].last, "%s: error %g", vc_sampler_kind_name(cases[c].kind), fine);
    }
  vc_schedule_free(&s);
}

Test(sampler, few_steps_of_a_higher_order_are_better) {
  vc_schedule s = released();
  for (int n = 10; n <= 50; n += 10) {
    double ddim = error_of(VC_SAMPLER_DDIM, &s, n), dpmpp = error_of(VC_SAMPLER_DPMPP_2M, &s, n),
           unipc = error_of(VC_SAMPLER_UNIPC, &s, n);
    cr_expect(unipc < dpmpp && dpmpp < ddim, "%d steps: %g %g %g", n, ddim, dpmpp, unipc);
  }
  vc_schedule_free(&s);
}

// Inversion up to the timestep where DDIM starts, then DDIM: both are of order 1, so the way back misses by O(1 / n).
Test(sampler, ddim_undoes_its_inversion) {
  static const double strengths[] = {0.3, 0.7, 0.9999};
  static const int counts[] = {50, 100, 250, 500};
  static vector path[most];
  for (int k = 0; k < 3; k++) {
    double before = INFINITY;
    for (int c = 0; c < 4; c++) {
      vc_sampler_options options = vc_sampler_default_options();
      options.strength = strengths[k];
      vc_sampler_plan up = make(VC_SAMPLER_DDIM_INVERSION, counts[c], 0, &options),
                      down = make(VC_SAMPLER_DDIM, counts[c], 0, &options);
      follow(&up, start(), path);
      vector noise = path[up.steps];
      cr_expect(distance(noise, start()) >= 0.1, "strength %g: the inversion does nothing", strengths[k]);
      follow(&down, noise, path);
      double error = distance(path[down.steps], start());
      cr_expect(error <= 5.0 / counts[c] && error < before, "strength %g, %d steps: %g after %g", strengths[k],
                counts[c], error, before);
      cr_log_info("strength %g, %d steps: %g\n", strengths[k], counts[c], error);
      before = error;
      vc_sampler_plan_free(&up);
      vc_sampler_plan_free(&down);
    }
  }
}

Test(sampler, other_schedules_work) {
  static const int totals[] = {2, 10, 500, 4000};
  static vector path[5001];
  for (int c = 0; c < 4; c++)
    for (int kind = 0; kind < VC_SAMPLER_KIND_COUNT; kind++) {
      vc_schedule s;
      cr_assert_eq(vc_schedule_make(totals[c], 0.0005, totals[c] > 1000 ? 0.004 : 0.02, &s, NULL), VC_OK);
      vc_sampler_options options = {.schedule = &s, .strength = 1};
      int n = totals[c] < 500 ? totals[c] : 40;
      vc_sampler_plan plan = make((vc_sampler_kind)kind, n, 0, &options);
      cr_assert(plan.steps >= n);
      follow(&plan, start(), path);
      for (int i = 0; i < plan.steps; i++) {
        cr_expect(plan.t[i] >= 0 && plan.t[i] <= totals[c] - 1, "total %d, step %d: t %g", totals[c], i, plan.t[i]);
        cr_expect(distance(path[i + 1], start()) <= 100, "total %d, %s: step %d", totals[c],
                  vc_sampler_kind_name((vc_sampler_kind)kind), i);
      }
      vc_sampler_plan_free(&plan);
      vc_schedule_free(&s);
    }
}
