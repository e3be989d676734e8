#!/usr/bin/env bash
# Checkpoints through real daemons: a job counts lines per key into part files while its workers and a TaskManager are
# killed; every count is in the output exactly once.  Prints "ok NAME" and "FAIL NAME" lines.
# shellcheck disable=SC2317
set -u
cd "$(dirname "$0")/../.." || exit 1
# shellcheck source=test/integration/cluster.bash
. test/integration/cluster.bash

mkdir -p "$top/ckpt"
configure 2 256 <<CONF
execution.checkpointing.dir: file://$top/ckpt
execution.checkpointing.interval: 200 ms
CONF
compile exact
start_cluster 2
seq 1 40000 >"$top/input.txt"

# ---- nothing fails ----
check job_is_taken submit "$top/exact.so" --input "$top/input.txt" --output "$top/out0" --pause 20
check finishes eventually state_is "$job" FINISHED
check output_is_exact output_is_exact "$top/out0" 7 40000
check finished_job_leaves_no_checkpoints test ! -e "$top/ckpt/$job"

# ---- a worker dies ----
check job_is_taken_again submit -p 2 "$top/exact.so" --input "$top/input.txt" --output "$top/out1" --pause 100
check checkpoints_are_taken eventually chk_beyond "$job" 1
# shellcheck disable=SC2046
kill -KILL $(workers_of tm1)
check restarts eventually restarts_are "$job" 1
last=$(chk "$job")
check checkpoints_go_on eventually chk_beyond "$job" "$((${last:-0} + 1))"
# shellcheck disable=SC2046
kill -KILL $(workers_of tm2)
check restarts_again eventually restarts_are "$job" 2
check finishes_after_deaths eventually state_is "$job" FINISHED
check output_is_exact_after_deaths output_is_exact "$top/out1" 7 40000

# ---- a TaskManager dies ----
check job_is_taken_third submit -p 2 "$top/exact.so" --input "$top/input.txt" --output "$top/out2" --pause 100
check checkpoints_are_taken_third eventually chk_beyond "$job" 1
kill -KILL "${pids[tm1]}"
check restarts_elsewhere eventually restarts_are "$job" 1
check finishes_after_a_taskmanager eventually state_is "$job" FINISHED
check output_is_exact_after_a_taskmanager output_is_exact "$top/out2" 7 40000

# ---- a folder that goes away, and a file in its place: checkpoints fail, the job goes on, later ones succeed ----
check job_with_trouble_is_taken submit -D execution.checkpointing.tolerable-failed-checkpoints=100000 "$top/exact.so" \
    --input "$top/input.txt" --output "$top/out5" --pause 150
check checkpoints_before_trouble eventually chk_beyond "$job" 1
rm -rf "$top/ckpt/$job"
touch "$top/ckpt/$job"
check checkpoints_fail eventually count_is_over failed 1
check job_runs_on state_is "$job" RUNNING
rm "$top/ckpt/$job"
check checkpoints_succeed_again eventually chk_beyond "$job" 2
# shellcheck disable=SC2046
kill -KILL $(workers_of tm2) 2>/dev/null
check finishes_after_trouble eventually state_is "$job" FINISHED
check output_is_exact_after_trouble output_is_exact "$top/out5" 7 40000

# ---- savepoints: stop at parallelism 2, go on at 3, then at 1 ----
start tm1 rask-taskmanager
seq 1 120000 >"$top/long.txt"
check cluster_is_whole_again eventually has_taskmanagers 2
check job_is_taken_fourth submit -p 2 "$top/exact.so" --input "$top/long.txt" --output "$top/out3" --pause 30
check checkpoints_are_taken_fourth eventually chk_beyond "$job" 1
rask checkpoint "$job"
check checkpoint_on_demand said 0 "Checkpoint(CONFIGURED)"
rask savepoint "$job" "$top/save"
check savepoint_is_taken said 0 "Savepoint completed. Path: file:$top/save/savepoint-"
plain=$(savepoint_path)
rask stop -p "$top/save" "$job"
check stop_with_savepoint said 0 "Savepoint completed. Path: file:$top/save/savepoint-"
saved=$(savepoint_path)
check stopped_job_has_finished state_is "$job" FINISHED
check goes_on_at_3 submit -s "$saved" -p 3 "$top/exact.so" --input "$top/long.txt" --output "$top/out3" --pause 30
check checkpoints_go_on_at_3 eventually chk_beyond "$job" 3
rask stop -p "$top/save" "$job"
check stops_at_3 said 0 "Savepoint completed."
saved3=$(savepoint_path)
check goes_on_at_1 submit -s "$saved3" -cm claim -p 1 "$top/exact.so" --input "$top/long.txt" --output "$top/out3"
check finishes_after_savepoints eventually state_is "$job" FINISHED
check output_is_exact_after_savepoints output_is_exact "$top/out3" 7 120000
check claimed_savepoint_is_gone test ! -e "$saved3"
check own_savepoint_stays test -e "$saved/_metadata"
rask savepoint -d "$plain"
check savepoint_is_disposed said 0 "disposed."
check disposed_savepoint_is_gone test ! -e "$plain"
rask run -s "$top/save/none" "$top/exact.so" --input "$top/input.txt" --output "$top/out4"
check missing_savepoint_is_named said 1 "$top/save/none"
rask run -s "$saved" "$top/exact.so" --input "$top/input.txt" --output "$top/out4" --keys 5
check state_may_be_used_by_a_changed_job said 0 ""
rask cancel -s "$top/save" "$job"
check a_job_that_is_over_gives_no_savepoint said 1 ""

echo "$failures failed"
[[ $failures -eq 0 ]]
