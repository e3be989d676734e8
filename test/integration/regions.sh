#!/usr/bin/env bash
# Failover of regions through real daemons: two pipelines in one job; one of them fails by its own error, then its worker
# and its TaskManager are killed; the other one is never started again.  Prints "ok NAME" and "FAIL NAME" lines.
# shellcheck disable=SC2317
set -u
cd "$(dirname "$0")/../.." || exit 1
# shellcheck source=scripts/free_port.bash
. scripts/free_port.bash
# shellcheck source=test/integration/lib.bash
. test/integration/lib.bash
build=${RASK_BUILD:-$PWD/build}
top=$(mktemp -d)
unset RASK_LOG_DIR RASK_BUILD
export RASK_CONF_DIR="$top/conf"
declare -A pids=() tm_at=()

cleanup() {
    kill -KILL "${pids[@]}" 2>/dev/null
    if [[ -n ${KEEP:-} ]]; then echo "kept: $top"; else rm -rf "$top"; fi
}
trap cleanup EXIT

# submit ARGUMENT...: detached; sets job
submit() {
    run timeout 60 "$build/bin/rask" run -m "localhost:$rest_port" -d "$@"
    job=${out##*JobID }
    job=${job%%[!0-9a-f]*}
    [[ ${#job} -eq 32 ]]
}
chk_beyond() { # chk_beyond N: the newest complete checkpoint
    local n
    n=$(find "$top/ckpt/$job" -path '*/chk-*/_metadata' 2>/dev/null | sed 's/.*chk-\([0-9]*\).*/\1/' | sort -n | tail -1)
    [[ ${n:-0} -gt $1 ]]
}
restarts_are() {
    out=$(rest "/jobs/$job/metrics?get=numRestarts" 2>&1)
    [[ $out == *"\"value\":\"$1\""* ]]
}
attempts() { # attempts SIDE: of the tasks of a pipeline, each once
    rest "/jobs/$job" | tr '{' '\n' | sed -n "s/^\"id\":\"\([0-9a-f]*\)\".*\"name\":\"[^\"]*$1.*/\1/p" | while read -r vertex; do
        rest "/jobs/$job/vertices/$vertex" | grep -o '"attempt":[0-9]*'
    done | sort -u | tr -dc '0-9\n' | xargs
}
attempts_are() { # attempts_are SIDE N
    out=$(attempts "$1")
    [[ $out == "$2" ]]
}
output_is_exact() { # output_is_exact SIDE N
    out=$(diff <(awk -v n="$2" 'BEGIN {for (i = 1; i <= n; i++) print i % 7 "," ++c[i % 7]}' | sort) \
        <(find "$top/out/$1" -type f -name 'part-*' ! -name '.*' -exec cat {} + | sort) | head -20)
    [[ -z $out ]]
}
taskmanager_of() { # taskmanager_of SIDE: the one that runs it, by its data port
    local vertex port
    vertex=$(rest "/jobs/$job" | tr '{' '\n' | sed -n "s/^\"id\":\"\([0-9a-f]*\)\".*\"name\":\"[^\"]*$1.*/\1/p" | head -1)
    port=$(rest "/jobs/$job/vertices/$vertex" | grep -o '"endpoint":"[^"]*' | head -1)
    echo "${tm_at[${port##*:}]:-}"
}
start_taskmanager() { # start_taskmanager NAME
    local port
    port=$(free_port)
    tm_at[$port]=$1
    start "$1" rask-taskmanager -D "taskmanager.data.port=$port"
}
pick() { # pick SIDE: sets victim
    victim=$(taskmanager_of "$1")
    [[ -n $victim ]]
}
kill_workers() { # kill_workers TASKMANAGER
    # shellcheck disable=SC2046
    kill -KILL $(ps -o pid= --ppid "${pids[$1]}")
}

rest_port=$(free_port)
rpc_port=$(free_port)
mkdir -p "$top/conf" "$top/log" "$top/tmp" "$top/ckpt"
cat >"$top/conf/rask-conf.yaml" <<CONF
rest.port: $rest_port
jobmanager.rpc.port: $rpc_port
taskmanager.numberOfTaskSlots: 1
taskmanager.memory.process.size: 256m
io.tmp.dirs: '$top/tmp'
env.log.dir: '$top/log'
execution.checkpointing.dir: file://$top/ckpt
execution.checkpointing.interval: 100 ms
restart-strategy.type: fixed-delay
restart-strategy.fixed-delay.attempts: 100
restart-strategy.fixed-delay.delay: 50 ms
CONF
run "${CC:-cc}" -shared -fPIC -g -Iapi/include -o "$top/regions.so" test/integration/jobs/regions.c
check compiles said 0 ""
start jm rask-jobmanager
start_taskmanager tm1
start_taskmanager tm2
check cluster_is_there eventually has_taskmanagers 2
seq 1 60000 >"$top/input.txt"
check job_is_taken submit "$top/regions.so" --left "$top/input.txt" --right "$top/input.txt" --output "$top/out" \
    --pause 100 --trap "$top/trap"
check checkpoints_are_taken eventually chk_beyond 1
check both_run_for_the_first_time attempts_are count 0

# ---- one fails by itself: its tasks start again in the same processes ----
touch "$top/trap"
check the_trap_restarts_it eventually restarts_are 1
check it_runs_again eventually attempts_are right 1
check the_other_runs_on attempts_are left 0
out=$(rest "/jobs/$job/exceptions")
check the_history_says_what_started_again said 0 "the trap was there" "3 tasks start again: " "count right"

# ---- its worker dies ----
check its_taskmanager_is_found eventually pick right
kill_workers "$victim"
check a_death_restarts_it eventually restarts_are 2
check it_runs_after_the_death eventually attempts_are right 2
check the_other_runs_on_after_the_death attempts_are left 0

# ---- its TaskManager dies; a spare one takes the tasks ----
start_taskmanager tm3
check a_spare_one_is_there eventually has_taskmanagers 3
kill -KILL "${pids[$victim]}"
check a_lost_taskmanager_restarts_it eventually restarts_are 3
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
check left_is_exact output_is_exact left 60000
check right_is_exact output_is_exact right 60000
exit $((failures > 0))
