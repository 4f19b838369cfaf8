#include "engine/read_ahead.h"

enum {
  READ = 96 << 20,  // with so many bytes read and not used yet, no further tensor is: they are memory of the process
  ANNOUNCED = 64 << 20,  // bytes beyond these that are on their way from the disk
};

static void announce(vc_read_ahead *a) {
  while (a->weights->soon && a->announced < a->count && a->announced_bytes < a->read_bytes + ANNOUNCED) {
    const vc_tensor *t = a->tensor[a->announced++];
    a->announced_bytes += vc_tensor_bytes(t);
    a->weights->soon(a->weights->source, t);
  }
}

// The next tensor. Of what is changed here, only `read` and `read_bytes` concern anybody else.
static void read_one(vc_read_ahead *a) {
  announce(a);
  const vc_tensor *t = a->tensor[a->read];
  if (a->weights->fetch) a->weights->fetch(a->weights->source, t);
  pthread_mutex_lock(&a->mutex);
  a->read_bytes += vc_tensor_bytes(t);
  a->read++;
  pthread_cond_signal(&a->changed);
  pthread_mutex_unlock(&a->mutex);
}

// False when there is nothing left to read. A single tensor is read whatever its size.
static bool wait_for_room(vc_read_ahead *a) {
  pthread_mutex_lock(&a->mutex);
  while (!a->stop && a->read < a->count && a->read > a->used && a->read_bytes >= a->used_bytes + READ)
    pthread_cond_wait(&a->changed, &a->mutex);
  bool more = !a->stop && a->read < a->count;
  pthread_mutex_unlock(&a->mutex);
  return more;
}

static void *main_of(void *opaque) {
  vc_read_ahead *a = opaque;
  while (wait_for_room(a)) read_one(a);
  return NULL;
}

void vc_read_ahead_begin(vc_read_ahead *a, const vc_weights *weights, const vc_tensor *const *tensor, int count) {
  *a = (vc_read_ahead){.weights = weights, .tensor = tensor, .count = count};
  pthread_mutex_init(&a->mutex, NULL);
  pthread_cond_init(&a->changed, NULL);
  a->started = !pthread_create(&a->thread, NULL, main_of, a);
}

void vc_read_ahead_wait(vc_read_ahead *a, int i) {
  if (!a->started) return;
  pthread_mutex_lock(&a->mutex);
  for (; a->used < i; a->used++) a->used_bytes += vc_tensor_bytes(a->tensor[a->used]);
  pthread_cond_signal(&a->changed);
  while (a->read <= i) pthread_cond_wait(&a->changed, &a->mutex);
  pthread_mutex_unlock(&a->mutex);
}

void vc_read_ahead_end(vc_read_ahead *a) {
  if (a->started) {
    pthread_mutex_lock(&a->mutex);
    a->stop = true;
    pthread_cond_signal(&a->changed);
    pthread_mutex_unlock(&a->mutex);
    pthread_join(a->thread, NULL);
  }
  pthread_cond_destroy(&a->changed);
  pthread_mutex_destroy(&a->mutex);
}
