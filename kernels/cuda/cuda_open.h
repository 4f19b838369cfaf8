// How a CUDA device is opened, for whoever knows nothing else of the backend.
#ifndef VC_KERNELS_CUDA_OPEN_H
#define VC_KERNELS_CUDA_OPEN_H

#include "kernels/ops.h"

#ifdef __cplusplus
extern "C" {
#endif

// Which implementation runs where the vendor's libraries have one too.
typedef enum vc_cuda_library {
  VC_CUDA_MEASURED,  // the faster one, by measurement when a plan is made
  VC_CUDA_OWN,
  VC_CUDA_VENDOR,
} vc_cuda_library;

extern const vc_backend vc_backend_cuda;

// Opens device `ordinal`. VC_UNSUPPORTED when there is no driver or no such device, or it is older than sm_80.
typedef vc_status vc_cuda_opener(vc_device **out, int ordinal, vc_cuda_library library, vc_error *error);
vc_cuda_opener vc_cuda_open;

// How often an op ran as a variant ("simt", "mma", "wgmma", "cublaslt", "cudnn") since the device was opened.
uint64_t vc_cuda_dispatched(const vc_device *device, vc_op_kind kind, const char *variant);

// The variant that a linear layer or convolution with these arguments runs as; "none" when no kernel can.
const char *vc_cuda_chosen(const vc_device *device, vc_op_kind kind, const void *op);

// Runs it as this variant whatever was chosen, for tests and benchmarks. VC_UNSUPPORTED when it cannot.
vc_status vc_cuda_run_variant(vc_device *device, vc_op_kind kind, const char *variant, const void *op, vc_error *error);

// What was chosen by measurement, to be used again by a later process: written to a new file that then takes the place
// of `path`, and read back. A file that is not there, or was made on another GPU or with other versions of the driver,
// the libraries or this backend, has nothing to offer, which is no error; one that cannot be understood is VC_FAILED.
// `loaded` is how many choices were taken over, 0 unless the device was opened with VC_CUDA_MEASURED.
vc_status vc_cuda_choices_save(const vc_device *device, const char *path, vc_error *error);
vc_status vc_cuda_choices_load(vc_device *device, const char *path, int *loaded, vc_error *error);

#ifdef __cplusplus
}
#endif
#endif
