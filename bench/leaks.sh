#!/usr/bin/env bash
# What many jobs leave behind in a cluster:  leaks.sh WARM_UP JOBS
# Runs WARM_UP jobs one after the other, looks at both daemons, runs JOBS more, and looks again.  Prints lines
# "WHAT NUMBER UNIT": growth of memory in MiB, and how many descriptors, threads, processes, files and slots are left
# over, each of them by its name if any is.  Exit status 1 after a sentence if a job failed.  RASK_BUILD: where the programs are (build).
set -u
cd "${BASH_SOURCE[0]%/*}/.." || exit 1
# shellcheck source=scripts/free_port.bash
. scripts/free_port.bash
warm_up=${1:?Usage: leaks.sh WARM_UP JOBS}
jobs=${2:?Usage: leaks.sh WARM_UP JOBS}
build=${RASK_BUILD:-$PWD/build}
top=$(mktemp -d) || exit 1
started=

fail() {
    echo "leaks: $*" >&2
    exit 1
}
cleanup() {
    [[ -z $started ]] || scripts/stop-cluster.sh >/dev/null 2>&1
    rm -rf "$top"
}
trap cleanup EXIT
trap 'exit 1' INT TERM

get() {
    local fd
    exec {fd}<>"/dev/tcp/127.0.0.1/$rest" || return 1
    printf 'GET %s HTTP/1.0\r\nHost: localhost:%s\r\n\r\n' "$1" "$rest" >&"$fd"
    cat <&"$fd"
    exec {fd}<&-
}
# Waits until both slots are free again and the last worker is gone.
settle() {
    local i
    for ((i = 0; i < 200; i++)); do
        if [[ $(get /overview) == *'"slots-available":2,'* && -z $(children) ]]; then
            return
        fi
        sleep 0.05
    done
    echo "leaks: 10 s after the last job a slot is taken or a worker runs" >&2
}
children() {
    cat /proc/"$tm"/task/*/children 2>/dev/null
}
run_jobs() {
    local i
    for ((i = 0; i < $1; i++)); do
        "$build/bin/rask" run "$top/job.so" --input "$top/lines" >"$top/out" 2>&1 || fail "job $i: $(tail -n 3 "$top/out")"
    done
}
# Of the pid: RSS in KiB, and threads.  Those for blocking calls start when that many calls are made at once, and stay: up to four are
# counted as four.
look_at() {
    local status task threads=0 blocking=0
    status=$(<"/proc/$1/status")
    status=${status#*VmRSS:}
    for task in "/proc/$1/task"/*; do
        if [[ $(<"$task/comm") == rask-blocking ]]; then blocking=$((blocking + 1)); else threads=$((threads + 1)); fi
    done
    echo "${status%% kB*} $((threads + (blocking > 4 ? blocking : 4)))"
}
# What each descriptor of the pid is, sorted.
descriptors_of() {
    local fd
    for fd in "/proc/$1/fd"/*; do readlink "$fd"; done | sort
}
# descriptors MOST: those of both daemons when they were fewest within a second; at once if they are not more than MOST.  The answer to
# our own last request is a connection until its end has been seen, and whoever looks at a file has it open.
descriptors() {
    local i now least=
    for ((i = 0; i < 20; i++)); do
        now=$(descriptors_of "$jm" | sed 's/^/JobManager: /' && descriptors_of "$tm" | sed 's/^/TaskManager: /')
        if [[ -z $least || $(wc -l <<<"$now") -lt $(wc -l <<<"$least") ]]; then least=$now; fi
        [[ $(wc -l <<<"$least") -gt $1 ]] || break
        sleep 0.05
    done
    echo "$least"
}
# All temporary files but what is kept of a finished job until jobstore.expiration-time, for REST to show.
files() {
    find "$top/tmp" -type f ! -name '*.job' | wc -l
}
mebibytes() {
    awk -v kib="$1" 'BEGIN { printf "%.2f\n", kib / 1024 }'
}

mkdir "$top/conf" "$top/tmp"
echo localhost | tee "$top/conf/masters" >"$top/conf/workers"
rest=$(free_port)
printf '%s\n' "rest.port: $rest" "jobmanager.rpc.port: $(free_port)" "io.tmp.dirs: '$top/tmp'" \
    "taskmanager.numberOfTaskSlots: 2" >"$top/conf/rask-conf.yaml"
export RASK_BUILD=$build RASK_CONF_DIR=$top/conf RASK_LOG_DIR=$top/log RASK_PID_DIR=$top/pid
head -n 10 examples/data/access.log >"$top/lines"
read -ra cc <<<"${CC:-cc}"
"${cc[@]}" -O2 -fPIC -shared -I. -Iapi/include -o "$top/job.so" bench/jobs/wordcount.c || fail "the job does not compile"
started=yes
scripts/start-cluster.sh >"$top/out" 2>&1 || fail "the cluster does not start: $(tail -n 3 "$top/out")"
jm=$(<"$top"/pid/*-jobmanager.pid)
tm=$(<"$top"/pid/*-taskmanager.pid)

run_jobs "$warm_up"
settle
read -r jm_kib jm_threads <<<"$(look_at "$jm")"
read -r tm_kib tm_threads <<<"$(look_at "$tm")"
descriptors 0 >"$top/before"
files=$(files)
begin=${EPOCHREALTIME/[.,]/}
run_jobs "$jobs"
end=${EPOCHREALTIME/[.,]/}
settle
read -r jm_kib2 jm_threads2 <<<"$(look_at "$jm")"
read -r tm_kib2 tm_threads2 <<<"$(look_at "$tm")"
descriptors "$(wc -l <"$top/before")" >"$top/after"
left_open=$(($(wc -l <"$top/after") - $(wc -l <"$top/before")))
slots=$(get /overview)
slots=${slots#*'"slots-available":'}
echo "one after the other $(((end - begin) / jobs / 1000)) ms/job"
echo "JobManager's memory grew by $(mebibytes $((jm_kib2 - jm_kib))) MiB"
echo "TaskManager's memory grew by $(mebibytes $((tm_kib2 - tm_kib))) MiB"
echo "descriptors left open $left_open fds"
if ((left_open > 0)); then diff "$top/before" "$top/after" | sed -n 's/^>/leaks: now, and not before:/p; s/^</leaks: before, and not now:/p' >&2; fi
echo "threads left $((jm_threads2 - jm_threads + tm_threads2 - tm_threads)) threads"
echo "processes left $(children | wc -w) processes"
echo "files left $(($(files) - files)) files"
echo "slots left taken $((2 - ${slots%%,*})) slots"
