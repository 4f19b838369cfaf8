// How far two pictures are apart to the eye: PSNR and SSIM.
#ifndef VC_ENGINE_PICTURE_COMPARE_H
#define VC_ENGINE_PICTURE_COMPARE_H

#include <stdint.h>

#include "engine/status.h"

enum { VC_SSIM_WINDOW = 11 };

// Peak signal-to-noise ratio in dB over all 8-bit samples of both arrays: 10 log10(255^2 / mean squared error).
// Infinite for equal arrays, empty ones included.
double vc_psnr(const uint8_t *a, const uint8_t *b, size_t count);

// Mean structural similarity (Wang, Bovik, Sheikh, Simoncelli 2004: Gaussian window of 11 x 11 with sigma 1.5, K1 0.01,
// K2 0.03, only windows that lie inside the picture), the mean over three channels; 1 for equal pictures. Both are
// [height][width][3]. VC_INVALID for pictures smaller than the window.
vc_status vc_ssim(const uint8_t *a, const uint8_t *b, int width, int height, double *out, vc_error *error);

#endif
