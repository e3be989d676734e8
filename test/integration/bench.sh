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
failed=0
out=$(timeout 100 python3 bench/run.py --build "$build" --only cores --quick --json 2>&1)
if python3 -c 'import json, sys
f, = json.loads(sys.argv[1])
sys.exit(not (f["value"] > 0 and f["unit"] == "ns" and f["min"] <= f["median"] <= f["max"]))' "$out" 2>/dev/null; then
    echo "ok bench_as_json"
else
    echo "FAIL bench_as_json:"
    printf '%s\n' "$out" | tail -n 10 | sed 's/^/    /'
    failed=1
fi
out=$(timeout 200 python3 bench/run.py --build "$build" --check 2>&1)
status=$?
grep '^ok ' <<<"$out"
if [[ $status -ne 0 ]]; then
    echo "FAIL bench_jobs_agree_with_c: exit status $status:"
    grep -v '^ok ' <<<"$out" | tail -n 10 | sed 's/^/    /'
    exit 1
fi
exit "$failed"
