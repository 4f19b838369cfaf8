// Counts the allocations that the program itself makes (not those inside shared libraries).
#ifndef VC_TESTS_ALLOCATIONS_H
#define VC_TESTS_ALLOCATIONS_H

#include <stdbool.h>
#include <stddef.h>

// False in builds whose sanitizer owns the allocator.
bool vc_allocations_counted(void);

// Calls of malloc, calloc, realloc, aligned_alloc and posix_memalign from this program's own code so far.
size_t vc_allocations(void);

#endif
