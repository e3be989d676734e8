# The benchmarks: bench/run.py measures the programs of this build, jobs in bench/jobs against programs in bench/c.
#   make bench            all of them, at most 15 minutes       make bench QUICK=1    at most 2 minutes
#   make bench JSON=1     one JSON object                       make bench ONLY=start,run
bench_programs := $(O)/bench/gen_text $(O)/bench/pingpong $(O)/bench/wordcount
bench_jobs := $(patsubst bench/jobs/%.c,$(O)/bench/jobs/%.so,$(wildcard bench/jobs/*.c))
# What we compare ourselves with is compiled for this very machine; we are not.
$(O)/bench/%: bench/%.c bench/checksum.h
	@mkdir -p $(@D)
	$(call say,CC,$<)$(CC) -std=gnu11 $(WARN) -O3 -march=native -I. -pthread -o $@ $< -lm
$(O)/bench/%: bench/c/%.c bench/checksum.h
	@mkdir -p $(@D)
	$(call say,CC,$<)$(CC) -std=gnu11 $(WARN) -O3 -march=native -I. -pthread -o $@ $< -lm
$(O)/bench/jobs/%.so: bench/jobs/%.c bench/checksum.h $(wildcard api/include/rask/*.h)
	@mkdir -p $(@D)
	$(call say,SO,$<)$(CC) -std=gnu11 $(WARN) -O3 -g -fPIC -fno-omit-frame-pointer -shared -I. -Iapi/include -o $@ $<
bench: all $(bench_programs) $(bench_jobs) ## the figures, with their ratios: QUICK=1 JSON=1 ONLY=wordcount,start,run,idle,local,leaks,size
	@python3 bench/run.py --build $(O) $(if $(QUICK),--quick) $(if $(JSON),--json) $(if $(ONLY),--only $(ONLY))
.PHONY: bench
