// The parameters of networks: found in files by name, checked, packed once into the backend's memory.
#ifndef VC_ENGINE_PARAMETERS_H
#define VC_ENGINE_PARAMETERS_H

#include "engine/graph.h"

// Where parameters come from. Tensors handed out stay valid until the source is closed.
typedef struct vc_weights {
  const char *name;  // for messages: the file
  void *source;
  const vc_tensor *(*find)(void *source, const char *key);  // NULL when there is none
  // Any may be NULL. In this order for every tensor; the first two by a thread of its own.
  void (*soon)(void *source, const vc_tensor *tensor);   // the tensor will be read shortly
  void (*fetch)(void *source, const vc_tensor *tensor);  // it is now; comes back when its data are in memory
  void (*done)(void *source, const vc_tensor *tensor);   // it has been packed
} vc_weights;

// The shape that source i of a parameter has in the file; returns its rank. Embeddings may have more leading ones.
int vc_param_file_shape(const vc_param_info *info, int i, int64_t dim[VC_MAX_DIMS]);

typedef enum vc_finding { VC_FOUND_MISSING, VC_FOUND_SHAPE, VC_FOUND_DTYPE } vc_finding;

// Calls `report` for every tensor that the graph asks for and the weights do not have, or have in another shape or in a
// dtype other than F32, F16, BF16. `detail` is a text such as "is [3, 4], expected [4, 3]". Returns their number.
int vc_parameters_audit(const vc_graph *graph, const vc_weights *weights,
                        void (*report)(void *opaque, vc_finding finding, const char *key, const char *detail),
                        void *opaque);

typedef struct vc_parameters vc_parameters;  // packed parameters; several plans may share them

vc_status vc_parameters_new(vc_parameters **out, const vc_backend *backend, vc_device *device, vc_dtype dtype,
                            vc_error *error);
void vc_parameters_free(vc_parameters *parameters);

// Packs every parameter of the graph that is not there yet. VC_FAILED lists what is missing or misshapen, or names the
// tensor that holds a NaN or an infinity; nothing is added then. `cancelled` (may be NULL) is polled between tensors.
vc_status vc_parameters_load(vc_parameters *parameters, const vc_graph *graph, const vc_weights *weights,
                             bool (*cancelled)(void *opaque), void *opaque, vc_error *error);

// Bytes that the graph's parameters take when packed for this backend and dtype.
vc_status vc_parameters_size(const vc_graph *graph, const vc_backend *backend, vc_dtype dtype, size_t *bytes,
                             vc_error *error);

// The packed parameter, or NULL when it has not been loaded.
void *vc_parameters_find(const vc_parameters *parameters, const vc_param_info *info);

// Bytes of all that is loaded.
size_t vc_parameters_bytes(const vc_parameters *parameters);

#endif
