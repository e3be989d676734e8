# The supervisor's core is libtm.a; what touches the system (spawn_*, main) goes into the program alone.
tm_srcs := $(filter-out %/main.c $(wildcard taskmanager/supervisor/spawn_*.c),$(wildcard taskmanager/supervisor/*.c))
$(O)/libtm.a: $(call obj,$(tm_srcs))
TEST_LIBS += $(O)/libtm.a

# The worker's core is libwk.a; threads, dlopen and signals go into the programs alone.
wk_posix := $(shell find taskmanager/worker -name '*_posix.c') taskmanager/worker/main.c $(wildcard taskmanager/worker/loader_dl.c)
wk_srcs := $(filter-out $(wk_posix),$(call cfiles,taskmanager/worker))
$(O)/libwk.a: $(call obj,$(wk_srcs))
# The thread pool is impure and has no other dependency: programs and tests link it beside the core.
$(O)/libwk_posix.a: $(call obj,taskmanager/worker/task/executor_posix.c)
TEST_LIBS += $(O)/libwk.a $(O)/libwk_posix.a
