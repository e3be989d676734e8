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
top=$(mktemp -d)
trap 'rm -rf "$top"' EXIT
# Samples as `perf script` prints them: the picture has both functions, and the table their own time.
printf 'rask-worker 7\n\tffff add<long>\n\tffff wk_step\n\nrask-worker 7\n\tffff wk_step\n\n' >"$top/samples"
if out=$(python3 bench/flame.py "$top/flame.svg" <"$top/samples" 2>&1) && [[ $out == *"add<long>"*wk_step* || $out == *wk_step*"add<long>"* ]] &&
    python3 -c 'import sys, xml.dom.minidom as x
text = x.parse(sys.argv[1]).toxml()
sys.exit(not ("add&lt;long&gt;" in text and "wk_step" in text and text.count("<rect") >= 3))' "$top/flame.svg"; then
    echo "ok flame_graph"
else
    echo "FAIL flame_graph:"
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
