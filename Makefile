# The only Makefile, not recursive: each folder's module.mk names its sources, archives and programs.
# `make help` lists the targets.
#   VARIANT=release|debug|asan|tsan|cov|fuzz   what to build; other than release it goes to build/VARIANT
#   CC, CFLAGS, CPPFLAGS, LDFLAGS, LDLIBS      yours: added to, never overwritten
#   PREFIX, DESTDIR                            where install puts the tree      V=1 shows the commands
.DELETE_ON_ERROR:
.SUFFIXES:
.SECONDARY:
.DEFAULT_GOAL := all
MAKEFLAGS += --no-builtin-rules

PREFIX  ?= /opt/rask
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

# What needs no library works without: clean on a bare machine, setup, help.
needs_no_package := clean help setup
ifneq ($(filter-out $(needs_no_package),$(or $(MAKECMDGOALS),all)),)
ifneq ($(shell command -v pkg-config),)
PKGS_MISSING = $(shell for p in $(PKGS); do pkg-config --exists $$p || echo $$p; done)
else
PKGS_MISSING = pkg-config
endif
endif
PKGS := libevent_core libevent_extra libevent_pthreads libevent_openssl libprotobuf-c libssl libcrypto libxxhash libzstd liblz4 yaml-0.1 libpq
ifneq ($(strip $(PKGS_MISSING)),)
$(error missing: $(strip $(PKGS_MISSING)); scripts/setup.sh installs what the build needs)
endif
OUR_CPPFLAGS := -I. -Iapi/include -I$(O)/gen -D_GNU_SOURCE -DRASK_ENGINE -DRASK_VERSION='"$(VERSION)"' -MMD -MP
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

all: $(programs) $(TEST_LIBS) ## the programs (the default)

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

test: ## every test; closes with "N passed, N failed"
	@scripts/test.sh --no-setup
asan tsan: ## the unit tests under AddressSanitizer + UBSan, or ThreadSanitizer
	@UNIT_TIMEOUT=$${UNIT_TIMEOUT:-240} $(MAKE) --no-print-directory VARIANT=$@ unit
lint: ## layers, purity, symbol prefixes, banned calls, sizes, shell scripts
	@$(MAKE) --no-print-directory all
	@scripts/lint/run.sh $(O)
format: ## clang-format over the C files that differ from main; ALL=1: over all
	@scripts/lint/format.sh $(if $(ALL),--all)
setup: ## installs the packages that the build needs
	@scripts/setup.sh

# A target whose folder is not there says so.
ifeq ($(wildcard test/sim/*_main.c),)
sim: ## the simulator: make sim SEEDS=1000
	@echo "sim: there is no test/sim/*_main.c in this tree, so nothing to simulate with"; false
endif
ifeq ($(wildcard scripts/demo.sh),)
demo:
	@echo "demo: there is no scripts/demo.sh in this tree"; false
else
demo: all ## word count on a cluster of one JobManager and two TaskManagers
	@scripts/demo.sh
endif

# The tree that an operator of Flink knows. What is not there yet is not installed.
INSTALL := install
D = $(DESTDIR)$(PREFIX)
bin_scripts := $(wildcard $(patsubst %,scripts/%.sh,start-cluster stop-cluster jobmanager taskmanager config))
conf_files := $(filter-out %.md,$(wildcard conf/*))
install: all ## into PREFIX (/opt/rask): bin conf lib log include examples docs; an edited conf/ stays
	$(INSTALL) -d $(addprefix $(D)/,bin conf lib/pkgconfig log include/rask examples/data docs)
	$(if $(programs),$(INSTALL) -m 755 $(programs) $(D)/bin)
	$(if $(programs),strip --strip-debug $(patsubst %,$(D)/bin/%,$(notdir $(programs))))
	$(if $(bin_scripts),$(INSTALL) -m 755 $(bin_scripts) $(D)/bin)
	@set -e; for f in $(conf_files); do [ -e $(D)/conf/$${f##*/} ] || $(INSTALL) -m 644 $$f $(D)/conf; done
	$(if $(install_libs),$(INSTALL) -m 644 $(install_libs) $(D)/lib)
	$(if $(wildcard api/include/rask/*.h),$(INSTALL) -m 644 $(wildcard api/include/rask/*.h) $(D)/include/rask)
	for p in rask rask-testkit; do sed -e 's|@PREFIX@|$${pcfiledir}/../..|' -e 's|@VERSION@|$(VERSION)|' \
	 api/$$p.pc.in >$(D)/lib/pkgconfig/$$p.pc; done
	$(INSTALL) -m 644 $(wildcard examples/*.c examples/*.md) $(D)/examples
	$(INSTALL) -m 644 $(wildcard examples/data/*) $(D)/examples/data
	$(INSTALL) -m 644 $(wildcard docs/*.md) $(D)/docs
	$(INSTALL) -m 644 LICENSE NOTICE VERSION README.md $(D)
dist_name := rask-$(VERSION)-linux-$(ARCH)
dist: ## build/rask-VERSION-linux-ARCH.tar.gz, the installed tree to unpack anywhere
	rm -rf $(O)/dist
	$(MAKE) --no-print-directory install DESTDIR=$(abspath $(O)/dist)/ PREFIX=$(dist_name)
	tar -C $(O)/dist --owner=0 --group=0 --sort=name -czf $(O)/$(dist_name).tar.gz $(dist_name)
	@echo "$(O)/$(dist_name).tar.gz"

clean: ## removes build/
	rm -rf $(B)
help: ## this list
	@echo "make [TARGET] [VARIANT=release|debug|asan|tsan|cov] [CC=clang] [V=1]"
	@cat $(filter-out $(O)/%,$(MAKEFILE_LIST)) | sed -nE 's/^([a-z][a-z ]*):[^=]*## (.*)/\1|\2/p' | sort -u | awk -F '|' '{ printf "  %-12s %s\n", $$1, $$2 }'
.PHONY: all test asan tsan lint format setup sim bench demo install dist clean help FORCE
# Dependencies of this variant alone.
-include $(shell find $(O) $(foreach v,debug asan tsan cov fuzz dist,-path $(O)/$(v) -prune -o) -name '*.d' -print 2>/dev/null)
