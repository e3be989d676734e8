#!/usr/bin/env bash
# The demonstration (make demo): counts the words of a web server log on a cluster of one JobManager and two
# TaskManagers with two slots each, compares the result with awk's, and checks that both workers received
# records over TCP.  Everything lies in a temporary folder and listens on free ports; nothing is left.
# Exit status 0, or 1 after a sentence that says what was wrong.  RASK_BUILD: where the programs are (build).
set -u
CDPATH='' cd "${BASH_SOURCE[0]%/*}/.." || exit 1
# shellcheck source=scripts/free_port.bash
. scripts/free_port.bash
build=${RASK_BUILD:-$PWD/build}
input=examples/data/access.log
top=$(mktemp -d) || exit 1
started=

fail() {
    echo "demo: $*" >&2
    tail -n 5 "$top"/log/*.log 2>/dev/null | sed 's/^/    /' >&2
    exit 1
}
cleanup() {
    [[ -z $started ]] || scripts/stop-cluster.sh >/dev/null 2>&1
    rm -rf "$top"
}
trap cleanup EXIT
trap 'exit 1' INT TERM

# get PATH: the body of REST's answer.
get() {
    local fd line
    exec {fd}<>"/dev/tcp/127.0.0.1/$rest" || return 1
    printf 'GET %s HTTP/1.0\r\nHost: localhost:%s\r\n\r\n' "$1" "$rest" >&"$fd"
    while read -r line <&"$fd" && [[ $line != $'\r' ]]; do :; done
    cat <&"$fd"
    exec {fd}<&-
}
milliseconds() {
    echo $((${EPOCHREALTIME/[.,]/} / 1000))
}

[[ -x $build/bin/rask ]] || fail "there is no $build/bin/rask; build it with: make"
rest=$(free_port)
mkdir "$top/conf" "$top/tmp"
echo localhost >"$top/conf/masters"
printf 'localhost\nlocalhost\n' >"$top/conf/workers"
printf '%s\n' "rest.port: $rest" "jobmanager.rpc.port: $(free_port)" "io.tmp.dirs: '$top/tmp'" \
    "taskmanager.numberOfTaskSlots: 2" >"$top/conf/rask-conf.yaml"
export RASK_BUILD=$build RASK_CONF_DIR=$top/conf RASK_LOG_DIR=$top/log RASK_PID_DIR=$top/pid

begin=$(milliseconds)
started=yes
scripts/start-cluster.sh >"$top/start" 2>&1 || fail "the cluster does not start: $(tail -n 3 "$top/start")"
echo "One JobManager and two TaskManagers with two slots each: started in $(($(milliseconds) - begin)) ms."

begin=$(milliseconds)
timeout 60 "$build/bin/rask" run -p 4 examples/wordcount.c --input "$input" --output "$top/counts" \
    >"$top/run" 2>&1 || fail "the job did not finish: $(tail -n 3 "$top/run")"
echo "rask run -p 4 examples/wordcount.c: $(wc -l <"$input") lines, compiled and counted in" \
    "$(($(milliseconds) - begin)) ms."

# A word may hold commas: the count stands behind the last one.
export LC_ALL=C
awk '{ for (i = 1; i <= NF; i++) n[$i]++ } END { for (w in n) print w "," n[w] }' "$input" | sort >"$top/expected"
awk '{ i = match($0, /,[0-9]+$/); n[substr($0, 1, i - 1)] = substr($0, i + 1) }
     END { for (w in n) print w "," n[w] }' "$top/counts" | sort >"$top/totals"
if ! cmp -s "$top/expected" "$top/totals"; then
    diff "$top/expected" "$top/totals" | head -n 5 >&2
    fail "the totals differ from awk's (<: awk's, >: ours)"
fi
words=$(awk '{ n += NF } END { print n }' "$input")
lines=$(wc -l <"$top/counts")
[[ $words -eq $lines ]] || fail "$words words gave $lines updates"
echo "The totals of all $(wc -l <"$top/totals") words equal awk's, after $lines updates: one per word."

# Over all subtasks of a TaskManager: records that came from the other worker.
job=$(grep -oE '[0-9a-f]{32}' "$top/run" | head -n 1)
vertices=$(get "/jobs/$job" | grep -oE '"id":"[0-9a-f]{32}","slotSharingGroupId"' | cut -d '"' -f 4)
for vertex in $vertices; do
    get "/jobs/$job/vertices/$vertex"
done >"$top/vertices" || fail "REST does not answer"
awk 'BEGIN { RS = "{\"subtask\":" }
     match($0, /"remote-read-records":[0-9]+/) {
         n = substr($0, RSTART + 22, RLENGTH - 22)
         if (match($0, /"taskmanager-id":"[0-9a-f]+"/))
             read[substr($0, RSTART + 18, RLENGTH - 19)] += n
     }
     END { for (t in read) print t, read[t] }' "$top/vertices" | sort >"$top/remote"
[[ $(wc -l <"$top/remote") -eq 2 ]] || fail "the job ran on $(wc -l <"$top/remote") TaskManagers, not on two"
while read -r taskmanager records; do
    [[ $records -gt 0 ]] || fail "the worker of TaskManager $taskmanager received no record over TCP"
    echo "The worker of TaskManager $taskmanager received $records records over TCP."
done <"$top/remote"

begin=$(milliseconds)
scripts/stop-cluster.sh >"$top/stop" 2>&1 || fail "the cluster does not stop: $(tail -n 3 "$top/stop")"
started=
echo "Stopped in $(($(milliseconds) - begin)) ms."
