#!/usr/bin/env bash
# AT_LEAST_ONCE through real daemons: eight checkpoints at a time, whose barriers wait behind the rows of a slow operator and of
# which each is counted on its own.  All complete; without a failure the output is exact, after kill -9 no row is missing.
# Prints "ok NAME" and "FAIL NAME" lines.
# shellcheck disable=SC2317
set -u
cd "$(dirname "$0")/../.." || exit 1
# shellcheck source=test/integration/cluster.bash
. test/integration/cluster.bash

submit_slow() { # submit_slow OUTPUT MICROSECONDS: slow until $top/fast is there
    rm -f "$top/fast"
    submit -p 4 "$top/unaligned.so" --rows $rows --output "$top/$1" --pause "$2" --fast "$top/fast"
}
# counted NAME: a count of the job's checkpoints
counted() {
    rest "/jobs/$job/checkpoints" | tail -1 | sed -n "s/.*\"counts\":{[^}]*\"$1\":\([0-9]*\).*/\1/p"
}
counts_are() { # counts_are NAME LEAST MOST
    out="$1 $(counted "$1")"
    [[ ${out##* } -ge $2 && ${out##* } -le $3 ]]
}
# The job was over before them, or a worker of it, whose tasks had finished: up to eight are under way then.
failed_are_those_that_the_end_met() {
    out=$(rest "/jobs/$job/checkpoints" | tail -1 | python3 -c 'import json, re, sys
for c in json.load(sys.stdin)["history"]:
    if c["status"] == "FAILED" and not re.search("the job (ended|is over)|every task has finished|is not there", c["failure_message"]):
        print(c["id"], c["failure_message"])')
    [[ -z $out ]]
}
# The last count of each key is at least that of its numbers.
nothing_is_missing() {
    out=$(find "$1" -type f -name 'part-*' ! -name '.*' -exec cat {} + | sort -t, -k1,1n -k2,2n |
        awk -F, -v rows=$rows '{last[$1] = $2} END {for (k = 0; k < 7; k++) if (last[k] < int((rows + 6 - k) / 7)) print k, last[k] + 0}')
    [[ -z $out ]]
}

rows=400000
mkdir -p "$top/ckpt"
configure 2 256 <<CONF
execution.checkpointing.dir: file://$top/ckpt
execution.checkpointing.interval: 100 ms
execution.checkpointing.mode: AT_LEAST_ONCE
execution.checkpointing.max-concurrent-checkpoints: 8
restart-strategy.type: fixed-delay
restart-strategy.fixed-delay.attempts: 100
restart-strategy.fixed-delay.delay: 50 ms
CONF
compile unaligned
start_cluster 2

# ---- nothing fails ----
check job_is_taken submit_slow out1 1000
check eight_are_under_way eventually counts_are in_progress 8 8
check none_is_complete counts_are completed 0 0
touch "$top/fast"
check all_of_them_complete eventually counts_are completed 8 1000
check finishes eventually state_is "$job" FINISHED
check failed_are_those_that_the_end_met failed_are_those_that_the_end_met
check output_is_exact output_is_exact "$top/out1" 7 "$rows" 0

# ---- a worker dies while several are under way, and others are complete ----
check job_is_taken_again submit_slow out2 100
check some_complete eventually counts_are completed 1 1000
check several_are_under_way eventually counts_are in_progress 2 8
# shellcheck disable=SC2046
kill -KILL $(workers_of tm1)
check restarts eventually restarts_are "$job" 1
check goes_on_from_a_checkpoint eventually counts_are restored 1 1
touch "$top/fast"
check finishes_again eventually state_is "$job" FINISHED
check nothing_is_missing nothing_is_missing "$top/out2"
exit $((failures > 0))
