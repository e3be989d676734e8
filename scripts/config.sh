# shellcheck shell=bash
# Shared by the daemon scripts; to be sourced.  Finds the programs beside itself (bin/ of an installed tree, or
# build/bin of a source tree), reads the few settings that scripts need, starts and stops daemons.
#
# Pid files: RASK_PID_DIR/rask-USER-DAEMON.pid, one pid per line; the daemons write and remove their own lines.
# Logs: RASK_LOG_DIR/rask-USER-DAEMON-N-HOST.log and .out, N the first number that no running daemon uses.
# Everything here is built into bash where it can be: a cluster starts in tens of milliseconds.

START_TIMEOUT=${RASK_START_TIMEOUT:-9}
STOP_TIMEOUT=${RASK_STOP_TIMEOUT:-10}

rask_fail() {
    echo "[ERROR] $*" >&2
    exit 1
}

RASK_SCRIPTS=$(CDPATH='' cd "${BASH_SOURCE[0]%/*}" && pwd -P)
RASK_HOME=${RASK_SCRIPTS%/*}
if [[ -x $RASK_SCRIPTS/rask-conf ]]; then
    RASK_BIN=$RASK_SCRIPTS
else
    RASK_BIN=${RASK_BUILD:-$RASK_HOME/build}/bin
fi
[[ -x $RASK_BIN/rask-conf ]] || rask_fail "no programs in $RASK_BIN; build them with: make"
RASK_CONF_DIR=${RASK_CONF_DIR:-$RASK_HOME/conf}
[[ $RASK_CONF_DIR == /* ]] || RASK_CONF_DIR=$PWD/$RASK_CONF_DIR
export RASK_CONF_DIR
RASK_HOST=${HOSTNAME:-localhost}
RASK_IDENT=${RASK_IDENT_STRING:-${USER:-$(id -un)}}

# rask_arguments ARG...: only -D key=value may follow a verb. Fills RASK_ARGS.
rask_arguments() {
    RASK_ARGS=()
    while (($# > 0)); do
        case $1 in
        -D)
            (($# > 1)) || rask_fail "-D: expected key=value"
            RASK_ARGS+=(-D "$2")
            shift
            ;;
        -D?*) RASK_ARGS+=(-D "${1#-D}") ;;
        *) rask_fail "unexpected argument '$1': only -D key=value may follow" ;;
        esac
        shift
    done
}

# Asks for the settings, once; after rask_arguments.
rask_settings() {
    local answer values
    answer=$("$RASK_BIN/rask-conf" -c "$RASK_CONF_DIR" "${RASK_ARGS[@]}" get \
        env.log.dir env.pid.dir env.ssh.opts rest.port) || exit 1
    mapfile -t values <<<"$answer"
    RASK_LOG_DIR=${RASK_LOG_DIR:-${values[0]:-$RASK_HOME/log}}
    [[ $RASK_LOG_DIR == /* ]] || RASK_LOG_DIR=$PWD/$RASK_LOG_DIR
    export RASK_LOG_DIR
    RASK_PID_DIR=${RASK_PID_DIR:-${values[1]}}
    [[ $RASK_PID_DIR == /* ]] || RASK_PID_DIR=$PWD/$RASK_PID_DIR
    RASK_SSH_OPTS=${RASK_SSH_OPTS:-${values[2]}}
    RASK_REST_PORT=${values[3]}
}

# rask_make_dir PATH WHAT
rask_make_dir() {
    local why
    [[ -d $1 ]] || why=$(mkdir -p "$1" 2>&1) || rask_fail "the $2 folder $1 cannot be made: ${why##*: }"
    [[ -w $1 && -x $1 ]] || rask_fail "the $2 folder $1 is not writable for $RASK_IDENT"
}

# rask_alive PID DAEMON: whether that process is one of ours. A zombie has no command line.
rask_alive() {
    local words=()
    { mapfile -d '' -t words <"/proc/$1/cmdline"; } 2>/dev/null
    [[ ${words[0]-} == "rask-$2" || ${words[0]-} == */"rask-$2" ]]
}

# rask_pids DAEMON: fills PIDS with those that run, in the order of their start, and ALL_PIDS.
rask_pids() {
    local pid
    PIDS=()
    ALL_PIDS=()
    PID_FILE=$RASK_PID_DIR/rask-$RASK_IDENT-$1.pid
    [[ -e $PID_FILE ]] || return 0
    [[ -r $PID_FILE ]] || rask_fail "the pid file $PID_FILE is not readable for $RASK_IDENT"
    while read -r pid; do
        [[ $pid =~ ^[1-9][0-9]{0,9}$ ]] || continue
        ALL_PIDS+=("$pid")
        if rask_alive "$pid" "$1"; then
            PIDS+=("$pid")
        fi
    done <"$PID_FILE"
}

# rask_log_name DAEMON: sets LOG_NAME, without .log, to the first that no running daemon writes.
rask_log_name() {
    local pid n word used=' '
    for pid in "${PIDS[@]}"; do
        while read -r -d '' word; do
            used+="$word "
        done 2>/dev/null <"/proc/$pid/cmdline"
    done
    for ((n = 0; ; n++)); do
        LOG_NAME=$RASK_LOG_DIR/rask-$RASK_IDENT-$1-$n-$RASK_HOST
        [[ $used == *" $LOG_NAME.log "* ]] || break
    done
}

# rask_tail FILE: its last lines, indented, on standard error.
rask_tail() {
    local lines=() n
    { mapfile -t lines <"$1"; } 2>/dev/null
    n=${#lines[@]}
    ((n == 0)) || printf '        %s\n' "${lines[@]:n > 5 ? n - 5 : 0}" >&2
}

# rask_start DAEMON: starts one more and waits until it says how that went. Returns 1 after a message.
rask_start() {
    local daemon=$1 lock ready line pid status
    rask_make_dir "$RASK_PID_DIR" pid
    rask_make_dir "$RASK_LOG_DIR" log
    # One start at a time, so that no two take the same log file; nothing but pid files lies in the folder.
    exec {lock}<"$RASK_PID_DIR"
    flock -w "$START_TIMEOUT" "$lock" || rask_fail "another start holds $RASK_PID_DIR"
    rask_pids "$daemon"
    if (("${#PIDS[@]}" > 0)); then
        echo "[INFO] ${#PIDS[@]} instance(s) of $daemon are already running on $RASK_HOST."
    fi
    rask_log_name "$daemon"
    echo "Starting $daemon daemon on host $RASK_HOST."
    exec {ready}< <(
        exec {lock}<&-
        exec setsid "$RASK_BIN/rask-$daemon" -c "$RASK_CONF_DIR" "${RASK_ARGS[@]}" --pidfile "$PID_FILE" \
            --log "$LOG_NAME.log" --ready-fd 3 3>&1 >>"$LOG_NAME.out" 2>&1 </dev/null
    )
    pid=$!
    read -r -t "$START_TIMEOUT" -u "$ready" line
    status=$?
    exec {ready}<&- {lock}<&-
    case $line in
    ready) return 0 ;;
    waiting*)
        echo "[WARN] $daemon runs, but ${line#waiting }; see $LOG_NAME.log" >&2
        return 0
        ;;
    error*) echo "[ERROR] $daemon did not start: ${line#error }" >&2 ;;
    *)
        if ((status > 128)); then
            kill -KILL "$pid" 2>/dev/null
            echo "[ERROR] $daemon was not ready after $START_TIMEOUT s and was killed; see $LOG_NAME.log" >&2
        else
            echo "[ERROR] $daemon ended while it started; see $LOG_NAME.log and its last output:" >&2
            rask_tail "$LOG_NAME.out"
        fi
        ;;
    esac
    return 1
}

# rask_wait_gone DAEMON PID: SIGKILL after STOP_TIMEOUT.
rask_wait_gone() {
    local pause end=$((SECONDS + STOP_TIMEOUT))
    exec {pause}<> <(:)
    while rask_alive "$2" "$1" && ((SECONDS <= end)); do
        read -r -t 0.01 -u "$pause"
    done
    if rask_alive "$2" "$1"; then
        echo "[WARN] $1 daemon (pid: $2) did not end within $STOP_TIMEOUT s after SIGTERM; sending SIGKILL." >&2
        kill -KILL "$2" 2>/dev/null
        while rask_alive "$2" "$1"; do
            read -r -t 0.01 -u "$pause"
        done
    fi
    exec {pause}<&-
}

# A pid file of dead processes alone goes; the daemons drop dead lines from others.
rask_clean_pidfile() {
    rask_pids "$1"
    if (("${#PIDS[@]}" == 0)) && [[ -e $PID_FILE ]]; then
        rm -f "$PID_FILE"
    fi
}

# rask_stop DAEMON last|all
# One at a time: a host that stands twice in conf/workers is asked twice at once, for two different ones.
rask_stop() {
    local lock='' status
    if [[ -r $RASK_PID_DIR ]]; then
        exec {lock}<"$RASK_PID_DIR"
        flock -w "$((START_TIMEOUT + 3 * STOP_TIMEOUT))" "$lock" || rask_fail "another stop holds $RASK_PID_DIR"
    fi
    rask_stop_locked "$@"
    status=$?
    [[ -z $lock ]] || exec {lock}<&-
    return "$status"
}

rask_stop_locked() {
    local pid i chosen=() failed=0
    rask_pids "$1"
    if (("${#PIDS[@]}" == 0)); then
        if (("${#ALL_PIDS[@]}" > 0)); then
            echo "No $1 daemon (pid: ${ALL_PIDS[-1]}) is running on host $RASK_HOST."
        elif [[ $2 == last ]]; then
            echo "No $1 daemon to stop on host $RASK_HOST."
        fi
        rask_clean_pidfile "$1"
        return 0
    fi
    if [[ $2 == last ]]; then
        chosen=("${PIDS[-1]}")
    else
        for ((i = ${#PIDS[@]} - 1; i >= 0; i--)); do
            chosen+=("${PIDS[i]}")
        done
    fi
    for pid in "${chosen[@]}"; do
        echo "Stopping $1 daemon (pid: $pid) on host $RASK_HOST."
        if ! kill "$pid" 2>/dev/null && rask_alive "$pid" "$1"; then
            echo "[ERROR] $1 daemon (pid: $pid) belongs to somebody else and cannot be stopped" >&2
            failed=1
        fi
    done
    if ((failed == 0)); then
        for pid in "${chosen[@]}"; do
            rask_wait_gone "$1" "$pid"
        done
    fi
    rask_clean_pidfile "$1"
    return "$failed"
}

# rask_main DAEMON VERB [-D key=value]...: jobmanager.sh and taskmanager.sh.
rask_main() {
    local daemon=$1 verb=${2-}
    case $verb in
    start | start-foreground | stop | stop-all) ;;
    *)
        echo "Usage: $daemon.sh (start|start-foreground [-D key=value]...)|stop|stop-all"
        exit 1
        ;;
    esac
    shift 2
    rask_arguments "$@"
    rask_settings
    case $verb in
    start) rask_start "$daemon" ;;
    start-foreground) exec "$RASK_BIN/rask-$daemon" -c "$RASK_CONF_DIR" "${RASK_ARGS[@]}" ;;
    stop) rask_stop "$daemon" last ;;
    stop-all) rask_stop "$daemon" all ;;
    esac
}

# rask_hosts FILE: fills HOSTS with its lines, without comments; localhost if there is no such file.
rask_hosts() {
    local line
    HOSTS=()
    if [[ ! -e $RASK_CONF_DIR/$1 ]]; then
        HOSTS=(localhost)
        return
    fi
    while read -r line || [[ -n $line ]]; do
        line=${line%%#*}
        line=${line//[[:space:]]/}
        [[ -z $line ]] || HOSTS+=("$line")
    done <"$RASK_CONF_DIR/$1"
}

rask_is_local() {
    [[ $1 == localhost || $1 == 127.0.0.1 || $1 == ::1 || $1 == "[::1]" ]]
}

# rask_remote HOST DAEMON VERB: the same script in the same place there.
rask_remote() {
    local name command=''
    for name in RASK_CONF_DIR RASK_LOG_DIR RASK_PID_DIR; do
        command+="$name=$(printf '%q' "${!name}") "
    done
    command+=$(printf '%q ' "$RASK_SCRIPTS/$2.sh" "$3" "${RASK_ARGS[@]}")
    # shellcheck disable=SC2086  # options are words
    ssh -n $RASK_SSH_OPTS "$1" -- "$command" || {
        echo "[ERROR] $3 of the $2 on $1 failed" >&2
        return 1
    }
}

# rask_master: sets MASTER to the host of the one JobManager.
rask_master() {
    local port
    rask_hosts masters
    (("${#HOSTS[@]}" == 1)) || rask_fail \
        "$RASK_CONF_DIR/masters names ${#HOSTS[@]} JobManagers; without high availability there is exactly one"
    MASTER=${HOSTS[0]}
    if [[ $MASTER =~ ^(.+):([0-9]+)$ && $MASTER != ::1 ]]; then
        MASTER=${BASH_REMATCH[1]}
        port=${BASH_REMATCH[2]}
        [[ $port == "$RASK_REST_PORT" ]] || echo \
            "[WARN] $RASK_CONF_DIR/masters: port $port is ignored; rest.port is $RASK_REST_PORT" >&2
    fi
}

# rask_each DAEMON VERB HOST...: localhost lines here, one after the other; other hosts at the same time.
rask_each() {
    local daemon=$1 verb=$2 host failed=0 jobs=() job
    shift 2
    for host; do
        if ! rask_is_local "$host"; then
            rask_remote "$host" "$daemon" "$verb" &
            jobs+=($!)
        fi
    done
    for host; do
        if rask_is_local "$host"; then
            if [[ $verb == start ]]; then
                rask_start "$daemon" || failed=1
            else
                rask_stop "$daemon" last || failed=1
            fi
        fi
    done
    for job in "${jobs[@]}"; do
        wait "$job" || failed=1
    done
    return "$failed"
}
