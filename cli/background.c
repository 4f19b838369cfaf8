#include "cli/background.h"

static void *main_of(void *opaque) {
  vc_background *b = opaque;
  b->status = b->work(b->context, &b->error);
  return NULL;
}

void vc_background_start(vc_background *b, vc_status (*work)(void *context, vc_error *error), void *context) {
  *b = (vc_background){.work = work, .context = context};
  b->started = !pthread_create(&b->thread, NULL, main_of, b);
  if (!b->started) (void)main_of(b);
}

vc_status vc_background_end(vc_background *b, vc_error *error) {
  if (b->started) pthread_join(b->thread, NULL);
  if (b->status && error) *error = b->error;
  return b->status;
}
