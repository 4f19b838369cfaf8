#include "engine/schedule.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

// Less signal than this at the last step cannot be told from rounding, and x0 = (x - sigma eps) / alpha breaks down.
static const double least_alpha_cumprod = 1e-10;

vc_status vc_schedule_make(int total, double first, double last, vc_schedule *out, vc_error *error) {
  *out = (vc_schedule){0};
  if (total < 2 || total > VC_SCHEDULE_MAX_STEPS)
    return vc_fail(error, VC_INVALID, "the noise schedule has %d training steps; give 2 .. %d", total,
                   VC_SCHEDULE_MAX_STEPS);
  if (!(first >= 1e-8 && first <= last && last <= 0.999))
    return vc_fail(error, VC_INVALID,
                   "betas of the noise schedule run from %g to %g; give 1e-8 <= first <= last <= 0.999", first, last);
  double *table = malloc((size_t)total * 3 * sizeof *table);
  if (!table) return vc_fail(error, VC_NO_MEMORY, "no memory for a noise schedule of %d steps", total);
  *out = (vc_schedule){total, table, table + total, table + 2 * total};

  double from = sqrt(first), step = (sqrt(last) - from) / (total - 1), product = 1, sum = 0;
  for (int i = 0; i < total; i++) {
    double root = from + i * step;
    out->betas[i] = root * root;
    out->alphas_cumprod[i] = product *= 1 - out->betas[i];
    out->log_alphas[i] = sum += 0.5 * log1p(-out->betas[i]);
  }
  if (!(product >= least_alpha_cumprod)) {
    vc_schedule_free(out);
    return vc_fail(
        error, VC_INVALID,
        "%d betas from %g to %g leave a signal of %g at the last step, less than %g: give smaller betas or fewer "
        "steps",
        total, first, last, product, least_alpha_cumprod);
  }
  return VC_OK;
}

void vc_schedule_free(vc_schedule *schedule) {
  free(schedule->betas);  // the start of the one allocation
  *schedule = (vc_schedule){0};
}

static double line(double x, double x0, double x1, double y0, double y1) {
  return y0 + (x - x0) * (y1 - y0) / (x1 - x0);
}

static double grid_time(const vc_schedule *schedule, int i) {
  return (double)(i + 1) / schedule->total;
}

double vc_schedule_log_alpha(const vc_schedule *schedule, double time) {
  int left = (int)fmin(fmax(ceil(time * schedule->total) - 2, 0), schedule->total - 2);
  return line(time, grid_time(schedule, left), grid_time(schedule, left + 1), schedule->log_alphas[left],
              schedule->log_alphas[left + 1]);
}

// Powers of alpha^2 = exp(2 log alpha) are near 1 where the noise is small: expm1 keeps their distance from 1.
static double sigma_squared(double log_alpha) {
  return -expm1(2 * log_alpha);
}

double vc_schedule_sigma(const vc_schedule *schedule, double time) {
  return sqrt(sigma_squared(vc_schedule_log_alpha(schedule, time)));
}

double vc_schedule_lambda(const vc_schedule *schedule, double time) {
  double log_alpha = vc_schedule_log_alpha(schedule, time);
  return log_alpha - 0.5 * log(sigma_squared(log_alpha));
}

double vc_schedule_time_of_lambda(const vc_schedule *schedule, double lambda) {
  // alpha^2 = 1 / (1 + exp(-2 lambda)), without overflow on either side
  double log_alpha = lambda < 0 ? lambda - 0.5 * log1p(exp(2 * lambda)) : -0.5 * log1p(exp(-2 * lambda));
  const double *table = schedule->log_alphas;
  int left = 0, right = schedule->total - 1;  // table falls; the piece that holds log_alpha, or the outermost
  while (right - left > 1) {
    int middle = (left + right) / 2;
    if (table[middle] >= log_alpha)
      left = middle;
    else
      right = middle;
  }
  return line(log_alpha, table[left], table[right], grid_time(schedule, left), grid_time(schedule, right));
}

static const char *const spacing_names[VC_SPACING_COUNT] = {"logSNR", "time_uniform"};

const char *vc_spacing_name(vc_spacing spacing) {
  return (unsigned)spacing < VC_SPACING_COUNT ? spacing_names[spacing] : NULL;
}

bool vc_spacing_parse(const char *name, vc_spacing *out) {
  for (int i = 0; i < VC_SPACING_COUNT; i++)
    if (!strcmp(name, spacing_names[i])) {
      *out = (vc_spacing)i;
      return true;
    }
  return false;
}

void vc_schedule_times(const vc_schedule *schedule, vc_spacing spacing, int steps, double *times) {
  bool even_in_lambda = spacing == VC_SPACING_LOG_SNR;
  double first = 1, last = 1.0 / schedule->total;
  if (even_in_lambda) {
    first = vc_schedule_lambda(schedule, first);
    last = vc_schedule_lambda(schedule, last);
  }
  for (int i = 0; i <= steps; i++) {
    double value = first + (last - first) * i / steps;
    times[i] = even_in_lambda ? vc_schedule_time_of_lambda(schedule, value) : value;
  }
}
