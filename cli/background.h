// One piece of work on a thread of its own, while the caller does another.
#ifndef VC_CLI_BACKGROUND_H
#define VC_CLI_BACKGROUND_H

#include <pthread.h>

#include "engine/status.h"

typedef struct vc_background {
  vc_status (*work)(void *context, vc_error *error);
  void *context;
  vc_status status;
  vc_error error;
  pthread_t thread;
  bool started;
} vc_background;

// Where no thread can be had, the work is done at once.
void vc_background_start(vc_background *background, vc_status (*work)(void *context, vc_error *error), void *context);

// Waits for the work and returns its status.
vc_status vc_background_end(vc_background *background, vc_error *error);

#endif
