# libjm.a: the JobManager as a pure core; no main, no third-party header.
jm_srcs := $(filter-out jobmanager/main.c jobmanager/rest/%,$(call cfiles,jobmanager))
$(O)/libjm.a: $(call obj,$(jm_srcs))
TEST_LIBS += $(O)/libjm.a
