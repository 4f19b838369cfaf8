#include "bench/op_reference.h"

#include <math.h>

static double activated(vc_activation activation, double v) {
  switch (activation) {
    case VC_ACT_SILU:
      return v / (1 + exp(-v));
    case VC_ACT_GELU:
      return 0.5 * v * erfc(-v * M_SQRT1_2);
    case VC_ACT_RELU:
      return v < 0 ? 0 : v;
    case VC_ACT_SIGMOID:
      return 1 / (1 + exp(-v));
    default:
      return v;
  }
}

// Channel `channel` of a row of the joined inputs.
static double joined(const void *const x[2], const int64_t c[2], int64_t stride, int64_t row, int64_t channel) {
  if (channel < c[0]) return (double)((const float *)x[0])[row * stride + channel];
  return (double)((const float *)x[1])[row * c[1] + channel - c[0]];
}

static double finished(const vc_epilogue *e, double product, int64_t row, int64_t column, int64_t c_out) {
  if (e->bias) product += (double)e->bias[column];
  if (e->rows_per_addend) product += (double)((const float *)e->addend)[row / e->rows_per_addend * c_out + column];
  product = activated(e->activation, product);
  if (e->residual) product += (double)((const float *)e->residual)[row * c_out + column];
  return product;
}

static double linear_product(const vc_linear *a, int64_t row, int64_t column) {
  int64_t c = a->c[0] + a->c[1];
  const float *weight = (const float *)a->weight + column * c;
  double sum = 0;
  for (int64_t i = 0; i < c; i++) sum += joined(a->x, a->c, a->x_stride, row, i) * (double)weight[i];
  return sum;
}

static double linear(const vc_linear *a, int64_t index) {
  int64_t row = index / a->c_out, column = index % a->c_out;
  const vc_epilogue *e = &a->epilogue;
  double product = linear_product(a, row, column);
  if (e->activation != VC_ACT_GEGLU) return finished(e, product, row, column, a->c_out);
  double gate = linear_product(a, row, a->c_out + column);
  if (e->bias) product += (double)e->bias[column], gate += (double)e->bias[a->c_out + column];
  product *= activated(VC_ACT_GELU, gate);
  return e->residual ? product + (double)((const float *)e->residual)[index] : product;
}

// The products of one tap over all channels; 0 where it reads outside.
static double tap(const vc_conv *a, const int64_t at[4], int64_t kf, int64_t ky, int64_t kx, int64_t column) {
  int64_t f = at[1] * a->stride[0] - a->pad[0] + kf * a->dilation[0];
  int64_t y = at[2] * a->stride[1] - a->pad[1] + ky * a->dilation[1];
  int64_t x = at[3] * a->stride[2] - a->pad[2] + kx * a->dilation[2];
  if (f < 0 || f >= a->f || y < 0 || y >= a->h * a->upsample || x < 0 || x >= a->w * a->upsample) return 0;
  int64_t pixel = ((at[0] * a->f + f) * a->h + y / a->upsample) * a->w + x / a->upsample;
  int64_t c = (a->c[0] + a->c[1]) / a->groups, taps = a->kernel[0] * a->kernel[1] * a->kernel[2];
  const float *weight = (const float *)a->weight + column * c * taps + (kf * a->kernel[1] + ky) * a->kernel[2] + kx;
  double sum = 0;
  for (int64_t i = 0; i < c; i++)
    sum += joined(a->x, a->c, a->c[0], pixel, a->groups > 1 ? column : i) * (double)weight[i * taps];
  return sum;
}

static double conv(const vc_conv *a, int64_t index) {
  int64_t column = index % a->c_out, row = index / a->c_out, at[4];
  at[3] = row % a->w_out;
  at[2] = row / a->w_out % a->h_out;
  at[1] = row / a->w_out / a->h_out % a->f_out;
  at[0] = row / a->w_out / a->h_out / a->f_out;
  double sum = 0;
  for (int64_t kf = 0; kf < a->kernel[0]; kf++)
    for (int64_t ky = 0; ky < a->kernel[1]; ky++)
      for (int64_t kx = 0; kx < a->kernel[2]; kx++) sum += tap(a, at, kf, ky, kx, column);
  return finished(&a->epilogue, sum, row, column, a->c_out);
}

static double conv_transpose(const vc_conv_transpose *a, int64_t index) {
  int64_t column = index % a->c_out, x = index / a->c_out % a->w_out, y = index / a->c_out / a->w_out % a->h_out;
  int64_t frame = index / a->c_out / a->w_out / a->h_out;
  double sum = a->bias ? (double)a->bias[column] : 0;
  for (int64_t ky = 0; ky < a->kernel; ky++)
    for (int64_t kx = 0; kx < a->kernel; kx++) {
      int64_t from_y = y + a->pad - ky, from_x = x + a->pad - kx;
      if (from_y < 0 || from_x < 0 || from_y % a->stride || from_x % a->stride) continue;
      from_y /= a->stride, from_x /= a->stride;
      if (from_y >= a->h || from_x >= a->w) continue;
      const float *in = (const float *)a->x + ((frame * a->h + from_y) * a->w + from_x) * a->c;
      for (int64_t i = 0; i < a->c; i++)
        sum += (double)in[i] *
               (double)((const float *)a->weight)[((i * a->c_out + column) * a->kernel + ky) * a->kernel + kx];
    }
  return activated(a->activation, sum);
}

static double group_norm(const vc_group_norm *a, int64_t index) {
  int64_t c = a->c[0] + a->c[1], wide = c / a->groups, column = index % c, row = index / c;
  int64_t first = row / a->rows * a->rows, group = column / wide * wide;
  double mean = 0, squares = 0, count = (double)a->rows * (double)wide;
  for (int64_t r = first; r < first + a->rows; r++)
    for (int64_t i = group; i < group + wide; i++) mean += joined(a->x, a->c, a->c[0], r, i);
  mean /= count;
  for (int64_t r = first; r < first + a->rows; r++)
    for (int64_t i = group; i < group + wide; i++) {
      double away = joined(a->x, a->c, a->c[0], r, i) - mean;
      squares += away * away;
    }
  double value = (joined(a->x, a->c, a->c[0], row, column) - mean) / sqrt(squares / count + (double)a->eps);
  value = value * (double)a->gamma[column] + (double)a->beta[column];
  return a->silu ? activated(VC_ACT_SILU, value) : value;
}

static double layer_norm(const vc_layer_norm *a, int64_t index) {
  const float *x = (const float *)a->x + index / a->c * a->c;
  double mean = 0, squares = 0;
  for (int64_t i = 0; i < a->c; i++) mean += (double)x[i];
  mean /= (double)a->c;
  for (int64_t i = 0; i < a->c; i++) squares += ((double)x[i] - mean) * ((double)x[i] - mean);
  int64_t column = index % a->c;
  return ((double)x[column] - mean) / sqrt(squares / (double)a->c + (double)a->eps) * (double)a->gamma[column] +
         (double)a->beta[column];
}

static const float *sequence(const void *x, const vc_sequence *s, int64_t outer, int64_t inner, int64_t row) {
  return (const float *)x + outer * s->outer + inner * s->inner + row * s->row;
}

// The scores are taken twice: first for their maximum.
static double attended(const vc_attention *a, int64_t outer, int64_t inner, int64_t query, int64_t column) {
  int64_t head = column / a->head_dim * a->head_dim, keys = a->causal && query + 1 < a->keys ? query + 1 : a->keys;
  const float *q = sequence(a->q, &a->q_stride, outer, inner, query) + head;
  double most = -INFINITY, sum = 0, out = 0;
  for (int pass = 0; pass < 2; pass++)
    for (int64_t key = 0; key < keys; key++) {
      const float *k = sequence(a->k, &a->k_stride, outer, inner, key) + head;
      double score = 0;
      for (int64_t i = 0; i < a->head_dim; i++) score += (double)q[i] * (double)k[i];
      score *= (double)a->scale;
      if (pass == 0) {
        most = fmax(most, score);
        continue;
      }
      double e = exp(score - most);
      sum += e;
      out += e * (double)sequence(a->v, &a->v_stride, outer, inner, key)[column];
    }
  return out / sum;
}

// Finds the place whose address in out is `index`: strides of out are those of rows that do not overlap.
static double attention(const vc_attention *a, int64_t index) {
  int64_t wide = a->heads * a->head_dim;
  for (int64_t outer = 0; outer < a->outer; outer++)
    for (int64_t inner = 0; inner < a->inner; inner++) {
      int64_t rest = index - outer * a->out_stride.outer - inner * a->out_stride.inner;
      if (rest < 0 || rest / a->out_stride.row >= a->queries || rest % a->out_stride.row >= wide) continue;
      return attended(a, outer, inner, rest / a->out_stride.row, rest % a->out_stride.row);
    }
  return NAN;
}

static double activation(const vc_activate *a, int64_t index) {
  const float *x = a->x;
  if (a->activation != VC_ACT_GEGLU) return activated(a->activation, (double)x[index]);
  int64_t at = index / a->c * 2 * a->c + index % a->c;
  return (double)x[at] * activated(VC_ACT_GELU, (double)x[at + a->c]);
}

static double sum(const vc_sum *a, int64_t index) {
  int64_t frame = index / a->rows, at = index % a->rows;
  double total = 0;
  for (int i = 0; i < a->inputs; i++)
    total +=
        (double)a->scale[i] * (double)((const float *)a->x[i])[(a->one_frame[i] ? frame / a->f : frame) * a->rows + at];
  return total;
}

static double copy(const vc_copy *a, int64_t index) {
  for (int64_t outer = 0; outer < a->outer; outer++) {
    int64_t rest = index - outer * a->out_stride_outer;
    if (rest < 0 || rest / a->out_stride_row >= a->rows || rest % a->out_stride_row >= a->c) continue;
    return (double)((const float *)a->x)[outer % a->x_outer * a->x_stride_outer +
                                         rest / a->out_stride_row * a->x_stride_row + rest % a->out_stride_row];
  }
  return NAN;
}

static double gather(const vc_gather *a, int64_t index) {
  int64_t i = index / a->c, column = index % a->c;
  double value = (double)((const float *)a->table)[a->index[i] * a->c + column];
  return a->positions ? value + (double)a->position[i % a->positions * a->c + column] : value;
}

static double pool(const vc_pool *a, int64_t index) {
  int64_t column = index % a->c, x = index / a->c % a->w_out, y = index / a->c / a->w_out % a->h_out;
  int64_t frame = index / a->c / a->w_out / a->h_out, count = 0;
  double total = 0;
  for (int64_t r = y * a->h / a->h_out; r < ((y + 1) * a->h + a->h_out - 1) / a->h_out; r++)
    for (int64_t i = x * a->w / a->w_out; i < ((x + 1) * a->w + a->w_out - 1) / a->w_out; i++, count++)
      total += (double)((const float *)a->x)[((frame * a->h + r) * a->w + i) * a->c + column];
  return total / (double)count;
}

static double max_pool(const vc_max_pool *a, int64_t index) {
  int64_t column = index % a->c, x = index / a->c % (a->w / 2), y = index / a->c / (a->w / 2) % (a->h / 2);
  int64_t frame = index / a->c / (a->w / 2) / (a->h / 2);
  double most = -INFINITY;
  for (int i = 0; i < 4; i++)
    most = fmax(most,
                (double)((const float *)a->x)[((frame * a->h + 2 * y + i / 2) * a->w + 2 * x + i % 2) * a->c + column]);
  return most;
}

static double place(int64_t i, int64_t in, int64_t out, bool align_corners) {
  if (align_corners) return out > 1 ? (double)i * (double)(in - 1) / (double)(out - 1) : 0;
  return fmax(0, ((double)i + 0.5) * (double)in / (double)out - 0.5);
}

static double resize(const vc_resize *a, int64_t index) {
  int64_t column = index % a->c, frame = index / a->c / a->w_out / a->h_out;
  double x = place(index / a->c % a->w_out, a->w, a->w_out, a->align_corners);
  double y = place(index / a->c / a->w_out % a->h_out, a->h, a->h_out, a->align_corners), total = 0;
  for (int i = 0; i < 4; i++) {
    int64_t row = (int64_t)y + i / 2, at = (int64_t)x + i % 2;
    double weight = (i / 2 ? y - floor(y) : 1 - (y - floor(y))) * (i % 2 ? x - floor(x) : 1 - (x - floor(x)));
    if (row > a->h - 1) row = a->h - 1;
    if (at > a->w - 1) at = a->w - 1;
    total += weight * (double)((const float *)a->x)[((frame * a->h + row) * a->w + at) * a->c + column];
  }
  return total;
}

static double sinusoid(const vc_sinusoid *a, int64_t index) {
  int64_t half = a->c / 2, column = index % a->c;
  double angle = (double)a->t[index / a->c] * pow(10000, -(double)(column % half) / (double)half);
  return column < half ? cos(angle) : sin(angle);
}

static double sampler(const vc_sampler *a, int64_t i) {
  const vc_sampler_row *row = &a->table[*a->step];
  const float *eps = a->eps;
  double e = (double)eps[i];
  if (a->guided) e = (double)eps[a->count + i] + (double)a->guidance * (e - (double)eps[a->count + i]);
  double m1 = (double)a->m1[i], m2 = (double)a->m2[i], x = (double)a->x[i];
  double m0 = (double)row->x0[0] * x + (double)row->x0[1] * e;
  double corrected = (double)row->corrected[0] * x + (double)row->corrected[1] * (double)a->x_last[i] +
                     (double)row->corrected[2] * m0 + (double)row->corrected[3] * m1 + (double)row->corrected[4] * m2;
  double next = (double)row->next[0] * corrected + (double)row->next[1] * m0 + (double)row->next[2] * m1 +
                (double)row->next[3] * m2 + (double)row->next[4] * e;
  return a->noise ? next + (double)row->noise * (double)a->noise[*a->step * a->count + i] : next;
}

double vc_op_reference(vc_op_kind kind, const vc_op_arguments *host, size_t index) {
  int64_t i = (int64_t)index;
  switch (kind) {
    case VC_OP_LINEAR:
      return linear(&host->linear, i);
    case VC_OP_CONV:
      return conv(&host->conv, i);
    case VC_OP_GROUP_NORM:
      return group_norm(&host->group_norm, i);
    case VC_OP_LAYER_NORM:
      return layer_norm(&host->layer_norm, i);
    case VC_OP_ATTENTION:
      return attention(&host->attention, i);
    case VC_OP_ACTIVATION:
      return activation(&host->activate, i);
    case VC_OP_SUM:
      return sum(&host->sum, i);
    case VC_OP_COPY:
      return copy(&host->copy, i);
    case VC_OP_GATHER:
      return gather(&host->gather, i);
    case VC_OP_POOL:
      return pool(&host->pool, i);
    case VC_OP_SINUSOID:
      return sinusoid(&host->sinusoid, i);
    case VC_OP_SAMPLER:
      return sampler(&host->sampler, i);
    case VC_OP_CONV_TRANSPOSE:
      return conv_transpose(&host->conv_transpose, i);
    case VC_OP_MAX_POOL:
      return max_pool(&host->max_pool, i);
    case VC_OP_RESIZE:
      return resize(&host->resize, i);
    case VC_OP_GATE:
      return (double)((const float *)host->gate.x)[i] * (double)((const float *)host->gate.gate)[i / host->gate.c];
    case VC_OP_COUNT:
      break;
  }
  return NAN;
}
