// The emulator of CUDA threads: what it must report, kernel by kernel with a
// planted error. Errors end the process, so that each kernel runs in a child.
#include <criterion/criterion.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <cstdlib>
#include <string>
#include <vector>

#include "kernels/cuda/gpu.cuh"
#include "tests/cuda_memory.h"

// Tests that want work to be done late say so.
static void do_at_once(void) {
  unsetenv("CUDA_ON_HOST_ASYNC");
}

TestSuite(emulator, .init = do_at_once);

// ---- children

struct Outcome {
  std::string text;
  int status;
};

// What `body` prints to stderr in a process of its own, which ends after it.
template <class F>
static Outcome in_child(F body) {
  int ends[2];
  cr_assert_eq(pipe(ends), 0);
  pid_t child = fork();
  cr_assert_geq(child, 0);
  if (!child) {
    dup2(ends[1], STDERR_FILENO);
    close(ends[0]);
    body();
    _exit(0);
  }
  close(ends[1]);
  Outcome out = {"", -1};
  char part[4096];
  for (ssize_t n; (n = read(ends[0], part, sizeof part)) > 0;) out.text.append(part, (size_t)n);
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  out.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return out;
}

// ---- errors that are reported with the kernel's line

static __global__ void divergent_kernel(float *) {
  if (threadIdx.x < 32)
    __syncthreads();
  else
    __syncthreads();
}

static __global__ void missing_at_barrier_kernel(float *) {
  if (threadIdx.x < 32) named_barrier(1, 64);
}

static __global__ void wrong_count_kernel(float *) {
  named_barrier(1, threadIdx.x < 32 ? 64 : 32);
}

static __global__ void part_of_warp_kernel(float *) {
  named_barrier(1, 48);
}

static __global__ void returned_lane_kernel(float *out) {
  if (threadIdx.x == 5) return;
  out[threadIdx.x] = __shfl_xor_sync(~0u, 1.0f, 1);
}

static __global__ void not_in_mask_kernel(float *out) {
  out[threadIdx.x] = __shfl_sync(0xFFFFu, 1.0f, 0);
}

static __global__ void reads_outside_mask_kernel(float *out) {
  if (threadIdx.x % 32 < 16) out[threadIdx.x] = __shfl_sync(0xFFFFu, 1.0f, 20);
}

static __global__ void two_collectives_kernel(float *out) {
  if (threadIdx.x % 32 < 16)
    out[threadIdx.x] = (float)__any_sync(~0u, 1);
  else
    __syncwarp();
}

static __global__ void not_waited_kernel(float *out) {
  SHARED(float, x, [64]);
  cp_async<4>(shared_address(&x[threadIdx.x]), out + threadIdx.x, true);
  cp_async_commit();
}

static __global__ void misaligned_copy_kernel(float *out) {
  SHARED(float4, x, [64]);
  cp_async<16>(shared_address(&x[threadIdx.x]), out + 4 * threadIdx.x + 1, true);
  cp_async_commit();
  cp_async_wait<0>();
}

static __global__ void misaligned_matrix_kernel(float *) {
  SHARED(float4, x, [64]);
  uint32_t r[4];
  ldmatrix_x4(r, shared_address(x) + 8);
}

static __global__ void outside_kernel(float *) {
  SHARED(float4, x, [32]);
  uint32_t r[4];
  ldmatrix_x4(r, shared_address(x) + 16 * (threadIdx.x + 1));
}

static __global__ void too_much_static_kernel(float *out) {
  SHARED(float, x, [12289]);
  out[threadIdx.x] = x[threadIdx.x];
}

// Waits for a thread that will never come, in a loop.
static __global__ void spinning_kernel(float *) {
  while (threadIdx.x == 0) emu::yield_spin("a flag", __FILE__, __LINE__);
}

typedef void (*Kernel)(float *);

static const struct {
  const char *name;
  Kernel kernel;
  const char *words, *place;
} reported[] = {
    {"divergent __syncthreads", divergent_kernel, "divergent __syncthreads", "test_cuda_emulator.cpp"},
    {"a warp that does not come to a barrier", missing_at_barrier_kernel, "deadlock", "named barrier at"},
    {"a barrier for two numbers of threads", wrong_count_kernel, "others came for", "test_cuda_emulator.cpp"},
    {"a barrier for a warp and a half", part_of_warp_kernel, "whole warps", "test_cuda_emulator.cpp"},
    {"a shuffle with a lane that has returned", returned_lane_kernel, "has returned", "test_cuda_emulator.cpp"},
    {"a lane outside its own mask", not_in_mask_kernel, "is not in mask", "test_cuda_emulator.cpp"},
    {"a shuffle from outside the mask", reads_outside_mask_kernel, "reads lane 20", "test_cuda_emulator.cpp"},
    {"two collectives in a warp at once", two_collectives_kernel, "other lanes of the warp wait",
     "test_cuda_emulator.cpp"},
    {"cp.async not waited for", not_waited_kernel, "cp.async not waited for", "thread"},
    {"a misaligned source", misaligned_copy_kernel, "not aligned to 16", "test_cuda_emulator.cpp"},
    {"a misaligned matrix", misaligned_matrix_kernel, "not aligned to 16", "test_cuda_emulator.cpp"},
    {"a matrix outside the array", outside_kernel, "outside every shared array", "test_cuda_emulator.cpp"},
    {"too much static memory", too_much_static_kernel, "48 KiB", "block 0,0,0"},
    {"a loop that waits in vain", spinning_kernel, "deadlock", "test_cuda_emulator.cpp"},
};

Test(emulator, reports_misuse) {
  for (const auto &c : reported) {
    Outcome got = in_child([&] {
      setenv("EMU_ORDER", "fifo", 1);  // who complains depends on who comes first
      launch(c.kernel, 1, 64, 0, nullptr, device_floats(1024));
    });
    cr_expect_eq(got.status, 66, "%s: status %d, '%s'", c.name, got.status, got.text.c_str());
    cr_expect(got.text.find("EMU ERROR") != std::string::npos && got.text.find(c.words) != std::string::npos &&
                  got.text.find(c.place) != std::string::npos,
              "%s: '%s'", c.name, got.text.c_str());
  }
}

static __global__ void correct_kernel(float *all) {
  SHARED(float, x, [64]);
  float *out = all + 64 * blockIdx.x;
  cp_async<4>(shared_address(&x[threadIdx.x]), out + threadIdx.x, true);
  cp_async_commit();
  cp_async_wait<0>();
  __syncthreads();
  float v = x[63 - threadIdx.x];
  if (threadIdx.x < 32) v += (float)__popc(__ballot_sync(~0u, threadIdx.x & 1));
  __syncthreads();
  out[threadIdx.x] = v;
}

Test(emulator, is_silent_on_a_correct_kernel) {
  Outcome got = in_child([&] { launch(correct_kernel, 1, 64, 0, nullptr, device_floats(64)); });
  cr_expect(got.status == 0 && got.text.empty(), "status %d, '%s'", got.status, got.text.c_str());
}

Test(emulator, reports_pointers_to_the_host) {
  static float here[64];
  Outcome got = in_child([&] { launch(correct_kernel, 1, 64, 0, nullptr, here); });
  cr_expect(got.status == 66 && got.text.find("no memory of the device") != std::string::npos, "'%s'",
            got.text.c_str());
}

// ---- errors that show as NaN

static __global__ void fresh_kernel(float *out) {
  SHARED(float, x, [64]);
  out[threadIdx.x] = x[threadIdx.x];
}

static __global__ void fresh_dynamic_kernel(float *out) {
  SHARED_DYNAMIC(x);
  out[threadIdx.x] = ((float *)x)[threadIdx.x];
}

static __global__ void under_way_kernel(float *out) {
  SHARED(float, x, [64]);
  x[threadIdx.x] = 1;
  cp_async<4>(shared_address(&x[threadIdx.x]), out + threadIdx.x, true);
  cp_async_commit();
  float v = x[threadIdx.x];
  cp_async_wait<0>();
  out[threadIdx.x] = v;
}

// One group may still be under way: the second.
static __global__ void second_group_kernel(float *out) {
  SHARED(float, x, [128]);
  for (int i = 0; i < 2; i++) {
    cp_async<4>(shared_address(&x[64 * i + threadIdx.x]), out + threadIdx.x, true);
    cp_async_commit();
  }
  cp_async_wait<1>();
  float first = x[threadIdx.x], second = x[64 + threadIdx.x];
  cp_async_wait<0>();
  out[threadIdx.x] = first == first ? second : 0;
}

// Every thread reads what the one behind it writes. Whichever runs first reads
// what is not written yet.
static __global__ void no_barrier_kernel(float *out) {
  SHARED(float, x, [64]);
  x[threadIdx.x] = 1;
  out[threadIdx.x] = x[(threadIdx.x + 1) % 64];
}

static const struct {
  const char *name;
  Kernel kernel;
  int nans;  // at least
} spoiled[] = {
    {"fresh shared memory", fresh_kernel, 64},
    {"fresh dynamic memory", fresh_dynamic_kernel, 64},
    {"the target of a copy under way", under_way_kernel, 64},
    {"a group under way", second_group_kernel, 64},
    {"a missing barrier", no_barrier_kernel, 1},
};

Test(emulator, spoils_what_is_not_there_yet) {
  const char *orders[] = {"fifo", "lifo", "rand"};
  for (const auto &c : spoiled)
    for (const char *order : orders) {
      Outcome got = in_child([&] {
        setenv("EMU_ORDER", order, 1);
        float *out = device_floats(64);
        cudaMemset(out, 0, 256);
        launch(c.kernel, 1, 64, 256, nullptr, out);
        int nans = 0;
        for (float v : downloaded(out, 64)) nans += std::isnan(v);
        _exit(nans >= c.nans ? 3 : 4);
      });
      cr_expect_eq(got.status, 3, "%s, %s: status %d %s", c.name, order, got.status, got.text.c_str());
    }
}

// ---- what the sanitizers see through it

static __global__ void racing_kernel(float *out) {
  SHARED(float, sum, [1]);
  if (threadIdx.x == 0) sum[0] = 0;
  __syncthreads();
  if (threadIdx.x % 32 == 0) sum[0] += 1;
  __syncthreads();
  if (threadIdx.x == 0) out[0] = sum[0];
}

static __global__ void racing_blocks_kernel(float *out) {
  if (threadIdx.x == 0) out[0] = (float)blockIdx.x;
}

static __global__ void beyond_global_kernel(float *out) {
  out[256 + threadIdx.x] = 1;
}

static __global__ void beyond_shared_kernel(float *out) {
  SHARED(float, x, [64]);
  SHARED(float, y, [64]);
  y[threadIdx.x] = x[threadIdx.x] = 1;
  __syncthreads();
  const volatile float *p = x;
  out[threadIdx.x] = p[threadIdx.x + 1];
}

static __global__ void atomic_kernel(float *out) {
  if (threadIdx.x % 32 == 0) atomicAdd((int *)out, 1);
}

static const struct {
  const char *name;
  Kernel kernel;
  const char *words;
} sanitized[] = {
#if defined(__SANITIZE_THREAD__)
    {"a race between warps", racing_kernel, "data race"},
    {"a race between blocks", racing_blocks_kernel, "data race"},
    {"atomics", atomic_kernel, nullptr},
    {"a correct kernel", correct_kernel, nullptr},
#elif defined(__SANITIZE_ADDRESS__)
    {"a write beyond global memory", beyond_global_kernel, "heap-buffer-overflow"},
    {"a read beyond a shared array", beyond_shared_kernel, "AddressSanitizer"},
    {"a correct kernel", correct_kernel, nullptr},
#endif
    {nullptr, nullptr, nullptr},
};

Test(emulator, lets_sanitizers_see) {
  (void)racing_kernel, (void)racing_blocks_kernel, (void)beyond_global_kernel, (void)beyond_shared_kernel;
  (void)atomic_kernel;
  for (const auto &c : sanitized) {
    if (!c.name) continue;
    Outcome got = in_child([&] {
      float *out = device_floats(256);
      cudaMemset(out, 0, 1024);
      launch(c.kernel, 4, 64, 0, nullptr, out);
      cudaFree(out);
    });
    bool found = got.text.find(c.words ? c.words : "Sanitizer") != std::string::npos;
    cr_expect_eq(found, c.words != nullptr, "%s: '%s'", c.name, got.text.c_str());
  }
}

// ---- grids

// Every block leaves a number that depends on how its threads took turns.
static __global__ void turns_kernel(float *out) {
  SHARED(int, count, [1]);
  if (threadIdx.x + threadIdx.y == 0) count[0] = 0;
  __syncthreads();
  int turn = atomicAdd(count, 1);
  out[(blockIdx.y * gridDim.x + blockIdx.x) * 96 + threadIdx.y * 32 + threadIdx.x] =
      (float)(turn * 100 + (int)blockIdx.y * 10 + (int)blockIdx.x);
}

static std::string turns(const char *order, const char *seed, const char *threads) {
  return in_child([&] {
           setenv("EMU_ORDER", order, 1);
           setenv("EMU_SEED", seed, 1);
           setenv("EMU_THREADS", threads, 1);
           float *out = device_floats(15 * 96);
           launch(turns_kernel, dim3(5, 3), dim3(32, 3), 0, nullptr, out);
           for (float v : downloaded(out, 15 * 96)) fprintf(stderr, "%g ", v);
         })
      .text;
}

Test(emulator, takes_turns_by_order_and_seed_alone) {
  const char *orders[] = {"fifo", "lifo", "rand"};
  std::vector<std::string> seen;
  for (const char *order : orders) {
    std::string one = turns(order, "1", "1");
    cr_expect_gt(one.size(), 15 * 96 * 2u);
    for (int i = 0; i < 3; i++) cr_expect(turns(order, "1", "3") == one, "%s", order);
    for (const std::string &other : seen) cr_expect(other != one, "%s", order);
    seen.push_back(one);
  }
  cr_expect(turns("rand", "2", "1") != seen[2], "another seed");
}
