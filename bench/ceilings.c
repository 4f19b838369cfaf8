#include "bench/kernels.h"
#include "bench/op_memory.h"

// The fastest of some runs: a ceiling is what can be had, not what one gets.
static vc_status fastest(double *out, const char *text, const vc_kernels_options *o, vc_error *error) {
  enum { RUNS = 4 };
  vc_op_memory memory;
  vc_op_kind kind;
  vc_op_arguments arguments;
  vc_status status = vc_op_parse(text, &kind, &arguments, error);
  if (status) return status;
  status = vc_op_memory_new(&memory, o->backend, o->device, o->dtype, kind, &arguments, 1, error);
  *out = 0;
  for (int i = 0; i < RUNS && !status; i++) {
    double start = vc_clock_now();
    status = vc_op_run(o->backend, o->device, kind, &memory.arguments, error);
    if (!status) status = o->backend->wait(o->device, error);
    double rate = 1 / (vc_clock_now() - start);
    if (rate > *out) *out = rate;
  }
  vc_op_memory_free(&memory);
  return status;
}

vc_status vc_ceilings_measure(vc_ceilings *out, const vc_kernels_options *o, vc_error *error) {
  // 17 GFLOP on 50 MB of operands; 0.27 GB moved between blocks that no cache holds.
  double products, copies;
  vc_status status = fastest(&products, "linear rows=2048 c=2048 c_out=2048", o, error);
  if (!status) status = fastest(&copies, "copy outer=1 rows=8192 c=4096", o, error);
  if (status) return status;
  out->flops = products * 2 * 2048 * 2048 * 2048;
  out->bytes = copies * 2 * 8192 * 4096 * (double)vc_dtype_size(vc_activations_dtype(o->backend, o->dtype));
  return VC_OK;
}
