#!/usr/bin/env bash
# One row becomes a million rows of 1 KiB, and the sink takes one row a second: the worker stays under its budget, at
# parallelism 1 and 16, with and without a shuffle between the two, and cancel ends it at once.
# Prints "ok NAME" and "FAIL NAME" lines.
# shellcheck disable=SC2317
set -u
cd "$(dirname "$0")/../.." || exit 1
# shellcheck source=test/integration/cluster.bash
. test/integration/cluster.bash

configure 16 1728 </dev/null
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
start jm rask-jobmanager
start tm rask-taskmanager
has_worker() { # the only child of the TaskManager
    worker=$(worker_of tm)
    [ -n "$worker" ]
}
no_worker() { ! has_worker; }
pss_mib() { awk '/^Pss:/ {print int($2 / 1024)}' "/proc/$worker/smaps_rollup" 2>/dev/null; }
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
check cluster_is_up eventually has_taskmanagers 1
slot=$(((1728 - 32) / 16))
for p in 1 16; do
    for shuffle in false true; do
        name="p${p}_shuffle_$shuffle"
        check "${name}_is_submitted" submit -p "$p" "$top/flood.c" --shuffle "$shuffle"
        check "${name}_runs" eventually state_is "$job" RUNNING
        check "${name}_has_a_worker" eventually has_worker
        check "${name}_stays_under_its_budget" watch $((slot * p))
        check "${name}_still_runs" state_is "$job" RUNNING
        rask cancel "$job"
        check "${name}_is_canceled" eventually state_is "$job" CANCELED
        check "${name}_leaves_no_process" eventually no_worker
        echo "# $name: peak $peak MiB of $((slot * p))"
    done
done
