#!/usr/bin/env bash
# Back pressure whose answer is known: source -> operator that sleeps 1 ms per row -> discard, on a real cluster.
# The slow one is busy all the time, the source is back-pressured, and the times of each task add up to a second.
# Prints "ok NAME" and "FAIL NAME" lines.
set -u
cd "$(dirname "$0")/../.." || exit 1
# shellcheck source=scripts/free_port.bash
. scripts/free_port.bash
# shellcheck source=test/integration/lib.bash
. test/integration/lib.bash
bin=${RASK_BUILD:-$PWD/build}/bin
top=$(mktemp -d)
pids=()
cleanup() {
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null; done
    for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null; done
    rm -rf "$top"
}
trap cleanup EXIT
unset CC
export XDG_CACHE_HOME="$top/cache" RASK_CONF_DIR="$top/conf" RASK_LOG_DIR="$top/log"
mkdir -p "$top/conf" "$top/log" "$top/tmp"

run() {
    out=$(timeout 20 "$@" 2>&1 </dev/null)
}
until_said() { # PATTERN COMMAND...: repeats the command until its output has the pattern, for 10 s
    local pattern=$1 i
    shift
    for ((i = 0; i < 200; i++)); do
        run "$@"
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
taskmanager.numberOfTaskSlots: 4
io.tmp.dirs: $top/tmp
Y
cd "$top" || exit 1
"$bin/rask-jobmanager" --log "$top/log/jobmanager.log" &
pids+=($!)
"$bin/rask-taskmanager" --log "$top/log/taskmanager.log" &
pids+=($!)
rask=$bin/rask
cat >slow.c <<'C'
#define _GNU_SOURCE
#include <time.h>
#include <rask/rask.h>
RASK_ROW(number, (BIGINT, n));
static int make(rask_ctx *ctx, int64_t index, rask_out *out)
{
    struct number row = {index};

    (void)ctx;
    return number_emit(out, &row);
}
static int slow(rask_ctx *ctx, const rask_row *row, rask_out *out)
{
    struct number n = {rask_i64(row, 0)};

    (void)ctx;
    nanosleep(&(struct timespec){0, 1000000}, NULL);
    return number_emit(out, &n);
}
int rask_job(rask_env *env, const rask_params *params)
{
    (void)params;
    rask_discard(rask_flat_map(rask_rebalance(rask_generate(env, &number_schema, make, 0, -1)), slow, &number_schema));
    return rask_execute(env, "slow");
}
C
check "a TaskManager registers" until_said '"slots-total":4' curl -s -m 5 "http://127.0.0.1:$port/overview"
run "$rask" run -d -p 2 slow.c
id=${out##* }
check "the job runs" until_said "$id : slow \(RUNNING\)" "$rask" list

# What the metrics say, once every figure is of a second in which the job ran at its pace.
cat >known.py <<'P'
import json, sys, time, urllib.request

base = "http://127.0.0.1:%s/jobs/%s" % (sys.argv[1], sys.argv[2])

def get(path):
    with urllib.request.urlopen(base + path, timeout=5) as answer:
        return json.load(answer)

def wrong():
    source, slow = [v["id"] for v in get("")["vertices"]]
    found = []
    for vertex, want in ((source, "backPressured"), (slow, "busy")):
        for i in range(2):
            names = [n + "TimeMsPerSecond" for n in ("busy", "idle", "backPressured", "soft", "hard")]
            names[3:] = ["softBackPressuredTimeMsPerSecond", "hardBackPressuredTimeMsPerSecond"]
            got = {m["id"]: float(m["value"]) for m in
                   get("/vertices/%s/subtasks/%d/metrics?get=%s" % (vertex, i, ",".join(names)))}
            if len(got) < 5:
                found.append("subtask %d: only %s" % (i, got))
                continue
            times = [got[n] for n in names]
            if abs(sum(times[:3]) - 1000) > 20:
                found.append("the times of subtask %d add up to %s: %s" % (i, sum(times[:3]), got))
            if times[3] + times[4] != times[2]:
                found.append("soft and hard are not the whole: %s" % got)
            if got[want + "TimeMsPerSecond"] < 900:
                found.append("%s of subtask %d is not 900: %s" % (want, i, got))
    queues = {m["id"]: m["sum"] for m in
              get("/vertices/%s/subtasks/metrics?get=buffers.outputQueueLength,inFlightBytes&agg=sum" % source)}
    if len(queues) < 2 or min(queues.values()) <= 0:
        found.append("nothing waits at the source: %s" % queues)
    level = get("/vertices/%s/backpressure" % source).get("backpressureLevel")
    if level != "high":
        found.append("the level at the source is %s" % level)
    level = get("/vertices/%s/backpressure" % slow).get("backpressureLevel")
    if level != "ok":
        found.append("the level at the slow one is %s" % level)
    return found

end = time.time() + 9
while True:
    found = wrong()
    if not found or time.time() > end:
        break
    time.sleep(0.3)
print("\n".join(found))
sys.exit(len(found) > 0)
P
said_all() {
    out=$(timeout 15 python3 known.py "$port" "$id" 2>&1)
}
check "the slow one is busy, its source back-pressured, the times add up" said_all
marked() {
    run "$rask" top -n 2 "$id"
    [[ $out == *$'\n* '*'slow operator'* && $out == *'Source: '* && $(grep -c '^\* ' <<<"$out") -eq 2 ]]
}
check "rask top marks it and says why" marked
bounded() { # docs/flow-control.md: two channels of 256 KiB of credit, and five blocks of 128 KiB, for each source
    run curl -s -m 5 "http://127.0.0.1:$port/jobs/$id"
    local source
    source=$(grep -o '"vertices":\[{"id":"[0-9a-f]*' <<<"$out" | grep -o '[0-9a-f]*$')
    local i
    for ((i = 0; i < 100; i++)); do # they are there from the second look of the JobManager on
        run curl -s -m 5 "http://127.0.0.1:$port/jobs/$id/vertices/$source/subtasks/metrics?get=inFlightBytes,buffers.outputQueueSize&agg=max"
        [[ $out == "[]" ]] || break
        sleep 0.1
    done
    python3 -c 'import json, sys; m = json.loads(sys.argv[1]); sys.exit(not (len(m) == 2 and 0 < sum(x["max"] for x in m) <= (2 * 256 + 5 * 128) << 10))' "$out"
}
check "what waits is bounded" bounded
closed_pipe() {
    timeout 10 "$rask" top "$id" 2>closed | head -n 1 >first
    local codes=("${PIPESTATUS[@]}")
    out=$(cat closed)
    [[ ${codes[0]} -eq 1 && $out == *"cannot write to standard output"* && $(cat first) == "$id"* ]]
}
check "rask top ends behind a closed pipe" closed_pipe
# A consumer that all but stands still, at a row a second: its source stops, and makes not one row more.
made() {
    run curl -s -m 5 "http://127.0.0.1:$port/jobs/$id/vertices/$1/subtasks/metrics?get=numRecordsOut&agg=sum"
    grep -oE '"sum":[0-9]+' <<<"$out"
}
stands_still() {
    local source before i
    source=$(vertex_of 0)
    for ((i = 0; i < 40; i++)); do
        before=$(made "$source")
        sleep 0.5
        [[ -n $before && $before != '"sum":0' && $(made "$source") == "$before" ]] && return 0
    done
    return 1
}
hottest() { # nine of ten rows have one key: its group is named, with its share
    local source
    source=$(vertex_of 0)
    run curl -s -m 5 "http://127.0.0.1:$port/jobs/$id/vertices/$source/subtasks/0/metrics?get=hottestKeyGroup,hottestKeyGroupShare"
    python3 -c 'import json, sys
m = {x["id"]: float(x["value"]) for x in json.loads(sys.argv[1])}
share = m["hottestKeyGroupShare"]
sys.exit(not 0.6 <= share <= 1) # of a sample' "$out"
}
vertex_of() { # NUMBER
    run curl -s -m 5 "http://127.0.0.1:$port/jobs/$id"
    python3 -c 'import json, sys; print(json.loads(sys.argv[1])["vertices"][int(sys.argv[2])]["id"])' "$out" "$1"
}
in_flight() { # of a source subtask, the most
    run curl -s -m 5 "http://127.0.0.1:$port/jobs/$id/vertices/$(vertex_of 0)/subtasks/metrics?get=inFlightBytes&agg=max"
    python3 -c 'import json, sys; print(int(json.loads(sys.argv[1])[0]["max"]))' "$out" 2>/dev/null || echo 0
}
fills_its_credit() { [[ $(in_flight) -ge $((256 << 10)) ]]; }
check "its credit is under way" fills_its_credit
run "$rask" cancel "$id"
check "the slow job ends" until_said "$id : slow \(CANCELED\)" "$rask" list -a
# A function of 20 us: with debloating what is under way is what it takes in 0.1 s, some 30 KB, and not all of the credit.
debloated() {
    local i
    for ((i = 0; i < 100; i++)); do
        out=$(in_flight)
        [[ $out -gt 0 && $out -le $((100 << 10)) ]] && return 0
        sleep 0.1
    done
    return 1
}
sed 's/1000000}/20000}/' slow.c >quicker.c
debloat=taskmanager.network.memory.buffer-debloat
run "$rask" run -d -p 2 quicker.c
id=${out##* }
check "a quicker job runs" until_said "$id : slow \(RUNNING\)" "$rask" list
check "its credit is under way, too" eventually fills_its_credit
run "$rask" cancel "$id"
check "it ends" until_said "$id : slow \(CANCELED\)" "$rask" list -a
run "$rask" run -d -p 2 -D $debloat.enabled=true -D $debloat.target=100ms -D $debloat.period=50ms quicker.c
id=${out##* }
check "it runs with debloating" until_said "$id : slow \(RUNNING\)" "$rask" list
check "and less is under way" debloated
run "$rask" cancel "$id"
check "it ends, too" until_said "$id : slow \(CANCELED\)" "$rask" list -a
# Four tasks that sleep get a thread each, though there is one for each core, here one: they wait for nobody but themselves.
none_waits_for_a_thread() {
    local slow i
    slow=$(vertex_of 1)
    for ((i = 0; i < 100; i++)); do
        run curl -s -m 5 "http://127.0.0.1:$port/jobs/$id/vertices/$slow/subtasks/metrics?get=busyTimeMsPerSecond,readyTimeMsPerSecond"
        python3 -c 'import json, sys
m = {x["id"]: x for x in json.loads(sys.argv[1])}
sys.exit(not (m["busyTimeMsPerSecond"]["min"] >= 900 and m["readyTimeMsPerSecond"]["max"] < 300))' "$out" 2>/dev/null && return 0
        sleep 0.1
    done
    return 1
}
run "$rask" run -d -p 4 -D rask.executor.threads=1 slow.c
id=${out##* }
check "four slow tasks run on a worker of one thread" until_said "$id : slow \(RUNNING\)" "$rask" list
check "none of them waits for a thread" none_waits_for_a_thread
marked_in_time() {
    local i
    for ((i = 0; i < 5; i++)); do
        marked && return 0
    done
    return 1
}
check "rask top does not blame the host" marked_in_time
run "$rask" cancel "$id"
check "they end" until_said "$id : slow \(CANCELED\)" "$rask" list -a
sed -e 's/nanosleep.*/sleep(1);/' -e 's/<time.h>/<unistd.h>/' -e 's/"slow")/"still")/' -e 's/{index}/{index % 10 ? 7 : index}/' \
    -e 's/rask_rebalance(\(.*\)), slow,/rask_key_by(\1, "n"), slow,/' slow.c >still.c
run "$rask" run -d -p 2 still.c
id=${out##* }
check "the job that stands still runs" until_said "$id : still \(RUNNING\)" "$rask" list
check "its source stops" stands_still
check "what waits is bounded, however long it stands" bounded
check "the hottest key group is named" hottest
run "$rask" cancel "$id"
check "the job ends" until_said "$id : still \(CANCELED\)" "$rask" list -a

# Two exchanges share the connections between two workers: the consumers of one stand still, the other keeps its rate.
cat >beside.c <<'C'
#include <unistd.h>
#include <rask/rask.h>
RASK_ROW(number, (BIGINT, n));
static int make(rask_ctx *ctx, int64_t index, rask_out *out)
{
    struct number row = {index};

    (void)ctx;
    return number_emit(out, &row);
}
static int stand_still(rask_ctx *ctx, const rask_batch *rows)
{
    (void)ctx, (void)rows;
    for (;;)
        sleep(1); /* a point where the task can be killed */
    return 0;
}
static const rask_sink still = {.abi = RASK_ABI, .name = "still", .write = stand_still};
int rask_job(rask_env *env, const rask_params *params)
{
    (void)params;
    rask_sink_to(rask_rebalance(rask_generate(env, &number_schema, make, 0, -1)), &still);
    rask_discard(rask_rebalance(rask_generate(env, &number_schema, make, 20000, -1)));
    return rask_execute(env, "beside");
}
C
"$bin/rask-taskmanager" --log "$top/log/taskmanager2.log" &
pids+=($!)
check "a second TaskManager registers" until_said '"slots-total":8' curl -s -m 5 "http://127.0.0.1:$port/overview"
run "$rask" run -d -p 8 -D task.cancellation.timeout=1s beside.c
id=${out##* }
check "two exchanges run over two workers" until_said "$id : beside \(RUNNING\)" "$rask" list
cat >beside.py <<'P'
import json, sys, time, urllib.request

base = "http://127.0.0.1:%s/jobs/%s" % (sys.argv[1], sys.argv[2])

def get(path):
    with urllib.request.urlopen(base + path, timeout=5) as answer:
        return json.load(answer)

def total(vertex, name):
    return sum(m.get("sum", 0) for m in get("/vertices/%s/subtasks/metrics?get=%s&agg=sum" % (vertex, name)))

nodes = {n["id"]: n for n in get("")["plan"]["nodes"]}
takes = next(v["id"] for v in get("")["vertices"] if v["name"] == "Sink: Writer")
stuffed = next(n["inputs"][0]["id"] for n in nodes.values() if n.get("inputs") and n["id"] != takes)
end = time.time() + 15
while time.time() < end:
    before, then = total(stuffed, "numRecordsOut"), (time.time(), total(takes, "numRecordsIn"))
    time.sleep(3)
    rate = (total(takes, "numRecordsIn") - then[1]) / (time.time() - then[0])
    stands = before > 0 and total(stuffed, "numRecordsOut") == before
    print("the other made %s, %s; rate %.0f" % (before, "and stands" if stands else "and goes on", rate))
    if stands and rate >= 0.9 * 20000:
        sys.exit(0)
sys.exit(1)
P
keeps_its_rate() {
    out=$(timeout 30 python3 beside.py "$port" "$id" 2>&1)
}
check "what stands still holds up no other" keeps_its_rate
run "$rask" cancel "$id"
check "the two end" until_said "$id : beside \(CANCELED\)" "$rask" list -a
[[ $failures -eq 0 ]]
