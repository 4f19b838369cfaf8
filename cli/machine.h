// The options that say what computes: the same in every command that runs networks.
#ifndef VC_CLI_MACHINE_H
#define VC_CLI_MACHINE_H

#include "cli/options.h"
#include "engine/backends.h"
#include "engine/videocomposer.h"

typedef struct vc_machine {
  int backend, dtype, device, threads;
} vc_machine;

extern const char *const vc_machine_backends[], *const vc_machine_dtypes[];

// The entries of an option table for the member `machine` of its struct of values.
// clang-format off
#define VC_MACHINE_OPTIONS(type, dtype_fallback)                                                                      \
  {.name = "backend", .kind = VC_OPTION_CHOICE, .field = offsetof(type, machine.backend),                             \
   .choices = vc_machine_backends, .fallback = "auto", .help = "what computes; auto: a GPU where there is one"},      \
  {.name = "dtype", .kind = VC_OPTION_CHOICE, .field = offsetof(type, machine.dtype),                                 \
   .choices = vc_machine_dtypes, .fallback = dtype_fallback,                                                          \
   .help = "of weights and products, on a GPU of activations too; auto: f16 on a GPU, f32 on the CPU"},               \
  {.name = "device", .kind = VC_OPTION_INT, .field = offsetof(type, machine.device), .min = 0, .max = 255,            \
   .fallback = "0", .help = "GPU number"},                                                                            \
  {.name = "threads", .kind = VC_OPTION_INT, .field = offsetof(type, machine.threads), .min = 0, .max = 1024,         \
   .fallback = "0", .help = "of the CPU; 0: as many as the process may use"}
// clang-format on

// As vc_backend_open takes them.
typedef struct vc_machine_choice {
  char backend[16];
  vc_dtype dtype;
  int threads;
  char choices[4096];  // the file of a GPU's choices, in the user's cache folder; empty: there is no such folder
} vc_machine_choice;

// VC_INVALID for options that do not go together.
vc_status vc_machine_choose(vc_machine_choice *out, const vc_machine *machine, vc_error *error);

// The same as fields of an engine's options; `choice` must live until the engine is open.
vc_status vc_machine_set(vc_engine_options *out, vc_machine_choice *choice, const vc_machine *machine, vc_error *error);

// Opens what the options say. On failure there is nothing to close.
vc_status vc_machine_open(vc_compute *out, const vc_machine *machine, vc_error *error);
void vc_machine_close(vc_compute *compute);

#endif
