// What `inspect` finds out, for its text and its JSON. Every function prints text to standard output, or adds to `json`
// when that is not NULL.
#ifndef VC_CLI_INSPECT_H
#define VC_CLI_INSPECT_H

#include <cjson/cJSON.h>

#include "engine/model.h"

// Numbers of one tensor's elements.
typedef struct vc_tensor_statistics {
  double min, max, mean;  // of the finite ones
  size_t nans, infinities;
} vc_tensor_statistics;

vc_status vc_tensor_statistics_of(const vc_tensor *tensor, vc_tensor_statistics *out, vc_error *error);

// A file of weights: its tensors, its container and dtypes, the networks in it and whether this engine can run them.
vc_status vc_inspect_file(const char *path, bool statistics, cJSON *json, vc_error *error);

// Compares the data of a file with the checksums in it: those of a zip archive, or the one that `convert --checksum`
// writes. VC_FAILED when they differ or when there are none.
vc_status vc_inspect_checksums(const char *path, cJSON *json, vc_error *error);

// Compares every network of a model with what the engine asks for. *problems counts missing and misshapen tensors and
// missing networks; tensors that the engine does not use are listed but are no problem.
vc_status vc_inspect_model(vc_model *model, cJSON *json, int *problems, vc_error *error);

// The same for one network that is there, which stands in `json` under its name or, when that is an array, as one of
// it.
vc_status vc_inspect_network(const vc_model *model, vc_network network, cJSON *json, int *problems, vc_error *error);

// The architecture of a network as it stands in model.json.
cJSON *vc_inspect_config(const vc_model_config *config, vc_network network);

// Metadata as lines, or as an object "metadata".
void vc_inspect_metadata(const vc_metadata_entry *entry, int count, cJSON *json);

#endif
