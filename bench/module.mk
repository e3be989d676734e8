# The benchmarks: bench/run.py measures the programs of this build, jobs in bench/jobs against programs in bench/c.
#   make bench            all of them, at most 15 minutes       make bench QUICK=1        fewer and shorter runs
#   make bench JSON=1     one JSON list                         make bench ONLY=shuffle   one group or figure of bench/README.md
bench_programs := $(patsubst bench/%.c,$(O)/bench/%,$(wildcard bench/*.c bench/c/*.c))
bench_jobs := $(patsubst bench/jobs/%.c,$(O)/bench/jobs/%.so,$(wildcard bench/jobs/*.c))
bench_headers := $(wildcard bench/*.h bench/*/*.h)
# What we measure and what we compare it with are compiled by the same options, for this very machine; Rask itself is not.
bench_flags := -std=gnu11 $(WARN) -O3 -march=native -fno-omit-frame-pointer -g -I.
$(O)/bench/%: bench/%.c $(bench_headers)
	@mkdir -p $(@D)
	$(call say,CC,$<)$(CC) $(bench_flags) -pthread -o $@ $< -lm
$(O)/bench/jobs/%.so: bench/jobs/%.c $(bench_headers) $(wildcard api/include/rask/*.h)
	@mkdir -p $(@D)
	$(call say,SO,$<)$(CC) $(bench_flags) -fPIC -shared -Iapi/include -o $@ $<
bench-programs: $(bench_programs) $(bench_jobs)
bench: all bench-programs ## the figures, with their ratios: QUICK=1 JSON=1 ONLY=NAME (bench/README.md has the names)
	@python3 bench/run.py --build $(O) $(if $(QUICK),--quick) $(if $(JSON),--json) $(if $(ONLY),--only $(ONLY))
bench-flink: all bench-programs ## the same jobs in Rask and in Flink, which it installs: QUICK=1 JSON=1 ONLY=q0,wordcount
	@python3 bench/flink.py --build $(O) $(if $(QUICK),--quick) $(if $(JSON),--json) $(if $(ONLY),--only $(ONLY))
bench-timely: all bench-programs ## Timely Dataflow beside Rask, where there is cargo: QUICK=1
	@python3 bench/timely.py --build $(O) $(if $(QUICK),--quick)
.PHONY: bench bench-programs bench-flink bench-timely
