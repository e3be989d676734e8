#!/usr/bin/env bash
# Savepoints in trouble, through real daemons: on a disk that is full, read-only, forbidden or gone while one is being written,
# alone and to stop with; with files that are missing when a job is to begin with one; and claimed by two jobs.
# Prints "ok NAME" and "FAIL NAME" lines.
# shellcheck disable=SC2317
set -u
cd "$(dirname "$0")/../.." || exit 1
# shellcheck source=test/integration/bad_disk.bash
. test/integration/bad_disk.bash

save=$top/disk/save
has_new_folder() {
    folder=$(find "$save" -maxdepth 1 -name 'savepoint-*' -newer "$top/before" | head -1)
    [[ -n $folder ]]
}
has_state_files() {
    [[ -n $(find "$folder" -name '*.state') ]]
}

# ---- trouble while one is being written ----
begin() { # begin VERB...: in the background; its folder is there, and the worker has not heard of it
    kill -STOP "$(worker_of tm)"
    touch "$top/before"
    sleep 0.02 # of the clock of files
    timeout 60 "$build/bin/rask" "$1" -m "localhost:$rest_port" "${@:2}" >"$top/said" 2>&1 </dev/null &
    asked=$!
    eventually has_new_folder
}
acknowledged() { # the worker has written its part, and the JobManager does not know yet
    kill -STOP "${pids[jm]}"
    kill -CONT "$(worker_of tm)"
    eventually has_state_files
    sleep 0.3
}
go_on() {
    kill -CONT "$(worker_of tm)" "${pids[jm]}"
    wait "$asked"
    status=$?
    out=$(cat "$top/said")
}
fill() { # all of it, to the last byte
    cat /dev/zero >"$top/disk/filler" 2>/dev/null
    true
}
nothing_looks_complete() { # what is not whole has no _metadata
    local meta
    for meta in "$save"/savepoint-*/_metadata; do
        [[ -e $meta ]] || continue
        run "$build/bin/rask" state check "${meta%/_metadata}"
        said 0 "whole" || return 1
    done
}
left() { # what failed ones have left
    local dir
    for dir in "$save"/savepoint-*; do
        [[ ! -e $dir || -e $dir/_metadata ]] || echo "$dir"
    done
}
is_clean() {
    out=$(left)
    [[ -z $out ]]
}
ask() { # ask KIND: savepoint or stop, of the job
    if [[ $1 = stop ]]; then begin stop -p "$save" "$job"; else begin savepoint "$job" "$save"; fi
}
# trouble KIND NAME PHASE WORDS: what harm_NAME does to the disk then
trouble() {
    check "$1_$2_$3:_its_folder_is_there" ask "$1"
    [[ $3 = metadata ]] && acknowledged
    "harm_$2"
    go_on
    check "$1_$2_$3:_fails_with_a_sentence" said 1 "$4" "$save/savepoint-"
    check "$1_$2_$3:_the_job_goes_on" state_is "$job" RUNNING
    "mend_$2"
    check "$1_$2_$3:_nothing_looks_complete" nothing_looks_complete
    rask checkpoint "$job"
    check "$1_$2_$3:_checkpoints_go_on" said 0
}
harm_full() { fill; }
mend_full() { rm "$top/disk/filler"; }
harm_read_only() { make_read_only "$top/disk"; }
mend_read_only() { mount -o remount,rw "$top/disk"; }
harm_forbidden() { chmod 0500 "$folder"; }
mend_forbidden() { chmod 0700 "$folder" 2>/dev/null; }
harm_removed() { rm -rf "$folder"; }
mend_removed() { true; }

mkdir -p "$top/disk" "$top/ckpt"
mount -t tmpfs -o size=16m rask-test "$top/disk" || exit 1
mkdir "$save"
configure 2 256 <<CONF
execution.checkpointing.dir: file://$top/ckpt
execution.checkpointing.interval: 200 ms
execution.checkpointing.tolerable-failed-checkpoints: 100000
restart-strategy.type: fixed-delay
restart-strategy.fixed-delay.attempts: 100000
restart-strategy.fixed-delay.delay: 100 ms
CONF
compile exact
start_bound jm rask-jobmanager
start_bound tm rask-taskmanager
check cluster_is_there eventually has_taskmanagers 1
lines=700000
seq 1 $lines >"$top/input.txt"
long=("$top/exact.so" --input "$top/input.txt" --keys 5000)

state_is_in_files() { # it is more than an acknowledgement holds
    rask checkpoint "$job"
    [[ -n $(find "$top/ckpt/$job/shared" -name '*.state' 2>/dev/null) ]]
}
# a savepoint to stop with would wait for a checkpoint, which a worker that is stopped has not
check job_is_taken submit -D execution.checkpointing.interval=1h "${long[@]}" --output "$top/out" --pause 100
check state_is_in_files eventually state_is_in_files
for kind in savepoint stop; do
    for phase in state metadata; do
        trouble $kind full $phase "No space left on device"
        trouble $kind read_only $phase "Read-only file system"
        trouble $kind forbidden $phase "Permission denied"
        trouble $kind removed $phase "No such file or directory"
    done
    rask savepoint "$job" "$save"
    check "${kind}:_the_next_savepoint_succeeds" said 0 "Savepoint completed."
done
check no_task_has_started_again restarts_are "$job" 0
rask stop -p "$save" "$job"
check the_next_stop_succeeds said 0 "Savepoint completed."
stopped=$(savepoint_path)
check it_has_stopped eventually state_is "$job" FINISHED
check whatever_is_there_is_whole nothing_looks_complete
check goes_on_from_it submit -s "$stopped" "${long[@]}" --output "$top/out"
check finishes eventually state_is "$job" FINISHED
check output_is_exact output_is_exact "$top/out" 5000 $lines

# ---- what a user names, and what is not there: at once, however many restarts are allowed ----
lost() { # lost FILE COMMAND...: without the file, the job fails before any other try
    local file=$1
    "${@:2}" "$file"
    rask_timeout=20 rask run -s "$top/copy" "${long[@]}" --output "$top/none"
    said 1 "cannot begin with \"$top/copy\"" "${file##*/}" "rask state check"
}
copy() {
    rm -rf "$top/copy"
    cp -r "$stopped" "$top/copy"
    file=$(find "$top/copy" -name '*.state' | head -1)
    [[ -n $file ]]
}
check it_has_files copy
check a_missing_file_fails_the_job_at_once lost "$file" rm
check it_is_there_again copy
check a_forbidden_file_fails_the_job_at_once lost "$file" chmod 0000
check and_again copy
check a_cut_off_file_fails_the_job_at_once lost "$file" truncate -s 100

# ---- one of the job's own: the one before ----
job_runs() {
    state_is "$job" RUNNING && count_is_over completed "$1"
}
went_back() { # went_back WHAT: of the newest checkpoint, while none completes
    local i n before
    for ((i = 0; i < 10; i++)); do
        before=$(grep -c 'the job goes back to checkpoint' "$top/log/jm.log")
        eventually count_is_over completed "$(count_of completed)"
        kill -STOP "${pids[jm]}"
        n=$(chk "$job")
        if [[ $1 = file ]]; then rm "$top/ckpt/$job/"*/*-"$n"-*.state; else rm -r "$top/ckpt/$job/chk-$n"; fi
        kill -KILL "$(worker_of tm)"
        kill -CONT "${pids[jm]}"
        eventually job_runs "$(count_of completed)"
        [[ $(grep -c 'the job goes back to checkpoint' "$top/log/jm.log") -gt $before ]] && return 0
    done
    return 1
}
check job_with_two_retained_is_taken submit -D execution.checkpointing.num-retained=2 -D execution.checkpointing.incremental=false \
    -D execution.checkpointing.interval=500ms "${long[@]}" --output "$top/out2" --pause 100
check two_are_retained eventually count_is_over completed 6
check own_file_is_gone:_the_one_before went_back file
check own_folder_is_gone:_the_one_before went_back folder
rask cancel "$job"
check it_is_canceled eventually state_is "$job" CANCELED

# ---- one job at most claims a savepoint ----
claim() { # claim ARGUMENT...: detached
    submit -s "$saved" -cm claim -D execution.checkpointing.interval=1h "${long[@]}" --output "$top/claims" --pause 100
}
runs() {
    state_is "$1" RUNNING
}
is_refused() { # because of job $1
    claim
    eventually state_is "$job" FAILED
    out=$(rest "/jobs/$job/exceptions")
    [[ $out == *"job $1 has claimed it"* && $out == *"$saved/_claimed-$1"* ]]
}
check_says() { # what `rask state check` says of it
    run "$build/bin/rask" state check "$saved"
    said 0 "$1"
}
saved=$stopped
check one_claims claim
first=$job
check it_runs eventually runs "$first"
check a_second_is_refused is_refused "$first"
check the_first_runs_on runs "$first"
check state_check_says_whose_it_is check_says "job $first has claimed it"
rask savepoint -d "$saved"
check it_is_not_disposed_of said 1 "job $first has claimed it"
check without_a_claim_it_may_be_read submit -s "$saved" -D execution.checkpointing.interval=1h "${long[@]}" --output "$top/reads" --pause 100
reader=$job
check a_reader_runs eventually runs "$reader"
check a_reader_is_warned grep -q "job $first has claimed \"$saved\", and may remove its files" "$top/log/jm.log"
rask cancel "$reader"
rask cancel "$first"
check the_first_is_over eventually state_is "$first" CANCELED
check a_job_without_a_checkpoint_of_its_own_gives_it_back check_says "whole"
check its_mark_is_gone test -z "$(find "$saved" -name '_claimed-*')"
check another_may_claim_then claim
second=$job
check the_second_runs eventually runs "$second"
kill -KILL "${pids[jm]}"
start_bound jm rask-jobmanager
check cluster_is_there_again eventually has_taskmanagers 1
check a_lost_jobmanager_leaves_the_mark is_refused "$second"
rm "$saved/_claimed-$second"
check without_the_mark_it_is_free claim
third=$job
check the_third_runs eventually runs "$third"
rask checkpoint "$third"
is_gone() { [[ ! -e $saved/_metadata && -z $(find "$saved" -name '_claimed-*' 2>/dev/null) ]]; }
check a_checkpoint_of_its_own_ends_it eventually is_gone

# ---- nor a checkpoint of a job that has not ended ----
refused_while_it_runs() {
    saved=$top/ckpt/$third/chk-$(chk "$third")
    claim
    eventually state_is "$job" FAILED
    out=$(rest "/jobs/$job/exceptions")
    [[ $out == *"job $third has not ended"* && $out == *"$top/ckpt/$third/_running-$third"* ]]
}
check a_checkpoint_of_a_job_that_runs_is_not_claimed refused_while_it_runs
check state_check_says_that_it_runs check_says "job $third has not ended"
ports=("$rest_port" "$rpc_port")
rest_port=$(free_port)
start_bound other rask-jobmanager -D "rest.port=$rest_port" -D "jobmanager.rpc.port=$(free_port)"
check another_jobmanager_is_there eventually has_taskmanagers 0
check nor_by_another_jobmanager refused_while_it_runs
kill -KILL "${pids[other]}"
rest_port=${ports[0]}
check its_job_runs_on runs "$third"
kill -KILL "${pids[jm]}"
start_bound jm rask-jobmanager
check cluster_is_there_once_more eventually has_taskmanagers 1
saved=$top/ckpt/$third/chk-$(chk "$third")
echo "JobManager: pid 1 (started 1, boot of another machine)" >"$top/foreign"
mv "$top/ckpt/$third/_running-$third" "$top/own"
cp "$top/foreign" "$top/ckpt/$third/_running-$third"
check a_lost_one_that_cannot_be_told_of_keeps_it refused_while_it_runs
mv "$top/own" "$top/ckpt/$third/_running-$third"
check of_one_that_was_lost_here_it_is_free claim
fourth=$job
check the_fourth_runs eventually runs "$fourth"
check the_log_says_so grep -q "job $third was lost with its JobManager: its mark .* is taken away" "$top/log/jm.log"
check the_mark_is_gone test ! -e "$top/ckpt/$third/_running-$third"
rask cancel "$fourth"

echo "$failures failed"
[[ $failures -eq 0 ]]
