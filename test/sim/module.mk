# The simulator, and the contract tests that hold it and the real thing to the same promises.
SEEDS ?= 1000
sim_mains := $(wildcard test/sim/*_main.c)
$(O)/libsim.a: $(call obj,$(filter-out $(sim_mains),$(wildcard test/sim/*.c test/sim/cluster/*.c)))
$(O)/libcontract.a: $(call obj,$(wildcard test/contract/*.c))
TEST_LIBS += $(O)/libsim.a $(O)/libcontract.a

$(O)/sim: $(call obj,test/sim/sim_main.c) $(filter-out $(O)/libcontract.a,$(TEST_LIBS))
	$(link)
sim: $(O)/sim ## every scenario of the simulator: make sim SEEDS=1000
	$(O)/sim --seeds $(SEEDS) $(shell [ $(SEEDS) -lt 1000 ] || echo --require-probes)
.PHONY: sim
