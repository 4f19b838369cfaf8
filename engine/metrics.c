#include "engine/metrics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/clip.h"
#include "engine/conditions.h"
#include "engine/session.h"

vc_status vc_frame_consistency(const float *features, int64_t frames, int64_t size, double *out, vc_error *error) {
  double sum = 0, last_norm = 0;
  if (frames < 2)
    return vc_fail(error, VC_FAILED, "frame consistency needs two frames at least, not %lld", (long long)frames);
  for (int64_t f = 0; f < frames; f++, features += size) {
    double norm = 0, product = 0;
    for (int64_t i = 0; i < size; i++) norm += (double)features[i] * (double)features[i];
    for (int64_t i = 0; i < size && f; i++) product += (double)features[i] * (double)features[i - size];
    norm = sqrt(norm);
    if (!(norm > 0) || !isfinite(norm))
      return vc_fail(error, VC_FAILED, "the feature of frame %lld has no direction", (long long)f);
    if (f) sum += product / (norm * last_norm);
    last_norm = norm;
  }
  *out = sum / (double)(frames - 1);
  return VC_OK;
}

vc_status vc_end_point_error(const float *flow, const float *reference, int64_t fields, int64_t plane, double *out,
                             vc_error *error) {
  double sum = 0;
  if (fields < 1 || plane < 1)
    return vc_fail(error, VC_FAILED, "an end-point error needs flow fields, and there are none");
  for (int64_t f = 0; f < fields; f++, flow += 2 * plane, reference += 2 * plane)
    for (int64_t i = 0; i < plane; i++)
      sum += hypot((double)flow[i] - (double)reference[i], (double)flow[plane + i] - (double)reference[plane + i]);
  *out = sum / ((double)fields * (double)plane);
  return isfinite(*out) ? VC_OK : vc_fail(error, VC_FAILED, "a flow field holds a NaN or an infinity");
}

vc_status vc_clip_flow(vc_tensor *out, const vc_frames *clip, const vc_flow_options *options, vc_error *error) {
  *out = (vc_tensor){0};
  if (clip->count < 2) return vc_fail(error, VC_FAILED, "flow needs two frames at least, not %d", clip->count);
  int64_t dim[4] = {clip->count - 1, 2, clip->height, clip->width};
  vc_status status = vc_tensor_new(out, VC_F32, 4, dim, error);
  for (int i = 0; i + 1 < clip->count && !status; i++) {
    vc_image from = vc_frames_image(clip, i), to = vc_frames_image(clip, i + 1);
    status = vc_optical_flow((float *)out->data + i * 2 * dim[2] * dim[3], &from, &to, options, error);
  }
  if (status) vc_tensor_free(out);
  return status;
}

// ---- against a motion field

static double bilinear(const float *plane, int64_t height, int64_t width, double y, double x) {
  y = fmin(fmax(y, 0), (double)(height - 1));
  x = fmin(fmax(x, 0), (double)(width - 1));
  int64_t y0 = (int64_t)y, x0 = (int64_t)x, y1 = y0 + 1 < height ? y0 + 1 : y0, x1 = x0 + 1 < width ? x0 + 1 : x0;
  double wy = y - (double)y0, wx = x - (double)x0;
  return (1 - wy) * ((1 - wx) * (double)plane[y0 * width + x0] + wx * (double)plane[y0 * width + x1]) +
         wy * ((1 - wx) * (double)plane[y1 * width + x0] + wx * (double)plane[y1 * width + x1]);
}

vc_status vc_motion_field_error(vc_motion_error *out, const vc_tensor *flow, const vc_tensor *motion, vc_error *error) {
  int64_t frames = motion->dim[0], height = motion->dim[1], width = motion->dim[2];
  int64_t flow_height = flow->dim[2], flow_width = flow->dim[3], plane = flow_height * flow_width;
  *out = (vc_motion_error){0};
  if (flow->dim[0] + 1 != frames)
    return vc_fail(error, VC_FAILED, "the motion has %lld frames and the video %lld", (long long)frames,
                   (long long)flow->dim[0] + 1);
  double sy = (double)flow_height / (double)height, sx = (double)flow_width / (double)width, sum = 0;
  for (int64_t t = 1; t < frames; t++) {
    const float *of_x = (const float *)flow->data + (t - 1) * 2 * plane, *of_y = of_x + plane;
    const float *v = (const float *)motion->data + t * height * width * 2;
    for (int64_t i = 0; i < height * width; i++, v += 2) {
      if (v[0] == 0 && v[1] == 0) continue;
      double y = ((double)(i / width) + 0.5 - (double)v[1]) * sy - 0.5;
      double x = ((double)(i % width) + 0.5 - (double)v[0]) * sx - 0.5;
      sum += hypot(bilinear(of_x, flow_height, flow_width, y, x) - (double)v[0] * sx,
                   bilinear(of_y, flow_height, flow_width, y, x) - (double)v[1] * sy);
      out->vectors++;
    }
  }
  if (!out->vectors) return vc_fail(error, VC_FAILED, "nothing moves in the motion: there is nothing to compare with");
  out->value = sum / (double)out->vectors;
  return isfinite(out->value) ? VC_OK : vc_fail(error, VC_FAILED, "the motion or the flow holds a NaN or an infinity");
}

// How a picture lies on the part of it that a video shows: scaled by x and y, then moved.
typedef struct placement {
  double scale_x, scale_y;
  int left, top;
} placement;

static placement place(int height, int width, int64_t out_height, int64_t out_width) {
  int64_t scaled_height = out_height, scaled_width = out_width;
  if ((int64_t)width * out_height >= (int64_t)height * out_width)
    scaled_width = out_height * width / height;
  else
    scaled_height = out_width * height / width;
  return (placement){(double)scaled_width / width, (double)scaled_height / height,
                     (int)((scaled_width - out_width) / 2), (int)((scaled_height - out_height) / 2)};
}

static void add_vector(vc_motion_error *out, const vc_vector row, const placement *p, const float *flow, int64_t height,
                       int64_t width) {
  double dx = (double)(row[VC_VECTOR_SOURCE] * row[VC_VECTOR_MOTION_X]) / row[VC_VECTOR_SCALE] * p->scale_x;
  double dy = (double)(row[VC_VECTOR_SOURCE] * row[VC_VECTOR_MOTION_Y]) / row[VC_VECTOR_SCALE] * p->scale_y;
  double x = (row[VC_VECTOR_DST_X] + 0.5) * p->scale_x - 0.5 - p->left - dx;
  double y = (row[VC_VECTOR_DST_Y] + 0.5) * p->scale_y - 0.5 - p->top - dy;
  if (!(x >= 0 && y >= 0 && x <= (double)(width - 1) && y <= (double)(height - 1))) return;
  out->value +=
      hypot(bilinear(flow, height, width, y, x) - dx, bilinear(flow + height * width, height, width, y, x) - dy);
  out->vectors++;
}

vc_status vc_motion_vectors_error(vc_motion_error *out, const vc_tensor *flow, const vc_vectors *v, int height,
                                  int width, vc_error *error) {
  *out = (vc_motion_error){0};
  if (flow->dim[0] + 1 != v->frames)
    return vc_fail(error, VC_FAILED, "the vectors are of %d frames and the video has %lld", v->frames,
                   (long long)flow->dim[0] + 1);
  placement p = place(height, width, flow->dim[2], flow->dim[3]);
  for (int t = 1; t < v->frames; t++)
    for (int64_t i = v->offset[t]; i < v->offset[t + 1]; i++) {
      if (v->row[i][VC_VECTOR_SOURCE] >= 0) continue;
      if (!v->row[i][VC_VECTOR_SCALE]) return vc_fail(error, VC_FAILED, "motion vector %lld has scale 0", (long long)i);
      add_vector(out, v->row[i], &p, (const float *)flow->data + (t - 1) * 2 * flow->dim[2] * flow->dim[3],
                 flow->dim[2], flow->dim[3]);
    }
  if (!out->vectors) return vc_fail(error, VC_FAILED, "there are no motion vectors to compare with");
  out->value /= (double)out->vectors;
  return VC_OK;
}

// ---- features

enum { FRAMES_AT_ONCE = 4 };

// Frames first .. first + FRAMES_AT_ONCE - 1; the last one again where there are no more.
static vc_status run_chunk(vc_session *s, const vc_frames *clip, int first, const vc_preprocessing_config *config,
                           float *pixels, vc_error *error) {
  size_t frame = (size_t)config->clip_size * (size_t)config->clip_size * 3;
  vc_status status = VC_OK;
  for (int i = 0; i < FRAMES_AT_ONCE && !status; i++) {
    vc_image image = vc_frames_image(clip, first + i < clip->count ? first + i : clip->count - 1);
    vc_tensor one = {0};
    status = vc_condition_style(&one, &image, true, config, error);
    if (!status) memcpy(pixels + (size_t)i * frame, one.data, frame * sizeof *pixels);
    vc_tensor_free(&one);
  }
  if (!status) status = vc_session_set(s, "pixels", pixels, error);
  return status ? status : vc_plan_run_prologue(s->plan, error);
}

static vc_status run_tower(vc_session *s, vc_value out, const vc_frames *clip, vc_tensor *features, vc_error *error) {
  const vc_model_config *config = &s->engine->model.config;
  int64_t size = config->clip.image.size, side = size / config->clip.image.patch, tokens = 1 + side * side;
  size_t row = (size_t)config->clip.embed_dim;
  float *pixels = malloc((size_t)(FRAMES_AT_ONCE * size * size * 3) * sizeof *pixels);
  float *all = malloc((size_t)(FRAMES_AT_ONCE * tokens) * row * sizeof *all);
  vc_status status = pixels && all ? VC_OK : vc_fail(error, VC_NO_MEMORY, "no memory for the features of a video");
  for (int first = 0; first < clip->count && !status; first += FRAMES_AT_ONCE) {
    status = run_chunk(s, clip, first, &config->preprocessing, pixels, error);
    if (!status) status = vc_plan_get(s->plan, out, all, error);
    for (int i = 0; i < FRAMES_AT_ONCE && first + i < clip->count && !status; i++)
      memcpy((float *)features->data + (size_t)(first + i) * row, all + (size_t)(i * tokens) * row, row * sizeof *all);
    vc_report_progress(s->callbacks, "features", first + FRAMES_AT_ONCE, clip->count);
  }
  free(pixels);
  free(all);
  return status;
}

vc_status vc_clip_features(vc_engine *engine, const vc_frames *clip, const vc_callbacks *callbacks, vc_tensor *out,
                           vc_error *error) {
  const vc_model_config *config = &engine->model.config;
  int64_t size = config->clip.image.size;
  vc_session s = {0};
  vc_graph *graph = NULL;
  *out = (vc_tensor){0};
  if (config->preprocessing.clip_size != size)
    return vc_fail(error, VC_FAILED, "model.json: clip_size is %lld and the image tower's %lld",
                   (long long)config->preprocessing.clip_size, (long long)size);
  vc_status status = vc_graph_new(&graph, 1, error);
  if (status) return status;
  vc_value in = vc_graph_input(graph, "pixels", (vc_shape){FRAMES_AT_ONCE, 1, size, size, 3}, VC_ELEMENT_ACTIVATION,
                               VC_RATE_VIDEO);
  vc_value tokens = vc_clip_image(graph, in, &config->clip);
  vc_graph_keep(graph, tokens);
  status = vc_session_open(&s, engine, VC_NETWORK_CLIP, graph, callbacks, error);
  if (!status) status = vc_tensor_new(out, VC_F32, 2, (const int64_t[]){clip->count, config->clip.embed_dim}, error);
  if (!status) status = run_tower(&s, tokens, clip, out, error);
  vc_session_close(&s);
  if (status) vc_tensor_free(out);
  return status;
}
