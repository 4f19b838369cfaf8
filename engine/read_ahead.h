// A thread that has tensors of a file read before they are packed, so that the disk and the packing work at the same
// time.
#ifndef VC_ENGINE_READ_AHEAD_H
#define VC_ENGINE_READ_AHEAD_H

#include <pthread.h>

#include "engine/parameters.h"

typedef struct vc_read_ahead {
  const vc_weights *weights;
  const vc_tensor *const *tensor;
  int count;
  int announced;           // tensors that the source was told of
  size_t announced_bytes;  // of them
  int read, used;          // tensors that were read; that are not needed any more
  size_t read_bytes, used_bytes;
  bool stop, started;
  pthread_t thread;
  pthread_mutex_t mutex;
  pthread_cond_t changed;
} vc_read_ahead;

// Begins to read tensors of `weights`, in the order given, a limited number of bytes ahead. `tensor` and its tensors
// must live until vc_read_ahead_end. Cannot fail: without a thread, tensors are read when they are packed.
void vc_read_ahead_begin(vc_read_ahead *ahead, const vc_weights *weights, const vc_tensor *const *tensor, int count);

// Waits until tensor i has been read. Those before i count as used.
void vc_read_ahead_wait(vc_read_ahead *ahead, int i);

// Stops the thread, after the tensor that it is reading.
void vc_read_ahead_end(vc_read_ahead *ahead);

#endif
