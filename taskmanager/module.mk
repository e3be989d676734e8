# The supervisor's core is libtm.a; what touches the system (spawn_*, pipe_posix, main) goes into the program alone.
tm_srcs := $(filter-out %/main.c $(wildcard taskmanager/supervisor/spawn_*.c),$(wildcard taskmanager/supervisor/*.c))
$(O)/libtm.a: $(call obj,$(tm_srcs))
$(O)/libtm_posix.a: $(call obj,$(wildcard taskmanager/supervisor/spawn_*.c) taskmanager/pipe/pipe_posix.c)
TEST_LIBS += $(O)/libtm.a $(O)/libtm_posix.a

programs += $(O)/bin/rask-taskmanager
$(O)/bin/rask-taskmanager: $(O)/taskmanager/supervisor/main.o $(O)/libtm.a $(O)/libtm_posix.a $(O)/libcommon.a
	$(link)

# The worker's core is libwk.a; threads, dlopen and signals go into the programs alone.
wk_posix := $(shell find taskmanager/worker -name '*_posix.c') taskmanager/worker/main.c
wk_srcs := $(filter-out $(wk_posix),$(call cfiles,taskmanager/worker))
$(O)/libwk.a: $(call obj,$(wk_srcs))
# The thread pool is impure and has no other dependency: programs and tests link it beside the core.
$(O)/libwk_posix.a: $(call obj,taskmanager/worker/task/executor_posix.c)
TEST_LIBS += $(O)/libwk.a $(O)/libwk_posix.a
