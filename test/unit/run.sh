#!/bin/sh
# Runs unit test binaries, as many at a time as there are processors, each for at most UNIT_TIMEOUT seconds.
#   test/unit/run.sh BINARY...
# Prints the output of those that fail and closes with "N passed, N failed": test functions, and one
# failed for each binary that dies before its end.
set -u
: "${UNIT_TIMEOUT:=60}"
export UNIT_TIMEOUT CMOCKA_MESSAGE_OUTPUT=TAP
[ $# -gt 0 ] || { echo "0 passed, 0 failed"; exit 0; }

# One binary: its output goes to BINARY.out, its counts to BINARY.count.
# shellcheck disable=SC2016  # expanded by the inner shell
run_one='
    timeout "$UNIT_TIMEOUT" "$1" >"$1.out" 2>&1
    status=$?
    passed=$(grep -c "^ok [0-9]" "$1.out")
    failed=$(grep -c "^not ok [0-9]" "$1.out")
    if [ "$status" -ne 0 ] && [ "$failed" -eq 0 ]; then
        failed=1
        if [ "$status" -eq 124 ]; then
            echo "$1: still running after $UNIT_TIMEOUT s" >>"$1.out"
        else
            echo "$1: ended with status $status" >>"$1.out"
        fi
    fi
    echo "$passed $failed" >"$1.count"
    if [ "$failed" -ne 0 ]; then
        { echo "FAIL $1"; grep -v "^ok [0-9]" "$1.out" | sed "s/^/    /"; } >"$1.shown"
        cat "$1.shown"
        rm -f "$1.shown"
    fi
'
printf '%s\0' "$@" | xargs -0 -n 1 -P "$(nproc)" sh -c "$run_one" run_one
passed=0
failed=0
for binary in "$@"; do
    read -r p f <"$binary.count" || { p=0; f=1; }
    passed=$((passed + p))
    failed=$((failed + f))
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
