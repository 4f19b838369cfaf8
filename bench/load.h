// Measuring how fast weights get from a file into the backend's memory.
#ifndef VC_BENCH_LOAD_H
#define VC_BENCH_LOAD_H

#include <stdio.h>

#include "bench/clock.h"
#include "engine/model.h"

// One network. Speeds are bytes a second. In each run the file is read from the disk, loaded from the disk, memory is
// filled and the file loaded from the system's cache; a share compares two neighbours, since what a machine's disk and
// memory give changes from minute to minute.
typedef struct vc_load_result {
  const char *network;
  char path[4096];
  double file_bytes, weight_bytes;  // of the file, and of the weights as used
  double copy_speed;                // of memory: bytes copied between two blocks that are in use, by all threads
  vc_timing read_seconds;           // the file from its beginning to its end, not cached
  vc_timing fresh_seconds;          // copying into as much memory as the weights take, which the process has just got
  vc_timing cold_seconds, warm_seconds;
  vc_timing cold_share;  // of reading's speed; both count the file's bytes
  vc_timing warm_share;  // of the copy's speed; both count the mean of the bytes read and written
  double peak_bytes;     // of the process while loading, as the system counts it; 0 where it does not tell
} vc_load_result;

typedef struct vc_load_options {
  const char *folder;
  vc_network network;
  int threads, runs;
} vc_load_options;

// VC_UNSUPPORTED when the system keeps the file in its cache although asked not to.
vc_status vc_load_measure(vc_load_result *out, const vc_load_options *options, bool (*cancelled)(void *opaque),
                          vc_error *error);

void vc_load_print(FILE *out, const vc_load_result *result);
vc_status vc_load_print_json(FILE *out, const vc_load_result *results, int count, vc_error *error);

#endif
