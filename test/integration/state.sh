#!/usr/bin/env bash
# `rask state` on what a killed job left behind: lists, prints and checks it, finds damage, and says whether a job could be
# restored from it.  Prints "ok NAME" and "FAIL NAME" lines.
# shellcheck disable=SC2317
set -u
cd "$(dirname "$0")/../.." || exit 1
# shellcheck source=test/integration/lib.bash
. test/integration/lib.bash
build=${RASK_BUILD:-$PWD/build}
top=$(mktemp -d)
unset RASK_LOG_DIR RASK_BUILD
export RASK_CONF_DIR="$top/conf"
pid=

cleanup() {
    [[ -n $pid ]] && kill -KILL "$pid" 2>/dev/null
    rm -rf "$top"
}
trap cleanup EXIT

# the newest complete checkpoint that knows of keys: sets chk
has_state() {
    local meta
    for meta in "$top"/ckpt/*/chk-*/_metadata; do
        [[ -e $meta ]] || continue
        chk=${meta%/_metadata}
        run "$build/bin/rask" state get "$chk" count seen
        [[ $status -eq 0 && -n $out ]] && return 0
    done
    return 1
}
state() {
    run timeout 60 "$build/bin/rask" state "$@"
}

mkdir -p "$top/conf" "$top/ckpt"
: >"$top/conf/rask-conf.yaml"
run "${CC:-cc}" -shared -fPIC -g -Iapi/include -o "$top/exact.so" test/integration/jobs/exact.c
check compiles said 0 ""
seq 1 200000 >"$top/input.txt"
"$build/bin/rask" run --target local -D execution.checkpointing.interval=100ms -D "execution.checkpointing.dir=file://$top/ckpt" \
    "$top/exact.so" --input "$top/input.txt" --output "$top/out" --pause 1000 >"$top/log" 2>&1 &
pid=$!
check a_checkpoint_is_there eventually has_state
kill -KILL "$pid"
wait "$pid" 2>/dev/null
pid=
has_state

state ls "$chk"
check ls_names_the_operator said 0 'uid count'
check ls_names_the_state said 0 'state "seen": value state, key (key BIGINT NOT NULL), value (rows BIGINT NOT NULL)'
state ls "$chk/_metadata"
check ls_takes_the_file said 0 'uid count'
state get "$chk" count seen
check get_prints_all_keys test "$(printf '%s\n' "$out" | wc -l)" -eq 7
key=$(printf '%s\n' "$out" | sed -n '3s/:.*//p')
state get "$chk" count seen "$key"
check get_prints_one_key test "$(printf '%s\n' "$out" | wc -l)" -eq 1
state get "$chk" nobody seen
check get_of_nobody said 1 'no operator has the uid or name "nobody"'
state check "$chk"
check check_finds_it_whole said 0 'whole'
state check "$chk" "$top/exact.so"
check check_of_the_job said 0 'the job could be restored'

sed 's/RASK_STATE(seen, (BIGINT, rows))/RASK_STATE(seen, (DOUBLE, rows))/' test/integration/jobs/exact.c >"$top/other.c"
state check "$chk" "$top/other.c"
check another_type_is_refused said 1 'rows'
check another_type_names_both said 1 'DOUBLE'
sed 's/RASK_STATE(seen, (BIGINT, rows))/RASK_STATE(seen, (BIGINT, rows), (BIGINT, more))/' test/integration/jobs/exact.c >"$top/more.c"
state check "$chk" "$top/more.c"
check an_added_column_is_taken said 0 'would be rewritten for its new schema'
sed 's/"count")/"other")/' test/integration/jobs/exact.c >"$top/uid.c"
state check "$chk" "$top/uid.c"
check a_lost_uid_is_said said 1 '--allowNonRestoredState'

cp -r "$chk" "$top/copy"
: >"$top/copy/9-9.state"
: >"$top/copy/_metadata.tmp-0123456789abcdef"
: >"$top/copy/mine.txt"
state check "$top/copy"
check what_nothing_names_is_found said 0 '9-9.state: nothing names it' '2 files could be deleted'
dd if=/dev/zero of="$top/copy/_metadata" bs=1 seek=40 count=3 conv=notrunc 2>/dev/null
state check "$top/copy"
check damage_is_said said 1 '_metadata: it is damaged'
truncate -s 60 "$top/copy/_metadata"
state check "$top/copy"
check cut_off_is_said said 1 'cut off or damaged'
state check "$top/nowhere"
check nothing_there said 1 'nowhere/_metadata'
state
check usage said 1 'rask state ls PATH'

# ---- the verdict of check, without running anything, is that of a restore, whatever has changed in the job ----
form=declared
changed() { # changed N: the job with change N
    { echo "#define CHANGE $1" && cat "test/integration/jobs/$form.c"; } >"$top/$form-$1.c"
    echo "$top/$form-$1.c"
}
has_declared() {
    run "$build/bin/rask" state get "$kept" watch times
    [[ ($status -eq 0 && -n $out) || $out == *'is in tables of LevelDB'* ]]
}
keeps_one() { # keeps_one NAME: a checkpoint with what the form of the job keeps is there, and copied
    local meta
    for meta in "$top/$1"/*/chk-*/_metadata; do
        [[ -e $meta ]] || continue
        rm -rf "$kept"
        cp -r "${meta%/_metadata}" "$kept" 2>/dev/null || continue
        "has_$form" && return 0
    done
    return 1
}
keep() { # keep NAME SETTING...: a checkpoint of the job as it was, in $kept
    kept=$top/kept-$1
    "$build/bin/rask" run --target local -D execution.checkpointing.interval=100ms -D "execution.checkpointing.dir=file://$top/$1" "${@:2}" \
        "$job" --output "$top/rows" >"$top/log" 2>&1 &
    pid=$!
    eventually keeps_one "$1"
    status=$?
    kill -KILL "$pid"
    wait "$pid" 2>/dev/null
    pid=
    return $status
}
job=$(changed 0)
check a_checkpoint_of_all_kinds_is_there keep declared
agrees() { # agrees N STATUS WORDS: of check and of a run
    local job
    job=$(changed "$1")
    state check "$kept" "$job"
    said "$2" "$3" || return 1
    run timeout 60 "$build/bin/rask" run --target local -s "$kept" "$job" --rows 1 --output "$top/rows"
    [[ $status -eq $2 ]]
}
check nothing_has_changed agrees 0 0 'the job could be restored'
check columns_are_added_and_widened agrees 1 0 'would be rewritten for its new schema'
check another_key_of_a_map agrees 2 1 'the map key of state "times" is not the same'
check another_time_to_live agrees 3 0 'the job could be restored'
check another_kind agrees 4 1 'is a list state in the checkpoint, and the job declares a value state'
check a_first_time_to_live agrees 5 1 'state "pages" has no time to live in the checkpoint, and one in the job'
check a_state_less agrees 6 1 'has a state "times", and the job declares none of this name'
check no_state_at_all agrees 7 1 'has a state "last", and the job declares none of this name'
check another_key agrees 8 1 'the key of state "last" is not the same'
check no_function_for_timers agrees 10 1 'operator "watch" may have timers in the checkpoint, and in the job it has no function for them'
check another_uid agrees 9 1 'has state, and the job has no such operator'
sed -i '1i #define TIMELESS' "$job"
check a_checkpoint_without_timers_is_there keep timeless
check nobody_misses_a_function_for_no_timers agrees 10 0 'the job could be restored'
job=$(changed 0)
check a_checkpoint_on_disk_is_there keep tables -D state.backend.type=leveldb -D "state.backend.leveldb.localdir=$top/local"
check on_disk_a_state_less agrees 6 1 'has a state "times", and the job declares none of this name'
check on_disk_another_uid agrees 9 1 'has state, and the job has no such operator'

# ---- likewise of what the engine's own operators keep ----
has_rolled() {
    run "$build/bin/rask" state ls "$kept"
    [[ $out == *sum* && $out == *writer* ]]
}
form=rolled
job=$(changed 0)
check a_checkpoint_of_sums_is_there keep rolled
check sums_as_they_were agrees 0 0 'the job could be restored'
check a_count_in_place_of_a_sum agrees 1 1 'has a state "sum", and the job declares none of this name'
check a_maximum_goes_on_from_a_sum agrees 2 0 'the job could be restored'
check another_key_of_a_sum agrees 3 1 'the key of state "sum" is not the same'
check uids_that_changed_places agrees 4 1 'has a state "splits", and the job declares none of this name'
check no_state_in_place_of_a_sum agrees 5 1 'has a state "sum", and the job declares none of this name'
check a_sum_of_another_type agrees 7 1 'the row of state "sum" is not the same'
check a_sum_of_another_width agrees 8 1 'the row of state "sum" is not the same'
check a_sum_of_a_wider_row agrees 9 1 'the row of state "sum" is not the same'
check another_sink agrees 6 1 'restore with --allowNonRestoredState to drop it'

echo "$failures failed"
[[ $failures -eq 0 ]]
