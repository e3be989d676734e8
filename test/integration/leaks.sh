#!/usr/bin/env bash
# Sixty jobs one after the other, after thirty that warm the cluster up, leave nothing behind: no memory, descriptor,
# thread, process, file or slot.  make bench does the same with a thousand.  Prints "ok NAME" and "FAIL NAME" lines.
set -u
cd "$(dirname "$0")/../.." || exit 1
# What is kept of a finished job for REST is 300 bytes, and a page of memory is 4 KiB; a sanitizer keeps up to 256 MiB of freed memory.
most_memory=1
[[ ${VARIANT:-release} == release ]] || most_memory=256
failures=0
out=$(timeout 250 bench/leaks.sh 30 60 2>&1)
status=$?
# at_most LIMIT WHAT
at_most() {
    local line value
    line=$(grep "^$2 " <<<"$out")
    value=${line% *}
    value=${value##* }
    if [[ $status -eq 0 && -n $value ]] && awk -v v="$value" -v most="$1" 'BEGIN { exit !(v <= most) }'; then
        echo "ok ${2// /_}"
    else
        echo "FAIL ${2// /_}: at most $1; exit status $status; output:"
        printf '%s\n' "$out" | sed 's/^/    /'
        failures=$((failures + 1))
    fi
}

at_most "$most_memory" "JobManager's memory grew by"
at_most "$most_memory" "TaskManager's memory grew by"
at_most 0 "descriptors left open"
at_most 0 "threads left"
at_most 0 "processes left"
at_most 0 "files left"
at_most 0 "slots left taken"
exit "$((failures > 0))"
