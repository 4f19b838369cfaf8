// The noise schedule: how much signal and noise a latent holds at every timestep.
//
// A latent at step t is sqrt(a[t]) x0 + sqrt(1 - a[t]) noise, a = alphas_cumprod. The solvers of ordinary differential
// equations need a schedule in continuous time as well (DPM-Solver, arXiv 2206.00927): time in [1 / total, 1], grid
// point i at (i + 1) / total, log alpha linear in between and prolonged beyond the ends, where alpha = sqrt(a) and
// alpha^2 + sigma^2 = 1. lambda = log(alpha / sigma) is half the logarithm of the signal-to-noise ratio. All in double.
#ifndef VC_ENGINE_SCHEDULE_H
#define VC_ENGINE_SCHEDULE_H

#include "engine/status.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { VC_SCHEDULE_STEPS = 1000, VC_SCHEDULE_MAX_STEPS = 10000 };
#define VC_SCHEDULE_FIRST_BETA 0.00085
#define VC_SCHEDULE_LAST_BETA 0.0120

typedef struct vc_schedule {
  int total;               // steps that the model was trained on: timesteps 0 .. total - 1
  double *betas;           // [total]
  double *alphas_cumprod;  // [total], falling
  double *log_alphas;      // [total], half the logarithm of alphas_cumprod
} vc_schedule;

// "linear_sd": betas whose square roots are evenly spaced from sqrt(first) to sqrt(last). The released model has
// VC_SCHEDULE_STEPS, VC_SCHEDULE_FIRST_BETA and VC_SCHEDULE_LAST_BETA. VC_INVALID unless total is in
// 2 .. VC_SCHEDULE_MAX_STEPS, 1e-8 <= first <= last <= 0.999, and some signal is left at the last step.
// vc_schedule_free releases the tables; on failure there is nothing to free.
vc_status vc_schedule_make(int total, double first, double last, vc_schedule *out, vc_error *error);
void vc_schedule_free(vc_schedule *schedule);

// At a continuous time: log(alpha), sigma = sqrt(1 - alpha^2), and lambda.
double vc_schedule_log_alpha(const vc_schedule *schedule, double time);
double vc_schedule_sigma(const vc_schedule *schedule, double time);
double vc_schedule_lambda(const vc_schedule *schedule, double time);

// The time at which lambda has this value: the inverse of vc_schedule_lambda.
double vc_schedule_time_of_lambda(const vc_schedule *schedule, double lambda);

typedef enum vc_spacing {
  VC_SPACING_LOG_SNR,       // even in lambda: more steps where there is little noise
  VC_SPACING_TIME_UNIFORM,  // even in time
  VC_SPACING_COUNT,
} vc_spacing;

// "logSNR" and "time_uniform", as the released sampler calls them. vc_spacing_name gives NULL for what is no spacing.
const char *vc_spacing_name(vc_spacing spacing);
bool vc_spacing_parse(const char *name, vc_spacing *out);

// steps + 1 falling times from 1 to 1 / total.
void vc_schedule_times(const vc_schedule *schedule, vc_spacing spacing, int steps, double *times);

#ifdef __cplusplus
}
#endif
#endif
