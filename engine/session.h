// Inside of the engine: what a vc_engine holds, and how one network is loaded, run and dropped.
#ifndef VC_ENGINE_SESSION_H
#define VC_ENGINE_SESSION_H

#include "engine/model.h"
#include "engine/plan.h"
#include "engine/videocomposer.h"
#include "loaders/tokenizer.h"

struct vc_engine {
  vc_model model;
  vc_tokenizer *tokenizer;
  const vc_backend *backend;
  vc_device *device;
  vc_dtype dtype;     // that products are computed in
  char *choices;      // path, or NULL
  size_t max_memory;  // 0: no limit
  // Weights of networks that stay in memory between uses (vc_engine_hold), when no session has them.
  bool hold[VC_NETWORK_COUNT];
  vc_parameters *held[VC_NETWORK_COUNT];
};

// One network in memory: its parameters and a plan. More plans may share the parameters.
typedef struct vc_session {
  vc_engine *engine;
  const vc_callbacks *callbacks;
  vc_network network;
  vc_parameters *parameters;
  vc_plan *plan;
} vc_session;

// Loads what the graph asks for and plans it; takes the graph over, also on failure. A session that holds parameters
// of the same network already keeps them and gets a new plan. VC_INVALID when weights and activations would need more
// than the engine's max_memory; the message has the number.
vc_status vc_session_open(vc_session *session, vc_engine *engine, vc_network network, vc_graph *graph,
                          const vc_callbacks *callbacks, vc_error *error);
void vc_session_close(vc_session *session);

// From now on, closed sessions of this network leave its weights to the next one; with `hold` false no more, and what
// is held is dropped.
void vc_engine_hold(vc_engine *engine, vc_network network, bool hold);

// Sets or gets the value of this name. Setting a name that the graph does not have is an error of the program (assert).
vc_status vc_session_set(vc_session *session, const char *name, const void *data, vc_error *error);
vc_status vc_session_get(vc_session *session, const char *name, void *data, vc_error *error);

void vc_report_progress(const vc_callbacks *callbacks, const char *phase, int64_t done, int64_t total);
bool vc_report_cancelled(const vc_callbacks *callbacks);

#endif
