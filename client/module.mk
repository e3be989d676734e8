# rask, the command line.  client/local is a program of its own.
client_srcs := $(filter-out client/main.c client/local/%,$(call cfiles,client))
$(O)/libclient.a: $(call obj,$(client_srcs))
TEST_LIBS += $(O)/libclient.a
