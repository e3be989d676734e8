#!/usr/bin/env bash
# The daemon scripts: first with play daemons that start, fail, hang or refuse to end on command, in an installed
# tree whose path has a space; then with the real ones.  Prints "ok NAME" and "FAIL NAME" lines.
set -u
cd "$(dirname "$0")/../.." || exit 1
# shellcheck source=scripts/free_port.bash
. scripts/free_port.bash
# shellcheck source=test/integration/lib.bash
. test/integration/lib.bash
build=${RASK_BUILD:-$PWD/build}
top=$(mktemp -d)
tree="$top/a tree"
unset RASK_CONF_DIR RASK_LOG_DIR RASK_PID_DIR RASK_SSH_OPTS RASK_BUILD
export RASK_IDENT_STRING=me RASK_PID_DIR="$top/pid" RASK_START_TIMEOUT=1 RASK_STOP_TIMEOUT=1

cleanup() {
    local file pid
    for file in "$top"/*/*.pid "$top"/*.pids; do
        [[ -e $file ]] || continue
        while read -r pid; do
            kill -KILL "$pid" 2>/dev/null
        done <"$file"
    done
    rm -rf "$top"
}
trap cleanup EXIT

lines() {
    if [[ -e $1 ]]; then wc -l <"$1"; else echo 0; fi
}
has_lines() {
    [[ $(lines "$1") -eq $2 ]]
}
absent() {
    [[ ! -e $1 ]]
}

mkdir -p "$tree/bin" "$tree/conf"
cp scripts/{config,start-cluster,stop-cluster,jobmanager,taskmanager}.sh "$tree/bin"
cp "$build/bin/rask-conf" "$tree/bin"
cp conf/{rask-conf.yaml,masters,workers} "$tree/conf"
cat >"$tree/bin/rask-jobmanager" <<'PLAY'
#!/usr/bin/env bash
# A play daemon: what it does comes as -D play=...
pidfile='' play=ready
args=("$@")
for ((i = 0; i < $#; i++)); do
    case ${args[i]} in
    --pidfile) pidfile=${args[i + 1]} ;;
    play=*) play=${args[i]#play=} ;;
    esac
done
echo "play daemon, $play"
case $play in
die) exit 3 ;;
error) echo "error port 6123 of localhost is taken" >&3; exit 1 ;;
foreground) exit 0 ;;
esac
echo $$ >>"$pidfile"
case $play in
hang) word='' ;;
waiting) word="waiting nobody answers at localhost:6123" ;;
*) word=ready ;;
esac
[[ $play != stubborn ]] || trap '' TERM
# It speaks once it bears the daemon's name: the scripts know it by that.
# shellcheck disable=SC2093
exec -a "$0" bash -c 'if [[ -n $1 ]]; then echo "$1" >&3; exec 3>&-; fi
    exec {p}<> <(:); while :; do read -r -t 10 -u $p; done' bash "$word" "$@"
PLAY
chmod +x "$tree/bin/rask-jobmanager"
cp "$tree/bin/rask-jobmanager" "$tree/bin/rask-taskmanager"
jm_pids=$RASK_PID_DIR/rask-me-jobmanager.pid
tm_pids=$RASK_PID_DIR/rask-me-taskmanager.pid

run "$tree/bin/jobmanager.sh"
check no_verb_prints_usage said 1 "Usage: jobmanager.sh"
run "$tree/bin/taskmanager.sh" bogus
check wrong_verb_prints_usage said 1 "Usage: taskmanager.sh"
run "$tree/bin/jobmanager.sh" start localhost
check stray_argument_is_refused said 1 "unexpected argument 'localhost'"
run "$tree/bin/jobmanager.sh" stop
check stop_without_daemon said 0 "No jobmanager daemon to stop on host"
run "$tree/bin/jobmanager.sh" stop-all
check stop_all_without_daemon said 0 ""

run "$tree/bin/jobmanager.sh" start
check start_returns_when_ready said 0 "Starting jobmanager daemon on host"
check start_leaves_one_pid has_lines "$jm_pids" 1
check start_makes_an_out_file test -s "$tree/log/rask-me-jobmanager-0-$HOSTNAME.out"
run "$tree/bin/jobmanager.sh" stop
check stop_stops said 0 "Stopping jobmanager daemon (pid: "
check stop_removes_the_pid_file absent "$jm_pids"

run "$tree/bin/taskmanager.sh" start
run "$tree/bin/taskmanager.sh" start -Dplay=ready
check second_start_adds_one said 0 "[INFO] 1 instance(s) of taskmanager are already running"
check two_pids has_lines "$tm_pids" 2
check second_log_has_the_next_number test -e "$tree/log/rask-me-taskmanager-1-$HOSTNAME.out"
last=$(tail -n 1 "$tm_pids")
run "$tree/bin/taskmanager.sh" stop
check stop_takes_the_last said 0 "(pid: $last)"
run "$tree/bin/taskmanager.sh" start
first=$(head -n 1 "$tm_pids")
kill -KILL "$first"
run "$tree/bin/taskmanager.sh" stop-all
check stop_all_stops_what_lives said 0 "Stopping taskmanager daemon"
check stop_all_removes_the_pid_file absent "$tm_pids"
for _ in 1 2 3 4; do run "$tree/bin/taskmanager.sh" start; done
jobs=()
for _ in 1 2 3 4; do
    "$tree/bin/taskmanager.sh" stop >/dev/null 2>&1 </dev/null &
    jobs+=($!)
done
wait "${jobs[@]}"
check stops_at_once_take_one_each absent "$tm_pids"
run "$tree/bin/taskmanager.sh" start
killed=$(cat "$tm_pids")
kill -KILL "$killed"
while [[ -n $(tr -d '\0' 2>/dev/null <"/proc/$killed/cmdline") ]]; do sleep 0.01; done 2>/dev/null
run "$tree/bin/taskmanager.sh" stop
check stop_after_a_kill_says_so said 0 "is running on host"
check dead_pids_do_not_stay absent "$tm_pids"
mkdir -p "$RASK_PID_DIR"
sleep 60 &
other=$!
echo "$other" >"$tm_pids"
run "$tree/bin/taskmanager.sh" stop
check foreign_pids_are_left_alone said 0 "No taskmanager daemon (pid: $other) is running"
kill "$other"

run "$tree/bin/jobmanager.sh" start -D play=error
check failure_is_said said 1 "[ERROR] jobmanager did not start: port 6123 of localhost is taken"
run "$tree/bin/jobmanager.sh" start -D play=die
check death_shows_the_last_output said 1 "play daemon, die"
run "$tree/bin/jobmanager.sh" start -D play=hang
check hang_is_ended said 1 "was not ready after 1 s and was killed"
run "$tree/bin/jobmanager.sh" stop-all
run "$tree/bin/taskmanager.sh" start -D play=waiting
check waiting_is_a_warning said 0 "[WARN] taskmanager runs, but nobody answers at localhost:6123"
run "$tree/bin/taskmanager.sh" stop-all
run "$tree/bin/jobmanager.sh" start -D play=stubborn
run "$tree/bin/jobmanager.sh" stop
check stubborn_daemon_is_killed said 0 "did not end within 1 s after SIGTERM; sending SIGKILL"
check stubborn_daemon_is_gone absent "$jm_pids"
run "$tree/bin/jobmanager.sh" start-foreground -D play=foreground
check foreground_runs_here said 0 "play daemon, foreground"

run env RASK_PID_DIR=/dev/null/pid "$tree/bin/jobmanager.sh" start
check bad_pid_folder_is_named said 1 "[ERROR] the pid folder /dev/null/pid cannot be made"
run env RASK_LOG_DIR=/dev/null/log "$tree/bin/jobmanager.sh" start
check bad_log_folder_is_named said 1 "[ERROR] the log folder /dev/null/log cannot be made"
run "$tree/bin/jobmanager.sh" start -D rest.port=many
check bad_setting_is_refused said 1 "-D: rest.port: 'many' is not a whole number"
run env RASK_CONF_DIR=/nonexistent "$tree/bin/jobmanager.sh" start
check missing_configuration_is_named said 1 "/nonexistent"
run "$tree/bin/jobmanager.sh" start -D "env.pid.dir=$top/other" -D "env.log.dir=$top/otherlog"
check environment_wins_over_settings has_lines "$jm_pids" 1
check log_folder_comes_from_settings test -e "$top/otherlog/rask-me-jobmanager-0-$HOSTNAME.out"
run "$tree/bin/jobmanager.sh" stop
ln -s "$tree/bin/jobmanager.sh" "$top/link.sh"
run "$top/link.sh" stop
check links_are_followed said 0 "No jobmanager daemon to stop"
# A folder that cd would rather take, and cd speaks when it does.
mkdir -p "$top/elsewhere/bin"
run env CDPATH="$top/elsewhere:." bash -c 'cd "$1" && bin/jobmanager.sh stop' - "$tree"
check cdpath_does_not_mislead said 0 "No jobmanager daemon to stop"

printf 'localhost # here\n\n  localhost' >"$tree/conf/workers"
run "$tree/bin/start-cluster.sh"
check cluster_starts said 0 "Starting cluster."
check cluster_has_two_taskmanagers has_lines "$tm_pids" 2
run "$tree/bin/stop-cluster.sh"
check cluster_stops said 0 "Stopping jobmanager daemon"
check pid_folder_is_empty test -z "$(ls -A "$RASK_PID_DIR")"
run "$tree/bin/start-cluster.sh" -D play=error
check failed_jobmanager_ends_the_start said 1 "did not start"
check no_taskmanager_without_jobmanager absent "$tm_pids"
printf 'localhost:9999\n' >"$tree/conf/masters"
run "$tree/bin/stop-cluster.sh"
check other_rest_port_is_told said 0 "port 9999 is ignored; rest.port is 8081"
printf 'localhost\nother\n' >"$tree/conf/masters"
run "$tree/bin/start-cluster.sh"
check two_masters_are_refused said 1 "names 2 JobManagers"
printf 'localhost\n' >"$tree/conf/masters"

# A play ssh: says what it was told, and does it here.
mkdir "$top/path"
cat >"$top/path/ssh" <<'PLAY'
#!/usr/bin/env bash
echo "ssh $*" >>"$SSH_LOG"
[[ $* != *broken* ]] || exit 255
bash -c "${*: -1}"
PLAY
chmod +x "$top/path/ssh"
printf 'localhost\nfar1\nfar2\n' >"$tree/conf/workers"
run env SSH_LOG="$top/ssh.log" PATH="$top/path:$PATH" RASK_SSH_OPTS="-p 2222" "$tree/bin/start-cluster.sh" -D "a.b=c d"
check remote_workers_start said 0 "Starting cluster."
check remote_workers_run has_lines "$tm_pids" 3
check ssh_gets_its_options grep -q -- "^ssh -n -p 2222 far1 -- " "$top/ssh.log"
run env SSH_LOG="$top/ssh.log" PATH="$top/path:$PATH" "$tree/bin/stop-cluster.sh"
check remote_workers_stop absent "$tm_pids"
printf 'broken\n' >"$tree/conf/workers"
run env SSH_LOG="$top/ssh.log" PATH="$top/path:$PATH" "$tree/bin/start-cluster.sh"
check broken_host_is_named said 1 "[ERROR] start of the taskmanager on broken failed"
run "$tree/bin/jobmanager.sh" stop-all

# The real daemons, from the source tree.
for program in rask-jobmanager rask-taskmanager rask-worker; do
    if [[ ! -x $build/bin/$program ]]; then
        echo "note: no $program in $build/bin; the scripts were tried with play daemons only"
        exit "$((failures > 0))"
    fi
done
export RASK_BUILD=$build
unset RASK_PID_DIR RASK_START_TIMEOUT RASK_STOP_TIMEOUT

# make_cluster NAME: a configuration with ports of its own; sets the environment of the scripts.
make_cluster() {
    mkdir -p "$top/$1/conf" "$top/$1/tmp"
    printf 'localhost\n' >"$top/$1/conf/masters"
    printf 'localhost\nlocalhost\n' >"$top/$1/conf/workers"
    printf '%s\n' "rest.port: $(free_port)" "jobmanager.rpc.port: $(free_port)" "io.tmp.dirs: '$top/$1/tmp'" \
        "taskmanager.numberOfTaskSlots: 2" >"$top/$1/conf/rask-conf.yaml"
}
use_cluster() {
    export RASK_CONF_DIR=$top/$1/conf RASK_LOG_DIR=$top/$1/log RASK_PID_DIR=$top/$1/pid
    rest=$(sed -n 's/^rest.port: //p' "$RASK_CONF_DIR/rask-conf.yaml")
    jm_pids=$RASK_PID_DIR/rask-me-jobmanager.pid
    tm_pids=$RASK_PID_DIR/rask-me-taskmanager.pid
}
overview() {
    local fd
    exec {fd}<>"/dev/tcp/127.0.0.1/$rest" || return 1
    printf 'GET /overview HTTP/1.1\r\nHost: localhost:%s\r\nConnection: close\r\n\r\n' "$rest" >&"$fd"
    timeout 5 cat <&"$fd"
    exec {fd}<&-
}
# has_taskmanagers N: within 3 s; a TaskManager that was killed is missed when its connection closes.
has_taskmanagers() {
    local i
    for ((i = 0; i < 60; i++)); do
        out=$(overview 2>&1)
        [[ $out != *"\"taskmanagers\":$1,"* ]] || return 0
        sleep 0.05
    done
    return 1
}
none_runs() {
    out=$(grep -l -a -s -F -f <(echo "$RASK_PID_DIR") /proc/[0-9]*/cmdline)
    [[ -z $out ]]
}

make_cluster one
make_cluster two
use_cluster one
begin=${EPOCHREALTIME/[.,]/}
run scripts/start-cluster.sh
end=${EPOCHREALTIME/[.,]/}
check real_cluster_starts said 0 "Starting cluster."
echo "note: start-cluster.sh with two TaskManagers returned after $(((end - begin) / 1000)) ms"
check real_taskmanagers_are_registered_on_return eval '[[ $(overview) == *"\"taskmanagers\":2,"* ]]'
check real_pid_files eval '[[ $(lines "$jm_pids") -eq 1 && $(lines "$tm_pids") -eq 2 && $(ls "$RASK_PID_DIR" | wc -l) -eq 2 ]]'
run scripts/jobmanager.sh start
check real_port_taken_is_said said 1 "[ERROR] jobmanager did not start: "
check real_failed_start_leaves_no_pid has_lines "$jm_pids" 1
run scripts/taskmanager.sh start
check real_taskmanager_joins has_taskmanagers 3
run scripts/taskmanager.sh stop
check real_taskmanager_leaves has_taskmanagers 2
kill -KILL "$(tail -n 1 "$tm_pids")"
check real_killed_taskmanager_is_missed has_taskmanagers 1
run scripts/taskmanager.sh start
check real_next_taskmanager_joins has_taskmanagers 2
check real_dead_pid_is_dropped has_lines "$tm_pids" 2

use_cluster two
run scripts/start-cluster.sh -D taskmanager.numberOfTaskSlots=3
check real_second_cluster_starts said 0 "Starting cluster."
check real_second_cluster_is_complete has_taskmanagers 2
run scripts/stop-cluster.sh
check real_second_cluster_stops none_runs
use_cluster one
check real_first_cluster_goes_on has_taskmanagers 2
begin=${EPOCHREALTIME/[.,]/}
run scripts/stop-cluster.sh
end=${EPOCHREALTIME/[.,]/}
check real_cluster_stops said 0 "Stopping jobmanager daemon"
echo "note: stop-cluster.sh returned after $(((end - begin) / 1000)) ms"
check real_nothing_runs none_runs
check real_pid_folder_is_empty test -z "$(ls -A "$RASK_PID_DIR")"
check real_temporary_folder_is_empty test -z "$(ls -A "$top/two/tmp")"

if (exec 3<>"/dev/tcp/::1/9") 2>&1 | grep -q refused; then
    v6=()
    for key in jobmanager.bind-host jobmanager.rpc.address taskmanager.bind-host taskmanager.host rest.bind-address rest.address; do
        v6+=(-D "$key=::1")
    done
    run scripts/start-cluster.sh "${v6[@]}"
    check ipv6_cluster_starts said 0 "Starting cluster."
    run timeout 30 "$build/bin/rask" run "${v6[@]}" -p 4 examples/wordcount.c --input README.md --output "$top/v6.csv"
    check ipv6_cluster_runs_a_job said 0 "has finished"
    run scripts/stop-cluster.sh
else
    echo "note: no IPv6 here"
fi

run timeout 20 scripts/taskmanager.sh start
check real_taskmanager_without_jobmanager_waits said 0 "[WARN] taskmanager runs, but "
run scripts/taskmanager.sh stop
run scripts/jobmanager.sh start -D rest.port=many
check real_bad_setting_is_refused said 1 "rest.port: 'many' is not a whole number"
run env RASK_LOG_DIR=/proc/self scripts/jobmanager.sh start
check real_bad_log_folder_is_said said 1 "[ERROR] "
if [[ $(id -u) -eq 0 ]] && setpriv --reuid 65534 --regid 65534 --clear-groups true 2>/dev/null; then
    mkdir -p "$top/one/pid"
    chmod 755 "$top" "$top/one" "$top/one/conf"
    chmod 1777 "$top/one/tmp"
    run setpriv --reuid 65534 --regid 65534 --clear-groups scripts/jobmanager.sh start
    check real_unprivileged_user_is_told said 1 "is not writable for me"
fi

exit "$((failures > 0))"
