// Ctrl-C and kill: the first one asks the work to stop, the second one ends the program.
#ifndef VC_CLI_INTERRUPT_H
#define VC_CLI_INTERRUPT_H

#include "engine/status.h"

// From here on SIGINT and SIGTERM set a flag; a second one has its usual effect. A signal that was ignored when the
// program started (nohup, background jobs of a script) stays ignored.
void vc_interrupt_install(void);

// Whether the work is to stop. What polls it frees what it has, removes what it has half written and returns
// VC_INTERRUPTED.
bool vc_interrupted(void);

// VC_OK, or VC_INTERRUPTED with its message: "interrupted by SIGINT".
vc_status vc_interrupt_check(vc_error *error);

#endif
