#!/usr/bin/env bash
# One row becomes a million rows of 1 KiB, and the sink takes one row a second: the worker stays under its budget, at
# parallelism 1 and 16, with and without a shuffle between the two, and cancel ends it at once.
# Prints "ok NAME" and "FAIL NAME" lines.
# shellcheck disable=SC2317
set -u
cd "$(dirname "$0")/../.." || exit 1
# shellcheck source=scripts/free_port.bash
. scripts/free_port.bash
# shellcheck source=test/integration/lib.bash
. test/integration/lib.bash
build=${RASK_BUILD:-$PWD/build}
top=$(mktemp -d)
unset RASK_LOG_DIR RASK_BUILD
export RASK_CONF_DIR="$top/conf"
pids=()
cleanup() {
    kill -KILL "${pids[@]}" 2>/dev/null
    rm -rf "$top"
}
trap cleanup EXIT
rest_port=$(free_port)
rpc_port=$(free_port)
mkdir -p "$top/conf" "$top/log"
cat >"$top/conf/rask-conf.yaml" <<Y
jobmanager.rpc.port: $rpc_port
rest.port: $rest_port
taskmanager.numberOfTaskSlots: 16
taskmanager.memory.process.size: 1728m
io.tmp.dirs: $top
Y
cat >"$top/flood.c" <<'C'
#include <rask/rask.h>
#include <unistd.h>

RASK_ROW(wide, (BIGINT, n), (STRING, text));

static int flood(rask_ctx *ctx, const rask_row *row, rask_out *out)
{
    char text[1024];

    (void)ctx, (void)row;
    memset(text, 'x', sizeof(text));
    for (int i = 0; i < 1000000; i++) {
        int rc = wide_emit(out, &(struct wide){i, {text, sizeof(text)}});

        if (rc)
            return rc;
    }
    return 0;
}

/* One row a second: the rest of the batch waits. */
static int slow(rask_op *op, int input, const rask_batch *in, uint32_t from, uint32_t *ret_consumed)
{
    (void)op, (void)input, (void)in, (void)from;
    sleep(1);
    *ret_consumed = 1;
    return 0;
}
static const rask_operator sink = {.abi = RASK_ABI, .name = "slow", .process = slow};

int rask_job(rask_env *env, const rask_params *params)
{
    rask_stream *rows = rask_flat_map(rask_from_sequence(env, 1, 16), flood, &wide_schema);

    if (rask_param_bool(params, "shuffle", false))
        rows = rask_rebalance(rows);
    rask_transform(rows, &sink);
    return rask_execute(env, "flood");
}
C
rask() { out=$(timeout 30 "$build/bin/rask" "$1" -m "localhost:$rest_port" "${@:2}" 2>&1 </dev/null); }
"$build/bin/rask-jobmanager" --log "$top/log/jm.log" 2>/dev/null &
pids+=($!)
disown
"$build/bin/rask-taskmanager" --log "$top/log/tm.log" 2>/dev/null &
tm=$!
pids+=("$tm")
disown
worker_of() { # the only child of the TaskManager
    worker=$(cat "/proc/$tm/task/$tm/children" 2>/dev/null)
    worker=${worker%% *}
    [ -n "$worker" ]
}
no_worker() { ! worker_of; }
pss_mib() { awk '/^Pss:/ {print int($2 / 1024)}' "/proc/$worker/smaps_rollup" 2>/dev/null; }
state_is() { rask list --all && [[ $out == *"$job"*"($1)"* ]]; }
submitted() {
    rask run -d "$@"
    job=${out##*JobID }
    job=${job%%[!0-9a-f]*}
    [ ${#job} -eq 32 ]
}
# The most that is seen in 2 s; after it, the job still runs.
peak=0
watch() {
    local i now
    peak=0
    for ((i = 0; i < 20; i++)); do
        now=$(pss_mib)
        [ "${now:-0}" -gt "$peak" ] && peak=$now
        sleep 0.1
    done
    out="peak $peak MiB, budget $1 MiB"
    [ "$peak" -gt 0 ] && [ "$peak" -lt "$1" ]
}
has_taskmanager() { rask list && [[ $out != *"cannot reach"* ]] && grep -q registered "$top/log/tm.log"; }
check cluster_is_up eventually has_taskmanager
slot=$(((1728 - 32) / 16))
for p in 1 16; do
    for shuffle in false true; do
        name="p${p}_shuffle_$shuffle"
        check "${name}_is_submitted" submitted -p "$p" "$top/flood.c" --shuffle "$shuffle"
        check "${name}_runs" eventually state_is RUNNING
        check "${name}_has_a_worker" eventually worker_of
        check "${name}_stays_under_its_budget" watch $((slot * p))
        check "${name}_still_runs" state_is RUNNING
        rask cancel "$job"
        check "${name}_is_canceled" eventually state_is CANCELED
        check "${name}_leaves_no_process" eventually no_worker
        echo "# $name: peak $peak MiB of $((slot * p))"
    done
done
