#!/usr/bin/env bash
# make demo tells its story, ends with 0 and leaves nothing behind.  Prints "ok NAME" and "FAIL NAME" lines.
set -u
cd "$(dirname "$0")/../.." || exit 1
top=$(mktemp -d)
trap 'rm -rf "$top"' EXIT
failures=0
# check NAME CONDITION...
check() {
    local name=$1
    shift
    if "$@"; then
        echo "ok $name"
    else
        echo "FAIL $name: exit status $status; output:"
        sed 's/^/    /' "$top/out"
        failures=$((failures + 1))
    fi
}
# run COMMAND...: with temporary files of its own
run() {
    mkdir -p "$top/tmp"
    TMPDIR=$top/tmp XDG_CACHE_HOME=$top/cache timeout 100 "$@" >"$top/out" 2>&1 </dev/null
    status=$?
}
said() {
    [[ $status -eq $1 ]] && grep -q -- "$2" "$top/out"
}

run scripts/demo.sh
check demo_ends_well said 0 "Stopped in"
check demo_equals_awk said 0 "equal awk's"
check demo_both_workers_received eval '[[ $(grep -c "records over TCP" "$top/out") -eq 2 ]]'
check demo_leaves_no_file test -z "$(ls -A "$top/tmp")"
check demo_leaves_no_process eval '! grep -l -a -s -F -- "$top/tmp" /proc/[0-9]*/cmdline'
run env RASK_BUILD=/nonexistent scripts/demo.sh
check demo_says_that_nothing_is_built said 1 "build it with: make"
exit "$((failures > 0))"
