#!/usr/bin/env bash
# The jobs of bench/ on clusters of their own give what the C programs beside them give: all cells, by a checksum.  Figures
# are not looked at.  Prints "ok NAME" and "FAIL NAME" lines.
set -u
cd "$(dirname "$0")/../.." || exit 1
build=${RASK_BUILD:-$PWD/build}
out=$(make -s VARIANT="${VARIANT:-release}" bench-programs 2>&1) || {
    echo "FAIL bench_programs_compile:"
    printf '%s\n' "$out" | tail -n 20 | sed 's/^/    /'
    exit 1
}
echo "ok bench_programs_compile"
out=$(timeout 200 python3 bench/run.py --build "$build" --check 2>&1)
status=$?
grep '^ok ' <<<"$out"
if [[ $status -ne 0 ]]; then
    echo "FAIL bench_jobs_agree_with_c: exit status $status:"
    grep -v '^ok ' <<<"$out" | tail -n 10 | sed 's/^/    /'
    exit 1
fi
