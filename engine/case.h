// Reference cases: a network's inputs and the outputs to be reproduced, in one safetensors file each.
//
// Format "videocomposer-case/1": metadata `network` (which function to run), `config` (its architecture or arguments as
// JSON), optionally `weights` (a file beside it with the parameters), `tolerance` and `note`; tensors input/NAME,
// output/NAME, param/KEY, and trace/NAME, inner values that never decide. Tensors are shaped as in PyTorch.
#ifndef VC_ENGINE_CASE_H
#define VC_ENGINE_CASE_H

#include "engine/rules.h"
#include "kernels/ops.h"
#include "loaders/tensor_file.h"

typedef struct vc_case_options {
  const vc_backend *backend;
  vc_device *device;
  vc_dtype dtype;                   // of activations
  const char *const *data;          // folders in which files are looked for that are not beside the case; NULL ends
                                    // them, and may stand for none
  double tolerance;                 // replaces the relative rules of the cases; below 0: not given
  bool trace;                       // measure inner values too
  bool (*cancelled)(void *opaque);  // polled between ops; may be NULL
  void *opaque;
} vc_case_options;

// What became of one output or inner value.
typedef struct vc_case_outcome {
  const char *name;            // "out", or "trace/NAME"
  const vc_tensor *reference;  // in the case's file; NULL: the network gives this, and the case does not have it
  bool trace;
  bool measured;  // `difference` holds
  vc_difference difference;
  vc_rule rule;
  char problem[200];  // why it failed; for an inner value, why it was not measured. "" for nothing
} vc_case_outcome;

typedef struct vc_case_report {
  char network[64];
  char note[256];
  int outcomes, failed;  // failed: outputs, not inner values
  vc_case_outcome *outcome;
  double seconds;       // of the network's work, parameters included
  vc_tensor_file file;  // what the outcomes point into
} vc_case_report;

// Runs a case. VC_OK when there are outcomes, failed or not; anything else means that the case could not be run, and
// counts as a failure. Nothing in a file can make this crash: configurations and shapes are checked before use.
// vc_case_report_free releases the report, also after a failure.
vc_status vc_case_run(const char *path, const vc_case_options *options, vc_case_report *out, vc_error *error);
void vc_case_report_free(vc_case_report *report);

// Names of the networks that cases may be about; NULL beyond the last.
const char *vc_case_network(int index);

#endif
