#!/usr/bin/env bash
# Latency on a real cluster of two TaskManagers: markers by Flink's names over REST, figures of operators, memory of the
# TaskManager; rows that do not wait for blocks to fill.  Prints "ok NAME" and "FAIL NAME" lines.
set -u
cd "$(dirname "$0")/../.." || exit 1
# shellcheck source=scripts/free_port.bash
. scripts/free_port.bash
# shellcheck source=test/integration/lib.bash
. test/integration/lib.bash
bin=${RASK_BUILD:-$PWD/build}/bin
job=$PWD/bench/jobs/latency.c
include=$PWD
top=$(mktemp -d)
pids=()
cleanup() {
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null; done
    for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null; done
    rm -rf "$top"
}
trap cleanup EXIT
unset CC
export XDG_CACHE_HOME="$top/cache" RASK_CONF_DIR="$top/conf" RASK_LOG_DIR="$top/log" CPATH="$include"
mkdir -p "$top/conf" "$top/log" "$top/tmp"

until_said() { # PATTERN COMMAND...: repeats the command until its output has the pattern, for 10 s
    local pattern=$1 i
    shift
    for ((i = 0; i < 200; i++)); do
        out=$(timeout 20 "$@" 2>&1 </dev/null)
        [[ $out =~ $pattern ]] && return 0
        sleep 0.05
    done
    return 1
}

rpc=$(free_port)
port=$(free_port)
cat >"$top/conf/rask-conf.yaml" <<Y
jobmanager.rpc.port: $rpc
rest.port: $port
taskmanager.numberOfTaskSlots: 1
io.tmp.dirs: $top/tmp
Y
rest=http://127.0.0.1:$port
start_daemons 2
check "two TaskManagers register" until_said '"slots-total":2' curl -s -m 5 "$rest/overview"

id=
submit() { # ARGS...
    out=$(timeout 60 "$bin/rask" run -d "$@" 2>&1)
    id=${out##* }
    [[ $out == *"submitted with JobID"* ]] && until_said '"state":"RUNNING"' curl -s -m 5 "$rest/jobs/$id"
}
ended() {
    timeout 20 "$bin/rask" cancel "$id" >/dev/null 2>&1
    until_said '"state":"(CANCELED|FINISHED)"' curl -s -m 5 "$rest/jobs/$id"
}
figures() { # what the last vertex's subtask has, and those of its source: "NAME=VALUE" lines in out
    out=$(timeout 15 python3 - "$rest/jobs/$id" <<'P'
import json, sys, urllib.request
def get(path):
    with urllib.request.urlopen(sys.argv[1] + path, timeout=5) as answer:
        return json.load(answer)
for v in get("")["vertices"]:
    path = "/vertices/%s/subtasks/0/metrics" % v["id"]
    names = [m["id"] for m in get(path)]
    for i in range(0, len(names), 90):
        for m in get(path + "?get=" + ",".join(names[i:i + 90])):
            print(m["id"] + "=" + m["value"])
P
    )
}
until_figure() { # PATTERN: for 10 s
    local i
    for ((i = 0; i < 60; i++)); do
        figures
        [[ $out =~ $1 ]] && return 0
        sleep 0.15
    done
    return 1
}
hex='[0-9a-f]{32}'

check "a job with markers runs" submit -D metrics.latency.interval=20ms "$job" --rate 1000 --seconds 60 --apart
scope="latency\.source_id\.$hex\.operator_id\.$hex\.operator_subtask_index\.0\.latency"
check "latency of each source at each operator" until_figure "$scope"'_p99=[0-9.]+'
all_stats() {
    local s
    for s in min max mean stddev median p75 p90 p95 p98 p99 p999; do
        [[ $out =~ ${scope}_$s=[0-9.]+ ]] || return 1
    done
}
check "all of Flink's figures of it" all_stats
two_operators() { [[ $(grep -cE "^$scope"_median= <<<"$out") -eq 2 ]]; }
check "at the function and at the sink" two_operators
plausible() { # rows that cross two processes take some time, and not long
    python3 - "$out" <<'P'
import re, sys
m = [float(v) for v in re.findall(r"latency_median=([0-9.]+)", sys.argv[1])]
sys.exit(not m or not all(0.001 < v < 50 for v in m))
P
}
check "between a microsecond and 50 ms" plausible
check "figures of the operators" until_figure $'(^|\n)count\.numRecordsIn=[1-9][0-9]*\n(.*\n)*latency__Writer\.numRecordsIn=[1-9]'
memory_is_known() {
    local tm
    for tm in $(curl -s -m 5 "$rest/taskmanagers" | grep -o '"id":"[0-9a-f]*' | cut -c7-); do
        out=$(curl -s -m 5 "$rest/taskmanagers/$tm/metrics?get=Status.JVM.Memory.Heap.Used,Status.Shuffle.Netty.UsedMemory")
        [[ $out =~ Heap.Used\",\"value\":\"[1-9] && $out == *Netty.UsedMemory* ]] || return 1
    done
}
check "memory of the TaskManagers" memory_is_known
check "the job ends" ended

check "a job with one histogram an operator runs" submit -D metrics.latency.interval=20ms -D metrics.latency.granularity=single \
    "$job" --rate 1000 --seconds 60
check "granularity single" until_figure $'\n'"latency\.operator_id\.$hex\.operator_subtask_index\.0\.latency_max=[0-9.]+"
ended
check "a job with one of each source subtask runs" submit -D metrics.latency.interval=20ms -D metrics.latency.granularity=subtask \
    "$job" --rate 1000 --seconds 60
check "granularity subtask" until_figure $'\n'"latency\.source_id\.$hex\.source_subtask_index\.0\.operator_id\.$hex\.operator"
ended
out=$("$bin/rask" run -D metrics.latency.granularity=fine "$job" 2>&1)
wrong_granularity() { [[ $out == *"metrics.latency.granularity"*"single"* ]]; }
check "a granularity that does not exist is refused" wrong_granularity
check "a job without markers runs" submit "$job" --rate 1000 --seconds 60
check "its operators have figures" until_figure 'numRecordsIn=[1-9]'
no_latency() { [[ $out != *latency.* ]]; }
check "and none of latency" no_latency
ended

# Rows are not kept back: far from the interval of 100 ms, on whatever machine this is.
quick() { # LIMIT_US ARGS...
    local limit=$1
    shift
    out=$(timeout 60 "$bin/rask" run "$@" 2>&1)
    out+=$'\n'$(cat "$top"/log/*.out 2>/dev/null)
    python3 - "$limit" "$out" <<'P'
import re, sys
m = re.findall(r"latency rows [0-9]+ p50 ([0-9.]+)", sys.argv[2])
sys.exit(not m or float(m[-1]) > float(sys.argv[1]))
P
}
check "50,000 rows a second across processes are there within 5 ms" quick 5000 "$job" --rate 50000 --seconds 1 --apart
rm -f "$top"/log/*.out
check "one row at a time, too" quick 5000 "$job" --rate 20 --seconds 1 --apart
check "in one process, with threads that look for work" quick 5000 -t local -D rask.executor.spin-us=50 "$job" --rate 50000 --seconds 1
[[ $failures -eq 0 ]]
