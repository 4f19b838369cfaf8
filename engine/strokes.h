// Hand-crafted motion: strokes on a canvas, and the field of motion vectors that they stand for.
//
// A stroke is a path, walked from its first point to its last at constant speed between two frames. What lies within
// `radius` of the moving point moves with it, fading towards the rim; the rest stands still or follows the background.
// As JSON:
//
//   {"canvas": [256, 256], "background": [0, 0],
//    "strokes": [{"points": [[64, 128], [192, 128]], "frames": [0, 15], "radius": 24, "strength": 1.0}]}
//
// Only "strokes" with their "points" must be there. As text: "64,128 -> 192,128; 10,20 -> 30,40 -> 50,20".
#ifndef VC_ENGINE_STROKES_H
#define VC_ENGINE_STROKES_H

#include "engine/tensor.h"

enum { VC_STROKES_MAX = 256, VC_STROKE_MAX_POINTS = 4096, VC_STROKE_MAX_FRAME = 100000 };

typedef struct vc_stroke {
  int points;
  double (*point)[2];   // [points], x and y in canvas pixels; at least two
  double *run;          // [points], length of the path up to each point
  int64_t first, last;  // frames, first < last: where the walk begins and ends
  double radius;        // canvas pixels
  double strength;      // factor of the motion
} vc_stroke;

// Owned by vc_strokes_free.
typedef struct vc_strokes {
  double canvas[2];      // width and height
  double background[2];  // canvas pixels a frame
  int count;
  vc_stroke *stroke;
} vc_strokes;

// What holds where the strokes do not say.
typedef struct vc_strokes_defaults {
  double canvas[2];
  int64_t frames;  // a stroke lasts from frame 0 to frames - 1; with one frame, to frame 1
} vc_strokes_defaults;

// The radius of a stroke that has none, as a share of the canvas' shorter side: 24 of 256 pixels.
#define VC_STROKE_RADIUS (24.0 / 256)

// `name` stands for the text in messages, which name the stroke (the first is 0) and its field. Points may lie outside
// the canvas by half its size. VC_INVALID for anything else, unknown fields included. On failure *out is zeroed.
vc_status vc_strokes_parse_json(vc_strokes *out, const char *name, const char *text,
                                const vc_strokes_defaults *defaults, vc_error *error);
vc_status vc_strokes_parse_text(vc_strokes *out, const char *text, const vc_strokes_defaults *defaults,
                                vc_error *error);
void vc_strokes_free(vc_strokes *strokes);

// Where the point of a stroke is at a frame: at an end of its path outside first..last.
void vc_stroke_at(const vc_stroke *stroke, int64_t frame, double at[2]);

// Share of the motion that what lies at `distance` takes: 1 up to half the radius, from there falling to 0 at the rim.
double vc_stroke_weight(double distance, double radius);

// The motion condition: a new F32 tensor [frames height width 2] of x and y displacements since the frame before in its
// own pixels (the canvas is stretched over it). As a codec's vectors are scattered, only the centres of blocks of
// `block` pixels (block / 2 + k * block) hold one; all other pixels, and frame 0, are zero. The block in which a point
// lies moves with it fully, however small the radius. Where strokes meet, the one with the greater weight counts.
vc_status vc_strokes_field(vc_tensor *out, const vc_strokes *strokes, int64_t frames, int64_t height, int64_t width,
                           int64_t block, vc_error *error);

#endif
