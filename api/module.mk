# libapi.a: what a job's shared object finds in the program that loads it.
api_srcs := $(call cfiles,api/src)
$(O)/libapi.a: $(call obj,$(api_srcs))

TEST_LIBS += $(O)/libapi.a

# For programs that load jobs: all of the API, exported.  libcommon.a once more behind it: parts of the API are there.
api_link := -Wl,--whole-archive $(O)/libapi.a -Wl,--no-whole-archive $(O)/libcommon.a -Wl,--dynamic-list=api/exports.list
# What such a program depends on: not the archive itself, which api_link names.
api_dep := $(O)/libapi.stamp
$(api_dep): $(O)/libapi.a
	@touch $@

# librask-testkit.a: rask/testkit.h for a job's own unit tests, with what it needs of the engine.
testkit_objs := $(call obj,$(call cfiles,api/testkit))
testkit_parts := $(O)/libtestkit.a $(O)/libwk.a $(O)/libapi.a $(O)/libcommon.a
$(O)/libtestkit.a: $(testkit_objs)
TEST_LIBS += $(O)/libtestkit.a
$(O)/librask-testkit.a: $(testkit_parts)
	$(call say,AR,$@){ echo create $@; printf 'addlib %s\n' $^; echo save; echo end; } | $(AR) -M
	@strip --strip-debug $@
all: $(O)/librask-testkit.a
install_libs += $(O)/librask-testkit.a
