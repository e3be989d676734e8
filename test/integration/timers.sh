#!/usr/bin/env bash
# Timers over savepoints, through real daemons: those that were set before a savepoint and taken back after the restore do not
# fire, nor after another one; the others do, each once; both backends, other parallelisms.  Prints "ok NAME" and "FAIL NAME" lines.
# shellcheck disable=SC2317
set -u
cd "$(dirname "$0")/../.." || exit 1
# shellcheck source=test/integration/cluster.bash
. test/integration/cluster.bash

# phase PHASE PARALLELISM ARGUMENT...: until each key has come more than once, to a savepoint: sets saved
phase() {
    submit -p "$2" -D state.backend.type="$backend" "${@:3}" "$top/timers.so" --phase "$1" &&
        eventually rows_are_beyond 400 || return 1
    rask stop -p "$top/save" "$job"
    saved=$(savepoint_path)
    said 0 "Savepoint completed."
}
fires() { # fires PHASE PARALLELISM KEY...: at the end of the input, these, each once
    out=$(timeout 60 "$build/bin/rask" run -m "localhost:$rest_port" -p "$2" -D state.backend.type="$backend" -n -s "$saved" \
        "$top/timers.so" --phase "$1" --rows 200 2>/dev/null </dev/null | grep -o '[0-9]*,[0-9]*' | sort -n)
    out=$(diff <(printf '%s\n' "$out") <(for key in "${@:3}"; do echo "$key,$((1000 + key))"; done))
    [[ -z $out ]]
}

configure 4 512 </dev/null
compile timers
start_cluster 1
odd=$(seq 1 2 99)
all=$(seq 0 99)
for backend in hashmap leveldb; do
    check "${backend}_timers_are_set" phase set 2
    # shellcheck disable=SC2086
    check "${backend}_they_fire_after_a_restore" fires fire 3 $all
    # shellcheck disable=SC2086
    check "${backend}_taken_back_after_a_restore_they_do_not" fires cancel 1 $odd
    check "${backend}_even_ones_are_taken_back_after_a_restore" phase cancel 3 -n -s "$saved"
    # shellcheck disable=SC2086
    check "${backend}_odd_ones_fire_alone_after_another" fires fire 1 $odd
done
echo "$failures failed"
[[ $failures -eq 0 ]]
