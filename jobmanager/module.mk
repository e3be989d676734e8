# libjm.a: the JobManager as a pure core, without main and REST; rask-jobmanager is all of it.
jm_srcs := $(filter-out jobmanager/main.c jobmanager/rest/%,$(call cfiles,jobmanager))
$(O)/libjm.a: $(call obj,$(jm_srcs))
TEST_LIBS += $(O)/libjm.a

programs += $(O)/bin/rask-jobmanager
$(O)/bin/rask-jobmanager: $(O)/jobmanager/main.o $(O)/librest.a $(O)/libjm.a $(O)/libcommon.a
	$(link)
