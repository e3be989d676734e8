# lib.bash - what the scripts of this folder share; sourced from the top of the tree, by bash with -u.
# shellcheck shell=bash
# shellcheck disable=SC2034
failures=0
status=0 # and output of the last run
out=

# check NAME CONDITION...: the line that the runner counts, and what the last run printed if it failed
check() {
    local name=$1
    shift
    if "$@"; then
        echo "ok $name"
    else
        echo "FAIL $name: exit status $status; output:"
        printf '%s\n' "$out" | sed 's/^/    /' | head -n 40
        failures=$((failures + 1))
    fi
}
# run COMMAND...
run() {
    out=$("$@" 2>&1 </dev/null)
    status=$?
}
# said STATUS TEXT...: the last run ended so, and printed all of it
said() {
    local text
    [[ $status -eq $1 ]] || return 1
    shift
    for text; do [[ $out == *"$text"* ]] || return 1; done
}
# eventually CONDITION...: within 30 s
eventually() {
    local i
    for ((i = 0; i < 600; i++)); do
        "$@" && return 0
        sleep 0.05
    done
    return 1
}

# make_read_only MOUNT: refused while somebody has a file there open for writing, which a checkpoint does for a moment
make_read_only() { eventually mount -o remount,ro "$1" 2>/dev/null; }

# ---- daemons of a script with the list pids: needs bin and top ----

# start_daemons N: a JobManager and N TaskManagers, taskmanager1 ...
start_daemons() {
    local i
    "$bin/rask-jobmanager" --log "$top/log/jobmanager.log" &
    pids+=($!)
    for ((i = 1; i <= $1; i++)); do
        "$bin/rask-taskmanager" --log "$top/log/taskmanager$i.log" &
        pids+=($!)
    done
}

# ---- daemons that a script starts itself: needs build, top, rest_port and the map pids ----

# start NAME PROGRAM ARGUMENT...
start() {
    "$build/bin/$2" "${@:3}" --log "$top/log/$1.log" 2>/dev/null &
    pids[$1]=$!
    disown
}
# rest PATH: the answer's body
rest() {
    local fd
    exec {fd}<>"/dev/tcp/127.0.0.1/$rest_port" || return 1
    printf 'GET %s HTTP/1.1\r\nHost: localhost:%s\r\nConnection: close\r\n\r\n' "$1" "$rest_port" >&"$fd"
    timeout 5 cat <&"$fd"
    exec {fd}<&-
}
# has_taskmanagers N
has_taskmanagers() {
    out=$(rest /overview 2>&1)
    [[ $out == *"\"taskmanagers\":$1,"* ]]
}
# state_is JOB STATE
state_is() {
    out=$(rest "/jobs/$1" 2>&1)
    [[ $out == *"\"state\":\"$2\""* ]]
}
