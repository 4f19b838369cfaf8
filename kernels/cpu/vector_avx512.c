// Inner loops for AVX-512 (F, VL, BW, DQ); the Makefile gives this file the flags.
#include "kernels/cpu/vector.h"

#if defined(__AVX512F__) && defined(__AVX512VL__) && defined(__AVX512BW__) && defined(__AVX512DQ__)
#define TABLE vc_cpu_vector_avx512
#define NAME "avx512"
#define LANES 16
#include "kernels/cpu/vector_loops.h"
#else
const vc_cpu_vector *const vc_cpu_vector_avx512 = NULL;
#endif
