#!/usr/bin/env bash
# make install and make dist give a tree that works on its own, wherever it is put: cluster, jobs, the SDK.
# Prints "ok NAME" and "FAIL NAME" lines.
# shellcheck disable=SC2317
set -u
cd "$(dirname "$0")/../.." || exit 1
# shellcheck source=scripts/free_port.bash
. scripts/free_port.bash
# shellcheck source=test/integration/lib.bash
. test/integration/lib.bash
source=$PWD
build=${RASK_BUILD:-$PWD/build}
top=$(mktemp -d)
tree=
cleanup() {
    [[ -z $tree ]] || { "$tree/bin/taskmanager.sh" stop-all && "$tree/bin/jobmanager.sh" stop-all; } >/dev/null 2>&1
    rm -rf "$top"
}
trap cleanup EXIT
# Nothing but what is installed may help.
unset RASK_CONF_DIR RASK_LOG_DIR RASK_PID_DIR RASK_BUILD CC
export XDG_CACHE_HOME=$top/cache RASK_IDENT_STRING=installed

run() {
    out=$(timeout 100 "$@" 2>&1 </dev/null)
    status=$?
}
# What was built is installed: another compiler than before would build everything again.
compiler=$(sed 's/ -I\. .*//' "$build/flags")
run make install CC="$compiler" PREFIX="$top/first"
check install said 0 ""
folders() {
    out=$(cd "$top/first" && echo */)
    [[ $out == "bin/ conf/ docs/ examples/ include/ lib/ log/ " || $out == "bin/ conf/ docs/ examples/ include/ lib/ log/" ]]
}
check install_has_the_folders folders
small() {
    out=$(du -sk "$top/first")
    [[ ${out%%[!0-9]*} -le 10240 || ${VARIANT:-release} != release ]]
}
check install_is_small small
no_place_of_this_machine() { # scripts and texts; debug information of objects that were not stripped is another matter
    out=$(grep -rIlF -e "$source" -e "$top/first" "$top/first")
    [[ -z $out ]]
}
check install_names_no_other_place no_place_of_this_machine
echo "# mine" >>"$top/first/conf/rask-conf.yaml"
run make install CC="$compiler" PREFIX="$top/first"
check install_again said 0 ""
check install_keeps_edited_configuration grep -q "^# mine" "$top/first/conf/rask-conf.yaml"

run make dist CC="$compiler"
check dist said 0 ".tar.gz"
archive=$(printf '%s\n' "$out" | tail -n 1)
mkdir "$top/some where"
run tar -C "$top/some where" -xzf "$archive"
check dist_unpacks said 0 ""
tree=$(echo "$top/some where"/rask-*)
check dist_has_one_folder test -x "$tree/bin/rask"
same_files() {
    out=$(diff <(cd "$top/first" && find . | sort) <(cd "$tree" && find . | sort))
}
check dist_equals_install same_files

# ---- the tree at work, from a folder elsewhere ----
mkdir "$top/tmp" "$top/pid" "$top/work"
cat >"$tree/conf/rask-conf.yaml" <<CONF
rest.port: $(free_port)
jobmanager.rpc.port: $(free_port)
taskmanager.numberOfTaskSlots: 2
io.tmp.dirs: $top/tmp
env.pid.dir: $top/pid
CONF
cd "$top/work" || exit 1
run "$tree/bin/start-cluster.sh"
check cluster_starts said 0 "Starting taskmanager"
run "$tree/bin/rask" run -p 2 "$tree/examples/wordcount.c" --input "$tree/examples/data/access.log" --output counts.csv
check job_of_source_runs said 0 "has finished"
every_word_is_counted() {
    out=$(wc -l <counts.csv)
    [[ $out -eq $(wc -w <"$tree/examples/data/access.log") ]]
}
check job_of_source_is_right every_word_is_counted
run "$tree/bin/rask" list -a
check list_knows_the_job said 0 "word count (FINISHED)"
logs_lie_there() {
    out=$(ls "$tree/log")
    [[ $out == *-jobmanager-0-*.log* && $out == *-taskmanager-0-*.log* && $out == *-worker-*.log* ]]
}
check logs_lie_in_the_tree logs_lie_there

export PKG_CONFIG_PATH=$tree/lib/pkgconfig
run pkg-config --exists rask
check pkg_config_knows_the_sdk said 0 ""
flags=()
eval "flags=($(pkg-config --cflags rask))" # quoted for a shell: the path has a space
run cc -shared -fPIC -O2 "${flags[@]}" -o wordcount.so "$tree/examples/wordcount.c"
check shared_object_compiles said 0 ""
run "$tree/bin/rask" run wordcount.so --input "$tree/examples/data/access.log" --output "$top/work/counts2.csv"
check shared_object_runs said 0 "has finished"
run "$tree/bin/rask" run --target local wordcount.so --input "$tree/NOTICE"
check shared_object_runs_embedded said 0 "(Rask,1)"
run "$tree/bin/stop-cluster.sh"
check cluster_stops said 0 "Stopping jobmanager"
nothing_left() {
    out=$(find "$top/tmp" "$top/pid" -mindepth 1)
    [[ -z $out ]]
}
check cluster_leaves_nothing nothing_left
exit "$((failures > 0))"
