common_srcs := $(call cfiles,common)
gen_objs := $(patsubst %.proto,$(O)/gen/%.pb-c.o,$(wildcard proto/*.proto))
$(O)/libcommon.a: $(call obj,$(common_srcs)) $(gen_objs)
TEST_LIBS += $(O)/libcommon.a
