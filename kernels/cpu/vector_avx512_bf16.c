// Inner loops for AVX-512 with AVX512_BF16; the Makefile gives this file the flags where the compiler has them.
#include "kernels/cpu/vector.h"

#if defined(__AVX512F__) && defined(__AVX512VL__) && defined(__AVX512BW__) && defined(__AVX512DQ__) && \
    defined(__AVX512BF16__)
#include "kernels/cpu/product_bf16.h"
#define TABLE vc_cpu_vector_avx512_bf16
#define NAME "avx512_bf16"
#define LANES 16
#define ROUND_BF16 bf16_round
#define PRODUCT_BF16 bf16_product
#include "kernels/cpu/vector_loops.h"
#else
const vc_cpu_vector *const vc_cpu_vector_avx512_bf16 = NULL;
#endif
