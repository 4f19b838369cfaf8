// Planted bugs that are chosen at run time: a kernel compiled with -include of this and with
// -DVC_MUTANT='vc_mutant_in<vc_mutant_file(__FILE__)>()' has the bug that VC_MUTANT=FILE:N names in the environment.
#ifndef VC_TESTS_CUDA_ON_HOST_MUTANTS_H
#define VC_TESTS_CUDA_ON_HOST_MUTANTS_H

#include <cstdint>
#include <cstdlib>

// FNV-1a of what is behind the last slash and before a colon.
constexpr uint64_t vc_mutant_file(const char *path) {
  constexpr uint64_t START = 14695981039346656037u, PRIME = 1099511628211u;
  uint64_t hash = START;
  for (; *path && *path != ':'; path++) hash = *path == '/' ? START : (hash ^ (unsigned char)*path) * PRIME;
  return hash;
}

struct vc_mutant_planted {
  uint64_t file = 0;
  int n = 0;
  vc_mutant_planted() {
    const char *name = std::getenv("VC_MUTANT");
    if (!name) return;
    file = vc_mutant_file(name);
    while (*name && *name != ':') name++;
    if (*name) n = std::atoi(name + 1);
  }
};

inline const vc_mutant_planted vc_mutant_now;

// The number of the bug in this file, or 0.
template <uint64_t FILE_HASH>
inline int vc_mutant_in() {
  return vc_mutant_now.file == FILE_HASH ? vc_mutant_now.n : 0;
}

#endif
