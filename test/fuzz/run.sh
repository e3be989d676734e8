#!/bin/sh
# Runs libFuzzer targets one after the other and closes with "N passed, N failed".
#   test/fuzz/run.sh SECONDS BINARY...
# Seeds come from test/fuzz/corpus/NAME; new inputs go to BINARY.corpus, a failing one to BINARY.crash-*.
set -u
seconds=$1
shift
passed=0
failed=0
for binary in "$@"; do
    name=${binary##*/fuzz_}
    seeds=test/fuzz/corpus/$name
    [ -d "$seeds" ] || seeds=
    mkdir -p "$binary.corpus"
    # shellcheck disable=SC2086  # $seeds may be absent
    if "$binary" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -print_final_stats=1 \
        -artifact_prefix="$binary." "$binary.corpus" $seeds >"$binary.log" 2>&1; then
        runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$binary.log")
        echo "ok $name ($runs inputs)"
        passed=$((passed + 1))
    else
        tail -n 40 "$binary.log"
        echo "FAIL $name: the input is beside $binary"
        failed=$((failed + 1))
    fi
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
