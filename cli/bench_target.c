#include "cli/bench.h"
#include "cli/interrupt.h"

const char *const vc_bench_networks[] = {"unet",  "vae-decoder", "vae-encoder",           "clip-text", "clip-image",
                                         "midas", "pidinet",     "sketch-simplification", NULL};

vc_status vc_bench_open(vc_bench_opened *out, const vc_bench_target *t, vc_error *error) {
  out->opened = false;
  if (t->released && t->model)
    return vc_fail(error, VC_INVALID, "--released makes weights up; leave --model %s out", t->model);
  out->config = vc_model_config_released();
  if (!t->released) {
    vc_status status = vc_model_open(&out->model, t->model, vc_asset_source_program, error);
    if (status) return status;
    out->opened = true;
    out->config = out->model.config;
  }
  out->shape = (vc_plan_shape){.videos = 1,
                               .frames = t->frames ? t->frames : out->config.frames,
                               .height = t->size.width ? t->size.height : out->config.height,
                               .width = t->size.width ? t->size.width : out->config.width,
                               .steps = 50,
                               .guided = !t->no_guidance,
                               .sampler = true};
  int64_t scale = out->config.latent_scale;
  vc_status status = VC_OK;
  if (out->shape.width % scale || out->shape.height % scale)
    status = vc_fail(error, VC_INVALID, "--size %lldx%lld: sides must be multiples of %lld",
                     (long long)out->shape.width, (long long)out->shape.height, (long long)scale);
  if (!status) status = vc_plan_conditions(t->conditions, &out->config, &out->shape, error);
  if (status) vc_bench_close(out);
  return status;
}

void vc_bench_close(vc_bench_opened *opened) {
  if (opened->opened) vc_model_close(&opened->model);
  opened->opened = false;
}

bool vc_bench_interrupted(void *opaque) {
  (void)opaque;
  return vc_interrupted();
}
