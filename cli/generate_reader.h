// What the readers of generate's conditions share; see cli/generate.h for the whole.
#ifndef VC_CLI_GENERATE_READER_H
#define VC_CLI_GENERATE_READER_H

#include "cli/generate.h"
#include "engine/conditions.h"

typedef struct vc_reader {
  vc_generate_inputs *out;
  const vc_generate_options *options;
  vc_engine *engine;
  const vc_model_config *config;
  vc_request *request;
  double fps;  // at which filmed clips are looked at
  int *index;  // [frames]
} vc_reader;

// Sides of the conditions that share the frames' resolution.
void vc_reader_misc_sides(const vc_reader *r, int *height, int *width);

// Makes the condition that has been read part of the request.
void vc_reader_hand_over(vc_reader *r, vc_condition kind, float strength);

// Whether "path" or "path:0.8" names a tensor file; false for NULL.
bool vc_names_tensor(const char *text);

// ---- cli/generate_clips.c: what comes from filmed clips. `text` is a path, and a strength where that makes sense.

vc_status vc_read_motion_video(vc_reader *r, const char *text, vc_error *error);
vc_status vc_read_reference_video(vc_reader *r, const char *path, const vc_generate_use *use, vc_error *error);
vc_status vc_read_source(vc_reader *r, const char *text, vc_error *error);
vc_status vc_read_init(vc_reader *r, const char *path, vc_error *error);

// The lines of one picture by the edge networks.
vc_status vc_read_edges(vc_reader *r, const char *text, vc_error *error);

#endif
