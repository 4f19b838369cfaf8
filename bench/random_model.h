// A model folder with random weights: the released architecture without the released weights, for measuring.
#ifndef VC_BENCH_RANDOM_MODEL_H
#define VC_BENCH_RANDOM_MODEL_H

#include "engine/model.h"

typedef struct vc_random_model {
  const vc_model_config *config;
  bool network[VC_NETWORK_COUNT];  // files to write
  bool released;   // PyTorch checkpoints as they are downloaded (names, prefixes, containers), else safetensors
  vc_dtype dtype;  // F32, F16 or BF16
  uint64_t seed;
  bool (*cancelled)(void);  // may be NULL
} vc_random_model;

// Writes a file for each network into a folder, which must exist. model.json's place is left to the caller: without one
// a folder is read with the architecture that the shapes say. Values are normal, of a variance that keeps activations
// in range (1 / inputs of an output), norms are 1 and biases 0; the same seed gives the same values in both layouts.
vc_status vc_random_model_write(const char *folder, const vc_random_model *options, vc_error *error);

#endif
