// videocomposer generate: from the command line to video files.
#include "cli/generate.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/asset_source.h"
#include "cli/generate_report.h"
#include "cli/interrupt.h"

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static vc_status open_engine(vc_engine **engine, const vc_generate_options *o, vc_error *error) {
  vc_engine_options options = vc_default_engine_options();
  vc_machine_choice choice;
  vc_status status = vc_machine_set(&options, &choice, &o->machine, error);
  if (status) return status;
  options.model = o->model;
  options.asset = vc_asset_source_program;
  options.max_memory = o->max_memory < INT64_MAX ? (int64_t)o->max_memory : INT64_MAX;
  return vc_engine_open(engine, &options, error);
}

// Everything but the conditions; what is not given stays the model's.
static void set_request(vc_request *r, const vc_generate_options *o, const vc_arguments *arguments) {
  static const vc_sampler_kind samplers[] = {VC_SAMPLER_DDIM, VC_SAMPLER_DPMPP_2M, VC_SAMPLER_UNIPC};
  static const vc_spacing spacings[] = {VC_SPACING_LOG_SNR, VC_SPACING_TIME_UNIFORM};
  r->prompt = o->prompt;
  r->prompt_bytes = o->prompt ? strlen(o->prompt) : 0;
  r->negative_prompt = o->negative_prompt;
  r->negative_prompt_bytes = o->negative_prompt ? strlen(o->negative_prompt) : 0;
  if (vc_generate_given(arguments, "steps")) r->steps = o->steps;
  if (vc_generate_given(arguments, "guidance")) r->guidance = o->guidance;
  if (vc_generate_given(arguments, "sampler")) r->sampler = samplers[o->sampler];
  if (vc_generate_given(arguments, "spacing")) r->spacing = spacings[o->spacing];
  if (vc_generate_given(arguments, "eta")) r->eta = o->eta;
  if (vc_generate_given(arguments, "frames")) r->frames = o->frames;
  if (vc_generate_given(arguments, "size")) {
    r->width = o->size.width;
    r->height = o->size.height;
  }
  r->seed = o->seed;
  r->count = o->count;
  r->init_strength = o->init_strength;
}

static vc_status probe_outputs(const vc_generate_options *o, vc_error *error) {
  vc_status status = vc_generate_probe(o->output, o->count, error);
  if (status || !o->preview) return status;
  char *preview = vc_generate_preview_path(o->output, 0, o->count);
  status = preview ? vc_generate_probe(preview, 1, error) : vc_fail(error, VC_NO_MEMORY, "no memory for a path");
  free(preview);
  return status;
}

// The options have been checked; from here on work is done.
static vc_status generate(const vc_generate_options *o, const vc_arguments *arguments, const vc_generate_use *use,
                          const char *expected_hash, vc_error *error) {
  vc_engine *engine = NULL;
  vc_generate_inputs inputs = {0};
  vc_result result = {0};
  vc_request request;
  double start = now();
  vc_status status = open_engine(&engine, o, error);
  if (status) goto done;
  const vc_model_config *config = vc_engine_config(engine);
  double fps = vc_generate_given(arguments, "fps") ? o->fps : (double)config->fps;
  if (expected_hash && strcmp(expected_hash, vc_engine_model_hash(engine)) != 0)
    vc_generate_note("the file of --like was made with another model (hash %s, this one's is %s)", expected_hash,
                     vc_engine_model_hash(engine));
  request = vc_default_request(engine);
  set_request(&request, o, arguments);
  if ((status = vc_check_request(engine, &request, error))) goto done;
  vc_generate_watch watch = {.options = o, .model = config->name, .scale = (int)config->latent_scale};
  request.callbacks = vc_generate_callbacks(&watch);
  double read = now(), clip_fps = vc_generate_given(arguments, "fps") ? o->fps : VC_REFERENCE_FPS;
  status = vc_generate_read(&inputs, o, use, engine, clip_fps, &request, error);
  if (status) vc_generate_watch_end(&watch);
  if (status) goto done;
  read = now() - read;
  request.invert = o->invert;
  status = vc_generate(engine, &request, &result, error);
  vc_generate_watch_end(&watch);
  if (status) goto done;
  if (result.prompt_truncated) vc_generate_note("the prompt has more than 75 tokens; the rest of it had no effect");
  vc_generate_record record = {o, arguments, engine, &request, &inputs, fps};
  if ((status = vc_interrupt_check(error))) goto done;
  if (result.phases < VC_MAX_PHASES) result.phase[result.phases++] = (vc_phase){"extract", read, 0, 0};
  double written = now();
  if ((status = vc_generate_write(&record, &result, error))) goto done;
  if (result.phases < VC_MAX_PHASES) result.phase[result.phases++] = (vc_phase){"write", now() - written, 0, 0};
  if (o->profile) vc_generate_print_profile(&result, now() - start);
  if (o->json) status = vc_generate_print_json(&record, &result, now() - start, error);
done:
  vc_result_free(&result);
  vc_generate_inputs_free(&inputs);
  vc_engine_close(engine);
  return status;
}

int vc_command_generate(int argc, char **argv) {
  vc_generate_options options = {.mask_shape = -1};
  vc_generate_use use;
  vc_arguments arguments;
  vc_words words = {0};
  char *expected_hash = NULL;
  int exit_status;
  if (!vc_command_start(&vc_generate_spec, argc, argv, &options, &arguments, &exit_status)) return exit_status;
  vc_error error;
  vc_status status = VC_OK;
  if (options.like) {
    const char *like = options.like, *output = options.output;
    status = vc_generate_like(&words, &expected_hash, like, argc, argv, &error);
    if (!status) {
      options = (vc_generate_options){.mask_shape = -1};
      status = vc_options_parse(&vc_generate_spec, words.count, words.item, &options, &arguments, &error);
    }
    if (status) goto done;
    // The new command records what was done, not that it was copied.
    options.like = NULL;
    options.output = output;
  }
  if (arguments.count) status = vc_fail(&error, VC_INVALID, "unexpected argument '%s'", arguments.item[0]);
  if (!status) status = vc_generate_check(&options, &arguments, &use, &error);
  if (!status) status = probe_outputs(&options, &error);
  if (!status) status = generate(&options, &arguments, &use, expected_hash, &error);
done:
  free(expected_hash);
  vc_words_free(&words);
  return vc_command_finish(&vc_generate_spec, status, &error);
}
