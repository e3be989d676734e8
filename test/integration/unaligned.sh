#!/usr/bin/env bash
# Unaligned checkpoints through real daemons: a slow operator behind a shuffle.  An aligned barrier waits behind all the rows;
# one that overtakes does not, and the rows in flight come back after kill -9, at the same and at other parallelisms: every
# count is in the output once.  Prints "ok NAME" and "FAIL NAME" lines.
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
declare -A pids=()

cleanup() {
    kill -KILL "${pids[@]}" 2>/dev/null
    if [[ -n ${KEEP:-} ]]; then echo "kept: $top"; else rm -rf "$top"; fi
}
trap cleanup EXIT

rask() { # rask VERB ARGUMENT...
    run timeout 60 "$build/bin/rask" "$1" -m "localhost:$rest_port" "${@:2}"
}
# submit OUTPUT ARGUMENT...: detached, slow until $top/fast is there; sets job
submit() {
    rm -f "$top/fast"
    rask run -d "${@:2}" "$top/unaligned.so" --rows $rows --output "$top/$1" --pause 1000 --fast "$top/fast"
    job=${out##*JobID }
    job=${job%%[!0-9a-f]*}
    [[ ${#job} -eq 32 ]]
}
chk() { # the newest complete checkpoint of a job
    find "$top/ckpt/$1" -path '*/chk-*/_metadata' 2>/dev/null | sed 's/.*chk-\([0-9]*\).*/\1/' | sort -n | tail -1
}
chk_beyond() {
    local n
    n=$(chk "$1")
    [[ ${n:-0} -gt $2 ]]
}
restarts_are() { # restarts_are JOB N
    out=$(rest "/jobs/$1/metrics?get=numRestarts" 2>&1)
    [[ $out == *"\"value\":\"$2\""* ]]
}
workers_of() { # process ids of the workers of a TaskManager
    ps -o pid= --ppid "${pids[$1]}"
}
output_is_exact() { # output_is_exact FOLDER
    out=$(diff <(awk -v n="$rows" 'BEGIN {for (i = 0; i < n; i++) print i % 7 "," ++c[i % 7]}' | sort) \
        <(find "$top/$1" -type f -name 'part-*' ! -name '.*' -exec cat {} + | sort) | head -20)
    [[ -z $out ]]
}
# of the newest completed checkpoint: a figure of it
figure() { # figure JOB NAME
    rest "/jobs/$1/checkpoints" | tail -1 | python3 -c '
import json, sys
done = json.loads(sys.stdin.read().strip().splitlines()[-1])["latest"]["completed"]
print(done[sys.argv[1]] if done else -1)' "$2"
}
figure_between() { # figure_between NAME LEAST MOST
    out="$1 $(figure "$job" "$1")"
    [[ ${out##* } -ge $2 && ${out##* } -le $3 ]]
}

rows=40000
rest_port=$(free_port)
rpc_port=$(free_port)
mkdir -p "$top/conf" "$top/log" "$top/tmp" "$top/ckpt"
cat >"$top/conf/rask-conf.yaml" <<CONF
rest.port: $rest_port
jobmanager.rpc.port: $rpc_port
taskmanager.numberOfTaskSlots: 2
taskmanager.memory.process.size: 256m
io.tmp.dirs: '$top/tmp'
env.log.dir: '$top/log'
execution.checkpointing.dir: file://$top/ckpt
execution.checkpointing.interval: 300 ms
execution.checkpointing.externalized-checkpoint-retention: RETAIN_ON_CANCELLATION
restart-strategy.type: fixed-delay
restart-strategy.fixed-delay.attempts: 100
restart-strategy.fixed-delay.delay: 50 ms
CONF
run "${CC:-cc}" -shared -fPIC -g -Iapi/include -o "$top/unaligned.so" test/integration/jobs/unaligned.c
check compiles said 0 ""
start jm rask-jobmanager
start tm1 rask-taskmanager
start tm2 rask-taskmanager
check cluster_is_there eventually has_taskmanagers 2
unaligned=(-D execution.checkpointing.unaligned.enabled=true)

# ---- what cannot be ----
rask run "${unaligned[@]}" -D execution.checkpointing.mode=AT_LEAST_ONCE "$top/unaligned.so" --output "$top/none"
check needs_exactly_once said 1 "execution.checkpointing.unaligned.enabled needs execution.checkpointing.mode EXACTLY_ONCE"
rask run "${unaligned[@]}" -D execution.checkpointing.max-concurrent-checkpoints=2 "$top/unaligned.so" --output "$top/none"
check needs_one_at_a_time said 1 "needs execution.checkpointing.max-concurrent-checkpoints 1, and it is 2"

# ---- an aligned barrier waits behind the rows ----
check aligned_job_is_taken submit out0 -p 4
sleep 2
check aligned_checkpoints_wait test "$(chk "$job")" = ""
rask cancel "$job"
check it_is_canceled eventually state_is "$job" CANCELED

# ---- one that overtakes does not ----
check job_is_taken submit out1 "${unaligned[@]}" -p 4
check checkpoints_are_taken eventually chk_beyond "$job" 2
check rows_in_flight_are_persisted eventually figure_between persisted_data 1 100000000
check it_is_quick figure_between end_to_end_duration 0 2000
n=$(chk "$job")
run "$build/bin/rask" state ls "$top/ckpt/$job/chk-$n"
check state_lists_them said 0 "rows in flight to it"
# shellcheck disable=SC2046
kill -KILL $(workers_of tm1)
check restarts eventually restarts_are "$job" 1
n=$(chk "$job")
check checkpoints_go_on eventually chk_beyond "$job" "${n:-0}"
kill -KILL "${pids[tm2]}"
start tm3 rask-taskmanager
check restarts_again eventually restarts_are "$job" 2
touch "$top/fast"
check finishes eventually state_is "$job" FINISHED
check output_is_exact output_is_exact out1

# ---- restored at other parallelisms ----
check job_is_taken_again submit out2 "${unaligned[@]}" -p 4
check checkpoints_are_taken_again eventually chk_beyond "$job" 2
check rows_are_persisted_again eventually figure_between persisted_data 1 100000000
rask cancel "$job"
check is_canceled eventually state_is "$job" CANCELED
path=$top/ckpt/$job/chk-$(chk "$job")
run "$build/bin/rask" state check "$path"
check state_check_is_content said 0
check goes_on_at_three submit out2 "${unaligned[@]}" -p 3 -s "$path"
check checkpoints_at_three eventually chk_beyond "$job" "$(($(basename "$path" | tr -dc 0-9) + 1))"
rask cancel "$job"
check is_canceled_again eventually state_is "$job" CANCELED
path=$top/ckpt/$job/chk-$(chk "$job")
check goes_on_at_one submit out2 "${unaligned[@]}" -p 1 -s "$path"
touch "$top/fast"
check finishes_at_one eventually state_is "$job" FINISHED
check output_is_exact_after_rescaling output_is_exact out2

# ---- aligned first: the timeout passes while barriers wait ----
check job_with_timeout_is_taken submit out3 "${unaligned[@]}" -D execution.checkpointing.aligned-checkpoint-timeout=200ms -p 4
check checkpoints_with_timeout eventually chk_beyond "$job" 1
check rows_are_persisted_after_the_timeout eventually figure_between persisted_data 1 100000000
# shellcheck disable=SC2046
kill -KILL $(workers_of tm1)
check restarts_with_timeout eventually restarts_are "$job" 1
rask savepoint "$job" "$top/save" &
touch "$top/fast"
wait $!
check finishes_with_timeout eventually state_is "$job" FINISHED
check output_is_exact_with_timeout output_is_exact out3
exit $((failures > 0))
