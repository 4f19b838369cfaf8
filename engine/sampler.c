#include "engine/sampler.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const int most_steps = 1000;

static const char *const kind_names[VC_SAMPLER_KIND_COUNT] = {"ddim", "ddim_inversion", "dpmpp2m", "unipc"};

const char *vc_sampler_kind_name(vc_sampler_kind kind) {
  return (unsigned)kind < VC_SAMPLER_KIND_COUNT ? kind_names[kind] : NULL;
}

bool vc_sampler_kind_parse(const char *name, vc_sampler_kind *out) {
  for (int i = 0; i < VC_SAMPLER_KIND_COUNT; i++)
    if (!strcmp(name, kind_names[i])) {
      *out = (vc_sampler_kind)i;
      return true;
    }
  return false;
}

vc_sampler_options vc_sampler_default_options(void) {
  return (vc_sampler_options){.spacing = VC_SPACING_LOG_SNR, .strength = 1};
}

void vc_sampler_plan_free(vc_sampler_plan *plan) {
  free(plan->t);
  free(plan->time);
  free(plan->rows);
  *plan = (vc_sampler_plan){0};
}

// The rows in double, in the order of vc_sampler_row; rounded once, at the end.
typedef struct wide_row {
  double x0[2], corrected[5], next[5], noise;
} wide_row;

static vc_sampler_row narrow(const wide_row *wide) {
  vc_sampler_row row = {.x0 = {(float)wide->x0[0], (float)wide->x0[1]}, .noise = (float)wide->noise};
  for (int i = 0; i < 5; i++) {
    row.corrected[i] = (float)wide->corrected[i];
    row.next[i] = (float)wide->next[i];
  }
  return row;
}

vc_sampler_row vc_sampler_ddim_row(const vc_schedule *schedule, int from, int to, double eta) {
  double a = schedule->alphas_cumprod[from];
  double a_to = to >= schedule->total ? 0 : schedule->alphas_cumprod[to < 0 ? 0 : to];
  // eta 0 is told apart because towards more noise 1 - a / a_to is negative
  double sigma = eta == 0 ? 0 : eta * sqrt((1 - a_to) / (1 - a) * (1 - a / a_to));
  wide_row row = {.x0 = {sqrt(1 / a), -sqrt(1 / a - 1)},
                  .corrected = {1},
                  .next = {0, sqrt(a_to), 0, 0, sqrt(1 - a_to - sigma * sigma)},
                  .noise = sigma};
  return narrow(&row);
}

static vc_status allocate(vc_sampler_plan *plan, int steps, vc_error *error) {
  plan->steps = steps;
  plan->t = calloc((size_t)steps, sizeof *plan->t);
  plan->time = calloc((size_t)steps, sizeof *plan->time);
  plan->rows = calloc((size_t)steps, sizeof *plan->rows);
  if (plan->t && plan->time && plan->rows) return VC_OK;
  vc_sampler_plan_free(plan);
  return vc_fail(error, VC_NO_MEMORY, "no memory for a sampler of %d steps", steps);
}

// How many of n steps a strength leaves.
static int share(double strength, int n) {
  int kept = (int)lround(strength * n);
  return kept < 1 ? 1 : kept;
}

static vc_status make_ddim(const vc_schedule *schedule, int steps, double eta, double strength, vc_sampler_plan *plan,
                           vc_error *error) {
  int total = schedule->total, stride = total / steps, all = (total + stride - 1) / stride;
  vc_status status = allocate(plan, share(strength, all), error);
  if (status != VC_OK) return status;
  for (int i = 0; i < plan->steps; i++) {
    int t = 1 + (plan->steps - 1 - i) * stride;
    if (t > total - 1) t = total - 1;
    plan->t[i] = (float)t;
    plan->time[i] = (t + 1.0) / total;
    plan->rows[i] = vc_sampler_ddim_row(schedule, t, t - stride, eta);
    plan->needs_noise = plan->needs_noise || plan->rows[i].noise != 0;
  }
  double a = schedule->alphas_cumprod[(int)plan->t[0]];
  plan->signal = (float)sqrt(a);
  plan->noise = (float)sqrt(1 - a);
  return VC_OK;
}

static vc_status make_inversion(const vc_schedule *schedule, int steps, double strength, vc_sampler_plan *plan,
                                vc_error *error) {
  int total = schedule->total, stride = total / steps, all = (total + stride - 1) / stride;
  int count = all, end = total;  // beyond the last timestep
  if (strength < 1) {
    int kept = share(strength, all);
    end = 1 + (kept - 1) * stride;
    if (end > total - 1) end = total - 1;
    count = kept > 1 ? kept - 1 : 1;
  }
  vc_status status = allocate(plan, count, error);
  if (status != VC_OK) return status;
  for (int i = 0; i < count; i++) {
    int t = i * stride;
    plan->t[i] = (float)t;
    plan->time[i] = (t + 1.0) / total;
    plan->rows[i] = vc_sampler_ddim_row(schedule, t, i == count - 1 ? end : t + stride, 0);
  }
  plan->signal = 1;
  return VC_OK;
}

// The solvers in lambda. Between two times s and t, with h = lambda_t - lambda_s and u = (lambda - lambda_s) / h, the
// probability-flow equation has the exact solution
//
//   x_t = sigma_t / sigma_s x_s + alpha_t J[x0],   J[p] = integral over u = 0 .. 1 of h exp(-h (1 - u)) p(u)
//
// so a solver is a guess of how the predicted x0 runs along u, integrated exactly: J[1] = 1 - exp(-h), and by parts
// J[u^k] = 1 - k / h J[u^(k - 1)].
typedef struct point {
  double alpha, sigma, lambda;
} point;

static point point_at(const vc_schedule *schedule, double time) {
  return (point){exp(vc_schedule_log_alpha(schedule, time)), vc_schedule_sigma(schedule, time),
                 vc_schedule_lambda(schedule, time)};
}

// Towards the next time. Order 2 adds the slope of x0 between this step (m0) and the one before (m1), weighed with
// J[1] / 2 instead of J[u]: this is what DPM-Solver++ and UniPC with B2(h) = exp(-h) - 1 do, and of the same order.
static void predict(point before, point from, point to, int order, wide_row *row) {
  double h = to.lambda - from.lambda, weight = -to.alpha * expm1(-h);
  row->next[0] = to.sigma / from.sigma;
  row->next[1] = weight;
  if (order < 2) return;
  double slope = 0.5 * weight * h / (from.lambda - before.lambda);
  row->next[1] += slope;
  row->next[2] = -slope;
}

// The step that led here once more, from x_last at `last`, now that x0 is known at its end too (m0). Order 1: the mean
// of x0 at both ends. Order 2: the parabola through x0 at u = 0 (m1), u = 1 (m0) and u = r < 0 (m2, one step earlier).
static void correct(point earlier, point last, point here, int order, wide_row *row) {
  double h = here.lambda - last.lambda, j0 = -expm1(-h);
  double at_end = 0.5 * j0, at_earlier = 0;
  if (order == 2) {
    double r = (earlier.lambda - last.lambda) / h, j1 = 1 - j0 / h, j2 = 1 - 2 / h * j1;
    at_end = (j2 - r * j1) / (1 - r);        // of u (u - r) / (1 - r)
    at_earlier = (j2 - j1) / (r * (r - 1));  // of u (u - 1) / (r (r - 1))
  }
  row->corrected[0] = 0;
  row->corrected[1] = here.sigma / last.sigma;
  row->corrected[2] = here.alpha * at_end;
  row->corrected[3] = here.alpha * (j0 - at_end - at_earlier);  // the three polynomials add up to 1
  row->corrected[4] = here.alpha * at_earlier;
}

// Steps first .. steps - 1 of a grid of steps + 1 times. History begins at `first`, so its step is of order 1.
static vc_status make_solver(const vc_schedule *schedule, bool unipc, int steps, int first, const double *times,
                             vc_sampler_plan *plan, vc_error *error) {
  vc_status status = allocate(plan, steps - first, error);
  if (status != VC_OK) return status;
  point p[4] = {{0}};  // two steps before, one before, this one, the next
  int order = 0, order_before;
  for (int i = first; i < steps; i++) {
    for (int k = 0; k < 4; k++)
      if (i - 2 + k >= first) p[k] = point_at(schedule, times[i - 2 + k]);
    // UniPC ends with order 1 always, the released DPM-Solver++ only for fewer than ten steps
    bool low_end = i == steps - 1 && (unipc || steps < 10);
    order_before = order;
    order = i == first || low_end ? 1 : 2;
    wide_row row = {.x0 = {1 / p[2].alpha, -p[2].sigma / p[2].alpha}, .corrected = {1}};
    if (unipc && i > first) correct(p[0], p[1], p[2], order_before, &row);
    predict(p[1], p[2], p[3], order, &row);
    plan->rows[i - first] = narrow(&row);
    plan->time[i - first] = times[i];
    plan->t[i - first] = (float)(times[i] * schedule->total - 1);
    if (i == first) {
      plan->signal = (float)p[2].alpha;
      plan->noise = (float)p[2].sigma;
    }
  }
  return VC_OK;
}

static vc_status check(vc_sampler_kind kind, int steps, double eta, const vc_sampler_options *options, int total,
                       vc_error *error) {
  const char *name = vc_sampler_kind_name(kind);
  if (!name) return vc_fail(error, VC_INVALID, "%d is no kind of sampler", (int)kind);
  int most = total < most_steps ? total : most_steps;
  if (steps < 1 || steps > most)
    return vc_fail(error, VC_INVALID, "sampler %s: %d steps are out of range; give 1 .. %d", name, steps, most);
  if (!(eta >= 0 && eta <= 1))
    return vc_fail(error, VC_INVALID, "sampler %s: eta %g is out of range; give 0 .. 1", name, eta);
  if (eta != 0 && kind != VC_SAMPLER_DDIM)
    return vc_fail(error, VC_INVALID, "sampler %s adds no noise, so eta must be 0 and not %g; only ddim has an eta",
                   name, eta);
  if (!vc_spacing_name(options->spacing))
    return vc_fail(error, VC_INVALID, "sampler %s: %d is no spacing of steps", name, (int)options->spacing);
  if (!(options->strength >= 0 && options->strength <= 1))
    return vc_fail(error, VC_INVALID, "sampler %s: strength %g is out of range; give 0 .. 1", name, options->strength);
  return VC_OK;
}

static vc_status make_continuous(const vc_schedule *schedule, vc_sampler_kind kind, int steps,
                                 const vc_sampler_options *options, vc_sampler_plan *plan, vc_error *error) {
  double *times = malloc(((size_t)steps + 1) * sizeof *times);
  if (!times) return vc_fail(error, VC_NO_MEMORY, "no memory for %d times of a sampler", steps + 1);
  vc_schedule_times(schedule, options->spacing, steps, times);
  int first = steps - share(options->strength, steps);
  vc_status status = make_solver(schedule, kind == VC_SAMPLER_UNIPC, steps, first, times, plan, error);
  free(times);
  return status;
}

vc_status vc_sampler_make(vc_sampler_kind kind, int steps, double eta, const vc_sampler_options *options,
                          vc_sampler_plan *out, vc_error *error) {
  *out = (vc_sampler_plan){.kind = kind};
  vc_sampler_options defaults = vc_sampler_default_options();
  if (!options) options = &defaults;
  vc_schedule released = {0};
  const vc_schedule *schedule = options->schedule;
  vc_status status = VC_OK;
  if (!schedule) {
    status = vc_schedule_make(VC_SCHEDULE_STEPS, VC_SCHEDULE_FIRST_BETA, VC_SCHEDULE_LAST_BETA, &released, error);
    if (status != VC_OK) return status;
    schedule = &released;
  }
  status = check(kind, steps, eta, options, schedule->total, error);
  if (status != VC_OK) goto done;
  if (kind == VC_SAMPLER_DDIM)
    status = make_ddim(schedule, steps, eta, options->strength, out, error);
  else if (kind == VC_SAMPLER_DDIM_INVERSION)
    status = make_inversion(schedule, steps, options->strength, out, error);
  else
    status = make_continuous(schedule, kind, steps, options, out, error);
done:
  if (status != VC_OK) *out = (vc_sampler_plan){0};
  vc_schedule_free(&released);
  return status;
}
