#!/usr/bin/env bash
# Local recovery through real daemons: a task that starts again reads the copy of its state that its host has, not the folder of
# the checkpoints, whose files are away meanwhile; a damaged or missing copy is read from there; a TaskManager that comes back
# under its resource-id has its copies still; nothing is left when the job is over.  Prints "ok NAME" and "FAIL NAME" lines.
# shellcheck disable=SC2317
set -u
cd "$(dirname "$0")/../.." || exit 1
# shellcheck source=test/integration/cluster.bash
. test/integration/cluster.bash
other_disk= # a folder on another file system

also_end() {
    [[ -n $other_disk ]] && rm -rf "$other_disk"
}
runs_since() { # runs_since N: restarts, and every task runs
    restarts_are "$job" "$1" && [[ $(rest "/jobs/$job" | grep -o '"RUNNING":[0-9]*' | head -1) != '"RUNNING":0' ]] &&
        state_is "$job" RUNNING
}
take_checkpoint() {
    rask checkpoint "$job"
    [[ $status -eq 0 ]]
}
# The files of state, out of the checkpoints' folder and back. _metadata stays. Those of older checkpoints may go meanwhile.
hide_state() {
    local file
    while read -r file; do
        mkdir -p "$top/hidden/${file%/*}"
        mv "$top/ckpt/$file" "$top/hidden/$file" 2>/dev/null
    done < <(cd "$top/ckpt" && find . -name '*.state')
    out=$(find "$top/ckpt" -name '*.state')
    [[ -z $out && -n $(find "$top/hidden" -name '*.state') ]]
}
show_state() {
    cp -a "$top/hidden/." "$top/ckpt/"
    rm -r "$top/hidden"
}
# copies: files in the local folders
copies() {
    find "$1" -path "*/$job/*" -name '*.state' 2>/dev/null
}
has_copies() {
    out=$(copies "$1")
    [[ -n $out ]]
}
no_copies() {
    out=$(find "$1" -name '*.state' 2>/dev/null; find "$1" -type d -name "$job" 2>/dev/null)
    [[ -z $out ]]
}
# said_where FILE N: the last of N sentences in the log of the job's worker; sets copied and fetched
said_where() {
    local lines
    lines=$(cat "$top"/log/*worker-"$job"-*.log 2>/dev/null | grep -o '[0-9]* bytes of state were read from copies on this host, [0-9]* bytes')
    out=$lines
    [[ $(wc -l <<<"$lines") -ge $1 && -n $lines ]] || return 1
    read -r copied _ _ _ _ _ _ _ _ _ _ fetched _ <<<"$(tail -1 <<<"$lines")"
}
all_from_copies() {
    out="$copied bytes from copies, $fetched bytes fetched"
    [[ $copied -gt 1000000 && $fetched -eq 0 ]]
}
some_from_each() {
    out="$copied bytes from copies, $fetched bytes fetched"
    [[ $copied -gt 0 && $fetched -gt 0 ]]
}
all_fetched() {
    out="$copied bytes from copies, $fetched bytes fetched"
    [[ $copied -eq 0 && $fetched -gt 1000000 ]]
}
damage_copies() { # a byte in the middle of each; other names of the file do not change
    local file size
    for file in $(copies "$1"); do
        cp "$file" "$top/damaged"
        size=$(stat -c %s "$file")
        printf 'X' | dd of="$top/damaged" bs=1 seek=$((size / 2)) conv=notrunc status=none
        cmp -s "$file" "$top/damaged" && printf 'Y' | dd of="$top/damaged" bs=1 seek=$((size / 2)) conv=notrunc status=none
        rm "$file"
        cp "$top/damaged" "$file"
    done
}
kill_worker() {
    # shellcheck disable=SC2046
    kill -KILL $(workers_of "$1")
}
taskmanager() { # taskmanager NAME OPTION...
    start "$1" rask-taskmanager "${@:2}"
}

keys=20000 # of 24 + 8 + 208 bytes: 5 MiB
lines=400000
pause=20
seq 1 $lines >"$top/input.txt"
mkdir -p "$top/ckpt" "$top/kept"
configure 2 512 <<CONF
execution.checkpointing.dir: file://$top/ckpt
execution.checkpointing.interval: 1 h
execution.state-recovery.from-local: true
process.working-dir: $top/kept
restart-strategy.type: fixed-delay
restart-strategy.fixed-delay.attempts: 100
restart-strategy.fixed-delay.delay: 50 ms
CONF
compile exact
start jm rask-jobmanager

# ---- the checkpoints are on the same disk: copies are links ----
for backend in hashmap leveldb; do
    taskmanager "tm_$backend" -D taskmanager.resource-id="$backend"
    check "${backend}_cluster_is_there" eventually has_taskmanagers 1
    check "${backend}_job_is_taken" submit -p 2 -D state.backend.type=$backend "$top/exact.so" --input "$top/input.txt" \
        --output "$top/out_$backend" --keys $keys --wide true --pause $pause
    check "${backend}_rows_come" eventually rows_are_beyond $((keys * 2))
    check "${backend}_checkpoint_is_taken" take_checkpoint
    check "${backend}_copies_are_there" has_copies "$top/kept/tm_$backend/localState"

    check "${backend}_state_is_hidden" hide_state
    kill_worker "tm_$backend"
    check "${backend}_starts_again" eventually runs_since 1
    check "${backend}_says_where_from" eventually said_where 1
    check "${backend}_read_copies_alone" all_from_copies
    show_state

    # a second checkpoint, which is incremental: its copies are as whole as it is
    check "${backend}_second_checkpoint_is_taken" take_checkpoint
    check "${backend}_state_is_hidden_again" hide_state
    kill_worker "tm_$backend"
    check "${backend}_starts_a_second_time" eventually runs_since 2
    check "${backend}_says_it_again" eventually said_where 2
    check "${backend}_read_copies_of_both" all_from_copies
    show_state

    # damaged copies
    check "${backend}_third_checkpoint_is_taken" take_checkpoint
    damage_copies "$top/kept"
    kill_worker "tm_$backend"
    check "${backend}_starts_with_damaged_copies" eventually runs_since 3
    check "${backend}_says_what_it_fetched" eventually said_where 3
    check "${backend}_fetched_the_damaged" test "$fetched" -gt 0
    out=$(cat "$top"/log/*worker-"$job"-*.log)
    check "${backend}_says_what_is_damaged" said 0 "is of no use, it is read from" "its CRC32C does not fit"

    # the TaskManager is killed, and comes back
    check "${backend}_fourth_checkpoint_is_taken" take_checkpoint
    rm -f "$top"/kept/tm_$backend/localState/"$job"/*
    rask checkpoint -full "$job"
    check "${backend}_full_checkpoint_is_taken" said 0 ""
    check "${backend}_state_is_hidden_for_the_taskmanager" hide_state
    kill -KILL "${pids[tm_$backend]}"
    taskmanager "tm_$backend" -D taskmanager.resource-id="$backend"
    check "${backend}_starts_where_it_came_back" eventually runs_since 4
    check "${backend}_says_it_there" eventually said_where 4
    check "${backend}_read_copies_there" all_from_copies
    show_state

    # a copy that is gone
    check "${backend}_fifth_checkpoint_is_taken" take_checkpoint
    rm -f "$top"/kept/tm_$backend/localState/"$job"/*
    kill_worker "tm_$backend"
    check "${backend}_starts_without_copies" eventually runs_since 5
    check "${backend}_says_that" eventually said_where 5
    check "${backend}_fetched_all" all_fetched

    check "${backend}_finishes" eventually state_is "$job" FINISHED
    check "${backend}_is_exact" output_is_exact "$top/out_$backend" $keys $lines
    check "${backend}_leaves_nothing" eventually no_copies "$top/kept"
    kill "${pids[tm_$backend]}"
    check "${backend}_taskmanager_ends" eventually has_taskmanagers 0
done

# ---- on another disk: copies are written; without a resource-id they go with the process ----
other_disk=$(mktemp -d /dev/shm/rask-local-XXXXXX 2>/dev/null) || other_disk=$(mktemp -d)
taskmanager tm3 -D "execution.checkpointing.local-backup.dirs=$other_disk"
check cluster_is_there eventually has_taskmanagers 1
check job_is_taken submit -p 2 "$top/exact.so" --input "$top/input.txt" --output "$top/out3" --keys $keys --wide true --pause $pause
check rows_come eventually rows_are_beyond $((keys * 2))
check checkpoint_is_taken take_checkpoint
check copies_are_there has_copies "$other_disk"
check state_is_hidden hide_state
kill_worker tm3
check starts_again eventually runs_since 1
check says_where_from eventually said_where 1
check read_copies_alone all_from_copies
show_state
kill -KILL "${pids[tm3]}"
check a_killed_one_leaves_copies has_copies "$other_disk"
taskmanager tm4 -D "execution.checkpointing.local-backup.dirs=$other_disk"
check starts_on_the_next_one eventually runs_since 2
check fetches_there eventually said_where 2
check all_is_fetched_there all_fetched
out=$(find "$other_disk" -mindepth 1 -maxdepth 1)
check the_next_one_removed_them test "$(wc -l <<<"$out")" -eq 1
rask cancel "$job"
check is_canceled eventually state_is "$job" CANCELED
check leaves_nothing eventually no_copies "$other_disk"

kill "${pids[tm4]}"
check tm4_ends eventually has_taskmanagers 0

# ---- all of a job starts again where it was, though others are as free ----
all_said_copies() { # all_said_copies N: so many sentences, and none fetched
    out=$(cat "$top"/log/*worker-"$job"-*.log 2>/dev/null | grep 'bytes of state were read from copies on this host')
    [[ -n $out && $(wc -l <<<"$out") -eq $1 && $(grep -c 'this host, 0 bytes' <<<"$out") -eq $1 ]]
}
one=(-D taskmanager.numberOfTaskSlots=1)
taskmanager first "${one[@]}"
check first_is_there eventually has_taskmanagers 1
check filler_is_taken submit -p 1 "$top/exact.so" --input "$top/input.txt" --output "$top/out4" --pause 1000
check filler_runs eventually state_is "$job" RUNNING
filler=$job
taskmanager second "${one[@]}"
taskmanager third "${one[@]}"
check all_are_there eventually has_taskmanagers 3
check wide_job_is_taken submit -p 2 -D jobmanager.execution.failover-strategy=full "$top/exact.so" --input "$top/input.txt" \
    --output "$top/out5" --keys $keys --wide true --pause $pause
check its_rows_come eventually rows_are_beyond $((keys * 2))
check its_checkpoint_is_taken take_checkpoint
rask cancel "$filler"
check filler_is_canceled eventually state_is "$filler" CANCELED
check its_state_is_hidden hide_state
kill_worker second
check all_of_it_starts_again eventually runs_since 1
check both_read_their_copies eventually all_said_copies 2
show_state
check wide_job_finishes eventually state_is "$job" FINISHED
check wide_job_is_exact output_is_exact "$top/out5" $keys $lines

echo "$failures failed"
[[ $failures -eq 0 ]]
