// The results of `bench kernels` as a table, CSV or JSON, also beside those of an earlier run.
#ifndef VC_BENCH_KERNELS_PRINT_H
#define VC_BENCH_KERNELS_PRINT_H

#include "bench/kernels.h"

// The times of an earlier run, by op.
typedef struct vc_kernels_before {
  int count;
  struct vc_kernel_before {
    char text[VC_OP_TEXT_MAX];
    vc_timing timing;  // median, low and high
  } * item;
} vc_kernels_before;

// Reads what vc_kernels_print_json wrote. The caller frees.
vc_status vc_kernels_before_read(vc_kernels_before *out, const char *path, vc_error *error);
void vc_kernels_before_free(vc_kernels_before *before);

typedef enum vc_change { VC_CHANGE_NEW, VC_CHANGE_NONE, VC_CHANGE_FASTER, VC_CHANGE_SLOWER } vc_change;

// Faster or slower when the medians differ by more than the larger of the two spreads. *ratio is the new time over the
// old one. `before` may be NULL.
vc_change vc_kernel_change(const vc_kernel_result *now, const vc_kernels_before *before, double *ratio);

// `before` may be NULL. The ops that take the largest part of the step stand first.
void vc_kernels_print(FILE *out, const vc_kernels_result *result, const vc_kernels_before *before);
void vc_kernels_print_csv(FILE *out, const vc_kernels_result *result, const vc_kernels_before *before);
vc_status vc_kernels_print_json(FILE *out, const vc_kernels_result *result, const vc_kernels_before *before,
                                vc_error *error);

#endif
