# shellcheck shell=bash
# Sourced by scripts/test.sh and .ci/run: runs suites and adds up their "N passed, N failed".

total_passed=0
total_failed=0

# run_suite NAME COMMAND...: shows the command's output without its summary line, then "NAME: N passed, N failed".
# The last such line counts. A command that fails without saying what failed counts as one failure.
run_suite() {
    local name=$1 log status=0 summary passed=0 failed=0 started=$SECONDS
    shift
    log=$(mktemp)
    echo "== $name"
    "$@" >"$log" 2>&1 </dev/null || status=$?
    summary=$(grep -E '^[0-9]+ passed, [0-9]+ failed$' "$log" | tail -n 1) || true
    if [ -n "$summary" ]; then
        passed=${summary%% *}
        failed=${summary#*, }
        failed=${failed%% *}
    fi
    if [ "$status" -ne 0 ] && [ "$failed" -eq 0 ]; then
        failed=1
        echo "$name: ended with status $status; its last lines:"
        tail -n 60 "$log"
    else
        grep -vE '^[0-9]+ passed, [0-9]+ failed$' "$log" | grep -vE '^  (CC|AR|LINK|PROTO|CXX|SO) ' || true
    fi
    rm -f "$log"
    echo "$name: $passed passed, $failed failed ($((SECONDS - started)) s)"
    total_passed=$((total_passed + passed))
    total_failed=$((total_failed + failed))
}

# Each script of test/integration prints "ok NAME" and "FAIL NAME" lines.
run_integration() {
    local script out status passed=0 failed=0 p f
    out=$(mktemp)
    for script in test/integration/*.sh; do
        [ -x "$script" ] || continue
        status=0
        timeout "${INTEGRATION_TIMEOUT:-300}" "$script" >"$out" 2>&1 </dev/null || status=$?
        p=$(grep -c '^ok ' "$out") || true
        f=$(grep -c '^FAIL ' "$out") || true
        if [ "$status" -ne 0 ] && [ "$f" -eq 0 ]; then
            f=1
            echo "FAIL $script: ended with status $status"
        fi
        [ "$f" -eq 0 ] || sed "s|^|    |" "$out"
        grep '^skipped: ' "$out" || true
        echo "$script: $p ok, $f failed"
        passed=$((passed + p))
        failed=$((failed + f))
    done
    rm -f "$out"
    echo "$passed passed, $failed failed"
    [ "$failed" -eq 0 ]
}

# The closing line, alone; the exit status follows from it.
finish() {
    echo "$total_passed passed, $total_failed failed"
    [ "$total_failed" -eq 0 ] && [ "$total_passed" -gt 0 ]
}
