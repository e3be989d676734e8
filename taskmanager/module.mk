# The supervisor's core is libtm.a; what touches the system (spawn_*, main) goes into the program alone.
tm_srcs := $(filter-out %/main.c $(wildcard taskmanager/supervisor/spawn_*.c),$(wildcard taskmanager/supervisor/*.c))
$(O)/libtm.a: $(call obj,$(tm_srcs))
TEST_LIBS += $(O)/libtm.a
