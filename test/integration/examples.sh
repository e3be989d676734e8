#!/usr/bin/env bash
# Runs each program of examples/ on the sample log, in one process at several parallelisms, and compares with awk.
# Prints "ok NAME" and "FAIL NAME" lines.
# shellcheck disable=SC2317
set -u
cd "$(dirname "$0")/../.." || exit 1
build=${RASK_BUILD:-$PWD/build}
examples=$PWD/examples
access=$examples/data/access.log
top=$(mktemp -d)
trap 'rm -rf "$top"' EXIT
unset RASK_CONF_DIR CC
export XDG_CACHE_HOME=$top/cache LC_ALL=C
cd "$top" || exit 1
failures=0

# run NAME PARALLELISM ARGUMENTS...: examples/NAME.c; its standard output goes to the file "output".
run() {
    local name=$1 parallelism=$2
    shift 2
    timeout 60 "$build/bin/rask" run --target local -p "$parallelism" "$examples/$name.c" "$@" >output 2>errors </dev/null
}
# same NAME EXPECTED GOT: two files of lines in any order.
same() {
    sort "$2" >expected.sorted
    sort "$3" >got.sorted
    if [[ -s expected.sorted ]] && cmp -s expected.sorted got.sorted; then
        echo "ok $1"
        return
    fi
    echo "FAIL $1: lines of awk (<) and of the job (>):"
    diff expected.sorted got.sorted | head -n 10 | sed 's/^/    /'
    tail -n 10 errors | sed 's/^/    /'
    failures=$((failures + 1))
}
# The last line of each key in the first column.
totals() {
    awk -F, '{ last[$1] = $0 } END { for (k in last) print last[k] }' "$1"
}

# ---- wordcount ----
awk '{ for (i = 1; i <= NF; i++) n[$i]++ } END { for (w in n) print w "," n[w] }' "$access" >words
for p in 1 3; do
    run wordcount "$p" --input "$access" --output counts.csv
    awk '{ comma = match($0, /,[0-9]+$/); last[substr($0, 1, comma - 1)] = $0 } END { for (k in last) print last[k] }' \
        counts.csv >counts
    same "wordcount -p $p" words counts
done
run wordcount 1 --input "$access"
sed 's/^(//; s/)$//' output |
    awk '{ comma = match($0, /,[0-9]+$/); last[substr($0, 1, comma - 1)] = $0 } END { for (k in last) print last[k] }' >counts
same "wordcount prints" words counts

# ---- pages ----
awk '{ n[$9]++ } END { for (s in n) print s "," n[s] }' "$access" >statuses
awk '$9 == 200 { sub(/\?.*/, "", $7); n[$7] += $10 } END { for (p in n) print p "," n[p] }' "$access" |
    awk '{ comma = match($0, /,[0-9]+$/); path = substr($0, 1, comma - 1)
           if (path ~ /[,"]/) { gsub(/"/, "\"\"", path); path = "\"" path "\"" }
           print path substr($0, comma) }' >pages
for p in 1 3; do
    run pages "$p" --input "$access" --statuses statuses.csv --pages pages.csv
    totals statuses.csv >got
    same "pages -p $p: requests by status" statuses got
    awk '{ comma = match($0, /,[0-9]+$/); last[substr($0, 1, comma - 1)] = $0 } END { for (k in last) print last[k] }' \
        pages.csv >got
    same "pages -p $p: bytes by page" pages got
done
{ cat "$access"; echo 'no record'; } >damaged.log
run pages 1 --input damaged.log --statuses statuses.csv --pages pages.csv
totals statuses.csv >got
same "pages passes damaged lines by" statuses got
if grep -q 'damaged.log,5001,no record,2 fields where 10 are expected' errors; then
    echo "ok pages names the damaged line"
else
    echo "FAIL pages names the damaged line:"
    sed 's/^/    /' errors
    failures=$((failures + 1))
fi

# ---- visits (all of the log is of one month) ----
awk '{ split(substr($4, 2), d, /[\/:]/)
       at = ((d[1] * 24 + d[4]) * 60 + d[5]) * 60 + d[6]
       if (!($1 in last) || at - last[$1] >= 1800) {
           printf "%s,%d,2015-05-%s %s:%s:%s.000\n", $1, ++n[$1], d[1], d[4], d[5], d[6]
           last[$1] = at
       } else if (at > last[$1]) last[$1] = at }' "$access" >visits
for p in 1 4; do
    run visits "$p" --input "$access" --output visits.csv
    same "visits -p $p" visits visits.csv
done

# ---- readings ----
awk 'BEGIN { for (s = 0; s < 5; s++) for (n = 0; n < 20000; n++) print s "," n "," (s * 37 + n * n) % 1000 }' >readings
for p in 1 3; do
    run readings "$p" --archive "$top/archive-$p" --sensors 5 --readings 20000
    cat "$top/archive-$p"/part-*[0-9] >got
    same "readings -p $p" readings got
done
if [[ -z $(find . -name '*.tmp') ]]; then
    echo "ok readings leaves no .tmp"
else
    echo "FAIL readings leaves no .tmp"
    failures=$((failures + 1))
fi
exit "$((failures > 0))"
