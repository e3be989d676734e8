#!/usr/bin/env bash
# State on a local disk that lies, is full, forbidden or gone, through real daemons: the job says where and what, starts again
# from its checkpoint, and the output is exact.
# Prints "ok NAME" and "FAIL NAME" lines.
# shellcheck disable=SC2317
set -u
cd "$(dirname "$0")/../.." || exit 1
# shellcheck source=test/integration/bad_disk.bash
. test/integration/bad_disk.bash

failure_says() { # the latest exceptions of the job have all these texts
    local text
    out=$(rest "/jobs/$job/exceptions" 2>&1)
    for text; do [[ $out == *"$text"* ]] || return 1; done
}
restarts() {
    out=$(rest "/jobs/$job/metrics?get=numRestarts" 2>&1)
    local n=${out##*\"value\":\"}
    echo "${n%%[!0-9]*}"
}
restarts_are_beyond() {
    [[ $(restarts) -gt $1 ]]
}
runs() {
    [[ $(rest "/jobs/$job" | grep -o '"RUNNING":[0-9]*' | head -1) != '"RUNNING":0' ]] && state_is "$job" RUNNING
}
completes() { # another checkpoint, from now
    local before
    before=$(chk "$job")
    eventually chk_beyond "$job" "${before:-0}"
}
has_values() { # files of values of the running store, not of what is linked for a checkpoint
    values=$(find "$top/disk/local" -name "$1" ! -path "*/links.*" -size +100k 2>/dev/null)
    [[ -n $values ]]
}
spoil() { # spoil PATTERN: bytes all over the files; sizes and inodes stay
    local file at
    has_values "$1" || return 1
    for file in $values; do
        for ((at = 3000; at < $(stat -c %s "$file"); at += 4096)); do
            printf '\252\125\252' | dd of="$file" bs=1 seek=$at conv=notrunc status=none
        done 2>/dev/null
    done
    true # some are gone by now
}
cut_off() {
    has_values '*.val' || return 1
    # shellcheck disable=SC2086
    truncate -s 50000 $values
}
begin() { # begin NAME: a job, up to where its state is on disk and in a checkpoint
    check "$1:_job_is_taken" submit "$top/exact.so" --input "$top/input.txt" --output "$top/out_$1" --keys $keys --wide true \
        --pause $pause
    check "$1:_state_is_on_disk" eventually has_values '*.val'
    check "$1:_a_checkpoint_is_there" completes
}
says_where_it_is_cut() { # who reads a value says so, who copies all for a checkpoint that it is not what was written
    failure_says '.val\" ends before byte' 'a checkpoint has its own copy' || failure_says '.val\" is damaged: ' 'a checkpoint has its own copy'
}
finish() { # finish NAME
    check "$1:_finishes" eventually state_is "$job" FINISHED
    check "$1:_is_exact" output_is_exact "$top/out_$1" $keys $lines
}

keys=20000 # of 24 + 8 + 208 bytes: 5 MiB
lines=70000
pause=20
seq 1 $lines >"$top/input.txt"
mkdir -p "$top/disk" "$top/ckpt"
mount -t tmpfs -o size=200m rask-test "$top/disk" || exit 1
mkdir "$top/disk/local"
configure 2 512 <<CONF
taskmanager.memory.managed.size: 8m
state.backend.type: leveldb
state.backend.leveldb.localdir: $top/disk/local
execution.checkpointing.dir: file://$top/ckpt
execution.checkpointing.interval: 300 ms
execution.state-recovery.from-local: true
restart-strategy.type: fixed-delay
restart-strategy.fixed-delay.attempts: 100000
restart-strategy.fixed-delay.delay: 200 ms
CONF
compile exact
start_bound jm rask-jobmanager
(ulimit -Sn 64; start_bound tm rask-taskmanager; echo "${pids[tm]}" >"$top/tm.pid")
pids[tm]=$(cat "$top/tm.pid")
check cluster_is_there eventually has_taskmanagers 1

# ---- what is on the disk is not what was written ----
begin spoilt_values
out=$(grep 'Max open files' "/proc/$(workers_of tm | head -1 | tr -d ' ')/limits")
check open_files_are_as_many_as_may_be test "$(awk '{print $4}' <<<"$out")" = "$(awk '{print $5}' <<<"$out")"
check spoilt_values:_are_spoilt spoil '*.val'
check spoilt_values:_starts_again eventually restarts_are_beyond 0
check spoilt_values:_says_what failure_says '.val\" is damaged: ' 'at byte' 'operator \"count' 'a checkpoint has its own copy'
finish spoilt_values

begin spoilt_tables
check spoilt_tables:_are_spoilt spoil '*.ldb'
check spoilt_tables:_starts_again eventually restarts_are_beyond 0
check spoilt_tables:_says_what failure_says 'LevelDB in' 'Corruption' 'operator \"count' 'a checkpoint has its own copy'
finish spoilt_tables

begin cut_off
check cut_off:_is_cut cut_off
check cut_off:_starts_again eventually restarts_are_beyond 0
check cut_off:_says_what says_where_it_is_cut
finish cut_off

# ---- no room, no permission, no folder ----
begin full_disk
cat /dev/zero >"$top/disk/filler" 2>/dev/null
check full_disk:_starts_again eventually restarts_are_beyond 0
check full_disk:_says_what failure_says "$top/disk/local" 'No space left on device' 'make room there, or set state.backend.leveldb.localdir'
check full_disk:_tries_on eventually restarts_are_beyond $(($(restarts) + 2))
rm "$top/disk/filler"
check full_disk:_runs_again eventually runs
finish full_disk

begin forbidden
chmod 0000 "$top"/disk/local/*/*
check forbidden:_starts_again eventually restarts_are_beyond 0
check forbidden:_says_what failure_says "$top/disk/local" 'Permission denied'
check forbidden:_runs_again eventually runs
chmod 0700 "$top"/disk/local/*/* 2>/dev/null
finish forbidden

begin removed
mv "$top/disk/local" "$top/disk/away"
check removed:_starts_again eventually restarts_are_beyond 0
check removed:_says_what failure_says "$top/disk/local" 'No such file or directory'
mv "$top/disk/away" "$top/disk/local"
check removed:_runs_again eventually runs
finish removed

echo "$failures failed"
[[ $failures -eq 0 ]]
