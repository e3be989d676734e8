#!/usr/bin/env bash
# Unaligned checkpoints through real daemons: a slow operator behind a shuffle.  An aligned barrier waits behind all the rows;
# one that overtakes does not, and the rows in flight come back after kill -9, at the same and at other parallelisms: every
# count is in the output once.  Prints "ok NAME" and "FAIL NAME" lines.
# shellcheck disable=SC2317
set -u
cd "$(dirname "$0")/../.." || exit 1
# shellcheck source=test/integration/cluster.bash
. test/integration/cluster.bash

# submit_slow OUTPUT ARGUMENT...: slow until $top/fast is there
submit_slow() {
    rm -f "$top/fast"
    submit "${@:2}" "$top/unaligned.so" --rows $rows --output "$top/$1" --pause 1000 --fast "$top/fast"
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
mkdir -p "$top/ckpt"
configure 2 256 <<CONF
execution.checkpointing.dir: file://$top/ckpt
execution.checkpointing.interval: 300 ms
execution.checkpointing.externalized-checkpoint-retention: RETAIN_ON_CANCELLATION
restart-strategy.type: fixed-delay
restart-strategy.fixed-delay.attempts: 100
restart-strategy.fixed-delay.delay: 50 ms
CONF
compile unaligned
start_cluster 2
unaligned=(-D execution.checkpointing.unaligned.enabled=true)

# ---- what cannot be ----
rask run "${unaligned[@]}" -D execution.checkpointing.mode=AT_LEAST_ONCE "$top/unaligned.so" --output "$top/none"
check needs_exactly_once said 1 "execution.checkpointing.unaligned.enabled needs execution.checkpointing.mode EXACTLY_ONCE"
rask run "${unaligned[@]}" -D execution.checkpointing.max-concurrent-checkpoints=2 "$top/unaligned.so" --output "$top/none"
check needs_one_at_a_time said 1 "needs execution.checkpointing.max-concurrent-checkpoints 1, and it is 2"

# ---- an aligned barrier waits behind the rows ----
check aligned_job_is_taken submit_slow out0 -p 4
sleep 2
check aligned_checkpoints_wait test "$(chk "$job")" = ""
rask cancel "$job"
check it_is_canceled eventually state_is "$job" CANCELED

# ---- one that overtakes does not ----
check job_is_taken submit_slow out1 "${unaligned[@]}" -p 4
check checkpoints_are_taken eventually chk_beyond "$job" 2
check rows_in_flight_are_persisted eventually figure_between persisted_data 1 100000000
check it_is_quick figure_between end_to_end_duration 0 2000
lists_rows_in_flight() { # of the latest, which a newer one may replace meanwhile
    run "$build/bin/rask" state ls "$top/ckpt/$job/chk-$(chk "$job")"
    said 0 "rows in flight to it"
}
check state_lists_them eventually lists_rows_in_flight
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
check output_is_exact output_is_exact "$top/out1" 7 "$rows" 0

# ---- restored at other parallelisms ----
check job_is_taken_again submit_slow out2 "${unaligned[@]}" -p 4
check checkpoints_are_taken_again eventually chk_beyond "$job" 2
check rows_are_persisted_again eventually figure_between persisted_data 1 100000000
rask cancel "$job"
check is_canceled eventually state_is "$job" CANCELED
path=$top/ckpt/$job/chk-$(chk "$job")
run "$build/bin/rask" state check "$path"
check state_check_is_content said 0

# ---- the verdict of `rask state check` on rows in flight is that of a restore ----
agrees() { # agrees CHANGE STATUS WORDS
    { echo "#define CHANGE $1" && cat test/integration/jobs/unaligned.c; } >"$top/changed-$1.c"
    run timeout 60 "$build/bin/rask" state check "$path" -p 4 "$top/changed-$1.c"
    said "$2" "$3" || return 1
    rask run -p 4 -s "$path" -D restart-strategy.type=none "$top/changed-$1.c" --rows 0 --output "$top/none"
    said "$2" && [[ $2 -eq 0 || $out == *"in flight to operator \""* ]] # one of those that check names
}
check the_same_rows agrees 0 0 'the job could be restored'
check other_rows agrees 1 1 'rows in flight to operator "slow" are ('
check an_edge_inside_a_chain agrees 2 1 'rows were in flight to operator "slow" over an edge that the job does not have'
check an_edge_to_another_operator agrees 3 1 'rows were in flight to operator "slow" over an edge that the job does not have'
check goes_on_at_three submit_slow out2 "${unaligned[@]}" -p 3 -s "$path"
check checkpoints_at_three eventually chk_beyond "$job" "$(($(basename "$path" | tr -dc 0-9) + 1))"
rask cancel "$job"
check is_canceled_again eventually state_is "$job" CANCELED
path=$top/ckpt/$job/chk-$(chk "$job")
check goes_on_at_one submit_slow out2 "${unaligned[@]}" -p 1 -s "$path"
touch "$top/fast"
check finishes_at_one eventually state_is "$job" FINISHED
check output_is_exact_after_rescaling output_is_exact "$top/out2" 7 "$rows" 0

# ---- aligned first: the timeout passes while barriers wait ----
check job_with_timeout_is_taken submit_slow out3 "${unaligned[@]}" -D execution.checkpointing.aligned-checkpoint-timeout=200ms -p 4
check checkpoints_with_timeout eventually chk_beyond "$job" 1
check rows_are_persisted_after_the_timeout eventually figure_between persisted_data 1 100000000
# shellcheck disable=SC2046
kill -KILL $(workers_of tm1)
check restarts_with_timeout eventually restarts_are "$job" 1
rask savepoint "$job" "$top/save" &
touch "$top/fast"
wait $!
check finishes_with_timeout eventually state_is "$job" FINISHED
check output_is_exact_with_timeout output_is_exact "$top/out3" 7 "$rows" 0
exit $((failures > 0))
