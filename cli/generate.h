// What the parts of the generate subcommand share: its options, what it reads, and what it writes.
#ifndef VC_CLI_GENERATE_H
#define VC_CLI_GENERATE_H

#include "cli/command.h"
#include "cli/machine.h"
#include "cli/shell.h"
#include "engine/reference.h"
#include "engine/strokes.h"
#include "engine/videocomposer.h"

// ---- cli/generate_options.c

typedef struct vc_generate_options {
  const char *prompt, *negative_prompt;
  // Files, or NULL; all but source, video and init may end in a strength.
  const char *image, *style, *sketch, *sketch_video, *depth, *motion, *strokes, *mask, *source, *video;
  const char *use, *start;
  int motion_source;    // 0: re-encoded as released, 1: the stream's own
  int first_frame;      // what `start` says, see vc_reference_options
  uint64_t start_seed;  // of a random start
  bool sketch_raw, sketch_invert;
  int mask_shape;  // vc_mask_shape, or -1
  uint64_t mask_seed;
  int pad;  // vc_pad
  int steps, sampler, spacing, frames, count;
  double guidance, eta, fps;
  uint64_t seed;
  vc_size size;
  const char *init;
  double init_strength;
  bool invert;
  const char *output, *like;
  bool show_conditions;
  int preview;
  const char *model;
  vc_machine machine;
  uint64_t max_memory;
  bool profile, json, no_progress;
} vc_generate_options;

extern const vc_command_spec vc_generate_spec;

// Conditions that --use takes from --video.
typedef struct vc_generate_use {
  bool image, style, mask, depth, sketch, motion;
} vc_generate_use;

// Reads a list such as "depth,motion" for the option of this name. VC_INVALID for what is none of them.
vc_status vc_generate_parse_use(vc_generate_use *use, const char *list, vc_error *error);

// "random", "random:SEED" (else *seed stays) or the number of a frame; NULL is 0.
vc_status vc_parse_start(const char *text, int *start, uint64_t *seed, vc_error *error);

// An option's place on the command line; `name` must be one of the table.
bool vc_generate_given(const vc_arguments *arguments, const char *name);

// ---- cli/generate_check.c

// Everything that can be said about the options before a model is there: combinations, UTF-8, the readability of files
// and the output's suffix. VC_INVALID or VC_FAILED.
vc_status vc_generate_check(vc_generate_options *options, const vc_arguments *arguments, vc_generate_use *use,
                            vc_error *error);

// ---- cli/generate_replay.c

// The command that an output records: all options that were given.
vc_status vc_generate_command(vc_buffer *out, const vc_generate_options *options, const vc_arguments *arguments,
                              vc_error *error);

// --like: the words of the command that made a file, without its output and the options that do not change the result,
// followed by argv[1..argc). argv[0] is kept in front. *model_hash, to be freed, is that of the recorded model or NULL.
vc_status vc_generate_like(vc_words *out, char **model_hash, const char *path, int argc, char **argv, vc_error *error);

// ---- cli/generate_inputs.c

// The largest strength that a condition may be given.
#define VC_STRENGTH_MAX 10.0

// Parts "path:0.8"; a path that exists as it stands has no strength. *path is to be freed; *strength is 1 where none is
// given, and *has_strength (may be NULL) tells.
vc_status vc_split_strength(const char *text, char **path, float *strength, bool *has_strength, vc_error *error);

// The strokes of a JSON file, or written out ("1,2 -> 3,4").
vc_status vc_read_strokes(vc_strokes *out, const char *text, const vc_strokes_defaults *defaults, vc_error *error);

// What the files came to. The request points into it.
typedef struct vc_generate_inputs {
  vc_tensor condition[VC_CONDITION_COUNT];  // [f h w c]; no data: absent
  vc_tensor style, init;
} vc_generate_inputs;

// A line for the user on standard error.
void vc_generate_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

// Reads all files that the options name, for a request whose sizes and callbacks are set, and hands them to it. Filmed
// clips are looked at `fps` frames a second.
vc_status vc_generate_read(vc_generate_inputs *out, const vc_generate_options *options, const vc_generate_use *use,
                           vc_engine *engine, double fps, vc_request *request, vc_error *error);
void vc_generate_inputs_free(vc_generate_inputs *inputs);

// ---- cli/generate_output.c

// Path of output k of `count`, malloc'ed: the path itself, or with _k in front of its suffix.
char *vc_generate_output_path(const char *path, int64_t k, int64_t count);

// Whether a path asks for a tensor file.
bool vc_generate_wants_tensors(const char *path);

// Whether every output can be written, before any work is done. Nothing is left behind.
vc_status vc_generate_probe(const char *path, int64_t count, vc_error *error);

// What goes into the outputs beside the video.
typedef struct vc_generate_record {
  const vc_generate_options *options;
  const vc_arguments *arguments;
  const vc_engine *engine;
  const vc_request *request;
  const vc_generate_inputs *inputs;
  double fps;
} vc_generate_record;

// Writes all outputs of a result. `written` is called with each path.
vc_status vc_generate_write(const vc_generate_record *record, const vc_result *result, vc_error *error);

// ---- cli/generate_view.c

// Frame `f` of each condition as pictures of height x width beside one another, to the left of `frames` (which are
// replaced): what --show-conditions shows.
vc_status vc_generate_show_conditions(vc_frames *frames, const vc_generate_inputs *inputs,
                                      const vc_model_config *config, vc_error *error);

// A film strip of a latent [f h w c], colours by a linear map, each latent pixel `scale` pixels wide.
vc_status vc_latent_picture(vc_image *out, const float *latent, const int64_t dim[4], const char *model, int scale,
                            vc_error *error);

#endif
