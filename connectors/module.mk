# libconnectors.a: the built-in sources and sinks.  Linked by the programs that run jobs.
connectors_srcs := $(call cfiles,connectors)
$(O)/libconnectors.a: $(call obj,$(connectors_srcs))
TEST_LIBS += $(O)/libconnectors.a
