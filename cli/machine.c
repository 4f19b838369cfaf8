#include "cli/machine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const vc_machine_backends[] = {"auto", "cuda", "cpu", NULL};
const char *const vc_machine_dtypes[] = {"auto", "f32", "f16", "bf16", "f8", NULL};

// A file in $XDG_CACHE_HOME/videocomposer, or in that folder in ~/.cache; nothing is made yet.
static void find_cache(char *path, size_t size) {
  const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
  bool own = cache && *cache;
  path[0] = 0;
  if (!own && !(home && *home)) return;
  if ((size_t)snprintf(path, size, "%s%s/videocomposer/cuda-choices", own ? cache : home, own ? "" : "/.cache") >= size)
    path[0] = 0;
}

vc_status vc_machine_choose(vc_machine_choice *out, const vc_machine *machine, vc_error *error) {
  static const vc_dtype dtypes[] = {VC_DTYPE_COUNT, VC_F32, VC_F16, VC_BF16};
  const char *backend = vc_machine_backends[machine->backend];
  if (machine->dtype == 4) return vc_fail(error, VC_INVALID, "--dtype f8 is not built in; choose f16 or bf16");
  if (machine->device && strcmp(backend, "cuda") != 0)
    return vc_fail(error, VC_INVALID, "--device %d chooses a GPU: add --backend cuda", machine->device);
  *out = (vc_machine_choice){.dtype = dtypes[machine->dtype], .threads = machine->threads};
  if (machine->device)
    (void)snprintf(out->backend, sizeof out->backend, "%s:%d", backend, machine->device);
  else
    (void)snprintf(out->backend, sizeof out->backend, "%s", backend);
  find_cache(out->choices, sizeof out->choices);
  return VC_OK;
}

vc_status vc_machine_set(vc_engine_options *out, vc_machine_choice *choice, const vc_machine *machine,
                         vc_error *error) {
  vc_status status = vc_machine_choose(choice, machine, error);
  if (status) return status;
  out->backend = choice->backend;
  out->dtype = choice->dtype;
  out->threads = choice->threads;
  out->choices = choice->choices[0] ? choice->choices : NULL;
  return VC_OK;
}

vc_status vc_machine_open(vc_compute *out, const vc_machine *machine, vc_error *error) {
  vc_machine_choice choice;
  *out = (vc_compute){.device = NULL};
  vc_status status = vc_machine_choose(&choice, machine, error);
  if (!status)
    status = vc_backend_open(&out->backend, &out->device, choice.backend, choice.dtype, choice.threads, error);
  if (!status) out->dtype = vc_backend_dtype(out->backend, choice.dtype);
  if (!status && choice.choices[0] && out->backend->load_choices)
    (void)out->backend->load_choices(out->device, choice.choices, NULL);
  return status;
}

void vc_machine_close(vc_compute *compute) {
  if (compute->device) compute->backend->close(compute->device);
  compute->device = NULL;
}
