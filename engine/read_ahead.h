// A thread that reads tensors of a file before they are packed, so that the disk, the check of the values and the
// packing go on at the same time.
#ifndef VC_ENGINE_READ_AHEAD_H
#define VC_ENGINE_READ_AHEAD_H

#include <pthread.h>

#include "engine/parameters.h"

typedef struct vc_read_ahead {
  const vc_weights *weights;
  const vc_tensor *const *tensor;
  int count;
  int announced;            // tensors that the source was told of
  size_t announced_bytes;   // of them
  int read, used, damaged;  // tensors that were read; that are not needed any more; the first with a NaN or an infinity
  size_t read_bytes, used_bytes;
  bool stop, started;
  pthread_t thread;
  pthread_mutex_t mutex;
  pthread_cond_t changed;
} vc_read_ahead;

// Begins to read F32, F16 or BF16 tensors of `weights`, in the order given, a limited number of bytes ahead. `tensor`
// and its tensors must live until vc_read_ahead_end. Cannot fail: without a thread, waiting for a tensor reads it.
void vc_read_ahead_begin(vc_read_ahead *ahead, const vc_weights *weights, const vc_tensor *const *tensor, int count);

// Waits until tensor i has been read; true when all of its values are finite. Those before i count as used.
bool vc_read_ahead_wait(vc_read_ahead *ahead, int i);

// Stops the thread, after the tensor that it is reading.
void vc_read_ahead_end(vc_read_ahead *ahead);

#endif
