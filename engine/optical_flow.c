#include "engine/optical_flow.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LEAST_SIDE = 32, RIM = 5, TERMS = 5, MAX_POLY_N = 31 };

// Weights of the fit of a quadratic polynomial: Gaussian, times x, times x^2; and what is left of the inverse of their
// matrix of moments, which is nearly diagonal.
typedef struct basis {
  int n;
  float g[MAX_POLY_N + 1], xg[MAX_POLY_N + 1], xxg[MAX_POLY_N + 1];
  double inverse_x, inverse_1_xx, inverse_xx, inverse_xy;
} basis;

// One level of the pyramid. Expansions hold, for each pixel, the coefficients of y, x, y^2, x^2 and xy; products the
// matrix and the vector of the equation for its displacement.
typedef struct level {
  int height, width;
  float *flow;          // [height][width][2]
  float *image;         // [height][width]
  float *expansion[2];  // [height][width][TERMS]
  float *products;      // [height][width][TERMS]
} level;

vc_flow_options vc_default_flow_options(void) {
  return (vc_flow_options){
      .pyramid_scale = 0.5, .levels = 3, .window = 15, .iterations = 3, .poly_n = 5, .poly_sigma = 1.2};
}

vc_status vc_flow_options_check(const vc_flow_options *o, vc_error *error) {
  const struct {
    const char *name;
    double value, least, most;
  } ranges[] = {{"pyr_scale", o->pyramid_scale, 0.01, 0.99},
                {"levels", o->levels, 1, 32},
                {"winsize", o->window, 1, 1001},
                {"iterations", o->iterations, 1, 1000},
                {"poly_n", o->poly_n, 1, MAX_POLY_N},
                {"poly_sigma", o->poly_sigma, 0.01, 100}};
  for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
    if (!(ranges[i].value >= ranges[i].least && ranges[i].value <= ranges[i].most))
      return vc_fail(error, VC_INVALID, "%s is %g: %g to %g are possible", ranges[i].name, ranges[i].value,
                     ranges[i].least, ranges[i].most);
  return VC_OK;
}

static int clamp(int value, int most) {
  return value < 0 ? 0 : value > most ? most : value;
}

// ---- scaling

// Index beyond a border, mirrored at its middle pixel: -1 is 1.
static int mirror(int i, int n) {
  while (i < 0 || i >= n) i = n == 1 ? 0 : i < 0 ? -i : 2 * n - 2 - i;
  return i;
}

// OpenCV's kernel: with sigma 0 and three samples, a quarter, a half and a quarter.
static void gaussian(double *kernel, int size, double sigma) {
  double sum = 0;
  int middle = size / 2;
  for (int i = 0; i < size; i++) {
    double x = i - middle;
    kernel[i] = sigma > 0 ? exp(-x * x / (2 * sigma * sigma)) : i == middle ? 2 : 1;
    sum += kernel[i];
  }
  for (int i = 0; i < size; i++) kernel[i] /= sum;
}

// Blurs in place; `row` holds the longer side.
static void blur(float *image, int height, int width, const double *kernel, int size, float *row) {
  int middle = size / 2;
  for (int pass = 0; pass < 2; pass++) {
    int lines = pass ? width : height, length = pass ? height : width;
    size_t step = pass ? (size_t)width : 1, next = pass ? 1 : (size_t)width;
    for (int line = 0; line < lines; line++) {
      float *at = image + (size_t)line * next;
      for (int i = 0; i < length; i++) row[i] = at[(size_t)i * step];
      for (int i = 0; i < length; i++) {
        double sum = 0;
        for (int k = 0; k < size; k++) sum += kernel[k] * (double)row[mirror(i + k - middle, length)];
        at[(size_t)i * step] = (float)sum;
      }
    }
  }
}

// Bilinear, middles on middles, borders repeated; values times `gain`.
static void scale_plane(float *out, int out_height, int out_width, const float *in, int height, int width, int channels,
                        double gain) {
  double sy = (double)height / out_height, sx = (double)width / out_width;
  for (int y = 0; y < out_height; y++) {
    double fy = fmin(fmax((y + 0.5) * sy - 0.5, 0), height - 1);
    int y0 = (int)fy, y1 = clamp(y0 + 1, height - 1);
    for (int x = 0; x < out_width; x++) {
      double fx = fmin(fmax((x + 0.5) * sx - 0.5, 0), width - 1);
      int x0 = (int)fx, x1 = clamp(x0 + 1, width - 1);
      double wy = fy - y0, wx = fx - x0;
      for (int c = 0; c < channels; c++) {
        const float *p = in + c;
        size_t top = (size_t)y0 * (size_t)width, low = (size_t)y1 * (size_t)width, n = (size_t)channels;
        double upper = (1 - wx) * (double)p[(top + (size_t)x0) * n] + wx * (double)p[(top + (size_t)x1) * n];
        double lower = (1 - wx) * (double)p[(low + (size_t)x0) * n] + wx * (double)p[(low + (size_t)x1) * n];
        *out++ = (float)(((1 - wy) * upper + wy * lower) * gain);
      }
    }
  }
}

// ---- polynomial expansion

static void make_basis(basis *b, int n, double sigma) {
  double sum = 0, m2 = 0, m4 = 0, m22 = 0, m0 = 0;
  b->n = n;
  for (int x = 0; x <= n; x++) {
    b->g[x] = (float)exp(-x * x / (2 * sigma * sigma));
    sum += (x ? 2 : 1) * (double)b->g[x];
  }
  for (int x = 0; x <= n; x++) {
    b->g[x] = (float)((double)b->g[x] / sum);
    b->xg[x] = (float)x * b->g[x];
    b->xxg[x] = (float)(x * x) * b->g[x];
  }
  for (int y = -n; y <= n; y++)
    for (int x = -n; x <= n; x++) {
      double g = (double)b->g[abs(y)] * (double)b->g[abs(x)];
      m0 += g;
      m2 += g * x * x;
      m4 += g * x * x * x * x;
      m22 += g * x * x * y * y;
    }
  // The moments of 1, x^2 and y^2 are [m0 m2 m2; m2 m4 m22; m2 m22 m4]; x, y and xy stand alone. Of that matrix's
  // inverse the row of x^2 is needed, whose third entry multiplies nothing that the displacement uses in OpenCV.
  double determinant = m0 * (m4 * m4 - m22 * m22) - 2 * m2 * m2 * (m4 - m22);
  b->inverse_x = 1 / m2;
  b->inverse_1_xx = -m2 * (m4 - m22) / determinant;
  b->inverse_xx = (m0 * m4 - m2 * m2) / determinant;
  b->inverse_xy = 1 / m22;
}

// Vertical sums of one row, [width][3]: weighted by g, yg and yyg.
static void expand_column(float *row, const float *image, int y, int height, int width, const basis *b) {
  for (int x = 0; x < width; x++) {
    float s0 = image[(size_t)y * (size_t)width + (size_t)x] * b->g[0], s1 = 0, s2 = 0;
    for (int k = 1; k <= b->n; k++) {
      float above = image[(size_t)clamp(y - k, height - 1) * (size_t)width + (size_t)x];
      float below = image[(size_t)clamp(y + k, height - 1) * (size_t)width + (size_t)x];
      s0 += b->g[k] * (above + below);
      s1 += b->xg[k] * (below - above);
      s2 += b->xxg[k] * (above + below);
    }
    row[3 * x] = s0;
    row[3 * x + 1] = s1;
    row[3 * x + 2] = s2;
  }
}

// `scratch` has room for n pixels beyond either end.
static void expand(float *out, const float *image, int height, int width, const basis *b, float *scratch) {
  float *row = scratch + 3 * b->n;
  for (int y = 0; y < height; y++) {
    expand_column(row, image, y, height, width, b);
    for (int k = 1; k <= b->n; k++) {
      memcpy(row - 3 * k, row, 3 * sizeof *row);
      memcpy(row + 3 * (width - 1 + k), row + 3 * (width - 1), 3 * sizeof *row);
    }
    for (int x = 0; x < width; x++, out += TERMS) {
      const float *p = row + 3 * x;
      double one = (double)(p[0] * b->g[0]), dx = 0, dy = (double)(p[1] * b->g[0]), xx = 0;
      double yy = (double)(p[2] * b->g[0]), xy = 0;
      for (int k = 1; k <= b->n; k++) {
        const float *right = p + 3 * k, *left = p - 3 * k;
        double both = (double)right[0] + (double)left[0];
        one += both * (double)b->g[k];
        xx += both * (double)b->xxg[k];
        dx += ((double)right[0] - (double)left[0]) * (double)b->xg[k];
        dy += ((double)right[1] + (double)left[1]) * (double)b->g[k];
        xy += ((double)right[1] - (double)left[1]) * (double)b->xg[k];
        yy += ((double)right[2] + (double)left[2]) * (double)b->g[k];
      }
      out[0] = (float)(dy * b->inverse_x);
      out[1] = (float)(dx * b->inverse_x);
      out[2] = (float)(one * b->inverse_1_xx + yy * b->inverse_xx);
      out[3] = (float)(one * b->inverse_1_xx + xx * b->inverse_xx);
      out[4] = (float)(xy * b->inverse_xy);
    }
  }
}

// ---- displacements

// Equations count less at the rim, where fits saw repeated pixels.
static float rim_weight(int i, int n) {
  static const float weights[RIM] = {0.14f, 0.14f, 0.4472f, 0.4472f, 0.4472f};
  return (i < RIM ? weights[i] : 1) * (n - 1 - i < RIM ? weights[n - 1 - i] : 1);
}

// The second expansion at (x, y), between pixels; false where there is none.
static bool expansion_at(float out[TERMS], const level *l, float x, float y) {
  if (!(x >= 0 && y >= 0 && x < (float)(l->width - 1) && y < (float)(l->height - 1))) return false;
  int x0 = (int)x, y0 = (int)y;
  float fx = x - (float)x0, fy = y - (float)y0;
  const float *p = l->expansion[1] + ((size_t)y0 * (size_t)l->width + (size_t)x0) * TERMS;
  const float *q = p + (size_t)l->width * TERMS;
  for (int i = 0; i < TERMS; i++)
    out[i] = (1 - fx) * (1 - fy) * p[i] + fx * (1 - fy) * p[TERMS + i] + (1 - fx) * fy * q[i] + fx * fy * q[TERMS + i];
  return true;
}

// From both expansions and the flow so far: A'A and A'b of each pixel's equation A d = b.
static void make_products(const level *l) {
  const float *flow = l->flow, *a = l->expansion[0];
  float *to = l->products;
  for (int y = 0; y < l->height; y++)
    for (int x = 0; x < l->width; x++, flow += 2, a += TERMS, to += TERMS) {
      float dx = flow[0], dy = flow[1], b[TERMS], by = 0, bx = 0, yy = a[2], xx = a[3], xy = a[4] * 0.5f;
      if (expansion_at(b, l, (float)x + dx, (float)y + dy)) {
        by = b[0];
        bx = b[1];
        yy = (yy + b[2]) * 0.5f;
        xx = (xx + b[3]) * 0.5f;
        xy = (a[4] + b[4]) * 0.25f;
      }
      by = (a[0] - by) * 0.5f + yy * dy + xy * dx;
      bx = (a[1] - bx) * 0.5f + xy * dy + xx * dx;
      float weight = rim_weight(x, l->width) * rim_weight(y, l->height);
      by *= weight, bx *= weight, yy *= weight, xx *= weight, xy *= weight;
      to[0] = yy * yy + xy * xy;
      to[1] = (yy + xx) * xy;
      to[2] = xx * xx + xy * xy;
      to[3] = yy * by + xy * bx;
      to[4] = xy * by + xx * bx;
    }
}

// Solves for the flow from products averaged over a box, borders repeated. sums is [width][TERMS]. A box of an even
// side is one pixel wider than what its sum is divided by, as in OpenCV.
static void solve(const level *l, int window, double *sums) {
  int half = window / 2;
  size_t row = (size_t)l->width * TERMS;
  double scale = 1.0 / ((double)window * window);
  memset(sums, 0, row * sizeof *sums);
  for (int k = -half; k <= half; k++) {
    const float *from = l->products + (size_t)clamp(k, l->height - 1) * row;
    for (size_t i = 0; i < row; i++) sums[i] += (double)from[i];
  }
  float *flow = l->flow;
  for (int y = 0; y < l->height; y++) {
    double box[TERMS] = {0};
    for (int k = -half; k <= half; k++)
      for (int i = 0; i < TERMS; i++) box[i] += sums[clamp(k, l->width - 1) * TERMS + i];
    for (int x = 0; x < l->width; x++, flow += 2) {
      double g11 = box[0] * scale, g12 = box[1] * scale, g22 = box[2] * scale, h1 = box[3] * scale, h2 = box[4] * scale;
      double inverse = 1 / (g11 * g22 - g12 * g12 + 1e-3);
      flow[0] = (float)((g11 * h2 - g12 * h1) * inverse);
      flow[1] = (float)((g22 * h1 - g12 * h2) * inverse);
      const double *in = sums + clamp(x + half + 1, l->width - 1) * TERMS;
      const double *gone = sums + clamp(x - half, l->width - 1) * TERMS;
      for (int i = 0; i < TERMS; i++) box[i] += in[i] - gone[i];
    }
    const float *in = l->products + (size_t)clamp(y + half + 1, l->height - 1) * row;
    const float *gone = l->products + (size_t)clamp(y - half, l->height - 1) * row;
    for (size_t i = 0; i < row; i++) sums[i] += (double)in[i] - (double)gone[i];
  }
}

// ---- the pyramid

// Luminance as OpenCV's integers have it.
static void make_gray(float *out, const vc_image *image) {
  size_t count = (size_t)image->width * (size_t)image->height;
  for (size_t i = 0; i < count; i++) {
    const uint8_t *p = image->rgb + 3 * i;
    out[i] = (float)((9798 * p[0] + 19235 * p[1] + 3735 * p[2] + 16384) >> 15);
  }
}

typedef struct work {
  const vc_flow_options *options;
  int height, width;
  float *gray[2], *blurred, *image, *expansion[2], *products, *scratch, *flow, *coarse;
  double *sums;
  basis basis;
} work;

static vc_status new_work(work *w, vc_error *error) {
  size_t plane = (size_t)w->height * (size_t)w->width, longer = (size_t)(w->height > w->width ? w->height : w->width);
  struct {
    float **at;
    size_t count;
  } parts[] = {{&w->gray[0], plane},
               {&w->gray[1], plane},
               {&w->blurred, plane},
               {&w->image, plane},
               {&w->expansion[0], TERMS * plane},
               {&w->expansion[1], TERMS * plane},
               {&w->products, TERMS * plane},
               {&w->scratch, 3 * (longer + 2 * MAX_POLY_N)},
               {&w->flow, 2 * plane},
               {&w->coarse, 2 * plane}};
  bool all = true;
  for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
    *parts[i].at = calloc(parts[i].count, sizeof(float));
    all = all && *parts[i].at;
  }
  w->sums = calloc((size_t)w->width * TERMS, sizeof *w->sums);
  return all && w->sums ? VC_OK
                        : vc_fail(error, VC_NO_MEMORY, "no memory for the flow of %d x %d pixels", w->width, w->height);
}

static void free_work(work *w) {
  float *parts[] = {w->gray[0],      w->gray[1],  w->blurred, w->image, w->expansion[0],
                    w->expansion[1], w->products, w->scratch, w->flow,  w->coarse};
  for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) free(parts[i]);
  free(w->sums);
}

static vc_status run_level(work *w, const level *l, double scale, vc_error *error) {
  double sigma = (1 / scale - 1) * 0.5;
  int size = (int)nearbyint(fmin(sigma * 5, 1e6)) | 1;
  if (size < 3) size = 3;
  double *kernel = malloc((size_t)size * sizeof *kernel);
  if (!kernel) return vc_fail(error, VC_NO_MEMORY, "no memory for a blur of %d pixels", size);
  gaussian(kernel, size, sigma);
  for (int i = 0; i < 2; i++) {
    memcpy(w->blurred, w->gray[i], (size_t)w->height * (size_t)w->width * sizeof *w->blurred);
    blur(w->blurred, w->height, w->width, kernel, size, w->scratch);
    scale_plane(l->image, l->height, l->width, w->blurred, w->height, w->width, 1, 1);
    expand(l->expansion[i], l->image, l->height, l->width, &w->basis, w->scratch);
  }
  free(kernel);
  for (int i = 0; i < w->options->iterations; i++) {
    make_products(l);
    solve(l, w->options->window, w->sums);
  }
  return VC_OK;
}

static vc_status run_pyramid(work *w, vc_error *error) {
  const vc_flow_options *o = w->options;
  int top = 0;
  double scale = 1;
  for (; top < o->levels; top++) {
    scale *= o->pyramid_scale;
    if (w->width * scale < LEAST_SIDE || w->height * scale < LEAST_SIDE) break;
  }
  level above = {0};
  for (int k = top; k >= 0; k--) {
    scale = 1;
    for (int i = 0; i < k; i++) scale *= o->pyramid_scale;
    level l = {.height = (int)nearbyint(w->height * scale),
               .width = (int)nearbyint(w->width * scale),
               .flow = w->flow,
               .image = w->image,
               .expansion = {w->expansion[0], w->expansion[1]},
               .products = w->products};
    if (above.height) {
      memcpy(w->coarse, w->flow, (size_t)above.height * (size_t)above.width * 2 * sizeof *w->coarse);
      scale_plane(l.flow, l.height, l.width, w->coarse, above.height, above.width, 2, 1 / o->pyramid_scale);
    }
    vc_status status = run_level(w, &l, scale, error);
    if (status) return status;
    above = l;
  }
  return VC_OK;
}

vc_status vc_optical_flow(float *flow, const vc_image *from, const vc_image *to, const vc_flow_options *options,
                          vc_error *error) {
  vc_status status = vc_flow_options_check(options, error);
  if (status) return status;
  if (from->width != to->width || from->height != to->height || from->width < 1 || from->height < 1)
    return vc_fail(error, VC_INVALID, "flow between pictures of %d x %d and %d x %d pixels", from->width, from->height,
                   to->width, to->height);
  work w = {.options = options, .height = from->height, .width = from->width};
  status = new_work(&w, error);
  if (!status) {
    make_basis(&w.basis, options->poly_n, options->poly_sigma);
    make_gray(w.gray[0], from);
    make_gray(w.gray[1], to);
    status = run_pyramid(&w, error);
  }
  size_t plane = (size_t)w.height * (size_t)w.width;
  for (size_t i = 0; i < plane && !status; i++) {
    flow[i] = w.flow[2 * i];
    flow[plane + i] = w.flow[2 * i + 1];
  }
  free_work(&w);
  return status;
}
