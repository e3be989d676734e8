# The only Makefile.  `make help` lists the targets.
.DELETE_ON_ERROR:
.SUFFIXES:
.SECONDARY:
.DEFAULT_GOAL := all
MAKEFLAGS += --no-builtin-rules

PREFIX  ?= /usr/local
CC      ?= cc
AR      ?= ar
VARIANT ?= release
B       ?= build
O       := $(B)$(if $(filter release,$(VARIANT)),,/$(VARIANT))
VERSION := $(shell cat VERSION)

WARN := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition \
        -Wpointer-arith -Wwrite-strings -Wundef -Wvla -Wformat=2 -Wimplicit-fallthrough -Wconversion \
        -Wno-sign-conversion -Wno-unknown-warning-option -Wno-format-truncation
ARCH := $(shell uname -m)
CFLAGS_arch := $(if $(filter x86_64,$(ARCH)),-march=x86-64-v2)
CFLAGS_release := -O2 -g -D_FORTIFY_SOURCE=2 -fstack-protector-strong
CFLAGS_debug   := -O0 -g3 -DRASK_EXPENSIVE_CHECKS=1
CFLAGS_asan    := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -DRASK_EXPENSIVE_CHECKS=1
CFLAGS_tsan    := -O1 -g -fsanitize=thread
CFLAGS_cov     := -O0 -g --coverage
CFLAGS_fuzz    := -O1 -g -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all
ifeq ($(CFLAGS_$(VARIANT)),)
$(error unknown VARIANT '$(VARIANT)': release debug asan tsan cov fuzz)
endif

PKGS := libevent_core libevent_extra libevent_pthreads libprotobuf-c libcrypto libxxhash liblz4 yaml-0.1 libcurl
OUR_CPPFLAGS := -I. -Iapi/include -I$(O)/gen -D_GNU_SOURCE -DRASK_VERSION='"$(VERSION)"' -MMD -MP
OUR_CFLAGS   := -std=gnu11 $(WARN) -fvisibility=hidden -fPIE -fno-omit-frame-pointer -pthread $(CFLAGS_arch) \
                $(CFLAGS_$(VARIANT)) $(shell pkg-config --cflags $(PKGS))
OUR_LDFLAGS  := -pie -pthread -Wl,-z,relro,-z,now $(filter -fsanitize=% --coverage,$(CFLAGS_$(VARIANT)))
PKG_LIBS     := $(shell pkg-config --libs $(PKGS)) -ldl -lm

# One short line per step; V=1 shows the commands.
say = $(if $(V),,@printf '  %-5s %s\n' $(1) $(2); )
obj = $(patsubst %.c,$(O)/%.o,$(1))
cfiles = $(sort $(shell find $(1) -name '*.c' 2>/dev/null))

# A module.mk adds its archive to TEST_LIBS and its programs to programs; test/module.mk uses both and comes last.
include $(sort $(filter-out test/module.mk,$(wildcard */module.mk */*/module.mk))) test/module.mk

all: $(programs) $(TEST_LIBS)

$(O)/flags: FORCE
	@mkdir -p $(@D); echo '$(CC) $(OUR_CPPFLAGS) $(CPPFLAGS) $(OUR_CFLAGS) $(CFLAGS) $(OUR_LDFLAGS)' | cmp -s - $@ || \
	 echo '$(CC) $(OUR_CPPFLAGS) $(CPPFLAGS) $(OUR_CFLAGS) $(CFLAGS) $(OUR_LDFLAGS)' >$@
gen_hdrs := $(patsubst %.proto,$(O)/gen/%.pb-c.h,$(wildcard proto/*.proto))
$(O)/%.o: %.c $(O)/flags | $(gen_hdrs)
	@mkdir -p $(@D)
	$(call say,CC,$<)$(CC) $(OUR_CPPFLAGS) $(CPPFLAGS) $(OUR_CFLAGS) $(CFLAGS) -c -o $@ $<
$(O)/gen/%.pb-c.c $(O)/gen/%.pb-c.h: %.proto
	@mkdir -p $(O)/gen
	$(call say,PROTO,$<)protoc-c --c_out=$(O)/gen $<
$(O)/gen/%.pb-c.o: $(O)/gen/%.pb-c.c $(O)/flags | $(gen_hdrs)
	$(call say,CC,$<)$(CC) $(OUR_CPPFLAGS) $(CPPFLAGS) $(OUR_CFLAGS) -Wno-conversion $(CFLAGS) -c -o $@ $<
%.a:
	@mkdir -p $(@D); rm -f $@
	$(call say,AR,$@)$(AR) rcsD $@ $^
link = $(call say,LINK,$@)mkdir -p $(@D); $(CC) $(OUR_LDFLAGS) $(LDFLAGS) -o $@ $(filter %.o,$^) -Wl,--start-group $(filter %.a,$^) -Wl,--end-group -Wl,--as-needed $(PKG_LIBS) $(LDLIBS)

clean:
	rm -rf $(B)
.PHONY: all clean FORCE
-include $(shell find $(O) -name '*.d' 2>/dev/null)
