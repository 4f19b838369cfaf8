// Calls of cuBLASLt and cuDNN that fail: what is reported, and what runs instead.
#include <criterion/criterion.h>

#ifndef VC_CUDA_LINKED
Test(cuda_libraries, implementations) {
  cr_skip_test("this build has no CUDA backend; CUDA_ON_HOST=1 has");
}
#else
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/cuda_ops.h"

Test(cuda_libraries, a_launch_that_fails_names_op_and_library) {
  static const struct {
    const cuda_shape *shape;
    const char *failure, *words;
  } cases[] = {{&cuda_small_linear, "cublasLtMatmul:1", "cuBLASLt"},
               {&cuda_small_conv, "cudnnBackendExecute:1", "cuDNN"},
               {&cuda_small_conv, "cudnnBackendFinalize:1", "cuDNN"},
               {&cuda_small_conv, "cudnnBackendCreateDescriptor:1", "cuDNN"}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    vc_device *device = cuda_open_device("90", VC_CUDA_VENDOR);
    if (!cuda_on_host(device)) {
      vc_backend_cuda.close(device);
      cr_skip_test("failures can be asked for on the host alone");
    }
    cuda_op r = cuda_op_make(device, cases[i].shape, VC_F16);
    vc_error error = {{0}};
    setenv("CUDA_ON_HOST_FAIL", cases[i].failure, 1);
    vc_status status = vc_op_run(&vc_backend_cuda, device, r.kind, &r.op, &error);
    unsetenv("CUDA_ON_HOST_FAIL");
    cr_expect_eq(status, VC_FAILED, "%s", cases[i].failure);
    char op[32];
    snprintf(op, sizeof op, "op %s", vc_op_name(r.kind));
    cr_expect(strstr(error.message, op) && strstr(error.message, cases[i].words), "%s: %s", cases[i].failure,
              error.message);
    cr_expect_eq(vc_cuda_dispatched(device, r.kind, cuda_variants[VC_CUDA_CUBLASLT]), 0);
    cr_expect_eq(vc_cuda_dispatched(device, r.kind, cuda_variants[VC_CUDA_CUDNN]), 0);
    cr_expect_eq(vc_op_run(&vc_backend_cuda, device, r.kind, &r.op, &error), VC_OK, "afterwards: %s", error.message);
    cuda_op_free(&r);
    vc_backend_cuda.close(device);
  }
}

// Every call that describes an op fails once: preparing goes on with another engine or with one of ours.
Test(cuda_libraries, a_description_that_fails_is_no_error) {
  static const char *const calls[] = {"cudnnBackendCreateDescriptor", "cudnnBackendFinalize", "cudnnHeuristics",
                                      "cublasLtMatmulAlgoGetHeuristic"};
  int own = 0, vendor = 0;
  for (size_t c = 0; c < sizeof calls / sizeof *calls; c++)
    for (int n = 1, unharmed = 0; n <= 64 && unharmed < 8; n++) {
      vc_device *device = cuda_open_device("90", VC_CUDA_VENDOR);
      if (!cuda_on_host(device)) {
        vc_backend_cuda.close(device);
        cr_skip_test("failures can be asked for on the host alone");
      }
      char failure[64];
      size_t workspace;
      snprintf(failure, sizeof failure, "%s:%d", calls[c], n);
      const cuda_shape *s = strstr(calls[c], "cudnn") ? &cuda_small_conv : &cuda_small_linear;
      cuda_op plan = cuda_op_plan(device, s, VC_F16);
      setenv("CUDA_ON_HOST_FAIL", failure, 1);
      cuda_op_prepare(&plan, &workspace);
      unsetenv("CUDA_ON_HOST_FAIL");
      int chosen = cuda_variant_index(vc_cuda_chosen(device, s->kind, &plan.op));
      if (chosen >= VC_CUDA_CUBLASLT)
        vendor++, unharmed++;
      else
        own++, unharmed = 0;
      cuda_op r = cuda_op_make(device, s, VC_F16);
      vc_error error;
      cr_expect_eq(vc_op_run(&vc_backend_cuda, device, r.kind, &r.op, &error), VC_OK, "%s: %s", failure, error.message);
      cr_expect_eq(vc_cuda_dispatched(device, r.kind, cuda_variants[chosen]), 1, "%s: not as %s", failure,
                   cuda_variants[chosen]);
      cuda_op_free(&r);
      vc_backend_cuda.close(device);
    }
  cr_expect(own >= 10 && vendor >= 10, "%d ours, %d of the vendor", own, vendor);
}
#endif
