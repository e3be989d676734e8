#!/usr/bin/env bash
# A job without a shuffle through real daemons: 4 subtasks over 2 TaskManagers, each a region of its own.  One fails by its own
# error, a worker is killed, then a TaskManager; the others are never started again, and the output is the input.  And the
# TaskManager whose worker gave the splits dies when all have been given.
# Prints "ok NAME" and "FAIL NAME" lines.
# shellcheck disable=SC2317
set -u
cd "$(dirname "$0")/../.." || exit 1
# shellcheck source=test/integration/cluster.bash
. test/integration/cluster.bash
lines=6000 width=4000

has_vertex() { # sets vertex
    vertex=$(rest "/jobs/$job" | tr '{' '\n' | sed -n 's/^"id":"\([0-9a-f]*\)".*"name":"Source.*/\1/p' | head -1)
    [[ -n $vertex ]]
}
# subtasks: "INDEX ATTEMPT TASKMANAGER" of each, in order
subtasks() {
    local port names=
    for port in "${!tm_at[@]}"; do names+=" $port=${tm_at[$port]}"; done
    rest "/jobs/$job/vertices/$vertex" | sed 's/.*"subtasks"://' | tr '{' '\n' | awk -v names="$names" '
        function value(key) { return match($0, "\"" key "\":\"?[^,\"]*") ? substr($0, RSTART + length(key) + 3, RLENGTH - length(key) - 3) : "" }
        BEGIN { n = split(names, list, " "); for (i = 1; i <= n; i++) { split(list[i], at, "="); tm[at[1]] = at[2] } }
        /"subtask":/ { port = value("endpoint"); sub(/.*:/, "", port); print value("subtask"), value("attempt"), (port in tm) ? tm[port] : "none" }'
}
# attempts_are ATTEMPT...: of the subtasks, in order
attempts_are() {
    out=$(subtasks | cut -d' ' -f2 | xargs)
    [[ $out == "$*" ]]
}
# expect TASKMANAGER: sets expected, the attempts when all subtasks on it, and no others, have started once more
expect() {
    expected=$(subtasks | awk -v tm="$1" '{print $2 + ($3 == tm)}' | xargs)
}
two_each() {
    out=$(subtasks | cut -d' ' -f3 | sort | uniq -c | xargs)
    [[ $out == "2 tm1 2 tm2" ]]
}
# The TaskManager whose worker has the enumerator, which REST does not show: it has a task more. Sets giver, and other, without.
find_enumerator() {
    local log pid tm
    log=$(grep -l "deployed 3 tasks" "$top"/log/*-worker-"$job"-*.log)
    for tm in "${tm_at[@]}"; do
        for pid in $(workers_of "$tm"); do
            [[ $(readlink "/proc/$pid/fd/2") == "$log" ]] && giver=$tm
        done
    done
    other=$(subtasks | cut -d' ' -f3 | grep -vx "$giver" | head -1)
    [[ -n $log && -n $other ]]
}
one_started_again() {
    out=$(subtasks | cut -d' ' -f2 | sort | xargs)
    [[ $out == "0 0 0 1" ]]
}
written() { # bytes in all files of the output, finished or not
    find "$top/out" -type f -printf '%s\n' 2>/dev/null | awk '{n += $1} END {print n + 0}'
}
written_beyond() {
    [[ $(written) -gt $1 ]]
}
numbers() { # numbers FIRST LAST
    seq "$1" "$2" | awk -v width=$width '{printf "%d %0*d\n", $1, width, 0}'
}
output_is_the_input() { # output_is_the_input [FOLDER]
    out=$(diff <(numbers 1 $lines) <(find "$top/${1:-out}" -type f -name 'part-*' ! -name '.*' -exec cat {} + | sort -n) | head -5)
    [[ -z $out ]]
}

mkdir -p "$top/ckpt" "$top/in"
# Of 16 splits; those that come last are read when all have been given.  Long lines make short batches, which barriers wait for.
numbers 1 $lines >"$top/in/numbers"
configure 2 256 <<CONF
execution.checkpointing.dir: file://$top/ckpt
execution.checkpointing.interval: 100 ms
restart-strategy.type: fixed-delay
restart-strategy.fixed-delay.attempts: 100
restart-strategy.fixed-delay.delay: 50 ms
CONF
compile forward
start jm rask-jobmanager
start_taskmanager tm1
start_taskmanager tm2
check cluster_is_there eventually has_taskmanagers 2
check job_is_taken submit -p 4 "$top/forward.so" --input "$top/in" --output "$top/out" --pause 6000 --trap "$top/trap"
check checkpoints_are_taken eventually chk_beyond "$job" 1
check the_vertex_is_found has_vertex
check two_subtasks_on_each two_each
check all_run_for_the_first_time attempts_are 0 0 0 0
check the_enumerator_is_found find_enumerator

# ---- one subtask fails by itself ----
touch "$top/trap"
check the_trap_restarts_one eventually one_started_again
check it_is_one_restart restarts_are "$job" 1
out=$(rest "/jobs/$job/exceptions")
check the_history_says_what_started_again said 0 "the trap was there" "1 task starts again: "

# ---- the worker that has two of them, and not the enumerator ----
expect "$other"
before=$(written)
# shellcheck disable=SC2046
kill -KILL $(workers_of "$other")
# shellcheck disable=SC2086
check a_death_restarts_two eventually attempts_are $expected
check rows_are_written_again eventually written_beyond "$before"
check it_is_running_again eventually state_is "$job" RUNNING

# ---- a TaskManager; a spare one takes its place ----
start_taskmanager tm3
check a_spare_one_is_there eventually has_taskmanagers 3
expect "$other"
kill -KILL "${pids[$other]}"
# shellcheck disable=SC2086
check a_lost_taskmanager_restarts_two eventually attempts_are $expected
check it_runs_on_the_spare_one eventually state_is "$job" RUNNING

check it_finishes eventually state_is "$job" FINISHED
# shellcheck disable=SC2086
check nothing_else_has_started_again attempts_are $expected
check the_output_is_the_input output_is_the_input

# ---- all splits are given, and one is being read: the TaskManager that gave them ----
touch "$top/hold"
check another_job_is_taken submit -p 4 "$top/forward.so" --input "$top/in" --output "$top/out2" --hold "$top/hold" --hold-at "$((lines - 50)) "
check its_vertex_is_found eventually has_vertex
check somebody_is_in_the_last_split eventually test -e "$top/hold.held"
check its_enumerator_is_found find_enumerator
start_taskmanager tm4
check another_spare_one_is_there eventually has_taskmanagers 3
kill -KILL "${pids[$giver]}"
check its_loss_is_noticed eventually has_taskmanagers 2
rm "$top/hold"
check it_finishes_too eventually state_is "$job" FINISHED
check its_output_is_the_input output_is_the_input out2
exit $((failures > 0))
