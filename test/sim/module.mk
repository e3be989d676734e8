# The simulator, and the contract tests that hold it and the real thing to the same promises.
$(O)/libsim.a: $(call obj,$(filter-out test/sim/%_main.c,$(wildcard test/sim/*.c)))
$(O)/libcontract.a: $(call obj,$(wildcard test/contract/*.c))
TEST_LIBS += $(O)/libsim.a $(O)/libcontract.a
