#!/usr/bin/env bash
# Bad input to real daemons, each with its sentence: ports that are taken, folders without rights, full disks, peers
# that speak nonsense, a cluster that is half dead, entry points that misbehave after an upload; and odd input, which
# is legal.  A healthy job beside all of it has the right result.  Prints "ok NAME" and "FAIL NAME" lines.
# Files and the command line alone: input_output.sh, cli_run.sh.
set -u
cd "$(dirname "$0")/../.." || exit 1
# shellcheck source=scripts/free_port.bash
. scripts/free_port.bash
tree=$PWD
build=${RASK_BUILD:-$PWD/build}
jobs=$PWD/test/integration/jobs
wordcount=$PWD/examples/wordcount.c
top=$(mktemp -d)
unset CC RASK_LOG_DIR RASK_PID_DIR
export RASK_BUILD=$build LC_ALL=C XDG_CACHE_HOME=$top/cache RASK_CONF_DIR=$top/conf RASK_IDENT_STRING=me
mkdir -p "$top"/{conf,tmp,cache,small}
rask=$build/bin/rask
host=$(uname -n)
failures=0
status=0
out=
took_ms=0
stopped=

cleanup() {
    cd /
    [[ -z $stopped ]] || kill -CONT "$stopped" 2>/dev/null
    bounded cluster stop-cluster.sh >/dev/null 2>&1
    mountpoint -q "$top/small" && umount "$top/small"
    rm -rf "$top"
}
trap cleanup EXIT
trap 'exit 1' INT TERM
bounded() { # cluster SCRIPT ARGUMENT... | PROGRAM ARGUMENT...
    if [[ $1 == cluster ]]; then # a script, with the folders of the cluster
        set -- env "RASK_LOG_DIR=$top/log" "RASK_PID_DIR=$top/pid" "$tree/scripts/$2" "${@:3}"
    fi
    timeout 30 "$@"
}

check() { # NAME COMMAND...
    local name=$1
    shift
    if "$@"; then
        echo "ok $name"
    else
        echo "FAIL $name: exit status $status after $took_ms ms; output:"
        printf '%s\n' "$out" | head -n 20 | sed 's/^/    /'
        failures=$((failures + 1))
    fi
}
run() {
    local begin=${EPOCHREALTIME/[.,]/}
    out=$(bounded "$@" 2>&1 </dev/null)
    status=$?
    took_ms=$(((${EPOCHREALTIME/[.,]/} - begin) / 1000))
}
said() { # STATUS PART...: the last run ended so within 10 s, and said all of it
    local part
    [[ $status -eq $1 && $took_ms -lt 10000 ]] || return 1
    for part in "${@:2}"; do
        [[ $out == *"$part"* ]] || return 1
    done
}
refused() { # NAME PART COMMAND...
    local name=$1 part=$2
    shift 2
    run "$@"
    check "$name" said 1 "$part"
}
eventually() { # CONDITION...: within 10 s
    local i
    for ((i = 0; i < 200; i++)); do
        "$@" && return 0
        sleep 0.05
    done
    return 1
}
in_background() { # FILE COMMAND...: its status, time and output go there
    local file=$1
    shift
    { run "$@"; printf '%s\n%s\n%s\n' "$status" "$took_ms" "$out"; } >"$file" &
    waiting+=($!)
}
take() { # FILE: what in_background left there
    { read -r status; read -r took_ms; out=$(cat); } <"$1"
}
waiting=()
get() {
    curl -s -m 10 "http://127.0.0.1:$rest$1"
}
overview_has() {
    out=$(get /overview)
    [[ $out == *"$1"* ]]
}
job_is() { # JOB STATE
    out=$(get "/jobs/$1")
    [[ $out == *"\"state\":\"$2\""* ]]
}
id_of() {
    grep -o '[0-9a-f]\{32\}' <<<"$out" | head -n 1
}
last_counts() { # FILE or folder of files: "key,count" of the last line of each key
    find "$1" -type f -exec cat {} + | awk '{ at = match($0, /,[0-9]*$/); n[substr($0, 1, at - 1)] = substr($0, at + 1) }
        END { for (k in n) print k "," n[k] }' | sort
}

rest=$(free_port)
rpc=$(free_port)
printf 'localhost\n' >"$top/conf/masters"
printf 'localhost\nlocalhost\n' >"$top/conf/workers"
cat >"$top/conf/rask-conf.yaml" <<Y
rest.port: $rest
jobmanager.rpc.port: $rpc
taskmanager.numberOfTaskSlots: 4
taskmanager.memory.process.size: 1g
io.tmp.dirs: $top/tmp
Y
cd "$top" || exit 1
printf 'a b a\n' >in.txt
run cluster start-cluster.sh
check "the cluster starts" said 0 "Starting cluster."
[[ $status -eq 0 ]] || exit 1
for name in healthy sequence; do
    cc -shared -fPIC -g -I "$tree/api/include" -o "$name.so" "$jobs/$name.c" || exit 1
done
run "$rask" run -d -p 4 healthy.so --rate 1000 --count 14000 --output "$top/healthy.csv"
check "a healthy job is submitted" said 0 "Job has been submitted"
healthy=$(id_of)
check "it runs" eventually job_is "$healthy" RUNNING

# ---- peers that speak nonsense, beside it ----
data_ports=$(get /taskmanagers | grep -o '"dataPort":[0-9]*' | cut -d: -f2)
python3 "$jobs/bad_peer.py" rpc "$rpc" || failures=$((failures + 1))
for port in $data_ports; do
    python3 "$jobs/bad_peer.py" data "$port" "$healthy" || failures=$((failures + 1))
done
python3 "$jobs/bad_peer.py" rest "$rest" || failures=$((failures + 1))
check "both TaskManagers stay" overview_has '"taskmanagers":2,'
check "the healthy job goes on" job_is "$healthy" RUNNING

# ---- entry points of uploaded artifacts ----
upload() { # NAME, source on stdin; sets jar
    cat >"$1.c"
    cc -w -shared -fPIC -g -I "$tree/api/include" -o "$1.so" "$1.c" || exit 1
    jar=$(curl -s -m 10 -F "jarfile=@$1.so" "http://127.0.0.1:$rest/jars/upload" | grep -o "[0-9a-f-]*_$1.so" | head -n 1)
}
uploaded() { # NAME PART, source on stdin
    upload "$1"
    run curl -s -m 15 -X POST "http://127.0.0.1:$rest/jars/$jar/run"
    check "uploaded: $1" said 0 "$2"
}
entry() { # BODY
    printf '#include <rask/rask.h>\n#include <stdlib.h>\n#include <unistd.h>\n'
    printf 'int rask_job(rask_env *env, const rask_params *params)\n{\n    (void)env, (void)params;\n    %s\n}\n' "$1"
}
upload hangs < <(entry 'for (;;) sleep(1);')
in_background uploaded_hangs curl -s -m 15 -X POST "http://127.0.0.1:$rest/jars/$jar/run"
entry 'abort();' | uploaded aborts "was ended by SIGABRT"
entry 'exit(0);' | uploaded exits "ended by itself with exit code 0"
entry 'return 3;' | uploaded nothing "without a call of rask_execute"
uploaded no_entry 'has no function `rask_job`' < <(entry '' | sed 's/rask_job/other/')
uploaded other_abi "compiled for ABI 999" <<<'const unsigned rask_job_abi = 999; int rask_job(void) { return 0; }'
echo text >text.so
run curl -s -m 10 -F "jarfile=@text.so" "http://127.0.0.1:$rest/jars/upload"
check "uploaded: text" said 0 "Only shared objects"
in_background local_hangs "$rask" info hangs.so

# ---- ports and addresses ----
refused "RPC port taken" "jobmanager.rpc.port, jobmanager.bind-host): cannot listen on localhost:$rpc: Address already in use (held by rask-jobmanager, pid " \
    cluster jobmanager.sh start
refused "REST port taken" "the port is taken (held by rask-jobmanager, pid " cluster jobmanager.sh start -D jobmanager.rpc.port=0
port=${data_ports%%$'\n'*}
refused "data port taken" "taskmanager.data.port, taskmanager.bind-host): cannot listen on localhost:$port: Address already in use (held by rask-taskmanager, pid " \
    cluster taskmanager.sh start -D "taskmanager.data.port=$port"
refused "address of another host" "it is no address of this host" \
    cluster jobmanager.sh start -D jobmanager.rpc.port=0 -D jobmanager.bind-host=192.0.2.1 -D security.allow-plaintext=true
refused "RPC port in the place of REST" "Is that the JobManager's REST port (rest.port)?" "$rask" list -m "localhost:$rpc"
run cluster taskmanager.sh start -D "jobmanager.rpc.port=$rest"
check "REST port in the place of RPC" said 0 "[WARN]" "it looks like HTTP"
run cluster taskmanager.sh stop

# ---- slots and parallelism ----
refused "parallelism over max parallelism" "parallelism 8 is greater than its max parallelism 4; lower it" \
    "$rask" run -p 8 -D pipeline.max-parallelism=4 sequence.so
refused "more slots than there are" "no slots for 1 s (slot.request.timeout): the job needs 30 slots" \
    "$rask" run -p 30 -D slot.request.timeout=1s sequence.so
check "an attached run says at once what is missing" said 1 "CREATED  needs 30 slots"
run "$rask" run -d -p 4 sequence.so
holder=$(id_of)
eventually job_is "$holder" RUNNING
run "$rask" run -d -p 30 sequence.so
waits=$(id_of)
shows_reason() {
    run "$rask" list
    [[ $out == *"$waits : sequence (CREATED)"*"needs 30 slots, 0 are free: 30 are missing"*"$holder"* ]]
}
check "the list shows what is missing and who holds slots" eventually shows_reason
run "$rask" cancel "$waits"
run "$rask" cancel "$holder"

# ---- no rights ----
nobody=()
if [[ $(id -u) -eq 0 ]] && command -v setpriv >/dev/null; then
    chmod 755 "$top" "$top/conf"
    mkdir -m 777 nobody
    nobody=(setpriv --reuid=65534 --regid=65534 --clear-groups env "RASK_LOG_DIR=$top/nobody/log"
        "RASK_PID_DIR=$top/nobody/pid" "XDG_CACHE_HOME=$top/nobody/cache" "HOME=$top/nobody")
    "${nobody[@]}" test -x "$build/bin/rask" -a -r "$wordcount" || nobody=()
fi
if [[ ${#nobody[@]} -gt 0 ]]; then
    ports=(-D jobmanager.rpc.port=0 -D rest.port=0)
    refused "no rights on the pid folder" "the pid folder $top/pid is not writable for" \
        "${nobody[@]}" "RASK_PID_DIR=$top/pid" "$tree/scripts/jobmanager.sh" start "${ports[@]}"
    refused "no rights on the log folder" "the log folder $top/log is not writable for" \
        "${nobody[@]}" "RASK_LOG_DIR=$top/log" "$tree/scripts/taskmanager.sh" start
    refused "no rights on the temporary folder of a JobManager" "io.tmp.dirs" \
        "${nobody[@]}" "$tree/scripts/jobmanager.sh" start "${ports[@]}"
    check "it names the user" said 1 "Permission denied for user id 65534"
    refused "no rights on the temporary folder of a TaskManager" "temporary folder (io.tmp.dirs): " \
        "${nobody[@]}" "$tree/scripts/taskmanager.sh" start
    refused "a port of another user" "(held by a process of user id 0)" \
        "${nobody[@]}" "$tree/scripts/jobmanager.sh" start -D "io.tmp.dirs=$top/nobody" -D rest.port=0
    refused "a privileged port" "port 81: Permission denied" \
        "${nobody[@]}" "$tree/scripts/jobmanager.sh" start -D "io.tmp.dirs=$top/nobody" -D jobmanager.rpc.port=0 -D rest.port=81
    cp "$wordcount" closed.c
    chmod 600 closed.c
    refused "a job file that may not be read" "cannot read closed.c: Permission denied" "${nobody[@]}" "$rask" info closed.c
    mkdir -m 700 closed_conf
    refused "a configuration that may not be read" "$top/closed_conf/rask-conf.yaml: Permission denied" \
        "${nobody[@]}" "RASK_CONF_DIR=$top/closed_conf" "$rask" list
    refused "no rights on the compiler's cache" "cannot write to $top/cache" \
        "${nobody[@]}" "XDG_CACHE_HOME=$top/cache" "$rask" info "$wordcount"
else
    echo "skipped: no other user to try rights with, or the build is not readable for it" >&2
fi

# ---- full disks ----
refused "a limit on the size of files" "output file $top/limited.csv on host $host cannot be written: File too large" \
    bash -c 'ulimit -f 1000; exec "$@"' bash "$rask" run -t local "$wordcount" --input "$tree/examples/data/access.log" --output "$top/limited.csv"
if mount -t tmpfs -o size=256k none "$top/small" 2>/dev/null; then
    refused "disk full while writing output" "output file $top/small/out.csv on host $host cannot be written: the disk is full" \
        "$rask" run -p 4 "$wordcount" --input "$tree/examples/data/access.log" --output small/out.csv
    eventually mount -o remount,ro "$top/small" 2>/dev/null # refused while a worker that ends has a file there open
    refused "output to a disk that is read-only" "$top/small/b.csv on host $host cannot be written: its file system is mounted read-only" \
        "$rask" run "$wordcount" --input in.txt --output small/b.csv
    refused "log folder on a disk that is read-only" "the log folder $top/small/log cannot be made: Read-only file system" \
        env "RASK_LOG_DIR=$top/small/log" "RASK_PID_DIR=$top/pid" "$tree/scripts/taskmanager.sh" start
    refused "temporary folder on a disk that is read-only" "temporary folder (io.tmp.dirs): " \
        cluster taskmanager.sh start -D "io.tmp.dirs=$top/small/x"
    mount -o remount,rw "$top/small"
    rm -f "$top"/small/*
    # a second cluster, whose logs, then whose temporary files have no room
    second() { # SCRIPT ARGUMENT...
        RASK_LOG_DIR=$1 RASK_PID_DIR=$top/pid2 "$tree/scripts/$2" "${@:3}"
    }
    rest2=$(free_port)
    settings=(-D "rest.port=$rest2" -D "jobmanager.rpc.port=$(free_port)")
    echo localhost >"$top/conf/workers"
    second "$top/small" start-cluster.sh "${settings[@]}" >/dev/null 2>&1
    head -c 1m /dev/zero >"$top/small/fill" 2>/dev/null
    refused "no room for what is printed" "cannot print to $top/small/rask-me-worker-" \
        "$rask" run -m "localhost:$rest2" "$wordcount" --input in.txt
    check "with host and reason" said 1 "on host $host: the disk is full"
    run "$rask" run -m "localhost:$rest2" "$wordcount" --input in.txt --output "$top/logless.csv"
    check "no room for logs: the job goes on" said 0 "has finished"
    check "its result is right" test "$(last_counts logless.csv)" = $'a,2\nb,1'
    second "$top/small" stop-cluster.sh >/dev/null 2>&1
    rm -f "$top"/small/*
    second "$top/log2" start-cluster.sh "${settings[@]}" -D "io.tmp.dirs=$top/small" >/dev/null 2>&1
    head -c 1m /dev/zero >"$top/small/fill" 2>/dev/null
    refused "no room for the artifact" "the JobManager cannot keep the artifact (io.tmp.dirs, blob.storage.directory): " \
        "$rask" run -m "localhost:$rest2" "$wordcount" --input in.txt
    check "it names the file" said 1 "$top/small/rask-jobmanager"
    rm -f "$top/small/fill"
    run "$rask" run -m "localhost:$rest2" "$wordcount" --input in.txt --output "$top/room.csv"
    check "room again: the next job works" said 0 "has finished"
    second "$top/log2" stop-cluster.sh >/dev/null 2>&1
    umount "$top/small"
else
    echo "skipped: no right to mount a small disk to fill" >&2
fi
refused "standard output to a full disk" "cannot write to standard output: No space left on device" \
    bash -c '"$@" >/dev/full' bash "$rask" run "$wordcount" --input in.txt

# ---- odd, and legal: at parallelism 4, in one process and on the cluster ----
legal() { # NAME: the file odd; words and their counts as awk-like tools see them
    local want where
    want=$(tr -s ' \t\n\v\f\r' '\n' <odd | tr '\0' '@' | grep -a . | sort | uniq -c | awk '{ print length($2) "," $1 }' | sort)
    for where in local remote; do
        rm -f counts
        run "$rask" run -t $where -p 4 "$wordcount" --input odd --output counts
        out=$(tr '\0' '@' <counts 2>/dev/null | awk '{ at = match($0, /,[0-9]*$/); n[substr($0, 1, at - 1)] = substr($0, at + 1) }
            END { for (k in n) print length(k) "," n[k] }' | sort)
        check "$1, $where" test "$status" -eq 0 -a "$out" = "$want"
    done
}
: >odd
legal "empty file"
printf 'a b\na' >odd
legal "no last newline"
printf 'a\0b \0 a\0b\n\0\n' >odd
legal "NUL"
printf '\377\376 x \303\050 x\n\377\376\n' >odd
legal "invalid UTF-8"
{ for i in 1 2 3; do head -c 8388608 /dev/zero | tr '\0' x; printf ' w%d\n' $i; done; } >odd
legal "lines of 8 MiB"

# ---- a cluster that is half dead ----
for pid in "${waiting[@]}"; do wait "$pid"; done
take uploaded_hangs
check "uploaded: hangs" said 0 "did not return within 9 s"
take local_hangs
check "an entry point that hangs is stopped in time" said 1 "does not come back: stopped after 9 s"
stopped=$(cat "$top"/pid/*-jobmanager.pid)
kill -STOP "$stopped"
waiting=()
in_background list_silent "$rask" list
in_background run_silent "$rask" run -d sequence.so --to 1
in_background cancel_silent "$rask" cancel "$holder"
in_background start_silent cluster taskmanager.sh start
for pid in "${waiting[@]}"; do wait "$pid"; done
kill -CONT "$stopped"
stopped=
take list_silent
check "list: a JobManager that does not answer" said 1 "the JobManager at localhost:$rest does not answer: the connection is open, but silent for 5 s"
take run_silent
check "run: the same, and the job's id" said 1 "was submitted is not known (rask list tells)"
check "the id is the one that the cluster got" eventually job_is "$(id_of)" FINISHED
take cancel_silent
check "cancel: the same" said 1 "Could not cancel job $holder: the JobManager at localhost:$rest does not answer"
take start_silent
check "a TaskManager waits for it, and says so" said 0 "[WARN] taskmanager runs, but jobmanager at localhost:$rpc has not answered"
check "it registers when the JobManager is back" eventually overview_has '"taskmanagers":3,'

# ---- after all this ----
check "the healthy job has finished" eventually job_is "$healthy" FINISHED
check "its result is right" test "$(last_counts healthy.csv)" = "$(for k in 0 1 2 3 4 5 6; do echo "$k,2000"; done)"
run "$rask" run -p 4 "$wordcount" --input "$tree/examples/data/access.log" --output after.csv
check "the next job works" said 0 "has finished"
check "no slot is lost" eventually overview_has '"slots-total":12,"slots-available":12,'
run cluster taskmanager.sh stop-all
run cluster jobmanager.sh stop
check "the cluster stops" said 0 "Stopping jobmanager daemon"
out=$(ls -A "$top/tmp" "$top/pid")
check "nothing is left" test -z "$(ls -A "$top/tmp")$(ls -A "$top/pid")"
exit "$((failures > 0))"
