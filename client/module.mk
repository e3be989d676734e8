# rask, the command line.  client/local is a program of its own.
client_srcs := $(filter-out client/main.c client/local/%,$(call cfiles,client))
$(O)/libclient.a: $(call obj,$(client_srcs))
TEST_LIBS += $(O)/libclient.a
programs += $(O)/bin/rask
# The whole API stands first, so that nothing of it is taken a second time.
$(O)/bin/rask: override LDFLAGS += $(api_link)
$(O)/bin/rask: $(O)/client/main.o $(O)/libclient.a $(O)/libapi.a $(O)/libcommon.a
	$(link)
