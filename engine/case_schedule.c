// Cases of the noise schedule and the samplers' timesteps.
#include <stdlib.h>
#include <string.h>

#include "engine/case_networks.h"
#include "engine/sampler.h"

enum { LIST_MAX = 64 };

typedef struct schedule_config {
  int64_t ddim[LIST_MAX], dpmpp[LIST_MAX];
  int ddim_count, dpmpp_count;
} schedule_config;

static vc_status table_result(vc_case *c, const char *name, const double *values, int count, vc_error *error) {
  float *to;
  vc_status status = vc_case_new_result(c, name, 1, (int64_t[]){count}, &to, error);
  for (int i = 0; i < count && !status; i++) to[i] = (float)values[i];
  return status;
}

static vc_status ddim_results(vc_case *c, int steps, vc_error *error) {
  vc_sampler_plan plan;
  float *to;
  vc_status status = vc_sampler_make(VC_SAMPLER_DDIM, steps, 0, NULL, &plan, error);
  if (status) return status;
  status = vc_case_new_result(c, vc_pathf("output/ddim_t.%d", steps).text, 1, (int64_t[]){plan.steps}, &to, error);
  if (!status) memcpy(to, plan.t, (size_t)plan.steps * sizeof *to);
  vc_sampler_plan_free(&plan);
  return status;
}

// Times, log alpha, sigma and lambda at the n + 1 times of one spacing.
static vc_status dpmpp_results(vc_case *c, const vc_schedule *schedule, vc_spacing spacing, int steps,
                               vc_error *error) {
  static const char *const names[4] = {"t", "log_alpha", "sigma", "lambda"};
  double *times = malloc((size_t)(steps + 1) * sizeof *times);
  vc_status status = times ? VC_OK : vc_fail(error, VC_NO_MEMORY, "no memory for %d times", steps + 1);
  if (!status) vc_schedule_times(schedule, spacing, steps, times);
  for (int k = 0; k < 4 && !status; k++) {
    float *to;
    vc_path name = vc_pathf("output/dpmpp_%s.%s.%d", names[k], vc_spacing_name(spacing), steps);
    status = vc_case_new_result(c, name.text, 1, (int64_t[]){steps + 1}, &to, error);
    for (int i = 0; i <= steps && !status; i++) {
      double t = times[i];
      to[i] = (float)(k == 0   ? t
                      : k == 1 ? vc_schedule_log_alpha(schedule, t)
                      : k == 2 ? vc_schedule_sigma(schedule, t)
                               : vc_schedule_lambda(schedule, t));
    }
  }
  free(times);
  return status;
}

vc_status vc_case_schedule(vc_case *c, vc_error *error) {
  static const vc_json_field fields[] = {
      {.name = "ddim_steps",
       .at = offsetof(schedule_config, ddim),
       .capacity = LIST_MAX,
       .count_at = offsetof(schedule_config, ddim_count),
       .least = 1,
       .most = VC_SCHEDULE_STEPS},
      {.name = "dpmpp_steps",
       .at = offsetof(schedule_config, dpmpp),
       .capacity = LIST_MAX,
       .count_at = offsetof(schedule_config, dpmpp_count),
       .least = 1,
       .most = VC_SCHEDULE_STEPS},
  };
  schedule_config config = {0};
  vc_schedule schedule;
  vc_status status = vc_case_config(c, fields, 2, &config, error);
  if (!status)
    status = vc_schedule_make(VC_SCHEDULE_STEPS, VC_SCHEDULE_FIRST_BETA, VC_SCHEDULE_LAST_BETA, &schedule, error);
  if (status) return status;
  status = table_result(c, "output/betas", schedule.betas, schedule.total, error);
  if (!status) status = table_result(c, "output/alphas_cumprod", schedule.alphas_cumprod, schedule.total, error);
  for (int i = 0; i < config.ddim_count && !status; i++) status = ddim_results(c, (int)config.ddim[i], error);
  for (int i = 0; i < config.dpmpp_count * VC_SPACING_COUNT && !status; i++)
    status =
        dpmpp_results(c, &schedule, (vc_spacing)(i % VC_SPACING_COUNT), (int)config.dpmpp[i / VC_SPACING_COUNT], error);
  vc_schedule_free(&schedule);
  return status;
}
