// Samplers: each is a table of linear updates, one vc_sampler_row (kernels/ops.h) a step, computed before the first
// step.
//
// Sources: DDIM arXiv 2010.02502, DPM-Solver++ arXiv 2211.01095, UniPC arXiv 2302.04867. Timesteps and targets of DDIM
// and its inversion, and the choices in DPM-Solver++, are those of the released VideoComposer sampler.
#ifndef VC_ENGINE_SAMPLER_H
#define VC_ENGINE_SAMPLER_H

#include "engine/schedule.h"
#include "kernels/ops.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum vc_sampler_kind {
  VC_SAMPLER_DDIM,            // noise to video; timesteps 1 + multiples of total / steps, falling
  VC_SAMPLER_DDIM_INVERSION,  // video to the noise from which DDIM makes it again; timesteps rise from 0
  VC_SAMPLER_DPMPP_2M,        // DPM-Solver++, multistep, order 2
  VC_SAMPLER_UNIPC,           // UniPC of order 2 with B2(h): the predictor of DPM-Solver++ and a corrector
  VC_SAMPLER_KIND_COUNT,
} vc_sampler_kind;

// "ddim", "ddim_inversion", "dpmpp2m", "unipc". vc_sampler_kind_name gives NULL for what is no kind.
const char *vc_sampler_kind_name(vc_sampler_kind kind);
bool vc_sampler_kind_parse(const char *name, vc_sampler_kind *out);

typedef struct vc_sampler_options {
  const vc_schedule *schedule;  // NULL: the released one. Not needed after vc_sampler_make
  vc_spacing spacing;           // of DPM-Solver++ and UniPC
  double strength;              // 0 .. 1: the share of the steps that is run, at least one. 1 runs all
} vc_sampler_options;

vc_sampler_options vc_sampler_default_options(void);

typedef struct vc_sampler_plan {
  vc_sampler_kind kind;
  int steps;             // model calls; can be more than asked for with DDIM, fewer with a strength below 1
  float *t;              // [steps] the timestep that the model is given; fractional with DPM-Solver++ and UniPC
  double *time;          // [steps] the same on the continuous axis of the schedule, (t + 1) / total
  vc_sampler_row *rows;  // [steps]
  bool needs_noise;      // some row adds noise
  // What an initial video turns into before the first step: signal * latent + noise * z, for a start that is not pure
  // noise. Without an initial video the first latent is z alone. Inversion starts from the latent itself: 1 and 0.
  float signal, noise;
} vc_sampler_plan;

// Makes the table for `steps` steps (1 .. 1000, and no more than the schedule has). eta (0 .. 1) scales the noise that
// DDIM adds at each step, the last included; other kinds have none and want 0. options may be NULL.
// VC_INVALID names the option that is out of range.
//
// Steps: DDIM takes total / steps (rounded down) as its stride, so where steps does not divide total there are more
// than asked for (30 of 1000 gives 31). It aims at t - stride, clamped to 0, whose alphas_cumprod is not 1.
// Strength s < 1 leaves out the first (1 - s) of the steps. An inversion with s < 1 ends at the very timestep at which
// DDIM with the same steps and strength starts; with s = 1 it ends, as released, at alphas_cumprod = 0: pure eps.
// vc_sampler_plan_free releases the plan; on failure there is nothing to free.
vc_status vc_sampler_make(vc_sampler_kind kind, int steps, double eta, const vc_sampler_options *options,
                          vc_sampler_plan *out, vc_error *error);
void vc_sampler_plan_free(vc_sampler_plan *plan);

// One DDIM update from timestep `from` to timestep `to`, either direction. Beyond the ends `to` counts as step 0 (whose
// alphas_cumprod is not 1) and as alphas_cumprod = 0. Towards more noise eta must be 0.
vc_sampler_row vc_sampler_ddim_row(const vc_schedule *schedule, int from, int to, double eta);

#ifdef __cplusplus
}
#endif
#endif
