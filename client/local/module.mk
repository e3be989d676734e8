# rask-local: JobManager, supervisor and worker in one process.
programs += $(O)/bin/rask-local
$(O)/bin/rask-local: $(call obj,$(call cfiles,client/local)) $(O)/libjm.a $(O)/libtm.a $(O)/libwk.a $(O)/libwk_posix.a $(O)/libconnectors.a $(O)/libcommon.a $(api_dep)
	$(link) $(api_link)
