#!/usr/bin/env bash
# rask without a cluster: compiling and its cache, plans, every way in which a job can be no job, no JobManager.
# Prints "ok NAME" and "FAIL NAME" lines.
set -u
cd "$(dirname "$0")/../.." || exit 1
# shellcheck source=test/integration/lib.bash
. test/integration/lib.bash
rask=${RASK_BUILD:-$PWD/build}/bin/rask
examples=$PWD/examples
sdk=$PWD/api/include
top=$(mktemp -d)
background=()
cleanup() {
    local pid
    for pid in "${background[@]}"; do kill "$pid" 2>/dev/null; done
    rm -rf "$top"
}
trap cleanup EXIT
unset RASK_CONF_DIR CC
export XDG_CACHE_HOME="$top/cache"
cd "$top" || exit 1

run() {
    out=$(timeout 30 "$@" 2>&1 </dev/null)
    status=$?
}
refused() { # NAME PATTERN ARGUMENT...
    local name=$1 pattern=$2
    shift 2
    run "$rask" "$@"
    check "$name" said 1 "$pattern"
}
job() { # FILE: a job whose entry point has this body (stdin)
    { printf '#include <stdlib.h>\n#include <unistd.h>\n#include <rask/rask.h>\n'
      printf 'int rask_job(rask_env *env, const rask_params *params)\n{\n    (void)env, (void)params;\n'
      cat; printf '}\n'; } >"$1"
}
discard='rask_discard(rask_from_sequence(env, 1, 3)); return rask_execute(env, "tiny");'

# ---- compiling and the cache ----
job tiny.c <<<"$discard"
run "$rask" info tiny.c
check "info prints the plan" said 0 '"type" : "Source: '
run env CC=/no/such/compiler "$rask" info tiny.c
check "another compiler is another artifact" said 1 "/no/such/compiler"
printf '#!/bin/sh\necho started >>%s/started\nexec cc "$@"\n' "$top" >counting-cc
chmod +x counting-cc
run env CC="$top/counting-cc" "$rask" info tiny.c
run env CC="$top/counting-cc" "$rask" info tiny.c
check "a warm run does not start the compiler" test "$(wc -l <started)" -eq 2
printf '#define LAST 5\n' >last.h
job with_header.c <<<"$discard"
sed -i '1i #include "last.h"' with_header.c
sed -i 's/, 3)/, LAST)/' with_header.c
run env CC="$top/counting-cc" "$rask" info with_header.c
rm -f started
printf '#define LAST 6\n' >last.h
run env CC="$top/counting-cc" "$rask" info with_header.c
check "a changed header is compiled again" test -s started
for so in "$XDG_CACHE_HOME"/rask/*.so; do printf 'damaged' >"$so"; done
run "$rask" info tiny.c
check "a damaged artifact is compiled again" said 0 '"type"'
cat >helper.c <<<'int helper(void) { return 3; }'
job two.c <<<"extern int helper(void); rask_discard(rask_from_sequence(env, 1, helper())); return rask_execute(env, \"two\");"
run "$rask" info two.c helper.c
check "several files are one job" said 0 '"type"'
run "$rask" info --cflags '-DLIMIT=3 -DTEXT=\"a\ b\"' --libs -lm tiny.c
check "flags reach the compiler" said 0 '"type"'
run env XDG_CACHE_HOME=/proc/none "$rask" info tiny.c
check "a cache that cannot be written is named" said 1 "XDG_CACHE_HOME names another place"
run env -u HOME -u XDG_CACHE_HOME TMPDIR="$top" "$rask" info tiny.c
check "without a home the cache is a temporary folder" test "$status.$(stat -c %a "$top/rask-cache-$(id -u)")" = 0.700
chmod 755 "$top/rask-cache-$(id -u)"
run env -u HOME -u XDG_CACHE_HOME TMPDIR="$top" "$rask" info tiny.c
check "a cache that others may enter is refused" said 1 "is not a folder of this user alone"
cc -shared -fPIC -I "$sdk" -o ready.so tiny.c
run "$rask" info ready.so
check "a shared object is taken as it is" said 0 '"type"'

# ---- what is no job ----
refused "no file at all" "which job?" info
refused "missing file" "cannot read missing.c: No such file or directory" info missing.c
mkdir folder.c
refused "a folder" "folder.c is a directory" info folder.c
echo text >notes.txt
refused "neither C nor shared object" "notes.txt is neither a C file (*.c) nor a shared object (*.so)" info notes.txt
echo text >text.so
refused "text called .so" "text.so is not a shared object" info text.so
printf '\0\1\2' >binary.c
refused "binary called .c" "binary.c is not C source" info binary.c
echo 'this is not C' >broken.c
refused "the compiler's own words" "error:" info broken.c
check "the file that does not compile" said 1 "cannot compile broken.c"
: >empty.c
refused "no rask_job" 'empty.c has no function `rask_job`' info empty.c
cat >no_abi.c <<<'int rask_job(void) { return 0; }'
refused "no ABI" "no_abi.c does not tell its ABI" info no_abi.c
cat >old_abi.c <<<'const unsigned rask_job_abi = 999; int rask_job(void) { return 0; }'
refused "wrong ABI" "old_abi.c was compiled for ABI 999" info old_abi.c
refused "wrong entry point" 'has no function `other`' info --entry other tiny.c
job undefined.c <<<'extern int nowhere(void); return nowhere();'
refused "undefined symbol" "undefined symbol: nowhere" info undefined.c
job returns.c <<<"rask_discard(rask_from_sequence(env, 1, 3)); rask_execute(env, \"x\"); return 3;"
refused "entry point returns an error" "the entry point rask_job of returns.c returned 3" info returns.c
job none.c <<<'return 0;'
refused "no rask_execute" "rask_execute" info none.c
job nosink.c <<<'rask_from_sequence(env, 1, 3); return rask_execute(env, "x");'
run "$rask" info nosink.c
check "missing sink" test "$status" -eq 1
job exits.c <<<'exit(7);'
# a job that leaves by itself frees nothing: no leak of ours
ASAN_OPTIONS=detect_leaks=0 refused "exit in the entry point" "exits.c called exit(7) while building the graph" info exits.c
cat >crash.c <<'C'
#include <rask/rask.h>
static __attribute__((noinline)) void touch(volatile int *p) { *p = 1; }
int rask_job(rask_env *env, const rask_params *params) { (void)env, (void)params; touch(0); return 0; }
C
refused "crash" 'crash.c crashed with SIGSEGV while building the graph, in function `touch`' info crash.c
cat >deep.c <<'C'
#include <rask/rask.h>
static __attribute__((noinline)) int dive(volatile int n) { volatile char hold[4096]; hold[0] = (char)n; return dive(n + 1) + hold[0]; }
int rask_job(rask_env *env, const rask_params *params) { (void)env, (void)params; return dive(0); }
C
refused "stack overflow" "deep.c crashed with SIGSEGV while building the graph" info deep.c
job aborts.c <<<'abort();'
refused "abort" "aborts.c crashed with SIGABRT" info aborts.c
job hangs.c <<<'for (;;) sleep(1);'
run "$rask" info hangs.c
check "an entry point that hangs" said 1 "does not come back: stopped after 9 s"

# ---- a JobManager that says what it is made to say ----
cat >says.py <<'P'
"""says.py: prints its port. 20 jobs run, and one that is submitted begins anew after a second, with fewer records than before."""
import http.server, json, time

began = time.monotonic()
STATES = [(1.2, "RUNNING", 5000), (2, "RESTARTING", 10), (2.6, "RUNNING", 10), (1e9, "FINISHED", 20)]

class Says(http.server.BaseHTTPRequestHandler):
    def say(self, what):
        body = json.dumps(what).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        global began
        self.rfile.read(int(self.headers["Content-Length"]))
        began = time.monotonic()
        self.say({})

    def do_GET(self):
        if self.path == "/jobs/overview":
            return self.say({"jobs": [{"jid": "%032x" % i, "state": "RUNNING"} for i in range(20)]})
        if "/metrics" in self.path:
            return self.say([])
        state, records = next(s[1:] for s in STATES if time.monotonic() - began < s[0])
        job = self.path[6:38]
        self.say({"jid": job, "state": state, "duration": 1, "plan": {"nodes": []},
                  "vertices": [{"id": "%032x" % i, "name": "v", "metrics": {"read-records": records}}
                               for i in range(300 if job == "0" * 32 else 1)]})

    def log_message(self, *args):
        pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Says)
print(server.server_port, flush=True)
server.serve_forever()
P
coproc says { exec python3 says.py; }
says_pid=$!
read -r said_port <&"${says[0]}"
run "$rask" run -m "127.0.0.1:$said_port" tiny.c
check "an attached job that begins anew" said 0 "RESTARTING  10 records" "FINISHED"
check "has no rate below nought" test -z "$(grep -E -- 'records, -' <<<"$out")"
run "$rask" top -n 1 -m "127.0.0.1:$said_port"
check "rask top says how many jobs it leaves out" said 0 "And 4 more that run"
check "and how many vertices" said 0 "and 44 more vertices"
kill "$says_pid"
wait "$says_pid" 2>/dev/null

# ---- command line ----
refused "unknown command" 'there is no command `bogus`' bogus
refused "stop without a job" "Missing JobID" stop
refused "savepoint without a job" "Missing JobID" savepoint
refused "run -s without a savepoint" "-s none: No such file" run -s none tiny.c
refused "unknown option" 'unknown option `--bogus`' run --bogus tiny.c
refused "parallelism that is no number" "must be a positive number: abc" run -p abc tiny.c
refused "parallelism 0" "must be a positive number: 0" run -p 0 tiny.c
refused "parallelism over the limit" "must not be over 32768" run -p 40000 tiny.c
refused "the parallelism of the configuration over the maximum" "parallelism 4 is greater than its max parallelism 2" \
    run -t local -D pipeline.max-parallelism=2 -D parallelism.default=2 -D parallelism.default=4 tiny.c
run "$rask" run -t local -D pipeline.max-parallelism=2 -D parallelism.default=4 -D parallelism.default=2 tiny.c
check "of two settings of a key the last one counts" said 0 ""
run "$rask" run -t local -D pipeline.max-parallelism=2 -D parallelism.default=4 -p 2 tiny.c
check "-p wins over a setting" said 0 ""
refused "a parameter without name" "form --name value" info tiny.c --a b c
refused "bad job id" 'Cannot parse JobID from "zzz"' cancel zzz
refused "no job id" "Missing JobID" cancel
for command in run info list cancel logs; do
    run "$rask" "$command" --help
    check "$command --help" said 0 "rask $command"
done
run "$rask" --version
check "version" said 0 "Version: "
run "$rask"
check "no command prints the usage" said 1 "rask COMMAND"

# ---- no cluster ----
refused "nobody listens" "cannot reach a JobManager at localhost:1: connection refused. Start one with" list -m localhost:1
refused "run without a cluster" "or use --target local" run -m localhost:1 tiny.c
refused "no such host" 'no address for host `no-such-host.invalid`' list -m no-such-host.invalid:1
refused "bad address" "is not an address" list -m localhost:x
python3 - <<'P' >port &
import socket, sys, time
s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen(5)
print(s.getsockname()[1], flush=True); time.sleep(60)
P
background+=($!)
until [[ -s port ]]; do sleep 0.05; done
refused "a cluster that does not answer" "does not answer: the connection is open, but silent for 5 s" list -m "localhost:$(cat port)"
python3 - <<'P' >port2 &
import socket
s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen(5)
print(s.getsockname()[1], flush=True)
c, _ = s.accept(); c.sendall(b"220 mail.example ESMTP ready\r\n"); c.recv(1000)
P
background+=($!)
until [[ -s port2 ]]; do sleep 0.05; done
refused "something else listens" "answers, but not as a JobManager" list -m "localhost:$(cat port2)"

# ---- right here ----
printf 'a b a\n' >in.txt
run "$rask" run -t local "$examples/wordcount.c" --input in.txt
check "a job runs right here" said 0 "(a,2)"
run "$rask" run -t local "$examples/wordcount.c" --input missing.txt
check "missing input" said 1 "$top/missing.txt"
run "$rask" run -t local -d tiny.c
check "-d has no meaning here" said 1 "-d needs a cluster"
run "$rask" run --sanitize -m localhost:1 tiny.c
check "--sanitize needs local" said 1 "--sanitize needs --target local"
run "$rask" run -m localhost:1 "$examples/wordcount.c" --input -
check "standard input needs local" said 1 "reads standard input (-)"
run timeout 5 "$rask" run -t local -p 2000 tiny.c
check "more slots than there are right here" said 1 "the job needs 2000 slots, and inside the client there are 1024"
run timeout 5 "${rask%/rask}/rask-taskmanager" -D jobmanager.rpc.port=0
check "a port that a TaskManager cannot learn" said 1 "jobmanager.rpc.port is 0"

# ---- the cache of compiled jobs ----
printf '#include <wanted.h>\n' >needs.c
cat tiny.c >>needs.c
mkdir here there
touch here/wanted.h
printf '#error "of another folder"\n' >there/wanted.h
run env CPATH="$top/here" "$rask" run -t local needs.c
check "CPATH names folders of headers" said 0 ""
run env CPATH="$top/there" "$rask" run -t local needs.c
check "and another one is another artifact" said 1 "of another folder"
printf '#!/bin/sh\nsleep 5\nexec cc "$@"\n' >slow_cc
chmod +x slow_cc
run env CC="$top/slow_cc" XDG_CACHE_HOME="$top/interrupted" timeout -s INT 1 "$rask" run -t local tiny.c
nothing_left() { out=$(ls "$top/interrupted/rask") && [[ -z $out ]]; }
check "an interrupted compiler leaves nothing" nothing_left
[[ $failures -eq 0 ]]
