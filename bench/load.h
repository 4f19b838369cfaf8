// Measuring how fast weights get from a file into the backend's memory.
#ifndef VC_BENCH_LOAD_H
#define VC_BENCH_LOAD_H

#include <stdio.h>

#include "engine/model.h"

// One network. Speeds are bytes a second.
typedef struct vc_load_result {
  const char *network;
  char path[4096];
  double file_bytes, weight_bytes;  // of the file, and of the weights as used
  double read_speed;                // of the disk: the file read from its beginning to its end, not cached
  double copy_speed;                // of memory: bytes copied between two blocks that are in use, by all threads
  double fresh_speed;               // the same into as much memory as the weights take, which the process has just got
  double cold_seconds, warm_seconds;
  double cold_speed;  // of loading: the file's bytes
  double warm_speed;  // of loading: the mean of the bytes read and written, as for a copy
  double peak_bytes;  // of the process while loading, as the system counts it; 0 where it does not tell
} vc_load_result;

typedef struct vc_load_options {
  const char *folder;
  vc_network network;
  int threads, runs;  // of the warm loading the fastest run counts
} vc_load_options;

// VC_UNSUPPORTED when the system keeps the file in its cache although asked not to.
vc_status vc_load_measure(vc_load_result *out, const vc_load_options *options, bool (*cancelled)(void *opaque),
                          vc_error *error);

void vc_load_print(FILE *out, const vc_load_result *result);
vc_status vc_load_print_json(FILE *out, const vc_load_result *results, int count, vc_error *error);

#endif
