#!/usr/bin/env bash
# ARRAY, MAP and ROW columns through real daemons: what a job on two TaskManagers prints and writes equals what one task
# in one process does, in clear and with TLS, LZ4, state on disk and checkpoints.  Prints "ok NAME" and "FAIL NAME" lines.
set -u
cd "$(dirname "$0")/../.." || exit 1
# shellcheck source=scripts/free_port.bash
. scripts/free_port.bash
# shellcheck source=test/integration/lib.bash
. test/integration/lib.bash
bin=${RASK_BUILD:-$PWD/build}/bin
job=$PWD/test/integration/jobs/nested.c
top=$(mktemp -d)
pids=()
cleanup() {
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null; done
    for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null; done
    rm -rf "$top"
}
trap cleanup EXIT
unset CC
export XDG_CACHE_HOME="$top/cache" RASK_CONF_DIR="$top/conf" RASK_LOG_DIR="$top/log" LC_ALL=C
mkdir -p "$top/conf" "$top/log" "$top/tmp"
check() { # NAME COMMAND...
    local name=$1
    shift
    if "$@"; then
        echo "ok $name"
    else
        echo "FAIL $name"
        tail -n 5 "$top/errors" 2>/dev/null | sed 's/^/    /'
        failures=$((failures + 1))
    fi
}
run() { # OUTPUT ARGUMENT...
    local output=$1
    shift
    timeout 60 "$bin/rask" run "$@" >"$output" 2>"$top/errors" </dev/null
}
# Orders as they are; of each key the last total, which has the most orders.
results() {
    sed 's/^[0-9]*> //' "$1" | awk -F '[(),]' '
        /^\(\(/ { key = $3 "," $4; n = $6 + 0; if (n > most[key]) { most[key] = n; line[key] = $0 } next }
        { print }
        END { for (k in line) print line[k] }' | sort
}

start_two() { # and waits for their slots
    local i
    start_daemons 2
    for ((i = 0; i < 200; i++)); do
        curl -s -m 5 "http://127.0.0.1:$port/overview" | grep -q '"slots-total":4' && break
        sleep 0.05
    done
}

rpc=$(free_port)
port=$(free_port)
cat >"$top/conf/rask-conf.yaml" <<Y
jobmanager.rpc.port: $rpc
rest.port: $port
taskmanager.numberOfTaskSlots: 2
io.tmp.dirs: $top/tmp
Y
cd "$top" || exit 1

check "one task in one process" run one --target local -p 1 "$job" --rows 500 --csv "$top/one.csv"
start_two
check "two TaskManagers, parallelism 4" run four -p 4 "$job" --rows 500 --csv "$top/four.csv"
results one >one.sorted
results four >four.sorted
check "what they print is the same" cmp one.sorted four.sorted
check "all orders and all keys" test "$(wc -l <one.sorted)" -eq "$((500 + $(grep -c '^((' one.sorted)))"
sort one.csv >one.csv.sorted
sort four.csv >four.csv.sorted
check "what they write is the same" cmp one.csv.sorted four.csv.sorted

# The same by way of everything that encodes rows: TLS, LZ4, state on disk, unaligned checkpoints while it runs.
for pid in "${pids[@]}"; do kill "$pid"; done
for pid in "${pids[@]}"; do wait "$pid"; done
pids=()
"$bin/rask" security init --write-conf >/dev/null
echo "rask.network.compression: lz4" >>"$top/conf/rask-conf.yaml"
start_two
check "the same with TLS, LZ4, LevelDB, unaligned checkpoints" run sealed -p 4 -D state.backend.type=leveldb \
    -D execution.checkpointing.interval=20ms -D execution.checkpointing.unaligned=true "$job" --rows 500 --csv "$top/sealed.csv"
results sealed >sealed.sorted
check "prints the same" cmp one.sorted sealed.sorted
sort sealed.csv >sealed.csv.sorted
check "writes the same" cmp one.csv.sorted sealed.csv.sorted
check "it was by TLS" grep -qF "RPC by TLS 1.3" "$top/log/jobmanager.log"

# Text as Flink's: a tuple, an array, a map.
check "an order as text" grep -qxF \
    '(11,(town 4,2),[(item 11,0.11), (a rather long item 12,1.11), (item 13,2.11)],[tag 11, null],{left=11},[[110], [110, 111]])' \
    one.sorted
check "an order without" grep -qxF '(300,(town 6,null),[],[],null,[])' <(sed 's/a rather long //' one.sorted)
check "a row as csv" grep -qxF '11,tag 11;,town 4;2' one.csv.sorted
exit "$((failures > 0))"
