// Measuring ops by themselves against what the machine can do.
#ifndef VC_BENCH_KERNELS_H
#define VC_BENCH_KERNELS_H

#include <stdio.h>

#include "bench/clock.h"
#include "bench/op_cases.h"

// What the machine does at best, measured: a large matrix product and a large copy, through the backend's own ops.
typedef struct vc_ceilings {
  double flops, bytes;  // a second; a copy's bytes are those read and those written
} vc_ceilings;

enum { VC_VARIANTS_MAX = 8 };

typedef struct vc_kernel_variant {
  const char *name;  // of the backend; the CPU's are the instruction sets of its inner loops
  vc_timing timing;
} vc_kernel_variant;

typedef struct vc_kernel_result {
  vc_op_case what;
  double flops, bytes;  // that it needs at least
  vc_timing timing;
  double error;  // relative L2 against double, over a sample of the output; NaN when an element is not finite
  int variants;
  vc_kernel_variant variant[VC_VARIANTS_MAX];
} vc_kernel_result;

typedef struct vc_kernels_options {
  const vc_backend *backend;
  vc_device *device;
  vc_dtype dtype;
  bool cold;         // the caches hold other data before every run
  bool no_ceilings;  // leave the ceilings out: they are NaN
  bool variants;     // also every other implementation that the backend lets one choose
  double seconds;    // to spend on each op, about
  int runs;          // at most; at least 3
  bool (*cancelled)(void *opaque);
  void (*progress)(void *opaque, int done, int total, const char *text);
  void *opaque;
} vc_kernels_options;

vc_status vc_ceilings_measure(vc_ceilings *out, const vc_kernels_options *options, vc_error *error);

// One op.
vc_status vc_kernel_measure(vc_kernel_result *out, const vc_op_case *what, const vc_kernels_options *options,
                            vc_error *error);

// A whole list of them, with what they are compared with.
typedef struct vc_kernels_result {
  const char *backend, *dtype, *network;
  const char *machine;  // what computes, as the backend describes it
  bool cold;
  vc_ceilings ceilings;
  double step_seconds;  // the whole step, measured by itself; 0: it was not
  vc_kernel_result *item;
  int count;
} vc_kernels_result;

vc_status vc_kernels_measure(vc_kernels_result *out, const vc_op_cases *cases, const vc_kernels_options *options,
                             vc_error *error);
void vc_kernels_free(vc_kernels_result *result);

// The least time that the ceilings allow, over the time that it took.
double vc_kernel_roofline(const vc_kernel_result *kernel, const vc_ceilings *ceilings);

// The sum of all median times, each as often as the step has the op.
double vc_kernels_step_sum(const vc_kernels_result *result);

#endif
