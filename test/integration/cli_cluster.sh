#!/usr/bin/env bash
# rask and REST against a real cluster of one JobManager and two TaskManagers on free ports.
# Prints "ok NAME" and "FAIL NAME" lines.
set -u
cd "$(dirname "$0")/../.." || exit 1
# shellcheck source=scripts/free_port.bash
. scripts/free_port.bash
# shellcheck source=test/integration/lib.bash
. test/integration/lib.bash
bin=${RASK_BUILD:-$PWD/build}/bin
examples=$PWD/examples
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
    out=$(timeout 60 "$@" 2>&1 </dev/null)
    status=$?
}
get() { # PATH
    run curl -s -m 10 "http://127.0.0.1:$port$1"
}
until_said() { # PATTERN COMMAND...: repeats the command until its output has the pattern, for 10 s
    local pattern=$1 i
    shift
    for ((i = 0; i < 200; i++)); do
        run "$@"
        [[ $out == *"$pattern"* ]] && return 0
        sleep 0.05
    done
    return 1
}

rpc=$(free_port)
port=$(free_port)
cat >"$top/conf/rask-conf.yaml" <<Y
jobmanager.rpc.port: $rpc
rest.port: $port
taskmanager.numberOfTaskSlots: 2
io.tmp.dirs: $top/tmp
Y
cd "$top" || exit 1
start_daemons 2
rask=$bin/rask
check "both TaskManagers register" until_said '"slots-total":4' curl -s -m 5 "http://127.0.0.1:$port/overview"

# ---- a bounded job ----
words() { tr -s ' \t\n\v\f\r' '\n' <"$examples/data/access.log" | grep -c .; }
timeout 60 "$rask" run -p 4 "$examples/wordcount.c" --input "$examples/data/access.log" >printed 2>progress
status=$?
out=$(cat progress)
check "an attached job ends with 0" said 0 "Program execution finished"
out=$(wc printed)
check "its output reaches the terminal once, all of it" test "$(grep -c '^[1-4]> ' printed)" -eq "$(words)"
cp "$examples/data/access.log" relative.log
run "$rask" run -p 2 "$examples/wordcount.c" --input relative.log --output counts.csv
check "relative paths are those of the client" test -s counts.csv
run "$rask" run -d "$examples/wordcount.c" --input "$examples/data/access.log" --output detached.csv
check "-d prints the job id" said 0 "Job has been submitted with JobID "
id=${out##* }
check "a detached job finishes" until_said "$id : word count (FINISHED)" "$rask" list -a
run "$rask" logs "$id"
check "logs prints the workers' logs" said 0 "$id"
run sh -c '"$0" logs "$1" >/dev/full' "$rask" "$id"
check "logs that cannot be written are a failure" said 1 "cannot write to standard output: No space left"
for log in "$top"/log/*worker-"$id"*.log; do mv "$log" "$log.away"; done
run "$rask" logs "$id"
check "a log that is gone is a failure" said 1 "the log of worker 0 cannot be read"
for log in "$top"/log/*worker-"$id"*.log.away; do mv "$log" "${log%.away}"; done
printf 'a b\n' >two.txt
run sh -c '"$0" run "$1" --input two.txt >/dev/full' "$rask" "$examples/wordcount.c"
check "output that cannot be written is a failure" said 1 "cannot write to standard output: No space left"
run bash -c 'set -o pipefail; "$0" run -p 4 "$1" --input "$2" | head -n 1' "$rask" "$examples/wordcount.c" "$examples/data/access.log"
check "a reader of the output that leaves is told of" said 1 "cannot write to standard output: Broken pipe"
run sh -c '"$0" info "$1" --input two.txt >/dev/full' "$rask" "$examples/wordcount.c"
check "a plan that cannot be written is a failure" said 1 "cannot write to standard output: No space left"

cat >chained.c <<'C'
#include <rask/rask.h>
int rask_job(rask_env *env, const rask_params *params)
{
    (void)params;
    rask_discard(rask_from_sequence(env, 1, 1000));
    return rask_execute(env, "chained");
}
C
run "$rask" run chained.c
check "a job of one chain counts what it reads" said 0 "FINISHED  1000 records"

run "$rask" run -D taskmanager.memory.network.fraction=0.2 -D rest.port="$port" chained.c
check "a setting of the daemons is told to do nothing" said 0 "note: -D: 'taskmanager.memory.network.fraction' belongs to the daemons"
check "one of the client is not" test "$(grep -c 'note:' <<<"$out")" -eq 1

# ---- lines of two workers: subtask 0 is in the middle of one when subtask 3, in the other worker, writes its own ----
cat >halves.c <<C
#include <rask/rask.h>
#include <unistd.h>
static int say(const char *when, const char *text, size_t len)
{
    while (access(when, F_OK) < 0)
        usleep(1000);
    return write(1, text, len) == (ssize_t)len ? 0 : -1;
}
static int halves(rask_ctx *ctx, const rask_row *row, rask_out *out)
{
    static int said[4];
    uint32_t subtask = rask_subtask(ctx);

    (void)row, (void)out;
    if (said[subtask]++)
        return 0;
    if (subtask == 3)
        return say("$top/whole", "a whole line\\n", 13);
    return subtask ? 0 : say("$top", "one half ", 9) || say("$top/half", "and the other\\n", 14);
}
int rask_job(rask_env *env, const rask_params *params)
{
    (void)params;
    rask_stream *numbers = rask_rebalance(rask_set_parallelism(rask_from_sequence(env, 1, 400), 1));

    rask_print(rask_flat_map(numbers, halves, &rask_sequence_schema));
    return rask_execute(env, "halves");
}
C
timeout 60 "$rask" run -p 4 halves.c >lines 2>progress &
client=$!
check "half a line is written" until_said "one half" sh -c 'cat "$0"/log/*.out' "$top"
touch whole
check "a line of another worker is printed" until_said "a whole line" cat lines
touch half
wait "$client"
status=$?
out=$(cat lines progress)
check "no line is printed within another" test "$(LC_ALL=C sort lines)" = $'a whole line\none half and the other'
rm whole half
timeout 60 "$rask" run -p 4 halves.c >lines 2>progress &
client=$!
check "it runs again" until_said "RUNNING" cat progress
id=$(sed -n 's/.*with JobID //p' progress)
check "half a line is written again" until_said "one half" sh -c 'cat "$0"/log/*"$1"*.out' "$top" "$id"
for file in "$top"/log/*worker-"$id"*.out; do mv "$file" "$file.away" && mkdir "$file"; done
touch whole half
wait "$client"
status=$?
out=$(cat progress)
check "output that cannot be read is told of" said 0 "note: the output of worker 0 is not complete: " "$id-0-" "Program execution finished"

# ---- an unbounded job ----
cat >endless.c <<'C'
#include <rask/rask.h>
RASK_ROW(number, (BIGINT, n));
static int make(rask_ctx *ctx, int64_t index, rask_out *out)
{
    struct number row = {index};

    (void)ctx;
    return number_emit(out, &row);
}
int rask_job(rask_env *env, const rask_params *params)
{
    (void)params;
    rask_discard(rask_generate(env, &number_schema, make, 1000, -1));
    return rask_execute(env, "endless");
}
C
run "$rask" run -d endless.c
id=${out##* }
check "an unbounded job runs" until_said "$id : endless (RUNNING)" "$rask" list
check "records are counted" until_said '"write-records-complete":false' curl -s -m 5 "http://127.0.0.1:$port/jobs/$id"
get "/jobs/$id/plan"
check "the plan is served" said 0 '"type":"STREAMING"'
vertex=$(curl -s -m 5 "http://127.0.0.1:$port/jobs/$id" | grep -o '"vertices":\[{"id":"[0-9a-f]*' | grep -o '[0-9a-f]*$')
get "/jobs/$id/vertices/$vertex"
check "a vertex is served" said 0 '"subtasks":[{"subtask":0'
run "$rask" cancel "$id"
check "cancel is accepted" said 0 "Cancelled job $id."
check "a canceled job ends" until_said "$id : endless (CANCELED)" "$rask" list -a
run "$rask" cancel "$id"
check "canceling it again is no error" said 0 "Cancelled job $id."
run "$rask" cancel 00000000000000000000000000000009
check "canceling an unknown job is one" said 1 "Job could not be found"

# ---- Ctrl-C ----
timeout 60 "$rask" run endless.c >/dev/null 2>interrupted &
client=$!
check "an attached job shows its state" until_said "RUNNING" cat interrupted
interrupt_child() { kill -INT "$(ps -o pid= --ppid "$client" | head -n 1)"; }
interrupt_child
wait "$client"
status=$?
out=$(cat interrupted)
check "Ctrl-C cancels the job" said 1 "was canceled"

# ---- failing and waiting jobs ----
cat >fails.c <<'C'
#include <rask/rask.h>
static int fail_at(rask_ctx *ctx, const rask_row *row, rask_out *out)
{
    (void)out;
    return rask_i64(row, 0) == 100 ? rask_fail(ctx, "deliberate failure at %d", 100) : 0;
}
int rask_job(rask_env *env, const rask_params *params)
{
    (void)params;
    rask_discard(rask_flat_map(rask_from_sequence(env, 1, 1000), fail_at, &rask_sequence_schema));
    return rask_execute(env, "fails");
}
C
run "$rask" run fails.c
check "a failed job ends with 1 and its cause" said 1 "deliberate failure at 100"
run "$rask" run "$examples/wordcount.c" --input "$top/missing.txt"
check "a missing input is named" said 1 "$top/missing.txt"
run "$rask" run -d -p 9 endless.c
id=${out##* }
check "a job without slots waits with a reason" until_said "slots" "$rask" list -s
check "it is CREATED" said 0 "$id : endless (CREATED)"
run "$rask" cancel "$id"

# ---- an uploaded job ----
run cc -shared -fPIC -O1 -I "$examples/../api/include" -o wordcount.so "$examples/wordcount.c"
run curl -s -m 10 -F "jarfile=@wordcount.so" "http://127.0.0.1:$port/jars/upload"
check "a shared object is uploaded" said 0 '"status":"success"'
jar=$(curl -s -m 5 "http://127.0.0.1:$port/jars" | grep -o '[0-9a-f-]*_wordcount.so' | head -n 1)
run curl -s -m 20 "http://127.0.0.1:$port/jars/$jar/plan?programArg=--input,$top/relative.log"
check "its plan is built on a TaskManager" said 0 '"type":"STREAMING"'
run curl -s -m 20 -X POST -d "{\"programArgsList\":[\"--input\",\"$top/relative.log\",\"--output\",\"$top/jar.csv\"]}" \
    "http://127.0.0.1:$port/jars/$jar/run"
check "it runs" said 0 '"jobid"'
id=$(grep -o '[0-9a-f]\{32\}' <<<"$out")
check "it finishes" until_said "$id : word count (FINISHED)" "$rask" list -a
check "with a result" test -s jar.csv

# ---- what is refused ----
run curl -s -m 10 -H "Host: evil.example" "http://127.0.0.1:$port/overview"
check "a foreign Host is refused" said 0 "The Host header names another host"
run curl -s -m 10 -H "Origin: http://evil.example" "http://127.0.0.1:$port/overview"
check "a foreign Origin is refused" said 0 "another origin"
run curl -s -m 10 --data-binary "garbage" "http://127.0.0.1:$port/jobs"
check "garbage is no job" said 0 "no job submission"
run timeout 10 "$bin/rask-jobmanager" -D jobmanager.rpc.port=0
check "a taken REST port is named, with its holder" said 1 "held by rask-jobmanager"
run timeout 10 "$bin/rask-jobmanager" -D jobmanager.rpc.port=0 -D rest.bind-port=0 -D rest.bind-address=0.0.0.0
check "an open address wants security.allow-plaintext" said 1 "security.allow-plaintext"

# ---- the JobManager goes away ----
timeout 60 "$rask" run endless.c >/dev/null 2>lost &
client=$!
check "the job of the last test runs" until_said "RUNNING" cat lost
kill -KILL "${pids[0]}"
wait "$client"
status=$?
out=$(cat lost)
check "an attached client says that it lost the job" said 1 "lost sight of job"
[[ $failures -eq 0 ]]
