#!/usr/bin/env bash
# Files that cannot be read or written, each with its sentence; and odd files, which are legal: counts equal awk's.
# Prints "ok NAME" and "FAIL NAME" lines.
set -u
cd "$(dirname "$0")/../.." || exit 1
build=${RASK_BUILD:-$PWD/build}
job=$PWD/examples/wordcount.c
top=$(mktemp -d)
trap 'cd / && chmod -R u+rwx "$top" && rm -rf "$top"' EXIT
unset RASK_CONF_DIR CC
export XDG_CACHE_HOME=$top/cache LC_ALL=C
cd "$top" || exit 1
host=$(uname -n)
failures=0
nobody=()
if [[ $(id -u) -eq 0 ]] && command -v setpriv >/dev/null; then
    nobody=(setpriv --reuid=65534 --regid=65534 --clear-groups)
    chmod 711 "$top"
fi
mkdir -m 777 cache others

run() {
    timeout 10 "$@" >output 2>errors </dev/null
    status=$?
}
result() { # STATUS NAME
    if [[ $1 -eq 0 ]]; then
        echo "ok $2"
    else
        echo "FAIL $2: exit status $status"
        tail -n 5 errors | sed 's/^/    /'
        failures=$((failures + 1))
    fi
}
fails() { # NAME PART... : of the last run
    local name=$1 part
    shift
    for part; do
        [[ $status -eq 1 && $(<errors) == *"$part"* ]] || {
            result 1 "$name (\"$part\")"
            return
        }
    done
    result 0 "$name"
}
wordcount() {
    run "$build/bin/rask" run --target local "$job" "$@"
}
as_nobody() { # the sample must be readable and the program reachable
    run "${nobody[@]}" env XDG_CACHE_HOME="$top/others" HOME="$top/others" TMPDIR=/tmp "$build/bin/rask" run --target local "$job" "$@"
}

echo 'a b a' >in

# ---- what cannot be read ----
wordcount --input "$top/missing"
fails "missing input" "input file $top/missing does not exist on host $host"
mkdir -p logs/inner
cp in logs/a
cp in logs/b
wordcount --input logs --output counts
awk 'END { exit !($0 == "b,2" || $0 == "a,4") }' counts
result $? "a folder is the files in it"
cp in secret
chmod 0 secret
if [[ ${#nobody[@]} -gt 0 ]] && "${nobody[@]}" test -x "$build/bin/rask" -a -r "$job"; then
    as_nobody --input "$top/secret"
    fails "unreadable input" "input file $top/secret on host $host cannot be read: permission denied for user id 65534"
    mkdir -m 755 closed
    as_nobody --input "$top/in" --output "$top/closed/out"
    fails "no right to write" "output file $top/closed/out on host $host cannot be written: permission denied for user id 65534"
else
    echo "skipped: no other user to try unreadable files with, or the build is not readable for it" >&2
fi

wordcount --input s3://bucket/in
fails "another file system to read from" "s3://bucket/in: only files of the host can be read and written"

# ---- what cannot be written ----
wordcount --input in --output hdfs://name/out
fails "another file system to write to" "hdfs://name/out: only files of the host can be read and written"
wordcount --input in --output /dev/full
fails "disk full" "output file /dev/full on host $host cannot be written: the disk is full; free space there"
wordcount --input in --output logs
fails "a folder in the place of the output" "output file $top/logs on host $host cannot be written: it is a directory"
wordcount --input in --output in/counts
fails "a file in the place of a folder" "output file $top/in/counts on host $host cannot be written: a folder of the path is a file"
run "$build/bin/rask" run --target local "$job" --input in
[[ $status -eq 0 ]]
result $? "after all this the job still runs"

wordcount --input "file://$top/in" --output "file://$top/counts"
[[ $status -eq 0 && $(tail -n 1 counts) == a,2 ]]
result $? "file:///path is a path"

# ---- odd, and legal ----
legal() { # NAME LAST-COUNTS...: of the file odd
    local name=$1
    shift
    wordcount --input odd --output counts
    [[ $status -eq 0 ]] && awk -F, '{ n[$1] = $2 } END { for (w in n) print length(w) "," n[w] }' counts | sort >got
    printf '%s\n' "$@" | sed '/^$/d' | sort | cmp -s - got
    result $? "$name"
}
: >odd
legal "empty file" ""
printf 'a b a' >odd
legal "no last newline" 1,2 1,1
printf 'aa \377\376\377 aa\n' >odd
legal "invalid UTF-8" 2,2 3,1
{ head -c 8388608 /dev/zero | tr '\0' x; echo ' ab'; } >odd
legal "a line of 8 MiB" 8388608,1 2,1
printf 'a\0b c\n' >odd
wordcount --input odd --output counts
printf 'a\0b,1\nc,1\n' | cmp -s - counts
result $? "NUL"
head -c 68157440 /dev/zero >odd
wordcount --input odd
fails "a line of 65 MiB" "input file $top/odd on host $host: the line at byte 0 is longer than rask.max-row-size"
exit "$((failures > 0))"
