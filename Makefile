# VideoComposer in C. `make help` lists the targets.
.DEFAULT_GOAL := all
SHELL := /bin/bash

# A sanitizer has a build folder of its own: SANITIZE=address,undefined -> build/address-undefined
comma := ,
SANITIZE ?=
BUILD ?= build$(if $(SANITIZE),/$(subst $(comma),-,$(SANITIZE)))
OPTIMIZE ?= $(if $(SANITIZE),-O1,-O3)

PACKAGES := libpng libjpeg libwebp libwebpmux libwebpdemux libcjson libutf8proc zlib libavformat libavcodec libavutil libswscale
PACKAGES_MISSING := $(shell pkg-config --exists $(PACKAGES) 2>/dev/null || echo yes)
WARNINGS := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wpointer-arith
CFLAGS += -std=c11 $(OPTIMIZE) -g -pthread -fno-math-errno -ffp-contract=off $(WARNINGS)
CFLAGS += $(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-omit-frame-pointer -fno-sanitize-recover=all)
CPPFLAGS := -I. -D_GNU_SOURCE -MMD -MP $(shell pkg-config --cflags $(PACKAGES) 2>/dev/null) $(CPPFLAGS)
LDFLAGS += -pthread $(if $(SANITIZE),-fsanitize=$(SANITIZE))
LDLIBS := $(shell pkg-config --libs $(PACKAGES) 2>/dev/null) -ldnnl -lgomp -ldl -lm $(LDLIBS)

LIBRARY_SOURCES := $(wildcard engine/*.c kernels/*.c kernels/cpu/*.c loaders/*.c)
COMMAND_SOURCES := $(filter-out cli/main.c,$(wildcard cli/*.c bench/*.c)) cli/assets_data.S
TEST_SOURCES := $(wildcard tests/test_*.c)
TEST_HELPERS := $(filter-out $(TEST_SOURCES),$(wildcard tests/*.c))
EMULATOR_TESTS := $(wildcard tests/test_cuda_*.cpp)
FUZZ_SOURCES := $(wildcard tests/fuzz/fuzz_*.c)

# The CUDA backend: with CUDA_ON_HOST=1 its sources are compiled for the CPU and linked in, with stand-ins for the runtime
# and the vendor's libraries; otherwise nvcc makes videocomposer_cuda.so of them, which the program opens when asked for.
NVCC ?= $(shell command -v nvcc || ls /usr/local/cuda/bin/nvcc 2>/dev/null)
CUDA_HOME ?= $(if $(NVCC),$(abspath $(dir $(realpath $(NVCC)))/..))
CUDA_INCLUDE := $(if $(CUDA_HOME),$(wildcard $(CUDA_HOME)/include/cuda_runtime_api.h))
CUDA_READY := $(if $(and $(NVCC),$(CUDA_INCLUDE),$(wildcard $(CUDA_HOME)/include/cublasLt.h),$(wildcard $(CUDA_HOME)/include/cudnn.h \
  /usr/include/cudnn.h)),yes)
CUDA_ON_HOST ?=
CUDA_SOURCES := $(wildcard kernels/cuda/*.c kernels/cuda/*.cu)
ifneq ($(CUDA_ON_HOST),)
EMULATOR_SOURCES := $(wildcard tests/cuda_on_host/*.cpp)
LIBRARY_SOURCES += $(CUDA_SOURCES) $(EMULATOR_SOURCES)
TEST_SOURCES += $(EMULATOR_TESTS)
CPPFLAGS := -DVC_CUDA_LINKED -isystem $(CUDA_HOME)/include -Itests/cuda_on_host $(CPPFLAGS)
LINK := $(CXX)
endif
# With CUDA_ON_GPU=1 programs are linked with nvcc's library, so that the tests of the ops run on a GPU.
ifneq ($(CUDA_ON_GPU),)
CPPFLAGS := -DVC_CUDA_LINKED -isystem $(CUDA_HOME)/include $(CPPFLAGS)
LDLIBS := build/videocomposer_cuda.so -Wl,-rpath,'$$ORIGIN/..:$$ORIGIN/../..' -Wl,--allow-shlib-undefined $(LDLIBS) \
  -L$(CUDA_HOME)/lib64 -L$(CUDA_HOME)/lib -lcudart_static -lrt
endif
LINK ?= $(CC)

object = $(addprefix $(BUILD)/,$(addsuffix .o,$(basename $(1))))
LIBRARY := $(BUILD)/libvideocomposer.a
COMMANDS := $(BUILD)/libcommands.a
HELPERS := $(BUILD)/libhelpers.a
BINARY := $(BUILD)/videocomposer
TESTS := $(patsubst tests/%,$(BUILD)/tests/%,$(basename $(TEST_SOURCES)))
FUZZERS := $(patsubst tests/fuzz/%.c,$(BUILD)/fuzzers/%,$(FUZZ_SOURCES))

# What a target that installs packages starts runs in a make of its own, which finds them; on all cores unless -j was given.
SUBMAKE = $(MAKE) --no-print-directory $(if $(filter -j%,$(MAKEFLAGS)),,-j$(shell nproc))

# With a CUDA toolkit the backend for GPUs is a part of the product.
CUDA_LIBRARY = build/videocomposer_cuda.so
all: $(BINARY) $(if $(and $(CUDA_READY),$(filter build,$(BUILD))),$(CUDA_LIBRARY))
all: ## build build/videocomposer, and build/videocomposer_cuda.so where nvcc is (SANITIZE=address,undefined: build/address-undefined/)

$(BUILD)/%.o: %.c | packages
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -c $< -o $@

$(BUILD)/%.o: %.S | packages
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) -c $< -o $@

$(BUILD)/cli/assets_data.o: $(shell find cli/assets third_party/clip -type f)

# Kernels take CUDA's aliasing rules: 16 bytes may be loaded as any type.
CXXFLAGS += -std=c++17 $(OPTIMIZE) -g -pthread -fno-strict-aliasing -fno-math-errno -ffp-contract=off -Wall -Wextra -Werror \
  -Wno-unknown-pragmas -Wno-maybe-uninitialized -Wno-psabi
# Enumerations come from C, where any value may be in one: it is the kernels' checks that are to refuse it.
INSTRUMENT = $(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-omit-frame-pointer -fno-sanitize-recover=all -fno-sanitize=enum)
$(BUILD)/kernels/cuda/%.o: kernels/cuda/%.cu | packages
	@mkdir -p $(@D)
	$(CXX) $(CPPFLAGS) $(CXXFLAGS) $(INSTRUMENT) -x c++ -c $< -o $@

$(BUILD)/tests/test_cuda_%.o: tests/test_cuda_%.cpp | packages
	@mkdir -p $(@D)
	$(CXX) $(CPPFLAGS) $(CXXFLAGS) $(INSTRUMENT) -c $< -o $@

# The emulator itself is never instrumented: only kernels are checked. The instruction sets matter for its speed alone.
AVX2 = $(if $(shell grep -m1 -w avx2 /proc/cpuinfo),-mavx2 -mfma -mf16c)
$(BUILD)/tests/cuda_on_host/%.o: tests/cuda_on_host/%.cpp
	@mkdir -p $(@D)
	$(CXX) $(CPPFLAGS) $(CXXFLAGS) -O2 $(AVX2) $(if $(findstring address,$(SANITIZE)),-DEMU_ASAN) \
	  $(if $(findstring thread,$(SANITIZE)),-DEMU_TSAN) -c $< -o $@

packages:
	$(if $(PACKAGES_MISSING),@echo 'libraries are missing; tests/install_packages installs them:' >&2; \
	  pkg-config --print-errors --exists $(PACKAGES),@:)

# The same inner loops for three instruction sets; the device picks a table when it opens. Selections vectorise only when
# no floating-point trap is promised.
$(BUILD)/kernels/cpu/vector_%.o: CFLAGS += -fno-trapping-math
$(BUILD)/kernels/cpu/vector_avx2.o: CFLAGS += -mavx2 -mfma -mf16c -ffp-contract=fast
$(BUILD)/kernels/cpu/vector_avx512.o: CFLAGS += -mavx512f -mavx512vl -mavx512bw -mavx512dq -mfma -mf16c \
  -mprefer-vector-width=512 -ffp-contract=fast
AVX512_BF16 := $(shell $(CC) -mavx512bf16 -fsyntax-only -xc /dev/null 2>/dev/null && echo -mavx512bf16)
$(BUILD)/kernels/cpu/vector_avx512_bf16.o: CFLAGS += -mavx512f -mavx512vl -mavx512bw -mavx512dq -mfma -mf16c \
  $(AVX512_BF16) -mprefer-vector-width=512 -ffp-contract=fast

$(LIBRARY): $(call object,$(LIBRARY_SOURCES))
	@rm -f $@
	$(AR) rcs $@ $^

$(COMMANDS): $(call object,$(COMMAND_SOURCES))
	@rm -f $@
	$(AR) rcs $@ $^

$(BINARY): $(BUILD)/cli/main.o $(COMMANDS) $(LIBRARY)
	$(LINK) $(LDFLAGS) $^ $(LDLIBS) -o $@

tests: $(TESTS)

$(HELPERS): $(call object,$(TEST_HELPERS))
	@rm -f $@
	$(AR) rcs $@ $^

# Criterion's runner finds no place in memory under ThreadSanitizer.
TEST_RUNNER = $(if $(findstring thread,$(SANITIZE)),$(BUILD)/tests/cuda_on_host/run_tests.o)
$(BUILD)/tests/%: $(BUILD)/tests/%.o $(HELPERS) $(COMMANDS) $(LIBRARY) $(TEST_RUNNER)
	$(LINK) $(LDFLAGS) $^ $(LDLIBS) $(if $(TEST_RUNNER),,-lcriterion) -o $@

# What tests need besides libraries; a program from elsewhere than a package is as good.
TEST_PROGRAMS = python3 $(if $(CUDA_READY),g++)
TEST_PACKAGES = libcriterion-dev $(foreach program,$(TEST_PROGRAMS),$(if $(shell command -v $(program)),,$(program)))

check: ## install what is missing, build and run the tests, then again under the address and undefined-behaviour sanitizers
	@tests/install_packages $(TEST_PACKAGES)
	@$(SUBMAKE) tests all
	@$(if $(SANITIZE),:,$(SUBMAKE) tests all SANITIZE=address,undefined)
	@$(if $(SANITIZE),:,$(SUBMAKE) cuda-on-host-tests)
	@tests/run $(TESTS) $(if $(SANITIZE),,$(patsubst build/%,build/address-undefined/%,$(TESTS)) $(CUDA_RUNS))

cuda-on-host: ## build build/cuda_on_host/videocomposer: the CUDA backend on the CPU, to test it without a GPU
	@tests/install_packages
	@$(SUBMAKE) all CUDA_ON_HOST=1 BUILD=build/cuda_on_host$(if $(SANITIZE),/$(subst $(comma),-,$(SANITIZE)))

# The tests of the CUDA backend on the CPU: all of them; those of the ops again in other orders of threads and blocks, with
# late completion of what is asynchronous; all with kernels under AddressSanitizer; those of the ops under ThreadSanitizer.
CUDA_TESTS = $(basename $(notdir $(wildcard tests/test_ops_*.c tests/test_cuda_*.c) $(EMULATOR_TESTS)))
CUDA_OP_TESTS = $(basename $(notdir $(wildcard tests/test_ops_*.c) $(EMULATOR_TESTS)))
ON_HOST = build/cuda_on_host
on_host = $(patsubst %,$(ON_HOST)/$(1)tests/%,$(2))
ifneq ($(CUDA_READY),)
CUDA_RUNS = EMU_ORDER=fifo $(call on_host,,$(CUDA_TESTS)) OP_ONLY=F16 \
  EMU_ORDER=lifo CUDA_ON_HOST_ASYNC=1 $(call on_host,,$(CUDA_OP_TESTS)) CUDA_ON_HOST_ASYNC= \
  EMU_ORDER=rand $(foreach seed,1 2 3,EMU_SEED=$(seed) $(call on_host,,$(CUDA_OP_TESTS))) \
  EMU_ORDER=fifo $(call on_host,address-undefined/,$(CUDA_TESTS)) \
  TSAN_OPTIONS=suppressions=tests/cuda_on_host/tsan.suppressions:atexit_sleep_ms=0 $(call on_host,thread/,$(CUDA_OP_TESTS))
else
CUDA_RUNS = --skip='the CUDA backend on the CPU needs the headers of a CUDA toolkit, cuBLASLt and cuDNN; no nvcc with them is here'
endif
cuda-on-host-tests:
ifneq ($(CUDA_READY),)
	+@$(SUBMAKE) CUDA_ON_HOST=1 BUILD=$(ON_HOST) all $(call on_host,,$(CUDA_TESTS))
	+@$(SUBMAKE) CUDA_ON_HOST=1 BUILD=$(ON_HOST)/address-undefined SANITIZE=address,undefined all \
	  $(call on_host,address-undefined/,$(CUDA_TESTS))
	+@$(SUBMAKE) CUDA_ON_HOST=1 BUILD=$(ON_HOST)/thread SANITIZE=thread $(call on_host,thread/,$(CUDA_OP_TESTS))
endif

cuda-on-host-check: ## the tests of the CUDA backend alone, without a GPU: every order, and under three sanitizers
	@tests/install_packages $(TEST_PACKAGES)
	@$(SUBMAKE) cuda-on-host-tests
	@tests/run $(CUDA_RUNS)

mutants: ## plant every bug that the kernels name, one by one, and see the tests of the ops find it
	@tests/install_packages $(TEST_PACKAGES)
	@tests/cuda_on_host/mutants

cuda-on-host-commands: # how a kernel is compiled, a test linked, and with what
	@echo '$(CXX) $(CPPFLAGS) $(CXXFLAGS) $(INSTRUMENT) -x c++'
	@echo '$(LINK) $(LDFLAGS)'
	@echo '$(HELPERS) $(COMMANDS) $(LIBRARY) $(TEST_RUNNER) $(LDLIBS) $(if $(TEST_RUNNER),,-lcriterion)'

# nvcc's machine code for both generations in one object; kernels in *_sm90.cu need instructions that only sm_90a has.
# A register that does not fit is an error; the report of registers and shared memory goes to build/cuda/*.ptxas.
NVCC_FLAGS = -std=c++17 -O3 -lineinfo -I. -D_GNU_SOURCE -MMD -MP -Xcompiler -fPIC,-Wall,-Wextra,-Wno-unused-parameter \
  -Werror all-warnings -Xptxas -v,-warn-spills,-Werror
SM80 = -gencode=arch=compute_80,code=sm_80
SM90 = -gencode=arch=compute_90a,code=sm_90a
CUDA_OBJECTS = $(patsubst %,build/cuda/%.o,$(CUDA_SOURCES) engine/status.c engine/tensor.c kernels/ops.c kernels/op_checks.c)
cuda: $(CUDA_LIBRARY) ## compile every kernel for sm_80 and sm_90a, with nvcc's resource report in build/cuda/

build/cuda/%.cu.o: %.cu
	@mkdir -p $(@D)
	@echo $(NVCC) $< && $(NVCC) $(NVCC_FLAGS) $(if $(findstring _sm90,$<),,$(SM80)) $(SM90) -c $< -o $@ >$@.ptxas 2>&1 || \
	  { cat $@.ptxas; rm -f $@; exit 1; }

build/cuda/%.c.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) -isystem $(CUDA_HOME)/include $(CFLAGS) -fPIC -c $< -o $@

$(CUDA_LIBRARY): $(CUDA_OBJECTS)
	$(NVCC) -shared -cudart static $^ -lcublasLt -lcudnn -Xlinker -soname,$(@F) -o $@

# The building blocks of the kernels, each by itself: what they do here, to compare with what they do elsewhere.
PROBE_SOURCES = bench/probe.cu bench/probe_sm90.cu
probe: build/probe ## compile build/probe, which writes what each building block of the kernels does on a GPU as JSON
build/probe: $(PROBE_SOURCES:%=build/cuda/%.o)
	$(NVCC) -cudart static $^ -o $@

# The same of the emulator, kept as what a GPU must agree with.
ifneq ($(CUDA_ON_HOST),)
$(BUILD)/bench/%.o: bench/%.cu | packages
	@mkdir -p $(@D)
	$(CXX) $(CPPFLAGS) $(CXXFLAGS) $(INSTRUMENT) -x c++ -c $< -o $@
$(BUILD)/probe: $(call object,$(PROBE_SOURCES)) $(LIBRARY)
	$(LINK) $(LDFLAGS) $^ $(LDLIBS) -o $@
endif
probe-emulator: ## write bench/results/probe-emulator.json anew
	@$(SUBMAKE) CUDA_ON_HOST=1 BUILD=$(ON_HOST) $(ON_HOST)/probe
	$(ON_HOST)/probe bench/results/probe-emulator.json

GPU_TESTS = $(patsubst tests/%.c,build/gpu/tests/%,$(wildcard tests/test_ops_*.c tests/test_cuda_device.c tests/test_cuda_networks.c \
  tests/test_cuda_choose.c tests/test_cuda_sm90.c))
gpu-check: ## build everything for a GPU, then check and measure the one that is here: bench/gpu_check says what
	@tests/install_packages libcriterion-dev
	@$(SUBMAKE) all cuda probe
	@$(SUBMAKE) CUDA_ON_GPU=1 BUILD=build/gpu $(GPU_TESTS)
	bench/gpu_check

DEMO = cli/assets/demo
DEMO_GENERATE = $(BINARY) generate
demo: ## install what is missing, build, and make five small videos and a strip of them: build/demo/
	@tests/install_packages
	@$(SUBMAKE) all
	@mkdir -p build/demo
	$(DEMO_GENERATE) --prompt 'a yellow square over a blue background' --seed 13 -o build/demo/text.gif
	$(DEMO_GENERATE) --prompt 'a red circle over a gray background' --depth $(DEMO)/depth --seed 1 -o build/demo/depth.gif
	$(DEMO_GENERATE) --prompt 'a green circle over a beige background' --sketch-video $(DEMO)/sketch --seed 12 -o build/demo/sketch.gif
	$(DEMO_GENERATE) --prompt 'an orange circle over a black background' --strokes $(DEMO)/strokes.json --seed 13 -o build/demo/motion.gif
	$(DEMO_GENERATE) --prompt 'a blue circle over a gray background' --source $(DEMO)/source --mask $(DEMO)/mask.png --seed 14 -o build/demo/inpaint.gif
	$(BINARY) strip $(foreach name,text depth sketch motion inpaint,build/demo/$(name).gif) -o build/demo/strip.png
	@echo 'build/demo/strip.png: a row a video: text; text and depth; text and sketch; text and motion; inpainting'

TORCH_PYTHON ?= python3
bench: all ## measure this machine in some fifteen minutes: bench/results/ and README's figures (QUICK=1: embedded model only)
	python3 bench/collect.py --binary $(BINARY) --torch-python '$(TORCH_PYTHON)' $(if $(QUICK),--quick)
	python3 bench/render.py

# Only printed: a profile is for a person to read. A phase of a job and an op are NVTX ranges, an op's named like its module
# (`plan --released --ops` lists them). A recorded step is replayed as one graph, which nsys shows by node and without the
# ops' ranges; `bench step` runs its ops one by one too, and ncu finds them there.
PROFILE_RANGE ?= middle_block.1.transformer_blocks.0.attn1
PROFILE_KERNEL ?= attention
PROFILE_STEP = $(BINARY) bench step --released --runs 1
profile: ## print command lines for nsys, ncu and perf (PROFILE_RANGE=MODULE, PROFILE_KERNEL=REGEX choose for ncu)
	@printf '%s\n' \
	  '# a whole job on a GPU: phases, ops while they are recorded, every kernel' \
	  "nsys profile --trace=cuda,nvtx,cublas,cudnn --cuda-graph-trace=node --force-overwrite=true --output=$(BUILD)/profile \\" \
	  "  $(BINARY) generate --backend cuda --prompt 'a red circle' -o $(BUILD)/profile.gif" \
	  'nsys stats --report nvtx_gpu_proj_sum,cuda_gpu_kern_sum $(BUILD)/profile.nsys-rep' \
	  '# one op of a step of the released UNet, with all that it launches, and then kernels by their names' \
	  "ncu --nvtx --nvtx-include '$(PROFILE_RANGE)/' --set full --force-overwrite --export $(BUILD)/profile-op \\" \
	  '  $(PROFILE_STEP) --backend cuda' \
	  "ncu --kernel-name 'regex:$(PROFILE_KERNEL)' --launch-count 8 --set full --force-overwrite \\" \
	  '  --export $(BUILD)/profile-kernel $(PROFILE_STEP) --backend cuda' \
	  '# the same step on the CPU' \
	  'perf record -F 499 -o $(BUILD)/perf.data $(PROFILE_STEP) --backend cpu' \
	  'perf report -i $(BUILD)/perf.data --sort dso,symbol'

FUZZ_BUILD ?= build/fuzz
FUZZ_SECONDS ?= 60
FUZZ_RUNS ?= 20000
FUZZ_NAMES = $(patsubst tests/fuzz/fuzz_%.c,%,$(FUZZ_SOURCES))
FUZZ_OPTIONS = -timeout=20 -rss_limit_mb=2560 -verbosity=0
fuzz: fuzz-build ## fuzz every reader of untrusted files for FUZZ_SECONDS (60) each, with clang
	@set -e; for name in $(FUZZ_NAMES); do \
	  seeds=tests/fuzz/corpus/$$name; mkdir -p $(FUZZ_BUILD)/corpus/$$name; echo "fuzzing $$name for $(FUZZ_SECONDS) s"; \
	  $(FUZZ_BUILD)/fuzzers/fuzz_$$name -max_total_time=$(FUZZ_SECONDS) $(FUZZ_OPTIONS) -print_final_stats=1 \
	    -artifact_prefix=$(FUZZ_BUILD)/$$name- $(FUZZ_BUILD)/corpus/$$name $$([ ! -d $$seeds ] || echo $$seeds); done

fuzz-check: fuzz-build ## the same for FUZZ_RUNS (20000) inputs or 10 s each, the same ones every time
	@set -e; for name in $(FUZZ_NAMES); do \
	  seeds=tests/fuzz/corpus/$$name; rm -rf $(FUZZ_BUILD)/check; mkdir $(FUZZ_BUILD)/check; \
	  $(FUZZ_BUILD)/fuzzers/fuzz_$$name -seed=1 -runs=$(FUZZ_RUNS) -max_total_time=10 $(FUZZ_OPTIONS) \
	    -artifact_prefix=$(FUZZ_BUILD)/$$name- $(FUZZ_BUILD)/check $$([ ! -d $$seeds ] || echo $$seeds) || \
	    { echo "fuzzing $$name failed; the input is $(FUZZ_BUILD)/$$name-*"; exit 1; }; done; echo "$(words $(FUZZ_NAMES)) readers fuzzed"

# The fuzzer and the sanitizers are a package of their own, which clang's only recommends.
fuzz-build:
	@tests/install_packages clang libclang-rt-dev
	@$(SUBMAKE) fuzzers CC=clang SANITIZE=address,undefined BUILD=$(FUZZ_BUILD) OPTIMIZE='-O1 -fsanitize=fuzzer-no-link'

fuzzers: $(FUZZERS)

$(BUILD)/fuzzers/%: $(BUILD)/tests/fuzz/%.o $(COMMANDS) $(LIBRARY)
	@mkdir -p $(@D)
	$(LINK) $(LDFLAGS) -fsanitize=fuzzer $^ $(LDLIBS) -o $@

# Versions format differently; CI checks with this one.
CLANG_FORMAT ?= $(shell command -v clang-format-14 || echo clang-format)
format: ## clang-format every C file
	$(CLANG_FORMAT) -i $$(git ls-files '*.c' '*.h' '*.cpp' '*.cu' '*.cuh' ':!third_party')

clean: ## remove build/
	rm -rf build

help: ## list the targets
	@sed -nE 's/^([a-z-]+):[^#]*## (.*)/  \1\t\2/p' Makefile | expand -t 12

.PHONY: all tests check cuda cuda-on-host cuda-on-host-tests cuda-on-host-check cuda-on-host-commands mutants probe probe-emulator gpu-check demo bench profile fuzz fuzz-check fuzz-build fuzzers format clean help packages
.SECONDARY:
-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
