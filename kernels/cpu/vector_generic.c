// Inner loops for any machine: what the compiler makes of four lanes.
#define TABLE vc_cpu_vector_generic
#define NAME "generic"
#define LANES 4
#include "kernels/cpu/vector_loops.h"
