#!/usr/bin/env bash
# State four times as large as the memory for it, on local disk, through real daemons: memory stays bounded, keys that have
# left it are read and changed, a killed worker loses nothing; a full disk and a hashmap that is too small are told.
# Prints "ok NAME" and "FAIL NAME" lines.
# shellcheck disable=SC2317
set -u
cd "$(dirname "$0")/../.." || exit 1
# shellcheck source=test/integration/cluster.bash
. test/integration/cluster.bash
watcher=

also_end() {
    [[ -n $watcher ]] && kill -KILL "$watcher" 2>/dev/null
}

lines_are_out() { # lines_are_out FOLDER N: in finished and unfinished parts
    [[ $(find "$1" -type f -name '*part-*' -exec cat {} + 2>/dev/null | wc -l) -gt $2 ]]
}
watch_pss() { # the largest PSS of a worker in KiB, kept in a file
    local most=0 pss pid
    while :; do
        for pid in $(workers_of tm1); do
            pss=$(awk '/^Pss:/ {print $2}' "/proc/$pid/smaps_rollup" 2>/dev/null)
            [[ ${pss:-0} -gt $most ]] && most=$pss && echo "$most" >"$top/pss"
        done
        sleep 0.1
    done
}
local_is_empty() {
    out=$(find "$top/local" -mindepth 1 | head -5)
    [[ -z $out ]]
}

managed_mib=20
process_mib=512
checked=no # by AddressSanitizer, which takes memory of its own
[[ $build != *asan* ]] || checked=yes process_mib=2048
keys=330000 # of 24 + 8 + 208 bytes: 80 MiB
lines=420000
mkdir -p "$top/ckpt" "$top/local"
configure 2 "$process_mib" <<CONF
taskmanager.memory.managed.size: ${managed_mib}m
state.backend.type: leveldb
state.backend.leveldb.localdir: $top/local
execution.checkpointing.dir: file://$top/ckpt
execution.checkpointing.interval: 500 ms
restart-strategy.type: fixed-delay
restart-strategy.fixed-delay.attempts: 3
restart-strategy.fixed-delay.delay: 100 ms
CONF
compile exact
start jm rask-jobmanager
start tm1 rask-taskmanager
check cluster_is_there eventually has_taskmanagers 1
seq 1 $lines >"$top/input.txt"
watch_pss &
watcher=$!

# ---- four times as much state as memory, and a worker that is killed when old keys come back ----
check job_is_taken submit -p 2 "$top/exact.so" --input "$top/input.txt" --output "$top/out" --keys $keys --wide true
check old_keys_come_back eventually lines_are_out "$top/out" $((keys + 10000))
# shellcheck disable=SC2046
kill -KILL $(workers_of tm1)
check finishes eventually state_is "$job" FINISHED
check output_is_exact output_is_exact "$top/out" $keys $lines
kill "$watcher" 2>/dev/null
wait "$watcher" 2>/dev/null
watcher=
out="PSS $(cat "$top/pss") KiB with $managed_mib MiB for state"
echo "# $out"
[[ $checked = yes ]] || check memory_is_bounded test "$(cat "$top/pss")" -lt $(((managed_mib + 56) * 1024)) # beside it: code, blocks, a restore's reads
check nothing_is_left_on_disk eventually local_is_empty

# ---- the same without a store ----
check job_in_memory_is_taken submit -p 2 -D state.backend.type=hashmap -D restart-strategy.type=none "$top/exact.so" \
    --input "$top/input.txt" --output "$top/out1" --keys $keys --wide true
check job_in_memory_fails eventually state_is "$job" FAILED
out=$(rest "/jobs/$job/exceptions")
check what_to_do_is_said said "$status" 'state \"seen\" holds' 'set state.backend.type: leveldb'

# ---- no room on the disk for state ----
kill -KILL "${pids[tm1]}"
check taskmanager_is_gone eventually has_taskmanagers 0
ulimit -f 512 # KiB of a file
start tm2 rask-taskmanager
check taskmanager_is_there eventually has_taskmanagers 1
check job_without_room_is_taken submit -p 2 -D restart-strategy.type=none -D execution.checkpointing.interval=1h "$top/exact.so" \
    --input "$top/input.txt" --output "$top/out2" --keys $keys --wide true
check job_without_room_fails eventually state_is "$job" FAILED
out=$(rest "/jobs/$job/exceptions")
check full_disk_is_said said "$status" 'its state on disk' 'cannot write' 'state.backend.leveldb.localdir to a larger disk'

echo "$failures failed"
[[ $failures -eq 0 ]]
