# VideoComposer in C. `make help` lists the targets.
.DEFAULT_GOAL := all
SHELL := /bin/bash

# A sanitizer has a build folder of its own: SANITIZE=address,undefined -> build/address-undefined
comma := ,
SANITIZE ?=
BUILD ?= build$(if $(SANITIZE),/$(subst $(comma),-,$(SANITIZE)))
OPTIMIZE ?= $(if $(SANITIZE),-O1,-O3)

PACKAGES := libpng libjpeg libwebp libwebpmux libwebpdemux libcjson libutf8proc zlib libavformat libavcodec libavutil libswscale
WARNINGS := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wpointer-arith
CFLAGS += -std=c11 $(OPTIMIZE) -g -pthread -fno-math-errno -ffp-contract=off $(WARNINGS)
CFLAGS += $(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-omit-frame-pointer -fno-sanitize-recover=all)
CPPFLAGS += -I. -D_GNU_SOURCE -MMD -MP $(shell pkg-config --cflags $(PACKAGES) 2>/dev/null)
LDFLAGS += -pthread $(if $(SANITIZE),-fsanitize=$(SANITIZE))
LDLIBS += $(shell pkg-config --libs $(PACKAGES) 2>/dev/null) -ldl -lm

LIBRARY_SOURCES := $(wildcard engine/*.c kernels/*.c kernels/cpu/*.c loaders/*.c)
CLI_SOURCES := $(wildcard cli/*.c) $(wildcard bench/*.c)
TEST_SOURCES := $(wildcard tests/test_*.c)
TEST_HELPERS := $(filter-out $(TEST_SOURCES),$(wildcard tests/*.c))

object = $(addprefix $(BUILD)/,$(addsuffix .o,$(basename $(1))))
LIBRARY := $(BUILD)/libvideocomposer.a
BINARY := $(BUILD)/videocomposer
TESTS := $(patsubst tests/%.c,$(BUILD)/tests/%,$(TEST_SOURCES))

all: $(BINARY)

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -c $< -o $@

$(LIBRARY): $(call object,$(LIBRARY_SOURCES))
	@rm -f $@
	$(AR) rcs $@ $^

$(BINARY): $(call object,$(CLI_SOURCES)) $(LIBRARY)
	$(CC) $(LDFLAGS) $^ $(LDLIBS) -o $@

tests: $(TESTS)

$(BUILD)/tests/%: $(BUILD)/tests/%.o $(call object,$(TEST_HELPERS)) $(LIBRARY)
	$(CC) $(LDFLAGS) $^ $(LDLIBS) -lcriterion -o $@

format:
	clang-format -i $$(git ls-files '*.c' '*.h' ':!third_party')

clean:
	rm -rf build

.PHONY: all tests format clean
.SECONDARY:
-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
