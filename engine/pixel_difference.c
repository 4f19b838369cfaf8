// Folding the pixel-difference convolutions of PiDiNet into ordinary ones (arXiv 2108.07009, section 3).
//
// A kernel's 3x3 taps are numbered by row. With x the pixels under them and c the middle one, the layers compute
//   cv  sum of w[i] x[i]
//   cd  sum of w[i] (x[i] - c)                      central: w[4] loses the sum of all
//   ad  sum of w[i] (x[i] - its neighbour's x)      angular: neighbours around the ring
//   rd  sum of w[i] (outer ring[i] - inner ring[i]) radial: 5x5, without w[0]
#include <string.h>

#include "engine/pidinet.h"

typedef enum difference { CENTRAL, ANGULAR, RADIAL, PLAIN, DIFFERENCES } difference;

// Layer i is of the kind i % DIFFERENCES.
static const char *const keys[VC_PIDINET_FOLDED] = {
    "init_block.weight",     "block1_1.conv1.weight", "block1_2.conv1.weight", "block1_3.conv1.weight",
    "block2_1.conv1.weight", "block2_2.conv1.weight", "block2_3.conv1.weight", "block2_4.conv1.weight",
    "block3_1.conv1.weight", "block3_2.conv1.weight", "block3_3.conv1.weight", "block3_4.conv1.weight",
    "block4_1.conv1.weight", "block4_2.conv1.weight", "block4_3.conv1.weight", "block4_4.conv1.weight",
};

enum { FIRST_RADIAL = 2 };

static void fold_kernel(difference kind, const float w[9], float *out) {
  // Pixel i is the neighbour of pixel from[i], whose weight counts against it. The middle one is its own: it becomes 0.
  static const int from[9] = {3, 0, 1, 6, 4, 2, 7, 8, 5};
  static const int outer[8] = {0, 2, 4, 10, 14, 20, 22, 24}, inner[8] = {6, 7, 8, 11, 13, 16, 17, 18};
  double sum = 0;
  switch (kind) {
    case CENTRAL:
      for (int i = 0; i < 9; i++) sum += (double)(out[i] = w[i]);
      out[4] = (float)((double)w[4] - sum);
      break;
    case ANGULAR:
      for (int i = 0; i < 9; i++) out[i] = w[i] - w[from[i]];
      break;
    case RADIAL:
      memset(out, 0, 25 * sizeof *out);
      for (int i = 0; i < 8; i++) {
        out[outer[i]] = w[i + 1];
        out[inner[i]] = -w[i + 1];
      }
      break;
    default:
      memcpy(out, w, 9 * sizeof *out);
  }
}

static bool is_kernel(const vc_tensor *t, int64_t side) {
  return t && t->rank == 4 && t->dim[2] == side && t->dim[3] == side &&
         (t->dtype == VC_F32 || t->dtype == VC_F16 || t->dtype == VC_BF16);
}

static vc_status fold_layer(vc_tensor *out, const vc_tensor *raw, difference kind, vc_error *error) {
  int64_t side = kind == RADIAL ? 5 : 3;
  vc_status status = vc_tensor_new(out, VC_F32, 4, (int64_t[]){raw->dim[0], raw->dim[1], side, side}, error);
  if (status) return status;
  size_t size = vc_dtype_size(raw->dtype), kernels = vc_tensor_count(raw) / 9;
  for (size_t k = 0; k < kernels; k++) {
    float w[9];
    vc_to_float(w, (const char *)raw->data + 9 * k * size, raw->dtype, 9);
    fold_kernel(kind, w, (float *)out->data + k * (size_t)(side * side));
  }
  return VC_OK;
}

const char *vc_pidinet_prefix(const vc_weights *weights) {
  return weights->find(weights->source, "module.init_block.weight") ? "module." : "";
}

vc_status vc_pidinet_fold(vc_pidinet_kernels *out, const vc_weights *raw, vc_error *error) {
  *out = (vc_pidinet_kernels){0};
  if (is_kernel(raw->find(raw->source, keys[FIRST_RADIAL]), 5)) return VC_OK;
  for (int i = 0; i < VC_PIDINET_FOLDED; i++) {
    const vc_tensor *t = raw->find(raw->source, keys[i]);
    if (!is_kernel(t, 3) || i % DIFFERENCES == PLAIN) continue;
    vc_status status = fold_layer(&out->layer[i], t, (difference)(i % DIFFERENCES), error);
    if (status) {
      vc_pidinet_fold_free(out);
      return vc_fail_in(error, status, "%s: %s", raw->name, keys[i]);
    }
  }
  return VC_OK;
}

void vc_pidinet_fold_free(vc_pidinet_kernels *kernels) {
  for (int i = 0; i < VC_PIDINET_FOLDED; i++) vc_tensor_free(&kernels->layer[i]);
}

const vc_tensor *vc_pidinet_kernel(const vc_pidinet_kernels *kernels, const char *key) {
  for (int i = 0; i < VC_PIDINET_FOLDED; i++)
    if (kernels->layer[i].data && !strcmp(keys[i], key)) return &kernels->layer[i];
  return NULL;
}
