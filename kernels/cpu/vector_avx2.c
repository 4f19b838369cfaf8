// Inner loops for AVX2, FMA and F16C; the Makefile gives this file the flags.
#include "kernels/cpu/vector.h"

#if defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)
#define TABLE vc_cpu_vector_avx2
#define NAME "avx2"
#define LANES 8
#include "kernels/cpu/vector_loops.h"
#else
const vc_cpu_vector *const vc_cpu_vector_avx2 = NULL;
#endif
