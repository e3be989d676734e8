#!/usr/bin/env bash
# What REST says of checkpoints, savepoints, stops and disposals, beside recorded answers of Flink 1.20; then drains, cancels with a
# savepoint, and restores without an operator, by the command line. Real daemons. Prints "ok NAME" and "FAIL NAME" lines.
# shellcheck disable=SC2317
set -u
cd "$(dirname "$0")/../.." || exit 1
# shellcheck source=test/integration/cluster.bash
. test/integration/cluster.bash

has_completed() { # has_completed N
    out=$(rest "/jobs/$job/checkpoints" 2>&1)
    local n=${out#*\"completed\":}
    n=${n%%[!0-9]*}
    [[ ${n:-0} -ge $1 ]]
}
# answers WHAT: compares; sets saved after a stop
answers() {
    out=$(test/integration/jobs/checkpoint_answers.py "http://localhost:$rest_port" "$job" "$top/save" "$1" 2>&1)
    status=$?
    grep -E '^(ok|FAIL) ' <<<"$out" | sed "s/^\(ok\|FAIL\) /&$1:/"
    failures=$((failures + $(grep -c '^FAIL' <<<"$out")))
    check "$1:_answers_were_all_looked_at" said "$status" ""
    saved=$(sed -n 's/^savepoint file://p' <<<"$out")
}

mkdir -p "$top/save"
configure 4 256 <<CONF
execution.checkpointing.dir: file://$top/ckpt
execution.checkpointing.savepoint-dir: file://$top/save
execution.checkpointing.interval: 300 ms
CONF
compile exact
compile drained
start jm rask-jobmanager
start tm rask-taskmanager
check cluster_is_there eventually has_taskmanagers 1
seq 1 200000 >"$top/input.txt"

# ---- REST beside the recordings ----
check job_is_taken submit -p 2 "$top/exact.so" --input "$top/input.txt" --output "$top/out" --pause 40
check checkpoints_are_taken eventually has_completed 2
answers running
check job_runs_on state_is "$job" RUNNING
answers stop
check stopped_job_has_finished eventually state_is "$job" FINISHED
check goes_on submit -s "$saved" -p 2 -D execution.checkpointing.interval=1h "$top/exact.so" --input "$top/input.txt" \
    --output "$top/out" --pause 40
answers restored

# ---- cancel with a savepoint, in both forms ----
rask cancel --withSavepoint "$top/save" "$job"
check cancel_with_savepoint said 0 "Savepoint completed. Path: file:$top/save/savepoint-"
saved=$(savepoint_path)
check canceled eventually state_is "$job" CANCELED
check canceled_goes_on submit -s "$saved" -p 3 "$top/exact.so" --input "$top/input.txt" --output "$top/out" --pause 40
check canceled_checkpoints eventually has_completed 1
rask cancel -s "$top/save" "$job"
check cancel_s said 0 "Savepoint completed. Path: file:$top/save/savepoint-"
saved=$(savepoint_path)
check canceled_again eventually state_is "$job" CANCELED
check goes_on_again submit -s "$saved" "$top/exact.so" --input "$top/input.txt" --output "$top/out"
check finishes eventually state_is "$job" FINISHED
# both cancels had rows behind the savepoint that were committed meanwhile or not: those come again or are in no part
keys=$(find "$top/out" -type f -name 'part-*' ! -name '.*' -exec cat {} + | sort -u | wc -l)
check every_count_is_there test "$keys" -eq 200000

# ---- an operator is removed: refused by name, or left out when told so ----
sed 's/: &counter), "count")/: \&counter), "other")/' \
    test/integration/jobs/exact.c >"$top/removed.c"
run timeout 60 "$build/bin/rask" run -m "localhost:$rest_port" -s "$saved" "$top/removed.c" --input "$top/input.txt" --output "$top/out2"
check removed_operator_is_refused said 1 'holds state of operator' 'uid "count"' '--allowNonRestoredState'
rask run -n -s "$saved" "$top/removed.c" --input "$top/input.txt" --output "$top/out2"
check removed_operator_is_left_out said 0 ""
rask run --allowNonRestoredState -s "$saved" "$top/removed.c" --input "$top/input.txt" --output "$top/out3"
check long_form_too said 0 ""

# ---- stop --drain: timers fire at the end of time; without it they stay in the savepoint ----
check drained_is_taken submit "$top/drained.so" --output "$top/fired"
check drained_has_a_checkpoint eventually has_completed 1
rask stop "$job"
check stop_without_drain said 0 "Savepoint completed."
saved=$(savepoint_path)
check no_timer_fired test ! -s "$top/fired"
check drained_goes_on submit -s "$saved" "$top/drained.so" --output "$top/fired"
check drained_checkpoints_again eventually has_completed 1
rask stop --drain "$job"
check stop_with_drain said 0 "Savepoint completed."
check drained_finishes eventually state_is "$job" FINISHED
out=$(sort "$top/fired" 2>&1)
check timers_fired_once test "$out" = "0
1
2"
rask checkpoint "$job"
check no_checkpoint_of_what_is_over said 1 ""

echo "$failures failed"
[[ $failures -eq 0 ]]
