# The supervisor's core is libtm.a; what touches the system (spawn_*, pipe_posix, main) goes into the program alone.
tm_srcs := $(filter-out %/main.c $(wildcard taskmanager/supervisor/spawn_*.c),$(wildcard taskmanager/supervisor/*.c))
$(O)/libtm.a: $(call obj,$(tm_srcs))
$(O)/libtm_posix.a: $(call obj,$(wildcard taskmanager/supervisor/spawn_*.c) taskmanager/pipe/pipe_posix.c)
TEST_LIBS += $(O)/libtm.a $(O)/libtm_posix.a

programs += $(O)/bin/rask-taskmanager
$(O)/bin/rask-taskmanager: $(O)/taskmanager/supervisor/main.o $(O)/libtm.a $(O)/libtm_posix.a $(O)/libcommon.a
	$(link)

# The worker's core is libwk.a; threads, dlopen, signals and LevelDB go into the programs alone.
wk_posix := $(shell find taskmanager/worker -name '*_posix.c' -o -name '*_leveldb.c')
wk_srcs := $(filter-out $(wk_posix) taskmanager/worker/main.c,$(call cfiles,taskmanager/worker))
$(O)/libwk.a: $(call obj,$(wk_srcs))
$(O)/libwk_posix.a: $(call obj,$(wk_posix))
TEST_LIBS += $(O)/libwk.a $(O)/libwk_posix.a

# Its archive, not its shared library: that one hides what turns its memory maps off (stores_leveldb.c).
PKG_LIBS += -Wl,-Bstatic -lleveldb -Wl,-Bdynamic -lsnappy -lstdc++

# libbacktrace comes with gcc: names and lines in the last words of a worker. Without it: names of dynamic symbols.
backtrace_lib := $(shell echo 'int main(void) { return 0; }' | $(CC) -include backtrace.h -x c - -o /dev/null -lbacktrace 2>/dev/null && echo -lbacktrace)
PKG_LIBS += $(backtrace_lib)
programs += $(O)/bin/rask-worker
$(O)/bin/rask-worker: $(O)/taskmanager/worker/main.o $(O)/libwk.a $(O)/libwk_posix.a $(O)/libconnectors.a $(O)/taskmanager/pipe/pipe_posix.o $(O)/libcommon.a $(api_dep)
	$(link) $(api_link)
