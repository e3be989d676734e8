# Unit tests: each test/unit/**/test_*.c is one binary, linked with every archive in TEST_LIBS
# (module.mk files append theirs).  Included after all others, so TEST_LIBS is complete.
unit_srcs := $(shell find test/unit -name 'test_*.c' 2>/dev/null | sort)
unit_bins := $(patsubst %.c,$(O)/%,$(unit_srcs))
$(unit_bins): $(O)/%: $(O)/%.o $(TEST_LIBS)
	$(link) -lcmocka

unit: $(unit_bins) ## the unit tests
	@test/unit/run.sh $(unit_bins)
.PHONY: unit

# Rows on every way that they go, against a naive model: as many random cases as one asks for.
CASES ?= 1000000
property: $(O)/test/unit/common/types/test_property ## random rows on every way: make property CASES=1000000
	CASES=$(CASES) $<
.PHONY: property

# The exactly-once checker on a real cluster with a real PostgreSQL.
RUNS ?= 20
SEED ?= 1
MODE ?= any
chaos: all ## exactly once under harm: make chaos RUNS=20 SEED=1 MODE=any
	@test/chaos/chaos.py --build $(O) --runs $(RUNS) --seed $(SEED) --mode $(MODE)
.PHONY: chaos

# Fuzzers: each test/fuzz/fuzz_NAME.c, built by clang; seeds in test/fuzz/corpus/NAME, what is found on top in build/.
FUZZ_CC ?= $(shell command -v clang || command -v clang-14)
SECONDS ?= 10
fuzz_bins := $(patsubst %.c,$(O)/%,$(sort $(wildcard test/fuzz/fuzz_*.c)))
fuzz: ## every fuzzer for SECONDS seconds: make fuzz SECONDS=10
	@[ -n "$(FUZZ_CC)" ] || { echo "fuzz: needs clang; scripts/setup.sh --dev installs it"; exit 1; }
	@$(MAKE) --no-print-directory VARIANT=fuzz CC="$(FUZZ_CC)" run-fuzzers
$(fuzz_bins): $(O)/%: $(O)/%.o $(TEST_LIBS)
	$(link) -fsanitize=fuzzer
run-fuzzers: $(fuzz_bins)
	@test/fuzz/run.sh $(SECONDS) $(fuzz_bins)
.PHONY: fuzz run-fuzzers
