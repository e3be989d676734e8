#!/usr/bin/env bash
# Checkpoints on a disk that is full, read-only, forbidden or gone, through real daemons: checkpoints fail with a sentence that
# says where, the job goes on, the next one succeeds when the trouble is over, and the output is exact.
# Prints "ok NAME" and "FAIL NAME" lines.
# shellcheck disable=SC2317
set -u
cd "$(dirname "$0")/../.." || exit 1
# shellcheck source=test/integration/bad_disk.bash
. test/integration/bad_disk.bash

# the latest failure, as REST says it
failure_says() {
    local text
    out=$(curl -s "http://localhost:$rest_port/jobs/$job/checkpoints" |
        python3 -c 'import json, sys; print((json.load(sys.stdin)["latest"]["failed"] or {}).get("failure_message"))')
    for text; do [[ $out == *"$text"* ]] || return 1; done
}
# trouble NAME PHASE REASON: checkpoints fail with both, the job runs; then "mend NAME" and one succeeds
trouble() {
    check "$1:_checkpoints_fail" eventually count_is_over failed "$(count_of failed)"
    check "$1:_says_where_and_why" eventually failure_says "$2" "$3"
    check "$1:_the_job_goes_on" state_is "$job" RUNNING
}
mended() {
    check "$1:_the_next_succeeds" eventually count_is_over completed "$(count_of completed)"
}
fill() { # all of it, to the last byte
    cat /dev/zero >"$top/disk/filler" 2>/dev/null
    true
}

mkdir -p "$top/disk"
mount -t tmpfs -o size=8m rask-test "$top/disk" || exit 1
mkdir "$top/disk/ckpt"
configure 2 256 <<CONF
execution.checkpointing.dir: file://$top/disk/ckpt
execution.checkpointing.interval: 100 ms
execution.checkpointing.tolerable-failed-checkpoints: 100000
restart-strategy.type: fixed-delay
restart-strategy.fixed-delay.attempts: 100000
restart-strategy.fixed-delay.delay: 100 ms
CONF
compile exact
start_bound jm rask-jobmanager
start_bound tm rask-taskmanager
check cluster_is_there eventually has_taskmanagers 1
seq 1 120000 >"$top/input.txt"

# 5,000 keys: their state is more than an acknowledgement holds, so workers write files
check job_is_taken submit "$top/exact.so" --input "$top/input.txt" --output "$top/out" --pause 120 --keys 5000
check checkpoints_are_taken eventually count_is_over completed 2
check workers_write_files test -n "$(find "$top/disk/ckpt/$job/shared" -name '*.state')"

fill
trouble full_disk "$top/disk/ckpt/$job/" "No space left on device"
rm "$top/disk/filler"
mended full_disk

make_read_only "$top/disk"
trouble read_only "$top/disk/ckpt/$job/" "Read-only file system"
mount -o remount,rw "$top/disk"
mended read_only

chmod 0500 "$top/disk/ckpt/$job"
trouble forbidden_folder "its folder could not be made: cannot create folder $top/disk/ckpt/$job/chk-" "Permission denied"
chmod 0700 "$top/disk/ckpt/$job"
mended forbidden_folder

chmod 0500 "$top/disk/ckpt/$job/shared"
trouble forbidden_files "cannot open $top/disk/ckpt/$job/shared/" "Permission denied"
check forbidden_files:_says_whose_state failure_says 'could not write: the state of "count -> Sink: Writer (1/1)"'
chmod 0700 "$top/disk/ckpt/$job/shared"
mended forbidden_files

# What earlier checkpoints left there is gone with it: the next one is complete in itself.
mv "$top/disk/ckpt/$job" "$top/disk/ckpt/gone"
touch "$top/disk/ckpt/$job"
trouble removed_folder "its folder could not be made" "$top/disk/ckpt/$job"
rm "$top/disk/ckpt/$job"
mended removed_folder
kill -KILL "$(worker_of tm)"
rm -rf "$top/disk/ckpt/gone"

check finishes eventually state_is "$job" FINISHED
check output_is_exact output_is_exact "$top/out" 5000 120000

# ---- the latest checkpoint is damaged when it is needed: the one before, with a warning; then all are: the job fails ----
newest() {
    find "$top/disk/ckpt/$job" -path '*/chk-*/_metadata' 2>/dev/null | sort -t- -k2 -V | tail -1
}
damage() { # damage FILE...: a byte in the middle
    local file
    for file; do
        printf '\252' | dd of="$file" bs=1 seek=$(($(stat -c %s "$file") / 2)) conv=notrunc 2>/dev/null
    done
}
kill_worker() {
    kill -KILL "$(worker_of tm)"
}
went_back() { # damages the newest one until it was the one that was needed
    local i
    for ((i = 0; i < 20; i++)); do
        eventually count_is_over completed "$(count_of completed)"
        damage "$(newest)"
        kill_worker
        eventually count_is_over completed "$(($(count_of completed) + 1))"
        grep -q 'is damaged or gone: the job goes back to checkpoint' "$top/log/jm.log" && return 0
    done
    return 1
}
all_damaged_fails() {
    local i
    for ((i = 0; i < 20; i++)); do
        kill -STOP "${pids[jm]}" # no checkpoint completes, none is removed
        sleep 0.3
        damage "$top/disk/ckpt/$job"/chk-*/_metadata
        kill_worker
        kill -CONT "${pids[jm]}"
        eventually state_is "$job" FAILED && return 0
    done
    return 1
}
check job_with_two_retained_is_taken submit -D execution.checkpointing.num-retained=2 -D execution.checkpointing.interval=500ms \
    "$top/exact.so" --input "$top/input.txt" --output "$top/out3" --pause 1000 --keys 5000
check two_are_retained eventually count_is_over completed 2
check damaged:_the_one_before_is_taken went_back
check damaged:_the_job_goes_on state_is "$job" RUNNING
check all_damaged:_the_job_fails all_damaged_fails
out=$(rest "/jobs/$job/exceptions")
check all_damaged:_says_what said "$status" "cannot restore from" "_metadata"

# ---- the sink's own disk is full: the job restarts until there is room again ----
mkdir "$top/disk/out"
check sink_job_is_taken submit "$top/exact.so" --input "$top/input.txt" --output "$top/disk/out" --pause 20
check sink_job_runs eventually count_is_over completed 2
fill
restarted() {
    out=$(rest "/jobs/$job/exceptions" 2>&1)
    [[ $out == *"$top/disk/out"*"No space left on device"* || $out == *"$top/disk/out"*"is full"* ]]
}
check full_output:_says_where_and_why eventually restarted
rm "$top/disk/filler"
check full_output:_finishes eventually state_is "$job" FINISHED
check full_output:_is_exact output_is_exact "$top/disk/out" 7 120000

echo "$failures failed"
[[ $failures -eq 0 ]]
