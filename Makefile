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
FUZZ_SOURCES := $(wildcard tests/fuzz/fuzz_*.c)

object = $(addprefix $(BUILD)/,$(addsuffix .o,$(basename $(1))))
LIBRARY := $(BUILD)/libvideocomposer.a
COMMANDS := $(BUILD)/libcommands.a
HELPERS := $(BUILD)/libhelpers.a
BINARY := $(BUILD)/videocomposer
TESTS := $(patsubst tests/%.c,$(BUILD)/tests/%,$(TEST_SOURCES))
FUZZERS := $(patsubst tests/fuzz/%.c,$(BUILD)/fuzzers/%,$(FUZZ_SOURCES))

# What a target that installs packages starts runs in a make of its own, which finds them; on all cores unless -j was given.
SUBMAKE = $(MAKE) --no-print-directory $(if $(filter -j%,$(MAKEFLAGS)),,-j$(shell nproc))

all: $(BINARY) ## build build/videocomposer (SANITIZE=address,undefined: build/address-undefined/videocomposer)

$(BUILD)/%.o: %.c | packages
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -c $< -o $@

$(BUILD)/%.o: %.S | packages
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) -c $< -o $@

$(BUILD)/cli/assets_data.o: $(shell find cli/assets third_party/clip -type f)

packages:
	$(if $(PACKAGES_MISSING),@echo 'libraries are missing; tests/install_packages installs them:' >&2; \
	  pkg-config --print-errors --exists $(PACKAGES),@:)

# The same inner loops for three instruction sets; the device picks a table when it opens. Selections vectorise only when
# no floating-point trap is promised.
$(BUILD)/kernels/cpu/vector_%.o: CFLAGS += -fno-trapping-math
$(BUILD)/kernels/cpu/vector_avx2.o: CFLAGS += -mavx2 -mfma -mf16c -ffp-contract=fast
$(BUILD)/kernels/cpu/vector_avx512.o: CFLAGS += -mavx512f -mavx512vl -mavx512bw -mavx512dq -mfma -mf16c \
  -mprefer-vector-width=512 -ffp-contract=fast

$(LIBRARY): $(call object,$(LIBRARY_SOURCES))
	@rm -f $@
	$(AR) rcs $@ $^

$(COMMANDS): $(call object,$(COMMAND_SOURCES))
	@rm -f $@
	$(AR) rcs $@ $^

$(BINARY): $(BUILD)/cli/main.o $(COMMANDS) $(LIBRARY)
	$(CC) $(LDFLAGS) $^ $(LDLIBS) -o $@

tests: $(TESTS)

$(HELPERS): $(call object,$(TEST_HELPERS))
	@rm -f $@
	$(AR) rcs $@ $^

$(BUILD)/tests/%: $(BUILD)/tests/%.o $(HELPERS) $(COMMANDS) $(LIBRARY)
	$(CC) $(LDFLAGS) $^ $(LDLIBS) -lcriterion -o $@

check: ## install what is missing, build and run the tests, then again under the address and undefined-behaviour sanitizers
	@tests/install_packages libcriterion-dev
	@$(SUBMAKE) tests all
	@$(if $(SANITIZE),:,$(SUBMAKE) tests all SANITIZE=address,undefined)
	@tests/run $(TESTS) $(if $(SANITIZE),,$(patsubst build/%,build/address-undefined/%,$(TESTS)))

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
bench: all ## measure this machine in some ten minutes: bench/results/ and README's figures (QUICK=1: embedded model only)
	python3 bench/collect.py --binary $(BINARY) --torch-python '$(TORCH_PYTHON)' $(if $(QUICK),--quick)
	python3 bench/render.py

FUZZ_BUILD ?= build/fuzz
FUZZ_SECONDS ?= 60
FUZZ_RUNS ?= 20000
FUZZ_NAMES = $(patsubst tests/fuzz/fuzz_%.c,%,$(FUZZ_SOURCES))
FUZZ_OPTIONS = -timeout=20 -rss_limit_mb=2560 -verbosity=0
fuzz: fuzz-build ## fuzz every reader of untrusted files for FUZZ_SECONDS (60) each; needs clang
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

fuzz-build:
	@$(SUBMAKE) fuzzers CC=clang SANITIZE=address,undefined BUILD=$(FUZZ_BUILD) OPTIMIZE='-O1 -fsanitize=fuzzer-no-link'

fuzzers: $(FUZZERS)

$(BUILD)/fuzzers/%: $(BUILD)/tests/fuzz/%.o $(COMMANDS) $(LIBRARY)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -fsanitize=fuzzer $^ $(LDLIBS) -o $@

# Versions format differently; CI checks with this one.
CLANG_FORMAT ?= $(shell command -v clang-format-14 || echo clang-format)
format: ## clang-format every C file
	$(CLANG_FORMAT) -i $$(git ls-files '*.c' '*.h' ':!third_party')

clean: ## remove build/
	rm -rf build

help: ## list the targets
	@sed -nE 's/^([a-z-]+):[^#]*## (.*)/  \1\t\2/p' Makefile | expand -t 12

.PHONY: all tests check demo bench fuzz fuzz-check fuzz-build fuzzers format clean help packages
.SECONDARY:
-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
