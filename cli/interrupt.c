#include "cli/interrupt.h"

#include <signal.h>

static const int signals[] = {SIGINT, SIGTERM};
enum { SIGNAL_COUNT = sizeof signals / sizeof *signals };

static volatile sig_atomic_t received;

static void on_signal(int number) {
  received = number;
  for (int i = 0; i < SIGNAL_COUNT; i++) signal(signals[i], SIG_DFL);
}

void vc_interrupt_install(void) {
  struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART}, old;
  sigemptyset(&action.sa_mask);
  for (int i = 0; i < SIGNAL_COUNT; i++)
    if (!sigaction(signals[i], NULL, &old) && old.sa_handler != SIG_IGN) sigaction(signals[i], &action, NULL);
}

bool vc_interrupted(void) {
  return received != 0;
}

vc_status vc_interrupt_check(vc_error *error) {
  if (!received) return VC_OK;
  return vc_fail(error, VC_INTERRUPTED, "interrupted by %s", received == SIGINT ? "SIGINT" : "SIGTERM");
}
