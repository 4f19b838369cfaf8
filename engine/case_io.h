// What a network's case function works with: the case's inputs in, results out.
//
// A case function reads the configuration and the inputs, checks them against each other, runs the network and hands
// over results by name. It is listed in case_networks.h.
#ifndef VC_ENGINE_CASE_IO_H
#define VC_ENGINE_CASE_IO_H

#include "engine/case.h"
#include "engine/graph.h"
#include "engine/json_fields.h"
#include "engine/parameters.h"

typedef struct vc_case_result {
  char *name;  // "output/NAME" or "trace/NAME"
  vc_tensor tensor;
} vc_case_result;

typedef struct vc_case {
  const char *path;
  const vc_case_options *options;
  const vc_tensor_file *file;
  const vc_tensor_file *weight_file;  // NULL: parameters are "param/KEY" in the case
  const vc_weights *weights;          // where parameters come from instead; NULL: from those
  const struct cJSON *config;
  vc_case_result *result;
  int results;
} vc_case;

typedef vc_status (*vc_case_function)(vc_case *c, vc_error *error);

// The input of this name, or NULL.
const vc_tensor *vc_case_find(const vc_case *c, const char *name);

enum { VC_ANY = -1 };

// The input of this name, which must be there with this rank and these dimensions (VC_ANY: any from 1 on), and without
// NaN and Inf. VC_FAILED says what it is and what is expected.
vc_status vc_case_input(const vc_case *c, const char *name, int rank, const int64_t *dim, const vc_tensor **out,
                        vc_error *error);

// The input's elements as floats, in the file's order or with dimension 1, the channels, moved to the end. The caller
// frees.
vc_status vc_case_floats(const vc_tensor *tensor, bool channels_last, float **out, vc_error *error);

// An F32 result of this shape, to be filled in: *data is owned by the case. `name` begins with "output/" or "trace/".
vc_status vc_case_new_result(vc_case *c, const char *name, int rank, const int64_t *dim, float **data, vc_error *error);

// The same for any dtype.
vc_status vc_case_new_tensor(vc_case *c, const char *name, vc_dtype dtype, int rank, const int64_t *dim, void **data,
                             vc_error *error);

// [n rows c] -> [n c rows] and back: channels-last to PyTorch's order.
void vc_channels_first(float *out, const float *in, int64_t n, int64_t rows, int64_t c);
void vc_channels_last(float *out, const float *in, int64_t n, int64_t rows, int64_t c);

// The case's parameters (or c->weights), for vc_parameters_load. Keys of a module without a name begin with a dot,
// which is not part of them. `weights` points into `c`.
vc_weights vc_case_weights(const vc_case *c);

// Path of a file named in a configuration: beside the case or in the data folder. VC_FAILED when it is in neither, or
// when the name is not that of a file in the same folder. The caller frees.
vc_status vc_case_file(const vc_case *c, const char *name, char **path, vc_error *error);

// Reads the case's configuration into *out (see vc_json_read).
vc_status vc_case_config(const vc_case *c, const vc_json_field *fields, int count, void *out, vc_error *error);

#endif
