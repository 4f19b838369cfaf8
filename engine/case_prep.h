// What the cases of preprocessing share: their inputs as pictures, motion vectors and whole numbers.
#ifndef VC_ENGINE_CASE_PREP_H
#define VC_ENGINE_CASE_PREP_H

#include "engine/case_networks.h"
#include "loaders/image.h"
#include "loaders/video.h"

// The input U8 [height, width, 3] as a picture that lies in the case's file: to be read, never freed.
vc_status vc_case_image(const vc_case *c, const char *name, vc_image *out, vc_error *error);

// A picture as a U8 result. The picture is freed.
vc_status vc_case_image_result(vc_case *c, const char *name, vc_image *image, vc_error *error);

// The reference output of this name, or NULL: cases may want less than all there is.
const vc_tensor *vc_case_wanted(const vc_case *c, const char *name);

// The case's input of integers of any size as int64, [count]; the caller frees. `rank` and `dim` as in vc_case_input.
vc_status vc_case_integers(const vc_case *c, const char *name, int rank, const int64_t *dim, int64_t **out,
                           int64_t *count, vc_error *error);

// The file that the configuration names in `file`. The caller frees.
vc_status vc_case_media(const vc_case *c, char **path, vc_error *error);

// A positive rate or time base in the configuration: "1/16384" or "20".
vc_status vc_case_ratio(const vc_case *c, const char *field, vc_ratio *out, vc_error *error);

// An F64 result of one number.
vc_status vc_case_number_result(vc_case *c, const char *name, double value, vc_error *error);

#endif
