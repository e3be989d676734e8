#!/usr/bin/env bash
# Executes the examples of README.md and docs/*.md against the build; what a reader types is what runs here.
# Prints "ok FILE:LINE" and "FAIL FILE:LINE" lines.  docs/contributing.md, "Examples in documents", has the rules:
#   ```sh run            run by bash -e in the document's folder; `sh run fails` expects an exit status other than 0
#   ```sh run cluster    likewise, with a cluster of one JobManager and two TaskManagers of two slots
#   ```text output       what the block before printed: these lines in this order, others between them; ... is any text
#   ```c job NAME.c      written to NAME.c; rask info has to accept it
#   ```FORMAT file PATH  written to PATH; the ports 8082 and 6124 in it become free ones
# Relative links of these and of other README files have to lead to a file.  Arguments: documents, instead of all.
# shellcheck disable=SC2317
set -u
cd "$(dirname "$0")/../.." || exit 1
# shellcheck source=scripts/free_port.bash
. scripts/free_port.bash
source=$PWD
build=${RASK_BUILD:-$PWD/build}
top=$(mktemp -d)
failures=0
cluster=
log=$top/output
# The user's own settings and the compiler of make do not matter here.
unset CC RASK_HOME RASK_BUILD
export XDG_CACHE_HOME=$top/cache RASK_IDENT_STRING=docs BASH_ENV=

stop_cluster() {
    cluster=
    # Also what an example has started itself.
    [[ -d ${dir-} && -n $(ls -A "$dir/pid") ]] || return 0
    (cd "$dir" && scripts/taskmanager.sh stop-all && scripts/jobmanager.sh stop-all) >/dev/null 2>&1
}
cleanup() {
    stop_cluster
    cd / && rm -rf "$top"
}
trap cleanup EXIT


# A folder that looks like the source tree; files that an example writes stay in it.
# new_folder NAME
new_folder() {
    dir=$top/$1
    mkdir -p "$dir/conf" "$dir/tmp" "$dir/log" "$dir/pid"
    ln -s "$source/examples" "$source/api" "$dir"
    ln -s "$build" "$dir/build"
    ln -s "$source/scripts" "$source/docs" "$source/README.md" "$dir"
    cp "$source/conf/masters" "$dir/conf"
    printf 'localhost\nlocalhost\n' >"$dir/conf/workers"
    {
        echo "jobmanager.rpc.port: $(free_port)"
        echo "rest.port: $(free_port)"
        echo "taskmanager.numberOfTaskSlots: 2"
        echo "taskmanager.memory.process.size: 512m"
        echo "io.tmp.dirs: $dir/tmp"
    } >"$dir/conf/rask-conf.yaml"
    export RASK_CONF_DIR=$dir/conf RASK_LOG_DIR=$dir/log RASK_PID_DIR=$dir/pid RASK_BUILD=$build
}
export PATH="$build/bin:$PATH"

# result STATUS TEXT: one line for the block, and the evidence when it failed.
result() {
    if [[ $1 -eq 0 ]]; then
        echo "ok $where"
        return
    fi
    echo "FAIL $where: $2"
    tail -n 30 "$log" | sed 's/^/    /'
    failures=$((failures + 1))
}

# The lines of $block, in order, in the output before; "..." stands for any text.
matches_output() {
    local expected line
    exec 8<"$log"
    while read -r expected; do
        expected=${expected#"${expected%%[![:space:]]*}"}
        [[ -n $expected && $expected != ... ]] || continue
        pattern=${expected//\\/\\\\}
        pattern=${pattern//\*/\\*}
        pattern=${pattern//\?/\\?}
        pattern=${pattern//\[/\\[}
        pattern=${pattern//.../*}
        while :; do
            read -r line <&8 || {
                missing=$expected
                exec 8<&-
                return 1
            }
            # shellcheck disable=SC2053  # a pattern on purpose
            [[ $line == $pattern ]] && break
        done
    done <"$block"
    exec 8<&-
}

# run_shell WANT: the block as a script; WANT is "fails" or empty.
run_shell() {
    local status
    (cd "$dir" && timeout 100 bash -eu -o pipefail "$block") >"$log" 2>&1 </dev/null
    status=$?
    if [[ $1 == fails ]]; then
        [[ $status -ne 0 && $status -ne 124 ]]
        result $? "exit status $status, although it should fail"
    else
        result "$status" "exit status $status"
    fi
}

start_cluster() {
    [[ -n $cluster ]] && return 0
    cluster=yes
    (cd "$dir" && scripts/start-cluster.sh) >"$log" 2>&1 || return 1
}

# One fenced block: $1 is what stands behind the fence.
run_block() {
    local words
    read -ra words <<<"$1"
    case $1 in
    "sh run cluster"*)
        if start_cluster; then
            run_shell "${words[3]-}"
        else
            result 1 "the cluster does not start"
        fi
        ;;
    "sh run"*) run_shell "${words[2]-}" ;;
    "text output")
        matches_output
        result $? "the output has no such line, or not in this place: $missing"
        ;;
    "c job "*)
        cp "$block" "$dir/${words[2]}"
        (cd "$dir" && timeout 60 rask info "${words[2]}") >"$log" 2>&1
        result $? "rask info does not accept it"
        ;;
    *" file "*)
        mkdir -p "$(dirname "$dir/${words[2]}")"
        sed -e "s/\b8082\b/$(free_port)/" -e "s/\b6124\b/$(free_port)/" "$block" >"$dir/${words[2]}"
        ;;
    esac
}

run_document() {
    local line info='' inside='' number=0
    block=$top/block
    missing=
    : >"$log"
    new_folder "${1//\//-}"
    while IFS= read -r line || [[ -n $line ]]; do
        number=$((number + 1))
        if [[ -n $inside && $line == '```' ]]; then
            inside=
            run_block "$info"
        elif [[ -n $inside ]]; then
            printf '%s\n' "$line" >>"$block"
        elif [[ $line == '```'* ]]; then
            inside=yes
            info=${line#'```'}
            where=$1:$number
            : >"$block"
        fi
    done <"$1"
    [[ -z $inside ]] || {
        where=$1:$number
        result 1 "a block that begins does not end"
    }
    stop_cluster
}

# check_links DOCUMENT
check_links() {
    local link target
    where="$1 links"
    grep -oE '\]\([^)#: ]+' "$1" | while read -r link; do
        target=$(dirname "$1")/${link#*](}
        [[ -e $target ]] || echo "$target does not exist"
    done >"$log"
    [[ ! -s $log ]]
    result $? "links lead nowhere"
}

# Documents speak of released programs: some of their jobs are broken on purpose, and a sanitizer says it first.
if grep -qE '__[at]san_init' "$build/bin/rask"; then
    echo "ok not run with sanitizers"
    exit 0
fi
if [[ $# -eq 0 ]]; then
    set -- README.md docs/*.md
    while read -r document; do
        check_links "$document"
    done < <(find -- * -mindepth 1 -name README.md -not -path 'build/*' -not -path 'docs/*' | sort)
fi
for document; do
    check_links "$document"
    run_document "$document"
done
exit "$((failures > 0))"
