#include "product.h"

#include <dnnl.h>

// What oneDNN asks libgomp for, which would otherwise start threads of its own.
extern "C" {
int omp_get_max_threads(void);
void omp_set_num_threads(int count);
}

void cuda_on_host::product(int64_t m, int64_t n, int64_t k, const float *x, const float *weight, float *out) {
  int allowed = omp_get_max_threads();
  omp_set_num_threads(1);
  dnnl_sgemm('N', 'T', m, n, k, 1, x, k, weight, k, 0, out, n);
  omp_set_num_threads(allowed);
}
