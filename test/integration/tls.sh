#!/usr/bin/env bash
# A cluster with security.ssl.internal.enabled: certificates by `rask security init`, word count over two TaskManagers,
# strangers at every port, daemons that do not fit, files that are wrong.  Prints "ok NAME" and "FAIL NAME" lines.
# (What hostile peers of TLS itself get is in test/unit/common/net/test_tls_openssl.c.)
set -u
cd "$(dirname "$0")/../.." || exit 1
# shellcheck source=scripts/free_port.bash
. scripts/free_port.bash
# shellcheck source=test/integration/lib.bash
. test/integration/lib.bash
home=$PWD
bin=${RASK_BUILD:-$PWD/build}/bin
top=$(mktemp -d)
pids=()
cleanup() {
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null; done
    for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null; done
    rm -rf "$top"
}
trap cleanup EXIT
unset RASK_BUILD
export XDG_CACHE_HOME="$top/cache" RASK_CONF_DIR="$top/conf" RASK_LOG_DIR="$top/log"
mkdir -p "$top"/{conf,log,tmp,in}

run() {
    out=$(timeout 30 "$@" 2>&1 </dev/null)
    status=$?
}
until_true() { # COMMAND...: for 10 s
    local i
    for ((i = 0; i < 200; i++)); do
        "$@" && return 0
        sleep 0.05
    done
    return 1
}
logged() { # FILE TEXT
    out=$(tail -n 20 "$1" 2>&1)
    grep -qsF -- "$2" "$1"
}
slots_are() { # NUMBER
    out=$(curl -s -m 5 "http://127.0.0.1:$rest/overview")
    [[ $out == *"\"slots-total\":$1,"* ]]
}
mode_is() { # FILE MODE
    out=$(stat -c %a "$1" 2>&1)
    [[ $out == "$2" ]]
}

rpc=$(free_port)
rest=$(free_port)
cat >"$top/plain.yaml" <<Y
jobmanager.rpc.port: $rpc
rest.port: $rest
taskmanager.numberOfTaskSlots: 2
io.tmp.dirs: $top/tmp
security.ssl.internal.handshake-timeout: 1000
Y
cp "$top/plain.yaml" "$top/conf/rask-conf.yaml"

# ---- rask security init ----

run "$bin/rask" security init
keys=$out
check "init prints the settings" said 0 "security.ssl.internal.enabled: true" "security.ssl.internal.keystore: '$top/conf/security/keystore.pem'"
check "init makes a key that others cannot read" mode_is "$top/conf/security/keystore.pem" 600
check "the key of the authority neither" mode_is "$top/conf/security/ca-key.pem" 600
check "the folder neither" mode_is "$top/conf/security" 700
before=$(cat "$top"/conf/security/*)
run "$bin/rask" security init --write-conf
check "init overwrites nothing" said 1 "keystore.pem exists, and nothing is overwritten"
check "and leaves the files alone" test "$before" = "$(cat "$top"/conf/security/*)"
rm "$top/conf/security/keystore.pem"
trusted=$(cat "$top/conf/security/truststore.pem")
run "$bin/rask" security init --days 30 --host node1.example --host 10.0.0.7
check "with the authority there is a new keystore" said 0 "keystore.pem"
check "and the same authority" test "$trusted" = "$(cat "$top/conf/security/truststore.pem")"
mv "$top/conf/security/keystore.pem" "$top/new.pem"
rm "$top/conf/security/ca-key.pem"
run "$bin/rask" security init
check "half an authority is no authority" said 1 "truststore.pem exists without"
mv "$top/new.pem" "$top/conf/security/keystore.pem"
run "$bin/rask" security init --dir "$top/nowhere/x"
check "init names a folder that cannot be made" said 1 "$top/nowhere/x"
run "$bin/rask" security init --host 'a b'
check "init refuses what is no host" said 1 "keystore.pem exists"
run "$bin/rask" security init --dir "$top/other" --host 'a,DNS:b'
check "and what is no host name" said 1 "is no name or address of a host"
check "and leaves nothing" test -z "$(ls "$top/other")"
run "$bin/rask" security init --dir "$top/other" --days 0
check "init wants days" said 1 "--days wants a number from 1 to 7300"
run "$bin/rask" security
check "there is only init" said 1 "init"
run "$bin/rask" security init --dir "$top/other"
check "another cluster has other certificates" said 0 "$top/other/keystore.pem"
check "of another authority" test "$(cat "$top/other/truststore.pem")" != "$(cat "$top/conf/security/truststore.pem")"
rm "$top/conf/security/truststore.pem" "$top/conf/security/keystore.pem"
run "$bin/rask" security init --write-conf
check "init writes the settings" said 0 "Added security.ssl.internal.* to $top/conf/rask-conf.yaml"
check "which are those that it prints" test "$(tail -n 3 "$top/conf/rask-conf.yaml")" = "$(printf '%s\n' "$keys" | grep '^security')"
tls=$top/conf/rask-conf.yaml

# ---- the cluster ----

start_daemons 2
check "two TaskManagers register over TLS" until_true slots_are 4
check "the JobManager says so" logged "$top/log/jobmanager.log" "RPC by TLS 1.3"
for ((i = 0; i < 3000; i++)); do echo "the quick brown fox jumps over the lazy dog $((i % 7))"; done >"$top/in/text"
cat >"$top/wordcount.c" <<'C'
#include <rask/rask.h>
RASK_ROW(word, (STRING, word), (BIGINT, n));
static int split(rask_ctx *ctx, const rask_row *line, rask_out *out)
{
    rask_str text = rask_string(line, 0), w;

    (void)ctx;
    while (rask_next_word(&text, &w))
        word_emit(out, &(struct word){w, 1});
    return 0;
}
int rask_job(rask_env *env, const rask_params *params)
{
    rask_stream *lines = rask_rebalance(rask_read_text(env, rask_param(params, "input", "-")));

    rask_print(rask_sum(rask_key_by(rask_flat_map(lines, split, &word_schema), "word"), "n"));
    return rask_execute(env, "words");
}
C
run "$bin/rask" run -p 4 "$top/wordcount.c" --input "$top/in/text"
check "a job at parallelism 4 runs" said 0 "has finished"
last() { # WORD: its largest count
    printf '%s\n' "$out" | sed -n "s/.*($1,\([0-9]*\))/\1/p" | sort -n | tail -n 1
}
right() {
    [[ $(last the) = 6000 && $(last fox) = 3000 && $(last 0) = 429 && $(last 6) = 428 ]]
}
check "its result is right" right
id=$(printf '%s\n' "$out" | sed -n 's/.*JobID \([0-9a-f]\{32\}\).*/\1/p' | head -n 1)
crossed() {
    out=$(python3 - "$rest" "$id" <<'P'
import json, sys, urllib.request
base = "http://127.0.0.1:%s/jobs/%s" % (sys.argv[1], sys.argv[2])
def get(path):
    with urllib.request.urlopen(base + path, timeout=5) as answer:
        return json.load(answer)
print(sum(t["metrics"].get("remote-read-records", 0) for v in get("")["vertices"]
          for t in get("/vertices/%s" % v["id"])["subtasks"]))
P
    )
    [[ $out =~ ^[0-9]+$ && $out -gt 1000 ]]
}
check "records went from one worker to the other" crossed

# ---- strangers ----

cat >"$top/stranger.py" <<'P'
"""stranger.py WHAT PORT: prints what a port answers to somebody who is not of the cluster: bytes, then how it ended."""
import socket, sys, time
what, port = sys.argv[1], int(sys.argv[2])
s = socket.create_connection(("127.0.0.1", port), timeout=20)
say = {"silent": b"", "http": b"GET / HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n", "frame": b"RK\1\1" + bytes(28), "zeros": bytes(100),
       "half": bytes.fromhex("16030102000100"), "old": bytes.fromhex("160301002f0100002b0302") + bytes(32) + bytes.fromhex("000004002f00ff0100")}[what]
try:
    s.sendall(say)
    got = b""
    while True:
        more = s.recv(4096)
        if not more:
            break
        got += more
except ConnectionError:
    pass
print("%d bytes, %s" % (len(got), got[:40].hex()))
P
data=$(sed -n 's/.*data [^0-9]*127\.0\.0\.1:\([0-9]*\).*/\1/p' "$top/log/taskmanager1.log" | head -n 1)
[[ $data ]] || data=$(curl -s -m 5 "http://127.0.0.1:$rest/taskmanagers" | sed 's/.*"dataPort":\([0-9]*\).*/\1/')
for what in silent http frame zeros half; do
    run python3 "$top/stranger.py" $what "$rpc"
    check "RPC says nothing to $what" said 0 "0 bytes"
done
run python3 "$top/stranger.py" old "$rpc"
check "RPC tells TLS 1.1 that it is too old, and nothing else" said 0 "7 bytes, 1503"
for what in http frame zeros; do
    run python3 "$top/stranger.py" $what "$data"
    check "the data port says nothing to $what" said 0 "0 bytes"
done
run python3 -c 'import socket, sys
for _ in range(300):
    s = socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=5)
    s.sendall(b"hello")
    s.recv(1)' "$rpc"
check "hundreds of strangers are sent away" said 0
few_lines() {
    out=$(grep -c "refused peer" "$top/log/jobmanager.log")
    [[ $out -ge 5 && $out -le 60 ]]
}
check "hundreds of strangers leave few lines in the log" few_lines
run "$bin/rask" run -p 4 "$top/wordcount.c" --input "$top/in/text"
check "the cluster still works" said 0 "has finished"

# ---- daemons that do not fit ----

mkdir -p "$top/plain" "$top/foreign"
cp "$top/plain.yaml" "$top/plain/rask-conf.yaml"
sed "s|conf/security|other|" "$tls" >"$top/foreign/rask-conf.yaml"
sed -i "s|^io.tmp.dirs.*|io.tmp.dirs: $top/tmp|" "$top/foreign/rask-conf.yaml"
"$bin/rask-taskmanager" -c "$top/plain" --log "$top/log/plain.log" &
pids+=($!)
"$bin/rask-taskmanager" -c "$top/foreign" --log "$top/log/foreign.log" &
pids+=($!)
check "a TaskManager in clear does not get in" until_true logged "$top/log/plain.log" "not registered"
check "the JobManager says why" until_true logged "$top/log/jobmanager.log" "without security.ssl.internal.enabled"
check "one of another authority neither" until_true logged "$top/log/foreign.log" "certificate is not accepted"
check "there are the slots of the others" slots_are 4

# ---- wrong files ----

starts_not() { # NAME TEXT SETTING...
    local name=$1 text=$2 setting args=()
    shift 2
    for setting; do args+=(-D "$setting"); done
    run "$bin/rask-taskmanager" "${args[@]}"
    check "$name" said 1 "security.ssl" "$text"
}
s=$top/conf/security
grep -v PRIVATE "$s/truststore.pem" >"$top/only-certificate.pem"
chmod 600 "$top/only-certificate.pem"
cp "$s/keystore.pem" "$top/open.pem"
chmod 644 "$top/open.pem"
echo nonsense >"$top/nonsense.pem"
chmod 600 "$top/nonsense.pem"
sed -n '1,/END CERT/p' "$s/keystore.pem" >"$top/mixed.pem"
sed -n '/BEGIN PRIV/,$p' "$top/other/keystore.pem" >>"$top/mixed.pem"
chmod 600 "$top/mixed.pem"
starts_not "no keystore" "$top/none.pem: No such file" security.ssl.internal.keystore="$top/none.pem"
starts_not "a keystore that all can read" "chmod 600 $top/open.pem" security.ssl.internal.keystore="$top/open.pem"
starts_not "a keystore that is none" "$top/nonsense.pem holds no certificate" security.ssl.internal.keystore="$top/nonsense.pem"
starts_not "a keystore without a key" "$top/only-certificate.pem holds no private key" security.ssl.internal.keystore="$top/only-certificate.pem"
starts_not "a key of another certificate" "does not belong" security.ssl.internal.keystore="$top/mixed.pem"
starts_not "a certificate of another authority" "is not trusted by file" security.ssl.internal.keystore="$top/other/keystore.pem"
starts_not "no truststore" "$top/none.pem: No such file" security.ssl.internal.truststore="$top/none.pem"
starts_not "a truststore that is none" "$top/nonsense.pem holds no certificate" security.ssl.internal.truststore="$top/nonsense.pem"
starts_not "ciphers of old" "is no list of TLS 1.3 ciphers" security.ssl.algorithms=TLS_RSA_WITH_AES_128_CBC_SHA
starts_not "an old version" "allowed: TLSv1.3" security.ssl.protocol=TLSv1.2
starts_not "a Java keystore" "allowed: PEM" security.ssl.internal.keystore-type=JKS
run "$bin/rask-taskmanager" -c "$top/plain" -D security.ssl.internal.enabled=true
check "no files at all" said 1 "security.ssl.internal.keystore is not set" "rask security init"

# ---- REST ----

rest2=$(free_port)
mkdir -p "$top/secure" "$top/mutual"
{
    sed "s/^rest.port.*/rest.port: $rest2/; s/^jobmanager.rpc.port.*/jobmanager.rpc.port: 0/" "$top/plain.yaml"
    echo "security.ssl.rest.enabled: true"
    echo "security.ssl.keystore: $s/keystore.pem"
    echo "security.ssl.truststore: $s/truststore.pem"
} >"$top/secure/rask-conf.yaml"
{
    cat "$top/secure/rask-conf.yaml"
    echo "security.ssl.rest.authentication-enabled: true"
} >"$top/mutual/rask-conf.yaml"
listed() { # FOLDER OPTION...
    local folder=$1
    shift
    RASK_CONF_DIR=$folder run "$bin/rask" list "$@"
    [[ $status -eq 0 && $out == *"No running jobs"* ]]
}
RASK_CONF_DIR=$top/secure "$bin/rask-jobmanager" --log "$top/log/secure.log" &
secure=$!
pids+=("$secure")
check "rask speaks TLS to REST" until_true listed "$top/secure"
check "also to an address that says https" listed "$top/secure" -D security.ssl.rest.enabled=false -m "https://localhost:$rest2"
run curl -sS -m 5 --cacert "$s/truststore.pem" "https://localhost:$rest2/overview"
check "so does curl" said 0 slots-total
run curl -sS -m 5 "http://localhost:$rest2/overview"
check "who speaks in clear gets nothing" test "$status" -ne 0
RASK_CONF_DIR=$top/secure run "$bin/rask" list -m "http://localhost:$rest2"
check "and rask says so" said 1 "without TLS"
RASK_CONF_DIR=$top/secure run "$bin/rask" list -D security.ssl.truststore="$top/other/truststore.pem"
check "rask refuses a JobManager of another authority" said 1 "is not accepted: unable to get local issuer certificate"
RASK_CONF_DIR=$top/secure run "$bin/rask" list -m "127.1:$rest2"
check "and one with another name" said 1 "is not accepted: hostname mismatch"
RASK_CONF_DIR=$top/secure run "$bin/rask" list -m "127.1:$rest2" -D security.ssl.verify-hostname=false
check "unless told not to look: then the server does" said 1 "The Host header names another host"
RASK_CONF_DIR=$top/secure run "$bin/rask" list -m "localhost:$rest"
check "TLS to a server in clear is told as that" said 1 "does not speak TLS"
head -c 3000000 /dev/urandom >"$top/big.so"
run curl -sS -m 10 --cacert "$s/truststore.pem" -F "jarfile=@$top/big.so" "https://localhost:$rest2/jars/upload"
check "a large upload arrives" said 0 "Only shared objects"
run "$bin/rask-jobmanager" -c "$top/secure" -D rest.bind-address=0.0.0.0 -D rest.port=0
check "TLS alone does not open REST to others" said 1 "authentication-enabled"
kill "$secure"
wait "$secure" 2>/dev/null
RASK_CONF_DIR=$top/mutual "$bin/rask-jobmanager" -D rest.bind-address=0.0.0.0 --log "$top/log/mutual.log" &
pids+=($!)
check "with certificates of clients it opens, and rask shows one" until_true listed "$top/mutual"
run curl -sS -m 5 --cacert "$s/truststore.pem" "https://localhost:$rest2/overview"
check "without a certificate there is no answer" test "$status" -ne 0
run curl -sS -m 5 --cacert "$s/truststore.pem" --cert "$top/other/keystore.pem" "https://localhost:$rest2/overview"
check "nor with that of another authority" test "$status" -ne 0
run curl -sS -m 5 --cacert "$s/truststore.pem" --cert "$s/keystore.pem" "https://localhost:$rest2/overview"
check "with a certificate there is" said 0 slots-total

# ---- closed by default ----

run "$bin/rask-jobmanager" -c "$top/plain" -D jobmanager.rpc.port=0 -D jobmanager.bind-host=0.0.0.0
check "in clear nobody listens beyond loopback" said 1 "refusing to listen on 0.0.0.0" "security.ssl.internal.enabled"
"$bin/rask-jobmanager" -D jobmanager.rpc.port=0 -D rest.port=0 -D jobmanager.bind-host=0.0.0.0 --log "$top/log/open.log" &
pids+=($!)
check "with TLS it may" until_true logged "$top/log/open.log" "listens for RPC on 0.0.0.0"
run "$bin/rask-taskmanager" -D taskmanager.bind-host=0.0.0.0 -D taskmanager.data.ssl.enabled=false
check "with TLS but for the data it may not" said 1 "refusing to listen on 0.0.0.0"
cd "$home" || exit 1
[[ $failures -eq 0 ]]
