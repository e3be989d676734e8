# librest.a: the REST API of the JobManager. Not part of the pure core: it has a thread, a loop and files of its own.
rest_srcs := $(call cfiles,jobmanager/rest)
$(O)/librest.a: $(call obj,$(rest_srcs))
TEST_LIBS += $(O)/librest.a
