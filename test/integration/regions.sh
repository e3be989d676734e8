#!/usr/bin/env bash
# Failover of regions through real daemons: two pipelines in one job; one of them fails by its own error, then its worker
# and its TaskManager are killed; the other one is never started again.  Prints "ok NAME" and "FAIL NAME" lines.
# shellcheck disable=SC2317
set -u
cd "$(dirname "$0")/../.." || exit 1
# shellcheck source=test/integration/cluster.bash
. test/integration/cluster.bash

attempts() { # attempts SIDE: of the tasks of a pipeline, each once
    rest "/jobs/$job" | tr '{' '\n' | sed -n "s/^\"id\":\"\([0-9a-f]*\)\".*\"name\":\"[^\"]*$1.*/\1/p" | while read -r vertex; do
        rest "/jobs/$job/vertices/$vertex" | grep -o '"attempt":[0-9]*'
    done | sort -u | tr -dc '0-9\n' | xargs
}
attempts_are() { # attempts_are SIDE N
    out=$(attempts "$1")
    [[ $out == "$2" ]]
}
taskmanager_of() { # taskmanager_of SIDE: the one that runs it, by its data port
    local vertex port
    vertex=$(rest "/jobs/$job" | tr '{' '\n' | sed -n "s/^\"id\":\"\([0-9a-f]*\)\".*\"name\":\"[^\"]*$1.*/\1/p" | head -1)
    port=$(rest "/jobs/$job/vertices/$vertex" | grep -o '"endpoint":"[^"]*' | head -1)
    echo "${tm_at[${port##*:}]:-}"
}
pick() { # pick SIDE: sets victim
    victim=$(taskmanager_of "$1")
    [[ -n $victim ]]
}

mkdir -p "$top/ckpt"
configure 1 256 <<CONF
execution.checkpointing.dir: file://$top/ckpt
execution.checkpointing.interval: 100 ms
restart-strategy.type: fixed-delay
restart-strategy.fixed-delay.attempts: 100
restart-strategy.fixed-delay.delay: 50 ms
CONF
compile regions
start jm rask-jobmanager
start_taskmanager tm1
start_taskmanager tm2
check cluster_is_there eventually has_taskmanagers 2
seq 1 60000 >"$top/input.txt"
check job_is_taken submit "$top/regions.so" --left "$top/input.txt" --right "$top/input.txt" --output "$top/out" \
    --pause 100 --trap "$top/trap"
check checkpoints_are_taken eventually chk_beyond "$job" 1
check both_run_for_the_first_time attempts_are count 0

# ---- one fails by itself: its tasks start again in the same processes ----
touch "$top/trap"
check the_trap_restarts_it eventually restarts_are "$job" 1
check it_runs_again eventually attempts_are right 1
check the_other_runs_on attempts_are left 0
out=$(rest "/jobs/$job/exceptions")
check the_history_says_what_started_again said 0 "the trap was there" "3 tasks start again: " "count right"

# ---- its worker dies ----
check its_taskmanager_is_found eventually pick right
# shellcheck disable=SC2046
kill -KILL $(workers_of "$victim")
check a_death_restarts_it eventually restarts_are "$job" 2
check it_runs_after_the_death eventually attempts_are right 2
check the_other_runs_on_after_the_death attempts_are left 0

# ---- its TaskManager dies; a spare one takes the tasks ----
start_taskmanager tm3
check a_spare_one_is_there eventually has_taskmanagers 3
kill -KILL "${pids[$victim]}"
check a_lost_taskmanager_restarts_it eventually restarts_are "$job" 3
check it_runs_on_the_spare_one eventually attempts_are right 3
check the_other_runs_on_after_the_loss attempts_are left 0
check it_is_on_the_spare_one test "$(taskmanager_of right)" = tm3

# ---- no slot is free: it waits for one, the other runs on ----
kill -KILL "${pids[tm3]}"
check it_waits_for_a_slot eventually state_is "$job" RESTARTING
check the_other_runs_on_meanwhile attempts_are left 0
start_taskmanager tm4
check it_runs_on_the_new_one eventually attempts_are right 4
check it_is_running_again eventually state_is "$job" RUNNING
check the_other_has_never_started_again attempts_are left 0

check it_finishes eventually state_is "$job" FINISHED
check left_is_exact output_is_exact "$top/out/left" 7 60000
check right_is_exact output_is_exact "$top/out/right" 7 60000
exit $((failures > 0))
