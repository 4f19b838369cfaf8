// From the frames and vectors of a reference video to conditions.
#include <string.h>

#include "engine/conditions.h"
#include "engine/extract.h"
#include "engine/motion.h"
#include "engine/reference.h"
#include "engine/session.h"

vc_status vc_reference_pixels(vc_tensor *out, const vc_reference *r, int height, int width, vc_error *error) {
  int64_t dim[4] = {r->frames.count, height, width, 3};
  vc_status status = vc_tensor_new(out, VC_F32, 4, dim, error);
  size_t bytes = (size_t)height * (size_t)width * 3;
  float *to = out->data;
  for (int f = 0; f < r->frames.count && !status; f++, to += bytes) {
    vc_image frame = vc_frames_image(&r->frames, f), covered = {0};
    status = vc_cover(&covered, &frame, width, height, error);
    for (size_t i = 0; i < bytes && !status; i++) to[i] = (float)covered.rgb[i] / 255;
    vc_image_free(&covered);
  }
  if (status) vc_tensor_free(out);
  return status;
}

typedef vc_status (*extraction)(vc_engine *engine, const float *frames, int64_t f, int64_t h, int64_t w,
                                const vc_callbacks *callbacks, vc_tensor *out, vc_error *error);

// Runs the network on the distinct frames, and repeats what comes out as the video repeats them.
static vc_status run(extraction extract, vc_tensor *out, const vc_reference *r, const vc_tensor *pixels, int wanted,
                     vc_engine *engine, const vc_callbacks *callbacks, vc_error *error) {
  vc_tensor distinct = {0};
  const int64_t *dim = pixels->dim;
  *out = (vc_tensor){0};
  vc_status status = extract(engine, pixels->data, dim[0], dim[1], dim[2], callbacks, &distinct, error);
  if (!status) status = vc_tensor_new(out, VC_F32, 4, (const int64_t[]){wanted, dim[1], dim[2], 1}, error);
  size_t plane = (size_t)(dim[1] * dim[2]);
  for (int i = 0; i < wanted && !status; i++)
    memcpy((float *)out->data + (size_t)i * plane, (const float *)distinct.data + (size_t)r->index[i] * plane,
           plane * sizeof(float));
  vc_tensor_free(&distinct);
  return status;
}

vc_status vc_reference_depth(vc_tensor *out, const vc_reference *r, const vc_tensor *pixels, int wanted,
                             vc_engine *engine, const vc_callbacks *callbacks, vc_error *error) {
  return run(vc_extract_depth, out, r, pixels, wanted, engine, callbacks, error);
}

vc_status vc_reference_sketch(vc_tensor *out, const vc_reference *r, const vc_tensor *pixels, int wanted,
                              vc_engine *engine, const vc_callbacks *callbacks, vc_error *error) {
  return run(vc_extract_sketch, out, r, pixels, wanted, engine, callbacks, error);
}

vc_status vc_reference_motion(vc_tensor *out, const vc_reference *r, int wanted, int height, int width,
                              vc_error *error) {
  return vc_motion_condition(out, &r->vectors, r->moved, wanted, r->frames.height, r->frames.width, height, width,
                             error);
}

vc_status vc_reference_moving(vc_tensor *out, const vc_reference *r, int wanted, vc_error *error) {
  int height = r->frames.height, width = r->frames.width;
  vc_status status = vc_tensor_new(out, VC_U8, 4, (const int64_t[]){wanted, height, width, 1}, error);
  for (int f = 0; f < wanted && !status; f++) {
    int from = r->moved[f];
    if (from < 0) continue;
    int64_t first = r->vectors.offset[from];
    vc_motion_blocks((uint8_t *)out->data + (size_t)f * (size_t)height * (size_t)width, r->vectors.row + first,
                     r->vectors.offset[from + 1] - first, height, width);
  }
  return status;
}

vc_status vc_check_extraction(const vc_engine *engine, bool depth, bool sketch, const char *instead, vc_error *error) {
  const vc_model *model = &engine->model;
  const struct {
    bool needed;
    vc_network network;
    const char *what;
  } rules[] = {{depth, VC_NETWORK_MIDAS, "depth network"},
               {sketch, VC_NETWORK_PIDINET, "edge network"},
               {sketch && model->config.preprocessing.sketch_simplification, VC_NETWORK_SKETCH_SIMPLIFICATION,
                "network that cleans sketches"}};
  for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
    if (rules[i].needed && !model->present[rules[i].network])
      return vc_fail(error, VC_FAILED, "the model %s has no %s (%s): %s", model->config.name, rules[i].what,
                     vc_network_name(rules[i].network), instead);
  return VC_OK;
}
