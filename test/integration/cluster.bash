# cluster.bash - a cluster of a script's own: daemons that it starts itself, on free ports, all files in one temporary folder.
# Sourced from the top of the tree, by bash with -u.  Everything ends and goes with the script (KEEP=1: the folder stays); one
# that has more to end defines `also_end`, which is called between the two.
# shellcheck shell=bash
# shellcheck disable=SC2034,SC2317
# shellcheck source=scripts/free_port.bash
. scripts/free_port.bash
# shellcheck source=test/integration/lib.bash
. test/integration/lib.bash
build=${RASK_BUILD:-$PWD/build}
top=$(mktemp -d)
unset RASK_LOG_DIR RASK_BUILD
export RASK_CONF_DIR="$top/conf"
declare -A pids=()
rest_port=$(free_port)
rpc_port=$(free_port)
mkdir -p "$top/conf" "$top/log" "$top/tmp"

cleanup() {
    kill -KILL "${pids[@]}" 2>/dev/null
    declare -F also_end >/dev/null && also_end
    if [[ -n ${KEEP:-} ]]; then echo "kept: $top"; else rm -rf "$top"; fi
}
trap cleanup EXIT

# configure SLOTS MIB <MORE: of each TaskManager
configure() {
    cat >"$top/conf/rask-conf.yaml" <<CONF
rest.port: $rest_port
jobmanager.rpc.port: $rpc_port
taskmanager.numberOfTaskSlots: $1
taskmanager.memory.process.size: $2m
io.tmp.dirs: '$top/tmp'
env.log.dir: '$top/log'
$(cat)
CONF
}
# start_taskmanager NAME: and tm_at says which one has a data port
declare -A tm_at=()
start_taskmanager() {
    local port
    port=$(free_port)
    tm_at[$port]=$1
    start "$1" rask-taskmanager -D "taskmanager.data.port=$port"
}
# start_cluster N: a JobManager jm, and N TaskManagers tm1, tm2 ...
start_cluster() {
    local i
    start jm rask-jobmanager
    for ((i = 1; i <= $1; i++)); do start "tm$i" rask-taskmanager; done
    check cluster_is_there eventually has_taskmanagers "$1"
}
# compile NAME...: jobs/NAME.c to $top/NAME.so
compile() {
    local name
    for name; do
        run "${CC:-cc}" -shared -fPIC -g -Iapi/include -o "$top/$name.so" "test/integration/jobs/$name.c"
        check "compiles_$name" said 0 ""
    done
}
# rask VERB ARGUMENT...: for rask_timeout seconds
rask_timeout=60
rask() {
    run timeout "$rask_timeout" "$build/bin/rask" "$1" -m "localhost:$rest_port" "${@:2}"
}
# submit ARGUMENT...: detached; sets job
submit() {
    rask run -d "$@"
    job=${out##*JobID }
    job=${job%%[!0-9a-f]*}
    [[ ${#job} -eq 32 ]]
}
# workers_of TASKMANAGER: process ids
workers_of() {
    ps -o pid= --ppid "${pids[$1]}"
}
# worker_of TASKMANAGER: one of them
worker_of() {
    workers_of "$1" | head -n 1 | tr -d ' '
}
# count_of completed|failed: of the job's checkpoints
count_of() {
    out=$(rest "/jobs/$job/checkpoints" 2>&1)
    local n=${out#*\"counts\":}
    n=${n#*\"$1\":}
    echo "${n%%[!0-9]*}"
}
# count_is_over completed|failed N
count_is_over() {
    [[ $(count_of "$1") -gt $2 ]]
}
# rows_are_beyond N: that the job's source has given out
rows_are_beyond() {
    out=$(rest "/jobs/$job")
    local n
    n=$(grep -o '"write-records":[0-9]*' <<<"$out" | head -1)
    [[ ${n##*:} -gt $1 ]]
}
# savepoint_path: of what rask printed
savepoint_path() {
    sed -n 's/.*Path: file:\(.*\)/\1/p' <<<"$out"
}
# restarts_are JOB N
restarts_are() {
    out=$(rest "/jobs/$1/metrics?get=numRestarts" 2>&1)
    [[ $out == *"\"value\":\"$2\""* ]]
}
# chk JOB: the number of its newest complete checkpoint, below $top/ckpt
chk() {
    find "$top/ckpt/$1" -path '*/chk-*/_metadata' 2>/dev/null | sed 's/.*chk-\([0-9]*\).*/\1/' | sort -n | tail -1
}
# chk_beyond JOB N
chk_beyond() {
    local n
    n=$(chk "$1")
    [[ ${n:-0} -gt $2 ]]
}
# output_is_exact FOLDER K N [FIRST]: each count of N numbers (from FIRST, 1) by number % K is in its finished parts once
output_is_exact() {
    out=$(diff <(awk -v k="$2" -v n="$3" -v first="${4:-1}" \
        'BEGIN {for (i = first; i < first + n; i++) print i % k "," ++c[i % k]}' | sort) \
        <(find "$1" -type f -name 'part-*' ! -name '.*' -exec cat {} + | sort) | head -20)
    [[ -z $out ]]
}
