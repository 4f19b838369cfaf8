#include "engine/read_ahead.h"

#include <string.h>

enum {
  READ = 96 << 20,  // with so many bytes read and not used yet, no further tensor is: they are memory of the process
  ANNOUNCED = 64 << 20,  // bytes beyond these that are on their way from the disk
};

// True when all values are finite; infinities and NaNs have all exponent bits set. Sums as wide as the values, so that
// the loops are vectorised.
static bool all_finite(const vc_tensor *t) {
  enum { CHUNK = 16384 };
  size_t left = vc_tensor_bytes(t);
  const unsigned char *at = t->data;
  union {
    uint32_t word[CHUNK / 4];
    uint16_t half[CHUNK / 2];
  } chunk;
  uint32_t bad = 0;
  uint16_t bad_halves = 0;
  while (left && !bad && !bad_halves) {
    size_t n = left < CHUNK ? left : CHUNK;
    memcpy(&chunk, at, n);
    if (t->dtype == VC_F32) {
      for (size_t i = 0; i < n / 4; i++) bad += (chunk.word[i] & 0x7f800000u) == 0x7f800000u;
    } else {
      uint16_t exponent = t->dtype == VC_F16 ? 0x7c00 : 0x7f80;
      for (size_t i = 0; i < n / 2; i++) bad_halves += (chunk.half[i] & exponent) == exponent;
    }
    at += n;
    left -= n;
  }
  return !bad && !bad_halves;
}

static void announce(vc_read_ahead *a) {
  while (a->weights->soon && a->announced < a->count && a->announced_bytes < a->read_bytes + ANNOUNCED) {
    const vc_tensor *t = a->tensor[a->announced++];
    a->announced_bytes += vc_tensor_bytes(t);
    a->weights->soon(a->weights->source, t);
  }
}

// The next tensor. Of what is changed here, only `read`, `read_bytes` and `damaged` concern anybody else.
static void read_one(vc_read_ahead *a) {
  announce(a);
  const vc_tensor *t = a->tensor[a->read];
  bool finite = all_finite(t);
  pthread_mutex_lock(&a->mutex);
  if (!finite && a->damaged < 0) a->damaged = a->read;
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
  bool more = !a->stop && a->read < a->count && a->damaged < 0;
  pthread_mutex_unlock(&a->mutex);
  return more;
}

static void *main_of(void *opaque) {
  vc_read_ahead *a = opaque;
  while (wait_for_room(a)) read_one(a);
  return NULL;
}

void vc_read_ahead_begin(vc_read_ahead *a, const vc_weights *weights, const vc_tensor *const *tensor, int count) {
  *a = (vc_read_ahead){.weights = weights, .tensor = tensor, .count = count, .damaged = -1};
  pthread_mutex_init(&a->mutex, NULL);
  pthread_cond_init(&a->changed, NULL);
  a->started = !pthread_create(&a->thread, NULL, main_of, a);
}

bool vc_read_ahead_wait(vc_read_ahead *a, int i) {
  while (!a->started && a->read <= i) read_one(a);
  pthread_mutex_lock(&a->mutex);
  for (; a->used < i; a->used++) a->used_bytes += vc_tensor_bytes(a->tensor[a->used]);
  pthread_cond_signal(&a->changed);
  while (a->read <= i && a->damaged < 0) pthread_cond_wait(&a->changed, &a->mutex);
  bool finite = a->damaged < 0 || a->damaged > i;
  pthread_mutex_unlock(&a->mutex);
  return finite;
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
