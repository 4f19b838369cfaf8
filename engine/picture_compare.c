#include "engine/picture_compare.h"

#include <math.h>
#include <stdlib.h>

enum { WINDOW = VC_SSIM_WINDOW, CHANNELS = 3 };

// What the window averages: a, b, a^2, b^2, ab.
enum { MEAN_A, MEAN_B, SQUARE_A, SQUARE_B, PRODUCT, MOMENTS };

double vc_psnr(const uint8_t *a, const uint8_t *b, size_t count) {
  double sum = 0;
  for (size_t i = 0; i < count; i++) {
    double d = (double)a[i] - (double)b[i];
    sum += d * d;
  }
  return sum > 0 ? 10 * log10(255.0 * 255.0 * (double)count / sum) : INFINITY;
}

static void gaussian(double *weight) {
  double sum = 0;
  for (int i = 0; i < WINDOW; i++) {
    double x = i - WINDOW / 2;
    weight[i] = exp(-x * x / (2 * 1.5 * 1.5));
    sum += weight[i];
  }
  for (int i = 0; i < WINDOW; i++) weight[i] /= sum;
}

// One channel of one row, filtered along it: out is [MOMENTS][width - WINDOW + 1].
static void filter_row(double *out, const double *weight, const uint8_t *a, const uint8_t *b, int width) {
  int columns = width - WINDOW + 1;
  for (int x = 0; x < columns; x++) {
    double moment[MOMENTS] = {0};
    for (int i = 0; i < WINDOW; i++) {
      double p = a[(x + i) * CHANNELS], q = b[(x + i) * CHANNELS];
      moment[MEAN_A] += weight[i] * p;
      moment[MEAN_B] += weight[i] * q;
      moment[SQUARE_A] += weight[i] * p * p;
      moment[SQUARE_B] += weight[i] * q * q;
      moment[PRODUCT] += weight[i] * p * q;
    }
    for (int m = 0; m < MOMENTS; m++) out[(size_t)m * (size_t)columns + (size_t)x] = moment[m];
  }
}

static double similarity(const double *moment) {
  static const double c1 = (0.01 * 255) * (0.01 * 255), c2 = (0.03 * 255) * (0.03 * 255);
  double a = moment[MEAN_A], b = moment[MEAN_B];
  double variance_a = moment[SQUARE_A] - a * a, variance_b = moment[SQUARE_B] - b * b;
  double covariance = moment[PRODUCT] - a * b;
  return (2 * a * b + c1) * (2 * covariance + c2) / ((a * a + b * b + c1) * (variance_a + variance_b + c2));
}

// The sum over the windows whose last row is `y`; `rows` holds the last WINDOW filtered rows, row r at r % WINDOW.
static double sum_row(const double *rows, const double *weight, int y, size_t columns) {
  double sum = 0;
  for (size_t x = 0; x < columns; x++) {
    double moment[MOMENTS] = {0};
    for (int i = 0; i < WINDOW; i++) {
      const double *row = rows + (size_t)((y - WINDOW + 1 + i) % WINDOW) * MOMENTS * columns;
      for (int m = 0; m < MOMENTS; m++) moment[m] += weight[i] * row[(size_t)m * columns + x];
    }
    sum += similarity(moment);
  }
  return sum;
}

vc_status vc_ssim(const uint8_t *a, const uint8_t *b, int width, int height, double *out, vc_error *error) {
  if (width < WINDOW || height < WINDOW)
    return vc_fail(error, VC_INVALID, "SSIM needs pictures of at least %d x %d, not %d x %d", WINDOW, WINDOW, width,
                   height);
  size_t columns = (size_t)width - WINDOW + 1, row_size = MOMENTS * columns, stride = (size_t)width * CHANNELS;
  double weight[WINDOW], sum = 0;
  double *rows = calloc(WINDOW, row_size * sizeof *rows);
  if (!rows) return vc_fail(error, VC_NO_MEMORY, "no memory for the SSIM of pictures %d wide", width);
  gaussian(weight);
  for (int channel = 0; channel < CHANNELS; channel++) {
    for (int y = 0; y < height; y++) {
      size_t first = (size_t)y * stride + (size_t)channel;
      filter_row(rows + (size_t)(y % WINDOW) * row_size, weight, a + first, b + first, width);
      if (y >= WINDOW - 1) sum += sum_row(rows, weight, y, columns);
    }
  }
  free(rows);
  *out = sum / ((double)columns * (double)(height - WINDOW + 1) * CHANNELS);
  return VC_OK;
}
