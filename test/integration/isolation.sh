#!/usr/bin/env bash
# A job can hurt only itself: jobs that crash, leave, eat memory, fork, spin, overflow their stack or throw, one after
# the other beside a healthy job whose result stays right; then kill -9 of a worker, a TaskManager and the JobManager.
# Prints "ok NAME" and "FAIL NAME" lines.
# shellcheck disable=SC2317
set -u
cd "$(dirname "$0")/../.." || exit 1
# shellcheck source=test/integration/cluster.bash
. test/integration/cluster.bash

all_slots_free() {
    out=$(rest /overview 2>&1)
    [[ $out == *'"slots-available":4,'* ]]
}
# last_counts FILE: the last update per key
last_counts() {
    awk -F, '{n[$1] = $2} END {for (k in n) print k "," n[k]}' "$1" 2>/dev/null | sort
}
healthy_is_right() { # of 7 keys, rows/7 each
    local k want
    want=$(for k in 0 1 2 3 4 5 6; do echo "$k,$(($2 / 7))"; done)
    out=$(last_counts "$1")
    [[ $out == "$want" ]]
}

configure 2 256 <<CONF
task.cancellation.timeout: 1 s
CONF
compile misbehave healthy
rask_timeout=30
start_cluster 2

# ---- bytes that nobody asked for, on the RPC port and on the data ports ----
# throw PORT COMMAND...: what the command prints goes there; the answer is read until the other side closes
throw() {
    local fd port=$1
    shift
    exec {fd}<>"/dev/tcp/127.0.0.1/$port" || return 1
    { "$@" 2>/dev/null; } >&"$fd"
    timeout 3 cat <&"$fd" >/dev/null 2>&1
    status=$?
    exec {fd}<&-
    return "$status"
}
random_bytes() {
    head -c "$1" /dev/urandom
}
frame_header() { # magic "RK", version 1, HELLO, no flags; LENGTH as four escaped bytes; the rest zero
    printf 'RK\x01\x01\0\0\0\0%b\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0' "$1"
}
cut_short() { # a frame that ends too early: the connection is simply closed
    local fd
    exec {fd}<>"/dev/tcp/127.0.0.1/$1" && frame_header '\x20\0\0\0' | head -c 20 >&"$fd"
    exec {fd}<&-
}
data_ports=$(rest /taskmanagers | grep -o '"dataPort":[0-9]*' | cut -d: -f2)
check data_ports_are_known test -n "$data_ports"
for port in $rpc_port $data_ports; do
    for size in 1 31 32 33 4096 100000; do
        [[ $size -lt 32 ]] || throw "$port" random_bytes "$size" || break
    done
    check "random_bytes_close_$port" test "$status" -ne 124
    throw "$port" frame_header '\xff\xff\xff\xff'
    check "oversized_frame_closes_$port" test "$status" -ne 124
    throw "$port" frame_header '\0\0\0\0'
    check "wrong_checksum_closes_$port" test "$status" -ne 124
    throw "$port" printf 'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n'
    check "http_closes_$port" test "$status" -ne 124
    cut_short "$port"
done
check nobody_was_impressed has_taskmanagers 2

# ---- misbehaviour beside a healthy job ----
check healthy_job_is_submitted submit "$top/healthy.so" --rate 1000 --count 14000 --output "$top/healthy.csv"
healthy=$job
check healthy_job_runs eventually state_is "$healthy" RUNNING

# bad HOW PART: fails, and says PART
bad() {
    rask run "$top/misbehave.so" --how "$1" --output "$top/bad.csv"
    check "$1_is_said" said 1 "$2"
}
rask run "$top/misbehave.so" --how nothing --output "$top/good.csv"
check well_behaved_job_is_well said 0 ""
bad segfault "SIGSEGV"
check segfault_names_operator said 1 "misbehave"
check segfault_names_line said 1 "misbehave.c:"
bad exit "ended by itself with exit code 0"
check exit_names_line said 1 "misbehave.c:"
bad _exit "ended by itself with exit code 0"
bad abort "SIGABRT"
bad overflow "SIGSEGV"
check overflow_names_function said 1 "overflow at misbehave.c:"
bad divide "SIGFPE"
bad kill "SIGKILL"
bad memory "taskmanager.memory.process.size"
rask run "$top/misbehave.so" --how fork --output "$top/forked.csv"
check fork_ends said 0 ""
if command -v "${CXX:-c++}" >/dev/null; then
    run "${CXX:-c++}" -shared -fPIC -g -Iapi/include -o "$top/throws.so" test/integration/jobs/throws.cc
    check compiles_throws said 0 ""
    rask run "$top/throws.so"
    check exception_is_said said 1 "SIGABRT"
    check exception_text_is_said said 1 "exception that nobody caught: five hundred is too much"
fi
check spinning_job_is_submitted submit "$top/misbehave.so" --how spin --output "$top/spin.csv"
check spinning_job_runs eventually state_is "$job" RUNNING
rask cancel "$job"
check spinning_job_is_canceled eventually state_is "$job" CANCELED

check healthy_job_goes_on state_is "$healthy" RUNNING
check healthy_job_finishes eventually state_is "$healthy" FINISHED
check healthy_result_is_right healthy_is_right "$top/healthy.csv" 14000
check slots_are_free_again eventually all_slots_free

# ---- kill -9 ----
worker_pid() {
    pgrep -f "rask-worker $1" | head -n 1
}
has_worker() {
    [[ -n $(worker_pid "$1") ]]
}
no_workers() {
    out=$(pgrep -a -P "${pids[tm1]}" 2>/dev/null; pgrep -a -P "${pids[tm2]}" 2>/dev/null)
    [[ -z $out ]]
}
endless() {
    submit -p "${2:-1}" "$top/healthy.so" --rate 1000 --count -1 --output "$top/$1.csv" &&
        eventually state_is "$job" RUNNING
}
next_job_works() {
    rask run "$top/healthy.so" --rate 0 --count 700 --output "$top/$1.csv"
    check "$1_next_job_ends" said 0 ""
    check "$1_next_job_is_right" healthy_is_right "$top/$1.csv" 700
}

check endless_job_for_worker endless killed_worker
check worker_is_found eventually has_worker "$job"
watchers=() # of this job, and of all that run
for watched in "$job" all; do
    # shellcheck disable=SC2046
    timeout 60 "$build/bin/rask" top -m "localhost:$rest_port" $([[ $watched = all ]] || echo "$watched") \
        >"$top/top-$watched" 2>&1 </dev/null &
    watchers+=($!)
done
is_watched() {
    grep -q RUNNING "$top/top-all" && grep -q RUNNING "$top/top-$job"
}
check top_shows_it eventually is_watched
kill -KILL "$(worker_pid "$job")"
check killed_worker_fails_its_job eventually state_is "$job" FAILED
top_ended() { # top_ended NUMBER NAME: it saw the job fail
    wait "${watchers[$1]}"
    status=$?
    out=$(tail -2 "$top/top-$2")
    said 1 "job $job has failed"
}
check top_of_the_job_ends_with_1 top_ended 0 "$job"
check top_of_all_jobs_ends_with_1 top_ended 1 all
run rest "/jobs/$job/exceptions"
check killed_worker_is_the_reason said 0 SIGKILL
rask list -a
check killed_worker_is_in_the_list said 0 "was ended by SIGKILL"
next_job_works after_worker

check endless_job_for_taskmanager endless killed_taskmanager 4
kill -KILL "${pids[tm2]}"
check killed_taskmanager_fails_its_job eventually state_is "$job" FAILED
run rest "/jobs/$job/exceptions"
check killed_taskmanager_is_the_reason said 0 "TaskManager"
rask list -a
check killed_taskmanager_is_in_the_list said 0 "is lost (it was stopped or killed"
check killed_taskmanager_is_missed eventually has_taskmanagers 1
next_job_works after_taskmanager
start tm2 rask-taskmanager
check taskmanager_joins_again eventually has_taskmanagers 2
check slots_are_free_after_kill eventually all_slots_free

check endless_job_for_jobmanager endless killed_jobmanager 4
kill -KILL "${pids[jm]}"
check workers_end_without_jobmanager eventually no_workers
start jm rask-jobmanager
check taskmanagers_return eventually has_taskmanagers 2
run grep "before this one" "$top/log/jm.log"
check killed_jobmanager_is_in_the_log said 0 "did not end in order"
next_job_works after_jobmanager

is_gone() {
    ! kill -0 "${pids[$1]}" 2>/dev/null
}
for name in tm1 tm2 jm; do
    kill "${pids[$name]}"
    check "${name}_ends" eventually is_gone "$name"
done
out=$(ls -A "$top/tmp")
check temporary_folder_is_empty test -z "$out"
exit "$((failures > 0))"
