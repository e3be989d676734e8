# Unit tests: each test/unit/**/test_*.c is one binary, linked with every archive in TEST_LIBS
# (module.mk files append theirs).  Included after all others, so TEST_LIBS is complete.
unit_srcs := $(shell find test/unit -name 'test_*.c' 2>/dev/null | sort)
unit_bins := $(patsubst %.c,$(O)/%,$(unit_srcs))
$(unit_bins): $(O)/%: $(O)/%.o $(TEST_LIBS)
	$(link) -lcmocka

unit: $(unit_bins)
	@test/unit/run.sh $(unit_bins)
.PHONY: unit
